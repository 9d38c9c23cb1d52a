"""Memory limits by sampling: the main process often, the whole session now and then (reliability.md 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .attempts import Attempt
from .census import Census, proportional, resident

if TYPE_CHECKING:
    from .loop import Supervisor

MAIN_SECONDS = 0.02
SESSION_SECONDS = 0.1


class MemoryWatch:
    """Ends attempts that take more than they asked for. due: when it wants to look again, None while nobody has a limit."""

    method = "sampling"

    def __init__(self, supervisor: Supervisor):
        self._supervisor = supervisor
        self._watched: dict[int, Attempt] = {}
        self._session_at = 0.0
        self.due: float | None = None

    def watch(self, attempt: Attempt, now: float) -> None:
        """From now on."""
        self._watched[attempt.order.nonce] = attempt
        if self.due is None:
            self.due = now + MAIN_SECONDS

    def forget(self, attempt: Attempt) -> None:
        """It has ended."""
        if self._watched.pop(attempt.order.nonce, None) is not None and not self._watched:
            self.due = None

    def look(self, now: float) -> None:
        """Sample, if it is time."""
        if self.due is None or now < self.due:
            return
        self.due = now + MAIN_SECONDS
        census = None
        if now >= self._session_at:
            self._session_at = now + SESSION_SECONDS
            census = Census()
        for attempt in list(self._watched.values()):
            used = self._session(census, attempt) if census is not None else resident(attempt.pid)
            attempt.peak = max(attempt.peak, used)
            limit = attempt.order.memory
            if limit is not None and used > limit and attempt.stop is None:
                self._supervisor.stop(attempt.order.nonce, "memory", kill=True)

    def _session(self, census: Census, attempt: Attempt) -> int:
        members = [living.pid for living in census.family({attempt.pid}, attempt.pid, None)]
        used = sum(resident(pid) for pid in members)
        if attempt.order.memory is not None and used > attempt.order.memory and len(members) > 1:
            # Pages that forked processes share must not count twice.
            used = sum(proportional(pid) for pid in members)
        return used
