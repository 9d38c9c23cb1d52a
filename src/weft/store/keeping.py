"""Finished work that is kept for later runs: what there is, what refers to files of products, and giving it up.

Work is given up under the database's write lock, which a new run needs before it looks for any. So nobody can begin to rely
on what is being removed; what a run that is at work may rely on stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import apsw

from weft.ports import ResultRow
from weft.store import database, rows
from weft.store.ledger import Transaction
from weft.store.ownership import is_locked
from weft.store.sql import statements
from weft.store.sqlite import BUSY_SECONDS
from weft.store.tables import unpack_text


class KeptResult(NamedTuple):
    """Finished work. number: in the order in which it was made. started: of the run that made it, wall clock seconds."""

    number: int
    row: ResultRow
    started: float | None


class Work(NamedTuple):
    """What is kept.

    live: plan keys of runs that are at work; owners: those runs; needed: references to product files that they made. shown:
    likewise of the newest run of each plan, which may be asked for what it made. ended: runs that are never taken up again.
    """

    results: Sequence[KeptResult]
    live: Collection[str]
    owners: Sequence[str]
    needed: Collection[str]
    shown: Collection[str]
    ended: Collection[str]


def read_work(connection: apsw.Connection, folder: str) -> Work:
    """Everything that is kept in a state folder."""
    sql = statements("keeping")
    found = list(connection.execute(sql["kept_results"]))
    loaded = rows.load_results([row[1:8] for row in found])
    results = [KeptResult(row[0], result, row[8]) for row, result in zip(found, loaded, strict=True)]
    keys = [unpack_text(key) for (key,) in connection.execute(sql["plan_keys"])]
    live = {key for key in keys if is_locked(folder, key)}
    owners: list[str] = []
    needed: set[str] = set()
    shown: set[str] = set()
    ended: set[str] = set()
    for number, run, key, state, is_newest in connection.execute(sql["runs_by_age"]):
        is_live = state == "running" and unpack_text(key) in live
        if is_live:
            owners.append(run)
        elif state == "ok":
            ended.add(run)
        if is_live or is_newest:
            made = {unpack_text(text) for (text,) in connection.execute(sql["references_of_run"], (number,))}
            (needed if is_live else shown).update(made)
    return Work(results, live, owners, needed, shown, ended)


def is_needed_by(plan_key: str, live: Collection[str]) -> bool:
    """Whether a run that is at work may take over results of this key: its own plan's, or its family's."""
    return any(key == plan_key or key.startswith(f"{plan_key}:") for key in live)


class Keeping:
    """The database of a state folder, to be cleared. A context; nothing begins meanwhile. Raises StoreError."""

    def __init__(self, folder: str, told: Callable[[str], None] | None = None):
        self.folder = folder
        self._connection = database.connect(folder, "power", database.Patience(folder, BUSY_SECONDS, told))
        self._transaction = Transaction(self._connection)

    def __enter__(self) -> Keeping:
        try:
            with database.reworded(database.path_of(self.folder)):
                self._transaction.__enter__()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            with database.reworded(database.path_of(self.folder)):
                self._transaction.__exit__(*error)
        finally:
            self._connection.close()

    def work(self) -> Work:
        """See `read_work`."""
        return read_work(self._connection, self.folder)

    def give_up(self, numbers: Collection[int]) -> None:
        """Forget finished work. Counts when the context is left."""
        rows_of = [(number,) for number in sorted(numbers)]
        self._connection.executemany(statements("keeping")["forget_result"], rows_of)
