"""Retries, skips, cancels, interrupts: how attempts and tasks end."""

from __future__ import annotations

import pytest

from weft.scheduling.commands import CloseAttempt, SettleTask, StartAttempt
from weft.scheduling.events import CapacityChanged, TimerFired
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Usage
from weft.scheduling.placement import SPARE_LANES
from weft.scheduling.scheduler import SchedulerOptions
from weft.scheduling.workload import QueueLimit
from weft.spec.retries import Retries
from weft.testing.scenario import Scenario, task

M = 2**20


# --- skips ----------------------------------------------------------------------------------------------------------------


def test_all_that_follow_a_failure_are_skipped_with_the_root_named_and_other_branches_go_on() -> None:
    run = Scenario(
        task("a"), task("b", after=["a"]), task("c", after=["b"]), task("other"), task("then", after=["other"])
    )
    run.open(cores=2)
    assert run.end("a", "exit:3", detail="no") == [
        "close a exit:3",
        "settle a failed exit:3",
        "settle b skipped dependency:a",
        "settle c skipped dependency:a",
    ]
    assert run.of(SettleTask, "a")[0].detail == "no"
    assert run.end("other")[-1] == "start then"
    assert [reason.text for reason in run.reasons("c")] == ["task 'a', which it follows, did not end well"]
    run.end("then")
    assert run.is_finished
    assert run.scheduler.counts() == {"pending": 0, "running": 0, "ok": 2, "failed": 1, "skipped": 2, "cancelled": 0}


def test_a_fan_of_100000_is_skipped_in_one_batch_and_a_chain_without_recursion() -> None:
    from weft.scheduling.events import AttemptEnded
    from weft.scheduling.outcomes import Outcome
    from weft.scheduling.scheduler import Scheduler
    from weft.spec.graph import Graph
    from weft.spec.plan import Plan

    fan = [task("root"), *(task(f"f{i}", after=["root"]) for i in range(50_000))]
    chain = [task(f"c{i}", after=[f"c{i - 1}"] if i else ["root"]) for i in range(50_000)]
    scheduler = Scheduler(Plan(Graph(fan + chain), "/"))
    (start,) = scheduler.handle([CapacityChanged({"cores": 1000})], 0.0)
    assert isinstance(start, StartAttempt)
    commands = scheduler.handle([AttemptEnded(start.key, start.nonce, Outcome(False, "exit:1"))], 0.0)
    assert len(commands) == 100_002
    assert {command.cause for command in commands[2:] if isinstance(command, SettleTask)} == {"dependency:root"}
    assert scheduler.is_finished


# --- retries --------------------------------------------------------------------------------------------------------------


def test_max_attempts_counts_all_charged_attempts() -> None:
    run = Scenario(task("a", retries=Retries(3)))
    run.open(cores=1)
    assert run.end("a", "exit:1") == ["close a exit:1 retry", "start a #2"]
    assert run.end("a", "signal:SEGV") == ["close a signal:SEGV retry", "start a #3"]
    assert run.end("a", "exit:1") == ["close a exit:1", "settle a failed exit:1"]
    assert run.of(SettleTask, "a")[0].attempts == 3


@pytest.mark.parametrize("cause", ["not_found", "type", "setup"])
def test_what_another_try_cannot_mend_is_not_retried_by_default(cause: str) -> None:
    run = Scenario(task("a", retries=Retries(3)))
    run.open(cores=1)
    assert run.end("a", cause)[-1] == f"settle a failed {cause}"


def test_retry_on_names_causes_or_their_kinds() -> None:
    run = Scenario(
        task("a", retries=Retries(3, retry_on=("exit:75", "not_found"))),
        task("b", retries=Retries(3, retry_on=("exit",))),
    )
    run.open(cores=2)
    assert run.end("a", "exit:75")[0] == "close a exit:75 retry"
    assert run.end("a", "not_found")[0] == "close a not_found retry"
    assert run.end("a", "exit:75")[-1] == "settle a failed exit:75"
    run = Scenario(task("a", retries=Retries(3, retry_on=("exit:75",))))
    run.open(cores=1)
    assert run.end("a", "exit:1")[-1] == "settle a failed exit:1"


def test_the_next_attempt_waits_for_the_delay() -> None:
    run = Scenario(task("a", retries=Retries(2, delay=5)))
    run.open(cores=1)
    assert run.end("a", "exit:1") == ["close a exit:1 retry"]
    assert run.reason_codes("a") == ["retry", "timer"]
    assert run.state("a") == "pending"
    assert run.advance(4.9) == []
    assert run.advance(0.1) == ["start a #2"]
    (close,) = run.of(CloseAttempt, "a")
    assert (close.retry.reason, close.retry.delay, close.retry.change) == ("exit:1", 5, None)
    assert run.send(TimerFired(77)) == []
    assert run.scheduler.ignored == 1


def test_lost_attempts_have_a_budget_of_their_own() -> None:
    run = Scenario(task("a", retries=Retries(2)))
    run.open(cores=1)
    assert run.end("a", "lost") == ["close a lost retry", "start a #2"]
    assert run.end("a", "exit:1") == ["close a exit:1 retry", "start a #3"]
    assert run.end("a", "lost") == ["close a lost retry", "start a #4"]
    assert run.end("a", "lost") == ["close a lost", "settle a failed lost"]


def test_uncharged_ends_use_no_budget_but_never_burn_a_core() -> None:
    run = Scenario(task("a"))
    run.open(cores=1)
    for number in (2, 3, 4):
        assert run.end("a", "lost", charged=False) == ["close a lost retry", f"start a #{number}"]
    assert run.end("a", "lost", charged=False) == ["close a lost retry"]
    assert run.advance(0.1) == ["start a #5"]
    for _ in range(20):
        run.end("a", "lost", charged=False)
        assert run.advance(10.0) != []
    assert run.end("a")[-1] == "settle a ok"


def test_an_attempt_lost_beside_others_is_made_again_alone() -> None:
    run = Scenario(task("a"))
    run.open(cores=1)
    assert run.end("a", "lost", charged=False, alone=True) == ["close a lost retry", "start a #2 alone"]
    assert run.end("a", "exit:3")[-1] == "settle a failed exit:3"


def test_a_failure_without_a_cause_counts_as_an_exception() -> None:
    run = Scenario(task("a"))
    run.open(cores=1)
    start = run.start_of("a")
    from weft.scheduling.events import AttemptEnded
    from weft.scheduling.outcomes import Outcome

    assert run.send(AttemptEnded(start.key, start.nonce, Outcome(False)))[-1] == "settle a failed exception"


def test_settled_tasks_carry_the_usage_of_the_attempt_that_ended_them() -> None:
    run = Scenario(task("a"))
    run.open(cores=1)
    run.end("a", seconds=2.5)
    assert run.of(SettleTask, "a")[0].usage == Usage(2.5)


# --- scaling --------------------------------------------------------------------------------------------------------------


def test_a_memory_failure_scales_memory_only_and_says_so() -> None:
    run = Scenario(task("a", resources={"memory": 40 * M, "cores": 2}, timeout=10.0, retries=Retries(9)))
    run.open(cores=2, memory=100 * M)
    run.end("a", "memory")
    run.end("a", "exit:1")
    run.end("a", "memory")
    run.end("a", "memory")
    requests = [start.request for start in run.of(StartAttempt, "a")]
    assert [dict(request.amounts)["memory"] // M for request in requests] == [40, 60, 60, 90, 100]
    assert {dict(request.amounts)["cores"] for request in requests} == {2000}
    assert {request.timeout for request in requests} == {10.0}
    changes = [close.retry.change for close in run.of(CloseAttempt, "a")]
    assert changes == ["memory 40M -> 60M", None, "memory 60M -> 90M", "memory 90M -> 100M"]
    run.end("a", "memory")
    assert run.of(CloseAttempt, "a")[-1].retry.change == "memory 100M, which is the most there is"


def test_a_time_limit_scales_likewise() -> None:
    run = Scenario(task("a", resources={"memory": M}, timeout=10.0, retries=Retries(3)))
    run.open(cores=1, memory=M)
    run.end("a", "timeout")
    assert run.start_of("a").request.timeout == 15.0
    assert run.of(CloseAttempt, "a")[0].retry.change == "timeout 10s -> 15s"


@pytest.mark.parametrize(
    ("wanted", "moves", "change"),
    [
        (50, [("short", 50), ("long", 75), ("last", 90), ("last", 90)], "memory 50B -> 75B, queue short -> long"),
        (100, [("short", 50), ("last", 90), ("last", 90), ("last", 90)], "memory 50B -> 90B, queue short -> last"),
    ],
)
def test_a_scaled_request_moves_to_the_first_queue_that_admits_what_is_wanted(
    wanted: int, moves: list[tuple[str, int]], change: str
) -> None:
    queues = {
        "short": QueueLimit({"memory": 50}, 100.0),
        "long": QueueLimit({"memory": 80}),
        "last": QueueLimit({"memory": 90}),
    }
    run = Scenario(
        task("a", resources={"memory": wanted}, queue="short", retries=Retries(9, fallback_queues=("long", "last"))),
        options=SchedulerOptions(queues=queues),
    )
    run.open(cores=1, memory=1000)
    for _ in range(3):
        run.end("a", "memory")
    got = [(start.request.queue, dict(start.request.amounts)["memory"]) for start in run.of(StartAttempt, "a")]
    assert got == moves
    assert run.of(CloseAttempt, "a")[0].retry.change == change


def test_a_scale_that_gives_no_amount_fails_the_task() -> None:
    run = Scenario(task("a", resources={"memory": 10}, retries=Retries(3, scales=(("memory", lambda old: -1.0),))))
    run.open(cores=1, memory=100)
    assert run.end("a", "memory")[-1] == "settle a failed setup"


# --- fail fast and interrupts ---------------------------------------------------------------------------------------------


def test_fail_fast_lets_running_attempts_end_and_gives_up_the_rest() -> None:
    run = Scenario(
        task("bad"), task("slow"), task("next"), task("after", after=["bad"]), task("then", after=["slow"]),
        options=SchedulerOptions(fail_fast=True),
    )  # fmt: skip
    run.open(slots=2, cores=8)
    run.end("bad", "exit:1")
    assert run.state("after") == "skipped"
    assert run.state("next") == "pending"
    assert run.reason_codes("next")[0] == "stopping"
    lines = run.end("slow")
    assert lines[:2] == ["close slow ok", "settle slow ok"]
    assert sorted(lines[2:]) == ["settle next cancelled interrupted", "settle then cancelled interrupted"]
    assert run.is_finished


def test_fail_fast_does_not_stop_for_an_attempt_that_is_tried_again() -> None:
    run = Scenario(task("a", retries=Retries(2)), task("b"), options=SchedulerOptions(fail_fast=True))
    run.open(slots=1, cores=8)
    assert run.end("a", "exit:1")[-1] == "start a #2"


def test_the_first_interrupt_starts_nothing_more_and_true_results_count() -> None:
    run = Scenario(task("a"), task("b", retries=Retries(5)), task("c", after=["a"]), task("d"))
    run.open(slots=2, cores=8)
    assert run.interrupt() == []
    assert run.interrupt() == []
    assert run.end("a") == ["close a ok", "settle a ok"]
    assert run.end("b", "exit:1") == [
        "close b exit:1",
        "settle b cancelled interrupted",
        "settle c cancelled interrupted",
        "settle d cancelled interrupted",
    ]
    assert run.scheduler.ignored == 1
    assert run.state("b") == "cancelled"
    assert run.cause("d") == "interrupted"
    assert run.is_finished


def test_a_task_that_fails_for_good_during_an_interrupt_has_failed_and_its_followers_are_told_why() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("c"))
    run.open(slots=1, cores=8)
    run.interrupt()
    run.end("a", "exit:1")
    assert (run.state("a"), run.cause("b"), run.cause("c")) == ("failed", "dependency:a", "interrupted")


def test_the_second_interrupt_terminates_and_the_third_kills() -> None:
    run = Scenario(task("a"), task("b", interruptible=False))
    run.open(cores=2)
    assert run.interrupt(1) == []
    assert run.interrupt(2) == ["terminate a interrupted", "terminate b interrupted"]
    assert run.reason_codes("a") == ["stopping", "stopping"]
    assert run.interrupt(3) == ["kill a interrupted", "kill b interrupted"]
    assert run.end("a", "interrupted")[-1] == "settle a cancelled interrupted"
    assert run.end("b", "exit:1")[-1] == "settle b failed exit:1"
    assert run.is_finished


def test_an_interrupt_withdraws_what_was_ordered_ahead() -> None:
    run = Scenario(task("a"), task("b"), task("c"), options=SchedulerOptions(queue_ahead=True))
    run.open(cores=1)
    run.end("a", seconds=0.01)
    assert run.interrupt() == ["withdraw c interrupted"]
    assert run.interrupt(2) == ["terminate b interrupted", "terminate c interrupted"]
    run.end("c", "interrupted", charged=False)
    run.end("b", "interrupted")
    assert [run.of(SettleTask, name)[0].attempts for name in "abc"] == [1, 1, 0], "c was never begun"
    assert run.is_finished


def test_an_interrupt_before_the_capacity_is_known_ends_the_run() -> None:
    run = Scenario(task("a"), task("b", after=["a"]))
    assert sorted(run.interrupt()) == ["settle a cancelled interrupted", "settle b cancelled interrupted"]
    assert run.is_finished


def test_a_foreign_interrupt_is_not_retried_and_interrupts_those_that_follow() -> None:
    run = Scenario(task("a", retries=Retries(5)), task("b", after=["a"]), task("c"))
    run.open(cores=2)
    assert run.end("a", "interrupted") == [
        "close a interrupted",
        "settle a cancelled interrupted",
        "settle b cancelled interrupted",
    ]
    assert run.reasons("b")[0].code == "interrupted"


def test_timers_that_fire_in_a_run_that_ends_start_nothing() -> None:
    run = Scenario(task("a", retries=Retries(2, delay=1)), task("b"))
    run.open(cores=2)
    run.end("a", "exit:1")
    run.interrupt()
    assert run.advance(2) == []
    run.end("b")
    assert run.cause("a") == "interrupted"


# --- cancels --------------------------------------------------------------------------------------------------------------


def test_a_cancelled_task_that_has_not_started_ends_at_once_and_those_that_follow_are_skipped() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("c", after=["b"]), task("d", after=["c"]))
    run.open(cores=1)
    assert run.cancel("c", "b") == [
        "settle c cancelled cancelled",
        "settle b cancelled cancelled",
        "settle d skipped dependency:c",
    ]
    assert run.reasons("b")[0].code == "cancelled"
    run.end("a")
    assert run.is_finished


def test_a_running_task_is_asked_to_end_and_its_true_result_counts() -> None:
    run = Scenario(
        task("a", retries=Retries(5)), task("b", retries=Retries(5)), task("c", retries=Retries(5)), task("d")
    )
    run.open(cores=4)
    assert run.cancel("a", "b", "c", "d") == [f"terminate {name} cancelled" for name in "abcd"]
    assert run.cancel("a") == []
    assert run.end("a", "cancelled")[-1] == "settle a cancelled cancelled"
    assert run.end("b", "exit:1")[-1] == "settle b failed exit:1"
    assert run.end("c", "lost")[-1] == "settle c cancelled cancelled"
    assert run.end("d")[-1] == "settle d ok"
    assert run.is_finished


def test_what_is_not_interruptible_is_awaited_unless_forced() -> None:
    run = Scenario(task("a", interruptible=False), task("b", interruptible=False))
    run.open(cores=2)
    assert run.cancel("a", "b") == []
    assert run.cancel("b", force=True) == ["terminate b cancelled"]
    assert run.end("a")[-1] == "settle a ok"
    assert run.end("b", "cancelled")[-1] == "settle b cancelled cancelled"


def test_a_cancelled_ready_task_leaves_its_lane_and_a_delayed_one_its_timer() -> None:
    run = Scenario(task("a"), task("b"), task("c", retries=Retries(2, delay=9)), order="file")
    run.open(slots=1, cores=4)
    run.cancel("b")
    assert run.end("a")[-1] == "start c"
    run.end("c", "exit:1")
    assert run.cancel("c") == ["settle c cancelled cancelled"]
    assert run.is_finished
    assert run.of(SettleTask, "c")[0].attempts == 1


def test_cancelling_all_cancels_everything_that_is_not_ended() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("c"))
    run.open(slots=1, cores=4)
    run.end("a")
    assert run.running == ["b"]
    assert run.cancel() == ["terminate b cancelled", "settle c cancelled cancelled"]
    run.end(run.running[0], "cancelled")
    assert run.is_finished
    assert run.cancel("a") == []
    assert run.scheduler.ignored == 1


def test_a_cancel_from_outside_counts_as_one() -> None:
    run = Scenario(task("a", retries=Retries(3)))
    run.open(cores=1)
    assert run.end("a", "cancelled")[-1] == "settle a cancelled cancelled"


def test_an_ahead_order_that_is_cancelled_is_withdrawn_or_ended() -> None:
    run = Scenario(task("a"), task("b"), task("c", interruptible=False), options=SchedulerOptions(queue_ahead=True))
    run.open(cores=1)
    run.end("a", seconds=0.01)
    assert run.cancel("c") == ["withdraw c cancelled"]
    assert run.end("c", "cancelled", charged=False)[-1] == "settle c cancelled cancelled"
    run.end("b")
    assert run.is_finished


def test_nonces_count_up_from_the_seed_and_wrap() -> None:
    run = Scenario(task("a"), task("b"), seed=2**64 - 1)
    run.open(cores=2)
    assert [run.start_of(name).nonce for name in "ab"] == [2**64 - 1, 0]
    assert run.start_of("a").key == AttemptKey(0, -1, 1)


def test_memory_stays_bounded_by_tasks_however_often_a_request_changes() -> None:
    growing = Retries(10_000, scales=(("memory", 0.0001),))
    run = Scenario(task("a", resources={"memory": 10_000}, retries=growing), task("b"))
    run.open(cores=2, memory=10**9)
    for _ in range(400):
        run.end("a", "memory")
    placement = run.scheduler.placement
    assert dict(run.start_of("a").request.amounts)["memory"] >= 10_400
    assert len(placement.lanes) == len(placement.lane_by_number) <= 2 + SPARE_LANES
    assert len(placement.heads) <= 2 + SPARE_LANES
    run.end("a")
    run.end("b")
    assert run.is_finished
