"""Which tasks take part, and what those that do not must have left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from weft.errors import PlanError
from weft.files.fingerprints import outputs_of
from weft.runtime import selection
from weft.runtime.selection import choose
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.tasks import Dependency, Policy, Task
from weft.testing.scenario import task

CHAIN = Plan(Graph([task("a"), task("b", after=["a"]), task("c", after=["b"]), task("d")]), "/")


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({}, "abcd"),
        ({"chosen": ["b"]}, "b"),
        ({"chosen": ["+b"]}, "ab"),
        ({"until": ["b"]}, "ab"),
        ({"start_from": ["b"]}, "bc"),
        ({"chosen": ["d"], "until": ["a"]}, "ad"),
        ({"exclude": ["c"]}, "abd"),
        ({"until": ["c"], "exclude": ["b"]}, "ac"),
    ],
)
def test_flags_add_up_and_exclude_is_taken_away_last(flags: dict[str, list[str]], wanted: str) -> None:
    assert choose(CHAIN, **flags) == tuple("abcd".index(name) for name in wanted)


def test_all_expressions_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(PlanError) as raised:
        choose(CHAIN, ["nobody"], ["nothing"])
    assert [problem.code for problem in raised.value.problems()] == ["select", "select"]


def pair(source: str | None, *, bind: str | None = "x", outputs: tuple[str, ...] = (), root: str = "/") -> Plan:
    true = Command(("true",))
    maker = Task("m", true, outputs=outputs, policy=Policy(product=Product(source) if source else None))  # type: ignore[arg-type]
    return Plan(Graph([maker, Task("u", true, (Dependency("m", bind=bind),))]), root)


def check_unselected(plan: Plan, selected: Sequence[int], has_product: Callable[[int], bool]) -> None:
    selection.check_unselected(plan, selected, has_product, lambda task: outputs_of(plan, plan.graph.tasks[task]))


def test_a_product_of_an_unselected_task_has_to_be_there() -> None:
    check_unselected(pair("stdout"), [1], lambda _: True)
    check_unselected(pair("stdout"), [0, 1], lambda _: False)
    check_unselected(pair("stdout", bind=None), [1], lambda _: False)
    with pytest.raises(PlanError, match="never made") as raised:
        check_unselected(pair("stdout"), [1], lambda _: False)
    assert raised.value.problems()[0].hint == "select its ancestors, too: --select '+u'"


def test_outputs_of_an_unselected_task_have_to_be_there_also_as_a_product(tmp_path: Path) -> None:
    for bind in ("x", None):
        plan = pair("outputs", bind=bind, outputs=("o",), root=str(tmp_path))
        (tmp_path / "o").unlink(missing_ok=True)
        with pytest.raises(PlanError, match="'o' is missing"):
            check_unselected(plan, [1], lambda _: False)
        (tmp_path / "o").touch()
        check_unselected(plan, [1], lambda _: False)


def test_outputs_with_slots_are_looked_for_where_they_lie(tmp_path: Path) -> None:
    maker = Task("m", Command(("true",)), parameters={"k": 3}, outputs=("out_{k}",))
    plan = Plan(Graph([maker, Task("u", Command(("true",)), (Dependency("m"),))]), str(tmp_path))
    with pytest.raises(PlanError, match="'out_3' is missing"):
        check_unselected(plan, [1], lambda _: False)
    (tmp_path / "out_3").touch()
    check_unselected(plan, [1], lambda _: False)
