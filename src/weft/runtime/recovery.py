"""Taking up a recorded run: what is known becomes events for a fresh scheduler.

Steps 3 to 9 of reliability.md section 3. Each step is one transaction or can be repeated, so that a crash in recovery changes
nothing: recorded ends are read, receipts close open attempts through the ordinary path (adopt, then end), and what neither
lives nor left a receipt is closed as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from weft.collector import collector_paused
from weft.ports import (
    AttemptRow,
    Began,
    Clock,
    Executor,
    Finished,
    OpenRun,
    Report,
    Reports,
    StreamReport,
    TaskRow,
    Waiter,
)
from weft.runtime.recovered import Recovered as Recovered
from weft.scheduling.commands import CloseAttempt, ReopenTask
from weft.scheduling.events import (
    AttemptAdopted,
    Event,
    ItemsRecovered,
    RequestRecovered,
    TaskRecovered,
)
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import CANCELLED, LOST, Outcome, Request
from weft.spec.actions import Call, Serialized
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
    if new is old:
        return PlanChange((), (), {})
    before, after = old.graph.index, new.graph.index
    changed: dict[str, tuple[str, ...]] = {}
    for name, index in after.items():
        if name in before:
            was, now = old.graph.tasks[before[name]], new.graph.tasks[index]
            if was != now and (differing := tuple(_differing(was, now))):
                changed[name] = differing
    return PlanChange(
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        changed,
    )


def _differing(was: object, now: object) -> Iterable[str]:
    for field in fields(was):  # type: ignore[arg-type]
        one, other = getattr(was, field.name), getattr(now, field.name)
        if one == other or (field.name == "action" and _is_same_code(one, other)):
            continue
        if field.name == "policy":
            yield from _differing(one, other)
        else:
            yield field.name


def _is_same_code(one: object, other: object) -> bool:
    """Whether both are one typed function by value: its pickle may be another each time, the parts of its code are not."""
    return (
        isinstance(one, Call)
        and isinstance(other, Call)
        and isinstance(one.function, Serialized)
        and isinstance(other.function, Serialized)
        and bool(one.code)
        and one.code == other.code
    )


def unfinished(rows: Sequence[TaskRow]) -> set[int]:
    """What a resume takes up: everything that is not ok and was not cancelled on request (design.md 16)."""
    return {row.task for row in rows if row.state != "ok" and not (row.state == "cancelled" and row.cause == CANCELLED)}


def reopen(opened: OpenRun, redo: Collection[int]) -> list[ReopenTask]:
    """The facts that make `redo` pending again. A task that was ok (a retry asks for it) runs all of its instances anew.

    Also of tasks that had not ended themselves: what their instances came to is open again, but for those that are ok.
    """
    facts = []
    for row in opened.tasks:
        has_ended = row.state not in ("pending", "running")
        if has_ended and row.task in redo:
            facts.append(ReopenTask(row.task, row.state == "ok"))
        elif not has_ended and any(state not in ("pending", "ok") for _, state, _ in opened.items.get(row.task, ())):
            facts.append(ReopenTask(row.task))
    return facts


@collector_paused()
def recover(
    opened: OpenRun,
    executors: Mapping[str, Executor],
    default: str,
    *,
    plan: Plan,
    redo: Collection[int],
    rescaled: Collection[int] = (),
    asked: Callable[[AttemptRow], Request | None] | None = None,
) -> Recovered:
    """The events that bring a fresh scheduler to where the run stood.

    redo: tasks that are pending again. rescaled: tasks whose present request replaces a recorded one (their plan changed).
    asked: what a unit asks for next, by its last attempt; None for what its plan says. Left away: what it had, unless rescaled.
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
    facts.extend(_requests(opened.attempts, asked or _asked_before(frozenset(rescaled))))
    rows_by_executor: dict[str, list[AttemptRow]] = {}
    for attempt in opened.attempts:
        if attempt.state in OPEN_STATES:
            named = plan.graph.tasks[attempt.key.task].policy.executor or default
            rows_by_executor.setdefault(named if named in executors else default, []).append(attempt)
    fingerprints = {row.task: row.fingerprint for row in opened.begun if row.fingerprint is not None}
    begun: list[Began] = []
    reports: list[Report | StreamReport] = []
    offsets: dict[str, int] = {}
    for name, executor in executors.items():
        rows = rows_by_executor.get(name, ())
        news = _reattach(executor, rows, opened.offsets, fingerprints, facts, begun)
        reports += news.reports
        offsets.update(news.offsets)
    return Recovered(facts, begun, Reports(reports, offsets), done)


def _asked_before(rescaled: frozenset[int]) -> Callable[[AttemptRow], Request | None]:
    """Without a retry (interrupted, given up) the next attempt asks for what the last one had: scaling is not forgotten."""

    def asked(row: AttemptRow) -> Request | None:
        return None if row.key.task in rescaled or row.state == "ok" else row.next_request or row.request

    return asked


def _requests(rows: Sequence[AttemptRow], asked: Callable[[AttemptRow], Request | None]) -> Iterable[Event]:
    last: dict[tuple[int, int], AttemptRow] = {}
    for row in rows:
        last[row.key.task, row.key.instance] = row
    for (task, instance), row in last.items():
        yield RequestRecovered(task, instance, row.key.attempt, asked(row))


def _reattach(
    executor: Executor,
    rows: Sequence[AttemptRow],
    offsets: Mapping[str, int],
    fingerprints: Mapping[int, str],
    facts: list[Event],
    begun: list[Began],
) -> Reports:
    """Adopt every open attempt; what has ended since, or is gone, ends by the reports that come back."""
    nonces = {row.key: row.nonce for row in rows}
    living = executor.reattach(nonces, offsets)
    reports, read = executor.poll()
    begins = {
        report.key: report for report in reports if isinstance(report, Began) and nonces.get(report.key) == report.nonce
    }
    told = {report.key for report in reports if isinstance(report, Finished) and nonces.get(report.key) == report.nonce}
    gone: list[Report] = []
    for row in rows:
        began = living.get(row.key) or begins.get(row.key)
        if began is not None and row.state == "queued":
            begun.append(began)
        started = began.started if row.started is None and began is not None else row.started
        fingerprint = fingerprints.get(row.key.task)
        facts.append(AttemptAdopted(row.key, row.nonce, row.request, started or 0.0, fingerprint))
        if row.key not in living and row.key not in told:
            gone.append(_lost(row))
    return Reports([*(report for report in reports if not isinstance(report, Began)), *gone], read)


def _lost(row: AttemptRow) -> Finished:
    had_begun = row.state == "running"
    detail = "its process is gone and left no receipt" if had_begun else "it had not begun when the engine ended"
    return Finished(row.key, row.nonce, Outcome(False, LOST, detail=detail, charged=had_begun))


def end_changed(
    executor: Executor, rows: Sequence[AttemptRow], offsets: Mapping[str, int], clock: Clock, waiter: Waiter
) -> Sequence[CloseAttempt]:
    """End live attempts whose task changed or left, or has another executor now; their results do not count. Facts to record."""
    living, ended = _end(executor, rows, offsets, clock, waiter)
    outcome = Outcome(False, CANCELLED, detail="its task changed or left the plan", charged=False)
    return [
        CloseAttempt(row.key, row.nonce, outcome, None) for row in rows if row.key in ended or row.key not in living
    ]


def end_living(
    executor: Executor, rows: Sequence[AttemptRow], offsets: Mapping[str, int], clock: Clock, waiter: Waiter
) -> Sequence[CloseAttempt]:
    """End what lives, because it is to be begun anew; what has ended by itself keeps its outcome. Facts to record."""
    living, ended = _end(executor, rows, offsets, clock, waiter)
    outcome = Outcome(False, CANCELLED, detail="ended by a resume that begins it anew", charged=False)
    return [
        CloseAttempt(row.key, row.nonce, outcome, None)
        for row in rows
        if row.key in living and row.key in ended and not ended[row.key].ok
    ]


def _end(
    executor: Executor, rows: Sequence[AttemptRow], offsets: Mapping[str, int], clock: Clock, waiter: Waiter
) -> tuple[Mapping[AttemptKey, Began | None], Mapping[AttemptKey, Outcome]]:
    """(what lived when we came, how what has ended by now did it)."""
    living = executor.reattach({row.key: row.nonce for row in rows}, offsets)
    ended: dict[AttemptKey, Outcome] = {}
    executor.stop(tuple(living), "terminate", CANCELLED)
    deadline = clock.monotonic() + STOP_LIMIT_SECONDS
    while True:
        ended.update((each.key, each.outcome) for each in executor.poll().reports if isinstance(each, Finished))
        left = deadline - clock.monotonic()
        if ended.keys() >= living.keys() or left <= 0:
            return living, ended
        waiter.wait(executor.bells(), left)
