"""How arguments of a function travel as texts in a command, and come back as what its annotations say (workflows.md 8).

A text stands for itself, a number and a flag for what Python prints, everything else for JSON. None, where it is allowed, is
`None`; a text that would read like that gets a backslash before it.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, Final, NamedTuple

from weft.define.mistakes import show

Serializers = Mapping[Any, tuple[Callable[[Any], str], Callable[[str], Any]]]

_NONE: Final = "None"
_FLAGS: Final = {"True": True, "true": True, "False": False, "false": False}
_KNOWN: Final = "str, int, float, bool, lists, tuples and sets of these, Optional, or a type with serializers"


class Codec(NamedTuple):
    """plain: a value as JSON data; back: the way back; both raise TypeError or ValueError. is_text: plain gives texts."""

    plain: Callable[[Any], Any]
    back: Callable[[Any], Any]
    is_text: bool = False
    is_optional: bool = False

    def text(self, value: Any) -> str:
        """The value as it stands in a command."""
        plain = self.plain(value)
        if plain is None:
            return _NONE
        if isinstance(plain, str) and self.is_text:
            return f"\\{plain}" if self.is_optional and (plain == _NONE or plain.startswith("\\")) else plain
        if isinstance(plain, bool | int | float):
            return repr(plain)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))

    def value(self, text: str) -> Any:
        """What a text in a command stands for."""
        if self.is_optional and text == _NONE:
            return None
        if self.is_text:
            return self.back(text.removeprefix("\\") if self.is_optional else text)
        return self.back(_FLAGS[text] if text in _FLAGS else json.loads(text) if text[:1] == "[" else text)


def codec_of(annotation: Any, serializers: Serializers) -> Codec:
    """Raises TypeError for what cannot travel."""
    own = _own(annotation, serializers)
    if own is not None:
        return own
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _optional(annotation, members, serializers)
    if origin in (list, set, frozenset) and len(members) == 1:
        return _many(origin, codec_of(members[0], serializers))
    if origin is tuple and len(members) == 2 and members[1] is Ellipsis:
        return _many(tuple, codec_of(members[0], serializers))
    if origin is tuple and members:
        return _fixed([codec_of(member, serializers) for member in members])
    raise TypeError(f"{_shown(annotation)} cannot travel in a command: say {_KNOWN}")


def optional(codec: Codec) -> Codec:
    """The same, or None."""

    def plain(value: Any) -> Any:
        return None if value is None else codec.plain(value)

    def back(found: Any) -> Any:
        return None if found is None else codec.back(found)

    return Codec(plain, back, codec.is_text, is_optional=True)


def _shown(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", None) or str(annotation)


def _own(annotation: Any, serializers: Serializers) -> Codec | None:
    try:
        pair = serializers.get(annotation)
    except TypeError:  # an annotation that cannot be a key
        return None
    if pair is None:
        return None
    to_text, from_text = pair

    def plain(value: Any) -> str:
        text = to_text(value)
        if not isinstance(text, str):
            raise TypeError(f"the serializer of {_shown(annotation)} gave {show(text)}, which is no text")
        return text

    return Codec(plain, from_text, is_text=True)


def _optional(annotation: Any, members: tuple[Any, ...], serializers: Serializers) -> Codec:
    others = [member for member in members if member is not type(None)]
    if len(others) != 1 or len(others) == len(members):
        raise TypeError(f"{_shown(annotation)} may be one of several types: say {_KNOWN}")
    return optional(codec_of(others[0], serializers))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is expected, not {show(value)}")
    return str.__str__(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"a whole number is expected, not {show(value)}")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"a number is expected, not {show(value)}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):  # NumPy's
        raise TypeError(f"True or False is expected, not {show(value)}")
    return bool(value)


def _whole_back(found: Any) -> int:
    return int(found) if isinstance(found, str) else _whole(found)


def _number_back(found: Any) -> float:
    return float(found) if isinstance(found, str) else _number(found)


def _flag_back(found: Any) -> bool:
    if not isinstance(found, bool):
        raise ValueError(f"True or False is expected, not {show(found)}")
    return found


_PLAIN: Final[dict[Any, Codec]] = {
    str: Codec(_text, _text, is_text=True),
    int: Codec(_whole, _whole_back),
    float: Codec(_number, _number_back),
    bool: Codec(_flag, _flag_back),
}


def _many(kind: type[Any], member: Codec) -> Codec:
    takes: tuple[type[Any], ...] = (set, frozenset) if kind in (set, frozenset) else (list, tuple)

    def plain(values: Any) -> list[Any]:
        if not isinstance(values, takes):
            raise TypeError(f"a {kind.__name__} is expected, not {show(values)}")
        made = [member.plain(value) for value in values]
        # Sets have an order of their own in each process; the text must not.
        return sorted(made, key=lambda each: json.dumps(each)) if set in takes else made

    def back(found: Any) -> Any:
        return kind([member.back(each) for each in _listed(found)])

    return Codec(plain, back)


def _fixed(members: list[Codec]) -> Codec:
    def check(values: Any) -> Any:
        if len(values) != len(members):
            raise TypeError(f"a tuple of {len(members)} is expected, not {show(values)}")
        return values

    def plain(values: Any) -> list[Any]:
        if not isinstance(values, list | tuple):
            raise TypeError(f"a tuple is expected, not {show(values)}")
        return [member.plain(value) for member, value in zip(members, check(values), strict=True)]

    def back(found: Any) -> Any:
        return tuple([member.back(each) for member, each in zip(members, check(_listed(found)), strict=True)])

    return Codec(plain, back)


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"a list is expected, not {show(found)}")
    return found
