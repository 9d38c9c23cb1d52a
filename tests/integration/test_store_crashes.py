"""What is committed stays, what is not leaves no trace, and damage is found: with real processes, files and locks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from weft import failpoints
from weft.errors import OwnedError, StoreError
from weft.ports import NewRun
from weft.scheduling.commands import CloseAttempt, SettleTask, StartAttempt
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Request
from weft.store.archive import SqliteArchive
from weft.store.health import examine
from weft.store.mailbox import Mailbox
from weft.store.sqlite import SqliteStore

RUN = "a" * 32
TASKS = 100_000
NEW = NewRun(RUN, "plan", "name", "/", 1.0, {}, b"{}", [f"t{number}" for number in range(64)], range(64))
REQUEST = Request((("cores", 1000),))

WRITER = """
import os, sys
from weft.ports import NewRun
from weft.scheduling.commands import CloseAttempt, SettleTask, StartAttempt
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Request
from weft.store.sqlite import SqliteStore

folder, run, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
request = Request((("cores", 1000),))
store = SqliteStore(folder, "process")
try:
    ledger, opened = store.reopen_run(run)
    assert not store.warnings, store.warnings
    done = sum(row.state == "ok" for row in opened.tasks)
    begun = len(opened.attempts)
except Exception as error:
    if "no run" not in str(error):
        raise
    names = [f"t{number}" for number in range(count)]
    ledger = store.open_run(NewRun(run, "plan", "name", "/", 1.0, {}, b"{}", names, range(count)))
    done = begun = 0
while done < count - 1:
    facts = []
    if begun == done:
        facts.append(StartAttempt(AttemptKey(done, WHOLE, 1), done, request, 0))
        begun += 1
    facts.append(CloseAttempt(AttemptKey(done, WHOLE, 1), done, Outcome(True, None, 0, product="x" * 500), None))
    facts.append(SettleTask(done, "ok", None, None, 1))
    facts.append(StartAttempt(AttemptKey(done + 1, WHOLE, 1), done + 1, request, 0))
    begun += 1
    done += 1
    ledger.record(facts, {"w.log": done})
    ledger.commit()
    os.write(1, b"%d\\n" % done)
"""


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / ".weft")


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def step(done: int) -> list[StartAttempt | CloseAttempt | SettleTask]:
    """The facts of one task that ran."""
    key = AttemptKey(done, WHOLE, 1)
    close = CloseAttempt(key, done, Outcome(True), None)
    return [StartAttempt(key, done, REQUEST, 0), close, SettleTask(done, "ok", None, None, 1)]


def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged_and_leaves_nothing_half(state: str) -> None:
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, state, RUN, str(TASKS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(1, 400)):
                line = writer.stdout.readline()
                assert line, "the writer ended by itself"
                acknowledged = int(line)
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                if line.endswith(b"\n"):
                    acknowledged = int(line)
        with SqliteArchive(state) as archive:
            ended = [row for row in archive.tasks(RUN) if row.state == "ok"]
            attempts = archive.attempts(RUN)
        assert len(ended) >= acknowledged
        assert [row.task for row in ended] == list(range(len(ended)))
        assert [row.state for row in attempts] == ["ok"] * len(ended) + ["queued"]
        assert all(row.product == "x" * 500 for row in attempts[:-1])
    store = SqliteStore(state)
    ledger, opened = store.reopen_run(RUN)
    assert store.warnings == []
    assert opened.offsets == {"w.log": len(ended)}
    ledger.close()
    store.close()


@pytest.mark.parametrize(
    ("point", "survives"),
    [("store.commit.before", False), ("store.commit.written", False), ("store.commit.after", True)],
)
def test_a_death_at_each_point_of_a_commit_leaves_all_of_it_or_nothing(state: str, point: str, survives: bool) -> None:
    code = WRITER.replace("while done", f"from weft import failpoints; failpoints.arm('{point}:kill:5')\nwhile done")
    seen = subprocess.run([sys.executable, "-c", code, state, RUN, "64"], stdout=subprocess.PIPE, check=False)
    assert seen.returncode == -signal.SIGKILL
    assert len(seen.stdout.split()) == 4
    with SqliteArchive(state) as archive:
        assert sum(row.state == "ok" for row in archive.tasks(RUN)) == (5 if survives else 4)


def test_a_death_between_lock_and_lease_leaves_the_plan_free(state: str) -> None:
    code = f"from weft import failpoints; failpoints.arm('store.own.locked:kill')\n{WRITER}"
    assert subprocess.run([sys.executable, "-c", code, state, RUN, "4"], check=False).returncode == -signal.SIGKILL
    store = SqliteStore(state)
    ledger = store.open_run(NEW)
    assert ledger.epoch == 1
    ledger.close()
    store.close()


def test_of_parallel_starts_exactly_one_owns_the_plan_and_the_others_are_told_who(state: str) -> None:
    code = """
import sys
from weft.errors import OwnedError
from weft.ports import NewRun
from weft.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1], "process")
sys.stdin.readline()
try:
    ledger = store.open_run(NewRun(sys.argv[2], "plan", "name", "/", 1.0, {}, b"", ["t"], [0]))
    print("owner", flush=True)
    sys.stdin.readline()
except OwnedError as error:
    print(error.exit_code, error, error.hint, flush=True)
"""
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code, state, f"{number:032x}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    answers = []
    for start in starts:
        assert start.stdout is not None
        answers.append(start.stdout.readline())
    owners = [start for start, answer in zip(starts, answers, strict=True) if answer == "owner\n"]
    assert len(owners) == 1
    with SqliteArchive(state) as archive:
        (row,) = archive.runs()
        assert archive.is_owned(row)
    for answer in answers:
        if answer != "owner\n":
            assert answer.startswith("4 this plan is being run by ")
            assert "weft cancel" in answer and "wait for it" in answer
    assert [answer for answer in answers if f"process {owners[0].pid} on {os.uname().nodename} since " in answer]
    for start in starts:
        start.communicate("end\n")
    with SqliteArchive(state) as archive:
        assert not archive.is_owned(row)


def test_a_lock_is_not_inherited_by_programs_that_the_owner_starts(state: str) -> None:
    store = SqliteStore(state)
    ledger = store.open_run(NEW)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        ledger.close()
        assert child.poll() is None, "the program has to live while the lock is taken again"
        again = store.open_run(NEW._replace(run="b" * 32))  # OwnedError, had the program kept the lock
        assert again.epoch == ledger.epoch + 1
        again.close()
        store.close()
    finally:
        child.kill()
        child.wait()


def test_looking_at_the_database_once_more_does_not_cost_the_writer_its_locks(state: str) -> None:
    """Closing any descriptor of a file drops all locks that the process has on it (fcntl(2)): then whoever leaves next
    removes the WAL that we go on writing to, and all of that is lost."""
    store = SqliteStore(state)
    ledger = store.open_run(NEW)
    SqliteArchive(state).close()
    Mailbox(state).post(RUN, "cancel", {})
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM facts'); c.close()"
    subprocess.run([sys.executable, "-c", code, store.path], check=True)
    assert os.path.exists(f"{store.path}-wal")
    ledger.record([SettleTask(0, "ok", None, None, 0)], {})
    ledger.commit()
    ledger.close()
    with SqliteArchive(state) as archive:  # through the file's own name, as everybody else finds it
        assert archive.tasks(RUN)[0].state == "ok"
    store.close()


def test_readers_see_whole_transactions_while_a_writer_works(state: str) -> None:
    store = SqliteStore(state, "process")
    ledger = store.open_run(NEW)
    seen: list[int] = []
    broken: list[str] = []
    ended = threading.Event()

    def look() -> None:
        with SqliteArchive(state) as archive:
            while not ended.is_set():
                done = sum(row.state == "ok" for row in archive.tasks(RUN))
                if done % 2:
                    broken.append(f"{done} tasks: half a transaction")
                seen.append(done)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for done in range(0, 64, 2):
        before = len(seen)
        ledger.record([*step(done), *step(done + 1)], {})
        ledger.commit()
        for _ in range(100_000):  # each transaction is met by a look, without a clock
            if len(seen) > before or not any(reader.is_alive() for reader in readers):
                break
            ended.wait(0.001)
    ended.set()
    for reader in readers:
        reader.join()
    assert not broken
    assert seen and max(seen) > 0
    ledger.close()
    store.close()


def recorded(state: str, tasks: int = 40) -> str:
    """A run with some transactions; the database's path."""
    store = SqliteStore(state, "process")
    ledger = store.open_run(NEW)
    for done in range(tasks):
        ledger.record(step(done), {"w.log": done})
        ledger.commit()
    ledger.close()
    store.close()
    return os.path.join(state, "weft.db")


def change(path: str, statement: str, *bindings: object) -> None:
    """Somebody changes the database behind our back."""
    connection = apsw.Connection(path)
    connection.execute(statement, bindings)  # type: ignore[arg-type]
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE facts SET payload = replace(payload, '\"ok\"', '\"failed\"') WHERE number = 5",
        "UPDATE facts SET crc = crc + 1 WHERE number = 5",
        "UPDATE facts SET epoch = 2 WHERE number = 5",
        "DELETE FROM facts WHERE number = 5",
        "DELETE FROM facts WHERE number = (SELECT max(number) FROM facts)",
        "UPDATE facts SET number = 1000 WHERE number = 5",
        "UPDATE plans SET snapshot = x'00' || '{\"other\": 1}'",
        "UPDATE plans SET names = replace(names, 't1', 'u1')",
        "DELETE FROM plans",
    ],
)
def test_a_changed_record_is_found_by_its_checksum_and_nothing_is_written(state: str, damage: str) -> None:
    path = recorded(state)
    change(path, damage)
    before = Path(path).read_bytes()
    store = SqliteStore(state)
    with pytest.raises(StoreError, match="damaged") as caught:
        store.reopen_run(RUN)
    assert caught.value.exit_code == 3 and not caught.value.is_passing
    store.close()
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "table"),
    [
        ("UPDATE tasks SET state = 3 WHERE task = 7", "tasks"),
        ("DELETE FROM tasks WHERE task = 7", "tasks"),
        ("UPDATE attempts SET nonce = 1 WHERE task = 7", "attempts"),
        ("INSERT INTO items (run, task, instance, item, state) VALUES (1, 1, 0, 'x', 0)", "items"),
        ("UPDATE offsets SET offset = 1", "offsets"),
        ("UPDATE demands SET body = '[[],null,null]'", "demands"),
        ("UPDATE runs SET state = 'ok'", "runs"),
    ],
)
def test_tables_that_do_not_show_the_facts_are_made_again_from_them(state: str, damage: str, table: str) -> None:
    path = recorded(state)
    with SqliteArchive(state) as archive:
        right = (archive.tasks(RUN), archive.attempts(RUN), archive.items(RUN))
    change(path, damage)
    store = SqliteStore(state)
    ledger, opened = store.reopen_run(RUN)
    assert (list(opened.tasks), list(opened.attempts), opened.items) == right
    assert opened.offsets == {"w.log": 39}
    assert len(store.warnings) == 1 and table in store.warnings[0]
    ledger.record(step(40), {})
    ledger.finish("ok", 0, 5.0)
    ledger.close()
    again, _ = store.reopen_run(RUN)
    assert len(store.warnings) == 1
    again.close()
    store.close()


def test_a_bit_flipped_anywhere_is_found_or_without_effect(state: str) -> None:
    path = recorded(state, 20)
    with SqliteArchive(state) as archive:
        right = (archive.tasks(RUN), archive.attempts(RUN))
    data = Path(path).read_bytes()
    chance = random.Random(11)
    for _ in range(60):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        Path(path).write_bytes(flipped)
        for ending in ("-wal", "-shm"):
            Path(path + ending).unlink(missing_ok=True)
        try:
            store = SqliteStore(state)
        except StoreError:
            continue
        try:
            ledger, opened = store.reopen_run(RUN)
        except StoreError:
            continue
        else:
            assert (opened.tasks, opened.attempts) == right
            ledger.close()
        finally:
            store.close()


def test_looking_at_a_database_with_flipped_bits_never_ends_in_a_traceback(state: str) -> None:
    path = recorded(state, 20)
    data = Path(path).read_bytes()
    chance = random.Random(13)
    for _ in range(60):
        flipped = bytearray(data)
        for _ in range(20):
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        Path(path).write_bytes(flipped)
        try:
            with SqliteArchive(state) as archive:
                look(archive)
        except StoreError as error:
            assert error.exit_code == 3
        examine(state)


def look(archive: SqliteArchive) -> None:
    """Read everything there is."""
    for row in archive.runs():
        archive.tasks(row.run)
        archive.attempts(row.run)
        archive.items(row.run)
        archive.reasons(row.run, 0)
        archive.snapshot(row.run)
        archive.results(row.plan_key)
    archive.files()


def test_a_locked_database_is_waited_for_with_a_word_about_whom(state: str) -> None:
    recorded(state)
    told: list[str] = []
    code = (
        "import sys, apsw\nc = apsw.Connection(sys.argv[1])\nc.execute('BEGIN EXCLUSIVE')\n"
        "print('locked', flush=True)\nsys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code, os.path.join(state, "weft.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        other.stdout.readline()

        def tell(sentence: str) -> None:
            told.append(sentence)
            assert other.stdin is not None
            other.stdin.write("enough\n")
            other.stdin.flush()

        store = SqliteStore(state, busy_seconds=30.0, told=tell)
        ledger = store.open_run(NEW._replace(run="b" * 32))
        pid = other.pid
    assert len(told) == 1 and f"pid {pid}" in told[0]
    ledger.close()
    store.close()


def test_a_database_that_stays_locked_is_given_up_with_everything_kept(state: str) -> None:
    store = SqliteStore(state, busy_seconds=0.05)
    ledger = store.open_run(NEW)
    other = apsw.Connection(os.path.join(state, "weft.db"))
    other.execute("BEGIN IMMEDIATE")
    ledger.record(step(0), {})
    with pytest.raises(StoreError, match="stayed locked") as caught:
        ledger.commit()
    assert caught.value.is_passing
    other.execute("ROLLBACK")
    other.close()
    ledger.commit()
    assert len(ledger.opened().attempts) == 1
    ledger.close()
    store.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_state_folder_that_goes_while_it_is_used_is_noticed(state: str, how: str) -> None:
    store = SqliteStore(state)
    ledger = store.open_run(NEW)
    os.rename(state, state + ".away")
    if how == "replaced":
        recorded(state)
    with pytest.raises(StoreError, match="while it was in use") as caught:
        ledger.commit()
    assert not caught.value.is_passing
    ledger.close()
    store.close()


class SyncFails(apsw.VFS):
    """A disk whose syncs fail from some moment on; counts them."""

    def __init__(self, base: str):
        self.broken = False
        self.failed = 0
        self.name = "sync-fails"
        self.base = base
        super().__init__(self.name, base, makedefault=True)

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        return SyncFailsFile(self, name, flags)


class SyncFailsFile(apsw.VFSFile):
    """A file of such a disk."""

    def __init__(self, disk: SyncFails, name: object, flags: list[int]):
        self._disk = disk
        super().__init__(disk.base, name, flags)  # type: ignore[arg-type]

    def xSync(self, flags: int) -> None:
        if self._disk.broken:
            self._disk.failed += 1
            error = apsw.IOError("disk I/O error")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC
            raise error
        super().xSync(flags)


def test_a_failed_sync_is_never_repeated_and_the_run_can_be_read_again(state: str) -> None:
    disk = SyncFails(apsw.vfs_names()[0])
    try:
        store = SqliteStore(state)
        ledger = store.open_run(NEW)
        ledger.record(step(0), {})
        ledger.commit()
        disk.broken = True
        ledger.record(step(1), {})
        for _ in range(3):
            with pytest.raises(StoreError, match="did not confirm") as caught:
                ledger.commit()
            assert not caught.value.is_passing
        assert disk.failed == 1
        ledger.close()
        store.close()
        assert disk.failed == 1
    finally:
        disk.unregister()
    store = SqliteStore(state)
    ledger, opened = store.reopen_run(RUN)
    assert opened.tasks[0].state == "ok"
    ledger.close()
    store.close()


def test_two_owners_of_one_run_never_both_write(state: str) -> None:
    """The kernel lock is gone (its file was removed), so only the epoch stands between them."""
    first_store = SqliteStore(state)
    first = first_store.open_run(NEW)
    for name in os.listdir(os.path.join(state, "locks")):
        os.unlink(os.path.join(state, "locks", name))
    second_store = SqliteStore(state)
    second, _ = second_store.reopen_run(RUN)
    first.record(step(0), {})
    with pytest.raises(StoreError, match="another owner took over"):
        first.commit()
    second.record(step(1), {})
    second.commit()
    with pytest.raises(OwnedError):
        SqliteStore(state).open_run(NEW._replace(run="c" * 32))
    for ledger in (first, second):
        ledger.close()
    first_store.close()
    second_store.close()
