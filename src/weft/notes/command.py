"""The note that starts a program with the record as JSON on its standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from weft.notes.errors import NoteError
from weft.notes.records import as_json, one_line

SECONDS: Final = 28.0  # below the limit of a note, so that the program is ended and this is told
TOLD_BYTES: Final = 300


class CommandNote:
    """Starts `argv` in `folder`, in a session of its own. Its output goes nowhere, but for the end of it when it fails."""

    def __init__(self, argv: Sequence[str], *, folder: str, environment: Mapping[str, str], seconds: float = SECONDS):
        self._argv = list(argv)
        self._folder = folder
        self._environment = environment
        self._seconds = seconds

    def send(self, record: Mapping[str, Any]) -> None:
        """Raises NoteError unless it ends with status 0."""
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    self._argv,
                    cwd=self._folder,
                    env=dict(self._environment),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise NoteError(f"{self._argv[0]!r} cannot be started: {error.strerror or error}") from error
            try:
                process.communicate(f"{as_json(record)}\n".encode(), timeout=self._seconds)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise NoteError(f"{self._argv[0]!r} has not ended within {self._seconds:g} s") from error
            if process.returncode:
                how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
                said = _end_of(output)
                raise NoteError(f"{self._argv[0]!r} ended with {how}{f': {said}' if said else ''}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Its whole group, while it is not reaped: so long its number is its own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # what was not written yet is of no use any more


def _end_of(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TOLD_BYTES))
    return one_line(output.read().decode("utf-8", "replace"))
