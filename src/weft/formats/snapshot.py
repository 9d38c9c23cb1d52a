"""A plan as compact bytes for the store, and back, exactly: also its key, root, values and sources.

Rows instead of the long native form, because a million tasks are written before the first one starts. Policies and
requirements that are equal are written once and shared again when read. Trusted: it comes from our own store.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.collector import collector_paused
from weft.formats import compile as compiled
from weft.formats.native import make_environment, make_variable
from weft.formats.native_tasks import SHARED_COMMANDS, make_action, make_dependency, make_requirements
from weft.spec.actions import Action, Call, Command, Shell, kind_of
from weft.spec.environments import Environment, VariableValue, Withheld
from weft.spec.graph import Graph
from weft.spec.options import MISSING, Opaque, Option
from weft.spec.plan import Plan, Source, Template
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, FileNeed, Foreach, Requirements
from weft.spec.resources import NO_CORES, ONE_CORE, Resources
from weft.spec.retries import NO_RETRIES, Forgotten, Retries, Scale
from weft.spec.tasks import DEFAULT_POLICY, NOTHING, Dependency, Policy, Task
from weft.spec.types import Type

if TYPE_CHECKING:
    from weft.spec.notes import Note

VERSION: Final = 3
_READABLE: Final = (1, 2, VERSION)  # 1 wrote all requirements in their long form, 1 and 2 every action of every task
_LEVEL: Final = 1  # zlib: four times smaller for a microsecond a task; higher levels cost more than they save
_ROWS_AT_A_TIME: Final = 4096
_NO_REQUIREMENTS: Final = -1
_PLAIN_KINDS: Final = frozenset({"command", "shell"})
_MAY_BE_OPAQUE: Final = frozenset({"call", "+function", "+serialized"})
_SAME: Final = ""  # kind of an action that equals that of the task before
_CALL: Final = "call"  # kind of a typed task: its action stands among the calls, which many tasks share
_OPAQUE: Final = "\0opaque"  # key of an object that no document can have, for a value that is no plain data

Fields = dict[str, Any]


def snapshot(plan: Plan, *, is_stored: bool = True) -> bytes:
    """The plan as bytes. A value that JSON cannot hold (of a plan made in Python) is written as its text.

    is_stored: it will be kept, so it is without credentials and values of variables.
    """
    with collector_paused():
        policies: dict[int, int] = {}
        requirements: dict[int, int] = {}
        policy_rows: list[Fields] = []
        requirement_rows: list[Fields | list[str]] = []
        calls: dict[int, int] = {}
        call_rows: list[Fields] = []
        rows: list[list[Any]] = []
        pieces = _Pieces()
        write_row = _RowWriter().write
        for task in plan.graph.tasks:
            if len(rows) == _ROWS_AT_A_TIME:
                pieces.add(rows)
                rows.clear()
            policy = policies.get(id(task.policy))
            if policy is None:
                policy = policies[id(task.policy)] = len(policy_rows)
                policy_rows.append(_policy_fields(task.policy))
            needs = _NO_REQUIREMENTS
            if task.requires is not NO_REQUIREMENTS:
                found = requirements.get(id(task.requires))
                if found is None:
                    found = requirements[id(task.requires)] = len(requirement_rows)
                    requirement_rows.append(_requirements_row(task.requires))
                needs = found
            call = None
            if type(task.action) is Call and task.action.code:
                call = calls.get(id(task.action))
                if call is None:
                    call = calls[id(task.action)] = len(call_rows)
                    call_rows.append(compiled.action_fields(task.action))
            rows.append(write_row(task, policy, needs, call))
        pieces.add(rows)
        document = {
            "weft-snapshot": VERSION,
            "key": plan.key,
            "root": plan.root,
            "name": plan.name,
            "description": plan.description,
            "order": plan.order,
            "family": plan.family,
            "limits": dict(plan.limits),
            "sources": [[source.path, source.dialect, source.digest] for source in plan.sources],
            "values": dict(plan.values),
            "attributes": dict(plan.attributes),
            "options": {name: _option_row(option) for name, option in plan.options.items()},
            "types": {name: compiled.type_document(kind) for name, kind in plan.types.items()},
            "environments": {name: _environment_row(each, is_stored) for name, each in plan.environments.items()},
            "notes": {name: _note_row(note, is_stored) for name, note in plan.notes.items()},
            "templates": {name: dict(template.fields) for name, template in plan.templates.items()},
            "policies": policy_rows,
            "requirements": requirement_rows,
            "calls": call_rows,
        }
        return pieces.end(document)


class _Pieces:
    """The text piece by piece: that of a million tasks is never whole in memory."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(_LEVEL)
        self._parts = [self._compressor.compress(b'{"tasks":[')]
        self._is_first = True

    def add(self, rows: list[list[Any]]) -> None:
        """Rows of tasks."""
        if rows:
            self._write(("" if self._is_first else ",") + _text(rows)[1:-1])
            self._is_first = False

    def end(self, document: Fields) -> bytes:
        """All other keys, and the whole."""
        self._write("]," + _text(document)[1:])
        return b"".join([*self._parts, self._compressor.flush()])

    def _write(self, text: str) -> None:
        self._parts.append(self._compressor.compress(text.encode("ascii")))


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _requirements_row(needs: Requirements) -> Fields | list[str]:
    """Paths alone where that says all: many plans have one file of its own for each task."""
    files = needs.files
    if needs == Requirements(files) and all(need.bind is None for need in files):
        return [need.path for need in files]
    return {key: value for key, value in compiled.requires_document(needs).items() if value}


def _environment_row(environment: Environment, is_stored: bool) -> Fields:
    from weft.spec.withholding import withhold  # late: few plans have environments

    return compiled.environment_document(withhold(environment) if is_stored else environment)


def _note_row(note: Note, is_stored: bool) -> list[Any]:
    from weft.spec.notes import withhold  # late, as below: few plans have notes

    note = withhold(note) if is_stored else note
    return [note.kind, dict(note.arguments), note.conditions]


def _plain(value: object) -> object:
    if isinstance(value, Opaque):
        return {_OPAQUE: [value.pickle, value.digest, value.shown]}
    return dict(value) if isinstance(value, Mapping) else str(value)


class _RowWriter:
    """What neighbours share, the very same action or dependencies, is looked at once."""

    __slots__ = ("_action", "_dependencies", "_edges", "_head")

    def __init__(self) -> None:
        self._action: object = None
        self._head: tuple[str, Any] | None = None
        self._dependencies: Sequence[Dependency] = ()
        self._edges: list[Any] = []

    def write(self, task: Task, policy: int, needs: int, call: int | None) -> list[Any]:
        """[name, kind, action, dependencies, policy, parameters, requirements, outputs]; what is empty at the end is left out.

        A command or script that equals that of the task before is not written again.
        """
        kind: str
        value: Any
        if call is not None:
            kind, value = _CALL, call
            self._action = self._head = None
        else:
            head = self._head if task.action is self._action and self._head is not None else _head(task.action)
            # Equal ones, not the very same: equal plans have equal bytes.
            kind, value = (_SAME, None) if head == self._head and head[0] in _PLAIN_KINDS else head
            self._action, self._head = task.action, head
        if task.dependencies is not self._dependencies:
            self._dependencies, self._edges = task.dependencies, list(map(_edge, task.dependencies))
        row: list[Any] = [task.name, kind, value, self._edges, policy]
        if task.outputs:
            return [*row, dict(task.parameters), needs, task.outputs]
        if needs != _NO_REQUIREMENTS:
            return [*row, dict(task.parameters), needs]
        if task.parameters:
            row.append(dict(task.parameters))
        return row


def _head(action: Action) -> tuple[str, Any]:
    """Kind and value of an action that is not among the calls."""
    kind = kind_of(action)
    if type(action) is Command and {str}.issuperset(map(type, action.argv)):
        return kind, action.argv
    if type(action) is Shell:
        return kind, action.script
    return f"+{kind}", compiled.action_fields(action)


def _edge(edge: Dependency) -> Any:
    if edge.bind is None and not edge.each and not edge.gather:
        return edge.name
    return compiled.dependency_item(edge)


def _policy_fields(policy: Policy) -> Fields:
    """The fields that differ from a plain policy's, in spec's own units."""
    fields: Fields = {}
    for name in Policy.__dataclass_fields__:
        value = getattr(policy, name)
        if value != getattr(DEFAULT_POLICY, name):
            fields[name] = value
    if policy.ask is not None:
        fields["ask"] = _shown(policy.ask)
    if "auto" in fields:
        fields["auto"] = sorted(policy.auto)
    if "resources" in fields:
        fields["resources"] = fields["resources"].amounts
    if "retries" in fields:
        retries = policy.retries
        scales = retries.scales
        fields["retries"] = [
            retries.max_attempts,
            retries.delay,
            retries.retry_on,
            None if scales is None else [(name, _shown(by) if callable(by) else by) for name, by in scales],
            retries.scale_on,
            retries.fallback_queues,
        ]
    if policy.foreach is not None:
        fields["foreach"] = [policy.foreach.files, policy.foreach.values, policy.foreach.stream, policy.foreach.bind]
    if policy.product is not None:
        fields["product"] = [policy.product.source, policy.product.type, policy.product.stream]
    return fields


def _shown(function: Callable[..., Any]) -> str:
    """A function that no document holds, by a name that is the same in every process."""
    if isinstance(function, Forgotten):
        return function.name
    inner = getattr(function, "function", function)  # of one that was wrapped for its units
    return f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def _option_row(option: Option) -> list[Any]:
    row = [option.type, option.description]
    return row if option.is_required else [*row, option.default]


def restore(data: bytes) -> Plan:
    """The plan that `snapshot` was given. Raises ValueError when the bytes are no snapshot of this version."""
    with collector_paused():
        document = _document(data)
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
                        fields, tuple((key, _variable(value)) for key, value in fields["variables"].items())
                    )
                    for name, fields in document["environments"].items()
                }
            ),
            notes=_proxy({name: _note(*row) for name, row in document["notes"].items()}),
            templates=_proxy({name: Template(name, _proxy(fields)) for name, fields in document["templates"].items()}),
            attributes=_proxy(document["attributes"]),
            order=document["order"],
            family=document.get("family", ""),
            limits=_proxy(document.get("limits", {})),
        )


def _document(data: bytes) -> Fields:
    try:
        document = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"these bytes are no snapshot of a plan: {error}") from error
    version = document.get("weft-snapshot") if isinstance(document, dict) else None
    if version not in _READABLE:
        raise ValueError(f"a snapshot of version {version!r}; this weft reads versions up to {VERSION}")
    found: Fields = document
    return found


class Outline(NamedTuple):
    """What a snapshot says, without the making of its tasks. policies, parameters: of each, in plan order."""

    attributes: Mapping[str, Any]
    policies: Sequence[Policy]
    parameters: Sequence[Mapping[str, Any]]


def outline(data: bytes) -> Outline:
    """For who asks no more of a plan of templates: two thirds of the time. Raises ValueError."""
    with collector_paused():
        document = _document(data)
        policies = [_policy(fields) for fields in document["policies"]]
        rows = document["tasks"]
        parameters = [row[5] if len(row) > 5 and row[5] else NOTHING for row in rows]
        return Outline(_proxy(document["attributes"]), [policies[row[4]] for row in rows], parameters)


def templates_in(data: bytes) -> list[str | None]:
    """The template of each task of a snapshot, in plan order; for who needs no more of it. Raises ValueError."""
    with collector_paused():
        try:
            document = json.loads(zlib.decompress(data))
        except (zlib.error, ValueError) as error:
            raise ValueError(f"these bytes are no snapshot of a plan: {error}") from error
        templates = [policy.get("template") for policy in document["policies"]]
        return [templates[row[4]] for row in document["tasks"]]


def _proxy(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping)) if mapping else NOTHING


def _variable(value: Any) -> VariableValue:
    if isinstance(value, dict) and "withheld" in value:
        return Withheld(value["withheld"], value.get("words", 1), tuple(value.get("forms", ())))
    return make_variable(value)


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
    """Plain dependencies by name, each made once. names: of the tasks so far; an edge holds that very name, not a copy."""

    def __init__(self, names: Mapping[str, str]):
        self._names = names

    def __missing__(self, name: str) -> Dependency:
        made = self[name] = Dependency(self._names.get(name, name))
        return made


def _requirements(row: Fields | list[str]) -> Requirements:
    """What `_requirements_row` was given."""
    return Requirements(tuple([FileNeed(path) for path in row])) if isinstance(row, list) else make_requirements(row)


def _tasks(document: Fields) -> list[Task]:
    policies = [_policy(fields) for fields in document["policies"]]
    requirements = [_requirements(row) for row in document["requirements"]]
    requirements.append(NO_REQUIREMENTS)  # index -1
    names: dict[str, str] = {}
    edge_of = _Edges(names).__getitem__
    commands: dict[tuple[str, ...], Command] = {}
    calls = [make_action("serialized" if "serialized" in row else "function", row) for row in document.get("calls", ())]
    tasks = []
    action: Any = None
    for name, kind, value, items, policy, *rest in document["tasks"]:
        if kind == _SAME:
            pass  # the one of the task before
        elif kind == "command":
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
        edges: tuple[Dependency, ...] = ()
        if items:
            try:
                edges = tuple(map(edge_of, items))
            except TypeError:  # an item in the longer form cannot be looked up
                edges = tuple([make_dependency(item) for item in items])
        names[name] = name
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
    if "auto" in fields:
        fields["auto"] = frozenset(fields["auto"])
    if "ask" in fields:
        fields["ask"] = Forgotten(fields["ask"])
    for name in ("mapping", "roles", "attributes", "copies", "directives"):
        if isinstance(fields.get(name), dict):
            fields[name] = MappingProxyType(fields[name])
    return Policy(**fields)


def _scale(by: Any) -> Scale:
    return tuple(by) if isinstance(by, list) else Forgotten(by) if isinstance(by, str) else by


def _retries(row: list[Any]) -> Retries:
    max_attempts, delay, retry_on, scales, scale_on, fallback_queues = row
    made = Retries(
        max_attempts,
        delay,
        None if retry_on is None else tuple(retry_on),
        None if scales is None else tuple((name, _scale(by)) for name, by in scales),
        scale_on,
        tuple(fallback_queues),
    )
    return NO_RETRIES if made == NO_RETRIES else made
