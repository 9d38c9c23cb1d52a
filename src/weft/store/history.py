"""How tasks fared in earlier runs of a plan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

import apsw

from weft.store.archive import SqliteArchive
from weft.store.rows import unpack_snapshot
from weft.store.sql import statements

SHOWN_EPISODES: Final = 20
RUNS_LOOKED_AT: Final = 4
LARGEST_OTHER: Final = 200_000  # tasks; a larger plan takes longer to read than knowing it is worth


class Episode(NamedTuple):
    """How a task fared in one run. started: of the run, wall clock seconds. memory: peak bytes."""

    run: str
    started: float
    state: str
    cause: str | None
    attempts: int | None
    seconds: float | None
    memory: int | None


def episodes(archive: SqliteArchive, plan_key: str, task: str, limit: int = SHOWN_EPISODES) -> list[Episode]:
    """How a task of a plan fared in its latest runs, newest first."""
    return [Episode(*row) for row in archive.episodes(plan_key, task, limit)]


class Measured(NamedTuple):
    """What a task took that really ran and ended well. memory: peak bytes."""

    task: int
    seconds: float
    memory: int | None


class PastRun(NamedTuple):
    """A recorded run: its number and that of its plan."""

    number: int
    plan: int


class History:
    """What earlier runs measured. connection: to the store, for reading."""

    def __init__(self, connection: apsw.Connection):
        self._connection = connection

    def runs(self, plan_key: str) -> list[PastRun]:
        """The latest ones of a plan, newest first; also the present one, once it is recorded."""
        return [PastRun(*row) for row in self._rows("runs_of_key", plan_key, RUNS_LOOKED_AT)]

    def others(self, plan_key: str) -> list[PastRun]:
        """The latest ones of other plans, as far as they are not too large, newest first."""
        return [PastRun(*row) for row in self._rows("runs_of_others", plan_key, LARGEST_OTHER, RUNS_LOOKED_AT)]

    def measured(self, run: int, least: float) -> Iterator[Measured]:
        """Tasks of a run, by their place in its plan, that took at least so many seconds."""
        return map(Measured._make, self._rows("measured", run, least))

    def names(self, plan: int) -> list[str]:
        """Of all tasks of a recorded plan."""
        ((names, _),) = self._rows("recorded_plan", plan)
        found: list[str] = json.loads(names)
        return found

    def snapshot(self, plan: int) -> bytes:
        """A recorded plan as `formats` reads it. Raises ValueError."""
        ((_, stored),) = self._rows("recorded_plan", plan)
        return unpack_snapshot(stored)

    def _rows(self, name: str, *bindings: object) -> list[tuple]:  # type: ignore[type-arg]
        return list(self._connection.execute(statements("archive")[name], bindings))
