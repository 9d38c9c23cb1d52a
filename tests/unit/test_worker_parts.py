"""Parts of Python workers, looked at one by one: receipts in mapped memory, calls that travel, checks, what is put back."""

from __future__ import annotations

import enum
import os
import select
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from weft.executors.callees import Callees, arguments_of, python_variables, travelling
from weft.executors.doorstep import Doorstep
from weft.executors.line import Line
from weft.executors.opened import UnfitArgumentsError
from weft.executors.pulse import Pulse
from weft.executors.supervisor.calls import Refused
from weft.executors.supervisor.receipts import ReceiptReader, read_frames
from weft.executors.worker.cell import CLAIM, ENDED, NONCE, REVOKED, RUNNING, SETTLE_SECONDS, WRITTEN, Cell
from weft.executors.worker.checks import Check, WrongType
from weft.executors.worker.measuring import Measuring
from weft.executors.worker.receipts import CHUNK, MappedReceipts
from weft.executors.worker.talk import packed, take_frames
from weft.executors.workers import Sent, Worker
from weft.ports import Flow, Function, Handed, HandedItem, HandedList, Order
from weft.runtime.checks import checks_of
from weft.scheduling.keys import AttemptKey
from weft.spec.options import Opaque
from weft.spec.products import Product
from weft.spec.types import Type

RUN = "ab" * 16


def cell_at(folder: Path, name: str = "worker-1") -> Cell:
    (folder / "workers").mkdir(exist_ok=True)
    return Cell(str(folder / "workers" / f"{name}.cell"), is_new=True)


def order_of(number: int, **fields: Any) -> Order:
    launch = fields.pop("launch", Function("m:f", None, {}))
    return Order(AttemptKey(number, -1, 1), 100 + number, "token", f"call {number}", launch, "/", **fields)


# --- receipts ------------------------------------------------------------------------------------------------------------


def test_receipts_in_mapped_memory_are_read_like_any_others_also_while_they_grow(tmp_path: Path) -> None:
    cell = cell_at(tmp_path)
    path = tmp_path / "worker-1.log"
    receipts = MappedReceipts(str(path), {"run": RUN, "worker": 7}, cell)
    reader = ReceiptReader(str(path), RUN)
    assert (reader.refusal, reader.header["worker"]) == (None, 7)
    receipts.add_fact(["ended", 1, None])
    receipts.add('["done",2]')
    facts, damages = reader.read()
    assert ([fact[:2] for _, fact in facts[1:]], damages) == ([["ended", 1], ["done", 2]], [])
    receipts.add_fact(["ended", 3, None])
    assert [fact[1] for _, fact in reader.read()[0]] == [3]
    assert path.stat().st_size == CHUNK
    receipts.close()
    assert path.stat().st_size == cell.numbers[WRITTEN]
    assert reader.read() == ([], [])
    reader.close()
    cell.close()


def test_receipts_grow_beyond_what_was_reserved(tmp_path: Path) -> None:
    cell = cell_at(tmp_path)
    path = tmp_path / "worker-1.log"
    receipts = MappedReceipts(str(path), {"run": RUN}, cell)
    for number in range(5):
        receipts.add_fact(["ended", number, "x" * (CHUNK // 2)])
    receipts.close()
    found = read_frames(path.read_bytes())
    assert [fact[1] for _, fact in found.facts[1:]] == [0, 1, 2, 3, 4]
    assert found.damages == []
    cell.close()


def test_a_receipts_file_of_a_worker_that_was_killed_has_no_damage_but_unused_room(tmp_path: Path) -> None:
    cell = cell_at(tmp_path)
    path = tmp_path / "worker-1.log"
    receipts = MappedReceipts(str(path), {"run": RUN}, cell)
    receipts.add_fact(["ended", 1, None])
    data = path.read_bytes()
    assert read_frames(data).damages == []
    torn = bytearray(data)
    torn[cell.numbers[WRITTEN] : cell.numbers[WRITTEN] + 3] = b"\xf7wr"
    assert [fact[0] for _, fact in read_frames(bytes(torn)).facts] == ["file", "ended"]
    receipts.close()
    cell.close()


# --- taking back ---------------------------------------------------------------------------------------------------------


def worker_with(tmp_path: Path, calls: int) -> tuple[Worker, Cell]:
    """A worker that was sent calls, and its own view of the cell."""
    worker = Worker(1, "worker-1", (), str(tmp_path), cell_at(tmp_path), Line(select.epoll()))
    callees = Callees()
    for number in range(calls):
        order = order_of(number)
        worker.take(Sent(order, callees.of(order)), [0, order.nonce])
    assert worker.flush() == []
    return worker, Cell(str(tmp_path / "workers" / "worker-1.cell"))


def settle(worker: Worker) -> list[Sent] | None:
    assert worker.revoked_at is not None
    worker.revoked_at -= 2 * SETTLE_SECONDS
    return worker.recalled()


def test_what_has_not_begun_is_taken_back_and_what_has_stays(tmp_path: Path) -> None:
    worker, inside = worker_with(tmp_path, 4)
    inside.numbers[CLAIM] = inside.numbers[RUNNING] = 2
    inside.numbers[ENDED], inside.numbers[NONCE] = 1, 101
    worker.revoke()
    assert inside.numbers[REVOKED] == 4
    assert worker.recalled() is None  # too soon
    assert [call.number for call in settle(worker) or ()] == [3, 4]
    assert [call.number for call in worker.queue] == [1, 2]
    assert worker.nonce_in_flight() == 101
    for view in (worker.cell, inside):
        view.close()


def test_nothing_is_decided_while_a_call_is_about_to_begin(tmp_path: Path) -> None:
    worker, inside = worker_with(tmp_path, 2)
    inside.numbers[CLAIM] = 1
    worker.revoke()
    assert settle(worker) is None
    inside.numbers[CLAIM] = 0  # it saw that it may not
    assert [call.number for call in worker.recalled() or ()] == [1, 2]
    for view in (worker.cell, inside):
        view.close()


def test_a_worker_that_a_later_engine_condemns_begins_nothing_more(tmp_path: Path) -> None:
    worker, inside = worker_with(tmp_path, 2)
    worker.condemn()
    worker.revoke()
    assert inside.numbers[REVOKED] == (1 << 64) - 1
    for view in (worker.cell, inside):
        view.close()


# --- calls as they travel ------------------------------------------------------------------------------------------------


def test_arguments_are_sorted_into_plain_and_special_ones() -> None:
    plain, special = arguments_of(
        {
            "a": [1],
            "b": Handed("2"),
            "c": HandedItem("log", 3),
            "d": HandedList(("1",)),
            "e": Flow(9, "path", "e"),
            "f": Opaque("pickle", "digest"),
        }
    )
    assert plain == {"a": [1]}
    assert special == {
        "b": ("handed", "2"),
        "c": ("item", "log", 3),
        "d": ("list", ["1"]),
        "e": ("flow", 9, "path", "e"),
        "f": ("opaque", "pickle"),
    }
    assert arguments_of({"a": 1}).special is None


def test_two_calls_of_a_frame_never_share_a_list() -> None:
    shared = [1]
    (frame,) = take_frames(bytearray(packed([{"x": shared}, {"x": shared}])))
    frame[0]["x"].append(2)
    assert frame[1]["x"] == [1]


def test_frames_may_come_in_pieces() -> None:
    data = packed("one") + packed(2)
    buffer = bytearray()
    found = []
    for byte in data:
        buffer.append(byte)
        found += take_frames(buffer)
    assert (found, buffer) == (["one", 2], bytearray())


class Colour(enum.StrEnum):
    RED = "red"


def test_subclasses_of_plain_types_travel_as_plain_ones_and_others_not_at_all() -> None:
    assert travelling([1, {"x": Colour.RED}]) == [1, {"x": "red"}]
    with pytest.raises(UnfitArgumentsError):
        travelling([object()])


def test_a_call_that_cannot_travel_leaves_the_others_of_its_frame_alone(tmp_path: Path) -> None:
    worker = Worker(1, "worker-1", (), str(tmp_path), cell_at(tmp_path), Line(select.epoll()))
    callees = Callees()
    for number, value in enumerate((1, object(), 3)):
        order = order_of(number)
        worker.take(Sent(order, callees.of(order)), [0, order.nonce, value])
    ((nonce, problem),) = worker.flush()
    assert nonce == 101
    assert "object" in problem
    assert [call.nonce for call in worker.queue] == [100, 102]
    worker.cell.close()


def test_what_calls_share_is_one_definition() -> None:
    callees = Callees()
    first, again = callees.of(order_of(1)), callees.of(order_of(2))
    other = callees.of(order_of(3, keeps="items"))
    assert first is again
    assert (first.number, other.number) == (1, 2)


def test_expectations_follow_the_latest_calls_and_leap_to_long_ones() -> None:
    callee = Callees().of(order_of(1))
    assert callee.seconds < 0
    callee.learn(1.0)
    callee.learn(2.0)
    assert callee.seconds == pytest.approx(1.3)
    callee.learn(100.0)
    assert callee.seconds == 100.0


def test_threads_of_libraries_follow_the_cores_unless_somebody_has_said_otherwise() -> None:
    found = python_variables(order_of(1, cores=3, environment={"OMP_NUM_THREADS": "9"}), {"MKL_NUM_THREADS": "8"})
    assert found == {"OPENBLAS_NUM_THREADS": "3", "NUMEXPR_NUM_THREADS": "3", "PYTHONHASHSEED": "0"}


# --- checks --------------------------------------------------------------------------------------------------------------


def no_predicate(*_: Any) -> Any:
    raise AssertionError


def test_a_type_travels_with_all_that_it_stands_on() -> None:
    types = {
        "small": Type("small", parent="int", maximum=9),
        "smalls": Type("smalls", parent="list", items="small"),
        "other": Type("other"),
    }
    text = checks_of(Product("return", "smalls"), types)
    check = Check(text, no_predicate)
    check([1, 2])
    with pytest.raises(WrongType, match="item 1: 10 is above the maximum"):
        check([1, 10])
    with pytest.raises(WrongType, match="is no list"):
        check(3)
    assert "other" not in text
    assert checks_of(Product("return", "any"), types) == ""
    assert checks_of(Product("stdout", "int"), types) == ""
    assert Check(checks_of(Product("return", "any", stream=True), types), no_predicate).is_each


def test_the_parents_predicate_is_asked_first() -> None:
    asked: list[str] = []

    def find(name: str, _: list[str]) -> Any:
        return lambda value: asked.append(name) or value != name

    types = {
        "a": Type("a", parent="int", predicate="m:a"),
        "b": Type("b", parent="a", predicate="m:b"),
    }
    check = Check(checks_of(Product("return", "b"), types), find)
    check(1)
    assert asked == ["m:a", "m:b"]


def test_a_predicate_that_cannot_be_found_is_no_wrong_value() -> None:
    def find(*_: Any) -> Any:
        raise Refused("not_found", "no such predicate")

    check = Check(checks_of(Product("return", "a"), {"a": Type("a", predicate="m:a")}), find)
    with pytest.raises(Refused):
        check(1)


# --- odds and ends -------------------------------------------------------------------------------------------------------


def test_processor_time_of_a_call_is_its_own() -> None:
    measuring = Measuring()
    sum(range(200_000))
    spent, memory = measuring.end(1.0, 0.01)
    nothing, _ = measuring.end(1.0, 0.000001)
    assert spent > nothing >= 0
    assert memory > 1 << 20


def test_the_doorstep_lets_in_who_says_a_word_and_turns_nonsense_away(tmp_path: Path) -> None:
    bell = select.epoll()
    step = Doorstep(str(tmp_path), "door.sock", bell, take_frames)
    step.open()
    step.open()
    friend, stranger = (socket.socket(socket.AF_UNIX) for _ in range(2))
    for connection in (friend, stranger):
        connection.connect(str(tmp_path / "door.sock"))
    friend.sendall(packed(("worker", 1)))
    stranger.sendall(b"\xff" * 8192)
    assert bell.poll(10)
    ((word, connection),) = step.arrivals()
    assert word == ("worker", 1)
    step.arrivals()
    step.dismiss(connection)
    assert (tmp_path / "door.sock").stat().st_mode & 0o777 == 0o600
    step.close()
    assert not (tmp_path / "door.sock").exists()
    friend.close()
    stranger.close()
    bell.close()


def test_a_pulse_rings_once_for_each_wish_and_ends_with_its_owner() -> None:
    rung = threading.Semaphore(0)
    pulse = Pulse(rung.release)
    pulse.want(0.0)
    assert rung.acquire(timeout=10)
    pulse.want(3600.0)
    pulse.want(0.0)
    assert rung.acquire(timeout=10)
    pulse.close()
    assert not rung.acquire(blocking=False)
    assert not [thread for thread in threading.enumerate() if thread.name == "weft-pulse"]


def test_a_cell_is_for_nobody_elses_eyes_and_never_taken_over(tmp_path: Path) -> None:
    cell = cell_at(tmp_path)
    with pytest.raises(FileExistsError):
        cell_at(tmp_path)
    link = tmp_path / "link"
    os.symlink(tmp_path / "workers" / "worker-1.cell", link)
    with pytest.raises(OSError, match="link"):
        Cell(str(link))
    cell.close()
