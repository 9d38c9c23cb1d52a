"""Tasks that do what they should not: each is an outcome with its cause, and the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.waiting import wait_for_ends
from support.weft_process import Weft, events_of, processes_with


def outcome(weft: Weft, task: dict[str, Any], *words: str) -> dict[str, Any]:
    """Run one task beside a good one; what run_ended says of it."""
    weft.plan({"odd": task, "good": {"command": ["true"]}})
    ended = weft("run", "plan.json", "--output", "json", *words)
    assert "Traceback" not in ended.stderr, ended.stderr
    last = events_of(ended.stdout)[-1]
    assert last["event"] == "run_ended"
    assert last["tasks"]["good"]["state"] == "ok"
    assert ended.returncode == (0 if last["tasks"]["odd"]["state"] == "ok" else 1), ended.stderr
    return dict(last["tasks"]["odd"])


def log(weft: Weft, *words: str) -> str:
    answer = weft("logs", "odd", *words)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (["no-such-program"], "not_found"),
        (["./plain.txt"], "not_found"),
        (["./"], "not_found"),
        (["./bad-interpreter"], "not_found"),
        (["sh", "-c", "exit 255"], "exit:255"),
        (["sh", "-c", "exit 300"], "exit:44"),
        (["sh", "-c", "exit 1"], "exit:1"),
    ],
)
def test_ends_that_are_no_success(weft: Weft, tmp_path: Path, command: list[str], cause: str) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    (tmp_path / "bad-interpreter").write_text("#!/no/such/interpreter\r\n")
    (tmp_path / "bad-interpreter").chmod(0o755)
    assert outcome(weft, {"command": command})["cause"] == cause


@pytest.mark.parametrize("name", ["KILL", "SEGV", "ABRT", "TERM", "INT", "HUP", "PIPE", "USR1"])
def test_death_by_a_signal_is_named(weft: Weft, name: str) -> None:
    assert outcome(weft, {"shell": f"kill -{name} $$; sleep 60"})["cause"] == f"signal:{name}"


def test_a_working_folder_that_is_missing_is_setup(weft: Weft) -> None:
    weft.plan({"odd": {"command": ["true"], "environment": "e"}}, environments={"e": {"path": "nowhere"}})
    ended = weft("run", "plan.json", "--output", "json")
    task = events_of(ended.stdout)[-1]["tasks"]["odd"]
    assert (task["state"], task["cause"]) == ("failed", "setup")


def test_a_task_that_ignores_the_end_of_its_time_is_killed(weft: Weft) -> None:
    ended = outcome(weft, {"shell": "trap '' TERM; while :; do sleep 1; done", "timeout": "200ms"})
    assert (ended["state"], ended["cause"]) == ("failed", "timeout")


def test_a_task_over_its_memory_is_killed_and_the_peak_shown(weft: Weft) -> None:
    code = "x = bytearray(200 << 20)\nimport time\ntime.sleep(60)"
    ended = outcome(weft, {"command": ["python3", "-c", code], "resources": {"memory": "60M"}})
    assert (ended["state"], ended["cause"]) == ("failed", "memory")
    assert ended["memory"] > 60 << 20


def test_a_memory_failure_is_retried_with_more(weft: Weft) -> None:
    code = "x = bytearray(80 << 20)"
    task = {"command": ["python3", "-c", code], "resources": {"memory": "60M"}, "max_attempts": 3}
    ended = outcome(weft, task)
    assert ended["state"] == "ok" and ended["attempts"] >= 2


def test_output_that_is_no_text_is_kept_as_bytes(weft: Weft, tmp_path: Path) -> None:
    assert outcome(weft, {"shell": r"printf 'a\377\000b\r\n'"})["state"] == "ok"
    import subprocess

    from support.weft_process import clean_environment

    raw = subprocess.run(
        weft.command("logs", "odd"), cwd=tmp_path, env=clean_environment(), capture_output=True, check=True
    )
    assert raw.stdout == b"a\xff\x00b\r\n"


def test_much_output_is_kept_whole(weft: Weft) -> None:
    assert outcome(weft, {"shell": "head -c 50000000 /dev/zero | tr '\\0' x"}, "--output", "json")["state"] == "ok"
    assert len(log(weft)) == 50_000_000


def test_a_child_that_holds_the_output_open_does_not_hold_the_run(weft: Weft) -> None:
    ended = outcome(weft, {"shell": "sleep 600 & echo done"})
    assert ended["state"] == "ok" and ended["seconds"] < 30
    assert log(weft) == "done\n"


def test_a_daemon_that_leaves_its_session_is_ended(weft: Weft, tmp_path: Path) -> None:
    ended = outcome(
        weft, {"shell": "setsid sh -c 'echo $$ > daemon; exec sleep 600' & while [ ! -s daemon ]; do :; done"}
    )
    assert ended["state"] == "ok"
    wait_for_ends([int((tmp_path / "daemon").read_text())])


def test_truncating_its_own_output_harms_nobody_else(weft: Weft) -> None:
    tasks = {f"t{n}": {"shell": f"echo out{n}; echo err{n} > /dev/stderr"} for n in range(8)}
    weft.plan(tasks)
    assert weft("run", "plan.json", "-j", "1").returncode == 0
    for number in range(8):
        assert weft("logs", f"t{number}", "--stdout").stdout == f"out{number}\n"
        assert weft("logs", f"t{number}", "--stderr").stdout == f"err{number}\n"


def test_standard_input_is_at_its_end(weft: Weft) -> None:
    assert outcome(weft, {"command": ["cat"]})["state"] == "ok"


def test_a_task_sees_no_descriptors_but_its_own(weft: Weft) -> None:
    assert outcome(weft, {"command": ["ls", "/proc/self/fd"]})["state"] == "ok"
    assert log(weft).split() == ["0", "1", "2", "3"]  # 3 is the listing's own


SNIPPETS = {
    "exits": ("import sys; sys.exit(0)", "exception"),
    "leaves": ("import os; os._exit(3)", "exit:3"),
    "leaves well": ("import os; os._exit(0)", "exit:0"),
    "raises": ("x = 1\nraise KeyError('lost')", "exception"),
    "interrupts": ("raise KeyboardInterrupt", "exception"),
    "is no Python": ("def (", "exception"),
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal:KILL"),
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_that_fail(weft: Weft, name: str) -> None:
    source, cause = SNIPPETS[name]
    ended = outcome(weft, {"python": source})
    assert (ended["state"], ended["cause"]) == ("failed", cause)


def test_a_snippet_without_end_is_given_up_at_its_time_limit(weft: Weft) -> None:
    ended = outcome(weft, {"python": "while True: pass", "timeout": "300ms"})
    assert (ended["state"], ended["cause"]) == ("failed", "timeout")


def test_a_snippet_that_ends_its_host_fails_alone(weft: Weft) -> None:
    tasks: dict[str, Any] = {f"t{n}": {"python": f"import time; time.sleep(0.5); print({n})"} for n in range(5)}
    tasks["culprit"] = {"python": "import time, os, signal; time.sleep(0.2); os.kill(os.getpid(), signal.SIGSEGV)"}
    weft.plan(tasks)
    assert weft("run", "plan.json", "-j", "8").returncode == 1
    states = weft.states()
    assert states.pop("culprit") == ("failed", "signal:SEGV")
    assert set(states.values()) == {("ok", None)}


def test_output_of_concurrent_snippets_does_not_mix(weft: Weft) -> None:
    code = "import threading, time\nfor i in range(50):\n    print('{me}', i)\n    time.sleep(0.001)\n"
    weft.plan({f"s{n}": {"python": code.replace("{me}", f"s{n}")} for n in range(6)})
    assert weft("run", "plan.json", "-j", "6").returncode == 0
    for number in range(6):
        assert weft("logs", f"s{number}").stdout == "".join(f"s{number} {i}\n" for i in range(50))


def test_killing_leaves_no_process_of_the_run(weft: Weft, tmp_path: Path) -> None:
    task = {"shell": "sleep 600 & setsid sleep 600 & trap '' TERM; sleep 600", "timeout": "300ms"}
    assert outcome(weft, task)["cause"] == "timeout"
    assert not processes_with(str(tmp_path)), "a process of the run still lives"
