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

    def wait(self, seconds: float | None) -> bool:
        """Until something may have changed, for at most so many seconds; None: as long as it takes. False: nothing was told."""

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

    def wait(self, seconds: float | None) -> bool:
        """See `Changes`."""
        pause = self._seconds if seconds is None else min(self._seconds, seconds)
        self._sleep(max(pause, self._least))
        return True

    def close(self) -> None:
        """See `Changes`."""


class FileEvents:
    """What the system tells of folders and all below them, by the package watchfiles. ignored: a folder that does not count.

    Where events cannot be had (a limit of the system, a name that is no UTF-8), the folders are looked at as by `Polling` from
    then on. told: hears why.
    """

    def __init__(self, folders: Sequence[str], ignored: str | None, told: Callable[[str], None] = lambda _: None):
        self._events: Iterator[Any] | None = None
        self._folders = list(folders)
        self._watched: list[tuple[int, int] | None] = []
        self._heard: list[str] = []
        self._ignored = None if ignored is None else ignored.rstrip("/") + "/"
        self._polling: Polling | None = None
        self._told = told

    def is_watching(self, folder: str) -> bool:
        """Whether events of this folder are heard now."""
        return self._events is not None and folder in self._heard

    def looked(self, seconds: float) -> None:
        """A look has taken so long."""
        if self._polling is not None:
            self._polling.looked(seconds)

    def wait(self, seconds: float | None) -> bool:
        """See `Changes`. The first call returns at once: what happened before it was not watched."""
        if self._polling is not None:
            return self._polling.wait(seconds)
        try:
            return self._listen(seconds)
        except (OSError, RuntimeError, StopIteration, UnicodeError) as error:  # watchfiles' own is a RuntimeError
            self.close()
            self._polling = Polling()
            self._told(
                f"no events of files, so they are looked at every {POLL_SECONDS:g} s: {error or 'they have ended'}"
            )
            return True

    def _listen(self, seconds: float | None) -> bool:
        if self._events is None:
            self._watched = _identities(self._folders)
            self._events = self._watch()
            next(self._events)  # begins to watch
            return True
        limit = time.monotonic() + (BLIND_SECONDS if seconds is None else seconds)
        while not next(self._events):
            if (
                _identities(self._folders) != self._watched
            ):  # came, went, or is another one: the next call watches it anew
                self.close()
                self._events = None
                return True
            if time.monotonic() >= limit:
                return False
        return True

    def _watch(self) -> Iterator[Any]:
        from watchfiles import watch  # type: ignore[import-not-found,unused-ignore]

        self._heard = folders = list(dict.fromkeys(map(nearest_folder, self._folders)))
        if "/" in folders:
            raise OSError("the nearest folder that exists is /")
        found: Iterator[Any] = watch(
            *folders,
            watch_filter=self._counts,
            debounce=STEP_MILLISECONDS,
            step=STEP_MILLISECONDS // 2,
            rust_timeout=STEP_MILLISECONDS * 4,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        )
        return found

    def _counts(self, _change: object, path: str) -> bool:
        return self._ignored is None or not f"{os.path.realpath(path)}/".startswith(self._ignored)

    def close(self) -> None:
        """See `Changes`."""
        close = getattr(self._events, "close", None)
        if close is not None:
            close()


def nearest_folder(path: str) -> str:
    """The folder, or the nearest above it that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _identities(folders: Sequence[str]) -> list[tuple[int, int] | None]:
    """What tells whether a folder is the one that it was; None for what is not there."""
    return [_identity(folder) for folder in folders]


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def has_events() -> bool:
    """Whether watchfiles is installed; it is not loaded."""
    from importlib.util import find_spec

    return find_spec("watchfiles") is not None
