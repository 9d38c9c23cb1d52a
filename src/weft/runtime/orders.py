"""From a task and a start command to an order: slots filled, parameters mapped, environment laid out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Literal, NamedTuple

from weft.ports import Code, Function, Keeps, Order, Process, Stdin
from weft.runtime.checks import checks_of
from weft.runtime.devices import GPU, VISIBLE, Devices
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import NOT_FOUND, SETUP, Request
from weft.scheduling.streams import is_byte_stream
from weft.spec import slots
from weft.spec.actions import Action, Call, Command, Expand, Script, Serialized, Shell, Snippet
from weft.spec.environments import Environment
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, instance_name
from weft.spec.resources import CORES, MEMORY, MILLI
from weft.spec.slots import ShellSlotError
from weft.spec.tasks import Isolation, Task

Launch = Process | Code | Function

NO_ENVIRONMENT = Environment()
JOB_NAME = "OX_TASK_JOB_NAME"
DEFAULT_MAPPING = "--{key} {value}"


class OrderError(ValueError):
    """An attempt cannot be described: the values that came at run time do not fit. cause: of the attempt's end."""

    def __init__(self, cause: str, message: str):
        super().__init__(message)
        self.cause = cause


class ProductError(LookupError):
    """A product that a task needs cannot be read back."""


class Bindings:
    """What an attempt receives beyond its declared parameters. item: of a mapped task's instance; file: `WEFT_FILE`."""

    __slots__ = ("file", "item", "stdin", "values")

    def __init__(
        self, values: Mapping[str, Any], item: str | None = None, file: str | None = None, stdin: Stdin | None = None
    ):
        self.values = values
        self.item = item
        self.file = file
        self.stdin = stdin


NOTHING_BOUND = Bindings({})


class _Shared(NamedTuple):
    """What orders of tasks with one policy and one action have in common. call: of a function, without its arguments."""

    place: Environment
    folder: str
    call: Function | None
    keeps: Keeps | None
    products: str
    is_durable: bool
    is_streamed: bool


class _Amounts(NamedTuple):
    """What a request comes to. memory: bytes, None without a limit; cores: whole ones, at least one; gpu: units."""

    memory: int | None
    cores: int
    gpu: int


class OrderWriter:
    """Writes orders for the attempts of one run.

    bound: values that the run itself brings (products of dependencies, found files, the item), by task and instance.
    interpreter: of an environment by name; None is weft's own. products, passing: folders where functions keep what they
    hand on; passing: of those whose product is kept only while it is needed. is_durable: whether anything has to outlive a
    power cut. devices: what attempts that ask for `gpu` may see; None without any. promised: variables that a dialect promises
    besides, by task and nonce.
    """

    def __init__(
        self,
        plan: Plan,
        run: str,
        *,
        bound: Callable[[int, int], Bindings],
        interpreter: Callable[[str], tuple[str | None, str | None]],
        products: str = "",
        passing: str = "",
        is_durable: bool = True,
        devices: Devices | None = None,
        promised: Callable[[int, int], Mapping[str, str]] | None = None,
    ):
        self._plan = plan
        self._promised = promised
        self._run = run
        self._bound = bound
        self._interpreter = interpreter
        self._products = products
        self._passing = passing
        self._is_durable = is_durable
        self._devices = devices
        self._itemised = _itemised(plan)
        self._names_jobs = any(source.dialect == "taskplan" for source in plan.sources)
        self._checks: dict[Product, str] = {}
        self._serialized: dict[str, str] = {}
        self._shared: dict[tuple[int, int, bool], _Shared] = {}  # by identity of policy and action; the plan holds them
        self._asked: tuple[Request, _Amounts] | None = None  # by the last order: as a rule the next one's are the same

    def write(self, start: StartAttempt) -> Order:
        """The order for one attempt. Raises OrderError."""
        plan = self._plan
        key = start.key
        task = plan.graph.tasks[key.task]
        policy = task.policy
        bindings = self._bound(key.task, key.instance) if _needs_bound(task) else NOTHING_BOUND
        shared = self._shared_by(key.task, task)
        environment = shared.place
        if environment.path and bindings is not NOTHING_BOUND:
            bindings = _from_elsewhere(task, bindings, plan.root)
        interpreter, bin_folder = (
            self._interpreter(policy.environment) if policy.environment is not None else (None, None)
        )
        values = self._values(task, bindings)
        name = task.name if key.instance == WHOLE else instance_name(task.name, bindings.item or str(key.instance))
        amounts = self._amounts(start.request)
        return Order(
            key=key,
            nonce=start.nonce,
            token=self._token(start.nonce),
            name=name,
            launch=self._launch(task, shared, values, bindings.values, interpreter),
            folder=shared.folder,
            environment=self._variables(key.task, bindings, bin_folder, start.nonce, amounts.gpu),
            variables=environment.variables,
            interpreter=interpreter,
            timeout=start.request.timeout,
            memory_bytes=amounts.memory,
            niceness=policy.niceness,
            lane=start.lane,
            ahead=start.ahead,
            isolation=_isolation(task, amounts.memory, start.alone),
            keeps=shared.keeps,
            products=shared.products,
            is_durable=shared.is_durable,
            cores=amounts.cores,
            stdin=bindings.stdin,
            is_streamed=shared.is_streamed,
        )

    def _shared_by(self, index: int, task: Task) -> _Shared:
        policy, action = task.policy, task.action
        is_itemised = index in self._itemised
        key = (id(policy), id(action), is_itemised)
        found = self._shared.get(key)
        if found is None:
            plan, name = self._plan, policy.environment
            environment = plan.environments[name] if name is not None else NO_ENVIRONMENT
            if environment.variables and (unknown := ", ".join(environment.withheld)):
                raise OrderError(
                    SETUP, f"values of variables are not stored, and this plan was taken from there: {unknown}"
                )
            found = self._shared[key] = _Shared(
                environment,
                os.path.join(plan.root, environment.path) if environment.path else plan.root,
                self._call(task, action, environment) if isinstance(action, Call) else None,
                "items" if is_itemised else _keeps(task),
                self._passing if policy.cache == "memory" else self._products,
                self._is_durable and policy.cache != "memory",
                policy.product is not None and is_byte_stream(task),
            )
        return found

    def _amounts(self, request: Request) -> _Amounts:
        if self._asked is None or self._asked[0] is not request:
            cores = max(1, ceil(_units(request, CORES) / MILLI))
            self._asked = request, _Amounts(_units(request, MEMORY) or None, cores, _units(request, GPU))
        return self._asked[1]

    def adopt(self, nonce: int, request: Request) -> None:
        """An attempt of an earlier engine lives, with the devices that it was given."""
        if self._devices is not None and (units := _units(request, GPU)):
            self._devices.adopt(nonce, units, self._token(nonce))

    def ended(self, nonce: int) -> None:
        """What the attempt had for itself is free again."""
        if self._devices is not None:
            self._devices.give(nonce)

    def _token(self, nonce: int) -> str:
        return f"{self._run}.{nonce:016x}"

    def _variables(
        self, index: int, bindings: Bindings, bin_folder: str | None, nonce: int, gpu: int
    ) -> Mapping[str, str]:
        task = self._plan.graph.tasks[index]
        variables = _variables(task, bindings, bin_folder)
        if self._promised is not None:
            variables = {**variables, **self._promised(index, nonce)}
        if self._devices is not None:
            visible = self._devices.take(nonce, gpu)
            if visible is not None:
                variables = {**variables, VISIBLE: visible}
        if self._names_jobs and isinstance(task.action, Command | Shell):
            return {**variables, JOB_NAME: task.name}  # what task plans promise to their jobs (dialects.md 5.3)
        return variables

    def _values(self, task: Task, bindings: Bindings) -> Mapping[str, Any]:
        plan_values = self._plan.values
        if not plan_values and not bindings.values:
            return task.parameters
        return {**plan_values, **task.parameters, **bindings.values}

    def _launch(
        self,
        task: Task,
        shared: _Shared,
        values: Mapping[str, Any],
        bound: Mapping[str, Any],
        interpreter: str | None,
    ) -> Launch:
        if shared.call is not None:
            reference, serialized, _, paths, checks = shared.call
            return Function(reference, serialized, self._arguments(task, values, bound), paths, checks)
        action: Action = task.action
        match action:
            case Command(argv):
                return _process(argv, values, self._mapped(task, values, bound, optional=True))
            case Shell(script):
                try:
                    text = slots.fill_shell(script, values) if values else script
                except ShellSlotError as error:
                    raise OrderError(SETUP, str(error)) from error
                return Process(("/bin/sh", "-c", text))
            case Script(path):
                words = self._mapped(task, values, bound, optional=False)
                file = os.path.join(self._plan.root, path)
                if not os.path.isfile(file):
                    raise OrderError(NOT_FOUND, f"there is no script {file}")
                return Process((interpreter or sys.executable, file, *words))
            case Snippet(source):
                return Code(source, values, f"<{task.name}>")
            case Call():
                raise AssertionError("its function is shared")

    def _arguments(self, task: Task, values: Mapping[str, Any], bound: Mapping[str, Any]) -> Mapping[str, Any]:
        arguments = values if not self._plan.values else {**task.parameters, **bound}
        foreach = task.policy.foreach
        if foreach is None or not foreach.files:
            return arguments
        # An instance has the file of one source; the others' arguments are None.
        requires = task.requires
        others = [need.bind for kind in (requires.folders, requires.match) for need in kind if need.bind]
        return {**dict.fromkeys(others), **arguments}

    def _call(self, task: Task, action: Call, environment: Environment) -> Function:
        """The function that is called, as yet without arguments. Raises OrderError."""
        product = task.policy.product
        checks = self._checks.get(product) if product is not None else ""
        if checks is None:
            assert product is not None
            checks = self._checks[product] = checks_of(product, self._plan.types)
        function = action.function
        if isinstance(function, Serialized):
            return Function(None, self._text_of(function), {}, action.paths, checks)
        paths = action.paths
        if environment.path:  # names of files and modules start from the root, wherever the function works
            place, _, name = function.rpartition(":")
            if place.endswith(".py"):
                function = f"{os.path.join(self._plan.root, place)}:{name}"
            else:
                paths = (*paths, self._plan.root)
        return Function(function, None, {}, paths, checks)

    def _text_of(self, function: Serialized) -> str:
        """The function itself; a file is read once."""
        if function.data is not None:
            return function.data
        path = os.path.join(self._plan.root, function.path or "")
        if path not in self._serialized:
            self._serialized[path] = _read_serialized(path)
        return self._serialized[path]

    def _mapped(self, task: Task, values: Mapping[str, Any], bound: Mapping[str, Any], *, optional: bool) -> list[str]:
        rule = task.policy.mapping
        if rule is None:
            if optional:
                return []
            rule = DEFAULT_MAPPING
        options = self._plan.values
        given = {
            name: value
            for name, value in values.items()
            if name in task.parameters or name in bound or name not in options
        }
        from weft.spec.mapping import MappingError, map_parameters  # late: few tasks are mapped

        try:
            return map_parameters(given, rule)
        except MappingError as error:
            raise OrderError(SETUP, str(error)) from error


def _from_elsewhere(task: Task, bindings: Bindings, root: str) -> Bindings:
    """Files that were found below the root, as they are reached from another folder."""
    needs, foreach = task.requires, task.policy.foreach
    names = {need.bind for kind in (needs.files, needs.folders, needs.match) for need in kind}
    if foreach is not None and foreach.files:
        names.add(foreach.bind)

    def placed(value: Any) -> Any:
        return [os.path.join(root, path) for path in value] if isinstance(value, list) else os.path.join(root, value)

    values = {name: placed(value) if name in names else value for name, value in bindings.values.items()}
    file = None if bindings.file is None else os.path.join(root, bindings.file)
    return Bindings(values, bindings.item, file, bindings.stdin)


def _needs_bound(task: Task) -> bool:
    needs = task.requires
    if needs is NO_REQUIREMENTS and not task.dependencies:  # first, as that is how most tasks are
        return task.policy.foreach is not None
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


def _read_serialized(path: str) -> str:
    import base64

    try:
        with open(path, "rb") as file:
            return base64.b64encode(file.read()).decode("ascii")
    except OSError as error:
        raise OrderError(NOT_FOUND, f"cannot read the serialised function {path}: {error.strerror}") from error


def _itemised(plan: Plan) -> frozenset[int]:
    """Functions whose product is kept item by item: streams, and lists that another task is mapped over."""
    tasks = plan.graph.tasks
    over = {task.policy.foreach.stream for task in tasks if task.policy.foreach is not None}
    found = []
    for index, task in enumerate(tasks):
        product = task.policy.product
        if not isinstance(task.action, Call) or (product is not None and product.source != "return"):
            continue
        if (product is not None and product.stream) or (task.name in over and task.policy.foreach is None):
            found.append(index)
    return frozenset(found)


def _units(request: Request, name: str) -> int:
    return next((units for amount, units in request.amounts if amount == name), 0)
