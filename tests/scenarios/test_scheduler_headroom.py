"""Opportunistic mode: what starts, pauses and goes on as the host's own work comes and goes."""

from __future__ import annotations

import pytest

from weft.scheduling.commands import CloseAttempt, ExplainTask, Mention
from weft.scheduling.reasons import Reason
from weft.scheduling.scheduler import SchedulerOptions
from weft.spec.actions import Snippet
from weft.spec.retries import Retries
from weft.spec.tasks import Task
from weft.testing.scenario import Scenario, task

MODE = SchedulerOptions(opportunistic=True)


def scenario(*tasks: Task) -> Scenario:
    return Scenario(*tasks, options=MODE)


def lines(run: Scenario, *, own: float = 0, idle: float, times: int = 1, every: float = 2) -> list[str]:
    """So many samples, two seconds apart."""
    said: list[str] = []
    for _ in range(times):
        said += run.measure({"cores": own}, cores=idle)
        run.advance(every)
    return said


def both_running(*, interruptible: bool = True) -> Scenario:
    run = scenario(task("a"), task("b", interruptible=interruptible))
    run.open(cores=2)
    assert lines(run, idle=2) == ["start a", "start b"]
    run.begin("a")
    run.begin("b")
    return run


def test_nothing_starts_before_the_host_is_measured() -> None:
    run = scenario(task("a"))
    assert run.open(cores=2) == []
    assert run.reason_codes("a") == ["measuring"]
    assert lines(run, idle=2) == ["start a"]


def test_only_what_the_host_leaves_is_used() -> None:
    run = scenario(task("a"), task("b"), task("c"))
    run.open(cores=3)
    assert lines(run, idle=1) == ["start a"]
    assert run.scheduler.held() == {"cores": 1000}
    assert "host_busy" in run.reason_codes("b")
    assert lines(run, own=1, idle=2, times=3) == ["start b", "start c"]


def test_a_task_above_what_is_free_now_waits_and_is_not_skipped() -> None:
    run = scenario(task("a", resources={"cores": 4}))
    run.open(cores=4)
    assert lines(run, idle=1, times=50) == []
    assert run.state("a") == "pending"
    assert lines(run, idle=4, times=4) == ["start a"]


def test_a_task_above_the_capacity_is_skipped_however_busy_the_host_is() -> None:
    run = scenario(task("a", resources={"cores": 4}), task("b"))
    assert run.open(cores=2) == ["settle a skipped unsatisfiable:cores"]


def test_a_little_noise_keeps_no_task_from_a_small_host() -> None:
    run = scenario(task("a"))
    run.open(cores=1)
    assert lines(run, idle=0.92) == ["start a"]


def test_a_short_gap_is_used_by_short_tasks_only() -> None:
    run = scenario(task("long", duration=30.0, priority=1), task("short", duration=1.0, resources={"memory": 1}))
    run.open(cores=1, memory=1)
    lines(run, idle=0, times=5)
    assert lines(run, idle=1) == ["start short"]
    assert run.reason_codes("long") == ["resource", "host_busy"] or run.state("long") == "pending"


def test_small_tasks_use_what_is_left_beside_a_host_that_has_no_room_for_the_large_one() -> None:
    small = [task(f"s{number}") for number in range(200)]
    run = scenario(task("large", resources={"cores": 4}, priority=9), *small)
    run.open(cores=4)
    assert lines(run, idle=3) == ["start s0", "start s1", "start s2"]
    for number in range(150):  # longer than anybody's patience
        run.begin(f"s{number}")
        assert f"start s{number + 3}" in run.end(f"s{number}")
        lines(run, own=3, idle=0)
    assert run.state("large") == "pending"
    while "start large" not in run.end(run.running[0]):
        lines(run, own=len(run.running), idle=4 - len(run.running))
    assert run.running == ["large"]


def test_a_long_task_starts_when_the_gap_has_lasted_as_long_as_it_takes() -> None:
    run = scenario(task("long", duration=10.0))
    run.open(cores=1)
    lines(run, idle=0)
    assert lines(run, idle=1, times=5) == []  # the busy sample is 2 to 10 s old
    assert lines(run, idle=1) == ["start long"]


def test_no_task_needs_more_than_a_minute_of_quiet() -> None:
    run = scenario(task("endless", duration=1e6))
    run.open(cores=1)
    lines(run, idle=0)
    assert lines(run, idle=1, times=30) == []
    assert lines(run, idle=1) == ["start endless"]


def test_the_youngest_is_paused_when_the_host_stays_busy_and_goes_on_when_it_stays_quiet() -> None:
    run = both_running()
    assert lines(run, own=0.7, idle=0) == []  # once is no reason
    assert lines(run, own=0.7, idle=0) == ["pause b"]
    assert run.state("b") == "running"
    assert run.reason_codes("b") == ["host_busy"]
    assert lines(run, own=0.9, idle=0, times=20) == []  # what is left fits
    assert lines(run, own=1, idle=1) == []
    assert lines(run, own=1, idle=1) == ["continue b"]
    assert run.reason_codes("b") == ["running"]


def test_one_busy_moment_pauses_nobody() -> None:
    run = both_running()
    for _ in range(20):
        assert lines(run, own=0.5, idle=0) == []
        assert lines(run, own=1, idle=1) == []


def test_our_own_work_is_not_taken_for_the_hosts() -> None:
    run = both_running()
    assert lines(run, own=2, idle=0, times=50) == []


def test_a_host_that_has_room_left_pauses_nobody_though_what_is_held_is_not_all_there() -> None:
    run = both_running()
    assert lines(run, own=0, idle=1, times=50) == []  # ours sleep, the host uses one of two cores, and one is idle


def test_all_give_way_to_a_host_that_needs_everything_and_come_back_oldest_first() -> None:
    run = both_running()
    assert lines(run, own=0, idle=0, times=2) == ["pause b", "pause a"]
    assert lines(run, own=0, idle=1, times=2) == ["continue a"]
    assert lines(run, own=0, idle=2, times=2) == ["continue b"]


def test_what_may_not_be_interrupted_is_never_touched() -> None:
    run = both_running(interruptible=False)
    assert lines(run, own=0, idle=0, times=40) == ["pause a"]
    assert "pause b" not in lines(run, own=0, idle=0, times=40)


def test_a_snippet_in_a_thread_is_never_touched() -> None:
    made = task("a", resources={"cores": 1})
    snippet = Task("s", Snippet("pass"), policy=made.policy)
    run = scenario(made, snippet)
    run.open(cores=2)
    lines(run, idle=2)
    run.begin("a")
    run.begin("s")
    assert lines(run, own=0, idle=0, times=10) == ["pause a"]


def test_nothing_takes_the_place_of_a_paused_attempt() -> None:
    run = scenario(task("a"), task("b"), task("c"))
    run.open(cores=2)
    lines(run, idle=2)
    run.begin("a")
    run.begin("b")
    assert lines(run, own=0.7, idle=0, times=2) == ["pause b"]
    assert lines(run, own=1, idle=0.5, times=5) == []
    assert run.end("a") == ["close a ok", "settle a ok"]
    assert lines(run, own=0, idle=1, times=5) == ["continue b"]
    assert lines(run, own=1, idle=1, times=5) == ["start c"]


def test_a_paused_attempt_that_ends_is_forgotten() -> None:
    run = both_running()
    lines(run, own=0.7, idle=0, times=2)
    assert run.end("b", "signal:KILL") == ["close b signal:KILL", "settle b failed signal:KILL"]
    assert lines(run, own=1, idle=1, times=5) == []
    run.end("a")
    assert run.is_finished


def test_a_paused_attempt_can_be_cancelled_and_interrupted() -> None:
    run = both_running()
    lines(run, own=0.7, idle=0, times=2)
    assert run.cancel("b") == ["terminate b cancelled"]
    lines(run, own=1, idle=1, times=3)
    run.end("b", "cancelled")
    assert run.interrupt(2) == ["terminate a interrupted"]
    run.end("a", "interrupted")
    assert run.is_finished


def test_memory_is_given_back_by_stopping_and_costs_no_try() -> None:
    run = scenario(
        task("a", resources={"cores": 0, "memory": 4 << 30}, retries=Retries(max_attempts=1)),
        task("b", resources={"cores": 0, "memory": 4 << 30}, retries=Retries(max_attempts=1)),
    )
    run.open(memory=8 << 30)
    gib = float(1 << 30)
    run.measure({"memory": 0}, memory=8 * gib)
    run.begin("a")
    run.begin("b")
    told = run.measure({"memory": 4 * gib}, memory=0) + run.measure({"memory": 4 * gib}, memory=0)
    assert told == ["terminate b interrupted"]
    assert run.end("b", "interrupted") == ["close b interrupted retry"]
    (closed,) = run.of(CloseAttempt, "b")
    assert not closed.outcome.charged
    assert run.state("b") in ("pending", "running")
    assert run.measure({"memory": 2 * gib}, memory=0) == []
    run.advance(4)
    assert run.measure({"memory": 2 * gib}, memory=6 * gib) == []
    run.advance(4)
    assert run.measure({"memory": 2 * gib}, memory=6 * gib) == ["start b #2"]


def test_a_resource_that_only_its_holders_use_is_never_given_back() -> None:
    run = scenario(
        task("a", resources={"license": 1}), task("b", resources={"license": 1}), task("c", resources={"license": 1})
    )
    run.open(cores=9, license=3)
    assert run.measure(license=2) == ["start a", "start b"]
    run.begin("a")
    run.begin("b")
    for _ in range(5):  # somebody else has the third
        assert run.measure(license=0) == []
        run.advance(2)
    assert run.measure(license=1) == []
    run.advance(6)
    assert run.measure(license=1) == ["start c"]


def test_what_is_no_longer_measured_bounds_nothing() -> None:
    run = both_running()
    assert lines(run, own=0.7, idle=0, times=2) == ["pause b"]
    assert run.measure() + run.measure() == ["continue b"]


def test_people_are_told_and_the_reason_of_before_comes_back() -> None:
    run = scenario(task("a", outputs=["x"]))
    run.open(cores=1)
    lines(run, idle=1)
    why = Reason("code", "its code changed")
    run.inspected("a", reasons=(why,))
    run.begin("a")
    assert lines(run, own=0, idle=0, times=2) == ["pause a"]
    (told,) = run.of(Mention, "a")
    assert told.text == "paused: the host is busy (cores: 0 idle)"
    assert [reason.code for reason in run.of(ExplainTask, "a")[-1].reasons] == ["code", "host_busy"]
    assert lines(run, own=0, idle=1, times=2) == ["continue a"]
    assert run.of(ExplainTask, "a")[-1].reasons == (why,)


@pytest.mark.parametrize("mode", [True, False])
def test_a_measurement_means_nothing_out_of_this_mode(mode: bool) -> None:
    run = Scenario(task("a"), task("b"), options=SchedulerOptions(opportunistic=mode, unlimited=True))
    assert run.open() == ["start a", "start b"]
    assert run.measure({"cores": 0}, cores=0) == []
    assert run.scheduler.ignored == 1
