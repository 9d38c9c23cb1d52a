"""Which dialect a document is: each line of the table, what is ambiguous, what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.errors import PlanError, Problem
from weft.formats.detect import signs
from weft.formats.load import load


def problem_of(folder: Path, document: Any, **settings: Any) -> Problem:
    (folder / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load(["plan.json"], cwd=str(folder), **settings)
    return caught.value.problems()[0]


@pytest.mark.parametrize(
    ("document", "dialects"),
    [
        ({"weft": 1, "jobs": {}, "templates": {}}, ["native"]),
        ({"schemaVersion": "1.5", "workflow": {}}, ["wfformat"]),
        ({"workflow": {}, "templates": {}}, ["workflow"]),
        ({"envs": {}}, ["taskplan"]),
        ({"notes": {}}, ["taskplan"]),
        ({"jobs": {}, "x": 1}, ["taskplan"]),
        ({"tasks": [{"template": "a", "arguments": {}}]}, ["workflow"]),
        ([{"task_id": "a"}], ["odop"]),
        ([{"Task ID": "a"}], ["odop"]),
        ({"tasks": [{"TIME-LIMIT": 5}]}, ["odop"]),
        ({"executable": "x"}, ["odop"]),
        ({"operational": {}}, ["odop"]),
        ([{"arguments": "x"}], ["tasklist"]),
        ({"tasks": [{"type": "eval"}]}, ["tasklist"]),
        ([{"task specification": {"resources": {"task  id": "a", "time": 3}}}], ["odop"]),
        ({"name": "a", "time": 3, "execution": {"Executable": "x"}}, ["odop"]),
        ([{"name": "a", "resources": {"cores": 1}}], []),
        ({"tasks": [{"type": "other"}]}, []),
        ({"tasks": [{"name": "x"}]}, []),
        ({"jobs": {}, "templates": {}}, ["taskplan", "workflow"]),
        ([{"type": "exec"}, {"executable": "x"}], ["tasklist", "odop"]),
        ({"jobs": {}, "tasks": [{"type": "exec"}]}, ["taskplan", "tasklist"]),
        ({"jobs": {}, "tasks": []}, ["taskplan"]),
        ({}, []),
        ([], []),
        ([1, None], []),
        (5, []),
        (None, []),
    ],
)
def test_signs_of_dialects(document: Any, dialects: list[str]) -> None:
    assert list(signs(document)) == dialects


def test_signs_of_two_dialects_are_ambiguous_and_named(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, {"jobs": {}, "templates": {}})
    assert problem.code == "detect.ambiguous"
    assert "'jobs' (taskplan)" in problem.message and "'templates' (workflow)" in problem.message
    assert "--format" in str(problem.hint)


@pytest.mark.parametrize("document", [{}, 5, None, "text", [1], {"tasks": [{"name": "x"}]}, {"tasks": 5}])
def test_a_document_without_signs_is_unknown(tmp_path: Path, document: Any) -> None:
    problem = problem_of(tmp_path, document)
    assert (problem.code, problem.location, problem.line) == ("detect.unknown", "", 1)


def test_an_object_of_tasks_lacks_the_native_sign(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, {"tasks": {"a": {"shell": "x"}}})
    assert problem.code == "detect.unknown"
    assert '"weft": 1' in str(problem.hint)


def test_a_named_dialect_is_not_detected(tmp_path: Path) -> None:
    assert problem_of(tmp_path, {"jobs": {}, "tasks": [{"name": "x"}]}, format="tasklist").code == "shape.missing"
    assert problem_of(tmp_path, [{"type": "exec"}], format="native").code == "shape.type"


def test_an_unknown_dialect_is_told_once(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, [], format="yaml")
    assert problem.code == "detect.unknown"
    assert "tasklist" in str(problem.hint)


def test_a_module_is_python_and_a_missing_one_is_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "plan.py").write_text("raise SystemExit", encoding="utf-8")
    for name in ("plan.py", "pkg.plan", "plan:registry"):
        with pytest.raises(PlanError) as caught:
            load([name], cwd=str(tmp_path))
        assert "Python" in caught.value.problems()[0].message
    for name in ("none.py", "nowhere.plan"):
        with pytest.raises(PlanError) as caught:
            load([name], cwd=str(tmp_path))
        assert caught.value.problems()[0].code == "read.missing"
