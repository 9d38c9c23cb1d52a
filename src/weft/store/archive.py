"""What was recorded, for everybody who looks: works beside a writer, and on a folder that cannot be written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import apsw

from weft.errors import StoreError, UsageError
from weft.ports import AttemptRow, FileRow, ResultRow, RunRow, TaskRow
from weft.scheduling.reasons import Reason
from weft.store import codec, database, rows
from weft.store.folder import unusable
from weft.store.ownership import is_locked
from weft.store.sql import statements
from weft.store.tables import TASK_STATES, pack_digest, pack_text, unpack_digest, unpack_text, unwrap_nonce

_READER_BUSY_MS: Final = 5000
_SHORT: Final = 8  # characters of a run's id that messages show
_SHOWN_RUNS: Final = 5


class SqliteArchive:
    """The reading side of a state folder; fulfils `ports.Archive`. Raises StoreError when there is no run here."""

    def __init__(self, folder: str):
        self.folder = os.path.abspath(folder)
        self._path = database.path_of(self.folder)
        self._copy: str | None = None
        if not os.path.exists(self._path):
            raise StoreError(
                f"there is no run here: {self.folder}", self.folder, "start one with weft run PLAN, or name --state DIR"
            )
        try:
            database.check_header(self._path)
            self._connection = self._open()
        except OSError as error:
            raise unusable(self._path, error) from error

    # -- the port

    def runs(self, plan_key: str | None = None) -> list[RunRow]:
        """See `ports.Archive.runs`."""
        found = self._all("runs") if plan_key is None else self._all("runs_of_plan", pack_text(plan_key))
        with database.reading(self._path):
            return [rows.run_row(row) for row in found]

    def tasks(self, run: str) -> list[TaskRow]:
        """See `ports.Archive.tasks`; those that take part in the run."""
        number = self._number(run)
        with database.reading(self._path):
            return rows.task_rows(self._connection, number)

    def attempts(self, run: str, task: int | None = None) -> list[AttemptRow]:
        """See `ports.Archive.attempts`."""
        number = self._number(run)
        with database.reading(self._path):
            if task is None:
                return rows.attempt_rows(self._connection, number, "attempts")
            return rows.attempt_rows(self._connection, number, "attempts_of_task", task)

    def items(self, run: str, task: int | None = None) -> Mapping[int, Sequence[tuple[str, str, str | None]]]:
        """See `ports.Archive.items`."""
        number = self._number(run)
        found = self._all("items", number) if task is None else self._all("items_of_task", number, task)
        with database.reading(self._path):
            return rows.item_rows(found)

    def snapshot(self, run: str) -> bytes:
        """See `ports.Archive.snapshot`. Raises StoreError when its checksum is wrong."""
        self._number(run)
        with database.reading(self._path):
            ((digest, names, stored),) = self._all("snapshot", run)
            snapshot = rows.unpack_snapshot(stored)
            is_whole = rows.plan_digest(names, snapshot) == digest
        if not is_whole:
            raise database.damaged(self._path, f"the recorded plan of run {run} fails its checksum")
        return snapshot

    def kept_plan(self, key: str) -> tuple[bytes, str] | None:
        """Snapshot and warnings (JSON) of the documents with digest `key` (hex); None when they were not read before."""
        found = self._all("kept_plan", bytes.fromhex(key))
        if not found:
            return None
        digest, names, stored, warnings = found[0]
        snapshot = rows.unpack_snapshot(stored)
        return (snapshot, warnings) if rows.plan_digest(names, snapshot) == digest else None

    def results(self, plan_key: str) -> Mapping[tuple[str, str], ResultRow]:
        """See `ports.Archive.results`."""
        found = self._all("latest_results", pack_text(plan_key))
        with database.reading(self._path):
            return {(row.name, row.instance): row for row in rows.load_results(found)}

    # -- beyond the port

    def is_kept(self, run: str, key: str) -> bool:
        """Whether the run shows the plan that documents with digest `key` (hex) gave."""
        return bool(self._all("is_kept", bytes.fromhex(key), self._number(run))[0][0])

    def results_token(self, plan_key: str) -> str:
        """Another text whenever finished work of a plan was recorded or forgotten meanwhile."""
        return repr(self._all("state_of_results", pack_text(plan_key)))

    def task(self, run: str, task: int, name: str) -> TaskRow:
        """One of the tasks that take part in the run, whose name is known."""
        number = self._number(run)
        with database.reading(self._path):
            return rows.task_row(self._connection, number, task, name)

    def number(self, run: str) -> int:
        """The short integer that stands for the run in this folder. Raises StoreError."""
        return self._number(run)

    def latest_failures(self, run: str, limit: int) -> list[AttemptRow]:
        """The last failed attempt of each task that is not ok, latest end first. limit: -1 for all."""
        number = self._number(run)
        with database.reading(self._path):
            return rows.attempt_rows(self._connection, number, "latest_failures", limit)

    def plan_digest(self, run: str) -> str:
        """Identity (hex) of the plan that the run shows; equal for equal snapshots."""
        number = self._number(run)
        with database.reading(self._path):
            return str(self._connection.execute(statements("ledger")["plan_digest"], (number,)).get)

    def numbered(self, number: int) -> RunRow | None:
        """The run of a number; None when there is none."""
        found = self._all("run_by_number", number)
        return rows.run_row(found[0]) if found else None

    def ended_counts(self, run: str) -> dict[str, int]:
        """How many tasks have ended, by state."""
        return {TASK_STATES[state]: count for state, count in self._all("ended_counts", self._number(run))}

    def has_started(self, run: str) -> bool:
        """Whether any attempt of the run was ever ordered."""
        return bool(self._all("any_attempt", self._number(run))[0][0])

    def owner(self, plan_key: str) -> tuple[str, int, float, str] | None:
        """(host, pid, since, run) of the plan's last owner, who may be dead."""
        found = self._all("owner", pack_text(plan_key))
        return (str(found[0][0]), int(found[0][1]), float(found[0][2]), str(found[0][3])) if found else None

    def asked(self, run: str, kind: str, since: float = 0.0) -> list[Mapping[str, Any]]:
        """What has been asked of the engines of a run, oldest first; also what is dealt with. since: wall clock seconds."""
        return [json.loads(payload) for (payload,) in self._all("asked", run, kind, since)]

    def tasks_by_nonce(self, run: str) -> dict[int, int]:
        """Task by the nonce of each attempt, also of those that were made when the plan had it elsewhere."""
        found = self._all("tasks_by_nonce", self._number(run))
        return {unwrap_nonce(nonce): int(task) for nonce, task in found}

    def names(self, run: str) -> list[str]:
        """Of all tasks of the run's plan, in plan order; those that did not take part, too."""
        found = self._all("names", self._number(run))
        with database.reading(self._path):
            return list(json.loads(found[0][0])) if found else []

    def results_of(self, plan_key: str, name: str) -> dict[str, ResultRow]:
        """The newest finished work of one task by item."""
        found = self._all("latest_results_of_task", pack_text(plan_key), pack_text(name))
        with database.reading(self._path):
            return {row.instance: row for row in rows.load_results(found)}

    def fingerprint(self, run: str, task: int) -> str | None:
        """What a task of the run was compared by; None when it was not, or has not ended."""
        found = self._all("fingerprint", self._number(run), task)
        with database.reading(self._path):
            return unpack_digest(found[0][0]) if found else None

    def every_result(self, plan_key: str) -> dict[tuple[str, str, str], ResultRow]:
        """All finished work of a plan by (task name, item, fingerprint), superseded work, too."""
        found = self._all("every_result", pack_text(plan_key))
        with database.reading(self._path):
            return {(row.name, row.instance, row.fingerprint): row for row in rows.load_results(found)}

    def reasons(self, run: str, task: int) -> tuple[Reason, ...]:
        """Why the task had to run, or need not; empty when it was never looked at."""
        found = self._all("reasons", self._number(run), task)
        with database.reading(self._path):
            return codec.load_reasons(found[0][0]) if found else ()

    def episodes(self, plan_key: str, name: str, limit: int) -> list[tuple[Any, ...]]:
        """(run, started, state, cause, attempts, seconds, memory) of a task in each run of a plan, newest first."""
        found = self._all("episodes", pack_text(plan_key), _bytes(name), limit)
        with database.reading(self._path):
            return [
                (run, started, "pending" if state is None else TASK_STATES[state], unpack_text(cause), *rest)
                for run, started, state, cause, *rest in found
            ]

    def by_fingerprint(self, fingerprints: Iterable[str], plan_key: str | None = None) -> dict[str, ResultRow]:
        """The newest result of each fingerprint that has one, of any plan or of one."""
        found: list[Any] = []
        for fingerprint in fingerprints:
            found += self._all("result_by_fingerprint", pack_digest(fingerprint), pack_text(plan_key))
        with database.reading(self._path):
            return {row.fingerprint: row for row in rows.load_results(found)}

    def files(self, paths: Iterable[str] | None = None) -> dict[str, FileRow]:
        """What is known of these files, or of all, by path."""
        if paths is None:
            found = self._all("files")
        else:
            found = [row for path in paths for row in self._all("file", pack_text(path))]
        with database.reading(self._path):
            return rows.load_files(found)

    def products(self, run: str, task: int | None = None) -> list[tuple[Any, ...]]:
        """(task, instance, product, log file, offset, length) of good attempts; of an instance the last one stands last."""
        return self._all("products", self._number(run), task)

    def last_product(self, plan_key: str, family: str, name: str, but: str | None) -> tuple[Any, ...] | None:
        """(run, product, log file, offset, length) of a task's last good attempt, in any run of the plan but one.

        family: other plans count as well whose key is this, a colon and more; empty for none.
        """
        found = self._all("last_product", pack_text(plan_key), _bytes(name), but, family and f"{family}:")
        return found[0] if found else None

    def find(self, text: str = "last") -> RunRow:
        """The run that a command line means: an id, a unique prefix, `last`, or a negative count. Raises UsageError."""
        found = self.runs()
        if not found:
            self._refuse_lost(None)
            raise StoreError(f"there is no run here: {self.folder}", self.folder, "start one with weft run PLAN")
        if text == "last":
            return found[-1]
        if text.startswith("-") and text[1:].isdecimal() and text.isascii():
            back = int(text)
            if -len(found) <= back <= -1:
                return found[back]
            raise UsageError(f"there is no run {text}: {len(found)} are recorded here", "-1 is the last one", "ref.run")
        exact = [row for row in found if row.run == text]
        matching = exact or [row for row in found if text and row.run.startswith(text.lower())]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise UsageError(f"{len(matching)} runs begin with {text!r}", f"which one? {_listed(matching)}", "ref.run")
        self._refuse_lost(text)
        raise UsageError(f"there is no run {text!r} in {self.folder}", f"the latest are {_listed(found)}", "ref.run")

    def is_owned(self, row: RunRow) -> bool:
        """Whether an engine that owns this run's plan lives, as far as this machine can tell."""
        return row.state == "running" and is_locked(self.folder, row.plan_key)

    @property
    def connection(self) -> apsw.Connection:
        """The one that reads."""
        return self._connection

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._connection.close()
        if self._copy is not None:
            import shutil

            shutil.rmtree(self._copy, ignore_errors=True)

    def __enter__(self) -> SqliteArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside

    def _refuse_lost(self, run: str | None) -> None:
        """A run that has a folder and no record tells that the database is older than what it stands beside."""
        folder = os.path.join(self.folder, "runs")
        names = (
            os.listdir(folder) if os.path.isdir(folder) else []
        )  # first: the record of a run is older than its folder
        known = {row.run for row in self.runs()}
        lost = sorted(name for name in names if name not in known and (run is None or (run and name.startswith(run))))
        if lost:
            raise database.behind(self._path, f"it does not know run {lost[0]}, whose folder lies beside it")

    def _all(self, name: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with database.reading(self._path):
            return self._connection.execute(statements("archive")[name], bindings).fetchall()

    def _number(self, run: str) -> int:
        found = self._all("run", run)
        if not found:
            raise StoreError(f"there is no run {run} in {self._path}", self._path, "weft status lists the runs")
        return int(found[0][0])

    def _open(self) -> apsw.Connection:
        """Beside a writer, else of a folder that we cannot write: as a file that nobody changes, else from a copy."""
        try:
            return self._try(self._path)
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError):
            if os.path.exists(self._path + "-wal") and os.path.getsize(self._path + "-wal"):
                return self._open_copy()
            from urllib.parse import quote

            return self._try(f"file:{quote(self._path)}?immutable=1")
        except apsw.Error as error:
            raise database.reword(error, self._path) from error

    def _try(self, name: str) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READONLY | (apsw.SQLITE_OPEN_URI if name.startswith("file:") else 0)
        connection = apsw.Connection(name, flags)
        try:
            connection.set_busy_timeout(_READER_BUSY_MS)
            database.refuse_version(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_copy(self) -> apsw.Connection:
        """A WAL needs an index beside it: where none can be made, database and WAL are read from a private copy."""
        import shutil
        import tempfile

        self._copy = tempfile.mkdtemp(prefix="weft-")
        for ending in ("", "-wal"):
            shutil.copyfile(self._path + ending, os.path.join(self._copy, database.NAME + ending))
        with database.reading(self._path):
            connection = apsw.Connection(os.path.join(self._copy, database.NAME))
            database.refuse_version(connection, self._path)
        return connection


def _bytes(name: str) -> bytes:
    """A name as SQLite's JSON functions give it, lone surrogates and all."""
    return name.encode("utf-8", "surrogatepass")


def _listed(found: Sequence[RunRow]) -> str:
    shown = [row.run[:_SHORT] for row in reversed(found[-_SHOWN_RUNS:])]
    return ", ".join(shown)
