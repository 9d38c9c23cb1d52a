"""The store in one SQLite file: one writing connection per process, which opens runs and takes them over."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection
from typing import Any, Final, cast

import apsw

from weft.errors import StoreError
from weft.failpoints import declare, hit
from weft.ports import AttemptRow, NewRun, OpenRun, RunRow
from weft.scheduling.commands import StartAttempt
from weft.store import database, rows
from weft.store.facts import EndRun, OwnRun
from weft.store.folder import prepare
from weft.store.ledger import SqliteLedger, Transaction, add_plan, append_facts
from weft.store.ownership import PlanLock, raise_epoch
from weft.store.sql import statements
from weft.store.tables import Tables, pack_text, unpack_text, unwrap_nonce, wrap_nonce
from weft.store.verify import check_facts, verify_run

BUSY_SECONDS: Final = 60.0

_RUN_ID: Final = "[0-9a-f]{32}"

OWN_LOCKED: Final = declare("store.own.locked", "the plan's lock is held, its epoch not yet raised")


class SqliteStore:
    """Durable state below one folder; fulfils `ports.Store`.

    durability: `power` survives a power cut, `process` the death of the process (faster where a sync is slow).
    busy_seconds: how long to wait while another process writes. told: is told for whom, once that takes a second.
    """

    def __init__(
        self,
        folder: str,
        durability: database.Durability = "power",
        busy_seconds: float = BUSY_SECONDS,
        told: Callable[[str], None] | None = None,
    ):
        self.folder = os.path.abspath(folder)
        self._path = database.path_of(self.folder)
        self._waiting: dict[str, PlanLock] = {}
        self.warnings: list[str] = []
        prepare(self.folder)
        patience = database.Patience(self.folder, busy_seconds, told)
        self._connection: apsw.Connection | None = database.connect(self.folder, durability, patience)
        self._place = os.stat(self._path)

    # -- runs

    def open_run(self, new: NewRun) -> SqliteLedger:
        """See `ports.Store.open_run`. Older runs of this plan that never ended are recorded as interrupted."""
        lock = self._lock(new.plan_key)
        try:
            with database.reworded(self._path):
                lock.sign(new.run)
                hit(OWN_LOCKED)
                return self._record_run(new, lock)
        except BaseException as error:
            self._give_up(lock, error)
            raise

    def _record_run(self, new: NewRun, lock: PlanLock) -> SqliteLedger:
        connection = self.connection
        with Transaction(connection):
            epoch = raise_epoch(connection, new.plan_key, new.run, new.started)
            self._close_abandoned(new.plan_key, new.started)
            plan = add_plan(connection, new.snapshot, new.names)
            settings = json.dumps(dict(new.settings), separators=(",", ":"), sort_keys=True)
            selected = rows.dump_selected(new.selected, len(new.names))
            named = (new.run, pack_text(new.plan_key), pack_text(new.plan_name), pack_text(new.root))
            bindings = (*named, new.started, epoch, settings, len(new.selected), selected, plan)
            number = connection.execute(statements("ledger")["add_run"], bindings).get
            ledger = SqliteLedger(self, lock, number, new.run, epoch, 0)
            ledger.append([OwnRun(epoch, os.uname().nodename, os.getpid(), new.started)])
        return ledger

    def reopen_run(self, run: str, *, only_left: bool = False) -> tuple[SqliteLedger, OpenRun]:
        """See `ports.Store.reopen_run`. What had to be repaired is in `warnings`.

        only_left: without the attempts of tasks that are ok, for who runs none of these again.
        """
        found = self._find(run)
        lock = self._lock(unpack_text(found[2]))
        try:
            with database.reading(self._path):
                lock.sign(run)
                hit(OWN_LOCKED)
                database.refuse_damage(self.connection, self._path)
                return self._take_over(run, lock, only_left)
        except BaseException as error:
            self._give_up(lock, error)
            raise

    def _take_over(self, run: str, lock: PlanLock, only_left: bool) -> tuple[SqliteLedger, OpenRun]:
        connection = self.connection
        number, since = self._find(run)[0], time.time()
        with Transaction(connection):
            facts, repaired = verify_run(connection, number, self._path)
            if repaired:
                self.warnings.append(repaired)
            epoch = raise_epoch(connection, lock.plan_key, run, since)
            connection.execute(statements("mailbox")["settle_run"], (since, run))
            connection.execute(statements("ledger")["forget_begun"], (number,))
            ledger = SqliteLedger(self, lock, number, run, epoch, facts)
            ledger.append([OwnRun(epoch, os.uname().nodename, os.getpid(), since)])
        return ledger, rows.open_run(connection, number, only_left=only_left)

    def open_attempts(self, plan_key: str) -> list[tuple[RunRow, list[AttemptRow]]]:
        """Runs of this plan whose engine died, with the attempts that may still live; takes the plan's lock and keeps it.

        To be asked before `open_run`, so that nobody can start in between. Raises OwnedError, StoreError.
        """
        with database.reading(self._path):
            lock = self._lock(plan_key)
            try:
                left = [
                    run
                    for (run,) in self.connection.execute(statements("ledger")["open_attempts"], (pack_text(plan_key),))
                ]
                found = []
                for run in left:
                    row = self._find(run)
                    found.append((rows.run_row(row), rows.attempt_rows(self.connection, row[0], "live_attempts")))
            except BaseException:
                lock.release()
                raise
        self._waiting[plan_key] = lock
        return found

    def left_open(self, plan_key: str) -> list[str]:
        """Runs of this plan whose engine never said how they ended."""
        with database.reading(self._path):
            left = self.connection.execute(statements("ledger")["left_open"], (pack_text(plan_key),)).fetchall()
        return [str(row[1]) for row in left]

    def unremembered(self, plan_key: str) -> list[str]:
        """Runs of this plan that were left open with work that may be done, and of which is known what it was begun with."""
        with database.reading(self._path):
            left = self.connection.execute(statements("ledger")["unremembered"], (pack_text(plan_key),)).fetchall()
        return [str(run) for (run,) in left]

    def unknown_runs(self) -> list[str]:
        """Runs that have a folder here, but no record."""
        names = os.listdir(os.path.join(self.folder, "runs"))  # first: the record of a run is older than its folder
        with database.reading(self._path):
            known = {run for (run,) in self.connection.execute("SELECT run FROM runs")}
        return sorted(name for name in names if re.fullmatch(_RUN_ID, name) and name not in known)

    def counted(self, run: str) -> dict[str, int]:
        """How far the receipts of a run are recorded: file -> bytes."""
        with database.reading(self._path):
            return rows.offsets(self.connection, self._find(run)[0])

    def never_ordered(self, run: str, nonces: Collection[int]) -> set[int]:
        """Those of `nonces` that no attempt of the run was ever given, also none of a task that has left the plan since."""
        number = self._find(run)[0]
        with database.reading(self._path):
            query = "SELECT nonce FROM attempts WHERE run = ? AND nonce IN (SELECT value FROM json_each(?))"
            found = self.connection.execute(query, (number, json.dumps([wrap_nonce(nonce) for nonce in nonces])))
            left = {*nonces} - {unwrap_nonce(cast("int", stored)) for (stored,) in found}
            if left:
                for facts in check_facts(self.connection, number, self._path):
                    left -= {fact.nonce for fact in facts if isinstance(fact, StartAttempt)}
        return left

    def close(self) -> None:
        """Let go of the files and of locks that no ledger holds. Safe to call twice."""
        while self._waiting:
            self._waiting.popitem()[1].release()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # -- for ledgers

    @property
    def connection(self) -> apsw.Connection:
        """The one that writes."""
        if self._connection is None:
            raise StoreError(f"the state database is closed: {self._path}", self._path)
        return self._connection

    @property
    def path(self) -> str:
        """Of the database file."""
        return self._path

    def abandon(self) -> None:
        """Close the connection for good, without the checkpoint that would sync once more: a sync has failed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.close(True)

    def check_place(self) -> None:
        """Raise StoreError when the database is no longer where we opened it (moved or removed while in use)."""
        try:
            here = os.stat(self._path)
        except OSError as error:
            raise StoreError(
                f"the state folder has gone while it was in use ({os.strerror(error.errno or 0)}): {self._path}",
                self._path,
                "put it back, then `weft resume`",
            ) from error
        if not os.path.samestat(here, self._place):
            raise StoreError(
                f"the state database was replaced while it was in use: {self._path}",
                self._path,
                "put the old one back, then `weft resume`",
            )

    # -- inside

    def _lock(self, plan_key: str) -> PlanLock:
        """The plan's lock: a new one, or the one that `open_attempts` took for us."""
        lock = self._waiting.pop(plan_key, None)
        if lock is not None:
            return lock
        with database.reworded(self._path):
            return PlanLock(self.folder, plan_key)

    def _give_up(self, lock: PlanLock, error: BaseException) -> None:
        lock.release()
        if isinstance(error, database.Fsync):
            self.abandon()

    def _find(self, run: str) -> tuple[Any, ...]:
        with database.reading(self._path):
            found = self.connection.execute(statements("archive")["run"], (run,)).fetchone()
        if found is None:
            raise StoreError(f"there is no run {run} in {self._path}", self._path, "weft status lists the runs")
        return tuple(found)

    def _close_abandoned(self, plan_key: str, ended: float) -> None:
        """We hold the lock, so an engine that left a run open is dead; its run can still be resumed by name."""
        left = self.connection.execute(statements("ledger")["left_open"], (pack_text(plan_key),)).fetchall()
        for row in left:
            number, _, facts, epoch = cast("tuple[int, str, int, int]", row)
            append_facts(self.connection, number, epoch, facts, [EndRun("interrupted", None, ended)])
            Tables(self.connection, number).apply([EndRun("interrupted", None, ended)])
