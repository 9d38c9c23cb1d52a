"""Ahead orders of lanes whose attempts do not all belong to the supervisor: it cannot see the ends of snippets, so we
hold the order.

The rule is that of `StartAttempt.ahead`: each end of a live attempt starts the oldest waiting one of its lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class MixedLanes:
    """Who waits in which mixed lane, by nonce."""

    def __init__(self) -> None:
        self._live: dict[int, int] = {}
        self._waiting: dict[int, deque[int]] = {}

    def __contains__(self, lane: int) -> bool:
        return lane in self._live

    def mix(self, lane: int, live: int, waiting: Iterable[int]) -> None:
        """From now on `lane` is ours; what is there already: live attempts, and those that wait, oldest first."""
        self._live[lane] = live
        self._waiting[lane] = deque(waiting)

    def admit(self, lane: int, nonce: int, ahead: bool) -> bool:
        """Whether a new order starts now; else it waits. One that waits for nobody would wait for ever, and starts."""
        if ahead and self._live[lane]:
            self._waiting[lane].append(nonce)
            return False
        self._live[lane] += 1
        return True

    def end(self, lane: int) -> int | None:
        """A live attempt has ended: who starts now."""
        self._live[lane] -= 1
        if not self._waiting[lane]:
            return None
        self._live[lane] += 1
        return self._waiting[lane].popleft()

    def withdraw(self, lane: int, nonce: int) -> bool:
        """Take one that waits back; False when it does not wait here."""
        waiting = self._waiting.get(lane, ())
        if nonce not in waiting:
            return False
        self._waiting[lane].remove(nonce)
        return True

    def clear(self) -> None:
        """Nothing lives and nobody waits."""
        self._live.clear()
        self._waiting.clear()
