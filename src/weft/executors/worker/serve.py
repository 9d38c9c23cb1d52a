"""A worker: makes the calls that the engine sends, one after the other, and writes down how each ended.

The order of things around a call is what makes a crash at any point readable: the cell says that it runs, then it runs, then
what it printed is put aside, then its receipt is written, then the cell says that it has ended.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import types
from collections import deque
from json.encoder import encode_basestring_ascii as quoted
from time import monotonic
from typing import Any

from weft.executors.supervisor.calls import Result
from weft.executors.supervisor.census import boot_id

from .cell import BORN, CLAIM, DUE, ENDED, NONCE, REVOKED, RUNNING, STARTED, WALL, Cell
from .functions import Functions
from .making import make
from .measuring import LONG_SECONDS, Measuring
from .outputs import EMPTY, Outputs
from .receipts import MappedReceipts
from .surroundings import Surroundings
from .talk import Talk, open_folder

RING_SECONDS = 0.005  # an outcome is told at the latest when the first call after this time has ended
LOOK_SECONDS = 0.002  # between looks whether the engine is still there
EXIT_SECONDS = 5.0  # that threads and exit handlers of the user's code get in the end


class Worker:
    """See the module's text. settings: run, run_folder, log_folder, name, nonce."""

    def __init__(self, settings: dict[str, Any]):
        run_folder, name = settings["run_folder"], settings["name"]
        self._pid = os.getpid()
        self._streams = f"{run_folder}/streams"
        self._cell = Cell(f"{run_folder}/workers/{name}.cell")
        header = {"run": settings["run"], "worker": settings["nonce"], "boot": boot_id(), "pid": self._pid}
        self._receipts = MappedReceipts(f"{run_folder}/receipts/{name}.log", header, self._cell)
        self._outputs = Outputs(settings["log_folder"], name)
        self._outputs.open()
        self._surroundings = Surroundings()
        self._functions = Functions(self._surroundings)
        self._measuring = Measuring()
        self._queue: deque[tuple[Any, ...]] = deque()
        self._low = 0  # as few calls left, and the engine is to know
        self._rung = self._looked = monotonic()
        self._is_over = False
        folder = open_folder(run_folder)
        self._cell.numbers[BORN] = 1
        self._talk = Talk(folder, ("worker", settings["nonce"]))
        os.close(folder)

    def serve(self) -> None:
        """Until the engine says so or is gone."""
        queue = self._queue
        while True:
            if queue:
                self._do(*queue.popleft())
                continue
            if self._is_over:
                return
            frames = self._talk.wait()
            if frames is None:
                return
            for frame in frames:
                if frame[0] == "calls":
                    self._functions.define(frame[1])
                    queue.extend(frame[2])
                else:
                    self._is_over = True
            self._low = len(queue) // 2
            self._looked = monotonic()

    def _do(
        self,
        number: int,
        nonce: int,
        function: int,
        name: str,
        attempt: int,
        timeout: float | None,
        arguments: dict[str, Any],
        special: dict[str, tuple[Any, ...]] | None,
        variables: dict[str, str] | None,
        is_long: bool,
    ) -> None:
        numbers, times = self._cell.numbers, self._cell.times
        numbers[CLAIM] = number
        if number <= numbers[REVOKED]:
            numbers[CLAIM] = numbers[RUNNING]
            return
        started = monotonic()
        if started - self._looked > LOOK_SECONDS:
            self._looked = started
            self._talk.look()
            if not self._talk.is_open:
                numbers[CLAIM] = numbers[RUNNING]
                self._queue.clear()
                return
        if is_long:
            self._measuring.begin()
        numbers[NONCE] = nonce
        times[STARTED] = started
        wall = times[WALL] = time.time()
        times[DUE] = 0.0 if timeout is None else started + timeout
        numbers[RUNNING] = number
        if is_long:
            self._ring(started)
        self._surroundings.before(name, attempt, variables)
        result = make(self._functions, function, nonce, arguments, special, self._streams, self._talk)
        if os.getpid() != self._pid:  # the call forked, and this is the copy
            self._leave_copy(result)
        self._end(number, nonce, wall, started, result)

    def _end(self, number: int, nonce: int, wall: float, started: float, result: Result) -> None:
        if result.trace:
            self._print(result.trace)
        now = monotonic()
        seconds = now - started
        processor, memory = self._measuring.end(now, seconds)
        output = self._outputs.settle(nonce)
        self._surroundings.after(seconds >= LONG_SECONDS)
        if result.cause is None and output is None:
            # By hand: this is how most calls end.
            product = "null" if result.product is None else quoted(result.product)
            self._receipts.add(f'["done",{nonce},{wall!r},{seconds:.6f},{processor:.6f},{memory},{product}]')
        else:
            out, err = output or (EMPTY, EMPTY)
            usage = [seconds, processor, memory, 0]
            self._receipts.add_fact(
                [
                    "ended",
                    nonce,
                    result.cause,
                    None,
                    result.detail,
                    result.cause != "lost",
                    usage,
                    out,
                    err,
                    result.product,
                    False,
                    wall,
                ]
            )
        numbers = self._cell.numbers
        self._cell.times[DUE] = 0.0
        numbers[ENDED] = number
        left = len(self._queue)
        if left == 0 or left == self._low or now - self._rung > RING_SECONDS:
            self._ring(now)

    def _print(self, trace: str) -> None:
        try:
            self._outputs.stderr.flush()
            os.write(2, trace.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            pass  # the call has closed its stderr, or the disk is full: the detail says what happened

    def _leave_copy(self, result: Result) -> None:
        try:
            sys.stdout.flush()
            if result.trace:
                os.write(2, result.trace.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            pass
        os._exit(0 if result.cause is None else 1)

    def _ring(self, now: float) -> None:
        self._rung = now
        self._talk.ring()

    def leave(self) -> None:
        """Everything is written: end as a program does, with a limit for what the user's code left running."""
        self._receipts.close()
        self._outputs.close()
        self._talk.close()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        faulthandler.dump_traceback_later(EXIT_SECONDS, exit=True, file=nowhere)
        sys.exit(0)


def main(argument: str) -> None:
    """Serve as the settings (JSON) say."""
    settings = json.loads(argument)
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    worker = Worker(settings)
    worker.serve()
    worker.leave()
