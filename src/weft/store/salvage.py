"""A new database from what can be believed of a damaged one: whole runs, whose every record holds its checksum.

What carries no checksum (results of finished work, digests of files) is not taken over: a task that runs once more costs less
than an outcome that is wrong.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import apsw

from weft.collector import collector_paused
from weft.errors import OwnedError, StoreError
from weft.store import database, rows
from weft.store.folder import FILE_MODE, unusable
from weft.store.health import set_aside
from weft.store.ledger import Transaction, add_plan
from weft.store.sql import statements
from weft.store.tables import Tables
from weft.store.verify import check_facts, check_plan

BUSY_TRIES: Final = 100


class Salvage(NamedTuple):
    """aside: where the damaged database is now. saved: runs. lost: (run, why); of runs that cannot even be listed, one entry."""

    aside: str
    saved: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]


def rebuild(state: str) -> Salvage:
    """Set the database aside and make a new one with every run of it that can be believed. Nothing is deleted.

    Raises OwnedError while an engine of this folder lives, StoreError when there is no database or no room.
    """
    path = database.path_of(state)
    if not os.path.lexists(path):
        raise StoreError(f"there is no state database: {path}", path, "nothing is to be rebuilt")
    with _all_plans(state):
        try:
            aside = set_aside(state)
        except OSError as error:
            raise unusable(path, error) from error
        new = database.connect(state, "power", lambda tries: tries < BUSY_TRIES)
        try:
            saved, lost = _save_runs(aside, new)
        finally:
            new.close()
    return Salvage(aside, tuple(saved), tuple(lost))


@contextmanager
def _all_plans(state: str) -> Iterator[None]:
    """Hold the lock of every plan of the folder, so that nobody works in it."""
    folder = os.path.join(state, "locks")
    with ExitStack() as held:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            file = os.open(os.path.join(folder, name), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            held.callback(os.close, file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OwnedError(
                    "an engine works in this state folder", "end it first: weft cancel, or Ctrl-C where it runs"
                ) from error
        yield


def _save_runs(aside: str, new: apsw.Connection) -> tuple[list[str], list[tuple[str, str]]]:
    saved: list[str] = []
    lost: list[tuple[str, str]] = []
    try:
        database.check_header(aside)
        with database.reading(aside):
            old = apsw.Connection(aside, apsw.SQLITE_OPEN_READONLY)
    except StoreError as error:
        return [], [("all runs", str(error))]
    try:
        with database.reading(aside):
            database.refuse_version(old, aside)
            listed: list[Any] = old.execute("SELECT number, run FROM runs ORDER BY number").fetchall()
    except StoreError as error:
        old.close()
        return [], [("all runs", str(error))]
    for number, run in listed:
        try:
            with database.reading(aside), Transaction(new):
                _save_run(old, new, int(number), aside)
            saved.append(str(run))
        except StoreError as error:
            lost.append((str(run), str(error)))
    old.close()
    return saved, lost


@collector_paused()
def _save_run(old: apsw.Connection, new: apsw.Connection, number: int, path: str) -> None:
    """One run: its plan and facts as they are, its tables as the facts make them. Raises StoreError."""
    check_plan(old, number, path)
    row = _record(old, "runs", number)
    found = old.execute(statements("archive")["snapshot"], (row["run"],)).fetchone()
    assert found is not None  # or check_plan had raised
    _, names, snapshot = found
    row["plan"] = add_plan(new, rows.unpack_snapshot(snapshot), json.loads(names))
    marks = ", ".join("?" * len(row))
    new.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    tables = Tables(new, number)
    for facts in check_facts(old, number, path):
        tables.apply(facts)
    columns = "run, number, epoch, payload, crc"
    kept = old.execute(f"SELECT {columns} FROM facts WHERE run = ? ORDER BY number", (number,)).fetchall()
    new.executemany(f"INSERT INTO facts ({columns}) VALUES (?, ?, ?, ?, ?)", kept)
    _keep_epoch(new, row)


def _record(old: apsw.Connection, table: str, number: int) -> dict[str, Any]:
    cursor = old.execute(f"SELECT * FROM {table} WHERE number = ?", (number,))
    names = [column[0] for column in cursor.getdescription()]
    return dict(zip(names, next(iter(cursor)), strict=True))


def _keep_epoch(new: apsw.Connection, run: dict[str, Any]) -> None:
    """The next owner's epoch must be above all that were: it is what fences the earlier ones."""
    named = (run["plan_key"], run["epoch"], run["run"], os.uname().nodename, 0, "", run["started"])
    new.execute(
        "INSERT INTO leases (plan_key, epoch, run, host, pid, boot, since) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (plan_key) DO UPDATE SET epoch = max(epoch, excluded.epoch)",
        named,
    )
