"""What would happen now: the answer of `weft plan`, found without starting anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft.files.examination import SHOWN_REASONS, Examiner
from weft.scheduling.freshness import FORCED, NEVER_RAN, Forecast, why_not_cached
from weft.scheduling.reasons import Reason


def preview(examiner: Examiner, selected: Sequence[int], is_forced: bool) -> dict[int, Forecast]:
    """For each of the selected tasks, in plan order, whether it would run, and why. Others count as done."""
    forecasts: dict[int, Forecast] = {}
    chosen = frozenset(selected)
    for task in examiner.plan.graph.topological():
        if task in chosen:
            forecasts[task] = _forecast(examiner, task, forecasts, is_forced)
    return {task: forecasts[task] for task in sorted(forecasts)}


def _forecast(examiner: Examiner, task: int, forecasts: Mapping[int, Forecast], is_forced: bool) -> Forecast:
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
        return _runs_after(examiner, changing) if examiner.has_results(task) else Forecast("run", (NEVER_RAN,))
    answer = examiner.look(task, False)
    if answer.unmet is None:
        return Forecast("cached" if answer.fresh else "run", answer.reasons)
    if running:  # what is missing may be made by then
        return _runs_after(examiner, running)
    return _blocked(answer.unmet, answer.detail)


def _blocked(unmet: str, detail: str | None) -> Forecast:
    return Forecast("blocked", (Reason("unmet", detail or unmet, unmet),))


def _runs_after(examiner: Examiner, running: Sequence[int]) -> Forecast:
    names = [examiner.tasks[index].name for index in running[:SHOWN_REASONS]]
    return Forecast(
        "run",
        tuple(
            Reason("dependency_runs", f"{name} runs first; if it makes the same as before, this is up to date", name)
            for name in names
        ),
    )
