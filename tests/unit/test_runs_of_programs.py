"""A plan of mere programs is known as such, and nothing else is: whatever looks, makes or hands on needs the whole machinery."""

from __future__ import annotations

import pytest

from weft.ports import Inspector
from weft.runtime.orders import NOTHING_BOUND
from weft.runtime.plain import NothingHandedOn, NothingToInspect, bind_nothing, is_plain
from weft.scheduling.events import Inspected
from weft.scheduling.outcomes import Outcome
from weft.spec.actions import Call, Command, Shell, Snippet
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import FileNeed, Foreach, Requirements
from weft.spec.tasks import Dependency, Policy, Task

TRUE = Command(("true",))


def plan_of(*tasks: Task) -> Plan:
    return Plan(Graph(tasks), "/nowhere")


def test_programs_scripts_and_snippets_in_any_order_are_plain() -> None:
    tasks = (Task("a", TRUE), Task("b", Shell("true"), (Dependency("a"),)), Task("c", Snippet("pass")))
    assert is_plain(plan_of(*tasks))


@pytest.mark.parametrize(
    "task",
    [
        Task("x", TRUE, requires=Requirements(files=(FileNeed("a.csv"),))),
        Task("x", TRUE, requires=Requirements(parameters=("season",))),
        Task("x", TRUE, outputs=("out",)),
        Task("x", TRUE, policy=Policy(product=Product("stdout"))),
        Task("x", TRUE, policy=Policy(foreach=Foreach(values=(1, 2)))),
        Task("x", TRUE, policy=Policy(cache="always")),
        Task("x", Call("json:dumps")),
    ],
    ids=["requires a file", "requires a parameter", "outputs", "product", "mapped", "cached", "call"],
)
def test_one_task_that_looks_makes_or_hands_on_is_enough_to_be_not_plain(task: Task) -> None:
    assert not is_plain(plan_of(Task("a", TRUE), task))


def test_every_task_that_is_asked_for_may_start_once_and_nothing_has_to_ring() -> None:
    inspector: Inspector = NothingToInspect()
    inspector.ask(3, False)
    inspector.ask(5, True)
    assert list(inspector.answers()) == [Inspected(3), Inspected(5)]
    assert (list(inspector.answers()), list(inspector.bells())) == ([], [])
    assert inspector.finished(3, -1) is None
    assert inspector.take() == ((), ())


def test_outcomes_pass_as_they_are_and_attempts_receive_nothing() -> None:
    outcome = Outcome(True)
    products = NothingHandedOn()
    assert products.accept(0, -1, outcome) is outcome
    assert products.accept_outputs(0, -1, outcome) is outcome
    assert bind_nothing(0, -1) is NOTHING_BOUND
