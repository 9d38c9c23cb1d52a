"""A task that stands for a value: what `override(value=...)` puts in the place of a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from weft.define.tasks import TaskDefinition
from weft.define.types import Find, problem_of
from weft.define.values import UnpicklableError as UnpicklableError
from weft.define.values import held
from weft.spec.given import given, given_back
from weft.spec.options import Opaque
from weft.spec.tasks import Task


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
    if not isinstance(kept, Opaque) and before.policy.foreach is None and not product.stream:
        return given(name, kept, before.policy, product.type), kept
    return given_back(name, kept, before.policy, product), value
