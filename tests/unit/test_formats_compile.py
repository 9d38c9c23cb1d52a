"""Compiled plans, snapshots and the schema: canonical, exact, and in agreement with what the loader takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from weft.errors import PlanError
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.formats.schema import native_schema
from weft.formats.snapshot import restore, snapshot
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.retries import Forgotten, Retries
from weft.spec.tasks import Policy, Task
from weft.spec.withholding import withhold

EVERYTHING = Path(__file__).parent / "documents" / "everything.json"
TASKLIST = (
    '[{"name": "a", "type": "exec", "arguments": "awk \'{x}\'"}, {"name": "b", "type": "eval", "arguments": "1"}]'
)
YAML = "weft: 1\ntasks:\n  é: {shell: x, timeout: 1.5h, resources: {memory: 512K, cores: 16.1}}\n"
TOML = 'weft = 1\n[tasks.a]\ncommand = ["x"]\nresources = {license = 0.3}\n'


@pytest.fixture
def everything(tmp_path: Path) -> Plan:
    """A plan that uses every field of the normal form."""
    shutil.copy(EVERYTHING, tmp_path / "plan.json")
    return load(["plan.json"], cwd=str(tmp_path)).plan


def plan_of(folder: Path, text: str, name: str = "plan.json", **settings: Any) -> Plan:
    (folder / name).write_text(text, encoding="utf-8")
    return load([name], cwd=str(folder), **settings).plan


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (EVERYTHING.read_text(), "plan.json"),
        (TASKLIST, "plan.json"),
        ("[]", "p.json"),
        (YAML, "p.yaml"),
        (TOML, "p.toml"),
    ],
)
def test_a_compiled_plan_is_equal_and_compiles_to_the_same_bytes(tmp_path: Path, text: str, name: str) -> None:
    plan = plan_of(tmp_path, text, name)
    first = compile_plan(plan)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "compiled.json").write_bytes(first)
    again = load([str(elsewhere / "compiled.json")], cwd="/").plan
    assert compile_plan(again) == first
    assert again.graph == plan.graph
    assert (again.root, again.values, again.order) == (plan.root, plan.values, plan.order)
    assert (again.environments, again.notes, again.types) == (plan.environments, plan.notes, plan.types)


def test_a_compiled_plan_is_canonical_json(everything: Plan) -> None:
    text = compile_plan(everything).decode("utf-8")
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert list(document)[:5] == ["weft", "name", "description", "root", "source"]
    assert document["source"][0]["dialect"] == "native"
    assert len(document["source"][0]["digest"]) == 64


def test_every_default_is_written_out_in_canonical_units(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, '{"weft": 1, "tasks": {"a": {"command": ["x"], "timeout": "1h", "resources": {"memory": "2G"}}}}'
    )
    assert json.loads(compile_plan(plan))["tasks"]["a"] == {
        "template": None,
        "description": None,
        "command": ["x"],
        "parameters": {},
        "parameter_mapping": None,
        "parameter_roles": {},
        "dependencies": [],
        "requires": {"files": [], "folders": [], "match": [], "shared_memory": [], "parameters": [], "signal": []},
        "outputs": [],
        "product": None,
        "foreach": None,
        "resources": {"cores": 1, "memory": 2147483648},
        "duration": None,
        "timeout": 3600,
        "max_attempts": 1,
        "retry_delay": 0,
        "retry_on": None,
        "resource_scales": None,
        "scale_on": "exhausted",
        "fallback_queues": [],
        "interruptible": True,
        "environment": None,
        "notes": [],
        "cache": "auto",
        "isolation": None,
        "priority": 0,
        "niceness": 0,
        "executor": None,
        "queue": None,
        "tags": [],
        "attributes": {},
    }


def test_a_relocatable_plan_names_no_folder_and_takes_root_where_it_lies(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '{"weft": 1, "tasks": {"a": {"shell": "x"}}}')
    compiled = compile_plan(plan, relocatable=True)
    assert str(tmp_path).encode() not in compiled
    (tmp_path / "far").mkdir()
    moved = plan_of(tmp_path / "far", compiled.decode())
    assert moved.root == str(tmp_path / "far")
    assert compile_plan(moved, relocatable=True) == compiled


def test_a_compiled_plan_keeps_values_that_were_given(tmp_path: Path) -> None:
    text = '{"weft": 1, "options": {"k": {"type": "int"}}, "tasks": {"a": {"command": ["{k}", "{p}"], "parameters": {"p": 1}}}}'
    plan = plan_of(tmp_path, text, options=[("k", "7"), ("a.p", "2.5")])
    again = plan_of(tmp_path, compile_plan(plan).decode(), "compiled.json")
    assert (dict(again.values), dict(again.graph["a"].parameters)) == ({"k": 7}, {"p": 2.5})


def test_small_sizes_keep_their_unit_so_that_they_can_be_read_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '{"weft": 1, "tasks": {"a": {"shell": "x", "resources": {"memory": "512K", "disk": 0}}}}')
    assert json.loads(compile_plan(plan))["tasks"]["a"]["resources"] == {"cores": 1, "memory": "524288B"}


def test_what_no_document_can_say_is_refused(tmp_path: Path) -> None:
    scaled = Task("a", Command(("x",)), policy=Policy(retries=Retries(scales=(("memory", lambda old: old * 2),))))
    with pytest.raises(TypeError, match="memory"):
        compile_plan(Plan(Graph([scaled]), str(tmp_path)))


# --- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_restored_exactly(everything: Plan) -> None:
    assert restore(snapshot(everything, is_stored=False)) == everything


def test_a_snapshot_that_is_stored_differs_in_values_of_variables_alone(everything: Plan) -> None:
    stored = restore(snapshot(everything))
    kept = {name: withhold(each) for name, each in everything.environments.items()}
    assert any(kept[name] is not each for name, each in everything.environments.items())
    assert stored.environments == kept
    assert replace(stored, environments=everything.environments) == everything


@pytest.mark.parametrize("text", [TASKLIST, "[]"])
def test_snapshots_of_other_dialects_are_restored_exactly(tmp_path: Path, text: str) -> None:
    plan = plan_of(tmp_path, text)
    assert restore(snapshot(plan)) == plan


def test_a_snapshot_does_not_depend_on_how_a_plan_was_made(everything: Plan) -> None:
    assert snapshot(restore(snapshot(everything))) == snapshot(everything)


def test_equal_policies_are_shared_after_a_restore(tmp_path: Path) -> None:
    tasks = {name: {"shell": "x", "timeout": 5, "requires": {"files": "f"}} for name in "abc"}
    plan = restore(snapshot(plan_of(tmp_path, json.dumps({"weft": 1, "tasks": tasks}))))
    assert len({id(task.policy) for task in plan.graph}) == 1
    assert len({id(task.requires) for task in plan.graph}) == 1


def test_a_program_that_neighbours_share_is_written_once(tmp_path: Path) -> None:
    commands: list[dict[str, Any]] = [
        {"command": ["x", "y"]},
        {"command": ["x", "y"]},
        {"shell": "x y"},
        {"shell": "x y"},
        {"python": "x"},
        {"python": "x"},
        {"command": ["x", "y"]},
        {"command": ["x"]},
    ]
    tasks = {str(number): fields for number, fields in enumerate(commands)}
    plan = plan_of(tmp_path, json.dumps({"weft": 1, "tasks": tasks}))
    written = snapshot(plan)
    kinds = [row[1] for row in json.loads(zlib.decompress(written))["tasks"]]
    assert [kind.removeprefix("+") for kind in kinds] == [
        "command",
        "",
        "shell",
        "",
        "python",
        "python",
        "command",
        "command",
    ]
    assert restore(written) == plan
    parted = Graph([replace(task, action=deepcopy(task.action)) for task in plan.graph.tasks])
    assert snapshot(replace(plan, graph=parted)) == written


def test_a_snapshot_of_version_2_is_still_read(tmp_path: Path) -> None:
    """It wrote the program of each task."""
    plan = plan_of(tmp_path, json.dumps({"weft": 1, "tasks": {name: {"command": ["x", "y"]} for name in "ab"}}))
    document = json.loads(zlib.decompress(snapshot(plan)))
    document["tasks"][1][1:3] = document["tasks"][0][1:3]
    document["weft-snapshot"] = 2
    assert restore(zlib.compress(json.dumps(document).encode())) == plan


def test_a_snapshot_of_version_1_is_still_read(tmp_path: Path) -> None:
    """It wrote requirements of files in their long form."""
    tasks = {"a": {"command": ["x"], "requires": {"files": ["in/1", "in/2"]}}}
    plan = plan_of(tmp_path, json.dumps({"weft": 1, "tasks": tasks}))
    document = json.loads(zlib.decompress(snapshot(plan)))
    assert document["requirements"] == [["in/1", "in/2"]]
    document["requirements"] = [{"files": [{"path": "in/1", "as": None}, {"path": "in/2", "as": None}]}]
    document["weft-snapshot"] = 1
    assert restore(zlib.compress(json.dumps(document).encode())) == plan


@pytest.mark.parametrize(
    "needs", [{"files": {"path": "f", "as": "x"}}, {"files": ["f"], "signal": ["s"]}, {"signal": "s"}]
)
def test_requirements_beyond_plain_files_survive_a_snapshot(tmp_path: Path, needs: dict[str, Any]) -> None:
    plan = plan_of(tmp_path, json.dumps({"weft": 1, "tasks": {"a": {"command": ["x"], "requires": needs}}}))
    assert restore(snapshot(plan)) == plan


def test_functions_of_a_script_are_known_by_name_in_a_snapshot(tmp_path: Path) -> None:
    retries = Retries(3, scales=(("memory", lambda old: old * 2), ("timeout", 0.5)))
    scaled = Task("a", Command(("x",)), policy=Policy(retries=retries, ask=lambda: {"memory": 5}))
    written = snapshot(Plan(Graph([scaled]), str(tmp_path)))
    restored = restore(written)
    policy = restored.graph["a"].policy
    by = dict(policy.retries.scales or ())
    assert by["memory"] == Forgotten(
        f"{__name__}.test_functions_of_a_script_are_known_by_name_in_a_snapshot.<locals>.<lambda>"
    )
    assert by["memory"](7) == 7  # the amount stays as it was
    assert by["timeout"] == 0.5
    assert policy.ask is not None
    assert policy.ask() == {}
    assert snapshot(restored) == written


@pytest.mark.parametrize("data", [b"", b"text", b"\x78\x01\x63\x60\x60", zlib.compress(b'{"weft-snapshot": 99}')])
def test_foreign_bytes_are_no_snapshot(data: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        restore(data)


# --- schema ------------------------------------------------------------------------------------------------------------

SCHEMA = native_schema()


def violations(document: Any) -> list[str]:
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)
    return [f"{list(error.absolute_path)}: {error.message}" for error in found]


def test_the_schema_is_a_schema() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_what_loads_fits_the_schema_and_so_does_what_compiles(everything: Plan) -> None:
    assert violations(json.loads(EVERYTHING.read_text())) == []
    assert violations(json.loads(compile_plan(everything))) == []


@pytest.mark.parametrize(
    "document",
    [
        {"tasks": {}},
        {"weft": 1},
        {"weft": 2, "tasks": {}},
        {"weft": 1, "tasks": []},
        {"weft": 1, "tasks": {}, "nmae": "x"},
        {"weft": 1, "tasks": {"": {"shell": "x"}}},
        {"weft": 1, "tasks": {"a": 5}},
        {"weft": 1, "tasks": {"a": {"comand": []}}},
        {"weft": 1, "tasks": {"a": {"command": []}}},
        {"weft": 1, "tasks": {"a": {"command": "x"}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "dependencies": "b"}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "dependencies": None}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "timeout": 0}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "timeout": True}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "resources": {"cores": -1}}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "resources": {"memory": 5}}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "cache": "x"}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "niceness": 20}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "requires": {"file": "x"}}}},
        {"weft": 1, "tasks": {"a": {"shell": "x", "requires": {"folders": {"minimum": 1}}}}},
        {"weft": 1, "tasks": {}, "environments": {"e": {"variables": {"A": 5}}}},
        {"weft": 1, "tasks": {}, "environments": {"e": {"variables": {"A=B": "x"}}}},
        {"weft": 1, "tasks": {}, "notes": {"n": {}}},
        {"weft": 1, "tasks": {}, "options": {"o": {"typ": "x"}}},
        {"weft": 1, "tasks": {}, "templates": {"t": {"x": 1}}},
        {"weft": 1, "tasks": {}, "defaults": {"priority": "x"}},
        {"weft": 1, "tasks": {}, "order": "x"},
    ],
)
def test_what_the_loader_refuses_for_its_shape_the_schema_refuses_too(tmp_path: Path, document: Any) -> None:
    assert violations(document)
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(PlanError):
        load(["plan.json"], cwd=str(tmp_path), format="native")


def test_a_snapshot_is_restored_without_the_checks_of_documents(everything: Plan, tmp_path: Path) -> None:
    """`weft status` and its like read snapshots; they must not pay for pydantic."""
    (tmp_path / "snapshot").write_bytes(snapshot(everything))
    code = (
        "import sys; from weft.formats.snapshot import restore\n"
        "with open('snapshot', 'rb') as file: restore(file.read())\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
