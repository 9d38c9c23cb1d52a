"""Time and sleep as they are: the machine's clocks, and the system's poll."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from typing import Final

LOOK_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 86400.0  # poll takes no more than 24 days; who waits longer is woken once a day for nothing
"""How long the loop may sleep without a look at its state folder (reliability.md B6)."""


class SystemClock:
    """`ports.Clock` on the machine's own clocks."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class SystemWaiter:
    """`ports.Waiter` by poll(2). The set of bells seldom changes, so it is registered once.

    look: is called after each `every` seconds without a bell; what it raises ends the wait.
    """

    def __init__(self, look: Callable[[], None] | None = None, every: float = LOOK_SECONDS) -> None:
        self._look = look
        self._every = every
        self._poller = select.poll()
        self._bells: tuple[int, ...] = ()

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        """See `ports.Waiter`."""
        wanted = tuple(bells)
        if wanted != self._bells:
            self._poller = select.poll()
            for bell in wanted:
                self._poller.register(bell, select.POLLIN)
            self._bells = wanted
        while self._look is not None and (seconds is None or seconds > self._every):
            if self._poller.poll(self._every * 1000):
                return
            self._look()
            seconds = None if seconds is None else seconds - self._every
        self._poller.poll(None if seconds is None else min(seconds, LONGEST_SECONDS) * 1000)
