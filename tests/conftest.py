"""What all tiers share: nothing may be left behind, whatever a test does."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support.waiting import has_ended

LEAVE_LIMIT = 10.0  # seconds in which what a test started has to be gone
HARMLESS = ("/dev/urandom", "/dev/random", "/dev/null")  # libraries open these once and keep them
PROCESS_TIERS = ("acceptance", "integration", "contracts")


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves threads, descriptors, child processes, or processes that work in its folder."""
    uses_folder = request.path.parent.name in PROCESS_TIERS and "tmp_path" in request.fixturenames
    folder = str(request.getfixturevalue("tmp_path")) if uses_folder else None
    threads, descriptors, children = set(threading.enumerate()), _descriptors(), _children()
    yield
    _wait_for_threads(threads)
    _gone("descriptors", lambda: [name for fd, name in _descriptors().items() if descriptors.get(fd) != name])
    _wait_for_ends(lambda: {int(pid): "a child" for pid in _children() - children})
    _gone("children", lambda: sorted(_children() - children))
    if folder is not None:
        _wait_for_ends(lambda: _working_in(folder))
        _gone("processes", lambda: [f"{pid} ({words})" for pid, words in _working_in(folder).items()])


# A loaded machine may need a moment to end what was told to end.


def _wait_for_threads(before: set[threading.Thread]) -> None:
    deadline = time.monotonic() + LEAVE_LIMIT
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            pytest.fail(f"the test left a thread: {thread}")


def _wait_for_ends(left: Callable[[], Mapping[int, str]]) -> None:
    for pid, words in left().items():
        if not has_ended(pid, LEAVE_LIMIT):
            pytest.fail(f"the test left a process: {pid} ({words})")


def _gone(what: str, left: Callable[[], list[str]]) -> None:
    """Whether nothing is left. Nothing tells when a descriptor is closed, or a process that has ended is reaped."""
    if not left():
        return
    gc.collect()
    deadline = time.monotonic() + LEAVE_LIMIT
    while found := left():
        if time.monotonic() > deadline:
            pytest.fail(f"the test left {what}: {', '.join(found)}")
        time.sleep(0.01)


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the listing's own
            continue
        if not target.startswith(HARMLESS):
            found[int(name)] = target
    return found


def _children() -> set[str]:
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            found.update(Path(f"/proc/self/task/{task}/children").read_text().split())
        except FileNotFoundError:  # the thread has ended meanwhile
            continue
    return found


def _working_in(folder: str) -> dict[int, str]:
    """Processes with their working folder in `folder` or its path among their arguments: their words, by id."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            works_in = os.readlink(f"/proc/{pid}/cwd")
        except OSError:  # ended meanwhile, or not ours to read
            continue
        if f"{works_in}/".startswith(f"{folder}/") or folder in arguments:
            found[int(pid)] = arguments.strip()[:200]
    return found
