"""Plans that are Python modules: loaded in a process of their own, which sends back what they define.

A module is code: it may print, exit, fork, loop for ever, change its folder, or import half of the world. In a process of its
own, with a session and a time limit, it can do none of that to the command. What comes back is a recorded plan (JSON), never an
object.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from weft.errors import PlanError, Problem, cut
from weft.formats.load import PythonPlan, PythonRequest
from weft.formats.snapshot import restore
from weft.spec.actions import Action, Call, Serialized
from weft.spec.graph import Graph
from weft.spec.plan import Plan

LIMIT_SECONDS: Final = 60.0  # how long a module may take to load
GRACE_SECONDS: Final = 1.0  # of these, for the module's process to say itself where it stands
SHOWN_OUTPUT: Final = 200  # characters of the module's last words that a message tells
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_CHILD: Final = "weft.assemble.python_child"
_FRAME: Final = re.compile(r'^  File "(.*)", line ([0-9]+) in ', re.M)


def load_python(request: PythonRequest, limit: float = LIMIT_SECONDS) -> PythonPlan:
    """The plan of a module's registry, or the data of its task plan. Raises PlanError with every mistake in it."""
    answer = _asked(request._asdict(), request.folder, limit)
    if "taskplan" in answer:
        return PythonPlan(None, frozenset(), answer["file"], answer["digest"], answer["taskplan"])
    return PythonPlan(
        restore(base64.b64decode(answer["snapshot"])), frozenset(answer["used"]), answer["file"], answer["digest"]
    )


def refresh(plan: Plan, limit: float = LIMIT_SECONDS) -> Plan:
    """A recorded plan of a registry with the present code of its functions, as far as they are known by reference.

    For a run that is taken up again: what runs is what the modules hold now, and must be remembered as made by that.
    Raises PlanError when a module cannot be loaded.
    """
    calls = {id(task.action): task.action for task in plan.graph.tasks if is_dated(task.action)}
    if not calls:
        return plan
    asked = [[call.function, list(call.paths)] for call in calls.values() if isinstance(call, Call)]
    answer = _asked({"path": plan.name or "", "refresh": asked}, plan.root, limit)
    renewed: dict[int, Call] = {}
    for (number, call), code in zip(calls.items(), answer["code"], strict=True):
        assert isinstance(call, Call)
        kept = {name: text for name, text in call.code.items() if name.startswith("type:")}
        present = MappingProxyType({**code, **kept})
        renewed[number] = call if present == call.code else replace(call, code=present)
    tasks = [
        replace(task, action=renewed[id(task.action)]) if id(task.action) in renewed else task
        for task in plan.graph.tasks
    ]
    return replace(plan, graph=Graph(tasks))


def with_functions(plan: Plan, limit: float = LIMIT_SECONDS) -> Plan:
    """The plan with its functions by value instead of by reference: what belongs to the project goes along.

    Raises PlanError when a module cannot be loaded, or a function cannot be written.
    """
    calls = {id(task.action): task.action for task in plan.graph.tasks if _is_reference(task.action)}
    if not calls:
        return plan
    asked = [[call.function, list(call.paths)] for call in calls.values() if isinstance(call, Call)]
    # Sets of constants are written in the order of their hashes.
    answer = _asked({"path": plan.name or "", "serialize": asked}, plan.root, limit, {"PYTHONHASHSEED": "0"})
    made: dict[int, Call] = {}
    for (number, call), data in zip(calls.items(), answer["data"], strict=True):
        assert isinstance(call, Call)
        folders = tuple(path for path in call.paths if not path.endswith(".py"))
        made[number] = replace(call, function=Serialized(data=data), digest=None, paths=folders)
    tasks = [
        replace(task, action=made[id(task.action)]) if id(task.action) in made else task for task in plan.graph.tasks
    ]
    return replace(plan, graph=Graph(tasks))


def _is_reference(action: Action) -> bool:
    return isinstance(action, Call) and isinstance(action.function, str)


def is_dated(action: Action) -> bool:
    """Whether it is a typed function by reference, whose code may be another one now."""
    return (
        isinstance(action, Call)
        and isinstance(action.function, str)
        and bool(action.code)
        and "version" not in action.code
    )


def _asked(
    request: Mapping[str, Any], start: str, limit: float, variables: Mapping[str, str] = NO_VARIABLES
) -> dict[str, Any]:
    """The answer of a process of its own. Raises PlanError."""
    with tempfile.TemporaryDirectory(prefix="weft-load-") as folder:
        status = _run(request, start, folder, limit, variables)
        answer = _answer(folder)
        if answer is None:
            raise PlanError([_no_answer(request["path"], folder, status, limit)])
    if "problems" in answer:
        raise PlanError(Problem(**record) for record in answer["problems"])
    return answer


def _run(request: Mapping[str, Any], start: str, folder: str, limit: float, variables: Mapping[str, str]) -> int | None:
    """Load the module and wait for its end; the status of its process, None when it took too long."""
    asked = {**request, "folder": start, "limit": max(limit - GRACE_SECONDS, limit / 2)}
    with open(f"{folder}/request", "w", encoding="utf-8") as file:
        json.dump(asked, file)
    with open(f"{folder}/output", "wb") as output:
        child = subprocess.Popen(
            # Without the current folder in front: nothing that lies there may stand in for what weft itself imports.
            [sys.executable, "-P", "-m", _CHILD, folder],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=start,
            env={**os.environ, **variables},
            start_new_session=True,
        )
    try:
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Whatever the module has started goes with it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _answer(folder: str) -> dict[str, Any] | None:
    try:
        with open(f"{folder}/answer", encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return None
    return found


def _no_answer(path: str, folder: str, status: int | None, limit: float) -> Problem:
    """What kept a module from being loaded, when it could not say so itself."""
    if status is None:
        file, line = _standing(folder, path)
        where = f" (it stands in line {line})" if line is not None else ""
        message = f"{cut(path)!r} was not loaded within {limit:g} s{where}"
        return Problem(
            "import.failed", message, file, None, line, None, "a module defines tasks; work belongs into them"
        )
    if status < 0:
        how = f"was ended by signal {signal.Signals(-status).name.removeprefix('SIG')}"
    else:
        how = f"ended its process with status {status}"
    with open(f"{folder}/output", encoding="utf-8", errors="replace") as output:
        words = " ".join(output.read().split())[-SHOWN_OUTPUT:]
    said = f": {cut(words, SHOWN_OUTPUT)}" if words else ""
    hint = f"python {path} shows more" if path.endswith(".py") else None
    return Problem("import.failed", f"{cut(path)!r} {how} while it was loaded{said}", path, None, None, None, hint)


def _standing(folder: str, path: str) -> tuple[str, int | None]:
    """The place in the user's code that was being executed when the time was over."""
    try:
        with open(f"{folder}/stack", encoding="utf-8", errors="replace") as file:
            frames = _FRAME.findall(file.read())
    except FileNotFoundError:
        frames = []
    name = os.path.basename(path.partition(":")[0])
    for place, line in frames:
        if os.path.basename(place) == name:
            return path.partition(":")[0], int(line)
    return path, None
