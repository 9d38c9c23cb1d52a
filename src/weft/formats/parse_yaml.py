"""YAML as plain data: JSON's values by the core schema of YAML 1.2, built from parser events without recursion.

No tags, and dates, `yes`, `1:30` stay texts: what a plan says must not depend on a reader's idea of a time. Aliases and
`<<` are expanded by sharing; the nodes that they stand for are counted, so that a small text cannot become a huge plan.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterator
from typing import Any

from weft.errors import cut
from weft.formats.mistakes import NO_DATA, STAND_IN, Mistakes, Place, pointer, tell_empty

NODE_LIMIT = 1_000_000  # nodes that aliases may stand for; dialects.md 1.6
MISTAKE_LIMIT = 1_000  # a text with so many is no plan; the rest would only take time
_MERGE = "<<"
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_DIGIT_LIMIT = 4000


class _Stop(Exception):
    """Nothing sound can follow."""


class _Builder:
    """One document from its events. A container under construction: [value, pending key, size so far, anchor, seen keys]."""

    def __init__(self, file: str, mistakes: Mistakes, depth_limit: int):
        self._file = file
        self._mistakes = mistakes
        self._depth_limit = depth_limit
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: list[list[Any]] = []
        self._expanded = 0
        self._told = 0
        self.root: Any = NO_DATA

    def error(self, code: str, message: str, mark: Any, location: str | None = None) -> None:
        self._mistakes.error(code, message, self._file, location, line=mark.line + 1, column=mark.column + 1)
        self._told += 1
        if self._told >= MISTAKE_LIMIT:
            raise _Stop

    def location(self) -> str:
        return pointer(
            *(
                len(frame[0]) if isinstance(frame[0], list) else frame[1][0]
                for frame in self._open
                if frame[1] or isinstance(frame[0], list)
            )
        )

    def open(self, value: Any, event: Any) -> None:
        self._refuse_tag(event)
        if len(self._open) >= self._depth_limit:
            self.error("parse.depth", f"{self._file!r} nests deeper than {self._depth_limit} levels", event.start_mark)
            raise _Stop
        if self._open and isinstance(self._open[-1][0], dict) and self._open[-1][1] is None:
            self.error("parse.syntax", "a key must be a text, not a list or an object", event.start_mark)
            raise _Stop
        self._open.append([value, None, 1, event.anchor, {}])

    def close(self, mark: Any) -> None:
        value, _, size, anchor, _ = self._open.pop()
        self._take(value, size, anchor, mark)

    def scalar(self, event: Any) -> None:
        self._refuse_tag(event)
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top[0], dict) and top[1] is None:
            self._key(top, event)
            return
        value = event.value if event.style else self._resolve(event)
        self._take(value, 1, event.anchor, event.start_mark)

    def alias(self, event: Any) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            self.error("parse.syntax", f"there is no anchor {cut(event.anchor)!r} before this alias", event.start_mark)
            raise _Stop
        value, size = found
        self._expanded += size
        if self._expanded > NODE_LIMIT:
            self.error("parse.depth", f"aliases stand for more than {NODE_LIMIT} nodes", event.start_mark)
            raise _Stop
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top[0], dict) and top[1] is None:
            self.error("parse.syntax", "a key may not be an alias", event.start_mark)
            raise _Stop
        self._take(value, size, None, event.start_mark)

    def _key(self, top: list[Any], event: Any) -> None:
        key, seen = event.value, top[4]
        if key in seen:
            first = seen[key]
            message = (
                f"key {cut(key)!r} stands twice in one object: line {first.line + 1}, column {first.column + 1} "
                f"and line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"
            )
            top[1] = (key,)
            self.error("parse.duplicate_key", message, event.start_mark, self.location())
        seen.setdefault(key, event.start_mark)
        top[1] = (key,)

    def _take(self, value: Any, size: int, anchor: str | None, mark: Any) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self.root = value
            return
        top = self._open[-1]
        top[2] += size
        if isinstance(top[0], list):
            top[0].append(value)
            return
        (key,), top[1] = top[1], None
        if key == _MERGE:
            self._merge(top, value, mark)
        else:
            top[0][key] = value

    def _merge(self, top: list[Any], value: Any, mark: Any) -> None:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self.error("parse.syntax", "'<<' takes an object or a list of objects", mark)
            return
        merged: dict[str, Any] = {}
        for source in reversed(sources):
            merged.update(source)
        for key, member in merged.items():
            top[0].setdefault(key, member)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            message = f"the tag {cut(event.tag)!r} is not allowed: a plan holds plain data"
            self.error("parse.syntax", message, event.start_mark)

    def _resolve(self, event: Any) -> Any:
        text = event.value
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            if len(text) <= _DIGIT_LIMIT:
                return int(text)
        elif _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        elif _HEXADECIMAL.fullmatch(text):
            return int(text[2:], 16)
        elif _FLOAT.fullmatch(text):
            value = float(text)
            if math.isfinite(value):
                return value
        elif not _NOT_FINITE.fullmatch(text):
            return text
        message = f"{cut(text, 40)} is not a number that a plan may hold"
        self.error("parse.number", message, event.start_mark, self.location())
        return STAND_IN


def _events(text: str) -> Iterator[Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Broken(error.problem or error.context or "it cannot be read", mark) from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise _Broken(str(error), None) from error


class _Broken(Exception):
    def __init__(self, reason: str, mark: Any):
        super().__init__(reason)
        self.reason = reason
        self.mark = mark


def parse_yaml(text: str, file: str, mistakes: Mistakes, depth_limit: int) -> Any:
    """The data of the only document in `text`, NO_DATA when it is broken."""
    if importlib.util.find_spec("yaml") is None:
        message = f"{file!r} is YAML, which needs the package PyYAML"
        mistakes.error("read.suffix", message, file, hint="pip install 'weft[yaml]'")
        return NO_DATA
    builder = _Builder(file, mistakes, depth_limit)
    documents = 0
    try:
        for event in _events(text):
            kind = type(event).__name__
            if kind == "ScalarEvent":
                builder.scalar(event)
            elif kind == "MappingStartEvent":
                builder.open({}, event)
            elif kind == "SequenceStartEvent":
                builder.open([], event)
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                builder.close(event.start_mark)
            elif kind == "AliasEvent":
                builder.alias(event)
            elif kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    builder.error("parse.syntax", f"{file!r} holds more than one document", event.start_mark)
                    return NO_DATA
    except _Broken as broken:
        mark = broken.mark
        place = {} if mark is None else {"line": mark.line + 1, "column": mark.column + 1}
        mistakes.error("parse.syntax", f"{file!r} is not YAML: {cut(broken.reason)}", file, **place)
        return NO_DATA
    except _Stop:
        return NO_DATA
    if not documents:  # comments and directives alone
        tell_empty(file, mistakes)
    return builder.root


def locate_yaml(text: str, wanted: dict[str, Any]) -> dict[str, tuple[Place, Place]]:
    """(place of the key, place of the value) by JSON pointer, from the parser's marks. Values behind aliases have none."""
    found: dict[str, tuple[Place, Place]] = {}
    # Of each open container: trie node (None: off the wanted paths), pointer, next index or None, (key, its place) or None.
    stack: list[list[Any]] = []
    for event in _events(text):
        kind = type(event).__name__
        if kind in ("MappingEndEvent", "SequenceEndEvent"):
            stack.pop()
            continue
        if kind not in ("ScalarEvent", "AliasEvent", "MappingStartEvent", "SequenceStartEvent"):
            continue
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        top = stack[-1] if stack else None
        if top is not None and top[2] is None and top[3] is None:
            top[3] = (event.value, place) if kind == "ScalarEvent" else ("", place)
            continue
        node: dict[str, Any] | None = wanted
        here, key_place = "", place
        if top is not None:
            if top[2] is None:
                (key, key_place), top[3] = top[3], None
            else:
                key, top[2] = str(top[2]), top[2] + 1
            node = None if top[0] is None else top[0].get(key)
            here = top[1] + pointer(key) if node is not None else ""
        if node is not None:
            found[here] = (key_place, place)
        if kind == "MappingStartEvent":
            stack.append([node, here, None, None])
        elif kind == "SequenceStartEvent":
            stack.append([node, here, 0, None])
    return found
