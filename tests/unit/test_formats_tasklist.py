"""The exec/eval dialect: the founding examples, every key, every mistake, the user's own schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.documents import codes, loaded, problems_of
from weft.errors import PlanError, Problem
from weft.formats.load import load
from weft.spec.actions import Shell, Snippet
from weft.spec.products import Product
from weft.spec.resources import NO_CORES
from weft.spec.tasks import Dependency

PING = """{"tasks": [{"name": "ping", "type": "exec", "arguments": "echo pong"}]}"""
FOUR = r"""{"tasks": [
  {"name": "words", "type": "exec", "arguments": "printf 'red\ngreen\n' > words.txt"},
  {"name": "lengths", "type": "eval", "arguments": "words = open('words.txt').read().split()\nprint({w: len(w) for w in words})", "dependencies": ["words"], "timeout": "5s"},
  {"name": "broken", "type": "exec", "arguments": "echo lost >&2; exit 7"},
  {"name": "never", "type": "exec", "arguments": "echo unseen", "dependencies": ["broken", "lengths"]}]}
"""  # noqa: E501


def entry(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "type": "exec", "arguments": "x", **fields}


def test_the_smallest_founding_example_is_one_shell_task(tmp_path: Path) -> None:
    found = loaded(tmp_path, PING)
    (task,) = found.plan.graph.tasks
    assert (task.name, task.action, found.warnings) == ("ping", Shell("echo pong"), ())
    assert found.plan.sources[0].dialect == "tasklist"


def test_the_larger_founding_example_keeps_types_edges_and_braces(tmp_path: Path) -> None:
    graph = loaded(tmp_path, FOUR).plan.graph
    assert graph["lengths"].action == Snippet(
        "words = open('words.txt').read().split()\nprint({w: len(w) for w in words})"
    )
    assert graph["lengths"].policy.timeout == 5
    assert graph["never"].dependencies == (Dependency("broken"), Dependency("lengths"))


def test_a_list_is_a_document_too(tmp_path: Path) -> None:
    assert loaded(tmp_path, [entry()]).plan.graph["a"].action == Shell("x")


def test_nothing_but_dependencies_holds_these_tasks_back(tmp_path: Path) -> None:
    graph = loaded(
        tmp_path, [entry(), entry(name="b", resources={"memory": "1G"}), entry(name="c", resources={"cores": 2})]
    ).plan.graph
    assert graph["a"].policy.resources is NO_CORES
    assert dict(graph["b"].policy.resources) == {"cores": 0, "memory": 2**30}
    assert dict(graph["c"].policy.resources) == {"cores": 2000}


def test_every_addition_means_what_it_means_in_the_normal_form(tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text(
        '{"weft": 1, "environments": {"lab": {}}, "notes": {"n": {"kind": "echo"}}, "tasks": {}}', encoding="utf-8"
    )
    fields = {"timeout": "1min", "max_attempts": 2, "environment": "lab", "isolation": "process", "cache": "always"}
    task = entry(type="eval", note="n", product="stdout", **fields)
    (tmp_path / "plan.json").write_text(json.dumps([task]), encoding="utf-8")
    policy = load(["plan.json", "more.json"], cwd=str(tmp_path)).plan.graph["a"].policy
    assert (policy.timeout, policy.retries.max_attempts, policy.environment) == (60, 2, "lab")
    assert (policy.isolation, policy.cache, policy.notes) == ("process", "always", ("n",))
    assert policy.product == Product("stdout")


@pytest.mark.parametrize("text", ["[]", '{"tasks": []}', '{"tasks": [], "description": "nothing"}'])
def test_an_empty_list_is_an_empty_plan(tmp_path: Path, text: str) -> None:
    assert len(loaded(tmp_path, text).plan.graph) == 0


def test_slots_mean_nothing_in_these_scripts(tmp_path: Path) -> None:
    assert loaded(tmp_path, [entry(arguments="awk '{print}' {{x}}")]).plan.graph["a"].action == Shell(
        "awk '{print}' {{x}}"
    )


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"type": "exec", "arguments": "x"}, [("shape.missing", "/tasks/0")]),
        ({"name": "a", "arguments": "x"}, [("shape.missing", "/tasks/0")]),
        ({"name": "a", "type": "exec"}, [("shape.missing", "/tasks/0")]),
        (entry(name=None), [("shape.type", "/tasks/0/name")]),
        (entry(name=""), [("name.invalid", "/tasks/0/name")]),
        (entry(name="a\nb"), [("name.invalid", "/tasks/0/name")]),
        (entry(type="evil"), [("shape.value", "/tasks/0/type")]),
        (entry(type=None), [("shape.type", "/tasks/0/type")]),
        (entry(arguments=""), [("shape.value", "/tasks/0/arguments")]),
        (entry(arguments=" \n\t"), [("shape.value", "/tasks/0/arguments")]),
        (entry(arguments=["ls"]), [("shape.type", "/tasks/0/arguments")]),
        (entry(arguments="a\0b"), [("shape.value", "/tasks/0/arguments")]),
        (entry(dependencies="b"), [("shape.type", "/tasks/0/dependencies")]),
        (entry(dependencies=None), [("shape.type", "/tasks/0/dependencies")]),
        (entry(dependencies=[1]), [("shape.type", "/tasks/0/dependencies/0")]),
        (entry(dependencies=["b"]), [("ref.task", "/tasks/0/dependencies/0")]),
        (entry(dependencies=["a"]), [("graph.cycle", "/tasks/0/dependencies/0")]),
        (entry(timeout="1:30"), [("unit.time", "/tasks/0/timeout")]),
        (entry(resources={"memory": "x"}), [("unit.size", "/tasks/0/resources/memory")]),
        (entry(max_attempts=0), [("shape.value", "/tasks/0/max_attempts")]),
        (entry(environment="e"), [("ref.environment", "/tasks/0/environment")]),
        (entry(note=["n"]), [("ref.note", "/tasks/0/note/0")]),
        (entry(isolation="x"), [("shape.value", "/tasks/0/isolation")]),
        (entry(cache=1), [("shape.type", "/tasks/0/cache")]),
        (7, [("shape.type", "/tasks/0")]),
    ],
)
def test_each_mistake_is_told_where_it_is(tmp_path: Path, task: Any, expected: list[tuple[str, str | None]]) -> None:
    sign = [] if isinstance(task, dict) else [entry(name="z")]
    assert codes(problems_of(tmp_path, {"tasks": [task, *sign]}, format="tasklist")) == expected


def test_many_mistakes_are_told_at_once_and_broken_tasks_exist(tmp_path: Path) -> None:
    tasks = [
        entry(arguments=" "),
        entry(dependencies="b"),
        {"name": "c", "type": "evil", "arguments": "x", "dependencies": ["d", "nope"]},
        {"name": "d", "type": "exec"},
        7,
        entry(name="e", dependencies=["c"]),
    ]
    assert codes(problems_of(tmp_path, tasks)) == [
        ("shape.value", "/0/arguments"),
        ("name.duplicate", "/1"),
        ("shape.type", "/1/dependencies"),
        ("shape.value", "/2/type"),
        ("ref.task", "/2/dependencies/1"),
        ("shape.missing", "/3"),
        ("shape.type", "/4"),
    ]


def test_a_snippet_may_hold_what_a_shell_may_not(tmp_path: Path) -> None:
    assert loaded(tmp_path, [entry(type="eval", arguments="x\0")]).plan.graph["a"].action == Snippet("x\0")


def test_an_unknown_key_is_a_warning_with_the_nearest_name_and_strictly_an_error(tmp_path: Path) -> None:
    document = {
        "tasks": [entry(timout=3, comment="c", description="d", title="t", **{"$schema": 1, "__x": 1})],
        "nmae": "p",
    }
    warnings = loaded(tmp_path, document).warnings
    assert [(each.code, each.location, each.hint) for each in warnings] == [
        ("shape.unknown_key", "/tasks/0/timout", "did you mean 'timeout'?"),
        ("shape.unknown_key", "/nmae", "did you mean 'name'?"),
    ]
    assert all(warning.line == 1 for warning in warnings)
    assert codes(problems_of(tmp_path, document, strict=True)) == [
        ("shape.unknown_key", "/tasks/0/timout"),
        ("shape.unknown_key", "/nmae"),
    ]


def test_a_dependency_named_twice_is_one_edge_and_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, [entry(), entry(name="b", dependencies=["a", "a"])])
    assert found.plan.graph["b"].dependencies == (Dependency("a"),)
    assert [warning.code for warning in found.warnings] == ["name.duplicate"]


def test_a_name_three_times_is_told_once_with_every_place(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "[\n" + ",\n".join([json.dumps(entry())] * 3) + "\n]")
    assert (problem.code, problem.location, problem.line) == ("name.duplicate", "/2", 4)
    assert all(f"line {line}, column 1" in problem.message for line in (2, 3, 4))


# --- the user's schema -------------------------------------------------------------------------------------------------


def schema_problems(folder: Path, schema: Any, document: Any = PING) -> tuple[Problem, ...]:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    (folder / "schema.json").write_text(text, encoding="utf-8")
    return problems_of(folder, document, schema="schema.json")


def test_a_document_that_fits_the_schema_passes(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object", "required": ["tasks"]}', encoding="utf-8")
    assert len(loaded(tmp_path, PING, schema="schema.json").plan.graph) == 1


def test_every_violation_is_told_with_its_pointer_beside_our_own_mistakes(tmp_path: Path) -> None:
    schema = {"properties": {"tasks": {"items": {"required": ["owner"], "properties": {"name": {"maxLength": 2}}}}}}
    problems = schema_problems(tmp_path, schema, {"tasks": [entry(name="long", timeout=0)]})
    assert sorted(codes(problems)) == [
        ("schema.violation", "/tasks/0"),
        ("schema.violation", "/tasks/0/name"),
        ("unit.time", "/tasks/0/timeout"),
    ]
    assert all(problem.file == "plan.json" and problem.line == 1 for problem in problems)


def test_the_draft_is_the_one_that_the_schema_names(tmp_path: Path) -> None:
    # `prefixItems` means nothing before 2020-12, `items` as a list nothing since.
    old = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"tasks": {"items": [{"maxProperties": 1}]}},
    }
    assert schema_problems(tmp_path, old)[0].code == "schema.violation"
    new = {"properties": {"tasks": {"prefixItems": [{"maxProperties": 1}]}}}
    assert schema_problems(tmp_path, new)[0].code == "schema.violation"


def test_all_that_is_broken_in_a_schema_is_told_with_its_places(tmp_path: Path) -> None:
    schema = '{"type": "objekt",\n "properties": {"tasks": {"minItems": -1, "items": {"pattern": "("}}}}'
    (tmp_path / "schema.json").write_text(schema, encoding="utf-8")
    (tmp_path / "plan.json").write_text('{"tasks": []}', encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load(["plan.json"], cwd=str(tmp_path), schema="schema.json")
    assert {(each.code, each.location, each.line, each.column) for each in caught.value.problems()} == {
        ("schema.invalid", "/type", 1, 10),
        ("schema.invalid", "/properties/tasks/minItems", 2, 39),
        ("schema.invalid", "/properties/tasks/items/pattern", 2, 64),
    }


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ({"type": "objekt"}, "schema.invalid"),
        ({"$schema": "https://example.org/unknown"}, "schema.invalid"),
        ({"$schema": 5}, "schema.invalid"),
        ({"$schema": "http://json-schema.org/draft-03/schema#", "type": "objekt"}, "schema.invalid"),
        ({"$schema": ["x"]}, "schema.invalid"),
        ([], "schema.invalid"),
        ("{", "parse.syntax"),
        ({"$ref": "https://example.org/remote.json"}, "schema.invalid"),
        ({"$ref": "other.json"}, "schema.invalid"),
        ({"$ref": "#/$defs/none"}, "schema.invalid"),
        ({"properties": {"tasks": {"items": {"properties": {"name": {"pattern": "("}}}}}}, "schema.invalid"),
        ({"$ref": "#"}, "schema.invalid"),
    ],
)
def test_a_broken_schema_is_told(tmp_path: Path, schema: Any, code: str) -> None:
    (problem,) = schema_problems(tmp_path, schema)
    assert (problem.code, problem.file) == (code, "schema.json")


def test_a_missing_schema_is_a_missing_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path, PING, schema="nowhere.json")[0].code == "read.missing"
