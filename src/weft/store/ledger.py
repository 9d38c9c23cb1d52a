"""What one owner of one run writes: gathered first, then one transaction.

Until `commit` nothing is written. Then one `BEGIN IMMEDIATE` transaction checks the epoch, appends the facts as one row,
changes the tables and ends. So the write lock is held shortly, several engines can share a folder, and a commit that
failed for want of room leaves everything gathered: **calling `commit` again is the retry**. `StoreError.is_passing` says
whether that makes sense (no room, a failed write, a lock that stayed): pause starts, call `commit` again from time to
time, give up after 60 s. After a failed sync it is False and stays so: what the disk holds is unknown until it is opened
and read anew, which is what `weft resume` does.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import apsw

from weft.errors import InternalError, StoreError
from weft.failpoints import declare, hit
from weft.ports import BegunRow, FileRow, OpenRun, ResultRow
from weft.scheduling.commands import Record, StartAttempt
from weft.scheduling.outcomes import RunState
from weft.store import codec, database, proof, rows
from weft.store.facts import ChangePlan, CountReceipts, EndRun, Fact
from weft.store.ownership import PlanLock
from weft.store.sql import statements
from weft.store.tables import Tables, pack_text

if TYPE_CHECKING:
    from weft.store.seals import Sealing

COMMIT_BEFORE = declare("store.commit.before", "facts are gathered, nothing of them is written")
COMMIT_WRITTEN = declare("store.commit.written", "the transaction is complete, its COMMIT not yet given")
COMMIT_AFTER = declare("store.commit.after", "the facts are durable, nobody has been told")


class Home(Protocol):
    """What a ledger needs of its store."""

    @property
    def connection(self) -> apsw.Connection:
        """The one that writes. Raises StoreError once it is closed."""

    @property
    def path(self) -> str:
        """Of the database file."""

    def abandon(self) -> None:
        """Close the connection for good: a sync has failed."""

    def check_place(self) -> None:
        """Raise StoreError when the database is no longer where it was opened."""


class SqliteLedger:
    """What one owner of one run writes; fulfils `ports.Ledger`. Nothing is written before `commit`."""

    def __init__(self, store: Home, lock: PlanLock, number: int, run: str, epoch: int, facts: int):
        self.run = run
        self.epoch = epoch
        self._store = store
        self._lock = lock
        self._number = number
        self._recorded = facts
        self._tables = Tables(store.connection, number)
        self._sealing = self._sealed(facts)
        self._facts: list[Fact] = []
        self._offsets: dict[str, int] = {}
        self._results: list[ResultRow] = []
        self._files: list[FileRow] = []
        self._begun: dict[tuple[int, int], BegunRow] = {}
        self._may_have_begun = facts > 0
        self._forgets: str | None = None
        self._plan: tuple[bytes, Sequence[str], Sequence[int]] | None = None
        self._kept: tuple[bytes, str] | None = None
        self._failed: StoreError | None = None

    def _sealed(self, facts: int) -> Sealing | None:
        """What keeps up a proof of the tables, if the run is large."""
        connection = self._store.connection
        tasks: Any = connection.execute("SELECT tasks FROM runs WHERE number = ?", (self._number,)).get
        if tasks < proof.PROVEN_FROM:
            return None
        from weft.store.seals import Sealing  # late: few runs are

        return Sealing(connection, os.path.dirname(self._store.path), self._number, self.run, facts)

    @property
    def number(self) -> int:
        """The short integer that stands for the run in its folder."""
        return self._number

    def record(self, facts: Sequence[StartAttempt | Record], offsets: Mapping[str, int]) -> None:
        """See `ports.Ledger.record`. A contradiction or a fenced epoch is found by `commit`."""
        self._facts.extend(facts)
        if offsets:
            self._offsets.update(offsets)

    def remember(self, results: Sequence[ResultRow], files: Sequence[FileRow], begun: Sequence[BegunRow] = ()) -> None:
        """See `ports.Ledger.remember`."""
        self._results.extend(results)
        self._files.extend(files)
        if begun:
            self._may_have_begun = True
            self._begun.update(((row.task, row.instance), row) for row in begun)

    def keep_plan(self, key: str, warnings: str) -> None:
        """Remember that documents with digest `key` (hex) give the plan that the run shows, and these warnings (JSON)."""
        self._kept = (bytes.fromhex(key), warnings)

    def replan(self, snapshot: bytes, names: Sequence[str], selected: Sequence[int], moved: Mapping[int, int]) -> None:
        """See `ports.Ledger.replan`. Facts recorded after it speak of the new indexes."""
        self._plan = (snapshot, names, selected)
        self._facts.append(ChangePlan(dict(moved)))

    def finish(self, state: RunState, exit_code: int | None, ended: float) -> None:
        """See `ports.Ledger.finish`. exit_code: None when nobody has run anything yet."""
        self._facts.append(EndRun(state, exit_code, ended))
        if self._may_have_begun:
            self._forgets = "clear_begun" if state == "ok" else "forget_begun"
        self.commit()
        if state != "ok":  # somebody may take it up
            with database.reworded(self._store.path):
                proof.write_proof(self._store.connection, os.path.dirname(self._store.path), self._number, self.run)

    def commit(self) -> None:
        """See `ports.Ledger.commit`; after a StoreError that `is_passing`, call it again. Without news it costs a stat."""
        if self._failed is not None:
            raise self._failed
        self._store.check_place()
        if not (self._facts or self._offsets or self._results or self._files or self._begun):
            return
        try:
            with database.reworded(self._store.path):
                hit(COMMIT_BEFORE)
                self._write()
        except StoreError as problem:
            self._tables.forget()
            error = self._explained(problem)
            if not error.is_passing:
                self._failed = error
            if isinstance(problem, database.Fsync):
                self._store.abandon()
            raise error from problem.__cause__
        facts = self._facts
        self._facts, self._offsets, self._results, self._files, self._begun = [], {}, [], [], {}
        self._plan = self._kept = self._forgets = None
        hit(COMMIT_AFTER)
        if self._sealing is not None:
            self._sealing.note(facts, self._recorded)

    def close(self) -> None:
        """See `ports.Ledger.close`. What was not committed is dropped."""
        self._failed = StoreError(f"the ledger of run {self.run} is closed", self._store.path)
        self._lock.release()

    def plan_digest(self) -> str:
        """Identity (hex) of the plan that the run shows; equal for equal snapshots."""
        with database.reworded(self._store.path):
            return str(self._store.connection.execute(statements("ledger")["plan_digest"], (self._number,)).get)

    def opened(self, *, only_left: bool = False) -> OpenRun:
        """The run as it is recorded now; commits first. only_left: without the attempts of tasks that are ok."""
        self.commit()
        with database.reworded(self._store.path):
            return rows.open_run(self._store.connection, self._number, only_left=only_left)

    def reread_attempts(self, opened: OpenRun, *, only_left: bool = False) -> OpenRun:
        """What `opened` gave, after attempts were closed since, and nothing else was recorded; commits first."""
        self.commit()
        with database.reworded(self._store.path):
            return rows.reread_attempts(self._store.connection, self._number, opened, only_left=only_left)

    def _explained(self, error: StoreError) -> StoreError:
        """A database that goes away while it is written gives SQLite many things to say, and none of them is that."""
        try:
            self._store.check_place()
        except StoreError as gone:
            return gone
        return error

    def _write(self) -> None:
        connection = self._store.connection
        sql = statements("ledger")
        facts = self._facts
        if self._offsets:
            facts = [*facts, CountReceipts(self._offsets)]
        with Transaction(connection):
            if connection.execute(sql["lease"], (pack_text(self._lock.plan_key),)).get != self.epoch:
                raise StoreError(
                    f"another owner took over run {self.run}: nothing of this one counts any more",
                    self._store.path,
                    "weft status shows who runs it",
                )
            if self._plan is not None:
                change_plan(connection, self._number, *self._plan)
            if facts:
                append_facts(connection, self._number, self.epoch, self._recorded, facts)
                self._tables.apply(facts)
            if self._kept is not None:
                connection.execute(sql["keep_plan"], (*self._kept, self._number))
            if self._results:
                connection.executemany(sql["add_result"], [rows.dump_result(row) for row in self._results])
            if self._files:
                connection.executemany(sql["add_file"], [rows.dump_file(row) for row in self._files])
            if self._begun:
                self._write_begun(self._begun.values())
            if self._forgets is not None:
                connection.execute(sql[self._forgets], (self._number,))
        if facts:
            self._recorded += 1

    def _write_begun(self, found: Collection[BegunRow]) -> None:
        connection, number, sql = self._store.connection, self._number, statements("ledger")
        over = [(number, row.task, row.instance) for row in found if row.is_over]
        connection.executemany(sql["add_begun"], [(number, *rows.dump_begun(row)) for row in found if not row.is_over])
        connection.executemany(sql["end_begun"], over)

    def append(self, facts: Sequence[Fact]) -> None:
        """Add the first facts of an ownership, inside the transaction that takes it."""
        append_facts(self._store.connection, self._number, self.epoch, self._recorded, facts)
        self._tables.apply(facts)
        self._recorded += 1


def append_facts(connection: apsw.Connection, number: int, epoch: int, recorded: int, facts: Sequence[Fact]) -> None:
    """Append one row of facts behind the `recorded` ones of a run."""
    sql = statements("ledger")
    payload = codec.pack(codec.encode(facts))
    place = recorded + 1
    connection.execute(sql["count_facts"], (place, number, recorded))
    if connection.changes() != 1:
        raise InternalError(f"run {number} has not the {recorded} fact rows that its owner wrote")
    connection.execute(sql["add_facts"], (number, place, epoch, payload, codec.checksum(place, epoch, payload)))


def add_plan(connection: apsw.Connection, snapshot: bytes, names: Sequence[str]) -> int:
    """Record a plan, inside a transaction; its number. Content that is recorded already is not written again."""
    sql = statements("ledger")
    listed = rows.dump_names(names)
    digest = rows.plan_digest(listed, snapshot)
    found = connection.execute(sql["plan_number"], (digest,)).fetchone()
    if found is not None:
        return int(found[0])
    connection.execute(sql["add_plan"], (digest, listed, rows.pack_snapshot(snapshot)))
    return connection.last_insert_rowid()


def change_plan(
    connection: apsw.Connection, number: int, snapshot: bytes, names: Sequence[str], selected: Sequence[int]
) -> None:
    """Let a run show another plan, inside a transaction."""
    plan = add_plan(connection, snapshot, names)
    bindings = (plan, len(selected), rows.dump_selected(selected, len(names)), number)
    connection.execute(statements("ledger")["change_plan"], bindings)


class Transaction:
    """`BEGIN IMMEDIATE` to `COMMIT`, or all undone."""

    def __init__(self, connection: apsw.Connection):
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                hit(COMMIT_WRITTEN)
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:  # SQLite itself has rolled back after some errors
                self._connection.execute("ROLLBACK")
