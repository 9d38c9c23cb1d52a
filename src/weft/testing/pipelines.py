"""A pipeline of typed tasks run here and now: in this thread, without a store, a process or a file; for tests of the pipeline.

Bodies run in the order of their dependencies, products are checked against their types, a stream is an iterator, `each` is a loop
and `gather` a list. What a body raises comes out as it is, with the task's name in a note. A test puts something else in a task's
place by `registry.override(...)`. Nothing is cached, and nothing tried again.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Protocol

from weft.errors import UsageError, hint_nearest
from weft.spec.options import MISSING
from weft.spec.tasks import Dependency, Task


class Definition(Protocol):
    """What of a registry's task is needed to run it."""

    @property
    def function(self) -> Callable[..., Any] | None: ...

    @property
    def value(self) -> Any: ...


class Pipeline(Protocol):
    """A `weft.Registry`, as far as it is needed here."""

    def invoke(self, targets: Any = None, options: Mapping[str, Any] | None = None) -> Any: ...

    def find(self, name: str) -> Any: ...

    def arguments(self, name: str, options: Mapping[str, Any] | None) -> Mapping[str, Any]: ...

    def problem_of(self, value: object, type: str) -> str | None: ...


class ProductTypeError(TypeError):
    """A task has handed on what is not of its product's type."""


class Results(Mapping[str, Any]):
    """Products by task, of all tasks that took part."""

    def __init__(self, products: Mapping[str, Any]):
        self._products = products

    def __getitem__(self, name: str) -> Any:
        if name not in self._products:
            raise UsageError(f"no task {name!r} took part", hint_nearest(name, self._products))
        return self._products[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)

    def __contains__(self, name: object) -> bool:
        return name in self._products

    def __repr__(self) -> str:
        return f"Results({dict(self._products)!r})"


def run_here(registry: Pipeline, targets: Any = None, options: Mapping[str, Any] | None = None) -> Results:
    """Run what the targets (None: all tasks) need, with values for options as `Registry.invoke` takes them.

    Streams and the products of mapped tasks are lists in the results. Raises PlanError before any body runs; what a body raises;
    ProductTypeError.
    """
    graph = registry.invoke(targets, options).graph
    products: dict[str, Any] = {}
    for index in graph.topological():
        task = graph.tasks[index]
        products[task.name] = _Turn(registry, task, graph, products, options).product()
    return Results(products)


class _Turn:
    """One task, whose dependencies have their products."""

    def __init__(
        self,
        registry: Pipeline,
        task: Task,
        graph: Any,
        products: Mapping[str, Any],
        options: Mapping[str, Any] | None,
    ):
        self._registry = registry
        self._task = task
        self._graph = graph
        self._products = products
        self._options = options

    def product(self) -> Any:
        task = self._task
        definition: Definition = self._registry.find(task.name)
        if definition.value is not MISSING:
            return copy.deepcopy(definition.value)
        if definition.function is None:
            raise UsageError(
                f"task {task.name!r} is no function, and only functions run here",
                f"put a value in its place: registry.override({task.name!r}, value=...)",
            )
        given = dict(self._registry.arguments(task.name, self._options))
        for edge in task.dependencies:
            if edge.bind is not None and not edge.each and not edge.gather:
                given[edge.bind] = self._handed_on(edge)
        given.update(self._gathered(task.dependencies))
        foreach = task.policy.foreach
        if foreach is None or foreach.stream is None:
            return self._call(definition.function, given)
        return [
            self._call(definition.function, {**copy.deepcopy(given), **({foreach.bind: item} if foreach.bind else {})})
            for item in copy.deepcopy(self._products[foreach.stream])
        ]

    def _handed_on(self, edge: Dependency) -> Any:
        """A copy, because another process would have one, too; of a stream an iterator."""
        product = copy.deepcopy(self._products[edge.name])
        maker = self._graph[edge.name]
        is_stream = maker.policy.product is not None and maker.policy.product.stream
        return iter(product) if is_stream and maker.policy.foreach is None else product

    def _gathered(self, edges: Sequence[Dependency]) -> Mapping[str, Any]:
        """As the run does it: one task's products as they are, those of several as the members of one list."""
        groups: dict[str, list[Dependency]] = {}
        for edge in edges:
            if edge.gather and edge.bind is not None:
                groups.setdefault(edge.bind, []).append(edge)
        gathered: dict[str, Any] = {}
        for bind, members in groups.items():
            products = [copy.deepcopy(self._products[edge.name]) for edge in members]
            if len(members) == 1:
                gathered[bind] = products[0]
                continue
            joined = gathered[bind] = []
            for edge, product in zip(members, products, strict=True):
                maker = self._graph[edge.name].policy
                is_many = maker.foreach is not None or (maker.product is not None and maker.product.stream)
                joined.extend(product if is_many else [product])
        return gathered

    def _call(self, function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        try:
            made = function(**given)
            if inspect.iscoroutine(made):
                made = _awaited(made)
            return self._checked(made)
        except Exception as error:
            error.add_note(f"in task {self._task.name!r}")
            raise

    def _checked(self, made: Any) -> Any:
        product = self._task.policy.product
        if product is None:
            return made
        items = (
            list(_awaited(_collected(made)) if isinstance(made, AsyncIterator) else made) if product.stream else [made]
        )
        for index, item in enumerate(items):
            problem = self._registry.problem_of(item, product.type) if product.type != "any" else None
            if problem is not None:
                where = f"item {index}: " if product.stream else ""
                raise ProductTypeError(f"{where}{problem}")
        return items if product.stream else made


async def _collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def _awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """Its result, also where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
