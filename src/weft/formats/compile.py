"""A plan as a native document: canonical, self-contained, the same bytes when it is compiled again (dialects.md 1.11)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from weft.formats.shape import keys_of
from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet
from weft.spec.compute import AUTO
from weft.spec.environments import Environment, ShellValue, VariableValue, Withheld
from weft.spec.options import Opaque, Option
from weft.spec.plan import Plan, Template
from weft.spec.products import Product
from weft.spec.requirements import Foreach, Requirements
from weft.spec.resources import BYTE_AMOUNTS, Resources, from_units
from weft.spec.retries import Retries
from weft.spec.tasks import Dependency, Task
from weft.spec.types import Type
from weft.units import MEBIBYTE
from weft.units import canonical_seconds as shortest

if TYPE_CHECKING:
    from weft.spec.notes import Note

Fields = dict[str, Any]


def compile_plan(plan: Plan, relocatable: bool = False) -> bytes:
    """The document's bytes: two-space JSON, UTF-8, final newline. relocatable: without the root.

    Raises TypeError for a plan made in Python that holds what no document can say (a callable, an object).
    """
    document = plan_document(plan)
    if relocatable:
        del document["root"]
    return (json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False, default=_plain) + "\n").encode("utf-8")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a plan document cannot hold a {type(value).__name__}")


def plan_document(plan: Plan) -> Fields:
    """The plan in the normal form, every default written out, keys in schema order."""
    return {
        "weft": 1,
        "name": plan.name,
        "description": plan.description,
        "root": plan.root,
        **({"family": plan.family} if plan.family else {}),
        "source": source_items(plan),
        "order": plan.order,
        "attributes": dict(plan.attributes),
        **(
            {"limits": {name: from_units(name, units) for name, units in sorted(plan.limits.items())}}
            if plan.limits
            else {}
        ),
        **section_documents(plan),
        "tasks": {task.name: task_document(task, plan) for task in plan.graph.tasks},
    }


def source_items(plan: Plan) -> list[Fields]:
    """The files that the plan was made from."""
    return [{"path": source.path, "dialect": source.dialect, "digest": source.digest} for source in plan.sources]


def section_documents(plan: Plan) -> Fields:
    """Everything that tasks name."""
    return {
        "options": {name: option_document(name, option, plan.values) for name, option in plan.options.items()},
        "types": {name: type_document(kind) for name, kind in plan.types.items()},
        "environments": {name: environment_document(each) for name, each in plan.environments.items()},
        "notes": {name: note_document(note) for name, note in plan.notes.items()},
        "defaults": {},
        "templates": {name: template_document(template) for name, template in plan.templates.items()},
    }


def option_document(name: str, option: Option, values: Mapping[str, Any]) -> Fields:
    """A value that was given becomes the default: the document stands for itself."""
    fields: Fields = {"type": option.type}
    if name in values:
        fields["default"] = values[name]
    elif not option.is_required:
        fields["default"] = option.default
    return {**fields, "description": option.description}


def type_document(kind: Type) -> Fields:
    """All keys of a type."""
    return {
        "parent": kind.parent,
        "minimum": None if kind.minimum is None else shortest(kind.minimum),
        "maximum": None if kind.maximum is None else shortest(kind.maximum),
        "pattern": kind.pattern,
        "choices": None if kind.choices is None else list(kind.choices),
        "description": kind.description,
        **({"predicate": kind.predicate} if kind.predicate is not None else {}),
        **({"paths": list(kind.paths)} if kind.paths else {}),
        **({"items": kind.items} if kind.items is not None else {}),
    }


def environment_document(environment: Environment) -> Fields:
    """All keys of an environment."""
    return {
        "python": environment.python,
        "requirements": list(environment.requirements),
        "path": environment.path,
        "variables": {name: variable_value(value) for name, value in environment.variables},
        "fingerprint": environment.fingerprint,
    }


def variable_value(value: VariableValue) -> str | Fields:
    """As a document says it."""
    if isinstance(value, Expand):
        return {"expand": value.text}
    if isinstance(value, ShellValue):
        return {"shell": value.command}
    if isinstance(value, Withheld):
        more = {"words": value.words, "forms": list(value.forms)} if value.forms else {}
        return {"withheld": value.digest, **more}
    return value


def note_document(note: Note) -> Fields:
    """A note's kind, conditions and arguments."""
    from weft.spec.notes import whole_arguments  # late: few plans have notes

    return {"kind": note.kind, "conditions": list(note.conditions), **whole_arguments(note)}


def template_document(template: Template) -> Fields:
    """What the template says, in canonical units; what it leaves open stays open."""
    fields = dict(template.fields)
    if "resources" in fields:
        fields["resources"] = {name: _amount(name, amount) for name, amount in sorted(fields["resources"].items())}
    for key in ("duration", "timeout", "retry_delay"):  # a `null` timeout says "no limit" and stays
        if fields.get(key) is not None:
            fields[key] = shortest(fields[key])
    if "resource_scales" in fields:
        scales = {name: tuple(by) if isinstance(by, list) else by for name, by in fields["resource_scales"].items()}
        fields["resource_scales"] = {name: _scale(name, by) for name, by in scales.items()}
    return {key: fields[key] for key in keys_of("TaskModel") if key in fields}


def _amount(name: str, amount: float | str) -> float | str:
    if isinstance(amount, str):
        return amount  # `auto`
    # A bare number below 1 MiB reads as a forgotten unit (dialects.md 1.4), so small sizes keep theirs.
    if name in BYTE_AMOUNTS:
        return f"{int(amount)}B" if 0 < amount < MEBIBYTE else int(amount)
    return shortest(amount)


def action_fields(action: Action) -> Fields:
    """The action's key, and of a function what its fingerprint and its import need."""
    match action:
        case Command(argv):
            return {"command": [{"expand": word.text} if isinstance(word, Expand) else word for word in argv]}
        case Shell(script):
            return {"shell": script}
        case Snippet(source):
            return {"python": source}
        case Script(path):
            return {"script": path}
        case Call(function, digest, code, paths):
            fields: Fields = {"function": function} if isinstance(function, str) else serialized_fields(function)
            if digest is not None:
                fields["digest"] = digest
            if code:
                fields["code"] = dict(code)
            if paths:
                fields["paths"] = list(paths)
            return fields


def parameters_fields(parameters: Mapping[str, Any]) -> Fields:
    """The parameters; beside them those that are no plain data."""
    opaque = {name: value for name, value in parameters.items() if type(value) is Opaque}
    if not opaque:
        return {"parameters": dict(parameters)}
    return {
        "parameters": {name: value for name, value in parameters.items() if name not in opaque},
        "opaque": {
            name: {"pickle": value.pickle, "digest": value.digest, "shown": value.shown}
            for name, value in opaque.items()
        },
    }


def serialized_fields(function: Serialized) -> Fields:
    """A function by value."""
    where = {"path": function.path} if function.path is not None else {"data": function.data}
    return {"serialized": {**where, "format": function.format}}


def dependency_item(edge: Dependency) -> str | Fields:
    """The name alone where nothing else is said."""
    if edge.bind is None and not edge.each and not edge.gather:
        return edge.name
    return {"name": edge.name, "as": edge.bind, "each": edge.each, "gather": edge.gather}


def requires_document(needs: Requirements) -> Fields:
    """All keys of the requirements, in their longest form."""
    return {
        "files": [{"path": need.path, "as": need.bind} for need in needs.files],
        "folders": [
            {
                "path": need.path,
                "minimum": need.minimum,
                "recursive": need.recursive,
                "as": need.bind,
                "source": need.source,
            }
            for need in needs.folders
        ],
        "match": [
            {
                "pattern" if need.kind == "regex" else "glob": need.pattern,
                "minimum": need.minimum,
                "as": need.bind,
                "source": need.source,
            }
            for need in needs.match
        ],
        "shared_memory": list(needs.shared_memory),
        "parameters": list(needs.parameters),
        "signal": list(needs.signal),
    }


def foreach_document(foreach: Foreach | None) -> Fields | None:
    """The kind of items that is meant, and their parameter."""
    if foreach is None:
        return None
    if foreach.values is not None:
        items: Fields = {"values": list(foreach.values)}
    else:
        items = {"stream": foreach.stream} if foreach.stream is not None else {"files": True}
    return {**items, "as": foreach.bind}


def product_document(product: Product | None) -> Fields | None:
    """All keys of a product."""
    if product is None:
        return None
    return {"source": product.source, "type": product.type, "stream": product.stream}


def resources_document(
    resources: Resources, below: Mapping[str, Any] | None = None, auto: Collection[str] = ()
) -> Fields:
    """Amounts as documents say them. below: the template's, of which the absent ones must be taken back."""
    fields: Fields = {name: _amount(name, amount) for name, amount in resources.as_json().items()}
    fields.update(dict.fromkeys(auto, AUTO))
    for name in below or ():
        fields.setdefault(name, 0)
    return dict(sorted(fields.items()))


def retries_fields(retries: Retries) -> Fields:
    """The keys of the retry policy."""
    scales = retries.scales
    return {
        "max_attempts": retries.max_attempts,
        "retry_delay": shortest(retries.delay),
        "retry_on": None if retries.retry_on is None else list(retries.retry_on),
        "resource_scales": None if scales is None else {name: _scale(name, by) for name, by in scales},
        "scale_on": retries.scale_on,
        "fallback_queues": list(retries.fallback_queues),
    }


def _scale(name: str, scale: Any) -> Any:
    if isinstance(scale, tuple):
        return [_amount(name, amount) for amount in scale]
    if callable(scale):
        raise TypeError(f"a plan document cannot hold the function that scales {name!r}")
    return shortest(scale)


def task_document(task: Task, plan: Plan) -> Fields:
    """All keys of a task but those of the actions that it does not have."""
    policy = task.policy
    template = plan.templates.get(policy.template) if policy.template is not None else None
    below = template.fields.get("resources") if template is not None else None
    if policy.ask is not None:
        raise TypeError(f"a plan document cannot hold the function that task {task.name!r} asks for its resources")
    return {
        "template": policy.template,
        "description": policy.description,
        **action_fields(task.action),
        **parameters_fields(task.parameters),
        "parameter_mapping": dict(policy.mapping) if isinstance(policy.mapping, Mapping) else policy.mapping,
        "parameter_roles": dict(policy.roles),
        "dependencies": [dependency_item(edge) for edge in task.dependencies],
        "requires": requires_document(task.requires),
        "outputs": list(task.outputs),
        "product": product_document(policy.product),
        "foreach": foreach_document(policy.foreach),
        "resources": resources_document(policy.resources, below, policy.auto),
        "duration": None if policy.duration is None else shortest(policy.duration),
        "timeout": None if policy.timeout is None else shortest(policy.timeout),
        **retries_fields(policy.retries),
        "interruptible": policy.interruptible,
        "environment": policy.environment,
        "notes": list(policy.notes),
        "cache": policy.cache,
        "isolation": policy.isolation,
        "priority": policy.priority,
        "niceness": policy.niceness,
        "executor": policy.executor,
        "queue": policy.queue,
        "tags": list(policy.tags),
        "attributes": dict(policy.attributes),
        **({"copies": dict(policy.copies)} if policy.copies else {}),
        **({"directives": dict(policy.directives)} if policy.directives else {}),
    }
