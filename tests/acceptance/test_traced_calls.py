"""What the command asks of the system, and what it does when the system fails: reliability.md, rows A11 and J9, by strace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support import preloads
from support.faults import run_in
from support.weft_process import Weft, read_ledger


def traced(weft: Weft, *words: str, calls: str, fault: str = "", children: bool = True) -> Any:
    """Run the command with some of its calls watched, into the file `trace`, and maybe one of them failing."""
    watch = ["strace", *(["-f"] if children else []), "-qq", "-o", str(weft.folder / "trace"), "-e", f"trace={calls}"]
    watch += ["-e", "signal=none"]
    return run_in(weft, [*watch, *(["-e", f"inject={fault}"] if fault else []), *weft.command(*words)])


# --- A11: the disk does not do what it is asked -------------------------------------------------------------------------

TASKS: Mapping[str, Any] = {
    **{
        f"link{number}": {
            "shell": 'echo "begin $WEFT_TASK $WEFT_ATTEMPT $$" >> ledger; echo out',
            "dependencies": [f"link{number - 1}"] if number else [],
        }
        for number in range(8)
    }
}


def check_resumed(weft: Weft, told: str) -> None:
    """Whatever was told as ended is not repeated, and the run comes to its end."""
    ended = [json.loads(line) for line in told.splitlines()]
    done = {event["task"] for event in ended if event["event"] == "task_ended" and event["state"] == "ok"}
    before = [task for what, task, *_ in read_ledger(weft.folder / "ledger") if what == "begin"]
    last = weft("resume")
    assert last.returncode == 0, last.stderr
    assert weft.states() == dict.fromkeys(TASKS, ("ok", None))
    after = [task for what, task, *_ in read_ledger(weft.folder / "ledger") if what == "begin"][len(before) :]
    assert not done & set(after)


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6, 8, 10])
def test_a_sync_that_fails_stops_starts_and_is_not_repeated(weft: Weft, nth: int) -> None:
    weft.plan(TASKS)
    fault = f"fsync,fdatasync:error=EIO:when={nth}"
    ended = traced(weft, "run", "plan.json", "--output", "json", calls="fsync,fdatasync", fault=fault, children=False)
    assert ended.returncode == 3, (ended.returncode, ended.stderr)
    assert "Traceback" not in ended.stderr
    assert "did not confirm" in ended.stdout + ended.stderr or "Input/output error" in ended.stdout + ended.stderr
    syncs = (weft.folder / "trace").read_text().splitlines()
    assert sum("EIO" in line for line in syncs) == 1
    failed = next(at for at, line in enumerate(syncs) if "EIO" in line)
    assert syncs[failed + 1 :] == [], "what a failed sync left is unknown: nothing more is written behind it"
    started = [json.loads(line) for line in ended.stdout.splitlines() if '"run_started"' in line]
    if started:
        check_resumed(weft, ended.stdout)
    else:
        assert weft("run", "plan.json").returncode == 0


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_one_write_to_the_store_that_fails_loses_nothing(weft: Weft, error: str, nth: int) -> None:
    weft.plan(TASKS)
    fault = f"pwrite64:error={error}:when={nth}"
    ended = traced(weft, "run", "plan.json", "--output", "json", calls="pwrite64", fault=fault, children=False)
    assert ended.returncode in (0, 3), (ended.returncode, ended.stderr)
    assert "Traceback" not in ended.stderr
    if ended.returncode == 0:
        assert weft.states() == dict.fromkeys(TASKS, ("ok", None))
    elif '"run_started"' in ended.stdout:
        check_resumed(weft, ended.stdout)
    else:
        assert weft("run", "plan.json").returncode == 0


def test_writes_that_take_only_a_part_lose_nothing(weft: Weft) -> None:
    """Of the engine, and of the workers and tasks that inherit it."""
    (weft.folder / "functions.py").write_text("def numbers(): return list(range(50_000))\n", encoding="utf-8")
    weft.plan(
        {
            **TASKS,
            "numbers": {"function": "functions.py:numbers"},
            "set": {"python": "print('x' * 200_000)"},
            "text": {"shell": "head -c 200000 /dev/zero | tr '\\0' y", "product": "stdout"},
        }
    )
    ended = weft("run", "plan.json", "--output", "json", LD_PRELOAD=preloads.short_writes(weft.folder))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["counts"]["ok"] == len(TASKS) + 3
    assert set(weft.states().values()) == {("ok", None)}
    assert json.loads(weft("show", "numbers", "--product").stdout) == list(range(50_000))
    assert weft("logs", "set").stdout == "x" * 200_000 + "\n"
    assert weft("show", "text", "--product").stdout == "y" * 200_000


@pytest.mark.parametrize("call", ["write", "pwrite64", "wait4", "epoll_wait"])
def test_interrupted_calls_are_made_again(weft: Weft, call: str) -> None:
    weft.plan(TASKS)
    fault = f"{call}:error=EINTR:when=5+7"
    ended = traced(weft, "run", "plan.json", "--output", "json", calls=call, fault=fault)
    assert ended.returncode == 0, ended.stderr
    assert weft.states() == dict.fromkeys(TASKS, ("ok", None))


# --- J9: looking does not execute ---------------------------------------------------------------------------------------

HOSTILE: Mapping[str, Any] = {
    "backticks": {"command": ["echo", "`touch canary`"], "environment": "there"},
    "shell": {"shell": "touch canary; $(touch canary)"},
    "snippet": {"python": "open('canary', 'w')"},
    "function": {"function": "evil.py:function", "parameters": {"x": "`touch canary`"}},
    "script": {"script": "evil.sh", "parameters": {"x": "$(touch canary)"}},
    "outputs": {"command": ["touch", "canary"], "outputs": ["canary"], "cache": "always"},
    "required": {"command": ["true"], "requires": {"files": ["`touch canary`"], "match": ["glob:*;touch canary"]}},
}


@pytest.mark.parametrize("form", ["json", "toml", "yaml"])
@pytest.mark.parametrize(
    "words",
    [("validate",), ("plan",), ("run", "--dry-run"), ("graph",), ("graph", "--as", "svg"), ("compile",)],
    ids=" ".join,
)
def test_looking_at_a_plan_starts_no_process(weft: Weft, form: str, words: tuple[str, ...]) -> None:
    (weft.folder / "evil.py").write_text("open('canary', 'w')\ndef function(x): open('canary', 'w')\n")
    (weft.folder / "evil.sh").write_text("#!/bin/sh\ntouch canary\n")
    (weft.folder / "evil.sh").chmod(0o755)
    environments = {"there": {"variables": {"A": "`touch canary`", "B": "$(touch canary)"}}}
    plan = {"weft": 1, "environments": environments, "tasks": HOSTILE}
    (weft.folder / f"plan.{form}").write_text(_written(plan, form), encoding="utf-8")
    ended = traced(weft, words[0], f"plan.{form}", *words[1:], calls="execve,execveat,fork,vfork,clone,clone3")
    assert ended.returncode == 0, ended.stderr
    check_no_process(weft.folder)


def test_explaining_a_task_starts_no_process(weft: Weft) -> None:
    weft.plan({"a": {"command": ["true"]}, "b": {"command": ["false"], "dependencies": ["a"]}})
    assert weft("run", "plan.json").returncode == 1
    for words in (("explain", "b"), ("status",), ("show", "b"), ("logs", "b"), ("usage",)):
        ended = traced(weft, *words, calls="execve,execveat,fork,vfork,clone,clone3")
        assert ended.returncode == 0, ended.stderr
        check_no_process(weft.folder)


def check_no_process(folder: Path) -> None:
    """Threads are no processes."""
    lines = (folder / "trace").read_text().splitlines()
    assert sum("execve(" in line for line in lines) == 1, "the command itself"
    assert [line for line in lines if re.search(r"\b(v?fork|clone3?)\(", line) and "CLONE_THREAD" not in line] == []
    assert not (folder / "canary").exists()


def _written(plan: Mapping[str, Any], form: str) -> str:
    if form != "toml":
        return json.dumps(plan)  # YAML as well
    lines = ["weft = 1"]
    lines += [
        f"[environments.{name}.variables]\n" + _pairs(body["variables"]) for name, body in plan["environments"].items()
    ]
    lines += [f"[tasks.{name}]\n{_pairs(task)}" for name, task in plan["tasks"].items()]
    return "\n".join(lines)


def _pairs(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {_toml(value)}" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(below)}" for key, below in value.items()) + "}"
    return json.dumps(value)
