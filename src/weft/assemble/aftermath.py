"""What the attempts of a dead engine came to, when a new run begins and nobody takes the old one up (docs/decisions/0056)."""

from __future__ import annotations

import time
from contextlib import ExitStack

from weft.assemble.executors import Executors
from weft.assemble.run_settings import RunSettings
from weft.assemble.runs import as_begun
from weft.assemble.session import Session
from weft.formats.snapshot import restore
from weft.ports import OpenRun
from weft.runtime.recovery import recover
from weft.scheduling.events import Interrupted
from weft.scheduling.outcomes import INTERRUPTED, RunState
from weft.spec.plan import Plan
from weft.store.archive import SqliteArchive
from weft.store.sqlite import SqliteStore


def record_ends(store: SqliteStore, run: str, settings: RunSettings) -> None:
    """Read the receipts of a run none of whose attempts lives any more, and remember what they made; nothing is started.

    What had not ended can still be taken up. Notes are not sent. settings: of the run that is about to begin.
    """
    with SqliteArchive(store.folder) as archive:
        plan = restore(archive.snapshot(run))
        row = archive.find(run)
    settings = as_begun(RunSettings(state=store.folder, durability=settings.durability), row)
    ledger, opened = store.reopen_run(run)
    with ExitStack() as held:
        held.callback(ledger.close)
        executors = held.enter_context(Executors(plan, settings, store.folder, run, ledger.epoch))
        session = held.enter_context(Session(store, ledger, plan, _concerned(plan, opened), settings, run, executors))
        recovered = recover(opened, executors.by_name, executors.default, plan=plan, redo=())
        session.restore(opened)
        session.run((), recovered, [Interrupted(1)])
        state, exit_code = _ending(ledger.opened())
        ledger.finish(state, exit_code, time.time())


def _concerned(plan: Plan, opened: OpenRun) -> list[int]:
    """Tasks that have something to be remembered; where tasks are mapped all, because items go from one to the other."""
    if any(task.policy.foreach is not None for task in plan.graph.tasks):
        return [row.task for row in opened.tasks]
    return sorted({row.task for row in opened.begun})


def _ending(opened: OpenRun) -> tuple[RunState, int | None]:
    """How the whole run ended."""
    if any(row.state in ("pending", "running") or row.cause == INTERRUPTED for row in opened.tasks):
        return "interrupted", None
    is_ok = all(row.state == "ok" for row in opened.tasks)
    return ("ok", 0) if is_ok else ("failed", 1)
