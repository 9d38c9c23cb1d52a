"""What code of the user's prints within weft goes to standard error: standard output belongs to the run, and may be JSON."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_here = threading.local()
_lock = threading.Lock()
_routed: _Routed | None = None
_users = 0


def enter_note() -> None:
    """From now on this thread works for a note."""
    _here.is_note = True


class _Routed:
    """Stands in for `sys.stdout`: everybody else's is as it was."""

    def __init__(self, stdout: TextIO):
        self.behind = stdout

    def _target(self) -> TextIO:
        return sys.stderr if getattr(_here, "is_note", False) else self.behind

    def write(self, text: str) -> int:
        return self._target().write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self._target().writelines(lines)

    def flush(self) -> None:
        self._target().flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)


def begin_routing() -> None:
    """From now on, and until it was ended as often as it was begun: several runs of one process may be at it at once."""
    global _routed, _users
    with _lock:
        _users += 1
        if _users == 1:
            _routed = _Routed(sys.stdout)
            sys.stdout = _routed


def end_routing() -> None:
    """The last one puts back what was there, unless somebody has put something else in its place since."""
    global _routed, _users
    with _lock:
        _users -= 1
        if _users == 0 and _routed is not None:
            if sys.stdout is _routed:
                sys.stdout = _routed.behind
            _routed = None


@contextmanager
def aside() -> Iterator[None]:
    """What this thread prints meanwhile goes to standard error."""
    begin_routing()
    before, _here.is_note = getattr(_here, "is_note", False), True
    try:
        yield
    finally:
        _here.is_note = before
        end_routing()
