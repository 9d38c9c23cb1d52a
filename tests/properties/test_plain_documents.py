"""What passes for plain is just what the models would give back unchanged."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.formats.plain import is_plain_listed, is_plain_plan, is_plain_task
from weft.formats.shape import validator

ODD = st.sampled_from(
    ["", " ", "\0", "a\0b", "a\nb", "\ud800", "x" * 1001, None, 1, 1.5, True, [], {}, ["a"], {"a": 1}]
)
TEXT = st.one_of(st.text(max_size=5), ODD)
LIST = st.one_of(st.lists(TEXT, max_size=3), ODD)
TASK = st.dictionaries(
    st.sampled_from(
        ["command", "shell", "python", "dependencies", "outputs", "parameters", "description", "cache", "x"]
    ),
    st.one_of(TEXT, LIST, st.dictionaries(st.text(max_size=3), TEXT, max_size=2)),
    max_size=4,
)
LISTED = st.fixed_dictionaries(
    {"name": TEXT, "type": st.sampled_from(["exec", "eval", "x", None, []]), "arguments": TEXT},
    optional={"dependencies": LIST, "timeout": TEXT},
)
PLAN = st.fixed_dictionaries(
    {"weft": st.sampled_from([1, 2, True, 1.0, "1", None]), "tasks": st.one_of(st.just({}), ODD)},
    optional={"name": TEXT, "description": TEXT, "order": TEXT},
)


def check(model: str, body: Any) -> None:
    assert validator(model).validate_python(body) == body


@settings(max_examples=600, deadline=None)
@given(TASK)
def test_a_plain_task_is_sound(body: dict[str, Any]) -> None:
    if is_plain_task(body):
        check("TaskModel", body)


@settings(max_examples=400, deadline=None)
@given(LISTED)
def test_a_plain_task_of_a_list_is_sound(body: dict[str, Any]) -> None:
    if is_plain_listed(body):
        check("TasklistModel", body)


@settings(max_examples=200, deadline=None)
@given(PLAN)
def test_a_plain_plan_is_sound(raw: dict[str, Any]) -> None:
    if is_plain_plan(raw):
        check("PlanModel", raw)


def test_the_usual_is_plain() -> None:
    assert is_plain_task({"command": ["cp", "a", "b"], "dependencies": ["x"], "outputs": ["b"]})
    assert is_plain_task({"shell": "true", "parameters": {"k": [1, None]}, "description": "d"})
    assert is_plain_listed({"name": "a", "type": "exec", "arguments": "true"})
    assert is_plain_plan({"weft": 1, "tasks": {}})
