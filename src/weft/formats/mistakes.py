"""The mistakes and warnings of a load, collected without places; lines and columns are looked up once, at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from weft.errors import Problem, cut, one_line

Place = tuple[int | None, int | None]


class Mistake(NamedTuple):
    """A problem in the making. at_key: the place is the key's, not the value's. others: (file, location) told in the message."""

    code: str
    message: str
    file: str | None
    location: str | None
    hint: str | None = None
    at_key: bool = False
    line: int | None = None
    column: int | None = None
    others: tuple[tuple[str, str], ...] = ()


class Mistakes:
    """Errors and warnings in the order in which they were found."""

    __slots__ = ("errors", "warnings")

    def __init__(self) -> None:
        self.errors: list[Mistake] = []
        self.warnings: list[Mistake] = []

    def error(
        self,
        code: str,
        message: str,
        file: str | None = None,
        location: str | None = None,
        hint: str | None = None,
        **place: Any,
    ) -> None:
        """Add an error; `place`: the other fields of a `Mistake`."""
        self.errors.append(Mistake(code, message, file, location, hint, **place))

    def warn(
        self, code: str, message: str, file: str | None, location: str | None, hint: str | None = None, **place: Any
    ) -> None:
        """Add a warning."""
        self.warnings.append(Mistake(code, message, file, location, hint, **place))


NO_DATA: Final = object()
"""What a text gives that cannot be parsed; `None` is data."""

STAND_IN: Final = 1
"""For a number that cannot be one, so that the rest of its document can be looked at: most fields of numbers take it."""


class Document:
    """A file that was read and parsed. path: as it was named. format: `json`, `yaml` or `toml`.

    digest: blake2b (hex) of its bytes. folder: absolute; what a relative `root` is relative to. key: real path, or `-` and the
    digest for standard input. parse: makes the data anew from the text.
    """

    __slots__ = ("_data", "_parse", "digest", "folder", "format", "key", "path", "text")

    def __init__(
        self, path: str, format: str, text: str, data: Any, digest: str, folder: str, key: str, parse: Callable[[], Any]
    ):
        self.path = path
        self.format = format
        self.text = text
        self.digest = digest
        self.folder = folder
        self.key = key
        self._data = data
        self._parse = parse

    @property
    def data(self) -> Any:
        """What the text says. After `consume` it is parsed again: only mistakes still ask then."""
        if self._data is _CONSUMED:
            self._data = self._parse()
        return self._data

    def consume(self) -> Any:
        """The data, for the one who takes it apart: at a million tasks it weighs as much as the plan made from it."""
        data, self._data = self.data, _CONSUMED
        return data


_CONSUMED: Final = object()


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def split_pointer(location: str) -> list[str]:
    """The parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in location.split("/")[1:]]


def has_part(value: Any, part: object) -> bool:
    """Whether `value[part]` is a member of an object or an item of a list."""
    if isinstance(value, dict):
        return isinstance(part, str | int) and part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def existing(data: Any, location: str) -> str:
    """The longest beginning of a JSON pointer that exists in the document; what a template gave has no place in a task."""
    value = data
    taken = ""
    for part in split_pointer(location):
        key: str | int = int(part) if isinstance(value, list) and part.isdecimal() else part
        if not has_part(value, key):
            break
        value = value[key]
        taken += pointer(key)
    return taken


def tell_empty(file: str, mistakes: Mistakes) -> None:
    """The mistake of a text that holds no document."""
    mistakes.error("parse.syntax", f"{file!r} is empty", file, hint='the smallest plan is {"tasks": []}')


def show(value: object) -> str:
    """A value for a message: as JSON would write it, on one line, cut."""
    if isinstance(value, str):
        return repr(cut(value))
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an empty object" if not value else f"an object with {cut(', '.join(map(repr, list(value)[:5])))}"
    if isinstance(value, Sequence):
        return "an empty list" if not value else f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**80:
        return f"a number of {value.bit_length() * 30103 // 100000 + 1} digits"
    return cut(repr(value))


def to_problem(mistake: Mistake, places: Mapping[str, Mapping[str, tuple[Place, Place]]]) -> Problem:
    """The final record. places: by file, by location: (place of the key, place of the value)."""

    def place_of(file: str | None, location: str | None, at_key: bool) -> Place:
        found = places.get(file or "", {}).get(location or "")
        return (None, None) if found is None else found[0 if at_key else 1]

    line, column = mistake.line, mistake.column
    if line is None:
        line, column = place_of(mistake.file, mistake.location, mistake.at_key)
    message = mistake.message
    if mistake.others:
        shown = []
        for file, location in mistake.others:
            other_line, other_column = place_of(file, location, True)
            where = f", line {other_line}, column {other_column}" if other_line is not None else ""
            shown.append(f"{file} {location}{where}")
        message += " (" + "; ".join(shown) + ")"
    hint = None if mistake.hint is None else one_line(mistake.hint)
    return Problem(mistake.code, one_line(message), mistake.file, mistake.location, line, column, hint)
