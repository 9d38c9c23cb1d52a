"""Processes that stall, multiply or never start: reliability.md, rows C3, C7 to C10, D2, E1, E2, with the real command."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import preloads
from support.faults import Heard, run_in, wait_until_stopped, without_access_to_all
from support.weft_process import (
    LIMIT_SECONDS,
    Doorway,
    Weft,
    clean_environment,
    events_of,
    kill,
    processes_with,
    read_ledger,
    supervisor_of,
)
from weft.executors.supervisor.start import CALLERS


def run_id(weft: Weft) -> str:
    return str(json.loads(weft("status", "--output", "json").stdout)["run"])


def begun(ledger: Path) -> list[str]:
    return [task for what, task, *_ in read_ledger(ledger) if what == "begin"]


def pid_of(ledger: Path, name: str) -> int:
    return next(int(pid) for what, task, _, pid in read_ledger(ledger) if (what, task) == ("begin", name))


# --- C3: what stops for a while ------------------------------------------------------------------------------------------


def test_a_supervisor_that_stood_still_calls_nobody_late(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan(
        {
            "quick": {"shell": door.script(ledger), "timeout": 1},
            "after": {"shell": "touch made", "dependencies": ["quick"]},
        }
    )
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("quick")
        supervisor = supervisor_of(run_id_of(tmp_path))
        task = os.pidfd_open(pid_of(ledger, "quick"))
        os.kill(supervisor, signal.SIGSTOP)
        wait_until_stopped(supervisor)
        door.let_on()
        assert select.select([task], [], [], LIMIT_SECONDS)[0], "it ends in time, and nobody is there to see it"
        os.close(task)
        select.select([], [], [], 1.2)  # its time limit passes: time itself is the fault here
        os.kill(supervisor, signal.SIGCONT)
        assert engine.end() == 0, engine.text
    assert weft.states() == {"quick": ("ok", None), "after": ("ok", None)}


def test_a_limit_still_fires_after_the_supervisor_woke_up(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"slow": {"shell": door.script(ledger), "timeout": 1}})
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("slow")
        supervisor = supervisor_of(run_id_of(tmp_path))
        os.kill(supervisor, signal.SIGSTOP)
        wait_until_stopped(supervisor)
        os.kill(supervisor, signal.SIGCONT)
        assert engine.end() == 1, engine.text
    assert weft.states() == {"slow": ("failed", "timeout")}


def test_a_host_that_stood_still_calls_nobody_late(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    """Nobody had time to end in: not the shell, not the snippet, not the call."""
    ledger = tmp_path / "ledger"
    text = "open({!r}, 'w').write('{}\\n'); open({!r}, 'rb', buffering=0).read(len('go '))"
    call, snippet = (text.format(str(door.inside), name, str(door.gate)) for name in ("call", "snippet"))
    (tmp_path / "calls.py").write_text(f"def call(): {call}\n")
    weft.plan(
        {
            "shell": {"shell": door.script(ledger), "timeout": 2},
            "call": {"function": "calls.py:call", "timeout": 2},
            "snippet": {"python": snippet, "timeout": 2},
        }
    )
    with Heard(tmp_path, weft.command("run", "plan.json", "-j", "3")) as engine:
        door.wait_for("shell", "call", "snippet")
        run = run_id_of(tmp_path)
        everybody = [engine.process.pid, supervisor_of(run), *processes_with(run)]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        for pid in everybody:
            wait_until_stopped(pid)
        select.select([], [], [], 3.2)  # their limits pass: time itself is the fault here
        door.let_on(3)
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
        assert engine.end() == 0, engine.text
    assert set(weft.states().values()) == {("ok", None)}


@pytest.mark.parametrize("who", ["engine", "supervisor", "both"])
def test_who_stands_still_is_said_not_to_answer_and_nothing_is_taken_from_it(
    weft: Weft, door: Doorway, tmp_path: Path, who: str
) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": "touch made", "dependencies": ["one"]}})
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("one")
        assert "not answering" not in weft("status").stdout
        pids = {"engine": engine.process.pid, "supervisor": supervisor_of(run_id_of(tmp_path))}
        still = [name for name in pids if who in (name, "both")]
        for name in still:
            os.kill(pids[name], signal.SIGSTOP)
            wait_until_stopped(pids[name])
        told = weft("status")
        assert told.returncode == 0
        assert [name for name in pids if f"the {name}" in told.stdout] == still, told.stdout
        assert told.stdout.count("is not answering") == len(still)
        answer = json.loads(weft("status", "--output", "json").stdout)
        assert len(answer["not_answering"]) == len(still)
        assert answer["tasks"]["one"]["state"] == "running"
        for name in still:
            os.kill(pids[name], signal.SIGCONT)
        door.let_on()
        assert engine.end() == 0, engine.text
    assert begun(ledger) == ["one"]
    assert "not_answering" not in json.loads(weft("status", "--output", "json").stdout)


def test_a_supervisor_that_stands_still_keeps_nobody_waiting(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    """However many ask: its queue of callers fills up, and who finds it full is told at once."""
    weft.plan({"one": {"shell": door.script(tmp_path / "ledger")}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    run = run_id(weft)
    supervisor = supervisor_of(run)
    kill(engine)
    os.kill(supervisor, signal.SIGSTOP)
    wait_until_stopped(supervisor)
    callers = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2 * CALLERS)]
    folder = os.open(tmp_path / ".weft" / "runs" / run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(BlockingIOError):
            for caller in callers:
                caller.setblocking(False)
                caller.connect(f"/proc/self/fd/{folder}/supervisor.sock")
        assert "the supervisor is not answering" in weft("status").stdout
        refused = weft("resume")
        assert refused.returncode == 5, refused.stderr
        assert "does not answer" in refused.stderr
    finally:
        os.close(folder)
        for caller in callers:
            caller.close()
    os.kill(supervisor, signal.SIGCONT)
    door.let_on()
    assert weft("resume").returncode == 0
    assert begun(tmp_path / "ledger") == ["one"]


def run_id_of(folder: Path) -> str:
    (run,) = os.listdir(folder / ".weft" / "runs")
    return run


def test_an_engine_that_stood_still_takes_up_where_it_was(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": door.script(ledger), "dependencies": ["one"]}})
    with Heard(tmp_path, weft.command("run", "plan.json")) as engine:
        door.wait_for("one")
        task = os.pidfd_open(pid_of(ledger, "one"))
        engine.process.send_signal(signal.SIGSTOP)
        wait_until_stopped(engine.process.pid)
        door.let_on()
        assert select.select([task], [], [], LIMIT_SECONDS)[0]
        os.close(task)
        other = weft("run", "plan.json")
        assert other.returncode == 4, "who stands still still owns the plan"
        engine.process.send_signal(signal.SIGCONT)
        door.wait_for("two")
        door.let_on()
        assert engine.end() == 0, engine.text
    assert begun(ledger) == ["one", "two"]


# --- C7, C8: many, and few descriptors -----------------------------------------------------------------------------------


def test_a_thousand_ends_at_once_are_all_told(weft: Weft) -> None:
    weft.plan({f"t{number}": {"command": ["true"]} for number in range(1000)})
    ended = weft("run", "plan.json", "-j", "100", "--output", "json")
    assert ended.returncode == 0, ended.stderr
    told = [event["task"] for event in events_of(ended.stdout) if event["event"] == "task_ended"]
    assert sorted(told) == sorted(f"t{number}" for number in range(1000))


def test_few_descriptors_slow_a_run_down_and_fail_nothing(weft: Weft) -> None:
    weft.plan({f"t{number}": {"shell": "ls /proc/self/fd | wc -l > /dev/null"} for number in range(60)})
    ended = run_in(weft, ["prlimit", "--nofile=64", *weft.command("run", "plan.json", "-j", "50")])
    assert ended.returncode == 0, ended.stderr
    assert set(weft.states().values()) == {("ok", None)}


def test_thousands_of_tasks_leak_no_descriptor(weft: Weft) -> None:
    """Engine and supervisor have as many open files behind three thousand tasks as before them."""
    look = "ls /proc/$PPID/fd | wc -l; ls /proc/$(sed 's/.*\"pid\": //; s/,.*//' .weft/locks/*)/fd | wc -l"
    middle = {f"t{number}": {"command": ["true"], "dependencies": ["before"]} for number in range(3000)}
    weft.plan(
        {
            "before": {"shell": f"({look}) > before"},
            **middle,
            "after": {"shell": f"({look}) > after", "dependencies": list(middle)},
        }
    )
    ended = weft("run", "plan.json", "-j", "4", "--output", "quiet")
    assert ended.returncode == 0, ended.stderr
    before, after = ((weft.folder / name).read_text().split() for name in ("before", "after"))
    slots = 2 * 4 + 2  # files of output that are kept open for the next attempt, and what is made at first need
    for one, other in zip(before, after, strict=True):
        assert int(other) <= int(one) + slots, f"{one} descriptors became {other}"


def test_tasks_see_three_descriptors_whatever_weft_inherited(weft: Weft) -> None:
    weft.plan({"look": {"shell": "echo /proc/$$/fd/* > seen"}})
    words = ["/bin/sh", "-c", 'exec 7<plan.json 9>extra; "$@"', "sh", *weft.command("run", "plan.json")]
    assert run_in(weft, words).returncode == 0
    seen = [Path(name).name for name in (weft.folder / "seen").read_text().split()]
    assert seen[:3] == ["0", "1", "2"]
    assert len(seen) <= 4, seen  # and what the shell itself opened to write the answer


# --- H1: clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [366 * 86400, -3600], ids=["a year ahead", "an hour back"])
def test_a_wall_clock_that_jumps_changes_no_limit_and_no_retry(
    weft: Weft, door: Doorway, tmp_path: Path, seconds: int
) -> None:
    ledger, gate = tmp_path / "ledger", tmp_path / "jumped"
    weft.plan(
        {
            "limited": {"shell": door.script(ledger), "timeout": LIMIT_SECONDS},
            "again": {
                "shell": "test $WEFT_ATTEMPT -gt 1",
                "max_attempts": 2,
                "retry_delay": 1,
                "dependencies": ["limited"],
            },
            "late": {"shell": "sleep 60", "timeout": 1, "dependencies": ["again"]},
        }
    )
    shim = preloads.clock(tmp_path, gate, seconds)
    with Heard(tmp_path, weft.command("run", "plan.json"), LD_PRELOAD=shim) as engine:
        door.wait_for("limited")
        gate.touch()
        assert weft("run", "plan.json").returncode == 4, "whose clock is wrong still owns the plan"
        door.let_on()
        assert engine.end() == 1, engine.text
    assert weft.states() == {"limited": ("ok", None), "again": ("ok", None), "late": ("failed", "timeout")}
    shown = json.loads(weft("show", "again", "--output", "json").stdout)
    assert [attempt["attempt"] for attempt in shown["attempts"]] == [1, 2], "in the order in which they were made"
    assert weft("resume", LD_PRELOAD=shim).returncode == 1
    assert weft("status", LD_PRELOAD=shim).returncode == 0


# --- C10: a run in a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, "cancel"])
def test_stopping_a_run_ends_the_runs_inside_it(weft: Weft, door: Doorway, tmp_path: Path, how: Any) -> None:
    ledger = tmp_path / "ledger"
    inner = " ".join(weft.command("run", "inner.json", "--state", "inside-state"))
    weft.plan({"deep": {"shell": f"setsid sh -c '{door.script(ledger)}'; true"}}, name="inner.json")
    weft.plan({"outer": {"shell": f"exec {inner}"}})
    engine = weft.start("run", "plan.json")
    door.wait_for("deep")
    outer = run_id(weft)
    inside = run_id_of_state(tmp_path / "inside-state")
    assert processes_with(outer) and processes_with(inside)
    if how == "cancel":
        assert weft("cancel", outer).returncode == 0
        assert engine.wait(LIMIT_SECONDS) == 1
    else:
        engine.send_signal(how)
        assert engine.wait(LIMIT_SECONDS) == 143
    assert processes_with(outer) == []
    assert processes_with(inside) == []


def run_id_of_state(state: Path) -> str:
    (run,) = os.listdir(state / "runs")
    return run


# --- D2 ------------------------------------------------------------------------------------------------------------------


def test_a_task_that_removes_its_own_log_does_not_end_the_run(weft: Weft) -> None:
    weft.plan(
        {
            "rude": {"shell": 'echo before; rm "$(readlink /proc/$$/fd/1)"; echo after'},
            "silent": {"command": ["true"], "dependencies": ["rude"]},
            "reader": {"command": ["cat"], "dependencies": ["silent"]},
        }
    )
    ended = weft("run", "plan.json")
    assert ended.returncode == 0, ended.stderr
    assert set(weft.states().values()) == {("ok", None)}
    gone = weft("logs", "rude")
    assert "Traceback" not in gone.stderr
    assert "gone" in gone.stderr or gone.stdout == "before\nafter\n", gone
    assert weft("logs", "silent").stdout == ""


# --- E1, E2: what cannot start -------------------------------------------------------------------------------------------


def _script(folder: Path, content: bytes, mode: int = 0o755) -> list[str]:
    (folder / "program").write_bytes(content)
    (folder / "program").chmod(mode)
    return ["./program"]


def _foreign(folder: Path) -> list[str]:
    program = bytearray(Path("/bin/true").read_bytes())
    program[18:20] = (
        b"\xf3\x00" if program[18:20] != b"\xf3\x00" else b"\x3e\x00"
    )  # e_machine of elf(5): RISC-V, x86-64
    return _script(folder, bytes(program))


@pytest.mark.parametrize(
    ("make", "cause", "words"),
    [
        (lambda folder: ["no-such-program-at-all"], "not_found", "not in PATH"),
        (lambda folder: ["./missing"], "not_found", "No such file"),
        (lambda folder: _script(folder, b"#!/bin/sh\n", 0o644), "not_found", "not executable"),
        (lambda folder: ["/tmp"], "not_found", "folder"),
        (lambda folder: _script(folder, b"#!/bin/sh\r\nexit 0\r\n"), "not_found", "carriage return"),
        (lambda folder: _script(folder, b"#!/no/such/interpreter\n"), "not_found", "/no/such/interpreter"),
        (_foreign, "not_found", "Exec format error"),
        (lambda folder: ["echo", "x" * 140_000], "setup", "in a file"),
    ],
    ids=["missing", "missing path", "not executable", "a folder", "CRLF", "no interpreter", "foreign", "too long"],
)
def test_what_cannot_start_says_why_and_is_not_tried_again(
    weft: Weft, make: Callable[[Path], list[str]], cause: str, words: str
) -> None:
    weft.plan({"bad": {"command": make(weft.folder), "max_attempts": 3}, "good": {"command": ["true"]}})
    ended = weft("run", "plan.json", "--output", "json")
    assert ended.returncode == 1, ended.stderr
    (told,) = [event for event in events_of(ended.stdout) if event["event"] == "task_ended" and event["task"] == "bad"]
    assert (told["state"], told["cause"], told["attempt"]) == ("failed", cause, 1)
    shown = weft("show", "bad").stdout
    assert words in shown, shown
    assert weft.states()["good"] == ("ok", None)


def test_a_folder_that_may_not_be_entered_is_named_and_not_tried_again(weft: Weft) -> None:
    (weft.folder / "closed").mkdir(mode=0o000)
    environments = {"there": {"path": "closed"}}
    weft.plan({"bad": {"command": ["true"], "environment": "there", "max_attempts": 3}}, environments=environments)
    ended = subprocess.run(
        without_access_to_all([*weft.command("run", "plan.json")]),
        cwd=weft.folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert weft.states() == {"bad": ("failed", "setup")}
    shown = weft("show", "bad").stdout
    assert "closed" in shown and "Permission denied" in shown, shown


def test_an_argument_that_is_too_long_is_told_before_the_start(weft: Weft) -> None:
    weft.plan({"long": {"command": ["echo", "x" * 140_000]}})
    told = weft("plan", "plan.json")
    assert told.returncode == 0
    assert "140000 bytes" in told.stderr and "into a file" in told.stderr
