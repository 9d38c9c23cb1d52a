"""YAML files of resources and scales, for tools and templates (workflows.md 4.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from weft.define.mistakes import show
from weft.errors import ArgumentError, UnknownTemplateError, cut, hint_nearest
from weft.spec.compute import read_compute, read_scales

ANY_CLUSTER: Final = "*"
SECTIONS: Final = ("tool_resources", "task_template_resources", "tool_scales", "task_template_scales")

_INT: Final = re.compile(r"[-+]?[0-9]+$")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NULL: Final = re.compile(r"(?:~|null|Null|NULL|)$")
_BOOL: Final = re.compile(r"(?:true|True|TRUE|false|False|FALSE)$")

Section = Mapping[str, Any]
ByCluster = dict[str, dict[str, Any]]


class ResourceFile:
    """One file, checked when it is read. Raises ArgumentError with every mistake, OSError when it cannot be read."""

    def __init__(self, path: Any):
        import os

        self.path = os.fspath(path)
        with open(self.path, encoding="utf-8") as stream:
            document = _load(stream.read(), self.path)
        self._sections = _sections(document, self.path)
        self._check()

    def tool_resources(self, tool: str) -> ByCluster:
        """Cluster -> resources for a tool; `*` is every cluster."""
        return self._read(_of_tool(self._sections["tool_resources"], tool))

    def template_resources(self, template: str) -> ByCluster | None:
        """Cluster -> resources for a template; None when the file lacks it."""
        found = _of_template(self._sections["task_template_resources"], template)
        return None if found is None else self._read(found)

    def need_template_resources(self, template: str) -> ByCluster:
        """As `template_resources`. Raises KeyError when the file lacks it."""
        found = self.template_resources(template)
        if found is None:
            raise self.lacks("task_template_resources", template)
        return found

    def lacks(self, section: str, template: str) -> UnknownTemplateError:
        """The error for a template that a section does not name."""
        hint = hint_nearest(template, self._sections[section])
        near = f"; {hint}" if hint else ""
        return UnknownTemplateError(f"{self.path}: {section} has no template {cut(template)!r}{near}")

    def tool_scales(self, tool: str) -> ByCluster:
        """Cluster -> scales for a tool."""
        return _of_tool(self._sections["tool_scales"], tool)

    def template_scales(self, template: str) -> ByCluster | None:
        """Cluster -> scales for a template; None when the file lacks it."""
        return _of_template(self._sections["task_template_scales"], template)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """A mistake that shows meanwhile is one of this file."""
        try:
            yield
        except ArgumentError as error:
            raise type(error)(f"{self.path}: {error}") from None

    def _read(self, found: ByCluster) -> ByCluster:
        with self.blamed():
            return {cluster: read_compute(compute) for cluster, compute in found.items()}

    def _check(self) -> None:
        mistakes: list[str] = []
        kind = ArgumentError
        for section in SECTIONS:
            for name, entry in self._sections[section].items():
                for fault in _faults(section, entry):
                    kind = ArgumentError if mistakes else type(fault)
                    mistakes.append(f"{section}: {cut(name)}: {fault}")
        if mistakes:
            raise kind(f"{self.path}: " + "; ".join(mistakes))


def _load(text: str, path: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ArgumentError(f"{path}: YAML needs an extra package: pip install 'weft[yaml]'") from None

    class Loader(yaml.SafeLoader):
        """JSON's values by the core schema of YAML 1.2: `yes`, `8:30` and dates stay texts. A key stands once."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - its own, not SafeLoader's

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
                if key in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"{cut(str(key))!r} stands twice", problem_mark=key_node.start_mark
                    )
                seen.add(key)
            made: dict[Any, Any] = super().construct_mapping(node, deep)
            return made

    for kind, pattern, first in (
        ("null", _NULL, ["~", "n", "N", ""]),
        ("bool", _BOOL, list("tTfF")),
        ("int", _INT, list("-+0123456789")),
        ("float", _FLOAT, list("-+.0123456789")),
        ("merge", re.compile("<<$"), ["<"]),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", pattern, first)
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        shown = " ".join(str(error).split())
        raise ArgumentError(f"{path}: this is no YAML that weft reads: {cut(shown, 300)}") from None


def _sections(document: Any, path: str) -> dict[str, Section]:
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ArgumentError(f"{path}: holds {show(document)}, not the keys {', '.join(SECTIONS)}")
    mistakes = []
    for key, value in document.items():
        if key not in SECTIONS:
            hint = hint_nearest(str(key), SECTIONS)
            mistakes.append(f"has no key {show(key)}" + (f" ({hint})" if hint else ""))
        elif value is not None and not isinstance(value, dict):
            mistakes.append(f"{key} holds {show(value)}, not names with values")
    if mistakes:
        raise ArgumentError(f"{path}: " + "; ".join(mistakes))
    return {key: {str(name): entry for name, entry in (document.get(key) or {}).items()} for key in SECTIONS}


def _is_plain(entry: Any) -> bool:
    """Whether it holds resources themselves, and not clusters."""
    return isinstance(entry, dict) and not any(isinstance(value, dict) for value in entry.values())


def _faults(section: str, entry: Any) -> Iterator[ArgumentError]:
    """What is wrong with `<name>: entry`, whoever it is for."""
    is_scales = section.endswith("_scales")
    if entry is None:
        return
    if not isinstance(entry, dict):
        yield ArgumentError(f"{show(entry)} is no dict")
    elif _is_plain(entry):
        yield from _resource_faults("", entry, is_scales)
    else:
        for cluster, values in entry.items():
            if values is None:
                continue
            if not _is_plain(values):
                kind = "scales" if is_scales else "resources"
                yield ArgumentError(f"{cut(str(cluster))}: {show(values)} is no dict of {kind}")
            else:
                yield from _resource_faults(f"{cut(str(cluster))}: ", values, is_scales)


def _resource_faults(place: str, values: Mapping[str, Any], is_scales: bool) -> Iterator[ArgumentError]:
    try:
        if is_scales:
            read_scales(values, 1)
        else:
            read_compute(values)
    except ArgumentError as error:
        yield type(error)(f"{place}{error}")


def _of_tool(section: Section, tool: str) -> ByCluster:
    """What is said for all tools, by cluster, below what is said for this one."""
    found: ByCluster = {}
    for name, entry in section.items():
        if entry and _is_plain(entry):
            found[name] = dict(entry)
    own = section.get(tool)
    if own and not _is_plain(own):
        for cluster, values in own.items():
            found[str(cluster)] = {**found.get(str(cluster), {}), **(values or {})}
    return found


def _of_template(section: Section, template: str) -> ByCluster | None:
    if template not in section:
        return None
    entry = section[template] or {}
    if _is_plain(entry):
        return {ANY_CLUSTER: dict(entry)} if entry else {}
    return {str(cluster): dict(values or {}) for cluster, values in entry.items()}
