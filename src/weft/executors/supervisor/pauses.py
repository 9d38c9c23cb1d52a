"""Attempts that stand still for a while: SIGSTOP to all of their processes, SIGCONT later.

Time that an attempt stands still does not count for its time limit. Without an engine nobody would let it go on, so then
it goes on at once.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from .attempts import Attempt
from .census import Census, send

if TYPE_CHECKING:
    from .loop import Supervisor


class Pauses:
    """Who stands still, and what time limits owe them for it."""

    def __init__(self, supervisor: Supervisor):
        self._supervisor = supervisor
        self._since: dict[int, float] = {}  # by nonce
        self._lent: dict[int, float] = {}  # seconds that its timer does not know of yet
        self._due: dict[int, float] = {}  # timers that went off meanwhile

    def obey(self, nonces: list[int], paused: bool) -> None:
        """Let these attempts stand still, or go on. What has ended, or does so already, is left alone."""
        for nonce in nonces:
            attempt = self._supervisor.live(nonce)
            if attempt is None or attempt.status is not None:
                continue
            if not paused:
                self._go_on(attempt)
            elif attempt.stop is None and nonce not in self._since:
                self._since[nonce] = time.monotonic()
                self._supervisor.watches.hold(nonce)
                _signal(attempt, signal.SIGSTOP)

    def go_on(self) -> None:
        """Nobody is there who could end the pauses."""
        self.obey(list(self._since), False)

    def puts_off(self, when: float, nonce: int) -> bool:
        """Whether a time limit that is over by the clock is not over, since the attempt stands or stood still."""
        lent = self._lent.pop(nonce, 0.0)
        if nonce in self._since:
            self._due[nonce] = when + lent
            return True
        if lent:
            self._supervisor.set_timer(when + lent, nonce)
        return lent > 0

    def forget(self, nonce: int) -> None:
        """It has ended."""
        if self._since or self._lent:
            self._since.pop(nonce, None)
            self._lent.pop(nonce, None)
            self._due.pop(nonce, None)

    def _go_on(self, attempt: Attempt) -> None:
        nonce = attempt.order.nonce
        since = self._since.pop(nonce, None)
        if since is None:
            return
        seconds = time.monotonic() - since
        due = self._due.pop(nonce, None)
        if due is not None:
            self._supervisor.set_timer(due + seconds, nonce)
        elif attempt.order.timeout is not None:
            self._lent[nonce] = self._lent.get(nonce, 0.0) + seconds
        self._supervisor.watches.release(nonce, seconds)
        _signal(attempt, signal.SIGCONT)


def _signal(attempt: Attempt, number: int) -> None:
    """To its group, and to what has left it."""
    try:
        os.killpg(attempt.pid, number)  # it is not reaped, so its group can be nobody else's
    except (ProcessLookupError, PermissionError):
        pass
    for living in Census().family((attempt.pid,), attempt.pid, attempt.order.token):
        if living.group != attempt.pid:
            send(living, number)
