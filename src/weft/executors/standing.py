"""Attempts that the executor lets stand still: which processes those are, and that none stands when its attempt is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.executors.opened import OpenAttempt


class Standing:
    """say: hands a message to the supervisor. attempts: by nonce. worker_of: nonce of the worker that makes this call alone.

    A worker makes many calls: it must not stand still when the one is over that it was stopped in.
    """

    def __init__(
        self,
        say: Callable[[Any], None],
        attempts: Mapping[int, OpenAttempt],
        worker_of: Callable[[int], int | None],
    ):
        self._say = say
        self._attempts = attempts
        self._worker_of = worker_of
        self._processes: dict[int, int] = {}  # nonce of the attempt -> of its process

    def pause(self, nonce: int) -> None:
        """Let it stand still, if it has a process of its own."""
        process = self._process_of(nonce)
        if process is not None:
            self._processes[nonce] = process
            self._say({"pause": [process], "paused": True})

    def _process_of(self, nonce: int) -> int | None:
        kind = self._attempts[nonce].kind
        if kind == "worker":
            return self._worker_of(nonce)
        return None if kind == "thread" else nonce

    def go_on(self, nonce: int) -> None:
        """Its pause is over, or it is: either way its process goes on."""
        process = self._processes.pop(nonce, None) if self._processes else None
        if process is not None:
            self._say({"pause": [process], "paused": False})
