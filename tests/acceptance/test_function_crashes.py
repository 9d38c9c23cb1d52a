"""Functions in workers, with the installed command: what dies, and how a resume goes on."""

from __future__ import annotations

import json
import os
import select
import signal
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import Doorway, Weft, check_no_overlap, kill, processes_with, read_ledger, supervisor_of

MODULE = """
import os

def write(ledger, what):
    with open(ledger, "a") as file:
        file.write(f"{what} {os.environ['WEFT_TASK']} {os.environ['WEFT_ATTEMPT']} {os.getpid()}\\n")

def through_the_door(inside, gate, ledger):
    write(ledger, "begin")
    with open(inside, "w") as file:
        file.write(os.environ["WEFT_TASK"] + "\\n")
    with open(gate) as file:
        file.readline()
    write(ledger, "end")
    return os.getpid()

def plus(ledger, number):
    write(ledger, "begin")
    write(ledger, "end")
    return number + 1
"""


def last_run(weft: Weft) -> str:
    return str(json.loads(weft("status", "--output", "json").stdout)["run"])


def started_by(ledger: Path) -> list[str]:
    return [task for what, task, *_ in read_ledger(ledger) if what == "begin"]


def at_the_door(weft: Weft, door: Doorway, ledger: Path, **more: Any) -> dict[str, Any]:
    (weft.folder / "steps.py").write_text(MODULE, encoding="utf-8")
    parameters = {"inside": str(door.inside), "gate": str(door.gate), "ledger": str(ledger)}
    return {"function": "steps:through_the_door", "parameters": parameters, **more}


def after(ledger: Path, *dependencies: str) -> dict[str, Any]:
    parameters = {"ledger": str(ledger), "number": 1}
    return {"function": "steps:plus", "parameters": parameters, "dependencies": list(dependencies)}


def test_a_live_call_of_a_dead_engine_is_adopted(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": at_the_door(weft, door, ledger), "two": after(ledger, "one")})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    kill(engine)
    second = weft("run", "plan.json")
    assert second.returncode == 4, second.stderr
    resumed = weft.start("resume")
    door.let_on()
    assert resumed.wait(60) == 0
    assert started_by(ledger) == ["one", "two"]
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}
    check_no_overlap(ledger, ["one", "two"])


def test_a_call_that_ended_without_an_engine_counts_from_its_receipt(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": at_the_door(weft, door, ledger), "two": after(ledger, "one")})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    watch = os.pidfd_open(supervisor_of(last_run(weft)))
    kill(engine)
    door.let_on()
    assert select.select([watch], [], [], 60)[0], "the supervisor ends when the last worker is gone"
    os.close(watch)
    assert weft("resume").returncode == 0
    assert started_by(ledger) == ["one", "two"]


@pytest.mark.parametrize("who", ["supervisor", "worker"])
def test_a_call_whose_worker_is_killed_runs_again(weft: Weft, door: Doorway, tmp_path: Path, who: str) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": at_the_door(weft, door, ledger, max_attempts=2)})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    if who == "supervisor":
        os.kill(supervisor_of(last_run(weft)), signal.SIGKILL)
    else:
        os.kill(int(read_ledger(ledger)[0][3]), signal.SIGKILL)
    door.wait_for("one")
    door.let_on()
    assert engine.wait(60) == 0
    assert started_by(ledger) == ["one", "one"]
    check_no_overlap(ledger, ["one"])


def test_many_calls_survive_kills_of_their_engine(weft: Weft, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    (weft.folder / "steps.py").write_text(MODULE, encoding="utf-8")
    names = [f"t{number}" for number in range(400)]
    weft.plan({name: after(ledger) for name in names})
    for nth in (1, 2, 3):
        weft("run" if nth == 1 else "resume", *(["plan.json"] if nth == 1 else []), "-j", "2",
             WEFT_FAILPOINT=f"engine.commit.after:kill:{nth + 2}")  # fmt: skip
    finished = weft("resume")
    assert finished.returncode == 0, finished.stderr
    assert set(weft.states().values()) == {("ok", None)}
    assert sorted(started_by(ledger)) == sorted(names), "each ran once, whoever was told of it"
    assert processes_with(last_run(weft)) == []
