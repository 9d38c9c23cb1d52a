"""What a Python module says as a task plan: its `envs`, `notes` and `jobs`, as plain data (dialects.md 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from weft.errors import Problem, cut
from weft.formats.mistakes import pointer
from weft.formats.positions_python import locate_python

SECTIONS: Final = ("envs", "notes", "jobs")
DEEPEST: Final = 200  # as in documents (dialects.md 1.2)
MOST_VALUES: Final = 1_000_000  # a list that holds itself, or one list many times over, has no end


def sections_of(module: ModuleType) -> dict[str, Any]:
    """Those that the module has, in the order of the dialect."""
    return {name: vars(module)[name] for name in SECTIONS if name in vars(module)}


def plain_plan(sections: Mapping[str, Any], file: str, source: str) -> tuple[dict[str, Any], list[Problem]]:
    """(copies of plain data only, what is none). file: for messages; source: of the module, for lines."""
    problems: list[tuple[str, str, str]] = []
    made: dict[str, Any] = {}
    # (value, its path, where its copy goes, under which key)
    waiting: list[tuple[Any, tuple[str | int, ...], Any, Any]] = [
        (value, (name,), made, name) for name, value in reversed(list(sections.items()))
    ]
    number = 0
    while waiting:
        value, path, holder, key = waiting.pop()
        number += 1
        if len(path) > DEEPEST or number > MOST_VALUES:
            problems.append(("parse.depth", pointer(*path[:3]), "nests too deep, or holds itself"))
            break
        copied, inner = _copied(value, path, problems)
        holder[key] = copied
        waiting.extend((each, (*path, part), copied, part) for part, each in reversed(inner))
    places = locate_python(source, [location for _, location, _ in problems]) if problems else {}
    return made, [_problem(each, file, places) for each in problems]


def _copied(
    value: Any, path: tuple[str | int, ...], problems: list[tuple[str, str, str]]
) -> tuple[Any, list[tuple[Any, Any]]]:
    """A copy of the value itself, and what it holds, by key."""
    if value is None or isinstance(value, bool):
        return value, []
    if isinstance(value, str):
        return str.__str__(value), []  # of a subclass the text alone
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value), []
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        for key in wrong:
            problems.append(("shape.type", pointer(*path), f"has the key {_shown(key)}, which is no text"))
        inner = [(str.__str__(key), each) for key, each in value.items() if isinstance(key, str)]
        return dict.fromkeys(key for key, _ in inner), inner
    if isinstance(value, list | tuple):
        return [None] * len(value), list(enumerate(value))
    is_secret = path[0] == "envs"  # values of variables are never told
    shown = f"a {type(value).__name__}" if is_secret else _shown(value)
    problems.append(("shape.type", pointer(*path), f"is {shown}, which is no plain data"))
    return None, []


def _problem(found: tuple[str, str, str], file: str, places: Mapping[str, Any]) -> Problem:
    code, location, text = found
    line, column = places[location][1] if location in places else (None, None)
    hint = "a task plan holds texts, numbers, lists and dicts with texts as keys"
    return Problem(code, f"{location.removeprefix('/')} {text}", file, location, line, column, hint)


def _shown(value: object) -> str:
    try:
        return cut(f"{value!r}")
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may fail; what matters is told beside it
        return f"a {type(value).__name__} (its repr raises {type(error).__name__})"
