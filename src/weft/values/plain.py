"""Plain data as JSON text that gives back exactly what went in, at any depth."""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # public by name, left out of the type stubs
from math import isfinite
from typing import Any

_SCALARS = frozenset((str, int, bool, type(None)))
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
_WORDS = {"n": ("null", None), "t": ("true", True), "f": ("false", False)}

DEPTH_MOST = 200
"""Nesting of JSON that programs write or read beside ours: many a parser gives up, or dies, a little further down."""


def is_plain(value: Any) -> bool:
    """Whether JSON gives it back exactly: none of it is a subclass, a tuple, NaN, infinite, or keyed by other than text."""
    seen = set()
    open_values = [value]
    while open_values:
        one = open_values.pop()
        kind = type(one)
        if kind in _SCALARS:
            continue
        if kind is float:
            if not isfinite(one):
                return False
        elif kind is list or kind is dict:
            if id(one) in seen:
                continue  # shared; a circle is found when it is written
            seen.add(id(one))
            if kind is dict:
                if not all(type(key) is str for key in one):
                    return False
                open_values.extend(one.values())
            else:
                open_values.extend(one)
        else:
            return False
    return True


def text_of(value: Any) -> str | None:
    """Its JSON text; None when it is not plain, or goes round in a circle."""
    if not is_plain(value):
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        deep = _deep_text(value)
        if deep is None:
            return None
        text = deep
    except ValueError:  # a circle, or an integer that is too long to be written
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates travel as escapes; two of them may join to another character
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        return text if value_of(text) == value else None
    return text


def value_of(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        return _deep_value(text)


def in_order(text: str) -> str:
    """A JSON text with the keys of its objects sorted; as it is when it is nested too deep for that."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=True, sort_keys=True)
    except RecursionError:
        return text


def is_deep(text: str) -> bool:
    """Whether a JSON text is nested beyond DEPTH_MOST."""
    if text.count("[") + text.count("{") <= DEPTH_MOST:
        return False
    depth = 0
    for found in _BRACKETS.finditer(text):
        sign = found.group()
        if sign in "[{":
            depth += 1
            if depth > DEPTH_MOST:
                return True
        elif sign in "]}":
            depth -= 1
    return False


def foreign_value_of(text: str) -> Any:
    """The value of a JSON text that another program wrote, by the letter of RFC 8259. Raises ValueError.

    Refused is what Python would let in and others would not: NaN, infinities, numbers beyond all floats, halves of surrogate
    pairs; and nesting beyond DEPTH_MOST.
    """
    if is_deep(text):
        raise ValueError(f"it is nested more than {DEPTH_MOST} deep")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:  # a low limit of the interpreter's
        value = _deep_value(text)
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        written = _deep_text(value) or ""
    except ValueError:
        raise ValueError("it has a number that is too large") from None
    try:
        written.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("it has half a surrogate pair, which is no character") from None
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it has {name}, which is no number there")


def _deep_text(value: Any) -> str | None:
    """Like `json.dumps`, without recursion; None for a circle."""
    pieces: list[str] = []
    inside = set()
    open_steps: list[tuple[Any, Any]] = [(value, "")]
    while open_steps:
        one, step = open_steps.pop()
        if step is None:  # an end
            inside.discard(id(one))
            pieces.append("]" if type(one) is list else "}")
            continue
        pieces.append(step)
        if type(one) not in (list, dict) or not one:
            pieces.append(json.dumps(one, ensure_ascii=False, allow_nan=False))
            continue
        if id(one) in inside:
            return None
        inside.add(id(one))
        pieces.append("[" if type(one) is list else "{")
        open_steps.append((one, None))
        if type(one) is list:
            steps = [(child, ", " if index else "") for index, child in enumerate(one)]
        else:
            keys = [json.dumps(key, ensure_ascii=False) for key in one]
            steps = [(child, f"{', ' if index else ''}{keys[index]}: ") for index, child in enumerate(one.values())]
        open_steps.extend(reversed(steps))
    return "".join(pieces)


def _deep_value(text: str) -> Any:
    """Like `json.loads`, without recursion, for text that `_deep_text` could have written. Raises ValueError."""
    holders: list[tuple[Any, Any]] = []
    place = 0
    top: list[Any] = []
    current: Any = top
    key: Any = None
    while True:
        place = _skip(text, place)
        sign = text[place : place + 1]
        if sign and sign in "[{":
            made: Any = [] if sign == "[" else {}
            _put(current, key, made)
            holders.append((current, key))
            current, place = made, _skip(text, place + 1)
        else:
            value, place = _scalar(text, place)
            _put(current, key, value)
            place = _skip(text, place)
        is_first = not current
        while current is not top and text[place : place + 1] == ("]" if type(current) is list else "}"):
            current, key = holders.pop()
            place, is_first = _skip(text, place + 1), False
        if current is top:
            break
        if not is_first:
            place = _skip(text, _expect(text, place, ","))
        if type(current) is dict:
            key, place = scanstring(text, _expect(text, place, '"'), True)
            place = _expect(text, _skip(text, place), ":")
    if place != len(text):
        raise ValueError(f"JSON: more after the end, at {place}")
    return top[0]


def _put(holder: Any, key: Any, value: Any) -> None:
    if type(holder) is list:
        holder.append(value)
    else:
        holder[key] = value


def _skip(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found is not None else place


def _expect(text: str, place: int, sign: str) -> int:
    if text[place : place + 1] != sign:
        raise ValueError(f"JSON: {sign!r} was expected at {place}")
    return place + 1


def _scalar(text: str, place: int) -> tuple[Any, int]:
    sign = text[place : place + 1]
    if sign == '"':
        value, end = scanstring(text, place + 1, True)
        return value, end
    if sign in _WORDS and text.startswith(_WORDS[sign][0], place):
        return _WORDS[sign][1], place + len(_WORDS[sign][0])
    found = _NUMBER.match(text, place)
    if found is None:
        raise ValueError(f"JSON: a value was expected at {place}")
    is_float = found.group(1) is not None or found.group(2) is not None
    return (float if is_float else int)(found.group()), found.end()
