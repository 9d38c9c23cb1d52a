"""Values of options: texts of the command line read by type, defaults checked, parameters of tasks replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from weft.errors import cut, hint_nearest
from weft.formats.mistakes import Mistakes, show
from weft.spec.options import Option
from weft.spec.tasks import Task
from weft.spec.types import BUILTIN, Type, lineage, problem_of

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_INT = r"[-+]?[0-9]{1,4000}"
_FLOAT = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"

Given = Sequence[tuple[str, object]]


def builtin_of(name: str, types: Mapping[str, Type]) -> str:
    """The builtin type that `name` comes from; `any` when it names no builtin one."""
    last = next(reversed(lineage(name, types)), None)
    return last.name if last is not None and last.name in BUILTIN else "any"


def read_value(text: str, builtin: str) -> Any:
    """The value that a text stands for. Raises ValueError with what was expected."""
    word = text.strip()
    if builtin == "bool":
        if word.lower() in _TRUE or word.lower() in _FALSE:
            return word.lower() in _TRUE
        raise ValueError("true or false")
    if builtin == "int":
        if re.fullmatch(_INT, word):
            return int(word)
        raise ValueError("an integer")
    if builtin == "float":
        if re.fullmatch(_INT, word):
            return int(word)
        if re.fullmatch(_FLOAT, word) and abs(float(word)) != float("inf"):
            return float(word)
        raise ValueError("a number")
    if builtin in ("list", "dict"):
        value = _read_json(text)
        if isinstance(value, list if builtin == "list" else dict):
            return value
        raise ValueError(f"{'a list' if builtin == 'list' else 'an object'} written as JSON")
    if builtin == "any":
        value = _read_json(text)
        return text if value is None and word != "null" else value
    return text


def _read_json(text: str) -> Any:
    """The JSON value, None when it is none."""

    def refuse(token: str) -> None:
        raise ValueError(token)

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return None if isinstance(value, float) and abs(value) == float("inf") else value


def value_problem(value: Any, type_name: str, types: Mapping[str, Type]) -> str | None:
    """Why the value is not of the type. Documents have no bytes: a text stands for them."""
    if isinstance(value, str) and "\0" in value:
        return "a text with a NUL character can be no option"
    if isinstance(value, str) and builtin_of(type_name, types) == "bytes":
        return None
    return problem_of(value, type_name, types)


def assign(
    given: Given,
    options: Mapping[str, Option],
    types: Mapping[str, Type],
    wanted: Mapping[str, Any],
    tasks: Mapping[str, int],
    made: list[Task],
    mistakes: Mistakes,
) -> dict[str, Any]:
    """The plan's values from `-o` pairs, defaults not among them; parameters of tasks are replaced in `made`.

    wanted: names that some task's `requires.parameters` holds; they count as declared. tasks: index in `made` by name.
    """
    values: dict[str, Any] = {}
    for name, value in given:
        if name in options:
            _assign_option(name, value, options[name], types, values, mistakes)
        elif name in wanted and name not in tasks:
            values[name] = read_value(value, "any") if isinstance(value, str) else value
        elif "." in name and (owner := _owner(name, tasks)) is not None:
            _assign_parameter(name, owner, value, tasks[owner], made, mistakes)
        else:
            known = list(dict.fromkeys((*options, *(each for each in wanted if each not in tasks))))
            message = f"-o {cut(name)}: the plan has no option {cut(name)!r}"
            if "." in name:
                message = f"-o {cut(name)}: there is no task {cut(name.rpartition('.')[0])!r}"
                known = [*known, *tasks]
                hint = hint_nearest(name.rpartition(".")[0], known)
            else:
                hint = hint_nearest(name, known)
            if hint is None:
                hint = f"its options are {', '.join(map(repr, known[:10]))}" if options else "it declares no options"
            mistakes.error("option.unknown", message, hint=hint)
    return values


def _assign_option(
    name: str, value: object, option: Option, types: Mapping[str, Type], values: dict[str, Any], mistakes: Mistakes
) -> None:
    builtin = builtin_of(option.type, types)
    try:
        read = read_value(value, builtin) if isinstance(value, str) else value
    except ValueError as error:
        message = f"-o {cut(name)}: {show(value)} is not {error}, which option {cut(name)!r} is"
        mistakes.error("option.type", message)
        values[name] = None  # it was given: its lack is not told besides
        return
    problem = value_problem(read, option.type, types)
    if problem:
        mistakes.error("option.type", f"-o {cut(name)}: {problem}")
    values[name] = read


def _owner(name: str, tasks: Mapping[str, int]) -> str | None:
    """The longest task name that `name` begins with, up to a dot."""
    end = name.rfind(".")
    while end > 0:
        if name[:end] in tasks:
            return name[:end]
        end = name.rfind(".", 0, end)
    return None


def _assign_parameter(name: str, owner: str, value: object, index: int, made: list[Task], mistakes: Mistakes) -> None:
    task, key = made[index], name[len(owner) + 1 :]
    if key not in task.parameters:
        message = f"-o {cut(name)}: task {cut(owner)!r} has no parameter {cut(key)!r}"
        hint = hint_nearest(key, task.parameters) or (
            f"its parameters are {', '.join(map(repr, task.parameters))}" if task.parameters else "it has none"
        )
        mistakes.error("option.unknown", message, hint=hint)
        return
    kind = _kind_of(task.parameters[key])
    try:
        read = read_value(value, kind) if isinstance(value, str) else value
    except ValueError as error:
        message = f"-o {cut(name)}: {show(value)} is not {error}, which this parameter is"
        mistakes.error("option.type", message)
        return
    parameters: dict[str, Any] = {**task.parameters, key: read}
    made[index] = replace(task, parameters=MappingProxyType(parameters))


def _kind_of(value: object) -> str:
    """The builtin type by which a text that takes the place of `value` is read; a whole number may become a decimal one."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "float"
    if isinstance(value, str):
        return "str"
    return "list" if isinstance(value, list) else "dict" if isinstance(value, dict) else "any"
