"""The process that loads one Python module and answers with the plan of its registry: `python -m weft.assemble.python_child`."""

from __future__ import annotations

import ast
import base64
import faulthandler
import hashlib
import importlib
import json
import os
import sys
import tokenize
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final, NoReturn

from weft.assemble.python_plain import plain_plan, sections_of
from weft.assemble.python_workflow import plan_of_workflow, workflow_in
from weft.define.code import parts_of
from weft.define.invocation import Invocation
from weft.define.launch import forbid_runs
from weft.define.marks import unclaimed
from weft.define.mistakes import hold, shown_path
from weft.define.references import mark_excerpt
from weft.define.registry import Registry, default_registry
from weft.define.types import builtin_of
from weft.errors import PlanError, Problem, WeftError, cut, hint_nearest
from weft.executors.worker.excerpts import FINDER, excerpt, split_paths
from weft.formats.mistakes import show
from weft.formats.option_values import read_value
from weft.formats.snapshot import snapshot
from weft.runtime.selection import choose
from weft.spec.actions import Call
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.tasks import Task

DIGEST_BYTES: Final = 32  # blake2b; as everywhere in weft
_NO_BODY: Final = Call("nobody:calls_it")


@dataclass(frozen=True, slots=True)
class Named:
    """What a PLAN argument names. module: how it is imported. folder: where from. attribute: of the registry, None to look."""

    shown: str
    module: str
    folder: str
    attribute: str | None
    file: str | None


def main(folder: str) -> NoReturn:
    """Answer the request in `folder`. Ends the process at once: what the module has left behind is not waited for."""
    pid = os.getpid()
    with open(f"{folder}/request", encoding="utf-8") as file:
        request = json.load(file)
    with open(f"{folder}/stack", "wb") as stack:
        faulthandler.dump_traceback_later(request["limit"], file=stack)
        answer = _answered(request)
        faulthandler.cancel_dump_traceback_later()
    if os.getpid() == pid:  # else the module has forked, and this is the copy
        with open(f"{folder}/answer.new", "w", encoding="utf-8") as file:
            json.dump(answer, file)
        os.rename(f"{folder}/answer.new", f"{folder}/answer")
    os._exit(0)


def _answered(request: Mapping[str, Any]) -> Mapping[str, Any]:
    named: Named | None = None
    held = hold()
    try:
        if "refresh" in request:
            return {"code": [_present_code(function, paths) for function, paths in request["refresh"]]}
        if "serialize" in request:
            from weft.assemble.by_value import serialize

            forbid_runs(_refuse_run)
            return serialize(request["serialize"], request["folder"])
        named = _named(request["path"], request["folder"])
        module = _imported(named)
        os.chdir(request["folder"])
        if problems := [*held.problems(), *unclaimed()]:
            raise PlanError(problems)
        if _is_taskplan(module, named, request["format"]):
            return _taskplan_of(module, named)
        workflow = workflow_in(module, named.attribute, named.shown, _task_names(module))
        if workflow is not None:
            return _sent(plan_of_workflow(workflow, named.shown), _root(named, request), named, [])
        registry = _registry_of(module, named)
        return _plan_of(registry, named, request)
    except WeftError as error:
        return _told([*held.problems(), *error.problems()])
    except BaseException as error:  # noqa: BLE001 - the boundary between a user's module and the command
        shown = named.shown if named is not None else request["path"]
        return _told([*held.problems(), _failed(error, shown, named.file if named is not None else None)])


def _told(problems: Iterable[Problem]) -> Mapping[str, Any]:
    return {"problems": [problem.as_json() for problem in dict.fromkeys(problems)]}


# --- the module --------------------------------------------------------------------------------------------------------


def _named(path: str, folder: str) -> Named:
    place, colon, attribute = path.rpartition(":") if ":" in path else (path, "", "")
    if not place.endswith(".py"):
        return Named(path, place, folder, attribute or None, None)
    file = os.path.abspath(os.path.join(folder, place))
    base, name = os.path.split(file[: -len(".py")])
    parts = [name]
    while os.path.isfile(os.path.join(base, "__init__.py")):  # a file of a package is imported as its module
        base, package = os.path.split(base)
        parts.insert(0, package)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    if "." in name or (len(parts) == 1 and (name in sys.stdlib_module_names or name in sys.modules)):
        why = "has a dot in its name" if "." in name else "has the name of another module of Python"
        raise PlanError(
            [Problem("import.failed", f"{path!r} {why}, so that no task could import it", path, hint="rename it")]
        )
    return Named(path, ".".join(parts), base, attribute if colon else None, place)


def _imported(named: Named) -> ModuleType:
    forbid_runs(_refuse_run)
    sys.path.insert(0, named.folder)
    sys.argv = [named.shown]
    if named.file is not None and _has_more(named.file):
        FINDER.add(os.path.abspath(named.file))
        mark_excerpt(named.module, os.path.abspath(named.file))
    try:
        return importlib.import_module(named.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{named.module}.".startswith(f"{error.name}."):
            raise
        hint = "modules are looked for from the current folder on"
        raise PlanError(
            [Problem("import.failed", f"there is no module named {error.name!r}", named.shown, hint=hint)]
        ) from error


def _has_more(path: str) -> bool:
    """Whether something in the file, below its last task, is not to be executed."""
    try:
        with open(path, "rb") as file:
            return excerpt(ast.parse(file.read(), path)) is not None
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # importing it says what is wrong


def _refuse_run(*_: object, **__: object) -> NoReturn:
    """In the place of `Plan.run`: a script that runs its own plan would do so before the command has even read it."""
    caller = sys._getframe(1)
    place, line = shown_path(caller.f_code.co_filename), caller.f_lineno
    hint = "put that below `if __name__ == '__main__':`"
    raise PlanError([Problem("import.failed", "it runs a plan while it is loaded", place, None, line, None, hint)])


def _failed(error: BaseException, shown: str, file: str | None) -> Problem:
    """What the module raised, with the line of it that was being executed."""
    own = os.path.realpath(file) if file is not None else None
    place, line = shown, None
    for frame in traceback.extract_tb(error.__traceback__):
        is_own = own is not None and os.path.realpath(frame.filename) == own
        if is_own or (own is None and not _is_ours(frame.filename)):
            place, line = shown_path(frame.filename), frame.lineno
    if isinstance(error, SyntaxError) and error.filename is not None:
        place, line = shown_path(error.filename), error.lineno
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may fail; its own failure is not what matters
        text = "(its text cannot be shown)"
    if isinstance(error, SystemExit):
        message = f"{shown!r} called sys.exit({cut(repr(error.code))}) while it was loaded"
        return Problem(
            "import.failed", message, place, None, line, None, "a plan is imported, not executed as a program"
        )
    told = f"{type(error).__name__}: {cut(text, 300)}" if text else type(error).__name__
    return Problem("import.failed", f"{shown!r} could not be loaded: {told}", place, None, line)


def _is_ours(path: str) -> bool:
    return "importlib" in path or path.startswith(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _present_code(function: str, paths: Sequence[str]) -> Mapping[str, str]:
    """What the code of a function by reference is now."""
    forbid_runs(_refuse_run)
    sys.path[:0] = [path for path in split_paths(paths) if path not in sys.path]
    module, _, name = function.rpartition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return dict(parts_of(found))


# --- its task plan -----------------------------------------------------------------------------------------------------


def _is_taskplan(module: ModuleType, named: Named, format: str | None) -> bool:
    """Whether the module is a task plan, and no registry. Raises PlanError when it is both."""
    if named.attribute is not None:
        return False
    if format is not None:
        return format == "taskplan"
    sections = sections_of(module)
    tasks = _task_names(module)
    if not tasks:
        return bool(sections)
    mixed = [name for name, value in sections.items() if isinstance(value, dict)]
    if not mixed:
        return False
    message = f"{named.shown!r} defines tasks ({cut(tasks[0])!r}) and is a task plan: it has {' and '.join(mixed)}"
    hint = "keep them in two files; or say which it is with --format python|taskplan"
    raise PlanError([Problem("detect.ambiguous", message, named.shown, hint=hint)])


def _task_names(module: ModuleType) -> list[str]:
    """Of its registries, and of decorated functions."""
    registries = [default_registry, *(value for value in vars(module).values() if isinstance(value, Registry))]
    return [name for registry in registries for name in registry.names()]


def _taskplan_of(module: ModuleType, named: Named) -> Mapping[str, Any]:
    file = getattr(module, "__file__", None)
    try:
        with tokenize.open(file or "") as opened:
            source = opened.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        source = ""
    shown = named.shown if named.file is not None or file is None else shown_path(file)
    data, problems = plain_plan(sections_of(module), shown, source)
    if problems:
        raise PlanError(problems)
    return {"taskplan": data, "file": file, "digest": _digest_of(file)}


# --- its registry ------------------------------------------------------------------------------------------------------


def _registry_of(module: ModuleType, named: Named) -> Registry:
    if named.attribute is not None:
        found = getattr(module, named.attribute, None)
        if isinstance(found, Registry):
            return found
        known = [name for name, value in vars(module).items() if isinstance(value, Registry)]
        what = "has no" if found is None else f"has a {type(found).__name__}, and no registry,"
        message = f"module {named.module!r} {what} {named.attribute!r}"
        raise PlanError([Problem("detect.unknown", message, named.shown, hint=hint_nearest(named.attribute, known))])
    by_name = {name: value for name, value in vars(module).items() if isinstance(value, Registry)}
    distinct: dict[int, str] = {}
    for name, value in by_name.items():
        distinct.setdefault(id(value), name)
    if next(default_registry.names(), None) is not None and id(default_registry) not in distinct:
        distinct[id(default_registry)] = ""
        by_name[""] = default_registry
    if len(distinct) == 1:
        return by_name[next(iter(distinct.values()))]
    if not distinct:
        lacks = "it has no weft.Registry and no workflow at its top, nothing is decorated with weft.task, and it has no jobs"
        message = f"{named.shown!r} defines no tasks: {lacks}"
        hint = "make one: registry = weft.Registry()"
        raise PlanError([Problem("detect.unknown", message, named.shown, hint=hint)])
    names = ", ".join(repr(name) if name else "what weft.task has defined" for name in distinct.values())
    first = next(name for name in distinct.values() if name)
    hint = f"say which one, as in {named.shown}:{first}"
    raise PlanError(
        [
            Problem(
                "detect.ambiguous", f"{named.shown!r} has {len(distinct)} registries: {names}", named.shown, hint=hint
            )
        ]
    )


# --- its plan ----------------------------------------------------------------------------------------------------------


def _plan_of(registry: Registry, named: Named, request: Mapping[str, Any]) -> Mapping[str, Any]:
    root = _root(named, request)
    problems: list[Problem] = []
    values, used = _read_options(registry, request, problems)
    targets, excused = _participants(registry, request)
    if request["is_preview"]:
        excused = frozenset(registry.names())
    try:
        plan = Invocation(registry, root, excused | {*request["replaced"]}).plan(targets, values)
    except PlanError as error:
        told = {problem.location for problem in problems}
        problems += [each for each in error.problems() if each.location not in told or each.location is None]
    if problems:
        raise PlanError(_with_file(problem, named.shown) for problem in problems)
    return _sent(plan, root, named, used)


def _root(named: Named, request: Mapping[str, Any]) -> str:
    """Where its relative paths start from."""
    folder: str = request["folder"]
    return os.path.dirname(os.path.abspath(os.path.join(folder, named.file))) if named.file else folder


def _sent(plan: Plan, root: str, named: Named, used: Sequence[int]) -> Mapping[str, Any]:
    """The answer that holds a plan."""
    file = getattr(sys.modules.get(named.module), "__file__", None)
    return {
        "snapshot": base64.b64encode(snapshot(replace(plan, root=root), is_stored=False)).decode("ascii"),
        "used": used,
        "file": file,
        "digest": _digest_of(file),
    }


def _with_file(problem: Problem, file: str) -> Problem:
    if problem.code == "option.missing":
        problem = problem._replace(hint=f"give it with -o {problem.location}=VALUE, or a default")
    return problem if problem.file is not None else Problem(**{**problem.as_json(), "file": file})  # type: ignore[arg-type]


def _digest_of(file: str | None) -> str:
    try:
        with open(file or "", "rb") as opened:
            return hashlib.blake2b(opened.read(), digest_size=DIGEST_BYTES).hexdigest()
    except OSError:
        return ""


def _read_options(
    registry: Registry, request: Mapping[str, Any], problems: list[Problem]
) -> tuple[dict[str, Any], list[int]]:
    """Values by `task.option`, texts read by the option's type, and which of the given ones were of this registry."""
    values: dict[str, Any] = {}
    used: list[int] = []
    for position, (name, value) in enumerate(request["options"]):
        end = name.rfind(".")
        while end > 0 and registry.find(name[:end]) is None:
            end = name.rfind(".", 0, end)
        if end <= 0:
            problem = _unknown_option(registry, name, request["is_alone"])
            if problem is not None:
                used.append(position)
                problems.append(problem)
            continue
        used.append(position)
        values[name] = _read_option(registry, name, name[:end], name[end + 1 :], value, problems)
    return values, used


def _unknown_option(registry: Registry, name: str, is_alone: bool) -> Problem | None:
    """The mistake of an option of no task here; None when another plan may know it."""
    task, _, option = name.rpartition(".")
    if task:
        if not is_alone:
            return None
        message = f"-o {cut(name)}: there is no task {cut(task)!r}"
        return Problem("option.unknown", message, location=name, hint=hint_nearest(task, registry.names()))
    owners = [each for each in registry.names() if (found := registry.find(each)) and option in found.options]
    if not owners and not is_alone:
        return None
    known = [f"{each}.{key}" for each in registry.names() if (found := registry.find(each)) for key in found.options]
    hint = f"say whose it is: -o {owners[0]}.{name}=..." if owners else hint_nearest(name, known)
    if hint is None:
        hint = f"its options are {', '.join(known[:10])}" if known else "its tasks have no options"
    return Problem("option.unknown", f"-o {cut(name)}: the plan has no option {cut(name)!r}", location=name, hint=hint)


def _read_option(registry: Registry, name: str, task: str, option: str, value: Any, problems: list[Problem]) -> Any:
    definition = registry.find(task)
    assert definition is not None
    declared = definition.options.get(option) or definition.unused.get(option)
    if declared is None or not isinstance(value, str):
        return value
    builtin = builtin_of(declared.type, registry.find_type)
    if option in definition.optional and value.strip() in ("null", "None"):
        return None
    if builtin == "bytes":
        return value.encode("utf-8", "surrogateescape")
    try:
        return read_value(value, builtin)
    except ValueError as error:
        message = f"-o {cut(name)}: {show(value)} is not {error}, which option {cut(option)!r} of {cut(task)!r} is"
        problems.append(Problem("option.type", message, location=name))
        return value


def _participants(registry: Registry, request: Mapping[str, Any]) -> tuple[list[str] | None, frozenset[str]]:
    """The selected tasks (None: all), and those whose options are not demanded, because they do not take part."""
    chosen = [request[key] for key in ("select", "exclude", "until", "start_from")]
    if not any(chosen) or any("state:" in expression for texts in chosen for expression in texts):
        return None, frozenset()
    graph = Graph(_skeleton(registry))
    select, exclude, until, start_from = chosen
    plan = Plan(graph, "/")
    taking_part = choose(plan, select, exclude, until, start_from, invokes=True)
    targets = choose(plan, (*select, *until), (), (), start_from)
    needed = {*targets, *graph.ancestors_indexes(targets)}
    names = [graph.tasks[index].name for index in targets]
    return (
        names if len(names) < len(graph) else None,
        frozenset(graph.tasks[index].name for index in needed.difference(taking_part)),
    )


def _skeleton(registry: Registry) -> Iterable[Task]:
    for name in registry.names():
        definition = registry.find(name)
        assert definition is not None
        yield Task(name, _NO_BODY, definition.edges, policy=definition.policy)


if __name__ == "__main__":
    main(sys.argv[1])
