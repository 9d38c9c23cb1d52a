"""A world of one scheduler, some hosts and a heap of ends: every attempt takes what it is said to take, and is ok.

The scheduler is the one of real runs and decides everything; here its starts become ends, `duration` later. Nothing is read,
nothing is waited for. What only the world would tell is assumed: requirements hold; a mapped task whose items are not written
in the plan has those that `items` gives; a stream has one item, handed on at its end, so followers wait for their makers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import Final, NamedTuple

from weft.collector import collector_paused
from weft.ports import Clock
from weft.runtime.simulation.hosts import Host
from weft.scheduling.commands import CloseAttempt, Command, Inspect, SetTimer, SettleTask, StartAttempt
from weft.scheduling.events import AttemptEnded, CapacityChanged, Event, Inspected, StreamGrew, TimerFired
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.plan import Plan
from weft.spec.resources import CORES
from weft.units import BYTE_AMOUNTS

UNCOUNTED: Final = 1 << 62  # units of what no host states: never short
ASSUMED: Final = ("1",)  # items of a stream, which nobody knows before it was made
BATCH: Final = 1 << 30  # starts that one answer may hold: nobody waits for the first of them here
DONE: Final = Outcome(True)

_ended: Callable[[tuple[AttemptKey, int, Outcome]], AttemptEnded] = partial(tuple.__new__, AttemptEnded)

ItemsOf = Callable[[int], Sequence[str]]


class Skip(NamedTuple):
    """A task that was not simulated. cause: as in a run; detail: for people."""

    task: int
    cause: str
    detail: str | None


@dataclass(slots=True)
class Trace:
    """What happened, attempt by attempt in order of the starts: task, host, second of the start.

    durations: seconds by task. makespan: second of the last end. bookkeeping: real seconds that the scheduling took.
    """

    durations: Sequence[float]
    tasks: array[int] = field(default_factory=lambda: array("i"))
    hosts: array[int] = field(default_factory=lambda: array("i"))
    starts: array[float] = field(default_factory=lambda: array("d"))
    skipped: list[Skip] = field(default_factory=list)
    makespan: float = 0.0
    bookkeeping: float = 0.0


def simulate(
    plan: Plan,
    hosts: Sequence[Host],
    durations: Sequence[float],
    clock: Clock,
    *,
    shared: Mapping[str, int],
    items: ItemsOf,
    watch: Callable[[Scheduler], None] | None = None,
) -> Trace:
    """Carry the plan to its end. durations: seconds by task. shared: amounts of no host, for all. watch: sees each step."""
    options = SchedulerOptions(use_cache=False, placement_batch=BATCH, hosts=tuple(host.amounts for host in hosts))
    scheduler = Scheduler(plan, None, options)
    trace = Trace(durations)
    world = _World(scheduler, trace, items)
    began = clock.monotonic()
    with collector_paused():  # many values, no cycles
        world.run(CapacityChanged(_capacity(hosts, shared)), watch)
    trace.bookkeeping = clock.monotonic() - began
    return trace


def _capacity(hosts: Sequence[Host], shared: Mapping[str, int]) -> dict[str, int]:
    """What there is in all. What a host has by its nature counts only where it is stated; a named amount must be given."""
    stated = {name for host in hosts for name in host.amounts}
    everywhere = {name for name in stated if all(name in host.amounts for host in hosts)}
    amounts = dict.fromkeys(sorted((BYTE_AMOUNTS | stated) - everywhere), UNCOUNTED)
    amounts.update((name, sum(host.amounts[name] for host in hosts)) for name in sorted(everywhere))
    amounts.update((name, units) for name, units in shared.items() if name != CORES)
    return amounts


class _World:
    """The loop. Ends of one instant are told together, as the engine would take them in one turn."""

    def __init__(self, scheduler: Scheduler, trace: Trace, items: ItemsOf):
        self._scheduler = scheduler
        self._trace = trace
        self._items = items
        self._heap: list[tuple[float, int, Event]] = []
        self._count = 0
        self._makers = scheduler.workload.ties.makers

    def run(self, capacity: CapacityChanged, watch: Callable[[Scheduler], None] | None) -> None:
        """From the first event to the last."""
        # One long loop over local names: a million attempts pay for every look-up here.
        scheduler, trace, heap, makers = self._scheduler, self._trace, self._heap, self._makers
        handle, live, durations = scheduler.handle, scheduler.placement.live, trace.durations
        add_task, add_host, add_start = trace.tasks.append, trace.hosts.append, trace.starts.append
        is_alone = len(scheduler.options.hosts) == 1  # then the scheduler places nothing
        now = 0.0
        events: list[Event] = [capacity]
        while events:
            answers: list[Event] = []
            for command in handle(events, now):
                if isinstance(command, StartAttempt):
                    key, nonce = command[0], command[1]
                    task = key[0]
                    add_task(task)
                    add_host(0 if is_alone else live[nonce].host)
                    add_start(now)
                    end = now + durations[task]
                    if makers and task in makers:
                        self._hand_on(key, nonce, end)
                    self._count = count = self._count + 1
                    heappush(heap, (end, count, _ended((key, nonce, DONE))))
                elif not isinstance(command, CloseAttempt):
                    self._take(command, now, answers)
            if watch is not None:
                watch(scheduler)
            events = answers
            if not events and heap:
                now, _, event = heappop(heap)
                events.append(event)
                while heap and heap[0][0] == now:
                    events.append(heappop(heap)[2])
        trace.makespan = now

    def _take(self, command: Command, now: float, answers: list[Event]) -> None:
        """What is no start: rare but for tasks that are ok."""
        if isinstance(command, SettleTask):
            if command.state != "ok":
                self._trace.skipped.append(Skip(command.task, command.cause or "", command.detail))
        elif isinstance(command, Inspect):
            answers.append(self._look(command))
        elif isinstance(command, SetTimer):
            self._count += 1
            heappush(self._heap, (max(command.at, now), self._count, TimerFired(command.timer)))

    def _hand_on(self, key: AttemptKey, nonce: int, end: float) -> None:
        """A maker of a stream has told all its items by its end."""
        if key.instance == WHOLE:
            self._count += 1
            heappush(self._heap, (end, self._count, StreamGrew(key.task, nonce, ASSUMED, 0)))

    def _look(self, command: Inspect) -> Inspected:
        """What the world would say: all that is required is there."""
        plan = self._scheduler.plan
        foreach = plan.graph.tasks[command.task].policy.foreach
        if foreach is None or foreach.values is not None or foreach.stream in plan.graph.index:
            return Inspected(command.task)
        return Inspected(command.task, items=tuple(self._items(command.task)))
