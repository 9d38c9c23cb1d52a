"""What a run would lack if it started now, found by looking only: the warnings of `weft validate` (dialects.md 1.1)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from weft.files.requirements import Findings, Surroundings, check, file_problem
from weft.files.search import Place
from weft.spec.actions import Command, Script
from weft.spec.environments import Environment
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS, Requirements
from weft.spec.tasks import Task

PLAIN: Final = Environment()

# Requirements are named `kind:detail` in causes; here the key of the document that states them.
KEYS: Final = {"file": "files", "folder": "folders", "match": "match"}


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
        findings = self._findings.get(task.requires)
        if findings is None:
            findings = self._findings[task.requires] = check(task.requires, self._surroundings)
        if findings.unmet is not None:
            kind = findings.unmet.partition(":")[0]
            yield Lack(index, ("requires", KEYS.get(kind, kind)), "unmet", findings.detail or findings.unmet)

    def _program(
        self, task: Task, environment: Environment, folder: str, is_first: bool
    ) -> tuple[tuple[str | int, ...], str, str] | None:
        """(path, code, text) when what the task starts is not there."""
        if isinstance(task.action, Script):
            path = task.action.path
            problem = file_problem(self._place.absolute(path)) if is_first and "{" not in path else None
            return None if problem is None else (("script",), "not_found", f"its script {path} {problem}")
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
