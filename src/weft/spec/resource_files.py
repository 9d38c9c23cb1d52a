"""Files of compute resources and scales for a tool and its task templates (workflows.md 4.4): what their nesting means.

Below a section stands `<name>: {...}`. Where a value in it is an object itself, they are clusters, and the name is a tool or a
template. Else the name is a cluster in the sections of tools, and in those of templates it holds for all clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from weft.errors import ArgumentError, cut, hint_nearest
from weft.spec.compute import read_compute, read_scales

SECTIONS: Final = ("tool_resources", "task_template_resources", "tool_scales", "task_template_scales")
EVERY_CLUSTER: Final = "*"

ByCluster = dict[str, dict[str, Any]]
"""What is asked for by cluster; `*` holds for all."""

Section = Mapping[str, dict[str, Any]]


class ResourceFile(NamedTuple):
    """By tool or template. Resources are as `read_compute` gives them, scales as they were written, but sound."""

    sections: Mapping[str, Section]

    def tool_resources(self, tool: str) -> ByCluster:
        """For a tool: its own over what is said for all."""
        return _of_tool(self.sections["tool_resources"], tool)

    def tool_scales(self, tool: str) -> ByCluster:
        """The same for scales."""
        return _of_tool(self.sections["tool_scales"], tool)

    def template_resources(self, template: str) -> ByCluster | None:
        """For a template; None when the file lacks it."""
        return _of_template(self.sections["task_template_resources"], template)

    def template_scales(self, template: str) -> ByCluster | None:
        """The same for scales."""
        return _of_template(self.sections["task_template_scales"], template)


def read_resource_file(data: Any, name: str = "the file") -> ResourceFile:
    """name: of the file, for messages. Raises ArgumentError: of one mistake with its own class, of several with all texts."""
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        raise ArgumentError(f"{name}: holds {cut(repr(data))}, not the keys {', '.join(SECTIONS)}")
    mistakes: list[ArgumentError] = []
    for key in data:
        if key not in SECTIONS:
            hint = hint_nearest(str(key), SECTIONS)
            mistakes.append(ArgumentError(f"has no key {cut(repr(key))}" + (f" ({hint})" if hint else "")))
    sections = {section: dict(_entries(section, data.get(section), mistakes)) for section in SECTIONS}
    if mistakes:
        kind = type(mistakes[0]) if len(mistakes) == 1 else ArgumentError
        raise kind(f"{name}: " + "; ".join(map(str, mistakes)))
    return ResourceFile(sections)


def _entries(section: str, given: Any, mistakes: list[ArgumentError]) -> Iterator[tuple[str, dict[str, Any]]]:
    if given is None:
        return
    if not isinstance(given, Mapping):
        mistakes.append(ArgumentError(f"{section} holds {cut(repr(given))}, not names with values"))
        return
    for name, entry in given.items():
        place = f"{section}: {cut(str(name))}"
        if _is_clusters(entry):
            yield (
                str(name),
                {
                    str(cluster): _amounts(section, f"{place}: {cut(str(cluster))}", asked, mistakes)
                    for cluster, asked in entry.items()
                },
            )
        else:
            yield str(name), _amounts(section, place, entry, mistakes)


def _amounts(section: str, place: str, asked: Any, mistakes: list[ArgumentError]) -> dict[str, Any]:
    if asked is None:
        return {}
    is_scales = section.endswith("_scales")
    if not isinstance(asked, Mapping) or _is_clusters(asked):
        kind = "scales" if is_scales else "resources"
        mistakes.append(ArgumentError(f"{place}: {cut(repr(asked))} is no dict of {kind}"))
        return {}
    try:
        if not is_scales:
            return read_compute(asked)
        read_scales(asked, 1)
    except ArgumentError as error:
        mistakes.append(type(error)(f"{place}: {error}"))
        return {}
    return dict(asked)


def _is_clusters(entry: Any) -> bool:
    return isinstance(entry, Mapping) and any(isinstance(value, Mapping) for value in entry.values())


def _of_tool(section: Section, tool: str) -> ByCluster:
    found = {name: dict(entry) for name, entry in section.items() if entry and not _is_clusters(entry)}
    own = section.get(tool, {})
    if _is_clusters(own):
        for cluster, asked in own.items():
            found[cluster] = {**found.get(cluster, {}), **asked}
    return found


def _of_template(section: Section, template: str) -> ByCluster | None:
    entry = section.get(template)
    if entry is None:
        return None
    if _is_clusters(entry):
        return {cluster: dict(asked) for cluster, asked in entry.items()}
    return {EVERY_CLUSTER: dict(entry)} if entry else {}
