"""How long a look at the world may take, and what happens as it takes longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LONG_SECONDS: Final = 0.02  # after so long others are let go on


class SearchTimeoutError(Exception):
    """The time for a search is over, or nobody waits for it any more. pattern: the expression that was being matched."""

    def __init__(self, text: str, pattern: str | None = None):
        super().__init__(text)
        self.pattern = pattern


class Patience:
    """Of one look. seconds: the most it may take. before_long: called once, when it turns out to take long."""

    def __init__(
        self,
        seconds: float,
        before_long: Callable[[], None] = lambda: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ):
        self._long_at = time.monotonic() + LONG_SECONDS
        self._deadline = time.monotonic() + seconds
        self._before_long = before_long
        self._is_stopped = is_stopped
        self._is_long = False

    def check(self, place: str) -> None:
        """To be called every few hundred files. place: where the search is. Raises SearchTimeoutError."""
        now = time.monotonic()
        if now > self._deadline:
            raise SearchTimeoutError(f"the search takes too long; it had come to {place or 'the root'}")
        if self._is_stopped():
            raise SearchTimeoutError("the search was given up")
        if now > self._long_at:
            self.expect_long()

    def expect_long(self) -> None:
        """What comes now will take long."""
        if not self._is_long:
            self._is_long = True
            self._before_long()

    def is_over(self) -> bool:
        """Whether to give up: the time is over, or nobody waits any more."""
        return time.monotonic() > self._deadline or self._is_stopped()

    def left(self) -> float:
        """Seconds that are left; not negative."""
        return max(0.0, self._deadline - time.monotonic())
