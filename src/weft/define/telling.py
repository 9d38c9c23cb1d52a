"""Warnings that point at the user's own line, however deep they are found."""

from __future__ import annotations

import sys
from warnings import warn

from weft.errors import WeftWarning

_OWN = "weft."


def tell(text: str) -> None:
    """Warn at the innermost line outside of weft."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN):
        frame = frame.f_back
        level += 1
    warn(text, WeftWarning, stacklevel=level + 1)
