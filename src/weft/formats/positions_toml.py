"""Where in a TOML text something stands. The text has been parsed without fault; iterative, linear."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from typing import Final, NamedTuple

from weft.formats.mistakes import Place, pointer
from weft.formats.positions import Lines

_BLANK: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_TEXT: Final = re.compile(
    # Possessive: what is not closed is seen to be so in one pass. One or two quotes may stand before those that close.
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\]++|\\.)*+"'
    r"|'[^']*+'",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"[^\n#,\]}]+")

Path = tuple[str | int, ...]


class Duplicate(NamedTuple):
    """A key that stands where it may not, because it has stood before. first, second: (line, column).

    region: offsets of what the text would have to be without, None when its end cannot be seen.
    """

    location: str
    key: str
    first: tuple[int, int]
    second: tuple[int, int]
    region: tuple[int, int] | None


def locate_toml(text: str, wanted: Collection[str]) -> dict[str, tuple[Place, Place]]:
    """(place of the key, place of the value) by JSON pointer. A table's place is that of its first header."""
    return _Scanner(text, wanted).scan()


def find_duplicate(text: str, offset: int) -> Duplicate | None:
    """What the standard library's reader refused at `offset` as defined before; None when that cannot be made out.

    The text up to there is sound.
    """
    try:
        return _Finder(text, offset).find()
    except (IndexError, tomllib.TOMLDecodeError):  # what follows it in the same statement is broken, too
        return None


class _Scanner:
    def __init__(self, text: str, wanted: Collection[str]):
        self._text = text
        self._wanted = wanted
        self._at = 0
        self._offsets: dict[str, tuple[int, int]] = {}
        self._lengths: dict[Path, int] = {}  # of arrays of tables

    def scan(self) -> dict[str, tuple[Place, Place]]:
        table: Path = ()
        self._found((), 0, 0)
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        offsets = sorted({offset for pair in self._offsets.values() for offset in pair})
        lines = Lines(self._text)
        places = {offset: lines.place(offset) for offset in offsets}
        return {where: (places[key], places[value]) for where, (key, value) in self._offsets.items()}

    def _header(self) -> Path:
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        path: Path = ()
        keys = self._keys()
        for number, (key, _) in enumerate(keys, 1):
            path = (*path, key)
            if is_array and number == len(keys):
                self._lengths[path] = self._lengths.get(path, 0) + 1
            self._found(path, start, start)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
                self._found(path, start, start)
        self._at += 2 if is_array else 1
        return path

    def _pair(self, table: Path) -> None:
        """`key.key = value`, and where its value leads: arrays and inline tables."""
        # Of each open container: its path, the index of the next item of an array, None in a table.
        stack: list[tuple[Path, int | None]] = []
        path, key_at = self._assignment(table)
        while True:
            self._found(path, key_at, self._at)
            if self._text[self._at] in "[{":
                stack.append((path, 0 if self._text[self._at] == "[" else None))
                self._at += 1
            else:
                self._scalar()
            while stack:
                self._skip(_BLANK)
                if self._text[self._at] == ",":
                    self._at += 1
                elif self._text[self._at] in "]}":
                    self._at += 1
                    stack.pop()
                else:
                    break
            if not stack:
                return
            above, index = stack[-1]
            if index is None:
                path, key_at = self._assignment(above)
            else:
                path, key_at = (*above, index), self._at
                stack[-1] = (above, index + 1)

    def _assignment(self, above: Path) -> tuple[Path, int]:
        """Of `key.key =` the path and the place of the last key; the value comes next."""
        path, key_at = above, self._at
        keys = self._keys()
        for key, key_at in keys:
            path = (*path, key)
            if len(path) < len(above) + len(keys):
                self._found(path, key_at, key_at)
        self._at += 1
        self._skip(_SPACE)
        return path, key_at

    def _keys(self) -> list[tuple[str, int]]:
        """A dotted key, each part with its place; stops before what follows it."""
        keys: list[tuple[str, int]] = []
        while True:
            self._skip(_SPACE)
            start = self._at
            word = self._skip(_KEY)
            keys.append((str(tomllib.loads(f"k = {word}")["k"]) if word[:1] in ("'", '"') else word, start))
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _scalar(self) -> None:
        if not self._skip(_TEXT):
            self._skip(_PLAIN)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _found(self, path: Path, key_at: int, value_at: int) -> None:
        where = pointer(*path)
        if where in self._wanted:
            self._offsets.setdefault(where, (key_at, value_at))


class _Finder(_Scanner):
    """Knows the first place of every key before an offset."""

    def __init__(self, text: str, offset: int):
        super().__init__(text, ())
        self._limit = offset
        self._firsts: dict[Path, int] = {}
        self._entries: list[tuple[Path, int]] = []  # of the present statement

    def find(self) -> Duplicate | None:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            start = self._at
            self._entries = []
            if self._text[start] == "[":
                table = self._header()
                if self._at >= self._limit:
                    return self._table(start, table)
            else:
                self._pair(table)
                if self._at >= self._limit:
                    return self._member(start)
            for path, key_at in self._entries:
                self._firsts.setdefault(path, key_at)
            self._skip(_BLANK)
        return None

    def _found(self, path: Path, key_at: int, value_at: int) -> None:  # noqa: ARG002
        self._entries.append((path, key_at))

    def _table(self, start: int, table: Path) -> Duplicate | None:
        """A header; what follows it belongs to it."""
        try:
            self._skip(_BLANK)
            while self._at < len(self._text) and self._text[self._at] != "[":
                self._pair(table)
                self._skip(_BLANK)
        except IndexError:  # broken further down, where nothing has read it yet
            return self._told(table, start, None)
        return self._told(table, start, (start, self._at))

    def _member(self, start: int) -> Duplicate | None:
        """A pair, or one in an inline table in it, which goes with the comma before it."""
        seen = dict(self._firsts)
        found: tuple[Path, int] | None = None
        for path, key_at in self._entries:
            if key_at < self._limit and path in seen and not self._is_above(path):
                found = path, key_at
            seen.setdefault(path, key_at)
        path, key_at = found or self._entries[0]
        self._firsts = {**dict(reversed(self._entries)), **self._firsts}
        before = self._text[:key_at].rstrip()
        if key_at > start and before.endswith(","):
            start = len(before) - 1
        return self._told(path, key_at, (start, self._limit))

    def _is_above(self, path: Path) -> bool:
        """Whether the statement only leads through `path` (`a.b = 1` after `a.c = 2`)."""
        return any(len(other) > len(path) and other[: len(path)] == path for other, _ in self._entries)

    def _told(self, path: Path, key_at: int, region: tuple[int, int] | None) -> Duplicate | None:
        while path and (path not in self._firsts or isinstance(path[-1], int)):
            path = path[:-1]
        if not path:
            return None
        first, second = sorted((self._firsts[path], key_at))
        lines = Lines(self._text)
        return Duplicate(pointer(*path), str(path[-1]), lines.place(first), lines.place(second), region)
