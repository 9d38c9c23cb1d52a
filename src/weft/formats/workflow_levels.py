"""What a workflow document asks for on the levels above its tasks: the resource file, the workflow, the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from weft.errors import ArgumentError, InvalidMemoryFormat, InvalidMemoryUnit
from weft.formats.mistakes import Mistakes, pointer
from weft.formats.shape import Place
from weft.spec.compute import RUNTIME, TIMEOUT, merge, read_compute, read_scales
from weft.spec.resource_files import EVERY_CLUSTER, ByCluster, ResourceFile
from weft.spec.resources import BYTE_AMOUNTS

USUAL_ATTEMPTS: Final = 3
USUAL_CLUSTER: Final = "local"

ByTemplate = Mapping[str, ByCluster]


class Levels:
    """place: of the workflow's settings. file: the resource file, if there is one."""

    def __init__(self, place: Place, settings: Mapping[str, Any], file: ResourceFile | None, mistakes: Mistakes):
        self._mistakes = mistakes
        self._file = file
        self.cluster: str = settings.get("default_cluster_name") or USUAL_CLUSTER
        self.max_attempts: int = settings.get("default_max_attempts", USUAL_ATTEMPTS)
        self._resources = self._by_cluster(place, settings, "default_compute_resources_set", self.read)
        self._scales = self._by_cluster(place, settings, "default_resource_scales_set", self.read_scales)
        if file is not None:
            self._check_file(file, place)

    def resources(self, template: str, cluster: str) -> list[Mapping[str, Any]]:
        """Below what a template asks for, lowest first."""
        file = self._file
        levels = _of(file.resources, cluster) if file is not None else []
        levels += _of(self._resources, cluster)
        levels += _of(file.template_resources.get(template, {}), cluster) if file is not None else []
        return levels

    def scales(self, template: str, cluster: str) -> list[Mapping[str, Any]]:
        """The same for scales."""
        file = self._file
        levels = _of(file.scales, cluster) if file is not None else []
        levels += _of(self._scales, cluster)
        levels += _of(file.template_scales.get(template, {}), cluster) if file is not None else []
        return levels

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

    def _check_file(self, file: ResourceFile, place: Place) -> None:
        """Amounts that cannot be read are told once, at the key that names the file."""
        for by_cluster, read in (
            *((each, read_compute) for each in (file.resources, *file.template_resources.values())),
            *((each, read_scales_of_file) for each in (file.scales, *file.template_scales.values())),
        ):
            for cluster, asked in by_cluster.items():
                try:
                    read(asked)
                except ArgumentError as error:
                    message = f"the resource file, cluster {cluster!r}: {error}"
                    self._mistakes.error("shape.value", message, place.file, "/yaml")
                    self._file = None


def read_scales_of_file(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Scales as a file has them. Raises ArgumentError."""
    return read_scales(raw, USUAL_ATTEMPTS) or {}


def merged_resources(levels: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Of levels that are sound."""
    return merge(*(read_compute(level) for level in levels))


def merged_scales(levels: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Of levels that are sound; None when no level says anything. An empty one alone turns scaling off."""
    if not levels:
        return None
    return merge(*(read_scales_of_file(level) for level in levels))


def _of(by_cluster: ByCluster, cluster: str) -> list[Mapping[str, Any]]:
    return [by_cluster[name] for name in (EVERY_CLUSTER, cluster) if name in by_cluster]


def _code(key: str, value: Any, error: ArgumentError) -> str:
    if isinstance(error, InvalidMemoryFormat | InvalidMemoryUnit) or key in BYTE_AMOUNTS:
        return "unit.size"
    if key in (RUNTIME, TIMEOUT):
        return "unit.time"
    return "shape.value" if isinstance(value, int | float | str) and not isinstance(value, bool) else "shape.type"
