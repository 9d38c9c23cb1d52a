"""The engine's loop by itself: what is committed when, what waits, and what it says. No real time passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from weft.errors import StoreError
from weft.ports import Began, Finished, Installed, NewRun, Order, ResultRow, RunEnding, RunOpening
from weft.runtime.bindings import Binder
from weft.runtime.engine import COMMIT_SECONDS, DISK_GRACE_SECONDS, Engine, Parts
from weft.runtime.interrupts import Interrupts
from weft.runtime.orders import OrderError, OrderWriter
from weft.runtime.preparation import Preparation
from weft.runtime.products import Products
from weft.runtime.requests import Requests
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.events import CancelRequested, CapacityChanged, Inspected
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome
from weft.scheduling.reasons import Reason
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.environments import Environment
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.tasks import Task
from weft.testing.fake_executor import FakeExecutor
from weft.testing.fake_inspector import FakeInspector
from weft.testing.manual_clock import ManualClock
from weft.testing.memory_store import MemoryStore
from weft.testing.scenario import task

RUN = "cd" * 16
Step = Callable[["Rig"], None]


class Installer:
    """Environments that are there when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ready: list[Installed] = []

    def ask(self, name: str) -> None:
        self.asked.append(name)

    def answers(self) -> Sequence[Installed]:
        ready, self.ready = self.ready, []
        return ready

    def bells(self) -> Sequence[int]:
        return ()

    def close(self) -> None: ...


class Files:
    """Products that travel with their outcomes."""

    def read(self, _: Any) -> bytes:
        raise LookupError("no logs here")

    sync = read

    def sync_outputs(self, task: int, instance: int) -> None: ...

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        return ()

    def recall(self, task: int, instance: int) -> str | None:
        return None


class Rig:
    """An engine with fakes all round. steps: what happens each time it sleeps, in order; then its time passes, or all ends."""

    def __init__(
        self,
        *tasks: Task,
        steps: Sequence[Step] = (),
        timeout: float | None = None,
        environments: dict[str, Environment] | None = None,
        behave: Callable[[Order], Outcome | None] | None = None,
        observers: Sequence[Any] = (),
        refuse: Callable[[Any], Any] | None = None,
        options: SchedulerOptions | None = None,
        cores: int = 1,
    ):
        self.plan = Plan(Graph(tasks), "/", environments=environments or {})
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.executor = FakeExecutor(behave)
        self.inspector = FakeInspector()
        self.installer = Installer()
        self.interrupts = Interrupts()
        self.requests = Requests()
        self.steps = list(steps)
        self.heard: list[str] = []
        self.slept: list[float | None] = []
        products = Products(self.plan, Files())
        preparation = Preparation(self.plan, self.installer if environments else None)
        orders = OrderWriter(
            self.plan,
            RUN,
            bound=Binder(self.plan, products, self.inspector).bind,
            interpreter=preparation.interpreter,
        )
        if refuse is not None:
            orders.write = refuse  # type: ignore[method-assign]
        names = [item.name for item in tasks]
        self.ledger = self.store.open_run(NewRun(RUN, "key", None, "/", 0.0, {}, b"", names, range(len(names))))
        self.commits: list[tuple[float, int]] = []
        self._count_commits()
        self.parts = Parts(
            ledger=self.ledger,
            executors={"fake": self.executor},
            default="fake",
            inspector=self.inspector,
            orders=orders,
            preparation=preparation,
            products=products,
            clock=self.clock,
            waiter=self,
            interrupts=self.interrupts,
            requests=self.requests,
            observers=(self, *observers),
        )
        self.scheduler = Scheduler(self.plan, None, options or SchedulerOptions(), 7)
        self.engine = Engine(self.scheduler, self.parts, timeout=timeout)
        self.capacity = CapacityChanged({"cores": cores * 1000, "memory": 4000})

    def _count_commits(self) -> None:
        commit = self.ledger.commit

        def counted() -> None:
            facts = len(self.store.facts[RUN])
            commit()
            if len(self.store.facts[RUN]) > facts:
                self.commits.append((self.clock.monotonic() - 1000.0, len(self.store.facts[RUN]) - facts))

        self.ledger.commit = counted  # type: ignore[method-assign]

    def run(self) -> RunEnding:
        return self.engine.run(RunOpening(RUN, self.plan, (), 0, "", {}, self.engine.gauge), [self.capacity])

    def close(self) -> None:
        self.executor.close()
        self.inspector.close()
        self.interrupts.restore()
        self.requests.close()

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        self.slept.append(seconds)
        if self.steps:
            self.steps.pop(0)(self)
        elif seconds is not None:
            self.clock.advance(seconds)
        elif self.executor.live:
            self.executor.end_all()
        else:
            raise AssertionError(f"the engine sleeps for ever; it said {self.heard}")

    def state(self, name: str) -> tuple[str, str | None]:
        row = next(row for row in self.store.tasks(RUN) if row.name == name)
        return row.state, row.cause

    # --- an observer

    def run_started(self, opening: RunOpening) -> None:
        self.heard.append(f"run of {len(opening.plan.graph)}")

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        self.heard.append(f"begin {key}")

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        self.heard.append(f"end {key} {outcome.cause or 'ok'}" + (" retry" if retry else ""))

    def task_ended(self, settled: SettleTask) -> None:
        self.heard.append(f"task {settled.task} {settled.state}")

    def remarked(self, text: str, task: int | None) -> None:
        self.heard.append(f"remark: {text}")

    def run_ended(self, ending: RunEnding) -> None:
        self.heard.append(f"ended {ending.state} {ending.exit_code}")

    def remarks(self) -> list[str]:
        return [line.removeprefix("remark: ") for line in self.heard if line.startswith("remark: ")]


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def build(*tasks: Task, **more: Any) -> Rig:
        made.append(Rig(*tasks, **more))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def end_one(rig: Rig) -> None:
    rig.executor.end(next(iter(rig.executor.live)))


def pass_time(seconds: float) -> Step:
    return lambda rig: rig.clock.advance(seconds)


def test_a_run_is_told_in_order_and_ends_with_its_state(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b", after=["a"]))
    ending = rig.run()
    assert (ending.state, ending.exit_code) == ("ok", 0)
    first, second = AttemptKey(0, WHOLE, 1), AttemptKey(1, WHOLE, 1)
    assert rig.heard == [
        "run of 2", f"begin {first}", f"end {first} ok", "task 0 ok",
        f"begin {second}", f"end {second} ok", "task 1 ok", "ended ok 0",
    ]  # fmt: skip
    assert rig.store.runs()[0].state == "ok"


def test_a_failed_task_makes_the_run_end_with_exit_code_1(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b", after=["a"]), behave=lambda _: Outcome(False, "exit:3", exit_code=3))
    assert (rig.run().state, rig.state("a"), rig.state("b")) == (
        "failed",
        ("failed", "exit:3"),
        ("skipped", "dependency:a"),
    )


# --- when facts become durable -------------------------------------------------------------------------------------------


def test_a_start_that_a_free_slot_waits_for_is_committed_at_once(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b", after=["a"]), steps=[end_one, end_one])
    rig.run()
    assert all(moment == 0.0 for moment, _ in rig.commits[:2])  # the intent, then the end of `a` with the start of `b`


def test_ends_behind_a_commit_wait_for_each_other_at_most_as_long_as_is_promised(make: Callable[..., Rig]) -> None:
    late = COMMIT_SECONDS / 2
    rig = make(
        task("a"), task("b"), task("c"), cores=3,
        steps=[end_one, pass_time(late), end_one, pass_time(COMMIT_SECONDS - late)],
    )  # fmt: skip
    rig.run()
    assert [moment for moment, _ in rig.commits[:2]] == pytest.approx([0.0, COMMIT_SECONDS])
    assert rig.commits[1][1] >= 4  # two ends, and the tasks that ended by them
    assert all(seconds is None or seconds <= COMMIT_SECONDS for seconds in rig.slept)


def test_an_end_is_committed_at_once_when_the_writer_has_been_idle(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b"), cores=2, steps=[pass_time(1.0), end_one])
    rig.run()
    assert rig.commits[1][0] == 1.0


def test_a_stop_leaves_only_when_all_facts_of_its_batch_are_durable(make: Callable[..., Rig]) -> None:
    seen: list[list[str]] = []

    def both_end(rig: Rig) -> None:
        keys = list(rig.executor.live)
        rig.executor.end(keys[0], Outcome(False, "exit:1"))
        rig.requests.put(CancelRequested(None, True))
        rig.executor.end(keys[1])

    rig = make(task("a"), task("b"), task("c"), cores=3, steps=[both_end])
    stop = rig.executor.stop

    def watched(*words: Any) -> None:
        seen.append([row.state for row in rig.store.attempts(RUN)])
        stop(*words)

    rig.executor.stop = watched  # type: ignore[method-assign]
    rig.run()
    assert seen == [["failed", "ok", "running"]]


# --- a disk that is full ---------------------------------------------------------------------------------------------------


def test_a_full_disk_pauses_the_run_and_it_goes_on_when_there_is_room(make: Callable[..., Rig]) -> None:
    def fill_and_end(rig: Rig) -> None:
        rig.store.fill()
        end_one(rig)

    rig = make(task("a"), task("b", after=["a"]), steps=[fill_and_end, pass_time(1), lambda rig: rig.store.fill(False)])
    assert rig.run().state == "ok"
    (said,) = rig.remarks()
    assert said.startswith("nothing new starts: no room")
    told = rig.heard.index("task 0 ok")
    assert rig.heard.index(f"remark: {said}") < told, "nobody hears of an end that is not durable"


def test_a_disk_that_stays_full_ends_the_run_after_its_grace(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b", after=["a"]), steps=[lambda rig: (rig.store.fill(), end_one(rig))])  # type: ignore[func-returns-value]
    with pytest.raises(StoreError) as raised:
        rig.run()
    assert raised.value.is_passing
    assert rig.clock.monotonic() - 1000.0 == pytest.approx(DISK_GRACE_SECONDS, abs=1.5)
    assert [order.name for order in rig.executor.orders] == ["a"]


def test_a_store_that_was_waited_for_in_vain_gets_no_second_grace(make: Callable[..., Rig]) -> None:
    """A lock of another process is waited for inside the commit, for as long as the grace lasts (reliability.md B2)."""
    rig = make(task("a"), task("b", after=["a"]), steps=[end_one])
    commit = rig.ledger.commit

    def locked() -> None:
        if not rig.store.facts[RUN] or not rig.slept:
            return commit()
        rig.clock.advance(DISK_GRACE_SECONDS)
        raise StoreError("the state database stayed locked", is_passing=True)

    rig.ledger.commit = locked  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="stayed locked"):
        rig.run()
    assert rig.clock.monotonic() - 1000.0 == pytest.approx(DISK_GRACE_SECONDS, abs=1.5)
    assert [order.name for order in rig.executor.orders] == ["a"]


def test_the_second_interrupt_ends_the_wait_for_a_full_disk(make: Callable[..., Rig]) -> None:
    rig = make(
        task("a"),
        steps=[
            lambda rig: (rig.store.fill(), end_one(rig)),  # type: ignore[func-returns-value]
            lambda rig: rig.interrupts.interrupt(1, 130),
            lambda rig: rig.interrupts.interrupt(2, 130),
        ],
    )
    with pytest.raises(StoreError):
        rig.run()
    assert rig.clock.monotonic() == 1000.0
    assert len(rig.slept) == 3, "the first interrupt, which still rings, does not make it spin"


def test_a_disk_that_is_full_at_the_very_end_is_waited_for_too(make: Callable[..., Rig]) -> None:
    rig = make(task("a"))
    finish = rig.ledger.finish
    rig.steps = [end_one, lambda rig: rig.store.fill(False)]

    def once_full(*ending: Any) -> None:
        rig.store.fill(len(rig.slept) < 2)
        finish(*ending)

    rig.ledger.finish = once_full  # type: ignore[method-assign]
    assert rig.run().state == "ok"
    assert rig.store.runs()[0].state == "ok"


def test_a_state_that_is_lost_ends_the_run_at_once(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), steps=[lambda rig: (rig.store.fence("key"), end_one(rig))])  # type: ignore[func-returns-value]
    with pytest.raises(StoreError, match="another owner"):
        rig.run()
    assert "task 0 ok" not in rig.heard


# --- time limits and interrupts ----------------------------------------------------------------------------------------------


def test_the_runs_time_limit_ends_what_runs(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b", after=["a"]), timeout=30.0)
    rig.run()
    assert rig.clock.monotonic() == 1030.0
    assert rig.executor.stops == [(AttemptKey(0, WHOLE, 1), "terminate", "interrupted")]
    assert rig.state("b") == ("cancelled", "interrupted")
    assert rig.remarks() == ["the run's time limit of 30 s is over: ending what runs"]


def test_an_interrupted_run_lets_live_attempts_end_and_says_so(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), task("b", after=["a"]), steps=[lambda rig: rig.interrupts.interrupt(1, 130), end_one])
    ending = rig.run()
    assert (ending.state, ending.exit_code) == ("interrupted", 130)
    assert (rig.state("a"), rig.state("b")) == (("ok", None), ("cancelled", "interrupted"))
    assert rig.remarks() == ["interrupted: starting nothing more, waiting for what runs (again: end it)"]
    assert rig.inspector.drained == 1


def test_who_is_in_a_hurry_does_not_wait_for_the_inspector(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), steps=[lambda rig: rig.interrupts.interrupt(2, 143)])
    assert rig.run().exit_code == 143
    assert rig.inspector.drained == 0


# --- environments, refusals, remarks -----------------------------------------------------------------------------------------


def installed(name: str, failure: str | None = None) -> Step:
    where = ("/env/bin/python", "/env/bin") if failure is None else (None, None)
    return lambda rig: rig.installer.ready.append(Installed(name, *where, failure))


def test_a_start_waits_for_its_environment_and_others_do_not(make: Callable[..., Rig]) -> None:
    rig = make(
        task("a", environment="e"), task("b"), cores=2, environments={"e": Environment(requirements=("x",))},
        steps=[end_one, installed("e"), end_one],
    )  # fmt: skip
    assert rig.run().state == "ok"
    assert [order.name for order in rig.executor.orders] == ["b", "a"]
    assert rig.executor.orders[1].interpreter == "/env/bin/python"
    assert rig.installer.asked == ["e"]


def test_a_start_that_waits_for_its_environment_can_be_cancelled(make: Callable[..., Rig]) -> None:
    rig = make(
        task("a", environment="e"), environments={"e": Environment(requirements=("x",))},
        steps=[lambda rig: rig.requests.put(CancelRequested(None))],
    )  # fmt: skip
    assert rig.run().state == "cancelled"
    assert rig.state("a") == ("cancelled", "cancelled")
    assert not rig.executor.orders
    assert rig.store.attempts(RUN)[0].state == "cancelled"


def test_the_first_interrupt_takes_back_what_waits_for_its_environment(make: Callable[..., Rig]) -> None:
    rig = make(
        task("a", environment="e"), task("b"), cores=2, environments={"e": Environment(requirements=("x",))},
        steps=[lambda rig: rig.interrupts.interrupt(1, 130), end_one],
    )  # fmt: skip
    assert rig.run().state == "interrupted"
    assert (rig.state("a"), rig.state("b")) == (("cancelled", "interrupted"), ("ok", None))
    assert [order.name for order in rig.executor.orders] == ["b"]


def test_an_environment_that_cannot_be_installed_fails_its_tasks_alone(make: Callable[..., Rig]) -> None:
    rig = make(
        task("a", environment="e"), task("b"), cores=2, environments={"e": Environment(requirements=("x",))},
        steps=[installed("e", "there is no x"), end_one],
    )  # fmt: skip
    rig.run()
    assert (rig.state("a"), rig.state("b")) == (("failed", "setup"), ("ok", None))
    assert rig.store.attempts(RUN)[0].detail == "there is no x"


def test_an_order_that_cannot_be_written_ends_its_attempt(make: Callable[..., Rig]) -> None:
    def refuse(_: Any) -> Any:
        raise OrderError("not_found", "no such function")

    rig = make(task("a"), refuse=refuse)
    rig.run()
    assert rig.state("a") == ("failed", "not_found")
    assert not rig.executor.orders


def test_remarks_of_executors_reach_the_observers(make: Callable[..., Rig]) -> None:
    rig = make(task("a"), steps=[lambda rig: rig.executor.remark("strays were ended", next(iter(rig.executor.live)))])
    rig.run()
    assert rig.remarks() == ["strays were ended"]


# --- what an attempt that exited well still has to show -----------------------------------------------------------------------


def test_a_missing_output_fails_an_attempt_that_exited_well(make: Callable[..., Rig]) -> None:
    rig = make(task("a", outputs=["o"]))
    rig.inspector.missing[0, WHOLE] = ("missing_output", "declared output not made: o")
    rig.run()
    assert rig.state("a") == ("failed", "missing_output")


def test_a_late_report_changes_neither_outcomes_nor_products(make: Callable[..., Rig]) -> None:
    def speak_up(rig: Rig) -> None:
        late = Finished(AttemptKey(0, WHOLE, 1), 99, Outcome(True, product="of an attempt that nobody ordered"))
        rig.executor._report(late)

    rig = make(
        task("a", product=Product("stdout")),
        task("b"),
        steps=[lambda rig: rig.executor.end(AttemptKey(0, WHOLE, 1), Outcome(True, product="true")), speak_up],
    )
    rig.run()
    assert rig.parts.products.text(0) is None, "nobody wants it, so it is not kept"
    assert rig.parts.products.digest(0) is not None
    before = rig.parts.products.digest(0)
    assert rig.store.attempts(RUN, 0)[0].product == "true"
    assert rig.scheduler.ignored == 1
    assert rig.parts.products.digest(0) == before


def test_json_that_does_not_parse_fails_with_cause_type(make: Callable[..., Rig]) -> None:
    rig = make(task("a", product=Product("json")), behave=lambda _: Outcome(True, product="{"))
    rig.run()
    assert rig.state("a") == ("failed", "type")


def test_results_and_reasons_are_recorded_with_the_facts(make: Callable[..., Rig]) -> None:
    rig = make(task("a", outputs=["o"]))
    reason = Reason("first", "it never ran")
    rig.inspector.found[0] = Inspected(0, fingerprint="ab", reasons=(reason,))
    rig.inspector.results.append(ResultRow("key", "a", "", "ab", {}, (), None, RUN))
    rig.run()
    assert rig.store.reasons(RUN, 0) == (reason,)
    assert list(rig.store.results("key")) == [("a", "")]


def test_a_ticker_gets_time_when_it_wants_it_and_when_the_loop_is_idle() -> None:
    ticks: list[tuple[float, bool]] = []

    class Ticking(Rig):
        def tick(self, idle: bool) -> float | None:
            ticks.append((self.clock.monotonic() - 1000.0, idle))
            return 10.0 if len(ticks) < 4 else None

    rig = Ticking(task("a"))
    try:
        rig.run()
    finally:
        rig.close()
    first = ticks[0][0]
    assert all(idle for _, idle in ticks)
    assert next(moment - first for moment, _ in ticks if moment > first) == pytest.approx(10.0)


def test_the_gauge_shows_what_lives_and_what_is_held(make: Callable[..., Rig]) -> None:
    seen: list[Any] = []
    rig = make(task("a"), task("b", after=["a"]), steps=[lambda rig: None, lambda rig: seen.append(rig.engine.gauge())])
    rig.run()
    (gauge,) = seen
    assert gauge.counts["running"] == 1 and gauge.counts["pending"] == 1
    assert gauge.held == {"cores": 1000}
    assert [key for key, _ in gauge.live] == [AttemptKey(0, WHOLE, 1)]
