"""How every task of a run ended, kept small: a million tasks take some thirty bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from weft.ports import RunOpening, TaskRow
from weft.scheduling.commands import SettleTask
from weft.scheduling.outcomes import CACHED, CANCELLED

STATES: Final = ("pending", "ok", "failed", "skipped", "cancelled", "ok")
_PENDING: Final = 0
_CACHED: Final = 5
_CODES: Final[Mapping[str, int]] = {"ok": 1, "failed": 2, "skipped": 3, "cancelled": 4}
_UNKNOWN: Final = -1


class Ended(NamedTuple):
    """How one task ended. seconds, memory: of the attempt that ended it; None where unknown or never begun."""

    task: int
    name: str
    state: str
    cause: str | None
    detail: str | None
    attempts: int
    seconds: float | None
    memory: int | None
    instances: int | None


class Tally:
    """The ends of the selected tasks of a run."""

    def __init__(self, opening: RunOpening):
        self.opening = opening
        self.tasks = opening.plan.graph.tasks
        size = len(self.tasks)
        self._codes = bytearray(size)
        self._attempts = array("i", bytes(4 * size))
        self._seconds = array("d", bytes(8 * size))
        self._memory = array("q", [_UNKNOWN]) * size
        self._causes: dict[int, tuple[str | None, str | None]] = {}
        self._instances: dict[int, int] = {}
        self._numbers = [0] * len(STATES)

    def settle(self, settled: SettleTask) -> None:
        """Take in the end of a task."""
        usage = settled.usage
        self._enter(settled.task, settled.state, settled.cause, settled.detail, settled.attempts)
        self._seconds[settled.task] = usage.seconds
        if usage.memory is not None:
            self._memory[settled.task] = usage.memory

    def _enter(self, task: int, state: str, cause: str | None, detail: str | None, attempts: int) -> None:
        code = _CACHED if cause == CACHED and state == "ok" else _CODES.get(state, _PENDING)
        before = self._codes[task]
        if before != _PENDING:
            self._numbers[before] -= 1
        self._codes[task] = code
        self._numbers[code] += 1
        self._attempts[task] = attempts
        if code not in (1, _CACHED):
            self._causes[task] = (cause, detail)
        else:
            self._causes.pop(task, None)

    def complete(self, rows: Sequence[TaskRow]) -> None:
        """Fill in, from the store, what ended before this engine began, and how many instances there were."""
        for row in rows:
            if row.instances:
                self._instances[row.task] = row.instances
            if self._codes[row.task] == _PENDING and row.state in _CODES:
                self._enter(row.task, row.state, row.cause, row.detail, row.attempts)
                self._seconds[row.task] = row.seconds or 0.0
                if row.memory is not None:
                    self._memory[row.task] = row.memory

    @property
    def needs_rows(self) -> bool:
        """Whether the store knows something about the ends that the events of this run did not tell."""
        opening = self.opening
        return self.done < len(opening.selected) or any(
            self.tasks[task].policy.foreach is not None for task in opening.selected
        )

    def state(self, task: int) -> str:
        """The task's state; `pending` until it has ended."""
        return STATES[self._codes[task]]

    @property
    def done(self) -> int:
        """How many tasks have ended in this engine's time."""
        return sum(self._numbers)

    @property
    def failed(self) -> int:
        """How many tasks have failed."""
        return self._numbers[2]

    @property
    def given_up(self) -> int:
        """How many tasks were cancelled on request; `weft resume` leaves these alone."""
        return sum(1 for cause, _ in self._causes.values() if cause == CANCELLED)

    def counts(self) -> dict[str, int]:
        """The counts of design.md 12: `ok` includes `cached`, `cancelled` includes interrupted tasks."""
        _, ok, failed, skipped, cancelled, cached = self._numbers
        return {"ok": ok + cached, "failed": failed, "skipped": skipped, "cancelled": cancelled, "cached": cached}

    def __iter__(self) -> Iterator[Ended]:
        """The selected tasks in plan order."""
        nothing = (None, None)
        for task in self.opening.selected:
            code = self._codes[task]
            attempts = self._attempts[task]
            memory = self._memory[task]
            cause, detail = (CACHED, None) if code == _CACHED else self._causes.get(task, nothing)
            yield Ended(
                task,
                self.tasks[task].name,
                STATES[code],
                cause,
                detail,
                attempts,
                self._seconds[task] if attempts and code != _CACHED else None,
                None if memory == _UNKNOWN else memory,
                self._instances.get(task),
            )
