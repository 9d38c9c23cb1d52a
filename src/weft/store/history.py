"""What earlier runs of a plan handed on."""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

from weft.scheduling.outcomes import LogRegion
from weft.store import database
from weft.store.archive import SqliteArchive
from weft.store.logs import LogGoneError, LogReader
from weft.store.tables import unpack_text

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


def product_text(folder: str, plan_key: str, name: str, before: str | None = None) -> str | None:
    """The product of a task (not a mapped one), from the newest run of the plan in which it was ok, as text.

    before: a run that does not count. None when there is no such run, it handed nothing on, or the output is gone.
    """
    if not os.path.exists(database.path_of(folder)):
        return None
    with SqliteArchive(folder) as archive:
        found = archive.last_product(plan_key, name, before)
    if found is None:
        return None
    run, product, *region = found
    if product is not None:
        return str(unpack_text(product))
    return _output(folder, run, region)


def _output(folder: str, run: str, region: list[Any]) -> str | None:
    file, offset, length = region
    if file is None:
        return None
    try:
        output = LogReader(folder, run).read(LogRegion(unpack_text(file), offset, length))
    except LogGoneError:
        return None
    return output.decode("utf-8", "surrogateescape").removesuffix("\n")
