"""What the source of a function tells without being imported: its arguments, and its digest (dialects.md 1.11, 2.5)."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.spec.actions import Call
from weft.spec.graph import Graph

if TYPE_CHECKING:
    import ast

    from weft.spec.plan import Plan
    from weft.spec.tasks import Task

DIGEST_BYTES: Final = 32  # blake2b; as everywhere in weft
LARGEST_SOURCE: Final = 1 << 24  # bytes; beyond that a file is no module that somebody wrote

_HARMLESS: Final = frozenset({"weft", "staticmethod"})
"""Decorators that give back a function with the same arguments, by the first part of their name."""


class Signature(NamedTuple):
    """What a function takes by keyword. required: arguments without a default. positional: those that no keyword reaches."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    positional: tuple[str, ...]
    takes_any: bool


class Source(NamedTuple):
    """A module's file."""

    path: str
    digest: str
    content: bytes


class Sources:
    """Reads the modules below a root, each once."""

    def __init__(self, root: str):
        self._root = root
        self._found: dict[str, Source | None] = {}
        self._names: dict[str, dict[str, Signature | None] | None] = {}

    def find(self, module: str) -> Source | None:
        """The source of `file.py` or of a dotted module, if its file is at hand."""
        if module not in self._found:
            self._found[module] = next(filter(None, map(_read, self._places(module))), None)
        return self._found[module]

    def digest(self, reference: str) -> str | None:
        """The digest of the source that `module:name` lies in."""
        found = self.find(reference.rpartition(":")[0])
        return None if found is None else found.digest

    def signature(self, module: str, name: str) -> Signature | None:
        """What the function takes; None when its source is not at hand, or does not tell."""
        return (self._bound(module) or {}).get(name)

    def lacks(self, module: str, name: str) -> bool:
        """Whether the module's source is at hand and surely binds no such name."""
        found = self.find(module)
        bound = self._bound(module)
        if found is None or bound is None or "." in name:
            return False
        return name not in bound and "*" not in bound and "__getattr__" not in bound

    def _bound(self, module: str) -> dict[str, Signature | None] | None:
        if module not in self._names:
            found = self.find(module)
            tree = None if found is None else _parse(found.content)
            self._names[module] = None if tree is None else _bindings(tree)
        return self._names[module]

    def _places(self, module: str) -> tuple[str, ...]:
        if module.endswith(".py"):
            return (os.path.join(self._root, module),)
        base = os.path.join(self._root, *module.split("."))
        return (base + ".py", os.path.join(base, "__init__.py"))


def with_digests(plan: Plan) -> Plan:
    """The plan with the digest of every function's source that is at hand, where none is said yet."""
    sources = Sources(plan.root)
    tasks = list(plan.graph.tasks)
    for index, task in enumerate(tasks):
        action = task.action
        if type(action) is Call and isinstance(action.function, str) and action.digest is None and not action.code:
            digest = sources.digest(action.function)
            if digest is not None:
                tasks[index] = replace(task, action=replace(action, digest=digest))
    if all(new is old for new, old in zip(tasks, plan.graph.tasks, strict=True)):
        return plan
    return replace(plan, graph=Graph(tasks))


def changed_sources(root: str, tasks: Iterable[Task]) -> Iterator[int]:
    """Positions of tasks whose function's source is at hand, and is not what their digest says."""
    sources: Sources | None = None
    for position, task in enumerate(tasks):
        action = task.action
        if type(action) is not Call or action.digest is None or not isinstance(action.function, str):
            continue
        sources = sources or Sources(root)
        digest = sources.digest(action.function)
        if digest is not None and digest != action.digest:
            yield position


def _read(path: str) -> Source | None:
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > LARGEST_SOURCE:
            return None
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError):
        return None  # whether it can be had is for the run to say
    return Source(path, hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest(), content)


def _parse(content: bytes) -> ast.Module | None:
    import ast

    with warnings.catch_warnings():  # of a module that is not ours to judge
        warnings.simplefilter("ignore")
        try:
            return ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None  # maybe of another Python; the run tells it


def _bindings(tree: ast.Module) -> dict[str, Signature | None]:
    """What the top level binds: functions with their arguments, everything else as None; `*` for names that cannot be known."""
    import ast

    bound: dict[str, Signature | None] = {}
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Defined twice, maybe under a condition: only the run knows which one it is.
            bound[node.name] = None if node.name in bound else _signature(node)
        elif isinstance(node, ast.ClassDef):
            bound[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name.split(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            bound[node.id] = None
        elif not isinstance(node, ast.Lambda):
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))
    return bound


def _signature(node: Any) -> Signature | None:
    import ast

    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        while isinstance(target, ast.Attribute):
            target = target.value
        if not isinstance(target, ast.Name) or target.id not in _HARMLESS:
            return None
    given = node.args
    ordinary = [argument.arg for argument in given.args]
    keywords = [argument.arg for argument in given.kwonlyargs]
    first_default = len(given.posonlyargs) + len(ordinary) - len(given.defaults)
    in_order = [*(argument.arg for argument in given.posonlyargs), *ordinary]
    needed = in_order[:first_default]
    positional = tuple(name for name in needed if name not in ordinary)
    required = [name for name in needed if name in ordinary]
    required += [name for name, default in zip(keywords, given.kw_defaults, strict=True) if default is None]
    return Signature((*ordinary, *keywords), tuple(required), positional, given.kwarg is not None)
