"""What an attempt receives from the run: products of its dependencies, files that were found, the item of its instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from weft.runtime.feeds import Feeds
from weft.runtime.orders import Bindings
from weft.runtime.products import Products
from weft.scheduling.keys import WHOLE
from weft.spec.plan import Plan
from weft.spec.slots import text_of


class FoundFiles(Protocol):
    """The part of the inspector that knows what requirements found."""

    def bound(self, task: int, instance: int = WHOLE) -> Mapping[str, Any]:
        """Parameter -> path, or sorted paths."""

    def item(self, task: int, instance: int) -> str:
        """The item of an instance of a mapped task."""


class Binder:
    """Collects the bindings of attempts. Raises ProductError when a product cannot be had."""

    def __init__(self, plan: Plan, products: Products, files: FoundFiles, feeds: Feeds | None = None):
        self._plan = plan
        self._products = products
        self._files = files
        self._feeds = feeds

    def bind(self, index: int, instance: int) -> Bindings:
        """What the attempt of this task or instance receives."""
        task = self._plan.graph.tasks[index]
        values: dict[str, Any] = dict(self._files.bound(index, instance))
        if task.dependencies:
            values.update(self._products.bound(task))
        stdin = self._feeds.stdin(index) if self._feeds is not None else None
        foreach = task.policy.foreach
        if foreach is None or instance == WHOLE:
            return Bindings(values, stdin=stdin)
        item: Any
        if foreach.values is not None:
            item = foreach.values[instance]
            text = text_of(item)
        else:
            item = text = self._files.item(index, instance)
            if foreach.stream is not None and foreach.bind is not None:
                item = self._products.item(task, instance)
        if foreach.bind is not None:
            values[foreach.bind] = item
        return Bindings(values, item=text, file=text if foreach.files else None, stdin=stdin)
