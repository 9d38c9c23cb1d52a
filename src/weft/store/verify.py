"""Whether a run's facts are whole and its tables show them: the facts are replayed aside and the two are compared."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import apsw

from weft.collector import collector_paused
from weft.errors import InternalError, StoreError
from weft.store import codec, rows
from weft.store.database import damaged
from weft.store.facts import Fact
from weft.store.proof import is_proven
from weft.store.sql import statements
from weft.store.tables import Tables

if TYPE_CHECKING:
    from weft.store.seals import Proof, Stretch

SHOWN_TABLES: Final = ("tasks", "attempts", "items", "demands", "reasons", "offsets")
LATER_FACTS: Final = 100_000
"""Behind a seal, at most: they are held in memory together, while a replay goes through them one by one."""
_RUN_COLUMNS: Final = "state, ended, exit_code, epoch"


@collector_paused()
def verify_run(connection: apsw.Connection, number: int, path: str) -> tuple[int, str | None]:
    """Check one run inside the caller's transaction: (how many fact rows it has, what had to be repaired).

    Damaged facts or a damaged plan raise StoreError; tables that disagree are made again. Cost: about 6 us a fact, or 2 us a
    task where a proof of the tables is left (proof.py, seals.py).
    """
    check_plan(connection, number, path)
    run = str(connection.execute("SELECT run FROM runs WHERE number = ?", (number,)).get)
    if is_proven(connection, os.path.dirname(path), number, run):
        return sum(1 for _ in check_payloads(connection, number, path)), None
    from weft.store import seals  # late: new runs have none

    proof = seals.read(os.path.dirname(path), run)
    if proof is not None and (sealed_count := _verify_sealed(connection, number, path, proof)) is not None:
        return sealed_count, None
    shown = _replay(connection, number, path)
    try:
        wrong = [
            table
            for table in SHOWN_TABLES
            if _differs(connection, shown, _columns(connection, table), table, "run", number)
        ]
        if _differs(connection, shown, _RUN_COLUMNS, "runs", "number", number):
            wrong.append("runs")
        for table in wrong:
            _restore(connection, shown, table, number)
        count = connection.execute("SELECT facts FROM runs WHERE number = ?", (number,)).get
    finally:
        shown.close()
    if not wrong:
        return int(count), None
    listed = ", ".join(wrong)
    return int(count), f"the tables of this run did not show what its facts say and were made again from them: {listed}"


def _verify_sealed(connection: apsw.Connection, number: int, path: str, proof: Proof) -> int | None:
    """How many fact rows there are, when the tables show what the proof and the facts behind it say; else None."""
    from weft.store import seals

    sealed = seals.sealed_stretches(proof)
    count, left = 0, LATER_FACTS
    tail: list[list[Fact]] = []
    for count, payload in enumerate(check_payloads(connection, number, path), 1):
        if count > proof.facts:
            try:
                facts = codec.decode(codec.unpack(payload))
            except codec.Unreadable:  # the replay says of which it is
                return None
            left -= len(facts)
            if left < 0 or seals.touches(facts, sealed):
                return None
            tail.append(facts)
    if count < proof.facts or not seals.holds(connection, number, proof):
        return None
    shown = _aside(connection, number)
    try:
        for table, found in proof.others.items():
            _insert(shown, table, _columns(connection, table), found)
        _show_run(shown, proof.run, number)
        tables = Tables(shown, number)
        for facts in tail:
            tables.apply(facts)
        return None if _any_differs(connection, shown, number, seals.beyond(sealed)) else count
    except (InternalError, apsw.Error):  # whatever is wrong, the replay finds it
        return None
    finally:
        shown.close()


def _any_differs(
    connection: apsw.Connection, shown: apsw.Connection, number: int, stretches: Sequence[Stretch]
) -> bool:
    """Whether rows differ that belong to these tasks, or to none. shown: has no others."""
    from weft.store import seals

    if _differs(connection, shown, _RUN_COLUMNS, "runs", "number", number):
        return True
    if any(_differs(connection, shown, _columns(connection, table), table, "run", number) for table in seals.WHOLE):
        return True
    for table, key in seals.BY_TASK.items():
        query = f"SELECT {_columns(connection, table)} FROM {table} WHERE run = ? ORDER BY {key}"
        pairs = zip_longest(seals.rows_of(connection, table, number, stretches), shown.execute(query, (number,)))
        if any(left != right for left, right in pairs):
            return True
    return False


def check_facts(connection: apsw.Connection, number: int, path: str) -> Iterator[list[Fact]]:
    """The facts of a run by transaction, each verified. Raises StoreError."""
    for place, payload in enumerate(check_payloads(connection, number, path), 1):
        try:
            yield codec.decode(codec.unpack(payload))
        except codec.Unreadable as error:
            run = connection.execute("SELECT run FROM runs WHERE number = ?", (number,)).get
            raise StoreError(
                f"record {place} of run {run}: {error}: {path}", path, "was it written by a later weft?"
            ) from error


def check_payloads(connection: apsw.Connection, number: int, path: str) -> Iterator[str | bytes]:
    """The facts of a run as they are stored, by transaction, each with the right checksum. Raises StoreError."""
    ((run, expected),) = connection.execute("SELECT run, facts FROM runs WHERE number = ?", (number,)).fetchall()
    last = 0
    for place, epoch, payload, crc in connection.execute(statements("ledger")["facts_of_run"], (number,)):
        last += 1
        if place != last or not isinstance(payload, (str, bytes)) or codec.checksum(place, epoch, payload) != crc:
            raise damaged(path, f"record {last} of run {run} fails its checksum")
        yield payload
    if last != expected:
        raise damaged(path, f"run {run} has {last} records of {expected}")


def check_plan(connection: apsw.Connection, number: int, path: str) -> None:
    """Verify the recorded plan of a run. Raises StoreError."""
    run = connection.execute("SELECT run FROM runs WHERE number = ?", (number,)).get
    found = connection.execute(statements("archive")["snapshot"], (run,)).fetchone()
    if found is None:
        raise damaged(path, f"the plan of run {run} is missing")
    digest, names, snapshot = found
    if rows.plan_digest(names, rows.unpack_snapshot(snapshot)) != digest:
        raise damaged(path, f"the recorded plan of run {run} fails its checksum")


def _replay(connection: apsw.Connection, number: int, path: str) -> apsw.Connection:
    """A database in memory with this run's tables as its facts make them."""
    memory = _aside(connection, number)
    try:
        tables = Tables(memory, number)
        for facts in check_facts(connection, number, path):
            tables.apply(facts)
        memory.execute("COMMIT")
    except InternalError as error:
        memory.close()
        raise damaged(path, f"the facts of a run contradict each other ({error})") from error
    except BaseException:
        memory.close()
        raise
    return memory


def _aside(connection: apsw.Connection, number: int) -> apsw.Connection:
    """A database in memory with the run, and nothing of its tasks; in a transaction."""
    memory = apsw.Connection(":memory:")
    try:
        memory.execute(statements("schema")["schema"]).fetchall()
        columns = _columns(connection, "runs")
        memory.execute("BEGIN")
        _insert(memory, "runs", columns, connection.execute(f"SELECT {columns} FROM runs WHERE number = ?", (number,)))
    except BaseException:
        memory.close()
        raise
    return memory


def _differs(
    connection: apsw.Connection, shown: apsw.Connection, columns: str, table: str, key: str, number: int
) -> bool:
    query = f"SELECT {columns} FROM {table} WHERE {key} = ? ORDER BY 1, 2"  # along the key: equal content, equal order
    pairs = zip_longest(connection.execute(query, (number,)), shown.execute(query, (number,)))
    return any(left != right for left, right in pairs)


def _restore(connection: apsw.Connection, shown: apsw.Connection, table: str, number: int) -> None:
    if table == "runs":
        row: Any = shown.execute(f"SELECT {_RUN_COLUMNS} FROM runs WHERE number = ?", (number,)).fetchone()
        _show_run(connection, row, number)
        return
    columns = _columns(connection, table)
    found = shown.execute(f"SELECT {columns} FROM {table} WHERE run = ?", (number,)).fetchall()
    connection.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
    _insert(connection, table, columns, found)


def _show_run(connection: apsw.Connection, row: Sequence[Any], number: int) -> None:
    assigned = ", ".join(f"{column} = ?" for column in _RUN_COLUMNS.split(", "))
    connection.execute(f"UPDATE runs SET {assigned} WHERE number = ?", (*row, number))


def _insert(connection: apsw.Connection, table: str, columns: str, found: Iterable[Sequence[Any]]) -> None:
    marks = ", ".join("?" * len(columns.split(", ")))
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", found)


def _columns(connection: apsw.Connection, table: str) -> str:
    return ", ".join(column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})"))
