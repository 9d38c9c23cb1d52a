"""What a task executes: a closed union of five actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Expand:
    """A word whose `$NAME`s are replaced from the attempt's environment; always one argument."""

    text: str


Word = str | Expand
"""An item of a command: text with `{slots}` (`{{`, `}}` are braces), or `Expand`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its arguments, started without a shell."""

    argv: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Shell:
    """A script for `/bin/sh -c`; `{slots}` are filled quoted when the task has parameters."""

    script: str


@dataclass(frozen=True, slots=True)
class Snippet:
    """Python source, run with fresh globals in a thread of a Python host process."""

    source: str


class Serialized(NamedTuple):
    """A function sent by value. Exactly one of path, data (base64)."""

    path: str | None = None
    data: str | None = None
    format: str = "cloudpickle"


def _no_code() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Call:
    """A Python function, called with the task's parameters as keywords.

    function: `module:name` or `file.py:name`, or the serialised function itself.
    digest: of the source that a compiled plan was made from; None when not compiled.
    code: named parts of the fingerprint, of a typed task: its code and what it uses of its project (`scheduling.freshness.part`).
    paths: put before `sys.path` where it runs, so that its module is found.
    """

    function: str | Serialized
    digest: str | None = None
    code: Mapping[str, str] = field(default_factory=_no_code)
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A Python file run by the environment's interpreter, mapped parameters as arguments."""

    path: str


Action = Command | Shell | Snippet | Call | Script

KINDS: Mapping[type, str] = {
    Command: "command",
    Shell: "shell",
    Snippet: "python",
    Call: "function",
    Script: "script",
}
"""Key of the normal form by action class (`serialized` for a `Call` by value)."""


def kind_of(action: Action) -> str:
    """The action's key in the normal form."""
    if isinstance(action, Call) and isinstance(action.function, Serialized):
        return "serialized"
    return KINDS[type(action)]
