"""A worker's cell: a few numbers in shared memory, so that the engine always knows which call has begun, at no cost a call.

Theory. Calls of a worker are numbered from 1 in the order they are sent. The worker alone writes all but `REVOKED`; the
engine (or a later one) alone writes that. To begin call n the worker writes CLAIM = n, then reads REVOKED: n is not
above it -> CLAIM goes back, the call is dropped unsaid; else RUNNING = n, and it begins. The engine takes calls back by
writing REVOKED, and looks SETTLE_SECONDS later, when what either side wrote before is visible to the other: while
CLAIM != RUNNING the worker is between the two steps; else no call above RUNNING and up to REVOKED ever begins.
"""

from __future__ import annotations

import mmap
import os

SIZE = 96  # bytes
SETTLE_SECONDS = 0.001

CLAIM = 0
RUNNING = 1
ENDED = 2  # number of the last call whose end is in the receipts
REVOKED = 3
NONCE = 4  # of the call RUNNING
WRITTEN = 5  # bytes of the receipts file that hold whole receipts
BORN = 6  # 1 once the worker can take calls

STARTED = 8  # of the call RUNNING: monotonic seconds
WALL = 9  # the same moment, for people
DUE = 10  # monotonic second at which its time is up; 0 for never


class Cell:
    """The file, mapped. numbers: unsigned, by the names above; times: the same places as floats."""

    def __init__(self, path: str, *, is_new: bool = False):
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(path, flags | os.O_CREAT | os.O_EXCL if is_new else flags, 0o600)
        try:
            if is_new:
                os.posix_fallocate(file, 0, SIZE)
            self._map = mmap.mmap(file, SIZE)
        finally:
            os.close(file)
        view = memoryview(self._map)
        self.numbers = view.cast("Q")
        self.times = view.cast("d")
        view.release()

    def is_running(self) -> bool:
        """Whether a call has begun and its end is not written down."""
        return self.numbers[RUNNING] != self.numbers[ENDED]

    def close(self) -> None:
        """Let go."""
        self.numbers.release()
        self.times.release()
        self._map.close()
