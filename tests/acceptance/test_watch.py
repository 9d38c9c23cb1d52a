"""`weft watch`: runs when files come or change, each file once, also after a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.weft_process import LIMIT_SECONDS, Doorway, Weft

QUICK = ("--poll", "0.05s", "--settle", "0.1s")


def plan(weft: Weft, door: Doorway, **more: object) -> str:
    each = f'echo "$WEFT_FILE" >> ledger; echo "$WEFT_FILE" > {door.inside}; test "$(cat "$WEFT_FILE")" != bad'
    files = {"requires": {"folders": ["in"]}, "foreach": {"files": True}}
    after = {"shell": f"echo after >> ledger; echo after > {door.inside}", "dependencies": ["each"]}
    (weft.folder / "in").mkdir(exist_ok=True)
    return weft.plan({"each": {"shell": each, **files}, "after": after, **more})


def drop(folder: Path, name: str, text: str = "x") -> None:
    """Put a file into its place, whole."""
    beside = folder / f"{name}.new"
    beside.write_text(text, encoding="utf-8")
    os.rename(beside, folder / "in" / name)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_SECONDS) == 130


def ledger(weft: Weft) -> list[str]:
    return (weft.folder / "ledger").read_text(encoding="utf-8").splitlines()


def test_each_file_is_worked_on_once_also_after_a_restart(weft: Weft, door: Doorway) -> None:
    name = plan(weft, door)
    first = weft.start("watch", name, *QUICK)
    drop(weft.folder, "a b")
    door.wait_for("in/a b", "after")
    drop(weft.folder, "$(c)")
    door.wait_for("in/$(c)", "after")
    interrupt(first)
    second = weft.start("watch", name, *QUICK)
    drop(weft.folder, "d")
    door.wait_for("in/d", "after")
    interrupt(second)
    assert ledger(weft) == ["in/a b", "after", "in/$(c)", "after", "in/d", "after"]


def test_a_file_that_failed_is_tried_again_when_it_has_changed(weft: Weft, door: Doorway) -> None:
    process = weft.start("watch", plan(weft, door), *QUICK)
    drop(weft.folder, "a", "bad")
    door.wait_for("in/a")
    drop(weft.folder, "b")
    door.wait_for("in/b", "after")
    drop(weft.folder, "a", "good")
    door.wait_for("in/a", "after")
    interrupt(process)
    assert [line for line in ledger(weft) if line != "after"] == ["in/a", "in/b", "in/a"]


def test_only_what_requires_the_file_starts(weft: Weft, door: Doorway) -> None:
    one = {"shell": f"echo one >> ledger; echo one > {door.inside}", "requires": {"files": ["one.txt"]}}
    process = weft.start("watch", plan(weft, door, one=one), *QUICK, "--output", "json")
    drop(weft.folder, "a")
    door.wait_for("in/a", "after")
    os.rename(weft.folder / "in" / "a", weft.folder / "one.txt")
    door.wait_for("one")
    interrupt(process)
    assert ledger(weft) == ["in/a", "after", "one"]
    events = [json.loads(line) for line in (weft.folder / "out").read_text(encoding="utf-8").splitlines()]
    kinds = [event["event"] for event in events if event["event"].startswith("run_")]
    assert kinds == ["run_started", "run_ended"] * (len(kinds) // 2)


def test_ctrl_c_lets_what_runs_end(weft: Weft, door: Doorway) -> None:
    (weft.folder / "in").mkdir()
    tasks = {
        "each": {
            "shell": door.script(weft.folder / "ledger", "each"),
            "requires": {"folders": ["in"]},
            "foreach": {"files": True},
        }
    }
    process = weft.start("watch", weft.plan(tasks), *QUICK)
    drop(weft.folder, "a")
    door.wait_for("each")
    process.send_signal(signal.SIGINT)
    door.let_on()
    assert process.wait(LIMIT_SECONDS) == 130
    assert [line.split()[0] for line in ledger(weft)] == ["begin", "end"]


def test_a_run_whose_engine_died_is_taken_up_first(weft: Weft, door: Doorway) -> None:
    (weft.folder / "in").mkdir()
    files = {"requires": {"folders": ["in"]}, "foreach": {"files": True}}
    name = weft.plan({"each": {"shell": door.script(weft.folder / "ledger", "each"), **files}})
    killed = weft.start("watch", name, *QUICK)
    drop(weft.folder, "a")
    door.wait_for("each")
    killed.kill()
    killed.wait(LIMIT_SECONDS)
    again = weft.start("watch", name, *QUICK)
    door.let_on()
    drop(weft.folder, "b")
    door.wait_for("each")
    door.let_on()
    interrupt(again)
    assert [line.split()[0] for line in ledger(weft)] == ["begin", "end", "begin", "end"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "there is nothing to watch"),
        (("--no-cache",), "--no-cache forbids that"),
        (("--poll", "often"), "--poll"),
    ],
)
def test_what_cannot_be_watched_is_refused(weft: Weft, words: tuple[str, ...], message: str) -> None:
    answer = weft("watch", weft.plan({"a": {"command": ["true"]}}), *words)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert not (weft.folder / ".weft").exists()


def test_functions_of_a_module_are_watched_and_what_stands_below_them_never_runs(weft: Weft, door: Doorway) -> None:
    (weft.folder / "in").mkdir()
    source = f"""
import weft

@weft.task
@weft.for_files_in_folder("in")
def count(filename):
    with open("{door.inside}", "w") as inside:
        inside.write(f"{{filename}} {{scale(2)}}\\n")

def scale(number):
    return number * FACTOR
FACTOR = 3
open("ran", "w").close()
raise SystemExit(3)
"""
    (weft.folder / "flow.py").write_text(source, encoding="utf-8")
    process = weft.start("watch", "flow.py", *QUICK)
    drop(weft.folder, "a")
    door.wait_for("in/a 6")
    drop(weft.folder, "b")
    door.wait_for("in/b 6")
    interrupt(process)
    assert not (weft.folder / "ran").exists()
