"""Reasons and the audit, where scenarios do not come by; the manual clock."""

from __future__ import annotations

import pytest

from weft.errors import InternalError
from weft.scheduling import invariants
from weft.scheduling.events import AttemptEnded
from weft.scheduling.lifecycle import FAILED, OK, READY, RUNNING
from weft.scheduling.outcomes import Outcome
from weft.spec.retries import Retries
from weft.testing.manual_clock import ManualClock
from weft.testing.scenario import Scenario, task


def test_a_waiting_task_names_what_it_waits_for_and_counts_the_rest() -> None:
    run = Scenario(*(task(f"d{i}") for i in range(13)), task("all", after=[f"d{i}" for i in range(13)]))
    run.open(cores=1)
    reasons = run.reasons("all")
    assert [reason.part for reason in reasons] == [*(f"d{i}" for i in range(10)), "3"]
    assert reasons[0].text == "it waits for task 'd0', which is running"
    assert reasons[-1].text == "it waits for 3 more tasks"


def test_a_running_task_says_since_when_and_an_ended_one_how() -> None:
    run = Scenario(task("a"), task("b"))
    run.open(cores=2)
    run.clock.advance(75)
    run.send()
    assert run.reasons("a")[0].text == "attempt 1 has been under way for 1m 15s"
    run.end("a")
    run.end("b", "exit:3")
    assert run.reason_codes("a") == ["ok"]
    assert run.reasons("b")[0].part == "exit:3"


def test_a_scaled_retry_that_waits_tells_the_change() -> None:
    run = Scenario(task("a", resources={"memory": 100}, retries=Retries(2)), task("b", priority=1))
    run.open(slots=1, cores=2, memory=500)
    run.end("b")
    run.cancel()
    run = Scenario(task("a", resources={"memory": 100}, retries=Retries(2, delay=1)))
    run.open(cores=2, memory=500)
    run.end("a", "memory")
    assert run.reasons("a")[0].text == "its last attempt ended with memory; it is tried again with memory 100B -> 150B"


def test_instances_that_wait_say_for_what() -> None:
    run = Scenario(task("m", each=range(5), resources={"memory": 60}, retries=Retries(2)))
    run.open(cores=3, memory=100)
    assert [reason.code for reason in run.reasons("m")] == ["instances", "resource", "reserved"]
    run.end("m", "memory", instance=0)
    assert run.reason_codes("m").count("resource") >= 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda s: s.placement.held.__setitem__(0, 0), "held is kept"),
        (lambda s: s.placement.free.__setitem__(0, 7), "free make no"),
        (lambda s: setattr(s.board, "remaining", 1), "counted as not ended"),
        (lambda s: setattr(s.board, "inspecting", 1), "looks are counted"),
        (lambda s: s.workload.unmet.__setitem__(1, 0), "unmet dependencies"),
        (lambda s: s.workload.phases.__setitem__(1, READY), "stand in a lane"),
        (lambda s: s.workload.phases.__setitem__(1, OK), "counted as not ended"),
        (lambda s: s.workload.phases.__setitem__(0, FAILED), "without a cause"),
        (lambda s: s.workload.by_rank.__setitem__(0, 1), "permutation"),
        (lambda s: s.board.attempts.__setitem__(0, 5), "attempts were made"),
        (lambda s: s.board.trials.__setitem__(9 << 32, None), "a trial is kept"),
        (lambda s: s.board.waits.__setitem__(9 << 32, 0.0), "a wait is kept"),
        (lambda s: s.board.cancelling.add(9), "still being cancelled"),
        (lambda s: s.board.causes.__setitem__(9, "strange"), "is ok because of"),
        (lambda s: s.board.causes.__setitem__(10, "dependency:x"), "its dependencies say"),
        (lambda s: s.placement.live.clear(), "not both once"),
        (
            lambda s: s.placement.live.__setitem__(99, next(iter(s.placement.live.values()))),
            "nonce that is not its own",
        ),
        (lambda s: setattr(s.board.mapped[4], "open", 9), "open instances"),
        (lambda s: s.board.mapped[4].phases.__setitem__(0, FAILED), "instance"),
        (lambda s: s.board.timers.clear(), "delayed without a timer"),
        (lambda s: s.placement.lanes[next(iter(s.placement.lanes))].ahead.append(None), "ahead"),
    ],
)
def test_the_audit_sees_what_is_wrong(damage: object, told: str) -> None:
    run = Scenario(
        task("a", priority=2), task("b", after=["a"]), task("c"), task("d"), task("m", each=[1, 2], priority=1),
        task("timed", retries=Retries(2, delay=9), priority=3), task("x6"), task("x7"), task("x8"),
        task("done", priority=4), task("skipped", after=["bad"]), task("bad", priority=4),
    )  # fmt: skip
    run.open(cores=4)
    run.end("done")
    run.end("bad", "exit:1")
    run.end("timed", "exit:1")
    invariants.check(run.scheduler)
    damage(run.scheduler)  # type: ignore[operator]
    with pytest.raises(InternalError, match=told):
        invariants.check(run.scheduler)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda s: s.board.ripples.append((0, -1)), "not been told of an end"),
        (lambda s: setattr(s.board.makers[0], "has_begun", False), "has begun or has a live attempt"),
        (lambda s: setattr(s.board.makers[0], "is_flowing", False), "flows, or could"),
        (lambda s: setattr(s.board.makers[0], "count", 9), "has 2 of 9 items"),
        (lambda s: s.board.mapped[3].phases.__setitem__(1, RUNNING), "the one that it follows is running"),
        (lambda s: s.board.lanes[0].heirs.append(next(iter(s.placement.live.values()))), "keeps an heir"),
    ],
)
def test_the_audit_sees_what_is_wrong_with_streams(damage: object, told: str) -> None:
    run = Scenario(task("m", streams=True), task("k", reads=["m"]), task("a", of="m"), task("b", of="a"))
    run.open(cores=4)
    run.grow("m", "x", "y")
    run.begin("m")
    invariants.check(run.scheduler)
    damage(run.scheduler)  # type: ignore[operator]
    with pytest.raises(InternalError, match=told):
        invariants.check(run.scheduler)


def test_the_audit_sees_room_that_is_not_used() -> None:
    run = Scenario(task("a"), task("b"))
    run.open(cores=1)
    run.scheduler.placement.reservation = None
    run.scheduler.placement.capacity[0] = 2000
    run.scheduler.placement.free[0] = 1000
    with pytest.raises(InternalError, match="none was started"):
        invariants.check(run.scheduler)


def test_equal_events_give_equal_fingerprints_and_other_ones_others() -> None:
    runs = [Scenario(task("a"), task("b", after=["a"])) for _ in range(2)]
    for run in runs:
        run.open(cores=1)
    assert invariants.fingerprint(runs[0].scheduler) == invariants.fingerprint(runs[1].scheduler)
    start = runs[0].start_of("a")
    runs[0].send(AttemptEnded(start.key, start.nonce, Outcome(True)))
    assert invariants.fingerprint(runs[0].scheduler) != invariants.fingerprint(runs[1].scheduler)


def test_a_manual_clock_moves_only_forward_but_its_wall_may_jump() -> None:
    clock = ManualClock(5.0, 100.0)
    clock.advance(2.5)
    clock.jump(-50)
    assert (clock.monotonic(), clock.wall()) == (7.5, 52.5)
    with pytest.raises(ValueError, match="go back"):
        clock.advance(-1)
