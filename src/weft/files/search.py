"""One walk over folders for many expressions: streaming, in bounded time, never through a link to a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from weft.files.patience import Patience
from weft.files.patterns import BATCH_PATHS, Matcher, Pattern


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pattern and how many matches are enough; None: all of them."""

    pattern: Pattern
    enough: int | None = None


@dataclass(slots=True)
class Found:
    """What a search gave. matches: sorted paths, parallel to what was wanted. unreadable: folders that refused."""

    matches: list[list[str]]
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where searches happen. root, state_folder: absolute."""

    root: str
    state_folder: str | None

    def absolute(self, path: str) -> str:
        """`path` as the system takes it; relative ones lie below the root."""
        return path if path.startswith("/") else f"{self.root}/{path}" if path else self.root

    def is_state(self, entry: os.DirEntry[str]) -> bool:
        """Whether a folder is weft's own state."""
        state = self.state_folder
        return state is not None and entry.name == os.path.basename(state) and os.path.realpath(entry.path) == state


def search(wanted: Sequence[Wanted], place: Place, patience: Patience) -> Found:
    """Files that match, per pattern. Raises SearchTimeoutError.

    Patterns whose searches would pass the same folders share one walk.
    """
    found = Found([[] for _ in wanted])
    for start, numbers in _walks(wanted, place):
        _walk(start, numbers, wanted, place, patience, found)
    for matches in found.matches:
        matches.sort()
    return found


def _walks(wanted: Sequence[Wanted], place: Place) -> list[tuple[str, list[int]]]:
    """(start, numbers of the patterns) of each walk that must be made."""
    walks: dict[tuple[str, bool], list[int]] = {}
    for number in sorted(range(len(wanted)), key=lambda number: (len(wanted[number].pattern.start), number)):
        pattern = wanted[number].pattern
        if not pattern.is_named and not _is_searchable(pattern.start, place):
            continue
        shared = (walk for walk in walks if not walk[1] and not pattern.is_named and pattern.is_below(walk[0]))
        walks.setdefault(next(shared, (pattern.start, pattern.is_named)), []).append(number)
    return [(start, numbers) for (start, _), numbers in walks.items()]


def _is_searchable(start: str, place: Place) -> bool:
    """Whether a search from the root would come to the folder `start`: nothing hidden, no link on the way."""
    path = place.root
    for name in start.split("/") if start else ():
        path = f"{path}/{name}"
        if (name.startswith(".") and name not in (".", "..")) or os.path.islink(path):
            return False
    return place.state_folder is None or os.path.realpath(path) != place.state_folder


def _walk(
    start: str, numbers: Sequence[int], wanted: Sequence[Wanted], place: Place, patience: Patience, found: Found
) -> None:
    depths = [wanted[number].pattern.depth for number in numbers]
    deepest = None if None in depths else max(depth for depth in depths if depth is not None)
    open_numbers = list(numbers)
    matchers = {number: Matcher(wanted[number].pattern, patience) for number in numbers}
    try:
        for batch in _batches(start, deepest, place, patience, found.unreadable):
            for number in tuple(open_numbers):
                matches = found.matches[number]
                matches += matchers[number].matching(batch)
                enough = wanted[number].enough
                if enough is not None and len(matches) >= enough:
                    open_numbers.remove(number)
            if not open_numbers:
                return
    finally:
        for matcher in matchers.values():
            matcher.close()


def _batches(
    start: str, deepest: int | None, place: Place, patience: Patience, unreadable: list[str]
) -> Iterator[list[str]]:
    """Paths of files as patterns see them: relative to the root, or absolute when `start` is."""
    batch: list[str] = []
    pending = [(start, 0)]
    while pending:
        folder, depth = pending.pop()
        prefix = folder if not folder or folder.endswith("/") else folder + "/"
        try:
            entries = os.scandir(place.absolute(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            unreadable.append(folder)
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if (deepest is None or depth < deepest) and entry.name[0] != "." and not place.is_state(entry):
                        pending.append((prefix + entry.name, depth + 1))
                elif entry.is_file():
                    batch.append(prefix + entry.name)
                if len(batch) >= BATCH_PATHS:
                    yield batch
                    batch = []
                    patience.check(folder)
        patience.check(folder)
    if batch:
        yield batch


def folder_files(folder: str, is_recursive: bool, patience: Patience, enough: int | None = None) -> list[str]:
    """Regular files of a folder as sorted names relative to it; dot names and sub-folders do not count.

    enough: stop after so many. Raises OSError, SearchTimeoutError.
    """
    names: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(f"{folder}/{prefix}" if prefix else folder) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if is_recursive:
                        pending.append(f"{prefix}{entry.name}/")
                elif entry.is_file():
                    names.append(prefix + entry.name)
                    if enough is not None and len(names) >= enough:
                        return sorted(names)
        patience.check(folder)
    return sorted(names)
