"""What tasks used beside what they asked for, and what is suggested."""

from __future__ import annotations

import pytest

from weft.assemble.consumption import Consumption, consumptions, suggestions_text
from weft.ports import AttemptRow, TaskRow
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, Request, Usage
from weft.spec.resource_files import read_resource_file
from weft.units import MEBIBYTE


def row(task: int, name: str, state="ok", cause=None, seconds=10.0, memory=100 * MEBIBYTE, cpu=15.0) -> TaskRow:
    return TaskRow(task, name, state, cause, None, 1, seconds, memory, cpu, None, 0)


def attempt(task: int, number: int = 1, memory: int = 400 * MEBIBYTE, *, charged: bool = True) -> AttemptRow:
    request = Request((("cores", 2000), ("memory", memory)), 40.0)
    key = AttemptKey(task, WHOLE, number)
    return AttemptRow(key, 1, "ok", None, None, 0, 0.0, Usage(10.0), request, NO_OUTPUT, NO_OUTPUT, None, None, charged)


def found(rows: list[TaskRow], attempts: list[AttemptRow]) -> Consumption:
    kinds = {each.name: "fit" for each in rows}
    return consumptions(rows, attempts, kinds, {"fit": "slurm"})["fit"]


def test_only_tasks_that_really_ran_and_ended_well_count():
    rows = [row(0, "a"), row(1, "b", "failed", "exit:1", seconds=99.0), row(2, "c", cause="cached", seconds=0.0)]
    use = found(rows, [attempt(0)])
    assert (use.tasks, use.seconds, use.cluster) == (3, [10.0], "slurm")


def test_the_largest_request_is_told_and_what_of_it_was_for_nothing():
    use = found([row(0, "a"), row(1, "b")], [attempt(0), attempt(1), attempt(1, 2, 600 * MEBIBYTE)])
    assert use.attempts == 3
    assert use.asked == {"cores": 2, "memory": 600 * MEBIBYTE, "timeout": 40.0}
    assert use.waste() == {"cores": 0.25, "memory": 0.8333, "timeout": 0.75}


def test_attempts_that_were_taken_back_do_not_count():
    assert found([row(0, "a")], [attempt(0), attempt(0, 2, charged=False)]).attempts == 1


def test_what_is_suggested_is_what_was_used_and_some_more():
    rows = [row(0, "a"), row(1, "b", seconds=100.0, memory=1001 * MEBIBYTE, cpu=301.0)]
    suggested = found(rows, [attempt(0)]).suggested(1.5)
    assert suggested == {"cores": 3, "memory": 1502 * MEBIBYTE, "runtime": 150}


def test_a_strategy_chooses_what_the_suggestion_starts_from():
    rows = [row(0, "a", seconds=20.0), row(1, "b", seconds=40.0)]
    use = found(rows, [])
    assert use.suggested(1.0, {"runtime": "avg"})["runtime"] == 30
    assert use.suggested(1.0, {"runtime": "min"})["runtime"] == 20
    assert use.suggested(1.0)["runtime"] == 40


def test_short_tasks_say_nothing_about_cores_and_little_about_the_rest():
    suggested = found([row(0, "a", seconds=0.1, cpu=0.4, memory=5 * MEBIBYTE)], []).suggested()
    assert suggested == {"memory": 64 * MEBIBYTE, "runtime": 10}


def test_nothing_is_suggested_for_what_was_not_measured():
    assert found([row(0, "a", "failed", "exit:1")], []).suggested() == {}


def test_suggestions_are_a_resource_file():
    yaml = pytest.importorskip("yaml")
    suggested = {"a: b": {"local": {"memory": 3 * MEBIBYTE, "cores": 2}}, "on": {"slurm": {"runtime": 7}}}
    data = yaml.safe_load(suggestions_text(suggested))
    found = read_resource_file(data)
    assert found.template_resources("a: b") == {"local": {"memory": 3 * MEBIBYTE, "cores": 2}}
    assert found.template_resources("on") == {"slurm": {"runtime": 7}}
