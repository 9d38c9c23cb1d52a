"""Resources that trackers know, and runs that give way to the host: the installed command with a tracker of the test's."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.waiting import wait_in
from support.weft_process import LIMIT_SECONDS, Doorway, Weft, kill, read_ledger

TRACKER = '''
"""A host whose idle amounts stand in a file, so that a test can make it busy."""

import json
import os

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "idle.json")


class Host:
    def capacity(self):
        return {"cores": 2, "memory": "2G", "widgets": 3}

    def available(self):
        with open(FILE, encoding="utf-8") as file:
            return json.load(file)
'''


@pytest.fixture
def host(weft: Weft) -> Callable[..., None]:
    """Sets what is idle; at first everything."""
    (weft.folder / "weft.toml").write_text('[trackers]\nhost = "fake_host.py:Host"\n')
    (weft.folder / "fake_host.py").write_text(TRACKER)

    def idle(cores: float = 2, memory: int | str = "2G") -> None:
        new = weft.folder / "idle.new"
        new.write_text(json.dumps({"cores": cores, "memory": memory}))
        new.rename(weft.folder / "idle.json")

    idle()
    return idle


def wait_until_still(pid: int, still: bool = True) -> None:
    """Nothing tells of it but what it is seen to be."""
    limit = time.monotonic() + LIMIT_SECONDS
    while is_still(pid) != still:
        assert time.monotonic() < limit, f"process {pid} {'goes on' if still else 'stands still'}"
        time.sleep(0.02)


def wait_for_text(weft: Weft, text: str) -> None:
    wait_in(weft.folder, lambda: text in (weft.folder / "err").read_text(), text, LIMIT_SECONDS)


def is_still(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat[stat.rindex(")") + 2] == "T"


def pids(ledger: Path) -> dict[str, int]:
    return {task: int(pid) for word, task, _, pid in read_ledger(ledger) if word == "begin"}


def explained(weft: Weft, task: str) -> dict[str, Any]:
    answer = weft("explain", task, "--output", "json")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def two_tasks(weft: Weft, door: Doorway, **more: Any) -> Path:
    ledger = weft.folder / "ledger"
    weft.plan(
        {
            "first": {"shell": door.script(ledger), "resources": {"cores": 1}, "interruptible": False},
            "second": {"shell": door.script(ledger), "resources": {"cores": 1}, "priority": -1, **more},
        }
    )
    return ledger


def test_the_youngest_stands_still_while_the_host_is_busy(weft: Weft, door: Doorway, host: Callable[..., None]) -> None:
    ledger = two_tasks(weft, door)
    engine = weft.start("run", "plan.json", "--opportunistic")
    door.wait_for("first", "second")
    host(cores=0)
    wait_for_text(weft, "task 'second': paused: the host is busy (cores: 0 idle)")
    pid = pids(ledger)
    wait_until_still(pid["second"])
    assert not is_still(pid["first"])
    assert weft.states()["second"] == ("running", None)
    reason = explained(weft, "second")["reasons"][-1]
    assert (reason["code"], reason["text"]) == ("host_busy", "paused: the host is busy (cores: 0 idle)")
    host(cores=2)
    wait_for_text(weft, "task 'second': the host is quiet again: it goes on")
    wait_until_still(pid["second"], False)
    door.let_on(2)
    assert engine.wait(60) == 0
    assert "task 'first': paused" not in (weft.folder / "err").read_text()


def test_nothing_starts_on_a_busy_host_and_it_is_no_failure(
    weft: Weft, door: Doorway, host: Callable[..., None]
) -> None:
    two_tasks(weft, door)
    host(cores=0)
    engine = weft.start("run", "plan.json", "--opportunistic")
    wait_for_text(weft, "2 tasks")
    host(cores=1)
    door.wait_for("first")
    assert weft.states()["second"] == ("pending", None)
    host(cores=2)
    door.wait_for("second")
    door.let_on(2)
    assert engine.wait(60) == 0


def test_memory_is_given_back_by_stopping_and_costs_no_try(
    weft: Weft, door: Doorway, host: Callable[..., None]
) -> None:
    ledger = weft.folder / "ledger"
    weft.plan({"big": {"shell": door.script(ledger), "resources": {"cores": 0, "memory": "1G"}, "max_attempts": 1}})
    engine = weft.start("run", "plan.json", "--opportunistic")
    door.wait_for("big")
    host(memory=0)
    wait_for_text(weft, "task 'big': stopped, and queued again: the host is short of memory")
    host()
    door.wait_for("big")
    door.let_on(1)
    assert engine.wait(60) == 0
    attempts = json.loads(weft("show", "big", "--output", "json").stdout)["attempts"]
    assert [(attempt["attempt"], attempt["cause"]) for attempt in attempts] == [(1, "interrupted"), (2, None)]


def test_a_paused_attempt_goes_on_when_its_engine_is_killed(
    weft: Weft, door: Doorway, host: Callable[..., None]
) -> None:
    ledger = two_tasks(weft, door)
    engine = weft.start("run", "plan.json", "--opportunistic")
    door.wait_for("first", "second")
    host(cores=0)
    wait_for_text(weft, "paused: the host is busy")
    pid = pids(ledger)["second"]
    wait_until_still(pid)
    kill(engine)
    wait_until_still(pid, False)
    host(cores=2)
    taken_up = weft.start("resume", "--opportunistic")
    door.let_on(2)
    assert taken_up.wait(60) == 0
    assert sorted(task for word, task, *_ in read_ledger(ledger) if word == "begin") == ["first", "second"]


def test_a_paused_attempt_obeys_two_interrupts(weft: Weft, door: Doorway, host: Callable[..., None]) -> None:
    ledger = two_tasks(weft, door)
    engine = weft.start("run", "plan.json", "--opportunistic")
    door.wait_for("first", "second")
    host(cores=0)
    wait_for_text(weft, "paused: the host is busy")
    wait_until_still(pids(ledger)["second"])
    engine.send_signal(signal.SIGINT)
    wait_for_text(weft, "interrupted")
    engine.send_signal(signal.SIGINT)
    assert engine.wait(60) == 130
    assert weft.states()["second"] == ("cancelled", "interrupted")


def test_a_resource_of_a_tracker_is_known_and_another_is_not(weft: Weft, host: Callable[..., None]) -> None:
    host()
    weft.plan(
        {
            "known": {"command": ["true"], "resources": {"widgets": 2}},
            "unknown": {"command": ["true"], "resources": {"gizmos": 1}},
            "many": {"command": ["true"], "resources": {"widgets": 4}},
        }
    )
    told = weft("validate", "plan.json")
    assert told.returncode == 0
    assert "'unknown' asks for gizmos, which nobody here knows" in told.stderr
    assert "'many' asks for 4 of widgets, and there is 3 in all" in told.stderr
    assert "'known'" not in told.stderr
    planned = json.loads(weft("plan", "plan.json", "--output", "json").stdout)["tasks"]
    assert {name: task["action"] for name, task in planned.items()} == {
        "known": "run",
        "unknown": "blocked",
        "many": "blocked",
    }
    assert weft("run", "plan.json").returncode == 1
    assert weft.states() == {
        "known": ("ok", None),
        "unknown": ("skipped", "unsatisfiable:gizmos"),
        "many": ("skipped", "unsatisfiable:widgets"),
    }
    found = json.loads(weft("doctor", "--output", "json").stdout)["findings"]
    assert {"value": "3", "origin": "tracker 'host' (fake_host.py:Host)"}.items() <= {
        key: value for finding in found if finding["topic"] == "widgets" for key, value in finding.items()
    }.items()


def test_a_broken_tracker_is_told_of_and_its_resource_is_unknown(weft: Weft) -> None:
    (weft.folder / "weft.toml").write_text('[trackers]\nhost = "broken.py:Host"\n')
    weft.plan({"a": {"command": ["true"], "resources": {"widgets": 1}}, "b": {"command": ["true"]}})
    (weft.folder / "broken.py").write_text(
        "class Host:\n    def capacity(self): raise OSError('no server')\n    available = capacity\n"
    )
    ended = weft("run", "plan.json")
    assert ended.returncode == 1
    text = "tracker 'host' (broken.py:Host) is left out: OSError: no server"
    assert ended.stderr.count(text) == 1
    assert weft.states() == {"a": ("skipped", "unsatisfiable:widgets"), "b": ("ok", None)}
    assert text in weft("validate", "plan.json").stderr


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_a_reserve_that_cannot_be_is_refused_before_anything_runs(weft: Weft, command: str) -> None:
    weft.plan({"a": {"command": ["true"]}})
    told = weft(command, "plan.json", "--reserve", "cores=100000,gizmos=1")
    assert told.returncode == 2
    assert "--reserve cores=100000 leaves nothing" in told.stderr
    assert "--reserve names 'gizmos'" in told.stderr
    assert not (weft.folder / ".weft/weft.db").exists()
    told = weft(command, "plan.json", "--reserve", "memory=2Q")
    assert told.returncode == 2
    assert "unknown unit 'Q'" in told.stderr


def test_what_is_reserved_is_not_there_for_tasks(weft: Weft, host: Callable[..., None]) -> None:
    host()
    weft.plan(
        {"a": {"command": ["true"], "resources": {"cores": 2}}, "b": {"command": ["true"], "resources": {"cores": 1}}}
    )
    assert weft("run", "plan.json", "--reserve", "cores=1,memory=1G").returncode == 1
    assert weft.states() == {"a": ("skipped", "unsatisfiable:cores"), "b": ("ok", None)}


def test_attempts_that_hold_graphics_processors_see_their_own(weft: Weft, door: Doorway) -> None:
    ledger = weft.folder / "ledger"
    script = door.script(ledger, "$WEFT_TASK:$CUDA_VISIBLE_DEVICES")
    weft.plan(
        {
            "one": {"shell": script, "resources": {"gpu": 1, "cores": 0}, "priority": 9},
            "two": {"shell": script, "resources": {"gpu": 2, "cores": 0}},
            "none": {"shell": 'test -z "$CUDA_VISIBLE_DEVICES"'},
            "all": {
                "shell": "echo $CUDA_VISIBLE_DEVICES",
                "product": "stdout",
                "resources": {"gpu": 3},
                "priority": -9,
            },
        }
    )
    engine = weft.start("run", "plan.json", "--resources", "gpu=3")
    door.wait_for("one:0", "two:1,2")
    door.let_on(2)
    assert engine.wait(60) == 0
    assert weft("show", "all", "--product").stdout.strip().strip('"') == "0,1,2"
