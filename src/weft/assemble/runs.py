"""Starting a run, taking one up again, and running chosen tasks of one again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from weft.assemble.executors import Executors, executor_name
from weft.assemble.loading import ReadPlan, has_changed
from weft.assemble.run_settings import (
    RunSettings,
    check_supported,
    choose_executor,
    forgotten,
    state_folder,
    with_executors,
)
from weft.assemble.selecting import check_left_out, select_tasks
from weft.assemble.workflow_identity import told_of
from weft.errors import OwnedError, StoreError, UsageError, hint_nearest
from weft.executors.receipts import begun_after
from weft.failpoints import arm_from, declare, hit
from weft.formats.snapshot import restore, snapshot
from weft.ports import AttemptRow, NewRun, Observer, OpenRun, RunEnding, RunRow, TaskRow
from weft.scheduling.events import CancelRequested, Event, Interrupted
from weft.scheduling.outcomes import INTERRUPTED
from weft.spec.plan import Plan
from weft.spec.tasks import Task
from weft.store.archive import SqliteArchive
from weft.store.database import behind
from weft.store.ledger import SqliteLedger
from weft.store.ownership import boot_id
from weft.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from weft.assemble.noting import ReadyNote
    from weft.assemble.session import Session

REOPENED = declare("resume.reopened", "the run is owned anew, nothing of it was read into a scheduler")
REPLANNED = declare("resume.replanned", "the present plan is recorded")
REOPENED_TASKS = declare("resume.tasks", "tasks that are taken up again are pending")


def run(plan: Plan, settings: RunSettings, observers: Sequence[Observer], origin: ReadPlan | None = None) -> RunEnding:
    """Run a plan to its end as a new run. origin: what `read_plan` knows of it.

    Raises PlanError, UsageError, StoreError, OwnedError before anything starts; StoreError when the state is lost later.
    """
    arm_from(os.environ)
    folder = state_folder(plan.root, settings)
    selected = select_tasks(plan, settings)
    recorded, plan = plan, with_executors(plan, settings)
    remarks = [*check_supported(plan, settings, selected), *forgotten(plan, selected)]
    settings = choose_executor(plan, settings, selected)
    check_left_out(plan, selected, folder)
    notes = ready_notes(plan, selected, settings)
    store = SqliteStore(folder, settings.durability, told=lambda text: remark(observers, text))
    try:
        refuse_live_attempts(store, plan.key)
        refuse_strangers(store)
        for left in store.left_open(plan.key):
            refuse_lost_records(store, left, settings)
        for left in store.unremembered(plan.key):
            _record_ends(store, left, settings, observers)
        known = origin.snapshot if origin is not None else None
        new = new_run(plan, settings, selected, known if known is not None else snapshot(recorded))
        ledger = store.open_run(new)
        if (
            origin is not None
            and origin.key is not None
            and origin.snapshot is None
            and not _holds_credentials(plan)  # else only the documents have them
        ):
            ledger.keep_plan(origin.key, origin.warnings_text())
        return carry_new(store, ledger, plan, selected, settings, observers, remarks, notes)
    finally:
        store.close()


def _record_ends(store: SqliteStore, run: str, settings: RunSettings, observers: Sequence[Observer]) -> None:
    """What the attempts of a run that was left open came to; one that is damaged does not keep others from running."""
    from weft.assemble.aftermath import record_ends  # late: most runs follow others that ended well

    try:
        record_ends(store, run, settings)
    except StoreError as error:
        if error.is_passing:
            raise
        remark(
            observers, f"what was done in run {run[:12]} after its engine died is not known and may run again: {error}"
        )


def new_run(plan: Plan, settings: RunSettings, selected: Sequence[int], recorded: bytes) -> NewRun:
    """What is recorded of a run that begins. recorded: the plan's snapshot."""
    return NewRun(
        settings.newborn.label if settings.newborn is not None else os.urandom(16).hex(),
        plan.key,
        plan.name,
        plan.root,
        time.time(),
        {
            **told_of(plan),
            **settings.recorded,
            "executor": settings.executor or "local",
            **({"opportunistic": True} if settings.opportunistic else {}),
            **({"force": True} if settings.force else {}),
            **({} if settings.use_cache else {"use_cache": False}),
        },
        recorded,
        [task.name for task in plan.graph.tasks],
        selected,
    )


def carry_new(
    store: SqliteStore,
    ledger: SqliteLedger,
    plan: Plan,
    selected: Sequence[int],
    settings: RunSettings,
    observers: Sequence[Observer],
    remarks: Sequence[str],
    notes: Mapping[str, ReadyNote],
) -> RunEnding:
    """Carry a run that was just recorded to its end. Closes the ledger."""
    with ExitStack() as opened:
        opened.callback(ledger.close)
        executors = opened.enter_context(Executors(plan, settings, store.folder, ledger.run, ledger.epoch))
        executors.wake(plan, selected)
        # Only now: loading it takes as long as the supervisor needs to wake up.
        from weft.assemble.session import Session

        session = opened.enter_context(Session(store, ledger, plan, selected, settings, ledger.run, executors))
        for text in remarks:
            remark(observers, text)
        return session.run(with_notes(plan, notes, observers, session, opened))


def resume(run: str | None, plan: Plan | None, settings: RunSettings, observers: Sequence[Observer]) -> RunEnding:
    """Take up a recorded run (None: the last one) with the present plan (None: its own documents, read anew)."""
    from weft.runtime.recovery import unfinished  # late, as below: new runs have nothing to recover

    return _take_up(run, plan, settings, observers, lambda rows, _: unfinished(rows), only_left=True)


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
        states = ("failed",) if failed else ("failed", "cancelled")
        if not tasks:
            first = {row.task for row in rows if row.state in states}
        else:
            taking_part = {row.task for row in rows}
            for name in tasks:
                if name not in index:
                    raise UsageError(f"the run has no task {name!r}", hint_nearest(name, list(index)))
                if index[name] not in taking_part:
                    raise UsageError(f"task {name!r} takes no part in this run", "weft run --select runs it")
            first = {index[name] for name in tasks}
        return first | set(plan.graph.descendants_indexes(first))

    if tasks:  # who names them wants to see them run, up to date or not
        settings = replace(settings, force=True)
    return _take_up(run, plan, settings, observers, chosen)


Chooser = Callable[[Sequence[TaskRow], Plan], set[int]]


def cancel_dead(state: str, row: RunRow, tasks: Sequence[str] | None) -> None:
    """Give tasks (None: all) of a run up whose engine is gone: end what still lives of them, record them as cancelled.

    With chosen tasks, attempts of others that still live are waited for.
    """
    with SqliteArchive(state) as archive:
        plan = restore(archive.snapshot(row.run))
    chosen = None if tasks is None else tuple(plan.graph.index[name] for name in tasks)

    def interrupted(rows: Sequence[TaskRow], _: Plan) -> set[int]:
        """They would be taken up by a resume, which is what is not wanted any more."""
        found = {row.task for row in rows if row.state == "cancelled" and row.cause == INTERRUPTED}
        return found if chosen is None else found & set(chosen)

    requests: list[Event] = [CancelRequested(chosen, True)]
    if chosen is not None:
        requests.append(Interrupted(1))
    _take_up(row.run, plan, RunSettings(state=state), (), interrupted, requests)


def _take_up(
    run: str | None,
    plan: Plan | None,
    settings: RunSettings,
    observers: Sequence[Observer],
    choose_again: Chooser,
    requests: Sequence[Event] = (),
    *,
    only_left: bool = False,
) -> RunEnding:
    """Recovery, steps 1 to 9 of reliability.md section 3. only_left: no task that is ok is chosen."""
    from weft.assemble.products import lost_makers
    from weft.assemble.session import Session
    from weft.runtime.plain import is_plain
    from weft.runtime.recovery import compare, recover

    arm_from(os.environ)
    folder = state_folder(plan.root if plan is not None else os.getcwd(), settings)
    row, recorded, names, is_unchanged = _recorded(folder, run)
    present = plan if plan is not None else recorded if is_unchanged else reload(row, recorded)
    if present.environments and not requests:
        present = _with_values(present, folder, row, choose_again)
    settings = as_begun(settings, row)
    placed = with_executors(present, settings)
    # Giving up is never refused: what the settings say may be another thing by now.
    remarks = [] if requests else check_supported(placed, settings, None if names is None else _indexes(present, names))
    # Of all that take part: which of them are taken up is known only once the run is owned.
    taking_part = range(len(present.graph)) if names is None else _indexes(present, names)
    notes = ready_notes(present, taking_part, settings, is_lenient=bool(requests))  # giving up must not fail for notes
    store = SqliteStore(folder, settings.durability, told=lambda text: remark(observers, text))
    try:
        refuse_live_attempts(store, row.plan_key, but=row.run)
        refuse_lost_records(store, row.run, settings)
        only_left = only_left and is_plain(present)  # else products of what is done may be needed
        ledger, opened = store.reopen_run(row.run, only_left=only_left)
        hit(REOPENED)
        for text in (*remarks, *store.warnings):
            remark(observers, text)
        change = compare(recorded, present)
        selected = _selected_now(opened, recorded, present)
        with ExitStack() as held:
            held.callback(ledger.close)
            executors = held.enter_context(Executors(placed, settings, store.folder, row.run, ledger.epoch))
            session = held.enter_context(Session(store, ledger, placed, selected, settings, row.run, executors))
            for line in change.lines():
                remark(observers, f"the plan has changed since this run was recorded: {line}")
            stale = {*change.removed, *change.changed}
            has_ended_some = end_stale(executors, ledger, opened, recorded, lambda task: task.name in stale)
            if change:
                replan(ledger, recorded, present, selected)
            if change or has_ended_some:
                opened = ledger.opened(only_left=only_left)
            hit(REPLANNED)
            again = choose_again(opened.tasks, present) & set(selected)
            lost = set() if only_left else lost_makers(store.folder, present, opened, again) & set(selected)
            for task in sorted(lost):
                name = present.graph.tasks[task].name
                remark(observers, f"{name} runs again: its product is gone, and is needed once more")
            again |= lost
            for text in forgotten(present, sorted(again)):
                remark(observers, text)
            opened = _reopen(ledger, opened, again, only_left)
            rescaled = {present.graph.index[name] for name in change.changed}
            by_name, default = executors.by_name, executors.default
            recovered = recover(opened, by_name, default, plan=placed, redo=again, rescaled=rescaled)
            if not requests:
                executors.wake(placed, sorted(again))
            session.restore(opened)
            return session.run(with_notes(placed, notes, observers, session, held), recovered, requests)
    finally:
        store.close()


def _recorded(folder: str, run: str | None) -> tuple[RunRow, Plan, list[str] | None, bool]:
    """A run, its plan as it was recorded, the names of its tasks unless these are all of the plan's.

    Last, whether its documents are known to give that plan still.
    """
    with SqliteArchive(folder) as archive:
        row = archive.find(run or "last")
        plan = restore(archive.snapshot(row.run))
        names = [task.name for task in archive.tasks(row.run)] if row.tasks < len(plan.graph) else None
        return row, plan, names, not has_changed(archive, row, plan)


def _with_values(present: Plan, folder: str, row: RunRow, choose_again: Chooser) -> Plan:
    """The plan with the values of variables that are not stored, as far as they can be known now."""
    from weft.assemble.withheld import filled, has_withheld, refuse_withheld

    if has_withheld(present):
        present = filled(present)
        refuse_withheld(present, folder, row, choose_again)
    return present


def _reopen(ledger: SqliteLedger, opened: OpenRun, again: set[int], only_left: bool) -> OpenRun:
    """Put these tasks back to the start, durably; what is recorded then."""
    from weft.runtime.recovery import reopen

    reopened = reopen(opened, again)
    ledger.record(reopened, {})
    ledger.commit()
    hit(REOPENED_TASKS)
    return ledger.opened(only_left=only_left) if any(fact.anew for fact in reopened) else opened


def reload(row: RunRow, recorded: Plan) -> Plan:
    """The present plan of a run: its own documents with its own options, or what was recorded when it came from no file."""
    told = row.settings
    paths = [*told.get("paths", ()), *told.get("inputs", ())]
    if "-" in paths or (not paths and not recorded.family):
        return recorded
    from weft.assemble.python_plans import load_python, refresh

    if not paths:  # of a registry that was invoked in Python
        return refresh(recorded)
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
        replacements=[(name, path) for name, path in told.get("replacements", ())],
        cwd=told.get("folder"),
        python=load_python,
        present=refresh,
        selection=told.get("selection", {}),
    ).plan


def as_begun(settings: RunSettings, row: RunRow) -> RunSettings:
    """With what the run was told that changes what has to be done, so that it ends as if nothing had happened to it."""
    return replace(
        settings,
        executor=settings.executor or row.settings.get("executor"),
        force=settings.force or bool(row.settings.get("force")),
        use_cache=settings.use_cache and bool(row.settings.get("use_cache", True)),
    )


def _selected_now(opened: OpenRun, recorded: Plan, present: Plan) -> tuple[int, ...]:
    """The recorded selection in terms of the present plan; tasks that are new take part when everything did."""
    if len(opened.tasks) == len(recorded.graph):
        return tuple(range(len(present.graph)))
    return _indexes(present, (row.name for row in opened.tasks))


def _indexes(plan: Plan, names: Iterable[str]) -> tuple[int, ...]:
    """Of those that the plan has, in plan order."""
    index = plan.graph.index
    return tuple(sorted(index[name] for name in names if name in index))


def end_stale(
    executors: Executors, ledger: SqliteLedger, opened: OpenRun, recorded: Plan, is_stale: Callable[[Task], bool]
) -> bool:
    """End live attempts of what is stale (it has changed, left), or belongs to another executor now; whether there were any."""
    from weft.runtime.clock import SystemClock, SystemWaiter
    from weft.runtime.recovery import OPEN_STATES, end_changed

    was = str(opened.row.settings.get("executor") or "local")
    rows_by_executor: dict[str, list[AttemptRow]] = {}
    for row in opened.attempts:
        task = recorded.graph.tasks[row.key.task]
        before = executor_name(task, was)
        if row.state in OPEN_STATES and (is_stale(task) or executor_name(task, executors.default) != before):
            rows_by_executor.setdefault(before, []).append(row)
    for name, rows in rows_by_executor.items():
        executor = executors.make(name)
        try:
            ledger.record(end_changed(executor, rows, opened.offsets, SystemClock(), SystemWaiter()), {})
        finally:
            executor.close()
    ledger.commit()
    return bool(rows_by_executor)


def replan(ledger: SqliteLedger, recorded: Plan, present: Plan, selected: Sequence[int]) -> None:
    """Let the store take the present plan over; tasks are known by their names."""
    index = present.graph.index
    names = [task.name for task in recorded.graph.tasks]
    moved = {number: index[name] for number, name in enumerate(names) if name in index}
    ledger.replan(snapshot(present), [task.name for task in present.graph.tasks], selected, moved)


def _holds_credentials(plan: Plan) -> bool:
    """Whether arguments of notes, or values of variables, are withheld from what is stored."""
    if plan.environments:
        from weft.spec import withholding

        if any(withholding.withhold(each) is not each for each in plan.environments.values()):
            return True
    if not plan.notes:
        return False
    from weft.spec.notes import withhold

    return any(withhold(note) is not note for note in plan.notes.values())


def ready_notes(
    plan: Plan, selected: Sequence[int], settings: RunSettings, *, is_lenient: bool = False
) -> Mapping[str, ReadyNote]:
    if not plan.notes:
        return {}
    from weft.assemble.noting import prepare_notes

    return prepare_notes(plan, selected, settings, is_lenient=is_lenient)


def with_notes(
    plan: Plan, notes: Mapping[str, ReadyNote], observers: Sequence[Observer], session: Session, opened: ExitStack
) -> Sequence[Observer]:
    """The observers, and before them what sends notes if there are any."""
    if not notes:
        return observers
    from weft.assemble.notifying import Notifying

    return (opened.enter_context(Notifying(plan, notes, observers, session.interrupts)),)


def refuse_live_attempts(store: SqliteStore, plan_key: str, but: str | None = None) -> None:
    """Exit 4 while attempts of a dead engine live (design.md 9). but: the run that is about to take its own over."""
    for row, attempts in store.open_attempts(plan_key):
        living = _count_living(row.run) if attempts and row.run != but else 0
        if living:
            raise OwnedError(
                f"run {row.run[:12]} has no engine any more, but {living} of its processes still live",
                f"weft resume {row.run[:12]} takes them over; weft cancel {row.run[:12]} ends them",
            )


def _count_living(run: str) -> int:
    from weft.executors.living import living_attempts  # late: most runs follow others that ended well

    return living_attempts(run)


def refuse_lost_records(store: SqliteStore, run: str, settings: RunSettings) -> None:
    """Exit 3 when receipts tell of attempts that the store never ordered: nobody knows what else it has forgotten.

    With durability `process` a power cut may do that; it has ended whatever lived, so it does no harm.
    """
    boot = boot_id() if settings.durability == "process" else None
    begun = begun_after(os.path.join(store.folder, "runs", run, "receipts"), run, store.counted(run), boot)
    lost = store.never_ordered(run, begun) if begun else ()
    if lost:
        raise behind(store.path, f"{len(lost)} attempts of run {run} have receipts, but no record")


def refuse_strangers(store: SqliteStore) -> None:
    """Exit 3 while processes live of a run that the store has forgotten: its attempts could be started twice."""
    for run in store.unknown_runs():
        living = _count_living(run)
        if living:
            raise behind(store.path, f"{living} processes of run {run} live, but it has no record")


def remark(observers: Sequence[Observer], text: str) -> None:
    for observer in observers:
        observer.remarked(text, None)
