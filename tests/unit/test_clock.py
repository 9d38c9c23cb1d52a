"""How the loop sleeps."""

from __future__ import annotations

import os
import time

from weft.runtime.clock import SystemClock, SystemWaiter


def test_a_bell_ends_the_sleep_and_bells_may_change() -> None:
    waiter = SystemWaiter()
    first, second = os.eventfd(0), os.eventfd(1)
    try:
        waiter.wait((first,), 0.0)
        waiter.wait((first, second), None)  # for ever, were it not for the second bell
        os.eventfd_write(first, 1)
        waiter.wait((first,), None)
        assert (os.eventfd_read(first), os.eventfd_read(second)) == (1, 1), "waiting leaves a bell to who listens to it"
    finally:
        os.close(first)
        os.close(second)


def test_without_a_bell_the_sleep_ends_by_itself_and_not_early() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    SystemWaiter().wait((), 0.0005)
    assert clock.monotonic() - before >= 0.0005
    assert abs(clock.wall() - time.time()) < 60
