"""Which ready unit starts next, and what it holds while it lives.

The rule. Ready units are ordered once and for all: priority, then longest remaining path, then plan order (`workload` gives
each its *item*, an int that sorts this way). Units of equal demand (amounts, executor, queue) are interchangeable as far as
room is concerned, so they share a *lane*: a heap of items. A round looks at lanes in the order of their best items. If the
best item fits, it starts; if not, no other of its lane would fit, and the lane is set aside for the round. So a round costs
O(starts + lanes that do not fit), whatever the number of ready units, and a lane that does not fit blocks only itself.

Why this order: list scheduling by longest remaining path is within (2 - 1/m) of the best makespan on m machines (Graham
1966) and near it in practice; nothing better is known that costs O(log n) a start.

The reservation. Small units could starve a large one for ever, since every bit of room they free is at once taken by other
small ones. So the best unit that does not fit gets the only reservation of the round (EASY backfilling, Lifka 1995), and
others may start before it only if that cannot delay it:
- when it needs nothing of what the reserved unit needs;
- *by estimate*, when durations are declared and tell when the reserved unit will fit: the candidate ends before that, or fits
  beside it at that time. Estimates err, so this happens a bounded number of times per reservation; or
- *soundly*, when no time is known: on amounts that the reserved unit leaves. All that units started since the reservation
  hold, the candidate's demand and the reserved one together are within the capacity. Then the reserved unit fits at the
  latest when all attempts that were live when the reservation was made have ended, however long anything takes.

Whose reservation? That of the best rank, and rank is not fair: a unit of low rank could be passed over as long as better ones
keep coming. So a lane counts the starts that went past it while there was a slot but no room; past a limit it is *overdue*,
goes first whatever its rank, and keeps the reservation until it has started. So every unit that fits alone starts after a
bounded number of other starts. While slots alone are short (`-j`), nothing is overdue: who comes is a question of rank only,
and `-j 1` of a plan in file order starts in file order.

Slots (`-j`) cap attempts that live; amounts are what they hold. Both are integers. `held + free = capacity` always; after the
capacity fell `free` may be negative, and nothing starts that needs such an amount until it is not.

Ahead orders. An attempt that ends is replaced only when its end has been told, recorded and answered: at 1 ms a command that
costs a third of the machine. So while nobody else has a better claim, a lane whose attempts are short gets a few orders in
advance. They hold nothing. When a live attempt of the lane ends, the executor begins the oldest of them by itself, and
`release` hands the amounts, not freed in between, to the same one: both sides use the same queue, first in, first out.
Workers that have queues of their own may begin another one of the lane. Then `claim` changes the two over when the begin is
told: the one that began holds what the one that was thought to be next was given, and that one is ahead again. All orders of a
lane ask for the same, so what is held in all is right at any time.

Rejected: one heap of all ready units (a large one at its head blocks all, or each round walks over thousands that do not
fit); re-sorting with every change of measured durations (cost, and orders that nobody can foresee); reservations for all
that wait (conservative backfilling: O(waiting x live) a round for little gain at unknown durations); draining the machine
for every large unit (idle cores with certainty, against a delay that may not come).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

from weft.scheduling.headroom import Headroom
from weft.scheduling.hosts import NOWHERE, Hosts
from weft.scheduling.lanes import NO_ITEM, Lane, LaneKey, LiveAttempt, Reservation, fits, judge
from weft.scheduling.outcomes import Request
from weft.scheduling.workload import SHIFT

PATIENCE_STARTS: Final = 64
PATIENCE_ROUNDS: Final = 4
"""A lane is overdue after max(PATIENCE_STARTS, PATIENCE_ROUNDS x live attempts) starts of others: rare enough that keeping
amounts free for it costs little, soon enough to be felt as fair."""

SCAN_LIMIT: Final = 512
"""Lanes without room that a round looks at, best first (Slurm's `bf_max_job_test`): bounds a round when every demand differs."""

SPARE_LANES: Final = 64
"""Unused lanes that are kept at least before any is looked for."""

AHEAD_SECONDS: Final = 0.05
"""Work that a lane's ahead orders cover: twice the longest group commit, so that a disk that is slow once starves nobody."""
AHEAD_LONGEST: Final = 0.025
"""Mean seconds of an attempt above which the time between two commits does not matter."""
AHEAD_MOST: Final = 512
MEAN_WEIGHT: Final = 0.1
"""Weight of the newest duration in a lane's mean."""


class Placement:
    """Lanes, capacities, and what is held. unlimited: amounts are never short, only slots count.

    first_lane: number of the first lane; other ones than those of an earlier engine whose attempts the executor may still
    know. apart: ranks of tasks that are never ordered ahead. hosts: where amounts lie, when that is on several machines; then
    nothing is ordered ahead, and a reservation is of one host: what goes to others passes it. headroom: of opportunistic mode.
    """

    def __init__(
        self, unlimited: bool, first_lane: int = 0, hosts: Hosts | None = None, headroom: Headroom | None = None
    ):
        self.unlimited = unlimited
        self.hosts = hosts
        self.headroom = headroom
        self.ceilings: Mapping[str, int] = {}
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self.given: Mapping[str, int] = {}
        self.limits: dict[str, int] = {}
        self.capacity: list[int | None] = []
        self.held: list[int] = []
        self.free: list[int] = []
        self.slots: int | None = None
        self.is_known = False
        self.lanes: dict[LaneKey, Lane] = {}
        self.lane_by_number: dict[int, Lane] = {}
        self._spare: dict[int, Lane] = {}
        self._sweep_at = SPARE_LANES
        self._next_lane = first_lane
        self.heads: list[tuple[int, int]] = []
        self._touched: list[Lane] = []
        self.withdrawn: set[int] = set()
        self.apart: set[int] = set()
        self.live: dict[int, LiveAttempt] = {}
        self.ends: list[
            tuple[float, int]
        ] = []  # sorted: expected end and nonce of what holds something and may be estimated
        self.holding = 0  # live attempts that are not ahead: what slots cap
        self.starts = 0
        self.overdue: Lane | None = None
        self.reservation: Reservation | None = None
        self._reservations = 0
        for name in hosts.names if hosts is not None else ():
            self._number(name)

    # --- capacity -------------------------------------------------------------------------------------------------------

    def set_capacity(self, amounts: Mapping[str, int], slots: int | None) -> None:
        """What there is in all from now on."""
        self.given = dict(amounts)
        self.slots = slots
        self.is_known = True
        self._recount()

    def set_limit(self, name: str, units: int | None) -> None:
        """A capacity by request, which counts before the given one; None takes it back."""
        if units is None:
            self.limits.pop(name, None)
        else:
            self.limits[name] = units
        self._recount()

    def is_closed(self) -> bool:
        """Whether ready units wait for a cap to be raised."""
        return any(lane.closed and self.best(lane) is not None for lane in self.lanes.values())

    def set_ceilings(self, ceilings: Mapping[str, int]) -> None:
        """What of the capacity is there for us now, by what was measured; a name that is absent has all of it."""
        self.ceilings = ceilings
        self._refill()

    def _recount(self) -> None:
        self._refill()
        for lane in self.lanes.values():
            self._judge(lane)

    def _refill(self) -> None:
        for number, name in enumerate(self.names):
            self.capacity[number] = capacity = self._present(name)
            self.free[number] = (capacity or 0) - self.held[number]

    def _capacity_of(self, name: str) -> int | None:
        return self.limits.get(name, self.given.get(name))

    def _present(self, name: str) -> int | None:
        capacity = self._capacity_of(name)
        return capacity if capacity is None else min(capacity, self.ceilings.get(name, capacity))

    def capacity_of(self, name: str) -> int | None:
        """Units of a resource there are in all; None when nobody knows it, or when nothing is ever short."""
        return None if self.unlimited or not self.is_known else self._capacity_of(name)

    def _judge(self, lane: Lane) -> None:
        judge(lane, self.names, self._capacity_of)  # all there is: a busy host will not be busy for ever
        if self.hosts is not None and lane.lacking is None and (short := self.hosts.lacking(lane.needs)) is not None:
            lane.lacking = self.names[short]

    # --- lanes ----------------------------------------------------------------------------------------------------------

    def lane_for(self, request: Request, executor: str | None, adopted: bool = False) -> Lane:
        """The lane of this demand; made when there is none yet.

        adopted: of attempts of an earlier engine, which the executor knows by other numbers: their ends hand on nothing.
        """
        key = (request.amounts, executor, request.queue, adopted)
        lane = self.lanes.get(key)
        if lane is None:
            if len(self._spare) >= self._sweep_at:
                self._forget_unused()
            amounts = () if self.unlimited else request.amounts
            needs = tuple((self._number(name), units) for name, units in amounts if units)
            lane = self.lanes[key] = Lane(self._next_lane, key, needs)
            self.lane_by_number[self._next_lane] = self._spare[self._next_lane] = lane
            self._next_lane += 1
            if self.hosts is not None:
                self.hosts.bind(lane)
            if self.is_known:
                self._judge(lane)
        return lane

    def _number(self, name: str) -> int:
        number = self.numbers.get(name)
        if number is None:
            number = self.numbers[name] = len(self.names)
            self.names.append(name)
            capacity = self._present(name)
            self.capacity.append(capacity)
            self.held.append(0)
            self.free.append(capacity or 0)
            if self.reservation is not None:
                self.reservation.taken.append(0)
        return number

    def first_lane_for(self, request: Request, executor: str | None) -> Lane:
        """The lane of a task's first demand; it stays, whether somebody stands in it or not."""
        lane = self.lane_for(request, executor)
        lane.is_kept = True
        self._spare.pop(lane.number, None)
        return lane

    def _forget_unused(self) -> None:
        """Drop lanes that were made for a scaled or adopted demand and that nobody uses now; the demand may come again."""
        for lane in list(self._spare.values()):
            if self.best(lane) is None and not (lane.live or lane.ahead or lane.touched):
                del self._spare[lane.number], self.lanes[lane.key], self.lane_by_number[lane.number]
                self._clear_claims(lane)
        self._sweep_at = max(SPARE_LANES, 2 * len(self._spare))

    def add(self, lane: Lane, item: int) -> None:
        """A unit is ready."""
        heappush(lane.items, item)
        if not lane.touched:
            lane.touched = True
            self._touched.append(lane)

    def add_all(self, lane: Lane, items: list[int]) -> None:
        """Many units are ready at once."""
        lane.items.extend(items)
        heapify(lane.items)
        if items and not lane.touched:
            lane.touched = True
            self._touched.append(lane)

    def withdraw(self, item: int) -> None:
        """A ready unit will not start. It leaves its heap when it comes to the top."""
        self.withdrawn.add(item)

    def take_out(self, lane: Lane, items: set[int]) -> None:
        """Ready units step back: they may come again. O(units in the lane)."""
        lane.items[:] = [item for item in lane.items if item not in items]
        heapify(lane.items)

    def ready_items(self, lane: Lane) -> list[int]:
        """Items that stand in the lane, in no order."""
        return [item for item in lane.items if item not in self.withdrawn]

    def best(self, lane: Lane) -> int | None:
        """The lane's best item that is not withdrawn."""
        items, withdrawn = lane.items, self.withdrawn
        while items and withdrawn and items[0] in withdrawn:
            withdrawn.discard(heappop(items))
        return items[0] if items else None

    # --- what is held ---------------------------------------------------------------------------------------------------

    def hold(self, live: LiveAttempt) -> None:
        """The attempt holds its lane's amounts and a slot from now on."""
        lane = live.lane
        free, held = self.free, self.held
        if self.hosts is not None:
            self.hosts.take(live)
        for number, units in lane.needs:
            free[number] -= units
            held[number] += units
        lane.live += 1
        self.holding += 1
        if live.expected_end < inf:
            insort(self.ends, (live.expected_end, live.nonce))

    def release(self, live: LiveAttempt) -> LiveAttempt | None:
        """The attempt has ended. Its amounts are free, or go to the oldest ahead order of its lane, which is given back."""
        lane = live.lane
        if live.is_ahead:
            lane.ahead.remove(live)
            return None
        if lane.heirs and live in lane.heirs:
            lane.heirs.remove(live)
        if live.expected_end < inf:
            del self.ends[bisect_left(self.ends, (live.expected_end, live.nonce))]
        reservation, hosts = self.reservation, self.hosts
        if reservation is not None and live.reservation == reservation.number:
            for number, units in lane.needs:
                if hosts is None or hosts.counts(number, live, reservation.host):
                    reservation.taken[number] -= units
        if hosts is not None:
            hosts.give(live)
        if lane.ahead:
            heir = lane.ahead.popleft()
            heir.is_ahead = False
            if heir.state == "ahead":
                lane.heirs.append(heir)
            if heir.expected_end < inf:
                insort(self.ends, (heir.expected_end, heir.nonce))
            return heir
        free, held = self.free, self.held
        for number, units in lane.needs:
            free[number] += units
            held[number] -= units
        lane.live -= 1
        self.holding -= 1
        return None

    def claim(self, live: LiveAttempt) -> LiveAttempt | None:
        """An order ahead has begun. It takes over from the youngest heir, which is given back: ahead again."""
        lane = live.lane
        if not lane.heirs:  # the end that made room for it has not been told yet; its amounts go to this one
            if lane.ahead[0] is not live:
                lane.ahead.remove(live)
                begun = next((at for at, other in enumerate(lane.ahead) if other.state != "running"), len(lane.ahead))
                lane.ahead.insert(begun, live)
            return None
        lane.ahead.remove(live)
        heir = lane.heirs.pop()
        heir.is_ahead = True
        lane.ahead.appendleft(heir)
        if heir.expected_end < inf:
            del self.ends[bisect_left(self.ends, (heir.expected_end, heir.nonce))]
        live.is_ahead = False
        if live.expected_end < inf:
            insort(self.ends, (live.expected_end, live.nonce))
        return heir

    # --- a round --------------------------------------------------------------------------------------------------------

    def place(self, now: float, limit: int, start: Starter, duration: DurationOf) -> int:
        """Start what may start, at most `limit` units; how many did. start: makes the attempt; duration: of an item, expected.

        Cost: O((starts + lanes without room) x log lanes), at most SCAN_LIMIT lanes; with a reservation and estimates also,
        once, the live attempts that have to end before the reserved unit fits.
        """
        self._post_touched()
        if self.reservation is not None:
            self.reservation.opening = None
        slots = inf if self.slots is None else self.slots - self.holding
        left = int(min(limit, max(slots, 0)))
        wanted = left
        aside: list[Lane] = []
        if left and self.overdue is not None:
            left = self._serve_overdue(left, start, duration)
        reserved = self.overdue if self.overdue is None or self._is_in_reach(self.overdue, duration) else None
        heads = self.heads
        while heads and left:
            item, number = heappop(heads)
            lane = self.lane_by_number.get(number)
            if lane is None or lane.posted != item:
                continue
            lane.posted = NO_ITEM
            if self.best(lane) != item:
                self._post(lane)
                continue
            if lane is self.overdue or lane.closed:
                aside.append(lane)
                continue
            if not self._has_room(lane, item, duration):
                aside.append(lane)
                if self.headroom is None or self._is_in_reach(lane, duration):
                    self._note_misfit(lane)
                    reserved = self._reserve(lane) if reserved is None else reserved
                if len(aside) >= SCAN_LIMIT:
                    break
                continue
            if reserved is None:
                left = self._start_run(lane, left, start, duration)
            elif self._may_pass(lane, item, now, duration):
                self._start_past(lane, start)
                left -= 1
            else:
                aside.append(lane)
                self._note_misfit(lane)
                continue
            self._post(lane)
        for lane in aside:
            self._post(lane)
        if reserved is None and left:
            self.reservation = None
        return wanted - left

    def _start_run(self, lane: Lane, left: int, start: Starter, duration: DurationOf) -> int:
        """Start the lane's units as long as they fit and no other lane has a better one; how many more may start."""
        items, free, needs = lane.items, self.free, lane.needs
        held, withdrawn, hosts = self.held, self.withdrawn, self.hosts
        next_best = self.heads[0][0] if self.heads else inf
        begun = 0
        self._clear_claims(lane)
        while True:
            live = start(heappop(items), lane)
            begun += 1
            if hosts is not None:
                hosts.take(live)
            if live.expected_end < inf:
                insort(self.ends, (live.expected_end, live.nonce))
            for number, units in needs:
                free[number] -= units
                held[number] += units
            if begun == left or not items or items[0] > next_best or withdrawn:
                break
            if needs and (not fits(lane, free) or (hosts is not None and not hosts.find(lane))):
                break
            if self.headroom is not None and not self._has_room(lane, items[0], duration):
                break
        lane.live += begun
        self.holding += begun
        self.starts += begun
        lane.passed_since = -1
        return left - begun

    def _start_past(self, lane: Lane, start: Starter) -> None:
        reservation = self.reservation
        live = start(heappop(lane.items), lane)
        self.hold(live)
        self.starts += 1
        lane.passed_since = -1
        if reservation is not None:
            live.reservation = reservation.number
            for number, units in lane.needs:
                if self.hosts is None or self.hosts.counts(number, live, reservation.host):
                    reservation.taken[number] += units

    def _has_room(self, lane: Lane, item: int, duration: DurationOf) -> bool:
        """Whether a unit of the lane fits now, and, in opportunistic mode, for as long as it is expected to take."""
        if not fits(lane, self.free) or (self.hosts is not None and not self.hosts.find(lane)):
            return False
        return self.headroom is None or self.headroom.lasts(self, lane, duration(item))

    def _is_in_reach(self, lane: Lane, duration: DurationOf) -> bool:
        """Whether ends of our own attempts can make room for it; if the host must, nobody is kept waiting for that."""
        item = self.best(lane)
        return self.headroom is None or item is None or self.headroom.lasts(self, lane, duration(item), alone=True)

    def _serve_overdue(self, left: int, start: Starter, duration: DurationOf) -> int:
        lane = self.overdue
        assert lane is not None
        item = self.best(lane)
        if item is None or lane.closed:
            self._clear_claims(lane)
        elif self._has_room(lane, item, duration):
            self.hold(start(heappop(lane.items), lane))
            self.starts += 1
            self._clear_claims(lane)
            lane.passed_since = -1
            self._post(lane)
            return left - 1
        elif self._is_in_reach(lane, duration):
            self._reserve(lane)
        return left

    def _clear_claims(self, lane: Lane) -> None:
        if self.overdue is lane:
            self.overdue = None
        if self.reservation is not None and self.reservation.lane is lane:
            self.reservation = None

    def _note_misfit(self, lane: Lane) -> None:
        if lane.passed_since < 0:
            lane.passed_since = self.starts
        elif self.overdue is None and self.starts - lane.passed_since > max(
            PATIENCE_STARTS, PATIENCE_ROUNDS * self.holding
        ):
            self.overdue = lane

    def _reserve(self, lane: Lane) -> Lane:
        if self.reservation is None or self.reservation.lane is not lane:
            self._reservations += 1
            self.reservation = Reservation(self._reservations, lane, len(self.names))
        return lane

    def _may_pass(self, lane: Lane, item: int, now: float, duration: DurationOf) -> bool:
        """Whether a unit of `lane`, for which there is room, may start before the reserved one."""
        reservation = self.reservation
        assert reservation is not None
        reserved, hosts = reservation.needs, self.hosts
        needs = lane.needs
        if hosts is not None:
            if reservation.host == NOWHERE:  # chosen when somebody asks: most reservations are over before that
                ending = (self.live[nonce] for _, nonce in self.ends)
                reservation.host = hosts.reserve(reservation.lane.needs, ending)
            needs = hosts.pressing(lane, reservation.host)
        if not any(number in reserved for number, _ in needs):
            return True
        if reservation.estimated < max(PATIENCE_STARTS, PATIENCE_ROUNDS * self.holding):
            if reservation.opening is None:
                reservation.opening, reservation.spare = self.opening(reservation.lane, now, reservation.host)
            if reservation.opening < inf:
                return self._ends_in_time(reservation, needs, now + duration(item))
        return all(
            number not in reserved
            or reservation.taken[number] + units + reserved[number] <= self._capacity_at(number, reservation.host)
            for number, units in needs
        )

    def _capacity_at(self, number: int, host: int) -> float:
        if self.hosts is not None and number < len(self.hosts.names):
            return self.hosts.capacity[number][host]
        return self.capacity[number] or 0

    def _ends_in_time(self, reservation: Reservation, needs: tuple[tuple[int, int], ...], end: float) -> bool:
        spare = reservation.spare
        if end > (reservation.opening or 0.0):
            if any(spare.get(number, units) < units for number, units in needs):
                return False
            for number, units in needs:
                if number in spare:
                    spare[number] -= units
        reservation.estimated += 1
        return True

    def opening(self, lane: Lane, now: float, host: int = -1) -> tuple[float, dict[int, float]]:
        """When a unit of `lane` is expected to fit (infinite: unknown), and what will be spare then, by resource number."""
        needs, hosts = lane.needs, self.hosts
        hosted = 0 if hosts is None else len(hosts.names)
        spare: dict[int, float] = {number: self.free[number] - units for number, units in needs}
        if hosts is not None:
            spare.update((number, hosts.free[number][host] - units) for number, units in needs if number < hosted)
        short = {number for number, units in spare.items() if units < 0}
        if not short:
            return now, spare
        for end, nonce in self.ends:
            live = self.live[nonce]
            for number, units in live.lane.needs:
                if number in spare and (number >= hosted or live.host == host):
                    spare[number] += units
                    if spare[number] >= 0:
                        short.discard(number)
            if not short:
                return max(end, now), spare
        return inf, spare

    def _post(self, lane: Lane) -> None:
        item = self.best(lane) if self.withdrawn or not lane.items else lane.items[0]
        if item is not None and lane.posted != item:
            lane.posted = item
            heappush(self.heads, (item, lane.number))

    def _post_touched(self) -> None:
        for lane in self._touched:
            lane.touched = False
            self._post(lane)
        self._touched.clear()

    # --- ahead orders ---------------------------------------------------------------------------------------------------

    def learn(self, lane: Lane, seconds: float) -> None:
        """An attempt of the lane took this long."""
        lane.mean = seconds if lane.mean < 0 else lane.mean + MEAN_WEIGHT * (seconds - lane.mean)

    def place_ahead(self, start: Starter) -> None:
        """Order ahead for the lane with the best claim, while it keeps it and its attempts are short."""
        lane = self._leader()
        if lane is None or not lane.live or not 0 <= lane.mean <= AHEAD_LONGEST or self._others_wait(lane):
            return
        depth = AHEAD_MOST
        if lane.mean * AHEAD_MOST > AHEAD_SECONDS * lane.live:
            depth = int(AHEAD_SECONDS * lane.live / lane.mean)
        if len(lane.ahead) >= depth:
            return
        heappop(self.heads)
        lane.posted = NO_ITEM
        rival = self._leader()
        bound = inf if rival is None else rival.posted
        apart = self.apart
        while len(lane.ahead) < depth and (item := self.best(lane)) is not None and item < bound:
            if apart and item >> SHIFT in apart:
                break
            live = start(heappop(lane.items), lane)
            live.is_ahead = True
            lane.ahead.append(live)
            self.starts += 1
        self._post(lane)

    def _others_wait(self, lane: Lane) -> bool:
        """Whether another lane has a claim on amounts that a transfer within `lane` would keep from it."""
        if self.overdue is not None:
            return True
        return self.reservation is not None and self.reservation.lane is not lane

    def _leader(self) -> Lane | None:
        """The lane with the best item."""
        heads = self.heads
        while heads:
            item, number = heads[0]
            lane = self.lane_by_number.get(number)
            if lane is not None and lane.posted == item and self.best(lane) == item:
                return lane
            heappop(heads)
            if lane is not None and lane.posted == item:
                lane.posted = NO_ITEM
                self._post(lane)
        return None


Starter = Callable[[int, Lane], LiveAttempt]
DurationOf = Callable[[int], float]
