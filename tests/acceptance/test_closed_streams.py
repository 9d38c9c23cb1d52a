"""Standard streams that are closed or full: nothing of ours takes their place, and nobody sees a traceback."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import LIMIT_SECONDS, Answer, environment, weft, write

PLAN = {"weft": 1, "tasks": {"a": {"shell": "echo out; echo err >&2"}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which PLAN was run once."""
    write(tmp_path, "plan.json", PLAN)
    assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    return tmp_path


def redirected(folder: Path, words: str, redirection: str) -> Answer:
    """`weft WORDS` with streams as the shell's redirection says; what is left of them is captured."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{shlex.quote(sys.executable)} -m weft {words} {redirection}"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Answer(done.stdout.decode(), done.stderr.decode(), done.returncode)


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("words", ["--help", "--version", "status", "logs a", "graph plan.json --as svg"])
def test_an_answer_that_cannot_be_written_is_an_error_of_its_own(folder: Path, words: str, redirection: str) -> None:
    answer = redirected(folder, words, redirection)
    assert answer.code == 1
    assert answer.err.startswith("error: standard output cannot be written: ") and "Traceback" not in answer.err


@pytest.mark.parametrize("redirection", [">&-", "<&- >&- 2>&-", "2>&-"])
def test_a_run_with_closed_streams_is_recorded_and_its_database_stays_whole(folder: Path, redirection: str) -> None:
    assert redirected(folder, "run plan.json", redirection).code == 0
    assert weft(folder, "status", "--output", "json").object["counts"]["ok"] == 1
    assert weft(folder, "logs", "a").out == "out\nerr\n"
    assert weft(folder, "status", "-2", "--output", "json").object["state"] == "ok"


def test_a_closed_standard_input_is_an_empty_one(folder: Path) -> None:
    assert redirected(folder, "validate plan.json", "<&-").code == 0
    answer = redirected(folder, "validate -", "<&-")
    assert answer.code == 2 and "is empty [parse.syntax]" in answer.err
