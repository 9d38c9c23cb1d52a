"""Where in a JSON text something stands. Looked up only once there is something to tell; linear, iterative.

The text of `locate` has been parsed without fault, so values off the wanted paths are skipped by the C scanner; the
other functions go token by token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from weft.formats.mistakes import Place, pointer, split_pointer

DIGIT_LIMIT = 4300  # digits of an integer that Python converts from text

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")
_SKIP = json.JSONDecoder(object_pairs_hook=len, parse_int=len, parse_float=len, parse_constant=len)

_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")

Trie = dict[str, Any]


class Lines:
    """Line and column (from 1) of offsets that only grow: each stretch of text is counted once."""

    __slots__ = ("_line", "_offset", "_start", "_text")

    def __init__(self, text: str):
        self._text = text
        self._offset = 0
        self._line = 1
        self._start = 0

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset not before the last one asked for."""
        newlines = self._text.count("\n", self._offset, offset)
        if newlines:
            self._line += newlines
            self._start = self._text.rfind("\n", 0, offset) + 1
        self._offset = offset
        return self._line, offset - self._start + 1


def trie_of(locations: Iterable[str]) -> Trie:
    """JSON pointers as nested dicts, to be walked beside a document."""
    root: Trie = {}
    for location in locations:
        node = root
        for part in split_pointer(location):
            node = node.setdefault(part, {})
    return root


def locate(text: str, locations: Iterable[str]) -> dict[str, tuple[Place, Place]]:
    """(place of the key, place of the value) by JSON pointer, for those that exist. Items of lists have their own place twice."""
    wanted = trie_of(locations)
    lines = Lines(text)
    start = _skip_space(text, 0)
    place = lines.place(start)
    found: dict[str, tuple[Place, Place]] = {"": (place, place)}
    # Of each open container: trie node, its pointer, index of the next item (None: an object).
    stack: list[tuple[Trie, str, int | None]] = []
    offset = start
    if wanted and text[start] in "{[":
        stack.append((wanted, "", 0 if text[start] == "[" else None))
        offset = start + 1
    while stack:
        node, path, index = stack.pop()
        offset = _skip_space(text, offset)
        if text[offset] in "]}":
            offset += 1
            continue
        if text[offset] == ",":
            offset = _skip_space(text, offset + 1)
        if index is None:
            key_offset = offset
            key, offset = scanstring(text, offset + 1)
            offset = _skip_space(text, _skip_space(text, offset) + 1)
            stack.append((node, path, None))
        else:
            key_offset, key = offset, str(index)
            stack.append((node, path, index + 1))
        inner = node.get(key)
        if inner is None:
            offset = _SKIP.raw_decode(text, offset)[1]
            continue
        here = path + pointer(key)
        key_place = lines.place(key_offset)
        found[here] = (key_place, lines.place(offset))
        if inner and text[offset] in "{[":
            stack.append((inner, here, 0 if text[offset] == "[" else None))
            offset += 1
        else:
            offset = _SKIP.raw_decode(text, offset)[1]
    return found


def _skip_space(text: str, offset: int) -> int:
    found = _SPACE.match(text, offset)
    return found.end() if found else offset


def json_depth_place(text: str, limit: int) -> tuple[int, int] | None:
    """Where the first container deeper than `limit` opens."""
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "{[":
            depth += 1
            if depth > limit:
                return Lines(text).place(token.start())
        elif first in "}]":
            depth -= 1
    return None


def json_bad_numbers(text: str) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """(pointer, token, place) of numbers that are none: NaN, infinities (also by overflow), thousands of digits."""
    lines = Lines(text)
    for token, stack, is_key in _walk(text):
        word = token[0]
        if not is_key and (word in _NO_NUMBERS or (word[0] in "-0123456789" and _is_too_large(word))):
            yield pointer(*(part for _, part in stack)), word, lines.place(token.start())


def _is_too_large(word: str) -> bool:
    if word.lstrip("-").isdigit():
        return len(word.lstrip("-")) > DIGIT_LIMIT
    return abs(float(word)) == float("inf")


def json_duplicates(text: str) -> Iterator[tuple[str, str, tuple[int, int], tuple[int, int]]]:
    """(pointer, key, first place, later place) of each key that an object has had before."""
    lines = Lines(text)
    for token, stack, is_key in _walk(text):
        if is_key:
            place = lines.place(token.start())
            members, key = stack[-1]
            earlier = members.setdefault(key, place)
            if earlier is not place:
                yield pointer(*(part for _, part in stack)), key, earlier, place


def _walk(text: str) -> Iterator[tuple[re.Match[str], list[list[Any]], bool]]:
    """(token, open containers, whether it is a key) of each key and scalar.

    Of each open container: a dict for who walks and the present key, or None and the index of the present item.
    """
    stack: list[list[Any]] = []
    awaits_key = False
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "{[":
            stack.append([{}, ""] if first == "{" else [None, 0])
            awaits_key = first == "{"
        elif first in "}]":
            stack.pop()
            awaits_key = False
        elif first == ",":
            awaits_key = stack[-1][0] is not None
            if not awaits_key:
                stack[-1][1] += 1
        elif awaits_key and first == '"':
            awaits_key = False
            stack[-1][1] = json.loads(token[0], strict=False)
            yield token, stack, True
        elif first != ":":
            yield token, stack, False


def places(text: str, format: str, locations: Iterable[str]) -> Mapping[str, tuple[Place, Place]]:
    """As `locate`, for any format."""
    if format == "json":
        return locate(text, locations)
    if format == "python":
        from weft.formats.positions_python import locate_python

        return locate_python(text, locations)
    if format == "yaml":
        from weft.formats.parse_yaml import locate_yaml

        return locate_yaml(text, trie_of(locations))
    from weft.formats.positions_toml import locate_toml

    return locate_toml(text, frozenset(locations))
