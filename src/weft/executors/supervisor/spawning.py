"""Start a program, and say precisely why it cannot be started (`not_found`, `setup`, or not now)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence

from .secrets import cover

DEFAULT_PATH = "/bin:/usr/bin"  # where exec looks when PATH is not set; confstr(_CS_PATH)
SHEBANG_LENGTH = 256  # bytes the kernel reads of a first line; BINPRM_BUF_SIZE
NOT_NOW = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETXTBSY})
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StartError(Exception):
    """A program cannot be started. cause: `not_found` or `setup`. detail: one line with the system's text."""

    def __init__(self, cause: str, detail: str):
        super().__init__(detail)
        self.cause = cause
        self.detail = detail

    def covered(self, environment: Mapping[bytes, bytes]) -> StartError:
        """Without the secrets of the environment, which words may have been filled from."""
        named = ((os.fsdecode(name), os.fsdecode(value)) for name, value in environment.items())
        return StartError(self.cause, cover(self.detail, named))

    def as_written(self, word: str, written: str) -> StartError:
        """With the program's word as the plan has it: values of variables are told nowhere."""
        if word == written:
            return self
        detail = (
            self.detail.replace(repr(word)[1:-1], repr(written)[1:-1]).replace(word, written) if word else self.detail
        )
        return StartError(self.cause, detail)


class NotNow(Exception):
    """The system has no room for another process or descriptor at the moment."""


def enter(folder: str) -> None:
    """Make `folder` the working folder. Raises StartError."""
    try:
        os.chdir(folder)
    except OSError as problem:
        raise StartError("setup", f"working folder {folder!r}: {problem.strerror}") from problem


def find_program(word: str, path: str | None) -> str:
    """Where `word` is, as exec would look for it in `path`. Raises StartError."""
    if not word:
        raise StartError("not_found", "the program's name is empty")
    if "/" in word:
        return word
    blocked = None
    for folder in (DEFAULT_PATH if path is None else path).split(":"):
        candidate = f"{folder or '.'}/{word}"
        try:
            mode = os.stat(candidate).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(mode) and os.access(candidate, os.X_OK):
            return candidate
        blocked = blocked or candidate
    if blocked is not None:
        raise StartError("not_found", f"program {word!r}: {blocked} is not executable")
    raise StartError("not_found", f"program {word!r} is not in PATH: {os.strerror(errno.ENOENT)}")


def start_problem(
    program: str, words: Sequence[str], environment: Mapping[bytes, bytes], problem: OSError
) -> StartError:
    """Why the system refused to start `program`, in its own words and with what it did not say."""
    text = problem.strerror or str(problem)
    if problem.errno == errno.E2BIG:
        arguments = sum(len(os.fsencode(word)) + 1 for word in words)
        longest = max(len(os.fsencode(word)) for word in words)
        variables = sum(len(name) + len(value) + 2 for name, value in environment.items())
        return StartError(
            "setup",
            f"{text}: arguments take {arguments} bytes (the longest {longest}), the environment {variables}; "
            "hand large values over in a file",
        )
    if problem.errno in (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.ENOEXEC,
        errno.ELOOP,
        errno.EISDIR,
        errno.EPERM,
    ):
        return StartError("not_found", f"program {program!r}: {_explained(program, problem.errno, text)}")
    if problem.errno == errno.ENAMETOOLONG:
        return StartError("not_found", f"program {program[:80]!r}…: {text}")
    return StartError("setup", f"program {program!r}: {text}")


def _explained(program: str, number: int, text: str) -> str:
    try:
        mode = os.stat(program).st_mode
    except OSError as problem:
        return problem.strerror or text
    if stat.S_ISDIR(mode):
        return "it is a folder"
    if number == errno.EACCES and not os.access(program, os.X_OK):
        return f"{text}: it is not executable"
    try:
        with open(program, "rb") as file:
            line = file.read(SHEBANG_LENGTH).split(b"\n", 1)[0]
    except OSError:
        return text
    if line.startswith(b"#!"):
        interpreter = line[2:].strip(b" \t").split(b" ")[0].decode("utf-8", "replace")
        ending = ", its first line ends in a carriage return" if line.endswith(b"\r") else ""
        return f"{text}: its interpreter {interpreter!r} cannot be started{ending}"
    if number == errno.ENOEXEC:
        return f"{text}: it has no '#!' line and is no program of this machine"
    return text
