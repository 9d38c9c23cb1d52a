"""What a tool, a template or a workflow says for all its tasks that say nothing themselves.

Resources and scales are kept by cluster; `*` holds for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from weft.define.counts import USUAL_ATTEMPTS, read_attempts
from weft.define.growth import Shared, lay_over, merge_scales, take_scales
from weft.define.mistakes import show
from weft.define.resource_files import ResourceFile
from weft.errors import ArgumentError, hint_nearest
from weft.spec.compute import merge, read_compute
from weft.spec.resource_files import ByCluster

if TYPE_CHECKING:
    from weft.define.templates import TaskTemplate as Template

ANY_CLUSTER: Final = "*"
ScaleOn = Literal["exhausted", "any"]
_SCALE_ON: Final = ("exhausted", "any")


def read_cluster_name(name: Any) -> str:
    """Empty or None: unset. Raises ArgumentError."""
    if name is None:
        return ""
    if not isinstance(name, str):
        raise ArgumentError(f"the name of a cluster is a text, not {show(name)}")
    return name


def read_scale_on(value: Any) -> ScaleOn | None:
    """None: unset. Raises ArgumentError."""
    if value is None or value in _SCALE_ON:
        found: ScaleOn | None = value
        return found
    hint = hint_nearest(str(value), _SCALE_ON)
    raise ArgumentError(f"scale_on is 'exhausted' or 'any', not {show(value)}" + (f"; {hint}" if hint else ""))


class Defaulted:
    """The members that tools, templates and workflows share."""

    def __init__(self, shared: Shared):
        self._shared = shared
        self._cluster_name = ""
        self._max_attempts: int | None = None
        self._scale_on: ScaleOn | None = None
        self._compute: dict[str, dict[str, Any]] = {}
        self._scales: dict[str, dict[str, Any]] = {}

    # --- what is said ----------------------------------------------------------------------------------------------------

    @property
    def default_cluster_name(self) -> str:
        """Where tasks run that do not say; empty: unset."""
        return self._cluster_name

    @default_cluster_name.setter
    def default_cluster_name(self, cluster_name: str) -> None:
        self._cluster_name = read_cluster_name(cluster_name)

    @property
    def default_max_attempts(self) -> int | None:
        """Attempts of tasks that do not say; None: unset."""
        return self._max_attempts

    @default_max_attempts.setter
    def default_max_attempts(self, n: int | None) -> None:
        self._max_attempts = read_attempts(n)

    @property
    def scale_on(self) -> ScaleOn | None:
        """`exhausted`: what ran out grows. `any`: every named key does. None: unset."""
        return self._scale_on

    @scale_on.setter
    def scale_on(self, value: ScaleOn | None) -> None:
        self._scale_on = read_scale_on(value)

    @property
    def default_compute_resources_set(self) -> dict[str, dict[str, Any]]:
        """Cluster -> resources, as they were read: memory in bytes, runtime in seconds. A copy."""
        return {cluster: dict(compute) for cluster, compute in self._compute.items()}

    @property
    def default_resource_scales_set(self) -> dict[str, dict[str, Any]]:
        """Cluster -> scales. A copy."""
        return {cluster: merge_scales(scales) or {} for cluster, scales in self._scales.items()}

    def compute_levels(self, cluster: str) -> Iterator[Mapping[str, Any]]:
        """Resources for a cluster, the lower level first."""
        for name in (ANY_CLUSTER, cluster):
            if name in self._compute:
                yield self._compute[name]

    def scale_levels(self, cluster: str) -> Iterator[Mapping[str, Any]]:
        """Scales for a cluster, the lower level first."""
        for name in (ANY_CLUSTER, cluster):
            if name in self._scales:
                yield self._scales[name]

    # --- saying it -------------------------------------------------------------------------------------------------------

    def set_default_cluster_name(self, cluster_name: str) -> None:
        """Where tasks run that do not say."""
        self.default_cluster_name = cluster_name

    def set_default_max_attempts(self, n: int | None) -> None:
        """Attempts of tasks that do not say; None: unset. Raises ArgumentError."""
        self.default_max_attempts = n

    def set_default_compute_resources_from_dict(self, cluster_name: str, compute_resources: Mapping[str, Any]) -> None:
        """Replaces those of the cluster (empty or `*`: of all clusters). Raises ArgumentError."""
        self._compute[_cluster(cluster_name)] = read_compute(compute_resources)

    def update_default_compute_resources(self, cluster_name: str, **kw: Any) -> None:
        """Merges key by key; None takes a key away. Raises ArgumentError."""
        self.lay_compute(cluster_name, kw)

    def lay_compute(self, cluster_name: str, given: Mapping[str, Any]) -> None:
        """Over those of the cluster, key by key."""
        cluster = _cluster(cluster_name)
        self._compute[cluster] = updated(self._compute.get(cluster), read_compute(given), given)

    def set_default_resource_scales_from_dict(self, cluster_name: str, resource_scales: Mapping[str, Any]) -> None:
        """Replaces those of the cluster (empty or `*`: of all clusters). Raises ArgumentError."""
        self._scales[_cluster(cluster_name)] = self._taken(resource_scales)

    def update_default_resource_scales(self, cluster_name: str, **kw: Any) -> None:
        """Merges key by key; None takes a key away. Raises ArgumentError."""
        if kw:
            self.lay_scales(cluster_name, kw)

    def lay_scales(self, cluster_name: str, given: Mapping[str, Any]) -> None:
        """Over those of the cluster, key by key; an empty dict turns scaling off."""
        cluster = _cluster(cluster_name)
        taken = self._taken(without_none(given))
        found = lay_over(self._scales.get(cluster), taken, given) if given else {}
        self._scales.pop(cluster, None)
        if found is not None:
            self._scales[cluster] = found

    def _taken(self, scales: Any) -> dict[str, Any]:
        return take_scales(scales, self._max_attempts or USUAL_ATTEMPTS, self._shared) or {}

    # --- all at once -----------------------------------------------------------------------------------------------------

    def _set_defaults(
        self, cluster_name: Any, max_attempts: Any, compute_by_cluster: Any = None, scales_by_cluster: Any = None
    ) -> None:
        """What a constructor was given."""
        self.default_cluster_name = cluster_name
        self.default_max_attempts = max_attempts
        for cluster, compute in _by_cluster("default_compute_resources_set", compute_by_cluster):
            self._compute[cluster] = read_compute(compute)
        for cluster, scales in _by_cluster("default_resource_scales_set", scales_by_cluster):
            self._scales[cluster] = self._taken(scales)

    def _take_cluster(self, name: Any) -> None:
        if cluster := read_cluster_name(name):
            self.default_cluster_name = cluster

    def _take_compute(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        for cluster, compute in found.items():
            self._compute[cluster] = dict(compute)

    def _take_scales(self, file: ResourceFile, found: Mapping[str, Mapping[str, Any]]) -> None:
        for cluster, scales in found.items():
            with file.blamed():
                self._scales[cluster] = self._taken(scales)


def take_compute(
    file: ResourceFile, holder: Defaulted, tool: str, templates: Iterable[Template], ignore_missing: bool
) -> None:
    """What a file says for a tool goes to `holder`, the rest to the templates. Raises KeyError, and then takes nothing."""
    found: list[tuple[Defaulted, ByCluster]] = [(holder, file.tool_resources(tool))]
    for template in templates:
        entry = file.template_resources(template.name)
        if entry is None and not ignore_missing:
            raise file.lacks("task_template_resources", template.name)
        found.append((template, entry or {}))
    for taker, entries in found:
        taker._take_compute(entries)


def take_scales_of(
    file: ResourceFile, holder: Defaulted, tool: str, templates: Iterable[Template], ignore_missing: bool
) -> None:
    """As `take_compute`."""
    found: list[tuple[Defaulted, ByCluster]] = [(holder, file.tool_scales(tool))]
    for template in templates:
        entry = file.template_scales(template.name)
        if entry is None and not ignore_missing:
            raise file.lacks("task_template_scales", template.name)
        found.append((template, entry or {}))
    for taker, entries in found:
        taker._take_scales(file, entries)


def updated(before: Mapping[str, Any] | None, read: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`read` over `before`; what was given as None is taken away."""
    merged = merge(before, read)
    for key, value in given.items():
        if value is None:
            merged.pop(key, None)
    return merged


def without_none(given: Any) -> Any:
    """Without the keys that are to be taken away."""
    return {key: value for key, value in given.items() if value is not None} if isinstance(given, Mapping) else given


def _cluster(name: Any) -> str:
    return read_cluster_name(name) or ANY_CLUSTER


def _by_cluster(what: str, given: Any) -> Iterator[tuple[str, Any]]:
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise ArgumentError(f"{what} is a dict of dicts by cluster name, not {show(given)}")
    plain = [name for name, value in given.items() if not isinstance(value, Mapping)]
    if plain:
        raise ArgumentError(
            f"{what} is by cluster name: {show(plain[0])} holds no dict; "
            f"for every cluster write {{{ANY_CLUSTER!r}: {{...}}}}"
        )
    for name, value in given.items():
        yield _cluster(name), value
