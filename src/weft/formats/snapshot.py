"""A plan as compact bytes for the store, and back, exactly: also its key, root, values and sources.

Rows instead of the long native form, because a million tasks are written before the first one starts. Policies and
requirements that are equal are written once and shared again when read. Trusted: it comes from our own store.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from weft.collector import collector_paused
from weft.formats import compile as compiled
from weft.formats.native import make_environment, make_variable
from weft.formats.native_tasks import SHARED_COMMANDS, make_action, make_dependency, make_requirements
from weft.spec.actions import Call, Command, Shell, kind_of
from weft.spec.graph import Graph
from weft.spec.options import MISSING, Opaque, Option
from weft.spec.plan import Plan, Source, Template
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, Foreach, Requirements
from weft.spec.resources import NO_CORES, ONE_CORE, Resources
from weft.spec.retries import NO_RETRIES, Retries
from weft.spec.tasks import DEFAULT_POLICY, NOTHING, Dependency, Policy, Task
from weft.spec.types import Type

if TYPE_CHECKING:
    from weft.spec.notes import Note

VERSION: Final = 1
_LEVEL: Final = 1  # zlib: four times smaller for a microsecond a task; higher levels cost more than they save
_NO_REQUIREMENTS: Final = -1
_MAY_BE_OPAQUE: Final = frozenset({"call", "+function", "+serialized"})
_CALL: Final = "call"  # kind of a typed task: its action stands among the calls, which many tasks share
_OPAQUE: Final = "\0opaque"  # key of an object that no document can have, for a value that is no plain data

Fields = dict[str, Any]


def snapshot(plan: Plan) -> bytes:
    """The plan as bytes. A value that JSON cannot hold (of a plan made in Python) is written as its text."""
    with collector_paused():
        policies: dict[int, int] = {}
        requirements: dict[int, int] = {}
        policy_rows: list[Fields] = []
        requirement_rows: list[Fields] = []
        calls: dict[int, int] = {}
        call_rows: list[Fields] = []
        rows = []
        for task in plan.graph.tasks:
            policy = policies.get(id(task.policy))
            if policy is None:
                policy = policies[id(task.policy)] = len(policy_rows)
                policy_rows.append(_policy_fields(task.policy))
            needs = _NO_REQUIREMENTS
            if task.requires is not NO_REQUIREMENTS:
                found = requirements.get(id(task.requires))
                if found is None:
                    found = requirements[id(task.requires)] = len(requirement_rows)
                    requirement_rows.append(
                        {key: value for key, value in compiled.requires_document(task.requires).items() if value}
                    )
                needs = found
            call = None
            if type(task.action) is Call and task.action.code:
                call = calls.get(id(task.action))
                if call is None:
                    call = calls[id(task.action)] = len(call_rows)
                    call_rows.append(compiled.action_fields(task.action))
            rows.append(_row(task, policy, needs, call))
        document = {
            "weft-snapshot": VERSION,
            "key": plan.key,
            "root": plan.root,
            "name": plan.name,
            "description": plan.description,
            "order": plan.order,
            "family": plan.family,
            "sources": [[source.path, source.dialect, source.digest] for source in plan.sources],
            "values": dict(plan.values),
            "attributes": dict(plan.attributes),
            "options": {name: _option_row(option) for name, option in plan.options.items()},
            "types": {name: compiled.type_document(kind) for name, kind in plan.types.items()},
            "environments": {name: compiled.environment_document(each) for name, each in plan.environments.items()},
            "notes": {name: _note_row(note) for name, note in plan.notes.items()},
            "templates": {name: dict(template.fields) for name, template in plan.templates.items()},
            "policies": policy_rows,
            "requirements": requirement_rows,
            "calls": call_rows,
            "tasks": rows,
        }
        text = json.dumps(document, separators=(",", ":"), default=_plain)
        return zlib.compress(text.encode("ascii"), _LEVEL)


def _note_row(note: Note) -> list[Any]:
    from weft.spec.notes import withhold  # late, as below: few plans have notes

    note = withhold(note)
    return [note.kind, dict(note.arguments), note.conditions]


def _plain(value: object) -> object:
    if isinstance(value, Opaque):
        return {_OPAQUE: [value.pickle, value.digest, value.shown]}
    return dict(value) if isinstance(value, Mapping) else str(value)


def _row(task: Task, policy: int, needs: int, call: int | None) -> list[Any]:
    """[name, kind, action, dependencies, policy, parameters, requirements, outputs]; what is empty at the end is left out."""
    action = task.action
    kind = kind_of(action)
    value: Any
    if call is not None:
        kind, value = _CALL, call
    elif type(action) is Command and {str}.issuperset(map(type, action.argv)):
        value = action.argv
    elif type(action) is Shell:
        value = action.script
    else:
        value = compiled.action_fields(action)
        kind = f"+{kind}"
    edges = [
        edge.name if edge.bind is None and not edge.each and not edge.gather else compiled.dependency_item(edge)
        for edge in task.dependencies
    ]
    row: list[Any] = [task.name, kind, value, edges, policy]
    if task.outputs:
        return [*row, dict(task.parameters), needs, task.outputs]
    if needs != _NO_REQUIREMENTS:
        return [*row, dict(task.parameters), needs]
    return [*row, dict(task.parameters)] if task.parameters else row


def _policy_fields(policy: Policy) -> Fields:
    """The fields that differ from a plain policy's, in spec's own units."""
    fields: Fields = {}
    for name in Policy.__dataclass_fields__:
        value = getattr(policy, name)
        if value != getattr(DEFAULT_POLICY, name):
            fields[name] = value
    if "resources" in fields:
        fields["resources"] = fields["resources"].amounts
    if "retries" in fields:
        retries = policy.retries
        scales = retries.scales
        fields["retries"] = [
            retries.max_attempts,
            retries.delay,
            retries.retry_on,
            None if scales is None else [(name, str(by) if callable(by) else by) for name, by in scales],
            retries.scale_on,
            retries.fallback_queues,
        ]
    if policy.foreach is not None:
        fields["foreach"] = [policy.foreach.files, policy.foreach.values, policy.foreach.stream, policy.foreach.bind]
    if policy.product is not None:
        fields["product"] = [policy.product.source, policy.product.type, policy.product.stream]
    return fields


def _option_row(option: Option) -> list[Any]:
    row = [option.type, option.description]
    return row if option.is_required else [*row, option.default]


def restore(data: bytes) -> Plan:
    """The plan that `snapshot` was given. Raises ValueError when the bytes are no snapshot of this version."""
    with collector_paused():
        try:
            document = json.loads(zlib.decompress(data))
        except (zlib.error, ValueError) as error:
            raise ValueError(f"these bytes are no snapshot of a plan: {error}") from error
        version = document.get("weft-snapshot") if isinstance(document, dict) else None
        if version != VERSION:
            raise ValueError(f"a snapshot of version {version!r}; this weft reads version {VERSION}")
        return Plan(
            graph=Graph(_tasks(document)),
            root=document["root"],
            key=document["key"],
            name=document["name"],
            description=document["description"],
            sources=tuple(Source(*row) for row in document["sources"]),
            options=_proxy({name: _option(*row) for name, row in document["options"].items()}),
            values=_proxy(document["values"]),
            types=_proxy({name: _type(name, fields) for name, fields in document["types"].items()}),
            environments=_proxy(
                {
                    name: make_environment(
                        fields, tuple((key, make_variable(value)) for key, value in fields["variables"].items())
                    )
                    for name, fields in document["environments"].items()
                }
            ),
            notes=_proxy({name: _note(*row) for name, row in document["notes"].items()}),
            templates=_proxy({name: Template(name, _proxy(fields)) for name, fields in document["templates"].items()}),
            attributes=_proxy(document["attributes"]),
            order=document["order"],
            family=document.get("family", ""),
        )


def _proxy(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping)) if mapping else NOTHING


def _note(kind: str, arguments: Fields, conditions: list[str]) -> Note:
    from weft.spec.notes import Note

    return Note(kind, _proxy(arguments), tuple(conditions))


def _option(kind: str, description: str | None, default: Any = MISSING) -> Option:
    return Option(kind, default, description)


def _type(name: str, fields: Fields) -> Type:
    choices = fields.pop("choices")
    paths = tuple(fields.pop("paths", ()))
    return Type(name, choices=None if choices is None else tuple(choices), paths=paths, **fields)


class _Edges(dict[str, Dependency]):
    """Plain dependencies by name, each made once."""

    def __missing__(self, name: str) -> Dependency:
        made = self[name] = Dependency(name)
        return made


def _tasks(document: Fields) -> list[Task]:
    policies = [_policy(fields) for fields in document["policies"]]
    requirements = [make_requirements(fields) for fields in document["requirements"]]
    requirements.append(NO_REQUIREMENTS)  # index -1
    edges_by_name = _Edges()
    edge_of = edges_by_name.__getitem__
    commands: dict[tuple[str, ...], Command] = {}
    calls = [make_action("serialized" if "serialized" in row else "function", row) for row in document.get("calls", ())]
    tasks = []
    for name, kind, value, items, policy, *rest in document["tasks"]:
        action: Any
        if kind == "command":
            argv = tuple(value)
            action = commands.get(argv)
            if action is None:
                action = Command(argv)
                if len(commands) < SHARED_COMMANDS:
                    commands[argv] = action
        elif kind == "shell":
            action = Shell(value)
        elif kind == _CALL:
            action = calls[value]
        else:
            action = make_action(kind.removeprefix("+"), value)
        try:
            edges = tuple(map(edge_of, items))
        except TypeError:  # an item in the longer form cannot be looked up
            edges = tuple([make_dependency(item) for item in items])
        if name not in edges_by_name:
            edges_by_name[name] = Dependency(name)  # those who depend on it hold this very name, not a copy
        parameters = rest[0] if rest else None
        if parameters and kind in _MAY_BE_OPAQUE:
            parameters = {key: _value(each) for key, each in parameters.items()}
        needs: Requirements = requirements[rest[1]] if len(rest) > 1 else NO_REQUIREMENTS
        outputs = tuple(rest[2]) if len(rest) > 2 else ()
        tasks.append(
            Task(
                name,
                action,
                edges,
                MappingProxyType(parameters) if parameters else NOTHING,
                needs,
                outputs,
                policies[policy],
            )
        )
    return tasks


def _value(value: Any) -> Any:
    if type(value) is dict and _OPAQUE in value:
        return Opaque(*value[_OPAQUE])
    return value


def _policy(fields: Fields) -> Policy:
    if not fields:
        return DEFAULT_POLICY
    if "resources" in fields:
        amounts = Resources(tuple((name, units) for name, units in fields["resources"]))
        fields["resources"] = NO_CORES if amounts == NO_CORES else ONE_CORE if amounts == ONE_CORE else amounts
    if "retries" in fields:
        fields["retries"] = _retries(fields["retries"])
    if "foreach" in fields:
        files, values, stream, bind = fields["foreach"]
        fields["foreach"] = Foreach(files, None if values is None else tuple(values), stream, bind)
    if "product" in fields:
        fields["product"] = Product(*fields["product"])
    for name in ("notes", "tags"):
        if name in fields:
            fields[name] = tuple(fields[name])
    for name in ("mapping", "roles", "attributes"):
        if isinstance(fields.get(name), dict):
            fields[name] = MappingProxyType(fields[name])
    return Policy(**fields)


def _retries(row: list[Any]) -> Retries:
    max_attempts, delay, retry_on, scales, scale_on, fallback_queues = row
    made = Retries(
        max_attempts,
        delay,
        None if retry_on is None else tuple(retry_on),
        None
        if scales is None
        else tuple((name, tuple(by) if isinstance(by, list) else by) for name, by in scales if not isinstance(by, str)),
        scale_on,
        tuple(fallback_queues),
    )
    return NO_RETRIES if made == NO_RETRIES else made
