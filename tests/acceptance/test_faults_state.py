"""The state folder under attack: reliability.md, rows B1 to B8 and J8, with the real command."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support import preloads
from support.faults import Heard, run_in, with_mounts, without_access_to_all
from support.waiting import wait_for_ends
from support.weft_process import LIMIT_SECONDS, Doorway, Weft, kill, read_ledger, supervisor_of
from weft.executors.supervisor.receipts import HEADER, MAGIC, ReceiptWriter

TWO = {"a": {"command": ["true"]}, "b": {"command": ["touch", "made"], "dependencies": ["a"]}}


def run_id(weft: Weft) -> str:
    return str(json.loads(weft("status", "--output", "json").stdout)["run"])


def begun(ledger: Path) -> list[str]:
    return [task for what, task, *_ in read_ledger(ledger) if what == "begin"]


# --- B1 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("run", "plan.json"), ("resume",), ("retry",)])
def test_a_read_only_state_starts_nothing_and_can_still_be_read(weft: Weft, words: tuple[str, ...]) -> None:
    weft.plan({**TWO, "c": {"command": ["false"]}})
    assert weft("run", "plan.json").returncode == 1
    (weft.folder / "made").unlink()
    read_only = "mount --bind .weft .weft; mount -o remount,ro,bind .weft"
    refused = run_in(weft, with_mounts(read_only, weft.command(*words)))
    assert refused.returncode == 3, refused.stderr
    assert "cannot be written" in refused.stderr and ".weft" in refused.stderr
    assert not (weft.folder / "made").exists()
    shown = run_in(weft, with_mounts(read_only, weft.command("status", "--output", "json")))
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["tasks"]["b"]["state"] == "ok"


@pytest.mark.parametrize("path", [".weft", ".weft/weft.db"])
def test_a_state_that_may_not_be_written_starts_nothing_and_can_still_be_read(weft: Weft, path: str) -> None:
    weft.plan({**TWO, "c": {"command": ["false"]}})
    assert weft("run", "plan.json").returncode == 1
    (weft.folder / "made").unlink()
    (weft.folder / path).chmod(0o500 if (weft.folder / path).is_dir() else 0o400)
    try:
        for words in (("run", "plan.json"), ("resume",), ("retry",)):
            refused = run_in(weft, without_access_to_all(weft.command(*words)))
            assert refused.returncode == 3, refused.stderr
            assert str(weft.folder / ".weft") in refused.stderr and "Traceback" not in refused.stderr
        assert not (weft.folder / "made").exists()
        shown = run_in(weft, without_access_to_all(weft.command("status", "--output", "json")))
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)["tasks"]["b"]["state"] == "ok"
    finally:
        (weft.folder / path).chmod(0o700)


def test_a_state_folder_that_cannot_be_made_starts_nothing(weft: Weft) -> None:
    weft.plan(TWO)
    read_only = "mount --bind . .; mount -o remount,ro,bind .; cd ."
    refused = run_in(weft, with_mounts(f"{read_only}; cd {weft.folder}", weft.command("run", "plan.json")))
    assert refused.returncode == 3, refused.stderr
    assert "Read-only file system" in refused.stderr


# --- a disk without room (R13) -------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_stops_starts_until_there_is_room(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": "touch made", "dependencies": ["one"]}})
    state = tmp_path / ".weft"
    state.mkdir(mode=0o700)
    words = ["/bin/sh", "-c", '"$@"; code=$?; cp -r .weft saved; exit $code', "sh", *weft.command("run", "plan.json")]
    small = f"mount -t tmpfs -o size=2m,mode=0700 tmpfs {state}"
    with Heard(tmp_path, with_mounts(small, words)) as engine:
        door.wait_for("one")
        filler = Path(f"/proc/{engine.process.pid}/root{state}/filler")
        with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"\0" * 4096)
        door.let_on()
        engine.wait_for("nothing new starts: ")
        assert "weft.db" in engine.text and "bytes free" in engine.text
        assert not (tmp_path / "made").exists()
        filler.unlink()
        assert engine.end() == 0, engine.text
    assert begun(ledger) == ["one"]
    assert weft.states("--state", "saved") == {"one": ("ok", None), "two": ("ok", None)}


def test_a_disk_that_is_full_from_the_start_starts_nothing(weft: Weft) -> None:
    weft.plan(TWO)
    state = weft.folder / ".weft"
    state.mkdir(mode=0o700)
    full = f"mount -t tmpfs -o size=32k,mode=0700 tmpfs {state}"
    refused = run_in(weft, with_mounts(full, weft.command("run", "plan.json")))
    assert refused.returncode == 3, refused.stderr
    assert "No space left on device" in refused.stderr and str(state) in refused.stderr
    assert not (weft.folder / "made").exists()


# --- B2 ------------------------------------------------------------------------------------------------------------------


def test_a_locked_store_is_waited_for_and_who_locks_it_is_said(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": "touch made", "dependencies": ["one"]}})
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("one")
        other = sqlite3.connect(tmp_path / ".weft" / "weft.db", isolation_level=None)
        try:
            other.execute("BEGIN EXCLUSIVE")
            door.let_on()
            engine.wait_for(f"locked by pid {os.getpid()}")
            assert not (tmp_path / "made").exists()
            other.execute("ROLLBACK")
        finally:
            other.close()
        assert engine.end() == 0, engine.text
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}
    assert begun(ledger) == ["one"]


# --- B3 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:10000],
        lambda content: content[:12288] + b"\0" * 20480 + content[32768:],
        lambda content: b"",
        lambda content: b"no database at all\n",
        lambda content: b"\0" * len(content),
    ],
    ids=["cut", "zeroed pages", "empty", "text", "zeroed"],
)
def test_a_damaged_store_is_left_as_it_is_and_doctor_tells(weft: Weft, damage: Callable[[bytes], bytes]) -> None:
    weft.plan(TWO)
    assert weft("run", "plan.json").returncode == 0
    (weft.folder / "made").unlink()
    database = weft.folder / ".weft" / "weft.db"
    content = damage(database.read_bytes())
    database.write_bytes(content)
    for words in (("run", "plan.json"), ("resume",), ("status",)):
        ended = weft(*words)
        assert ended.returncode == 3, ended.stderr
        assert "damaged" in ended.stderr and "weft doctor" in ended.stderr and "Traceback" not in ended.stderr
    told = weft("doctor")
    assert told.returncode == 0
    assert "damaged" in told.stdout
    assert database.read_bytes() == content
    assert not (weft.folder / "made").exists()


def test_a_rebuild_saves_the_runs_that_can_be_believed_and_keeps_the_damaged_file(weft: Weft) -> None:
    weft.plan(TWO)
    assert weft("run", "plan.json").returncode == 0
    kept = run_id(weft)
    assert weft("run", "plan.json", "--force").returncode == 0
    spoilt = run_id(weft)
    database = weft.folder / ".weft" / "weft.db"
    with sqlite3.connect(database) as other:
        other.execute("UPDATE facts SET crc = crc + 1 WHERE run = (SELECT number FROM runs WHERE run = ?)", (spoilt,))
    other.close()
    assert weft("resume").returncode == 3
    told = json.loads(weft("doctor", "--rebuild", "--output", "json").stdout)
    found = {finding["topic"]: finding["value"] for finding in told["findings"]}
    assert found["saved run"] == kept
    assert found["lost run"].startswith(spoilt) and "checksum" in found["lost run"]
    assert Path(found["set aside"]).is_file()
    assert run_id(weft) == kept
    assert weft.states() == {"a": ("ok", None), "b": ("ok", None)}
    assert weft("resume").returncode == 0
    assert weft("run", "plan.json").returncode == 0


def test_what_is_no_database_is_set_aside_by_a_rebuild_and_work_begins_anew(weft: Weft) -> None:
    weft.plan(TWO)
    assert weft("run", "plan.json").returncode == 0
    database = weft.folder / ".weft" / "weft.db"
    database.write_bytes(b"no database at all\n")
    told = weft("doctor", "--rebuild")
    assert told.returncode == 0, told.stderr
    assert "all runs" in told.stdout and "Traceback" not in told.stderr
    assert [path.read_bytes() for path in database.parent.glob("weft.db.damaged-*")] == [b"no database at all\n"]
    assert weft("run", "plan.json").returncode == 0


def test_a_rebuild_is_refused_while_an_engine_works(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan({"one": {"shell": door.script(tmp_path / "ledger")}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    assert weft("doctor", "--rebuild").returncode == 4
    door.let_on()
    assert engine.wait(LIMIT_SECONDS) == 0


# --- B4 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [True, False], ids=["run recorded", "run forgotten"])
def test_a_store_without_its_wal_is_not_believed(weft: Weft, door: Doorway, tmp_path: Path, is_known: bool) -> None:
    """The database is older than the receipts: with the WAL went the intent of what runs, or the whole run."""
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": door.script(ledger), "dependencies": ["one"]}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    run = run_id(weft)
    if is_known:
        with sqlite3.connect(tmp_path / ".weft" / "weft.db") as other:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        other.close()
        assert (tmp_path / ".weft" / "weft.db-wal").exists(), "the engine holds its locks: nobody else may end the WAL"
    door.let_on()
    door.wait_for("two")
    kill(engine)
    (tmp_path / ".weft" / "weft.db-wal").rename(tmp_path / "wal")
    (tmp_path / ".weft" / "weft.db-shm").unlink()
    for words in (("resume",), ("run", "plan.json")):
        refused = weft(*words)
        assert refused.returncode in ((3,) if not is_known or words == ("resume",) else (3, 4)), refused.stderr
        assert "older than what lies beside it" in refused.stderr or refused.returncode == 4
    assert is_known or run in weft("doctor").stdout
    supervisor = supervisor_of(run)
    door.let_on()
    wait_for_ends([supervisor])
    assert weft("resume").returncode == 3
    if is_known:
        refused = weft("run", "plan.json")
        assert refused.returncode == 3 and "weft.db-wal" in refused.stderr, refused.stderr
    assert begun(ledger) == ["one", "two"]
    for left in ("weft.db-wal", "weft.db-shm"):
        (tmp_path / ".weft" / left).unlink(missing_ok=True)
    (tmp_path / "wal").rename(tmp_path / ".weft" / "weft.db-wal")
    assert weft("resume").returncode == 0, "the WAL is back and the run goes on"
    assert begun(ledger) == ["one", "two"]


# --- B5 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", ["flock", "fcntl", "posix", "all"])
@pytest.mark.parametrize("answer", ["success", "ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_locks_that_fail_or_always_succeed_are_not_relied_on(weft: Weft, calls: str, answer: str) -> None:
    weft.plan(TWO)
    shim = preloads.locks(weft.folder, calls, answer)
    refused = weft("run", "plan.json", LD_PRELOAD=shim)
    assert refused.returncode == 3, refused.stderr
    assert "locks do not work where the state folder lies" in refused.stderr and "--state DIR" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (weft.folder / "made").exists()
    assert weft("run", "plan.json").returncode == 0, "nothing was left behind that is in the way"


@pytest.mark.parametrize("words", [("run", "plan.json"), ("resume",), ("retry",)])
def test_locks_that_stopped_working_are_noticed_in_a_state_that_is_there(weft: Weft, words: tuple[str, ...]) -> None:
    weft.plan({**TWO, "c": {"command": ["false"]}})
    assert weft("run", "plan.json").returncode == 1
    (weft.folder / "made").unlink()
    for answer in ("success", "ENOLCK"):
        refused = weft(*words, LD_PRELOAD=preloads.locks(weft.folder, "all", answer))
        assert refused.returncode == 3, refused.stderr
        assert "locks do not work" in refused.stderr and "--state DIR" in refused.stderr
    assert not (weft.folder / "made").exists()
    assert len(os.listdir(weft.folder / ".weft" / "locks")) == 1, "the plan's, and nothing that was tried"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "lustre", "smb3"])
def test_a_state_on_a_network_file_system_is_refused_with_the_way_out(weft: Weft, kind: str) -> None:
    weft.plan(TWO)
    refused = weft("run", "plan.json", LD_PRELOAD=preloads.mounts(weft.folder, kind, weft.folder))
    assert refused.returncode == 3, refused.stderr
    assert f"network file system ({kind})" in refused.stderr and "--state DIR" in refused.stderr
    assert not (weft.folder / "made").exists()


# --- B6 ------------------------------------------------------------------------------------------------------------------


def test_a_state_folder_that_is_moved_away_is_noticed_while_nothing_happens(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": "touch made", "dependencies": ["one"]}})
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("one")
        (tmp_path / ".weft").rename(tmp_path / "elsewhere")
        assert engine.end() == 3, engine.text
        assert "has gone while it was in use" in engine.text and "weft resume" in engine.text
    assert not (tmp_path / "made").exists()
    (tmp_path / "elsewhere").rename(tmp_path / ".weft")
    with Heard(tmp_path, weft.command("resume")) as engine:
        door.let_on()
        assert engine.end() == 0, engine.text
    assert begun(ledger) == ["one"]


def test_a_state_folder_that_is_deleted_stops_all_starts(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan(
        {"one": {"shell": door.script(tmp_path / "ledger")}, "two": {"shell": "touch made", "dependencies": ["one"]}}
    )
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("one")
        while (tmp_path / ".weft").exists():  # the engine notices, and takes its own socket away meanwhile
            shutil.rmtree(tmp_path / ".weft", ignore_errors=True)
        door.let_on()
        assert engine.end() == 3, engine.text
        assert "has gone while it was in use" in engine.text
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / ".weft").exists(), "nothing is made in its place"


# --- B8 ------------------------------------------------------------------------------------------------------------------


def test_receipts_that_are_not_ours_are_named_and_the_others_count(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": f"{door.script(ledger)}; exit 7"}, "two": {"command": ["true"]}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    run = run_id(weft)
    supervisor = supervisor_of(run)
    kill(engine)
    door.let_on()
    wait_for_ends([supervisor])
    receipts = tmp_path / ".weft" / "runs" / run / "receipts"
    with open(receipts / "supervisor-1.log", "ab") as file:
        file.write(HEADER.pack(MAGIC, 1, 0, 500, 99) + b'["ended",')  # a tail that was never finished
    os.mkfifo(receipts / "supervisor-3.log")
    (receipts / "supervisor-4.log").symlink_to(tmp_path / "plan.json")
    (receipts / "supervisor-5.log").write_bytes(b"")
    ReceiptWriter(str(receipts / "supervisor-6.log"), {"run": "ef" * 16}).close()
    (receipts / "supervisor-7.log").write_bytes(HEADER.pack(MAGIC, 7, 0, 0, 1) + b"\0\0\0\0")
    resumed = weft("resume", "--output", "json")
    assert resumed.returncode == 1, resumed.stderr
    assert "Traceback" not in resumed.stderr
    for number, why in (
        (3, "no regular file"),
        (4, "symbolic link"),
        (6, "belongs to run"),
        (7, "version 7"),
    ):
        assert f"supervisor-{number}.log is left aside" in resumed.stderr and why in resumed.stderr, resumed.stderr
    assert weft.states() == {"one": ("failed", "exit:7"), "two": ("ok", None)}
    assert begun(ledger) == ["one"], "its receipt was read"


# --- J8 ------------------------------------------------------------------------------------------------------------------


def test_everything_in_the_state_folder_is_private_whatever_the_umask(weft: Weft) -> None:
    weft.plan({"a": {"command": ["echo", "x"], "product": "stdout"}, "b": {"shell": "umask > mask"}})
    ended = run_in(weft, ["/bin/sh", "-c", 'umask 000; exec "$@"', "sh", *weft.command("run", "plan.json")])
    assert ended.returncode == 0, ended.stderr
    assert (weft.folder / "mask").read_text().strip() == "0000", "the tasks' own files are the user's affair"
    for folder, folders, files in os.walk(weft.folder / ".weft"):
        for name, wanted in [*((name, 0o700) for name in folders), *((name, 0o600) for name in files), ("", 0o700)]:
            mode = stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode)
            assert mode == wanted, f"{folder}/{name} has mode {mode:o}"


@pytest.mark.parametrize("how", ["open", "owner", "link"])
def test_a_state_folder_that_others_can_reach_is_refused(weft: Weft, how: str) -> None:
    weft.plan(TWO)
    state = weft.folder / ".weft"
    real = weft.folder / "real"
    real.mkdir(mode=0o700)
    if how == "link":
        state.symlink_to(real)
    else:
        real.rename(state)
        if how == "open":
            state.chmod(0o755)
        else:
            os.chown(state, 12345, 12345)
    refused = weft("run", "plan.json")
    assert refused.returncode == 3, refused.stderr
    assert str(state) in refused.stderr
    assert not (weft.folder / "made").exists()
    assert os.listdir(state) == []
