"""What a run would do, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from weft.cli.output.report import numbered
from weft.cli.output.terminal import Place, label, styled

if TYPE_CHECKING:
    from weft.assemble import PlannedTask

STYLES: Final = {"run": "bold", "cached": "dim", "blocked": "failed"}


def preview_text(planned: Mapping[str, PlannedTask], place: Place) -> str:
    """One line per task with its first reason, further reasons below it, then the counts."""
    lines = list(_lines(planned, place))
    counts = dict.fromkeys(STYLES, 0)
    for task in planned.values():
        counts[task.action] += 1
    parts = [f"{counts['run']} to run", f"{counts['cached']} up to date"]
    if counts["blocked"]:
        parts.append(f"{counts['blocked']} blocked")
    lines.append(f"{numbered(len(planned))}: {', '.join(parts)}\n")
    return "".join(lines)


def _lines(planned: Mapping[str, PlannedTask], place: Place) -> Iterator[str]:
    for name, task in planned.items():
        action = styled(f"{task.action:<8}", STYLES[task.action], place.has_colour)
        line = f"{action} {label(name)}"
        texts = [label(reason.text) for reason in task.reasons]
        if texts:
            line += f"  {texts[0]}"
        yield line + "\n"
        for text in texts[1:]:
            yield f"{'':<8}   {text}\n"
