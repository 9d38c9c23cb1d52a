"""Tasks that wait for each other's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.errors import PlanError, Problem
from weft.formats.load import load


def making(path: str, *, needs: str | None = None, after: str | None = None) -> dict[str, Any]:
    """A task that makes one file, perhaps of another, perhaps after another."""
    requires = {"requires": {"files": [needs]}} if needs is not None else {}
    return {"shell": "x", "outputs": [path], **requires, "dependencies": [after] if after is not None else []}


def problems_of(folder: Path, tasks: dict[str, Any]) -> tuple[Problem, ...]:
    (folder / "plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    try:
        load(["plan.json"], cwd=str(folder))
    except PlanError as error:
        return error.problems()
    return ()


def test_two_tasks_that_require_what_the_other_makes_are_told_whole(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"a": making("a.txt", needs="b.txt"), "b": making("b.txt", needs="./a.txt")})
    assert (problem.code, problem.location) == ("graph.cycle", "/tasks/a/requires/files")
    assert problem.message == (
        "2 tasks wait for each other, each for the next: 'a' (for 'b.txt') -> 'b' (for './a.txt') -> 'a'"
    )
    assert problem.hint is not None and "requires.signal" in problem.hint


def test_a_cycle_may_close_through_one_file_and_dependencies(tmp_path: Path) -> None:
    tasks = {
        "first": making("x", needs="z"),
        "second": making("y", after="first"),
        "third": making("z", after="second"),
        "beside": making("w", needs="z", after="third"),
    }
    (problem,) = problems_of(tmp_path, tasks)
    assert problem.message.endswith("'first' (for 'z') -> 'third' -> 'second' -> 'first'")


@pytest.mark.parametrize(
    "tasks",
    [
        {"b": making("b", needs="a"), "a": making("a")},
        {"b": making("b", needs="a", after="a"), "a": making("a")},
        {"counter": making("count", needs="count")},
        {"a": making("a", needs="b"), "b": making("b", needs="a"), "c": making("b", needs="c"), "d": making("a")},
        {"a": making("a_{x}", needs="b") | {"parameters": {"x": 1}}, "b": making("b", needs="a_{x}")},
    ],
    ids=["later in the plan", "with a dependency", "in place", "of several makers", "not known yet"],
)
def test_what_can_be_made_in_some_order_is_no_cycle(tmp_path: Path, tasks: dict[str, Any]) -> None:
    assert problems_of(tmp_path, tasks) == ()


def test_a_long_chain_of_files_is_walked_without_recursion(tmp_path: Path) -> None:
    chain = {f"t{i}": making(f"f{i}", needs=f"f{(i + 1) % 3000}") for i in range(3000)}
    (problem,) = problems_of(tmp_path, chain)
    assert problem.message.startswith("3000 tasks wait for each other") and len(problem.message) < 5000
