"""What `weft doctor` says of a state folder, without changing anything; and a new database from what can be saved."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

import apsw

from weft.errors import StoreError
from weft.ports import RunRow
from weft.store import database
from weft.store.archive import SqliteArchive
from weft.store.folder import create_file, file_system_of, sync_folder
from weft.store.verify import check_facts, check_plan

Line = tuple[str, str, str | None, str | None]
"""Topic, value, where it comes from, what to do about it (None: nothing)."""

SHOWN_FAULTS: Final = 5


def examine(state: str) -> list[Line]:
    """The health of a state folder. Reads all of it; writes nothing."""
    kind = file_system_of(state) or "unknown"
    lines: list[Line] = [("state folder", os.path.abspath(state), f"file system {kind}", None)]
    try:
        with SqliteArchive(state) as archive:
            lines += _database_lines(archive, database.path_of(state))
    except StoreError as error:
        lines.append(("database", str(error), None, error.hint))
    return lines


def _database_lines(archive: SqliteArchive, path: str) -> Iterator[Line]:
    size = sum(os.path.getsize(path + ending) for ending in ("", "-wal") if os.path.exists(path + ending))
    yield ("database", f"{size} bytes, schema {database.VERSION}", path, None)
    try:
        database.refuse_damage(archive.connection, path)
        found = archive.runs()
    except (StoreError, apsw.Error) as error:
        yield (
            "integrity",
            str(error),
            path,
            "weft doctor --rebuild saves the runs that can be believed, and keeps this file",
        )
        return
    yield ("integrity", "ok", "quick check of every page", None)
    faults = [fault for row in found if (fault := run_fault(archive.connection, row, path))]
    yield ("runs", str(len(found)), None, None)
    for fault in faults[:SHOWN_FAULTS]:
        yield (
            "damaged run",
            fault,
            path,
            "weft resume refuses it, other runs go on; weft doctor --rebuild leaves it out",
        )
    folder = os.path.join(archive.folder, "runs")
    known = {row.run for row in found}
    forgotten = sorted(set(os.listdir(folder)) - known) if os.path.isdir(folder) else []
    if forgotten:
        advice = f"was {path}-wal removed? put it back; else nothing but their folders is left of them"
        yield ("forgotten runs", ", ".join(forgotten), folder, advice)
    for row in found:
        if row.state == "running" and not archive.is_owned(row):
            yield ("left open", row.run, "its engine died", f"weft resume {row.run[:8]} takes it up")


def run_fault(connection: apsw.Connection, row: RunRow, path: str) -> str | None:
    """What is wrong with the records of a run; None when every checksum holds."""
    try:
        with database.reading(path):
            ((number,),) = connection.execute("SELECT number FROM runs WHERE run = ?", (row.run,)).fetchall()
            check_plan(connection, int(str(number)), path)
            for _ in check_facts(connection, int(str(number)), path):
                pass
    except StoreError as error:
        return str(error)
    return None


def set_aside(state: str) -> str:
    """Move a database that cannot be used out of the way, with its companions; its new name. Nothing is deleted."""
    path = database.path_of(state)
    aside = f"{path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    os.close(create_file(aside))
    for ending in ("-wal", "-shm", ""):
        if os.path.exists(path + ending):
            os.rename(path + ending, aside + ending)
    sync_folder(state)
    return aside
