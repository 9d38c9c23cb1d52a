"""The real engine in a world without time: fakes for executor, store, clock and sleep, one seed, and everything may go wrong.

What the world does is a function of the seed. Whether a task can succeed is decided beforehand, per task or instance, so that
the end of a run is known however often its engine dies, its attempts are lost, or the user interrupts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from properties.scheduler_graphs import FAMILIES, edges
from weft.ports import Began, NewRun, OpenRun, Order, RunEnding, RunOpening
from weft.runtime import recovery
from weft.runtime.bindings import Binder
from weft.runtime.engine import Engine, Parts
from weft.runtime.interrupts import Interrupts
from weft.runtime.orders import OrderWriter
from weft.runtime.preparation import Preparation
from weft.runtime.products import Products
from weft.runtime.recovered import NOTHING_RECOVERED, Recovered
from weft.runtime.requests import Requests
from weft.scheduling import invariants
from weft.scheduling.commands import CloseAttempt, Retry, SettleTask, StartAttempt
from weft.scheduling.events import CancelRequested, CapacityChanged
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome, Usage
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, FileNeed, Foreach, Requirements
from weft.spec.resources import Resources
from weft.spec.retries import Retries
from weft.spec.tasks import Dependency, Policy, Task
from weft.testing.fake_executor import FakeExecutor
from weft.testing.fake_inspector import FakeInspector
from weft.testing.manual_clock import ManualClock
from weft.testing.memory_store import MemoryLedger, MemoryStore

RUN = "ab" * 16
CAPACITY = CapacityChanged({"cores": 3000, "memory": 4000})
LONGEST = 6000  # waits of one run; a seed that needs more is stuck

Unit = tuple[int, int]


class Crash(BaseException):
    """The engine is dead. Not an Exception: nobody may be tempted to catch it."""


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, per step; a swarm: each seed turns a random subset on."""

    crashes: float = 0
    interrupts: float = 0
    cancels: float = 0
    doubles: float = 0
    losses: float = 0
    full: float = 0

    @classmethod
    def some(cls, random: Random) -> Faults:
        rates = {"crashes": 0.04, "interrupts": 0.01, "cancels": 0.02, "doubles": 0.1, "losses": 0.05, "full": 0.03}
        return cls(**{name: rate for name, rate in rates.items() if random.random() < 0.6})


def make_plan(random: Random) -> tuple[Plan, dict[Unit, str]]:
    """A plan, and what becomes of each unit: ok, fails, flaky (once), memory (until it has 2000 bytes)."""
    tasks: list[Task] = []
    fates: dict[Unit, str] = {}
    for number, before in enumerate(edges(random, random.choice(FAMILIES), random.randint(1, 14))):
        instances = random.randrange(1, 5) if random.random() < 0.2 else None
        for instance in [WHOLE] if instances is None else range(instances):
            weights = [14, 1, 3, 3] if instances is None else [10, 4, 3, 3]
            fates[number, instance] = random.choices(["ok", "fails", "flaky", "memory"], weights)[0]
        fated = {fates[unit] for unit in fates if unit[0] == number}
        attempts = 1 if fated == {"ok", "fails"} else 4
        bound = next((j for j in before if tasks[j].policy.product is not None), None)
        tasks.append(
            Task(
                f"t{number}",
                Command(("echo", "{x}") if bound is not None else ("true",)),
                tuple(Dependency(f"t{j}", bind="x" if j == bound else None) for j in before),
                requires=Requirements(files=(FileNeed("f"),)) if random.random() < 0.2 else NO_REQUIREMENTS,
                policy=Policy(
                    resources=Resources.of(
                        {"cores": random.choice([0, 1, 1, 1, 2]), **({"memory": 1000} if "memory" in fated else {})}
                    ),
                    retries=Retries(attempts, delay=random.choice([0, 0, 1.5])),
                    foreach=None if instances is None else Foreach(values=tuple(range(instances))),
                    product=Product("stdout") if random.random() < 0.5 else None,
                    interruptible=random.random() < 0.8,
                ),
            )
        )
    return Plan(Graph(tasks), "/"), fates


class WatchedExecutor(FakeExecutor):
    """Looks at the books before anything begins."""

    def __init__(self, world: World):
        super().__init__()
        self.world = world

    def submit(self, orders: Sequence[Order]) -> None:
        for order in orders:
            self.world.check_order(order)
        self.world.maybe_crash("before the orders leave")
        super().submit(orders)
        self.world.maybe_crash("after the orders have left")

    def _begin(self, order: Order) -> None:
        unit = order.key[:2]
        assert all(other[:2] != unit for other in self.live), f"two live attempts of {unit}"
        super()._begin(order)


class WatchedLedger:
    """A ledger beside which the engine may die."""

    def __init__(self, world: World, ledger: MemoryLedger):
        self.world = world
        self.ledger = ledger
        self.epoch = ledger.epoch

    def record(self, facts: Sequence[Any], offsets: Mapping[str, int]) -> None:
        self.ledger.record(facts, offsets)

    def remember(self, results: Sequence[Any], files: Sequence[Any], begun: Sequence[Any] = ()) -> None:
        self.ledger.remember(results, files, begun)

    def commit(self) -> None:
        self.world.maybe_crash("before the commit")
        self.ledger.commit()
        self.world.check_receipts()
        self.world.maybe_crash("after the commit")

    def replan(self, *_: Any) -> None:
        raise AssertionError("no plan changes here")

    def finish(self, *ending: Any) -> None:
        self.world.maybe_crash("before the end is recorded")
        self.ledger.finish(*ending)

    def close(self) -> None:
        self.ledger.close()


class NoFiles:
    """All products travel with their outcomes."""

    def read(self, region: LogRegion) -> bytes:
        raise LookupError(region)

    def sync(self, region: LogRegion) -> None: ...

    def sync_outputs(self, task: int, instance: int) -> None: ...

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        raise LookupError(task, instance)

    def recall(self, task: int, instance: int) -> str | None:
        raise LookupError(f"{task}.{instance} was made in this run and has to be at hand")


class World:
    """One run of one plan, from its start to its end, through as many engines as it takes."""

    def __init__(self, seed: int, faults: Faults | None = None):
        random = Random(seed)
        self.plan, self.fates = make_plan(random)
        self.options = SchedulerOptions(
            queue_ahead=random.random() < 0.6, placement_batch=random.choice([2, 256]), wait_seconds=None
        )
        self.random = Random(seed + 1)
        self.faults = Faults.some(random) if faults is None else faults
        self.store = MemoryStore()
        self.executor = WatchedExecutor(self)
        self.clock = ManualClock()
        self.ended: Counter[Unit] = Counter()
        self.lost: Counter[Unit] = Counter()
        self.cancelled = False
        self.engines = 0
        self.steps = 0
        self.told: list[AttemptKey] = []
        self.may_crash = True
        self.parts: Parts | None = None
        self.engine: Engine | None = None
        self.scheduler: Scheduler | None = None

    # --- what happens ------------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, tuple[str, str | None]]:
        """To the end, resumed after each crash and each interrupt; the recorded state and kind of cause of every task."""
        try:
            self._run()
        finally:
            self.executor.close()
        return {row.name: (row.state, row.cause and row.cause.partition(":")[0]) for row in self.store.tasks(RUN)}

    def _run(self) -> None:
        ending: RunEnding | None = None
        while ending is None or ending.state == "interrupted":
            if self.engines > 12:
                self.faults = Faults()  # from some time on progress is owed
            self.may_crash = self.engines <= 12
            try:
                ending = self._live()
            except Crash:
                self.store.crash()
                self.executor.lose_engine()
                self._while_nobody_listens()
            finally:
                self._take_apart()
        self.check_end()

    def _live(self) -> RunEnding:
        """One engine, from its start to its end or death."""
        self.engines += 1
        self.store.fill(False)
        if not self.store.runs():
            names = [task.name for task in self.plan.graph.tasks]
            new = NewRun(RUN, "key", None, "/", 0.0, {}, b"", names, range(len(names)))
            ledger = WatchedLedger(self, self.store.open_run(new))
            self._put_together(ledger)
            return self._go(NOTHING_RECOVERED)
        opened_ledger, opened = self.store.reopen_run(RUN)
        ledger = WatchedLedger(self, opened_ledger)
        again = recovery.unfinished(opened.tasks)
        ledger.record(recovery.reopen(opened, again), {})
        ledger.commit()
        self._put_together(ledger)
        recovered = self._recover(opened, again)
        assert self.parts is not None
        self.parts.products.restore(opened)
        return self._go(recovered)

    def _recover(self, opened: OpenRun, again: set[int]) -> Recovered:
        """Twice: the second time must find what the first did."""
        first, second = (
            recovery.recover(opened, {"fake": self.executor}, "fake", plan=self.plan, redo=again, rescaled=())
            for _ in range(2)
        )
        assert first == second, "recovering twice is recovering once"
        return second

    def _put_together(self, ledger: WatchedLedger) -> None:
        inspector = FakeInspector()
        products = Products(self.plan, NoFiles())
        self.parts = Parts(
            ledger=ledger,
            executors={"fake": self.executor},
            default="fake",
            inspector=inspector,
            orders=OrderWriter(
                self.plan, RUN, bound=Binder(self.plan, products, inspector).bind, interpreter=lambda _: (None, None)
            ),
            preparation=Preparation(self.plan, None),
            products=products,
            clock=self.clock,
            waiter=self,
            interrupts=Interrupts(),
            requests=Requests(),
            observers=(self,),
        )
        self.scheduler = Scheduler(self.plan, None, self.options, self.random.getrandbits(64))

    def _go(self, recovered: Recovered) -> RunEnding:
        assert self.scheduler is not None and self.parts is not None
        self.engine = Engine(self.scheduler, self.parts)
        opening = RunOpening(RUN, self.plan, (), recovered.done, "", {}, self.engine.gauge)
        ending = self.engine.run(opening, [CAPACITY], recovered)
        assert not any(self.scheduler.held().values()), "all resources are free at the end"
        assert not self.executor.live and not self.executor.waiting, "nothing lives at the end"
        return ending

    def _take_apart(self) -> None:
        if self.parts is None:
            return
        self.parts.inspector.close()
        self.parts.interrupts.restore()
        self.parts.requests.close()
        self.parts.ledger.close()
        self.parts = None

    # --- the world's turn ----------------------------------------------------------------------------------------------------

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        """`ports.Waiter`: the engine sleeps; something happens, or its time is over."""
        self.steps += 1
        assert self.steps < LONGEST, "the run does not end"
        invariants.check(self.scheduler)  # type: ignore[arg-type]
        self.maybe_crash("while it slept")
        self.store.fill(False)
        random, faults, parts = self.random, self.faults, self.parts
        assert parts is not None
        if random.random() < faults.full:
            self.store.fill()
        if random.random() < faults.interrupts:
            parts.interrupts.interrupt(min(3, parts.interrupts.level + 1), 130)  # type: ignore[arg-type]
        if random.random() < faults.cancels:
            self.cancelled = True
            parts.requests.put(CancelRequested((random.randrange(len(self.plan.graph)),), random.random() < 0.5))
        if random.random() < faults.doubles and self.executor._ended:
            self.executor.repeat(random.choice(list(self.executor._ended)))
        if seconds is not None and (not self.executor.live or random.random() < 0.3):
            self.clock.advance(seconds)
            return
        if self.executor.live:
            for key in random.sample(list(self.executor.live), random.randint(1, min(3, len(self.executor.live)))):
                if key in self.executor.live:
                    self.end(key)
            return
        assert self._has_news(parts), "the engine waits for what can never come"

    def _has_news(self, parts: Parts) -> bool:
        return bool(
            self.executor._reports or parts.interrupts._pending or parts.requests._waiting or self.store._is_full
        )

    def _while_nobody_listens(self) -> None:
        for key in list(self.executor.live):
            if self.random.random() < 0.3:
                self.end(key)

    def end(self, key: AttemptKey) -> None:
        """An attempt ends as its fate says."""
        unit = (key.task, key.instance)
        if self.random.random() < self.faults.losses and self.lost[unit] < 2:
            self.lost[unit] += 1
            self.executor.end(key, Outcome(False, "lost"))
            return
        self.ended[unit] += 1
        order = self.executor.live[key]
        fate = self.fates[unit]
        usage = Usage(0.01)
        if fate == "fails" or (fate == "flaky" and self.ended[unit] == 1):
            self.executor.end(key, Outcome(False, "exit:1", exit_code=1, usage=usage))
        elif fate == "memory" and (order.memory_bytes or 0) < 2000:
            self.executor.end(key, Outcome(False, "memory", usage=usage))
        else:
            self.executor.end(key, Outcome(True, exit_code=0, usage=usage, product=self.product_of(unit)))

    def product_of(self, unit: Unit) -> str:
        return f"made by {unit[0]}.{unit[1]}"

    def maybe_crash(self, where: str) -> None:
        if self.may_crash and self.random.random() < self.faults.crashes:
            raise Crash(where)

    # --- what must hold --------------------------------------------------------------------------------------------------------

    def check_order(self, order: Order) -> None:
        rows = {row.key: row for row in self.store.attempts(RUN)}
        row = rows.get(order.key)
        assert row is not None and row.nonce == order.nonce and row.state == "queued", "the intent is durable first"
        unit = (order.key.task, order.key.instance)
        assert unit not in self._ok_units(), "what is recorded as ok never runs again"
        earlier = [r for key, r in rows.items() if key[:2] == unit and key.attempt < order.key.attempt]
        assert all(r.state not in ("queued", "running") for r in earlier), "one live attempt"
        if earlier:
            last = max(earlier, key=lambda r: r.key.attempt)
            assert row.request == (last.next_request or last.request), "scaling is kept"
        self.check_words(order)

    def check_receipts(self) -> None:
        counted = self.store.opened(RUN).offsets.get("fake", 0)
        for key in list(self.executor._ended)[:counted]:
            assert self.row(key).state not in ("queued", "running"), "a receipt counts when its outcome does"

    def check_words(self, order: Order) -> None:
        task = self.plan.graph.tasks[order.key.task]
        maker = next((edge.name for edge in task.dependencies if edge.bind is not None), None)
        if maker is None:
            return
        index = self.plan.graph.index[maker]
        foreach = self.plan.graph.tasks[index].policy.foreach
        if foreach is None:
            assert order.launch.argv[1] == self.product_of((index, WHOLE))  # type: ignore[union-attr]
        else:
            for instance in range(len(foreach.values or ())):
                assert self.product_of((index, instance)) in order.launch.argv[1]  # type: ignore[union-attr]

    def _ok_units(self) -> set[Unit]:
        units = {(row.task, WHOLE) for row in self.store.tasks(RUN) if row.state == "ok"}
        for task, items in self.store.items(RUN).items():
            units |= {(task, number) for number, (_, state, _) in enumerate(items) if state == "ok"}
        return units

    def check_end(self) -> None:
        facts = self.store.facts[RUN]
        starts = [fact for fact in facts if isinstance(fact, StartAttempt)]
        closes = Counter(fact.nonce for fact in facts if isinstance(fact, CloseAttempt))
        assert len({start.nonce for start in starts}) == len(starts), "a nonce never comes twice"
        assert closes == Counter(start.nonce for start in starts), "each attempt has exactly one outcome"
        for key, (nonce, outcome) in self.executor._ended.items():
            row = next(row for row in self.store.attempts(RUN) if row.key == key)
            if row.nonce == nonce and outcome.ok:
                assert row.state == "ok", "no completion is lost"
        assert self.store.runs()[0].state != "running"

    # --- an observer: told only what is durable ---------------------------------------------------------------------------

    def run_started(self, opening: RunOpening) -> None:
        assert self.store.runs()

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        row = self.row(key)
        assert row.started is not None and row.nonce == began.nonce, "a beginning is durable before it is told"

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        row = self.row(key)
        assert row.state not in ("queued", "running"), "an outcome is durable before it is told"
        assert (row.cause, row.retry is None) == (outcome.cause, retry is None)
        assert key not in self.told, "an end is told once"
        self.told.append(key)

    def task_ended(self, settled: SettleTask) -> None:
        row = next(row for row in self.store.tasks(RUN) if row.task == settled.task)
        assert (row.state, row.cause) == (settled.state, settled.cause), "an end is durable before it is told"

    def remarked(self, text: str, task: int | None) -> None: ...

    def run_ended(self, ending: RunEnding) -> None:
        assert self.store.runs()[0].state == ending.state

    def row(self, key: AttemptKey) -> Any:
        return next(row for row in self.store.attempts(RUN, key.task) if row.key == key)


def replayed(seed: int, act: Callable[[World], Any], faults: Faults | None = None) -> Any:
    """Do it in the world of this seed; a failure says how to see it again."""
    world = World(seed, faults)
    try:
        return act(world)
    except Exception as error:
        error.add_note(f"replay: World({seed}, {faults}).run(); faults {world.faults}")
        raise
