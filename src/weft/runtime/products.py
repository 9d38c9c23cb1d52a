"""What tasks hand on within a run: kept while a follower may still need it, read back from what is durable."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import TYPE, LogRegion, Outcome
from weft.spec.fingerprint import digest
from weft.spec.plan import Plan
from weft.spec.tasks import Dependency, Task


class ProductError(LookupError):
    """A product that a task needs cannot be read back."""


class Products:
    """Products of one run by task and instance.

    read: the bytes of a log region. recall: what an earlier run handed on, by task index, for tasks that are cached or were
    not selected; None when there is nothing.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        read: Callable[[LogRegion], bytes],
        recall: Callable[[int], str | None],
    ):
        self._plan = plan
        self._read = read
        self._recall = recall
        self._texts: dict[tuple[int, int], str | LogRegion] = {}
        self._digests: dict[tuple[int, int], str] = {}
        self._instances: dict[int, int] = {}
        self._wanted = self._count_wanted()

    def _count_wanted(self) -> dict[int, int]:
        """By task whose product is bound: how many followers have not ended yet."""
        wanted: dict[int, int] = {}
        index = self._plan.graph.index
        for task in self._plan.graph.tasks:
            for dependency in task.dependencies:
                if dependency.bind is not None:
                    maker = index[dependency.name]
                    wanted[maker] = wanted.get(maker, 0) + 1
            foreach = task.policy.foreach
            if foreach is not None and foreach.stream is not None:
                maker = index[foreach.stream]
                wanted[maker] = wanted.get(maker, 0) + 1
        return wanted

    def accept(self, task: int, instance: int, outcome: Outcome) -> Outcome:
        """Keep the product of an attempt that did its work; the outcome, failed with cause `type` when it is no JSON."""
        product = self._plan.graph.tasks[task].policy.product
        source = product.source if product is not None else None
        if source == "json":
            text = outcome.product if outcome.product is not None else self._text_of(outcome.stdout)
            try:
                json.loads(text)
            except ValueError as error:
                return outcome._replace(ok=False, cause=TYPE, detail=f"the output is not JSON: {error}", product=None)
        if source is not None and source != "outputs":
            self._keep(task, instance, outcome.product, outcome.stdout)
        return outcome

    def restore(self, task: int, instance: int, product: str | None, stdout: LogRegion) -> None:
        """Resume: the product of an attempt that was ok before."""
        source = self._plan.graph.tasks[task].policy.product
        if source is not None and source.source != "outputs":
            self._keep(task, instance, product, stdout)

    def _keep(self, task: int, instance: int, product: str | None, stdout: LogRegion) -> None:
        kept = product if product is not None else stdout
        self._digests[task, instance] = digest(kept if isinstance(kept, str) else self._text_of(kept))
        if task in self._wanted:
            self._texts[task, instance] = kept

    def digest(self, task: int, instance: int = WHOLE) -> str | None:
        """What the task or instance handed on in this run, as a digest; None when nothing is known.

        Of a mapped task as a whole: over all of its instances. Called from the inspector's thread.
        """
        if instance != WHOLE or task not in self._instances:
            return self._digests.get((task, instance))
        parts = [self._digests.get((task, instance)) for instance in range(self._instances[task])]
        return digest(parts) if all(part is not None for part in parts) else None

    def text(self, task: int) -> str | None:
        """What a task that is not mapped handed on, as text; None when it is not at hand."""
        kept = self._texts.get((task, WHOLE))
        if kept is None:
            return self._recall(task)
        return kept if isinstance(kept, str) else self._text_of(kept)

    def take_items(self, task: int, items: Sequence[str]) -> None:
        """A mapped task has these instances."""
        self._instances[task] = len(items)

    def ended(self, task: int) -> None:
        """A task has ended for good: what only it still needed is freed."""
        index = self._plan.graph.index
        ended = self._plan.graph.tasks[task]
        makers = [index[dependency.name] for dependency in ended.dependencies if dependency.bind is not None]
        if ended.policy.foreach is not None and ended.policy.foreach.stream is not None:
            makers.append(index[ended.policy.foreach.stream])
        for maker in makers:
            self._wanted[maker] -= 1
            if not self._wanted[maker]:
                for instance in range(self._instances[maker]) if maker in self._instances else (WHOLE,):
                    self._texts.pop((maker, instance), None)

    def bound(self, task: Task) -> Mapping[str, Any]:
        """The values that `task` receives from its dependencies, by parameter. Raises ProductError."""
        return {
            dependency.bind: self._value_of(dependency)
            for dependency in task.dependencies
            if dependency.bind is not None and not dependency.each
        }

    def _value_of(self, dependency: Dependency) -> Any:
        maker = self._plan.graph.index[dependency.name]
        task = self._plan.graph.tasks[maker]
        product = task.policy.product
        if product is not None and product.source == "outputs":
            return task.outputs[0] if len(task.outputs) == 1 else list(task.outputs)
        if maker in self._instances:
            return [self._one(maker, instance, task) for instance in range(self._instances[maker])]
        return self._one(maker, WHOLE, task)

    def _one(self, maker: int, instance: int, task: Task) -> Any:
        kept = self._texts.get((maker, instance))
        if kept is None:
            kept = self._recall(maker)
            if kept is None:
                raise ProductError(f"the product of {task.name!r} is not at hand: run it again with --force")
        text = kept if isinstance(kept, str) else self._text_of(kept)
        product = task.policy.product
        return text if product is not None and product.source == "stdout" else json.loads(text)

    def _text_of(self, region: LogRegion) -> str:
        text = self._read(region).decode("utf-8", "surrogateescape")
        return text[:-1] if text.endswith("\n") else text
