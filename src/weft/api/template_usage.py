"""What the tasks of a template used, over all recorded workflows (workflows.md 5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.errors import ArgumentError, cut, hint_nearest
from weft.spec.identity import text_of_value

if TYPE_CHECKING:
    from weft.api.workflow_views import WorkflowView
    from weft.define.templates import TaskTemplate
    from weft.ports import RunRow, TaskRow
    from weft.spec.plan import Plan
    from weft.store.archive import SqliteArchive

FIGURES: Final[Mapping[str, Callable[[list[float]], float]]] = {
    "min": min,
    "max": max,
    "mean": fmean,
    "median": median,
}


def usage_of_template(
    template: TaskTemplate, workflows: Any = None, node_args: Mapping[str, Any] | None = None, ci: float | None = None
) -> dict[str, Any]:
    """num_tasks, then figures of `mem` (bytes) and `runtime` (seconds). workflows: numbers or workflows; None: all.

    node_args: {argument: values}, and over arguments, or over values. Raises ArgumentError.
    """
    confidence = _confidence(ci)
    wanted = _wanted(template, node_args)
    is_known = False
    counted: list[TaskRow] = []
    for archive, row in _runs(template, workflows):
        for task, is_chosen in _tasks(archive, row, template, wanted):
            is_known = True
            if is_chosen and task.state == "ok":
                counted.append(task)
    return _summary(counted, is_known=is_known, confidence=confidence)


def _summary(counted: Sequence[TaskRow], *, is_known: bool, confidence: float | None) -> dict[str, Any]:
    """Of tasks that are done."""
    memory = [float(task.memory) for task in counted if task.memory is not None]
    runtime = [task.seconds for task in counted if task.seconds is not None]
    return {
        "num_tasks": len(counted) if is_known else None,
        **_figures("mem", memory, whole=True),
        **_figures("runtime", runtime),
        "ci_mem": _interval(memory, confidence),
        "ci_runtime": _interval(runtime, confidence),
    }


def _figures(name: str, values: list[float], *, whole: bool = False) -> dict[str, float | int | None]:
    """whole: extremes are counts of bytes."""
    found: dict[str, float | int | None] = {}
    for what, figure in FIGURES.items():
        value = figure(values) if values else None
        found[f"{what}_{name}"] = int(value) if whole and value is not None and value.is_integer() else value
    return found


def _interval(values: list[float], confidence: float | None) -> list[float] | None:
    from weft.assemble.student_t import interval

    found = interval(values, confidence) if confidence is not None else None
    return list(found) if found is not None else None


def _confidence(ci: Any) -> float | None:
    if ci is None:
        return None
    try:
        value = float(ci) if not isinstance(ci, bool) else 0.0
    except (TypeError, ValueError):
        value = 0.0
    if not 0.0 < value < 1.0:
        raise ArgumentError(f"ci is a share between 0 and 1, as 0.95, not {cut(repr(ci))}")
    return value


def _wanted(template: TaskTemplate, node_args: Mapping[str, Any] | None) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    if node_args is not None and not isinstance(node_args, Mapping):
        raise ArgumentError(f"node_args are values by argument, as {{'place': ['north']}}, not {cut(repr(node_args))}")
    for name, values in (node_args or {}).items():
        if name not in template.node_args:
            hint = hint_nearest(str(name), template.node_args)
            raise ArgumentError(
                f"template {template.name!r} has no node argument {cut(str(name))!r}{f'; {hint}' if hint else ''}"
            )
        members = [values] if isinstance(values, str) or not isinstance(values, Iterable) else values
        wanted[name] = {text_of_value(value) for value in members}
    return wanted


def _runs(template: TaskTemplate, workflows: Any) -> Iterator[tuple[SqliteArchive, RunRow]]:
    """Recorded workflows of the template's tool."""
    from weft import assemble
    from weft.store.database import path_of

    numbers = _numbers(workflows)
    for folder in _folders(template):
        if not os.path.exists(path_of(folder)):
            continue
        with assemble.archive(folder) as archive:
            for row in archive.runs():
                tool = row.settings.get("workflow", {}).get("tool", template.tool.name)
                is_meant = tool == template.tool.name and row.plan_key.startswith("workflow:")
                if is_meant and (numbers is None or archive.number(row.run) in numbers):
                    yield archive, row


def _numbers(workflows: Any) -> set[int] | None:
    if workflows is None:
        return None
    if isinstance(workflows, int) or not isinstance(workflows, Iterable):
        workflows = [workflows]
    numbers: set[int] = set()
    for each in workflows:
        number = each if isinstance(each, int) else getattr(each, "workflow_id", None)
        if number is None or isinstance(number, bool):
            raise ArgumentError(f"workflows are bound workflows or their numbers, not {cut(repr(each))}")
        numbers.add(number)
    return numbers


def _folders(template: TaskTemplate) -> Iterable[str]:
    """Where state lies: what was bound here, and what a workflow would use now."""
    from weft.api.workflow_settings import default_state

    return dict.fromkeys([*getattr(template.tool, "state_folders", ()), default_state()])


def _tasks(
    archive: SqliteArchive, row: RunRow, template: TaskTemplate, wanted: Mapping[str, set[str]]
) -> Iterator[tuple[TaskRow, bool]]:
    """Tasks of the template, and whether their node arguments are wanted."""
    from weft.formats.snapshot import restore

    plan: Plan = restore(archive.snapshot(row.run))
    about = plan.attributes.get("workflow", {})
    digest = template.command.digest.hex()
    names = {name for name, entry in about.get("templates", {}).items() if entry[3] == digest}
    if about.get("tool") != template.tool.name or not names:
        return
    for task in archive.tasks(row.run):
        spec = plan.graph.tasks[task.task]
        if spec.policy.template in names:
            values = spec.parameters
            yield task, all(text_of_value(values[name]) in texts for name, texts in wanted.items())


# --- from what is recorded alone -----------------------------------------------------------------------------------------


class RecordedUsage(NamedTuple):
    """ids: of the versions that were counted, those of the newest workflow first. figures: as of `usage_of_template`."""

    template: str
    ids: Sequence[str]
    figures: dict[str, Any]


def usage_of_recorded(
    views: Sequence[WorkflowView], word: str, node_args: Mapping[str, Any] | None = None, ci: float | None = None
) -> RecordedUsage:
    """Of a template that is known by this name or id in these workflows, newest first. Raises UsageError, ArgumentError."""
    from weft.api.workflow_views import template_of

    meant = template_of(views, word)
    named = [(view, name, view.template_ids[name]) for view in views for name in meant.among(view.template_ids)]
    wanted: dict[str, set[str]] = {}
    for name, values in (node_args or {}).items():
        members = [values] if isinstance(values, str) or not isinstance(values, Iterable) else values
        wanted[name] = {text_of_value(value) for value in members}
    counted: list[TaskRow] = []
    for view, template, _ in named:
        known = view.about["templates"][template][0]
        for name in wanted:
            if name not in known:
                hint = hint_nearest(str(name), known)
                message = f"template {template!r} has no node argument {cut(str(name))!r}"
                raise ArgumentError(f"{message}{f'; {hint}' if hint else ''}")
        tasks = view.plan.graph.tasks
        for row in view.tasks:
            task = tasks[row.task]
            is_meant = task.policy.template == template and row.state == "ok"
            if is_meant and all(text_of_value(task.parameters[name]) in texts for name, texts in wanted.items()):
                counted.append(row)
    figures = _summary(counted, is_known=True, confidence=_confidence(ci))
    return RecordedUsage(named[0][1], list(dict.fromkeys(id for _, _, id in named)), figures)


def measured_resources(
    views: Iterable[WorkflowView], strategies: Mapping[str, str], clusters: Sequence[str] = ()
) -> dict[str, dict[str, dict[str, float | int]]]:
    """Amounts by template and cluster, by what the tasks of these workflows used; the highest where several have measured it.

    clusters: names to write them for, none: where the tasks ran.
    """
    from weft.assemble.consumption import consumptions

    found: dict[str, dict[str, dict[str, float | int]]] = {}
    for view in views:
        tasks = view.plan.graph.tasks
        usual = str(view.row.settings.get("executor") or "local")
        kinds = {task.name: task.policy.template for task in tasks if task.policy.template is not None}
        used = {kinds[task.name]: task.policy.executor or usual for task in tasks if task.name in kinds}
        attempts = view.archive.attempts(view.row.run)
        for name, each in consumptions(view.tasks, attempts, kinds, used).items():
            if not each.seconds:
                continue
            amounts = each.suggested(1.0, strategies)
            for cluster in clusters or (each.cluster,):
                known = found.setdefault(name, {}).setdefault(cluster, {})
                known.update({key: max(amount, known.get(key, amount)) for key, amount in amounts.items()})
    return found
