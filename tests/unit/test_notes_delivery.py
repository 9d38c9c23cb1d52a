"""The thread of a note: order, failures, what hangs, what is given up. Nothing sleeps: sinks wait until the test lets them on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from weft.notes import delivery as delivering
from weft.notes.delivery import Delivery
from weft.notes.errors import NoteError

LIMIT = 20.0


class Box:
    """A sink that the test holds by the door. `bell` rings whenever the delivery has news."""

    def __init__(self, limit: float = 30.0, send: Callable[[str], bool] | None = None):
        self.now = 0.0
        self.sent: list[str] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.bell = threading.Semaphore(0)
        self.delivery = Delivery(
            "box", send or self.send, lambda: self.bell.release(), limit=limit, clock=lambda: self.now
        )

    def send(self, item: str) -> bool:
        self.entered.release()
        assert self.gate.acquire(timeout=LIMIT)
        self.sent.append(item)
        return True

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.bell.acquire(timeout=LIMIT)


def test_records_are_sent_in_order_and_one_at_a_time() -> None:
    box = Box()
    for item in "abc":
        box.delivery.put(item)
    assert box.entered.acquire(timeout=LIMIT)
    assert not box.entered.acquire(blocking=False)
    assert box.delivery.pending == 3
    box.gate.release(3)
    box.wait(3)
    assert (box.sent, box.delivery.sent, box.delivery.unsent, box.delivery.pending) == (["a", "b", "c"], 3, 0, 0)


@pytest.mark.parametrize(
    "error", [NoteError("no room"), OSError(28, "no room"), SystemExit("no room"), KeyboardInterrupt()]
)
def test_whatever_a_sink_raises_is_its_problem_and_the_next_record_is_sent(error: BaseException) -> None:
    def send(item: str) -> bool:
        if item == "bad":
            raise error
        return True

    box = Box(send=send)
    for item in ("good", "bad", "bad", "good"):
        box.delivery.put(item)
    box.wait(4)
    assert (box.delivery.sent, box.delivery.unsent) == (2, 2)
    assert box.delivery.problem is not None
    assert "no room" in box.delivery.problem or box.delivery.problem == "KeyboardInterrupt"
    assert box.delivery.is_well


def test_what_need_not_be_sent_is_neither_sent_nor_unsent() -> None:
    box = Box(send=lambda _: False)
    box.delivery.put("x")
    box.wait()
    assert (box.delivery.sent, box.delivery.unsent, box.delivery.pending) == (0, 0, 0)


def test_a_sink_that_hangs_is_left_and_the_next_record_goes_out() -> None:
    box = Box(limit=30.0)
    box.delivery.put("hangs")
    box.delivery.put("next")
    assert box.entered.acquire(timeout=LIMIT)
    box.now = 29.0
    box.delivery.look()
    assert box.delivery.unsent == 0
    box.now = 30.0
    box.delivery.look()
    assert (box.delivery.unsent, box.delivery.problem) == (1, "not done within 30 s")
    assert box.entered.acquire(timeout=LIMIT)  # another thread has taken the next one
    box.gate.release(2)
    for thread in threading.enumerate():
        if thread.name == "weft-note-box":
            thread.join(LIMIT)
    assert sorted(box.sent) == ["hangs", "next"]
    assert (box.delivery.sent, box.delivery.unsent) == (1, 1)  # what the late one came to does not count


def test_what_is_given_up_counts_as_unsent_and_nothing_of_it_is_begun() -> None:
    box = Box()
    for item in "abc":
        box.delivery.put(item)
    assert box.entered.acquire(timeout=LIMIT)
    box.delivery.give_up("the run is over")
    assert (box.delivery.unsent, box.delivery.problem, box.delivery.pending) == (3, "the run is over", 0)
    box.gate.release()
    assert not box.entered.acquire(timeout=0.05)


def test_a_sink_that_is_hopelessly_behind_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "WAITING_LIMIT", 2)
    box = Box()
    box.delivery.put("a")
    assert box.entered.acquire(timeout=LIMIT)
    for item in "bcd":
        box.delivery.put(item)
    assert (box.delivery.unsent, box.delivery.problem) == (1, "2 records wait for it already")
    box.gate.release(3)
    box.wait(3)
    assert box.sent == ["a", "b", "c"]


def test_the_thread_goes_when_there_is_nothing_to_do() -> None:
    box = Box(send=lambda _: True)
    for _ in range(3):
        box.delivery.put("x")
        box.wait()
    for thread in threading.enumerate():
        if thread.name == "weft-note-box":
            thread.join(LIMIT)
    assert not [thread for thread in threading.enumerate() if thread.name == "weft-note-box"]


def test_when_no_thread_is_to_be_had_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(send=lambda _: True)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        box.delivery.put("x")
    assert (box.delivery.pending, box.delivery.is_well, box.delivery.problem) == (1, False, "can't start new thread")
    box.delivery.look()
    box.wait()
    assert (box.delivery.sent, box.delivery.is_well) == (1, True)
