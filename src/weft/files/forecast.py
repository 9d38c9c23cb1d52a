"""What would happen now: the answer of `weft plan`, found without starting anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from weft.files.examination import SHOWN_REASONS, Examiner
from weft.ports import ResultRow
from weft.scheduling.freshness import FORCED, NEVER_RAN, Forecast, compare_parts, why_not_cached
from weft.scheduling.reasons import Reason

FROM_OUTSIDE: Final = ("inputs:", "dependencies:")
"""How the names of parts begin that do not follow from the plan alone."""

Work = dict[str, list[ResultRow]]
"""Finished work by the name of its task; filled when it is first looked at."""


def preview(examiner: Examiner, selected: Sequence[int], is_forced: bool) -> dict[int, Forecast]:
    """For each of the selected tasks, in plan order, whether it would run, and why. Others count as done."""
    forecasts: dict[int, Forecast] = {}
    chosen = frozenset(selected)
    work: Work = {}
    for task in examiner.plan.graph.topological():
        if task in chosen:
            forecasts[task] = _forecast(examiner, task, forecasts, is_forced, work)
    return {task: forecasts[task] for task in sorted(forecasts)}


def _forecast(
    examiner: Examiner, task: int, forecasts: Mapping[int, Forecast], is_forced: bool, work: Work
) -> Forecast:
    given = examiner.tasks[task]
    graph = examiner.plan.graph
    upstream = graph.dependencies[graph.first_dependency[task] : graph.first_dependency[task + 1]]
    actions = {index: forecasts[index].action for index in upstream if index in forecasts}
    blocked = next((index for index, action in actions.items() if action == "blocked"), None)
    if blocked is not None:
        name = examiner.tasks[blocked].name
        return Forecast("blocked", (Reason("dependency_blocked", f"{name} cannot start", name),))
    running = [index for index, action in actions.items() if action == "run"]
    if not examiner.is_caching or not given.is_cacheable or is_forced:
        findings = examiner.check(task)
        if findings.unmet is not None and not running:
            return _blocked(findings.unmet, findings.detail)
        return Forecast("run", (FORCED if is_forced else why_not_cached(given),))
    changing = [index for index in running if examiner.tasks[index].outputs or examiner.tasks[index].policy.product]
    if changing:
        return (
            _runs_after(examiner, task, changing, work) if examiner.has_results(task) else Forecast("run", (NEVER_RAN,))
        )
    answer = examiner.look(task, False)
    if answer.unmet is None:
        return Forecast("cached" if answer.fresh else "run", answer.reasons)
    if running:  # what is missing may be made by then
        return _runs_after(examiner, task, running, work)
    return _blocked(answer.unmet, answer.detail)


def _changed_in_plan(examiner: Examiner, task: int, work: Work) -> tuple[Reason, ...]:
    """Why no finished work can stand in for the task, whatever files and dependencies are like; empty when some might."""
    if not work:
        for row in examiner.finished_work():
            work.setdefault(row.name, []).append(row)
    now = examiner.own_parts(task)
    found: list[Reason] = []
    for row in work.get(examiner.tasks[task].name, ()):
        then = {name: part for name, part in row.parts.items() if name != "item" and not name.startswith(FROM_OUTSIDE)}
        differences = compare_parts(then, now)
        if not differences:
            return ()
        found = found or differences
    return tuple(found)


def _blocked(unmet: str, detail: str | None) -> Forecast:
    return Forecast("blocked", (Reason("unmet", detail or unmet, unmet),))


def _runs_after(examiner: Examiner, task: int, running: Sequence[int], work: Work) -> Forecast:
    changed = _changed_in_plan(examiner, task, work)
    if changed:
        return Forecast("run", changed)
    names = [examiner.tasks[index].name for index in running[:SHOWN_REASONS]]
    return Forecast(
        "run",
        tuple(
            Reason("dependency_runs", f"{name} runs first; if it makes the same as before, this is up to date", name)
            for name in names
        ),
    )
