"""One Python worker, seen from the engine: what it was sent, what it says, how far it is."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from weft.executors.callees import Callee, travelling
from weft.executors.line import Line
from weft.executors.opened import UnfitArgumentsError
from weft.executors.supervisor.receipts import read_frames
from weft.executors.worker.cell import CLAIM, NONCE, REVOKED, RUNNING, SETTLE_SECONDS, STARTED, WALL, WRITTEN, Cell
from weft.executors.worker.outputs import EMPTY, ENDINGS
from weft.executors.worker.talk import packed
from weft.ports import Order

NEVER = (1 << 64) - 1
CONDEMN_SECONDS = 1.0

Region = tuple[str, int, int]


class Sent:
    """A call that a worker was sent. number: its place among that worker's calls. callee: None if an earlier engine sent it."""

    __slots__ = ("callee", "nonce", "number", "order")

    def __init__(self, order: Order, callee: Callee | None):
        self.order = order
        self.nonce = order.nonce
        self.callee = callee
        self.number = 0


class Worker:
    """queue: sent and not known to have ended, oldest first. lane: that it has calls of, None when it is idle.

    key: who fits it; None takes nothing. revoked_at: monotonic, since when calls are being taken back, None when they are not.
    stops: how calls are to be ended, by nonce, once that is settled. is_ending: the supervisor was asked to end it.
    """

    def __init__(self, nonce: int, name: str, key: tuple[Any, ...] | None, run_folder: str, cell: Cell, line: Line):
        self.nonce = nonce
        self.name = name
        self.key = key
        self.cell = cell
        self.line = line
        self.queue: deque[Sent] = deque()
        self.names = (f"slots/{name}.out", f"slots/{name}.err")
        self.lane: int | None = None
        self.revoked_at: float | None = None
        self.stops: dict[int, tuple[str, str]] = {}
        self.is_ending = False
        self.begun = 0  # number of the last call whose beginning was told
        self.timeout: float | None = None  # the shortest that the supervisor was told of
        self.damages: list[str] = []
        self.offset = 0
        self._path = f"{run_folder}/receipts/{name}.log"
        self._file = -1
        self._sent = 0
        self._callees: set[int] = set()
        self._definitions: list[tuple[Any, ...]] = []
        self._calls: list[list[Any]] = []

    # --- calls in ------------------------------------------------------------------------------------------------------

    def take(self, call: Sent, wire: list[Any]) -> None:
        """Send a call with the next `flush`. wire: all of it but its number."""
        self._sent += 1
        call.number = wire[0] = self._sent
        self.queue.append(call)
        self._calls.append(wire)
        callee = call.callee
        assert callee is not None
        if callee.number not in self._callees:
            self._callees.add(callee.number)
            self._definitions.append(callee.definition)

    def flush(self) -> list[tuple[int, str]]:
        """Send what was taken; (nonce, why) of calls that cannot travel. The rest goes out by `push` when it can."""
        if not self._calls:
            return []
        refused: list[tuple[int, str]] = []
        try:
            frame = packed(("calls", self._definitions, self._calls))
        except ValueError:
            calls = []
            for call in self._calls:
                try:
                    calls.append(travelling(call))
                except UnfitArgumentsError as problem:
                    refused.append((call[1], str(problem)))
            frame = packed(("calls", self._definitions, calls))
            unsent = {nonce for nonce, _ in refused}
            self.queue = deque(call for call in self.queue if call.nonce not in unsent)
        self._definitions, self._calls = [], []
        self.line.send(frame)
        return refused

    # --- what it says --------------------------------------------------------------------------------------------------

    def read(self) -> list[list[Any]]:
        """New facts of its receipts."""
        written: int = self.cell.numbers[WRITTEN]
        if written <= self.offset:
            return []
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        data = os.pread(self._file, written - self.offset, self.offset)
        frames = read_frames(data, self.offset)
        self.damages += frames.damages
        self.offset += frames.end
        return [fact for _, fact in frames.facts]

    # --- how far it is -------------------------------------------------------------------------------------------------

    def running(self) -> Sent | None:
        """The call that has begun, if its end is not read yet. After `read`."""
        if self.queue and self.queue[0].number <= self.cell.numbers[RUNNING]:
            return self.queue[0]
        return None

    def started(self) -> tuple[float, float]:
        """(monotonic, wall) begin of the call that runs."""
        return self.cell.times[STARTED], self.cell.times[WALL]

    def revoke(self) -> None:
        """Take back every call that has not begun; `recalled` tells which, a moment later."""
        numbers = self.cell.numbers
        numbers[REVOKED] = max(numbers[REVOKED], self._sent)
        self.revoked_at = time.monotonic()

    def condemn(self) -> None:
        """Let nothing begin any more, for good; what runs goes on. Returns when that is settled, which takes a moment."""
        numbers = self.cell.numbers
        numbers[REVOKED] = NEVER
        limit = time.monotonic() + CONDEMN_SECONDS
        time.sleep(2 * SETTLE_SECONDS)
        while numbers[CLAIM] != numbers[RUNNING] and time.monotonic() < limit:
            time.sleep(SETTLE_SECONDS)  # it is between two instructions, unless it has died there

    def recalled(self) -> list[Sent] | None:
        """The calls that are taken back, none of which will ever begin here; None while that is not settled."""
        numbers = self.cell.numbers
        if self.revoked_at is None or time.monotonic() - self.revoked_at < SETTLE_SECONDS:
            return None
        if numbers[CLAIM] != numbers[RUNNING]:
            return None
        self.revoked_at = None
        return self.take_back()

    def take_back(self) -> list[Sent]:
        """The calls that have not begun; of a worker that is dead, or has been told not to."""
        last: int = self.cell.numbers[RUNNING]
        unbegun = [call for call in self.queue if call.number > last]
        while self.queue and self.queue[-1].number > last:
            self.queue.pop()
        return unbegun

    def nonce_in_flight(self) -> int | None:
        """Of the call that runs, by the cell alone; for a later engine."""
        return self.cell.numbers[NONCE] if self.cell.is_running() else None

    # --- its end -------------------------------------------------------------------------------------------------------

    def output(self, log_folder: str, nonce: int) -> tuple[Region, Region]:
        """What the call that ended with its worker has printed: the files that it printed to become its own."""
        regions: list[Region] = []
        for ending in ENDINGS:
            path = f"{log_folder}/slots/{self.name}.{ending}"
            name = f"{nonce:016x}.{ending}"
            try:
                size = os.stat(path).st_size
                if size:
                    os.rename(path, f"{log_folder}/{name}")
                else:
                    os.unlink(path)
            except OSError:
                size = 0
            regions.append((name, 0, size) if size else EMPTY)
        return regions[0], regions[1]

    def close(self) -> None:
        """Let go of it."""
        self.line.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.cell.close()
