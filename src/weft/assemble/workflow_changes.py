"""Changes of recorded workflows by request, without the script that made them (workflows.md 9)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from weft.assemble import runs
from weft.assemble.executors import Executors
from weft.assemble.run_settings import RunSettings, with_executors
from weft.assemble.takeover import Claim, claim
from weft.assemble.waiting import LIMIT, limits_now
from weft.assemble.workflow_identity import is_complete
from weft.assemble.workflows import Wish, carry, end_live, label, write
from weft.errors import OwnedError, UsageError
from weft.formats.snapshot import restore
from weft.ports import Observer, OpenRun, RunEnding, RunRow
from weft.runtime.recovery import OPEN_STATES
from weft.scheduling.commands import CloseAttempt, ReopenTask, SettleTask
from weft.scheduling.outcomes import CANCELLED, Outcome
from weft.spec.compute import limit_name
from weft.spec.plan import Plan
from weft.spec.resources import MICRO
from weft.store.archive import SqliteArchive
from weft.store.mailbox import Mailbox
from weft.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from weft.store.ledger import SqliteLedger

PATIENCE: Final = 30.0
"""Seconds that a live owner has to end what runs when it is asked to."""

MARKED: Final = "marked as done"


class Held(NamedTuple):
    """A recorded workflow that nobody else carries meanwhile."""

    ledger: SqliteLedger
    opened: OpenRun
    plan: Plan


def resume(state: str, row: RunRow, settings: RunSettings, wish: Wish, observers: Sequence[Observer]) -> RunEnding:
    """Take a workflow up as it is recorded. Functions that scaled or told its requests are not there: amounts stay as they are.

    Raises WorkflowAlreadyComplete, WorkflowNotResumable.
    """
    with SqliteArchive(state) as archive:
        plan = _with_live_changes(archive, row, restore(archive.snapshot(row.run)))
    written = write(plan)
    return carry(written._replace(plan=with_executors(plan, settings)), replace(settings, state=state), wish, observers)


def resume_or_tell(
    state: str, row: RunRow, settings: RunSettings, wish: Wish, observers: Sequence[Observer]
) -> RunEnding:
    """The same, but when all is done already observers are told so, as by `weft resume`. Raises WorkflowNotResumable."""
    with SqliteArchive(state) as archive:
        is_done = is_complete(archive, row) and not archive.is_owned(row)
        recorded = restore(archive.snapshot(row.run)) if is_done else None
    if recorded is not None:
        return runs.resume(row.run, recorded, replace(settings, state=state), observers)
    return resume(state, row, settings, wish, observers)


def _with_live_changes(archive: SqliteArchive, row: RunRow, plan: Plan) -> Plan:
    """With the limits that were changed while its last owner ran it."""
    limits = limits_now(archive, row, plan)
    return plan if limits == plan.limits else replace(plan, limits=MappingProxyType(dict(limits)))


def reset(state: str, row: RunRow, tasks: Collection[int] | None, *, by_force: bool = False) -> int:
    """Tasks (None: all) are to run again from the start; how many had ended. by_force: a live owner is ended first."""

    def chosen(opened: OpenRun) -> set[int]:
        return {task.task for task in opened.tasks} if tasks is None else set(tasks)

    return _reopen(state, row, chosen, by_force=by_force)


def reset_unfinished(state: str, row: RunRow, *, by_force: bool = False) -> int:
    """Whatever is not done is to run again from the start; how many tasks had ended."""

    def chosen(opened: OpenRun) -> set[int]:
        return {task.task for task in opened.tasks if task.state != "ok"}

    return _reopen(state, row, chosen, by_force=by_force)


def _reopen(state: str, row: RunRow, chosen: Callable[[OpenRun], set[int]], *, by_force: bool) -> int:
    with _held(state, row, by_force=by_force) as held:
        again = chosen(held.opened)
        ended = [task for task in held.opened.tasks if task.task in again and task.state not in ("pending", "running")]
        left = [row for row in held.opened.attempts if row.state in OPEN_STATES and row.key.task in again]
        given_up = Outcome(
            False, CANCELLED, detail="its task begins anew", charged=False
        )  # they ended, and nobody saw how
        held.ledger.record([CloseAttempt(row.key, row.nonce, given_up, None) for row in left], {})
        held.ledger.record([ReopenTask(task.task, anew=task.state == "ok") for task in ended], {})
        is_done = not ended and all(task.state == "ok" for task in held.opened.tasks)
        held.ledger.finish("ok" if is_done else "interrupted", 0 if is_done else None, row.started)
    return len(ended)


def mark_done(state: str, row: RunRow, tasks: Collection[int], *, by_force: bool = False) -> int:
    """Tasks count as done though nothing ran; how many were not before."""
    with _held(state, row, by_force=by_force) as held:
        rows = {task.task: task for task in held.opened.tasks}
        open_ones = [rows[task] for task in sorted(tasks) if rows[task].state != "ok"]
        facts: list[ReopenTask | SettleTask] = [
            ReopenTask(task.task) for task in open_ones if task.state not in ("pending", "running")
        ]
        facts += [SettleTask(task.task, "ok", None, MARKED, task.attempts) for task in open_ones]
        held.ledger.record(facts, {})
        is_all = len(open_ones) + sum(task.state == "ok" for task in held.opened.tasks) == len(rows)
        held.ledger.finish("ok" if is_all else "interrupted", 0 if is_all else None, row.started)
    return len(open_ones)


def set_limit(state: str, row: RunRow, count: int, template: str | None = None) -> bool:
    """How many tasks of a workflow, or of one of its templates, may be live; 0 pauses. Whether a live run was told so.

    It holds for later resumes from the command line as well. Raises UsageError when tasks do not count against that limit.
    """
    with SqliteArchive(state) as archive:
        plan = _with_live_changes(archive, row, restore(archive.snapshot(row.run)))
        is_live = archive.is_owned(row)
    name = _of_template(plan, template) if template is not None else _whole(plan)
    if name not in plan.limits:
        what = f"template {template!r}" if template is not None else "the workflow"
        raise UsageError(
            f"tasks of {what} are not counted: nothing limits them",
            "max_concurrently_running, said in the document of the workflow or template, makes them count",
        )
    if is_live:
        with Mailbox(state) as mailbox:
            mailbox.post(row.run, LIMIT, {"name": name, "units": count * MICRO})
        return True
    with _held(state, row, leaves_live=True) as held:
        limits = MappingProxyType({**plan.limits, name: count * MICRO})
        changed = write(replace(held.plan, limits=limits))
        everything = range(len(held.plan.graph))
        same = {place: place for place in everything}
        held.ledger.replan(changed.snapshot, changed.names, everything, same)
        if not any(
            attempt.state in OPEN_STATES for attempt in held.opened.attempts
        ):  # else it stays as its engine left it
            held.ledger.finish(
                row.state if row.state != "running" else "interrupted", row.exit_code, row.ended or row.started
            )
    return False


def _of_template(plan: Plan, template: str) -> str:
    """Versions of one template (`fit#2`) share its limit."""
    name = template
    while limit_name(name) not in plan.limits and "#" in name:
        name = name.rpartition("#")[0]
    return limit_name(name)


def _whole(plan: Plan) -> str:
    about = plan.attributes["workflow"]
    own: str | None = about.get("limit")  # another name where a template is called like the workflow
    return own or limit_name(about.get("name") or about.get("workflow_args") or about.get("tool") or "")


@contextmanager
def _held(state: str, row: RunRow, *, by_force: bool = False, leaves_live: bool = False) -> Iterator[Held]:
    """The workflow with nobody else at it and, but with `leaves_live`, nothing of it alive.

    Raises OwnedError, WorkflowNotResumable.
    """
    store = SqliteStore(state)
    try:
        with SqliteArchive(state) as archive:
            plan = restore(archive.snapshot(row.run))
        _own(store, row, plan, by_force=by_force, leaves_live=leaves_live)
        ledger, opened = store.reopen_run(row.run)
        try:
            settings = RunSettings(state=state, executor=row.settings.get("executor"))
            with Executors(plan, settings, store.folder, row.run, ledger.epoch) as executors:
                policies = [task.policy for task in plan.graph.tasks]
                if not leaves_live and end_live(executors, ledger, opened, policies):
                    opened = ledger.opened()
            yield Held(ledger, opened, plan)
            ledger.commit()
        finally:
            ledger.close()
    finally:
        store.close()


def _own(store: SqliteStore, row: RunRow, plan: Plan, *, by_force: bool, leaves_live: bool) -> None:
    def allow(_archive: SqliteArchive, _row: RunRow, _is_live: bool) -> None:
        """By force everything may be taken."""

    if by_force:
        claim(store, Claim(row.plan_key, label(plan), PATIENCE, ends_live=True, check=allow))
        return
    try:
        left = sum(len(attempts) for _, attempts in store.open_attempts(row.plan_key))
    except OwnedError as owned:
        raise OwnedError(
            f"{label(plan)} is being run: {owned}", "wait for it, or end it: weft cancel, or -f"
        ) from owned
    if left and not leaves_live:
        raise OwnedError(
            f"{left} attempts of {label(plan)} may still live, though nothing carries it any more",
            "weft workflow resume adopts them; -f ends them first",
        )
