"""What people ask of plans and of recorded runs, without running anything."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from weft.assemble.remembered import Past, corrected, last_past, of_instances, pasts_of
from weft.assemble.run_settings import (
    SIMULATED,
    RunSettings,
    check_supported,
    state_folder,
    with_executors,
    with_limits,
)
from weft.assemble.selecting import check_left_out, select_tasks
from weft.assemble.waiting import as_begun, waiting
from weft.errors import UsageError, hint_nearest
from weft.formats.snapshot import restore
from weft.ports import RunRow, TaskRow
from weft.scheduling.freshness import CACHED, NEVER_RAN, why_not_cached
from weft.scheduling.outcomes import INTERRUPTED
from weft.scheduling.reasons import Reason, closed_by
from weft.spec.actions import Command, Shell
from weft.spec.plan import Plan
from weft.spec.tasks import Task
from weft.store.archive import SqliteArchive
from weft.store.database import path_of
from weft.store.history import Episode, episodes
from weft.units import show_amount

UNSATISFIABLE: Final = "unsatisfiable:"


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """What would happen to a task now, and why."""

    action: Literal["run", "cached", "blocked"]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task of a run ran, was cached, waits, failed or was skipped. history: newest run first.

    shell: whether a shell reads the command that its template gives it; None without such a template.
    """

    run: str
    task: str
    action: Literal["run", "cached", "blocked"]
    state: str
    cause: str | None
    detail: str | None
    reasons: tuple[Reason, ...]
    history: tuple[Episode, ...]
    shell: bool | None = None


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What a request to cancel reached. tasks: that were not done yet, None for all. live: whether an engine heard it.

    done: named tasks, or all, that had ended before.
    """

    run: str
    tasks: tuple[str, ...] | None
    live: bool
    done: tuple[str, ...] = ()


class Finding(NamedTuple):
    """One line of `weft doctor`."""

    topic: str
    value: str
    origin: str | None = None
    advice: str | None = None


def preview(plan: Plan, settings: RunSettings) -> Mapping[str, PlannedTask]:
    """What a run would do now, by task name in plan order; starts nothing and writes nothing. Raises what a run would."""
    from weft.assemble.inspection import planning_inspector

    plan = with_executors(plan, settings)
    selected = select_tasks(plan, settings)
    check_supported(plan, settings, selected, is_preview=True)
    folder = state_folder(plan.root, settings)
    check_left_out(plan, selected, folder)
    inspector = planning_inspector(plan, folder if os.path.exists(path_of(folder)) else None, settings)
    try:
        forecasts = inspector.preview(selected, settings.force)
    finally:
        inspector.close()
    names = [task.name for task in plan.graph.tasks]
    pasts: Mapping[str, Past] = {}
    if os.path.exists(path_of(folder)) and any(NEVER_RAN in forecast.reasons for forecast in forecasts.values()):
        with SqliteArchive(folder) as archive:
            pasts = pasts_of(archive, plan.key)
    planned = {
        names[task]: PlannedTask(
            forecast.action, corrected(forecast.reasons, plan.graph.tasks[task], pasts.get(names[task]))
        )
        for task, forecast in forecasts.items()
    }
    lacking: dict[int, tuple[Reason, ...]] = {}
    for task, name, text in unsatisfiable(plan, selected, settings):
        lacking[task] = (*lacking.get(task, ()), Reason(f"unsatisfiable:{name}", text, name))
    limits = with_limits(plan, settings).resources
    closed = {name for name in plan.limits if not limits[name]}
    for task in selected if closed else ():
        held = tuple([closed_by(name) for name, _ in plan.graph.tasks[task].policy.resources if name in closed])
        if held:
            lacking.setdefault(task, held)
    planned.update((names[task], PlannedTask("blocked", reasons)) for task, reasons in lacking.items())
    _block_followers(plan, planned)
    return planned


def _block_followers(plan: Plan, planned: dict[str, PlannedTask]) -> None:
    """What follows a task that cannot start cannot start either."""
    for index in plan.graph.topological():
        task = plan.graph.tasks[index]
        if task.name not in planned or planned[task.name].action == "blocked":
            continue
        for dependency in task.dependencies:
            if dependency.name in planned and planned[dependency.name].action == "blocked":
                reason = Reason("dependency_blocked", f"{dependency.name} cannot start", dependency.name)
                planned[task.name] = PlannedTask("blocked", (reason,))
                break


def unsatisfiable(plan: Plan, selected: Sequence[int], settings: RunSettings) -> Sequence[tuple[int, str, str]]:
    """Tasks whose demand no capacity of this host can ever meet, with the resource's name and the whole reason."""
    from weft.assemble.capacity import look_around, wanted_by
    from weft.assemble.session import scheduler_options
    from weft.scheduling.commands import SettleTask
    from weft.scheduling.scheduler import Scheduler

    settings = with_limits(plan, settings)
    scheduler = Scheduler(plan, selected, scheduler_options(settings), 0)
    capacity, remarks = look_around(settings, plan.root, wanted_by(scheduler))
    commands = scheduler.handle([capacity], 0.0)
    # Those that could start at once are settled already; the others are told apart.
    found = dict(scheduler.unsatisfiable())
    for command in commands:
        if isinstance(command, SettleTask) and (command.cause or "").startswith(UNSATISFIABLE):
            found[command.task] = (command.cause or "").removeprefix(UNSATISFIABLE)
    tasks = plan.graph.tasks  # what is simulated asks for hosts of its own
    because = "".join(f"; {remark}" for remark in remarks)
    lacking: list[tuple[int, str, str]] = []
    for task, first in sorted(found.items()):
        policy = tasks[task].policy
        if policy.executor == SIMULATED:
            continue
        short = {name: units for name, units in policy.resources if units > capacity.amounts.get(name, 0)}
        told = [(name, _shortage(name, units, capacity.amounts.get(name))) for name, units in short.items()]
        lacking += [
            (task, name, text if name in capacity.amounts else text + because)
            for name, text in told or [(first, f"asks for more {first} than there is")]
        ]
    return lacking


def _shortage(name: str, units: int, there: int | None) -> str:
    if there is None:
        return f"asks for {name}, which nobody here knows"
    return f"asks for {show_amount(name, units)} of {name}, and there is {show_amount(name, there)} in all"


def explain(state: str, run: str | None, task: str) -> Explanation:
    """Why a task of a recorded run (None: the last) ran, was cached, waits or failed. Raises UsageError, StoreError."""
    with SqliteArchive(state) as archive:
        row = archive.find(run or "last")
        (found,) = as_begun(archive, row, [_task_of(archive, row, task)])
        # What a run recorded of a task that has not ended lags behind what its rows of attempts tell.
        history = tuple(
            episode._replace(state=found.state) if episode.run == row.run else episode
            for episode in episodes(archive, row.plan_key, task)
        )
        reasons = list(archive.reasons(row.run, found.task))
        plan = restore(archive.snapshot(row.run))
        if NEVER_RAN in reasons:
            reasons = _corrected(archive, row, found, reasons, plan, history)
        states = {other.name: other for other in archive.tasks(row.run)}
        if found.state == "pending":
            reasons += waiting(archive, row, plan, plan.graph[found.name], states)
    reasons += _end_reasons(found, states)
    if not reasons and found.state in ("ok", "running"):
        reasons.append(_usual_reason(found, plan))
    blocked = found.state in ("skipped", "cancelled") and not found.attempts
    action: Literal["run", "cached", "blocked"] = (
        "blocked" if blocked else "cached" if found.cause == "cached" else "run"
    )
    shell = _uses_shell(plan.graph[found.name])
    return Explanation(row.run, task, action, found.state, found.cause, found.detail, tuple(reasons), history, shell)


def _corrected(
    archive: SqliteArchive,
    row: RunRow,
    found: TaskRow,
    reasons: Sequence[Reason],
    plan: Plan,
    history: Sequence[Episode],
) -> list[Reason]:
    """An engine that finds nothing remembered takes a task for new; the history knows better."""
    past = last_past(archive, row, history)
    if past is None:
        return list(reasons)
    task = plan.graph[found.name]
    return (
        of_instances(archive, reasons, row, found, past)
        if task.policy.foreach is not None
        else [*corrected(reasons, task, past)]
    )


def _uses_shell(task: Task) -> bool | None:
    is_known = task.policy.template is not None and isinstance(task.action, Command | Shell)
    return isinstance(task.action, Shell) if is_known else None


def _task_of(archive: SqliteArchive, row: RunRow, name: str) -> TaskRow:
    return row_of(archive.tasks(row.run), name, row.run)


def row_of(rows: Sequence[TaskRow], name: str, run: str) -> TaskRow:
    """The row of a task by name. Raises UsageError with the nearest name."""
    for row in rows:
        if row.name == name:
            return row
    raise UsageError(f"run {run[:12]} has no task {name!r}", hint_nearest(name, (row.name for row in rows)), "ref.task")


def _usual_reason(found: TaskRow, plan: Plan) -> Reason:
    """Why a task ran or was cached of which the run noted nothing in particular."""
    if found.cause == "cached":
        return CACHED
    return why_not_cached(plan.graph[found.name])


def _end_reasons(found: TaskRow, states: Mapping[str, TaskRow]) -> list[Reason]:
    """What the recorded end itself says: why it was skipped, how it failed."""
    cause = found.cause
    if cause is None:
        return []
    kind, _, about = cause.partition(":")
    detail = f": {found.detail}" if found.detail else ""
    if kind == "dependency":
        root = states.get(about)
        why = f", which {root.state} ({root.cause})" if root is not None else ""
        return [Reason("dependency", f"skipped because of {about}{why}", about)]
    if found.state in ("failed", "skipped", "cancelled"):
        return [Reason(kind, f"{found.state}: {cause}{detail}", about or None)]
    return []


def cancel(state: str, run: str | None, tasks: Sequence[str] | None, force: bool) -> CancelAnswer:
    """Ask for tasks of a run (None: all) to be given up; an engine that lives hears it, else it is done here and now."""
    from weft.assemble.runs import cancel_dead
    from weft.store.mailbox import Mailbox

    with SqliteArchive(state) as archive:
        row = archive.find(run or "last")
        for name in tasks or ():
            _task_of(archive, row, name)
        live = archive.is_owned(row)
        left = {task.name for task in archive.tasks(row.run) if _may_be_cancelled(task)}
    done = tuple(name for name in tasks or () if name not in left)
    if not live and not (left if tasks is None else left.intersection(tasks)):
        return CancelAnswer(row.run, (), False, done)
    if live:
        with Mailbox(state) as mailbox:
            mailbox.post(row.run, "cancel", {"tasks": None if tasks is None else list(tasks), "force": force})
    else:
        cancel_dead(state, row, tasks)
    reached = None if tasks is None else tuple(name for name in tasks if name in left)
    return CancelAnswer(row.run, reached, live, done)


def _may_be_cancelled(task: TaskRow) -> bool:
    """What has not ended, or would be taken up by a resume without having failed."""
    return task.state in ("pending", "running") or task.cause == INTERRUPTED


def stop(state: str, run: str) -> None:
    """Ask the engine of a live run to end it, as the second Ctrl-C does."""
    from weft.store.mailbox import Mailbox

    with Mailbox(state) as mailbox:
        mailbox.post(run, "stop", {})


def doctor(state: str | None, settings: RunSettings | None = None) -> Sequence[Finding]:
    """The machine's limits and the health of the state, as far as they can be seen without changing anything."""
    import sys

    from weft import __version__
    from weft.assemble.capacity import Resources

    findings = [Finding("weft", __version__), Finding("python", sys.version.split()[0], sys.executable)]
    resources = Resources(settings or RunSettings(), state or os.getcwd())
    for name, units in sorted(resources.amounts.items()):
        findings.append(Finding(name, show_amount(name, units), resources.origins.get(name)))
    if "gpu" not in resources.amounts:
        findings.append(
            Finding("gpu", "-", advice="nvidia-ml-py and a driver count them; --resources gpu=N says how many")
        )
    findings += [Finding("tracker", text) for text in resources.remarks]
    findings.append(Finding("attempts at once", str(resources.ceiling.processes), resources.ceiling.reason))
    if state is not None and os.path.exists(path_of(state)):
        from weft.store.health import examine

        findings += [Finding(*line) for line in examine(state)]
    return findings


def rebuild(state: str) -> Sequence[Finding]:
    """Set a database that cannot be believed aside, and make a new one with every run of it that can be."""
    from weft.store.salvage import rebuild as rebuild_database

    made = rebuild_database(state)
    findings = [Finding("set aside", made.aside, state, "remove it when nothing of it is needed any more")]
    findings += [Finding("saved run", run, made.aside) for run in made.saved]
    findings += [Finding("lost run", f"{run}: {why}", made.aside) for run, why in made.lost]
    return findings
