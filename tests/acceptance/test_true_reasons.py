"""What is said of tasks that ran without being remembered, and of attempts that never began."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.weft_process import Doorway, Weft, events_of, kill


def reasons(weft: Weft, *words: str) -> list[dict[str, Any]]:
    answer = weft("explain", *words, "--output", "json")
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)["reasons"]
    return found


def texts(weft: Weft, *words: str) -> list[str]:
    return [reason["text"] for reason in reasons(weft, *words)]


def planned(weft: Weft, plan: str, task: str) -> list[str]:
    entry = json.loads(weft("plan", plan, "--output", "json").stdout)["tasks"][task]
    return [reason["text"] for reason in entry["reasons"]]


def run_of(weft: Weft, *words: str) -> str:
    return str(json.loads(weft("status", *words, "--output", "json").stdout)["run"])[:12]


def test_a_task_that_failed_when_it_last_ran_is_not_said_to_be_new(weft: Weft) -> None:
    plan = weft.plan({"t": {"shell": "echo > out; test -e good", "outputs": ["out"]}})
    assert weft("run", plan).returncode == 1
    assert texts(weft, "t")[0] == "has not run before"
    expected = f"has not ended well before: it was failed (exit:1) in run {run_of(weft)}"
    assert planned(weft, plan, "t") == [expected]
    (weft.folder / "good").touch()
    assert weft("run", plan).returncode == 0
    assert texts(weft, "t") == [expected]
    assert reasons(weft, "t")[0]["code"] == "not_remembered"


def test_a_task_whose_last_run_was_told_to_remember_nothing_says_so(weft: Weft) -> None:
    plan = weft.plan({"t": {"shell": "echo > out", "outputs": ["out"]}})
    assert weft("run", plan, "--no-cache").returncode == 0
    first = run_of(weft)
    assert weft("run", plan).returncode == 0
    assert texts(weft, "t") == [f"ran well in run {first}, but with --no-cache, so nothing of it was remembered"]


def test_a_task_whose_work_was_given_up_says_so(weft: Weft) -> None:
    plan = weft.plan({"t": {"shell": "echo > out", "outputs": ["out"]}})
    assert weft("run", plan).returncode == 0
    first = run_of(weft)
    assert weft("cache", "gc", "--all").returncode == 0
    assert weft("run", plan).returncode == 0
    (text,) = texts(weft, "t")
    assert text.startswith(f"ran well in run {first}, but nothing is remembered that could stand in for it")


def test_a_task_of_a_run_that_was_left_open_says_so(weft: Weft, door: Doorway) -> None:
    blocked = {"shell": door.script(weft.folder / "ledger"), "outputs": ["out"]}
    plan = weft.plan({"t": blocked})
    engine = weft.start("run", plan)
    door.wait_for("t")
    kill(engine)
    assert planned(weft, plan, "t") == [f"was begun in run {run_of(weft)}, which has not come to its end"]
    assert weft("cancel").returncode == 0


def test_new_items_of_a_mapped_task_are_told_from_those_that_nothing_is_remembered_of(weft: Weft) -> None:
    (weft.folder / "in").mkdir()
    (weft.folder / "in" / "a").touch()
    each = {
        "shell": "test -e good",
        "requires": {"folders": ["in"]},
        "foreach": {"files": True},
        "cache": "always",
    }
    plan = weft.plan({"each": each})
    assert weft("run", plan).returncode == 1
    (weft.folder / "good").touch()
    (weft.folder / "in" / "b").touch()
    assert weft("run", plan).returncode == 0
    assert texts(weft, "each") == ["2 of its items have not been worked on before, or not with success"]
    assert weft("cache", "gc", "--all").returncode == 0
    assert weft("run", plan).returncode == 0
    assert texts(weft, "each")[0].startswith("ran well in run")


def test_what_never_began_took_no_time_wherever_it_is_shown(weft: Weft) -> None:
    tasks = {"a": {"command": ["no-such-program-at-all"]}, "b": {"command": ["true"], "dependencies": ["a"]}}
    events = events_of(weft("run", weft.plan(tasks), "--output", "json").stdout)
    ended = {event["task"]: event["seconds"] for event in events if event["event"] == "task_ended"}
    assert ended == {"a": None, "b": None}
    assert [task["seconds"] for task in events[-1]["tasks"].values()] == [None, None]
    status = json.loads(weft("status", "--output", "json").stdout)["tasks"]
    assert [task["seconds"] for task in status.values()] == [None, None]
    show = json.loads(weft("show", "a", "--output", "json").stdout)
    assert [(attempt["started"], attempt["seconds"]) for attempt in show["attempts"]] == [(None, None)]
    usage = json.loads(weft("usage", "--output", "json").stdout)["tasks"]
    assert usage["a"]["seconds"] is None


@pytest.mark.parametrize(
    ("task", "environments", "cause", "words"),
    [
        ({"command": ["no-such-program-at-all"]}, {}, "not_found", "is not in PATH"),
        (
            {"command": ["true"], "environment": "e"},
            {"e": {"requirements": ["nothing @ file:///nonexistent/nothing-1-py3-none-any.whl"]}},
            "setup",
            "installing the requirements failed",
        ),
    ],
)
def test_logs_of_an_attempt_that_never_began_say_why_there_are_none(
    weft: Weft, task: dict[str, Any], environments: dict[str, Any], cause: str, words: str
) -> None:
    plan = weft.plan({"a": task, "b": {"command": ["true"], "dependencies": ["a"]}}, environments=environments)
    assert weft("run", plan).returncode == 1
    assert weft.states()["a"] == ("failed", cause)
    answer = weft("logs", "a")
    assert (answer.returncode, answer.stdout) == (0, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"weft: attempt 1 of task 'a' never began, so it wrote nothing: {cause}: ")
    assert words in line
    skipped = weft("logs", "b")
    assert (skipped.returncode, skipped.stdout) == (2, "")
    assert "task 'b' was not started: it is skipped (dependency:a)" in skipped.stderr


def test_logs_of_a_task_that_wrote_nothing_say_nothing(weft: Weft) -> None:
    assert weft("run", weft.plan({"a": {"command": ["true"]}})).returncode == 0
    answer = weft("logs", "a")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
