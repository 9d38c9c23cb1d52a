"""Orders that are ahead of their resources, lane by lane, and what each end in a lane is good for.

An end that finds nobody waiting is remembered as *unclaimed* until the engine has read its receipt: an ahead order that was on
its way meanwhile is owed that start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container


class AheadQueues:
    """Lanes by number: how many live, who waits (nonces, oldest first), which ends nobody has used."""

    def __init__(self) -> None:
        self._live: dict[int, int] = {}
        self._waiting: dict[int, deque[int]] = {}
        self.freed: deque[tuple[int, int]] = deque()  # ends to be handed on: (lane, number of the end's receipt)
        self._unclaimed: dict[int, deque[int]] = {}  # lane -> numbers
        self._unclaimed_in_order: deque[tuple[int, int]] = deque()  # (number, lane)

    def begin(self, lane: int) -> None:
        """One more lives."""
        self._live[lane] = self._live.get(lane, 0) + 1

    def wait(self, lane: int, nonce: int) -> None:
        """It waits for an end."""
        self._waiting.setdefault(lane, deque()).append(nonce)

    def end(self, lane: int, number: int) -> None:
        """One less lives; `hand_on` says who is next."""
        live = self._live.get(lane, 0) - 1
        if live > 0:
            self._live[lane] = live
        else:
            self._live.pop(lane, None)
        self.freed.append((lane, number))

    def may_start(self, lane: int) -> bool:
        """Whether a new ahead order starts at once: it is owed an end, or nobody lives whose end it could wait for."""
        ends = self._unclaimed.get(lane)
        if ends:
            ends.popleft()
            return True
        return lane not in self._live

    def forget(self, seen: int) -> None:
        """The engine has read the receipts up to number `seen`: what it orders now counts on none of those ends."""
        recent = self._unclaimed_in_order
        while recent and recent[0][0] <= seen:
            number, lane = recent.popleft()
            ends = self._unclaimed[lane]
            if ends and ends[0] == number:
                ends.popleft()

    def hand_on(self, waits: Container[int]) -> int | None:
        """Use up freed ends until one has a successor; None when all are used up. waits: who was not taken back."""
        while self.freed:
            lane, number = self.freed.popleft()
            waiting = self._waiting.get(lane)
            while waiting:
                nonce = waiting.popleft()
                if nonce in waits:
                    return nonce
            self._unclaimed.setdefault(lane, deque()).append(number)
            self._unclaimed_in_order.append((number, lane))
        return None

    def clear(self) -> None:
        """The engine is gone, and the meaning of its lanes with it."""
        for part in (self._live, self._waiting, self.freed, self._unclaimed, self._unclaimed_in_order):
            part.clear()
