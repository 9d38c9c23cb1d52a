"""What attempts that are under way were begun with: kept here until what they made is remembered, and told to the store.

An engine may die while an attempt goes on. Whoever takes that up finds the rows that left here with its intent, and can say what
it had read, however the world has changed meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from weft.ports import BegunRow
from weft.scheduling.keys import WHOLE
from weft.spec.tasks import NOTHING

SLACK_SECONDS: Final = 0.1
"""By so much the clock of files may differ from that of a process that writes them."""


class Beginning(NamedTuple):
    """parts: of the fingerprint. is_taken_over: an earlier engine began it. ended: when it did its work, if nobody looked then.

    ended: wall clock seconds.
    """

    parts: Mapping[str, str]
    is_taken_over: bool = False
    ended: float | None = None


class Beginnings:
    """By task and instance. news: rows for the ledger; whoever takes them removes them."""

    def __init__(self) -> None:
        self.news: deque[BegunRow] = deque()
        self._tasks: dict[int, Mapping[str, str]] = {}
        self._items: dict[tuple[int, int], tuple[Mapping[str, str], tuple[str, str]]] = {}
        self._taken_over: dict[tuple[int, int], float | None] = {}

    def begin(self, task: int, parts: Mapping[str, str], fingerprint: str | None = None) -> None:
        """A task was looked at, or what the instances of one share."""
        self._tasks[task] = parts
        self._taken_over.pop((task, WHOLE), None)
        self.news.append(BegunRow(task, WHOLE, parts, None, fingerprint))

    def begin_item(self, task: int, instance: int, parts: Mapping[str, str], own: tuple[str, str]) -> None:
        """An instance was looked at. parts: that it shares with others; own: the one that it does not."""
        self._items[task, instance] = (parts, own)
        if self._taken_over:
            self._taken_over.pop((task, instance), None)
        self.news.append(BegunRow(task, instance, NOTHING if self._tasks.get(task) is parts else parts, own))

    def shared(self, task: int) -> Mapping[str, str] | None:
        """What the instances of a task share, as the last look at all of them found it."""
        return self._tasks.get(task)

    def __contains__(self, task: int) -> bool:
        return task in self._tasks

    def forget(self, task: int, instances: Iterable[int]) -> None:
        """What the next attempts are begun with cannot be said. instances: of a mapped task."""
        units = [(task, instance) for instance in instances if self._items.pop((task, instance), None) is not None]
        if self._tasks.pop(task, None) is not None:
            units.append((task, WHOLE))
        for unit in units:
            self.over(*unit)

    def take(self, task: int, instance: int) -> Beginning | None:
        """What an attempt that did its work was begun with; None when nobody knows. `over` has to follow."""
        ended = self._taken_over.get((task, instance))
        is_taken_over = bool(self._taken_over) and (task, instance) in self._taken_over
        if instance == WHOLE:
            parts = self._tasks.pop(task, None)
            return None if parts is None else Beginning(parts, is_taken_over, ended)
        found = self._items.pop((task, instance), None)
        if found is None:
            return None
        shared, (name, own) = found
        return Beginning({**shared, name: own}, is_taken_over, ended)

    def over(self, task: int, instance: int) -> None:
        """What the attempt made is remembered, or will not be."""
        self._taken_over.pop((task, instance), None)
        self.news.append(BegunRow(task, instance, NOTHING, is_over=True))

    # --- of an earlier engine ------------------------------------------------------------------------------------------

    def recover(self, rows: Sequence[BegunRow]) -> list[tuple[int, int]]:
        """Take over what is recorded; (task, instance) of what has done its work, which nobody has remembered.

        Instances are told anew with all of their parts: what those that begin later share may be something else.
        """
        shared = {row.task: row.parts for row in rows if row.instance == WHOLE}
        mapped = {row.task for row in rows if row.instance != WHOLE}
        done = []
        for row in rows:
            if row.is_over:
                self.news.append(row)
                continue
            parts = row.parts or shared.get(row.task)
            if parts is None or (row.instance == WHOLE and row.task in mapped):
                continue
            if row.own is None:
                self._tasks[row.task] = parts
            else:
                self._items[row.task, row.instance] = (parts, row.own)
                self.news.append(row._replace(parts=parts, ended=None))
            self._taken_over[row.task, row.instance] = row.ended
            if row.ended is not None:
                done.append((row.task, row.instance))
        return done

    def is_taken_over(self, task: int, instance: int) -> bool:
        """Whether an earlier engine began it, and it has not been looked at since."""
        return (task, instance) in self._taken_over

    def begin_anew(self, task: int, instance: int, parts: Mapping[str, str]) -> None:
        """An instance that was taken over is tried again, with the item that it had."""
        if (task, instance) in self._taken_over and (task, instance) in self._items:
            self.begin_item(task, instance, parts, self._items[task, instance][1])

    def ended_earlier(self, task: int, instance: int, wall: float) -> None:
        """An attempt that was taken over had ended before anybody took it over: at this time, by its receipt."""
        if (task, instance) in self._taken_over:
            self._taken_over[task, instance] = wall


def changed_since(path: str, wall: float) -> bool:
    """Whether a file, or anything in a folder, was written after this time; also when that cannot be told."""
    limit = wall + SLACK_SECONDS
    try:
        found = os.stat(path)
        if found.st_mtime > limit:
            return True
        if not stat.S_ISDIR(found.st_mode):
            return False
        return any(
            os.lstat(os.path.join(parent, name)).st_mtime > limit
            for parent, folders, names in os.walk(path, onerror=_raise)
            for name in (*folders, *names)
        )
    except (OSError, ValueError):
        return True


def _raise(error: OSError) -> None:
    raise error
