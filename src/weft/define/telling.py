"""Warnings that point at the user's own line, however deep they are found."""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple
from warnings import warn_explicit

from weft.errors import WeftWarning

_OWN: Final = "weft."


class Caller(NamedTuple):
    """A line outside of weft that called it, for warnings that come when that call is over, or from another thread."""

    path: str
    line: int
    module: str
    registry: dict[Any, Any]  # which warnings of that module Python has shown already

    def tell(self, text: str) -> None:
        """Raises WeftWarning where a filter makes it an error."""
        warn_explicit(text, WeftWarning, self.path, self.line, self.module, self.registry)


def caller() -> Caller:
    """The innermost line of this thread outside of weft."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN):
        frame = frame.f_back
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    return Caller(frame.f_code.co_filename, frame.f_lineno, str(names.get("__name__", "")), registry)


def tell(text: str) -> None:
    """Warn at the innermost line outside of weft."""
    caller().tell(text)
