"""What the original's command line does, as functions with the names and keywords that it has there (workflows.md 9).

Where the original gives a DataFrame these give a list of rows: dicts with its columns as keys, which `pandas.DataFrame` takes as
it is; with json=True the same as JSON text. Workflows and tasks are known by their numbers, and by names where these are unique.
state: the folder, as in `run(state=...)`. requester is accepted and ignored everywhere: there is no server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from weft.compat.jobmon.client import logging
from weft.compat.jobmon.core.constants import TaskInstanceStatus, TaskStatus
from weft.compat.jobmon.core.exceptions import WorkflowRunStateError
from weft.errors import ArgumentError, cut

if TYPE_CHECKING:
    from weft.api.workflow_views import WorkflowView
    from weft.ports import AttemptRow
    from weft.scheduling.outcomes import LogRegion
    from weft.store.archive import SqliteArchive

Row = dict[str, Any]
Word = int | str
Words = Word | Iterable[Word] | None
Answer = Any
"""Rows (list[Row]), or text when JSON was asked for: not a union, which every caller would have to take apart."""

USUAL_LIMIT: Final = 5
_INSTANCE_LABELS: Final = {
    TaskInstanceStatus.QUEUED: "PENDING",
    TaskInstanceStatus.LAUNCHED: "SCHEDULED",
    TaskInstanceStatus.RUNNING: "RUNNING",
    TaskInstanceStatus.DONE: "DONE",
}


# --- workflows ---------------------------------------------------------------------------------------------------------------


def workflow_status(
    workflow_id: Words = None,
    user: str | Iterable[str] | None = None,
    json: bool = False,
    limit: int | None = USUAL_LIMIT,
    requester: object = None,  # noqa: ARG001 - accepted and ignored, here and below
    *,
    state: str | None = None,
) -> Answer:
    """How workflows stand, newest first: tasks by label, and attempts beyond the first. limit: None or negative for all.

    user: only what lies in a state folder of these users; None: whoever it belongs to.
    """
    from weft.api.workflow_records import stamp
    from weft.api.workflow_views import owner_of, workflow_entry

    with _archive(state) as archive:
        entries = []
        if user is None or owner_of(archive.folder) in ([user] if isinstance(user, str) else list(user)):
            entries = [workflow_entry(view) for view in _views(archive, workflow_id)[: _limit(limit)]]
    rows = [
        {
            "WF_ID": entry["workflow_id"],
            "WF_NAME": entry["name"],
            "WF_STATUS": entry["status"],
            "CREATED_DATE": stamp(entry["created"]),
            "TASKS": entry["tasks"],
            "PENDING": entry["pending"],
            "SCHEDULED": entry["scheduled"],
            "RUNNING": entry["running"],
            "DONE": entry["done"],
            "FATAL": entry["fatal"],
            "RETRIES": entry["retries"],
        }
        for entry in entries
    ]
    return _answer(rows, json)


def workflow_tasks(
    workflow_id: Word,
    status: str | Iterable[str] | None = None,
    json: bool = False,
    limit: int | None = USUAL_LIMIT,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> Answer:
    """Tasks of a workflow. status: labels (PENDING, DONE, FATAL, ...) or letters. limit: None or negative for all."""
    from weft.api.workflow_views import task_entries, workflow_of

    with _archive(state) as archive:
        entries = task_entries(workflow_of(archive, workflow_id), _texts(status), _limit(limit))
    rows = [
        {
            "TASK_ID": entry["task_id"],
            "TASK_NAME": entry["name"],
            "STATUS": entry["status"],
            "RETRIES": entry["retries"],
        }
        for entry in entries
    ]
    return _answer(rows, json)


def workflow_reset(
    workflow_id: Word,
    partial_reset: bool = False,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> str:
    """All tasks are to run again; those that are done stay so with partial_reset. Gives a sentence about it."""
    from weft.api.workflow_views import workflow_of
    from weft.assemble import workflow_changes

    with _archive(state) as archive:
        view = workflow_of(archive, workflow_id)
        if partial_reset:
            workflow_changes.reset_unfinished(archive.folder, view.row)
        else:
            workflow_changes.reset(archive.folder, view.row, None)
    return f"Workflow {view.number} has been reset."


def concurrency_limit(
    workflow_id: Word,
    max_tasks: int,
    requester: object = None,  # noqa: ARG001
    *,
    template: str | None = None,
    state: str | None = None,
) -> str:
    """How many tasks of a workflow, or of one of its templates, may be live, at once if it runs; 0 pauses. Gives a sentence."""
    from weft.api.workflow_views import template_of, workflow_of
    from weft.assemble import workflow_changes
    from weft.define.counts import read_limit

    count = read_limit(max_tasks)
    with _archive(state) as archive:
        view = workflow_of(archive, workflow_id)
        if template is not None:
            template = template_of([view], template).among(view.template_ids)[0]
        workflow_changes.set_limit(archive.folder, view.row, count, template)
    whose = f"template {template!r} of workflow {view.number}" if template is not None else f"workflow {view.number}"
    return f"At most {count} tasks of {whose} may run at a time."


def get_filepaths(
    workflow_id: Word,
    array_name: str = "",
    job_name: str = "",
    limit: int | None = USUAL_LIMIT,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> list[Row]:
    """Where the output of the latest attempt of each task lies. array_name: template, or its id. job_name: part of a task's name.

    Output of many attempts may share a file: `_OFFSET` and `_LENGTH` (bytes; None: to its end) say which part is meant.
    """
    from weft.api.workflow_views import log_entries, workflow_of

    with _archive(state) as archive:
        view = workflow_of(archive, workflow_id)
        entries = list(log_entries(view, array_name or None, job_name or None, _limit(limit)))
        attempts = {view.task_id(place): row.nonce for place, row in view.last_attempts.items()}
    return [
        {
            "TASK_ID": entry["task_id"],
            "TASK_NAME": entry["name"],
            "TASK_INSTANCE_ID": attempts[entry["task_id"]],
            **_path("OUTPUT", entry["stdout"]),
            **_path("ERROR", entry["stderr"]),
        }
        for entry in entries
    ]


def resume_workflow_from_id(
    workflow_id: Word,
    cluster_name: str = "",
    reset_if_running: bool = True,
    log: bool = True,
    timeout: float = 180,
    seconds_until_timeout: float = 36000,
    increase_resource: bool = True,
    force_cleanup: bool = False,
    *,
    state: str | None = None,
) -> str:
    """Continue a workflow as it is recorded, without its script; gives `D`. timeout: for a live owner to let go.

    cluster_name: where all its tasks run from now on; empty: where they did. increase_resource: amounts that scaling raised
    stay so. Raises WorkflowRunStateError when not everything is done at the end.
    """
    from dataclasses import replace

    from weft.api.letters import DONE, result_letter
    from weft.api.workflow_observing import Logging
    from weft.api.workflow_settings import Told, choose, patience
    from weft.api.workflow_views import workflow_of
    from weft.assemble import workflow_changes
    from weft.assemble.clusters import executor_of
    from weft.assemble.workflows import Wish

    told = Told(seconds_until_timeout=seconds_until_timeout, resume=True, resume_timeout=timeout, state=state)
    chosen = choose(told)
    settings = chosen.settings
    if cluster_name:
        settings = replace(settings, executor=executor_of(cluster_name, chosen.clusters))
    with _archive(state) as archive:
        view = workflow_of(archive, workflow_id)
        folder, row, graph = archive.folder, view.row, view.plan.graph
    wish = Wish(
        resume=True,
        ends_live=reset_if_running or force_cleanup,
        patience=patience(told),
        keeps_raised=increase_resource,
    )
    if log:
        logging.configure_client_logging()
    ending = workflow_changes.resume(folder, row, settings, wish, [Logging(graph)] if log else [])
    letter = result_letter(ending.state)
    if letter != DONE:
        raise WorkflowRunStateError(f"workflow {view.number} ended with status {letter}: not all of its tasks are done")
    return letter


workflow_resume = resume_workflow_from_id
"""The name of its command."""


# --- tasks -------------------------------------------------------------------------------------------------------------------


def task_status(
    task_ids: Words,
    status: str | Iterable[str] | None = None,
    json: bool = False,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> Answer:
    """Every attempt of these tasks; one row without an attempt for a task that was never tried. status: labels or letters."""
    from weft.api.workflow_records import errors_of
    from weft.api.workflow_views import read_labels, task_of

    wanted = read_labels(_texts(status))
    rows: list[Row] = []
    with _archive(state) as archive:
        for word in _words(task_ids):
            view, place = task_of(archive, word)
            task = next(row for row in view.tasks if row.task == place)
            about = {"TASK_ID": view.task_id(place), "task_status": view.task_letter(task)}
            found = archive.attempts(view.row.run, place)
            rows += [{**about, **_instance(view, row, archive.folder, errors_of)} for row in found] or [
                {**about, **_NOT_TRIED}
            ]
    return _answer([row for row in rows if not wanted or row["STATUS"] in wanted or row["task_status"] in wanted], json)


def get_task_dependencies(
    task_id: Word,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> dict[str, list[Row]]:
    """What a task waits for (`up`) and what waits for it (`down`), directly: each with `id`, `name`, `status` (letter)."""
    from weft.api.workflow_views import dependency_entries, task_of

    with _archive(state) as archive:
        found = dependency_entries(*task_of(archive, task_id))
    return {
        there: [{"id": each["task_id"], "name": each["name"], "status": each["letter"]} for each in found[here]]
        for there, here in (("up", "upstream"), ("down", "downstream"))
    }


task_dependencies = get_task_dependencies
"""The name of its command."""


def update_task_status(
    task_ids: Words,
    workflow_id: Word,
    new_status: str,
    force: bool = False,
    recursive: bool = False,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> str:
    """`D`: tasks count as done; with recursive whatever they wait for, too. `G`: they, and all that follows, run again.

    force: end what runs of the workflow first. Gives a sentence about it.
    """
    from weft.api.workflow_views import workflow_of
    from weft.assemble import workflow_changes

    if new_status not in (TaskStatus.DONE, TaskStatus.REGISTERING):
        raise ArgumentError(f"new_status is 'D' or 'G', not {cut(repr(new_status))}")
    with _archive(state) as archive:
        view = workflow_of(archive, workflow_id)
        places = {view.place_of(word) for word in _words(task_ids)}
        graph = view.plan.graph
        if new_status == TaskStatus.DONE:
            places |= set(graph.ancestors_indexes(places)) if recursive else set()
            changed = workflow_changes.mark_done(archive.folder, view.row, places, by_force=force)
        else:
            places |= set(graph.descendants_indexes(places))
            changed = workflow_changes.reset(archive.folder, view.row, places, by_force=force)
    what = "marked as done" if new_status == TaskStatus.DONE else "to run again"
    return f"Workflow {view.number}: {changed} tasks {what}."


# --- resources ---------------------------------------------------------------------------------------------------------------


def task_template_resources(
    task_template_version: str,
    workflows: Words = None,
    node_args: dict[str, Any] | None = None,
    ci: float | None = None,
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> dict[str, Any]:
    """What tasks of a template used: the figures of `TaskTemplate.resource_usage`.

    task_template_version: the template's name or id. workflows: numbers or names; None: all that are recorded.
    """
    from weft.api.template_usage import usage_of_recorded

    with _archive(state) as archive:
        return usage_of_recorded(_views(archive, workflows), str(task_template_version), node_args, ci).figures


def create_resource_yaml(
    wfid: Word | None = None,
    tid: Word | None = None,
    v_mem: str = "avg",
    v_core: str = "avg",
    v_runtime: str = "max",
    clusters: Sequence[str] = (),
    requester: object = None,  # noqa: ARG001
    *,
    state: str | None = None,
) -> str:
    """Requests that fit what the tasks of a workflow used, as YAML; tid: only of that task's template.

    v_mem, v_core, v_runtime: `max`, `avg`, `median` or `min` of what was used; never less than the highest. clusters: to write
    them for; none: where the tasks ran.
    """
    from weft.api.template_usage import measured_resources
    from weft.api.workflow_views import task_of
    from weft.assemble.consumption import suggestions_text

    with _archive(state) as archive:
        only = None
        if tid is not None:
            view, place = task_of(archive, tid, wfid)
            views, only = [view], view.plan.graph.tasks[place].policy.template
        else:
            views = _views(archive, wfid)
        measured = measured_resources(views, {"memory": v_mem, "cores": v_core, "runtime": v_runtime}, clusters)
    if only is not None:
        measured = {name: amounts for name, amounts in measured.items() if name == only}
    return suggestions_text(measured)


# --- what they share -----------------------------------------------------------------------------------------------------------


@contextmanager
def _archive(state: str | None) -> Iterator[SqliteArchive]:
    """Raises StoreError when nothing is recorded there."""
    from weft import assemble
    from weft.api.workflow_settings import default_state

    with assemble.archive(default_state() if state is None else os.path.abspath(state)) as archive:
        yield archive


def _views(archive: SqliteArchive, words: Words) -> list[WorkflowView]:
    from weft.api.workflow_views import workflow_of, workflows

    chosen = _words(words)
    return [workflow_of(archive, word) for word in chosen] if chosen else workflows(archive)


def _words(given: Words) -> list[Word]:
    if given is None:
        return []
    return [given] if isinstance(given, int | str) else list(given)


def _texts(given: str | Iterable[str] | None) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _limit(limit: int | None) -> int | None:
    return None if not isinstance(limit, int) or limit < 0 else limit


def _answer(rows: list[Row], as_json: bool) -> Answer:
    if not as_json:
        return rows
    import json

    return json.dumps(rows)


def _path(what: str, region: dict[str, Any] | None) -> Row:
    found = region or {"path": "", "offset": 0, "length": 0}
    return {f"{what}_PATH": found["path"], f"{what}_OFFSET": found["offset"], f"{what}_LENGTH": found["length"]}


_NOT_TRIED: Final = {
    "TASK_INSTANCE_ID": None,
    "STATUS": "PENDING",
    "RESOURCE_USAGE": None,
    "STDOUT": "",
    "STDERR": "",
    "ERROR_TRACE": None,
}


def _instance(view: WorkflowView, row: AttemptRow, folder: str, errors_of: Any) -> Row:
    from weft.api.letters import attempt_letter

    letter = attempt_letter(row.state, row.cause)
    usage = {"runtime": row.usage.seconds, "memory": row.usage.memory}
    failed = row.state in ("failed", "lost")
    return {
        "TASK_INSTANCE_ID": row.nonce,
        "STATUS": _INSTANCE_LABELS.get(letter, "FATAL"),
        "RESOURCE_USAGE": usage if letter not in "QIOR" else None,
        "STDOUT": _log_path(folder, view, row.stdout),
        "STDERR": _log_path(folder, view, row.stderr),
        "ERROR_TRACE": errors_of(row, folder, view.row.run)["error_log"][0]["description"] if failed else None,
    }


def _log_path(folder: str, view: WorkflowView, region: LogRegion) -> str:
    return os.path.join(folder, "logs", view.row.run, region.file) if region.file else ""
