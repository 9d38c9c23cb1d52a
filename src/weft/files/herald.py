"""Tells, from a thread of its own, when files that a run waits for may have come.

Changes are told at once when it was quiet, and at most once a second while they go on, which is as often as a run without a
herald looks. After each change it tells once more: what was being looked at meanwhile may have been seen as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Final

from weft.files.changes import Changes, Polling

QUIET_SECONDS: Final = 1.0  # between two tellings
STEP_SECONDS: Final = 0.2  # how long it takes to notice that it is closed
CLOSE_SECONDS: Final = 2.0


class Herald:
    """Nothing is watched before `begin`. open_changes: starts watching; told: hears that it is time to look, in the thread.

    Where nothing can be watched (the system has no more watches, a folder is gone) it tells every second.
    """

    def __init__(
        self, open_changes: Callable[[], Changes], told: Callable[[], None], quiet_seconds: float = QUIET_SECONDS
    ):
        self._open_changes = open_changes
        self._told = told
        self._quiet_seconds = quiet_seconds
        self._closed = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Somebody waits now. Safe from any thread; calling it again does nothing."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = Thread(target=self._work, name="weft-herald", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Tell nothing any more."""
        with self._lock:
            self._closed.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        try:
            self._watch(self._open_changes())
        except (OSError, RuntimeError):  # what watchfiles raises; looking every second is as good an answer
            self._watch(Polling(0.0, self._pause))

    def _pause(self, seconds: float) -> None:
        self._closed.wait(seconds)

    def _watch(self, changes: Changes) -> None:
        is_news = False
        try:
            while not self._closed.is_set():
                was_news, is_news = is_news, changes.wait(STEP_SECONDS)
                if (is_news or was_news) and not self._closed.is_set():
                    self._told()
                    self._pause(self._quiet_seconds)
        finally:
            changes.close()
