"""The power goes while a run is at work: reliability.md, row A10, on images of the disk as a cut may leave it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.power_cuts import Call, Disk, Keeping, trace
from support.weft_process import Weft, read_ledger

BIG = "print('y' * 100_000)"
FUNCTIONS = """
def note(name):
    with open("ledger", "a") as file:
        file.write(f"begin {name} 0 0\\n")

def numbers():
    note("numbers")
    return list(range(20_000))

def total(numbers):
    note("total")
    return sum(numbers)

def length(text):
    note("length")
    return len(text)

def pickled():
    note("pickled")
    return {1, 2, 3}

def unpickled(made):
    note("unpickled")
    return len(made)
"""


def shell(text: str, **more: Any) -> dict[str, Any]:
    return {"shell": f'echo "begin $WEFT_TASK $WEFT_ATTEMPT $$" >> ledger; {text}', **more}


TASKS: Mapping[str, Any] = {
    **{f"true{number}": shell("true") for number in range(4)},
    **{f"link{number}": shell("true", dependencies=[f"link{number - 1}"] if number else []) for number in range(5)},
    "again": shell("test $WEFT_ATTEMPT -gt 1", max_attempts=2),
    "fails": shell("echo oh dear >&2; exit 3"),
    "behind": shell("true", dependencies=["fails"]),
    "text": shell(f'python3 -c "{BIG}"', product="stdout"),
    "lone": shell(f'python3 -c "{BIG}"', product="stdout"),
    "length": {"function": "functions.py:length", "dependencies": [{"name": "text", "as": "text"}]},
    "numbers": {"function": "functions.py:numbers"},
    "total": {"function": "functions.py:total", "dependencies": [{"name": "numbers", "as": "numbers"}]},
    "pickled": {"function": "functions.py:pickled"},
    "unpickled": {"function": "functions.py:unpickled", "dependencies": [{"name": "pickled", "as": "made"}]},
    "file": shell("echo made > made", outputs=["made"]),
    "snippet": {"python": "print('begin snippet 0 0', file=open('ledger', 'a'))", "dependencies": ["link1"]},
    "each": shell("true", foreach={"values": [1, 2, 3], "as": "item"}),
}
PRODUCTS = {"length": 100_000, "total": sum(range(20_000)), "unpickled": 3, "numbers": list(range(20_000))}
OUTCOMES = dict.fromkeys(TASKS, ("ok", None)) | {
    "fails": ("failed", "exit:3"),
    "behind": ("skipped", "dependency:fails"),
}


class Recording:
    """A traced run, whose disk can be looked at after any number of its calls."""

    def __init__(self, weft: Weft, is_first: bool = True):
        weft.plan(TASKS)
        (weft.folder / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
        self.weft = weft
        self.state = weft.folder / ".weft"
        self._before: Path | None = None
        if not is_first:
            assert weft("run", "plan.json").returncode == 1
            self._before = weft.folder / "before"
            shutil.copytree(self.state, self._before)
        words = ("run", "plan.json", "--force", "-j", "4", "--output", "json")
        self.calls: list[Call] = trace(weft.folder, weft.command(*words), 1)

    def disk(self, count: int) -> Disk:
        """After the first `count` calls."""
        disk = Disk(str(self.state), str(self.weft.folder / "out"), self._before)
        for call in self.calls[:count]:
            disk.play(call)
        return disk

    def moments(self) -> list[int]:
        """Right behind every line that was told."""
        told = str(self.weft.folder / "out")
        return [at + 1 for at, call in enumerate(self.calls) if call.name == "write" and call.files[0] == told]

    def cut(self, count: int, keeping: Keeping, random: Random) -> list[dict[str, Any]]:
        """Leave of the state what such a cut leaves; what had been told before it."""
        disk = self.disk(count)
        shutil.rmtree(self.state, ignore_errors=True)
        disk.write_cut(self.weft.folder, keeping, random)
        (self.weft.folder / "ledger").unlink(missing_ok=True)
        return disk.acknowledged()


@pytest.mark.parametrize(("seed", "is_first"), [(0, True), (1, True), (2, True), (3, False)])
def test_what_was_told_survives_a_power_cut_and_resume_ends_the_run(weft: Weft, seed: int, is_first: bool) -> None:
    """In a state folder that the run makes, and in one that is there."""
    recording = Recording(weft, is_first)
    assert recording.disk(len(recording.calls)).differences() == [], "the model is not what the disk really did"
    random = Random(seed)
    told_at = recording.moments()
    first = next(at for at, call in enumerate(recording.calls) if call.name in ("mkdir", "fdatasync"))
    anywhere = range(first, len(recording.calls) + 1)
    cuts: list[tuple[int, Keeping]] = [(random.choice(told_at), "nothing") for _ in range(4)]
    cuts += [(random.choice(told_at), "some") for _ in range(3)]
    cuts += [(random.choice(anywhere), "some") for _ in range(3)]
    for count, keeping in cuts:
        told = recording.cut(count, keeping, random)
        where = f"{keeping} kept of what call {count} found unsynced, seed {seed}"
        check(recording.weft, told, where)


def check(weft: Weft, told: list[dict[str, Any]], where: str) -> None:
    """Nothing that was told is gone, and the run comes to the end that it would have had."""
    ended = {event["task"]: event for event in told if event["event"] == "task_ended" and not event["will_retry"]}
    check_integrity(weft.folder)
    status = weft("status", "--output", "json")
    assert "Traceback" not in status.stderr, f"{where}: {status.stderr}"
    if told:
        assert status.returncode == 0, f"{where}: {status.stderr}"
        shown = json.loads(status.stdout)
        assert shown["run"] == told[0]["run"], where
        for name, event in ended.items():
            row = shown["tasks"][name]
            if event["instance"] is None:
                assert (row["state"], row["cause"]) == (event["state"], event["cause"]), f"{where}: {name}"
    resumes = status.returncode == 0
    last = weft("resume") if resumes else weft("run", "plan.json")
    assert last.returncode == 1, f"{where}: {last.stderr}"
    assert "Traceback" not in last.stderr, f"{where}: {last.stderr}"
    assert weft.states() == OUTCOMES, where
    begun = {task for what, task, *_ in read_ledger(weft.folder / "ledger") if what == "begin"}
    repeated = begun & {name for name, event in ended.items() if event["state"] == "ok" and event["instance"] is None}
    assert not repeated, f"{where}: {sorted(repeated)} ran again"
    for name in ("text", "lone"):
        assert weft("show", name, "--product").stdout == "y" * 100_000, f"{where}: {name}"
    for name, value in PRODUCTS.items():
        shown = weft("show", name, "--product")
        assert json.loads(shown.stdout) == value, f"{where}: {shown.stderr}"


def check_integrity(folder: Path) -> None:
    """SQLite finds nothing to complain of, in a copy: looking at it would repair it."""
    if not (folder / ".weft" / "weft.db").exists():
        return
    copy = folder / "copy"
    copy.mkdir()
    for name in ("weft.db", "weft.db-wal"):
        if (folder / ".weft" / name).exists():
            shutil.copy(folder / ".weft" / name, copy)
    with closing(sqlite3.connect(copy / "weft.db")) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    shutil.rmtree(copy)
