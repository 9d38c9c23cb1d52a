"""A store that another process locks for ever: reliability.md, row B2. The command is the real one, its limits are shorter."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.faults import Heard
from support.weft_process import Doorway, Weft, check_no_overlap, read_ledger

SHORT = """
import sys
from weft.runtime import engine
from weft.store import sqlite

engine.DISK_GRACE_SECONDS = sqlite.BUSY_SECONDS = 1.5
durability, busy, told = sqlite.SqliteStore.__init__.__defaults__
assert busy == 60.0
sqlite.SqliteStore.__init__.__defaults__ = durability, sqlite.BUSY_SECONDS, told
from weft.cli.main import console

console()
"""


@contextmanager
def locked(weft: Weft) -> Iterator[None]:
    other = sqlite3.connect(weft.folder / ".weft" / "weft.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def impatient(*words: str) -> list[str]:
    return [sys.executable, "-c", SHORT, *words]


def begun(ledger: Path) -> list[str]:
    return [task for what, task, *_ in read_ledger(ledger) if what == "begin"]


def test_a_run_whose_store_stays_locked_ends_with_exit_3_and_loses_nothing(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    first, second = {"shell": door.script(ledger)}, {"shell": door.script(ledger)}
    weft.plan({"first": first, "second": second, "after": {**first, "dependencies": ["first", "second"]}})
    with Heard(tmp_path, impatient("run", "plan.json", "-j", "2")) as engine:
        door.wait_for("first", "second")
        with locked(weft):
            door.let_on()
            engine.wait_for(f"locked by pid {os.getpid()}")
            assert engine.end() == 3, engine.text
            assert "stayed locked" in engine.text and "Traceback" not in engine.text
            assert begun(ledger) == ["first", "second"] or begun(ledger) == ["second", "first"], (
                "nothing new has started"
            )
            door.let_on()  # what runs goes on, and its receipts pile up
    resumed = weft.start("resume")
    door.wait_for("after")
    door.let_on()
    assert resumed.wait(60) == 0, (tmp_path / "err").read_text(encoding="utf-8")
    assert sorted(begun(ledger)) == ["after", "first", "second"]
    check_no_overlap(ledger, ["first", "second", "after"])
    assert set(weft.states().values()) == {("ok", None)}


def test_a_store_that_is_locked_from_the_beginning_lets_nothing_start(weft: Weft) -> None:
    weft.plan({"a": {"command": ["touch", "made"]}})
    assert weft("run", "plan.json").returncode == 0
    (weft.folder / "made").unlink()
    for words in (("run", "plan.json"), ("retry", "a")):
        with locked(weft), Heard(weft.folder, impatient(*words)) as command:
            command.wait_for(f"locked by pid {os.getpid()}")
            assert command.end() == 3, command.text
            assert "stayed locked" in command.text and "end the other process" in command.text
        assert not (weft.folder / "made").exists()
    assert weft("run", "plan.json", "--force").returncode == 0
    assert (weft.folder / "made").exists()
