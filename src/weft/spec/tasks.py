"""A task: a name, an action, what it needs and makes, and its policy. Frozen; never holds run state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from weft.spec.actions import Action, Call, Snippet
from weft.spec.options import Value
from weft.spec.products import Product
from weft.spec.requirements import NO_REQUIREMENTS, Foreach, Requirements
from weft.spec.resources import ONE_CORE, Resources
from weft.spec.retries import NO_RETRIES, Retries

NAME_LIMIT: Final = 1000  # characters; dialects.md 1.5

Role = Literal["node", "task", "op"]
CacheMode = Literal["auto", "always", "never", "memory"]
Isolation = Literal["thread", "worker", "process"]

STDIN: Final = "stdin"
"""What a dependency of a program is bound to when its product is to be the standard input (design.md 16)."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    """The shared empty mapping; as a factory, because Python 3.11 refuses a mapping proxy as a default."""
    return NOTHING


class Dependency(NamedTuple):
    """A task that must be ok first. bind: the parameter (or `stdin`) that receives its product. each: item by item."""

    name: str
    bind: str | None = None
    each: bool = False
    gather: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How a task is treated. Loaders share one object among tasks that are treated alike.

    mapping: how parameters become argv words (text, or parameter -> text with `"*"` for the rest); None: `--{key} {value}`.
    duration: expected seconds, for order and simulation, never a limit. timeout: seconds of wall time an attempt may take.
    copies: `stdout`, `stderr` -> folder or file that gets a copy of the stream. directives: `project`, `constraints`, what a
    cluster's own scheduler is told besides. auto: amounts (`memory`) that come from what earlier runs used. ask: called once
    per task before its first start for amounts to lie over `resources` (workflows.md 4.3); no document can hold it.
    """

    resources: Resources = ONE_CORE
    retries: Retries = NO_RETRIES
    timeout: float | None = None
    duration: float | None = None
    product: Product | None = None
    foreach: Foreach | None = None
    mapping: str | Mapping[str, str] | None = None
    roles: Mapping[str, Role] = field(default_factory=nothing)
    environment: str | None = None
    notes: tuple[str, ...] = ()
    cache: CacheMode = "auto"
    isolation: Isolation | None = None
    interruptible: bool = True
    template: str | None = None
    priority: int = 0
    niceness: int = 0
    executor: str | None = None
    queue: str | None = None
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=nothing)
    description: str | None = None
    copies: Mapping[str, str] = field(default_factory=nothing)
    directives: Mapping[str, str] = field(default_factory=nothing)
    auto: frozenset[str] = frozenset()
    ask: Callable[[], Any] | None = None


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the graph. outputs: files or folders that it makes, checked at the end and fingerprinted."""

    name: str
    action: Action
    dependencies: tuple[Dependency, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=nothing)
    requires: Requirements = NO_REQUIREMENTS
    outputs: tuple[str, ...] = ()
    policy: Policy = DEFAULT_POLICY

    @property
    def stdin(self) -> Dependency | None:
        """The dependency whose product is the standard input; functions and snippets have none."""
        if isinstance(self.action, Call | Snippet):
            return None
        return next((edge for edge in self.dependencies if edge.bind == STDIN), None)

    @property
    def is_cacheable(self) -> bool:
        """Whether finished work of other runs may stand in for this task (design.md 10)."""
        mode = self.policy.cache
        if mode in ("never", "memory"):
            return False
        if mode == "always" or self.outputs:
            return True
        return isinstance(self.action, Call) and bool(self.action.code)


def name_problem(name: str) -> str | None:
    """What is wrong with a task's name, None when nothing is (dialects.md 1.5)."""
    if not name or name.isspace():
        return "a name may not be empty or blank"
    if len(name) > NAME_LIMIT:
        return f"a name may have at most {NAME_LIMIT} characters, this one has {len(name)}"
    if name.isprintable():
        return None
    for character in name:
        code = ord(character)
        if code < 32 or 127 <= code < 160 or character in "\u2028\u2029":
            return "a name may hold no control character or line break"
        if 0xD800 <= code <= 0xDFFF:
            return "a name may hold no lone surrogate"
    return None
