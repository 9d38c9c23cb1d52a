"""Trackers of the user's: objects of their classes, asked as ours are.

An instance is made without arguments. Its `capacity()` and `available()` give amounts as people write them, by resource name:
cores as a number, sizes in bytes or as "8G", anything else as a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from weft.errors import cut
from weft.ports import Tracker
from weft.spec.resources import BYTE_AMOUNTS, to_units
from weft.units import UnitError, parse_size


class TrackerError(Exception):
    """A tracker cannot be used, or told nonsense. The message says why."""


class CustomTracker:
    """Fulfils `ports.Tracker` around an object of the user's."""

    def __init__(self, subject: Any):
        self._subject = subject
        for method in ("capacity", "available"):
            if not callable(getattr(subject, method, None)):
                raise TrackerError(f"it has no method {method}()")

    def capacity(self) -> Mapping[str, int]:
        """See `ports.Tracker`. Raises TrackerError for what is no amount."""
        return _units_of("capacity", self._subject.capacity())

    def available(self) -> Mapping[str, int]:
        """See `ports.Tracker`. Raises TrackerError for what is no amount."""
        return _units_of("available", self._subject.available())


class Source(NamedTuple):
    """A tracker that is to be made. origin: for people: which one, and where it was named."""

    origin: str
    make: Callable[[], Tracker]


def source_of(origin: str, load: Callable[[], Any]) -> Source:
    """Of a class that `load` gives; it is loaded when its tracker is made."""
    return Source(origin, lambda: CustomTracker(load()()))


def _units_of(method: str, amounts: Any) -> dict[str, int]:
    if not isinstance(amounts, Mapping):
        raise TrackerError(f"{method}() gave {cut(repr(amounts))}, which is no mapping of names and amounts")
    return {_name(method, name): _units(method, name, amount) for name, amount in amounts.items()}


def _name(method: str, name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise TrackerError(f"{method}() names a resource {cut(repr(name))}; names are text")
    return name


def _units(method: str, name: str, amount: Any) -> int:
    if amount in (0, "0"):  # no size that anybody could ask for, but what may be left of one
        return 0
    try:
        if name in BYTE_AMOUNTS:
            return parse_size(int(amount) if isinstance(amount, float) else amount)
        if isinstance(amount, int | float) and not isinstance(amount, bool) and 0 <= amount < 1e12:
            return to_units(name, amount)
    except (UnitError, ValueError, OverflowError) as error:
        raise TrackerError(f"{method}() gave {name} = {cut(repr(amount))}: {error}") from error
    raise TrackerError(f"{method}() gave {name} = {cut(repr(amount))}, which is no number of at least 0")
