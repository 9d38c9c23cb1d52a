"""Waiting for what the kernel tells: the end of a process, a change in a folder. Always with a limit."""

from __future__ import annotations

import ctypes
import os
import select
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LIMIT = 20.0  # seconds after which a test that waits has failed

# <sys/inotify.h>: modified, attributes, closed after writing, moved away or here, created, deleted
_CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200
_EVENTS = 1 << 16  # bytes; more than one read need not take


def has_ended(pid: int, seconds: float) -> bool:
    """Whether a process ends in this time; nobody needs to have reaped it."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], max(0.0, seconds))[0])
    finally:
        os.close(watch)


def wait_for_ends(pids: Iterable[int], seconds: float = LIMIT) -> None:
    """Until all of these processes, whoever their parents are, have ended."""
    limit = time.monotonic() + seconds
    for pid in pids:
        assert has_ended(pid, limit - time.monotonic()), f"process {pid} lives on"


def wait_in(folder: Path, condition: Callable[[], bool], what: str = "", seconds: float = LIMIT) -> None:
    """Until a condition holds that nothing but a change of the folder, or of a file in it, can bring about."""
    limit = time.monotonic() + seconds
    watch = _watch(folder)
    try:
        while not condition():
            assert select.select([watch], [], [], max(0.0, limit - time.monotonic()))[0], f"it never came: {what}"
            os.read(watch, _EVENTS)
    finally:
        os.close(watch)


def _watch(folder: Path) -> int:
    """A descriptor that is readable when something has changed in the folder; inotify(7)."""
    library = ctypes.CDLL(None, use_errno=True)
    watch: int = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if watch < 0 or library.inotify_add_watch(watch, os.fsencode(folder), _CHANGES) < 0:
        raise OSError(ctypes.get_errno(), "inotify", str(folder))
    return watch
