"""What tasks hand on within a run: kept while a follower may still need it, read back from what is durable.

A product is text: JSON, or captured output that lost one newline at its end (design.md 16). A short one travels with the
outcome and becomes durable with it. A long one stays where the attempt wrote it, in its log; that file is made durable before
the outcome is, when a task that has not ended needs it. Products of cached and of unselected tasks are recalled from the run
that made them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from weft.ports import OpenRun
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import MISSING_OUTPUT, TYPE, LogRegion, Outcome
from weft.spec.fingerprint import digest
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.tasks import Dependency, Task
from weft.spec.types import BUILTIN, problem_of


class ProductError(LookupError):
    """A product that a task needs cannot be read back."""


class ProductFiles(Protocol):
    """Where products lie that are too long to travel, and those of earlier runs."""

    def read(self, region: LogRegion) -> bytes:
        """Output of this run. Raises LookupError when it is gone."""

    def sync(self, region: LogRegion) -> None:
        """Make output of this run durable. Raises LookupError when it is gone, OSError when the disk fails."""

    def sync_outputs(self, task: int, instance: int) -> None:
        """Make the declared outputs durable. Raises OSError."""

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        """Paths that the task or instance makes, as written, slots filled."""

    def recall(self, task: int, instance: int) -> str | None:
        """What an earlier run handed on, for what is cached or was not selected; None when there is nothing."""


class Products:
    """Products of one run by task and instance."""

    def __init__(self, plan: Plan, files: ProductFiles):
        self._plan = plan
        self._files = files
        self._kept: dict[tuple[int, int], str | LogRegion] = {}
        self._digests: dict[tuple[int, int], str] = {}
        self._instances: dict[int, int] = {}
        self._wanted = self._count_wanted()

    def _count_wanted(self) -> dict[int, int]:
        """By task whose product is bound: how many followers have not ended yet."""
        wanted: dict[int, int] = {}
        for task in self._plan.graph.tasks:
            if task.dependencies:
                for maker in self._makers(task):
                    wanted[maker] = wanted.get(maker, 0) + 1
        return wanted

    def _makers(self, task: Task) -> list[int]:
        """Whose products `task` takes."""
        index = self._plan.graph.index
        makers = [index[dependency.name] for dependency in task.dependencies if dependency.bind is not None]
        foreach = task.policy.foreach
        if foreach is not None and foreach.stream is not None:
            makers.append(index[foreach.stream])
        return makers

    # --- made ------------------------------------------------------------------------------------------------------------

    def accept(self, task: int, instance: int, outcome: Outcome) -> Outcome:
        """Keep the product of an attempt that did its work, durable if somebody waits for it.

        The outcome, failed when the product is no JSON (`type`) or cannot be had (`missing_output`).
        """
        product = self._plan.graph.tasks[task].policy.product
        source = product.source if product is not None else None
        if source is None or source == "outputs":
            return outcome
        try:
            if outcome.product is None and self._wanted.get(task):
                self._files.sync(outcome.stdout)
            problem = self._type_problem(product, outcome)
            if problem is not None:
                return _failed(outcome, TYPE, problem)
        except ValueError as error:
            return _failed(outcome, TYPE, f"the output is not JSON: {error}")
        except (LookupError, OSError) as error:
            return _failed(outcome, MISSING_OUTPUT, f"its product cannot be kept: {error}")
        self._keep(task, instance, outcome.product, outcome.stdout)
        return outcome

    def _type_problem(self, product: Product | None, outcome: Outcome) -> str | None:
        """Why what was made is not of its product's type; the value of a captured output is its text. Raises ValueError."""
        assert product is not None
        if product.source == "stdout" and product.type in ("any", "str"):
            return None
        text = outcome.product if outcome.product is not None else self._text_of(outcome.stdout)
        value = text if product.source == "stdout" else json.loads(text)
        if product.type == "any":
            return None
        problem = problem_of(value, product.type, {**BUILTIN, **self._plan.types})
        return None if problem is None else f"the product is no {product.type}: {problem}"

    def accept_outputs(self, task: int, instance: int, outcome: Outcome) -> Outcome:
        """Likewise for files as a product, once they are known to be there."""
        product = self._plan.graph.tasks[task].policy.product
        if product is None or product.source != "outputs" or not self._wanted.get(task):
            return outcome
        try:
            self._files.sync_outputs(task, instance)
        except OSError as error:
            return _failed(outcome, MISSING_OUTPUT, f"its product cannot be kept: {error}")
        return outcome

    def restore(self, opened: OpenRun) -> None:
        """Resume: what was handed on before, the last good attempt's."""
        for task, items in opened.items.items():
            self.take_items(task, [item for item, _, _ in items])
        tasks = self._plan.graph.tasks
        for row in opened.attempts:
            product = tasks[row.key.task].policy.product
            if row.state == "ok" and product is not None and product.source != "outputs":
                self._keep(row.key.task, row.key.instance, row.product, row.stdout)

    def _keep(self, task: int, instance: int, product: str | None, stdout: LogRegion) -> None:
        self._digests.pop((task, instance), None)
        if product is None:
            self._kept[task, instance] = stdout  # small, and its digest may still be asked for
            return
        self._digests[task, instance] = digest(product)
        if self._wanted.get(task):
            self._kept[task, instance] = product

    def take_items(self, task: int, items: Sequence[str]) -> None:
        """A mapped task has these instances."""
        self._instances[task] = len(items)

    def ended(self, task: int) -> None:
        """A task has ended for good: what only it still needed is freed."""
        if not self._wanted:
            return
        for maker in self._makers(self._plan.graph.tasks[task]):
            self._wanted[maker] -= 1
            if self._wanted[maker]:
                continue
            for instance in range(self._instances[maker]) if maker in self._instances else (WHOLE,):
                if isinstance(self._kept.get((maker, instance)), str):
                    del self._kept[maker, instance]

    # --- needed ----------------------------------------------------------------------------------------------------------

    def digest(self, task: int, instance: int = WHOLE) -> str | None:
        """What the task or instance handed on, as a digest; None when nothing is known.

        Of a mapped task as a whole: over all of its instances. Called from the inspector's thread.
        """
        if instance != WHOLE or task not in self._instances:
            return self._digest_of(task, instance)
        parts = [self._digest_of(task, number) for number in range(self._instances[task])]
        return digest(parts) if all(part is not None for part in parts) else None

    def _digest_of(self, task: int, instance: int) -> str | None:
        known = self._digests.get((task, instance))
        if known is not None:
            return known
        if (task, instance) not in self._kept and instance == WHOLE:
            return None  # of a task that is cached as a whole the inspector has the recorded digest at hand
        try:
            text = self._find(task, instance)
        except LookupError:
            return None
        if text is None:
            return None
        return self._digests.setdefault((task, instance), digest(text))

    def text(self, task: int) -> str | None:
        """What a task that is not mapped handed on, as text; None when it is not at hand."""
        try:
            return self._find(task, WHOLE)
        except LookupError:
            return None

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
        instances = range(self._instances[maker]) if maker in self._instances else None
        if product is not None and product.source == "outputs":
            if instances is not None:
                return [path for instance in instances for path in self._files.outputs(maker, instance)]
            paths = self._files.outputs(maker)
            return paths[0] if len(paths) == 1 else list(paths)
        if instances is not None:
            return [self._one(maker, instance, task) for instance in instances]
        return self._one(maker, WHOLE, task)

    def _one(self, maker: int, instance: int, task: Task) -> Any:
        try:
            text = self._find(maker, instance)
        except LookupError as error:
            raise ProductError(f"the product of {task.name!r} cannot be read: {error}") from error
        if text is None:
            raise ProductError(f"the product of {task.name!r} is not at hand: run it again with --force")
        product = task.policy.product
        return text if product is not None and product.source == "stdout" else json.loads(text)

    def _find(self, task: int, instance: int) -> str | None:
        kept = self._kept.get((task, instance))
        if kept is None:
            return self._files.recall(task, instance)
        return kept if isinstance(kept, str) else self._text_of(kept)

    def _text_of(self, region: LogRegion) -> str:
        return self._files.read(region).decode("utf-8", "replace").removesuffix("\n")


def _failed(outcome: Outcome, cause: str, detail: str) -> Outcome:
    return outcome._replace(ok=False, cause=cause, detail=detail, product=None)
