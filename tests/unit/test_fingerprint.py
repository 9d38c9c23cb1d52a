"""Canonical bytes, digests and the parts of a task's fingerprint."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import pytest

from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet
from weft.spec.environments import Environment, ShellValue
from weft.spec.fingerprint import PARTS, canonical, combine, digest, slots_of, task_parts
from weft.spec.graph import Graph
from weft.spec.options import Option
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach, Requirements
from weft.spec.resources import Resources
from weft.spec.retries import Retries
from weft.spec.tasks import Task

DIFFERENT: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    16,
    "1",
    "",
    "i1;",
    "true",
    b"1",
    b"",
    0.0,
    -0.0,
    1.0,
    math.inf,
    -math.inf,
    math.nan,
    [],
    [[]],
    [1, 2],
    [[1], 2],
    [[1, 2]],
    ["12"],
    ["1", "2"],
    {},
    {"a": 1},
    {"a": "1"},
    {"a": 1, "b": 2},
    {"a": {"b": 2}},
    {"a": 2, "b": 1},
    {1: "a"},
    {"1": "a"},
    [{}],
    [{}, []],
    [[], {}],
    10**5000,
    10**5000 + 1,
    "\ud800",
    "é",
    "e\u0301",
]


def test_no_two_different_values_have_the_same_bytes() -> None:
    for one, other in combinations(DIFFERENT, 2):
        assert canonical(one) != canonical(other), f"{type(one)} and {type(other)}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
        ({"a": 1}, MappingProxyType({"a": 1})),
        ([1, [2]], (1, (2,))),
        (math.nan, struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0]),
        (bytearray(b"x"), b"x"),
        ({1: "a", "b": None}, {"b": None, 1: "a"}),
    ],
)
def test_the_same_value_has_the_same_bytes_however_it_is_held(one: object, other: object) -> None:
    assert canonical(one) == canonical(other)


def test_canonical_bytes_are_what_they_always_were() -> None:
    value = {"b": [1, -255, None, True, False], "a": "ä", "c": b"\0", "d": 1.5}
    assert canonical(value) == (
        b"d4:s1:as1:bs1:cs1:d" + b"s2:\xc3\xa4" + b"l5:i1;i-ff;nTF" + b"b1:\0" + b"f\x3f\xf8" + bytes(6)
    )
    assert digest("weft") == "8b06894c90a625c9faafabea2df8cb9f0aaf862bd5c6d39ba6760703808a310f"


def test_deep_values_need_no_recursion() -> None:
    value: Any = 1
    for _ in range(50_000):
        value = [{"a": value}]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        assert canonical(value).endswith(b"i1;")
        while isinstance(value, list):  # taken apart by hand: even freeing it at once would recurse
            value = value.pop()["a"]
    finally:
        sys.setrecursionlimit(limit)


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="holds itself"):
        canonical(ring)
    ring.clear()


@pytest.mark.parametrize(
    ("value", "kind"), [({1, 2}, "set"), (object(), "object"), ([len], "builtin"), ({(): 1}, "tuple")]
)
def test_other_data_is_refused_by_the_name_of_its_kind(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=kind):
        canonical(value)


def test_a_combined_fingerprint_tells_names_and_digests_apart_but_not_their_order() -> None:
    assert combine({"a": "x", "b": "y"}) == combine({"b": "y", "a": "x"})
    known = [{"a": "x"}, {"a": "y"}, {"b": "x"}, {"ax": ""}, {}, {"a": "x", "b": "y"}, {"a": "x1:b1:y"}]
    assert len({combine(parts) for parts in known}) == len(known)


# --- parts of a task ---

BASE = Task("a", Command(("echo", "{x}", Expand("$HOME"))), parameters={"x": 1, "how": "fast"}, outputs=("out",))


def changed(task: Task, before: Task = BASE, **plan: Any) -> set[str]:
    """Names of the parts in which `task` differs from `before`."""
    old, new = parts(before, **plan), parts(task, **plan)
    return {name for name in PARTS if old[name] != new[name]}


def parts(task: Task, **plan: Any) -> dict[str, str]:
    made = task_parts(Plan(Graph([task]), "/root", **plan), task)
    assert tuple(made) == PARTS
    return made


def policy(**fields: Any) -> Task:
    return replace(BASE, policy=replace(BASE.policy, **fields))


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (replace(BASE, name="b"), {"kind"}),
        (replace(BASE, action=Shell("echo")), {"kind", "code"}),
        (replace(BASE, action=Command(("echo", "{x}", "$HOME"))), {"code"}),
        (replace(BASE, action=Command(("echo", "{x} ", Expand("$HOME")))), {"code"}),
        (policy(mapping="{key}={value}"), {"code"}),
        (policy(mapping={"x": "{value}"}), {"code"}),
        (replace(BASE, parameters={"x": 2, "how": "fast"}), {"parameters"}),
        (replace(BASE, parameters={"x": 1.0, "how": "fast"}), {"parameters"}),
        (replace(BASE, parameters={"how": "fast", "x": 1}), set()),
        (replace(BASE, outputs=("out", "more")), {"outputs"}),
        (policy(product=Product("stdout")), {"outputs"}),
        (policy(product=Product("json", "list", True)), {"outputs"}),
        (policy(foreach=Foreach(values=(1, 2), bind="x")), {"parameters"}),
        (policy(resources=Resources.of({"cores": 4})), set()),
        (
            policy(retries=Retries(3), timeout=5.0, duration=1.0, priority=4, niceness=2, executor="slurm", queue="q"),
            set(),
        ),
        (policy(notes=("n",), tags=("t",), attributes={"a": 1}, description="d", template="t", cache="always"), set()),
        (policy(isolation="process", interruptible=False, environment="unnamed"), set()),
        (replace(BASE, requires=Requirements(signal=("go",), shared_memory=("m",))), set()),
    ],
)
def test_each_field_is_in_its_part_or_in_none(task: Task, names: set[str]) -> None:
    assert changed(task) == names


def test_parameters_of_role_op_are_in_no_part() -> None:
    before = policy(roles={"how": "op", "x": "node"})
    after = replace(before, parameters={"x": 1, "how": "slow"})
    assert changed(after, before) == set()
    assert changed(replace(before, parameters={"x": 2, "how": "fast"}), before) == {"parameters"}


def test_the_items_of_a_mapped_task_belong_to_its_instances() -> None:
    before, after = policy(foreach=Foreach(values=(1,), bind="x")), policy(foreach=Foreach(values=(1, 2), bind="x"))
    assert changed(after, before) == set()


ACTIONS: list[Action] = [
    Command(("x",)),
    Shell("x"),
    Snippet("x"),
    Script("x"),
    Call("x:y"),
    Call("x:y", "digest"),
    Call(Serialized(path="x")),
    Call(Serialized(data="x")),
    Call(Serialized(data="x", format="pickle")),
]


def test_no_two_actions_have_the_same_kind_and_code() -> None:
    made = [parts(replace(BASE, action=action)) for action in ACTIONS]
    assert len({(each["kind"], each["code"]) for each in made}) == len(ACTIONS)


def environment_part(environment: Environment | None) -> str:
    named = policy(environment="e")
    return parts(named, environments={} if environment is None else {"e": environment})["environment"]


def test_an_environment_is_its_interpreter_requirements_and_folder() -> None:
    environments = [
        None,
        Environment(),
        Environment(python="3.11"),
        Environment(requirements=("a",)),
        Environment(path="p"),
    ]
    assert len({environment_part(each) for each in environments}) == len(environments)


def test_variables_count_only_where_the_environment_says_so_and_then_by_their_text() -> None:
    variants: list[Any] = ["x", "y", Expand("x"), ShellValue("x")]
    unseen = {environment_part(Environment(variables=(("A", value),))) for value in variants}
    assert unseen == {environment_part(Environment())}
    seen = {environment_part(Environment(variables=(("A", value),), fingerprint=True)) for value in variants}
    assert len(seen) == len(variants)


def parameters_part(task: Task, values: Mapping[str, Any]) -> str:
    return parts(task, values=values, options={name: Option() for name in values})["parameters"]


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        (Task("a", Command(("{o}",))), True),
        (Task("a", Command(("{p}",))), False),
        (Task("a", Command(("{{o}}",))), False),
        (Task("a", Command((Expand("{o}"),))), False),
        (Task("a", Command(("{o}",)), parameters={"o": 1}), False),
        (Task("a", Shell("echo {o}")), True),
        (Task("a", Shell("echo ${o}")), False),
        (Task("a", Snippet("{o}")), False),
        (Task("a", Command(("x",)), outputs=("{o}.txt",)), True),
        (Task("a", Command(("x",)), requires=Requirements(parameters=("o",))), True),
    ],
)
def test_a_plan_option_counts_for_the_tasks_that_use_it(task: Task, counts: bool) -> None:
    one, other = ({"o": value, "p": 0} for value in (1, 2))
    assert (parameters_part(task, one) != parameters_part(task, other)) is counts


def test_slots_of_a_script_are_active_only_if_something_could_fill_them() -> None:
    task = Task("a", Shell("echo {o}"))
    assert slots_of(Plan(Graph([task]), "/"), task) == ()
    assert slots_of(Plan(Graph([task]), "/", options={"p": Option()}), task) == ("o",)
    with_parameters = replace(task, parameters={"q": 1})
    assert slots_of(Plan(Graph([with_parameters]), "/"), with_parameters) == ("o",)
