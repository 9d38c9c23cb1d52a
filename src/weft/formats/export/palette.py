"""Colours of states, the same in every picture; legible on white and apart for the colour-blind by lightness."""

from __future__ import annotations

from typing import Final, NamedTuple


class Colour(NamedTuple):
    """A box: its inside, its border, its text; as #rrggbb."""

    fill: str
    line: str
    text: str


PLAIN: Final = Colour("#f6f8fa", "#57606a", "#1f2328")
STATES: Final = {
    "pending": Colour("#ffffff", "#8c959f", "#57606a"),
    "running": Colour("#ddf4ff", "#0969da", "#0a3069"),
    "ok": Colour("#dafbe1", "#1a7f37", "#0f4a22"),
    "failed": Colour("#ffd8d3", "#cf222e", "#82071e"),
    "skipped": Colour("#eaeef2", "#afb8c1", "#6e7781"),
    "cancelled": Colour("#fff1c2", "#9a6700", "#633c01"),
}


def of(state: str | None) -> Colour:
    """The colours of a state; of a plan without a run for None and unknown ones."""
    return STATES.get(state or "", PLAIN)
