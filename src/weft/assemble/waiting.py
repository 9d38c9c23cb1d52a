"""Why a task of a recorded run has not started, as far as it can be told from outside of its engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from weft.files.requirements import Surroundings, check
from weft.files.search import Place
from weft.ports import RunRow, TaskRow
from weft.scheduling.reasons import Reason, closed_by
from weft.spec.plan import Plan
from weft.spec.tasks import Task
from weft.store.archive import SqliteArchive
from weft.units import show_amount, show_seconds

SHOWN_HOLDERS: Final = 20  # tasks that run, whose amounts are added up
LIMIT: Final = "limit"
"""The kind of requests that change how many tasks may be live."""

LOOKED_AT: Final = 1_000  # tasks under way whose attempts are asked for, one query each; among more nobody counts


def as_begun(archive: SqliteArchive, run: RunRow, rows: Sequence[TaskRow]) -> list[TaskRow]:
    """The rows as the world stands: a task whose order waits ahead in the executor has not begun (decision 0001)."""
    live = sum(row.state == "running" and not row.instances for row in rows)
    if live > LOOKED_AT:
        return list(rows)
    return [_as_begun(archive, run, row) if row.state == "running" and not row.instances else row for row in rows]


def _as_begun(archive: SqliteArchive, run: RunRow, row: TaskRow) -> TaskRow:
    live = [attempt.state for attempt in archive.attempts(run.run, row.task) if attempt.state in ("queued", "running")]
    if not live or "running" in live:
        return row
    return row._replace(state="pending", attempts=row.attempts - len(live))


def limits_now(archive: SqliteArchive, run: RunRow, plan: Plan) -> Mapping[str, int]:
    """Capacities that the plan gives, with those that were changed while the run's last owner had it."""
    owner = archive.owner(run.plan_key)
    asked = archive.asked(run.run, LIMIT, since=owner[2]) if owner is not None and plan.limits else ()
    return {**plan.limits, **{each["name"]: each["units"] for each in asked if each["name"] in plan.limits}}


def waiting(archive: SqliteArchive, run: RunRow, plan: Plan, task: Task, rows: Mapping[str, TaskRow]) -> list[Reason]:
    """What keeps a pending task; at least one reason. rows: the run's tasks by name."""
    dead = (
        [] if archive.is_owned(run) else [Reason("no_engine", "no engine is at work on this run; weft resume goes on")]
    )
    open_ones = [
        Reason("waits", f"waits for {edge.name}, which is {row.state}", edge.name)
        for edge in task.dependencies
        if (row := rows.get(edge.name)) is not None and row.state != "ok"
    ]
    if open_ones:
        return [*dead, *open_ones]
    limits = limits_now(archive, run, plan)
    closed = [closed_by(name) for name, _ in task.policy.resources if limits.get(name) == 0]
    own = [*_retry(archive, run, rows[task.name].task, task), *_requirement(archive, run, task), *closed]
    if dead or own:
        return [*dead, *own]
    return [_turn(archive, run, task, list(rows.values()))]


def _retry(archive: SqliteArchive, run: RunRow, index: int, task: Task) -> Iterator[Reason]:
    attempts = archive.attempts(run.run, index)
    attempts = [attempt for attempt in attempts if attempt.state != "queued"]
    if attempts and attempts[-1].cause is not None and task.policy.foreach is None:
        last = attempts[-1]
        delay = task.policy.retries.delay
        when = f", {show_seconds(delay)} after that" if delay else ""
        text = f"attempt {last.key.attempt} ended with {last.cause}; it is tried again{when}"
        yield Reason("retry", text, last.cause)


def _requirement(archive: SqliteArchive, run: RunRow, task: Task) -> Iterator[Reason]:
    place = Place(os.path.abspath(run.root), os.path.realpath(archive.folder))
    found = check(task.requires, Surroundings(place, lambda _: None))  # parameters: the engine alone knows their values
    if found.unmet is not None:
        text = f"a requirement does not hold yet: {found.detail or found.unmet}"
        yield Reason("requirement", text, found.unmet)


def _turn(archive: SqliteArchive, run: RunRow, task: Task, rows: Sequence[TaskRow]) -> Reason:
    """Of a task that could start: what it asks for, and who holds how much."""
    asked = _amounts(dict(task.policy.resources.amounts))
    held: dict[str, int] = {}
    live = 0
    for row in islice((row for row in rows if row.state == "running"), SHOWN_HOLDERS):
        for attempt in archive.attempts(run.run, row.task):
            if attempt.state == "running":
                live += 1
                for name, units in attempt.request.amounts:
                    held[name] = held.get(name, 0) + units
    if run.settings.get("opportunistic"):
        text = f"waits until the host leaves it room: it asks for {asked}, and the run is opportunistic"
        return Reason("turn", text)
    if not live:
        return Reason("ready", "everything that it depends on is ok; it had not started")
    attempts = f"{live} attempt{'s' if live > 1 else ''}"
    return Reason(
        "turn",
        f"waits for its turn: it asks for {asked}, and {attempts} of this run hold{'' if live > 1 else 's'} {_amounts(held)}",
    )


def _amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={show_amount(name, units)}" for name, units in sorted(amounts.items())) or "nothing"
