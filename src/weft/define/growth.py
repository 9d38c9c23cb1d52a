"""Scales of resources as they are told: checked at once; what an iterator gives is remembered, for each task anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

from weft.define.mistakes import show
from weft.errors import ArgumentError
from weft.spec.compute import read_scales
from weft.spec.retries import Scale

Value = TypeVar("Value")
OFF: Final = ""  # no resource is called that
"""A key of scales that were turned off before others were laid over them: what is below stays away."""

SHARED_VALUES: Final = 4096  # so that a tool that makes tasks for ever does not remember for ever
Scales = Mapping[str, Any]
"""By the names that people use (`runtime`): what `read_scales` takes, with Remembered for an iterator."""


class Remembered:
    """What an iterator gives, read as far as somebody needed, in its own units."""

    __slots__ = ("_iterator", "items")

    def __init__(self, iterator: Iterator[Any]):
        self._iterator = iterator
        self.items: list[Any] = []

    def first(self, count: int) -> list[Any]:
        """At most `count` amounts, always from the beginning."""
        self.items.extend(islice(self._iterator, max(count - len(self.items), 0)))
        return self.items[:count]


class Shared:
    """What tasks of one tool share: the amounts of an iterator that is given again, one object for equal values."""

    __slots__ = ("_known", "_values")

    def __init__(self) -> None:
        self._known: dict[int, tuple[Iterator[Any], Remembered]] = {}
        self._values: dict[Any, Any] = {}

    def same(self, value: Value) -> Value:
        """An equal value that was given before, if there is one."""
        if len(self._values) >= SHARED_VALUES:
            self._values.clear()
        try:
            found: Value = self._values.setdefault(value, value)
        except TypeError:  # it holds what cannot be hashed, such as an object that is called
            return value
        return found

    def amounts_of(self, iterator: Iterator[Any]) -> Remembered:
        """The amounts of an iterator, from where it stood when it was first given."""
        found = self._known.get(id(iterator))
        if found is None:
            found = self._known[id(iterator)] = (iterator, Remembered(iterator))
        return found[1]


def take_scales(given: Any, max_attempts: int, shared: Shared) -> dict[str, Any] | None:
    """Checked, as far as `max_attempts` needs; None stays None. Raises ArgumentError with every mistake."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ArgumentError(f"resource scales are a dict, not {show(given)}")
    taken = {key: _take(entry, shared) for key, entry in given.items()}
    read_scales(_plain(taken, max_attempts), max_attempts)
    return taken


def _take(entry: Any, shared: Shared) -> Any:
    if isinstance(entry, list):
        return tuple(entry)
    if callable(entry) or not isinstance(entry, Iterable) or isinstance(entry, str | bytes | tuple | Mapping):
        return entry
    return shared.amounts_of(iter(entry))


def shown_scales(scales: Scales | None, max_attempts: int) -> dict[str, Any] | None:
    """For people: amounts of an iterator as far as they are needed."""
    return None if scales is None else {key: _shown(each) for key, each in _plain(scales, max_attempts).items()}


def _shown(entry: Any) -> Any:
    return tuple(entry) if isinstance(entry, list) else entry


def _plain(scales: Scales, max_attempts: int) -> dict[str, Any]:
    count = max(max_attempts - 1, 1)
    return {key: each.first(count) if isinstance(each, Remembered) else each for key, each in scales.items()}


def merge_scales(*levels: Scales | None) -> dict[str, Any] | None:
    """Key by key, the lowest level first; an empty level takes away what is below it. None: nobody says anything."""
    merged: dict[str, Any] | None = None
    for level in levels:
        if level is not None:
            merged = {**({} if merged is None or is_off(level) else merged), **level}
            merged.pop(OFF, None)
    return merged


def is_off(level: Scales | None) -> bool:
    """Whether a level takes away what is below it: it is empty, or was when something was laid over it."""
    return level is not None and (not level or OFF in level)


def lay_over(before: Scales | None, taken: Scales, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """`taken` over what a level said; what was given as None is taken away. None: the level says nothing any more."""
    kept = {key: entry for key, entry in (before or {}).items() if key not in given}
    after = {**kept, **taken}
    if is_off(before):
        return {**after, OFF: True}
    return after or None


def engine_scales(scales: Scales | None, max_attempts: int) -> tuple[tuple[str, Scale], ...] | None:
    """As `Retries.scales` holds them. Raises ArgumentError."""
    if scales is None:
        return None
    read = read_scales(_plain(scales, max_attempts), max_attempts)
    return tuple(sorted((read or {}).items(), key=lambda item: item[0]))
