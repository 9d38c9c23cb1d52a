"""Streams: iterators that run beside their makers; and orders ahead that begin in another order than they were given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weft.scheduling.commands import StopAttempt
from weft.scheduling.events import (
    PauseChanged,
)
from weft.scheduling.scheduler import SchedulerOptions
from weft.spec.products import Product
from weft.spec.retries import Retries
from weft.spec.tasks import Dependency
from weft.testing.scenario import Scenario, task

MAKER = task("m", streams=True)
ONCE_MORE = task("m", streams=True, retries=Retries(3))
LATER = task("m", streams=True, retries=Retries(3, delay=5))


# --- iterators ------------------------------------------------------------------------------------------------------------


def test_an_iterator_starts_when_its_maker_has_begun_and_a_plain_follower_when_it_has_ended() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("after", after=["m"]))
    assert run.open(cores=3) == ["start m"]
    assert run.reason_codes("k") == ["stream"]
    assert run.reason_codes("after") == ["dependency"]
    assert run.begin("m") == ["begin m", "start k"]
    assert run.end("m") == ["close m ok", "settle m ok", "start after"]
    assert run.end("k") == ["close k ok", "settle k ok"]


def test_items_say_that_a_maker_has_begun_even_if_nobody_else_did() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]))
    run.open(cores=2)
    assert run.grow("m", "a") == ["start k"]


def test_a_command_that_reads_bytes_starts_beside_the_command_that_writes_them() -> None:
    writes = task("w", product=Product("stdout", stream=True))
    reads = replace(task("r"), dependencies=(Dependency("w", "stdin"),))
    run = Scenario(writes, reads)
    assert run.open(cores=2) == ["start w"]
    assert run.begin("w") == ["begin w", "start r"]


def test_an_iterator_waits_for_all_that_it_iterates_and_for_the_end_of_the_rest() -> None:
    run = Scenario(
        task("m", streams=True), task("n", streams=True), task("x"), task("k", reads=["m", "n"], after=["x"])
    )
    run.open(cores=4)
    assert run.begin("m") == ["begin m"]
    assert run.reason_codes("k") == ["dependency", "stream"]
    run.end("x")
    assert run.end("m") == ["close m ok", "settle m ok"]
    assert run.begin("n") == ["begin n", "start k"]


def test_who_gathers_or_also_follows_or_is_mapped_over_something_else_waits_for_the_end() -> None:
    gathers = replace(task("g", reads=["m"]), dependencies=(Dependency("m", "p", gather=True),))
    command = replace(task("c", reads=["m"]), action=task("plain").action)
    run = Scenario(
        MAKER, gathers, command, task("values", each=[1], reads=["m"]), task("both", reads=["m"], after=["m"])
    )
    run.open(cores=9)
    assert run.begin("m") == ["begin m"]
    run.end("m")
    assert sorted(run.running) == ["both", "c", "g", "values[0]"]


def test_streams_follow_streams_and_each_begins_as_soon_as_the_one_before_has() -> None:
    run = Scenario(MAKER, task("n", streams=True, reads=["m"]), task("k", reads=["n"]))
    run.open(cores=3)
    assert run.begin("m") == ["begin m", "start n"]
    assert run.begin("n") == ["begin n", "start k"]
    run.end("m")
    run.end("n")
    assert run.end("k") == ["close k ok", "settle k ok"]


def test_a_consumer_may_end_before_its_producer() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("after", after=["k"]))
    run.open(cores=2)
    run.begin("m")
    assert run.end("k") == ["close k ok", "settle k ok", "start after"]
    run.end("after")
    assert run.end("m", "exit:1") == ["close m exit:1", "settle m failed exit:1"]
    assert run.state("k") == "ok"


def test_with_one_slot_the_maker_runs_alone_and_its_iterator_after_it() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]))
    run.open(slots=1, cores=8)
    assert run.begin("m") == ["begin m"]
    assert run.reason_codes("k") == ["slots"]
    assert run.end("m") == ["close m ok", "settle m ok", "start k"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_an_iterator_that_has_not_started_is_skipped_with_its_maker(state: str) -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("after", after=["k"]))
    run.open(slots=1, cores=8)
    run.begin("m")
    if state == "cancelled":
        assert run.cancel("m") == ["terminate m cancelled"]
    lines = run.end("m", "exit:1" if state == "failed" else "cancelled")
    assert lines[-2:] == ["settle k skipped dependency:m", "settle after skipped dependency:m"]
    assert run.state("m") == state


def test_a_live_iterator_whose_maker_fails_is_skipped_when_it_ends_without_retry() -> None:
    run = Scenario(
        task("x"),
        task("m", streams=True, after=["x"]),
        task("k", reads=["m"], retries=Retries(5)),
        task("z", after=["k"]),
    )
    run.open(cores=3)
    run.end("x")
    run.begin("m")
    assert run.end("m", "exit:1") == ["close m exit:1", "settle m failed exit:1"]
    assert run.running == ["k"]
    assert run.end("k", "dependency:m") == [
        "close k dependency:m",
        "settle k skipped dependency:m",
        "settle z skipped dependency:m",
    ]


def test_the_root_of_a_broken_chain_of_streams_is_the_task_whose_fault_it_was() -> None:
    run = Scenario(MAKER, task("n", streams=True, reads=["m"]), task("k", reads=["n"]))
    run.open(cores=3)
    run.begin("m")
    run.begin("n")
    run.end("m", "exit:1")
    run.end("n", "dependency:m")
    assert run.end("k", "dependency:m")[-1] == "settle k skipped dependency:m"


def test_an_iterator_that_fails_by_itself_after_its_maker_is_not_tried_again() -> None:
    run = Scenario(MAKER, task("k", reads=["m"], retries=Retries(5)), task("l", reads=["m"]))
    run.open(cores=3)
    run.begin("m")
    run.end("m", "exit:1")
    assert run.end("k", "exit:2") == ["close k exit:2", "settle k skipped dependency:m"]
    assert run.end("l", "exit:2") == ["close l exit:2", "settle l failed exit:2"]


def test_an_iterator_that_read_all_it_wanted_stays_ok_when_its_maker_has_failed() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]))
    run.open(cores=2)
    run.begin("m")
    run.end("m", "exit:1")
    assert run.end("k") == ["close k ok", "settle k ok"]


def test_an_iterator_is_tried_again_beside_its_maker() -> None:
    run = Scenario(MAKER, task("k", reads=["m"], retries=Retries(2)))
    run.open(cores=2)
    run.begin("m")
    assert run.end("k", "exit:1") == ["close k exit:1 retry", "start k #2"]


def test_a_maker_that_is_tried_again_keeps_its_consumers() -> None:
    run = Scenario(ONCE_MORE, task("k", reads=["m"]), task("each", of="m"))
    run.open(cores=3)
    run.begin("m")
    assert run.grow("m", "a") == ["items each 0+1", "start each[0]"]
    assert run.end("m", "exit:1") == ["close m exit:1 retry", "start m #2"]
    assert sorted(run.running) == ["each[0]", "k", "m"]
    assert run.begin("m") == ["begin m"]


def test_an_iterator_that_has_not_started_steps_back_when_its_maker_is_tried_again() -> None:
    run = Scenario(LATER, task("k", reads=["m"]), task("z", priority=-1))
    run.open(slots=1, cores=8)
    run.begin("m")
    assert run.reason_codes("k") == ["slots"]
    assert run.end("m", "exit:1") == ["close m exit:1 retry", "start z"]
    assert run.reason_codes("k") == ["stream"]
    run.end("z")
    assert run.advance(5) == ["start m #2"]
    assert run.begin("m") == ["begin m"]
    assert run.end("m") == ["close m ok", "settle m ok", "start k"]


def test_a_chain_steps_back_together_so_that_no_slot_is_held_for_a_maker_that_needs_it() -> None:
    run = Scenario(LATER, task("n", streams=True, reads=["m"]), task("k", reads=["n"]))
    run.open(slots=2, cores=8)
    run.begin("m")
    run.begin("n")
    assert run.reason_codes("k") == ["slots"]
    assert run.end("m", "exit:1") == ["close m exit:1 retry"]
    assert run.reason_codes("k") == ["stream"]
    assert run.reason_codes("n") == ["running", "stream"]
    assert run.advance(5) == ["start m #2"]
    assert run.begin("m") == ["begin m"]
    assert run.end("m") == ["close m ok", "settle m ok", "start k"]


def test_an_iterator_that_fails_while_its_maker_stands_still_waits_for_it() -> None:
    run = Scenario(
        LATER, task("k", reads=["m"], retries=Retries(3)), task("l", reads=["m"], retries=Retries(3, delay=1))
    )
    run.open(cores=3)
    run.begin("m")
    run.end("m", "exit:1")
    assert run.end("k", "exit:1") == ["close k exit:1 retry"]
    assert run.end("l", "exit:1") == ["close l exit:1 retry"]
    assert run.advance(1) == []
    assert run.advance(4) == ["start m #2"]
    assert run.begin("m") == ["begin m", "start k #2", "start l #2"]


def test_requirements_of_an_iterator_are_looked_at_while_its_maker_runs_but_nothing_is_compared() -> None:
    run = Scenario(MAKER, task("k", reads=["m"], needs=["f"], outputs=["o"]), task("c", reads=["m"], outputs=["o"]))
    run.open(cores=3)
    assert run.begin("m") == ["begin m", "inspect k", "start c"]
    assert run.inspected("k", fresh=True) == ["start k"]


def test_an_iterator_that_waits_for_a_look_steps_back_with_its_maker() -> None:
    options = SchedulerOptions(wait_seconds=9)
    run = Scenario(LATER, task("k", reads=["m"], needs=["f"]), task("l", reads=["m"], needs=["f"]), options=options)
    run.open(cores=3)
    run.begin("m")
    run.inspected("l", unmet="file:f")
    run.end("m", "exit:1")
    assert run.inspected("k") == []
    assert run.reason_codes("k") == ["stream"]
    assert run.advance(1) == []
    run.advance(4)
    assert run.begin("m") == ["begin m", "inspect k", "inspect l"]
    assert sorted(run.inspected("k") + run.inspected("l")) == ["start k", "start l"]


def test_iterators_that_are_looked_at_or_delayed_are_skipped_with_their_maker() -> None:
    options = SchedulerOptions(wait_seconds=9)
    run = Scenario(
        MAKER,
        task("k", reads=["m"], needs=["f"]),
        task("l", reads=["m"], needs=["f"]),
        task("r", reads=["m"], retries=Retries(2, delay=3)),
        options=options,
    )
    run.open(cores=4)
    run.begin("m")
    run.inspected("l", unmet="file:f")
    run.end("r", "exit:1")
    assert sorted(run.end("m", "exit:1")[2:]) == [f"settle {name} skipped dependency:m" for name in "klr"]
    assert run.inspected("k") == []
    assert run.advance(9) == []


def test_a_cached_maker_is_complete_and_its_iterators_are_compared_as_ever() -> None:
    run = Scenario(task("m", streams=True, outputs=["o"]), task("k", reads=["m"], outputs=["p"]))
    run.open(cores=2)
    assert run.inspected("m", fresh=True) == ["settle m ok cached", "inspect k"]
    assert run.inspected("k", fresh=True) == ["settle k ok cached"]


def test_a_maker_that_takes_no_part_counts_as_complete() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("each", of="m"), select=["k", "each"])
    assert run.open(cores=9) == ["inspect each", "start k"]
    assert run.inspected("each", items=("a", "b")) == ["items each 2", "start each[0]", "start each[1]"]


def test_a_pause_lets_streams_go_on_and_starts_nothing() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("each", of="m"))
    run.open(cores=9)
    run.send(PauseChanged(True, "disk"))
    assert run.begin("m") == ["begin m", "items each 0+0"]
    assert run.grow("m", "a") == ["items each 0+1"]
    assert run.send(PauseChanged(False)) == ["start k", "start each[0]"]


def test_an_interrupted_run_ends_with_its_streams() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("l", reads=["m"], after=["k"]), task("each", of="m"))
    run.open(cores=2)
    run.begin("m")
    assert run.interrupt() == []
    assert run.grow("m", "a") == ["items each 0+1"]
    assert run.end("m") == ["close m ok", "settle m ok"]
    lines = run.end("k")
    assert lines[:2] == ["close k ok", "settle k ok"]
    assert {run.cause("l"), run.cause("each")} == {"interrupted"}


def test_an_interrupted_maker_takes_its_live_consumers_along() -> None:
    run = Scenario(ONCE_MORE, task("k", reads=["m"], retries=Retries(2)))
    run.open(cores=2)
    run.begin("m")
    run.interrupt()
    assert run.end("m", "exit:1") == ["close m exit:1", "settle m cancelled interrupted"]
    assert run.end("k", "dependency:m")[-1] == "settle k cancelled interrupted"


def test_an_interruption_does_not_wait_for_a_maker_that_never_starts_again() -> None:
    run = Scenario(LATER, task("n", streams=True, reads=["m"]), task("k", reads=["n"]))
    run.open(cores=3)
    run.begin("m")
    run.begin("n")
    run.end("m", "exit:1")
    assert run.interrupt() == ["settle m cancelled interrupted"]
    run.end("n", "dependency:m")
    run.end("k", "dependency:m")
    assert {run.cause(name) for name in "mnk"} == {"interrupted"}


def test_fail_fast_ends_a_run_whose_stream_fails() -> None:
    run = Scenario(MAKER, task("k", reads=["m"]), task("z", after=["k"]), options=SchedulerOptions(fail_fast=True))
    run.open(cores=2)
    run.begin("m")
    run.end("m", "exit:1")
    assert run.end("k", "dependency:m")[1:] == ["settle k skipped dependency:m", "settle z skipped dependency:m"]


def test_consumers_that_keep_a_grown_maker_from_starting_are_ended_and_begin_again_after_it() -> None:
    run = Scenario(
        task("m", streams=True, resources={"memory": 100}, retries=Retries(3)),
        task("k", reads=["m"], resources={"memory": 60}),
    )
    run.open(cores=4, memory=180)
    run.begin("m")
    assert run.end("m", "memory") == ["close m memory retry", "terminate k dependency:m"]
    assert run.end("k", "dependency:m") == ["close k dependency:m retry", "start m #2"]
    assert run.begin("m") == ["begin m"]
    assert run.reason_codes("k")[:2] == ["retry", "resource"]
    assert run.end("m") == ["close m ok", "settle m ok", "start k #2"]
    run.end("k")


def test_a_consumer_without_room_for_its_maker_is_left_alone_while_anything_else_may_make_room() -> None:
    run = Scenario(
        task("m", streams=True, resources={"memory": 100}, retries=Retries(3)),
        task("k", reads=["m"], resources={"memory": 60}),
        task("other"),
    )
    run.open(cores=4, memory=180)
    run.begin("m")
    assert run.end("m", "memory") == ["close m memory retry"]
    assert run.end("other")[-1] == "terminate k dependency:m"


def test_iterators_are_never_ordered_ahead() -> None:
    tasks = [task(f"t{number}") for number in range(4)]
    run = Scenario(
        MAKER,
        *tasks,
        *(task(f"k{i}", reads=["m"], priority=i % 2) for i in range(4)),
        options=SchedulerOptions(queue_ahead=True),
    )
    run.open(cores=2)
    run.end("t0", seconds=0.001)
    run.begin("m")
    lines = run.end("t1", seconds=0.001)
    lines += run.end("t2", seconds=0.001)
    assert not [line for line in lines if line.startswith("start k") and line.endswith("ahead")]
    run.run_out()


# --- orders ahead that begin in another order ---------------------------------------------------------------------------


def ahead_run() -> Scenario:
    run = Scenario(*(task(f"t{number}") for number in range(8)), options=SchedulerOptions(queue_ahead=True))
    run.open(cores=2)
    lines = run.end("t0", seconds=0.001)
    assert "start t3 ahead" in lines and "start t4 ahead" in lines
    return run


def test_an_ahead_order_that_begins_before_an_older_one_takes_over_what_it_holds() -> None:
    run = ahead_run()
    run.end("t1", seconds=0.001)  # t3 is thought to be next
    assert run.reason_codes("t3") == ["running"]
    assert run.begin("t4") == ["begin t4"]
    assert run.reason_codes("t3") == ["ahead"]
    assert run.scheduler.held() == {"cores": 2000}
    run.end("t4", seconds=0.001)
    assert run.begin("t3") == ["begin t3"]
    assert run.scheduler.held() == {"cores": 2000}


def test_an_ahead_order_that_begins_before_the_end_is_told_inherits_by_it() -> None:
    run = ahead_run()
    run.begin("t4")
    run.end("t1", seconds=0.001)
    assert run.reason_codes("t3") == ["ahead"]
    assert not run.scheduler.is_ahead(run.start_of("t4").nonce)
    assert run.scheduler.held() == {"cores": 2000}


def test_an_ahead_order_that_ends_unseen_leaves_what_is_held_alone() -> None:
    run = ahead_run()
    run.end("t1", seconds=0.001)
    run.end("t4", seconds=0.001)
    assert run.scheduler.held() == {"cores": 2000}
    run.run_out()
    assert run.scheduler.held() == {"cores": 0}


def test_an_order_that_turns_out_to_be_ahead_in_a_pause_is_taken_back() -> None:
    run = ahead_run()
    run.end("t1", seconds=0.001)
    run.send(PauseChanged(True, "disk"))
    withdrawn = {stop.key.task for stop in run.commands if isinstance(stop, StopAttempt)}
    assert run.index("t3") not in withdrawn
    assert run.begin("t4") == ["withdraw t3 paused", "begin t4"]
