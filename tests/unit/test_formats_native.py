"""Native documents: every field becomes spec's value, and every mistake is told at once with its place and a hint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.documents import codes, problems_of
from weft.errors import PlanError
from weft.formats.load import load
from weft.spec.actions import Call, Command, Expand, Script, Serialized, Shell, Snippet
from weft.spec.environments import Environment, ShellValue
from weft.spec.notes import Note
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import FileNeed, FolderNeed, Foreach, MatchNeed, Requirements
from weft.spec.resources import Resources
from weft.spec.retries import Retries
from weft.spec.tasks import DEFAULT_POLICY, Dependency, Task


def native(tasks: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"weft": 1, **sections, "tasks": tasks}


def plan_of(folder: Path, document: Any, **settings: Any) -> Plan:
    (folder / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    return load(["plan.json"], cwd=str(folder), **settings).plan


def task_of(folder: Path, fields: dict[str, Any], **sections: Any) -> Task:
    return plan_of(folder, native({"t": fields, "other": {"shell": "x", "product": "json"}}, **sections)).graph["t"]


def test_a_plain_task_has_every_default(tmp_path: Path) -> None:
    task = task_of(tmp_path, {"command": ["echo", "hi"]})
    assert task == Task("t", Command(("echo", "hi")))
    assert task.policy is DEFAULT_POLICY


def test_keys_for_people_are_free_also_where_a_text_may_stand_instead(tmp_path: Path) -> None:
    fields = {
        "shell": "x",
        "dependencies": [{"name": "other", "comment": "why"}],
        "product": {"source": "stdout", "__note": 1},
        "requires": {"files": [{"path": "f", "description": "d"}], "title": "t"},
    }
    task = task_of(tmp_path, fields)
    assert task.dependencies == (Dependency("other"),)
    assert task.requires.files == (FileNeed("f"),)
    problems = problems_of(tmp_path, native({"t": {**fields, "timeout": 0, "dependencies": [{"nam": "x", "__y": 1}]}}))
    assert codes(problems) == [
        ("shape.missing", "/tasks/t/dependencies/0"),
        ("shape.unknown_key", "/tasks/t/dependencies/0/nam"),
        ("unit.time", "/tasks/t/timeout"),
    ]


def test_an_amount_that_is_null_is_absent(tmp_path: Path) -> None:
    fields = {"shell": "x", "resources": {"memory": None, "cores": None, "license": None, "gpu": 1}}
    assert (
        task_of(tmp_path, fields).policy.resources
        == task_of(tmp_path, {"shell": "x", "resources": {"gpu": 1}}).policy.resources
    )


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"command": ["cat", {"expand": "$HOME/x"}]}, Command(("cat", Expand("$HOME/x")))),
        ({"shell": "echo a | wc"}, Shell("echo a | wc")),
        ({"python": "print(1)"}, Snippet("print(1)")),
        ({"function": "pkg.mod:name"}, Call("pkg.mod:name")),
        ({"function": "tools/file.py:name", "digest": "ab"}, Call("tools/file.py:name", "ab")),
        ({"script": "run.py"}, Script("run.py")),
        ({"serialized": {"path": "f.pkl"}}, Call(Serialized(path="f.pkl"))),
        ({"serialized": {"data": "aGk=", "format": "cloudpickle"}}, Call(Serialized(data="aGk="))),
    ],
)
def test_each_action_is_read(tmp_path: Path, fields: dict[str, Any], action: object) -> None:
    assert task_of(tmp_path, fields).action == action


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        (
            "resources",
            {"cores": 0.5, "memory": "2G", "gpu": 1},
            "resources",
            (("cores", 500), ("gpu", 10**6), ("memory", 2**31)),
        ),
        ("resources", {"license": 0, "disk": 0}, "resources", (("cores", 1000),)),
        (
            "resources",
            {"network_bandwidth": "20M/s"},
            "resources",
            (("cores", 1000), ("network_bandwidth", 20 * 2**20)),
        ),
        ("timeout", "1h 30m", "timeout", 5400),
        ("duration", 2.5, "duration", 2.5),
        ("product", "json", "product", Product("json")),
        ("product", {"source": "stdout", "type": "str", "stream": True}, "product", Product("stdout", "str", True)),
        ("stream", True, "product", Product("stdout", "any", True)),
        ("foreach", {"values": [1, "x"], "as": "v"}, "foreach", Foreach(values=(1, "x"), bind="v")),
        ("foreach", {"stream": "other", "as": "row"}, "foreach", Foreach(stream="other", bind="row")),
        ("parameter_mapping", "--{key}={value}", "mapping", "--{key}={value}"),
        ("parameter_mapping", {"*": "{value}"}, "mapping", {"*": "{value}"}),
        ("parameter_roles", {"p": "op"}, "roles", {"p": "op"}),
        ("environment", "lab", "environment", "lab"),
        ("notes", "diary", "notes", ("diary",)),
        ("notes", ["diary"], "notes", ("diary",)),
        ("cache", "memory", "cache", "memory"),
        ("isolation", "process", "isolation", "process"),
        ("interruptible", False, "interruptible", False),
        ("priority", -3, "priority", -3),
        ("niceness", 19, "niceness", 19),
        ("executor", "slurm", "executor", "slurm"),
        ("queue", "long", "queue", "long"),
        ("tags", ["a", "b"], "tags", ("a", "b")),
        ("attributes", {"stage": [1, None]}, "attributes", {"stage": [1, None]}),
        ("description", "what it does", "description", "what it does"),
        ("max_attempts", 3, "retries", Retries(3)),
        ("retry_delay", "2s", "retries", Retries(delay=2)),
        ("retry_delay", 0, "retries", Retries()),
        ("retry_on", ["exit:3", "memory"], "retries", Retries(retry_on=("exit:3", "memory"))),
        (
            "resource_scales",
            {"memory": 1.0, "cores": [2, 4]},
            "retries",
            Retries(scales=(("memory", 1.0), ("cores", (2, 4)))),
        ),
        ("resource_scales", {"timeout": ["1h", 7200]}, "retries", Retries(scales=(("timeout", (3600, 7200)),))),
        ("scale_on", "any", "retries", Retries(scale_on="any")),
        ("fallback_queues", ["a", "b"], "retries", Retries(fallback_queues=("a", "b"))),
    ],
)
def test_each_field_of_the_policy_is_read(
    tmp_path: Path, field: str, value: object, attribute: str, expected: object
) -> None:
    sections = {"environments": {"lab": {}}, "notes": {"diary": {"kind": "echo"}}}
    found = getattr(task_of(tmp_path, {"shell": "x", field: value}, **sections).policy, attribute)
    assert (found.amounts if isinstance(found, Resources) else found) == expected


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ({"files": "a"}, Requirements(files=(FileNeed("a"),))),
        ({"files": ["a", {"path": "b", "as": "p"}]}, Requirements(files=(FileNeed("a"), FileNeed("b", "p")))),
        (
            {"folders": {"path": "d", "minimum": 2, "recursive": True, "as": "p"}},
            Requirements(folders=(FolderNeed("d", 2, True, "p"),)),
        ),
        ({"folders": {"path": "d", "source": False}}, Requirements(folders=(FolderNeed("d", source=False),))),
        ({"match": "t_[0-9]+"}, Requirements(match=(MatchNeed("t_[0-9]+"),))),
        ({"match": "glob:*.csv"}, Requirements(match=(MatchNeed("*.csv", "glob"),))),
        ({"match": [{"glob": "*.x", "minimum": 3, "as": "xs"}]}, Requirements(match=(MatchNeed("*.x", "glob", 3, "xs"),))),
        ({"shared_memory": "s", "signal": ["go"]}, Requirements(shared_memory=("s",), signal=("go",))),
    ],
)  # fmt: skip
def test_each_requirement_is_read(tmp_path: Path, requires: dict[str, Any], expected: Requirements) -> None:
    assert task_of(tmp_path, {"shell": "x", "requires": requires}).requires == expected


def test_dependencies_are_names_or_bindings_and_a_streamed_task_is_one(tmp_path: Path) -> None:
    tasks = {
        "a": {"function": "m:f", "product": {"source": "return", "stream": True}},
        "b": {"shell": "x", "dependencies": ["a"]},
        "c": {
            "function": "m:g",
            "dependencies": [{"name": "a", "as": "x", "each": True}, {"name": "b", "gather": True}],
        },
        "d": {"shell": "x", "foreach": {"stream": "a", "as": "row"}},
    }
    graph = plan_of(tmp_path, native(tasks)).graph
    assert graph["c"].dependencies == (Dependency("a", "x", True), Dependency("b", gather=True))
    assert graph["d"].dependencies == (Dependency("a"),)
    assert graph["a"].policy.product == Product("return", "any", True)


def test_the_sections_of_a_plan_are_read(tmp_path: Path) -> None:
    document = native(
        {},
        name="n",
        description="d",
        order="file",
        attributes={"x": 1},
        options={"k": {"type": "positive", "default": 2}},
        types={"positive": {"parent": "int", "minimum": 1}},
        environments={
            "lab": {
                "python": "3.11",
                "requirements": ["numpy>=2"],
                "path": "work",
                "variables": {"B": "b", "A": {"expand": "$B"}, "C": {"shell": "date"}},
                "fingerprint": True,
            }
        },
        notes={"diary": {"kind": "file", "path": "x", "conditions": ["only_if_ok"]}},
    )
    plan = plan_of(tmp_path, document)
    assert (plan.name, plan.description, plan.order, dict(plan.attributes)) == ("n", "d", "file", {"x": 1})
    assert plan.options["k"].type == "positive"
    assert dict(plan.values) == {"k": 2}
    variables = (("B", "b"), ("A", Expand("$B")), ("C", ShellValue("date")))
    assert plan.environments["lab"] == Environment("3.11", ("numpy>=2",), "work", variables, True)
    assert plan.notes["diary"] == Note("file", {"path": "x", "overwrites": False, "format": "text"}, ("only_if_ok",))


def test_templates_and_defaults_lie_below_a_task(tmp_path: Path) -> None:
    document = native(
        {
            "a": {"template": "say", "parameters": {"word": "ho"}, "resources": {"gpu": 0}, "tags": ["own"]},
            "b": {"template": "say", "shell": "true"},
            "c": {"shell": "x"},
        },
        defaults={"priority": 2, "timeout": 5, "resources": {"memory": "1G"}, "attributes": {"d": 1}},
        templates={
            "say": {
                "command": ["echo", "{word}"],
                "parameters": {"word": "hi", "n": 1},
                "resources": {"gpu": 1},
                "timeout": 9,
                "tags": ["template"],
                "attributes": {"t": 1},
            }
        },
    )
    graph = plan_of(tmp_path, document).graph
    first, second, third = graph
    assert dict(first.parameters) == {"word": "ho", "n": 1}
    assert dict(first.policy.resources) == {"cores": 1000, "memory": 2**30}
    assert (first.policy.timeout, first.policy.priority, first.policy.tags) == (9, 2, ("own",))
    assert dict(first.policy.attributes) == {"d": 1, "t": 1}
    assert second.action == Shell("true")
    assert (third.policy.timeout, third.policy.template) == (5, None)


def test_null_means_absent_and_some_keys_are_for_people(tmp_path: Path) -> None:
    task = task_of(
        tmp_path,
        {"shell": "x", "command": None, "timeout": None, "resources": None, "comment": 1, "__old": {}, "title": "t"},
        **{"$schema": "s", "__x": 1, "comment": 2},
    )
    assert task == Task("t", Shell("x"))


def test_equal_policies_are_one_object(tmp_path: Path) -> None:
    fields = {"shell": "x", "timeout": "5s", "resources": {"memory": "1G"}, "requires": {"files": "a"}}
    first, second = plan_of(tmp_path, native({"a": fields, "b": fields})).graph
    assert first.policy is second.policy
    assert first.requires is second.requires


# --- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "rest"),
    [
        ({}, "action.none", ""),
        ({"command": ["x"], "shell": "x"}, "action.many", ""),
        ({"command": []}, "shape.value", "/command"),
        ({"command": "ls -l"}, "shape.type", "/command"),
        ({"command": ["ls", 5]}, "shape.type", "/command/1"),
        ({"command": ["a\0b"]}, "shape.value", "/command/0"),
        ({"command": [{"expand": 1}]}, "shape.type", "/command/0/expand"),
        ({"command": [{"expnd": "x"}]}, "shape.missing", "/command/0"),
        ({"shell": "a\0"}, "shape.value", "/shell"),
        ({"function": "name"}, "shape.value", "/function"),
        ({"serialized": {}}, "shape.conflict", "/serialized"),
        ({"serialized": {"path": "x", "data": "y"}}, "shape.conflict", "/serialized"),
        ({"shell": "x", "comand": 1}, "shape.unknown_key", "/comand"),
        ({"shell": "x", "requires": {"file": "x"}}, "shape.unknown_key", "/requires/file"),
        ({"shell": "x", "timeout": "1h30"}, "unit.time", "/timeout"),
        ({"shell": "x", "timeout": 0}, "unit.time", "/timeout"),
        ({"shell": "x", "timeout": True}, "unit.time", "/timeout"),
        ({"shell": "x", "timeout": "1:30"}, "unit.time", "/timeout"),
        ({"shell": "x", "retry_delay": -1}, "unit.time", "/retry_delay"),
        ({"shell": "x", "resources": {"memory": 512}}, "unit.size", "/resources/memory"),
        ({"shell": "x", "resources": {"memory": 0}}, "unit.size", "/resources/memory"),
        ({"shell": "x", "resources": {"memory": "1Q"}}, "unit.size", "/resources/memory"),
        ({"shell": "x", "resources": {"cores": -1}}, "shape.value", "/resources/cores"),
        ({"shell": "x", "resources": {"cores": True}}, "shape.type", "/resources/cores"),
        ({"shell": "x", "resources": {"gpu": "2"}}, "shape.type", "/resources/gpu"),
        ({"shell": "x", "resources": {"gpu": 10**400}}, "shape.value", "/resources/gpu"),
        ({"shell": "x", "resources": {" ": 1}}, "name.invalid", "/resources/ "),
        ({"shell": "x", "resources": [1]}, "shape.type", "/resources"),
        ({"shell": "x", "max_attempts": 0}, "shape.value", "/max_attempts"),
        ({"shell": "x", "max_attempts": 10**400}, "shape.value", "/max_attempts"),
        ({"shell": "x", "max_attempts": 1.0}, "shape.type", "/max_attempts"),
        ({"shell": "x", "max_attempts": True}, "shape.type", "/max_attempts"),
        ({"shell": "x", "retry_on": ["exi"]}, "shape.value", "/retry_on/0"),
        ({"shell": "x", "resource_scales": {"memory": []}}, "shape.value", "/resource_scales/memory"),
        ({"shell": "x", "resource_scales": {"memory": "x"}}, "shape.type", "/resource_scales/memory"),
        ({"shell": "x", "scale_on": "all"}, "shape.value", "/scale_on"),
        ({"shell": "x", "interruptible": 1}, "shape.type", "/interruptible"),
        ({"shell": "x", "cache": "sometimes"}, "shape.value", "/cache"),
        ({"shell": "x", "cache": []}, "shape.type", "/cache"),
        ({"shell": "x", "isolation": "none"}, "shape.value", "/isolation"),
        ({"shell": "x", "niceness": 20}, "shape.value", "/niceness"),
        ({"shell": "x", "priority": "high"}, "shape.type", "/priority"),
        ({"shell": "x", "tags": [1]}, "shape.type", "/tags/0"),
        ({"shell": "x", "outputs": [""]}, "shape.value", "/outputs/0"),
        ({"shell": "x", "outputs": ["a\0"]}, "shape.value", "/outputs/0"),
        ({"shell": "x", "parameters": []}, "shape.type", "/parameters"),
        ({"shell": "x", "parameters": {"a=b": 1}}, "shape.value", "/parameters/a=b"),
        ({"command": ["{p}"], "parameters": {"p": "a\0"}}, "shape.value", "/parameters/p"),
        ({"shell": "x", "parameter_roles": {"p": "nod"}}, "shape.value", "/parameter_roles/p"),
        ({"command": ["x"], "parameter_mapping": "--{k}"}, "mapping.invalid", "/parameter_mapping"),
        ({"command": ["x"], "parameter_mapping": {"p": "'"}}, "mapping.invalid", "/parameter_mapping"),
        ({"script": "x.py", "parameters": {"p": {"q": 1}}}, "shape.type", "/parameters/p"),
        ({"script": "x.py", "parameters": {"p": [[1]]}}, "shape.type", "/parameters/p"),
        ({"script": "x.py", "parameters": {"p": True}, "parameter_mapping": "{value}"}, "mapping.invalid", "/parameters/p"),
        ({"command": ["{x}"]}, "slot.unknown", "/command/0"),
        ({"shell": "echo {x}", "parameters": {"y": 1}}, "slot.unknown", "/shell"),
        ({"shell": "x", "requires": {"match": "("}}, "pattern.invalid", "/requires/match"),
        ({"shell": "x", "requires": {"match": [{"pattern": "("}]}}, "pattern.invalid", "/requires/match/0"),
        ({"shell": "x", "requires": {"match": [{}]}}, "shape.conflict", "/requires/match/0"),
        ({"shell": "x", "requires": {"folders": {"path": "d", "minimum": 0}}}, "shape.value", "/requires/folders/minimum"),
        ({"shell": "x", "requires": {"files": [{"as": "x"}]}}, "shape.missing", "/requires/files/0"),
        ({"shell": "x", "requires": {"files": [5]}}, "shape.type", "/requires/files/0"),
        ({"shell": "x", "foreach": {}}, "shape.conflict", "/foreach"),
        ({"shell": "x", "foreach": {"files": True}}, "shape.conflict", "/foreach"),
        (
            {"shell": "x", "foreach": {"files": True}, "requires": {"folders": {"path": "d", "source": False}}},
            "shape.conflict",
            "/foreach",
        ),
        ({"shell": "x", "foreach": {"values": [1], "as": "p"}, "parameters": {"p": 1}}, "shape.conflict", "/foreach"),
        ({"shell": "x", "foreach": {"stream": "nope"}}, "ref.task", "/foreach/stream"),
        ({"shell": "x", "product": {"source": "json", "type": "any"}, "type": "str"}, "shape.conflict", "/type"),
        ({"shell": "x", "dependencies": None}, "shape.type", "/dependencies"),
        ({"shell": "x", "dependencies": "a"}, "shape.type", "/dependencies"),
        ({"shell": "x", "dependencies": ["othr"]}, "ref.task", "/dependencies/0"),
        ({"shell": "x", "dependencies": [{"name": "othr"}]}, "ref.task", "/dependencies/0"),
        ({"shell": "x", "dependencies": [{"nam": "other"}]}, "shape.missing", "/dependencies/0"),
        ({"shell": "x", "dependencies": [["other"]]}, "shape.type", "/dependencies/0"),
        ({"shell": "x", "dependencies": ["t"]}, "graph.cycle", "/dependencies/0"),
        ({"shell": "x", "environment": "lab"}, "ref.environment", "/environment"),
        ({"shell": "x", "notes": ["a"]}, "ref.note", "/notes/0"),
        ({"shell": "x", "template": "t"}, "ref.template", "/template"),
        ({"shell": "x", "product": {"source": "json", "type": "in"}}, "ref.type", "/product"),
        ({"shell": "x", "product": "out"}, "shape.value", "/product"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_task_is_told_where_it_is(
    tmp_path: Path, fields: dict[str, Any], code: str, rest: str
) -> None:
    problems = problems_of(tmp_path, native({"t": fields, "other": {"shell": "x"}}))
    assert (code, f"/tasks/t{rest}") in codes(problems), problems
    assert all("\n" not in problem.message and "'t'" in problem.message for problem in problems)
    assert all(problem.line is not None and problem.column is not None for problem in problems)


MADE = {"shell": "x", "product": "stdout"}


@pytest.mark.parametrize(
    ("fields", "rest", "words"),
    [
        ({"dependencies": [{"name": "a", "as": "p"}, {"name": "b", "as": "p"}]}, "/dependencies/1", "of 'a'"),
        ({"dependencies": [{"name": "a", "as": "p"}], "parameters": {"p": 1}}, "/dependencies/0", "its parameters"),
        (
            {"dependencies": [{"name": "a", "as": "p"}], "requires": {"files": {"path": "f", "as": "p"}}},
            "/dependencies/0",
            "files",
        ),
        ({"dependencies": [{"name": "a", "as": "p"}], "foreach": {"values": [1], "as": "p"}}, "/dependencies/0", "items"),
        ({"requires": {"files": [{"path": "f", "as": "p"}, {"path": "g", "as": "p"}]}}, "/requires/files", "holds one"),
        ({"product": "outputs"}, "/product", "declares no outputs"),
        ({"product": "return"}, "/product", "only a function"),
    ],
)  # fmt: skip
def test_a_parameter_has_one_giver_and_a_product_a_source(
    tmp_path: Path, fields: dict[str, Any], rest: str, words: str
) -> None:
    (problem,) = problems_of(tmp_path, native({"a": MADE, "b": MADE, "t": {"shell": "x", **fields}}))
    assert (problem.code, problem.location) == ("shape.conflict", f"/tasks/t{rest}")
    assert words in problem.message


def test_gathered_products_and_found_files_may_come_together_in_one_parameter(tmp_path: Path) -> None:
    gathered = [{"name": name, "as": "p", "gather": True} for name in "ab"]
    folders = [{"path": path, "as": "p"} for path in "de"]
    tasks = {
        "t": {"command": ["{p}"], "dependencies": gathered},
        "u": {"command": ["{p}"], "requires": {"folders": folders}},
    }
    assert len(plan_of(tmp_path, native({"a": MADE, "b": MADE, **tasks})).graph) == 4


@pytest.mark.parametrize(
    "lost",
    [{"foreach": [1]}, {"parameters": [1]}, {"dependencies": [{"name": "a", "as": ["p"]}]}],
    ids=["items", "parameters", "dependencies"],
)
def test_what_a_broken_key_would_have_given_is_not_missed_besides(tmp_path: Path, lost: dict[str, Any]) -> None:
    (problem,) = problems_of(tmp_path, native({"a": MADE, "t": {"command": ["{p}"], **lost}}))
    assert problem.code == "shape.type"


def test_a_broken_product_is_not_missed_by_its_followers(tmp_path: Path) -> None:
    follower = {"command": ["{p}"], "dependencies": [{"name": "a", "as": "p"}]}
    (problem,) = problems_of(tmp_path, native({"a": {"shell": "x", "product": "stdou"}, "t": follower}))
    assert (problem.code, problem.location) == ("shape.value", "/tasks/a/product")


@pytest.mark.parametrize(
    ("sections", "code", "location"),
    [
        ({"nmae": "x"}, "shape.unknown_key", "/nmae"),
        ({"name": 5}, "shape.type", "/name"),
        ({"name": " "}, "name.invalid", "/name"),
        ({"root": "a\0"}, "shape.value", "/root"),
        ({"order": "random"}, "shape.value", "/order"),
        ({"options": []}, "shape.type", "/options"),
        ({"options": {"k": {"type": "in", "default": 1}}}, "ref.type", "/options/k/type"),
        ({"options": {"k": {}}}, "option.missing", "/options/k"),
        ({"options": {"k": {"type": "int", "default": "x"}}}, "option.type", "/options/k/default"),
        (
            {"options": {"k": {"type": "low", "default": 9}}, "types": {"low": {"maximum": 3}}},
            "option.type",
            "/options/k/default",
        ),
        ({"options": {"k": 5}}, "shape.type", "/options/k"),
        ({"options": {"k": {"typ": "int", "default": 1}}}, "shape.unknown_key", "/options/k/typ"),
        ({"types": {"int": {}}}, "name.duplicate", "/types/int"),
        ({"types": {"a": {"parent": "b"}}}, "ref.type", "/types/a/parent"),
        ({"types": {"a": {"parent": "b"}, "b": {"parent": "a"}}}, "graph.cycle", "/types/a/parent"),
        ({"types": {"a": {"pattern": "("}}}, "pattern.invalid", "/types/a/pattern"),
        ({"environments": {"e": {"variables": {"A=B": "x"}}}}, "shape.value", "/environments/e/variables/A=B"),
        ({"environments": {"e": {"variables": {"": "x"}}}}, "shape.value", "/environments/e/variables/"),
        ({"environments": {"e": {"path": "a\0"}}}, "shape.value", "/environments/e/path"),
        ({"environments": {"e": 5}}, "shape.type", "/environments/e"),
        ({"notes": {"n": {}}}, "shape.missing", "/notes/n"),
        ({"notes": {"n": {"kind": "emial"}}}, "ref.note_class", "/notes/n/kind"),
        ({"notes": {"n": {"kind": "echo", "conditions": ["only"]}}}, "shape.value", "/notes/n/conditions/0"),
        ({"templates": {"a": {"template": "b"}}}, "shape.unknown_key", "/templates/a/template"),
        ({"templates": {"a": {"shell": "x", "python": "x"}}}, "action.many", "/templates/a"),
        ({"templates": {"a": {"timeout": "x"}}}, "unit.time", "/templates/a/timeout"),
        ({"defaults": {"timeout": "x"}}, "unit.time", "/defaults/timeout"),
        ({"defaults": 5}, "shape.type", "/defaults"),
        ({"environments": {"a\nb": {}}}, "name.invalid", "/environments/a\nb"),
    ],
)  # fmt: skip
def test_each_mistake_beside_the_tasks_is_told_where_it_is(
    tmp_path: Path, sections: dict[str, Any], code: str, location: str
) -> None:
    problems = problems_of(tmp_path, native({}, **sections))
    assert codes(problems) == [(code, location)]
    assert problems[0].line == 1


@pytest.mark.parametrize(
    "value", ["sec\0ret", 12345, ["secret"], {"expand": 12345}, {"expand": "sec\0ret"}, {"x": "secret"}]
)
def test_the_value_of_a_variable_is_never_shown(tmp_path: Path, value: object) -> None:
    (problem,) = problems_of(tmp_path, native({}, environments={"e": {"variables": {"TOKEN": value}}}))
    assert problem.location == "/environments/e/variables/TOKEN"
    assert "sec" not in str(problem) and "12345" not in str(problem)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"weft": 2, "tasks": {}}, "shape.value"),
        ({"weft": "1", "tasks": {}}, "shape.type"),
        ({"weft": True, "tasks": {}}, "shape.type"),
        ({"weft": 1}, "shape.missing"),
        ({"weft": 1, "tasks": []}, "shape.type"),
        ({"weft": 1, "tasks": None}, "shape.type"),
        ({"weft": 1, "tasks": {"a": 5}}, "shape.type"),
        ({"weft": 1, "tasks": {"a": None}}, "shape.type"),
    ],
)
def test_a_document_of_the_wrong_shape_is_told(tmp_path: Path, document: Any, code: str) -> None:
    assert [problem.code for problem in problems_of(tmp_path, document)] == [code]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x7fb", "x" * 1001, "a\u2028b"])
def test_names_of_tasks_have_rules(tmp_path: Path, name: str) -> None:
    assert problems_of(tmp_path, native({name: {"shell": "x"}}))[0].code == "name.invalid"


@pytest.mark.parametrize("name", ["a b", "a/b", "a[1]", "+x", "x" * 1000, "été", "~"])
def test_most_texts_are_names(tmp_path: Path, name: str) -> None:
    assert plan_of(tmp_path, native({name: {"shell": "x"}})).graph.tasks[0].name == name


def test_no_task_may_have_the_name_of_an_instance(tmp_path: Path) -> None:
    tasks = {"m": {"shell": "x", "foreach": {"values": [1]}}, "m[1]": {"shell": "x"}, "n[1]": {"shell": "x"}}
    assert codes(problems_of(tmp_path, native(tasks))) == [("name.duplicate", "/tasks/m[1]")]


def test_many_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """{"weft": 1,
 "tasks": {
  "a": {"comand": ["x"], "timeout": "soon",
        "dependencies": ["b", "zz"]},
  "b": {"shell": "x", "resources": {"memory": 5, "cores": -1}, "environment": "lab"},
  "c": 5,
  "d": {"shell": "x", "dependencies": ["c", "e"]},
  "e": {"shell": "x", "dependencies": ["d"]}
 }}"""
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load(["plan.json"], cwd=str(tmp_path))
    assert [(each.code, each.line, each.column) for each in caught.value.problems()] == [
        ("shape.unknown_key", 3, 9),
        ("unit.time", 3, 37),
        ("ref.task", 4, 31),
        ("unit.size", 5, 47),
        ("shape.value", 5, 59),
        ("ref.environment", 5, 79),
        ("shape.type", 6, 8),
        ("graph.cycle", 7, 45),
    ]


def test_messages_name_the_field_show_the_value_and_point_to_the_nearest_name(tmp_path: Path) -> None:
    tasks = {
        "fit": {"command": ["fit"], "dependencies": ["ftch"], "cache": "sometimes"},
        "fetch": {"comand": ["x"], "shell": "x", "priority": "y" * 200},
    }
    found = {problem.code: problem for problem in problems_of(tmp_path, native(tasks))}
    assert found["ref.task"].message == "task 'fit' depends on 'ftch', which does not exist"
    assert found["ref.task"].hint == "did you mean 'fetch'?"
    assert found["shape.value"].message.startswith("task 'fit': cache must be 'auto', 'always', 'never' or 'memory'")
    assert found["shape.unknown_key"].message == "task 'fetch' has no key 'comand'"
    assert found["shape.unknown_key"].hint == "did you mean 'command'?"
    assert found["shape.type"].message == f"task 'fetch': priority must be an integer, not '{'y' * 79}…'"


def test_every_cycle_is_told_once_and_whole(tmp_path: Path) -> None:
    edges = {"a": ["b"], "b": ["c"], "c": ["a"], "x": ["y"], "y": ["x"], "z": ["z"], "ok": ["a"]}
    problems = problems_of(tmp_path, native({name: {"shell": "x", "dependencies": on} for name, on in edges.items()}))
    assert [problem.code for problem in problems] == ["graph.cycle"] * 3
    assert "'a' -> 'b' -> 'c' -> 'a'" in problems[0].message


def test_a_bad_expression_that_would_be_a_glob_says_so(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, native({"t": {"shell": "x", "requires": {"match": "*.csv"}}}))
    assert (problem.code, problem.hint) == ("pattern.invalid", "as a glob it would be 'glob:*.csv'")


def test_a_dependency_named_twice_is_one_edge_and_a_warning(tmp_path: Path) -> None:
    document = native({"a": {"shell": "x"}, "b": {"shell": "x", "dependencies": ["a", "a"]}})
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    found = load(["plan.json"], cwd=str(tmp_path))
    assert found.plan.graph["b"].dependencies == (Dependency("a"),)
    assert [(each.code, each.location) for each in found.warnings] == [("name.duplicate", "/tasks/b/dependencies/1")]
    assert problems_of(tmp_path, document, strict=True)[0].code == "name.duplicate"


def test_what_is_unknown_in_a_template_is_told_there(tmp_path: Path) -> None:
    document = native(
        {"t": {"template": "x"}}, templates={"x": {"shell": "x", "environment": "lab", "dependencies": ["q"]}}
    )
    assert codes(problems_of(tmp_path, document)) == [
        ("ref.environment", "/templates/x/environment"),
        ("ref.task", "/templates/x/dependencies/0"),
    ]


def test_variables_from_commands_are_refused_when_forbidden(tmp_path: Path) -> None:
    document = native({}, environments={"e": {"variables": {"D": {"shell": "date"}, "E": 5}}})
    found = problems_of(tmp_path, document, shell_eval=False)
    assert codes(found) == [
        ("policy.refused", "/environments/e/variables/D"),
        ("shape.type", "/environments/e/variables/E"),
    ]


# --- slots, required parameters, roots, several files ------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        {"command": ["{p}", "{k}", "{{x}}", "{not a slot}", "${q}"], "parameters": {"p": 1, "q": 2}},
        {"command": ["{f}"], "requires": {"files": {"path": "a", "as": "f"}}},
        {"command": ["{item}"], "foreach": {"values": [1], "as": "item"}},
        {"command": ["{x}"], "dependencies": [{"name": "other", "as": "x"}]},
        {"shell": "echo {k} ${HOME} {{x}}"},
        {"python": "print({x})"},
    ],
)
def test_slots_that_something_fills_are_sound(tmp_path: Path, task: dict[str, Any]) -> None:
    document = native({"t": task, "other": {"shell": "x", "product": "stdout"}}, options={"k": {"default": 1}})
    assert len(plan_of(tmp_path, document).graph) == 2


def test_braces_in_a_script_mean_nothing_without_parameters_and_options(tmp_path: Path) -> None:
    assert task_of(tmp_path, {"shell": "awk '{print}'"}).action == Shell("awk '{print}'")


def test_a_required_parameter_of_a_task_is_a_dependency(tmp_path: Path) -> None:
    tasks = {
        "a.b": {"shell": "x", "product": "json"},
        "c": {"shell": "x", "requires": {"parameters": ["a.b.key", "season"]}},
    }
    plan = plan_of(tmp_path, native(tasks, options={"season": {"default": 1}}))
    assert plan.graph["c"].dependencies == (Dependency("a.b"),)


def test_a_required_parameter_that_nothing_gives_is_a_warning(tmp_path: Path) -> None:
    document = native({"c": {"shell": "x", "requires": {"parameters": "season"}}}, options={"season": {}})
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    found = load(["plan.json"], cwd=str(tmp_path))
    assert [each.code for each in found.warnings] == ["option.missing"]
    assert "season" not in found.plan.values
    assert load(["plan.json"], cwd=str(tmp_path), options=[("season", "2031")]).plan.values["season"] == 2031


def test_the_root_is_given_or_named_or_the_folder_of_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "plan.json").write_text('{"weft": 1, "tasks": {}}', encoding="utf-8")
    (tmp_path / "sub" / "named.json").write_text('{"weft": 1, "root": "../far", "tasks": {}}', encoding="utf-8")
    folder = str(tmp_path)
    assert load(["sub/plan.json"], cwd=folder).plan.root == f"{folder}/sub"
    assert load(["sub/named.json"], cwd=folder).plan.root == f"{folder}/far"
    assert load(["sub/named.json"], cwd=folder, root="given").plan.root == f"{folder}/given"
    assert load(["sub/plan.json"], cwd=folder).plan.key == str((tmp_path / "sub" / "plan.json").resolve())


def test_files_are_united_and_refer_to_each_other(tmp_path: Path) -> None:
    first = native({"a": {"template": "say", "environment": "lab"}}, name="first")
    second = native(
        {"b": {"shell": "x", "dependencies": ["a", "c"]}},
        name="second",
        description="d",
        templates={"say": {"shell": "echo"}},
        environments={"lab": {}},
    )
    third = [{"name": "c", "type": "exec", "arguments": "x", "environment": "lab"}]
    for name, document in (("1.json", first), ("2.json", second), ("3.json", third)):
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    plan = load(["1.json", "2.json", "3.json"], cwd=str(tmp_path)).plan
    assert [task.name for task in plan.graph] == ["a", "b", "c"]
    assert (plan.name, plan.description) == ("first", "d")
    assert [(source.path, source.dialect) for source in plan.sources] == [
        ("1.json", "native"),
        ("2.json", "native"),
        ("3.json", "tasklist"),
    ]


def test_a_name_in_two_files_is_told_with_every_place(tmp_path: Path) -> None:
    document = native({"a": {"shell": "x"}}, environments={"e": {}}, options={"o": {"default": 1}})
    for name in ("1.json", "2.json"):
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load(["1.json", "2.json"], cwd=str(tmp_path))
    problems = caught.value.problems()
    assert [problem.code for problem in problems] == ["name.duplicate"] * 3
    message = next(problem.message for problem in problems if "task" in problem.message)
    assert (
        message
        == "task 'a' is defined 2 times (1.json /tasks/a, line 1, column 84; 2.json /tasks/a, line 1, column 84)"
    )


def test_scripts_of_a_tasklist_mean_the_same_beside_a_plan_with_options(tmp_path: Path) -> None:
    from weft.spec.slots import fill_shell

    script = "awk '{print}' {{x}} ${HOME} }} {k}"
    (tmp_path / "1.json").write_text(json.dumps(native({}, options={"k": {"default": 1}})), encoding="utf-8")
    tasks = [{"name": "a", "type": "exec", "arguments": script}]
    (tmp_path / "2.json").write_text(json.dumps(tasks), encoding="utf-8")
    plan = load(["1.json", "2.json"], cwd=str(tmp_path)).plan
    action = plan.graph["a"].action
    assert isinstance(action, Shell)
    assert fill_shell(action.script, plan.values) == script


def test_an_argument_that_no_system_takes_is_a_warning(tmp_path: Path) -> None:
    document = native(
        {"a": {"command": ["echo", "x" * 131_072]}, "b": {"shell": "é" * 65_536}, "c": {"shell": "x" * 131_071}}
    )
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    warnings = load(["plan.json"], cwd=str(tmp_path)).warnings
    assert [(each.code, each.location) for each in warnings] == [
        ("shape.value", "/tasks/a/command/1"),
        ("shape.value", "/tasks/b/shell"),
    ]
    assert warnings[0].hint == "put the text into a file"


def test_what_a_template_gave_is_told_at_the_task_that_takes_it(tmp_path: Path) -> None:
    template = {"command": ["{p}"], "parameters": {"p": "a\0"}}
    (problem,) = problems_of(tmp_path, native({"a": {"template": "t"}}, templates={"t": template}))
    assert (problem.code, problem.location, problem.line) == ("shape.value", "/tasks/a", 1)


def test_a_cycle_of_many_tasks_is_told_in_a_line_that_can_be_read(tmp_path: Path) -> None:
    tasks = {f"t{n}": {"command": ["true"], "dependencies": [f"t{(n + 1) % 5000}"]} for n in range(5000)}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"weft": 1, "tasks": tasks}))
    with pytest.raises(PlanError) as caught:
        load([str(path)])
    (problem,) = caught.value.problems()
    assert problem.code == "graph.cycle"
    assert "5000 tasks" in problem.message and "4901 more" in problem.message and len(problem.message) < 2000
