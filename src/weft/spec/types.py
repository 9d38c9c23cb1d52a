"""Named predicates that options and products share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Type:
    """A named type of a document: its parent's predicate holds first, then its own limits.

    minimum, maximum: for numbers, inclusive. pattern: regular expression that a whole text matches. choices: allowed values.
    """

    name: str
    parent: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: tuple[object, ...] | None = None
    description: str | None = None


BUILTIN: Mapping[str, Type] = MappingProxyType(
    {name: Type(name) for name in ("any", "bool", "int", "float", "str", "bytes", "path", "file", "list", "dict")}
)
