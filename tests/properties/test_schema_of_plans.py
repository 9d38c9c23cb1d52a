"""The JSON Schema of native documents says what the models say: it accepts what they accept and refuses what they refuse."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from weft.errors import PlanError
from weft.formats.load import load
from weft.formats.schema import native_schema

SHAPE = ("shape.", "unit.", "name.", "mapping.", "pattern.", "action.")
TEXTS = ("", " ", "x", "a\nb", "5s", "1:30", "512M", "auto", "never", "stdout", "file", "m:f", "a\0b", "exit:3", "é")
VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 1.5, 2**21, 2**63, [], [1], [""], ["x"], ["a", "a"], {}, {"x": 1}, {"x": "y"}, *TEXTS),
    *({"path": "p"}, {"name": "a"}, {"expand": "$X"}, [{"expand": "$X"}], {"files": True}, {"values": [1], "as": "i"}),
    *({"memory": "1G"}, {"memory": 1}, {"cores": None}, {"data": "aGk="}, {"kind": "stdout"}, {"k": "node"}),
    *("--{key} {value}", "--{k}", {"*": "x"}),
)


@cache
def schema() -> Draft202012Validator:
    made = native_schema()
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


def is_accepted(document: Any) -> bool:
    """By the models; what only links between tasks can show counts for neither side."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plan.json").write_text(json.dumps(document), encoding="utf-8")
        try:
            load(["plan.json"], cwd=folder)
        except PlanError as error:
            return not any(
                problem.code.startswith(SHAPE) and "takes the product of" not in problem.message
                for problem in error.problems()
            )
    return True


TASK_KEYS = (*sorted(native_schema()["$defs"]["TaskModel"]["properties"]), "bogus", "__x", "comment")


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(("b", "b", " ", "x\n", "a[1]")),
    st.sampled_from((None, "shell", "python", "command")),
    st.lists(st.tuples(st.sampled_from(TASK_KEYS), st.sampled_from(VALUES)), max_size=2),
)
def test_the_schema_and_the_models_agree(name: str, action: str | None, members: list[tuple[str, Any]]) -> None:
    given = {} if action is None else {action: ["true"] if action == "command" else "true"}
    document = {"weft": 1, "tasks": {"a": {"shell": "true"}, name: {**given, **dict(members)}}}
    assert schema().is_valid(document) == is_accepted(document)


@pytest.mark.parametrize(
    "text",
    [
        *("90", "90s", "1.5h", "1h 30m", "2 hours", "1:02:03", "1-02:03:04", "100ms", "1w2d3h4m5s6ms", "5 MINUTES"),
        *("30m 1h", "1h1h", "1M", "1:30", "1 month", "", "  ", "-5", "0", "0s", "nan", "1e3", "1h30", "1:60:00", "+5s"),
        *("1-25:00:00", "0:00:00", "5.s", ".5s", "1,5h", "1 fortnight", "25:00:00", "3s4", "0.0s"),
    ],
)
def test_the_schema_knows_times(text: str) -> None:
    document = {"weft": 1, "tasks": {"a": {"shell": "true", "timeout": text}}}
    assert schema().is_valid(document) == is_accepted(document)


@pytest.mark.parametrize(
    "text", ["512M", "1.5G", "1KiB", "1 gb", "2097152", "5X", "0", "0M", "-1M", "inf", "", "M", "1Gi", "1e3M", "1,5G"]
)
def test_the_schema_knows_sizes(text: str) -> None:
    document = {"weft": 1, "tasks": {"a": {"shell": "true", "resources": {"memory": text}}}}
    assert schema().is_valid(document) == is_accepted(document)


def test_a_task_without_an_action_needs_defaults_or_a_template() -> None:
    bare: dict[str, Any] = {"weft": 1, "tasks": {"a": {"priority": 1}}}
    assert not schema().is_valid(bare)
    assert schema().is_valid({**bare, "defaults": {"shell": "true"}})
    assert schema().is_valid({"weft": 1, "templates": {"t": {"shell": "x"}}, "tasks": {"a": {"template": "t"}}})
