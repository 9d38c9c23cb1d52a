"""What attempts read: a file, or the output of another attempt while that is still being made.

The latter goes through a pipe that a process of ours fills (`feeder`). It is no attempt: it belongs to no session of theirs,
has no token, and ends by itself when what it copies has ended, or when nobody reads it any more.
"""

from __future__ import annotations

import os
import signal

from .spawning import NOT_NOW, NotNow, StartError


class Feeds:
    """Opens what attempts read. python: interpreter of feeders. pids: of those that run."""

    def __init__(self, python: str):
        self._python = python
        self._defaults = signal.valid_signals()
        self.pids: set[int] = set()

    def open(self, path: str, whole: str) -> int:
        """A descriptor to read from. whole: path that tells when the file is whole, empty when it is.

        Raises StartError, NotNow.
        """
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as problem:
            if problem.errno in NOT_NOW:
                raise NotNow(problem.strerror) from problem
            raise StartError("setup", f"its standard input {path}: {problem.strerror}") from problem
        if not whole:
            return source
        try:
            return self._pipe(source, whole)
        except OSError as problem:
            if problem.errno in NOT_NOW:
                raise NotNow(problem.strerror) from problem
            raise StartError("setup", f"its standard input cannot be fed: {problem.strerror}") from problem
        finally:
            os.close(source)

    def _pipe(self, source: int, whole: str) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            words = [self._python, "-I", "-S", f"{os.path.dirname(__file__)}/__main__.py", "feeder", whole]
            actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, writing, 1)]
            pid = os.posix_spawn(
                self._python, words, {}, file_actions=actions, setsid=True, setsigdef=self._defaults, setsigmask=()
            )
            self.pids.add(pid)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return reading
