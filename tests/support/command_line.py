"""Runs the installed command for acceptance tests and compares what it prints with golden files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

GOLDEN = Path(__file__).parents[1] / "acceptance" / "golden"
LIMIT_SECONDS = 60

_RUN = re.compile(r"\b[0-9a-f]{32}\b")
_SHORT_RUN = re.compile(r"\b[0-9a-f]{12}\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_DURATION = re.compile(r"(?:<1ms|\b\d+(?:\.\d)?(?:ms|s)\b|\b\d+m \d+s\b)")
_MEMORY = re.compile(r"\b\d+(?:\.\d)?[KMG]\b")


class Answer(NamedTuple):
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def object(self) -> Any:
        """The one JSON object that it printed."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for a command: none of ours, none that changes what is shown, the folder as home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEFT_", "XDG_"))}
    for name in ("NO_COLOR", "CI", "COLUMNS"):
        kept.pop(name, None)
    return {**kept, "HOME": str(folder), "TERM": "xterm-256color", **(more or {})}


def weft(folder: Path, *words: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Answer:
    """`weft WORDS` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "weft", *words],
        cwd=folder,
        env=environment(folder, env),
        input=(stdin or "").encode(),
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Answer(done.stdout.decode(), done.stderr.decode(), done.returncode)


class Running:
    """A command that runs beside the test; ended with the block."""

    def __init__(self, folder: Path, *words: str):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "weft", *words], cwd=folder, env=environment(folder), stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self._lines: list[str] = []
        self._watchdog = threading.Timer(LIMIT_SECONDS, self._process.kill)

    def __enter__(self) -> Running:
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._out.close()
        self._process.wait()
        self._watchdog.cancel()
        self._watchdog.join()

    def wait_for(self, part: str) -> None:
        """Read lines until one has this part."""
        while line := self._out.readline().decode():
            self._lines.append(line)
            if part in line:
                return
        raise AssertionError(f"{part!r} was not printed, but {self._lines}")

    def rest(self) -> str:
        """Everything printed from here on."""
        return self._out.read().decode()

    def end(self) -> list[dict[str, Any]]:
        """Wait for the end; all JSON lines."""
        text = "".join(self._lines) + self.rest()
        self._process.wait()
        return [json.loads(line) for line in text.splitlines()]


def write(folder: Path, name: str, value: Any) -> Path:
    """A document (JSON unless it is text) in a folder."""
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def normalised(text: str, folder: Path, *, measured: bool = False) -> str:
    """Text without what differs from run to run. measured: durations and sizes, and the columns they shift, differ too."""
    text = text.replace(str(folder), "FOLDER")
    for pattern, word in ((_RUN, "RUN"), (_SHORT_RUN, "RUN"), (_MOMENT, "MOMENT")):
        text = pattern.sub(word, text)
    if measured:
        text = re.sub(r"(?<=\S)  +", "  ", _MEMORY.sub("SIZE", _DURATION.sub("TIME", text)))
    return text


def is_golden(name: str, answer: Answer, folder: Path, *, measured: bool = False) -> None:
    """Compare with `golden/NAME`; `RENEW_GOLDEN=1` writes it anew, for a reviewer to read."""
    parts = [answer.out, *(["--- stderr\n", answer.err] if answer.err else []), f"--- exit {answer.code}\n"]
    found = normalised("".join(parts), folder, measured=measured)
    path = GOLDEN / name
    if os.environ.get("RENEW_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def names(events: Sequence[Mapping[str, Any]], event: str) -> list[str]:
    """The tasks of all events of a kind, in order."""
    return [one["task"] for one in events if one["event"] == event]
