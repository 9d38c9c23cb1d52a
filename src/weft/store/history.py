"""How tasks fared in earlier runs of a plan."""

from __future__ import annotations

from typing import Final, NamedTuple

from weft.store.archive import SqliteArchive

SHOWN_EPISODES: Final = 20


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
