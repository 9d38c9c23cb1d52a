"""Who tells a run that files may have come: when it tells, what it does where nothing can be watched, and how it ends."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

from weft.files.changes import Polling
from weft.files.herald import Herald

LIMIT = 20.0


class Told:
    """Changes that the test makes; counts what is told."""

    def __init__(self) -> None:
        self.news: SimpleQueue[bool | BaseException] = SimpleQueue()
        self.waits: SimpleQueue[float | None] = SimpleQueue()
        self.tellings = threading.Semaphore(0)
        self.is_closed = threading.Event()

    def wait(self, seconds: float | None) -> bool:
        self.waits.put(seconds)
        found = self.news.get(timeout=LIMIT)
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        self.is_closed.set()

    def told(self) -> bool:
        return self.tellings.acquire(timeout=LIMIT)

    def is_quiet(self) -> bool:
        return not self.tellings.acquire(blocking=False)


def herald_of(world: Told) -> Herald:
    return Herald(lambda: world, world.tellings.release, 0.0)


def test_a_change_is_told_and_told_once_more_when_it_is_quiet_again() -> None:
    world = Told()
    herald = herald_of(world)
    herald.begin()
    for is_news in (False, True, False, False):
        world.waits.get(timeout=LIMIT)
        world.news.put(is_news)
    world.waits.get(timeout=LIMIT)  # all four have been taken
    assert world.told() and world.told()
    assert world.is_quiet()
    world.news.put(False)
    herald.close()
    assert world.is_closed.wait(LIMIT)


def test_nothing_is_watched_before_somebody_waits_and_once_at_most() -> None:
    opened = []
    world = Told()

    def open_changes() -> Told:
        opened.append(threading.current_thread().name)
        return world

    herald = Herald(open_changes, world.tellings.release, 0.0)
    assert opened == []
    herald.begin()
    herald.begin()
    world.waits.get(timeout=LIMIT)
    assert opened == ["weft-herald"]
    world.news.put(False)
    herald.close()
    herald.begin()
    assert opened == ["weft-herald"]


def test_a_herald_that_was_never_needed_is_closed() -> None:
    world = Told()
    herald_of(world).close()
    assert not [thread for thread in threading.enumerate() if thread.name == "weft-herald"]


@pytest.mark.parametrize("problem", [OSError(28, "no more watches"), RuntimeError("the folder is gone")])
def test_where_nothing_can_be_watched_it_tells_again_and_again(problem: Exception) -> None:
    world = Told()
    world.news.put(problem)
    herald = herald_of(world)
    herald.begin()
    assert all(world.told() for _ in range(3))
    herald.close()
    assert world.is_closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "weft-herald"]


def test_polling_always_says_that_it_is_time_to_look() -> None:
    slept: list[float] = []
    assert Polling(1.0, slept.append).wait(0.2)
    assert slept == [0.2]
