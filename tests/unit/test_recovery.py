"""What a run that is taken up starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from weft.ports import AttemptRow, Finished, OpenRun, Order, Process, RunRow, TaskRow
from weft.runtime.recovery import compare, end_changed, recover, reopen, unfinished
from weft.scheduling.commands import ReopenTask
from weft.scheduling.events import AttemptAdopted, ItemsRecovered, RequestRecovered, TaskRecovered
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, NO_USAGE, Outcome, Request
from weft.spec.actions import Call, Command, Serialized
from weft.spec.graph import Graph
from weft.spec.options import Opaque
from weft.spec.plan import Plan
from weft.spec.tasks import Task
from weft.testing.fake_executor import FakeExecutor
from weft.testing.manual_clock import ManualClock
from weft.testing.scenario import task

RUN = RunRow("r", "key", None, "/", "running", 0.0, None, None, 1, {}, 3)
SMALL, LARGE = Request((("memory", 1000),)), Request((("memory", 1500),))
PLAN = Plan(Graph([task("a"), task("b"), task("c")]), "/")


@pytest.fixture
def executor() -> Iterator[FakeExecutor]:
    made = FakeExecutor()
    yield made
    made.close()


def row(task: int, state: str, cause: str | None = None) -> TaskRow:
    return TaskRow(task, "abc"[task], state, cause, None, 1, None, None, None, None, 0)  # type: ignore[arg-type]


def attempt(task: int, number: int, state: str, request: Request = SMALL, again: Request | None = None) -> AttemptRow:
    started = 5.0 if state == "running" else None
    return AttemptRow(
        AttemptKey(task, WHOLE, number), 100 * task + number, state, None, None, None, started, NO_USAGE, request,
        NO_OUTPUT, NO_OUTPUT, None, None, True, again,
    )  # fmt: skip


def opened(tasks: Sequence[TaskRow] = (), attempts: Sequence[AttemptRow] = (), items: object = None) -> OpenRun:
    return OpenRun(RUN, tasks, items or {}, attempts, {})  # type: ignore[arg-type]


def order(found: AttemptRow) -> Order:
    return Order(found.key, found.nonce, "token", "name", Process(("true",)), "/")


# --- which tasks -----------------------------------------------------------------------------------------------------------


def test_all_but_what_is_ok_or_was_cancelled_on_request_is_taken_up() -> None:
    rows = [row(0, "ok"), row(1, "cancelled", "cancelled"), row(2, "cancelled", "interrupted")]
    assert unfinished(rows) == {2}
    assert unfinished([row(0, "failed", "exit:1"), row(1, "skipped", "dependency:a"), row(2, "pending")]) == {0, 1, 2}


def test_a_task_that_was_ok_runs_anew_and_one_that_failed_keeps_its_good_instances() -> None:
    found = opened([row(0, "ok"), row(1, "failed"), row(2, "pending")])
    assert reopen(found, {0, 1, 2}) == [ReopenTask(0, True), ReopenTask(1, False)]
    assert reopen(found, {2}) == []


def test_instances_that_failed_before_their_task_had_ended_are_open_again() -> None:
    found = opened([row(0, "running")], items={0: (("x", "ok", None), ("y", "failed", "exit:1"))})
    assert reopen(found, {0}) == [ReopenTask(0)]
    assert reopen(found, set()) == [ReopenTask(0)], "also when nobody asks: they cannot end twice"


# --- facts -------------------------------------------------------------------------------------------------------------------


def test_what_has_ended_is_told_and_what_is_pending_again_is_not(executor: FakeExecutor) -> None:
    found = recover(
        opened([row(0, "ok", "cached"), row(1, "failed", "exit:1"), row(2, "pending")]),
        {"fake": executor},
        "fake",
        plan=PLAN,
        redo={1},
        rescaled=(),
    )
    assert list(found.facts) == [TaskRecovered(0, "ok", "cached")]
    assert found.done == 1


def test_items_are_kept_with_those_that_are_ok(executor: FakeExecutor) -> None:
    items = {1: (("x", "failed", "exit:1"), ("y", "ok", None))}
    found = recover(opened(items=items), {"fake": executor}, "fake", plan=PLAN, redo={1}, rescaled=())
    assert list(found.facts) == [ItemsRecovered(1, ("x", "y"), frozenset({1}))]


@pytest.mark.parametrize(
    ("attempts", "request_"),
    [
        ([attempt(0, 1, "failed", SMALL, LARGE)], LARGE),
        ([attempt(0, 1, "failed", SMALL, LARGE), attempt(0, 2, "cancelled", LARGE)], LARGE),
        ([attempt(0, 1, "ok", LARGE)], None),
    ],
    ids=["a retry was decided", "the scaled one was interrupted", "it is ok"],
)
def test_a_scaled_request_is_kept(executor: FakeExecutor, attempts: list[AttemptRow], request_: Request | None) -> None:
    found = recover(opened(attempts=attempts), {"fake": executor}, "fake", plan=PLAN, redo={0}, rescaled=())
    assert list(found.facts) == [RequestRecovered(0, WHOLE, len(attempts), request_)]
    changed = recover(opened(attempts=attempts), {"fake": executor}, "fake", plan=PLAN, redo={0}, rescaled={0})
    assert list(changed.facts) == [RequestRecovered(0, WHOLE, len(attempts), None)], "a changed plan asks anew"


# --- open attempts -----------------------------------------------------------------------------------------------------------


def test_open_attempts_are_adopted_and_end_as_the_executor_knows(executor: FakeExecutor) -> None:
    alive, done, gone = attempt(0, 1, "queued"), attempt(1, 1, "running"), attempt(2, 1, "running")
    executor.submit([order(alive), order(done)])
    executor.end(done.key, Outcome(True, product="p"))
    found = recover(opened(attempts=[alive, done, gone]), {"fake": executor}, "fake", plan=PLAN, redo=(), rescaled=())
    adopted = [fact for fact in found.facts if isinstance(fact, AttemptAdopted)]
    assert [(fact.key, fact.started) for fact in adopted] == [(alive.key, 1.0), (done.key, 5.0), (gone.key, 5.0)]
    assert [began.key for began in found.begun] == [alive.key], "its beginning was not recorded"
    ends = {report.key: report.outcome for report in found.reports.reports if isinstance(report, Finished)}
    assert ends[done.key] == Outcome(True, product="p")
    assert (ends[gone.key].cause, alive.key in ends) == ("lost", False)
    assert found.reports.offsets == {"fake": 1}


class Silent(FakeExecutor):
    """Knows nothing of what was."""

    def reattach(self, nonces: object, offsets: object) -> dict[AttemptKey, None]:
        return {}


@pytest.mark.parametrize(("state", "is_charged"), [("queued", False), ("running", True)])
def test_an_attempt_that_left_no_trace_is_lost_and_charged_only_if_it_had_begun(state: str, is_charged: bool) -> None:
    executor = Silent()
    try:
        found = recover(
            opened(attempts=[attempt(0, 1, state)]), {"fake": executor}, "fake", plan=PLAN, redo=(), rescaled=()
        )
    finally:
        executor.close()
    (report,) = found.reports.reports
    assert isinstance(report, Finished)
    assert (report.outcome.cause, report.outcome.charged) == ("lost", is_charged)


def test_an_executor_that_is_not_there_any_more_is_stood_in_for(executor: FakeExecutor) -> None:
    plan = Plan(Graph([task("a", executor="elsewhere")]), "/")
    found = recover(
        opened(attempts=[attempt(0, 1, "running")]), {"fake": executor}, "fake", plan=plan, redo=(), rescaled=()
    )
    assert [type(report) for report in found.reports.reports] == [Finished]


# --- the plan has changed ------------------------------------------------------------------------------------------------------


def test_a_changed_plan_is_told_by_task_and_field() -> None:
    old = Plan(Graph([task("a"), task("b"), task("c")]), "/")
    changed = replace(
        old.graph.tasks[1], action=Command(("false",)), policy=replace(old.graph.tasks[1].policy, niceness=3)
    )
    change = compare(old, Plan(Graph([task("a"), changed, task("d")]), "/"))
    assert change.lines() == ["added: d", "removed: c", "changed: b (action, niceness)"]
    assert not compare(old, old)


def test_a_function_by_value_has_changed_only_when_its_code_has() -> None:
    def plan(data: str, code: str) -> Plan:
        return Plan(Graph([Task("a", Call(Serialized(data=data), code={"code:a": code}))]), "/")

    assert not compare(plan("one pickle", "x"), plan("another pickle", "x"))
    assert compare(plan("one pickle", "x"), plan("one pickle", "y")).lines() == ["changed: a (action)"]
    value = [replace(plan("", "x").graph["a"], parameters={"k": Opaque(data, "digest")}) for data in ("one", "two")]
    assert not compare(*(Plan(Graph([each]), "/") for each in value))


class Obedient:
    """Time that passes with each sleep."""

    def __init__(self) -> None:
        self.clock = ManualClock()

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        assert bells and seconds is not None
        self.clock.advance(seconds)


def test_live_attempts_of_what_changed_are_ended_and_do_not_count(executor: FakeExecutor) -> None:
    alive, gone = attempt(0, 1, "running"), attempt(1, 1, "queued")
    executor.submit([order(alive)])
    waiter = Obedient()
    facts = end_changed(executor, [alive, gone], {}, waiter.clock, waiter)
    assert executor.stops == [(alive.key, "terminate", "cancelled")]
    assert [(fact.key, fact.nonce, fact.outcome.cause, fact.outcome.charged, fact.retry) for fact in facts] == [
        (alive.key, 1, "cancelled", False, None),
        (gone.key, 101, "cancelled", False, None),
    ]


def test_what_cannot_be_ended_stays_open(executor: FakeExecutor) -> None:
    alive = attempt(0, 1, "running")
    executor.submit([order(alive)])
    executor.stop = lambda *_: None  # type: ignore[method-assign]
    waiter = Obedient()
    assert list(end_changed(executor, [alive], {}, waiter.clock, waiter)) == []
    assert waiter.clock.monotonic() == 1010.0
