"""What a run would lack if it started now, found by looking only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.files.outlook import outlook
from weft.formats.load import load


def lacks(folder: Path, tasks: Mapping[str, Any], **more: Any) -> list[tuple[str, str, str]]:
    """(task, code, path) of everything that is lacking."""
    import json

    (folder / "plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks, **more}), encoding="utf-8")
    plan = load(["plan.json"], cwd=str(folder)).plan
    names = [task.name for task in plan.graph.tasks]
    return [(names[lack.task], lack.code, "/".join(map(str, lack.path))) for lack in outlook(plan, None)]


def test_each_kind_of_requirement_that_does_not_hold_is_told(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "one").touch()
    kinds: dict[str, Any] = {
        "files": ["nofile"],
        "folders": [{"path": "few", "minimum": 2}],
        "match": ["glob:**/*.nope"],
        "signal": ["go"],
        "shared_memory": ["weft-no-such-name"],
    }
    tasks = {kind: {"command": ["true"], "requires": {kind: need}} for kind, need in kinds.items()}
    assert lacks(tmp_path, tasks) == [(kind, "unmet", f"requires/{kind}") for kind in kinds]


def test_everything_that_one_task_lacks_is_told(tmp_path: Path) -> None:
    requires = {"files": ["a", "b"], "folders": ["c"], "match": ["d"], "signal": ["e"], "shared_memory": ["weft-none"]}
    kinds = ["files", "files", "signal", "shared_memory", "folders", "match"]
    assert lacks(tmp_path, {"a": {"command": ["true"], "requires": requires}}) == [
        ("a", "unmet", f"requires/{kind}") for kind in kinds
    ]


def test_files_that_functions_come_from_are_told(tmp_path: Path) -> None:
    tasks = {
        "file": {"function": "nothing.py:f"},
        "module": {"function": "nothing:f"},
        "pickle": {"serialized": {"path": "nothing.pkl"}},
        "later": {"function": "nothing.py:f", "dependencies": ["module"]},
    }
    assert lacks(tmp_path, tasks) == [("file", "not_found", "function"), ("pickle", "not_found", "serialized")]


def test_what_holds_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").touch()
    requires = {"files": ["data/a.txt"], "folders": ["data"], "match": ["glob:data/*.txt"]}
    assert lacks(tmp_path, {"a": {"command": ["true"], "requires": requires}}) == []


def test_what_a_dependency_may_still_make_is_not_told(tmp_path: Path) -> None:
    tasks = {
        "first": {"command": ["true"]},
        "second": {"command": ["./made"], "requires": {"files": ["made"]}, "dependencies": ["first"]},
        "third": {"script": "made.py", "dependencies": ["first"]},
    }
    assert lacks(tmp_path, tasks) == []


def test_programs_scripts_and_folders_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").touch()
    tasks = {
        "name": {"command": ["weft-no-such-program"]},
        "path": {"command": ["./nothing"]},
        "mode": {"command": ["./plain.txt"]},
        "folder": {"command": ["./"]},
        "script": {"script": "nothing.py"},
        "place": {"command": ["true"], "environment": "gone"},
        "slot": {"command": ["{x}"], "parameters": {"x": "true"}},
        "own": {"command": ["weft-no-such-program"], "environment": "path"},
    }
    environments = {"gone": {"path": "gone"}, "path": {"variables": {"PATH": "/opt/x"}}}
    assert lacks(tmp_path, tasks, environments=environments) == [
        ("name", "not_found", "command/0"),
        ("path", "not_found", "command/0"),
        ("mode", "not_found", "command/0"),
        ("folder", "not_found", "command/0"),
        ("script", "not_found", "script"),
        ("place", "setup", "environment"),
    ]
