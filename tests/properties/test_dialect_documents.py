"""Documents of other dialects: spelling and grouping change nothing, and no document is answered by a traceback."""

from __future__ import annotations

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
from weft.formats.odop_keys import FIELDS, GROUPS

SPECIFICATION: dict[str, Any] = {
    "task_id": "a",
    "time_limit": "5min",
    "cpu": 2,
    "memory": "1G",
    "required_folder": ["in"],
    "single_file_task": True,
    "filepath_parameter": "f",
    "executable": "/bin/true",
    "parameters": {"Zoom Level": [1, 2]},
    "parameter_mapping": {"Zoom Level": "-z {value}"},
    "interrupt_allowed": False,
    "output_file": "x",
    "working_directory": "w",
    "environment_variables": {"A_b": "1"},
    "gpu": 1,
}
FLAT_GROUPS = sorted(GROUPS)


def read(document: Any, dialect: str | None = None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return load([str(path)], format=dialect, root="/")


def respelled(key: str, chance: random.Random) -> str:
    joined = "".join(chance.choice("_- ") if letter == "_" else letter for letter in key)
    return "".join(chance.choice((letter.upper(), letter.lower())) for letter in joined)


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_spelling_order_and_groups_change_nothing(chance: random.Random) -> None:
    items = list(SPECIFICATION.items())
    chance.shuffle(items)
    written: dict[str, Any] = {}
    for key, value in items:
        target = written
        for _ in range(chance.randrange(3)):
            target = target.setdefault(respelled(chance.choice(FLAT_GROUPS), chance), {})
        target[respelled(key, chance)] = value
    found = read([written], "odop")
    assert found.warnings == ()
    assert found.plan.graph.tasks == read([SPECIFICATION], "odop").plan.graph.tasks


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4)
)
WORDS = st.sampled_from(
    (
        *FIELDS,
        *FLAT_GROUPS,
        *("tasks", "path", "data", "glob", "minimum", "envs", "notes", "jobs", "variables", "runtime", "requirements"),
        *("class_name", "conditions", "command", "shell", "env", "note", "timeout", "schemaVersion", "workflow"),
        *("specification", "execution", "parents", "children", "inputFiles", "outputFiles", "files", "sizeInBytes"),
        *("runtimeInSeconds", "coreCount", "machines", "nodeName", "cpu", "link", "fingerprint"),
    )
)
VALUES = st.sampled_from(
    ("a", "b", "1.5", "1.3", "5min", "1G", "`x`", "$A", "{a}", "input", "echo", "glob:*", "(", "m.py")
)
DOCUMENTS = st.recursive(
    SCALARS | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)
TOPS = st.one_of(
    DOCUMENTS,
    st.fixed_dictionaries({"tasks": st.lists(st.dictionaries(WORDS, DOCUMENTS, max_size=6), max_size=3)}),
    st.fixed_dictionaries(
        {
            key: st.dictionaries(VALUES, st.dictionaries(WORDS, DOCUMENTS, max_size=5), max_size=3)
            for key in ("envs", "jobs")
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("w"),
            "schemaVersion": st.sampled_from(("1.0", "1.2", "1.4", "1.5")),
            "workflow": st.fixed_dictionaries(
                {
                    "specification": st.fixed_dictionaries({"tasks": DOCUMENTS}),
                    "tasks": st.lists(st.dictionaries(WORDS, DOCUMENTS, max_size=6), max_size=3),
                    "execution": DOCUMENTS,
                }
            ),
        }
    ),
)


@settings(deadline=None)
@given(TOPS, st.sampled_from(("odop", "taskplan", "wfformat")))
def test_any_document_gives_a_plan_that_compiles_or_mistakes_with_a_place(document: Any, dialect: str) -> None:
    try:
        found = read(document, dialect)
    except PlanError as error:
        for problem in error.problems():
            assert problem.code
            assert "\n" not in problem.message
            assert problem.line is not None
        return
    assert compile_plan(found.plan)
