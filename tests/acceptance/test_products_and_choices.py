"""Products, cached instances and tasks that take no part, in plans that are a little out of the ordinary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.command_line import names, weft, write

TRUE = ["true"]
MAPPED: dict[str, Any] = {
    "m": {
        "command": ["sh", "-c", "echo {x} > mo_{x}.txt"],
        "foreach": {"values": ["a", "b"], "as": "x"},
        "outputs": ["mo_{x}.txt"],
        "product": "outputs",
    },
    "one": {
        "command": ["touch", "o_{k}.txt"],
        "parameters": {"k": 7},
        "outputs": ["o_{k}.txt"],
        "product": "outputs",
    },
    "user": {"command": ["echo", "{p}", "{q}"], "dependencies": [{"name": "m", "as": "p"}, {"name": "one", "as": "q"}]},
}


def plan(folder: Path, tasks: dict[str, Any]) -> None:
    write(folder, "plan.json", {"weft": 1, "tasks": tasks})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which MAPPED was run once."""
    plan(tmp_path, MAPPED)
    assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    return tmp_path


def ends(folder: Path, *words: str) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """(task, item, attempt, state, cause) of every `task_ended`, sorted by task and item; the last event."""
    events = weft(folder, "run", "plan.json", "--output", "json", *words).events
    told = [event for event in events if event["event"] == "task_ended"]
    keys = ("task", "item", "attempt", "state", "cause")
    return sorted((tuple(event.get(key) for key in keys) for event in told), key=str), events[-1]


def test_every_instance_has_one_end_also_those_that_finished_work_stands_in_for(folder: Path) -> None:
    (folder / "mo_b.txt").unlink()
    told, last = ends(folder, "--until", "m")
    assert told == [("m", "a", None, "ok", "cached"), ("m", "b", 1, "ok", None)]
    assert last["counts"] == {"ok": 1, "failed": 0, "skipped": 0, "cancelled": 0, "cached": 0}
    told, last = ends(folder, "--until", "m")
    assert told == [("m", "a", None, "ok", "cached"), ("m", "b", None, "ok", "cached")]
    assert last["counts"]["cached"] == 1
    assert last["tasks"]["m"]["instances"] == 2


def test_files_as_a_product_are_shown_as_followers_receive_them(folder: Path) -> None:
    shown = [weft(folder, "show", "--product", name).object for name in ("m", "m[b]", "one")]
    assert shown == [["mo_a.txt", "mo_b.txt"], "mo_b.txt", "o_7.txt"]


def test_an_output_that_an_unselected_mapped_task_has_lost_is_missed(folder: Path) -> None:
    assert weft(folder, "run", "plan.json", "--select", "user").code == 0
    (folder / "mo_b.txt").unlink()
    for command in ("run", "plan"):
        answer = weft(folder, command, "plan.json", "--select", "user")
        assert answer.code == 2
        assert "'m', which is not selected, and its output 'mo_b.txt' is missing" in answer.err


def test_outputs_of_an_unselected_task_with_several_sources_are_named_by_the_parameter_of_each(tmp_path: Path) -> None:
    for name in ("left/x", "right/y"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    folders = [{"path": "left", "as": "l"}, {"path": "right", "as": "r"}]
    mapped = {
        "command": ["sh", "-c", "mkdir -p out/left out/right && touch out/{l}{r}"],
        "foreach": {"files": True},
        "requires": {"folders": folders},
        "outputs": ["out/{l}{r}"],
    }
    plan(tmp_path, {"m": mapped, "user": {"command": TRUE, "dependencies": ["m"]}})
    assert weft(tmp_path, "run", "plan.json").code == 0
    assert weft(tmp_path, "run", "plan.json", "--select", "user").code == 0
    (tmp_path / "out/right/y").unlink()
    answer = weft(tmp_path, "run", "plan.json", "--select", "user")
    assert (answer.code, "'out/right/y' is missing" in answer.err) == (2, True)


def test_a_plan_says_why_finished_work_does_not_count(tmp_path: Path) -> None:
    makes = {"command": ["touch", "{o}"], "outputs": ["{o}"]}
    plan(
        tmp_path,
        {
            "usual": {**makes, "parameters": {"o": "u"}},
            "passing": {**makes, "parameters": {"o": "p"}, "cache": "memory"},
            "never": {**makes, "parameters": {"o": "n"}, "cache": "never"},
            "effect": {"command": TRUE},
        },
    )
    assert weft(tmp_path, "run", "plan.json").code == 0
    expected = {
        "passing": "cache is 'memory': what it makes is kept only while this run needs it",
        "never": "cache is 'never'",
        "effect": "has effects that weft does not know (no outputs declared, cache not asked for)",
    }

    def texts(*words: str) -> dict[str, str]:
        tasks = weft(tmp_path, "plan", "plan.json", "--output", "json", *words).object["tasks"]
        return {name: task["reasons"][0]["text"] for name, task in tasks.items()}

    assert texts() == {"usual": "up to date", **expected}
    assert texts("--no-cache") == {"usual": "results of earlier runs are not asked for", **expected}
    assert weft(tmp_path, "explain", "passing", "--output", "json").object["reasons"][0]["text"] == expected["passing"]
    events = weft(tmp_path, "run", "plan.json", "--output", "json").events
    assert names(events, "task_started") == ["passing", "never", "effect"]


def test_a_follower_that_never_ran_is_not_said_to_be_up_to_date_perhaps(tmp_path: Path) -> None:
    makes: dict[str, Any] = {"command": ["touch", "{o}"], "outputs": ["{o}"]}
    tasks = {"a": {**makes, "parameters": {"o": "a"}}, "b": {**makes, "parameters": {"o": "b"}, "dependencies": ["a"]}}
    plan(tmp_path, tasks)

    def codes() -> list[str]:
        found = weft(tmp_path, "plan", "plan.json", "--output", "json").object["tasks"]
        return [found[name]["reasons"][0]["code"] for name in ("a", "b")]

    assert codes() == ["never_ran", "never_ran"]
    assert weft(tmp_path, "run", "plan.json").code == 0
    (tmp_path / "a").unlink()
    assert codes() == ["output_missing", "dependency_runs"]


def test_an_executor_that_is_not_there_matters_to_those_who_use_it(tmp_path: Path) -> None:
    plan(tmp_path, {"here": {"command": TRUE}, "there": {"command": TRUE, "executor": "moon"}})
    assert weft(tmp_path, "run", "plan.json").code == 2
    assert weft(tmp_path, "run", "plan.json", "--select", "here").code == 0
    assert weft(tmp_path, "plan", "plan.json", "--select", "here").code == 0
    assert weft(tmp_path, "resume").code == 0


def test_a_key_that_a_product_does_not_have_is_an_unmet_requirement(tmp_path: Path) -> None:
    tasks: dict[str, Any] = {
        "j": {"command": ["echo", '{{"k": 1, "n": null}}'], "product": "json"},
        "s": {"command": ["echo", '{{"k": 1}}'], "product": "stdout"},
    }
    wanted = {"has": "j.k", "absent": "j.zz", "null": "j.n", "text": "s.k"}
    tasks |= {name: {"command": TRUE, "requires": {"parameters": [key]}} for name, key in wanted.items()}
    plan(tmp_path, tasks)
    told = weft(tmp_path, "run", "plan.json", "--output", "json").events[-1]["tasks"]
    assert {name: told[name]["cause"] for name in wanted} == {
        "has": None,
        "absent": "unmet:parameter:j.zz",
        "null": "unmet:parameter:j.n",
        "text": "unmet:parameter:s.k",
    }


@pytest.mark.parametrize(("name", "follower"), [("rows", "command"), ("array", "function")])
def test_a_product_damaged_meanwhile_fails_its_follower_once_and_is_made_anew(
    tmp_path: Path, name: str, follower: str
) -> None:
    module = 'import pickle\ndef rows():\n    return ["z" * 30000] * 4\ndef array():\n    return (1, "z" * 200000)\n'
    write(tmp_path, "m.py", module + "def use(x):\n    return len(x)\n")
    uses = {"command": ["sh", "-c", "true {x}"]} if follower == "command" else {"function": "m.py:use"}
    plan(
        tmp_path,
        {
            "make": {"function": f"m.py:{name}", "cache": "always"},
            "vandal": {"command": ["sh", "vandal.sh"], "dependencies": ["make"]},
            "use": {**uses, "dependencies": [{"name": "make", "as": "x"}, "vandal"]},
        },
    )
    write(tmp_path, "vandal.sh", "")
    assert weft(tmp_path, "run", "plan.json").code == 0
    (product,) = (path for path in (tmp_path / ".weft/products").rglob("*") if path.is_file() and path.name != "key")
    told = []
    for vandal in (f"printf vandal | dd conv=notrunc of='{product}'", ""):
        write(tmp_path, "vandal.sh", vandal)
        told.append(weft(tmp_path, "run", "plan.json", "--output", "json").events[-1]["tasks"])
    causes = [(tasks["make"]["cause"], tasks["use"]["cause"]) for tasks in told]
    assert causes == [("cached", "setup"), (None, None)]


@pytest.mark.parametrize("how", ["each", "foreach"])
def test_lines_and_items_of_a_product_are_worked_on_one_by_one(tmp_path: Path, how: str) -> None:
    def mapped(maker: str) -> dict[str, Any]:
        if how == "each":
            return {"dependencies": [{"name": maker, "as": "x", "each": True}]}
        return {"foreach": {"stream": maker, "as": "x"}}

    plan(
        tmp_path,
        {
            "lines": {"command": ["printf", "one\\ntwo\\n"], "product": {"source": "stdout", "stream": True}},
            "line": {"command": ["echo", "{x}"], "product": "stdout", **mapped("lines")},
            "rows": {"command": ["echo", '[3, {"k": 4}]'], "product": "json"},
            "row": {"command": ["echo", "{x}"], "product": "json", **mapped("rows")},
        },
    )
    assert weft(tmp_path, "run", "plan.json").code == 0
    shown = [json.loads(weft(tmp_path, "show", "last", name, "--product").out) for name in ("line", "row")]
    assert shown == [["one", "two"], [3, {"k": 4}]]
