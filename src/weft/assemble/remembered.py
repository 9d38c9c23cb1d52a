"""Why nothing is remembered of a task that did run: what people are told where an engine knew only that it found nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from weft.ports import RunRow, TaskRow
from weft.scheduling.freshness import NEVER_RAN
from weft.scheduling.reasons import Reason
from weft.spec.tasks import Task
from weft.store.archive import SqliteArchive
from weft.store.history import Episode

NOT_REMEMBERED = "not_remembered"


class Past(NamedTuple):
    """How a task last fared in a run in which it was tried, or in which finished work stood in for it."""

    run: str
    state: str
    cause: str | None
    use_cache: bool


def last_past(archive: SqliteArchive, row: RunRow, history: Sequence[Episode]) -> Past | None:
    """The last time before a run. history: of the task, newest first, with that run in it."""
    runs = [episode.run for episode in history]
    older = history[runs.index(row.run) + 1 :] if row.run in runs else ()
    for episode in older:
        if _has_happened(episode.state, episode.cause, episode.attempts):
            return Past(episode.run, episode.state, episode.cause, _uses_cache(archive.find(episode.run)))
    return None


def pasts_of(archive: SqliteArchive, plan_key: str) -> Mapping[str, Past]:
    """By name of task, as the last run of a plan shows it."""
    runs = archive.runs(plan_key)
    if not runs:
        return {}
    last = runs[-1]
    return {
        row.name: Past(last.run, row.state, row.cause, _uses_cache(last))
        for row in archive.tasks(last.run)
        if _has_happened(row.state, row.cause, row.attempts)
    }


def corrected(reasons: Iterable[Reason], task: Task, past: Past | None) -> tuple[Reason, ...]:
    """The reasons, but for those that say that the task has not run before when it has."""
    if past is None:
        return tuple(reasons)
    return tuple(_why(task, past) if reason == NEVER_RAN else reason for reason in reasons)


def of_instances(
    archive: SqliteArchive, reasons: Sequence[Reason], row: RunRow, found: TaskRow, past: Past
) -> list[Reason]:
    """Likewise of a mapped task, in whose case it was said of instances."""
    if NEVER_RAN not in reasons:
        return list(reasons)
    before = next((other for other in archive.tasks(past.run) if other.name == found.name), None)
    items = archive.items(past.run, before.task).get(before.task, ()) if before is not None else ()
    known = {item for item, state, _ in items if state == "ok"}
    now = [item for item, _, cause in archive.items(row.run, found.task).get(found.task, ()) if cause != "cached"]
    new = sum(item not in known for item in now)
    if not new:
        return [_why_no_trace(past) if reason == NEVER_RAN else reason for reason in reasons]
    text = f"{new} of its items {'has' if new == 1 else 'have'} not been worked on before, or not with success"
    return [Reason(NEVER_RAN.code, text) if reason == NEVER_RAN else reason for reason in reasons]


def _has_happened(state: str, cause: str | None, attempts: int | None) -> bool:
    return bool(attempts) or (state == "ok" and cause == "cached")


def _uses_cache(row: RunRow) -> bool:
    return bool(row.settings.get("use_cache", True))


def _why(task: Task, past: Past) -> Reason:
    if task.policy.foreach is not None:
        return Reason(NEVER_RAN.code, "some of its items have not been worked on before, or not with success")
    return _why_no_trace(past)


def _why_no_trace(past: Past) -> Reason:
    run = f"run {past.run[:12]}"
    because = f" ({past.cause})" if past.cause else ""
    match past.state:
        case "ok" if not past.use_cache:
            text = f"ran well in {run}, but with --no-cache, so nothing of it was remembered"
        case "ok":
            text = (
                f"ran well in {run}, but nothing is remembered that could stand in for it: it was not to be cached then, "
                "its engine died, or that was given up since"
            )
        case "pending" | "running":
            text = f"was begun in {run}, which has not come to its end"
        case state:
            text = f"has not ended well before: it was {state}{because} in {run}"
    return Reason(NOT_REMEMBERED, text, past.run)
