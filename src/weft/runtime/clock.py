"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """`ports.Clock` on the machine's own clocks."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()
