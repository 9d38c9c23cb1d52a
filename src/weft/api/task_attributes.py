"""Attributes that tasks get while they run: asked of the engine, and kept with what was asked of it (workflows.md 5)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from weft.define.attributes import Attributes, read_attributes
from weft.errors import ArgumentError

if TYPE_CHECKING:
    from weft.store.archive import SqliteArchive

REQUEST: Final = "attributes"
"""The kind of these requests. No engine does anything about them: they are durable, and who asks reads them."""


def add_task_attributes(attrs: dict[Any, Any] | list[Any], task_id: int | None = None) -> None:
    """Attributes of the task whose process calls this, or of the one with that number; names and values kept as texts.

    Raises ArgumentError outside of a task without task_id, and for other kinds; UsageError for a number that nothing has.
    """
    from weft.store.mailbox import Mailbox

    texts = read_attributes(attrs, "task_attributes")
    folder, run, name = _own() if _is_own(task_id) else _numbered(task_id)
    with Mailbox(folder) as mailbox:
        mailbox.post(run, REQUEST, {"task": name, "attributes": texts})


def added_attributes(archive: SqliteArchive, run: str) -> dict[str, Attributes]:
    """What tasks of a run have got that way, by the names that they had then."""
    found: dict[str, Attributes] = {}
    for payload in archive.asked(run, REQUEST):
        found.setdefault(payload["task"], {}).update(payload["attributes"])
    return found


def _is_own(task_id: int | None) -> bool:
    return task_id is None or os.environ.get("JOBMON_TASK_ID") == str(task_id)


def _own() -> tuple[str, str, str]:
    """(state folder, run, name) of the task that this process belongs to."""
    environment: Mapping[str, str] = os.environ
    run, name, scratch = (environment.get(f"WEFT_{each}") for each in ("RUN_ID", "TASK", "SCRATCH"))
    place = scratch.partition(f"{os.sep}runs{os.sep}{run}{os.sep}") if scratch else ("", "", "")
    if not (run and name and place[1]):
        raise ArgumentError("this process belongs to no task of a workflow: give the number of one as task_id")
    return place[0], run, name


def _numbered(task_id: int | None) -> tuple[str, str, str]:
    from weft import assemble
    from weft.api.workflow_settings import default_state
    from weft.api.workflow_views import task_of

    if isinstance(task_id, bool) or not isinstance(task_id, int):
        raise ArgumentError(f"task_id is the number of a task, not {task_id!r}")
    try:
        folder, _, _ = _own()
    except ArgumentError:
        folder = default_state()
    with assemble.archive(folder) as archive:
        view, place = task_of(archive, task_id)
        return folder, view.row.run, view.plan.graph.tasks[place].name
