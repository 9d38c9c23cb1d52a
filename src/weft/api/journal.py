"""What has happened in a run so far, as the events of `--output json`: kept small, read by any number of listeners.

Every listener is a place in one journal, so a slow one costs nothing and misses nothing, and one that comes late, or after the
end, gets everything from the beginning. An event is a row of numbers until somebody reads it: some sixty bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.scheduling.commands import SettleInstance, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Usage
from weft.scheduling.outcomes import kind as kind_of_cause

if TYPE_CHECKING:
    import asyncio

VERSION: Final = 1
"""Of the events (design.md 12)."""

STATES: Final = ("ok", "failed", "skipped", "cancelled")
STARTED, ENDED, SETTLED = range(3)
NONE: Final = -(1 << 31)
"""Where a number is not known."""

PACKED: Final = Struct("<BdiiiBiddq")
"""A row as it is kept: kind, time, task, instance, attempt, state, exit code, seconds, CPU seconds, memory."""

NOT_MEASURED: Final = Usage(-1.0)

EVENTS_AT_ONCE: Final = 200
"""That a listener gets before its event loop turns once."""


class Row(NamedTuple):
    """One event. instance: WHOLE of a task that is not mapped; attempt: 0 of a task that ended without one."""

    kind: int
    time: float
    task: int
    instance: int
    attempt: int
    state: str
    cause: str | None
    exit_code: int | None
    usage: Usage | None
    will_retry: bool


class Journal:
    """Starts and ends, in order. Written by the engine's thread, read by any."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._rows = bytearray()
        self._causes: dict[int, str] = {}
        self._retried: set[int] = set()
        self._begun: set[AttemptKey] = set()
        self._final: dict[int, int] = {}
        self._told: set[tuple[int, int]] = set()  # instances whose last attempt has just been told
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._rows) // PACKED.size

    # --- written ---------------------------------------------------------------------------------------------------------

    def start(self, key: AttemptKey) -> None:
        """An attempt has begun."""
        self._begun.add(key)
        self._add(STARTED, key.task, key.instance, key.attempt, 0, None, None)

    def end(self, key: AttemptKey, outcome: Outcome, will_retry: bool) -> None:
        """An attempt has ended."""
        if key in self._begun:
            self._begun.discard(key)
        elif outcome.charged:
            self._add(STARTED, key.task, key.instance, key.attempt, 0, None, None)
        else:
            return  # taken back before it began
        state = 0 if outcome.ok else 3 if kind_of_cause(outcome.cause or "") in ("interrupted", "cancelled") else 1
        number = len(self)
        if outcome.cause is not None:
            self._causes[number] = outcome.cause
        if will_retry:
            self._retried.add(number)
        else:
            self._final[key.task] = self._final.get(key.task, 0) | 1 << state
            if key.instance != WHOLE:
                self._told.add((key.task, key.instance))
        self._add(ENDED, key.task, key.instance, key.attempt, state, outcome.exit_code, outcome.usage)

    def settle_instance(self, settled: SettleInstance) -> None:
        """An instance has ended; an event of its own when no attempt's end has told it."""
        unit, code = (settled.task, settled.instance), STATES.index(settled.state)
        if unit in self._told:
            self._told.remove(unit)
            return
        if settled.cause is not None:
            self._causes[len(self)] = settled.cause
        self._final[settled.task] = self._final.get(settled.task, 0) | 1 << code
        self._add(SETTLED, *unit, 0, code, None, None)

    def settle(self, settled: SettleTask) -> None:
        """A task has ended; an event of its own when no attempt's end has told it."""
        task, code = settled.task, STATES.index(settled.state)
        if self._final.pop(task, 0) & 1 << code:
            return
        if settled.cause is not None:
            self._causes[len(self)] = settled.cause
        self._add(SETTLED, task, WHOLE, 0, code, None, settled.usage if settled.attempts else None)

    def _add(
        self, number: int, task: int, instance: int, attempt: int, state: int, code: int | None, usage: Usage | None
    ) -> None:
        seconds, cpu_seconds, memory = usage if usage is not None else NOT_MEASURED
        self._rows += PACKED.pack(
            number,
            self._clock(),
            task,
            instance,
            attempt,
            state,
            NONE if code is None else code,
            seconds,
            -1.0 if cpu_seconds is None else cpu_seconds,
            -1 if memory is None else memory,
        )
        if self._listeners:
            self._ring()

    def close(self) -> None:
        """Nothing more will happen."""
        self.is_closed = True
        self._ring()

    def _ring(self) -> None:
        with self._lock:
            for listener in self._listeners:
                listener.ring()

    # --- read --------------------------------------------------------------------------------------------------------------

    def row(self, number: int) -> Row:
        """One event of the past."""
        kind, moment, task, instance, attempt, state, code, seconds, cpu_seconds, memory = PACKED.unpack_from(
            self._rows, number * PACKED.size
        )
        usage = None
        if seconds >= 0.0:
            usage = Usage(seconds, None if cpu_seconds < 0.0 else cpu_seconds, None if memory < 0 else memory)
        return Row(
            kind,
            moment,
            task,
            instance,
            attempt,
            STATES[state],
            self._causes.get(number),
            None if code == NONE else code,
            usage,
            number in self._retried,
        )

    async def rows(self, every: float | None = None) -> AsyncGenerator[Row | None, None]:
        """Everything that has happened, and then what happens, until the end. every: seconds after which to yield None."""
        import asyncio

        due = None if every is None else time.monotonic() + every
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            number = 0
            while True:
                is_closed = self.is_closed  # before the count: what came in between is seen next time
                count = len(self)
                while number < count:
                    yield self.row(number)
                    number += 1
                    if number % EVENTS_AT_ONCE == 0:
                        await asyncio.sleep(0)
                        if due is not None and time.monotonic() >= due:
                            break
                if is_closed and number == count:
                    return
                if every is not None and due is not None and time.monotonic() >= due:
                    yield None
                    due = time.monotonic() + every
                elif number == count:
                    await listener.wait(self, number, due)
        finally:
            with self._lock:
                self._listeners.discard(listener)


class Listener:
    """Wakes one coroutine; rung from another thread, at the cost of one message for each time that it waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        import asyncio

        self._loop = loop
        self._bell = asyncio.Event()
        self._is_waiting = False

    def ring(self) -> None:
        """There is news."""
        if self._is_waiting:
            self._is_waiting = False
            try:
                self._loop.call_soon_threadsafe(self._bell.set)
            except RuntimeError:
                pass  # its loop is closed: nobody listens any more

    async def wait(self, journal: Journal, seen: int, due: float | None = None) -> None:
        """Until there are more events than those seen, or the journal is closed; at most until `due`, monotonic seconds."""
        self._bell.clear()
        self._is_waiting = True
        if len(journal) > seen or journal.is_closed:  # it came before we were waiting
            self._is_waiting = False
            return
        if due is None:
            await self._bell.wait()
            return
        import asyncio

        try:
            await asyncio.wait_for(self._bell.wait(), max(0.0, due - time.monotonic()))
        except TimeoutError:
            self._is_waiting = False


def event_of(row: Row, name: str, item: str | None) -> Mapping[str, Any]:
    """The event as a line of `--output json` has it. item: of an instance of a mapped task."""
    event: dict[str, Any] = {
        "v": VERSION,
        "event": "task_started" if row.kind == STARTED else "task_ended",
        "time": stamp(row.time),
        "task": name,
        "attempt": row.attempt or None,
        "instance": None if row.instance == WHOLE else row.instance,
    }
    if row.instance != WHOLE:
        event["item"] = item
    if row.kind != STARTED:
        usage = row.usage
        event |= {
            "state": row.state,
            "cause": row.cause,
            "exit_code": row.exit_code,
            "seconds": None if usage is None else round(usage.seconds, 6),
            "memory": None if usage is None else usage.memory,
            "cpu_seconds": None if usage is None or usage.cpu_seconds is None else round(usage.cpu_seconds, 6),
            "will_retry": row.will_retry,
        }
    return event


def stamp(seconds: float) -> str:
    """Wall clock seconds as `2026-11-20T07:44:32.123Z`."""
    second = int(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{int((seconds - second) * 1000):03d}Z"
