"""End every process that carries a run's token, when no supervisor is left to do it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from weft.executors.supervisor.census import Living, everybody, name_of, send, tokens_of

LOOK_SECONDS = 0.05
UNKILLABLE_SECONDS = 2.0


def bearers(run_token: str) -> Iterator[Living]:
    """Living processes whose WEFT_TOKEN holds the run's token, ourselves left out."""
    for living in everybody():
        if living.pid != os.getpid() and any(run_token in word for word in tokens_of(living.pid)):
            yield living


def sweep(run_token: str, grace: float) -> list[str]:
    """TERM, grace, KILL, until none is left; names of those that cannot be ended. Takes up to grace + 2 s."""
    kill_at = time.monotonic() + grace
    told: set[tuple[int, int]] = set()
    while True:
        left = list(bearers(run_token))
        now = time.monotonic()
        if not left:
            return []
        if now >= kill_at + UNKILLABLE_SECONDS:
            return [f"{name_of(living.pid)} (pid {living.pid})" for living in left]
        for living in left:
            if now >= kill_at:
                send(living, signal.SIGKILL)
            elif (living.pid, living.started) not in told:
                told.add((living.pid, living.started))
                send(living, signal.SIGTERM)
                send(living, signal.SIGCONT)
        time.sleep(LOOK_SECONDS)
