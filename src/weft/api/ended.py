"""What the last event of a run says of every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from weft.scheduling.commands import SettleTask
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import CACHED
from weft.spec.plan import Plan
from weft.values import plain

if TYPE_CHECKING:
    from weft.ports import AttemptRow, NoteTally, TaskRow
    from weft.store.archive import SqliteArchive

SHOWN_PRODUCT: Final = 65_536  # characters; a larger one is left to `run[NAME].product`


def tasks_of(
    plan: Plan,
    selected: Sequence[int],
    results: Mapping[int, SettleTask],
    open_archive: Callable[[], SqliteArchive],
    run: str,
) -> dict[str, dict[str, Any]]:
    """By name: `{state, cause, attempts, seconds, memory, instances, product?}`. results: what this engine has seen end."""
    with open_archive() as archive:
        rows = {row.task: row for row in archive.tasks(run)}
        products = (
            _products(plan, archive.attempts(run)) if any(task.policy.product for task in plan.graph.tasks) else {}
        )
    entries = {}
    for task in selected:
        entry = entries[plan.graph.tasks[task].name] = _entry(rows[task], results.get(task))
        if task in products:
            entry["product"] = products[task]
    return entries


def _entry(row: TaskRow, settled: SettleTask | None) -> dict[str, Any]:
    attempts = settled.attempts if settled is not None else row.attempts
    has_run = bool(attempts) and row.cause != CACHED
    seconds = settled.usage.seconds if settled is not None else row.seconds
    return {
        "state": settled.state if settled is not None else row.state,
        "cause": settled.cause if settled is not None else row.cause,
        "attempts": attempts,
        "seconds": round(seconds, 6) if has_run and seconds is not None else None,
        "memory": settled.usage.memory if settled is not None else row.memory,
        "instances": row.instances or None,
    }


def _products(plan: Plan, attempts: Sequence[AttemptRow]) -> dict[int, Any]:
    """What travelled with the outcomes of tasks that are not mapped."""
    found = {}
    for row in attempts:
        declared = plan.graph.tasks[row.key.task].policy.product
        text = row.product
        if (
            declared is None
            or row.state != "ok"
            or row.key.instance != WHOLE
            or text is None
            or len(text) > SHOWN_PRODUCT
        ):
            continue
        if declared.source == "stdout":
            found[row.key.task] = text
        elif not text.startswith("@"):
            found[row.key.task] = plain.value_of(text)
    return found


def counts_of(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The counts of design.md 12: `ok` includes `cached`, `cancelled` includes interrupted tasks."""
    states = [entry["state"] for entry in entries.values()]
    counts = {state: states.count(state) for state in ("ok", "failed", "skipped", "cancelled")}
    cached = sum(entry["state"] == "ok" and entry["cause"] == CACHED for entry in entries.values())
    return {**counts, "cached": cached}


def notes_of(notes: Mapping[str, NoteTally]) -> dict[str, dict[str, Any]]:
    """What became of the notes, by name."""
    return {name: {"sent": each.sent, "unsent": each.unsent, "problem": each.problem} for name, each in notes.items()}
