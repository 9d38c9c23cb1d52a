"""What a run would lack if it started now, found by looking only: the warnings of `weft validate` (dialects.md 1.1)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from weft.files.requirements import Findings, Surroundings, check, file_problem
from weft.files.search import Place
from weft.spec.actions import Action, Call, Command, Script, Serialized
from weft.spec.environments import Environment
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS, Requirements
from weft.spec.tasks import Task

PLAIN: Final = Environment()

_SOURCES: Final = {"script": "script", "function": "module", "serialized": "serialised function"}


class Lack(NamedTuple):
    """What is not there now. task: index in the plan. path: where below the task it is asked for.

    code: the kind of the cause that a run would give.
    """

    task: int
    path: tuple[str | int, ...]
    code: str
    text: str
    hint: str | None = None


def outlook(plan: Plan, state_folder: str | None) -> Iterator[Lack]:
    """What each task lacks, in plan order; what an earlier task may still make is not told."""
    place = Place(os.path.abspath(plan.root), state_folder and os.path.realpath(state_folder))
    looker = _Looker(plan, place)
    for index, task in enumerate(plan.graph.tasks):
        yield from looker.lacks(index, task)


class _Looker:
    """Looks once for what many tasks share."""

    def __init__(self, plan: Plan, place: Place):
        self._plan = plan
        self._place = place
        # Parameters are told by the load itself.
        self._surroundings = Surroundings(place, lambda _: None)
        self._findings: dict[Requirements, Findings] = {}
        self._programs: dict[tuple[str, str], str | None] = {}
        self._folders: dict[str, str | None] = {}

    def lacks(self, index: int, task: Task) -> Iterator[Lack]:
        environment = self._plan.environments.get(task.policy.environment or "", PLAIN)
        folder = self._place.absolute(environment.path or "")
        if environment.path is not None and (problem := self._folder_problem(folder)) is not None:
            yield Lack(index, ("environment",), "setup", f"its working folder {environment.path} {problem}")
        is_first = not task.dependencies
        program = self._program(task, environment, folder, is_first)
        if program is not None:
            yield Lack(index, *program)
        if not is_first or task.requires is NO_REQUIREMENTS:
            return
        for kind, single in _each(task.requires):
            findings = self._findings.get(single)
            if findings is None:
                findings = self._findings[single] = check(single, self._surroundings)
            if findings.unmet is not None:
                yield Lack(index, ("requires", kind), "unmet", findings.detail or findings.unmet)

    def _program(
        self, task: Task, environment: Environment, folder: str, is_first: bool
    ) -> tuple[tuple[str | int, ...], str, str] | None:
        """(path, code, text) when what the task starts is not there."""
        source = _source_of(task.action)
        if source is not None:
            key, path = source
            problem = file_problem(self._place.absolute(path)) if is_first and "{" not in path else None
            return None if problem is None else ((key,), "not_found", f"its {_SOURCES[key]} {path} {problem}")
        if not isinstance(task.action, Command):
            return None
        word = task.action.argv[0]
        if not isinstance(word, str) or "{" in word or ("/" in word and not is_first):
            return None
        brings_programs = environment.python or environment.requirements
        if brings_programs or any(name == "PATH" for name, _ in environment.variables):
            return None
        problem = self._program_problem(word, folder)
        return None if problem is None else (("command", 0), "not_found", f"its program {word} {problem}")

    def _program_problem(self, word: str, folder: str) -> str | None:
        key = (word, folder if "/" in word else "")
        if key not in self._programs:
            self._programs[key] = _program_problem(word, folder)
        return self._programs[key]

    def _folder_problem(self, folder: str) -> str | None:
        if folder not in self._folders:
            self._folders[folder] = None if os.path.isdir(folder) else "is no folder that exists"
        return self._folders[folder]


def _each(requires: Requirements) -> Iterator[tuple[str, Requirements]]:
    """(key of the document, one requirement alone) of all that can be looked at."""
    for kind in ("files", "signal", "shared_memory", "folders", "match"):
        for need in getattr(requires, kind):
            yield kind, NO_REQUIREMENTS._replace(**{kind: (need,)})


def _source_of(action: Action) -> tuple[str, str] | None:
    """(key of the document, path) of the file that an action reads what it executes from."""
    if isinstance(action, Script):
        return "script", action.path
    if not isinstance(action, Call):
        return None
    if isinstance(action.function, Serialized):
        return None if action.function.path is None else ("serialized", action.function.path)
    module = action.function.rpartition(":")[0]
    return ("function", module) if module.endswith(".py") else None


def _program_problem(word: str, folder: str) -> str | None:
    if "/" not in word:
        return None if word and shutil.which(word) is not None else "is not in PATH"
    path = os.path.join(folder, word)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"cannot be started: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "is a folder"
    return None if os.access(path, os.X_OK) else "is not executable"
