"""Mapped tasks that grow with a stream, instances that follow instances, and both in a resumed run."""

from __future__ import annotations

import pytest

from weft.errors import InternalError
from weft.scheduling.commands import AddItems, Inspect, SettleTask, TakeItems
from weft.scheduling.events import (
    AttemptAdopted,
    AttemptEnded,
    CapacityChanged,
    ItemsRecovered,
    RequestRecovered,
    StreamGrew,
    TaskRecovered,
)
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Request
from weft.spec.retries import Retries
from weft.testing.scenario import Scenario, task

MAKER = task("m", streams=True)
ONCE_MORE = task("m", streams=True, retries=Retries(3))


# --- mapped over a stream ---------------------------------------------------------------------------------------------


def test_a_mapped_follower_gets_an_instance_for_each_item_as_it_comes() -> None:
    run = Scenario(MAKER, task("each", of="m"), task("after", after=["each"]))
    assert run.open(cores=3) == ["start m"]
    assert run.reason_codes("each") == ["items"]
    assert run.begin("m") == ["begin m", "items each 0+0"]
    assert run.reason_codes("each")[-1] == "items"
    assert run.grow("m", "a", "b", "c") == ["items each 0+3", "start each[0]", "start each[1]"]
    assert run.end("each", instance=0) == ["close each[0] ok", "settle each[0] ok", "start each[2]"]
    run.end("each", instance=1)
    run.end("each", instance=2)
    assert run.state("each") == "running"
    assert run.grow("m", "d") == ["items each 3+1", "start each[3]"]
    assert run.end("m") == ["close m ok", "settle m ok"]
    assert run.end("each", instance=3)[1:] == ["settle each[3] ok", "settle each ok", "start after"]
    assert [fact.items for fact in run.of(AddItems, "each")] == [(), ("a", "b", "c"), ("d",)]
    assert run.of(SettleTask, "each")[0].attempts == 4


def test_a_mapped_follower_ends_with_its_maker_when_all_its_instances_have() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=2)
    run.grow("m", "a")
    run.end("each", instance=0)
    assert run.end("m") == ["close m ok", "settle m ok", "settle each ok"]


def test_a_stream_without_items_gives_a_mapped_follower_without_instances() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=2)
    run.begin("m")
    assert run.end("m") == ["close m ok", "settle m ok", "settle each ok"]


def test_a_mapped_follower_that_comes_later_takes_all_items_there_are() -> None:
    run = Scenario(MAKER, task("x"), task("each", of="m", after=["x"]))
    run.open(cores=9)
    run.grow("m", "a", "b")
    assert run.end("x") == ["close x ok", "settle x ok", "items each 0+2", "start each[0]", "start each[1]"]
    assert run.grow("m", "c") == ["items each 2+1", "start each[2]"]


def test_a_mapped_follower_that_comes_after_the_end_takes_its_items_like_any_other() -> None:
    run = Scenario(MAKER, task("x"), task("each", of="m", after=["x"]))
    run.open(cores=9)
    run.grow("m", "a", "b")
    run.end("m")
    assert run.end("x") == ["close x ok", "settle x ok", "inspect each"]
    assert run.inspected("each") == ["items each 2", "start each[0]", "start each[1]"]
    assert run.of(TakeItems, "each")[0].items == ("a", "b")


def test_a_cached_stream_gives_its_items_by_the_look_at_the_follower() -> None:
    run = Scenario(task("m", streams=True, outputs=["o"]), task("each", of="m", cache="always"))
    run.open(cores=9)
    assert run.inspected("m", fresh=True) == ["settle m ok cached", "inspect each"]
    assert run.inspected("each", items=("a", "b"), fresh_items=frozenset({0})) == [
        "items each 2",
        "settle each[0] ok cached",
        "start each[1]",
    ]


def test_items_that_are_told_again_by_a_retry_count_once() -> None:
    run = Scenario(ONCE_MORE, task("each", of="m"))
    run.open(cores=4)
    run.grow("m", "a", "b")
    run.end("m", "exit:1")
    assert run.begin("m") == ["begin m"]
    assert run.grow("m", "a") == []
    assert run.grow("m", "b", "c") == ["items each 2+1", "start each[2]"]


def test_a_gap_in_a_stream_is_a_fault_of_ours() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=4)
    with pytest.raises(InternalError, match="items 3 and on of a stream with 0"):
        run.grow("m", "x", first=3)


def test_items_of_nobody_are_only_counted() -> None:
    run = Scenario(MAKER, task("each", of="m"), task("alone", streams=True))
    run.open(cores=4)
    start = run.start_of("m")
    run.send(StreamGrew(start.key.task, start.nonce + 7, ("x",), 0), StreamGrew(2, start.nonce, ("x",), 0))
    assert run.scheduler.ignored == 2
    assert run.grow("alone", "x") == []
    assert run.of(AddItems, "each") == []


def test_the_rest_of_a_mapped_follower_is_skipped_when_its_maker_fails() -> None:
    run = Scenario(MAKER, task("each", of="m", retries=Retries(2)), task("after", after=["each"]))
    run.open(cores=3)
    run.grow("m", "a", "b", "c", "d")
    run.end("each", instance=0)
    assert run.end("m", "exit:1") == [
        "close m exit:1",
        "settle m failed exit:1",
        "settle each[3] skipped dependency:m",
    ]
    assert run.end("each", instance=1) == ["close each[1] ok", "settle each[1] ok"]
    assert run.end("each", "exit:1", instance=2) == [
        "close each[2] exit:1",
        "settle each[2] skipped dependency:m",
        "settle each skipped dependency:m",
        "settle after skipped dependency:m",
    ]


def test_a_mapped_follower_whose_instances_are_all_ok_is_skipped_with_its_maker_all_the_same() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=3)
    run.grow("m", "a")
    run.end("each", instance=0)
    assert run.end("m", "exit:1")[-1] == "settle each skipped dependency:m"


def test_a_mapped_follower_that_is_looked_at_is_skipped_with_its_maker() -> None:
    run = Scenario(MAKER, task("each", of="m", needs=["f"]))
    run.open(cores=3)
    assert run.begin("m") == ["begin m", "items each 0+0", "inspect each"]
    assert run.end("m", "exit:1")[-1] == "settle each skipped dependency:m"
    assert run.inspected("each") == []


def test_an_instance_that_failed_makes_its_task_fail_whatever_its_maker_does() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=3)
    run.grow("m", "a")
    run.end("each", "exit:3", instance=0)
    assert run.state("each") == "running"
    assert run.end("m")[-1] == "settle each failed exit:3"


def test_a_mapped_follower_is_cancelled_while_it_grows_and_its_maker_goes_on() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=2)
    run.grow("m", "a", "b")
    assert run.cancel("each") == ["terminate each[0] cancelled", "settle each[1] cancelled cancelled"]
    assert run.end("each", "cancelled", instance=0)[-1] == "settle each cancelled cancelled"
    assert run.grow("m", "c") == []
    assert run.end("m") == ["close m ok", "settle m ok"]


def test_a_mapped_follower_without_open_instances_is_cancelled_at_once() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.open(cores=2)
    run.begin("m")
    assert run.cancel("each") == ["settle each cancelled cancelled"]


def test_new_items_are_looked_at_each_once_and_one_question_serves_those_that_came_meanwhile() -> None:
    run = Scenario(MAKER, task("each", of="m", cache="always"))
    run.open(cores=9)
    run.begin("m")
    assert run.inspected("each") == []
    assert run.grow("m", "a") == ["items each 0+1", "inspect each [0]"]
    assert run.grow("m", "b", "c") == ["items each 1+2"]
    assert run.inspected("each", fresh_items=frozenset({0})) == ["inspect each [1, 2]", "settle each[0] ok cached"]
    assert run.inspected("each", fresh_items=frozenset({2})) == ["settle each[2] ok cached", "start each[1]"]
    run.end("m")
    assert run.end("each", instance=1)[-1] == "settle each ok"


def test_items_that_came_after_the_first_look_are_looked_at_themselves() -> None:
    run = Scenario(MAKER, task("each", of="m", cache="always"))
    run.open(cores=9)
    run.grow("m", "a")
    assert run.of(Inspect, "each") == [Inspect(1)]
    run.grow("m", "b")
    assert run.inspected("each", fresh_items=frozenset({0})) == [
        "settle each[0] ok cached",
        "inspect each [1]",
    ]
    run.end("m")
    assert run.inspected("each", fresh_items=frozenset({1}))[-1] == "settle each ok cached"


def test_a_requirement_that_fails_for_new_items_skips_them() -> None:
    run = Scenario(MAKER, task("each", of="m", needs=["f"]))
    run.open(cores=9)
    run.begin("m")
    run.inspected("each")
    run.grow("m", "a")
    assert run.inspected("each", unmet="file:f") == ["settle each[0] skipped unmet:file:f"]
    assert run.end("m")[-1] == "settle each skipped unmet:file:f"


def test_a_demand_that_can_never_be_met_skips_a_mapped_follower_before_it_grows() -> None:
    run = Scenario(MAKER, task("each", of="m", resources={"gpu": 1}))
    run.open(cores=9)
    assert run.begin("m") == ["begin m", "settle each skipped unsatisfiable:gpu"]


def test_items_after_the_capacity_fell_are_refused_one_by_one() -> None:
    run = Scenario(MAKER, task("each", of="m", resources={"gpu": 1}))
    run.open(cores=9, gpu=1)
    run.begin("m")
    run.open(cores=9)
    assert run.grow("m", "a") == ["items each 0+1", "settle each[0] skipped unsatisfiable:gpu"]
    assert run.end("m")[-1] == "settle each skipped unsatisfiable:gpu"


# --- instance after instance ------------------------------------------------------------------------------------------


def test_instances_follow_those_of_a_mapped_task_one_by_one() -> None:
    run = Scenario(task("a", each=["x", "y"]), task("b", of="a"), task("c", of="b"))
    assert run.open(cores=2) == ["items a 2", "items b 0+2", "items c 0+2", "start a[0]", "start a[1]"]
    assert run.end("a", instance=1) == ["close a[1] ok", "settle a[1] ok", "start b[1]"]
    assert run.end("b", instance=1) == ["close b[1] ok", "settle b[1] ok", "start c[1]"]
    run.end("c", instance=1)
    run.end("a", instance=0)
    run.end("b", instance=0)
    assert run.end("c", instance=0) == ["close c[0] ok", "settle c[0] ok", "settle c ok"]
    assert run.of(AddItems, "c")[0].items == ("x", "y")


def test_an_instance_is_skipped_with_the_one_it_follows_and_the_others_run() -> None:
    run = Scenario(task("a", each=["x", "y"]), task("b", of="a"), task("c", of="b"))
    run.open(cores=2)
    assert run.end("a", "exit:1", instance=0) == [
        "close a[0] exit:1",
        "settle a[0] failed exit:1",
        "settle b[0] skipped dependency:a",
        "settle c[0] skipped dependency:a",
    ]
    run.end("a", instance=1)
    assert run.state("a") == "failed"
    assert run.end("b", instance=1) == [
        "close b[1] ok",
        "settle b[1] ok",
        "settle b skipped dependency:a",
        "start c[1]",
    ]
    assert run.end("c", instance=1)[-1] == "settle c skipped dependency:a"


def test_instances_of_instances_of_a_stream_grow_with_it() -> None:
    run = Scenario(MAKER, task("a", of="m"), task("b", of="a"))
    run.open(cores=4)
    run.begin("m")
    assert run.grow("m", "x", "y") == ["items a 0+2", "items b 0+2", "start a[0]", "start a[1]"]
    assert run.end("a", instance=0) == ["close a[0] ok", "settle a[0] ok", "start b[0]"]
    run.end("m", "exit:1")
    assert run.state("a") == "running"
    run.end("b", instance=0)
    assert run.end("a", instance=1) == [
        "close a[1] ok",
        "settle a[1] ok",
        "settle a skipped dependency:m",
        "start b[1]",
    ]
    assert run.end("b", instance=1)[-1] == "settle b skipped dependency:m"


def test_a_follower_of_instances_that_comes_later_takes_over_what_they_came_to() -> None:
    run = Scenario(task("a", each=["x", "y", "z"]), task("late"), task("b", of="a", after=["late"]))
    run.open(cores=9)
    run.end("a", instance=0)
    run.end("a", "exit:1", instance=1)
    assert run.end("late") == [
        "close late ok",
        "settle late ok",
        "items b 0+3",
        "settle b[1] skipped dependency:a",
        "start b[0]",
    ]
    run.end("a", instance=2)
    run.end("b", instance=0)
    assert run.end("b", instance=2)[-1] == "settle b skipped dependency:a"


def test_a_follower_of_instances_that_are_all_ok_takes_their_items() -> None:
    run = Scenario(task("a", each=["x"]), task("late"), task("b", of="a", after=["late"]))
    run.open(cores=9)
    run.end("a", instance=0)
    assert run.end("late")[-2:] == ["items b 1", "start b[0]"]
    assert run.of(TakeItems, "b")[0].items == ("x",)


def test_instances_that_follow_others_are_compared_when_those_are_ok() -> None:
    run = Scenario(task("a", each=["x", "y"]), task("b", of="a", cache="always"))
    assert run.open(cores=9)[:3] == ["items a 2", "items b 0+2", "inspect b"]
    assert run.inspected("b") == []
    assert run.end("a", instance=1)[-1] == "inspect b [1]"
    assert run.inspected("b", fresh_items=frozenset({1})) == ["settle b[1] ok cached"]


def test_a_cancelled_mapped_task_skips_what_follows_its_instances() -> None:
    run = Scenario(task("a", each=["x", "y"]), task("b", of="a"))
    run.open(cores=1)
    assert run.cancel("a") == [
        "terminate a[0] cancelled",
        "settle a[1] cancelled cancelled",
        "settle b[1] skipped dependency:a",
    ]
    assert run.end("a", "cancelled", instance=0)[-1] == "settle b skipped dependency:a"


def test_mapped_tasks_without_items_end_one_after_the_other_however_many() -> None:
    chain = [task("t0", each=[])] + [task(f"t{i}", of=f"t{i - 1}") for i in range(1, 3000)]
    run = Scenario(*chain)
    run.open(cores=1)
    assert run.is_finished
    chain = [task("t0", each=["x"])] + [task(f"t{i}", of=f"t{i - 1}") for i in range(1, 3000)]
    run = Scenario(*chain)
    run.open(cores=1)
    run.end("t0", "exit:1", instance=0)
    assert run.is_finished
    assert run.cause("t2999") == "dependency:t0"


def test_streams_of_streams_may_be_many() -> None:
    chain = [task("t0", streams=True, retries=Retries(2))]
    chain += [task(f"t{i}", streams=True, reads=[f"t{i - 1}"]) for i in range(1, 1500)]
    run = Scenario(*chain)
    run.open(cores=2000)
    for number in range(50):
        run.begin(f"t{number}")
    run.end("t0", "exit:1")
    assert run.reason_codes("t50") == ["running", "stream"]
    run.begin("t0")
    assert run.reason_codes("t50") == ["running"]


# --- resume ---------------------------------------------------------------------------------------------------------------


def test_a_resumed_run_keeps_the_items_of_a_stream_that_is_made_again() -> None:
    run = Scenario(MAKER, task("each", of="m"), task("new", of="m"))
    run.send(ItemsRecovered(1, ("a", "b"), frozenset({0})), RequestRecovered(1, 0, 1, None))
    assert run.open(cores=9) == ["start m"]
    assert run.begin("m") == [
        "begin m",
        "items new 0+2",
        "start each[1]",
        "start new[0]",
        "start new[1]",
    ]
    assert run.grow("m", "a") == []
    assert run.grow("m", "b", "c") == ["items each 2+1", "items new 2+1", "start each[2]", "start new[2]"]


def test_a_resumed_run_whose_stream_was_complete_takes_what_was_not_recorded() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.send(TaskRecovered(0, "ok"), ItemsRecovered(1, ("a",), frozenset({0})))
    assert run.open(cores=9) == ["settle each ok"]
    run = Scenario(MAKER, task("each", of="m"))
    run.send(TaskRecovered(0, "ok"))
    assert run.open(cores=9) == ["inspect each"]
    assert run.inspected("each", items=("a",)) == ["items each 1", "start each[0]"]


def test_an_adopted_maker_has_begun_and_tells_its_items_anew() -> None:
    key = AttemptKey(0, WHOLE, 1)
    run = Scenario(MAKER, task("k", reads=["m"]), task("each", of="m"))
    run.send(ItemsRecovered(2, ("a",), frozenset()), AttemptAdopted(key, 77, Request((("cores", 1000),)), 1.0))
    assert run.open(cores=9) == ["start k", "start each[0]"]
    assert run.send(StreamGrew(0, 77, ("a", "b"), 0)) == ["items each 1+1", "start each[1]"]


def test_an_adopted_maker_that_has_ended_meanwhile_has_told_all_items() -> None:
    key = AttemptKey(0, WHOLE, 1)
    run = Scenario(MAKER, task("each", of="m"))
    capacity = CapacityChanged({"cores": 9000})
    lines = run.send(
        ItemsRecovered(1, ("a",), frozenset({0})),
        AttemptAdopted(key, 77, Request((("cores", 1000),)), 1.0),
        StreamGrew(0, 77, ("a", "b"), 0),
        AttemptEnded(key, 77, Outcome(True)),
        capacity,
    )
    assert lines == ["close m ok", "settle m ok", "items each 1+1", "start each[1]"]


def test_an_adopted_instance_that_failed_before_its_stream_was_known_to_be_complete_fails_its_task() -> None:
    run = Scenario(MAKER, task("each", of="m", needs=["f"]))
    request = Request((("cores", 1000),))
    lines = run.send(
        ItemsRecovered(1, ("a",), frozenset()),
        AttemptAdopted(AttemptKey(0, WHOLE, 1), 77, request, 1.0),
        AttemptAdopted(AttemptKey(1, 0, 1), 78, request, 1.0),
        AttemptEnded(AttemptKey(1, 0, 1), 78, Outcome(False, "exit:1")),
        StreamGrew(0, 77, ("a",), 0),
        AttemptEnded(AttemptKey(0, WHOLE, 1), 77, Outcome(True)),
        CapacityChanged({"cores": 9000}),
    )
    assert lines[-2:] == ["settle m ok", "settle each failed exit:1"]


def test_adopted_instances_go_on_and_the_others_follow_when_the_stream_has_begun_again() -> None:
    run = Scenario(MAKER, task("each", of="m", retries=Retries(2)))
    run.send(
        ItemsRecovered(1, ("a", "b"), frozenset()),
        AttemptAdopted(AttemptKey(1, 0, 1), 5, Request((("cores", 1000),)), 1.0),
    )
    assert run.open(cores=9) == ["start m"]
    assert run.begin("m") == ["begin m", "start each[1]"]


def test_an_adopted_iterator_waits_for_its_maker_or_is_ended_when_that_was_given_up() -> None:
    adopted = AttemptAdopted(AttemptKey(1, WHOLE, 1), 5, Request((("cores", 1000),)), 1.0)
    run = Scenario(MAKER, task("k", reads=["m"]))
    run.send(adopted)
    assert run.open(cores=9) == ["start m"]
    assert run.send(AttemptEnded(adopted.key, 5, Outcome(False, "dependency:m"))) == ["close k dependency:m retry"]
    assert run.begin("m") == ["begin m", "start k #2"]
    run = Scenario(MAKER, task("k", reads=["m"]))
    run.send(TaskRecovered(0, "cancelled", "cancelled"), adopted)
    assert run.open(cores=9) == ["terminate k dependency:m"]
    assert run.send(AttemptEnded(adopted.key, 5, Outcome(False, "dependency:m")))[-1] == "settle k skipped dependency:m"


def test_recovered_instances_follow_those_of_a_mapped_task_that_runs_again() -> None:
    run = Scenario(task("a", each=["x", "y"]), task("b", of="a"))
    run.send(ItemsRecovered(0, ("x", "y"), frozenset({0})), ItemsRecovered(1, ("x", "y"), frozenset()))
    assert run.open(cores=9) == ["start a[1]", "start b[0]"]
    assert run.end("a", instance=1)[-1] == "start b[1]"


def test_attempt_numbers_of_instances_go_on_when_their_items_come_again() -> None:
    run = Scenario(MAKER, task("each", of="m"))
    run.send(RequestRecovered(1, 1, 4, None))
    run.open(cores=9)
    assert run.grow("m", "a", "b")[1:] == ["start each[0]", "start each[1] #5"]
