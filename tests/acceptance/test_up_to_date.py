"""A second run does nothing, by the short way as by the long one; whatever changed is noticed and named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import Weft, events_of

PLAN: dict[str, Any] = {
    "copy": {"command": ["cp", "in.txt", "mid.txt"], "requires": {"files": ["in.txt"]}, "outputs": ["mid.txt"]},
    "count": {
        "shell": "wc -c < mid.txt > out.txt",
        "dependencies": ["copy"],
        "requires": {"files": ["mid.txt"]},
        "outputs": ["out.txt"],
    },
    "side": {"command": ["true"], "outputs": []},
}


def run(weft: Weft, *words: str) -> dict[str, str]:
    """Cause by task: `cached`, or the empty text for what ran."""
    ended = weft("run", "plan.json", "--output", "json", *words)
    assert ended.returncode == 0, ended.stderr
    tasks = events_of(ended.stdout)[-1]["tasks"]
    return {name: task["cause"] or "" for name, task in tasks.items()}


@pytest.fixture
def made(weft: Weft, tmp_path: Path) -> Weft:
    """A plan that has run once, with files old enough for their stats to be trusted."""
    (tmp_path / "in.txt").write_text("hello")
    weft.plan(PLAN)
    assert run(weft) == {"copy": "", "count": "", "side": ""}
    for name in ("in.txt", "mid.txt", "out.txt"):
        os.utime(tmp_path / name, (1_000_000_000, 1_000_000_000))
    assert run(weft) == {"copy": "cached", "count": "cached", "side": ""}
    return weft


def test_again_and_again_nothing_runs(made: Weft) -> None:
    for _ in range(3):
        assert run(made) == {"copy": "cached", "count": "cached", "side": ""}


def test_a_plan_that_was_only_touched_changes_nothing(made: Weft, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(path.read_text() + "\n\n")
    assert run(made)["copy"] == "cached"
    assert run(made)["count"] == "cached"


@pytest.mark.parametrize("name", ["in.txt", "mid.txt", "out.txt"])
def test_content_that_changed_with_size_and_time_is_noticed(made: Weft, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("something else")
    expected = {"in.txt": ("", ""), "mid.txt": ("", "cached"), "out.txt": ("cached", "")}[name]
    found = run(made)
    assert (found["copy"], found["count"]) == expected
    assert (tmp_path / "out.txt").read_text().strip() == ("14" if name == "in.txt" else "5")


def test_content_that_changed_under_the_same_size_is_noticed_by_its_time(made: Weft, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("HELLO")
    assert run(made)["copy"] == ""
    assert (tmp_path / "mid.txt").read_text() == "HELLO"


def test_a_missing_output_is_made_again(made: Weft, tmp_path: Path) -> None:
    (tmp_path / "out.txt").unlink()
    assert run(made) == {"copy": "cached", "count": "", "side": ""}


def test_a_changed_command_runs_again_and_explain_names_it(made: Weft, tmp_path: Path) -> None:
    changed = json.loads(json.dumps(PLAN))
    changed["count"]["shell"] = "wc -c < mid.txt | tr -d ' ' > out.txt"
    made.plan(changed)
    assert run(made) == {"copy": "cached", "count": "", "side": ""}
    told = json.loads(made("explain", "count", "--output", "json").stdout)
    assert [reason["part"] for reason in told["reasons"]] == ["code"]


def test_what_was_written_back_is_up_to_date_by_its_content(made: Weft, tmp_path: Path) -> None:
    (tmp_path / "mid.txt").write_text("hello")
    assert run(made) == {"copy": "cached", "count": "cached", "side": ""}


def test_warnings_of_a_plan_are_told_again_when_it_is_not_read_again(weft: Weft) -> None:
    weft.plan({"a": {"command": ["true"]}, "b": {"command": ["true"], "dependencies": ["a", "a"]}})
    texts = [weft("run", "plan.json").stderr for _ in range(2)]
    assert all("twice" in text for text in texts), texts


def test_a_plan_that_became_wrong_is_read_and_refused(made: Weft, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"weft": 1, "tasks": {"a": {}}}')
    assert made("run", "plan.json").returncode == 2


def test_an_option_switched_back_finds_its_earlier_work(weft: Weft) -> None:
    task = {"shell": "echo {k} > out-{k}", "outputs": ["out-{k}"]}
    weft.plan({"a": task}, options={"k": {"type": "int", "default": 1}})
    assert [run(weft, "-o", f"k={k}")["a"] for k in (1, 2, 1, 2)] == ["", "", "cached", "cached"]


def test_a_retry_of_tasks_by_name_runs_them_and_what_follows_though_they_are_up_to_date(
    weft: Weft, tmp_path: Path
) -> None:
    tasks = {
        "first": {"shell": "echo first >> log; echo 1 > one", "outputs": ["one"]},
        "second": {"shell": "echo second >> log; cat one > two", "dependencies": ["first"], "outputs": ["two"]},
        "other": {"shell": "echo other >> log; echo 3 > three", "outputs": ["three"]},
    }
    plan = weft.plan(tasks)
    assert weft("run", plan, "-j", "1").returncode == 0
    (tmp_path / "log").unlink()
    assert weft("retry", "first").returncode == 0
    assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["first", "second"]
    assert weft("retry").returncode == 0
    assert (tmp_path / "log").read_text(encoding="utf-8").split() == ["first", "second"]
