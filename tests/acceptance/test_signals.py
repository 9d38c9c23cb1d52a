"""Ctrl-C once, twice, three times; TERM and HUP; a closed pipe: reliability.md, rows C1, C2, C4."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.weft_process import LIMIT_SECONDS, Doorway, Weft, clean_environment, read_ledger


def plan_of_two(weft: Weft, door: Doorway, ledger: Path, trap: str = "") -> None:
    weft.plan({"one": {"shell": f"{trap}{door.script(ledger)}"}, "two": {"command": ["true"], "dependencies": ["one"]}})


def wait_for_text(path: Path, text: str) -> None:
    """Until a file that a live process writes holds the text; inotify rings."""
    import select

    watch = subprocess.Popen(["tail", "-n", "+1", "-F", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert watch.stdout is not None
    heard = b""
    try:
        while text.encode() not in heard:
            assert select.select([watch.stdout], [], [], LIMIT_SECONDS)[0], f"{text!r} never came: {heard.decode()}"
            heard += os.read(watch.stdout.fileno(), 65536)
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_one_interrupt_lets_running_attempts_end_and_starts_nothing(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    plan_of_two(weft, door, tmp_path / "ledger")
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    engine.send_signal(signal.SIGINT)
    wait_for_text(tmp_path / "err", "interrupted")
    door.let_on()
    assert engine.wait(60) == 130
    assert weft.states() == {"one": ("ok", None), "two": ("cancelled", "interrupted")}
    assert weft("resume").returncode == 0
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}
    assert len(read_ledger(tmp_path / "ledger")) == 2


def test_two_interrupts_end_running_attempts(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    plan_of_two(weft, door, tmp_path / "ledger")
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    engine.send_signal(signal.SIGINT)
    wait_for_text(tmp_path / "err", "interrupted")
    engine.send_signal(signal.SIGINT)
    assert engine.wait(60) == 130
    assert weft.states() == {"one": ("cancelled", "interrupted"), "two": ("cancelled", "interrupted")}


def test_three_interrupts_kill_what_ignores_the_second(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    plan_of_two(weft, door, tmp_path / "ledger", trap="trap '' TERM; ")
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    for text in ("interrupted", "interrupted again", "three times"):
        engine.send_signal(signal.SIGINT)
        wait_for_text(tmp_path / "err", text)
    assert engine.wait(60) == 130
    assert weft.states()["one"] == ("cancelled", "interrupted")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_other_signals_act_like_the_second_interrupt(
    weft: Weft, door: Doorway, tmp_path: Path, number: signal.Signals
) -> None:
    plan_of_two(weft, door, tmp_path / "ledger")
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    engine.send_signal(number)
    assert engine.wait(60) == 128 + number
    assert weft.states()["one"] == ("cancelled", "interrupted")


def test_a_closed_pipe_ends_the_printing_and_not_the_run(weft: Weft, tmp_path: Path) -> None:
    weft.plan({f"t{number}": {"shell": "echo hello"} for number in range(200)})
    command = " ".join(weft.command("run", "plan.json"))
    ended = subprocess.run(
        ["/bin/bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.stdout.startswith("Started: ")
    assert "Traceback" not in ended.stderr and "Broken pipe" not in ended.stderr
    assert {state for state, _ in weft.states().values()} == {"ok"}
    assert len(weft.states()) == 200


def test_a_cancel_from_another_terminal_is_heard(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    plan_of_two(weft, door, tmp_path / "ledger")
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    assert weft("cancel").returncode == 0
    assert engine.wait(60) == 1
    assert weft.states()["one"] == ("cancelled", "cancelled")
    again = weft("resume")
    assert weft.states()["one"] == ("cancelled", "cancelled"), again.stderr
