"""Dependencies, order, slots, resources, reservations: what starts when."""

from __future__ import annotations

import pytest

from weft.errors import InternalError
from weft.scheduling.commands import SetTimer, SettleTask, StartAttempt
from weft.scheduling.events import AttemptEnded, AttemptStarted, CapacityChanged, Inspected, LimitChanged, PauseChanged
from weft.scheduling.outcomes import Outcome
from weft.scheduling.placement import AHEAD_MOST, PATIENCE_STARTS
from weft.scheduling.scheduler import SchedulerOptions
from weft.testing.scenario import Scenario, task

GPU = 1_000_000


def test_followers_start_when_all_they_depend_on_is_ok() -> None:
    run = Scenario(task("a"), task("b"), task("c", after=["a", "b"]))
    assert run.open(cores=4) == ["start a", "start b"]
    assert run.end("a") == ["close a ok", "settle a ok"]
    assert run.end("b") == ["close b ok", "settle b ok", "start c"]
    run.end("c")
    assert run.is_finished
    assert run.scheduler.counts()["ok"] == 3


def test_nothing_starts_before_the_capacity_is_known() -> None:
    run = Scenario(task("a"))
    assert run.send() == []
    assert run.reason_codes("a") == ["opening"]
    assert run.open(cores=1) == ["start a"]


def test_an_empty_plan_is_finished_at_once() -> None:
    run = Scenario()
    assert run.open(cores=1) == []
    assert run.is_finished


def test_an_end_without_a_begin_is_fine_and_a_begin_is_recorded_once() -> None:
    run = Scenario(task("a"), task("b"))
    run.open(cores=2)
    assert run.begin("a") == ["begin a"]
    assert run.begin("a") == []
    assert run.scheduler.live() == [(run.start_of("a").key, run.clock.wall())]
    run.end("a")
    assert run.end("b") == ["close b ok", "settle b ok"]
    assert run.scheduler.ignored == 1


def test_unselected_tasks_count_as_satisfied_and_are_never_settled() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("c", after=["b"]), select=["b"])
    assert run.open(cores=4) == ["start b"]
    assert run.end("b") == ["close b ok", "settle b ok"]
    assert run.is_finished
    assert run.reason_codes("a") == ["not_selected"]
    assert run.scheduler.counts() == {"pending": 0, "running": 0, "ok": 1, "failed": 0, "skipped": 0, "cancelled": 0}


# --- order ----------------------------------------------------------------------------------------------------------------


def test_the_longest_remaining_path_goes_first_then_plan_order() -> None:
    run = Scenario(task("single"), task("x"), task("long"), task("more", after=["long"]))
    assert run.open(slots=1, cores=8) == ["start long"]
    assert [line for line in run.run_out() if line.startswith("start")] == ["start single", "start x", "start more"]


def test_declared_durations_decide_and_unknown_ones_count_as_the_median() -> None:
    tasks = [task("short", duration=1.0), task("unknown"), task("middle", duration=5.0), task("slow", duration=9.0)]
    run = Scenario(*tasks)
    run.open(slots=1, cores=8)
    order = ["slow", *[line.split()[1] for line in run.run_out() if line.startswith("start")]]
    assert order == ["slow", "unknown", "middle", "short"]
    tasks = [
        task("a", duration=2.0),
        task("b", duration=4.0),
        task("unknown"),
        task("c", duration=3.1),
        task("d", duration=2.9),
    ]
    run = Scenario(*tasks)
    assert run.open(slots=1, cores=8) == ["start b"]
    assert [line.split()[1] for line in run.run_out() if line.startswith("start")] == ["c", "unknown", "d", "a"]


def test_priority_goes_before_everything() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("urgent", priority=5))
    assert run.open(slots=1, cores=8) == ["start urgent"]


def test_file_order_is_plan_order_with_one_slot_whatever_the_demands() -> None:
    many = [task(f"t{i}", resources={"cores": 1 if i % 3 else 2}, duration=float(i % 5) + 1) for i in range(300)]
    run = Scenario(*many, order="file")
    first = run.open(slots=1, cores=2)
    lines = first + run.run_out()
    assert [line.split()[1] for line in lines if line.startswith("start")] == [f"t{i}" for i in range(300)]


def test_plan_order_need_not_be_an_order_that_works() -> None:
    run = Scenario(task("c", after=["b"]), task("b", after=["a"]), task("a"), task("x"))
    assert run.open(slots=1, cores=8) == ["start a"]
    assert [line.split()[1] for line in run.run_out() if line.startswith("start")] == ["b", "c", "x"]


# --- slots and resources --------------------------------------------------------------------------------------------------


def test_slots_cap_live_attempts_and_tasks_without_cores_are_held_by_nothing_else() -> None:
    run = Scenario(*(task(f"t{i}", resources={"cores": 0}) for i in range(5)))
    assert len(run.open(slots=3, cores=1)) == 3
    assert run.reason_codes("t4") == ["slots", "rank"]
    assert run.end("t0")[-1] == "start t3"


def test_amounts_are_held_until_the_end_and_a_demand_that_does_not_fit_blocks_only_itself() -> None:
    run = Scenario(
        task("big", resources={"cores": 2}), task("wide", resources={"cores": 2}), task("free", resources={"cores": 0})
    )
    assert run.open(cores=3) == ["start big", "start free"]
    assert run.scheduler.held() == {"cores": 2000}
    reasons = run.reasons("wide")
    assert (reasons[0].code, reasons[0].part, reasons[0].before, reasons[0].after) == ("resource", "cores", "1", "2")
    assert reasons[1].code == "reserved"
    assert run.end("big")[-1] == "start wide"


def test_nothing_starts_while_a_capacity_that_fell_is_exceeded() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(6)))
    assert len(run.open(cores=3)) == 3
    assert run.send(CapacityChanged({"cores": 1000})) == []
    assert run.end("t0") == ["close t0 ok", "settle t0 ok"]
    assert run.end("t1") == ["close t1 ok", "settle t1 ok"]
    assert run.end("t2")[-1] == "start t3"
    assert run.send(CapacityChanged({"cores": 3000})) == ["start t4", "start t5"]


def test_a_limit_by_request_counts_before_the_capacity_until_it_is_taken_back() -> None:
    run = Scenario(*(task(f"t{i}", resources={"cores": 0, "license": 1}) for i in range(4)))
    assert run.send(LimitChanged("license", GPU)) == []
    assert len(run.open(license=4)) == 1
    assert len(run.send(LimitChanged("license", None))) == 3


def test_unsatisfiable_demands_are_skipped_at_once_and_their_followers_with_them() -> None:
    run = Scenario(
        task("gpu", resources={"gpu": 1}),
        task("after", after=["gpu"]),
        task("huge", resources={"memory": 100}),
        task("late", after=["ok"], resources={"memory": 100}),
        task("ok"),
    )
    lines = run.open(cores=1, memory=10)
    assert "settle gpu skipped unsatisfiable:gpu" in lines
    assert "settle after skipped dependency:gpu" in lines
    assert "settle huge skipped unsatisfiable:memory" in lines
    assert run.scheduler.unsatisfiable() == [(run.index("late"), "memory")]
    assert run.of(SettleTask, "huge")[0].detail == "needs 100B of memory, there is 10B in all"
    assert run.of(SettleTask, "gpu")[0].detail == "needs 1 of gpu, which nothing here provides"
    assert run.reasons("gpu")[0].code == "unsatisfiable"
    assert run.end("ok") == ["close ok ok", "settle ok ok", "settle late skipped unsatisfiable:memory"]
    assert run.is_finished


def test_a_capacity_that_falls_below_a_ready_demand_makes_it_unsatisfiable() -> None:
    run = Scenario(
        task("a", resources={"cores": 2}),
        task("b", resources={"cores": 2}),
        task("m", each=[1, 2], resources={"cores": 2}),
    )
    run.open(cores=2)
    lines = run.send(CapacityChanged({"cores": 1000}))
    assert "settle b skipped unsatisfiable:cores" in lines
    assert "settle m skipped unsatisfiable:cores" in lines
    run.end("a")
    assert run.is_finished


def test_the_no_op_executor_has_no_bounds_but_slots() -> None:
    run = Scenario(
        *(task(f"t{i}", resources={"cores": 5, "gpu": 7}) for i in range(4)), options=SchedulerOptions(unlimited=True)
    )
    assert len(run.open(slots=3)) == 3
    assert run.scheduler.unsatisfiable() == []
    run.run_out()
    assert run.scheduler.counts()["ok"] == 4


def test_a_full_batch_asks_for_another_turn_so_that_all_slots_are_used() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(10)), options=SchedulerOptions(placement_batch=3))
    assert len(run.open(cores=10)) == 10
    assert len([command for command in run.commands if isinstance(command, SetTimer)]) == 3


# --- reservations ---------------------------------------------------------------------------------------------------------


def test_a_reserved_task_is_not_delayed_by_smaller_ones_of_unknown_duration() -> None:
    run = Scenario(
        task("first"), task("large", resources={"cores": 2}), *(task(f"s{i}") for i in range(5)), order="file"
    )
    assert run.open(cores=2) == ["start first"]
    assert run.reason_codes("s0") == ["reservation"]
    assert run.end("first")[-1] == "start large"


def test_smaller_ones_run_ahead_on_what_the_reserved_task_does_not_need() -> None:
    run = Scenario(
        task("first", resources={"cores": 3}),
        task("large", resources={"cores": 3}),
        *(task(f"s{i}", resources={"cores": 1}) for i in range(3)),
        order="file",
    )
    assert run.open(cores=4) == ["start first", "start s0"]
    assert run.end("s0")[-1] == "start s1"
    assert run.end("first")[-1] == "start large"


def test_with_known_durations_only_what_ends_in_time_runs_ahead() -> None:
    run = Scenario(
        task("first", duration=10.0),
        task("large", resources={"cores": 2}, duration=5.0),
        task("too long", duration=11.0),
        task("in time", duration=9.0),
        order="file",
    )
    assert run.open(cores=2) == ["start first"]
    # `too long` is the best of its lane: what stands behind it in the same lane has to wait with it.
    run = Scenario(
        task("first", duration=10.0),
        task("large", resources={"cores": 2}, duration=5.0),
        task("too long", duration=11.0, queue="other"),
        task("in time", duration=9.0),
        order="file",
    )
    assert run.open(cores=2) == ["start first", "start in time"]
    run.clock.advance(9.0)
    assert run.end("in time") == ["close in time ok", "settle in time ok"]
    assert run.end("first")[-1] == "start large"


def test_what_fits_beside_the_reserved_task_at_its_time_may_run_ahead() -> None:
    run = Scenario(
        task("first", resources={"cores": 1}, duration=10.0),
        task("second", resources={"cores": 2}, duration=100.0),
        task("large", resources={"cores": 3}, duration=5.0),
        task("beside", resources={"cores": 1}, duration=500.0),
        order="file",
    )
    # 5 cores: at 10 s first's core is free, 3 are needed; nothing is spare then. 6 cores: one is.
    assert run.open(cores=5) == ["start first", "start second"]
    run = Scenario(*run.plan.graph.tasks, order="file")
    assert run.open(cores=6) == ["start first", "start second", "start large"]
    assert run.end("first")[-1] == "start beside"


def test_estimates_that_lie_are_believed_a_bounded_number_of_times() -> None:
    liars = [task(f"s{i}", duration=1.0) for i in range(PATIENCE_STARTS * 3)]
    run = Scenario(
        task("first", duration=5.0), task("large", resources={"cores": 2}, duration=1.0), *liars, order="file"
    )
    run.open(cores=2)
    passed = 0
    while "large" not in run.running and passed < len(liars):
        # Time stands still for the estimates: `first` is always about to end, each liar goes past.
        name = next(name for name in run.running if name != "first") if len(run.running) > 1 else "first"
        passed += name != "first"
        run.end(name)
    assert "large" in run.running
    assert passed <= PATIENCE_STARTS + 2


@pytest.mark.parametrize("ahead", [False, True])
def test_a_task_of_low_rank_starts_after_a_bounded_number_of_other_starts(ahead: bool) -> None:
    count = PATIENCE_STARTS * 6
    small = [task(f"s{i}", priority=1) for i in range(count)]
    run = Scenario(task("large", resources={"cores": 2}), *small, options=SchedulerOptions(queue_ahead=ahead))
    run.open(cores=2)
    ended = 0
    while "large" not in run.running:
        run.end(run.running[0], seconds=0.001)
        ended += 1
        assert ended < count
    assert ended <= 3 * PATIENCE_STARTS
    assert run.running == ["large"]
    assert run.end("large")[2].startswith("start s")


def test_reasons_of_those_that_wait_for_a_reservation_name_who_holds_it() -> None:
    run = Scenario(task("first"), task("large", resources={"cores": 2}), task("small"), order="file")
    run.open(cores=2)
    (reason,) = run.reasons("small")
    assert "'large'" in reason.text


def test_every_demand_may_differ() -> None:
    run = Scenario(*(task(f"t{i}", resources={"memory": 1000 + i}) for i in range(700)))
    run.open(cores=5, memory=4000)
    assert len(run.running) == 3
    run.run_out()
    assert run.scheduler.counts()["ok"] == 700


# --- ahead orders ---------------------------------------------------------------------------------------------------------

AHEAD = SchedulerOptions(queue_ahead=True)


def test_short_attempts_are_ordered_ahead_and_take_over_what_the_oldest_of_their_lane_held() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(100)), options=AHEAD)
    assert run.open(cores=1) == ["start t0"]
    lines = run.end("t0", seconds=0.005)
    assert lines == ["close t0 ok", "settle t0 ok", "start t1", *(f"start t{i} ahead" for i in range(2, 12))]
    assert run.scheduler.held() == {"cores": 1000}
    lines = run.end("t1", seconds=0.005)
    assert lines == ["close t1 ok", "settle t1 ok", "start t12 ahead"]
    assert run.begin("t2") == ["begin t2"]
    assert run.scheduler.held() == {"cores": 1000}
    assert run.reason_codes("t3") == ["ahead"]


@pytest.mark.parametrize("seconds", [0.1, 5.0])
def test_long_attempts_are_not_ordered_ahead(seconds: float) -> None:
    run = Scenario(*(task(f"t{i}") for i in range(5)), options=AHEAD)
    run.open(cores=1)
    assert run.end("t0", seconds=seconds) == ["close t0 ok", "settle t0 ok", "start t1"]


def test_the_orders_ahead_are_bounded() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(2 * AHEAD_MOST)), options=AHEAD)
    run.open(cores=2)
    assert sum("ahead" in line for line in run.end("t0", seconds=0.0001)) == AHEAD_MOST


def test_no_ahead_order_keeps_amounts_from_a_lane_with_a_better_claim() -> None:
    run = Scenario(
        task("s0"), task("s1"), task("large", resources={"cores": 2}), *(task(f"t{i}") for i in range(9)),
        options=AHEAD, order="file",
    )  # fmt: skip
    run.open(cores=2)
    assert run.end("s0", seconds=0.001) == ["close s0 ok", "settle s0 ok"]
    assert run.end("s1", seconds=0.001)[-1] == "start large"


def test_an_ahead_attempt_may_be_seen_to_run_and_end_before_its_forerunners_end_is_told() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(4)), options=AHEAD)
    run.open(cores=1)
    run.end("t0", seconds=0.02)
    assert "t2" in run.running
    assert run.begin("t2") == ["begin t2"]
    assert run.end("t2", seconds=0.02)[:2] == ["close t2 ok", "settle t2 ok"]
    assert run.end("t1", seconds=0.02)[:2] == ["close t1 ok", "settle t1 ok"]
    run.run_out()


def test_a_transfer_happens_even_when_the_capacity_fell_because_the_executor_has_begun_it() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(20)), options=AHEAD)
    run.open(cores=2)
    run.end("t0", seconds=0.001)
    run.send(CapacityChanged({"cores": 1000}))
    held = run.scheduler.held()
    run.end("t1", seconds=0.001)
    assert run.scheduler.held() == held == {"cores": 2000}


def test_ahead_orders_are_withdrawn_when_the_run_pauses_and_come_again_after() -> None:
    run = Scenario(task("t0"), task("t1"), task("t2"), options=AHEAD)
    run.open(cores=1)
    run.end("t0", seconds=0.01)
    assert run.send(PauseChanged(True, "the disk is full")) == ["withdraw t2 paused"]
    assert run.end("t2", "paused", charged=False) == ["close t2 paused retry"]
    assert run.reason_codes("t2")[0] == "paused"
    assert run.end("t1", seconds=0.01) == ["close t1 ok", "settle t1 ok"]
    assert run.send(PauseChanged(False)) == ["start t2 #2"]
    run.end("t2")
    assert run.of(SettleTask, "t2")[0].attempts == 1, "the one that was taken back was no attempt"
    assert run.is_finished


def test_a_scaled_retry_is_of_another_lane_and_takes_over_nothing() -> None:
    from weft.spec.retries import Retries

    run = Scenario(*(task(f"t{i}", resources={"memory": 100}, retries=Retries(2)) for i in range(4)), options=AHEAD)
    run.open(cores=1, memory=1000)
    lines = run.end("t0", "memory", seconds=0.01)
    assert lines[0] == "close t0 memory retry"
    run.run_out()
    again = [c for c in run.commands if isinstance(c, StartAttempt) and c.key.attempt == 2]
    assert [c.request.amounts for c in again] == [(("cores", 1000), ("memory", 150))]
    assert {c.lane for c in run.commands if isinstance(c, StartAttempt) and c.key.attempt == 1} == {0}
    assert again[0].lane != 0


# --- reports that mean nothing ---------------------------------------------------------------------------------------------


def test_stale_doubled_and_foreign_reports_change_nothing_and_are_counted() -> None:
    from weft.scheduling import invariants

    run = Scenario(task("a"), task("b"))
    run.open(cores=2)
    ended = run.ended("a")
    start = run.start_of("b")
    run.send(ended)
    before = invariants.fingerprint(run.scheduler)
    run.send(
        ended,
        AttemptEnded(start.key, start.nonce + 99, Outcome(True)),
        AttemptEnded(start.key._replace(attempt=7), start.nonce, Outcome(False, "exit:1")),
        AttemptStarted(start.key, start.nonce + 99, 0.0),
        Inspected(run.index("b"), unmet="file:x"),
        Inspected(99),
    )
    assert invariants.fingerprint(run.scheduler) == before
    assert run.scheduler.ignored == 6


def test_a_scheduler_that_cannot_move_says_so_with_a_dump() -> None:
    run = Scenario(task("a"), task("b", after=["a"]))
    run.open(cores=1)
    run.scheduler.placement.live.clear()  # what a bug would do
    with pytest.raises(InternalError, match="nothing can move them") as caught:
        run.scheduler.handle([], 0.0)
    assert "'b': waiting" in str(caught.value)


def test_a_step_that_no_table_allows_is_told_with_the_tasks_story() -> None:
    run = Scenario(task("a"), task("b", after=["a"]))
    run.open(cores=1)
    run.scheduler.board.phases[0] = 5
    with pytest.raises(InternalError, match="task 'a' cannot go from ok to ok") as caught:
        run.end("a")
    assert "latest events" in str(caught.value)
    run = Scenario(task("m", each=[1]))
    run.open(cores=1)
    with pytest.raises(InternalError, match="instance 0 cannot go from running to absent"):
        run.scheduler.board.move_instance(0, 0, 9)
    live = next(iter(run.scheduler.placement.live.values()))
    run.scheduler.board.turn(live, "running")
    with pytest.raises(InternalError, match="cannot go from running to ahead"):
        run.scheduler.board.turn(live, "ahead")
