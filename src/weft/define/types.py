"""Types of a registry: named predicates with a parent, lists and streams of them, and whether a value is one.

A type is referred to by its name. The names of containers follow from their items' (`list_of(int)`), so that equal containers
are one type and nobody has to define them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from weft.define.mistakes import show
from weft.errors import cut
from weft.spec.types import BUILTIN
from weft.spec.types import problem_of as builtin_problem_of

LIST_OF: Final = "list_of"
STREAM_OF: Final = "stream_of"
DEEPEST: Final = 32  # lists in lists that a type may name

Predicate = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, each item of which is of one type."""

    items: TypeName = "any"

    def __str__(self) -> str:
        return f"{LIST_OF}({name_of(self.items)})"


@dataclass(frozen=True, slots=True)
class StreamOf:
    """Items of one type, handed on while they are made: the product of a generator."""

    items: TypeName = "any"

    def __str__(self) -> str:
        return f"{STREAM_OF}({name_of(self.items)})"


TypeName = str | type | ListOf | StreamOf
"""How people name a type: its name, a Python class that a builtin type is named after, or a container."""

PYTHON_TYPES: Final[Mapping[type, str]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
    list: "list",
    dict: "dict",
    object: "any",
}


def list_of(items: TypeName = "any") -> ListOf:
    """The type of a list whose items are all of one type."""
    return ListOf(items)


def stream_of(items: TypeName = "any") -> StreamOf:
    """The product of a task that yields: its items are handed on while it runs."""
    return StreamOf(items)


class TypeNameError(TypeError):
    """What was given names no type at all."""


def name_of(given: object) -> str:
    """The name of a type. Raises TypeNameError."""
    if isinstance(given, str):
        return given
    if isinstance(given, ListOf | StreamOf):
        return str(given)
    if isinstance(given, type):
        if given in PYTHON_TYPES:
            return PYTHON_TYPES[given]
        if issubclass(given, PurePath):
            return "path"
    raise TypeNameError(f"{show(given)} names no type; give a name, or weft.list_of(...) or weft.stream_of(...)")


def split(name: str) -> tuple[str, str] | None:
    """`list_of(int)` as (`list_of`, `int`); None for a name that is no container's."""
    head, opening, rest = name.partition("(")
    if opening and rest.endswith(")") and head in (LIST_OF, STREAM_OF):
        return head, rest[:-1]
    return None


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A type: its parent's predicate holds first, then its own; items: of a list, the type of each."""

    name: str
    parent: str | None = None
    predicate: Predicate | None = None
    items: str | None = None
    description: str | None = None


Find = Callable[[str], TypeDefinition | None]
"""A type by name, None when there is none."""

_NONE: Final[frozenset[type]] = frozenset({type(...)})
_EXACTLY: Final[Mapping[str, frozenset[type]]] = {
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "str": frozenset({str}),
    "bool": frozenset({bool}),
    "bytes": frozenset({bytes}),
    "dict": frozenset({dict}),
    "list": frozenset({list}),
}
"""Classes whose members are of a builtin type for certain."""

_BUILTIN: Final = {name: TypeDefinition(name) for name in BUILTIN}


def implied(name: str) -> TypeDefinition | None:
    """A type that every registry knows: a builtin one, or a list of whatever it is of."""
    known = _BUILTIN.get(name)
    if known is not None:
        return known
    parts = split(name)
    if parts is not None and parts[0] == LIST_OF and name.count("(") <= DEEPEST:
        return TypeDefinition(name, "list", None, parts[1])
    return None


def unknown_in(name: str, find: Find) -> str | None:
    """The part of a type's name that names no type, None when all is known."""
    while True:
        parts = split(name)
        if parts is None:
            return name if find(name) is None else None
        if parts[0] == STREAM_OF or implied(name) is None:
            return name
        name = parts[1]


def lineage(name: str, find: Find) -> list[TypeDefinition]:
    """The type and its parents, nearest first. Types are defined after their parents, so that it ends."""
    found: list[TypeDefinition] = []
    current = find(name)
    while current is not None and current not in found:  # overlays of registries could make a circle
        found.append(current)
        current = find(current.parent) if current.parent is not None else None
    return found


def builtin_of(name: str, find: Find) -> str:
    """The builtin type that a type comes from; `any` when that is all that is known."""
    line = lineage(name, find)
    return line[-1].name if line and line[-1].name in BUILTIN else "any"


def is_kind_of(name: str, wanted: str, find: Find) -> bool:
    """Whether a value of type `name` always is one of type `wanted`."""
    if wanted == "any" or name == wanted:
        return True
    for ancestor in lineage(name, find):
        if ancestor.name == wanted:
            return True
        wanted_items = split(wanted)
        if ancestor.items is not None and wanted_items is not None and wanted_items[0] == LIST_OF:
            return is_kind_of(ancestor.items, wanted_items[1], find)
    return False


def problem_of(value: object, name: str, find: Find) -> str | None:
    """Why a value is not of a type, None when it is. A predicate that raises is a failed check, with its cause."""
    if name == "any" or type(value) in _EXACTLY.get(name, _NONE):
        return None
    line = lineage(name, find)
    if not line:
        return f"there is no type {cut(name)!r}"
    for ancestor in reversed(line):
        problem = _own_problem(value, ancestor, find)
        if problem is not None:
            return problem
    return None


def _own_problem(value: object, kind: TypeDefinition, find: Find) -> str | None:
    if kind.name in BUILTIN:
        return builtin_problem_of(value, kind.name)
    if kind.items is not None:
        return _items_problem(value, kind.items, find)
    if kind.predicate is None:
        return None
    try:
        is_one = bool(kind.predicate(value))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's predicate; told with its cause
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return f"{show(value)} is no {kind.name!r}: its predicate raised {cut(text, 200)}"
    return None if is_one else f"{show(value)} is no {kind.name!r}"


def _items_problem(value: Any, items: str, find: Find) -> str | None:
    if items == "any" or _EXACTLY.get(items, _NONE).issuperset(map(type, value)):  # without a look at each of a million
        return None
    for index, item in enumerate(value):
        problem = problem_of(item, items, find)
        if problem is not None:
            return f"item {index}: {problem}"
    return None
