"""The two ends of a stream inside workers, over real item logs, with the engine played by the test."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from weft.executors.worker.streams import FIRST_CREDIT, Incoming, ItemTypeError, Outgoing, StreamError
from weft.values.encoding import parse, path_of
from weft.values.items import Item, ItemReader, ItemWriter

LIMIT_SECONDS = 20.0


class Told:
    """What an end has told; waits until it has told something."""

    def __init__(self) -> None:
        self.made: list[tuple[int, list[str], list[str], int]] = []
        self.positions: list[int] = []
        self._news = threading.Condition()

    def items(self, first: int, shown: list[str], digests: list[str], size: int) -> None:
        with self._news:
            self.made.append((first, shown, digests, size))
            self._news.notify_all()

    def position(self, position: int) -> None:
        with self._news:
            self.positions.append(position)
            self._news.notify_all()

    @property
    def count(self) -> int:
        return sum(len(shown) for _, shown, _, _ in self.made)

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(condition, LIMIT_SECONDS)


class Folders:
    """A products folder and a log beside it."""

    def __init__(self, path: Path):
        self.products = str(path / "products")
        (path / "products").mkdir()
        self.log = str(path / "1.items")
        self._opened = ExitStack()

    def outgoing(self, told: Told, **more: Any) -> Outgoing:
        outgoing = Outgoing(ItemWriter(self.log, self.products, is_durable=False), told.items, **more)
        self._opened.callback(outgoing.abandon)
        return outgoing

    def incoming(self, told: Told, items: int | None = None) -> Incoming:
        incoming = Incoming("rows", self.log, self.open, told.position, items)
        self._opened.callback(incoming.close)
        return incoming

    def open(self, path: str) -> ItemReader:
        reader = ItemReader(path, self.products)
        self._opened.callback(reader.close)
        return reader

    def close(self) -> None:
        self._opened.close()

    def write(self, *values: Any, name: str = "1.items") -> str:
        path = self.log.replace("1.items", name)
        writer = ItemWriter(path, self.products, is_durable=False)
        for value in values:
            writer.add(value)
        writer.abandon()
        return path


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Folders]:
    made = Folders(tmp_path)
    yield made
    made.close()


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start it; its result, or what it raised, is the list's one entry at the end."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def join(thread: threading.Thread) -> None:
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()


# --- handing on --------------------------------------------------------------------------------------------------------


def test_every_item_is_told_once_and_in_order_and_the_product_holds_all(folders: Folders) -> None:
    told = Told()
    outgoing = folders.outgoing(told, allowed=1 << 60)
    outgoing.add_all({"n": number} for number in range(3_000))
    product = outgoing.close()
    reference = parse(product)
    assert reference is not None
    assert list(folders.open(path_of(folders.products, reference))) == [{"n": number} for number in range(3_000)]
    following = 0
    for first, shown, digests, size in told.made:
        assert first == following
        assert len(shown) == len(digests)
        assert size > 0
        following += len(shown)
    assert following == 3_000


def test_an_item_is_readable_while_the_generator_still_computes_the_next(folders: Folders) -> None:
    told, door = Told(), threading.Event()
    outgoing = folders.outgoing(told)

    def rows() -> Iterator[int]:
        yield 1
        yield 2
        yield 3
        assert door.wait(LIMIT_SECONDS)

    thread, results = in_thread(lambda: outgoing.add_all(rows()))
    told.wait(lambda: told.count == 3)
    assert list(folders.open(folders.log)) == [1, 2, 3]
    door.set()
    join(thread)
    assert results == [None]


def test_a_generator_without_credit_makes_no_item_more(folders: Folders) -> None:
    told, made = Told(), []
    outgoing = folders.outgoing(told, allowed=5)

    def rows() -> Iterator[int]:
        for number in range(8):
            made.append(number)
            yield number

    thread, results = in_thread(lambda: outgoing.add_all(rows()))
    told.wait(lambda: told.count == 5)
    assert made == [0, 1, 2, 3, 4]
    outgoing.allow(6)
    told.wait(lambda: told.count == 6)
    assert made == [0, 1, 2, 3, 4, 5]
    outgoing.lose()
    join(thread)
    assert results == [None]
    assert len(made) == 8


def test_credit_that_was_taken_back_counts(folders: Folders) -> None:
    told = Told()
    outgoing = folders.outgoing(told, allowed=1 << 60)
    outgoing.add(0)
    outgoing.allow(1)
    thread, _ = in_thread(outgoing.wait_for_credit)
    outgoing.add(1)
    assert thread.is_alive()
    outgoing.allow(3)
    join(thread)


def test_an_item_of_another_type_is_named_by_its_index(folders: Folders) -> None:
    outgoing = folders.outgoing(Told(), check=lambda value: None if value < 2 else f"{value} is no small number")
    with pytest.raises(ItemTypeError, match="item 2: 2 is no small number"):
        outgoing.add_all(range(5))


def test_items_of_a_generator_that_fails_stay_readable(folders: Folders) -> None:
    told = Told()
    outgoing = folders.outgoing(told)

    def rows() -> Iterator[int]:
        yield from range(10)
        raise ValueError("no eleventh")

    with pytest.raises(ValueError, match="no eleventh"):
        outgoing.add_all(rows())
    outgoing.abandon()
    assert told.count == 10
    assert list(folders.open(folders.log)) == list(range(10))


def test_an_asynchronous_generator_hands_on_and_its_loop_runs_on_without_credit(folders: Folders) -> None:
    told = Told()
    outgoing = folders.outgoing(told, allowed=2)

    async def rows() -> AsyncIterator[int]:
        for number in range(4):
            yield number

    async def allow_more() -> None:
        while told.count < 2:
            await asyncio.sleep(0)
        outgoing.allow(FIRST_CREDIT)

    async def both() -> None:
        await asyncio.wait_for(asyncio.gather(outgoing.add_all_async(rows()), allow_more()), LIMIT_SECONDS)

    asyncio.run(both())
    outgoing.close()
    assert told.count == 4


def test_a_disk_that_takes_no_more_fails_the_generator(folders: Folders) -> None:
    class Full:
        def add(self, value: int) -> Item:
            return Item("00", str(value), 1)

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    outgoing = Outgoing(Full(), Told().items)
    with pytest.raises(OSError, match="No space left"):
        outgoing.add(1)


# --- taking ------------------------------------------------------------------------------------------------------------


def test_an_iterator_yields_what_is_announced_and_ends_with_its_maker(folders: Folders) -> None:
    folders.write("a", "b", "c")
    told = Told()
    incoming = folders.incoming(told)
    thread, results = in_thread(lambda: list(incoming))
    incoming.announce(2, "open")
    told.wait(lambda: told.positions[-1:] == [2])
    incoming.announce(3, "open")
    told.wait(lambda: told.positions[-1:] == [3])
    assert thread.is_alive()
    incoming.announce(3, "complete")
    join(thread)
    assert results == [["a", "b", "c"]]


def test_an_iterator_that_has_nothing_to_take_is_not_opened(folders: Folders) -> None:
    incoming = folders.incoming(Told())
    incoming.announce(0, "complete")
    assert list(incoming) == []


def test_a_complete_stream_needs_no_engine(folders: Folders) -> None:
    folders.write(*range(250))
    assert list(folders.incoming(Told(), 250)) == list(range(250))


def test_an_iterator_over_a_maker_that_failed_yields_what_was_made_and_then_raises(folders: Folders) -> None:
    folders.write("a", "b")
    incoming = folders.incoming(Told())
    incoming.announce(2, "failed")
    assert [next(incoming), next(incoming)] == ["a", "b"]
    with pytest.raises(StreamError, match="stream 'rows' ends after 2 items: its maker failed"):
        next(incoming)
    assert incoming.has_raised
    assert not incoming.is_lost


def test_an_iterator_that_must_wait_for_an_engine_that_is_gone_raises(folders: Folders) -> None:
    folders.write("a")
    incoming = folders.incoming(Told())
    incoming.announce(1, "open")
    incoming.lose()
    assert next(incoming) == "a"
    with pytest.raises(StreamError, match="is gone") as caught:
        next(incoming)
    assert caught.value.is_lost
    assert incoming.is_lost


def test_a_complete_stream_outlives_the_engine(folders: Folders) -> None:
    folders.write("a")
    incoming = folders.incoming(Told())
    incoming.announce(1, "complete")
    incoming.lose()
    assert list(incoming) == ["a"]


def test_positions_are_told_in_batches(folders: Folders) -> None:
    folders.write(*range(1_000))
    told = Told()
    incoming = folders.incoming(told)
    incoming.announce(1_000, "open")
    for _ in range(1_000):
        next(incoming)
    assert len(told.positions) < 200
    assert told.positions == sorted(set(told.positions))


def test_the_last_position_is_told_when_the_call_ends(folders: Folders) -> None:
    folders.write(*range(10))
    told = Told()
    incoming = folders.incoming(told)
    incoming.announce(10, "open")
    for _ in range(7):
        next(incoming)
    incoming.close()
    assert told.positions[-1] == 7


def test_an_iterator_goes_on_in_the_log_of_a_second_attempt(folders: Folders) -> None:
    folders.write("a", "b")
    again = folders.write("a", "b", "c", name="2.items")
    incoming = folders.incoming(Told())
    incoming.announce(2, "open")
    assert [next(incoming), next(incoming)] == ["a", "b"]
    incoming.announce(3, "complete", again)
    assert list(incoming) == ["c"]
    incoming.close()


def test_items_arrive_one_by_one_in_an_asynchronous_consumer(folders: Folders) -> None:
    folders.write("a", "b")
    told = Told()
    incoming = folders.incoming(told)

    async def consume() -> list[Any]:
        return [item async for item in incoming]

    thread, results = in_thread(lambda: asyncio.run(consume()))
    incoming.announce(1, "open")
    told.wait(lambda: told.positions[-1:] == [1])
    incoming.announce(2, "complete")
    join(thread)
    assert results == [["a", "b"]]


def test_two_threads_that_share_an_iterator_take_every_item_once(folders: Folders) -> None:
    folders.write(*range(2_000))
    incoming = folders.incoming(Told(), 2_000)
    pairs = [in_thread(lambda: list(incoming)) for _ in range(2)]
    for thread, _ in pairs:
        join(thread)
    assert sorted(pairs[0][1][0] + pairs[1][1][0]) == list(range(2_000))


def test_a_stream_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(StreamError("ends", is_lost=True)))
    assert (str(error), error.is_lost) == ("ends", True)
