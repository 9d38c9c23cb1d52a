"""Time limits of calls: a worker says in its cell when the time of its present call is up, and we look when that can be.

No call of a worker is shorter limited than what its watch was made with, so a look that finds no limit is good for as long.
"""

from __future__ import annotations

import heapq
import os
import struct

from .lateness import MOMENT_SECONDS, is_late

DUE = struct.Struct("<d")
DUE_OFFSET = 80  # in a cell; see `executors/worker/cell.py`
LEAST_SECONDS = 0.005  # between two looks


class Watches:
    """Who is watched. due: monotonic second of the next look, None when nobody is."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[str, float]] = {}  # nonce of the worker -> its cell, shortest limit of a call
        self._looks: list[tuple[float, int]] = []
        self._held: set[int] = set()  # stand still: their time does not pass
        self._late: dict[int, float] = {}  # limits that were looked at late, once

    @property
    def due(self) -> float | None:
        """See the class."""
        return self._looks[0][0] if self._looks else None

    def add(self, nonce: int, cell: str, seconds: float, now: float) -> None:
        """Watch a worker, or watch it more closely."""
        self._watched[nonce] = (cell, max(LEAST_SECONDS, seconds))
        heapq.heappush(self._looks, (now + seconds, nonce))

    def look(self, now: float) -> list[int]:
        """Workers whose call has had its time."""
        over = []
        while self._looks and self._looks[0][0] <= now:
            _, nonce = heapq.heappop(self._looks)
            if nonce not in self._watched:
                continue
            cell, seconds = self._watched[nonce]
            if nonce in self._held:
                heapq.heappush(self._looks, (now + seconds, nonce))
                continue
            due = _due_of(cell)
            if due is None:
                del self._watched[nonce]  # the state folder is gone
            elif due and is_late(due, now) and self._late.get(nonce) != due:
                self._late[nonce] = due
                heapq.heappush(self._looks, (now + MOMENT_SECONDS, nonce))
            elif due and due <= now:
                over.append(nonce)
                del self._watched[nonce]
            else:
                heapq.heappush(self._looks, (due or now + seconds, nonce))
        return over

    def hold(self, nonce: int) -> None:
        """A worker stands still."""
        if nonce in self._watched:
            self._held.add(nonce)

    def release(self, nonce: int, seconds: float) -> None:
        """It goes on in a moment, after so long: its present call gets that time back."""
        if nonce in self._held:
            self._held.discard(nonce)
            _shift_due(self._watched[nonce][0], seconds)

    def forget(self, nonce: int) -> None:
        """It has ended."""
        self._watched.pop(nonce, None)
        self._held.discard(nonce)
        self._late.pop(nonce, None)
        if not self._watched:
            self._looks.clear()


def _shift_due(cell: str, seconds: float) -> None:
    """Later by so much. Its worker alone writes there, and stands still."""
    due = _due_of(cell)
    if not due:
        return
    try:
        file = os.open(cell, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # the state folder is gone, and with it the limit
    try:
        os.pwrite(file, DUE.pack(due + seconds), DUE_OFFSET)
    finally:
        os.close(file)


def _due_of(cell: str) -> float | None:
    """0 when its present call has no limit."""
    try:
        file = os.open(cell, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            (due,) = DUE.unpack(os.pread(file, DUE.size, DUE_OFFSET))
        finally:
            os.close(file)
    except (OSError, struct.error):
        return None
    return float(due)
