"""Where types and tasks are defined: an object, so that a program may have several, and overlay one with another."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from weft.define.environments import read_environment
from weft.define.marks import made_mark, mark_of
from weft.define.mistakes import Mistakes, holding, place_of, show
from weft.define.overlays import StandIns
from weft.define.policies import Policies
from weft.define.signatures import Signature, UnreadableSignatureError, signature_of
from weft.define.tasks import Maker, TaskDefinition, Words
from weft.define.types import Predicate, TypeDefinition, TypeName, implied, name_of, problem_of, split
from weft.errors import cut, hint_nearest
from weft.spec.environments import Environment
from weft.spec.notes import CLASSES, CONDITIONS, Note, faults, is_class_path, make_note
from weft.spec.options import MISSING
from weft.spec.tasks import NOTHING, name_problem
from weft.spec.types import BUILTIN

if TYPE_CHECKING:
    from weft.define.launch import Plan

Function = TypeVar("Function", bound=Callable[..., Any])


class Registry:
    """Types and typed tasks, each defined after what it refers to. A child overlays its parent."""

    def __init__(self, name: str | None = None):
        self._start(name, None, str(sys._getframe(1).f_globals.get("__name__", "")))

    def _start(self, name: str | None, parent: Registry | None, module: str) -> None:
        self._name = name
        self._parent = parent
        self._module = module
        self._types: dict[str, TypeDefinition] = {}
        self._tasks: dict[str, TaskDefinition] = {}
        self._environments: dict[str, Environment] = {}
        self._notes: dict[str, Note] = {}
        self._names_by_function: dict[int, dict[str, None]] = {}
        self._signatures: dict[int, tuple[Any, Signature]] = {} if parent is None else parent._signatures
        self._policies: Policies = Policies() if parent is None else parent._policies
        self._maker = Maker(self.find_type, self._type_names, self.resolve, self.find, self.names, self._policies)

    def __repr__(self) -> str:
        return f"<weft.Registry of {self.identity} with {len(list(self.names()))} tasks>"

    @property
    def parent(self) -> Registry | None:
        """What it overlays."""
        return self._parent

    @property
    def is_default(self) -> bool:
        """Whether it is, or overlays, what decorators without a registry add to."""
        return any(registry is default_registry for registry in self._chain())

    @property
    def identity(self) -> str:
        """The module that it belongs to, and its name when it has one; what its plans and results are known by."""
        module = self._module or "__main__"
        if module == "__main__":
            path = getattr(sys.modules.get("__main__"), "__file__", None)
            module = os.path.splitext(os.path.basename(path))[0] if path else module
        return module if self._name is None else f"{module}.{self._name}"

    @property
    def file(self) -> str | None:
        """The source of the module that it belongs to; None of a notebook and a prompt."""
        return getattr(sys.modules.get(self._module), "__file__", None)

    # --- what is there ---------------------------------------------------------------------------------------------------

    def _chain(self) -> Iterator[Registry]:
        registry: Registry | None = self
        while registry is not None:
            yield registry
            registry = registry._parent

    def find(self, name: str) -> TaskDefinition | None:
        """The definition of a task, the nearest one; None when there is none."""
        registry: Registry | None = self
        while registry is not None:
            found = registry._tasks.get(name)
            if found is not None:
                return found
            registry = registry._parent
        return None

    def find_type(self, name: str) -> TypeDefinition | None:
        """The definition of a type, the nearest one; None when there is none."""
        registry: Registry | None = self
        while registry is not None:
            found = registry._types.get(name)
            if found is not None:
                return found
            registry = registry._parent
        return implied(name)

    def names(self) -> Iterator[str]:
        """The names of all tasks, in the order in which they were first defined."""
        known: dict[str, None] = {}
        for registry in reversed(list(self._chain())):
            known.update(dict.fromkeys(registry._tasks))
        return iter(known)

    def _type_names(self) -> Iterator[str]:
        for registry in self._chain():
            yield from registry._types

    def __contains__(self, task: object) -> bool:
        return self.resolve(task) is not None

    def __iter__(self) -> Iterator[str]:
        return self.names()

    def __getitem__(self, task: object) -> TaskDefinition:
        name = self.resolve(task)
        found = self.find(name) if name is not None else None
        if found is None:
            raise KeyError(task)
        return found

    def resolve(self, task: Any) -> str | None:
        """The name that a name, a function or a definition stands for here."""
        if isinstance(task, str):
            return task if self.find(task) is not None else None
        if isinstance(task, TaskDefinition):
            return task.name if self.find(task.name) is not None else None
        for registry in self._chain():
            names = registry._names_by_function.get(id(task))
            if names is not None:
                return next(iter(names)) if len(names) == 1 else None
        return None

    # --- types -----------------------------------------------------------------------------------------------------------

    def type(
        self,
        name: str,
        predicate: Predicate | None = None,
        parent: TypeName | None = None,
        *,
        description: str | None = None,
    ) -> str:
        """Define a type: a value is one when it is one of the parent, and then the predicate holds. Its name.

        Raises DefinitionError.
        """
        mistakes = Mistakes("type", name)
        if name.__class__ is not str:
            mistakes.add("name.invalid", "a type's name is a text")
            mistakes.raise_if_any()
        problem = name_problem(name)
        if problem is not None or split(name) is not None:
            mistakes.add("name.invalid", problem or "the names of lists and streams follow from their items'")
        if name in BUILTIN:
            mistakes.add("name.duplicate", "is built in and cannot be defined again", "choose another name")
        elif name in self._types and not _is_written_again(self._types[name].predicate, predicate):
            mistakes.add("name.duplicate", "is defined already", "registry.child() overlays definitions with others")
        given: object = predicate
        if given is not None and not callable(given):
            mistakes.add("shape.type", f"its predicate is {show(predicate)}", "give a function of one value")
        above = self._maker.type_name(parent, "parent", mistakes) if parent is not None else None
        mistakes.raise_if_any()
        self._types[name] = TypeDefinition(name, above, predicate, None, description)
        return name

    # --- environments and notes ------------------------------------------------------------------------------------------

    def environment(
        self,
        name: str,
        *,
        python: str | None = None,
        requirements: Any = (),
        path: str | None = None,
        variables: Mapping[str, Any] = NOTHING,
        fingerprint: bool = False,
    ) -> str:
        """Define where tasks that name it run. Its name. fingerprint: whether the variables belong to it.

        Raises DefinitionError.
        """
        mistakes = Mistakes("environment", name)
        self._check_new_name(name, self._environments, mistakes)
        words = {"python": python, "requirements": requirements, "path": path, "variables": variables}
        read = read_environment({**words, "fingerprint": fingerprint}, mistakes)
        mistakes.raise_if_any()
        self._environments[name] = read
        return name

    def note(self, name: str, kind: str, *, conditions: Any = (), **arguments: Any) -> str:
        """Define a sink for results that tasks name in `notes`. Its name. Raises DefinitionError."""
        mistakes = Mistakes("note", name)
        self._check_new_name(name, self._notes, mistakes)
        asked = [conditions] if isinstance(conditions, str) else list(conditions)
        for each in asked:
            if each not in CONDITIONS:
                mistakes.add("shape.value", f"{show(each)} is no condition", hint_nearest(str(each), CONDITIONS))
        known = CLASSES.get(kind) if isinstance(kind, str) else None
        if known is None and not (isinstance(kind, str) and is_class_path(kind)):
            hint = hint_nearest(str(kind), CLASSES) or f"kinds are {', '.join(CLASSES)}; or module:Class"
            mistakes.add("ref.note_class", f"its kind is {show(kind)}", hint)
        for fault in faults(known, arguments) if known is not None else ():
            about = "" if fault.key is None else f"{cut(fault.key)!r}: "
            mistakes.add(fault.code, f"{about}{fault.text}", fault.hint)
        mistakes.raise_if_any()
        self._notes[name] = (
            make_note(known, arguments, tuple(asked))
            if known is not None
            else Note(kind, MappingProxyType(arguments), tuple(asked))
        )
        return name

    def _check_new_name(self, name: object, known: Mapping[str, Any], mistakes: Mistakes) -> None:
        problem = name_problem(name) if isinstance(name, str) else "a name is a text"
        if problem is not None:
            mistakes.add("name.invalid", problem)
        elif name in known and not _is_interactive():
            mistakes.add("name.duplicate", "is defined already", "registry.child() overlays definitions with others")

    def environments(self) -> Mapping[str, Environment]:
        """All that tasks may name, the nearest ones."""
        return {
            name: each for registry in reversed(list(self._chain())) for name, each in registry._environments.items()
        }

    def notes(self) -> Mapping[str, Note]:
        """All that tasks may name, the nearest ones."""
        return {name: each for registry in reversed(list(self._chain())) for name, each in registry._notes.items()}

    # --- tasks -----------------------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Function, /, **words: Any) -> Function: ...

    @overload
    def task(self, function: str | None = None, /, **words: Any) -> Callable[[Function], Function]: ...

    def task(self, function: Any = None, /, **words: Any) -> Any:
        """Define a task, as a decorator or by a call; the function comes back unchanged.

        name: the function's own when not given. product: a type, weft.stream_of(...) for a generator. deps: tasks by name or
        function, weft.each(...), weft.gather(...). options: types or `weft.Option`s by parameter. version: pins the code's
        fingerprint. outputs: files that it makes. requires, foreach: in the normal form. Everything else is the task's policy
        (resources, timeout, max_attempts, retry_delay, retry_on, cache, isolation, ...). Raises DefinitionError with every
        mistake.
        """
        if isinstance(function, str):
            words.setdefault("name", function)
            function = None
        if function is not None:
            if words:
                self._define(function, words)
                return function
            with holding(None, function):
                self._define(function, words)
            return function

        def define(decorated: Function) -> Function:
            with holding(words.get("name"), decorated):
                self._define(decorated, dict(words))
            return decorated

        return define

    def define_again(self, function: Any, name: str, words: Mapping[str, Any]) -> None:
        """Make the task that was made last anew, because more was said of its function. Raises DefinitionError."""
        before = self._tasks.pop(name)
        try:
            self._define(function, {**words, "name": name})
        except BaseException:
            self._tasks[name] = before
            raise

    def _define(self, function: Any, words: dict[str, Any]) -> TaskDefinition:
        own = dict(words)
        name = words.pop("name", None)
        if name is None:
            name = getattr(function, "__name__", None)
        is_named = isinstance(name, str)
        mistakes = Mistakes("task" if is_named else "task of", name if is_named else function)
        read = self._signature(function, mistakes)
        mark = mark_of(function)
        if mark is not None:
            mark.merge(words, mistakes)
        self._check_name(name, function, mistakes)
        definition = self._maker.make(
            Words(
                name if isinstance(name, str) else "",
                function,
                read,
                words.pop("product", None),
                words.pop("deps", ()),
                words.pop("options", None),
                words.pop("version", None),
                words.pop("outputs", None),
                words,
                (words.pop("requires", None), words.pop("foreach", None)),
            ),
            mistakes,
        )
        if definition.policy.environment is not None or definition.policy.notes:
            self._check_surroundings(definition, mistakes)
        before = self.find(definition.name)
        if before is not None and not mistakes:
            is_again = definition.name in self._tasks  # then what follows it will be written again, too
            StandIns(self, self._maker, self._signature).check(before, definition, mistakes, must_fit=not is_again)
        mistakes.raise_if_any()
        self._module = self._module or str(getattr(function, "__module__", ""))
        self._put(definition)
        mark = mark or made_mark(function)
        if mark is not None:
            mark.claim(self, definition.name, own)
        return definition

    def _check_surroundings(self, definition: TaskDefinition, mistakes: Mistakes) -> None:
        policy = definition.policy
        environments, notes = self.environments(), self.notes()
        if policy.environment is not None and policy.environment not in environments:
            hint = hint_nearest(policy.environment, environments) or "registry.environment(...) defines one"
            mistakes.add(
                "ref.environment", f"names the environment {cut(policy.environment)!r}, which is not defined", hint
            )
        for note in policy.notes:
            if note not in notes:
                hint = hint_nearest(note, notes) or "registry.note(...) defines one"
                mistakes.add("ref.note", f"names the note {cut(note)!r}, which is not defined", hint)

    def _put(self, definition: TaskDefinition) -> None:
        self._tasks[definition.name] = definition
        if definition.function is not None:
            self._names_by_function.setdefault(id(definition.function), {})[definition.name] = None

    def _signature(self, function: Any, mistakes: Mistakes) -> Signature:
        known = self._signatures.get(id(function))
        if known is not None and known[0] is function:
            return known[1]
        if not callable(function):
            mistakes.add("shape.type", f"{show(function)} is no function")
            return Signature({})
        try:
            read = signature_of(function)
        except UnreadableSignatureError as error:
            message = f"Python cannot tell how {show(function)} is called: {error}"
            mistakes.add("shape.value", message, "wrap it in a function of your own")
            return Signature({})
        self._signatures[id(function)] = (function, read)
        return read

    def _check_name(self, name: object, function: Any, mistakes: Mistakes) -> None:
        if not isinstance(name, str):
            if name is None:
                mistakes.add("name.invalid", f"{show(function)} has no name", "say name=...")
            else:
                mistakes.add("name.invalid", f"its name is {show(name)}", "a name is a text")
            return
        if name == "<lambda>":
            mistakes.add("name.invalid", "a lambda has no name", "say name=...")
            return
        problem = name_problem(name)
        if problem is not None:
            mistakes.add("name.invalid", problem)
        self._check_instance_name(name, mistakes)
        before = self._tasks.get(name)
        if before is not None and not _is_written_again(before.function, function):
            place = place_of(before.function)
            where = f" ({place.file}, line {place.line})" if place.file is not None else ""
            hint = "names are unique; registry.override(...) gives a registry with another one in its place"
            mistakes.add("name.duplicate", f"is defined already{where}", hint)

    def _check_instance_name(self, name: str, mistakes: Mistakes) -> None:
        """`NAME[ITEM]` is how an instance of the mapped task NAME is shown."""
        end = name.find("[") if name.endswith("]") else -1
        while end > 0:
            owner = self.find(name[:end])
            if owner is not None and owner.policy.foreach is not None:
                mistakes.add(
                    "name.duplicate", f"has the name of an instance of {cut(owner.name)!r}", "choose another name"
                )
                return
            end = name.find("[", end + 1)

    # --- overlays --------------------------------------------------------------------------------------------------------

    def child(self) -> Registry:
        """An empty overlay: what is defined in it does not change this one."""
        made = Registry.__new__(Registry)
        made._start(self._name, self, self._module)
        return made

    def override(
        self,
        name: object,
        *,
        function: Callable[..., Any] | None = None,
        value: Any = MISSING,
        file: str | os.PathLike[str] | None = None,
        task: object = None,
    ) -> Registry:
        """A child in which another function, a value, the value in a file, or another task stands in a task's place.

        Exactly one of them. function: keeps what the task depends on, its options and its policy, as far as it takes them.
        file: JSON, or with the suffix .txt its text. task: another one of this registry, or a `weft.Task`.
        Raises DefinitionError, also when the product would not fit.
        """
        given: dict[str, Any] = {"function": function, "task": task, "file": file}
        words = {word: each for word, each in given.items() if each is not None}
        if value is not MISSING:
            words["value"] = value
        made = self.child()
        made._put(StandIns(self, self._maker, self._signature).make(name, words))
        return made

    # --- for those who run it themselves (weft.testing) ------------------------------------------------------------------

    def arguments(self, name: str, options: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The values of a task's options, as its function is given them: objects, and copies of defaults."""
        from weft.define.invocation import arguments_of

        return arguments_of(self, name, {} if options is None else options)

    def problem_of(self, value: object, type: TypeName) -> str | None:
        """Why a value is not of a type, None when it is. Raises TypeError for what names no type."""
        return problem_of(value, name_of(type), self.find_type)

    # --- invocation ------------------------------------------------------------------------------------------------------

    def invoke(self, targets: Any = None, options: Mapping[str, Any] | None = None) -> Plan:
        """The plan that makes the targets (None: every task), with values for options: nested by task, or as `task.option`.

        Only targets and what they need take part. Raises PlanError with everything that is missing, unknown or ill-typed.
        """
        from weft.define.launch import runnable

        return runnable(self, targets, {} if options is None else options)


def _is_written_again(before: Any, function: Any) -> bool:
    """Whether a cell of a notebook, or a line of a prompt, defines once more what it defined before."""
    if before is None or not _is_interactive():
        return False
    one, other = (getattr(each, "__qualname__", None) for each in (before, function))
    return one == other is not None and getattr(function, "__module__", None) == "__main__"


def _is_interactive() -> bool:
    """Whether this is a notebook or a prompt, where people say the same again: both show their prompts in `sys`."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


default_registry: Final = Registry()
default_registry._module = ""
"""What `weft.task` adds to."""
