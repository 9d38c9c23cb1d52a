"""Attributes that tasks get while they run: asked of the engine, and kept with what was asked of it (workflows.md 5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from string import hexdigits
from typing import TYPE_CHECKING, Any, Final

from weft.define.attributes import Attributes, read_attributes
from weft.errors import ArgumentError

if TYPE_CHECKING:
    from weft.spec.plan import Plan
    from weft.store.archive import SqliteArchive

REQUEST: Final = "attributes"
"""The kind of these requests. No engine does anything about them: they are durable, and who asks reads them."""


def add_task_attributes(attrs: dict[Any, Any] | list[Any], task_id: int | None = None) -> None:
    """Attributes of the task whose process calls this, or of the one with that number; names and values kept as texts.

    Raises ArgumentError outside of a task without task_id, and for other kinds; UsageError for a number that nothing has.
    """
    from weft.store.mailbox import Mailbox

    texts = read_attributes(attrs, "task_attributes")
    folder, run, who = _own() if _is_own(task_id) else _numbered(task_id)
    with Mailbox(folder) as mailbox:
        mailbox.post(run, REQUEST, {**who, "attributes": texts})


def added_attributes(archive: SqliteArchive, run: str, plan: Callable[[], Plan]) -> dict[int, Attributes]:
    """What tasks of a run have got that way, by their place in its plan, whatever they were called then."""
    asked = archive.asked(run, REQUEST)
    by_nonce = archive.tasks_by_nonce(run) if any("nonce" in each for each in asked) else {}
    by_name = {name: place for place, name in enumerate(archive.names(run))} if asked else {}
    by_hash = _places_by_hash(plan()) if any("hash" in each for each in asked) else {}
    found: dict[int, Attributes] = {}
    for payload in asked:
        place = by_nonce.get(payload.get("nonce", -1))
        if place is None:
            place = by_hash.get(payload.get("hash", ""), by_name.get(payload["task"]))
        if place is not None:
            found.setdefault(place, {}).update(payload["attributes"])
    return found


def _places_by_hash(plan: Plan) -> dict[str, int]:
    from weft.assemble.workflow_identity import task_hashes

    return {digest.hex(): place for place, digest in enumerate(task_hashes(plan))}


def _is_own(task_id: int | None) -> bool:
    return task_id is None or os.environ.get("JOBMON_TASK_ID") == str(task_id)


def _own() -> tuple[str, str, dict[str, Any]]:
    """(state folder, run, who) of the task that this process belongs to: its name may change, its attempt stays its own."""
    environment: Mapping[str, str] = os.environ
    run, name, scratch = (environment.get(f"WEFT_{each}") for each in ("RUN_ID", "TASK", "SCRATCH"))
    place = scratch.partition(f"{os.sep}runs{os.sep}{run}{os.sep}") if scratch else ("", "", "")
    if not (run and name and place[1]):
        raise ArgumentError("this process belongs to no task of a workflow: give the number of one as task_id")
    of_run, _, nonce = environment.get("WEFT_TOKEN", "").rpartition(" ")[2].partition(".")
    is_attempt = of_run == run and all(each in hexdigits for each in nonce)
    return place[0], run, {"task": name, **({"nonce": int(nonce, 16)} if nonce and is_attempt else {})}


def _numbered(task_id: int | None) -> tuple[str, str, dict[str, Any]]:
    from weft import assemble
    from weft.api.workflow_settings import default_state
    from weft.api.workflow_views import task_of
    from weft.assemble.workflow_identity import task_hashes

    if isinstance(task_id, bool) or not isinstance(task_id, int):
        raise ArgumentError(f"task_id is the number of a task, not {task_id!r}")
    try:
        folder, _, _ = _own()
    except ArgumentError:
        folder = default_state()
    with assemble.archive(folder) as archive:
        view, place = task_of(archive, task_id)
        who = {"task": view.plan.graph.tasks[place].name, "hash": task_hashes(view.plan)[place].hex()}
        return folder, view.row.run, who
