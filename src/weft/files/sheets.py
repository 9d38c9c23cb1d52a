"""What the files of tasks that are up to date look like, in one file for a plan: columns of numbers, read at once.

Reading the recorded results and digests of ten thousand tasks takes longer than their stats. A sheet says no more than those do,
and counts only for the very plan and the very results that it was made from (`token`, which the store changes with them); whoever
finds none, or one that does not count, reads what it was made from. So losing one costs time, and nothing has to be durable.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from weft.spec.tasks import Task

FOLDER: Final = "sheets"
"""Inside the state folder."""

MAGIC: Final = f"weft sheet 1 {sys.byteorder}\n".encode("ascii")
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_NUMBER: Final = 8  # bytes
_COLUMNS: Final = 3  # of a file: size, mtime_ns, inode
_PATH: Final = itemgetter(0)

Look = tuple[int, int, int]
"""Size, mtime_ns and inode of a file."""


class Line(NamedTuple):
    """A task that is up to date. fingerprint: hex. looks: of its outputs, then of the files that it requires."""

    task: int
    fingerprint: str
    looks: Sequence[Look]


class Sheet:
    """The lines of one plan. Made by `read`; `tasks`: those that have a line, by number."""

    __slots__ = ("_digests", "_numbers", "_places", "_starts", "_width", "tasks")

    def __init__(self, tasks: array[int], starts: array[int], digests: bytes, numbers: array[int], count: int):
        """count: tasks of the plan. starts: of each line's numbers; one more at the end."""
        self.tasks = tasks
        self._starts = starts
        self._digests = digests
        self._width = len(digests) // max(1, len(tasks))
        self._numbers = numbers
        self._places = array("q", [-1]) * count
        for place, task in enumerate(tasks):
            self._places[task] = place

    def fingerprint(self, task: int, given: Task, root: str) -> str | None:
        """The fingerprint of a task whose files look as they did; None when one does not, or nothing is known."""
        place = self._places[task]
        if place < 0:
            return None
        at, numbers, stat = self._starts[place], self._numbers, os.stat
        try:
            for path in (*given.outputs, *map(_PATH, given.requires.files)):
                found = stat(path if path.startswith("/") else f"{root}/{path}")
                if (
                    found.st_mtime_ns != numbers[at + 1]
                    or found.st_size != numbers[at]
                    or found.st_ino != numbers[at + 2]
                ):
                    return None
                at += _COLUMNS
        except (OSError, ValueError):
            return None
        return self._digests[place * self._width : (place + 1) * self._width].hex()

    def line(self, task: int) -> Line:
        """What is known of a task of `tasks`."""
        place = self._places[task]
        numbers = self._numbers[self._starts[place] : self._starts[place + 1]]
        looks = [(*numbers[at : at + _COLUMNS],) for at in range(0, len(numbers), _COLUMNS)]
        return Line(task, self._digests[place * self._width : (place + 1) * self._width].hex(), looks)  # type: ignore[arg-type]


def write(path: str, plan: str, token: str, count: int, lines: Iterable[Line]) -> None:
    """Put a sheet in its place, whole or not at all. plan: digest of the plan; count: its tasks. Raises OSError.

    Lines whose numbers or fingerprints are not like those of others are left out.
    """
    tasks, starts, numbers, digests = array("q"), array("q", [0]), array("q"), bytearray()
    width = 0
    for task, fingerprint, looks in lines:
        try:
            digest = bytes.fromhex(fingerprint)
            mine = array("q", [number for look in looks for number in look])
        except (ValueError, OverflowError):
            continue
        width = width or len(digest)
        if digest.hex() != fingerprint or len(digest) != width:
            continue
        tasks.append(task)
        numbers += mine
        starts.append(len(numbers))
        digests += digest
    head = json.dumps([plan, token, count, len(tasks), width]).encode("ascii")
    body = b"".join(
        (len(head).to_bytes(_NUMBER, "little"), head, tasks.tobytes(), starts.tobytes(), digests, numbers.tobytes())
    )
    _replace(path, MAGIC + zlib.crc32(body).to_bytes(_NUMBER, "little") + body)


def _replace(path: str, data: bytes) -> None:
    """Nobody else writes it: the plan's lock is held."""
    os.makedirs(os.path.dirname(path), FOLDER_MODE, exist_ok=True)
    new = f"{path}.new"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with open(file, "wb") as opened:
        opened.write(data)
    os.replace(new, path)


def read(path: str, plan: str, count: int) -> tuple[Sheet, str] | None:
    """The sheet of a plan, and the token of what it was made from; None when there is none, or none that can be used."""
    try:
        with open(path, "rb") as opened:
            data = opened.read()
    except OSError:
        return None
    start = len(MAGIC) + _NUMBER
    if (
        not data.startswith(MAGIC)
        or len(data) <= start
        or zlib.crc32(memoryview(data)[start:]) != int.from_bytes(data[len(MAGIC) : start], "little")
    ):
        return None
    end = start + _NUMBER + int.from_bytes(data[start : start + _NUMBER], "little")
    made_for, token, tasks, lines, width = json.loads(data[start + _NUMBER : end])
    if made_for != plan or tasks != count:
        return None
    columns: list[array[int]] = []
    for length in (lines, lines + 1):
        columns.append(array("q", data[end : end + length * _NUMBER]))
        end += length * _NUMBER
    digests = data[end : end + lines * width]
    return Sheet(columns[0], columns[1], digests, array("q", data[end + lines * width :]), count), token
