"""Interrupts and requests: what reaches the loop from outside."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from weft.runtime.interrupts import Interrupts
from weft.runtime.requests import Requests
from weft.scheduling.events import TimerFired


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    made = Interrupts()
    yield made
    made.restore()


def rings(bells: tuple[int, ...]) -> bool:
    return bool(select.select(bells, (), (), 0)[0])


def test_each_interrupt_raises_the_level_once_and_rings(interrupts: Interrupts) -> None:
    interrupts.interrupt(1, 130)
    assert rings(tuple(interrupts.bells()))
    interrupts.interrupt(1, 130)
    interrupts.interrupt(2, 143)
    assert list(interrupts.take()) == [1, 2]
    assert not rings(tuple(interrupts.bells()))
    assert (interrupts.level, interrupts.exit_code) == (2, 130)


def test_signals_count_as_interrupts_while_installed(interrupts: Interrupts) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupts.install()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    assert list(interrupts.take()) == [1, 2, 3]
    assert interrupts.exit_code == 130
    interrupts.restore()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_termination_signal_acts_like_the_second_interrupt(interrupts: Interrupts) -> None:
    interrupts.install()
    os.kill(os.getpid(), signal.SIGTERM)
    assert list(interrupts.take()) == [2]
    assert interrupts.exit_code == 143
    assert interrupts.remark(2) == "SIGTERM: ending what runs, 5 s of grace (Ctrl-C: kill it)"
    os.kill(os.getpid(), signal.SIGINT)
    assert list(interrupts.take()) == [3]
    assert interrupts.remark(3) == "interrupted: killing what runs"


def test_each_level_says_what_is_done_however_it_was_reached(interrupts: Interrupts) -> None:
    for level in (1, 2, 3):
        interrupts.interrupt(level, 130)  # type: ignore[arg-type]
    assert [interrupts.remark(level) for level in (1, 2, 3)] == [  # type: ignore[arg-type]
        "interrupted: starting nothing more, waiting for what runs (again: end it)",
        "interrupted again: ending what runs, 5 s of grace (again: kill it)",
        "interrupted three times: killing what runs",
    ]


def test_requests_come_in_order_and_ring_until_taken() -> None:
    outside = [[TimerFired(9)], []]
    requests = Requests(lambda: outside.pop(0))
    try:
        requests.put(TimerFired(1))
        requests.put(TimerFired(2))
        assert rings(tuple(requests.bells()))
        assert list(requests.take()) == [TimerFired(1), TimerFired(2), TimerFired(9)]
        assert not rings(tuple(requests.bells()))
        assert list(requests.take()) == []
    finally:
        requests.close()
