"""The templates of a workflow document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from weft.formats.mistakes import Mistakes, pointer
from weft.formats.shape import Place
from weft.formats.workflow_levels import Levels, merged_resources, merged_scales
from weft.spec.actions import Shell
from weft.spec.command_templates import CommandTemplate, TemplateError, command_template
from weft.spec.compute import demand_of
from weft.spec.plan import Template

CLUSTERS: Final[Mapping[str, str]] = {"multiprocess": "local", "sequential": "local", "dummy": "simulated"}
"""Executors by the names that the original system has for them (workflows.md 8)."""

SEQUENTIAL: Final = "sequential"


@dataclass(slots=True)
class TemplateDraft:
    """What one entry says. template: None when it is wrong. resources, scales: its own, canonical. cap: on live attempts."""

    name: str
    template: CommandTemplate | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    scales: dict[str, Any] | None = None
    cluster: str | None = None
    max_attempts: int | None = None
    cap: int | None = None
    description: str | None = None

    def native(self, levels: Levels) -> Template:
        """As a template of the normal form: what its tasks share unless they say otherwise."""
        template = self.template
        if template is None:
            return Template(self.name, MappingProxyType({}))
        cluster = self.cluster or levels.cluster
        demand = demand_of(merged_resources([*levels.resources(self.name, cluster), self.resources]))
        scales = merged_scales([*levels.scales(self.name, cluster), *([] if self.scales is None else [self.scales])])
        action = template.action
        fields: dict[str, Any] = {
            "description": self.description,
            **({"shell": action.script} if isinstance(action, Shell) else {"command": list(action.argv)}),
            "parameter_roles": dict(template.roles),
            "resources": {**demand.resources.as_json(), **dict.fromkeys(sorted(demand.auto), "auto")},
            "timeout": demand.timeout,
            "max_attempts": self.max_attempts if self.max_attempts is not None else levels.max_attempts,
            "resource_scales": None
            if scales is None
            else {name: list(by) if isinstance(by, tuple) else by for name, by in scales.items()},
            "executor": executor_of(cluster),
            "queue": demand.queue,
        }
        return Template(self.name, MappingProxyType({key: value for key, value in fields.items() if value is not None}))


def read_template(
    name: str, fields: Mapping[str, Any], body: Mapping[str, Any], place: Place, levels: Levels, mistakes: Mistakes
) -> TemplateDraft:
    """fields: as far as their shape is sound. body: as written."""
    draft = TemplateDraft(
        name,
        cluster=fields.get("default_cluster_name") or None,
        max_attempts=fields.get("max_attempts"),
        cap=fields.get("max_concurrently_running"),
        description=fields.get("description"),
    )
    for key in ("default_compute_resources", "compute_resources"):
        if key in fields:
            draft.resources.update(levels.read(fields[key], place._replace(base=(*place.base, key))))
    for key in ("default_resource_scales", "resource_scales"):
        if key in fields:
            scales = levels.read_scales(fields[key], place._replace(base=(*place.base, key)))
            draft.scales = {**(draft.scales or {}), **scales}
    text = fields.get("command_template")
    if text is None:
        if body.get("command_template") is None:
            location = pointer(*place.base)
            mistakes.error("shape.missing", f"{place.subject} has no 'command_template'", place.file, location)
        return draft
    nodes, tasks, ops = (fields.get(key) for key in ("node_args", "task_args", "op_args"))
    try:
        draft.template = command_template(name, text, nodes, tasks, ops, fields.get("shell", False), levels.tool)
    except TemplateError as error:
        for mistake in error.mistakes:
            code = "slot.unknown" if "slot" in mistake else "shape.value"
            location = pointer(*place.base, "command_template")
            mistakes.error(code, f"{place.subject}: {mistake}", place.file, location)
    return draft


def executor_of(cluster: str) -> str:
    """The executor that a cluster's name stands for."""
    return CLUSTERS.get(cluster, cluster)
