"""How the fields of a task specification are found: every spelling, alias and group (dialects.md 2.1, 2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from weft.formats.shape import is_free
from weft.units import UnitError, parse_size, parse_time

_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "task_id": ("id", "name"),
    "time_limit": ("time",),
    "cpu": ("cpus", "cores", "threads"),
    "memory": (),
    "dependencies": ("depends_on",),
    "required_filepath": (),
    "required_folder": (),
    "required_file_expression": (),
    "single_file_task": (),
    "filepath_parameter": (),
    "executable": (),
    "parameters": (),
    "parameter_mapping": (),
    "function": ("function_name", "task_function_name"),
    "module": ("file", "file_name"),
    "script": (),
    "serialized": ("serialised", "serialized_function", "serialised_function"),
    "interrupt_allowed": (),
    "ready_signal": (),
    "output_file": (),
    "output_folder": (),
    "priority": (),
    "niceness": (),
    "max_attempts": (),
    "working_directory": (),
    "environment_variables": (),
    "gpu": (),
    "disk": (),
    "network_bandwidth": (),
    "files": (),
    "files_in_directory": (),
    "shared_memory_files": ("files_in_shared_memory",),
    "parameter_available": (),
}
FIELDS: Final[Mapping[str, str]] = {
    spelling: field for field, others in _ALIASES.items() for spelling in (field, *others)
}
"""The field that a spelling means."""

RESOURCES: Final = "resources"
GROUPS: Final = frozenset(
    (
        *("operational", "operational_parameter", "operational_parameters", "engine", "engine_parameter"),
        *("engine_parameters", "execution", "execution_parameter", "execution_parameters", "task_specification"),
        RESOURCES,
    )
)
TOP_KEYS: Final = ("tasks", "name", "description", "parameters")
KNOWN: Final = (*FIELDS, *sorted(GROUPS))

_BREAKS: Final = re.compile(r"[\s_-]+")

Path = tuple[str | int, ...]


@lru_cache(maxsize=4096)  # the tasks of a document have the same few keys
def spelled(key: str) -> str:
    """The key in snake case: words may be joined by blanks, hyphens or underscores, in any letter case."""
    return _BREAKS.sub("_", key.strip().lower())


class Given(NamedTuple):
    """A value, and where it stands below its task."""

    value: Any
    path: Path


class Fields:
    """What a task says. given: by field. named: amounts of resources that are no field, by their own name.

    conflicts: (field, first, second) of what was said twice, differently. unknown: paths of keys that mean nothing.
    misshapen: groups that are no objects. description: of the task itself.
    """

    __slots__ = ("conflicts", "description", "given", "misshapen", "named", "unknown")

    def __init__(self) -> None:
        self.given: dict[str, Given] = {}
        self.named: dict[str, Given] = {}
        self.conflicts: list[tuple[str, Given, Given]] = []
        self.unknown: list[Path] = []
        self.misshapen: list[Given] = []
        self.description: str | None = None


def find_fields(body: Mapping[str, Any]) -> Fields:
    """The fields of one task, whatever groups they stand in. Groups flatten at any depth."""
    found = Fields()
    for key, value, path, is_amount in _members(body, found):
        field = FIELDS.get(spelled(key))
        if field is not None:
            _add(found.given, field, Given(value, path), found)
        elif is_free(key):
            if key == "description" and isinstance(value, str) and found.description is None:
                found.description = value
        elif is_amount:
            _add(found.named, key, Given(value, path), found)
        else:
            found.unknown.append(path)
    return found


def _members(body: Mapping[str, Any], found: Fields) -> Iterator[tuple[str, Any, Path, bool]]:
    """(key, value, path, whether it stands in `resources`) of all that is no group, in the order of the document."""
    waiting: list[tuple[Iterator[tuple[str, Any]], Path, bool]] = [(iter(body.items()), (), False)]
    while waiting:
        members, base, is_amount = waiting[-1]
        for key, value in members:
            path = (*base, key)
            word = spelled(key)
            if word not in GROUPS:
                yield key, value, path, is_amount
            elif isinstance(value, dict):
                waiting.append((iter(value.items()), path, is_amount or word == RESOURCES))
                break
            elif value is not None:
                found.misshapen.append(Given(value, path))
        else:
            waiting.pop()


def _add(table: dict[str, Given], field: str, new: Given, found: Fields) -> None:
    first = table.setdefault(field, new)
    if first is not new and not _is_same(field, first.value, new.value):
        found.conflicts.append((field, first, new))


def _is_same(field: str, first: Any, second: Any) -> bool:
    """Whether both say the same, also in other units, or one name in a list."""
    return bool(_plain(field, first) == _plain(field, second))


def _plain(field: str, value: Any) -> Any:
    try:
        if field == "time_limit":
            return parse_time(value)
        if field in ("memory", "disk", "network_bandwidth") and value != 0:
            return parse_size(without_rate(value), "MiB")
    except UnitError:
        pass  # it is told as what it is, where units are read
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    return _typed(value)


def _typed(value: Any) -> Any:
    """Comparable without `true` being 1."""
    return (isinstance(value, bool), value) if isinstance(value, bool | int | float) else repr(value)


def without_rate(value: Any) -> Any:
    """A bandwidth as a size: amounts per second may say so."""
    return re.sub(r"\s*(?:/\s*s(?:ec)?|ps)\s*$", "", value) if isinstance(value, str) else value
