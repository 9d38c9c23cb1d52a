"""What an attempt receives from its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.runtime.bindings import Binder
from weft.scheduling.keys import WHOLE
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.requirements import Foreach
from weft.spec.tasks import Dependency, Policy, Task


class Found:
    """Files as a look found them."""

    def __init__(self, bound: Mapping[str, Any], items: tuple[str, ...] = ()):
        self._bound = bound
        self._items = items

    def bound(self, task: int, instance: int = WHOLE) -> Mapping[str, Any]:
        return self._bound

    def item(self, task: int, instance: int) -> str:
        return self._items[instance]


class Made:
    """Products of dependencies."""

    def bound(self, task: Task) -> Mapping[str, Any]:
        return {edge.bind: f"of {edge.name}" for edge in task.dependencies if edge.bind is not None}


def bind(foreach: Foreach | None, found: Found, instance: int = WHOLE) -> Any:
    first = Task("first", Command(("true",)))
    user = Task("user", Command(("true",)), (Dependency("first", bind="p"),), policy=Policy(foreach=foreach))
    return Binder(Plan(Graph([first, user]), "/"), Made(), found).bind(1, instance)  # type: ignore[arg-type]


def test_products_and_found_files_come_together() -> None:
    bound = bind(None, Found({"files": ["a", "b"]}))
    assert (bound.values, bound.item, bound.file) == ({"files": ["a", "b"], "p": "of first"}, None, None)


def test_an_instance_over_values_receives_its_value_as_it_is() -> None:
    bound = bind(Foreach(values=(1, {"k": 2}), bind="v"), Found({}), 1)
    assert bound.values == {"p": "of first", "v": {"k": 2}}
    assert (bound.item, bound.file) == ('{"k":2}', None)


def test_an_instance_over_files_receives_its_path_and_knows_it_is_a_file() -> None:
    bound = bind(Foreach(files=True, bind="f"), Found({}, ("x", "y")), 0)
    assert bound.values == {"p": "of first", "f": "x"}
    assert (bound.item, bound.file) == ("x", "x")


def test_an_item_that_no_parameter_receives_still_names_its_instance() -> None:
    bound = bind(Foreach(values=("a",)), Found({}), 0)
    assert (bound.values, bound.item) == ({"p": "of first"}, "a")
