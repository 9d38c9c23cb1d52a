"""The installed command as a user starts it, and tasks that tell a ledger outside our state what really happened."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 60.0
"""No single event in a test takes so long, however busy the machine is."""


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what an outer weft, a terminal or a CI left in it."""
    dropped = ("WEFT_", "NO_COLOR", "CI", "COLUMNS", "PYTEST_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, **more}


@dataclass
class Weft:
    """Runs `weft` in a folder; every process it starts is ended with the test."""

    folder: Path
    started: list[subprocess.Popen[bytes]]

    def command(self, *words: str) -> list[str]:
        """argv of the command."""
        return [sys.executable, "-m", "weft", *words]

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=clean_environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT_SECONDS * 3,
            check=False,
        )

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start it and go on; its output goes to files `out` and `err` in the folder."""
        with open(self.folder / "out", "ab") as out, open(self.folder / "err", "ab") as err:
            process = subprocess.Popen(
                self.command(*words),
                cwd=self.folder,
                env=clean_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.started.append(process)
        return process

    def plan(self, tasks: Mapping[str, Any], name: str = "plan.json", **more: Any) -> str:
        """Write a native plan; its file name."""
        (self.folder / name).write_text(json.dumps({"weft": 1, "tasks": tasks, **more}), encoding="utf-8")
        return name

    def states(self, *words: str) -> dict[str, tuple[str, str | None]]:
        """What `weft status` says of every task: (state, cause)."""
        answer = self("status", *words, "--output", "json")
        assert answer.returncode == 0, answer.stderr
        return {name: (task["state"], task["cause"]) for name, task in json.loads(answer.stdout)["tasks"].items()}

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(LIMIT_SECONDS)


def events_of(output: str) -> list[dict[str, Any]]:
    """The JSON lines of `--output json`."""
    return [json.loads(line) for line in output.splitlines()]


class Doorway:
    """Two FIFOs: tasks say when they are in, and wait until they are let on. No test sleeps."""

    def __init__(self, folder: Path):
        self.inside = folder / "inside"
        self.gate = folder / "gate"
        os.mkfifo(self.inside)
        os.mkfifo(self.gate)
        self._hear = os.open(self.inside, os.O_RDWR | os.O_NONBLOCK)
        self._open = os.open(self.gate, os.O_RDWR | os.O_NONBLOCK)
        self._heard = b""

    def close(self) -> None:
        os.close(self._hear)
        os.close(self._open)

    def script(self, ledger: Path, word: str = "$WEFT_TASK") -> str:
        """Shell text of a task that writes the ledger, comes in, waits at the gate, and writes the ledger again."""
        line = f"{word} $WEFT_ATTEMPT $$"
        return (
            f'echo "begin {line}" >> {ledger}; echo {word} > {self.inside}; read go < {self.gate}; '
            f'echo "end {line}" >> {ledger}'
        )

    def wait_for(self, *names: str) -> None:
        """Until all of these have come in."""
        missing = Counter(names)
        while missing:
            line, newline, rest = self._heard.partition(b"\n")
            if not newline:
                ready, _, _ = select.select([self._hear], [], [], LIMIT_SECONDS)
                assert ready, f"never came in: {dict(missing)}"
                self._heard += os.read(self._hear, 65536)
                continue
            self._heard = rest
            missing -= Counter([line.decode()])

    def let_on(self, count: int = 1) -> None:
        """Open the gate for so many tasks."""
        os.write(self._open, b"go\n" * count)


def read_ledger(ledger: Path) -> list[list[str]]:
    """Lines of the ledger as words: begin or end, task, attempt, pid."""
    return [line.split() for line in ledger.read_text(encoding="utf-8").splitlines()] if ledger.exists() else []


def check_no_overlap(ledger: Path, tasks: Sequence[str]) -> None:
    """No two attempts of a task were alive together, and attempt numbers only grow."""
    for name in tasks:
        live: str | None = None
        last = 0
        for what, task, attempt, _ in read_ledger(ledger):
            if task != name:
                continue
            if what == "begin":
                assert int(attempt) > last, f"attempt {attempt} of {name} after {last}"
                last = int(attempt)
                live = attempt
            else:
                assert live == attempt, f"attempt {attempt} of {name} ended while {live} lived"
                live = None


def processes_with(token: str) -> list[int]:
    """Processes that carry a run's token in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if token.encode() in environment:
            found.append(int(pid))
    return found


def supervisor_of(run: str) -> int:
    """Pid of the run's supervisor: the process whose command line names its folder."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"supervisor" in words and run.encode() in words:
            return int(pid)
    raise AssertionError(f"no supervisor of run {run}")


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9, and wait for its end."""
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_SECONDS)


def each_line(path: Path) -> Iterator[str]:
    """Lines of a text file."""
    yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
