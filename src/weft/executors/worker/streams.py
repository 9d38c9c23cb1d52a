"""The two ends of a stream inside a worker: what a generator hands on, and the iterator that takes it. Python 3.8 or later.

The items themselves go through a file, the item log of the maker's attempt; the engine only passes on how many there are.
So nothing is lost when a consumer is slow, starts late or is tried again, and a product that has been consumed while it was
made is, complete, a product like any other.

An item is written and told at once when the last flush is `FLUSH_SECONDS` ago; else it waits for the next one, for at most
so long: a thread of its own sees to that while the generator computes the next item. Neither end polls: a generator without
credit and an iterator without items sleep until the engine speaks. When the engine is gone, generators go on (their log is
complete when `weft resume` looks for it) and iterators that would have to wait end, to be tried again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what is subscripted here cannot be at run time in Python 3.8
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    TellMade = Callable[[int, list[str], list[str], int], None]
    TellTaken = Callable[[int], None]
    OpenLog = Callable[[str], Any]
    Check = Callable[[Any], str | None]

FLUSH_SECONDS = 0.002
FLUSH_BYTES = 32 << 10
TAKEN_ITEMS = 100  # a consumer tells its position after so many items
TAKEN_SECONDS = 0.05  # or after this time
FIRST_CREDIT = 1000  # items that a generator may make before it has heard from the engine
UNLIMITED = 1 << 62

OPEN, COMPLETE, FAILED, LOST = "open", "complete", "failed", "lost"


class StreamError(RuntimeError):
    """A stream ends early: the task that makes it has failed. is_lost: it was only the engine that went away."""

    def __init__(self, message: str, is_lost: bool = False):
        super().__init__(message)
        self.is_lost = is_lost

    def __reduce__(self) -> tuple[Any, ...]:
        return (StreamError, (self.args[0], self.is_lost))


class ItemTypeError(TypeError):
    """An item is not of the type that its stream declares."""


class Outgoing:
    """Hands on items: each is encoded, appended to the log, and told; without credit the next one waits.

    writer: an ItemWriter. tell: gets (index of the first, shown texts, digests, bytes) of items that can be read from now on.
    check: why a value is not of the type of the items, None when it is.
    """

    def __init__(self, writer: Any, tell: TellMade, check: Check | None = None, allowed: int = FIRST_CREDIT):
        self._writer = writer
        self._tell = tell
        self._check = check
        self._allowed = allowed
        self._lock = threading.Lock()
        self._credit = threading.Condition(self._lock)
        self._late = threading.Condition(self._lock)
        self._count = 0
        self._shown: list[str] = []
        self._digests: list[str] = []
        self._bytes = 0
        self._flushed = 0.0
        self._is_late = False
        self._is_closed = False
        self._problem: BaseException | None = None
        self._flusher: threading.Thread | None = None

    # --- the generator's side ------------------------------------------------------------------------------------------

    def add_all(self, values: Iterable[Any]) -> None:
        """Every item of an iterable. Raises what the iterable raises, ItemTypeError, OSError."""
        for value in values:
            self.add(value)
            if self._count >= self._allowed:
                self.wait_for_credit()

    async def add_all_async(self, values: AsyncIterable[Any]) -> None:
        """Likewise; without credit the loop stays free for what else it runs."""
        import asyncio

        loop = asyncio.get_running_loop()
        async for value in values:
            self.add(value)
            if self._count >= self._allowed:
                await loop.run_in_executor(None, self.wait_for_credit)

    def add(self, value: Any) -> None:
        """One item; in the log, or about to be, when this returns."""
        if self._check is not None:
            problem = self._check(value)
            if problem is not None:
                raise ItemTypeError(f"item {self._count}: {problem}")
        with self._lock:
            if self._problem is not None:
                raise self._problem
            item = self._writer.add(value)
            self._shown.append(item.shown)
            self._digests.append(item.digest)
            self._bytes += item.size
            self._count += 1
            now = time.monotonic()
            if now - self._flushed >= FLUSH_SECONDS or self._bytes >= FLUSH_BYTES or self._count >= self._allowed:
                self._flush(now)
            elif not self._is_late:
                self._is_late = True
                self._call_flusher()

    def wait_for_credit(self) -> None:
        """Until the next item may be made."""
        with self._lock:
            while self._count >= self._allowed:
                self._credit.wait()

    def close(self) -> str:
        """All items are made: the text of the product."""
        with self._lock:
            self._is_closed = True
            self._late.notify()
            if self._problem is not None:
                raise self._problem
            self._flush(time.monotonic())
            text: str = self._writer.close()
        return text

    def abandon(self) -> None:
        """The generator has failed: what it handed on stays, and is all there will be."""
        with self._lock:
            self._is_closed = True
            self._late.notify()
            try:
                if self._problem is None:
                    self._flush(time.monotonic())
            finally:
                self._let_go()

    def _let_go(self) -> None:
        try:
            self._writer.abandon()
        except OSError as problem:  # what it could not write has no reader: the call has failed anyway
            self._problem = self._problem or problem

    # --- the engine's side ---------------------------------------------------------------------------------------------

    def allow(self, items: int) -> None:
        """So many items may be made in all. From the thread that hears the engine."""
        with self._lock:
            self._allowed = max(1, items)
            if self._count < self._allowed:
                self._credit.notify_all()

    def lose(self) -> None:
        """The engine is gone: nobody is there to be ahead of."""
        self.allow(UNLIMITED)

    # --- batches -------------------------------------------------------------------------------------------------------

    def _flush(self, now: float) -> None:
        self._flushed = now
        self._is_late = False
        if not self._shown:
            return
        self._writer.flush()
        shown, self._shown = self._shown, []
        digests, self._digests = self._digests, []
        size, self._bytes = self._bytes, 0
        self._tell(self._count - len(shown), shown, digests, size)

    def _call_flusher(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_late, name="weft-stream", daemon=True)
            self._flusher.start()
        self._late.notify()

    def _flush_late(self) -> None:
        with self._lock:
            while not self._is_closed:
                if not self._is_late:
                    self._late.wait()
                    continue
                left = self._flushed + FLUSH_SECONDS - time.monotonic()
                if left > 0:
                    self._late.wait(left)
                    continue
                try:
                    self._flush(time.monotonic())
                except OSError as problem:  # the disk is full, say: the generator hears of it at its next item
                    self._problem = problem
                    return


class Incoming:
    """The iterator over a stream that a task receives. Blocks until more items come, and ends with the maker.

    path: of the log, which may not be there yet. open_log: an ItemReader by path. tell: gets the position, now and then, and
    whenever the iterator has to wait. items: how many there are, of a stream that is complete; else the engine announces them.
    """

    def __init__(self, name: str, path: str, open_log: OpenLog, tell: TellTaken, items: int | None = None):
        self.name = name
        self.has_raised = False
        self.is_lost = False
        self._tell = tell
        self._open_log = open_log
        self._reader: Any = None
        self._at_hand = 0
        self._lock = threading.Lock()
        self._news = threading.Condition(threading.Lock())
        self._state = OPEN if items is None else COMPLETE
        self._known = items or 0
        self._path: str | None = path
        self._position = 0
        self._told = 0
        self._told_at = 0.0
        self._tell_at = TAKEN_ITEMS

    # --- the engine's side ---------------------------------------------------------------------------------------------

    def announce(self, items: int, state: str, path: str = "") -> None:
        """There are so many items by now. path: of the log that has them, when it is another. From the thread that hears."""
        with self._news:
            self._known = max(self._known, items)
            self._path = path or self._path
            self._state = state
            self._news.notify_all()

    def lose(self) -> None:
        """The engine is gone: what is known is all that can be had."""
        with self._news:
            if self._state == OPEN:
                self._state = LOST
                self._news.notify_all()

    # --- the consumer's side -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            position = self._position
            if position >= self._known and not self._wait(position):
                raise StopIteration
            if position >= self._at_hand or self._path is not None:
                self._look(position)
            value = self._reader.read(position)
            self._position = position = position + 1
            now = time.monotonic()
            if position >= self._tell_at or now - self._told_at >= TAKEN_SECONDS:
                self._tell_position(now)
        return value

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._position < self._known:
            return next(self)
        import asyncio

        found = await asyncio.get_running_loop().run_in_executor(None, self._next_or_none)
        if found is None:
            raise StopAsyncIteration
        return found[0]

    def _next_or_none(self) -> tuple[Any] | None:
        for value in self:
            return (value,)
        return None

    def __repr__(self) -> str:
        return f"<stream {self.name}: {self._position} items taken>"

    def _wait(self, position: int) -> bool:
        """Until there is an item at `position`; False at the end of the stream."""
        if self._state == OPEN and position != self._told:
            self._tell_position(time.monotonic())
        with self._news:
            while position >= self._known and self._state == OPEN:
                self._news.wait()
            if position < self._known:
                return True
            if self._state == COMPLETE:
                return False
            self.has_raised = True
            self.is_lost = self._state == LOST
        if self.is_lost:
            raise StreamError(f"stream {self.name!r}: the engine that runs its maker is gone", is_lost=True)
        raise StreamError(f"stream {self.name!r} ends after {position} items: its maker failed")

    def _look(self, position: int) -> None:
        """Have the item at `position` at hand, in the log that has it."""
        with self._news:
            path, self._path = self._path, None
        if path is not None:
            if self._reader is not None:
                self._reader.close()
            self._reader = self._open_log(path)
        self._at_hand = self._reader.count
        if position >= self._at_hand:
            self._at_hand = self._reader.refresh()

    def _tell_position(self, now: float) -> None:
        self._told = self._position
        self._told_at = now
        self._tell_at = self._position + TAKEN_ITEMS
        self._tell(self._position)

    def close(self) -> None:
        """The call is over: tell how far it came, let go of the log."""
        with self._lock:
            if self._told != self._position:
                self._tell_position(time.monotonic())
            if self._reader is not None:
                self._reader.close()
