"""Waiting until something below some folders may have changed: by events of the system, else by looking every now and then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

POLL_SECONDS: Final = 1.0  # without events
BLIND_SECONDS: Final = 30.0  # with them: some file systems tell of nothing
BUSY_SHARE: Final = 10  # looking takes at most one part in so many of the time
STEP_MILLISECONDS: Final = 50  # events that come so close together are one


class Changes(Protocol):
    """Tells when it is time to look again."""

    def wait(self, seconds: float | None) -> None:
        """Until something may have changed, for at most so many seconds; None: as long as it takes."""

    def close(self) -> None:
        """Stop watching."""


class Polling:
    """It is always time to look again, after a pause. sleep: how to pause.

    Pauses are longer where looking takes long: `looked` tells how long it took.
    """

    def __init__(self, seconds: float = POLL_SECONDS, sleep: Callable[[float], None] = time.sleep):
        self._seconds = seconds
        self._sleep = sleep
        self._least = 0.0

    def looked(self, seconds: float) -> None:
        """A look has taken so long."""
        self._least = seconds * BUSY_SHARE

    def wait(self, seconds: float | None) -> None:
        """See `Changes`."""
        pause = self._seconds if seconds is None else min(self._seconds, seconds)
        self._sleep(max(pause, self._least))

    def close(self) -> None:
        """See `Changes`."""


class FileEvents:
    """What the system tells of folders and all below them, by the package watchfiles. ignored: a folder that does not count."""

    def __init__(self, folders: Sequence[str], ignored: str | None):
        self._events: Iterator[Any] | None = None
        self._folders = list(folders)
        self._ignored = None if ignored is None else ignored.rstrip("/") + "/"

    def wait(self, seconds: float | None) -> None:
        """See `Changes`. The first call returns at once: what happened before it was not watched."""
        if self._events is None:
            self._events = self._watch()
            next(self._events)  # begins to watch
            return
        limit = time.monotonic() + (BLIND_SECONDS if seconds is None else seconds)
        while not next(self._events) and time.monotonic() < limit:
            continue

    def _watch(self) -> Iterator[Any]:
        from watchfiles import watch  # type: ignore[import-not-found,unused-ignore]

        found: Iterator[Any] = watch(
            *self._folders,
            watch_filter=self._counts,
            debounce=STEP_MILLISECONDS,
            step=STEP_MILLISECONDS // 2,
            rust_timeout=STEP_MILLISECONDS * 4,
            yield_on_timeout=True,
            raise_interrupt=True,
        )
        return found

    def _counts(self, _change: object, path: str) -> bool:
        return self._ignored is None or not f"{os.path.realpath(path)}/".startswith(self._ignored)

    def close(self) -> None:
        """See `Changes`."""
        close = getattr(self._events, "close", None)
        if close is not None:
            close()


def has_events() -> bool:
    """Whether watchfiles is installed; it is not loaded."""
    from importlib.util import find_spec

    return find_spec("watchfiles") is not None
