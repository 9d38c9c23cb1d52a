"""Small parts of local execution: substitution, the wire, lanes of mixed kinds, names of ends."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from weft.executors.lanes import MixedLanes
from weft.executors.supervisor.attempts import cause_of, signal_name
from weft.executors.supervisor.queues import AheadQueues
from weft.executors.supervisor.signals import signal_file, take_signals
from weft.executors.supervisor.substitution import substitute
from weft.executors.supervisor.wire import BELL, answer, message, take_answers, take_messages


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$A", "1"),
        ("${A}x$B", "1x$A"),
        ("$$A", "$A"),
        ("$$$A", "$1"),
        ("$NONE ${NONE} ${A", "$NONE ${NONE} ${A"),
        ("$A_ $Ab $1 $", "$A_ $Ab $1 $"),
        ("é$A\n${A}", "é1\n1"),
    ],
)
def test_references_are_replaced_in_one_pass(text: str, result: str) -> None:
    assert substitute(text, {"A": "1", "B": "$A"}) == result


def test_messages_come_whole_however_they_are_cut() -> None:
    values = [{"a": 1}, {"b": "\udcff" * 10}, {}]
    data = b"".join(message(value) for value in values)
    for step in (1, 3, 7, len(data)):
        buffer, found = bytearray(), []
        for at in range(0, len(data), step):
            buffer += data[at : at + step]
            found += take_messages(buffer)
        assert found == values
        assert not buffer


def test_bells_and_answers_come_apart_however_they_are_cut() -> None:
    data = BELL * 3 + answer({"x": 1}) + BELL + answer({"y": 2})
    for step in (1, 2, len(data)):
        buffer, answers, rings = bytearray(), [], 0
        for at in range(0, len(data), step):
            buffer += data[at : at + step]
            rang, more = take_answers(buffer)
            rings += rang
            answers += more
        assert answers == [{"x": 1}, {"y": 2}]
        assert rings


def test_a_stranger_on_the_line_is_noticed() -> None:
    with pytest.raises(ValueError, match="no supervisor"):
        take_answers(bytearray(b"HTTP/1.1"))
    with pytest.raises(ValueError, match="too long"):
        take_messages(bytearray(b"\xff\xff\xff\xff{}"))


def test_signals_have_names() -> None:
    assert signal_name(9) == "KILL"
    assert signal_name(int(signal.SIGRTMIN)) == "RTMIN"
    assert signal_name(int(signal.SIGRTMIN) + 2) == "RTMIN+2"
    assert cause_of(9) == "signal:KILL"
    assert cause_of(11 | 0x80) == "signal:SEGV"
    assert cause_of(0) is None
    assert cause_of(255 << 8) == "exit:255"


def test_a_mixed_lane_starts_the_oldest_at_each_end() -> None:
    lanes = MixedLanes()
    lanes.mix(1, live=2, waiting=[10])
    assert not lanes.admit(1, 11, ahead=True)
    assert lanes.admit(1, 12, ahead=False)
    assert [end_of_one(lanes), end_of_one(lanes), end_of_one(lanes)] == [10, 11, None]


def end_of_one(lanes: MixedLanes) -> int | None:
    lanes.count_end(1)
    lanes.vacate(1)
    return lanes.next(1)


def test_calls_that_a_worker_gives_back_start_on_slots_that_were_vacant_meanwhile() -> None:
    lanes = MixedLanes()
    lanes.mix(1, live=0, waiting=[])
    assert [lanes.admit(1, nonce, ahead=nonce > 2) for nonce in (1, 2, 3, 4)] == [True, True, False, False]
    lanes.ride(1, 3)
    lanes.ride(1, 4)  # behind 1
    assert end_of_one(lanes) is None  # 2 has ended; its worker has nothing
    lanes.put_back(1, [3, 4])
    assert [lanes.next(1), lanes.next(1)] == [3, None]
    assert [end_of_one(lanes), end_of_one(lanes), end_of_one(lanes)] == [4, None, None]
    assert lanes.admit(1, 5, ahead=True)


def test_a_mixed_lane_never_waits_for_nobody() -> None:
    lanes = MixedLanes()
    lanes.mix(1, live=0, waiting=[])
    assert lanes.admit(1, 5, ahead=True)
    assert not lanes.admit(1, 6, ahead=True)
    assert lanes.withdraw(1, 6)
    assert not lanes.withdraw(1, 6)
    lanes.count_end(1)  # of 6
    assert end_of_one(lanes) is None
    assert lanes.admit(1, 7, ahead=True)


def test_an_end_the_engine_has_not_read_is_owed_to_an_ahead_order_on_its_way() -> None:
    queues = AheadQueues()
    queues.begin(1)
    queues.begin(1)
    queues.end(1, 7)
    assert queues.hand_on({10, 11, 12}) is None
    queues.forget(6)
    assert [queues.may_start(1), queues.may_start(1)] == [True, False]


def test_an_end_the_engine_has_read_is_owed_to_nobody() -> None:
    queues = AheadQueues()
    queues.begin(1)
    queues.begin(1)
    queues.end(1, 7)
    assert queues.hand_on({10, 11, 12}) is None
    queues.forget(7)
    assert not queues.may_start(1)


def test_an_end_passes_over_those_that_were_taken_back() -> None:
    queues = AheadQueues()
    queues.begin(1)
    for nonce in (10, 11, 12):
        queues.wait(1, nonce)
    queues.end(1, 3)
    assert queues.hand_on({11, 12}) == 11
    assert queues.hand_on({10, 11, 12}) is None


def test_one_end_starts_one_order_only() -> None:
    queues = AheadQueues()
    queues.begin(1)
    queues.end(1, 3)
    assert queues.hand_on({10, 11, 12}) is None
    queues.forget(0)
    assert queues.may_start(1)
    queues.begin(1)
    assert not queues.may_start(1)


def test_blocked_signals_are_read_from_a_file() -> None:
    found: list[object] = []

    def listen() -> None:  # signal masks belong to threads, so the others here lose nothing
        file = signal_file(signal.SIGUSR1, signal.SIGUSR2)
        found.append(list(take_signals(file)))
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            signal.pthread_kill(threading.get_ident(), number)
        found.append(select.select([file], [], [], 0)[0] == [file])
        found.append(sorted(take_signals(file)))
        os.close(file)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [[], True, sorted([signal.SIGUSR1, signal.SIGUSR2])]
