"""What earlier runs of a plan, and of its templates, say about a run that begins: how long tasks take, and how much memory.

Of a task that ran before under this plan its own figure counts; of another one of a template, what that template's tasks took:
in this plan, else in the latest runs of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from weft.formats.snapshot import templates_in
from weft.scheduling.outcomes import Request
from weft.scheduling.workload import declared_request
from weft.spec.plan import Plan
from weft.spec.resources import MEMORY
from weft.store.history import History, Measured, PastRun

NOTICEABLE: Final = 0.05
"""Seconds: shorter tasks may run in any order for all that anybody would notice."""

SAFETY: Final = 1.2
"""The first request for memory is the highest peak that was seen, and this much more."""

LEAST_MEMORY: Final = 16 << 20  # bytes; below that, a peak says more about the day than about the task
STEPS: Final = 8  # amounts are rounded up to so many steps between two powers of two: equal ones are placed together


class Experience:
    """For one run that begins. selected: tasks that take part."""

    def __init__(self, history: History, plan: Plan, selected: Sequence[int]):
        self._history = history
        self._plan = plan
        self._selected = selected
        self._templates: dict[int, list[str | None]] = {}

    def durations(self) -> Mapping[int, float]:
        """Seconds by task, where something is known. Empty when tasks need no order."""
        if self._plan.order != "path":
            return {}
        tasks = self._plan.graph.tasks
        found: dict[int, float] = {}
        sums: dict[str, tuple[float, int]] = {}
        for measured, _ in self._of_this_plan(NOTICEABLE):
            if measured.task in found:
                continue
            found[measured.task] = measured.seconds
            template = tasks[measured.task].policy.template
            if template is not None:
                total, count = sums.get(template, (0.0, 0))
                sums[template] = total + measured.seconds, count + 1
        unknown = self._unknown_templates(sums)
        if unknown:
            for measured, template in self._of_others(NOTICEABLE, unknown):
                total, count = sums.get(template, (0.0, 0))
                sums[template] = total + measured.seconds, count + 1
        if sums:
            for task in self._selected:
                template = tasks[task].policy.template
                if template in sums and task not in found:
                    found[task] = sums[template][0] / sums[template][1]
        return found

    def requests(self) -> Mapping[int, Request]:
        """First requests of tasks that leave an amount to history, where something is known."""
        tasks = self._plan.graph.tasks
        wanting = [task for task in self._selected if MEMORY in tasks[task].policy.auto]
        if not wanting:
            return {}
        peaks: dict[str | int, int] = {}
        for measured, _ in self._of_this_plan(0.0):
            template = tasks[measured.task].policy.template
            _raise(peaks, measured.task if template is None else template, measured.memory)
        unknown = {str(template) for task in wanting if (template := tasks[task].policy.template) not in (None, *peaks)}
        if unknown:
            for measured, template in self._of_others(0.0, unknown):
                _raise(peaks, template, measured.memory)
        made: dict[tuple[int, int], Request] = {}
        found: dict[int, Request] = {}
        for task in wanting:
            policy = tasks[task].policy
            peak = peaks.get(task if policy.template is None else policy.template)
            if peak is None:
                continue
            key = id(policy), peak
            if key not in made:
                request = declared_request(policy)
                amounts = {**dict(request.amounts), MEMORY: rounded(max(LEAST_MEMORY, int(peak * SAFETY)))}
                made[key] = request._replace(amounts=tuple(sorted(amounts.items())))
            found[task] = made[key]
        return found

    def _unknown_templates(self, known: Mapping[str, object]) -> set[str]:
        if not self._plan.templates:
            return set()
        tasks = self._plan.graph.tasks
        policies = {
            id(policy): policy for task in self._selected if (policy := tasks[task].policy).template is not None
        }
        return {str(policy.template) for policy in policies.values() if policy.template not in known}

    def _of_this_plan(self, least: float) -> Iterator[tuple[Measured, PastRun]]:
        """By the present places of tasks, latest run first."""
        index = self._plan.graph.index
        names: Sequence[str] = [task.name for task in self._plan.graph.tasks]
        runs = self._history.runs(self._plan.key)
        for run in runs:
            measured = list(self._history.measured(run.number, least))
            if not measured:
                continue
            if run.plan != runs[0].plan:  # the first one is the present run: its plan is this plan
                recorded = self._history.names(run.plan)
                moved = ((row, index.get(recorded[row.task])) for row in measured)
                yield from ((row._replace(task=place), run) for row, place in moved if place is not None)
            else:
                yield from ((row, run) for row in measured if row.task < len(names))

    def _of_others(self, least: float, templates: set[str]) -> Iterator[tuple[Measured, str]]:
        for run in self._history.others(self._plan.key):
            measured = list(self._history.measured(run.number, least))
            if not measured:
                continue
            of_tasks = self._templates_of(run.plan)
            for row in measured:
                template = of_tasks[row.task]
                if template in templates:
                    yield row, template

    def _templates_of(self, plan: int) -> list[str | None]:
        if plan not in self._templates:
            self._templates[plan] = templates_in(self._history.snapshot(plan))
        return self._templates[plan]


def _raise(peaks: dict[str | int, int], key: str | int, memory: int | None) -> None:
    if memory is not None and memory > peaks.get(key, 0):
        peaks[key] = memory


def rounded(amount: int) -> int:
    """Up to one of STEPS amounts between two powers of two."""
    step = max(1, (1 << amount.bit_length() - 1) // STEPS)
    return -(-amount // step) * step
