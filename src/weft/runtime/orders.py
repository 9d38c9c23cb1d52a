"""From a task and a start command to an order: slots filled, parameters mapped, environment laid out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

from weft.ports import Code, Function, Order, Process
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import NOT_FOUND, SETUP
from weft.spec import mapping, slots
from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet
from weft.spec.environments import Environment
from weft.spec.plan import Plan
from weft.spec.requirements import instance_name
from weft.spec.resources import MEMORY
from weft.spec.shelltext import ShellSlotError
from weft.spec.tasks import Isolation, Task

Launch = Process | Code | Function

NO_ENVIRONMENT = Environment()
DEFAULT_MAPPING = "--{key} {value}"


class OrderError(ValueError):
    """An attempt cannot be described: the values that came at run time do not fit. cause: of the attempt's end."""

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause


class Bindings:
    """What an attempt receives beyond its declared parameters. item: of a mapped task's instance; file: `WEFT_FILE`."""

    __slots__ = ("file", "item", "values")

    def __init__(self, values: Mapping[str, Any], item: str | None = None, file: str | None = None):
        self.values = values
        self.item = item
        self.file = file


NOTHING_BOUND = Bindings({})


class OrderWriter:
    """Writes orders for the attempts of one run.

    bound: values that the run itself brings (products of dependencies, found files, the item), by task and instance.
    interpreter: of an environment by name; None is weft's own.
    """

    def __init__(
        self,
        plan: Plan,
        run: str,
        *,
        bound: Callable[[int, int], Bindings],
        interpreter: Callable[[str], tuple[str | None, str | None]],
    ):
        self._plan = plan
        self._run = run
        self._bound = bound
        self._interpreter = interpreter
        self._needs_bound = [_needs_bound(task) for task in plan.graph.tasks]

    def write(self, start: StartAttempt) -> Order:
        """The order for one attempt. Raises OrderError."""
        plan = self._plan
        key = start.key
        task = plan.graph.tasks[key.task]
        policy = task.policy
        bindings = self._bound(key.task, key.instance) if self._needs_bound[key.task] else NOTHING_BOUND
        environment = plan.environments[policy.environment] if policy.environment is not None else NO_ENVIRONMENT
        interpreter, bin_folder = (
            self._interpreter(policy.environment) if policy.environment is not None else (None, None)
        )
        values = self._values(task, bindings)
        name = task.name if key.instance == WHOLE else instance_name(task.name, bindings.item or str(key.instance))
        memory = next((units for amount, units in start.request.amounts if amount == MEMORY), None)
        return Order(
            key=key,
            nonce=start.nonce,
            token=f"{self._run}.{start.nonce:016x}",
            name=name,
            launch=self._launch(task, values, interpreter),
            folder=os.path.join(plan.root, environment.path) if environment.path else plan.root,
            environment=_variables(task, bindings, bin_folder),
            variables=environment.variables,
            interpreter=interpreter,
            timeout=start.request.timeout,
            memory_bytes=memory,
            niceness=policy.niceness,
            lane=start.lane,
            ahead=start.ahead,
            isolation=_isolation(task, memory, start.alone),
            keeps=_keeps(task),
        )

    def _values(self, task: Task, bindings: Bindings) -> Mapping[str, Any]:
        plan_values = self._plan.values
        if not plan_values and not bindings.values:
            return task.parameters
        return {**plan_values, **task.parameters, **bindings.values}

    def _launch(self, task: Task, values: Mapping[str, Any], interpreter: str | None) -> Launch:
        action: Action = task.action
        match action:
            case Command(argv):
                return _process(argv, values, self._mapped(task, values, optional=True))
            case Shell(script):
                try:
                    text = slots.fill_shell(script, values) if values else script
                except ShellSlotError as error:
                    raise OrderError(SETUP, str(error)) from error
                return Process(("/bin/sh", "-c", text))
            case Script(path):
                words = self._mapped(task, values, optional=False)
                file = os.path.join(self._plan.root, path)
                if not os.path.isfile(file):
                    raise OrderError(NOT_FOUND, f"there is no script {file}")
                return Process((interpreter or sys.executable, file, *words))
            case Snippet(source):
                return Code(source, values, f"<{task.name}>")
            case Call(function):
                arguments = {**task.parameters, **{k: v for k, v in values.items() if k not in self._plan.values}}
                if isinstance(function, Serialized):
                    return Function(None, _serialized(function, self._plan.root), arguments)
                return Function(function, None, arguments)

    def _mapped(self, task: Task, values: Mapping[str, Any], *, optional: bool) -> list[str]:
        rule = task.policy.mapping
        if rule is None:
            if optional:
                return []
            rule = DEFAULT_MAPPING
        given = {
            name: value for name, value in values.items() if name in task.parameters or name not in self._plan.values
        }
        try:
            return mapping.map_parameters(given, rule)
        except mapping.MappingError as error:
            raise OrderError(SETUP, str(error)) from error


def _needs_bound(task: Task) -> bool:
    needs = task.requires
    return (
        task.policy.foreach is not None
        or any(dependency.bind is not None for dependency in task.dependencies)
        or any(need.bind is not None for kind in (needs.files, needs.folders, needs.match) for need in kind)
    )


def _process(argv: tuple[str | Expand, ...], values: Mapping[str, Any], mapped: list[str]) -> Process:
    words: list[str] = []
    expand: list[int] = []
    for word in argv:
        if isinstance(word, Expand):
            expand.append(len(words))
            words.append(word.text)
        else:
            words.append(slots.fill(word, values) if "{" in word or "}" in word else word)
    words.extend(mapped)
    return Process(tuple(words), tuple(expand))


def _variables(task: Task, bindings: Bindings, bin_folder: str | None) -> Mapping[str, str]:
    variables: dict[str, str] = {}
    if isinstance(task.action, Shell):
        own = {**task.parameters, **bindings.values}
        variables = {name: slots.text_of(value) for name, value in own.items() if name.isidentifier()}
    if bindings.file is not None:
        variables["WEFT_FILE"] = bindings.file
    if bin_folder is not None:
        variables["PATH"] = bin_folder + os.pathsep + os.environ.get("PATH", os.defpath)
        variables["VIRTUAL_ENV"] = os.path.dirname(bin_folder)
        variables["PYTHONHOME"] = ""  # of an outer interpreter, it would lead this one astray; empty counts as unset
    return variables


def _isolation(task: Task, memory: int | None, alone: bool) -> Isolation:
    if alone or memory is not None:
        return "process"
    declared = task.policy.isolation
    if declared is not None:
        return declared
    return "thread" if isinstance(task.action, Snippet) else "worker" if isinstance(task.action, Call) else "process"


def _keeps(task: Task) -> Literal["stdout", "json", "return"] | None:
    product = task.policy.product
    if product is None:
        return "return" if isinstance(task.action, Call) else None
    return None if product.source == "outputs" else product.source


def _serialized(function: Serialized, root: str) -> str:
    if function.data is not None:
        return function.data
    import base64

    path = os.path.join(root, function.path or "")
    try:
        with open(path, "rb") as file:
            return base64.b64encode(file.read()).decode("ascii")
    except OSError as error:
        raise OrderError("not_found", f"cannot read the serialised function {path}: {error.strerror}") from error
