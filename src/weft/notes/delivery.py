"""Sends what is put, one after another, in a thread of its own, and gives up what takes too long.

A thread cannot be stopped from outside. One that is still busy after the limit is left to itself: whatever it comes to does not
count any more, and another one goes on with what waits. A thread lives only as long as there is something to send.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from weft.notes.errors import reason_of
from weft.notes.printing import enter_note

LIMIT_SECONDS: Final = 30.0  # dialects.md 5.4
WAITING_LIMIT: Final = 100_000  # items; a sink that is so far behind will not catch up, and the memory is the run's

T = TypeVar("T")


class Delivery(Generic[T]):
    """The queue of one note. send: raises when an item could not be sent, False when it need not be.

    changed: is called, on any thread, when there is something new to see.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[T], bool],
        changed: Callable[[], None],
        *,
        limit: float = LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._name = name
        self._send = send
        self._changed = changed
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._worker: threading.Thread | None = None
        self._since: float | None = None
        self.sent = 0
        self.unsent = 0
        self.problem: str | None = None
        self.is_well = True

    @property
    def pending(self) -> int:
        """Items that wait or are under way."""
        with self._lock:
            return len(self._waiting) + (self._since is not None)

    def put(self, item: T) -> None:
        """Send it when its turn comes."""
        with self._lock:
            if len(self._waiting) >= WAITING_LIMIT:
                self._fail(f"{WAITING_LIMIT} records wait for it already")
                return
            self._waiting.append(item)
            self._work_on()

    def look(self) -> None:
        """Leave a worker that has been busy for too long to itself."""
        with self._lock:
            if self._since is None or self._clock() - self._since < self._limit:
                self._work_on()
                return
            self._worker = self._since = None
            self._fail(f"not done within {self._limit:g} s")
            self._work_on()
        self._changed()

    def give_up(self, why: str) -> None:
        """Send nothing more; what waits and what is under way counts as unsent."""
        with self._lock:
            left = len(self._waiting) + (self._since is not None)
            self._waiting.clear()
            self._worker = self._since = None
            if left:
                self._fail(why)
                self.unsent += left - 1

    def _work_on(self) -> None:
        """With the lock held: have a worker while something waits."""
        if self._waiting and self._worker is None:
            self._worker = threading.Thread(target=self._work, name=f"weft-note-{self._name[:40]}", daemon=True)
            try:
                self._worker.start()
            except RuntimeError as error:  # no thread is to be had now; `look` tries again
                self._worker = None
                self.is_well = False
                self.problem = self.problem or str(error)

    def _fail(self, problem: str) -> None:
        self.unsent += 1
        self.is_well = False
        self.problem = self.problem or problem

    def _work(self) -> None:
        # Signals are the engine's: it waits in a system call that only its own thread's signals wake.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        enter_note()
        me = threading.current_thread()
        while True:
            with self._lock:
                if self._worker is not me:
                    return
                if not self._waiting:
                    self._worker = None
                    return
                item = self._waiting.popleft()
                self._since = self._clock()
            is_sent, problem = False, None
            try:
                is_sent = self._send(item)
            except BaseException as error:  # noqa: BLE001 - sinks and users' classes: told as this note's problem
                problem = reason_of(error)
            with self._lock:
                if self._worker is not me:
                    return  # it was given up: whatever it came to is told already
                self._since = None
                if problem is not None:
                    self._fail(problem)
                else:
                    self.sent += is_sent
                    self.is_well = True
            self._changed()
