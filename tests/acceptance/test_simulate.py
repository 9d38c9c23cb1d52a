"""`weft simulate`, and runs on the simulated executor: as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from support.command_line import Answer, is_golden, weft

KEYS = {
    "makespan",
    "work",
    "bound",
    "utilisation",
    "speedup",
    "critical_path",
    "hosts",
    "tasks",
    "dispatches_per_second",
}

RECORDED: dict[str, Any] = {
    "name": "duo",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                {"name": "cut", "id": "cut_1", "parents": [], "children": ["glue_1"]},
                {"name": "cut", "id": "cut_2", "parents": [], "children": ["glue_1"]},
                {"name": "glue", "id": "glue_1", "parents": ["cut_1", "cut_2"], "children": []},
            ]
        },
        "execution": {
            "makespanInSeconds": 99.5,
            "executedAt": "2031-02-03T04:05:06Z",
            "tasks": [
                {"id": "cut_1", "runtimeInSeconds": 40, "memoryInBytes": 6442450944},
                {"id": "cut_2", "runtimeInSeconds": 30.5, "memoryInBytes": 6442450944},
                {"id": "glue_1", "runtimeInSeconds": 5, "coreCount": 2, "machines": ["n1"]},
            ],
            "machines": [{"nodeName": "n1", "cpu": {"coreCount": 4}, "memoryInBytes": 8589934592}],
        },
    },
}


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    """A folder with a recorded document and a native plan."""
    (tmp_path / "duo.json").write_text(json.dumps(RECORDED), encoding="utf-8")
    tasks: dict[str, Any] = {
        f"grow {n}": {"command": ["false"], "duration": 60 * (n + 1), "resources": {"cores": 2}} for n in range(4)
    }
    tasks["count"] = {"shell": "exit 1", "duration": "2m", "dependencies": list(tasks)}
    tasks["huge"] = {"command": ["false"], "duration": 9, "resources": {"cores": 64, "memory": "1T"}}
    tasks["after"] = {"command": ["false"], "dependencies": ["huge"]}
    (tmp_path / "plan.json").write_text(json.dumps({"weft": 1, "name": "farm", "tasks": tasks}), encoding="utf-8")
    return tmp_path


def without_rate(answer: Answer) -> Answer:
    return answer._replace(out=re.sub(r"[\d,]+ a second", "N a second", answer.out))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simulate_plan", ["plan.json", "--hosts", "2x3c"]),
        ("simulate_one_host", ["plan.json", "--hosts", "1x64c,2T", "--default-duration", "1m"]),
        ("simulate_recorded", ["duo.json"]),
        ("simulate_bad_hosts", ["duo.json", "--hosts", "4x48+2x4c,many"]),
        ("simulate_no_hosts", ["plan.json"]),
        ("simulate_bad_order", ["duo.json", "--order", "fiel"]),
    ],
)
def test_what_is_said_is_golden(name: str, words: list[str], plans: Path) -> None:
    is_golden(f"{name}.txt", without_rate(weft(plans, "simulate", *words)), plans)


def test_json_has_the_keys_of_the_design(plans: Path) -> None:
    answer = weft(plans, "simulate", "plan.json", "--hosts", "2x64c", "--default-duration", "1s", "--output", "json")
    found = answer.object
    assert answer.code == 0 and set(found) == KEYS
    assert found["critical_path"] == {"seconds": 360, "tasks": ["grow 3", "count"]}
    assert (found["hosts"], found["tasks"], found["makespan"], found["bound"]) == (2, 7, 360, 360)
    assert found["work"] == 2 * 600 + 120 + 64 * 9 + 1
    assert found["speedup"] == pytest.approx(found["work"] / 360)
    assert found["utilisation"] == pytest.approx(found["work"] / 360 / 128)


def test_the_order_in_which_seconds_are_added_up_is_not_seen(tmp_path: Path) -> None:
    seconds = (0.184, 0.18, 0.185, 0.1, 0.2, 0.7)
    tasks = {f"t{number}": {"command": ["true"], "duration": given} for number, given in enumerate(seconds)}
    (tmp_path / "plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    found = weft(tmp_path, "simulate", "plan.json", "--hosts", "1x1C", "--output", "json").object
    assert (found["makespan"], found["work"], found["bound"], found["speedup"]) == (1.549, 1.549, 1.549, 1.0)


def test_a_recorded_workflow_shows_what_was_recorded_beside(plans: Path) -> None:
    found = weft(plans, "simulate", "duo.json", "--output", "json").object
    assert (found["makespan"], found["recorded_makespan"], found["hosts"]) == (75.5, 99.5, 1), "memory lets one run"
    free = weft(plans, "simulate", "duo.json", "--ignore-memory", "--output", "json").object
    assert (free["makespan"], free["bound"]) == (45, 45)
    more = weft(plans, "simulate", "duo.json", "--hosts", "2x2c,8G", "--output", "json").object
    assert (more["makespan"], more["hosts"], set(more) - KEYS) == (45, 2, {"recorded_makespan"})


def test_every_dialect_can_be_simulated(plans: Path) -> None:
    documents = {
        "list.json": [{"name": "a", "type": "exec", "arguments": "false"}],
        "jobs.json": {"jobs": {"a": {"command": ["false"]}}},
        "spec.json": [{"task_id": "a", "executable": "/bin/false", "time_limit": 30}],
    }
    for name, document in documents.items():
        (plans / name).write_text(json.dumps(document), encoding="utf-8")
        words = ["--hosts", "1x2c", "--default-duration", "7", "--output", "json"]
        answer = weft(plans, "simulate", name, *words)
        assert answer.code == 0, answer
        assert (answer.object["tasks"], answer.object["makespan"]) == (1, 7), name
    assert not (plans / ".weft").exists()


def test_nothing_is_run_and_nothing_written_but_the_chart(plans: Path) -> None:
    (plans / "touch.json").write_text('{"weft": 1, "tasks": {"a": {"command": ["touch", "made"], "duration": 1}}}')
    before = sorted(plans.iterdir())
    assert weft(plans, "simulate", "touch.json", "--hosts", "1x1c", "--gantt", "chart.svg").code == 0
    assert sorted({*plans.iterdir()} - {*before}) == [plans / "chart.svg"]
    ElementTree.fromstring((plans / "chart.svg").read_text(encoding="utf-8"))
    refused = weft(plans, "simulate", "touch.json", "--hosts", "1x1c", "--gantt", "absent/chart.svg")
    assert refused.code == 2 and "cannot be written" in refused.err


def test_a_part_of_a_plan_can_be_simulated(plans: Path) -> None:
    words = ["--hosts", "1x2c", "--output", "json"]
    assert weft(plans, "simulate", "plan.json", *words, "--select", "grow 1,count").object["makespan"] == 240
    assert weft(plans, "simulate", "plan.json", *words, "--exclude", "huge,after").object["tasks"] == 5
    assert weft(plans, "simulate", "plan.json", *words, "--select", "gorw").code == 2


def test_durations_that_a_run_measured_are_taken(plans: Path) -> None:
    tasks = {"a": {"command": ["sleep", "0.2"]}, "b": {"command": ["true"], "duration": 3, "dependencies": ["a"]}}
    (plans / "two.json").write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    words = ["simulate", "two.json", "--hosts", "1x1c", "--output", "json"]
    assert weft(plans, *words).object["makespan"] == 3
    assert weft(plans, "run", "two.json", "--executor", "noop").code == 0
    assert weft(plans, *words).object["makespan"] == 3, "what was not really run measured nothing"
    assert weft(plans, "run", "two.json").code == 0
    measured = weft(plans, "usage", "--output", "json").object["tasks"]["a"]["seconds"]
    answer = weft(plans, *words)
    assert answer.object["makespan"] == pytest.approx(3 + measured) and "measured" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["--default-duration", "soon"],
        ["--default-duration", "-1"],
        ["--resources", "cores=3"],
        ["--resources", "license"],
        ["--order", "priority"],
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], plans: Path) -> None:
    answer = weft(plans, "simulate", "duo.json", *words, "--output", "json")
    assert answer.code == 2
    assert [error["code"] for error in answer.object["errors"]] == ["usage"]


# --- runs on the simulated executor ------------------------------------------------------------------------------------


def test_a_recorded_workflow_runs_as_a_simulation_and_says_so(plans: Path) -> None:
    answer = weft(plans, "run", "duo.json", "--output", "json")
    ended = answer.events[-1]
    assert (answer.code, ended["state"], ended["counts"]["ok"]) == (0, "ok", 3)
    assert {name: task["seconds"] for name, task in ended["tasks"].items()} == {
        "cut_1": 40,
        "cut_2": 30.5,
        "glue_1": 5,
    }
    assert ended["seconds"] < 30
    assert "no task is really run (executor simulated)" in weft(plans, "run", "duo.json").err
    usage = weft(plans, "usage", "--output", "json").object
    assert usage["tasks"]["cut_1"]["seconds"] == 40
    assert weft(plans, "resume").code == 0


@pytest.mark.parametrize("executor", ["local", "noop"])
def test_a_recorded_workflow_is_given_to_no_other_executor(executor: str, plans: Path) -> None:
    answer = weft(plans, "run", "duo.json", "--executor", executor, "--output", "json")
    assert (answer.code, [error["code"] for error in answer.object["errors"]]) == (2, ["policy.refused"])


def test_any_plan_can_be_given_to_the_simulated_executor(plans: Path) -> None:
    answer = weft(plans, "run", "plan.json", "--executor", "simulated", "--output", "json")
    ended = answer.events[-1]
    assert (answer.code, ended["counts"]["ok"]) == (0, 7), "amounts are never short where nothing is run"
    assert (ended["tasks"]["grow 2"]["seconds"], ended["tasks"]["after"]["seconds"]) == (180, None)
