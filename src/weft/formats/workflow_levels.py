"""What a workflow document asks for on the levels above its tasks: the resource file, the workflow, the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from weft.errors import ArgumentError, InvalidMemoryFormat, InvalidMemoryUnit
from weft.formats.mistakes import Mistakes, pointer
from weft.formats.shape import Place
from weft.spec.compute import RUNTIME, TIMEOUT, merge, read_compute, read_scales
from weft.spec.resource_files import EVERY_CLUSTER, SECTIONS, ResourceFile
from weft.spec.resources import BYTE_AMOUNTS

USUAL_ATTEMPTS: Final = 3
USUAL_CLUSTER: Final = "local"

ByCluster = Mapping[str, Mapping[str, Any]]
NO_FILE: Final = ResourceFile({section: {} for section in SECTIONS})


class Levels:
    """place: of the workflow's settings. file: of resources."""

    def __init__(self, place: Place, settings: Mapping[str, Any], file: ResourceFile, tool: str, mistakes: Mistakes):
        self._mistakes = mistakes
        self._file = file
        self.tool = tool
        self.cluster: str = settings.get("default_cluster_name") or USUAL_CLUSTER
        self.max_attempts: int = settings.get("default_max_attempts", USUAL_ATTEMPTS)
        self._resources = self._by_cluster(place, settings, "default_compute_resources_set", self.read)
        self._scales = self._by_cluster(place, settings, "default_resource_scales_set", self.read_scales)

    def resources(self, template: str, cluster: str) -> list[Mapping[str, Any]]:
        """Below what a template asks for, lowest first."""
        of_template = self._file.template_resources(template) or {}
        return _of(cluster, self._file.tool_resources(self.tool), self._resources, of_template)

    def scales(self, template: str, cluster: str) -> list[Mapping[str, Any]]:
        """The same for scales."""
        of_template = self._file.template_scales(template) or {}
        return _of(cluster, self._file.tool_scales(self.tool), self._scales, of_template)

    def read(self, raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Resources in canonical units; each mistake is told at its key."""
        return self._read(raw, place, read_compute)

    def read_scales(self, raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Scales by the engine's names."""
        return self._read(raw, place, lambda one: read_scales(one, USUAL_ATTEMPTS) or {})

    def _read(
        self, raw: Mapping[str, Any], place: Place, read: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in raw.items():
            try:
                found.update(read({key: value}))
            except ArgumentError as error:
                location = pointer(*place.base, key)
                self._mistakes.error(_code(key, value, error), f"{place.subject}: {error}", place.file, location)
        return found

    def _by_cluster(
        self, place: Place, settings: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], Place], Any]
    ) -> ByCluster:
        return {
            cluster: read(asked, place._replace(base=(*place.base, key, cluster)))
            for cluster, asked in settings.get(key, {}).items()
        }


def merged_resources(levels: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Of levels that are sound."""
    return merge(*(read_compute(level) for level in levels))


def merged_scales(levels: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Of levels that are sound; None when no level says anything. An empty one takes away what is below it."""
    merged: dict[str, Any] | None = None
    for level in levels:
        merged = {**(merged or {}), **(read_scales(level, USUAL_ATTEMPTS) or {})} if level else {}
    return merged


def _of(cluster: str, *levels: ByCluster) -> list[Mapping[str, Any]]:
    return [by_cluster[name] for by_cluster in levels for name in (EVERY_CLUSTER, cluster) if name in by_cluster]


def _code(key: str, value: Any, error: ArgumentError) -> str:
    if isinstance(error, InvalidMemoryFormat | InvalidMemoryUnit) or key in BYTE_AMOUNTS:
        return "unit.size"
    if key in (RUNTIME, TIMEOUT):
        return "unit.time"
    return "shape.value" if isinstance(value, int | float | str) and not isinstance(value, bool) else "shape.type"
