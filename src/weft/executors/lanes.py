"""Ahead orders of lanes whose attempts do not all belong to the supervisor: it cannot see the ends of snippets and calls, so we
hold the order.

The rule is that of `StartAttempt.ahead`: each end of an attempt lets a waiting one of its lane start. A lane has as many
*slots* as the scheduler believes: an order that is not ahead brings one, an end takes one away once nothing is ahead. What
lives *uses* slots: a process or snippet one, a worker one for all the calls it has before it, since they begin one after the
other. So slots can be vacant while calls ride on a worker's; if they are taken back, they start on those.
"""

from __future__ import annotations

from collections.abc import Iterable


class Lane:
    """slots, used: see above. ahead: orders beyond the slots. waiting: nonces of those that may start, oldest first."""

    __slots__ = ("ahead", "slots", "used", "waiting")

    def __init__(self, slots: int, waiting: Iterable[int]):
        self.slots = slots
        self.used = slots
        self.waiting: dict[int, None] = dict.fromkeys(waiting)  # for the order of its keys
        self.ahead = len(self.waiting)


class MixedLanes:
    """The lanes that are ours, by number."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}

    def __contains__(self, lane: int) -> bool:
        return lane in self._lanes

    def mix(self, lane: int, live: int, waiting: Iterable[int]) -> None:
        """From now on `lane` is ours; what is there already: live attempts, and those that wait, oldest first."""
        self._lanes[lane] = Lane(live, waiting)

    def admit(self, lane: int, nonce: int, ahead: bool) -> bool:
        """Whether a new order starts now; else it waits. One that waits for nobody would wait for ever, and starts."""
        found = self._lanes[lane]
        if ahead and found.slots:
            found.ahead += 1
            found.waiting[nonce] = None
            return False
        found.slots += 1
        found.used += 1
        return True

    def count_end(self, lane: int) -> None:
        """An attempt has ended, whatever it was: what is ahead inherits its slot."""
        found = self._lanes[lane]
        if found.ahead:
            found.ahead -= 1
        else:
            found.slots -= 1

    def vacate(self, lane: int) -> None:
        """One slot is used no longer."""
        self._lanes[lane].used -= 1

    def next(self, lane: int) -> int | None:
        """Who starts now, if a slot is vacant and somebody waits."""
        found = self._lanes[lane]
        if found.used >= found.slots or not found.waiting:
            return None
        nonce = next(iter(found.waiting))
        del found.waiting[nonce]
        found.used += 1
        return nonce

    def ride(self, lane: int, nonce: int) -> None:
        """One that waits goes to a worker, behind the calls that it has."""
        self._lanes[lane].waiting.pop(nonce, None)

    def put_back(self, lane: int, nonces: Iterable[int]) -> None:
        """These wait again, before all others."""
        found = self._lanes[lane]
        found.waiting = {**dict.fromkeys(nonces), **found.waiting}

    def withdraw(self, lane: int, nonce: int) -> bool:
        """Take one that waits back; False when it does not wait here."""
        found = self._lanes.get(lane)
        if found is None or nonce not in found.waiting:
            return False
        del found.waiting[nonce]
        return True
