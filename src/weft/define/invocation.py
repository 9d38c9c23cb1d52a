"""From definitions and values for their options to a plan: every mistake in them is told here, before anything runs."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Set
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from weft.collector import collector_paused
from weft.define.code import digest_of_code, parts_of, pinned
from weft.define.marks import unclaimed
from weft.define.mistakes import show
from weft.define.references import ByValueError, by_value, paths_of, reference_of
from weft.define.tasks import TaskDefinition
from weft.define.types import TypeDefinition, builtin_of, lineage, problem_of
from weft.define.values import UnpicklableError, held
from weft.errors import PlanError, Problem, cut, hint_nearest
from weft.spec.actions import Call, Serialized
from weft.spec.graph import Graph
from weft.spec.options import Option
from weft.spec.plan import Plan, Source
from weft.spec.requirements import FileNeed, Requirements
from weft.spec.tasks import NOTHING, Task
from weft.spec.types import BUILTIN, Type

if TYPE_CHECKING:
    from weft.define.registry import Registry

DIGEST_BYTES: Final = 32  # blake2b; as everywhere in weft
LONGEST_KEY: Final = 200  # characters of targets in a plan's key; more are told by their digest
_ABSENT: Final = object()

Values = dict[str, dict[str, Any]]
"""Values of options by task and option."""


class Invocation:
    """One call of `Registry.invoke`, while it becomes a plan.

    root: folder that relative paths start from. excused: tasks that do not take part, whose options may lack a value.
    """

    def __init__(self, registry: Registry, root: str | None = None, excused: frozenset[str] = frozenset()):
        self._excused = excused
        self._registry = registry
        self._root = os.path.abspath(root or os.getcwd())
        self._problems: list[Problem] = []
        self._calls: dict[tuple[int, str | None, str], Call] = {}
        self._types: dict[str, Type] = {}
        self._defaults: dict[int, Any] = {}

    @collector_paused()
    def plan(self, targets: object, options: object) -> Plan:
        """The plan. Raises PlanError with every mistake."""
        names = self._targets(targets)
        if self._registry.is_default:
            self._problems += unclaimed()
        values = self._values(options)
        definitions = self._needed(names)
        tasks = [self._task(definition, values.get(definition.name, NOTHING)) for definition in definitions]
        if self._problems:
            raise PlanError(self._problems)
        for definition in definitions:
            if definition.product.type not in BUILTIN:
                self._take_type(definition.product.type)
        if self._problems:
            raise PlanError(self._problems)
        identity = f"registry:{self._registry.identity}"
        return Plan(
            graph=Graph(tasks),
            root=self._root,
            key=f"{identity}:{_shown_targets(names) if targets is not None else '*'}",
            name=self._registry.identity,
            sources=(self._source(),),
            types=MappingProxyType(self._types) if self._types else NOTHING,
            environments=_named(self._registry.environments(), {task.policy.environment for task in tasks}),
            notes=_named(self._registry.notes(), {note for task in tasks for note in task.policy.notes}),
            family=identity,
        )

    def _source(self) -> Source:
        """The module that the registry belongs to."""
        name = self._registry.identity
        path = self._registry.file
        try:
            with open(path or "", "rb") as file:
                digest = blake2b(file.read(), digest_size=DIGEST_BYTES).hexdigest()
        except OSError:  # a notebook, a prompt: there is no file
            return Source(name, "python", "")
        return Source(os.path.relpath(path or "", self._root), "python", digest)

    def _tell(self, code: str, message: str, location: str | None = None, hint: str | None = None) -> None:
        self._problems.append(Problem(code, message, location=location, hint=hint))

    # --- targets ---------------------------------------------------------------------------------------------------------

    def _targets(self, targets: object) -> list[str]:
        if targets is None:
            return list(self._registry.names())
        members = list(targets) if isinstance(targets, list | tuple | set | frozenset) else [targets]
        names: dict[str, None] = {}
        for member in members:
            name = self._registry.resolve(member)
            if name is not None:
                names[name] = None
                continue
            hint = hint_nearest(member, self._registry.names()) if isinstance(member, str) else None
            shown = repr(cut(member)) if isinstance(member, str) else show(member)
            self._tell("ref.task", f"there is no task {shown}", None, hint or _known_tasks(self._registry))
        return list(names)

    def _needed(self, names: list[str]) -> list[TaskDefinition]:
        """The targets and all that they depend on, in the order in which tasks were defined."""
        find = self._registry.find
        found: dict[str, TaskDefinition] = {}
        open_names = names[::-1]
        while open_names:
            name = open_names.pop()
            if name in found:
                continue
            definition = find(name)
            if definition is None:  # only a finished task that was put in by hand can name one that is gone
                self._tell(
                    "ref.task", f"there is no task {cut(name)!r}", None, hint_nearest(name, self._registry.names())
                )
                continue
            found[name] = definition
            open_names += [edge.name for edge in definition.edges]
        return [found[name] for name in self._registry.names() if name in found]

    # --- options ---------------------------------------------------------------------------------------------------------

    def _values(self, options: object) -> Values:
        """What was given, by task and option; what no task has is told."""
        values: Values = {}
        if not isinstance(options, Mapping):
            self._tell("option.type", f"options is {show(options)}", None, "give a dict, as in {'fit': {'k': 4}}")
            return values
        for key, value in options.items():
            if not isinstance(key, str):
                self._tell("option.unknown", f"{show(key)} names no task", None, "give {'task': {'option': value}}")
            elif self._registry.find(key) is not None and isinstance(value, Mapping):
                for name, each in value.items():
                    self._give(key, str(name), each, values)
            else:
                self._give_flat(key, value, values)
        return values

    def _give_flat(self, key: str, value: Any, values: Values) -> None:
        end = key.rfind(".")
        while end > 0 and self._registry.find(key[:end]) is None:
            end = key.rfind(".", 0, end)
        if end > 0:
            self._give(key[:end], key[end + 1 :], value, values)
            return
        definition = self._registry.find(key)
        if definition is not None:
            hint = f"give {{{key!r}: {{'option': value}}}}, or '{key}.option'"
            self._tell("option.type", f"the options of task {cut(key)!r} are {show(value)}", key, hint)
            return
        owner = key.rpartition(".")[0] or key
        what = f"there is no task {cut(owner)!r}, so it has no options"
        self._tell("option.unknown", what, key, hint_nearest(owner, self._registry.names()))

    def _give(self, task: str, name: str, value: Any, values: Values) -> None:
        definition = self._registry.find(task)
        assert definition is not None
        location = f"{task}.{name}"
        given = values.setdefault(task, {})
        option = definition.options.get(name) or definition.unused.get(name)
        if option is None:
            known = [*definition.options, *definition.unused]
            hint = hint_nearest(name, known)
            if hint is None:
                hint = f"its options are {', '.join(map(repr, known))}" if known else "it has no options"
            self._tell("option.unknown", f"task {cut(task)!r} has no option {cut(name)!r}", location, hint)
            return
        if name in given:
            self._tell("shape.conflict", f"option {cut(location)!r} is given twice", location, "give it once")
            return
        if isinstance(value, str) and name in definition.paths:
            value = Path(value)
        given[name] = value
        self._check(definition, name, option, value, location)

    def _check(self, definition: TaskDefinition, name: str, option: Option, value: Any, location: str) -> None:
        if option.type == "any" or (value is None and name in definition.optional):
            return
        problem = problem_of(value, option.type, self._registry.find_type)
        if problem is not None:
            self._tell("option.type", f"option {cut(location)!r}: {problem}", location)

    # --- tasks -----------------------------------------------------------------------------------------------------------

    def _task(self, definition: TaskDefinition, given: Mapping[str, Any]) -> Task:
        if definition.stand_in is not None:
            return definition.stand_in
        parameters: dict[str, Any] = {}
        for name, option in definition.options.items():
            value = given.get(name, _ABSENT)
            if value is not _ABSENT:
                parameters[name] = self._held(value, f"{definition.name}.{name}")
            elif option.is_required and definition.name in self._excused:
                continue
            elif option.is_required:
                location = f"{definition.name}.{name}"
                message = f"option {cut(location)!r} has no value"
                hint = f"it is of type {option.type!r}; give it, or a default"
                if definition.policy.foreach is not None and definition.policy.foreach.files:
                    hint = f"give it, or a default; if it is to receive the file, say as_={name!r}"
                self._tell("option.missing", message, location, hint)
            else:
                parameters[name] = self._default(definition, name, option)
        return Task(
            definition.name,
            self._call(definition),
            definition.edges,
            MappingProxyType(parameters) if parameters else NOTHING,
            self._requires(definition, given),
            definition.outputs,
            policy=definition.policy,
        )

    def _requires(self, definition: TaskDefinition, given: Mapping[str, Any]) -> Requirements:
        """What the task requires: the files that its options of a `file` type name must be there, and their content counts."""
        files: list[FileNeed] = []
        for name, option in definition.options.items():
            if not self._is_file(option.type) or definition.policy.roles.get(name) == "op":
                continue
            value = given.get(name, option.default)
            if isinstance(value, str | os.PathLike) and isinstance(path := os.fspath(value), str) and path:
                files.append(FileNeed(path))
        requires = definition.requires
        return requires._replace(files=(*requires.files, *files)) if files else requires

    def _is_file(self, kind: str) -> bool:
        return kind == "file" or (kind not in BUILTIN and builtin_of(kind, self._registry.find_type) == "file")

    def _default(self, definition: TaskDefinition, name: str, option: Option) -> Any:
        default = option.default
        if type(default) in (int, str, bool, type(None)):
            return default
        if isinstance(default, str) and name in definition.paths:
            default = Path(default)
        key = id(option)
        if key not in self._defaults:
            self._defaults[key] = self._held(default, f"{definition.name}.{name}")
        return self._defaults[key]

    def _held(self, value: Any, location: str) -> Any:
        try:
            return held(value)
        except UnpicklableError as error:
            message = (
                f"option {cut(location)!r}: {show(value)} cannot be handed to another process: {cut(str(error), 200)}"
            )
            self._tell("option.type", message, location, "give plain data, or make it in the task")
            return None

    def _call(self, definition: TaskDefinition) -> Call:
        kind = definition.product.type
        key = (id(definition.function), definition.version, kind)
        found = self._calls.get(key)
        if found is None:
            found = self._calls[key] = self._made_call(definition, kind)
        return found

    def _made_call(self, definition: TaskDefinition, kind: str) -> Call:
        function = definition.function
        assert function is not None
        if definition.version is not None:
            code = pinned(definition.version)
        else:
            own = dict(parts_of(function))
            for each in lineage(kind, self._registry.find_type):
                if each.predicate is not None:
                    own[f"type:{each.name}"] = digest_of_code(each.predicate)
            code = MappingProxyType(own)
        reference = reference_of(function)
        sent: str | Serialized = reference or ""
        if reference is None:
            try:
                sent = by_value(function)
            except ByValueError as error:
                message = f"task {cut(definition.name)!r}: its function cannot be sent to another process: "
                hint = "define it at the top of a module that can be imported, or make in it what it cannot take along"
                self._tell("shape.value", message + cut(str(error), 200), definition.name, hint)
        return Call(sent, None, code, paths_of(function))

    # --- types -----------------------------------------------------------------------------------------------------------

    def _take_type(self, name: str) -> None:
        """A product's type and all that it comes from, for those who check products where they are made."""
        open_names = [name]
        while open_names:
            current = open_names.pop()
            if current in self._types or current in BUILTIN:
                continue
            found = self._registry.find_type(current)
            if found is None:
                continue
            self._types[current] = self._spec_type(found)
            open_names += [each for each in (found.parent, found.items) if each is not None]

    def _spec_type(self, definition: TypeDefinition) -> Type:
        predicate: str | None = None
        paths: tuple[str, ...] = ()
        if definition.predicate is not None:
            predicate = reference_of(definition.predicate)
            paths = paths_of(definition.predicate)
            if predicate is None:
                try:
                    predicate = by_value(definition.predicate).data
                except ByValueError as error:
                    message = f"type {cut(definition.name)!r}: its predicate cannot be sent to another process: {error}"
                    self._tell("shape.value", message, None, "define it at the top of a module")
        return Type(
            definition.name,
            definition.parent,
            description=definition.description,
            predicate=predicate,
            paths=paths,
            items=definition.items,
        )


def _named(known: Mapping[str, Any], used: Set[str | None]) -> Mapping[str, Any]:
    """Those that tasks name, in the order of their definition."""
    return MappingProxyType({name: each for name, each in known.items() if name in used}) if known else NOTHING


def arguments_of(registry: Registry, task: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a task's function is given for its options. Raises PlanError like the invocation."""
    reader = Invocation(registry)
    given = reader._values(options).get(task, {})
    definition = registry.find(task)
    assert definition is not None
    values: dict[str, Any] = {}
    for name, option in definition.options.items():
        if name in given:
            values[name] = copy.deepcopy(given[name])
        elif not option.is_required:
            default = option.default
            is_path = isinstance(default, str) and name in definition.paths
            values[name] = Path(default) if is_path else copy.deepcopy(default)
    return values


def _shown_targets(names: list[str]) -> str:
    text = ",".join(sorted(name.replace(",", ",,") for name in names))
    if len(text) <= LONGEST_KEY:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _known_tasks(registry: Registry) -> str:
    names = list(registry.names())
    if not names:
        return "the registry is empty"
    shown = ", ".join(repr(cut(name)) for name in names[:10])
    return f"its tasks are {shown}" + (f" and {len(names) - 10} more" if len(names) > 10 else "")
