"""A clock that a test moves by hand."""

from __future__ import annotations


class ManualClock:
    """Fulfils `ports.Clock`. Both times stand still until `advance`."""

    def __init__(self, monotonic: float = 1000.0, wall: float = 1_700_000_000.0):
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self._monotonic

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError for less than none."""
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds} s")
        self._monotonic += seconds
        self._wall += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock only, as an administrator or a time server does."""
        self._wall += seconds
