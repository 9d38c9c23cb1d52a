"""A host that has no time: reliability.md, row H2 and promise R9. Nobody is declared dead for being slow."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from support.weft_process import LIMIT_SECONDS, Weft, events_of

HELD_SECONDS = 6
"""How long C code keeps Python's lock: longer than anybody waits for an answer before a person would call it silence."""

FUNCTIONS = f"""
import ctypes

def hold(item):
    ctypes.PyDLL(None).sleep({HELD_SECONDS})  # PyDLL, unlike CDLL, does not let go of the lock
    return item

def burn(item):
    return sum(range(30_000_000)) + item  # one long stretch of C code

def quick(item):
    return item

def stuck():
    ctypes.PyDLL(None).sleep(3600)
"""


@pytest.fixture
def burners() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Twice as many processes as there are cores, each of which would like a whole one."""
    count = 2 * len(os.sched_getaffinity(0))
    made = [subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"]) for _ in range(count)]
    yield made
    for process in made:
        process.kill()
    for process in made:
        process.wait(LIMIT_SECONDS)


def mapped(name: str, count: int, **more: object) -> dict[str, object]:
    return {"function": f"functions.py:{name}", "foreach": {"values": list(range(count)), "as": "item"}, **more}


@pytest.mark.usefixtures("burners")
def test_nobody_is_lost_while_every_core_burns_and_c_code_holds_pythons_lock(weft: Weft) -> None:
    (weft.folder / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
    hold = f"import ctypes; ctypes.PyDLL(None).sleep({HELD_SECONDS})"
    weft.plan(
        {
            "hold": mapped("hold", 2, resources={"cores": 0}),
            "burn": mapped("burn", 4, resources={"cores": 0}),
            "quick": mapped("quick", 100, resources={"cores": 0}),
            "stuck": {"function": "functions.py:stuck", "timeout": 2, "resources": {"cores": 0}},
            "snippet": {"python": hold},
            **{f"beside{number}": {"python": f"print({number})"} for number in range(5)},
            **{f"true{number}": {"command": ["true"], "resources": {"cores": 0}} for number in range(50)},
        }
    )
    ended = weft("run", "plan.json", "-j", "8", "--output", "json")
    assert ended.returncode == 1, ended.stderr
    ends = [event for event in events_of(ended.stdout) if event["event"] == "task_ended"]
    assert [event["task"] for event in ends if event["cause"] == "lost"] == []
    assert {event["attempt"] for event in ends} == {1}
    states = weft.states()
    assert states.pop("stuck") == ("failed", "timeout")
    assert set(states.values()) == {("ok", None)}
    for name in ("hold", "burn", "quick"):
        answer = json.loads(weft("show", name, "--output", "json").stdout)
        assert {(attempt["state"], attempt["attempt"]) for attempt in answer["attempts"]} == {("ok", 1)}
