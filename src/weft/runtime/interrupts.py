"""Signals to weft itself: Ctrl-C once, twice, three times; TERM, HUP and QUIT."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final, Literal

from weft.ports import EndedBy

Level = Literal[1, 2, 3]

CTRL_C: Final = ("interrupted", "interrupted again", "interrupted three times")
_DOING: Final = {
    1: "starting nothing more, waiting for what runs",
    2: "ending what runs, 5 s of grace",
    3: "killing what runs",
}
_NEXT: Final = {1: "end it", 2: "kill it"}

ON_REQUEST: Final = "interrupted on request"
"""What did it when another process asked."""

ASK_TWICE = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that act like the second Ctrl-C (reliability.md 2)."""


class Interrupts:
    """Counts interrupts between `install` and `restore`. Without `install` (another thread, a test) nobody interrupts."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._pending: list[Level] = []
        self._times = 0
        self._remarks: dict[Level, str] = {}
        self._previous: dict[int, Any] = {}
        self.level = 0
        self.exit_code: int | None = None
        self.ended_by: EndedBy | None = None

    def install(self) -> None:
        """Listen to signals. Only the main thread may; elsewhere this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, *ASK_TWICE):
            self._previous[number] = signal.signal(number, self._heard)

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1

    def interrupt(self, level: Level, exit_code: int, by: str | None = None) -> None:
        """Raise the level, as a signal would. Levels below the present one change nothing.

        by: what did it, for people; None for Ctrl-C.
        """
        if level <= self.level:
            return
        self._times += by is None
        self._remarks[level] = _remark(level, by, self._times)
        self.level = level
        self.exit_code = self.exit_code or exit_code
        self.ended_by = self.ended_by or ("request" if by == ON_REQUEST else "signal")
        self._pending.append(level)
        os.eventfd_write(self._bell, 1)

    def take(self) -> Sequence[Level]:
        """Levels reached since the last call."""
        if not self._pending:
            return ()
        os.eventfd_read(self._bell)
        taken, self._pending = self._pending, []
        return taken

    def remark(self, level: Level) -> str:
        """What happened when the level was reached, and what is done about it."""
        return self._remarks[level]

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""
        return (self._bell,)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        wanted = self.level + 1 if number == signal.SIGINT else max(2, self.level)
        by = None if number == signal.SIGINT else signal.Signals(number).name
        self.interrupt(3 if wanted >= 3 else 2 if wanted == 2 else 1, 128 + number, by)


def _remark(level: Level, by: str | None, times: int) -> str:
    """times: how often it was Ctrl-C."""
    text = f"{by or CTRL_C[min(times, len(CTRL_C)) - 1]}: {_DOING[level]}"
    if level not in _NEXT:
        return text
    return f"{text} ({'again' if by is None else 'Ctrl-C'}: {_NEXT[level]})"
