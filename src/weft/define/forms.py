"""Any Python value as plain data that stands for it: equal values have equal forms, in every process and under every hash seed.

Only for digests: a form cannot be turned back. Plain data is its own form, but for dicts and containers that must not be taken
for them; arrays are their bytes; other objects are what they say of themselves to be copied (`__reduce_ex__`).
"""

from __future__ import annotations

import enum
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from weft.spec.fingerprint import digest
from weft.spec.secrets import is_secret_name
from weft.values.orderly import in_order
from weft.values.plain import text_of

DEEPEST: Final = (
    30  # containers of what is no plain data that are looked into; what is below counts by its pickle or its type
)
MOST_SHOWN: Final = 20  # members of a container whose text is made
DEEPEST_SHOWN: Final = 3
LONGEST_SHOWN: Final = 200  # characters of a text that is shown
_TEXTUAL: Final = (PurePath, enum.Enum, complex, range, Decimal, date, time, timedelta)
_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})

OnCode = Callable[[Any], str]
"""Told of each function, class and module that a value holds; what stands for it."""


def qualified(value: Any) -> str:
    """`module:name` of a function or class."""
    return f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', getattr(value, '__name__', '?'))}"


def digest_of_value(value: Any, on_code: OnCode = qualified, pickled: bytes = b"") -> str:
    """Digest (hex) over the form of any value. pickled: the value, for what lies too deep in it to be looked at."""
    former = _Former(on_code)
    form = former.form(value, 0)
    return digest([form, blake2b(pickled).digest()] if former.is_cut and pickled else form)


def form_of(value: Any, on_code: OnCode = qualified) -> Any:
    """Plain data that stands for the value."""
    return _Former(on_code).form(value, 0)


def shown_of(value: Any, depth: int = 0) -> str:
    """A short text for people that follows from what the digest is taken over: no addresses, no order of a set."""
    kind = type(value)
    if kind is int and value.bit_length() > LONGEST_SHOWN:  # Python refuses to write integers of thousands of digits
        return f"<int of {value.bit_length()} bits>"
    if kind in (str, bytes) and len(value) > LONGEST_SHOWN:
        return f"<{kind.__name__}>"
    if kind in _SCALARS or isinstance(value, _TEXTUAL):
        return repr(value)
    if depth < DEEPEST_SHOWN and kind in _BRACKETS and len(value) <= MOST_SHOWN:
        if kind is dict:
            members = sorted(_shown_pair(key, item, depth + 1) for key, item in value.items())
        else:
            members = [shown_of(item, depth + 1) for item in value]
            if kind in (set, frozenset):
                members.sort()
        return f"{_BRACKETS[kind][0]}{', '.join(members)}{_BRACKETS[kind][1]}"
    return f"<{kind.__qualname__}>"


def _shown_pair(key: Any, item: Any, depth: int) -> str:
    is_secret = isinstance(key, str) and is_secret_name(key)
    return f"{shown_of(key, depth)}: {'***' if is_secret else shown_of(item, depth)}"


def _pickled(value: Any) -> bytes | None:
    """What differs when values do, though it may differ between equal ones too; None of what cannot be pickled."""
    try:
        return blake2b(pickle.dumps(in_order(value), protocol=5)).digest()
    except Exception:  # noqa: BLE001 - then its type must do, as of a lock or a connection
        return None


class _Former:
    """One value, while it is looked into. is_cut: something lay too deep."""

    def __init__(self, on_code: OnCode):
        self._on_code = on_code
        self._inside: dict[int, int] = {}
        self.is_cut = False

    def form(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if isinstance(value, FunctionType | BuiltinFunctionType | ModuleType | type):
            return ["code", self._on_code(value)]
        if (kind is list or kind is dict) and text_of(value) is not None:
            return ["plain", value]  # at any depth
        if depth > DEEPEST:
            self.is_cut = True
            return ["deep", qualified(kind), _pickled(value) if kind in _BRACKETS else None]
        if id(value) in self._inside:
            return ["circle", depth - self._inside[id(value)]]
        self._inside[id(value)] = depth
        try:
            return self._container(value, depth + 1)
        finally:
            del self._inside[id(value)]

    def _container(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is list or kind is tuple:
            return [kind.__name__, *(self.form(item, depth) for item in value)]
        if kind is dict:
            pairs = [(digest(self.form(key, depth)), self.form(item, depth)) for key, item in value.items()]
            return ["dict", sorted(pairs, key=lambda pair: pair[0])]
        if kind is set or kind is frozenset:
            return [kind.__name__, sorted(digest(self.form(item, depth)) for item in value)]
        if isinstance(value, enum.Enum):
            return ["enum", self._on_code(kind), value.name]
        if isinstance(value, PurePath):
            return ["path", str(value)]
        if isinstance(value, re.Pattern):
            return ["pattern", value.pattern, value.flags]
        if isinstance(value, CodeType):
            return ["bytecode", value.co_code]
        if isinstance(value, bytearray | memoryview):
            try:
                return ["bytes", bytes(value)]
            except ValueError:  # a view that was released holds nothing any more
                return ["object", qualified(kind)]
        array = self._array(value)
        return array if array is not None else self._reduced(value, depth)

    def _array(self, value: Any) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) is not numpy.ndarray or value.dtype.hasobject:
            return None
        content = numpy.ascontiguousarray(value)
        return (
            ["array", value.dtype.str, list(value.shape), blake2b(content.data.cast("B")).hexdigest()]
            if (content.size)
            else ["array", value.dtype.str, list(value.shape)]
        )

    def _reduced(self, value: Any, depth: int) -> Any:
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001 - what cannot be copied (a lock, a connection) has no value of its own
            return ["object", self._on_code(type(value))]
        if not isinstance(reduced, tuple):
            return ["global", qualified(type(value)), reduced]
        made, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        parts = [self._maker(made, depth), self.form(arguments, depth), self.form(state, depth)]
        parts.append([self.form(item, depth) for item in items] if items is not None else None)
        if pairs is not None:
            formed = [(digest(self.form(key, depth)), self.form(item, depth)) for key, item in pairs]
            parts.append(formed if isinstance(value, OrderedDict) else sorted(formed, key=lambda pair: pair[0]))
        return ["object", *parts]

    def _maker(self, made: Any, depth: int) -> Any:
        if isinstance(made, FunctionType | BuiltinFunctionType | type):
            return self._on_code(made)
        return self.form(made, depth)
