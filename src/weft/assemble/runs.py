"""Starting a run, taking one up again, and running chosen tasks of one again."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from weft.assemble.run_settings import RunSettings, check_executors, state_folder
from weft.assemble.session import Session
from weft.errors import OwnedError, UsageError, hint_nearest
from weft.executors.living import living_attempts
from weft.failpoints import arm_from, declare, hit
from weft.formats.snapshot import restore, snapshot
from weft.ports import NewRun, Observer, OpenRun, RunEnding, RunRow, TaskRow
from weft.runtime.recovery import OPEN_STATES, PlanChange, compare, end_changed, recover
from weft.runtime.selection import check_unselected, choose
from weft.scheduling.commands import ReopenTask
from weft.scheduling.events import CancelRequested, Event, Interrupted
from weft.spec.plan import Plan
from weft.store.archive import SqliteArchive
from weft.store.history import product_text
from weft.store.ledger import SqliteLedger
from weft.store.sqlite import SqliteStore

REOPENED = declare("resume.reopened", "the run is owned anew, nothing of it was read into a scheduler")
REPLANNED = declare("resume.replanned", "the present plan is recorded")
REOPENED_TASKS = declare("resume.tasks", "tasks that are taken up again are pending")


def run(plan: Plan, settings: RunSettings, observers: Sequence[Observer]) -> RunEnding:
    """Run a plan to its end as a new run.

    Raises PlanError, UsageError, StoreError, OwnedError before anything starts; StoreError when the state is lost later.
    """
    arm_from(os.environ)
    selected = choose(plan, settings.select, settings.exclude, settings.until, settings.start_from)
    check_executors(plan, settings)
    folder = state_folder(plan.root, settings)
    recall = _recaller(folder, plan, None)
    check_unselected(plan, selected, lambda index: recall(index) is not None)
    store = SqliteStore(folder, settings.durability)
    try:
        _refuse_live_attempts(store, plan)
        new = NewRun(
            secrets.token_hex(16),
            plan.key,
            plan.name,
            plan.root,
            time.time(),
            {**settings.recorded, "executor": settings.executor or "local"},
            snapshot(plan),
            [task.name for task in plan.graph.tasks],
            selected,
        )
        ledger = store.open_run(new)
        with Session(store, ledger, plan, selected, settings, new.run, ledger.epoch, recall) as session:
            return session.run(observers, None)
    finally:
        store.close()


def resume(run: str | None, plan: Plan | None, settings: RunSettings, observers: Sequence[Observer]) -> RunEnding:
    """Take up a recorded run (None: the last one) with the present plan (None: its own documents, read anew)."""
    return _take_up(run, plan, settings, observers, _unfinished)


def retry(
    run: str | None,
    plan: Plan | None,
    tasks: Sequence[str] | None,
    failed: bool,
    settings: RunSettings,
    observers: Sequence[Observer],
) -> RunEnding:
    """Run chosen tasks of a recorded run again, and what follows them; without a choice, what failed or was cancelled."""

    def chosen(rows: Sequence[TaskRow], plan: Plan) -> set[int]:
        index = plan.graph.index
        if not tasks:
            states = ("failed",) if failed else ("failed", "cancelled")
            first = {row.task for row in rows if row.state in states}
        else:
            for name in tasks:
                if name not in index:
                    raise UsageError(f"the run has no task {name!r}", hint_nearest(name, list(index)))
            first = {index[name] for name in tasks}
        return first | set(plan.graph.descendants_indexes(first))

    return _take_up(run, plan, settings, observers, chosen)


def _unfinished(rows: Sequence[TaskRow], _: Plan) -> set[int]:
    """Everything that is not ok and was not cancelled on request (design.md 16)."""
    return {
        row.task for row in rows if row.state != "ok" and not (row.state == "cancelled" and row.cause == "cancelled")
    }


def _nothing(_rows: Sequence[TaskRow], _plan: Plan) -> set[int]:
    return set()


Chooser = Callable[[Sequence[TaskRow], Plan], set[int]]


def cancel_dead(state: str, row: RunRow, tasks: Sequence[str] | None) -> None:
    """Give tasks (None: all) of a run up whose engine is gone: end what still lives of them, record them as cancelled.

    With chosen tasks, attempts of others that still live are waited for.
    """
    with SqliteArchive(state) as archive:
        plan = restore(archive.snapshot(row.run))
    chosen = None if tasks is None else tuple(plan.graph.index[name] for name in tasks)
    requests: list[Event] = [CancelRequested(chosen, True)]
    if chosen is not None:
        requests.append(Interrupted(1))
    _take_up(row.run, plan, RunSettings(state=state), (), _nothing, requests)


def _take_up(
    run: str | None,
    plan: Plan | None,
    settings: RunSettings,
    observers: Sequence[Observer],
    choose_again: Chooser,
    requests: Sequence[Event] = (),
) -> RunEnding:
    """Recovery, steps 1 to 9 of reliability.md section 3."""
    arm_from(os.environ)
    folder = state_folder(plan.root if plan is not None else os.getcwd(), settings)
    with SqliteArchive(folder) as archive:
        row = archive.find(run or "last")
        recorded = restore(archive.snapshot(row.run))
    present = plan if plan is not None else reload(row, recorded)
    settings = replace(settings, executor=settings.executor or row.settings.get("executor"))
    check_executors(present, settings)
    store = SqliteStore(folder, settings.durability)
    try:
        ledger, opened = store.reopen_run(row.run)
        hit(REOPENED)
        for warning in store.warnings:
            _remark(observers, warning)
        change = compare(recorded, present)
        recall = _recaller(folder, present, row.run)
        selected = _selected_now(opened, recorded, present)
        with Session(store, ledger, present, selected, settings, row.run, ledger.epoch, recall) as session:
            if change:
                opened = _replan(session, ledger, opened, recorded, present, selected, change, observers)
            hit(REPLANNED)
            again = choose_again(opened.tasks, present) & set(selected)
            ended = [task for task in opened.tasks if task.task in again and task.state not in ("pending", "running")]
            anew = any(task.state == "ok" for task in ended)  # a retry: all instances of such a task run again
            ledger.record([ReopenTask(task.task, task.state == "ok") for task in ended], {})
            ledger.commit()
            hit(REOPENED_TASKS)
            if anew:
                opened = ledger.opened()
            rescaled = {present.graph.index[name] for name in change.changed}
            recovered = recover(opened, session.executors, session.default, plan=present, redo=again, rescaled=rescaled)
            _restore_products(session, opened)
            return session.run(observers, recovered, requests)
    finally:
        store.close()


def reload(row: RunRow, recorded: Plan) -> Plan:
    """The present plan of a run: its own documents with its own options, or what was recorded when it came from no file."""
    told = row.settings
    paths = [*told.get("paths", ()), *told.get("inputs", ())]
    if not paths or "-" in paths:
        return recorded
    from weft.formats.load import load

    return load(
        paths,
        format=told.get("format"),
        root=told.get("root"),
        options=[(name, value) for name, value in told.get("options", ())],
        strict=bool(told.get("strict")),
        schema=told.get("schema"),
        shell_eval=bool(told.get("shell_eval", True)),
        as_json=told.get("inputs", ()),
    ).plan


def _selected_now(opened: OpenRun, recorded: Plan, present: Plan) -> tuple[int, ...]:
    """The recorded selection in terms of the present plan; tasks that are new take part when everything did."""
    index = present.graph.index
    if len(opened.tasks) == len(recorded.graph):
        return tuple(range(len(present.graph)))
    return tuple(sorted(index[row.name] for row in opened.tasks if row.name in index))


def _replan(
    session: Session,
    ledger: SqliteLedger,
    opened: OpenRun,
    recorded: Plan,
    present: Plan,
    selected: Sequence[int],
    change: PlanChange,
    observers: Sequence[Observer],
) -> OpenRun:
    """End live attempts of what changed, then let the store take the present plan over."""
    for line in change.lines():
        _remark(observers, f"the plan has changed since this run was recorded: {line}")
    gone = set(change.removed) | set(change.changed)
    names = [task.name for task in recorded.graph.tasks]
    rows = [row for row in opened.attempts if row.state in OPEN_STATES and names[row.key.task] in gone]
    if rows:
        executor = session.make_local_executor()
        try:
            ends = end_changed(executor, rows, opened.offsets)
        finally:
            executor.close()
        ledger.record(ends, {})
        ledger.commit()
    index = present.graph.index
    moved = {number: index[name] for number, name in enumerate(names) if name in index}
    ledger.replan(snapshot(present), [task.name for task in present.graph.tasks], selected, moved)
    return ledger.opened()


def _restore_products(session: Session, opened: OpenRun) -> None:
    for task, items in opened.items.items():
        texts = [item for item, _, _ in items]
        session.inspector.recover_items(task, texts)
        session.products.take_items(task, texts)
    for row in opened.attempts:
        if row.state == "ok":
            session.products.restore(row.key.task, row.key.instance, row.product, row.stdout)


def _recaller(folder: str, plan: Plan, run: str | None) -> Callable[[int], str | None]:
    """What an earlier run, not `run`, kept as the product of a task; each looked up once."""
    known: dict[int, str | None] = {}

    def recall(index: int) -> str | None:
        if index not in known:
            known[index] = product_text(folder, plan.key, plan.graph.tasks[index].name, before=run)
        return known[index]

    return recall


def _refuse_live_attempts(store: SqliteStore, plan: Plan) -> None:
    """Exit 4 while attempts of a dead engine live (design.md 9)."""
    for row, attempts in store.open_attempts(plan.key):
        living = living_attempts(row.run) if attempts else 0
        if living:
            raise OwnedError(
                f"run {row.run[:12]} has no engine any more, but {living} of its processes still live",
                f"weft resume {row.run[:12]} takes them over; weft cancel {row.run[:12]} ends them",
            )


def _remark(observers: Sequence[Observer], text: str) -> None:
    for observer in observers:
        observer.remarked(text, None)
