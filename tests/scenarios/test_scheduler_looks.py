"""Looking at the world, mapped tasks, and what a resumed run takes over."""

from __future__ import annotations

import pytest

from weft.scheduling.commands import Inspect, SettleTask, StartAttempt, TakeItems
from weft.scheduling.events import (
    AttemptAdopted,
    AttemptEnded,
    Inspected,
    ItemsRecovered,
    RequestRecovered,
    TaskRecovered,
    WorldChanged,
)
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Request
from weft.scheduling.scheduler import SchedulerOptions
from weft.spec.retries import Retries
from weft.testing.scenario import Scenario, task

WAIT = SchedulerOptions(wait_seconds=2.5)


# --- requirements and freshness -------------------------------------------------------------------------------------------


def test_only_tasks_with_a_question_are_looked_at() -> None:
    run = Scenario(
        task("plain"),
        task("needs", needs=["f"]),
        task("makes", outputs=["o"]),
        task("never", outputs=["o"], cache="never"),
    )
    assert run.open(cores=8) == ["inspect needs", "inspect makes", "start plain", "start never"]
    assert run.reason_codes("makes") == ["inspecting"]
    assert "up to date" in run.reasons("makes")[0].text
    assert run.inspected("needs") == ["start needs"]
    assert run.inspected("makes", fingerprint="ff") == ["start makes"]
    run.end("makes")
    assert run.of(SettleTask, "makes")[0].fingerprint == "ff"


@pytest.mark.parametrize("options", [SchedulerOptions(force=True), SchedulerOptions(use_cache=False)])
def test_nobody_asks_whether_a_task_is_up_to_date_when_that_does_not_matter(options: SchedulerOptions) -> None:
    run = Scenario(task("a", outputs=["o"]), task("b", outputs=["o"], needs=["f"]), options=options)
    assert run.open(cores=2) == ["inspect b", "start a"]
    assert run.inspected("b", fresh=True) == ["start b"]


def test_a_fresh_task_is_ok_and_cached_without_an_attempt() -> None:
    run = Scenario(task("a", outputs=["o"]), task("b", after=["a"]))
    run.open(cores=1)
    assert run.inspected("a", fresh=True, fingerprint="ff") == ["settle a ok cached", "start b"]
    settled = run.of(SettleTask, "a")[0]
    assert (settled.attempts, settled.fingerprint) == (0, "ff")
    assert run.reason_codes("a") == ["cached"]


def test_an_unmet_requirement_skips_the_task_and_what_follows() -> None:
    run = Scenario(task("a", needs=["f"]), task("b", after=["a"]))
    run.open(cores=1)
    assert run.inspected("a", unmet="file:/f", detail="no file /f") == [
        "settle a skipped unmet:file:/f",
        "settle b skipped dependency:a",
    ]
    assert run.of(SettleTask, "a")[0].detail == "no file /f"
    assert run.reasons("a")[0].part == "file:/f"


def test_an_unmet_requirement_is_waited_for_each_second_until_the_time_is_over() -> None:
    run = Scenario(task("a", needs=["f"]), task("b", needs=["f"]), options=WAIT)
    run.open(cores=2)
    run.inspected("b")
    assert run.inspected("a", unmet="file:/f") == []
    assert run.reason_codes("a") == ["requirement"]
    assert run.advance(1.0) == ["inspect a"]
    run.inspected("a", unmet="file:/f")
    assert run.advance(1.0) == ["inspect a"]
    run.inspected("a", unmet="file:/f")
    assert run.advance(0.4) == []
    assert run.advance(0.1) == ["inspect a"]
    assert run.inspected("a", unmet="file:/f") == ["settle a skipped unmet:file:/f"]


HERALDED = SchedulerOptions(wait_seconds=90, look_seconds=30)


def test_a_change_of_the_world_is_looked_at_at_once_and_only_for_those_that_wait_for_it() -> None:
    again = task("retried", retries=Retries(2, 60.0))
    run = Scenario(task("a", needs=["f"]), task("b", needs=["g"]), task("met", needs=["h"]), again, options=HERALDED)
    run.open(cores=4)
    run.inspected("met")
    run.end("retried", cause="exit:1")
    assert run.inspected("a", unmet="file:/f") == []
    assert run.send(WorldChanged()) == [
        "inspect a"
    ]  # b is being looked at, and the delay of a retry is none of its business
    assert run.inspected("b", unmet="file:/g") == []
    assert run.inspected("a") == ["start a"]
    assert run.send(WorldChanged()) == ["inspect b"]
    assert run.send(WorldChanged()) == []
    assert run.inspected("b", unmet="file:/g") == []
    assert run.advance(29.0) == []  # the timer of its first look is of no use any more
    assert run.advance(1.0) == ["inspect b"]
    run.inspected("b", unmet="file:/g")
    run.advance(59.0)
    assert "inspect b" in run.advance(1.0) or run.reason_codes("b") == ["inspecting"]
    assert "settle b skipped unmet:file:/g" in run.inspected("b", unmet="file:/g")


def test_a_change_of_the_world_is_looked_at_for_instances_whose_next_attempt_waits() -> None:
    run = Scenario(task("m", each=[1, 2], needs=["f"], retries=Retries(2)), options=HERALDED)
    run.open(cores=2)
    run.inspected("m", items=["1", "2"])
    run.end("m", "exit:1", 0)
    run.inspected("m", unmet="file:/f")
    assert run.send(WorldChanged()) == ["inspect m [0]"]
    assert "start m[0] #2" in run.inspected("m")


def test_a_change_of_the_world_starts_nothing_in_a_run_that_is_ending() -> None:
    run = Scenario(task("a", needs=["f"]), task("b"), options=HERALDED)
    run.open(cores=2)
    run.inspected("a", unmet="file:/f")
    run.interrupt()
    assert run.send(WorldChanged()) == []


def test_a_requirement_that_comes_true_in_time_starts_the_task() -> None:
    run = Scenario(task("a", needs=["f"]), options=WAIT)
    run.open(cores=1)
    run.inspected("a", unmet="file:/f")
    run.advance(1.0)
    assert run.inspected("a") == ["start a"]


def test_requirements_are_looked_at_before_every_attempt_freshness_before_the_first() -> None:
    run = Scenario(
        task("a", needs=["f"], outputs=["o"], retries=Retries(3)), task("b", outputs=["o"], retries=Retries(2))
    )
    run.open(cores=2)
    run.inspected("a")
    run.inspected("b")
    assert run.end("a", "exit:1") == ["close a exit:1 retry", "inspect a"]
    assert run.inspected("a", fresh=True) == ["start a #2"]
    assert run.end("b", "exit:1") == ["close b exit:1 retry", "start b #2"]
    run.end("a", "exit:1")
    assert run.inspected("a", unmet="file:f") == ["settle a skipped unmet:file:f"]


def test_a_look_that_is_answered_after_the_end_changes_nothing() -> None:
    run = Scenario(task("a", needs=["f"]), task("b"))
    run.open(cores=1)
    run.cancel("a")
    assert run.inspected("a") == []
    run.interrupt()
    run.end("b")
    assert run.is_finished
    run = Scenario(task("a", needs=["f"]), task("b"))
    run.open(cores=1)
    run.interrupt()
    assert run.inspected("a") == []
    run.end("b")
    assert run.cause("a") == "interrupted"


# --- mapped tasks ---------------------------------------------------------------------------------------------------------


def test_values_are_instances_that_are_scheduled_like_tasks_and_followers_wait_for_all() -> None:
    run = Scenario(task("m", each=["x", 2, True]), task("after", after=["m"]))
    assert run.open(cores=2) == ["items m 3", "start m[0]", "start m[1]"]
    assert run.of(TakeItems, "m")[0].items == ("x", "2", "true")
    assert run.state("m") == "running"
    assert run.reason_codes("m")[:2] == ["instances", "resource"]
    assert run.end("m", instance=0) == ["close m[0] ok", "settle m[0] ok", "start m[2]"]
    run.end("m", instance=1)
    assert run.end("m", instance=2) == ["close m[2] ok", "settle m[2] ok", "settle m ok", "start after"]
    assert run.of(SettleTask, "m")[0].attempts == 3


def test_a_mapped_task_fails_when_one_instance_failed_and_the_others_still_run() -> None:
    run = Scenario(task("m", each=[1, 2, 3], retries=Retries(2)), task("after", after=["m"]))
    run.open(cores=1)
    assert run.end("m", "exit:1", instance=0) == ["close m[0] exit:1 retry", "start m[0] #2"]
    assert run.end("m", "exit:2", instance=0, detail="bad") == [
        "close m[0] exit:2",
        "settle m[0] failed exit:2",
        "start m[1]",
    ]
    run.end("m", instance=1)
    assert run.end("m", instance=2)[-2:] == ["settle m failed exit:2", "settle after skipped dependency:m"]
    assert run.of(SettleTask, "m")[0].detail == "bad"


def test_no_items_are_ok_at_once_also_in_a_long_chain() -> None:
    chain = [task(f"m{i}", each=[], after=[f"m{i - 1}"] if i else []) for i in range(3000)]
    run = Scenario(*chain)
    run.open(cores=1)
    assert run.is_finished
    assert run.scheduler.counts()["ok"] == 3000


def test_files_are_found_by_looking_and_fresh_ones_are_cached() -> None:
    run = Scenario(task("m", each_file=True, outputs=["o"]), task("after", after=["m"]))
    assert run.open(cores=8) == ["inspect m"]
    lines = run.inspected("m", items=("a", "b", "c"), fresh_items=frozenset({2, 0}))
    assert lines == ["items m 3", "settle m[0] ok cached", "settle m[2] ok cached", "start m[1]"]
    assert run.end("m", instance=1)[-2:] == ["settle m ok", "start after"]
    assert run.cause("m") is None


def test_a_mapped_task_of_which_all_is_fresh_is_cached() -> None:
    run = Scenario(task("m", each_file=True, outputs=["o"]))
    run.open(cores=8)
    assert run.inspected("m", items=("a", "b"), fresh=True)[-1] == "settle m ok cached"
    run = Scenario(task("m", each_file=True))
    run.open(cores=8)
    assert run.inspected("m", items=("a",), fresh=True, fresh_items=frozenset({0})) == ["items m 1", "start m[0]"]


def test_an_instance_is_looked_at_again_before_its_next_attempt() -> None:
    run = Scenario(task("m", each=[1, 2, 3], needs=["f"], retries=Retries(2)))
    run.open(cores=3)
    run.inspected("m")
    assert run.end("m", "exit:1", instance=0) == ["close m[0] exit:1 retry", "inspect m [0]"]
    assert run.end("m", "exit:1", instance=1) == ["close m[1] exit:1 retry"]
    assert run.inspected("m") == ["inspect m [1]", "start m[0] #2"]
    assert run.inspected("m", unmet="file:f") == ["settle m[1] skipped unmet:file:f"]
    run.end("m", instance=0)
    assert run.end("m", instance=2)[-1] == "settle m skipped unmet:file:f"


def test_an_instance_waits_for_a_requirement_like_a_task() -> None:
    run = Scenario(task("m", each=[1, 2], needs=["f"], retries=Retries(2)), options=WAIT)
    run.open(cores=2)
    run.inspected("m")
    run.end("m", "exit:1", instance=0)
    assert run.inspected("m", unmet="file:f") == []
    assert run.advance(1.0) == ["inspect m [0]"]
    run.interrupt()
    assert run.inspected("m") == []
    run.end("m", instance=1)
    assert run.cause("m") == "interrupted"


def test_an_answer_for_instances_that_were_given_up_starts_nothing() -> None:
    run = Scenario(task("m", each=[1, 2], needs=["f"], retries=Retries(2)), task("x"))
    run.open(cores=3)
    run.inspected("m")
    run.end("m", "exit:1", instance=0)
    assert run.cancel("m") == ["terminate m[1] cancelled", "settle m[0] cancelled cancelled"]
    assert run.inspected("m") == []
    assert run.end("m", "cancelled", instance=1)[-1] == "settle m cancelled cancelled"


def test_cancelling_a_mapped_task_ends_what_runs_and_gives_up_the_rest() -> None:
    run = Scenario(task("m", each=range(4), retries=Retries(2, delay=5)), task("after", after=["m"]))
    run.open(slots=2, cores=8)
    run.end("m", "exit:1", instance=0)
    lines = run.cancel("m")
    assert lines == [
        "terminate m[1] cancelled",
        "terminate m[2] cancelled",
        "settle m[0] cancelled cancelled",
        "settle m[3] cancelled cancelled",
    ]
    run.end("m", instance=1)
    assert run.end("m", "cancelled", instance=2)[-2:] == [
        "settle m cancelled cancelled",
        "settle after skipped dependency:m",
    ]


def test_interrupted_instances_end_with_the_run_and_fail_fast_counts_instances() -> None:
    run = Scenario(task("m", each=range(3)), options=SchedulerOptions(fail_fast=True))
    run.open(slots=1, cores=8)
    lines = run.end("m", "exit:1", instance=0)
    assert lines[-3:] == [
        "settle m[1] cancelled interrupted",
        "settle m[2] cancelled interrupted",
        "settle m failed exit:1",
    ]
    run = Scenario(task("m", each=range(3)), task("after", after=["m"]))
    run.open(slots=1, cores=8)
    run.interrupt()
    assert run.end("m", instance=0)[-2:] == ["settle m cancelled interrupted", "settle after cancelled interrupted"]


def test_a_scaled_instance_keeps_its_own_request() -> None:
    run = Scenario(task("m", each=range(2), resources={"memory": 100}, retries=Retries(2)))
    run.open(cores=1, memory=1000)
    run.end("m", "memory", instance=0)
    run.run_out()
    memory = [(start.key[1:], dict(start.request.amounts)["memory"]) for start in run.of(StartAttempt, "m")]
    assert sorted(memory) == [((0, 1), 100), ((0, 2), 150), ((1, 1), 100)]


def test_instances_of_which_none_can_ever_start_are_refused_with_the_task() -> None:
    run = Scenario(task("m", each=range(2), resources={"gpu": 1}))
    assert run.open(cores=1) == ["settle m skipped unsatisfiable:gpu"]


def test_50000_instances_work() -> None:
    from weft.scheduling.commands import SetTimer
    from weft.scheduling.events import CapacityChanged, TimerFired
    from weft.scheduling.scheduler import Scheduler
    from weft.spec.graph import Graph
    from weft.spec.plan import Plan

    scheduler = Scheduler(Plan(Graph([task("m", each=range(50_000))]), "/"))
    commands = scheduler.handle([CapacityChanged({"cores": 64_000})], 0.0)
    while not scheduler.is_finished:
        ends = [AttemptEnded(c.key, c.nonce, Outcome(True)) for c in commands if isinstance(c, StartAttempt)]
        timers = [TimerFired(c.timer) for c in commands if isinstance(c, SetTimer)]
        commands = scheduler.handle([*ends, *timers], 0.0)
    assert scheduler.counts()["ok"] == 1


# --- resume ---------------------------------------------------------------------------------------------------------------


def test_recovered_tasks_need_not_run_and_cancelled_ones_stay_cancelled() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("c"), task("d", after=["c"]), task("e", after=["d"]))
    lines = run.send(TaskRecovered(0, "ok"), TaskRecovered(2, "cancelled", "cancelled"), run.capacity(cores=4))
    assert lines == ["settle d skipped dependency:c", "settle e skipped dependency:c", "start b"]
    assert run.send(TaskRecovered(1, "ok")) == []
    assert run.send(TaskRecovered(1, "running"), TaskRecovered(99, "ok")) == []
    assert run.scheduler.ignored == 3


def test_recovered_failures_and_skips_keep_their_root() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("c", after=["b"]))
    run.send(TaskRecovered(0, "failed", "exit:1"), TaskRecovered(1, "skipped", "dependency:a"), run.capacity(cores=4))
    assert run.cause("c") == "dependency:a"
    assert run.is_finished


def test_attempt_numbers_go_on_budgets_start_anew_and_a_scaled_request_is_kept() -> None:
    run = Scenario(task("a", resources={"memory": 100}, retries=Retries(2, scales=(("memory", (200, 300, 400)),))))
    request = Request((("cores", 1000), ("memory", 200)))
    run.send(RequestRecovered(0, WHOLE, 7, request), run.capacity(cores=1, memory=1000))
    assert run.start_of("a").key.attempt == 8
    assert run.start_of("a").request == request
    run.end("a", "memory")
    assert dict(run.start_of("a").request.amounts)["memory"] == 300
    assert run.end("a", "memory")[-1] == "settle a failed memory"


def test_recovered_items_are_kept_and_only_what_is_not_ok_runs() -> None:
    run = Scenario(task("m", each_file=True), task("n", each=[1, 2]))
    lines = run.send(
        ItemsRecovered(0, ("x", "y", "z"), frozenset({1})),
        ItemsRecovered(0, ("other",), frozenset()),
        RequestRecovered(0, 2, 3, None),
        RequestRecovered(0, 9, 3, None),
        RequestRecovered(1, 0, 4, None),
        run.capacity(cores=8),
    )
    assert lines == ["items n 2", "start m[0]", "start m[2] #4", "start n[0] #5", "start n[1]"]
    assert run.scheduler.ignored == 2


def test_items_that_were_all_ok_settle_their_task() -> None:
    run = Scenario(task("m", each=[1, 2]), task("after", after=["m"]))
    lines = run.send(ItemsRecovered(0, ("1", "2"), frozenset({0, 1})), run.capacity(cores=8))
    assert lines == ["settle m ok", "start after"]


def test_an_adopted_attempt_holds_its_amounts_at_once_and_counts() -> None:
    run = Scenario(task("a", resources={"memory": 100}, retries=Retries(2)), task("b"), task("c", after=["a"]))
    scaled = Request((("cores", 2000), ("memory", 150)))
    key = AttemptKey(0, WHOLE, 3)
    lines = run.send(
        RequestRecovered(0, WHOLE, 3, None), AttemptAdopted(key, 77, scaled, 5.0), run.capacity(cores=2, memory=1000)
    )
    assert lines == []
    assert run.scheduler.held() == {"cores": 2000, "memory": 150}
    assert run.scheduler.live() == [(key, 5.0)]
    lines = run.send(AttemptEnded(key, 77, Outcome(False, "memory")))
    assert lines == ["close a memory retry", "start a #4"]
    assert dict(run.scheduler.board.request_of(0).amounts)["memory"] == 225
    run.run_out()


def test_an_adopted_attempt_that_ended_meanwhile_is_closed_in_the_same_batch() -> None:
    run = Scenario(task("a"), task("b", after=["a"]), task("m", each=[1], after=["a"]))
    request = Request((("cores", 1000),))
    key = AttemptKey(0, WHOLE, 1)
    lines = run.send(AttemptAdopted(key, 5, request, 0.0), run.capacity(cores=4), AttemptEnded(key, 5, Outcome(True)))
    assert lines == ["close a ok", "settle a ok", "items m 1", "start b", "start m[0]"]


def test_adopted_instances_run_on_and_the_others_are_offered() -> None:
    run = Scenario(task("m", each=[1, 2, 3]), task("n", each=[1, 2], needs=["f"]))
    request = Request((("cores", 1000),))
    lines = run.send(
        ItemsRecovered(0, ("1", "2", "3"), frozenset({0})),
        ItemsRecovered(1, ("1", "2"), frozenset()),
        AttemptAdopted(AttemptKey(0, 1, 2), 5, request, 0.0),
        AttemptAdopted(AttemptKey(1, 0, 1), 6, request, 0.0),
        AttemptAdopted(AttemptKey(1, 9, 1), 7, request, 0.0),
        run.capacity(cores=9),
    )
    assert lines == ["inspect n [1]", "start m[2]"]
    assert run.inspected("n") == ["start n[1]"]
    assert run.scheduler.ignored == 1


def test_instances_beside_an_adopted_one_are_looked_at_before_they_start_when_their_work_is_remembered() -> None:
    run = Scenario(task("m", each=[1, 2], cache="always"))
    adopted = AttemptAdopted(AttemptKey(0, 0, 1), 5, Request((("cores", 1000),)), 0.0)
    lines = run.send(ItemsRecovered(0, ("1", "2"), frozenset()), adopted, run.capacity(cores=9))
    assert lines == ["inspect m [1]"]
    assert run.inspected("m", fresh=True, fresh_items={0, 1}) == ["settle m[1] ok cached"]
    assert run.send(AttemptEnded(adopted.key, 5, Outcome(True)))[-1] == "settle m ok"


def test_an_adopted_attempt_settles_its_task_with_the_fingerprint_it_was_begun_with() -> None:
    run = Scenario(task("a", outputs=["o"]))
    key, request = AttemptKey(0, WHOLE, 1), Request((("cores", 1000),))
    run.send(AttemptAdopted(key, 5, request, 0.0, "ff"), run.capacity(cores=1))
    commands = run.scheduler.handle([AttemptEnded(key, 5, Outcome(True))], 1.0)
    assert [command.fingerprint for command in commands if isinstance(command, SettleTask)] == ["ff"]


def test_ahead_orders_are_never_given_behind_adopted_attempts() -> None:
    run = Scenario(*(task(f"t{i}") for i in range(5)), options=SchedulerOptions(queue_ahead=True), seed=5 << 33)
    request = Request((("cores", 1000),))
    key = AttemptKey(0, WHOLE, 1)
    run.send(AttemptAdopted(key, 5, request, 0.0), run.capacity(cores=1))
    lines = run.send(AttemptEnded(key, 5, Outcome(True)))
    assert lines == ["close t0 ok", "settle t0 ok", "start t1"]
    assert run.start_of("t1").lane == 5


def test_facts_that_come_too_late_are_only_counted() -> None:
    run = Scenario(task("a"))
    run.open(cores=1)
    run.send(
        TaskRecovered(0, "ok"),
        ItemsRecovered(0, (), frozenset()),
        RequestRecovered(0, WHOLE, 1, None),
        AttemptAdopted(AttemptKey(0, WHOLE, 1), 5, Request(()), 0.0),
    )
    assert run.scheduler.ignored == 4
    assert run.of(Inspect, "a") == []
    assert run.send(Inspected(0)) == []
