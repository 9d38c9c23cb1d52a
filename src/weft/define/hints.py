"""What a function's type hints say in the words of a registry: `list[int]` is `list_of(int)`, an iterator is a stream."""

from __future__ import annotations

import builtins
import collections.abc
import types
import typing
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from weft.define.types import (
    LIST_OF,
    PYTHON_TYPES,
    STREAM_OF,
    Find,
    ListOf,
    StreamOf,
    TypeNameError,
    builtin_of,
    lineage,
    name_of,
    split,
    unknown_in,
)


class Hint(NamedTuple):
    """A hint as a type. is_optional: None is one, too. is_path: a path object is wanted, not its text.

    named: what stands where Python knows no such name; the type of that name, if the registry has one.
    """

    type: str
    is_stream: bool = False
    is_optional: bool = False
    is_path: bool = False
    named: str | None = None


ANY: Final = Hint("any")
_STREAMS: Final = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)
_DICTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_ABSENT: Final = object()


class _Named:
    """Stands for a name that Python does not know; a class of its own for each, so that it may stand in any hint."""


class _Names(dict[str, Any]):
    """What a hint may name besides globals and builtins: all that there is, and whatever there is not."""

    def __init__(self, local: Mapping[str, Any], known: Mapping[str, Any]):
        super().__init__(local)
        self._known = known

    def __missing__(self, name: str) -> Any:
        if name in self._known or hasattr(builtins, name):
            raise KeyError(name)
        return type(name, (_Named,), {})


def hints_of(function: Any) -> Mapping[str, Hint]:
    """The hints of a function that can be read, by parameter, and `return`. One that cannot be evaluated says nothing."""
    annotations = getattr(function, "__annotations__", None)
    if not annotations:
        return {}
    found: dict[str, Hint] = {}
    for name, annotation in annotations.items():
        resolved = _resolve(function, annotation)
        if resolved is not _ABSENT:
            found[name] = read(resolved)
        elif isinstance(annotation, str) and split(annotation) is not None:
            found[name] = _read_name(annotation)
    return found


def _resolve(function: Any, annotation: object) -> object:
    if not isinstance(annotation, str):
        return annotation
    local: dict[str, Any] = {}
    closure = getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(getattr(function, "__code__", None), "co_freevars", ()), closure, strict=False):
        try:
            local[name] = cell.cell_contents
        except ValueError:  # empty: what it is to hold is not there yet
            continue
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    known = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(holder, known, _Names(local, known))["it"]
    except Exception:  # noqa: BLE001 - hints are any expressions; one that cannot be evaluated here says nothing
        return _ABSENT


def read(annotation: object) -> Hint:
    """What one evaluated hint says."""
    if isinstance(annotation, str | typing.ForwardRef):
        return _read_name(annotation if isinstance(annotation, str) else annotation.__forward_arg__)
    if isinstance(annotation, ListOf | StreamOf):
        return _read_container(annotation)
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return _read_class(annotation)
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return read(arguments[0])
    if isinstance(annotation, typing.NewType):
        return read(annotation.__supertype__)
    if origin is typing.Literal:
        return _read_literal(arguments)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments)
    if origin is list:
        return _container(arguments)
    if origin in _DICTS:
        return Hint("dict")
    if origin in _STREAMS:
        items = read(arguments[0]) if arguments else ANY
        return Hint(_type_of_items(items), is_stream=True, named=_name_of_items(items))
    return ANY


def _read_name(name: str) -> Hint:
    """A type by its name, as people write it where they name types."""
    parts = split(name)
    if parts is not None and parts[0] == STREAM_OF:
        return ANY._replace(is_stream=True, named=parts[1])
    return ANY._replace(named=name)


def _read_container(given: ListOf | StreamOf) -> Hint:
    try:
        return _read_name(name_of(given))
    except TypeNameError:
        return ANY


def resolved(hint: Hint, find: Find) -> Hint:
    """The hint with the type that it names, when that is one."""
    if hint.named is None or unknown_in(hint.named, find) is not None:
        return hint
    return hint._replace(type=hint.named)


def _read_class(given: type) -> Hint:
    if issubclass(given, _Named):
        return _read_name(given.__name__)
    known = PYTHON_TYPES.get(given)
    if known is not None:
        return Hint(known)
    if issubclass(given, PurePath):
        return Hint("path", is_path=True)
    if given in _STREAMS:
        return Hint("any", is_stream=True)
    if typing.is_typeddict(given) or given in _DICTS:
        return Hint("dict")
    return ANY


def _container(arguments: tuple[Any, ...]) -> Hint:
    hint = read(arguments[0]) if arguments else ANY
    items, name = _type_of_items(hint), _name_of_items(hint)
    named = None if name is None else f"{LIST_OF}({name})"
    return Hint("list" if items == "any" else f"{LIST_OF}({items})", named=named)


def _type_of_items(hint: Hint) -> str:
    """The type of the items; those of lists of streams, and of what may be None, are not known."""
    return "any" if hint.is_stream or hint.is_optional else hint.type


def _name_of_items(hint: Hint) -> str | None:
    return None if hint.is_stream or hint.is_optional else hint.named


def _read_literal(values: tuple[Any, ...]) -> Hint:
    kinds = {PYTHON_TYPES.get(type(value), "any") for value in values if value is not None}
    name = kinds.pop() if len(kinds) == 1 else "any"
    return Hint(name, is_optional=None in values)


def _read_union(members: tuple[Any, ...]) -> Hint:
    hints = [read(member) for member in members if member is not type(None)]
    is_optional = len(hints) != len(members)
    names = {hint.type for hint in hints}
    if names == {"int", "float"}:
        return Hint("float", is_optional=is_optional)
    if len(hints) != 1 or hints[0].is_stream:
        return Hint("any", is_optional=is_optional)
    return hints[0]._replace(is_optional=is_optional)


_FITS: Final = frozenset({("int", "float"), ("bool", "int"), ("bool", "float"), ("path", "str"), ("file", "str")})
"""(declared, hinted) of builtin types that differ and go together: the first is one of the second, or may be."""


def contradicts(name: str, hint: str, find: Find) -> bool:
    """Whether no value of the declared type `name` could be what the hint `hint` says."""
    declared, hinted = builtin_of(name, find), builtin_of(hint, find)
    if "any" in (declared, hinted):
        return False
    if declared != hinted:
        same_kind = {declared, hinted} <= {"path", "file"}
        return not same_kind and (declared, hinted) not in _FITS
    hinted_items = split(hint)
    if hinted_items is None:
        return False
    items = next((each.items for each in lineage(name, find) if each.items is not None), None)
    return items is not None and contradicts(items, hinted_items[1], find)
