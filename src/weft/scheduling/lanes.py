"""What `placement` works with: lanes of equal demand, live attempts, the reservation. Plain records; the rules are there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from weft.scheduling.keys import AttemptKey
from weft.scheduling.lifecycle import AttemptState
from weft.scheduling.outcomes import Request
from weft.spec.compute import LIMIT_PREFIX

NO_ITEM: Final = -1


class Lane:
    """Ready units of equal demand. needs: (resource number, units > 0). items: heap; may hold withdrawn ones.

    heirs: orders that were ahead, hold amounts now, and have not begun as far as is known.
    posted: the item by which the lane stands among the heads. passed_since: count of all starts when its best item first
    found no room, -1 if it has not. mean: of the seconds its attempts took, -1 while unknown.
    lacking: the resource of which it can never get enough. closed: the cap on how many may live that lets none through.
    cores, others, host: see `Hosts`: what hosts have to give, and where there was room when that was last asked.
    """

    __slots__ = (
        "ahead",
        "closed",
        "cores",
        "heirs",
        "host",
        "is_kept",
        "items",
        "key",
        "lacking",
        "live",
        "mean",
        "needs",
        "number",
        "others",
        "passed_since",
        "posted",
        "touched",
    )

    def __init__(self, number: int, key: LaneKey, needs: tuple[tuple[int, int], ...]):
        self.number = number
        self.key = key
        self.needs = needs
        self.items: list[int] = []
        self.ahead: deque[LiveAttempt] = deque()
        self.heirs: list[LiveAttempt] = []
        self.live = 0
        self.posted = NO_ITEM
        self.passed_since = -1
        self.mean = -1.0
        self.touched = False
        self.lacking: str | None = None
        self.closed: str | None = None
        self.is_kept = False
        self.host = -1
        self.cores = 0
        self.others: tuple[tuple[int, int], ...] = ()


def judge(lane: Lane, names: Sequence[str], capacity_of: Callable[[str], int | None]) -> None:
    """What the lane can never get, or not before a cap is raised. capacity_of: units there are in all, None if nobody knows."""
    lane.lacking = lane.closed = None
    for number, units in lane.needs:
        name = names[number]
        capacity = capacity_of(name)
        if capacity is None or capacity < units:
            if capacity is None or not name.startswith(LIMIT_PREFIX):
                lane.lacking = name
                return
            lane.closed = name


LaneKey = tuple[tuple[tuple[str, int], ...], str | None, str | None, bool]
"""Amounts, executor, queue, whether it is of adopted attempts."""


class LiveAttempt:
    """An attempt that has been ordered and has not ended. expected_end: monotonic seconds, infinite when unknown.

    since: monotonic second of the order. started: wall clock second of the begin, for people; 0 until it has begun.
    is_ahead: it holds nothing yet. reservation: number of the one that it was let past, 0 when none.
    host: number of the one it is on, where there are several.
    stop_level: 0, 1 to be withdrawn, 2 asked to end, 3 to be killed; `stop_cause`. gives_way: it was asked to end for the
    host's sake, which costs it no try.
    """

    __slots__ = (
        "expected_end",
        "gives_way",
        "host",
        "is_ahead",
        "key",
        "lane",
        "nonce",
        "request",
        "reservation",
        "since",
        "started",
        "state",
        "stop_cause",
        "stop_level",
    )

    def __init__(self, key: AttemptKey, nonce: int, request: Request, lane: Lane, since: float, expected_end: float):
        self.key = key
        self.nonce = nonce
        self.request = request
        self.lane = lane
        self.since = since
        self.expected_end = expected_end
        self.state: AttemptState = "queued"
        self.is_ahead = False
        self.started = 0.0
        self.reservation = 0
        self.host = -1
        self.stop_level = 0
        self.stop_cause: str | None = None
        self.gives_way = False


class Reservation:
    """The claim of the lane that does not fit. taken: units by resource number held by attempts started since.

    estimated: how many starts it has been passed by on an estimate. opening, spare: of this round, see `Placement.opening`;
    None until somebody asks. host: the one that it is of, where there are several.
    """

    __slots__ = ("estimated", "host", "lane", "needs", "number", "opening", "spare", "taken")

    def __init__(self, number: int, lane: Lane, resources: int):
        self.number = number
        self.lane = lane
        self.needs = dict(lane.needs)
        self.opening: float | None = None
        self.spare: dict[int, float] = {}
        self.taken = [0] * resources
        self.estimated = 0
        self.host = -1


def fits(lane: Lane, free: list[int]) -> bool:
    """Whether what is free of each resource is enough for a unit of the lane."""
    for number, units in lane.needs:  # noqa: SIM110 - three times faster than all(), and a round with many lanes is made of it
        if free[number] < units:
            return False
    return True
