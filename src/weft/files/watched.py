"""The files that a plan requires, as they stand now, and which of them nobody is writing any more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from weft.files.changes import nearest_folder
from weft.files.patience import Patience, SearchTimeoutError
from weft.files.patterns import SEARCH_SECONDS, of_need
from weft.files.requirements import SHARED_MEMORY_FOLDER
from weft.files.search import Place, Wanted, folder_files, search
from weft.spec.requirements import MatchNeed
from weft.spec.slots import fill, slots_in
from weft.spec.tasks import NOTHING, Task


class Stamp(NamedTuple):
    """What tells whether a file is the one that was seen before."""

    size: int
    mtime_ns: int
    inode: int


PRESENT: Final = Stamp(0, 0, 0)  # of a signal: it is there, and that is all that counts
_ITEM: Final = "\ufdd0item\ufdd0"  # stands in a path for one that is not known yet
CLOCK_SECONDS: Final = 30.0  # clocks of file servers may be so far behind: a date alone makes nothing old before


class Sieve(Protocol):
    """What a run is shown of the files that lie there. Called from the threads that look at tasks."""

    def shows(self, task: Task, path: str) -> bool:
        """Whether a file counts as being there for a task. path: absolute."""

    def admits(self, task: Task, item: str) -> bool:
        """Whether a file gets an instance of a mapped task."""


def requires_files(task: Task) -> bool:
    """Whether files, folders, expressions or signals must be there before the task starts."""
    needs = task.requires
    return bool(needs.files or needs.folders or needs.match or needs.signal or needs.shared_memory)


def stamp_of(path: str) -> Stamp | None:
    """None for what is not there, or cannot be looked at."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def required_files(tasks: Sequence[Task], place: Place, own: Outputs | None = None) -> dict[str, Stamp]:
    """Everything that lies there of what the tasks require, by absolute path; not what is `own`.

    own: by default what these tasks make. A folder that cannot be read, and a search that takes too long, give nothing: a run
    says so.
    """
    own = Outputs(tasks, place) if own is None else own
    found: dict[str, Stamp] = {}
    for path in _paths(tasks, place):
        if path not in found and path not in own:
            stamp = stamp_of(path)
            if stamp is not None:
                found[path] = stamp
    for path in dict.fromkeys(signal for task in tasks for signal in task.requires.signal):
        absolute = place.absolute(path)
        if os.path.lexists(absolute) and absolute not in own:
            found[absolute] = PRESENT
    return found


def watched_folders(tasks: Iterable[Task], place: Place) -> list[str]:
    """The folders below which all of it comes and goes: the nearest ones that exist, none inside another."""
    wanted: dict[str, None] = {}
    for task in tasks:
        needs = task.requires
        for path in (*(need.path for need in needs.files), *needs.signal):
            wanted[os.path.dirname(os.path.abspath(place.absolute(path)))] = None
        for name in needs.shared_memory:
            wanted[os.path.dirname(f"{SHARED_MEMORY_FOLDER}/{name.lstrip('/')}")] = None
        for folder in needs.folders:
            wanted[os.path.abspath(place.absolute(folder.path))] = None
        for start in _starts(needs.match):
            wanted[os.path.abspath(place.absolute(start))] = None
    existing = sorted({nearest_folder(path) for path in wanted})
    return [path for path in existing if not any(_is_below(path, other) for other in existing if other != path)]


def _paths(tasks: Sequence[Task], place: Place) -> Iterator[str]:
    folders: dict[tuple[str, bool], None] = {}
    matches: dict[tuple[str, str], MatchNeed] = {}
    for task in tasks:
        needs = task.requires
        yield from (place.absolute(need.path) for need in needs.files)
        yield from (f"{SHARED_MEMORY_FOLDER}/{name.lstrip('/')}" for name in needs.shared_memory)
        folders.update(((need.path, need.recursive), None) for need in needs.folders)
        matches.update(((need.pattern, need.kind), need) for need in needs.match)
    patience = Patience(SEARCH_SECONDS)
    for path, is_recursive in folders:
        folder = place.absolute(path).rstrip("/")
        try:
            yield from (f"{folder}/{name}" for name in folder_files(folder, is_recursive, patience))
        except (OSError, SearchTimeoutError):
            continue
    yield from _matching(matches.values(), place, patience)


def _matching(needs: Iterable[MatchNeed], place: Place, patience: Patience) -> Iterator[str]:
    wanted: list[Wanted] = []
    for need in needs:
        try:
            wanted.append(Wanted(of_need(need)))
        except re.error:
            continue
    if not wanted:
        return
    try:
        found = search(wanted, place, patience)
    except (OSError, SearchTimeoutError):
        return
    for paths in found.matches:
        yield from map(place.absolute, paths)


def _starts(needs: Iterable[MatchNeed]) -> Iterator[str]:
    for need in needs:
        try:
            yield of_need(need).start
        except re.error:
            continue


class Outputs:
    """Paths that the tasks say they make: what a run has written starts no other one. values: of the plan's options."""

    def __init__(self, tasks: Iterable[Task], place: Place, values: Mapping[str, Any] = NOTHING):
        self._place = place
        self._paths: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        for task in tasks:
            for written in _outputs(task, values):
                path = os.path.normpath(place.absolute(written))
                if _ITEM in path:
                    self._patterns.append(_item_pattern(path))
                else:
                    self._paths.add(path)

    def __contains__(self, path: str) -> bool:
        """Whether it is one of them, or lies in one."""
        if not self._paths and not self._patterns:
            return False
        path = os.path.normpath(path)
        while path not in self._paths and not self._is_of_an_item(path):
            above = os.path.dirname(path)
            if above == path:
                return False
            path = above
        return True

    def _is_of_an_item(self, path: str) -> bool:
        """Whether an instance of a mapped task makes it, of a file that is there."""
        found = (pattern.fullmatch(path) for pattern in self._patterns)
        return any(match is not None and os.path.lexists(self._place.absolute(match["item"])) for match in found)


def _outputs(task: Task, values: Mapping[str, Any]) -> Iterator[str]:
    """As written, slots filled; the file of an instance by `_ITEM`. What only products can tell stays a slot."""
    if not any("{" in path for path in task.outputs):
        yield from task.outputs
        return
    foreach, needs = task.policy.foreach, task.requires
    items: Sequence[dict[str, Any]] = [{}]
    if foreach is not None and foreach.files:
        sources = (*(need.bind for need in needs.folders), *(need.bind for need in needs.match))
        names = (foreach.bind, *sources)
        items = [{name: _ITEM for name in names if name is not None}]
    elif foreach is not None and foreach.values is not None and foreach.bind is not None:
        items = [{foreach.bind: value} for value in foreach.values]
    for item in items:
        known = {**values, **task.parameters, **item}
        for path in task.outputs:
            if all(name in known for name in slots_in(path)):
                yield fill(path, known)


def _item_pattern(path: str) -> re.Pattern[str]:
    first, *rest = map(re.escape, path.split(_ITEM))
    return re.compile(f"{first}(?P<item>.+){'(?P=item)'.join(rest)}", re.DOTALL)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


class Settling:
    """Which files are whole: those that have not changed for a while, or had not for long when they came (renamed into place).

    seconds: how long.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._since: dict[str, tuple[Stamp, float]] = {}
        self.settled: dict[str, Stamp] = {}

    @property
    def unsettled(self) -> frozenset[str]:
        """Files that somebody may still be writing."""
        return frozenset(self._since)

    def due(self, now: float) -> float | None:
        """Seconds until the next of them can be whole; None when there are none."""
        if not self._since:
            return None
        return max(0.0, min(since for _, since in self._since.values()) + self._seconds - now)

    def look(self, found: Mapping[str, Stamp], now: float, wall: float) -> None:
        """Take what was found at a moment. now: monotonic; wall: as files are dated."""
        before, settled, since = self._since, {}, {}
        for path, stamp in found.items():
            if self.settled.get(path) == stamp:
                settled[path] = stamp
                continue
            seen, first = before.get(path, (None, now))
            if seen != stamp:
                first = now
            has_come = seen is None or seen.inode != stamp.inode
            is_old = has_come and wall - stamp.mtime_ns / 1e9 >= self._seconds + CLOCK_SECONDS
            if is_old or now - first >= self._seconds:
                settled[path] = stamp
            else:
                since[path] = (stamp, first)
        self.settled, self._since = settled, since

    def news(self, known: Mapping[str, Stamp]) -> list[str]:
        """Whole files that are new, or not what they were, in order."""
        return sorted(path for path, stamp in self.settled.items() if known.get(path) != stamp)
