"""Named predicates that options and products share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from weft.errors import cut, shown


class Type(NamedTuple):
    """A named type of a document: its parent's predicate holds first, then its own limits.

    minimum, maximum: for numbers, inclusive. pattern: regular expression that a whole text matches. choices: allowed values.
    predicate: a Python function that says whether a value is one, `module:name` or the base64 of its pickle; called where the
    value is made, never by the engine. paths: as of `Call`. items: type of each item, of a list.
    """

    name: str
    parent: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: tuple[object, ...] | None = None
    description: str | None = None
    predicate: str | None = None
    paths: tuple[str, ...] = ()
    items: str | None = None


BUILTIN: Mapping[str, Type] = MappingProxyType(
    {name: Type(name) for name in ("any", "bool", "int", "float", "str", "bytes", "path", "file", "list", "dict")}
)


def is_kind_of(name: str, wanted: str, types: Mapping[str, Type] = BUILTIN) -> bool:
    """Whether a value of type `name` always is one of type `wanted`: the same, below it, or `any` wanted."""
    return wanted == "any" or any(ancestor.name == wanted for ancestor in lineage(name, types))


def lineage(name: str, types: Mapping[str, Type]) -> tuple[Type, ...]:
    """The type and its parents, nearest first; ends at an unknown name or where parents go in a circle."""
    found: dict[str, Type] = {}
    next_name: str | None = name
    while next_name is not None and next_name not in found:
        found_type = types.get(next_name) or BUILTIN.get(next_name)
        if found_type is None:
            break
        found[next_name] = found_type
        next_name = found_type.parent
    return tuple(found.values())


def problem_of(value: object, type_name: str, types: Mapping[str, Type] = BUILTIN) -> str | None:
    """Why the value is not of the type, None when it is. The parent's predicate comes first."""
    line = lineage(type_name, types)
    if not line:
        return f"there is no type {cut(type_name)!r}"
    if line[-1].parent is not None:
        return f"type {cut(line[-1].name)!r} has no sound parent: {cut(line[-1].parent)!r}"
    for ancestor in reversed(line):
        problem = (
            _builtin_problem(value, ancestor.name) if ancestor.name in BUILTIN else _limit_problem(value, ancestor)
        )
        if problem is not None:
            return problem
    return None


def _builtin_problem(value: object, name: str) -> str | None:
    if name == "any":
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool)
    fits = {
        "bool": isinstance(value, bool),
        "int": is_number,
        "float": is_number or isinstance(value, float),
        "str": isinstance(value, str),
        "bytes": isinstance(value, bytes | bytearray),
        "path": _is_path(value),
        "file": _is_path(value),
        "list": isinstance(value, list | tuple),
        "dict": isinstance(value, Mapping),
    }[name]
    return None if fits else f"{shown(value)} is no {name}"


def _is_path(value: object) -> bool:
    """A text that can be a path, or a path object. Whether a `file` is there, only the run can know."""
    text = value.__fspath__() if hasattr(value, "__fspath__") else value
    return isinstance(text, str) and text != "" and "\0" not in text


def _limit_problem(value: object, limits: Type) -> str | None:
    if limits.minimum is not None or limits.maximum is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{shown(value)} is no number, which {limits.name!r} wants"
        # written so that NaN, which compares as false, fits no limit
        if limits.minimum is not None and not value >= limits.minimum:
            return f"{shown(value)} is below the minimum {limits.minimum:g} of {limits.name!r}"
        if limits.maximum is not None and not value <= limits.maximum:
            return f"{shown(value)} is above the maximum {limits.maximum:g} of {limits.name!r}"
    if limits.pattern is not None and not (isinstance(value, str) and re.fullmatch(limits.pattern, value)):
        return f"{shown(value)} does not match the pattern {cut(limits.pattern)!r} of {limits.name!r}"
    if limits.choices is not None and not any(_is_same(value, choice) for choice in limits.choices):
        return f"{shown(value)} is none of {', '.join(shown(choice) for choice in limits.choices)}"
    return None


def _is_same(value: object, choice: object) -> bool:
    """Equality that tells `true` from 1, as JSON does."""
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice
