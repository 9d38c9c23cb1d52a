"""What is wrong with one definition, told all at once and at the user's own line."""

from __future__ import annotations

import os
import sys
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
