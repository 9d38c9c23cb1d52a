"""Trackers of the user's: classes named in the settings, and those that installed packages offer (`weft.trackers`).

An instance is made without arguments. Its `capacity()` and `available()` give amounts as people write them, by resource name:
cores as a number, sizes in bytes or as "8G", anything else as a number.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, Final, NamedTuple

from weft.errors import cut
from weft.ports import Tracker
from weft.spec.resources import BYTE_AMOUNTS, to_units
from weft.units import UnitError, parse_size

ENTRY_POINTS: Final = "weft.trackers"


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


def from_class(name: str, reference: str, folder: str) -> Source:
    """`module:Class` or `file.py:Class`; modules and files are looked for in `folder` first."""
    return Source(f"tracker {name!r} ({reference})", lambda: CustomTracker(_find(reference, folder)()))


def from_entry_points() -> list[Source]:
    """What installed packages offer, by name."""
    from importlib.metadata import entry_points

    found = sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: (entry.name, entry.value))
    return [
        Source(f"tracker {entry.name!r} ({entry.value})", lambda entry=entry: CustomTracker(entry.load()()))  # type: ignore[misc]
        for entry in found
    ]


def _find(reference: str, folder: str) -> Any:
    place, _, path = reference.rpartition(":")
    found: Any = _module_from_file(place, folder) if place.endswith(".py") else _module(place, folder)
    for part in path.split("."):
        if not hasattr(found, part):
            raise TrackerError(f"{place!r} has no class {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise TrackerError(f"{reference!r} is no class")
    return found


def _module(name: str, folder: str) -> ModuleType:
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def _module_from_file(path: str, folder: str) -> ModuleType:
    file = os.path.join(folder, path)
    if not os.path.isfile(file):
        raise TrackerError(f"there is no file {file}")
    name = f"weft_tracker_{os.path.splitext(os.path.basename(path))[0]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TrackerError(f"{path!r} is no module")
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that what it defines can be found again, as by dataclasses
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
