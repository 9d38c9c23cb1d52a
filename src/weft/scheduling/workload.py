"""What a run has to do, as flat arrays: made once from the plan, then only read, but for the counters.

Layout, each indexed by the task's place in the plan: `phases` uint8, `unmet` int32 (selected dependencies that are not ok
yet; the graph's arrays say which), `rank_of` int32 and its inverse `by_rank`, `offer_of` int32 into `offers`, `traits` uint8.
About 21 bytes a task. A *unit* is what an attempt is made of: a task, or one instance of a mapped task; as one number it is
`task << 32 | instance + 1`, and in the order of starting it is `rank << 32 | instance + 1` (its *item*).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from types import MappingProxyType
from typing import Final

from weft.scheduling.lifecycle import ABSENT, WAITING
from weft.scheduling.outcomes import Request
from weft.scheduling.streams import NO_TIES, find_ties
from weft.spec.actions import Call
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS
from weft.spec.tasks import Policy, Task

SHIFT: Final = 32
LOW: Final = (1 << SHIFT) - 1

REQUIRES: Final = 1  # has requirements: the world is looked at before every attempt
CACHES: Final = 2  # may be up to date: asked before the first attempt
MAPPED: Final = 4  # has instances
FINDS: Final = 8  # its items are found by looking, not written in the plan
FLOWS: Final = 16  # iterates a stream: it may have to step back before it starts
GROWS: Final = 32  # its items come from a task of this run, maybe one by one

_NEVER: Final = 1 << 30  # dependencies of a task that does not take part: more than it can ever lose


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """The most that an attempt of a queue may ask for. amounts: integer units by name; timeout: seconds; absent = no limit."""

    amounts: Mapping[str, int]
    timeout: float | None = None

    def cut(self, request: Request) -> Request:
        """`request` within the limits."""
        amounts = tuple((name, min(units, self.amounts.get(name, units))) for name, units in request.amounts)
        return request._replace(amounts=amounts, timeout=_least(request.timeout, self.timeout))

    def admits(self, request: Request) -> bool:
        """Whether the request is within the limits."""
        return self.cut(request) == request


def _least(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)


NOTHING_EXPECTED: Final[Mapping[int, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Offer:
    """The first request of tasks that are treated alike, and where they run."""

    request: Request
    executor: str | None


class Workload:
    """The selected tasks of a plan. selected: indexes, None = all. asks_freshness: whether finished work may stand in.

    expected: seconds that earlier runs took, by task.
    """

    __slots__ = (
        "by_rank",
        "expected",
        "graph",
        "has_durations",
        "offer_of",
        "offers",
        "phases",
        "queues",
        "rank_of",
        "size",
        "tasks",
        "ties",
        "traits",
        "unmet",
    )

    def __init__(
        self,
        plan: Plan,
        selected: Sequence[int] | None,
        asks_freshness: bool,
        queues: Mapping[str, QueueLimit],
        expected: Mapping[int, float] = NOTHING_EXPECTED,
    ):
        self.expected = expected
        self.queues = queues
        self.graph = plan.graph
        self.tasks = tasks = plan.graph.tasks
        count = len(tasks)
        self.phases = bytearray(count)
        chosen: Sequence[int] = range(count)
        if selected is not None:
            self.phases = bytearray([ABSENT]) * count
            chosen = sorted(set(selected))
            for task in chosen:
                self.phases[task] = WAITING
        self.size = len(chosen)
        self.unmet = self._count_dependencies(chosen)
        self.offers: list[Offer] = []
        self.offer_of = array("i", bytes(4 * count))
        self.traits = bytearray(count)
        candidates = self._read_policies(chosen, asks_freshness, queues)
        self.ties = find_ties(self.graph, self.phases, candidates) if candidates else NO_TIES
        for task in self.ties.iterated:
            self.traits[task] |= FLOWS
        for task in self.ties.grown:
            self.traits[task] |= GROWS
        self.has_durations = bool(expected) or any(tasks[task].policy.duration is not None for task in chosen)
        self._rank(plan, chosen)

    def _count_dependencies(self, chosen: Sequence[int]) -> array[int]:
        graph = self.graph
        first = graph.first_dependency
        if self.size == len(self.tasks):
            return array("i", map(sub, first[1:], first[:-1]))
        unmet = array("i", [_NEVER]) * len(self.tasks)
        phases, dependencies = self.phases, graph.dependencies
        for task in chosen:
            unmet[task] = sum(phases[d] != ABSENT for d in dependencies[first[task] : first[task + 1]])
        return unmet

    def _read_policies(
        self, chosen: Sequence[int], asks_freshness: bool, queues: Mapping[str, QueueLimit]
    ) -> list[int]:
        """Fill `offers`, `offer_of`, `traits`; which tasks others may take items from before they end."""
        tasks, offer_of, traits = self.tasks, self.offer_of, self.traits
        candidates: list[int] = []
        streams: set[int] = set()  # policies, by identity
        # By identity: loaders share one policy among tasks that are treated alike, and hashing a policy is dear.
        offer_by_policy: dict[int, int] = {}
        offer_by_value: dict[Offer, int] = {}
        for index in chosen:
            task = tasks[index]
            policy = task.policy
            number = offer_by_policy.get(id(policy))
            if number is None:
                offer = _first_offer(policy, queues)
                number = offer_by_policy[id(policy)] = offer_by_value.setdefault(offer, len(self.offers))
                if number == len(self.offers):
                    self.offers.append(offer)
                if policy.product is not None and policy.product.stream:
                    streams.add(id(policy))
            offer_of[index] = number
            if streams and id(policy) in streams:
                candidates.append(index)
            if (
                task.requires is not NO_REQUIREMENTS
                or policy.foreach is not None
                or policy.ask is not None
                or (asks_freshness and (task.outputs or policy.cache != "auto" or type(task.action) is Call))
            ):
                traits[index] = _traits_of(task, asks_freshness)
                source = policy.foreach.stream if policy.foreach is not None else None
                if source is not None and source in self.graph.index:
                    candidates.append(self.graph.index[source])
        return candidates

    def duration_of(self, task: int) -> float | None:
        """Seconds that an attempt is expected to take: as declared, else as measured earlier."""
        declared = self.tasks[task].policy.duration
        return self.expected.get(task) if declared is None else declared

    def _rank(self, plan: Plan, chosen: Sequence[int]) -> None:
        """Order of starting: see `placement`. Ties keep plan order because sorting is stable, also when reversed."""
        order = list(chosen)
        if plan.order == "path":
            order.sort(key=self._remaining_paths(chosen).__getitem__, reverse=True)
        tasks = self.tasks
        if any(tasks[task].policy.priority for task in chosen):
            order.sort(key=lambda task: tasks[task].policy.priority, reverse=True)
        self.by_rank = array("i", order)
        self.rank_of = array("i", bytes(4 * len(tasks)))
        for rank, task in enumerate(order):
            self.rank_of[task] = rank

    def _remaining_paths(self, chosen: Sequence[int]) -> Sequence[float]:
        """Length of the longest path that begins with each task, itself included: seconds, or tasks when none is known."""
        phases = self.phases
        graph = self.graph
        first, followers = graph.first_follower, graph.followers
        longest = self._weights(chosen)
        if not followers:
            return longest
        for task in self._followers_first(chosen):
            begin, end = first[task], first[task + 1]
            if begin == end:
                continue
            best: float = 0
            for follower in followers[begin:end]:
                if longest[follower] > best and phases[follower] != ABSENT:
                    best = longest[follower]
            longest[task] += best
        return longest

    def _weights(self, chosen: Sequence[int]) -> list[float]:
        """Expected seconds of each task, the median where nobody knows; where nothing is known, 1."""
        if not self.has_durations:
            return [1] * len(self.tasks)
        tasks, expected = self.tasks, self.expected
        found = [tasks[task].policy.duration for task in chosen]
        if expected:
            found = [
                expected.get(task) if declared is None else declared
                for task, declared in zip(chosen, found, strict=True)
            ]
        known = sorted([duration for duration in found if duration is not None])
        if not known:  # what earlier runs measured takes no part in this one
            known = [1.0]
        # The median by hand: `statistics` would bring `random` and `decimal` along.
        middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
        weights: list[float] = [0] * len(tasks)
        for task, duration in zip(chosen, found, strict=True):
            weights[task] = middle if duration is None else duration
        return weights

    def _followers_first(self, chosen: Sequence[int]) -> Sequence[int]:
        """The chosen tasks, each after all that follow it."""
        graph = self.graph
        first, followers = graph.first_follower, graph.followers
        if all(follower > task for task in chosen for follower in followers[first[task] : first[task + 1]]):
            return chosen[::-1]  # most documents are written in an order that works
        phases, left = self.phases, array("i", bytes(4 * len(self.tasks)))
        for task in chosen:
            left[task] = sum(phases[f] != ABSENT for f in followers[first[task] : first[task + 1]])
        order = [task for task in chosen if not left[task]]
        before, dependencies = graph.first_dependency, graph.dependencies
        for task in order:  # grows while it is read
            for dependency in dependencies[before[task] : before[task + 1]]:
                left[dependency] -= 1
                if not left[dependency] and phases[dependency] != ABSENT:
                    order.append(dependency)
        return order


def declared_request(policy: Policy) -> Request:
    """What a task asks for first, before limits are looked at."""
    return Request(policy.resources.amounts, policy.timeout, policy.queue)


def _first_offer(policy: Policy, queues: Mapping[str, QueueLimit]) -> Offer:
    request = declared_request(policy)
    limit = queues.get(policy.queue) if policy.queue is not None else None
    return Offer(request if limit is None else limit.cut(request), policy.executor)


def _traits_of(task: Task, asks_freshness: bool) -> int:
    traits = 0
    if task.requires != NO_REQUIREMENTS or task.policy.ask is not None:
        traits |= REQUIRES
    if asks_freshness and task.is_cacheable:
        traits |= CACHES
    foreach = task.policy.foreach
    if foreach is not None:
        traits |= MAPPED if foreach.values is not None else MAPPED | FINDS
    return traits
