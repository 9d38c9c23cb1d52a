"""Sound documents of all dialects with a few places changed: refused with records, or accepted and compiled for good."""

from __future__ import annotations

import copy
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import PlanError
from weft.formats.compile import compile_plan
from weft.formats.load import load

TEMPLATE = {
    "command_template": "{python} fit.py --place {place} --data {data}",
    "node_args": ["place"],
    "task_args": ["data"],
    "op_args": ["python"],
    "resource_scales": {"memory": 1.0},
    "compute_resources": {"cores": 2, "memory": "3.5G", "runtime": "45m", "queue": "short"},
}
DOCUMENTS: tuple[Any, ...] = (
    {
        "weft": 1,
        "options": {"n": {"type": "int", "default": 1}},
        "types": {"small": {"parent": "int", "maximum": 9}},
        "environments": {"e": {"variables": {"A": "x", "B": {"expand": "$A"}, "C": {"shell": "date"}}}},
        "notes": {"diary": {"kind": "file", "path": "diary.log", "conditions": ["only_if_failed"]}},
        "defaults": {"timeout": "5min", "resources": {"memory": "512M"}},
        "templates": {"t": {"command": ["echo", "{word}"], "parameters": {"word": "hi"}}},
        "tasks": {
            "a": {"template": "t", "product": "stdout", "environment": "e", "notes": ["diary"]},
            "b": {
                "shell": "cat",
                "dependencies": [{"name": "a", "as": "stdin"}],
                "outputs": ["o"],
                "retry_on": ["exit:3"],
            },
            "c": {"function": "f.py:g", "requires": {"files": ["x"], "match": [{"glob": "*.c", "as": "p"}]}},
            "d": {
                "python": "print(i)",
                "foreach": {"values": [1, 2], "as": "i"},
                "resource_scales": {"memory": [2**30]},
            },
        },
    },
    {
        "tasks": [
            {"name": "a", "type": "exec", "arguments": "x"},
            {"name": "b", "type": "eval", "arguments": "1", "timeout": 5},
        ]
    },
    {
        "name": "survey",
        "parameters": {"season": "2031"},
        "tasks": [
            {
                "task id": "tile",
                "time limit": "15min",
                "memory": "2G",
                "executable": "bin/tile",
                "parameters": {"z": [3]},
            },
            {
                "operational": {"task_id": "shade", "time_limit": "1h30m", "required_file_expression": "t/.*"},
                "engine": {"module": "shading.py", "function": "shade", "parameters": {"angle": 45}},
                "resources": {"gpu": 1, "files_in_directory": {"path": "tiles", "minimum": 2}},
                "dependencies": ["tile"],
            },
        ],
    },
    {
        "tool": "atlas",
        "workflow": {"name": "yearly", "workflow_args": "v7", "max_concurrently_running": 20},
        "templates": {"fit": TEMPLATE},
        "arrays": [{"template": "fit", "args": {"place": [1, 2], "data": "d5", "python": "python3"}}],
        "tasks": [
            {"name": "x", "template": "fit", "args": {"place": 3, "data": "d", "python": "p"}, "compute_resources": {}}
        ],
    },
    {
        "envs": {"lab": {"path": "work", "variables": {"DAY": "`date`", "R": "${HOME}/$DAY"}}},
        "notes": {"diary": {"class_name": "SimpleFileLog", "path": "d.log"}},
        "jobs": {"m": {"env": "lab", "note": ["diary"], "command": ["p", "$R"], "timeout": "1h"}},
    },
    {
        "name": "duo",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [{"name": "cut", "id": "c", "parents": [], "children": [], "outputFiles": ["p"]}],
                "files": [{"id": "p", "sizeInBytes": 4096}],
            },
            "execution": {
                "makespanInSeconds": 9.5,
                "tasks": [{"id": "c", "runtimeInSeconds": 4.0, "memoryInBytes": 1048576, "machines": ["n"]}],
                "machines": [{"nodeName": "n", "cpu": {"coreCount": 4}, "memoryInBytes": 8589934592}],
            },
        },
    },
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.5,
        2**70,
        10**400,
        -(10**400),
        1e300,
        "",
        "x",
        " ",
        "a\nb",
        "a\0b",
        "1:30",
        "$X",
        "`x`",
    ),
    *(
        "glob:*",
        "(",
        [],
        ["x"],
        [None],
        [[]],
        [{}],
        {},
        {"x": 1},
        {"": 1},
        {"path": "x"},
        "\u202e",
        "a" * 2000,
        {"name": 5},
    ),
    *("file.py:f", "{x}", "{", "--{value}", "../x", "/", "~", "-"),
)
KEYS = ("bogus", "name", "weft", "tasks", "template", "__x", "", " ", "time limit", "jobs", "a\nb")


def places(document: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of everything in a document."""
    found: list[tuple[Any, Any]] = []
    containers = [document]
    while containers:
        container = containers.pop()
        for key, value in container.items() if isinstance(container, dict) else enumerate(container):
            found.append((container, key))
            if isinstance(value, dict | list):
                containers.append(value)
    return found


def mutated(document: Any, chance: random.Random) -> Any:
    made = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 2, 4))):
        container, key = chance.choice(places(made) or [({}, "")])
        value = copy.deepcopy(chance.choice(VALUES))
        match chance.randrange(5):
            case 0 if key in container or isinstance(key, int):
                del container[key]
            case 1 if isinstance(container, dict):
                container[chance.choice(KEYS)] = value
            case 1:
                container.append(copy.deepcopy(container[key]))
            case _:
                container[key] = value
    return made


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(range(len(DOCUMENTS))), st.randoms(use_true_random=False))
def test_a_mutated_document_is_refused_with_records_or_compiled_for_good(index: int, chance: random.Random) -> None:
    document = mutated(DOCUMENTS[index], chance)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        try:
            plan = load([str(path)], root="/").plan
        except PlanError as error:
            for problem in error.problems():
                assert problem.message.isprintable(), problem
                assert problem.location is None or problem.line is not None, problem
            return
        compiled = Path(folder) / "compiled.json"
        compiled.write_bytes(compile_plan(plan))
        assert compile_plan(load([str(compiled)]).plan) == compiled.read_bytes()
