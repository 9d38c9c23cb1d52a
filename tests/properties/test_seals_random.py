"""A proof that kept up with a run (store/seals.py): tables are believed only where the facts would show the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.ports import NewRun
from weft.scheduling.commands import (
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
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome, Request, Usage
from weft.scheduling.reasons import Reason
from weft.store import proof, seals, verify
from weft.store.ledger import SqliteLedger
from weft.store.sqlite import SqliteStore

RUN = "0" * 31 + "1"
TASKS = 40
TABLES = (*seals.BY_TASK, *seals.WHOLE)


@dataclass
class Engine:
    """Says at random what an engine could say."""

    chance: Random
    nonce: int = 2**63
    attempts: dict[int, int] = field(default_factory=dict)
    live: dict[int, list[Any]] = field(default_factory=dict)
    settled: dict[int, str] = field(default_factory=dict)
    items: set[int] = field(default_factory=set)

    def facts(self, count: int, reopens: bool = False) -> list[Any]:
        """Of one transaction."""
        said: list[Any] = []
        for _ in range(count):
            task = self.chance.randrange(TASKS)
            if task in self.settled:
                if reopens and self.chance.random() < 0.3:
                    said.append(ReopenTask(task, self.settled.pop(task) == "ok" and task not in self.items))
                elif self.chance.random() < 0.05:
                    said.append(ExplainTask(task, (Reason("late", "looked again"),)))
            elif task in self.live:
                said += self._go_on(task)
            else:
                said += self._begin(task)
        return said

    def _begin(self, task: int) -> list[Any]:
        chosen = self.chance.random()
        if chosen < 0.1:
            self.settled[task] = "skipped"
            return [SettleTask(task, "skipped", "upstream", "of it", self.attempts.get(task, 0))]
        said: list[Any] = []
        if chosen < 0.2:
            said.append(ExplainTask(task, (Reason("new", "never ran", "b\udc80"),)))
        if chosen > 0.9 and task not in self.items:
            self.items.add(task)
            said += [TakeItems(task, ("x",)), SettleInstance(task, 0, "ok", None, None)]
        self.nonce += 1
        self.attempts[task] = number = self.attempts.get(task, 0) + 1
        request = Request((("cores", 1000 * self.chance.randint(1, 3)),), None, None)
        key = AttemptKey(task, WHOLE, number)
        self.live[task] = [key, self.nonce, request, False]
        return [*said, StartAttempt(key, self.nonce, request, 0)]

    def _go_on(self, task: int) -> list[Any]:
        key, nonce, request, has_begun = self.live[task]
        if not has_begun:
            self.live[task][3] = True
            return [BeginAttempt(key, nonce, 5.5 + nonce % 100, LogRegion("out", 0, -1), LogRegion("err", 0, -1))]
        del self.live[task]
        if self.chance.random() < 0.3:
            again = Retry("later", 1.0, request, None)
            return [CloseAttempt(key, nonce, Outcome(False, "exit:1", 1), again)]
        ok = self.chance.random() < 0.9
        usage = Usage(0.25, 0.125, 4096)
        self.settled[task] = "ok" if ok else "failed"
        end = CloseAttempt(key, nonce, Outcome(ok, None if ok else "exit:1", usage=usage), None)
        return [
            end,
            SettleTask(task, "ok" if ok else "failed", None if ok else "exit:1", None, key.attempt, None, usage),
        ]


@contextmanager
def eager(replays: list[int]) -> Iterator[None]:
    """Seals at every commit, whatever that takes. replays: gets the runs that are replayed."""
    replay = verify._replay

    def noted(connection: apsw.Connection, number: int, path: str) -> apsw.Connection:
        replays.append(number)
        return replay(connection, number, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seals, "INTERVAL_SECONDS", 0.0)
        patch.setattr(seals, "SHARE", float("inf"))
        patch.setattr(proof, "PROVEN_FROM", 1)
        patch.setattr(seals, "TOGETHER", 7)
        patch.setattr(verify, "_replay", noted)
        yield


def killed(folder: str, say: Callable[[SqliteLedger], None]) -> None:
    """A run whose engine says something, and dies: the kernel takes its locks away, nothing is told."""
    store = SqliteStore(folder, "process")
    names = [f"t{number}" for number in range(TASKS)]
    ledger = store.open_run(NewRun(RUN, "plan", "the plan", "/root", 1000.25, {}, b"{}", names, range(TASKS)))
    Path(folder, "runs", RUN).mkdir(parents=True, exist_ok=True)
    say(ledger)
    ledger.close()
    store.close()


def rows_in(connection: apsw.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What the tables show, by table."""
    keys = {**seals.BY_TASK, **seals.WHOLE}
    return {
        table: connection.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall() for table, key in keys.items()
    }


def reopened(folder: str) -> tuple[dict[str, list[tuple[Any, ...]]], list[str]]:
    """What the tables show once somebody has taken the run up, and what had to be repaired."""
    store = SqliteStore(folder, "process")
    ledger, _ = store.reopen_run(RUN)
    shown = rows_in(store.connection)
    warnings = list(store.warnings)
    ledger.close()
    store.close()
    return shown, warnings


def compare(seed: int, commits: int, unsealed: int, reopens: bool) -> bool:
    """Whether a run was believed without a replay; fails when a replay shows something else."""
    chance = Random(seed)
    engine = Engine(chance)
    replays: list[int] = []

    def say(ledger: SqliteLedger) -> None:
        for place in range(commits + unsealed):
            if place == commits:
                ledger._sealing._is_wanted = False  # it dies before it seals once more
            ledger.record(engine.facts(chance.randint(1, 12), reopens and place > 5), {"receipts": place})
            ledger.commit()

    with tempfile.TemporaryDirectory() as folder, eager(replays):
        killed(folder, say)
        before, warnings = reopened(folder)
        is_believed = not replays
        Path(folder, "runs", RUN, seals.NAME).unlink(missing_ok=True)
        after, more = reopened(folder)
        assert replays  # without the file the facts are replayed, and say that all was right
    assert warnings == more == []
    assert before == after
    return is_believed


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), commits=st.integers(1, 25), unsealed=st.integers(0, 8), reopens=st.booleans())
def test_what_a_seal_spares_is_what_a_replay_shows(seed: int, commits: int, unsealed: int, reopens: bool) -> None:
    compare(seed, commits, unsealed, reopens)


def test_most_runs_that_nobody_took_back_are_believed() -> None:
    assert sum(compare(seed, 20, seed % 3, reopens=False) for seed in range(10)) >= 7


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), unsealed=st.integers(0, 5))
def test_a_row_that_is_changed_lost_or_added_is_never_believed(seed: int, unsealed: int) -> None:
    chance = Random(seed)
    engine = Engine(chance)
    replays: list[int] = []

    def say(ledger: SqliteLedger) -> None:
        for place in range(15 + unsealed):
            if place == 15:
                ledger._sealing._is_wanted = False
            ledger.record(engine.facts(12), {"receipts": place})
            ledger.commit()

    with tempfile.TemporaryDirectory() as folder, eager(replays):
        killed(folder, say)
        connection = apsw.Connection(f"{folder}/weft.db")
        good = rows_in(connection)
        table = chance.choice([table for table in TABLES if good[table]])
        columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")]
        row = chance.choice(good[table])
        here = " AND ".join(f"{column} IS ?" for column in columns)
        what = chance.choice(["change", "lose", "add"])
        if what == "lose":
            connection.execute(f"DELETE FROM {table} WHERE {here}", row)
        elif what == "add":
            other = [*row]
            other[1] = "other" if isinstance(row[1], str) else 1000 + chance.randrange(5)
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", other)
        else:
            key = {**seals.BY_TASK, **seals.WHOLE}[table]
            column = chance.randrange(1 + len(key.split(",")), len(columns))
            value = 1 + row[column] if isinstance(row[column], int) and row[column] < 2**62 else 7
            connection.execute(f"UPDATE {table} SET {columns[column]} = ? WHERE {here}", (value, *row))
        connection.close()
        shown, warnings = reopened(folder)
        assert replays
        assert shown == good
        assert table in warnings[0]


@pytest.mark.parametrize("is_sealed_again", [False, True])
def test_a_row_that_is_again_what_it_was_when_it_was_sealed_is_not_believed(
    tmp_path: Path, is_sealed_again: bool
) -> None:
    folder = str(tmp_path)
    replays: list[int] = []
    was: list[tuple[Any, ...]] = []

    def say(ledger: SqliteLedger) -> None:
        go_through(ledger, range(10))
        was.extend(rows_in(ledger._store.connection)["tasks"][:1])
        ledger._sealing._is_wanted = is_sealed_again
        ledger.record([ReopenTask(0, True)], {})
        ledger.commit()
        go_through(ledger, range(10, 20))

    with eager(replays):
        killed(folder, say)
        connection = apsw.Connection(f"{folder}/weft.db")
        connection.execute(f"INSERT INTO tasks VALUES ({', '.join('?' * len(was[0]))})", was[0])
        connection.close()
        shown, warnings = reopened(folder)
    assert [row[1] for row in shown["tasks"]] == [*range(1, 20)]
    assert "tasks" in warnings[0]


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "gone", "of another run"])
def test_a_seal_that_is_damaged_or_not_ours_leads_to_the_replay(tmp_path: Path, harm: str) -> None:
    folder = str(tmp_path)
    replays: list[int] = []
    with eager(replays):
        killed(folder, lambda ledger: _say_some(ledger, 1))
        seal = tmp_path / "runs" / RUN / seals.NAME
        data = seal.read_bytes()
        match harm:
            case "cut":
                seal.write_bytes(data[:-1])
            case "changed":
                seal.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
            case "empty":
                seal.write_bytes(b"")
            case "gone":
                seal.unlink()
            case _:
                other = tmp_path / "other"
                killed(str(other), lambda ledger: _say_some(ledger, 2))
                seal.write_bytes((other / "runs" / RUN / seals.NAME).read_bytes())
        _, warnings = reopened(folder)
    assert replays == [1]
    assert warnings == []


def _say_some(ledger: SqliteLedger, seed: int) -> None:
    engine = Engine(Random(seed))
    for _ in range(20):
        ledger.record(engine.facts(10), {})
        ledger.commit()


def test_a_run_that_only_goes_on_is_believed_and_sealed_by_its_next_owner_too(tmp_path: Path) -> None:
    replays: list[int] = []
    folder = str(tmp_path)

    with eager(replays):
        killed(folder, lambda ledger: go_through(ledger, range(10)))
        for first in (10, 20):
            store = SqliteStore(folder, "process")
            ledger, opened = store.reopen_run(RUN)
            assert sum(task.state == "ok" for task in opened.tasks) == first
            go_through(ledger, range(first, first + 10))
            ledger.close()
            store.close()
        left = seals.read(folder, RUN)
        assert left is not None
        assert seals.sealed_stretches(left)[-1][1] >= 29
        reopened(folder)
    assert replays == []


def go_through(ledger: SqliteLedger, tasks: range) -> None:
    """These run, one after the other."""
    for task in tasks:
        key = AttemptKey(task, WHOLE, 1)
        ledger.record([StartAttempt(key, 100 + task, Request((), None, None), 0)], {})
        ledger.commit()
        ledger.record([CloseAttempt(key, 100 + task, Outcome(True), None), SettleTask(task, "ok", None, None, 1)], {})
        ledger.commit()
