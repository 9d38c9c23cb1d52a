"""A proof that keeps up with a run, so that one whose engine was killed is taken up without a replay of all its facts.

While a large run goes on, tasks that are ok are *sealed*, thousands at a time: a digest of their rows goes into a file in
the run's folder, together with the rows of all other tasks that have any, and how many facts there were then. Whoever opens
the run compares the sealed rows with their digest, and replays on the other rows only the facts that came later. Whatever is
unreadable, touched later or different leads to the replay of all facts (`verify.py`), which repairs. The file is truth of
nothing: no fsync, no schema.
"""

from __future__ import annotations

import marshal
import os
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple

import apsw

from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    ReopenTask,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.store.facts import ChangePlan, CountReceipts, EndRun, Fact, OwnRun
from weft.store.folder import FILE_MODE

NAME: Final = "seal"
INTERVAL_SECONDS: Final = 2.0
"""Between two seals: what a resume has to replay."""
SHARE: Final = 0.01
"""Of the time since the run was opened, that sealing may take at most."""
TASK_SECONDS: Final = 4e-6
"""What sealing a task is guessed to take."""
TOGETHER: Final = 20_000
"""Tasks that are sealed in one go at most: the engine waits meanwhile."""
OTHERS: Final = 5_000
"""Tasks at most that have rows and are not sealed, in a proof that is written."""

BY_TASK: Final = {
    "tasks": "task",
    "attempts": "task, instance, attempt",
    "items": "task, instance",
    "reasons": "task",
}
WHOLE: Final = {"demands": "number", "offsets": "file"}
RUN_COLUMNS: Final = "state, ended, exit_code, epoch"
_OPEN: Final[dict[str, tuple[int, tuple[int, ...]]]] = {"attempts": (5, (0, 1)), "items": (4, (0,))}
"""Where the state stands in a row, and which states do not last."""

_BRIDGED: Final = 32  # tasks of others that are read and thrown away, rather than asking once more
_MARSHALLED: Final = 2  # the format whose bytes depend on nothing but the values
_END: Final = 1 << 62
_ROWS: Final = 4096
_DIGEST: Final = 16

Stretch = tuple[int, int]
"""First task, and the one behind the last."""


class Proof(NamedTuple):
    """facts: how many there were. crc: that of the last one. batches: stretches of tasks that were sealed together.

    digest: of their rows. others: the rows of all other tasks, and those of no task, by table. run: what `runs` showed.
    """

    facts: int
    crc: int
    batches: Sequence[Sequence[Stretch]]
    digest: bytes
    others: dict[str, list[tuple[Any, ...]]]
    run: tuple[Any, ...]


# --- rows ---------------------------------------------------------------------------------------------------------------


def stretches(tasks: Iterable[int]) -> list[Stretch]:
    """Of tasks in order."""
    found: list[Stretch] = []
    first = last = -1
    for task in tasks:
        if task == last:
            last += 1
            continue
        if first >= 0:
            found.append((first, last))
        first, last = task, task + 1
    if first >= 0:
        found.append((first, last))
    return found


def beyond(taken: Sequence[Stretch]) -> list[Stretch]:
    """All tasks but these; `taken` in order."""
    found: list[Stretch] = []
    at = 0
    for first, last in taken:
        if first > at:
            found.append((at, first))
        at = last
    return [*found, (at, _END)]


def rows_of(
    connection: apsw.Connection, table: str, number: int, wanted: Sequence[Stretch]
) -> Iterator[tuple[Any, ...]]:
    """The rows of these tasks in the order of their keys. wanted: in order."""
    query = f"SELECT * FROM {table} WHERE run = ? AND task >= ? AND task < ? ORDER BY {BY_TASK[table]}"
    place = 0
    while place < len(wanted):
        behind = place + 1
        while behind < len(wanted) and wanted[behind][0] - wanted[behind - 1][1] <= _BRIDGED:
            behind += 1
        found = connection.execute(query, (number, wanted[place][0], wanted[behind - 1][1]))
        if behind == place + 1:
            yield from found
        else:
            bridged = wanted[place:behind]
            starts = [first for first, _ in bridged]
            for row in found:
                if row[1] < bridged[bisect_right(starts, row[1]) - 1][1]:
                    yield row
        place = behind


def whole_rows(connection: apsw.Connection, table: str, number: int) -> list[tuple[Any, ...]]:
    """The rows of a table that belong to no task."""
    return connection.execute(f"SELECT * FROM {table} WHERE run = ? ORDER BY {WHOLE[table]}", (number,)).fetchall()


def _used(connection: apsw.Connection, number: int) -> list[str]:
    """Tables by task in which the run has rows at all."""
    return [
        table
        for table in BY_TASK
        if connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE run = ?)", (number,)).get
    ]


def _digest(before: bytes, content: Iterable[tuple[str, Iterable[tuple[Any, ...]]]]) -> bytes:
    digest = blake2b(before, digest_size=_DIGEST)
    for table, rows in content:
        left = iter(rows)
        while found := list(islice(left, _ROWS)):
            digest.update(table.encode())
            digest.update(marshal.dumps(found, _MARSHALLED))
    return digest.digest()


# --- reading ------------------------------------------------------------------------------------------------------------


def read(folder: str, run: str) -> Proof | None:
    """What was last written of a run; None when that is missing or damaged."""
    try:
        opened = os.open(os.path.join(folder, "runs", run, NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(opened, "rb") as file:
            data = file.read()
    except OSError:
        return None
    content = data[_DIGEST:]
    if data[:_DIGEST] != blake2b(content, digest_size=_DIGEST).digest():
        return None
    return Proof(*marshal.loads(content))  # ours: its digest is right


def sealed_stretches(proof: Proof) -> list[Stretch]:
    """All of its batches, in order."""
    return sorted(stretch for batch in proof.batches for stretch in batch)


def holds(connection: apsw.Connection, number: int, proof: Proof) -> bool:
    """Whether the rows of what was sealed are as they were then."""
    found = connection.execute("SELECT crc FROM facts WHERE run = ? AND number = ?", (number, proof.facts)).get
    if found != proof.crc:
        return False
    digest = b""
    used = _used(connection, number)
    for batch in proof.batches:
        digest = _digest(digest, ((table, rows_of(connection, table, number, batch)) for table in used))
    return digest == proof.digest


def touches(facts: Iterable[Fact], sealed: Sequence[Stretch]) -> bool:
    """Whether one of these facts changes rows of what was sealed, or all of them."""
    starts = [first for first, _ in sealed]
    for fact in facts:
        match fact:
            case StartAttempt(key) | BeginAttempt(key) | CloseAttempt(key):
                task = key.task
            case ChangePlan():
                return True
            case OwnRun() | EndRun() | CountReceipts():
                continue
            case _:
                task = fact.task
        place = bisect_right(starts, task) - 1
        if place >= 0 and task < sealed[place][1]:
            return True
    return False


# --- writing ------------------------------------------------------------------------------------------------------------


class Sealing:
    """Keeps the proof of a large run that somebody owns. facts: how many there are already."""

    def __init__(self, connection: apsw.Connection, folder: str, number: int, run: str, facts: int):
        self._connection = connection
        self._number = number
        self._path = os.path.join(folder, "runs", run, NAME)
        self._begun = self._last = time.monotonic()
        self._spent = 0.0
        self._is_wanted = True
        self._ok = array("L")  # and not sealed
        self._others: set[int] = set()  # that have rows
        self._is_complete = facts == 0  # whether the two are of the whole run
        self._batches: list[list[Stretch]] = []
        self._sealed = bytearray()
        self._digest = b""

    def note(self, facts: Sequence[Fact], count: int) -> None:
        """These were committed; `count` there are now. Seals now and then."""
        if not self._is_wanted:
            return
        self._others.update([fact.key.task for fact in facts if type(fact) is StartAttempt])
        settled = [fact for fact in facts if type(fact) is SettleTask]
        ok = [fact.task for fact in settled if fact.state == "ok"]
        self._ok.extend(ok)
        self._others.difference_update(ok)
        if len(ok) != len(settled) or not _COMMON.issuperset(map(type, facts)):
            self._note_rare(facts)
        now = time.monotonic()
        if now >= self._last + INTERVAL_SECONDS:
            self._last = now
            self._seal_now_and_then(now, count)

    def _note_rare(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            match fact:
                case ChangePlan() | ReopenTask():
                    self._void()
                case TakeItems(task) | AddItems(task) | SettleInstance(task) | ExplainTask(task) | SettleTask(task):
                    if task < len(self._sealed) and self._sealed[task]:
                        self._void()
                    elif type(fact) is not SettleTask or fact.state != "ok":
                        self._others.add(task)

    def _seal_now_and_then(self, now: float, count: int) -> None:
        expected = min(len(self._ok), TOGETHER) if self._is_complete else TOGETHER
        if self._spent + expected * TASK_SECONDS > SHARE * (now - self._begun):
            return
        try:
            self._seal(count)
        except (OSError, apsw.Error):  # no folder, a full disk; nothing but the time of a resume depends on it
            self._is_wanted = False
            self._void()
        self._spent += time.monotonic() - now

    def _void(self) -> None:
        """Rows of what was sealed may change: it begins anew with what the tables show. `touches` knows of the file's."""
        self._ok, self._others, self._is_complete = array("L"), set(), False
        self._batches, self._sealed, self._digest = [], bytearray(), b""

    def _learn(self) -> None:
        """Which tasks are ok and not sealed, which others have rows."""
        ok = {task for (task,) in self._ask("SELECT task FROM tasks WHERE run = ? AND state = 2")}
        for table in BY_TASK:
            self._others.update(task for (task,) in self._ask(f"SELECT DISTINCT task FROM {table} WHERE run = ?"))
        self._others -= ok
        self._ok = array("L", sorted(ok))
        self._is_complete = True

    def _ask(self, query: str) -> apsw.Cursor:
        return self._connection.execute(query, (self._number,))

    def _seal(self, count: int) -> None:
        if not self._is_complete:
            self._learn()
        taken, self._ok = self._ok[:TOGETHER], self._ok[TOGETHER:]
        used = _used(self._connection, self._number)
        batch = stretches(sorted({*taken}))
        content = {table: list(rows_of(self._connection, table, self._number, batch)) for table in used}
        open_ones = {
            row[1]
            for table, (column, states) in _OPEN.items()
            for row in content.get(table, ())
            if row[column] in states
        }
        if open_ones:  # ok, though later facts will change their rows
            batch = stretches(sorted({*taken} - open_ones))
            content = {table: [row for row in rows if row[1] not in open_ones] for table, rows in content.items()}
        self._others.difference_update(taken)
        self._others |= open_ones
        if batch:
            self._digest = _digest(self._digest, content.items())
            self._batches.append(batch)
            self._sealed.extend(bytes(max(0, batch[-1][1] - len(self._sealed))))
        for first, last in batch:
            self._sealed[first:last] = b"\1" * (last - first)
        if len(self._others) + len(self._ok) <= OTHERS:
            self._write(count, used)

    def _write(self, count: int, used: Sequence[str]) -> None:
        left = stretches(sorted({*self._others, *self._ok}))
        others = {table: list(rows_of(self._connection, table, self._number, left)) for table in used}
        others |= {table: whole_rows(self._connection, table, self._number) for table in WHOLE}
        run = self._ask(f"SELECT {RUN_COLUMNS} FROM runs WHERE number = ?").fetchall()[0]
        crc: Any = self._connection.execute(
            "SELECT crc FROM facts WHERE run = ? AND number = ?", (self._number, count)
        ).get
        content = marshal.dumps((count, crc, self._batches, self._digest, others, run), _MARSHALLED)
        opened = os.open(
            f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE
        )
        with open(opened, "wb") as file:
            file.write(blake2b(content, digest_size=_DIGEST).digest() + content)
        os.replace(f"{self._path}.new", self._path)


_COMMON: Final[frozenset[type]] = frozenset(
    {StartAttempt, BeginAttempt, CloseAttempt, SettleTask, OwnRun, EndRun, CountReceipts}
)
