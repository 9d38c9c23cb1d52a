"""Small values of the specification."""

from __future__ import annotations

import copy
import pickle

import pytest

from weft.spec.actions import Call, Command, Script, Serialized, Shell, Snippet, kind_of
from weft.spec.options import MISSING, Option
from weft.spec.requirements import instance_name
from weft.spec.resources import NO_CORES, ONE_CORE, Resources, from_units, to_units
from weft.spec.tasks import DEFAULT_POLICY, NAME_LIMIT, Policy, Task, name_problem


@pytest.mark.parametrize(
    ("name", "amount", "units"),
    [
        ("cores", 1, 1000),
        ("cores", 0.5, 500),
        ("cores", 0.07, 70),
        ("cores", 0.0001, 1),
        ("cores", 1e-12, 1),
        ("cores", 0, 0),
        ("cores", 0.0, 0),
        ("memory", 1024, 1024),
        ("memory", 10.2, 11),
        ("disk", 10**30, 10**30),
        ("gpu", 2, 2_000_000),
        ("gpu", 1 / 3, 333_334),
    ],
)
def test_amounts_are_whole_units_rounded_up(name: str, amount: float, units: int) -> None:
    assert to_units(name, amount) == units


@pytest.mark.parametrize(("name", "units", "amount"), [("cores", 1500, 1.5), ("memory", 3, 3), ("gpu", 1_000_000, 1)])
def test_units_are_shown_as_people_write_them(name: str, units: int, amount: float) -> None:
    assert repr(from_units(name, units)) == repr(amount)


def test_a_demand_is_sorted_and_holds_one_core_unless_said_otherwise() -> None:
    demand = Resources.of({"memory": 2**20, "gpu": 0, "disk": 5})
    assert demand.amounts == (("cores", 1000), ("disk", 5), ("memory", 2**20))
    assert Resources.of({}) == ONE_CORE
    assert Resources.of({"cores": 0}) == NO_CORES
    assert dict(demand) == demand.as_json() | {"cores": 1000}
    assert demand.as_json() == {"cores": 1, "disk": 5, "memory": 2**20}


def test_an_amount_that_is_not_demanded_is_zero() -> None:
    assert ONE_CORE.units("gpu") == 0
    assert ONE_CORE.units("cores") == 1000
    assert ONE_CORE.memory_bytes is None
    assert Resources.of({"memory": 7}).memory_bytes == 7


def test_each_action_has_its_key_of_the_normal_form() -> None:
    actions = (Command(()), Shell(""), Snippet(""), Call("m:f"), Script("s"), Call(Serialized(data="")))
    assert [kind_of(action) for action in actions] == ["command", "shell", "python", "function", "script", "serialized"]


def test_an_option_without_a_default_is_required() -> None:
    assert Option().is_required
    assert not Option(default=None).is_required


def test_the_missing_default_stays_itself_when_it_travels() -> None:
    assert repr(MISSING) == "MISSING"
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert copy.deepcopy(MISSING) is MISSING


@pytest.mark.parametrize("name", ["a", "two words", "a/b[1]+c", "é", "\U0001f600", "x" * NAME_LIMIT, "a\u00a0b"])
def test_a_name_may_be_nearly_anything(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty or blank"),
        (" \t", "empty or blank"),
        ("x" * (NAME_LIMIT + 1), "1001"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85b", "control character"),
        ("a\u2028b", "control character"),
        ("a\ud800", "lone surrogate"),
    ],
)
def test_a_name_that_cannot_be_is_told_why(name: str, words: str) -> None:
    assert words in str(name_problem(name))


def test_finished_work_stands_in_for_tasks_with_outputs_unless_told_otherwise() -> None:
    task = Task("a", Command(("true",)))
    assert not task.is_cacheable
    assert Task("a", task.action, outputs=("o",)).is_cacheable
    assert not Task("a", task.action, outputs=("o",), policy=Policy(cache="never")).is_cacheable
    assert Task("a", task.action, policy=Policy(cache="always")).is_cacheable
    assert task.policy is DEFAULT_POLICY


def test_an_instance_is_shown_with_its_item() -> None:
    assert instance_name("tile", "a/b.bin") == "tile[a/b.bin]"
