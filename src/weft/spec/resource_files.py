"""Files of compute resources and scales for a tool and its task templates (workflows.md 4.4): what their nesting means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from weft.errors import ArgumentError, cut, hint_nearest

SECTIONS: Final = ("tool_resources", "task_template_resources", "tool_scales", "task_template_scales")
EVERY_CLUSTER: Final = "*"

ByCluster = Mapping[str, Mapping[str, Any]]
"""What is asked for, as it was written, by cluster; `*` holds for all."""


class ResourceFile(NamedTuple):
    """resources, scales: of the tool. template_resources, template_scales: by template."""

    resources: ByCluster
    template_resources: Mapping[str, ByCluster]
    scales: ByCluster
    template_scales: Mapping[str, ByCluster]


def read_resource_file(data: Any, tool: str, name: str = "the file") -> ResourceFile:
    """tool: whose sections are wanted. name: of the file, for messages. Raises ArgumentError with every mistake."""
    mistakes: list[str] = []
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise ArgumentError(f"{name}: an object with some of {', '.join(SECTIONS)} is expected, not {cut(repr(data))}")
    for key in data:
        if key not in SECTIONS:
            hint = hint_nearest(str(key), SECTIONS)
            mistakes.append(f"there is no section {cut(repr(key))}" + (f" ({hint})" if hint else ""))
    found = ResourceFile(
        _of_tool(data, "tool_resources", tool, mistakes),
        _of_templates(data, "task_template_resources", mistakes),
        _of_tool(data, "tool_scales", tool, mistakes),
        _of_templates(data, "task_template_scales", mistakes),
    )
    if mistakes:
        raise ArgumentError(f"{name}: " + "; ".join(mistakes))
    return found


def _of_tool(data: Mapping[str, Any], section: str, tool: str, mistakes: list[str]) -> ByCluster:
    """`<cluster>: {...}`, or `<tool>: <cluster>: {...}`. A tool's own amounts lie over those of a cluster."""
    plain: dict[str, Mapping[str, Any]] = {}
    own: dict[str, Mapping[str, Any]] = {}
    for name, entry in _entries(data, section, mistakes):
        if _is_plain(entry):
            plain[name] = entry
        elif name == tool:
            own = _clusters(entry, f"{section}: {cut(name)!r}", mistakes)
        else:
            _clusters(entry, f"{section}: {cut(name)!r}", mistakes)  # another tool's
    return {cluster: {**plain.get(cluster, {}), **own.get(cluster, {})} for cluster in {**plain, **own}}


def _of_templates(data: Mapping[str, Any], section: str, mistakes: list[str]) -> dict[str, ByCluster]:
    """`<template>: <cluster>: {...}`, or `<template>: {...}` for all clusters."""
    found: dict[str, ByCluster] = {}
    for name, entry in _entries(data, section, mistakes):
        if _is_plain(entry):
            found[name] = {EVERY_CLUSTER: entry}
        else:
            found[name] = _clusters(entry, f"{section}: {cut(name)!r}", mistakes)
    return found


def _entries(data: Mapping[str, Any], section: str, mistakes: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = data.get(section)
    if entries is None:
        return
    if not isinstance(entries, Mapping):
        mistakes.append(f"{section} is an object, not {cut(repr(entries))}")
        return
    for name, entry in entries.items():
        if not isinstance(entry, Mapping) or not isinstance(name, str):
            mistakes.append(f"{section}: {cut(repr(name))} is an object, not {cut(repr(entry))}")
        else:
            yield name, entry


def _is_plain(entry: Mapping[str, Any]) -> bool:
    return not any(isinstance(value, Mapping) for value in entry.values())


def _clusters(entry: Mapping[str, Any], subject: str, mistakes: list[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for cluster, asked in entry.items():
        if not isinstance(cluster, str) or not isinstance(asked, Mapping) or not _is_plain(asked):
            mistakes.append(f"{subject}: {cut(repr(cluster))} is a cluster's object of amounts, not {cut(repr(asked))}")
        else:
            found[cluster] = asked
    return found
