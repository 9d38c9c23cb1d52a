"""YAML files of resources and scales, for tools and templates (workflows.md 4.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from weft.errors import ArgumentError, UnknownTemplateError, cut, hint_nearest
from weft.spec.resource_files import ByCluster, read_resource_file

_INT: Final = re.compile(r"[-+]?[0-9]+$")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NULL: Final = re.compile(r"(?:~|null|Null|NULL|)$")
_BOOL: Final = re.compile(r"(?:true|True|TRUE|false|False|FALSE)$")


class ResourceFile:
    """One file, checked when it is read. Raises ArgumentError with every mistake, OSError when it cannot be read."""

    def __init__(self, path: Any):
        import os

        self.path = os.fspath(path)
        with open(self.path, encoding="utf-8") as stream:
            document = _load(stream.read(), self.path)
        self._file = read_resource_file(document, self.path)

    def tool_resources(self, tool: str) -> ByCluster:
        """Cluster -> resources for a tool; `*` is every cluster."""
        return self._file.tool_resources(tool)

    def tool_scales(self, tool: str) -> ByCluster:
        """Cluster -> scales for a tool."""
        return self._file.tool_scales(tool)

    def template_resources(self, template: str) -> ByCluster | None:
        """Cluster -> resources for a template; None when the file lacks it."""
        return self._file.template_resources(template)

    def template_scales(self, template: str) -> ByCluster | None:
        """Cluster -> scales for a template; None when the file lacks it."""
        return self._file.template_scales(template)

    def need_template_resources(self, template: str) -> ByCluster:
        """As `template_resources`. Raises KeyError when the file lacks it."""
        found = self.template_resources(template)
        if found is None:
            raise self.lacks("task_template_resources", template)
        return found

    def lacks(self, section: str, template: str) -> UnknownTemplateError:
        """The error for a template that a section does not name."""
        hint = hint_nearest(template, self._file.sections[section])
        near = f"; {hint}" if hint else ""
        return UnknownTemplateError(f"{self.path}: {section} has no template {cut(template)!r}{near}")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """A mistake that shows meanwhile is one of this file."""
        try:
            yield
        except ArgumentError as error:
            raise type(error)(f"{self.path}: {error}") from None


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
