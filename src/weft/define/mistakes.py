"""What is wrong with one definition, told all at once and at the user's own line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import NamedTuple

from weft.errors import DefinitionError, Problem, cut

_OWN = "weft.define."


class Place(NamedTuple):
    """A line of a user's file."""

    file: str | None
    line: int | None


def place_of_caller() -> Place:
    """The line outside of this package that is being executed."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN):
        frame = frame.f_back
    return Place(shown_path(frame.f_code.co_filename), frame.f_lineno)


def place_of(function: object) -> Place:
    """Where a function is written; nowhere for what has no source."""
    code = getattr(function, "__code__", None)
    if code is None:
        return Place(None, None)
    return Place(shown_path(code.co_filename), code.co_firstlineno)


def shown_path(path: str) -> str:
    """A path as people know it: from the current folder when it lies below."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return path if relative.startswith("..") or not os.path.isabs(path) else relative


def show(value: object) -> str:
    """A value for a message, on one line, cut; whatever its `__repr__` does."""
    if isinstance(value, FunctionType):
        return f"function {cut(value.__qualname__)!r}"  # its repr is another one in each process
    try:
        return cut(repr(value))
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may fail; what matters is told beside it
        return f"a {type(value).__name__} (its repr raises {type(error).__name__})"


class Mistakes:
    """Mistakes of the definition of `kind` `name`, in the order in which they were found."""

    def __init__(self, kind: str, name: object):
        self._kind = kind
        self._name = name
        self.found: list[Problem] = []
        self._place: Place | None = None

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, code: str, message: str, hint: str | None = None, location: str | None = None) -> None:
        """One more. location: which option is meant; it becomes `fit.k`."""
        if self._place is None:
            self._place = place_of_caller()
        file, line = self._place
        subject = f"{self._kind} {show(self._name)}"
        if location is not None and isinstance(self._name, str):
            location = f"{self._name}.{location}"
        problem = Problem(code, f"{subject}: {message}", file, location, line, None, hint)
        if problem not in self.found:
            self.found.append(problem)

    def raise_if_any(self) -> None:
        """Raises DefinitionError with all of them."""
        if self.found:
            raise DefinitionError(self.found)


class Held:
    """What is wrong with the definitions of a module that is being read: told at its end, all at once."""

    def __init__(self) -> None:
        self._found: dict[object, list[Problem]] = {}

    def problems(self) -> list[Problem]:
        """All of them, each once."""
        return list(dict.fromkeys(problem for found in self._found.values() for problem in found))

    def refuse(self, known_as: tuple[object, ...], error: DefinitionError) -> None:
        """Keep the mistakes of a definition. known_as: its name and its function."""
        for number, each in enumerate(known_as):
            self._found.setdefault(each, []).extend(error.problems() if number == 0 else ())

    def knows(self, task: object) -> bool:
        """Whether a name or a function was refused: what refers to it is no mistake of its own."""
        return isinstance(task, str | FunctionType) and task in self._found


_held: Held | None = None


def hold() -> Held:
    """From now on, what decorators find wrong is kept; nothing of this process will run."""
    global _held
    _held = Held()
    return _held


def is_refused(task: object) -> bool:
    """Whether `task`, a name or a function, was to become a task, in vain."""
    return _held is not None and _held.knows(task)


@contextmanager
def holding(name: object, function: object) -> Iterator[None]:
    """Around a definition by a decorator: its mistakes are kept while somebody holds them, else raised."""
    try:
        yield
    except DefinitionError as error:
        if _held is None:
            raise
        own = name if isinstance(name, str) else getattr(function, "__name__", None)
        _held.refuse(tuple(each for each in (own, function) if isinstance(each, str | FunctionType)), error)
