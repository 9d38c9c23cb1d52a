"""Running a workflow: what is recorded under its identity is taken up, or a run begins (workflows.md 6.3).

Tasks are known by their identity, not by their name. What is done stays done, whatever has changed of it; the others are
what the present workflow says of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from operator import eq
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.assemble.executors import Executors
from weft.assemble.run_settings import DRY, RunSettings, check_supported, choose_executor, forgotten, state_folder
from weft.assemble.runs import (
    REOPENED,
    REOPENED_TASKS,
    REPLANNED,
    carry_new,
    new_run,
    ready_notes,
    refuse_lost_records,
    refuse_strangers,
    remark,
    with_notes,
)
from weft.assemble.takeover import Claim, claim
from weft.assemble.workflow_identity import WORKFLOW, hashes_of, is_complete, task_hashes
from weft.errors import OwnedError, WorkflowAlreadyComplete, WorkflowAlreadyExists, cut
from weft.failpoints import arm_from, hit
from weft.formats.snapshot import Outline, outline, restore, snapshot
from weft.ports import AttemptRow, Observer, OpenRun, RunEnding, RunRow
from weft.runtime.plain import is_plain
from weft.scheduling.outcomes import Request
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.tasks import Policy
from weft.store.archive import SqliteArchive
from weft.store.database import path_of
from weft.store.rows import dump_names, plan_digest
from weft.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from weft.assemble.noting import ReadyNote
    from weft.scheduling.workload import QueueLimit
    from weft.store.ledger import SqliteLedger

NAMED: Final = 3
"""How many tasks a message names."""


class Wish(NamedTuple):
    """resume: whether a recorded run may be taken up. ends_live: whether what runs of it is ended, else it is adopted.

    patience: seconds that a live owner has to let go. keeps_raised: whether amounts that scaling raised stay so. own: the run
    that this very object has recorded. gives_up: whether nobody waits for a live owner any more.
    """

    resume: bool = False
    ends_live: bool = True
    patience: float = 300.0
    keeps_raised: bool = True
    own: str | None = None
    gives_up: Callable[[], bool] = bool


class Written(NamedTuple):
    """A plan as it is recorded, and the digest of that (hex)."""

    plan: Plan
    names: Sequence[str]
    snapshot: bytes
    digest: str


def write(plan: Plan) -> Written:
    """The plan in the form in which it is recorded and compared."""
    names = [task.name for task in plan.graph.tasks]
    recorded = snapshot(plan)
    return Written(plan, names, recorded, plan_digest(dump_names(names), recorded).hex())


# --- what is recorded --------------------------------------------------------------------------------------------------


def find(state: str, key: str) -> RunRow | None:
    """The recorded run of a workflow; None when there is none."""
    if not os.path.exists(path_of(state)):
        return None
    with SqliteArchive(state) as archive:
        return latest(archive, key)


def latest(archive: SqliteArchive, key: str) -> RunRow | None:
    """The newest run of a workflow."""
    found = archive.runs(key)
    return found[-1] if found else None


def check_same(archive: SqliteArchive, row: RunRow, present: Written) -> Outline | None:
    """What the recorded plan says; None: what the present one does.

    Raises WorkflowAlreadyExists, saying what differs, when that has other tasks or edges.
    """
    if archive.plan_digest(row.run) == present.digest:
        return None
    data = archive.snapshot(row.run)
    recorded = outline(data)
    was, now = recorded.attributes.get(WORKFLOW, {}), present.plan.attributes[WORKFLOW]
    if was.get("tasks") == now.get("tasks") and was.get("edges") == now.get("edges"):
        return recorded
    raise WorkflowAlreadyExists(
        f"{label(present.plan)} is recorded with another graph: {_difference(restore(data), present.plan)}. "
        "`weft resume` with the present plan changes a graph; other workflow_args make another workflow"
    )


def label(plan: Plan) -> str:
    """A workflow in messages."""
    return f"workflow {cut(str(plan.attributes[WORKFLOW]['workflow_args']))!r}"


def _difference(recorded: Plan, present: Plan) -> str:
    try:
        before = dict(zip(task_hashes(recorded), recorded.graph.names(range(len(recorded.graph))), strict=True))
    except (KeyError, ValueError, TypeError):
        return "what is recorded is no workflow of templates"
    after = dict(zip(task_hashes(present), present.graph.names(range(len(present.graph))), strict=True))
    new = [name for task, name in after.items() if task not in before]
    gone = [name for task, name in before.items() if task not in after]
    parts = [f"{_few(new)} new"] if new else []
    if gone:
        parts.append(f"{_few(gone)} not there any more")
    if not parts:
        parts += _edge_differences(recorded, before, present, after)
    return "; ".join(parts)


def _edge_differences(
    recorded: Plan, before: Mapping[bytes, str], present: Plan, after: Mapping[bytes, str]
) -> Iterable[str]:
    old = _edges(recorded, list(before))
    new = _edges(present, list(after))
    for what, found in (("new", [edge for edge in new if edge not in old]), ("gone", [e for e in old if e not in new])):
        if found:
            shown = [f"{after[upstream]} -> {after[downstream]}" for upstream, downstream in found]
            yield f"{_few(shown, 'dependency', 'dependencies')} {what}"


def _edges(plan: Plan, hashes: Sequence[bytes]) -> dict[tuple[bytes, bytes], None]:
    return {(hashes[upstream], hashes[downstream]): None for upstream, downstream in plan.graph.edges()}


def _few(names: Sequence[str], one: str = "task", many: str = "tasks") -> str:
    shown = ", ".join(cut(name) for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {one if len(names) == 1 else many} ({shown}{more}) {'is' if len(names) == 1 else 'are'}"


def recorded_hashes(state: str, run: str, present: Written) -> list[bytes] | None:
    """Identities of the tasks in the order in which the run has recorded them; None: it is that of `present`."""
    with SqliteArchive(state) as archive:
        if archive.plan_digest(run) == present.digest:
            return None
        return task_hashes(restore(archive.snapshot(run)))


# --- bind and run ------------------------------------------------------------------------------------------------------


def bind(present: Written, settings: RunSettings, tell: Callable[[str], object]) -> tuple[RunRow, bool]:
    """The recorded run, and whether it was recorded just now: a new one waits for somebody to run it. tell: of what is cut.

    Raises WorkflowAlreadyExists when tasks or edges differ, and whatever would keep the plan from running.
    """
    plan = present.plan
    everything = range(len(plan.graph))
    for text in check_supported(plan, settings):
        tell(text)
    settings = choose_executor(plan, settings, everything)
    folder = state_folder(plan.root, settings)
    found = find(folder, plan.key)
    if found is None:
        store = SqliteStore(folder, settings.durability)
        try:
            found = _claim_unrecorded(store, present)  # nobody can record it in between
            if found is None:
                new = new_run(plan, settings, everything, present.snapshot)
                ledger = store.open_run(new)
                try:
                    ledger.finish("interrupted", None, new.started)
                finally:
                    ledger.close()
                with SqliteArchive(folder) as archive:
                    return archive.find(new.run), True
        finally:
            store.close()
    with SqliteArchive(folder) as archive:
        check_same(archive, found, present)
    return found, False


def _claim_unrecorded(store: SqliteStore, present: Written) -> RunRow | None:
    """None: nobody else has recorded it meanwhile, and nobody can. Raises OwnedError when that is about to happen."""

    def check(archive: SqliteArchive, row: RunRow, _is_live: bool) -> None:
        check_same(archive, row, present)

    key = present.plan.key
    try:
        return claim(store, Claim(key, label(present.plan), None, False, check))
    except OwnedError:
        found = find(store.folder, key)
        if found is None:
            raise
        return found


def carry(
    present: Written,
    settings: RunSettings,
    wish: Wish,
    observers: Sequence[Observer],
    taken_up: Callable[[OpenRun], None] | None = None,
) -> RunEnding:
    """Run a workflow to its end, as a new run or the recorded one. taken_up: is told how that stands before it goes on.

    Raises WorkflowAlreadyExists, WorkflowAlreadyComplete, WorkflowNotResumable before anything starts; later HandedOverError
    when another process took it over, StoreError when the state is lost.
    """
    arm_from(os.environ)
    plan = present.plan
    folder = state_folder(plan.root, settings)
    everything = range(len(plan.graph))
    remarks = check_supported(plan, settings)
    settings = choose_executor(plan, settings, everything)
    notes = ready_notes(plan, everything, settings)
    store = SqliteStore(folder, settings.durability, told=lambda text: remark(observers, text))
    try:
        claimed: list[Outline | None] = []
        row = claim(store, _claim_of(present, wish, claimed))
        if row is None:
            refuse_strangers(store)
            if wish.resume:
                remarks.append(f"nothing is recorded of {label(plan)}: it begins from the start")
            ledger = store.open_run(new_run(plan, settings, everything, present.snapshot))
            return carry_new(store, ledger, plan, everything, settings, observers, remarks, notes)
        refuse_lost_records(store, row.run, settings)
        return _carry_on(store, row, claimed[-1], present, settings, wish, observers, remarks, notes, taken_up)
    finally:
        store.close()


def _claim_of(present: Written, wish: Wish, claimed: list[Outline | None]) -> Claim:
    """claimed: gets what the recorded plan says, last the one that holds."""

    def check(archive: SqliteArchive, row: RunRow, is_live: bool) -> None:
        claimed.append(check_same(archive, row, present))
        if is_complete(archive, row):
            raise WorkflowAlreadyComplete(
                f"all {row.tasks} tasks of {label(present.plan)} are done; other workflow_args make another workflow"
            )
        is_untouched = (
            row.run == wish.own and row.exit_code is None and not is_live and not archive.has_started(row.run)
        )
        if not wish.resume and not is_untouched:
            how = "is being run by another process" if is_live else "is recorded and has not ended well"
            raise WorkflowAlreadyExists(
                f"{label(present.plan)} {how}; resume=True takes it up, other workflow_args make another workflow"
            )

    return Claim(
        present.plan.key,
        label(present.plan),
        wish.patience if wish.resume else None,
        wish.ends_live,
        check,
        wish.gives_up,
    )


def _carry_on(
    store: SqliteStore,
    row: RunRow,
    recorded: Outline | None,
    present: Written,
    settings: RunSettings,
    wish: Wish,
    observers: Sequence[Observer],
    remarks: Sequence[str],
    notes: Mapping[str, ReadyNote],
    taken_up: Callable[[OpenRun], None] | None,
) -> RunEnding:
    """Recovery, steps 1 to 9 of reliability.md section 3, with tasks known by their identity.

    recorded: what the recorded plan says, None: what the present one does.
    """
    from weft.assemble.products import lost_makers
    from weft.assemble.session import Session, queue_limits
    from weft.runtime.recovery import recover, reopen

    everything = range(len(present.plan.graph))
    only_left = is_plain(present.plan)  # else products of what is done may be needed
    ledger, opened = store.reopen_run(row.run, only_left=only_left)
    hit(REOPENED)
    with ExitStack() as held:
        held.callback(ledger.close)
        before: Sequence[Policy] | None = None
        moved: dict[int, int] | None = None
        is_as_before = True
        were = recorded.policies if recorded is not None else [task.policy for task in present.plan.graph.tasks]
        if recorded is not None:
            moved, before = _moved(recorded, present.plan)
            present = keep_attributes(present, recorded.attributes, before)
            is_as_before = all(map(eq, moved, moved.values())) and [row.name for row in opened.tasks] == present.names
        plan = present.plan
        executors = held.enter_context(Executors(plan, settings, store.folder, row.run, ledger.epoch))
        session = held.enter_context(Session(store, ledger, plan, everything, settings, row.run, executors))
        for text in (*remarks, *store.warnings):
            remark(observers, text)
        has_ended_some = wish.ends_live and end_live(executors, ledger, opened, were)
        if moved is not None and ledger.plan_digest() != present.digest:
            ledger.replan(present.snapshot, present.names, everything, moved)
        if not is_as_before:
            opened = ledger.opened(only_left=only_left)
        elif has_ended_some:
            opened = ledger.reread_attempts(opened, only_left=only_left)
        else:
            ledger.commit()
        hit(REPLANNED)
        if taken_up is not None:
            taken_up(opened)
        again = {task.task for task in opened.tasks if task.state != "ok"}
        if not only_left:
            again |= lost_makers(store.folder, plan, opened, again)
        for text in forgotten(plan, sorted(again)):
            remark(observers, text)
        ledger.record(reopen(opened, again), {})
        ledger.commit()
        hit(REOPENED_TASKS)
        asked = _asker(plan, before, wish, queue_limits(settings.queues))
        recovered = recover(opened, executors.by_name, executors.default, plan=plan, redo=again, asked=asked)
        executors.wake(plan, sorted(again))
        session.restore(opened)
        return session.run(with_notes(plan, notes, observers, session, held), recovered)


def end_live(executors: Executors, ledger: SqliteLedger, opened: OpenRun, policies: Sequence[Policy]) -> bool:
    """End what runs of it, with whole process groups; whether anything was there to end. policies: of the recorded tasks."""
    from weft.runtime.clock import SystemClock, SystemWaiter
    from weft.runtime.recovery import OPEN_STATES, end_living

    was = str(opened.row.settings.get("executor") or "local")
    by_executor: dict[str, list[AttemptRow]] = {}
    for row in opened.attempts:
        if row.state in OPEN_STATES:
            name = was if was in DRY else policies[row.key.task].executor or was
            by_executor.setdefault(name, []).append(row)
    for name, rows in by_executor.items():
        executor = executors.make(name)
        try:
            ledger.record(end_living(executor, rows, opened.offsets, SystemClock(), SystemWaiter()), {})
        finally:
            executor.close()
    ledger.commit()
    return bool(by_executor)


def _moved(recorded: Outline, present: Plan) -> tuple[dict[int, int], Sequence[Policy]]:
    """New index of each recorded task, and the recorded policy of each present one."""
    if _has_same_places(recorded, present):
        return {place: place for place in range(len(recorded.policies))}, recorded.policies
    index = {task: number for number, task in enumerate(task_hashes(present))}
    templates = (policy.template for policy in recorded.policies)
    hashes = hashes_of(recorded.attributes, zip(templates, recorded.parameters, strict=True))
    moved = {number: index[task] for number, task in enumerate(hashes) if task in index}
    before: list[Policy] = [task.policy for task in present.graph.tasks]
    for old, new in moved.items():
        before[new] = recorded.policies[old]
    return moved, before


def _has_same_places(recorded: Outline, present: Plan) -> bool:
    """Whether task by task has plainly the identity of before, as long as a script says what it said: much cheaper to see."""
    was, now = recorded.attributes[WORKFLOW]["templates"], present.attributes[WORKFLOW]["templates"]
    known: dict[str | None, tuple[str, ...]] = {}
    for name, (node_args, task_args, _, digest, *_) in now.items():
        if name not in was or was[name][3] != digest:
            return False
        known[name] = (*node_args, *task_args)
    tasks = present.graph.tasks
    if len(recorded.policies) != len(tasks):
        return False
    for policy, old, task in zip(recorded.policies, recorded.parameters, tasks, strict=True):
        template = task.policy.template
        if policy.template != template:
            return False
        new = task.parameters
        for name in known[template]:
            one, other = old[name], new[name]
            if one.__class__ is not other.__class__ or one != other or one.__class__ is float:
                return False
    return True


def keep_attributes(present: Written, recorded: Mapping[str, Any], before: Sequence[Policy]) -> Written:
    """With what only the recorded plan has among its own attributes and its tasks': old keys stay, new and changed ones win.

    recorded: all that the recorded plan says of itself.
    """
    plan = present.plan
    about = plan.attributes[WORKFLOW]
    old, new = recorded.get(WORKFLOW, {}).get("attributes", {}), about["attributes"]
    merged: dict[tuple[int, int], Policy] = {}
    tasks = list(plan.graph.tasks)
    for place, was in enumerate(before):
        task = tasks[place]
        now = task.policy
        if was is now or not was.attributes or was.attributes.items() <= now.attributes.items():
            continue
        policy = merged.get((id(was), id(now)))
        if policy is None:
            attributes = MappingProxyType({**was.attributes, **now.attributes})
            policy = merged[id(was), id(now)] = replace(now, attributes=attributes)
        tasks[place] = replace(task, policy=policy)
    if not merged and old.items() <= new.items():
        return present
    kept = MappingProxyType({**about, "attributes": {**old, **new}})
    graph = Graph(tasks) if merged else plan.graph
    return write(replace(plan, graph=graph, attributes=MappingProxyType({**plan.attributes, WORKFLOW: kept})))


# --- amounts that were raised ------------------------------------------------------------------------------------------


def _asker(
    plan: Plan, before: Sequence[Policy] | None, wish: Wish, queues: Mapping[str, QueueLimit]
) -> Callable[[AttemptRow], Request | None]:
    """What an unfinished task asks for next: what the plan says now, but what scaling had raised stays raised.

    queues: limits of the present settings, to which it is cut.
    """
    tasks = plan.graph.tasks

    def asked(row: AttemptRow) -> Request | None:
        if not wish.keeps_raised or row.state == "ok":
            return None
        now = tasks[row.key.task].policy
        was = now if before is None else before[row.key.task]
        request = raised(was, row.next_request or row.request, now)
        limit = None if request is None or request.queue is None else queues.get(request.queue)
        return request if request is None or limit is None else limit.cut(request)

    return asked


def raised(was: Policy, last: Request, now: Policy) -> Request | None:
    """The request of a task that a resume takes up; None for what it says now.

    was: its policy when `last` was asked for. now: its present one.
    """
    before, had = dict(was.resources.amounts), dict(last.amounts)
    is_given = now.ask is not None or bool(now.auto)  # what a function or earlier runs gave is not asked for again
    amounts: dict[str, int] = dict(now.resources.amounts)
    for name, units in had.items():
        if name in amounts and units > before.get(name, units):
            amounts[name] = max(units, amounts[name])
        elif is_given and before.get(name) != units:
            amounts[name] = units
    timeout = now.timeout
    if last.timeout is not None and was.timeout is not None and last.timeout > was.timeout and timeout is not None:
        timeout = max(last.timeout, timeout)
    elif is_given and last.timeout != was.timeout:
        timeout = last.timeout
    is_kept = tuple(sorted(amounts.items())) != now.resources.amounts or timeout != now.timeout
    if not is_kept and (now.ask is None or was.ask is None):
        return None
    queue = last.queue if now.queue == was.queue else now.queue
    return Request(tuple(sorted(amounts.items())), timeout, queue, last.besides if now.ask is not None else ())
