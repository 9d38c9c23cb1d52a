"""Runs in a real terminal (a pseudo terminal): what stays on the screen, at any width, and what Ctrl-C does."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from support.command_line import environment, write
from support.weft_process import Doorway

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LIMIT_SECONDS = 60
PLAN = {
    "weft": 1,
    "tasks": {
        "fetch-1": {"shell": "sleep 1"},
        "fetch-[red]2": {"shell": "printf 'no\\033]0;x\\007 route\\n' >&2; exit 3"},
        "report": {"shell": "true", "dependencies": ["fetch-[red]2"]},
    },
}


class Screen:
    """A command in a pseudo terminal, and everything that it wrote there."""

    def __init__(self, folder: Path, words: list[str], columns: int, env: dict[str, str]):
        self._main, worker = pty.openpty()
        fcntl.ioctl(worker, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "weft", *words],
            cwd=folder,
            env=environment(folder, env),
            stdin=worker,
            stdout=worker,
            stderr=worker,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        )
        os.close(worker)
        self.text = ""

    def read_until(self, part: str | None) -> str:
        """Read until a text appears, or to the end (None)."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while part is None or part not in self.text:
            ready, _, _ = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{part!r} did not appear in {self.text!r}")
            try:
                data = os.read(self._main, 65536)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            self.text += data.decode("utf-8", "replace")
        return self.text

    def press(self, keys: bytes) -> None:
        os.write(self._main, keys)

    def end(self) -> int:
        """Read to the end; the exit code."""
        self.read_until(None)
        code = self.process.wait(LIMIT_SECONDS)
        os.close(self._main)
        return code


def run(folder: Path, columns: int = 80, **env: str) -> tuple[str, int]:
    write(folder, "plan.json", PLAN)
    screen = Screen(folder, ["run", "plan.json"], columns, env)
    code = screen.end()
    return screen.text.replace("\r\n", "\n"), code


@pytest.mark.parametrize("columns", [80, 40])
def test_a_terminal_shows_header_failures_summary_and_footer(tmp_path: Path, columns: int) -> None:
    text, code = run(tmp_path, columns, COLUMNS="")
    plain = ESCAPES.sub("", text).replace("\n", "")
    assert code == 1
    assert plain.index("plan.json  3 tasks") < plain.index("✗ fetch-[red]2: exit:3") < plain.index("exit:3: 1 task")
    assert "no\\x1b]0;x\\x07 route" in plain
    assert "log: " in plain and "retry: weft retry " in plain
    assert "failed  3 tasks: 1 ok, 1 failed, 1 skipped" in plain
    assert "\x1b]0;" not in text, "a task may not set the terminal's title"


def test_a_failure_that_wrote_to_stdout_alone_shows_that(tmp_path: Path) -> None:
    write(tmp_path, "other.json", {"weft": 1, "tasks": {"fit": {"shell": "echo no convergence; exit 3"}}})
    screen = Screen(tmp_path, ["run", "other.json"], 80, {})
    assert screen.end() == 1
    plain = ESCAPES.sub("", screen.text)
    assert "| no convergence" in plain and "log:   .weft/logs/" in plain


def test_the_live_region_is_drawn_and_taken_away(tmp_path: Path) -> None:
    text, _ = run(tmp_path)
    assert "ETA" in text and "cores" in text and "1/2" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"


def test_no_color_keeps_the_region_without_colours(tmp_path: Path) -> None:
    text, _ = run(tmp_path, NO_COLOR="1")
    assert "ETA" in text
    assert not re.search(r"\x1b\[[0-9;]*m", text.replace("\x1b[0m", "").replace("\x1b[m", ""))


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_dumb_terminal_and_ci_get_plain_lines(tmp_path: Path, env: dict[str, str]) -> None:
    text, code = run(tmp_path, NO_COLOR="1", **env)
    assert code == 1
    assert "Started: fetch-1\n" in text and "Ended : fetch-[red]2\nno\\x1b]0;x\\x07 route\n" in text
    assert "\x1b" not in text


def test_one_ctrl_c_lets_running_tasks_end_and_exits_with_130(tmp_path: Path) -> None:
    door = Doorway(tmp_path)
    slow = f"{door.script(tmp_path / 'ledger')}; touch done"
    tasks = {"slow": {"shell": slow}, "next": {"shell": "true", "dependencies": ["slow"]}}
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    screen = Screen(tmp_path, ["run", "plan.json"], 80, {})
    try:
        door.wait_for("slow")
        screen.press(b"\x03")
        screen.read_until("interrupted")
        door.let_on()
        assert screen.end() == 130
    finally:
        door.close()
    assert (tmp_path / "done").exists()
    assert "interrupted" in screen.text and "weft resume" in screen.text


def test_ten_ctrl_c_kill_what_ignores_everything_and_no_task_hears_them(tmp_path: Path) -> None:
    """The terminal sends its signal to the whole foreground group, and weft's tasks are not in it."""
    door = Doorway(tmp_path)
    deaf = f"trap 'echo INT >> heard' INT; trap '' TERM; {door.script(tmp_path / 'ledger')}"
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"deaf": {"shell": deaf}, "next": {"shell": "true"}}})
    screen = Screen(tmp_path, ["run", "plan.json", "-j", "1"], 80, {})
    try:
        door.wait_for("deaf")
        screen.press(b"\x03")
        screen.read_until("interrupted")
        assert not (tmp_path / "heard").exists()
        for _ in range(9):
            screen.press(b"\x03")
        assert screen.end() == 130
        assert not (tmp_path / "heard").exists()
        assert "Traceback" not in screen.text
        again = Screen(tmp_path, ["resume"], 80, {})
        door.wait_for("deaf")
        door.let_on()
        assert again.end() == 0, again.text
    finally:
        door.close()
