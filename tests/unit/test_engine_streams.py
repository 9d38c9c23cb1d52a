"""The engine between makers and consumers of streams, over a fake executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from weft.ports import Flow, Function, NewRun, RunEnding, RunOpening
from weft.runtime.bindings import Binder
from weft.runtime.engine import Engine, Parts
from weft.runtime.interrupts import Interrupts
from weft.runtime.orders import OrderWriter
from weft.runtime.preparation import Preparation
from weft.runtime.products import Products
from weft.runtime.requests import Requests
from weft.runtime.streams import FREE, WINDOW_ITEMS, ItemsRead, Streams
from weft.scheduling.events import CapacityChanged
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.actions import Call
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.retries import Retries
from weft.spec.tasks import Dependency, Policy, Task
from weft.testing.fake_executor import FakeExecutor
from weft.testing.fake_inspector import FakeInspector
from weft.testing.manual_clock import ManualClock
from weft.testing.memory_store import MemoryStore

RUN = "cd" * 16
ITEMS = "@items " + "0" * 64 + " 9"
MADE = Outcome(True, product=ITEMS)
ERROR = Outcome(False, "exception", detail="ValueError: no")


class Files:
    """Products that travel with their outcomes; the logs of streams are not there."""

    products = "/state/products"

    def read(self, region: LogRegion) -> bytes:
        raise LookupError(f"no logs here, and no {region}")

    def sync(self, region: LogRegion) -> None: ...

    def sync_product(self, text: str) -> None: ...

    def remove_product(self, text: str) -> None: ...

    def sync_outputs(self, task: int, instance: int) -> None: ...

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        return ()

    def recall(self, task: int, instance: int) -> str | None:
        return None


class Inspector(FakeInspector):
    """One that has heard of no items: they come from streams."""

    def item(self, task: int, instance: int) -> str:
        return f"{task}.{instance}"


class Rig:
    """An engine whose every sleep is one step of the test; the test sees it through the executor's eyes."""

    def __init__(self, *tasks: Task, cores: int = 4):
        self.plan = Plan(Graph(tasks), "/")
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.executor = FakeExecutor()
        self.inspector = Inspector()
        self.interrupts = Interrupts()
        self.requests = Requests()
        self.steps: list[Callable[[], None]] = []
        self.streams = Streams(self.plan, None, "/run/streams", lambda _path, _first: ItemsRead((), (), 0))
        products = Products(self.plan, Files(), self.streams)
        preparation = Preparation(self.plan, None)
        names = [item.name for item in tasks]
        self.ledger = self.store.open_run(NewRun(RUN, "key", None, "/", 0.0, {}, b"", names, range(len(names))))
        parts = Parts(
            ledger=self.ledger,
            executors={"fake": self.executor},
            default="fake",
            inspector=self.inspector,
            orders=OrderWriter(
                self.plan,
                RUN,
                bound=Binder(self.plan, products, self.inspector).bind,
                interpreter=preparation.interpreter,
            ),
            preparation=preparation,
            products=products,
            clock=self.clock,
            waiter=self,
            interrupts=self.interrupts,
            requests=self.requests,
            observers=(),
            streams=self.streams,
        )
        self.engine = Engine(Scheduler(self.plan, None, SchedulerOptions(), 7), parts)
        self.capacity = CapacityChanged({"cores": cores * 1000})

    def run(self, *steps: Callable[[], None]) -> RunEnding:
        self.steps = list(steps)
        ending = self.engine.run(RunOpening(RUN, self.plan, (), 0, "", {}, self.engine.gauge), [self.capacity])
        assert not self.steps, "the run ended before its time"
        return ending

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        if seconds is not None and (seconds < 1.0 or not self.steps):
            self.clock.advance(seconds)  # facts that wait for their commit
            return
        assert self.steps, f"the engine sleeps for ever while {self.live()} live"
        self.steps.pop(0)()

    def close(self) -> None:
        self.executor.close()
        self.inspector.close()
        self.interrupts.restore()
        self.requests.close()

    # --- what a step may do

    def key(self, name: str, instance: int = WHOLE) -> AttemptKey:
        """The live attempt of a task."""
        task = self.plan.graph.index[name]
        return next(key for key in self.executor.live if (key.task, key.instance) == (task, instance))

    def nonce(self, name: str, instance: int = WHOLE) -> int:
        return self.executor.live[self.key(name, instance)].nonce

    def live(self) -> list[str]:
        tasks = self.plan.graph.tasks
        return [
            tasks[key.task].name + ("" if key.instance == WHOLE else f"[{key.instance}]") for key in self.executor.live
        ]

    def make(self, name: str, first: int, *items: str) -> None:
        self.executor.hand_on(self.key(name), first, items)

    def take(self, name: str, maker: str, position: int) -> None:
        self.executor.take(self.key(name), maker, position)

    def end(self, name: str, outcome: Outcome = Outcome(True, product="null"), instance: int = WHOLE) -> None:
        self.executor.end(self.key(name, instance), outcome)

    def told(self, name: str, maker: str) -> tuple[int, str, str] | None:
        return self.executor.announced.get((self.nonce(name), maker))

    def state(self, name: str) -> tuple[str, str | None]:
        row = next(row for row in self.store.tasks(RUN) if row.name == name)
        return row.state, row.cause


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*tasks: Task, **more: Any) -> Rig:
        made.append(Rig(*tasks, **more))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def stream(name: str, *iterated: str, attempts: int = 1) -> Task:
    edges = tuple(Dependency(maker, maker) for maker in iterated)
    policy = Policy(product=Product("return", "any", True), retries=Retries(max_attempts=attempts))
    return Task(name, Call("m:f"), dependencies=edges, policy=policy)


def taker(name: str, *iterated: str) -> Task:
    edges = tuple(Dependency(maker, maker) for maker in iterated)
    return Task(name, Call("m:f"), dependencies=edges, policy=Policy(product=Product("return")))


def mapped(name: str, maker: str) -> Task:
    edges = (Dependency(maker, "item", each=True),)
    return Task(name, Call("m:f"), dependencies=edges, policy=Policy(foreach=Foreach(stream=maker, bind="item")))


def check(condition: bool) -> None:
    assert condition


def test_a_consumer_runs_beside_its_maker_and_is_told_of_items_and_of_the_end(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), taker("sum", "rows"))

    def begin() -> None:
        assert rig.live() == ["rows", "sum"]
        launch = rig.executor.live[rig.key("sum")].launch
        assert isinstance(launch, Function)
        nonce = rig.nonce("rows")
        assert launch.arguments["rows"] == Flow(nonce, f"/run/streams/{nonce:016x}.items", "rows")
        rig.take("sum", "rows", 0)
        rig.make("rows", 0, "a", "b")

    def grow() -> None:
        assert rig.told("sum", "rows") == (2, "open", "")
        rig.end("rows", MADE)

    def finish() -> None:
        assert rig.told("sum", "rows") == (2, "complete", "")
        rig.end("sum")

    assert rig.run(begin, grow, finish).state == "ok"


def test_instances_start_while_the_maker_goes_on(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), mapped("work", "rows"))

    def first() -> None:
        rig.make("rows", 0, "a", "b")

    def second() -> None:
        assert rig.live() == ["rows", "work[0]", "work[1]"]
        rig.end("work", instance=0)
        rig.make("rows", 2, "c")

    def third() -> None:
        assert rig.live() == ["rows", "work[1]", "work[2]"]
        gauge = rig.engine.gauge()
        assert gauge.parts_of(1) == (1, 3)
        assert gauge.streams[0][:3] == (3, 3, None)
        assert gauge.streams[0].taken == {1: 1}
        rig.end("rows", MADE)
        rig.executor.end_all()

    assert rig.run(first, second, third).state == "ok"
    assert [row[0] for row in rig.store.items(RUN)[1]] == ["a", "b", "c"]


def test_with_one_slot_the_maker_runs_free_and_the_consumer_follows(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), taker("sum", "rows"), cores=1)

    def make() -> None:
        assert rig.live() == ["rows"]
        rig.make("rows", 0, *map(str, range(WINDOW_ITEMS)))

    def make_more() -> None:
        assert rig.executor.allowed[rig.nonce("rows")] == FREE
        rig.end("rows", MADE)

    def consume() -> None:
        assert rig.live() == ["sum"]
        launch = rig.executor.live[rig.key("sum")].launch
        assert isinstance(launch, Function)
        assert launch.arguments["rows"].maker == 0
        rig.end("sum")

    assert rig.run(make, make_more, consume).state == "ok"


def test_a_slow_consumer_bounds_how_far_its_maker_may_go(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), taker("sum", "rows"))

    def make() -> None:
        rig.take("sum", "rows", 0)
        rig.make("rows", 0, *map(str, range(WINDOW_ITEMS)))

    def take() -> None:
        assert rig.nonce("rows") not in rig.executor.allowed
        rig.take("sum", "rows", 600)

    def finish() -> None:
        assert rig.executor.allowed[rig.nonce("rows")] == WINDOW_ITEMS + 600
        rig.end("rows", MADE)
        rig.end("sum")

    assert rig.run(make, take, finish).state == "ok"


def test_a_maker_that_fails_ends_its_live_consumer_as_skipped(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), taker("sum", "rows"), taker("after", "sum"))

    def make() -> None:
        rig.take("sum", "rows", 0)
        rig.make("rows", 0, "a")

    def fail() -> None:
        rig.end("rows", ERROR)

    def end() -> None:
        assert rig.told("sum", "rows") == (1, "failed", "")
        rig.end("sum", Outcome(False, "dependency", detail="stream 'rows' ends after 1 items"))

    assert rig.run(make, fail, end).state == "failed"
    assert rig.state("rows") == ("failed", "exception")
    assert rig.state("sum") == ("skipped", "dependency:rows")
    assert rig.state("after") == ("skipped", "dependency:rows")


def test_a_maker_is_tried_again_under_its_live_consumer(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows", attempts=2), taker("sum", "rows"))

    def make() -> None:
        rig.take("sum", "rows", 0)
        rig.make("rows", 0, "a", "b")

    def fail() -> None:
        rig.end("rows", ERROR)

    def again() -> None:
        assert rig.live() == ["sum", "rows"]
        rig.make("rows", 0, "a", "b", "c")

    def finish() -> None:
        assert rig.told("sum", "rows") == (3, "open", f"/run/streams/{rig.nonce('rows'):016x}.items")
        rig.end("rows", MADE)
        rig.end("sum")

    assert rig.run(make, fail, again, finish).state == "ok"


def test_a_second_attempt_that_makes_other_items_is_ended(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows", attempts=2), mapped("work", "rows"))

    def make() -> None:
        rig.make("rows", 0, "a", "b")

    def fail() -> None:
        rig.end("work", instance=0)
        rig.end("rows", ERROR)

    def again() -> None:
        rig.make("rows", 0, "a", "x")

    def finish() -> None:
        assert rig.live() == ["work[1]"]
        rig.executor.end_all()

    assert rig.run(make, fail, again, finish).state == "failed"
    assert rig.state("rows") == ("failed", "exception")
    detail = rig.store.tasks(RUN)[0].detail or ""
    assert detail.startswith("item 1 is another one than in the attempt before")
    assert rig.state("work") == ("skipped", "dependency:rows")
    assert rig.store.items(RUN)[1][0][1] == "ok"


def test_a_consumer_that_stops_early_lets_the_maker_go(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), taker("first", "rows"))

    def make() -> None:
        rig.take("first", "rows", 0)
        rig.make("rows", 0, *map(str, range(WINDOW_ITEMS)))

    def stop() -> None:
        rig.take("first", "rows", 1)
        rig.end("first")

    def finish() -> None:
        assert rig.executor.allowed[rig.nonce("rows")] == FREE
        rig.end("rows", MADE)

    assert rig.run(make, stop, finish).state == "ok"


@pytest.mark.parametrize(
    ("how_it_ends", "state", "rows"),
    [
        (Outcome(True, product="null"), "ok", ("ok", None)),
        (ERROR, "failed", ("cancelled", "interrupted")),
    ],
)
def test_a_stream_that_goes_on_though_nobody_takes_it_is_ended_in_the_end(
    make_rig: Callable[..., Rig], how_it_ends: Outcome, state: str, rows: tuple[str, str | None]
) -> None:
    rig = make_rig(stream("rows"), taker("first", "rows"))

    def make() -> None:
        rig.take("first", "rows", 0)
        rig.make("rows", 0, "1", "2")
        rig.clock.advance(60)

    def stop() -> None:
        rig.end("first", how_it_ends)

    def go_on() -> None:
        rig.clock.advance(59)  # it may go on for as long as it has run

    def go_on_for_too_long() -> None:
        assert not rig.executor.stops
        rig.make("rows", 2, "3")
        rig.clock.advance(2)

    def hear_its_end() -> None: ...

    assert rig.run(make, stop, go_on, go_on_for_too_long, hear_its_end).state == state
    assert rig.executor.stops == [(AttemptKey(0, WHOLE, 1), "terminate", "interrupted")]
    assert rig.state("rows") == rows
    (attempt,) = [row for row in rig.store.attempts(RUN) if row.key.task == 0]
    assert (attempt.product, attempt.detail) == (None, "ended after 3 items: nobody takes more of it")


def test_a_stream_that_comes_to_its_end_though_nobody_takes_it_is_whole(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("rows"), taker("first", "rows"))

    def make() -> None:
        rig.take("first", "rows", 0)
        rig.make("rows", 0, "1", "2")

    assert rig.run(make, lambda: rig.end("first"), lambda: rig.end("rows", MADE)).state == "ok"
    assert [row.product for row in rig.store.attempts(RUN) if row.key.task == 0] == [ITEMS]


def test_a_stream_that_nobody_began_to_take_or_that_somebody_waits_for_goes_on(make_rig: Callable[..., Rig]) -> None:
    wait = Task(
        "wait",
        Call("m:f"),
        dependencies=(Dependency("rows"), Dependency("gate")),
        policy=Policy(product=Product("return")),
    )
    rig = make_rig(stream("rows"), taker("first", "rows"), stream("other"), Task("gate", Call("m:f")), wait)

    def make() -> None:
        rig.take("first", "rows", 0)
        rig.make("rows", 0, "1")
        rig.make("other", 0, "1")

    def finish() -> None:
        assert not rig.executor.stops
        rig.end("rows", MADE)
        rig.end("other", MADE)
        rig.end("gate")

    ended = [lambda: rig.end("first"), lambda: rig.clock.advance(1000), finish, lambda: rig.end("wait")]
    assert rig.run(make, *ended).state == "ok"


def test_three_stages_run_at_once(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(stream("a"), stream("b", "a"), taker("c", "b"))

    def begin() -> None:
        assert rig.live() == ["a", "b", "c"]
        rig.take("b", "a", 0)
        rig.take("c", "b", 0)
        rig.make("a", 0, "1")
        rig.make("b", 0, "2")

    def finish() -> None:
        assert rig.told("b", "a") == (1, "open", "")
        assert rig.told("c", "b") == (1, "open", "")
        rig.end("a", MADE)
        rig.end("b", MADE)
        rig.end("c")

    assert rig.run(begin, finish).state == "ok"
