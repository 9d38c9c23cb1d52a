"""Values given with `-o`: read by type, checked, assigned to options and to tasks' parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.errors import PlanError, Problem
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.formats.option_values import read_value
from weft.spec.plan import Plan


def plan_of(folder: Path, given: list[tuple[str, object]], **sections: Any) -> Plan:
    document = {"weft": 1, "tasks": {}, **sections}
    (folder / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    return load(["plan.json"], cwd=str(folder), options=given).plan


def problem_of(folder: Path, given: list[tuple[str, object]], **sections: Any) -> Problem:
    with pytest.raises(PlanError) as caught:
        plan_of(folder, given, **sections)
    (problem,) = caught.value.problems()
    return problem


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", " 7", 7),
        ("int", "-7", -7),
        ("float", "2.5", 2.5),
        ("float", "1e3", 1000.0),
        ("float", "3", 3),
        ("bool", "true", True),
        ("bool", "No", False),
        ("bool", "1", True),
        ("str", "7", "7"),
        ("str", "", ""),
        ("path", "a/b", "a/b"),
        ("file", "a b", "a b"),
        ("bytes", "ab", "ab"),
        ("list", '[1, "x"]', [1, "x"]),
        ("dict", '{"a": null}', {"a": None}),
        ("any", "5", 5),
        ("any", "null", None),
        ("any", "two words", "two words"),
        ("any", "[1", "[1"),
        ("any", "NaN", "NaN"),
        ("any", "1e999", "1e999"),
    ],
)
def test_texts_are_read_by_type(tmp_path: Path, kind: str, text: str, value: object) -> None:
    found = plan_of(tmp_path, [("k", text)], options={"k": {"type": kind}}).values["k"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "2.5"),
        ("int", "x"),
        ("int", "9" * 5000),
        ("float", "nan"),
        ("float", "1e999"),
        ("bool", "2"),
        ("list", "{}"),
        ("list", "a,b"),
        ("dict", "[]"),
        ("path", ""),
        ("str", "a\0"),
    ],
)
def test_a_text_of_another_type_is_told(tmp_path: Path, kind: str, text: str) -> None:
    problem = problem_of(tmp_path, [("k", text)], options={"k": {"type": kind}})
    assert problem.code == "option.type"
    assert problem.message.startswith("-o k: ")


def test_a_type_of_the_document_is_read_as_its_builtin_ancestor_and_checked(tmp_path: Path) -> None:
    sections = {
        "types": {"positive": {"parent": "int", "minimum": 1}, "small": {"parent": "positive", "maximum": 9}},
        "options": {"k": {"type": "small", "default": 2}},
    }
    assert plan_of(tmp_path, [("k", "9")], **sections).values["k"] == 9
    for text in ("0", "10", "x"):
        assert problem_of(tmp_path, [("k", text)], **sections).code == "option.type"


def test_the_last_value_given_counts_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    options = {"a": {"default": 1}, "b": {"default": None}, "c.d": {"default": 3}}
    plan = plan_of(tmp_path, [("a", "2"), ("a", "3"), ("c.d", "4")], options=options)
    assert dict(plan.values) == {"a": 3, "b": None, "c.d": 4}


def test_values_that_are_no_texts_are_checked_as_they_are(tmp_path: Path) -> None:
    assert plan_of(tmp_path, [("k", 5)], options={"k": {"type": "int"}}).values["k"] == 5
    assert problem_of(tmp_path, [("k", 5)], options={"k": {"type": "str"}}).code == "option.type"


def test_a_parameter_of_a_task_is_replaced_by_the_longest_name_that_fits(tmp_path: Path) -> None:
    tasks = {
        "a": {"command": ["{b.k}"], "parameters": {"b.k": 1, "k": "text", "flag": True, "items": [1], "none": None}},
        "a.b": {"command": ["{k}"], "parameters": {"k": 1}},
    }
    given = [("a.b.k", "2"), ("a.k", "5"), ("a.flag", "no"), ("a.items", "[2]"), ("a.none", "7")]
    graph = plan_of(tmp_path, given, tasks=tasks).graph
    assert dict(graph["a"].parameters) == {"b.k": 1, "k": "5", "flag": False, "items": [2], "none": 7}
    assert dict(graph["a.b"].parameters) == {"k": 2}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("seasn", "did you mean 'season'?"),
        ("a.wrd", "did you mean 'word'?"),
        ("ab.word", None),
        ("zzz", "its options are 'season'"),
        ("a.zzz", "its parameters are 'word'"),
    ],
)
def test_a_name_that_nothing_declares_is_told_with_the_nearest(tmp_path: Path, name: str, hint: str | None) -> None:
    tasks = {"a": {"command": ["{word}"], "parameters": {"word": "x"}}}
    problem = problem_of(tmp_path, [(name, "1")], tasks=tasks, options={"season": {"default": 1}})
    assert problem.code == "option.unknown"
    assert hint is None or problem.hint == hint


def test_an_option_without_a_value_is_told_with_what_to_do(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, [], options={"season": {"type": "str"}})
    assert (problem.code, problem.location) == ("option.missing", "/options/season")
    assert "-o season=VALUE" in str(problem.hint)


def test_a_plan_that_is_only_drawn_or_written_may_lack_values(tmp_path: Path) -> None:
    document = {"weft": 1, "options": {"k": {"type": "int"}}, "tasks": {"a": {"command": ["echo", "{k}"]}}}
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    plan = load(["plan.json"], cwd=str(tmp_path), is_open=True).plan
    assert json.loads(compile_plan(plan))["options"] == {"k": {"type": "int", "description": None}}


def test_an_option_that_a_slot_needs_is_missing_though_a_task_requires_it_too(tmp_path: Path) -> None:
    tasks = {"a": {"shell": "x", "requires": {"parameters": "k"}}, "b": {"command": ["{k}"]}}
    assert problem_of(tmp_path, [], tasks=tasks, options={"k": {}}).code == "option.missing"


def test_a_required_parameter_may_be_given_though_no_option_declares_it(tmp_path: Path) -> None:
    tasks = {"a": {"shell": "echo ${k}", "requires": {"parameters": ["k"]}}}
    plan = plan_of(tmp_path, [("k", "[1]")], tasks=tasks)
    assert dict(plan.values) == {"k": [1]}
    assert "k" in plan.options


def test_deeply_nested_json_is_no_list() -> None:
    with pytest.raises(ValueError, match="a list written as JSON"):
        read_value("[" * 100_000, "list")
