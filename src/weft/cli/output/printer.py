"""Prints from a thread of its own, so that a slow or closed reader never holds up a run.

What is put is written in order, in batches: at once when nothing was written lately, else after BATCH_SECONDS. Output of tasks
is put as a reference to the log and read when its turn comes, in pieces, so 10 GB of output cost no memory. A reader that
went away (`| head`) ends the printing and nothing else.
"""

from __future__ import annotations

import codecs
import errno
import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from weft.cli.output.terminal import harmless
from weft.scheduling.outcomes import LogRegion
from weft.store.logs import LogGoneError

BATCH_SECONDS: Final = 0.04  # at most 25 writes a second, below what an eye takes for a delay
PIECE_BYTES: Final = 256 * 1024  # of a log that is held at once
WAITING_LIMIT: Final = 200_000  # items; beyond this the run waits for the reader rather than fill the memory

STDOUT: Final = 1
STDERR: Final = 2


class ReadLog(Protocol):
    """Reads a piece of a log: `LogReader.read`."""

    def __call__(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes: ...


Action = Callable[["Printer"], None]
"""Work that the printer's thread does when its turn comes; it writes with `write` and `write_error`."""

Tick = Callable[["Printer"], float]
"""Work that comes again: gives the seconds after which it wants to be called at the latest."""


class Sink:
    """A descriptor that is written until its reader goes away."""

    __slots__ = ("descriptor", "failure", "is_open")

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.is_open = True
        self.failure: OSError | None = None

    def write(self, data: bytes) -> None:
        """Write all of it, waiting for the reader; after a failure nothing is written any more."""
        view = memoryview(data)
        while view and self.is_open:
            try:
                view = view[os.write(self.descriptor, view) :]
            except BlockingIOError:
                select.select([], [self.descriptor], [])
            except OSError as error:
                self.is_open = False
                if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal hung up
                    self.failure = error


class Printer:
    """Takes text and log regions from a run and prints them.

    read: how logs are read. is_terminal: whether standard output obeys escapes, which are then made harmless.
    """

    def __init__(
        self,
        out: int = STDOUT,
        err: int = STDERR,
        *,
        read: ReadLog | None = None,
        is_terminal: bool = False,
    ):
        self._out = Sink(out)
        self._err = Sink(err)
        self.read = read
        self._is_terminal = is_terminal
        self._tick: Tick | None = None
        self._crash: Exception | None = None
        self._items: deque[str | tuple[str] | Action] = deque()
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._is_awake = False
        self._has_room = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def out_descriptor(self) -> int:
        """Where standard output goes."""
        return self._out.descriptor

    # --- the run's side ------------------------------------------------------------------------------------------------

    def put(self, text: str) -> None:
        """Print text on standard output."""
        self._add(text)

    def warn(self, text: str) -> None:
        """Print text on standard error, in order with the rest."""
        self._add((text,))

    def call(self, action: Action) -> None:
        """Let the thread do something when its turn comes."""
        self._add(action)

    def copy(self, region: LogRegion) -> None:
        """Print the bytes of a log as one block that ends with a line break; invalid UTF-8 is shown with replacement."""
        if region.length:
            self._add(lambda printer: printer.write_region(region))

    def keep_calling(self, tick: Tick) -> None:
        """Call `tick` on the thread: now, after each batch, and after as many seconds as it says."""
        self._tick = tick
        self._add(lambda _: None)

    def flush(self) -> None:
        """Wait until everything that was put is written."""
        if self._thread is None:
            return
        done = threading.Event()
        self._add(lambda _: done.set())
        while not done.wait(0.5):
            if not self._thread.is_alive():
                return

    def close(self) -> None:
        """Write what is left and end the thread; safe to call twice."""
        thread = self._thread
        if thread is None:
            return
        self._closing.set()
        self._bell.set()
        thread.join()
        self._thread = None
        self._is_awake = False
        if self._out.failure is not None:
            reason = self._out.failure.strerror or str(self._out.failure)
            self.write_error(f"weft: standard output cannot be written: {reason}; the run itself is not affected\n")
            self._out.failure = None
        if self._crash is not None:
            self._tell_crash(self._crash)
            self._crash = None

    def _tell_crash(self, error: Exception) -> None:
        if os.environ.get("WEFT_DEBUG") == "1":
            import traceback

            self.write_error("".join(traceback.format_exception(error)))
        self.write_error(
            f"weft: the output broke off by a bug in weft ({type(error).__name__}: {error}); the run itself is not affected. "
            "Please report it; WEFT_DEBUG=1 shows the traceback, weft status the run\n"
        )

    def _add(self, item: str | tuple[str] | Action) -> None:
        items = self._items
        items.append(item)
        if not self._is_awake:
            self._is_awake = True
            if self._thread is None:
                self._start()
            self._bell.set()
        elif len(items) > WAITING_LIMIT:
            self._has_room.clear()
            while len(items) > WAITING_LIMIT and self._thread is not None and self._thread.is_alive():
                self._has_room.wait(0.1)

    def _start(self) -> None:
        self._closing.clear()
        self._thread = threading.Thread(target=self._work, name="weft-printer", daemon=True)
        self._thread.start()

    # --- the thread's side ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        # Signals are the engine's: it waits in a system call that only its own thread's signals wake.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._print_all()
        except Exception as error:  # noqa: BLE001 - a bug in a view may cost the view, never the run; `close` tells it
            self._crash = error

    def _print_all(self) -> None:
        pause: float | None = None
        while True:
            self._bell.wait(pause)
            is_last = self._closing.is_set()
            self._bell.clear()
            self._is_awake = False  # before the drain: what is put from here on rings again
            self._drain()
            if self._tick is not None:
                pause = self._tick(self)
            if is_last and not self._items:
                return
            self._closing.wait(BATCH_SECONDS)

    def _drain(self) -> None:
        items = self._items
        batch: list[str] = []
        while items:
            item = items.popleft()
            if isinstance(item, str):
                batch.append(item)
                if len(batch) >= 4096:
                    self._write_batch(batch)
                continue
            self._write_batch(batch)
            if isinstance(item, tuple):
                self.write_error(item[0])
            else:
                item(self)
        self._write_batch(batch)
        self._has_room.set()

    def _write_batch(self, batch: list[str]) -> None:
        if batch:
            self.write("".join(batch))
            batch.clear()

    def write(self, text: str) -> None:
        """Thread only: text to standard output."""
        self._out.write(text.encode("utf-8", "backslashreplace"))

    def write_error(self, text: str) -> None:
        """Thread only: text to standard error."""
        self._err.write(text.encode("utf-8", "backslashreplace"))

    def write_region(self, region: LogRegion) -> None:
        """Thread only: a block of output."""
        if self.read is None or not self._out.is_open:
            return
        decoder: codecs.IncrementalDecoder | None = None
        offset = 0
        last = "\n"
        while offset < region.length and self._out.is_open:
            try:
                piece = self.read(region, offset, min(PIECE_BYTES, region.length - offset))
            except (LogGoneError, OSError) as error:
                self.write_error(f"weft: output cannot be shown: {error}\n")
                return
            if not piece:
                self.write_error("weft: output cannot be shown: its log is shorter than it was\n")
                break
            offset += len(piece)
            is_end = offset >= region.length
            if decoder is None:
                decoder = codecs.getincrementaldecoder("utf-8")("replace")
            text = decoder.decode(piece, is_end)
            if text:
                self.write(harmless(text) if self._is_terminal else text)
                last = text[-1]
        if last != "\n":
            self.write("\n")
