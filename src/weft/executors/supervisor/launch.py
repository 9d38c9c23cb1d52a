"""From an order to a process: words and variables made final, then one spawn."""

from __future__ import annotations

import json
import os
import signal
import time

from .spawning import NOT_NOW, NotNow, StartError, find_program, start_problem
from .substitution import substitute
from .wire import WireOrder


class Launch:
    """Starts programs. python: interpreter of the launcher. oom: file, what our children and then we are to have in it.

    log_folder: where the launcher leaves digests of secrets.
    """

    def __init__(self, python: str, oom: tuple[int, bytes, bytes] | None, log_folder: str):
        self._python = python
        self._log_folder = log_folder
        self._oom = oom
        # All, not only those that we ignore: the C library would ask for each one that is left out before it resets it.
        self._defaults = signal.valid_signals()

    def prepare(self, order: WireOrder, environment: dict[bytes, bytes]) -> tuple[list[str], int]:
        """Words to execute, with variables evaluated, here or (those of a shell) by the launcher: then its request."""
        if not order.variables and not order.expand:
            return order.words, -1
        known = {os.fsdecode(name): os.fsdecode(text) for name, text in environment.items()}
        if any(kind == "shell" for _, kind, _ in order.variables):
            request = {
                "words": order.words,
                "expand": order.expand,
                "variables": order.variables,
                "environment": known,
                "log_folder": self._log_folder,
            }
            try:
                file = os.memfd_create("launch", os.MFD_CLOEXEC)
            except OSError as problem:
                raise NotNow(problem.strerror) from problem
            os.write(file, json.dumps(request).encode("ascii"))
            return [self._python, "-I", "-S", f"{os.path.dirname(__file__)}/__main__.py", "launcher"], file
        words = list(order.words)
        for name, kind, text in order.variables:
            known[name] = substitute(text, known) if kind == "expand" else text
            environment[os.fsencode(name)] = os.fsencode(known[name])
        for index in order.expand:
            words[index] = substitute(words[index], known)
        return words, -1

    def spawn(
        self,
        words: list[str],
        environment: dict[bytes, bytes],
        files: list[int],
        request: int,
        stdin: int = -1,
        written: str | None = None,
    ) -> tuple[int, float, int]:
        """(pid, monotonic start, boot ticks). files: of its output. stdin: -1 for none. written: the program, for messages.

        Raises StartError, NotNow.
        """
        program = words[0]
        written = program if written is None else written
        if "/" not in program:
            path = environment.get(b"PATH")
            try:
                program = find_program(program, None if path is None else os.fsdecode(path))
            except StartError as problem:
                raise problem.as_written(words[0], written).covered(environment) from problem
        # Descriptor 0 is the null device already; everything else of ours closes itself.
        actions = [(os.POSIX_SPAWN_DUP2, files[0], 1), (os.POSIX_SPAWN_DUP2, files[1], 2)]
        if stdin >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
        if request >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, request, 3))
        if self._oom is not None:
            os.pwrite(self._oom[0], self._oom[1], 0)
        try:
            ticks = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 100)
            pid = os.posix_spawn(
                program, words, environment, file_actions=actions, setsid=True, setsigdef=self._defaults, setsigmask=()
            )
            return pid, time.monotonic(), ticks
        except OSError as problem:
            if problem.errno in NOT_NOW:
                raise NotNow(problem.strerror) from problem
            told = start_problem(program, words, environment, problem).as_written(words[0], written)
            raise told.covered(environment) from problem
        except ValueError as problem:
            raise StartError("setup", f"program {written!r}: {problem}") from problem
        finally:
            if self._oom is not None:
                os.pwrite(self._oom[0], self._oom[2], 0)
