"""The tasks and arrays of a workflow document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from weft.errors import ArgumentError, cut, hint_nearest
from weft.formats.mistakes import Mistakes, pointer
from weft.formats.shape import Place, check
from weft.formats.workflow_levels import Levels, merged_resources, merged_scales
from weft.formats.workflow_templates import SEQUENTIAL, TemplateDraft, executor_of
from weft.spec.actions import Action
from weft.spec.command_templates import (
    CommandTemplate,
    default_name,
    distinct_name,
    filled_action,
    safe_text,
    shorten_name,
)
from weft.spec.compute import CLUSTERS_WITHOUT_PROJECTS, demand_of, limit_name
from weft.spec.identity import encode_args, node_digest
from weft.spec.retries import Retries
from weft.spec.slots import text_of
from weft.spec.tasks import NOTHING, Dependency, Policy, Task, name_problem

if TYPE_CHECKING:
    from weft.formats.workflow import WorkflowDraft

ONE_AT_A_TIME: Final = limit_name(SEQUENTIAL)
_TREATMENT: Final = (
    "cluster_name",
    "compute_resources",
    "resource_scales",
    "max_attempts",
    "fallback_queues",
    "task_attributes",
)
"""Keys of a task that say how it is treated."""


class TemplatedMaker:
    """Makes the tasks of one document. caps: names of limits that every task counts against; more may come of `sequential`."""

    def __init__(
        self,
        draft: WorkflowDraft,
        templates: Mapping[str, TemplateDraft],
        levels: Levels,
        caps: Sequence[str],
        mistakes: Mistakes,
    ):
        self._draft = draft
        self._templates = templates
        self._levels = levels
        self._limits = tuple(caps)
        self._mistakes = mistakes
        self._nodes: dict[bytes, str] = {}
        self._made_names: dict[str, list[tuple[int, bytes]]] = {}
        self._edges: dict[str, Dependency] = {}
        self._told: set[tuple[str, str]] = set()
        self._policies: dict[tuple[str, str], Policy] = {}
        self.caps: dict[str, int] = {}

    def add(self, path: tuple[str | int, ...], name: str | None, body: Mapping[str, Any], *, is_array: bool) -> None:
        """One entry. path: where it stands. name: its key, of a task in an object."""
        from weft.formats.workflow import known_keys

        mistakes, file = self._mistakes, self._draft.file
        word = "array" if is_array else "task"
        subject = f"{word} {cut(str(name if name is not None else body.get('name') or path[-1]))!r}"
        place = Place(file, path, subject)
        before = len(mistakes.errors)
        fields, _ = check("TemplatedModel", known_keys(body, "TemplatedModel", place, mistakes), place, mistakes)
        fields = fields or {}
        if name is not None:
            if "name" in fields and fields["name"] != name:
                message = f"{subject} calls itself {cut(fields['name'])!r}"
                mistakes.error("shape.value", message, file, pointer(*path, "name"), "its key is its name")
            if problem := name_problem(name):
                mistakes.error("name.invalid", f"{subject}: {problem}", file, pointer(*path), at_key=True)
            fields = {**fields, "name": name}
        known = self._template(fields, body, place)
        if known is None or known.template is None:
            self._keep_broken(fields, path)
            return
        values = fields.get("args", {})
        has_all = self._check_args(known.template, values, place, is_array=is_array)
        policy = self._shared_policy(known, fields, place)
        edges = self._dependencies(fields.get("upstream_tasks") or (), place)
        if not has_all:  # of what it depends on and who depends on it all is told nevertheless
            values = {name: values.get(name, "") for name in known.template.args}
        if is_array:
            self._warn_of_texts(known.template, fields.get("args", {}), place)
        many = _rows(known.template, values) if is_array else iter((values,))
        prefix = fields.get("name")
        for row in many:
            task_name = self._task_name(known.template, row, prefix, is_array=is_array)
            self._keep(task_name, known.template, row, edges, policy, path, is_made=is_array or prefix is None)
            if len(mistakes.errors) != before:
                self._draft.unsound.add(len(self._draft.tasks) - 1)

    def _template(self, fields: Mapping[str, Any], body: Mapping[str, Any], place: Place) -> TemplateDraft | None:
        name = fields.get("template")
        if name is None:
            if body.get("template") is None:
                location = pointer(*place.base)
                self._mistakes.error("shape.missing", f"{place.subject} has no 'template'", place.file, location)
            return None
        known = self._templates.get(name)
        if known is None:
            message = f"{place.subject} uses the template {cut(name)!r}, which does not exist"
            location = pointer(*place.base, "template")
            self._mistakes.error("ref.template", message, place.file, location, hint_nearest(name, self._templates))
        return known

    def _keep_broken(self, fields: Mapping[str, Any], path: tuple[str | int, ...]) -> None:
        """What refers to it by its name is not told again."""
        if isinstance(fields.get("name"), str):
            self._draft.broken[fields["name"]] = path[-1]

    def _check_args(
        self, template: CommandTemplate, values: Mapping[str, Any], place: Place, *, is_array: bool
    ) -> bool:
        missing = [name for name in template.args if name not in values]
        location = pointer(*place.base, "args")
        for name in missing:
            message = (
                f"{place.subject} gives no value for the argument {cut(name)!r} of template {cut(template.name)!r}"
            )
            self._mistakes.error("option.missing", message, place.file, location)
        for name in values:
            if name not in template.roles:
                message = f"{place.subject}: template {cut(template.name)!r} has no argument {cut(name)!r}"
                hint = hint_nearest(name, missing or template.args)
                self._mistakes.error(
                    "option.unknown", message, place.file, pointer(*place.base, "args", name), hint, at_key=True
                )
        for name, value in values.items():
            items = value if is_array and isinstance(value, list) and name in template.node_args else (value,)
            if any("\x00" in text_of(item) for item in items):
                message = f"{place.subject}: the value of {cut(name)!r} holds a NUL character, which no argument can"
                self._mistakes.error("shape.value", message, place.file, pointer(*place.base, "args", name))
        return not missing and len(values) == len(template.args)

    def _warn_of_texts(self, template: CommandTemplate, values: Mapping[str, Any], place: Place) -> None:
        for name in template.node_args:
            value = values.get(name)
            if isinstance(value, str):
                message = f"{place.subject}: {cut(name)!r} is one value, {cut(value)!r}"
                location = pointer(*place.base, "args", name)
                self._mistakes.warn("shape.type", message, place.file, location, "write a list, also of one text")

    def _warn_of_unused(self, cluster: str, unused: Iterable[str], place: Place) -> None:
        for key in unused:
            if cluster in CLUSTERS_WITHOUT_PROJECTS and (cluster, key) not in self._told:
                self._told.add((cluster, key))
                message = f"{place.subject}: compute_resources: cluster {cluster!r} has no use for {key!r}"
                self._mistakes.warn("shape.unknown_key", message, place.file, pointer(*place.base))

    def _shared_policy(self, known: TemplateDraft, fields: Mapping[str, Any], place: Place) -> Policy:
        """One object for tasks that are treated alike."""
        key = known.name, repr([(name, fields[name]) for name in _TREATMENT if name in fields])
        found = self._policies.get(key)
        if found is None:
            before = len(self._mistakes.errors)
            found = self._policy(known, fields, place)
            if len(self._mistakes.errors) == before:  # else the next one has to be told, too
                self._policies[key] = found
        return found

    def _policy(self, known: TemplateDraft, fields: Mapping[str, Any], place: Place) -> Policy:
        levels = self._levels
        cluster = fields.get("cluster_name") or known.cluster or levels.cluster
        own = self._own(fields, "compute_resources", place, levels.read)
        own_scales = self._own(fields, "resource_scales", place, levels.read_scales)
        limits = [*self._limits, *([] if known.cap is None else [limit_name(known.name)])]
        if cluster == SEQUENTIAL:
            limits.append(ONE_AT_A_TIME)
            self.caps[ONE_AT_A_TIME] = 1
        asked = [*levels.resources(known.name, cluster), known.resources, *([] if own is None else [own])]
        demand = demand_of(merged_resources(asked), limits)
        self._warn_of_unused(cluster, demand.directives, place)
        scales = merged_scales(
            [*levels.scales(known.name, cluster), *(each for each in (known.scales, own_scales) if each is not None)]
        )
        attempts = fields.get("max_attempts", known.max_attempts)
        assert known.template is not None
        from weft.formats.workflow import attributes_of

        attributes = attributes_of(fields.get("task_attributes"))
        return Policy(
            resources=demand.resources,
            retries=Retries(
                levels.max_attempts if attempts is None else attempts,
                scales=None if scales is None else tuple(scales.items()),
                fallback_queues=tuple(fields.get("fallback_queues") or ()),
            ),
            timeout=demand.timeout,
            roles=known.template.roles,
            template=known.name,
            executor=executor_of(cluster),
            queue=demand.queue,
            attributes=MappingProxyType(attributes) if attributes else NOTHING,
            description=known.description,
            copies=demand.copies or NOTHING,
            directives=demand.directives or NOTHING,
            auto=demand.auto,
        )

    def _own(self, fields: Mapping[str, Any], key: str, place: Place, read: Any) -> dict[str, Any] | None:
        if key not in fields:
            return None
        found: dict[str, Any] = read(fields[key], place._replace(base=(*place.base, key)))
        return found

    def _dependencies(self, names: Sequence[str], place: Place) -> tuple[Dependency, ...]:
        edges = self._edges
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                message = f"{place.subject} names the upstream task {cut(name)!r} twice"
                location = pointer(*place.base, "upstream_tasks", index)
                self._mistakes.warn("name.duplicate", message, place.file, location, "one edge is made of both")
            seen.add(name)
        return tuple(edges.setdefault(name, Dependency(name)) for name in dict.fromkeys(names))

    def _task_name(
        self, template: CommandTemplate, values: Mapping[str, Any], given: str | None, *, is_array: bool
    ) -> str:
        texts = {name: text_of(value) for name, value in values.items()}
        if given is None:
            return default_name(template, texts)
        if not is_array:
            return given
        return shorten_name("_".join([given, *(f"{name}-{safe_text(texts[name])}" for name in template.node_args)]))

    def _keep(
        self,
        name: str,
        template: CommandTemplate,
        values: Mapping[str, Any],
        edges: tuple[Dependency, ...],
        policy: Policy,
        path: tuple[str | int, ...],
        *,
        is_made: bool,
    ) -> None:
        draft = self._draft
        node = node_digest(template.digest, encode_args({arg: text_of(values[arg]) for arg in template.node_args}))
        twin = self._nodes.setdefault(node, name)
        if twin != name:
            message = (
                f"tasks {cut(twin)!r} and {cut(name)!r} of template {cut(template.name)!r} have equal node arguments"
            )
            hint = "node_args tell the tasks of a template apart"
            self._mistakes.error("name.duplicate", message, draft.file, pointer(*path, "args"), hint)
        elif is_made:
            self._made_names.setdefault(name, []).append((len(draft.tasks), node))
        draft.tasks.append(
            Task(
                name,
                self._action(template, values, path),
                edges,
                MappingProxyType(dict(values)) if values else NOTHING,
                policy=policy,
            )
        )
        draft.keys.append(path[-1])
        draft.places.append(path)

    def tell_apart(self) -> None:
        """Names made of arguments that several tasks would have end in what their nodes are known by, as in Python."""
        tasks = self._draft.tasks
        for name, places in self._made_names.items():
            for position, node in places if len(places) > 1 else ():
                tasks[position] = replace(tasks[position], name=distinct_name(name, node))

    def _action(self, template: CommandTemplate, values: Mapping[str, Any], path: tuple[str | int, ...]) -> Action:
        """The command with its values, which stay parameters for what they are: identity, or none."""
        try:
            return filled_action(template, {name: text_of(value) for name, value in values.items()})
        except ArgumentError as error:
            message = f"template {cut(template.name)!r}: {error}"
            self._mistakes.error("slot.unknown", message, self._draft.file, pointer(*path, "args"))
            return template.action


def _rows(template: CommandTemplate, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The cross product of the node args, the last one given varying fastest."""
    nodes = [name for name in values if template.roles.get(name) == "node"]
    if not nodes:
        return
    lists = [values[name] if isinstance(values[name], list) else [values[name]] for name in nodes]
    for combined in product(*lists):
        yield {**values, **dict(zip(nodes, combined, strict=True))}
