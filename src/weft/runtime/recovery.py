"""Taking up a recorded run: what is known becomes events for a fresh scheduler.

Steps 3 to 9 of reliability.md section 3. Each step is one transaction or can be repeated, so that a crash in recovery changes
nothing: recorded ends are read, receipts close open attempts through the ordinary path (adopt, then end), and what neither
lives nor left a receipt is closed as lost.
"""

from __future__ import annotations

import select
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from weft.ports import AttemptRow, Began, Executor, Finished, OpenRun
from weft.scheduling.commands import CloseAttempt
from weft.scheduling.events import (
    AttemptAdopted,
    AttemptEnded,
    Event,
    ItemsRecovered,
    RequestRecovered,
    TaskRecovered,
)
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import CANCELLED, LOST, Outcome
from weft.spec.plan import Plan

OPEN_STATES: Final = frozenset({"queued", "running"})
STOP_LIMIT_SECONDS: Final = 10.0
"""How long the end of an attempt whose task changed may take: grace and kill (reliability.md C4), and some."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """How the present plan differs from the recorded one, by task name. changed: name -> the fields that differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> list[str]:
        """For people, one line a task."""
        return [
            *(f"added: {name}" for name in self.added),
            *(f"removed: {name}" for name in self.removed),
            *(f"changed: {name} ({', '.join(parts)})" for name, parts in self.changed.items()),
        ]


def compare(old: Plan, new: Plan) -> PlanChange:
    """What a resume with `new` would change of a run recorded with `old`."""
    before, after = old.graph.index, new.graph.index
    changed: dict[str, tuple[str, ...]] = {}
    for name, index in after.items():
        if name in before:
            was, now = old.graph.tasks[before[name]], new.graph.tasks[index]
            if was != now:
                changed[name] = tuple(_differing(was, now))
    return PlanChange(
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        changed,
    )


def _differing(was: object, now: object) -> Iterable[str]:
    for field in fields(was):  # type: ignore[arg-type]
        one, other = getattr(was, field.name), getattr(now, field.name)
        if one == other:
            continue
        if field.name == "policy":
            yield from _differing(one, other)
        else:
            yield field.name


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a run that is taken up starts from. facts: before CapacityChanged; ends: after it. done: tasks that are ok already."""

    facts: Sequence[Event]
    ends: Sequence[Event]
    done: int
    adopted: int


def recover(
    opened: OpenRun,
    executors: Mapping[str, Executor],
    default: str,
    *,
    plan: Plan,
    redo: Collection[int],
    rescaled: Collection[int],
) -> Recovered:
    """The events that bring a fresh scheduler to where the run stood.

    redo: tasks that are pending again. rescaled: tasks whose present request replaces a recorded one (their plan changed).
    """
    facts: list[Event] = []
    again = frozenset(redo)
    done = 0
    for row in opened.tasks:
        if row.task in again or row.state in ("pending", "running"):
            continue
        facts.append(TaskRecovered(row.task, row.state, row.cause))
        done += row.state == "ok"
    for task, items in opened.items.items():
        ok = frozenset(number for number, (_, state, _) in enumerate(items) if state == "ok")
        facts.append(ItemsRecovered(task, tuple(item for item, _, _ in items), ok))
    facts.extend(_requests(opened.attempts, frozenset(rescaled)))
    open_rows = [row for row in opened.attempts if row.state in OPEN_STATES]
    ends: list[Event] = []
    adopted = 0
    for name, executor in executors.items():
        rows = [row for row in open_rows if (plan.graph.tasks[row.key.task].policy.executor or default) == name]
        adopted += _reattach(executor, rows, opened.offsets, facts, ends)
    return Recovered(facts, ends, done, adopted)


def _requests(rows: Sequence[AttemptRow], rescaled: frozenset[int]) -> Iterable[Event]:
    last: dict[tuple[int, int], AttemptRow] = {}
    for row in rows:
        last[row.key.task, row.key.instance] = row
    for (task, instance), row in last.items():
        request = None if task in rescaled else row.next_request
        yield RequestRecovered(task, instance, row.key.attempt, request)


def _reattach(
    executor: Executor,
    rows: Sequence[AttemptRow],
    offsets: Mapping[str, int],
    facts: list[Event],
    ends: list[Event],
) -> int:
    """Adopt every open attempt, then end those that live no more; returns how many live on."""
    nonces = {row.key: row.nonce for row in rows}
    living = executor.reattach(nonces, offsets)
    for row in rows:
        facts.append(AttemptAdopted(row.key, row.nonce, row.request, row.started or 0.0))
    finished: dict[AttemptKey, Finished] = {}
    for report in executor.poll().reports:
        if isinstance(report, Finished) and nonces.get(report.key) == report.nonce:
            finished[report.key] = report
    for row in rows:
        if row.key in finished:
            ends.append(AttemptEnded(row.key, row.nonce, finished[row.key].outcome))
        elif row.key not in living:
            began = row.state == "running"
            detail = "its process is gone and left no receipt" if began else "it had not begun when the engine ended"
            ends.append(AttemptEnded(row.key, row.nonce, Outcome(False, LOST, detail=detail, charged=began)))
    return len(living)


def end_changed(executor: Executor, rows: Sequence[AttemptRow], offsets: Mapping[str, int]) -> Sequence[CloseAttempt]:
    """End live attempts of tasks that the present plan changed or dropped; their results do not count. Facts to record."""
    living: Mapping[AttemptKey, Began | None] = executor.reattach({row.key: row.nonce for row in rows}, offsets)
    waiting = set(living)
    executor.stop(tuple(living), "terminate", CANCELLED)
    deadline = time.monotonic() + STOP_LIMIT_SECONDS
    while waiting and time.monotonic() < deadline:
        select.select(executor.bells(), (), (), 1.0)
        waiting -= {report.key for report in executor.poll().reports if isinstance(report, Finished)}
    outcome = Outcome(False, CANCELLED, detail="its task changed or left the plan", charged=False)
    return [CloseAttempt(row.key, row.nonce, outcome, None) for row in rows if row.key not in waiting]
