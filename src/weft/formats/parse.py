"""From text to plain data: dicts, lists, texts, numbers, booleans, None. Mistakes that leave data behind do not stop it."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

from weft.errors import cut
from weft.formats.mistakes import NO_DATA, STAND_IN, Mistakes, pointer, tell_empty

DEPTH_LIMIT = 200  # dialects.md 1.2
MISTAKE_LIMIT = 1_000  # of one kind in a text; nobody reads more, and the rest would only take time
TOML_LINE_LIMIT = 16 << 20  # characters; the standard library's reader takes a second for each ten million
TOML_DUPLICATES_LIMIT = 16 << 20  # characters read in all to find further ones, since each is found by reading anew

_EXPECTED_BEFORE = {"}": "Expecting property name enclosed in double quotes", "]": "Expecting value"}
_SURROGATE_ESCAPE = r"\\[uU](?:0000)?[dD][89a-fA-F]"
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_TOML_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_TOML_DEEP_KEY = rf"""(?<![\w"'.-])(?:{_TOML_KEY}[ \t]*+\.[ \t]*+){{{DEPTH_LIMIT}}}"""
_TOML_PLACE = r"\(at line (\d+), column (\d+)\)|\(at end of document\)"


def parse(text: str, format: str, file: str, mistakes: Mistakes) -> Any:
    """The document's data, NO_DATA when it cannot be had. format: `json`, `yaml`, `toml`."""
    if not text or text.isspace():
        tell_empty(file, mistakes)
        return NO_DATA
    if format == "yaml":
        from weft.formats.parse_yaml import parse_yaml

        data = parse_yaml(text, file, mistakes, DEPTH_LIMIT)
    elif format == "toml":
        data = _parse_toml(text, file, mistakes)
    else:
        data = _parse_json(text, file, mistakes)
    if data is NO_DATA:
        return data
    return data if _is_sound(data, text, format, file, mistakes) else NO_DATA


def _parse_json(text: str, file: str, mistakes: Mistakes) -> Any:
    flaws: set[str] = set()

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) != len(members):
            flaws.add("duplicate")
        return made

    def number(token: str) -> float:
        value = float(token)
        if math.isinf(value):
            flaws.add("number")
            return STAND_IN
        return value

    def constant(_token: str) -> int:
        flaws.add("number")
        return STAND_IN

    def read(read_integer: Callable[[str], int] | None) -> Any:
        return json.loads(
            text, object_pairs_hook=pairs, parse_float=number, parse_int=read_integer, parse_constant=constant
        )

    try:
        try:
            data = read(None)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer with more digits than Python converts; only now is each worth a call of ours
            data = read(_integer_reader(flaws))
    except json.JSONDecodeError as error:
        reason, line, column = _json_mistake(error)
        mistakes.error("parse.syntax", f"{file!r} is not JSON: {reason}", file, line=line, column=column)
        return NO_DATA
    except RecursionError:
        _tell_depth(_json_depth_place(text), file, mistakes)
        return NO_DATA
    if flaws:
        _tell_flaws(flaws, text, file, mistakes)
    return data


def _integer_reader(flaws: set[str]) -> Callable[[str], int]:
    from weft.formats.positions import DIGIT_LIMIT  # late, as below: sound documents need no places

    def integer(token: str) -> int:
        if len(token.lstrip("-")) > DIGIT_LIMIT:
            flaws.add("number")
            return STAND_IN
        return int(token)

    return integer


def _tell_flaws(flaws: set[str], text: str, file: str, mistakes: Mistakes) -> None:
    from weft.formats import positions

    if "duplicate" in flaws:
        for location, key, first, second in islice(positions.json_duplicates(text), MISTAKE_LIMIT):
            _tell_duplicate(key, location, first, second, file, mistakes)
    if "number" in flaws:
        for location, token, (line, column) in islice(positions.json_bad_numbers(text), MISTAKE_LIMIT):
            mistakes.error("parse.number", _number_message(token), file, location, line=line, column=column)


def _json_depth_place(text: str) -> tuple[int, int] | None:
    from weft.formats.positions import json_depth_place

    return json_depth_place(text, DEPTH_LIMIT)


def _json_mistake(error: json.JSONDecodeError) -> tuple[str, int, int]:
    """What is wrong, with its line and column: the same on all versions of Python."""
    comma = _trailing_comma(error)
    if comma is None:
        return _json_reason(error), error.lineno, error.colno
    place = json.JSONDecodeError(error.msg, error.doc, comma)
    return "a comma after the last member", place.lineno, place.colno


def _trailing_comma(error: json.JSONDecodeError) -> int | None:
    """Where the comma is that stands before a closing bracket; Python before 3.13 points at the bracket."""
    if error.msg.startswith("Illegal trailing comma"):
        return error.pos
    if _EXPECTED_BEFORE.get(error.doc[error.pos : error.pos + 1]) != error.msg:
        return None
    before = error.doc[: error.pos].rstrip(" \t\r\n")
    return len(before) - 1 if before.endswith(",") else None


def _json_reason(error: json.JSONDecodeError) -> str:
    reason = error.msg[0].lower() + error.msg[1:]
    if error.msg == "Extra data":
        return "text after its end"
    return f"{reason}, found {cut(error.doc[error.pos : error.pos + 20])!r}" if error.pos < len(error.doc) else reason


def _number_message(token: str) -> str:
    if len(token) > 40:
        return f"the number {token[:20]}… has {len(token)} characters, which is too long"
    return f"{token} is not a number that a plan may hold"


def _tell_depth(place: tuple[int, int] | None, file: str, mistakes: Mistakes) -> None:
    line, column = place or (None, None)
    message = f"{file!r} nests deeper than {DEPTH_LIMIT} levels"
    mistakes.error("parse.depth", message, file, line=line, column=column)


def _tell_duplicate(
    key: str, location: str, first: tuple[int, int], second: tuple[int, int], file: str, mistakes: Mistakes
) -> None:
    message = (
        f"key {cut(key)!r} stands twice in one object: line {first[0]}, column {first[1]} "
        f"and line {second[0]}, column {second[1]}"
    )
    mistakes.error("parse.duplicate_key", message, file, location, line=second[0], column=second[1])


def _parse_toml(text: str, file: str, mistakes: Mistakes) -> Any:
    line = _overlong_line(text, TOML_LINE_LIMIT)
    if line is not None:
        message = f"{file!r} is not TOML: a line of more than {TOML_LINE_LIMIT} characters"
        mistakes.error("parse.syntax", message, file, line=line, hint="hand large values over in a file")
        return NO_DATA
    deep = _deep_key(text)
    if deep is not None:
        _tell_depth(deep, file, mistakes)
        return NO_DATA
    import tomllib  # late: few plans are TOML

    budget = TOML_DUPLICATES_LIMIT
    sound = text  # less what stands twice
    while True:
        try:
            return _plain(tomllib.loads(sound))
        except tomllib.TOMLDecodeError as error:
            budget -= len(sound)
            rest = _toml_mistake(str(error), sound, file, mistakes)
            if rest is None or budget < 0:
                return NO_DATA
            sound = rest
        except RecursionError:
            _tell_depth(None, file, mistakes)
            return NO_DATA
        except ValueError as error:  # an integer with more digits than Python converts
            mistakes.error("parse.number", f"{file!r} holds a number that is too long: {cut(str(error))}", file)
            return NO_DATA


def _deep_key(text: str) -> tuple[int, int] | None:
    """Where a dotted key of too many parts stands; the standard library's reader takes the square of their number."""
    if text.count(".") < DEPTH_LIMIT:
        return None
    for found in re.finditer(_TOML_DEEP_KEY, text):
        start = text.rfind("\n", 0, found.start()) + 1
        if not re.search("[\"'#]", text[start : found.start()]):  # no text and no comment
            return text.count("\n", 0, start) + 1, found.start() - start + 1
    return None


def _toml_mistake(message: str, text: str, file: str, mistakes: Mistakes) -> str | None:
    """Tells what the reader refused. If that was a duplicate: the text without it, places unchanged, to be read on."""
    found = re.search(_TOML_PLACE, message)
    line, column = (int(found[1]), int(found[2])) if found and found[1] else (None, None)
    reason = re.sub(_TOML_PLACE, "", message).strip()
    is_duplicate = reason.startswith(("Cannot overwrite", "Cannot declare", "Cannot redefine", "Duplicate"))
    code = "parse.duplicate_key" if is_duplicate else "parse.syntax"
    if is_duplicate:
        from weft.formats.positions_toml import find_duplicate

        duplicate = find_duplicate(text, len(text) if line is None else _offset(text, line, column or 1))
        if duplicate is not None:
            location, key, first, second, region = duplicate
            _tell_duplicate(key, location, first, second, file, mistakes)
            return None if region is None else _blanked(text, *region)
    reason = reason[:1].lower() + reason[1:]
    mistakes.error(code, f"{file!r} is not TOML: {cut(reason)}", file, line=line, column=column)
    return None


def _offset(text: str, line: int, column: int) -> int:
    offset = 0
    for _ in range(line - 1):
        offset = text.index("\n", offset) + 1
    return offset + column - 1


def _blanked(text: str, start: int, end: int) -> str:
    """The text with spaces for all but the line ends between two offsets."""
    return text[:start] + re.sub(r"[^\r\n]", " ", text[start:end]) + text[end:]


def _overlong_line(text: str, limit: int) -> int | None:
    """The number (from 1) of the first line that is longer than `limit`; looks at one place per `limit` characters."""
    start = 0
    while len(text) - start > limit:
        end = text.rfind("\n", start, start + limit + 1)
        if end < 0:
            return text.count("\n", 0, start) + 1
        start = end + 1
    return None


def _plain(data: Any) -> Any:
    """TOML's dates and times as the texts that JSON would hold, in place."""
    containers = [data]
    while containers:
        container = containers.pop()
        members = container.items() if isinstance(container, dict) else enumerate(container)
        for key, value in list(members):
            if isinstance(value, datetime.date | datetime.time):
                container[key] = value.isoformat()
            elif isinstance(value, dict | list):
                containers.append(value)
    return data


def _is_sound(data: Any, text: str, format: str, file: str, mistakes: Mistakes) -> bool:
    """Whether it is shallow enough. Level by level, never recursive; what only some formats' parsers let through is mended."""
    look_closer = format != "json" or ("\\u" in text and re.search(_SURROGATE_ESCAPE, text) is not None)
    level = [data] if isinstance(data, dict | list) else []
    depth = 0
    is_clean = True
    while level:
        depth += 1
        if depth > DEPTH_LIMIT:
            place = _json_depth_place(text) if format == "json" else None
            _tell_depth(place, file, mistakes)
            return False
        if look_closer and is_clean:
            is_clean = all(map(_is_clean, level))
        level = [
            value
            for container in level
            for value in (container.values() if type(container) is dict else container)
            if type(value) is dict or type(value) is list
        ]
    if not is_clean:
        _mend(data, file, mistakes)
    return True


def _is_clean(container: Any) -> bool:
    """Whether no member is an infinity or not a number, and no text holds half a surrogate pair."""
    members = [*container, *container.values()] if isinstance(container, dict) else container
    return not any(
        not math.isfinite(member) if isinstance(member, float) else _is_broken_text(member) for member in members
    )


def _is_broken_text(value: Any) -> bool:
    return isinstance(value, str) and not value.isprintable() and _SURROGATES.search(value) is not None


def _mend(data: Any, file: str, mistakes: Mistakes) -> None:
    """Tells what is not clean, with its place, and puts something sound in its stead, so that the rest can be looked at."""
    containers = [(data, "")]
    seen: set[int] = set()  # aliases share what they stand for
    while containers:
        container, where = containers.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        if isinstance(container, dict):
            _mend_keys(container, where, file, mistakes)
        for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            location = where + pointer(key)
            if isinstance(value, dict | list):
                containers.append((value, location))
            elif isinstance(value, float) and not math.isfinite(value):
                mistakes.error("parse.number", _number_message(repr(value)), file, location)
                container[key] = STAND_IN
            elif _is_broken_text(value):
                container[key] = _mended(value, location, file, mistakes)


def _mend_keys(container: dict[str, Any], where: str, file: str, mistakes: Mistakes) -> None:
    if not any(map(_is_broken_text, container)):
        return
    members = list(container.items())
    container.clear()
    for key, value in members:
        container[_mended(key, where, file, mistakes) if _is_broken_text(key) else key] = value


def _mended(text: str, location: str, file: str, mistakes: Mistakes) -> str:
    mistakes.error("parse.syntax", f"the text {cut(text)!r} holds half a surrogate pair", file, location)
    return _SURROGATES.sub("\ufffd", text)
