"""Time and sleep as they are: the machine's clocks, and the system's poll."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence


class SystemClock:
    """`ports.Clock` on the machine's own clocks."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class SystemWaiter:
    """`ports.Waiter` by poll(2). The set of bells seldom changes, so it is registered once."""

    def __init__(self) -> None:
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
        self._poller.poll(None if seconds is None else seconds * 1000)
