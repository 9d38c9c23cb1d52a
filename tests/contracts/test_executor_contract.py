"""What every executor promises, run on the fake and on the real one."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest

from support.local_runs import LIMIT, LocalRun
from weft.executors.noop import NoopExecutor
from weft.executors.simulated import SimulatedExecutor
from weft.ports import Began, Code, DryExecutor, Executor, Finished, Function, Order, Process, Report
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome
from weft.testing.fake_executor import FakeExecutor


class World(Protocol):
    """An executor, and how to make its attempts do something: succeed, fail with exit 3, or run until `let_end`."""

    executor: Executor

    def order(self, what: str, **fields: Any) -> Order: ...
    def let_end(self, order: Order) -> None: ...
    def successor(self) -> Executor: ...
    def close(self) -> None: ...


class FakeWorld:
    def __init__(self, _: Path):
        self.executor = FakeExecutor(self._behave)
        self._number = 0

    def _behave(self, order: Order) -> Outcome | None:
        assert isinstance(order.launch, Process)
        return {"ok": Outcome(True, exit_code=0), "fail": Outcome(False, "exit:3", 3)}.get(order.launch.argv[0])

    def order(self, what: str, **fields: Any) -> Order:
        self._number += 1
        key = fields.pop("key", AttemptKey(self._number, -1, 1))
        return Order(key, self._number, f"t{self._number}", f"n{self._number}", Process((what,)), "/", **fields)

    def let_end(self, order: Order) -> None:
        if order.key in self.executor.live:
            self.executor.end(order.key)

    def successor(self) -> Executor:
        return self.executor

    def close(self) -> None:
        self.executor.close()


class ProcessWorld:
    SCRIPTS: ClassVar = {"ok": "exit 0", "fail": "exit 3", "run": 'until [ -e "$GO" ]; do sleep 0.02; done'}

    def __init__(self, folder: Path):
        self.run = LocalRun(folder)
        self.executor: Executor = self.run.executor

    def _go(self, order: Order) -> Path:
        return self.run.folder / f"go-{order.nonce}"

    def order(self, what: str, **fields: Any) -> Order:
        order = self.run.shell(self.SCRIPTS[what], **fields)
        return self._dressed(order)

    def _dressed(self, order: Order) -> Order:

        return order._replace(environment={"GO": str(self._go(order))})

    def let_end(self, order: Order) -> None:
        self._go(order).touch()

    def successor(self) -> Executor:
        self.run.abandon()
        self.executor = self.run.executor
        return self.executor

    def close(self) -> None:
        self.run.audit()


class SnippetWorld(ProcessWorld):
    SCRIPTS: ClassVar = {
        "ok": "pass",
        "fail": "raise ValueError('no')",
        "run": "import os, time\nwhile not os.path.exists(go): time.sleep(0.02)",
    }

    def order(self, what: str, **fields: Any) -> Order:
        order = self.run.snippet(self.SCRIPTS[what], **fields)
        assert isinstance(order.launch, Code)
        return order._replace(launch=order.launch._replace(values={"go": str(self._go(order))}))


class LonelySnippetWorld(SnippetWorld):
    def order(self, what: str, **fields: Any) -> Order:
        return super().order(what, isolation="process", **fields)


class CallWorld(ProcessWorld):
    """Functions in workers."""

    SOURCE = """
import os, time
def ok(go): pass
def fail(go): raise ValueError("no")
def run(go):
    while not os.path.exists(go): time.sleep(0.02)
"""

    def order(self, what: str, **fields: Any) -> Order:
        self.run.module(self.SOURCE)
        order = self.run.call(f"functions:{what}", **{"isolation": "worker", **fields})
        assert isinstance(order.launch, Function)
        return order._replace(launch=order.launch._replace(arguments={"go": str(self._go(order))}))


class LonelyCallWorld(CallWorld):
    def order(self, what: str, **fields: Any) -> Order:
        return super().order(what, isolation="process", **fields)


Make = Callable[[Path], World]


@pytest.fixture(
    params=[FakeWorld, ProcessWorld, SnippetWorld, LonelySnippetWorld, CallWorld, LonelyCallWorld],
    ids=["fake", "process", "snippet", "lonely snippet", "call", "lonely call"],
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    found: World = request.param(tmp_path / "state")
    yield found
    found.close()


def collect(executor: Executor, enough: Callable[[list[Report]], bool]) -> list[Report]:
    """Poll when the bells ring, until there is enough."""
    reports: list[Report] = list(executor.poll().reports)
    while not enough(reports):
        ready, _, _ = select.select(executor.bells(), [], [], LIMIT)
        assert ready, f"no bell rang; so far {reports}"
        reports += executor.poll().reports
    return reports


def ends(reports: list[Report]) -> dict[AttemptKey, Finished]:
    found = [report for report in reports if isinstance(report, Finished)]
    assert len({report.key for report in found}) == len(found), "an attempt ended twice"
    return {report.key: report for report in found}


def begun(reports: list[Report]) -> list[AttemptKey]:
    return [report.key for report in reports if isinstance(report, Began)]


def test_an_attempt_begins_and_ends_once_under_its_own_nonce(world: World) -> None:
    order = world.order("ok")
    world.executor.submit([order])
    reports = collect(world.executor, lambda found: bool(ends(found)))
    assert [type(report) for report in reports] == [Began, Finished]
    assert {report.nonce for report in reports if not isinstance(report, type(None))} == {order.nonce}
    assert ends(reports)[order.key].outcome.ok


def test_a_failure_has_a_cause_and_is_charged(world: World) -> None:
    order = world.order("fail")
    world.executor.submit([order])
    outcome = ends(collect(world.executor, lambda found: bool(ends(found))))[order.key].outcome
    assert not outcome.ok
    assert outcome.cause in ("exit:3", "exception")
    assert outcome.charged


def test_a_terminated_attempt_ends_with_the_cause_it_was_given(world: World) -> None:
    order = world.order("run")
    world.executor.submit([order])
    collect(world.executor, lambda found: bool(begun(found)))
    world.executor.stop([order.key], "terminate", "cancelled")
    outcome = ends(collect(world.executor, lambda found: bool(ends(found))))[order.key].outcome
    assert (outcome.ok, outcome.cause) == (False, "cancelled")
    world.let_end(order)


def test_withdraw_leaves_what_has_begun_alone(world: World) -> None:
    order = world.order("run")
    world.executor.submit([order])
    collect(world.executor, lambda found: bool(begun(found)))
    world.executor.stop([order.key], "withdraw", "cancelled")
    world.let_end(order)
    outcome = ends(collect(world.executor, lambda found: bool(ends(found))))[order.key].outcome
    assert outcome.ok


def test_an_ahead_order_waits_for_an_end_in_its_lane(world: World) -> None:
    first, second, third = (
        world.order("run", lane=7),
        world.order("run", lane=7, ahead=True),
        world.order("run", lane=7, ahead=True),
    )
    other = world.order("ok", lane=8)
    world.executor.submit([first, second, third, other])
    reports = collect(world.executor, lambda found: other.key in ends(found) and first.key in begun(found))
    assert second.key not in begun(reports)
    world.let_end(first)
    reports = collect(world.executor, lambda found: second.key in begun(found))
    assert third.key not in begun(reports)
    for order in (second, third):
        world.let_end(order)
    if third.key not in begun(reports):
        collect(world.executor, lambda found: third.key in ends(found))


def test_an_ahead_order_that_is_withdrawn_never_begins_and_costs_nothing(world: World) -> None:
    first, second, third = world.order("run"), world.order("run", ahead=True), world.order("run", ahead=True)
    world.executor.submit([first, second, third])
    collect(world.executor, lambda found: first.key in begun(found))
    world.executor.stop([second.key], "withdraw", "cancelled")
    outcome = ends(collect(world.executor, lambda found: second.key in ends(found)))[second.key].outcome
    assert (outcome.ok, outcome.cause, outcome.charged) == (False, "cancelled", False)
    for order in (first, third):
        world.let_end(order)
    reports = collect(world.executor, lambda found: third.key in ends(found))
    assert second.key not in begun(reports)


def test_an_ahead_order_for_a_lane_in_which_nothing_lives_starts_at_once(world: World) -> None:
    order = world.order("ok", lane=3, ahead=True)
    world.executor.submit([order])
    assert ends(collect(world.executor, lambda found: bool(ends(found))))[order.key].outcome.ok


def test_attempts_that_fail_hand_their_turn_on(world: World) -> None:
    orders = [world.order("fail", ahead=number > 0) for number in range(30)]
    world.executor.submit(orders)
    found = ends(collect(world.executor, lambda found: len(ends(found)) == len(orders)))
    assert {order.key for order in orders} == set(found)


def test_stopping_what_is_not_there_does_nothing(world: World) -> None:
    world.executor.stop([AttemptKey(99, -1, 1)], "kill", "cancelled")
    assert not world.executor.poll().reports


def test_a_successor_finds_the_living_and_hears_of_the_ended_and_the_never_started(world: World) -> None:
    running, ended = world.order("run", lane=1), world.order("ok", lane=2)
    waiting, unknown = world.order("run", lane=1, ahead=True), world.order("ok")
    world.executor.submit([running, ended, waiting])
    collect(world.executor, lambda found: running.key in begun(found) and ended.key in ends(found))
    successor = world.successor()
    wanted = {order.key: order.nonce for order in (running, ended, waiting, unknown)}
    living = successor.reattach(wanted, {})
    assert set(living) == {running.key}
    assert isinstance(living[running.key], Began)
    found = ends(collect(successor, lambda found: len(ends(found)) == 3))
    assert found[ended.key].outcome.ok
    for order in (waiting, unknown):
        assert (found[order.key].outcome.cause, found[order.key].outcome.charged) == ("lost", False)
    world.let_end(running)
    outcome = ends(collect(successor, lambda found: running.key in ends(found)))[running.key].outcome
    assert outcome.ok


def test_close_can_be_called_twice_and_takes_nobody_elses_descriptors(world: World, tmp_path: Path) -> None:
    world.executor.close()
    others = [
        os.open(tmp_path, os.O_RDONLY) for _ in range(20)
    ]  # numbers that the first close has set free are among them
    try:
        world.executor.close()
        assert all(stat.S_ISDIR(os.fstat(other).st_mode) for other in others)
    finally:
        for other in others:
            os.close(other)


@pytest.mark.parametrize(
    ("make", "seconds"),
    [(NoopExecutor, 0.0), (lambda: SimulatedExecutor([4.5] * 10), 4.5)],
    ids=["noop", "simulated"],
)
def test_executors_that_run_nothing_end_everything_at_once(make: Callable[[], Executor], seconds: float) -> None:
    executor = make()
    assert isinstance(executor, DryExecutor)
    orders = [Order(AttemptKey(n, -1, 1), n, "t", "n", Process(("x",)), "/", ahead=n > 2) for n in range(10)]
    executor.submit(orders)
    reports = collect(executor, lambda found: bool(found))
    assert [report.key for report in reports if isinstance(report, Finished)] == [order.key for order in orders]
    assert all(report.outcome.ok for report in reports if isinstance(report, Finished))
    assert {report.outcome.usage.seconds for report in reports if isinstance(report, Finished)} == {seconds}
    assert not select.select(executor.bells(), [], [], 0)[0]
    assert executor.reattach({AttemptKey(3, -1, 1): 99}, {}) == {}
    (lost,) = executor.poll().reports
    assert isinstance(lost, Finished) and lost.outcome.cause == "lost" and not lost.outcome.charged
    executor.close()
    executor.close()
