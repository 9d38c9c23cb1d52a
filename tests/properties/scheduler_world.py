"""A small world around a scheduler: an executor with ahead orders, timers, an inspector, and everything that may go wrong.

It keeps its own books (what really runs, what was ordered, what was recorded) and compares them with the scheduler's after
every step, besides `invariants.check`.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, replace
from random import Random

from properties.scheduler_graphs import FAMILIES, make_tasks
from weft.scheduling import invariants
from weft.scheduling.commands import (
    AddItems,
    CloseAttempt,
    Command,
    Inspect,
    SetTimer,
    SettleInstance,
    SettleTask,
    StartAttempt,
    StopAttempt,
    TakeItems,
)
from weft.scheduling.events import (
    AttemptAdopted,
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    CapacityChanged,
    Event,
    Inspected,
    Interrupted,
    ItemsRecovered,
    LimitChanged,
    PauseChanged,
    RequestRecovered,
    StreamGrew,
    TaskRecovered,
    TimerFired,
    WorldChanged,
)
from weft.scheduling.explain import explain
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Usage
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.retries import LOST_BUDGET, NEVER_RETRIED

CAUSES = ("exit:1", "signal:KILL", "memory", "timeout", "lost", "not_found", "exception")


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong; swarm testing: each seed turns a random subset on."""

    failures: float = 0
    uncharged: float = 0
    stale: float = 0
    capacity: float = 0
    cancels: float = 0
    interrupts: float = 0
    pauses: float = 0
    unmet: float = 0

    @classmethod
    def some(cls, random: Random) -> Faults:
        rates = {
            "failures": 0.3,
            "uncharged": 0.1,
            "stale": 0.1,
            "capacity": 0.05,
            "cancels": 0.06,
            "interrupts": 0.004,
            "pauses": 0.03,
            "unmet": 0.2,
        }
        return cls(**{name: rate for name, rate in rates.items() if random.random() < 0.5})


class World:
    """Runs one plan. Raises AssertionError or InternalError when a promise is broken."""

    def __init__(self, seed: int, *, largest: int = 40, family: str | None = None, faults: Faults | None = None):
        random = self.random = Random(seed)
        self.faults = Faults.some(random) if faults is None else faults
        family = family or random.choice(FAMILIES)
        self.plan = Plan(Graph(make_tasks(random, family, random.randint(1, largest))), "/")
        count = len(self.plan.graph)
        selected = None
        if random.random() < 0.2:
            selected = [i for i in range(count) if random.random() < 0.7]
        self.selected = list(range(count)) if selected is None else selected
        self.options = SchedulerOptions(
            fail_fast=random.random() < 0.1,
            wait_seconds=random.choice([None, None, 3.0]),
            queue_ahead=random.random() < 0.6,
            placement_batch=random.choice([1, 3, 256]),
        )
        self.scheduler = Scheduler(self.plan, selected, self.options, random.getrandbits(64))
        self.now = 0.0
        self.running: dict[int, StartAttempt] = {}
        self.begun: set[int] = set()
        self.ahead: dict[int, deque[int]] = defaultdict(deque)
        self.unclaimed: dict[int, deque[int]] = defaultdict(
            deque
        )  # ends that found no ahead order and are not told yet
        self.orders: dict[int, StartAttempt] = {}
        self.stops: dict[int, str] = {}
        self.pending: list[Event] = []
        self.told: list[Event] = []
        self.timers: list[tuple[float, int]] = []
        self.questions: list[int] = []
        self.given_up: set[int] = set()
        self.settled: dict[int, SettleTask] = {}
        self.instances: dict[tuple[int, int], SettleInstance] = {}
        self.items: dict[int, tuple[str, ...]] = {}
        self.numbers: Counter[tuple[int, int]] = Counter()
        self.closed: dict[int, CloseAttempt] = {}
        self.ended: dict[int, Outcome] = {}
        self.paused = False
        self.level = 0
        self.fell = False
        self.crashed = False
        self.capacity = {"cores": random.choice([2000, 3000, 5000]), "memory": 4000}
        if random.random() < 0.7:
            self.capacity["gpu"] = 1_000_000
        self.slots = random.choice([None, None, 1, 2, 4])
        if family == "streamed":  # so that makers and those that take their items often live side by side
            self.capacity["cores"] = random.choice([4000, 6000, 12_000])
            if faults is None and random.random() < 0.6:
                self.faults = replace(self.faults, failures=0.4)
        self.history: list[Command] = []
        self.whims = random.choice([0, 0, 0.1])  # how often an iterator ends before its stream
        self.any_order = random.random() < 0.4  # of a lane's ahead orders, any may begin, and that is told
        index = self.plan.graph.index
        self.reads: dict[int, list[int]] = {}
        self.source: dict[int, int] = {}
        self.total: dict[int, int] = {}  # items that a stream has in the end, every time that it is made
        self.watched: set[int] = set()  # streams that somebody iterates
        self.handed: dict[int, int] = {}
        self.told_begun: set[int] = set()
        self.ever_begun: set[int] = set()
        for i, each in enumerate(self.plan.graph.tasks):
            policy = each.policy
            if policy.product is not None:
                self.total[i] = random.randrange(5)
            if policy.foreach is not None and policy.foreach.stream is not None:
                self.source[i] = index[policy.foreach.stream]
            if policy.foreach is None:
                self.reads[i] = [index[edge.name] for edge in each.dependencies if edge.bind is not None]
                self.watched.update(self.reads[i])

    # --- the scheduler's side -------------------------------------------------------------------------------------------

    def hand(self, *events: Event) -> None:
        """One call of `handle`, and everything that must hold after it."""
        repeatable = AttemptEnded | AttemptStarted | TimerFired | StreamGrew
        self.told.extend(event for event in events if isinstance(event, repeatable))
        for event in events:
            if isinstance(event, AttemptStarted | StreamGrew | AttemptAdopted) and event.nonce in self.orders:
                self.told_begun.add(event.nonce)
                self.ever_begun.add(self.orders[event.nonce].key.task)
            if isinstance(event, CancelRequested):
                self.given_up.update(range(len(self.plan.graph)) if event.tasks is None else event.tasks)
            if (
                isinstance(event, AttemptEnded)
                and event.nonce in self.ended
                and event.outcome is self.ended[event.nonce]
            ):
                lane = self.orders[event.nonce].lane
                if event.nonce in self.unclaimed[lane]:
                    self.unclaimed[lane].remove(event.nonce)
        commands = self.scheduler.handle(events, self.now)
        self.history += commands
        for command in commands:
            self.obey(command)
        invariants.check(self.scheduler)
        if not self.pending:
            self.compare()

    def obey(self, command: Command) -> None:
        match command:
            case StartAttempt(key, nonce, _, lane, ahead):
                self.check_start(command)
                self.orders[nonce] = command
                if ahead and not self.unclaimed[lane]:
                    self.ahead[lane].append(nonce)
                else:
                    if ahead:  # ordered before the scheduler heard of an end: its turn has come already
                        self.unclaimed[lane].popleft()
                    self.running[nonce] = command
            case StopAttempt(key, how, cause):
                self.stop(key, how, cause)
            case Inspect(task):
                self.questions.append(task)
            case SetTimer(timer, at):
                heapq.heappush(self.timers, (at, timer))
            case CloseAttempt(_, nonce, outcome):
                assert nonce not in self.closed, "an attempt has one outcome"
                assert outcome == self.ended[nonce], "the outcome is what the world did"
                self.closed[nonce] = command
            case SettleTask(task):
                assert task in set(self.selected), "only selected tasks are settled"
                assert task not in self.settled, "a task ends once"
                self.settled[task] = command
            case SettleInstance(task, instance):
                assert (task, instance) not in self.instances, "an instance ends once"
                self.instances[task, instance] = command
            case TakeItems(task, items):
                assert task not in self.items, "items are taken once"
                if task in self.source:
                    assert items == self.items_of(task), "the items are those that were made"
                self.items[task] = items
            case AddItems(task, first, items):
                had = self.items.get(task, ())
                assert first == len(had), "items are added at the end"
                assert task not in self.settled, "what has ended does not grow"
                self.items[task] = had + items
                assert self.items[task] == self.items_of(task)[: first + len(items)], (
                    "the items are those that were made"
                )

    def check_start(self, start: StartAttempt) -> None:
        key = start.key
        unit = (key.task, key.instance)
        assert key.attempt == self.numbers[unit] + 1, "attempt numbers grow by one"
        self.numbers[unit] = key.attempt
        assert start.nonce not in self.orders, "a nonce never comes twice"
        assert not self.paused and not self.level, "nothing starts in a pause or an interrupted run"
        assert key.task not in self.given_up, "nothing starts after an acknowledged cancel"
        assert key.task not in self.settled and unit not in self.instances, "what has ended does not start"
        alive = [nonce for nonce, order in self.orders.items() if order.key[:2] == key[:2] and nonce not in self.closed]
        assert not alive, "one live attempt of a task or instance"
        phases = self.scheduler.workload.phases
        for dependency in self.plan.graph.tasks[key.task].dependencies:
            index = self.plan.graph.index[dependency.name]
            if index not in set(self.selected) or (index in self.settled and self.settled[index].state == "ok"):
                continue
            if index in self.reads[key.task] if key.task in self.reads else False:
                assert self.flows(index), "an iterator starts beside a maker that runs"
            elif self.source.get(key.task) == index and index in self.total:
                assert index in self.ever_begun, "a mapped follower starts when its maker has begun"
            elif self.source.get(key.task) == index:
                above = self.instances.get((index, key.instance))
                assert above is not None and above.state == "ok", "an instance follows one that is ok"
            else:
                raise AssertionError("a start needs its dependencies ok")
        assert phases[key.task] != 9

    def flows(self, maker: int) -> bool:
        """Whether items come, as far as has been told: its attempt has begun, and what it iterates itself flows or is ok."""
        if maker not in self.selected or (maker in self.settled and self.settled[maker].state == "ok"):
            return True
        live = [n for n in self.told_begun if self.orders[n].key.task == maker and n not in self.closed]
        return maker in self.total and bool(live) and all(self.flows(other) for other in self.reads[maker])

    def items_of(self, task: int) -> tuple[str, ...]:
        """All items that a mapped task will have."""
        source = self.source[task]
        if source in self.total:
            return tuple(f"{source}.{n}" for n in range(self.total[source]))
        foreach = self.plan.graph.tasks[source].policy.foreach
        if foreach is not None and foreach.values is not None:
            return tuple(str(value) for value in foreach.values)
        return self.items_of(source)

    def compare(self) -> None:
        """All reports are in: both sides know of the same attempts, and no more runs than there is room for."""
        live = self.scheduler.placement.live
        assert {n for n, attempt in live.items() if not attempt.is_ahead} == set(self.running)
        assert {n for n, attempt in live.items() if attempt.is_ahead} == {
            n for lane in self.ahead.values() for n in lane
        }
        if self.fell:
            return
        used: Counter[str] = Counter()
        for order in self.running.values():
            used.update(dict(order.request.amounts))
        assert all(used[name] <= self.capacity.get(name, 0) for name in used)
        assert self.slots is None or len(self.running) <= self.slots

    # --- the world's side -----------------------------------------------------------------------------------------------

    def finish(self, nonce: int, outcome: Outcome) -> None:
        """A running attempt ends; the executor begins the oldest ahead order of its lane."""
        start = self.running.pop(nonce)
        self.ended[nonce] = outcome
        if outcome.ok:
            self.grow(nonce, self.total.get(start.key.task, 0))
        self.pending.append(AttemptEnded(start.key, nonce, outcome))
        waiting = self.ahead[start.lane]
        if waiting:
            heir = waiting[0] if not self.any_order else self.random.choice(waiting)
            waiting.remove(heir)
            self.running[heir] = self.orders[heir]
            if self.any_order:
                self.begun.add(heir)
                self.pending.append(AttemptStarted(self.orders[heir].key, heir, 0.0))
        else:
            self.unclaimed[start.lane].append(nonce)

    def grow(self, nonce: int, count: int) -> None:
        """A maker's attempt has handed on `count` items in all; some may be told twice."""
        task = self.orders[nonce].key.task
        first = self.handed.get(nonce, 0)
        if task in self.total and count > first:
            first -= bool(first) and self.random.random() < 0.2
            items = tuple(f"{task}.{n}" for n in range(first, count))
            self.pending.append(StreamGrew(task, nonce, items, first))
            self.handed[nonce] = count

    def can_end(self, nonce: int, *, faulty: bool) -> bool:
        """Who iterates a stream cannot end well before the stream does, unless it wants no more."""
        if nonce in self.stops or (faulty and self.random.random() < self.whims):
            return True
        if faulty and self.orders[nonce].key.task in self.total and self.random.random() < 0.7:
            return False  # making a stream takes its time
        return all(maker in self.settled for maker in self.iterated(nonce))

    def iterated(self, nonce: int) -> list[int]:
        chosen = set(self.selected)
        return [maker for maker in self.reads.get(self.orders[nonce].key.task, ()) if maker in chosen]

    def stop(self, key: AttemptKey, how: str, cause: str) -> None:
        nonce = next((n for n, order in self.orders.items() if order.key == key), None)
        if nonce is None or nonce in self.ended:
            return
        lane = self.ahead[self.orders[nonce].lane]
        if nonce in lane:
            lane.remove(nonce)
            self.ended[nonce] = Outcome(False, cause, charged=False)
            self.pending.append(AttemptEnded(key, nonce, self.ended[nonce]))
        elif how != "withdraw":
            self.stops[nonce] = cause

    def outcome(self, nonce: int, *, faulty: bool) -> Outcome:
        random = self.random
        usage = Usage(random.choice([0.0005, 0.004, 0.02, 3.0]))
        if nonce in self.stops and random.random() < 0.8:
            return Outcome(False, self.stops[nonce], usage=usage)
        dead = [m for m in self.iterated(nonce) if m in self.settled and self.settled[m].state != "ok"]
        if dead and random.random() < 0.8:
            return Outcome(False, f"dependency:{self.plan.graph.tasks[dead[0]].name}", usage=usage)
        if faulty and random.random() < self.faults.uncharged:
            return Outcome(False, "lost", charged=False, alone=random.random() < 0.5)
        is_watched = self.orders[nonce].key.task in self.watched and self.faults.failures  # where it hurts
        if faulty and random.random() < (0.7 if is_watched else self.faults.failures):
            return Outcome(False, random.choice(CAUSES), usage=usage)
        return Outcome(True, usage=usage)

    def step(self, *, faulty: bool = True) -> None:
        """One thing happens, or several in one batch."""
        random = self.random
        events: list[Event] = []
        if faulty:
            self.misbehave(events)
        choices = []
        endable = [nonce for nonce in self.running if self.can_end(nonce, faulty=faulty)]
        makers = [nonce for nonce in self.running if self.orders[nonce].key.task in self.total]
        if endable:
            choices += ["end"] * 4
        if self.running:
            choices += ["begin"]
        if makers:
            choices += ["grow"] * 3
        if self.questions:
            choices += ["answer"] * 3
        if self.timers:
            choices += ["time"] * 2
        if self.pending:
            choices += ["tell"] * 4
        match random.choice(choices) if choices else "":
            case "end":
                nonce = random.choice(endable)
                self.finish(nonce, self.outcome(nonce, faulty=faulty))
            case "grow":
                nonce = random.choice(makers)
                self.grow(nonce, random.randint(0, self.total[self.orders[nonce].key.task]))
            case "begin":
                nonce = random.choice(list(self.running))
                if nonce not in self.begun:
                    self.begun.add(nonce)
                    self.pending.append(AttemptStarted(self.running[nonce].key, nonce, 0.0))
            case "answer":
                events.append(self.answer(faulty))
            case "time":
                at, timer = heapq.heappop(self.timers)
                self.now = max(self.now, at)
                events.append(TimerFired(timer))
            case "tell":
                number = random.randint(1, len(self.pending))
                events += self.pending[:number]
                del self.pending[:number]
            case _:
                pass
        if not faulty and self.paused:
            self.paused = False
            events.append(PauseChanged(False))
        self.hand(*events)

    def answer(self, faulty: bool) -> Inspected:
        task = self.questions.pop(self.random.randrange(len(self.questions)))
        if faulty and self.random.random() < self.faults.unmet:
            return Inspected(task, unmet="file:/f", detail="no such file")
        items = self.items_of(task) if task in self.source else None
        known = range(len(self.items.get(task, ())))
        fresh = frozenset(n for n in known if self.random.random() < 0.2)
        return Inspected(task, None, None, items, self.random.random() < 0.2, "ab", fresh)

    def misbehave(self, events: list[Event]) -> None:
        random, faults = self.random, self.faults
        if random.random() < faults.stale and self.told:
            events.append(random.choice(self.told))
        if random.random() < faults.stale and self.orders:
            order = random.choice(list(self.orders.values()))
            events.append(AttemptEnded(order.key, order.nonce ^ 1 << 40, Outcome(True)))
            other = order.key._replace(attempt=order.key.attempt + 1)
            events.append(AttemptEnded(other, order.nonce, Outcome(False, "exit:9")))
            events.append(Inspected(order.key.task, unmet="file:stale") if not self.questions else TimerFired(-7))
        if random.random() < faults.capacity:
            self.change_capacity(events)
            events.append(WorldChanged())
        if random.random() < faults.cancels:
            chosen = random.sample(range(len(self.plan.graph)), 1) if random.random() < 0.9 else None
            events.append(CancelRequested(None if chosen is None else tuple(chosen), random.random() < 0.5))
        if random.random() < faults.interrupts and self.level < 3:
            self.level += 1
            events.append(Interrupted(self.level))  # type: ignore[arg-type]
        if random.random() < faults.pauses:
            self.paused = not self.paused
            events.append(PauseChanged(self.paused, "the disk is full"))

    def change_capacity(self, events: list[Event]) -> None:
        random = self.random
        self.fell = True
        if random.random() < 0.5:
            self.capacity["cores"] = random.choice([1000, 2000, 3000, 5000])
            self.slots = random.choice([None, 1, 2, 4])
            events.append(CapacityChanged(dict(self.capacity), self.slots))
        else:
            events.append(LimitChanged("memory", random.choice([None, 2000, 3000])))

    def crash(self) -> None:
        """The engine dies; a fresh scheduler takes the run up from what was recorded, as `runtime.recovery` does."""
        facts: list[Event] = []
        for index, settled in list(self.settled.items()):
            if settled.state == "ok" or settled.cause == "cancelled":
                facts.append(TaskRecovered(index, settled.state, settled.cause))
            else:
                del self.settled[index]
        self.given_up &= {index for index, settled in self.settled.items() if settled.state == "cancelled"}
        self.instances = {unit: s for unit, s in self.instances.items() if s.state == "ok" or unit[0] in self.settled}
        for index, items in self.items.items():
            done = frozenset(i for (task, i), s in self.instances.items() if task == index and s.state == "ok")
            facts.append(ItemsRecovered(index, items, done))
        last = {closed.key[:2]: closed for closed in self.closed.values()}
        for (index, instance), number in self.numbers.items():
            retry = last[index, instance].retry if (index, instance) in last else None
            facts.append(RequestRecovered(index, instance, number, retry and retry.request))
        for nonce, order in self.orders.items():
            if nonce not in self.closed:
                facts.append(AttemptAdopted(order.key, nonce, order.request, 0.0))
        for lane in self.ahead.values():
            for nonce in lane:
                self.ended[nonce] = Outcome(False, "lost", charged=False)
                self.pending.append(AttemptEnded(self.orders[nonce].key, nonce, self.ended[nonce]))
        for forgotten in (self.ahead, self.unclaimed, self.questions, self.timers):
            forgotten.clear()
        self.told = [event for event in self.told if not isinstance(event, StreamGrew)]
        self.told_begun.clear()
        self.ever_begun.clear()
        self.level, self.paused, self.fell, self.crashed = 0, False, True, True
        seed = self.random.getrandbits(64)
        self.scheduler = Scheduler(self.plan, self.selected, self.options, seed)
        ends = [event for event in self.pending if isinstance(event, AttemptEnded)]
        self.pending, told = [], []
        for end in ends:
            handed, self.handed[end.nonce] = self.handed.get(end.nonce, 0), 0
            self.grow(end.nonce, handed)
            told += [*self.pending, end]
            self.pending.clear()
        for nonce in self.running:
            self.handed[nonce] = 0
        self.hand(*facts, CapacityChanged(dict(self.capacity), self.slots), *told)

    # --- a whole run ----------------------------------------------------------------------------------------------------

    def run(self, faulty_steps: int = 400, crashes: float = 0) -> None:
        """Faults for some steps, then none: from then on progress is owed. crashes: how often the engine dies in a step."""
        self.hand(CapacityChanged(dict(self.capacity), self.slots))
        for _ in range(faulty_steps):
            if self.scheduler.is_finished:
                break
            self.step()
            if crashes and self.random.random() < crashes:
                self.crash()
            if self.random.random() < 0.02:
                self.explain_all()
        bound = 200 + 60 * sum(1 + self.size_of(task) for task in self.selected)
        for _ in range(bound):
            if self.scheduler.is_finished:
                break
            self.step(faulty=False)
        self.conclude()

    def size_of(self, index: int) -> int:
        if index in self.source:
            return len(self.items_of(index))
        foreach = self.plan.graph.tasks[index].policy.foreach
        return len(foreach.values or ()) if foreach is not None else 1

    def explain_all(self) -> None:
        for index in range(len(self.plan.graph)):
            assert explain(self.scheduler, index), "everything has a reason"

    def conclude(self) -> None:
        scheduler = self.scheduler
        assert scheduler.is_finished, "once faults stop, the run ends"
        assert sorted(self.settled) == sorted(self.selected)
        assert not any(scheduler.held().values()), "all is free at the end"
        assert not scheduler.board.trials and not scheduler.board.waits and not scheduler.board.cancelling
        for index, settled in self.settled.items():
            assert scheduler.state_of(index) == settled.state
            assert scheduler.cause_of(index) == settled.cause
            if index in self.source and settled.state == "ok" and settled.cause is None and not self.crashed:
                assert self.items.get(index, ()) == self.items_of(index), "nothing was left out"
                assert all(self.instances[index, n].state == "ok" for n in range(self.size_of(index)))
        self.explain_all()

    def budgets_hold(self) -> None:
        """Charged and lost attempts of each unit are within policy, and none that is owed was withheld; of one engine."""
        assert not self.crashed
        charged: Counter[tuple[int, int]] = Counter()
        lost: Counter[tuple[int, int]] = Counter()
        last: dict[tuple[int, int], str | None] = {}
        for closed in self.closed.values():
            unit = (closed.key.task, closed.key.instance)
            last[unit] = closed.outcome.cause
            if closed.outcome.charged and not closed.outcome.ok and not (last[unit] or "").startswith("dependency"):
                (lost if closed.outcome.cause == "lost" else charged)[unit] += 1
        retries = [task.policy.retries for task in self.plan.graph.tasks]
        assert all(number <= retries[index].max_attempts for (index, _), number in charged.items())
        assert all(number <= LOST_BUDGET for number in lost.values())
        if self.level:
            return
        for unit, settled in {**{(i, WHOLE): s for i, s in self.settled.items()}, **self.instances}.items():
            if settled.state == "failed" and unit in last and unit[0] not in self.given_up:
                spent = (
                    lost[unit] == LOST_BUDGET
                    if last[unit] == "lost"
                    else charged[unit] == retries[unit[0]].max_attempts
                )
                assert spent or last[unit] in NEVER_RETRIED, f"{unit} failed with attempts left"


def without_faults(seed: int, family: str) -> World:
    """A world in which nothing goes wrong but what the tasks do."""
    return World(seed, family=family, faults=replace(Faults(), failures=0.3))
