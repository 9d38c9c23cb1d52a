"""A store that forgets: the ports `Store`, `Ledger` and `Archive` in memory, for tests and simulations.

It keeps the promises of the real one, the contract suite runs on both: nothing counts before `commit`, a transaction
counts whole or not at all, contradictions and fenced owners are refused. Beyond the ports it lets a test play the world:
`crash()`, `fence()`, `fill()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from weft.errors import InternalError, OwnedError, StoreError
from weft.ports import AttemptRow, BegunRow, FileRow, NewRun, OpenRun, ResultRow, RunRow, TaskRow
from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    Record,
    ReopenTask,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import CANCELLED, INTERRUPTED, LOST, NO_OUTPUT, NO_USAGE, Outcome, RunState, TaskState
from weft.scheduling.reasons import Reason

_SECONDS_DIGITS: Final = 6
_OPEN: Final = ("queued", "running")
_ABSENT: Final = object()

Item = tuple[str, TaskState, str | None]


@dataclass(slots=True)
class _Run:
    """What is recorded of one run. items: by (task, instance)."""

    row: RunRow
    names: tuple[str, ...]
    selected: tuple[int, ...]
    snapshot: bytes
    settled: dict[int, SettleTask] = field(default_factory=dict)
    attempts: dict[AttemptKey, AttemptRow] = field(default_factory=dict)
    items: dict[tuple[int, int], Item] = field(default_factory=dict)
    reasons: dict[int, tuple[Reason, ...]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    begun: dict[tuple[int, int], BegunRow] = field(default_factory=dict)


class _Undo:
    """Changes of dictionaries that can be taken back."""

    def __init__(self) -> None:
        self._old: list[tuple[dict[Any, Any], Any, Any]] = []

    def put(self, target: dict[Any, Any], key: Any, value: Any) -> None:
        self._old.append((target, key, target.get(key, _ABSENT)))
        target[key] = value

    def drop(self, target: dict[Any, Any], key: Any) -> None:
        if key in target:
            self._old.append((target, key, target.pop(key)))

    def take_back(self) -> None:
        while self._old:
            target, key, value = self._old.pop()
            if value is _ABSENT:
                del target[key]
            else:
                target[key] = value


class MemoryStore:
    """Fulfils `ports.Store` and `ports.Archive`. facts: everything committed, by run, in order."""

    def __init__(self) -> None:
        self.facts: dict[str, list[Any]] = {}
        self.warnings: list[str] = []
        self._runs: dict[str, _Run] = {}
        self._epochs: dict[str, int] = {}
        self._owners: dict[str, MemoryLedger | None] = {}
        self._results: dict[tuple[str, str, str, str], ResultRow] = {}
        self._files: dict[str, FileRow] = {}
        self._is_full = False

    # -- what the world does

    def crash(self) -> None:
        """All owners die: what they had not committed is lost, their locks are free."""
        for ledger in self._owners.values():
            if ledger is not None:
                ledger.die()
        self._owners.clear()

    def fence(self, plan_key: str) -> None:
        """Another owner takes the plan over, behind the back of the present one."""
        self._epochs[plan_key] += 1

    def fill(self, full: bool = True) -> None:
        """The disk is full; or, with False, has room again."""
        self._is_full = full

    # -- Store

    def open_run(self, new: NewRun) -> MemoryLedger:
        """See `ports.Store.open_run`."""
        self._refuse_full()
        self._claim(new.plan_key)
        for run in self._runs.values():
            if run.row.plan_key == new.plan_key and run.row.state == "running":
                run.row = run.row._replace(state="interrupted", ended=new.started)
        epoch = self._raise(new.plan_key)
        row = RunRow(
            new.run, new.plan_key, new.plan_name, new.root, "running", new.started, None, None, epoch,
            dict(new.settings), len(new.selected),
        )  # fmt: skip
        self._runs[new.run] = _Run(row, tuple(new.names), tuple(new.selected), new.snapshot)
        self.facts[new.run] = []
        return self._own(new.run, new.plan_key, epoch)

    def reopen_run(self, run: str) -> tuple[MemoryLedger, OpenRun]:
        """See `ports.Store.reopen_run`."""
        found = self._find(run)
        self._refuse_full()
        self._claim(found.row.plan_key)
        epoch = self._raise(found.row.plan_key)
        found.row = found.row._replace(state="running", ended=None, exit_code=None, epoch=epoch)
        attempts = self.attempts(run)
        for unit, begun in list(found.begun.items()):
            last = _last(begun, attempts)
            if last is not None and last.state not in (*_OPEN, "ok"):
                del found.begun[unit]
        return self._own(run, found.row.plan_key, epoch), self.opened(run)

    def open_attempts(self, plan_key: str) -> list[tuple[RunRow, list[AttemptRow]]]:
        """Runs of this plan whose engine died, with the attempts that may still live; takes the plan and keeps it."""
        self._claim(plan_key)
        self._owners[plan_key] = None
        found = []
        for run in self._runs.values():
            live = [row for row in self.attempts(run.row.run) if row.state in _OPEN]
            if run.row.plan_key == plan_key and run.row.state == "running" and live:
                found.append((run.row, live))
        return found

    def close(self) -> None:
        """Let go of plans that no ledger holds."""
        for plan_key in [key for key, ledger in self._owners.items() if ledger is None]:
            del self._owners[plan_key]

    # -- Archive

    def runs(self, plan_key: str | None = None) -> list[RunRow]:
        """See `ports.Archive.runs`."""
        return [run.row for run in self._runs.values() if plan_key is None or run.row.plan_key == plan_key]

    def tasks(self, run: str) -> list[TaskRow]:
        """See `ports.Archive.tasks`."""
        found = self._find(run)
        tried: dict[int, tuple[int, bool]] = {}
        for key, row in found.attempts.items():
            most, is_live = tried.get(key.task, (0, False))
            tried[key.task] = (max(most, key.attempt), is_live or row.state in _OPEN)
        instances: dict[int, int] = {}
        for task, _ in found.items:
            instances[task] = instances.get(task, 0) + 1
        return [_task_row(found, task, tried.get(task, (0, False)), instances.get(task, 0)) for task in found.selected]

    def attempts(self, run: str, task: int | None = None) -> list[AttemptRow]:
        """See `ports.Archive.attempts`."""
        rows = self._find(run).attempts
        return [rows[key] for key in sorted(rows) if task is None or key.task == task]

    def items(self, run: str, task: int | None = None) -> Mapping[int, Sequence[Item]]:
        """See `ports.Archive.items`."""
        found: dict[int, list[Item]] = {}
        for (mapped, _), item in sorted(self._find(run).items.items(), key=lambda entry: entry[0]):
            if task is None or mapped == task:
                found.setdefault(mapped, []).append(item)
        return found

    def snapshot(self, run: str) -> bytes:
        """See `ports.Archive.snapshot`."""
        return self._find(run).snapshot

    def results(self, plan_key: str) -> Mapping[tuple[str, str], ResultRow]:
        """See `ports.Archive.results`."""
        latest = {(row.name, row.instance): row for row in self._results.values() if row.plan_key == plan_key}
        return {key: latest[key] for key in sorted(latest)}

    def reasons(self, run: str, task: int) -> tuple[Reason, ...]:
        """Why the task had to run, or need not."""
        return self._find(run).reasons.get(task, ())

    def by_fingerprint(self, fingerprints: Sequence[str], plan_key: str | None = None) -> dict[str, ResultRow]:
        """The newest result of each fingerprint that has one."""
        found = {row.fingerprint: row for row in self._results.values() if plan_key in (None, row.plan_key)}
        return {fingerprint: found[fingerprint] for fingerprint in fingerprints if fingerprint in found}

    def files(self, paths: Sequence[str] | None = None) -> dict[str, FileRow]:
        """What is known of these files, or of all, by path."""
        wanted = sorted(self._files) if paths is None else paths
        return {path: self._files[path] for path in wanted if path in self._files}

    # -- for ledgers

    def opened(self, run: str) -> OpenRun:
        """All that is recorded of a run."""
        found = self._find(run)
        attempts = self.attempts(run)
        begun = [row for _, row in sorted(found.begun.items(), key=itemgetter(0)) if _is_wanted(row, attempts)]
        begun = [row._replace(ended=_end_of(row, attempts)) for row in begun]
        return OpenRun(found.row, self.tasks(run), self.items(run), attempts, dict(found.offsets), begun)

    def write(self, ledger: MemoryLedger, facts: Sequence[Any], offsets: Mapping[str, int]) -> None:
        """One transaction. Raises StoreError, InternalError; then nothing has changed."""
        self._refuse_full()
        run = self._find(ledger.run)
        if self._epochs[run.row.plan_key] != ledger.epoch:
            raise StoreError(f"another owner took over run {ledger.run}")
        undo = _Undo()
        try:
            for fact in facts:
                _apply(run, fact, undo)
        except BaseException:
            undo.take_back()
            raise
        run.offsets.update(offsets)
        self.facts[ledger.run].extend(facts)

    def keep(self, run: str, results: Sequence[ResultRow], files: Sequence[FileRow], begun: Sequence[BegunRow]) -> None:
        """Results and digests of a transaction that was written, and what attempts were begun with."""
        known = self._find(run).begun
        for row in begun:
            known.pop((row.task, row.instance), None)
            if not row.is_over:
                known[row.task, row.instance] = row
        for result in results:
            key = (result.plan_key, result.name, result.instance, result.fingerprint)
            self._results.pop(key, None)  # what is told again is the newest
            self._results[key] = result
        self._files.update({row.path: row for row in files})

    def replace_plan(
        self, run: str, snapshot: bytes, names: Sequence[str], selected: Sequence[int], moved: Any
    ) -> None:
        """Let a run show another plan."""
        found = self._find(run)
        self._runs[run] = _Run(
            found.row._replace(tasks=len(selected)),
            tuple(names),
            tuple(selected),
            snapshot,
            {moved[task]: fact._replace(task=moved[task]) for task, fact in found.settled.items() if task in moved},
            {
                row.key._replace(task=moved[row.key.task]): row._replace(key=row.key._replace(task=moved[row.key.task]))
                for row in found.attempts.values()
                if row.key.task in moved
            },
            {(moved[task], instance): item for (task, instance), item in found.items.items() if task in moved},
            {moved[task]: reasons for task, reasons in found.reasons.items() if task in moved},
            found.offsets,
            {
                (moved[task], instance): row._replace(task=moved[task])
                for (task, instance), row in found.begun.items()
                if task in moved
            },
        )

    def end(self, run: str, state: RunState, exit_code: int, ended: float) -> None:
        """Show the end of a run."""
        found = self._find(run)
        found.row = found.row._replace(state=state, exit_code=exit_code, ended=ended)

    def release(self, ledger: MemoryLedger) -> None:
        """Give a plan up."""
        self._owners = {key: owner for key, owner in self._owners.items() if owner is not ledger}

    # -- inside

    def _find(self, run: str) -> _Run:
        found = self._runs.get(run)
        if found is None:
            raise StoreError(f"there is no run {run}")
        return found

    def _claim(self, plan_key: str) -> None:
        if self._owners.get(plan_key) is not None:
            raise OwnedError(f"plan {plan_key} is being run", "wait for it, or end it")

    def _raise(self, plan_key: str) -> int:
        self._epochs[plan_key] = self._epochs.get(plan_key, 0) + 1
        return self._epochs[plan_key]

    def _own(self, run: str, plan_key: str, epoch: int) -> MemoryLedger:
        ledger = MemoryLedger(self, run, epoch)
        self._owners[plan_key] = ledger
        return ledger

    def _refuse_full(self) -> None:
        if self._is_full:
            raise StoreError("no room for the state (0 bytes free)", hint="make room", is_passing=True)


class MemoryLedger:
    """Fulfils `ports.Ledger`; made by `MemoryStore`."""

    def __init__(self, store: MemoryStore, run: str, epoch: int):
        self.run = run
        self.epoch = epoch
        self._store = store
        self._steps: list[Any] = []
        self._offsets: dict[str, int] = {}
        self._results: list[ResultRow] = []
        self._files: list[FileRow] = []
        self._begun: list[BegunRow] = []
        self._is_dead = False

    def record(self, facts: Sequence[StartAttempt | Record], offsets: Mapping[str, int]) -> None:
        """See `ports.Ledger.record`."""
        self._steps.extend(facts)
        self._offsets.update(offsets)

    def remember(self, results: Sequence[ResultRow], files: Sequence[FileRow], begun: Sequence[BegunRow] = ()) -> None:
        """See `ports.Ledger.remember`."""
        self._results.extend(results)
        self._files.extend(files)
        self._begun.extend(begun)

    def commit(self) -> None:
        """See `ports.Ledger.commit`."""
        if self._is_dead:
            raise StoreError(f"the ledger of run {self.run} is closed")
        self._store.write(self, self._steps, self._offsets)
        self._store.keep(self.run, self._results, self._files, self._begun)
        self._steps, self._offsets, self._results, self._files, self._begun = [], {}, [], [], []

    def opened(self) -> OpenRun:
        """The run as it is recorded now; commits first."""
        self.commit()
        return self._store.opened(self.run)

    def replan(self, snapshot: bytes, names: Sequence[str], selected: Sequence[int], moved: Mapping[int, int]) -> None:
        """See `ports.Ledger.replan`. Here it counts at once."""
        self.commit()
        self._store.replace_plan(self.run, snapshot, names, selected, moved)

    def finish(self, state: RunState, exit_code: int, ended: float) -> None:
        """See `ports.Ledger.finish`."""
        self.commit()
        self._store.end(self.run, state, exit_code, ended)

    def close(self) -> None:
        """See `ports.Ledger.close`."""
        self._is_dead = True
        self._store.release(self)

    def die(self) -> None:
        """Lose everything that was not committed."""
        self._is_dead = True


def _task_row(run: _Run, task: int, tried: tuple[int, bool], instances: int) -> TaskRow:
    fact = run.settled.get(task)
    if fact is None:
        attempts, is_live = tried
        state: TaskState = "running" if is_live else "pending"
        return TaskRow(task, run.names[task], state, None, None, attempts, None, None, None, None, instances)
    seconds, cpu_seconds, memory = fact.usage
    return TaskRow(
        task, run.names[task], fact.state, fact.cause, fact.detail, fact.attempts,
        _rounded(seconds) or None, memory, _rounded(cpu_seconds), fact.fingerprint, instances,
    )  # fmt: skip


def _is_wanted(row: BegunRow, attempts: Sequence[AttemptRow]) -> bool:
    """Whether its last attempt is open or ended well, or instances share it."""
    last = _last(row, attempts)
    return row.instance == WHOLE if last is None else last.state in (*_OPEN, "ok")


def _end_of(row: BegunRow, attempts: Sequence[AttemptRow]) -> float | None:
    last = _last(row, attempts)
    return None if last is None or last.state != "ok" else (last.started or 0.0) + last.usage.seconds


def _last(row: BegunRow, attempts: Sequence[AttemptRow]) -> AttemptRow | None:
    return next((a for a in reversed(attempts) if (a.key.task, a.key.instance) == (row.task, row.instance)), None)


def _apply(run: _Run, fact: Any, undo: _Undo) -> None:
    """Show a fact. Raises InternalError when it contradicts what is shown."""
    match fact:
        case StartAttempt(key, nonce, request):
            _expect(key not in run.attempts, fact)
            row = AttemptRow(
                key, nonce, "queued", None, None, None, None, NO_USAGE, request, NO_OUTPUT, NO_OUTPUT, None, None, True
            )
            undo.put(run.attempts, key, row)
        case BeginAttempt(key, nonce, started, stdout, stderr):
            found = run.attempts.get(key)
            _expect(found is not None and found.nonce == nonce and found.state == "queued", fact)
            assert found is not None
            begun = found._replace(state="running", started=_rounded(started), stdout=stdout, stderr=stderr)
            undo.put(run.attempts, key, begun)
        case CloseAttempt(key, nonce):
            found = run.attempts.get(key)
            _expect(found is not None and found.nonce == nonce and found.state in _OPEN, fact)
            assert found is not None
            undo.put(run.attempts, key, _closed(found, fact))
        case SettleTask(task=task):
            _expect(task not in run.settled, fact)
            undo.put(run.settled, task, fact)
        case TakeItems(task, items):
            for instance, item in enumerate(items):
                _expect((task, instance) not in run.items, fact)
                undo.put(run.items, (task, instance), (item, "pending", None))
        case AddItems(task, first, items):
            for instance, item in enumerate(items, first):
                _expect((task, instance) not in run.items, fact)
                undo.put(run.items, (task, instance), (item, "pending", None))
        case SettleInstance(task, instance, state, cause, _):
            _expect(run.items.get((task, instance), ("", "", None))[1] == "pending", fact)
            undo.put(run.items, (task, instance), (run.items[task, instance][0], state, cause))
        case ReopenTask(task, anew):
            undo.drop(run.settled, task)
            _reopen_items(run, task, anew, undo)
        case ExplainTask(task, reasons):
            undo.put(run.reasons, task, reasons)
        case _:
            raise InternalError(f"the store does not know the fact {fact!r}")


def _reopen_items(run: _Run, task: int, anew: bool, undo: _Undo) -> None:
    for place in [place for place in run.items if place[0] == task]:
        item, state, _ = run.items[place]
        if anew:
            undo.drop(run.items, place)
        elif state != "ok":
            undo.put(run.items, place, (item, "pending", None))


def _closed(row: AttemptRow, fact: CloseAttempt) -> AttemptRow:
    outcome, retry = fact.outcome, fact.retry
    seconds, cpu_seconds, memory = outcome.usage
    ended = _ended_state(outcome)
    return row._replace(
        state=ended,
        cause=outcome.cause,
        detail=outcome.detail,
        exit_code=outcome.exit_code,
        usage=outcome.usage._replace(seconds=_rounded(seconds), cpu_seconds=_rounded(cpu_seconds), memory=memory),
        stdout=outcome.stdout if outcome.stdout.file or ended != "lost" else row.stdout,
        stderr=outcome.stderr if outcome.stderr.file or ended != "lost" else row.stderr,
        product=outcome.product,
        retry=None if retry is None else retry.change or retry.reason,
        charged=outcome.charged,
        next_request=None if retry is None else retry.request,
    )


def _ended_state(outcome: Outcome) -> str:
    if outcome.ok:
        return "ok"
    kind = (outcome.cause or "").partition(":")[0]
    if kind == LOST:
        return "lost"
    return "cancelled" if kind in (CANCELLED, INTERRUPTED) else "failed"


def _rounded(seconds: float | None) -> Any:
    return None if seconds is None else round(seconds, _SECONDS_DIGITS)


def _expect(holds: bool, fact: Any) -> None:
    if not holds:
        raise InternalError(f"a stale fact: {fact!r}")
