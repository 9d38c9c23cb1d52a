"""Interpreter, requirements, working folder and variables of an action."""

from __future__ import annotations

from typing import NamedTuple

from weft.spec.actions import Expand


class ShellValue(NamedTuple):
    """A variable's value that is the output of a shell command, evaluated anew for every attempt where it runs."""

    command: str


class Withheld(NamedTuple):
    """In the place of a value that may not be stored. digest: tells whether a value is the one that was meant.

    Of a secret, to know it again in output: words: how many it has; forms: digests of how else it may be written.
    """

    digest: str
    words: int = 1
    forms: tuple[str, ...] = ()


VariableValue = str | Expand | ShellValue | Withheld


class Environment(NamedTuple):
    """Where an action runs. variables keep document order: later ones may use earlier ones.

    fingerprint: whether the variables belong to the fingerprint.
    """

    python: str | None = None
    requirements: tuple[str, ...] = ()
    path: str | None = None
    variables: tuple[tuple[str, VariableValue], ...] = ()
    fingerprint: bool = False

    @property
    def withheld(self) -> tuple[str, ...]:
        """The variables whose values are not known here."""
        return tuple(name for name, value in self.variables if isinstance(value, Withheld))

    @property
    def is_installed(self) -> bool:
        """Whether it asks for an interpreter or for requirements, so that something has to be installed for it."""
        return bool(self.python or self.requirements)
