"""Which machine an attempt goes to, where what there is lies on several: a demand must fit on one of them, not in the sum.

Resources are numbered as in `placement`, those of hosts first (`names`), cores before all others. What a host does not state is
not bound there. Where a unit would go is found by *best fit*: of the hosts on which all of it fits, the one with the fewest free
cores, of equal ones the first. That keeps whole hosts free for large demands, and costs a bisection, since hosts are kept sorted
by free cores; only a second resource that is short makes it look further.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final

from weft.scheduling.lanes import Lane, LiveAttempt
from weft.spec.resources import CORES

NOWHERE: Final = -1

Needs = tuple[tuple[int, int], ...]


class Hosts:
    """Free amounts, host by host. shapes: what each has in all, integer units by name; each states `cores`."""

    def __init__(self, shapes: Sequence[Mapping[str, int]]):
        others = dict.fromkeys(name for shape in shapes for name in sorted(shape) if name != CORES)
        self.names = (CORES, *others)
        self.count = len(shapes)
        self.capacity: list[list[float]] = [[shape.get(name, inf) for shape in shapes] for name in self.names]
        self._cores = [shape[CORES] for shape in shapes]
        # One list per resource; the first is `_cores` itself: integers, since each host states them.
        self.free: list[Any] = [self._cores, *(list(row) for row in self.capacity[1:])]
        # (free cores, host) as one integer: cores * count + host
        self._sorted = sorted(cores * self.count + host for host, cores in enumerate(self._cores))

    def totals(self) -> dict[str, int]:
        """What all hosts have together, of what each of them states."""
        rows = zip(self.names, self.capacity, strict=True)
        return {name: int(total) for name, row in rows if (total := sum(row)) < inf}

    def bind(self, lane: Lane) -> None:
        """Note what of the lane's demand hosts have to give."""
        lane.cores = dict(lane.needs).get(0, 0)
        lane.others = tuple(need for need in lane.needs if 0 < need[0] < len(self.names))

    def find(self, lane: Lane, avoid: int = NOWHERE) -> bool:
        """Whether a unit of the lane fits on a host now; `lane.host` is the best one, else NOWHERE."""
        count, free, order, others = self.count, self.free, self._sorted, lane.others
        first = bisect_left(order, lane.cores * count)
        if not others and avoid == NOWHERE and first < count:
            lane.host = order[first] % count
            return True
        for place in range(first, count):
            host = order[place] % count
            if host != avoid and not any(free[number][host] < units for number, units in others):
                lane.host = host
                return True
        lane.host = NOWHERE
        return False

    def take(self, live: LiveAttempt) -> None:
        """The attempt holds its lane's amounts on `lane.host`, which `find` has just found."""
        lane = live.lane
        live.host = host = lane.host
        if lane.cores:
            self._move(host, -lane.cores)
        for number, units in lane.others:
            self.free[number][host] -= units

    def give(self, live: LiveAttempt) -> None:
        """The attempt has ended."""
        lane, host = live.lane, live.host
        if lane.cores:
            self._move(host, lane.cores)
        for number, units in lane.others:
            self.free[number][host] += units

    def _move(self, host: int, cores: int) -> None:
        order, count, free = self._sorted, self.count, self._cores
        old = free[host]
        del order[bisect_left(order, old * count + host)]
        free[host] = new = old + cores
        insort(order, new * count + host)

    def lacking(self, needs: Needs) -> int | None:
        """The number of a resource for which no host can ever take the whole demand; None when one can."""
        fitting: Iterable[int] = range(self.count)
        for number, units in sorted(needs):
            if number >= len(self.names):
                break
            capacity = self.capacity[number]
            fitting = [host for host in fitting if capacity[host] >= units]
            if not fitting:
                return number
        return None

    def largest(self, name: str) -> int | None:
        """The most that one host has of a resource; None of what is not bound to hosts, or not bound on one of them."""
        if name not in self.names:
            return None
        most = max(self.capacity[self.names.index(name)])
        return int(most) if most < inf else None

    # --- reservations: each is of one host ------------------------------------------------------------------------------

    def reserve(self, needs: Needs, live: Iterator[LiveAttempt]) -> int:
        """The host on which the demand will fit first. live: attempts in the order in which they are expected to end."""
        known = len(self.names)
        wanted = [need for need in needs if need[0] < known]
        freed: dict[int, dict[int, float]] = {}
        for attempt in live:
            gained = freed.setdefault(attempt.host, {})
            for number, units in attempt.lane.needs:
                gained[number] = gained.get(number, 0) + units
            free = self.free
            if all(free[number][attempt.host] + gained.get(number, 0) >= units for number, units in wanted):
                return attempt.host
        # Ends are not known: the host that has most to spare of those that are large enough.
        able = [h for h in range(self.count) if all(self.capacity[number][h] >= units for number, units in wanted)]
        return max(able, key=lambda host: (self.free[0][host], -host), default=NOWHERE)

    def pressing(self, lane: Lane, reserved: int) -> Needs:
        """What a unit of the lane, for which there is room, takes of what a reservation on that host wants."""
        if lane.host == reserved and not self.find(lane, avoid=reserved):
            lane.host = reserved
            return lane.needs
        known = len(self.names)
        return tuple(need for need in lane.needs if need[0] >= known)

    def counts(self, number: int, live: LiveAttempt, reserved: int) -> bool:
        """Whether what the attempt holds of a resource is missing on the reserved host, or to all."""
        return number >= len(self.names) or live.host == reserved

    # --- audit ----------------------------------------------------------------------------------------------------------

    def faults(self, live: Iterable[LiveAttempt]) -> Iterator[str]:
        """What does not agree with a recount."""
        free = [list(row) for row in self.capacity]
        for attempt in live:
            for number, units in attempt.lane.needs:
                if number < len(free):
                    free[number][attempt.host] -= units
        if free != self.free:
            yield f"free on hosts {self.free}, recounted {free}"
        if any(amount < 0 for row in free for amount in row):
            yield "a host gives more than it has"
        if self._sorted != sorted(int(cores) * self.count + host for host, cores in enumerate(free[0])):
            yield "hosts are not sorted by their free cores"
