"""Rings when somebody who waits for nothing in particular is to look again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pulse:
    """At most one bell at a time is ordered. A thread, since no descriptor becomes readable by itself at a given time here."""

    def __init__(self, ring: Callable[[], None]):
        self._ring = ring
        self._changed = threading.Condition()
        self._due: float | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def want(self, seconds: float) -> None:
        """Ring in so many seconds, or earlier if that was ordered before."""
        due = time.monotonic() + seconds
        if self._due is not None and self._due <= due:
            return
        with self._changed:
            self._due = due
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="weft-pulse", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while not self._is_closed:
                if self._due is None:
                    self._changed.wait()
                    continue
                left = self._due - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                else:
                    self._due = None
                    self._ring()

    def close(self) -> None:
        """No bell any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
