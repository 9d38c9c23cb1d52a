"""A task that stands for a value: what `override(value=...)` puts in the place of a task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from weft.define.tasks import TaskDefinition
from weft.define.types import Find, problem_of
from weft.define.values import UnpicklableError as UnpicklableError
from weft.define.values import held
from weft.spec.actions import Call
from weft.spec.given import given
from weft.spec.options import Opaque
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.tasks import Task

# A function of the standard library that gives its argument back: it can be imported wherever a worker runs.
_GIVE_BACK: Final = Call("typing:cast")


def problem_of_product(value: Any, before: TaskDefinition, find: Find) -> str | None:
    """Why a value cannot stand for the task's product, None when it can. Of a mapped task and of a stream: of each item."""
    product = before.product
    if not product.stream and before.policy.foreach is None:
        return problem_of(value, product.type, find)
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | dict):
        return "it hands on many items; give a list of them"
    if not isinstance(value, list | tuple):
        return "give a list: an iterator can be read only once"
    for index, item in enumerate(value):
        problem = problem_of(item, product.type, find)
        if problem is not None:
            return f"item {index}: {problem}"
    return None


def given_task(before: TaskDefinition, value: Any) -> tuple[Task, Any]:
    """The task, and the value that it hands on, which is a copy. Raises UnpicklableError.

    For a mapped task one that is mapped over the given items, so that what follows meets instances as before.
    """
    kept = held(value)
    product, name = before.product, before.name
    plain = given(name, None, before.policy).policy
    is_mapped = before.policy.foreach is not None
    if not isinstance(kept, Opaque) and not is_mapped and not product.stream:
        return given(name, kept, before.policy, product.type), kept
    parameters: dict[str, Any] = {"typ": None}
    foreach = None
    if is_mapped and isinstance(kept, list):
        foreach = Foreach(values=tuple(kept), bind="val")
        made = Product("return", product.type)
    else:
        parameters["val"] = kept
        made = Product("return", "list") if is_mapped else Product("return", product.type, product.stream)
    return Task(name, _GIVE_BACK, parameters=parameters, policy=replace(plain, product=made, foreach=foreach)), value
