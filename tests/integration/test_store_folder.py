"""State folders and database files that weft makes, refuses, or leaves alone."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from weft import failpoints
from weft.errors import StoreError, UsageError
from weft.ports import NewRun
from weft.store import database, folder
from weft.store.archive import SqliteArchive
from weft.store.health import examine, set_aside
from weft.store.sqlite import SqliteStore

NEW = NewRun("a" * 32, "plan", "name", "/", 1.0, {}, b"{}", ["t"], [0])
AS_ROOT = os.geteuid() == 0


def made(state: Path, run: str = NEW.run) -> Path:
    """A state folder with one finished run; its database file."""
    store = SqliteStore(str(state), "process")
    ledger = store.open_run(NEW._replace(run=run))
    ledger.finish("ok", 0, 2.0)
    ledger.close()
    store.close()
    return state / "weft.db"


def refused(state: Path) -> StoreError:
    """The error of a start over this folder; the database stays as it is, byte for byte."""
    path = state / "weft.db"
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as caught:
        SqliteStore(str(state)).open_run(NEW._replace(run="b" * 32))
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert (path.read_bytes() if path.is_file() else None) == before
    return caught.value


@pytest.mark.parametrize("below", ["sub", "sub/sub"])
def test_a_state_folder_below_a_file_is_refused_and_the_file_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "FILE").write_text("mine")
    error = refused(tmp_path / "FILE" / below)
    assert str(error).startswith(f"the state folder cannot be made: {tmp_path / 'FILE'} is no folder")


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_folder_and_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    state = tmp_path / "deep" / ".weft"
    state.parent.mkdir()
    old = os.umask(umask)
    try:
        store = SqliteStore(str(state))
        ledger = store.open_run(NEW)
        modes = {str(path.relative_to(state)): stat.S_IMODE(path.stat().st_mode) for path in [state, *state.rglob("*")]}
        ledger.close()
        store.close()
    finally:
        os.umask(old)
    folders = (".", "locks", "logs", "runs")
    assert {mode for name, mode in modes.items() if name in folders} == {0o700}
    assert {mode for name, mode in modes.items() if name not in folders} == {0o600}
    assert {"weft.db", "weft.db-wal", "weft.db-shm"} <= set(modes)


def test_nothing_but_the_database_and_locks_is_left(tmp_path: Path) -> None:
    made(tmp_path / ".weft")
    assert sorted(os.listdir(tmp_path / ".weft")) == ["locks", "logs", "runs", "weft.db"]


def test_a_link_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / ".weft").symlink_to(tmp_path / "real")
    assert "is a link" in str(refused(tmp_path / ".weft"))


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".weft").write_text("x")
    assert "not a folder" in str(refused(tmp_path / ".weft"))


def test_a_folder_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    made(tmp_path / ".weft")
    os.chmod(tmp_path / ".weft", 0o750)
    error = refused(tmp_path / ".weft")
    assert "open to other users (mode 750)" in str(error)
    assert error.hint == f"if you trust what is in it: chmod 700 {tmp_path / '.weft'}"


def test_a_folder_inside_that_is_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    made(tmp_path / ".weft")
    os.chmod(tmp_path / ".weft" / "logs", 0o755)
    made(tmp_path / ".weft", "b" * 32)
    assert stat.S_IMODE((tmp_path / ".weft" / "logs").stat().st_mode) == 0o700


def test_a_link_in_the_place_of_a_folder_inside_is_refused(tmp_path: Path) -> None:
    made(tmp_path / ".weft")
    (tmp_path / ".weft" / "logs").rmdir()
    (tmp_path / ".weft" / "logs").symlink_to(tmp_path)
    assert "is a link" in str(refused(tmp_path / ".weft"))


def test_a_database_open_to_others_is_refused(tmp_path: Path) -> None:
    os.chmod(made(tmp_path / ".weft"), 0o644)
    assert "open to other users" in str(refused(tmp_path / ".weft"))


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_folder_of_another_owner_is_refused(tmp_path: Path) -> None:
    made(tmp_path / ".weft")
    os.chown(tmp_path / ".weft", 12345, -1)
    assert "belongs to user 12345" in str(refused(tmp_path / ".weft"))


def test_a_database_that_is_a_link_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    path.rename(tmp_path / "elsewhere.db")
    path.symlink_to(tmp_path / "elsewhere.db")
    assert "no regular file" in str(refused(tmp_path / ".weft"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"this is a text file\n" * 50, "no SQLite database"),
        (b"\0" * 8192, "no SQLite database"),
        (b"SQLite format 3\0", "no SQLite database"),
    ],
)
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes, words: str) -> None:
    path = made(tmp_path / ".weft")
    path.write_bytes(content)
    error = refused(tmp_path / ".weft")
    assert words in str(error) and str(path) in str(error)
    assert "weft doctor" in str(error.hint)
    with pytest.raises(StoreError, match=words):
        SqliteArchive(str(tmp_path / ".weft"))


@pytest.mark.parametrize("kept", [100, 4096, 5000, -1, -4096])
def test_a_cut_database_is_refused(tmp_path: Path, kept: int) -> None:
    path = made(tmp_path / ".weft")
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    assert "damaged" in str(refused(tmp_path / ".weft"))


def test_a_database_with_zeroed_pages_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    data = bytearray(path.read_bytes())
    data[4096:16384] = bytes(12288)
    path.write_bytes(data)
    assert "damaged" in str(refused(tmp_path / ".weft"))


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    path.unlink()
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    os.chmod(path, 0o600)
    assert "another program's database" in str(refused(tmp_path / ".weft"))


def test_a_later_schema_is_left_untouched(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    other = apsw.Connection(str(path))
    other.execute(f"PRAGMA user_version = {database.VERSION + 1}")
    other.close()
    os.chmod(path, 0o600)
    assert "later weft" in str(refused(tmp_path / ".weft"))
    with pytest.raises(StoreError, match="later weft"):
        SqliteArchive(str(tmp_path / ".weft"))


def test_a_run_of_the_first_schema_is_taken_up(tmp_path: Path) -> None:
    state = tmp_path / ".weft"
    first = SqliteStore(str(state), "process")
    first.open_run(NEW).close()
    first.connection.execute("DROP TABLE begun; PRAGMA user_version = 1").fetchall()  # what later schemas have added
    first.close()
    with SqliteArchive(str(state)) as archive:
        assert [row.run for row in archive.runs()] == [NEW.run], "whoever looks need not wait for that"
    store = SqliteStore(str(state), "process")
    ledger, opened = store.reopen_run(NEW.run)
    assert (opened.row.run, list(opened.begun)) == (NEW.run, [])
    assert store.connection.execute("PRAGMA user_version").get == database.VERSION
    ledger.close()
    store.close()


def test_a_later_schema_that_only_the_wal_tells_is_left_untouched(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    other = apsw.Connection(str(path))
    other.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    other.execute(f"PRAGMA user_version = {database.VERSION + 1}")
    other.close()
    wal = (path.parent / "weft.db-wal").read_bytes()
    assert "later weft" in str(refused(tmp_path / ".weft"))
    assert (path.parent / "weft.db-wal").read_bytes() == wal


def test_a_start_that_dies_while_it_makes_the_database_leaves_none(tmp_path: Path) -> None:
    state = tmp_path / ".weft"
    code = (
        "from weft import failpoints; failpoints.arm('store.open.created:kill')\n"
        f"from weft.store.sqlite import SqliteStore; SqliteStore({str(state)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert not (state / "weft.db").exists()
    made(state)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "lustre"])
def test_a_network_file_system_is_refused_with_the_way_out(tmp_path: Path, kind: str) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"20 1 0:1 / / rw - ext4 /dev/x rw\n21 20 0:2 / {tmp_path} rw - {kind} server:/x rw\n")
    with pytest.raises(StoreError, match=f"network file system .{kind}.") as caught:
        folder.refuse_shared(str(tmp_path), None, str(mountinfo))
    assert "--state" in str(caught.value.hint)


def test_the_innermost_mount_decides(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    inner = tmp_path / "with space"
    inner.mkdir()
    escaped = str(inner).replace(" ", "\\040")
    mountinfo.write_text(f"20 1 0:1 / / rw - nfs4 s:/ rw\n21 20 0:2 / {escaped} rw shared:1 master:2 - xfs /dev/y rw\n")
    assert folder.file_system_of(str(inner), str(mountinfo)) == "xfs"
    assert folder.file_system_of(str(tmp_path), str(mountinfo)) == "nfs4"


def test_an_unknown_file_system_is_tried_with_two_processes(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("20 1 0:1 / / rw - fuse.strange x rw\n")
    folder.refuse_shared(str(tmp_path), str(tmp_path), str(mountinfo))
    assert os.listdir(tmp_path) == ["mountinfo"]


def test_locks_that_exclude_nobody_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(str(tmp_path / ".weft"))
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(StoreError, match="locks do not work"):
        store.open_run(NEW)
    store.close()


def test_locks_that_fail_are_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    store = SqliteStore(str(tmp_path / ".weft"))
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="No locks available") as caught:
        store.open_run(NEW)
    assert "--state" in str(caught.value.hint)
    store.close()


@pytest.mark.parametrize("action", ["ENOSPC", "EIO"])
def test_a_disk_without_room_refuses_the_start_with_the_systems_words(tmp_path: Path, action: str) -> None:
    failpoints.arm(f"store.open.created:{action}")
    try:
        with pytest.raises(StoreError) as caught:
            SqliteStore(str(tmp_path / ".weft"))
    finally:
        failpoints.arm(None)
    words = "No space left on device" if action == "ENOSPC" else "Input/output error"
    assert words in str(caught.value) and str(tmp_path) in str(caught.value)
    assert sorted(os.listdir(tmp_path / ".weft")) == ["locks", "logs", "runs"]


@pytest.mark.skipif(not AS_ROOT, reason="mounts need root")
def test_a_read_only_folder_can_be_read_and_refuses_a_start(tmp_path: Path) -> None:
    made(tmp_path / ".weft")
    code = (
        "import sys\n"
        "from weft.errors import StoreError\n"
        "from weft.store.archive import SqliteArchive\n"
        "from weft.store.sqlite import SqliteStore\n"
        "print(SqliteArchive(sys.argv[1]).find('last').state)\n"
        "try:\n    SqliteStore(sys.argv[1]).open_run(None)\n"
        "except StoreError as error:\n    print(error.exit_code, error)\n"
    )
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path / ".weft"), sys.executable, code]
    seen = subprocess.run(command, capture_output=True, text=True, check=False)
    if seen.returncode and ("unshare" in seen.stderr or "mount" in seen.stderr):
        pytest.skip(f"no mount namespaces here: {seen.stderr}")
    first, second = seen.stdout.splitlines()
    assert first == "ok"
    assert second.startswith("3 ") and "read" in second.lower()


@pytest.mark.skipif(not AS_ROOT, reason="mounts need root")
def test_a_full_disk_is_named_with_its_free_bytes_and_the_commit_succeeds_once_there_is_room(tmp_path: Path) -> None:
    code = """
import os, sys
from weft.errors import StoreError
from weft.ports import NewRun
from weft.scheduling.commands import TakeItems
from weft.store.sqlite import SqliteStore
folder = sys.argv[1]
store = SqliteStore(os.path.join(folder, ".weft"))
ledger = store.open_run(NewRun("a" * 32, "plan", None, "/", 1.0, {}, b"", ["t"] * 99, range(99)))
ballast = os.open(os.path.join(folder, "ballast"), os.O_WRONLY | os.O_CREAT)
try:
    while True:
        os.write(ballast, bytes(4096))
except OSError as error:
    print(error.errno)
ledger.record([TakeItems(0, tuple(str(number) * 20 for number in range(5000)))], {})
for _ in range(2):
    try:
        ledger.commit()
    except StoreError as error:
        print(error.exit_code, error.is_passing, error)
os.ftruncate(ballast, 0)
ledger.commit()
print(len(ledger.opened().items[0]))
"""
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path / "disk"), sys.executable, code]
    seen = subprocess.run(command, capture_output=True, text=True, check=False)
    if seen.returncode and ("unshare" in seen.stderr or "mount" in seen.stderr):
        pytest.skip(f"no mount namespaces here: {seen.stderr}")
    full, first, second, items = seen.stdout.splitlines()
    assert full == "28"
    for line in (first, second):
        assert line.startswith("3 True ") and "weft.db" in line
    assert items == "5000"


def test_an_archive_without_a_database_says_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no run here"):
        SqliteArchive(str(tmp_path / ".weft"))
    assert not (tmp_path / ".weft").exists()


def test_an_archive_reads_a_wal_that_cannot_be_indexed_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / ".weft")
    store = SqliteStore(str(tmp_path / ".weft"))
    ledger = store.open_run(NEW._replace(run="b" * 32))
    opening = SqliteArchive._try

    def cannot(self: SqliteArchive, name: str) -> apsw.Connection:
        if name == str(path):
            raise apsw.CantOpenError("unable to open database file")
        return opening(self, name)

    monkeypatch.setattr(SqliteArchive, "_try", cannot)
    with SqliteArchive(str(tmp_path / ".weft")) as archive:
        assert [row.run[0] for row in archive.runs()] == ["a", "b"]
    ledger.close()
    store.close()


@pytest.mark.parametrize(
    ("text", "run"),
    [("last", "ac"), ("-1", "ac"), ("-2", "ab"), ("-3", "aa"), ("aa", "aa"), ("AB", "ab"), ("ac" + "0" * 30, "ac")],
)
def test_a_run_is_found_by_id_prefix_last_and_count(tmp_path: Path, text: str, run: str) -> None:
    for start in ("aa", "ab", "ac"):
        made(tmp_path / ".weft", start + "0" * 30)
    with SqliteArchive(str(tmp_path / ".weft")) as archive:
        assert archive.find(text).run == run + "0" * 30


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a", "2 runs begin with 'a'", "which one? ab000000, aa000000"),
        ("zz", "there is no run 'zz'", "the latest are ab000000, aa000000"),
        ("", "there is no run ''", "the latest are ab000000, aa000000"),
        ("-3", "there is no run -3: 2 are recorded here", "-1 is the last one"),
        ("-0", "there is no run -0: 2 are recorded here", "-1 is the last one"),
        ("-²", "there is no run '-²'", "the latest are ab000000, aa000000"),
    ],
)
def test_a_run_that_is_not_one_is_a_mistake_with_a_hint(tmp_path: Path, text: str, message: str, hint: str) -> None:
    for start in ("aa", "ab"):
        made(tmp_path / ".weft", start + "0" * 30)
    with SqliteArchive(str(tmp_path / ".weft")) as archive, pytest.raises(UsageError) as caught:
        archive.find(text)
    assert message in str(caught.value)
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2


def test_doctor_finds_a_sound_folder_sound_and_changes_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    before = path.read_bytes()
    lines = examine(str(tmp_path / ".weft"))
    assert ("integrity", "ok", "quick check of every page", None) in lines
    assert not [line for line in lines if line[3]]
    assert path.read_bytes() == before


def test_doctor_names_damage_and_a_damaged_database_can_be_set_aside(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    path.write_bytes(b"nonsense")
    assert [line for line in examine(str(tmp_path / ".weft")) if line[0] == "database" and "damaged" in line[1]]
    aside = set_aside(str(tmp_path / ".weft"))
    assert Path(aside).read_bytes() == b"nonsense"
    made(tmp_path / ".weft")


def test_a_database_that_another_thread_is_using_can_be_opened(tmp_path: Path) -> None:
    path = made(tmp_path / ".weft")
    inside, gate = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        gate.wait(60)

    connection = apsw.Connection(str(path))
    connection.create_scalar_function("wait_here", wait)
    thread = threading.Thread(target=lambda: connection.execute("SELECT wait_here()").fetchall())
    thread.start()
    try:
        assert inside.wait(60)
        database.check_header(str(path))
    finally:
        gate.set()
        thread.join()
        connection.close()
