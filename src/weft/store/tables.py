"""Changes the tables that show the facts. The same code serves an owner's transaction and the replay of a whole run.

Facts of one transaction are grouped by kind and written with one prepared statement each: per row that is what SQLite
costs least. Grouping keeps the meaning, since kinds touch rows in a fixed order (an attempt is added, begins, is closed);
facts that undo others (`ReopenTask`, `ChangePlan`) and those of the run itself cut a transaction into groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, count
from operator import eq
from typing import Any, Final

import apsw

from weft.errors import InternalError
from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    ReopenTask,
    Retry,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.scheduling.outcomes import CACHED, CANCELLED, INTERRUPTED, LOST, NO_USAGE, LogRegion, Outcome, Request, Usage
from weft.store import codec
from weft.store.facts import ChangePlan, CountReceipts, EndRun, Fact, OwnRun
from weft.store.sql import statements

TASK_STATES: Final = ("pending", "running", "ok", "failed", "skipped", "cancelled")
ATTEMPT_STATES: Final = ("queued", "running", "ok", "failed", "cancelled", "lost")

_STATE_NUMBERS: Final = {state: number for number, state in enumerate(TASK_STATES)}
_OK, _FAILED, _CANCELLED, _LOST = (ATTEMPT_STATES.index(state) for state in ("ok", "failed", "cancelled", "lost"))
_WRAP: Final = 1 << 64
_HALF: Final = 1 << 63
_NO_REGION: Final = (None, None, None)
ROWS_TOGETHER: Final = 50
MOVED_TABLES: Final = ("tasks", "attempts", "items", "reasons", "begun")
"""Those that speak of tasks by their place in the plan."""

Row = tuple[Any, ...]


def wrap_nonce(nonce: int) -> int:
    """An unsigned 64-bit number as SQLite's signed one."""
    return nonce - _WRAP if nonce >= _HALF else nonce


def unwrap_nonce(stored: int) -> int:
    """The number that `wrap_nonce` was given."""
    return stored + _WRAP if stored < 0 else stored


def pack_text(text: str | None) -> str | bytes | None:
    """Text as SQLite can hold it: with lone surrogates (file names that are no UTF-8) it becomes bytes."""
    if text is None or text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpack_text(stored: str | bytes | None) -> Any:
    """What `pack_text` was given."""
    return stored.decode("utf-8", "surrogatepass") if isinstance(stored, bytes) else stored


def pack_digest(digest: str | None) -> str | bytes | None:
    """A hex digest as half as many bytes; other text as it is."""
    if digest is None or len(digest) % 2 or digest != digest.lower():
        return digest
    try:
        return bytes.fromhex(digest) if digest.isalnum() else digest
    except ValueError:
        return digest


def pack_digests(digests: Sequence[str | None]) -> Sequence[str | bytes | None]:
    """`pack_digest` of each; of those that are all of one kind in a fifth of the time."""
    return codec.join_digests(digests) or [pack_digest(digest) for digest in digests]


def unpack_digest(stored: str | bytes | None) -> str | None:
    """What `pack_digest` was given."""
    return stored.hex() if isinstance(stored, bytes) else stored


class Tables:
    """The tables of one run behind a connection that is inside a transaction."""

    def __init__(self, connection: apsw.Connection, number: int):
        self._connection = connection
        self._number = number
        self._sql = statements("ledger")
        self._demands: dict[Request, int] | None = None

    def apply(self, facts: Sequence[Fact]) -> None:
        """Show these facts. Raises InternalError when one of them contradicts what is shown; the caller rolls back."""
        groups: dict[type, list[Any]] = {}
        for fact in facts:
            kind = type(fact)
            if kind in _BARRIERS:
                self._write(groups)
                groups = {}
                self._pass(fact)
                continue
            group = groups.get(kind)
            if group is None:
                groups[kind] = [fact]
            else:
                group.append(fact)
        self._write(groups)

    def forget(self) -> None:
        """The transaction was rolled back: what was learnt in it is void."""
        self._demands = None

    # -- groups

    def _write(self, groups: dict[type, list[Any]]) -> None:
        number = self._number
        if found := groups.get(TakeItems):
            self._change(
                "add_item",
                [(number, f.task, index, pack_text(item)) for f in found for index, item in enumerate(f.items)],
            )
        if found := groups.get(AddItems):
            self._change(
                "add_item",
                [
                    (number, f.task, index, pack_text(item))
                    for f in found
                    for index, item in enumerate(f.items, f.first)
                ],
            )
        if found := groups.get(StartAttempt):
            self._change("add_attempt", self._starts(found))
        if found := groups.get(BeginAttempt):
            self._change("begin_attempt", [self._begin(f) for f in found])
        if found := groups.get(CloseAttempt):
            self._close(found)
        if found := groups.get(SettleInstance):
            rows = [
                (_STATE_NUMBERS[f.state], pack_text(f.cause), pack_text(f.detail), number, f.task, f.instance)
                for f in found
            ]
            self._change("settle_instance", rows)
        if found := groups.get(SettleTask):
            self._settle(found)
        if found := groups.get(ExplainTask):
            why = [(number, fact.task, codec.dump_reasons(fact.reasons)) for fact in found]
            self._connection.executemany(self._sql["set_reasons"], why)

    def _starts(self, facts: list[StartAttempt]) -> list[Row]:
        number = self._number
        last, demand = None, 0
        rows: list[Row] = []
        for fact in facts:
            task, instance, attempt = fact[0]
            nonce, request = fact[1], fact[2]
            if request is not last:
                last, demand = request, self._demand(request)
            rows.append((number, task, instance, attempt, nonce - _WRAP if nonce >= _HALF else nonce, demand))
        return rows

    def _begin(self, fact: BeginAttempt) -> Row:
        started = round(fact.started, codec.SECONDS_DIGITS)
        place = (self._number, *fact.key, wrap_nonce(fact.nonce))
        return (started, *_region(fact.stdout), *_region(fact.stderr), *place)

    def _close(self, facts: list[CloseAttempt]) -> None:
        plain: list[Row] = []
        full: list[Row] = []
        number = self._number
        for key, nonce, outcome, retry in facts:
            task, instance, attempt = key
            place = (number, task, instance, attempt, nonce - _WRAP if nonce >= _HALF else nonce)
            if outcome == codec.PLAIN and retry is None:
                plain.append(place)
            else:
                full.append((*_end(outcome, retry), *place))
        self._change("close_plain", plain)
        self._change("close_attempt", full)

    def _settle(self, facts: list[SettleTask]) -> None:
        plain: list[Row] = []
        full: list[Row] = []
        cached: list[Row] = []
        fingerprints: list[str | None] = []
        number = self._number
        for task, state, cause, detail, attempts, fingerprint, usage in facts:
            if cause == CACHED and detail is None and usage == NO_USAGE:
                cached.append((number, task, _STATE_NUMBERS[state], attempts, CACHED))
                fingerprints.append(fingerprint)
                continue
            place = (number, task, _STATE_NUMBERS[state], attempts)
            if cause is None and detail is None and fingerprint is None and usage == NO_USAGE:
                plain.append(place)
                continue
            said = (pack_text(cause), pack_text(detail))
            full.append((*place, *said, *_measured(usage), pack_digest(fingerprint)))
        self._change("settle_plain", plain)
        self._change("settle_task", full)
        if cached:
            self._add(
                "settle_cached",
                [(*row, digest) for row, digest in zip(cached, pack_digests(fingerprints), strict=True)],
            )

    def _demand(self, request: Request) -> int:
        if self._demands is None:
            rows = self._connection.execute(self._sql["demands"], (self._number,))
            self._demands = {codec.load_request(body): number for number, body in rows}
        number = self._demands.get(request)
        if number is None:
            number = self._demands[request] = len(self._demands)
            self._connection.execute(self._sql["add_demand"], (self._number, number, codec.dump_request(request)))
        return number

    def _add(self, name: str, rows: list[Row]) -> None:
        """Add rows, many in one statement: half the price of one by one."""
        together = len(rows) - len(rows) % ROWS_TOGETHER
        one = self._sql[name]
        try:
            if together:
                marks = f", ({', '.join('?' * len(rows[0]))})"
                pieces = (rows[place : place + ROWS_TOGETHER] for place in range(0, together, ROWS_TOGETHER))
                many = one.removesuffix(";") + marks * (ROWS_TOGETHER - 1)
                self._connection.executemany(many, (tuple(chain.from_iterable(piece)) for piece in pieces))
            self._connection.executemany(one, rows[together:])
        except apsw.ConstraintError as error:
            raise self._told_twice(name, error) from error

    def _told_twice(self, name: str, error: apsw.Error) -> InternalError:
        return InternalError(f"the ledger of run {self._number} was told twice ({name}): {error}")

    def _change(self, name: str, rows: list[Row]) -> None:
        """Run a statement per row; each must touch exactly one."""
        if not rows:
            return
        before = self._connection.total_changes()
        try:
            self._connection.executemany(self._sql[name], rows)
        except apsw.ConstraintError as error:
            raise self._told_twice(name, error) from error
        touched = self._connection.total_changes() - before
        if touched != len(rows):
            shown = ", ".join(str(row) for row in rows[:3])
            raise InternalError(
                f"{name} was to change {len(rows)} rows of run {self._number} and changed {touched}: a stale fact among {shown}"
            )

    # -- facts that stand alone

    def _pass(self, fact: Fact) -> None:
        execute = self._connection.execute
        match fact:
            case ReopenTask(task, anew):
                execute(self._sql["reopen_task"], (self._number, task))
                execute(self._sql["forget_items" if anew else "reopen_items"], (self._number, task))
            case OwnRun(epoch=epoch):
                execute(self._sql["own_run"], (epoch, self._number))
            case EndRun(state, exit_code, ended):
                execute(self._sql["end_run"], (state, exit_code, ended, self._number))
            case ChangePlan(moved):
                self._move(moved)
            case CountReceipts(offsets):
                rows = [(self._number, pack_text(file), offset) for file, offset in offsets.items()]
                self._connection.executemany(self._sql["set_offset"], rows)

    def _move(self, moved: Any) -> None:
        if all(map(eq, moved, moved.values())) and all(map(eq, sorted(moved), count())):
            for table in MOVED_TABLES:  # no task has another place; those beyond have left
                self._connection.execute(f"DELETE FROM {table} WHERE run = ? AND task >= ?", (self._number, len(moved)))
            return
        for table in MOVED_TABLES:
            _, *columns = (column for _, column, *_ in self._connection.execute(f"PRAGMA table_info({table})"))
            listed = ", ".join(columns)
            kept = [
                (self._number, moved[row[0]], *row[1:])
                for row in self._connection.execute(f"SELECT {listed} FROM {table} WHERE run = ?", (self._number,))
                if row[0] in moved
            ]
            self._connection.execute(f"DELETE FROM {table} WHERE run = ?", (self._number,))
            marks = ", ".join("?" * (len(columns) + 1))
            self._connection.executemany(f"INSERT INTO {table} (run, {listed}) VALUES ({marks})", kept)


_BARRIERS: Final[frozenset[type]] = frozenset({ReopenTask, OwnRun, ChangePlan, EndRun, CountReceipts})


def _region(region: LogRegion) -> Iterable[Any]:
    return (pack_text(region.file), region.offset, region.length) if region.file else _NO_REGION


def _end(outcome: Outcome, retry: Retry | None) -> Row:
    """The columns of `close_attempt`, without its key."""
    said = (_ended_state(outcome), pack_text(outcome.cause), pack_text(outcome.detail), outcome.exit_code)
    regions = (*_region(outcome.stdout), *_region(outcome.stderr))
    rest = (pack_text(outcome.product), codec.dump_retry(retry), codec.flags_of(outcome) or None)
    return (*said, *_measured(outcome.usage), *regions, *rest)


def _measured(usage: Usage) -> Row:
    """seconds, cpu_seconds, memory; NULL where nothing was measured."""
    seconds, cpu_seconds, memory = usage
    if cpu_seconds is not None:
        cpu_seconds = round(cpu_seconds, codec.SECONDS_DIGITS)
    return (round(seconds, codec.SECONDS_DIGITS) or None, cpu_seconds, memory)


def _ended_state(outcome: Outcome) -> int:
    if outcome.ok:
        return _OK
    kind = (outcome.cause or "").partition(":")[0]
    if kind == LOST:
        return _LOST
    return _CANCELLED if kind in (CANCELLED, INTERRUPTED) else _FAILED
