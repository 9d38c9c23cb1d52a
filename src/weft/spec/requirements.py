"""Conditions on the world that must hold before an attempt starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from weft.spec.options import Value


class FileNeed(NamedTuple):
    """A regular file that must exist. bind: the parameter that receives its path."""

    path: str
    bind: str | None = None


class FolderNeed(NamedTuple):
    """A folder with at least `minimum` regular files. source: its files are bound and mapped over."""

    path: str
    minimum: int = 1
    recursive: bool = False
    bind: str | None = None
    source: bool = True


class MatchNeed(NamedTuple):
    """At least `minimum` files that match. kind: `regex` matches the whole path relative to the root; `glob`."""

    pattern: str
    kind: Literal["regex", "glob"] = "regex"
    minimum: int = 1
    bind: str | None = None
    source: bool = True


class Requirements(NamedTuple):
    """All that must hold. signal: paths that must exist and are no inputs. shared_memory: names below the host's folder."""

    files: tuple[FileNeed, ...] = ()
    folders: tuple[FolderNeed, ...] = ()
    match: tuple[MatchNeed, ...] = ()
    shared_memory: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    signal: tuple[str, ...] = ()


NO_REQUIREMENTS = Requirements()


class Foreach(NamedTuple):
    """What a mapped task has one instance of: exactly one of files, values, stream.

    files: one instance per file of the sources in `requires.folders` and `requires.match`.
    stream: the task whose product is consumed item by item. bind: the parameter that receives the item (None: the
    `bind` of the source, or `WEFT_FILE` alone).
    """

    files: bool = False
    values: tuple[Value, ...] | None = None
    stream: str | None = None
    bind: str | None = None


def product_of_parameter(
    name: str, values: Mapping[str, object], tasks: Mapping[str, int]
) -> tuple[int, str | None] | None:
    """(task, key) of a required parameter that a task is to hand on, as `TASK` or `TASK.key`; None for any other.

    values: of the plan's options, which go before tasks of their names. tasks: indexes by name; the longest name that fits.
    """
    if name in values:
        return None
    if name in tasks:
        return tasks[name], None
    end = name.rfind(".")
    while end > 0:
        if name[:end] in tasks:
            return tasks[name[:end]], name[end + 1 :]
        end = name.rfind(".", 0, end)
    return None


def instance_name(task: str, item: str) -> str:
    """How an instance of a mapped task is shown."""
    return f"{task}[{item}]"
