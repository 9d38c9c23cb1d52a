"""Files whose tasks are wanted and nothing else: executed down to the last definition of a task (dialects.md 2.5).

What stands below may be the script's own work: it would run the plan once more, in every worker. Functions, constants and classes
that only define something are kept wherever they stand, because tasks may call them when all is loaded.

What defines a task is told by the text alone: a decorator, or a call on what came of weft or of the project. A statement that
only may define one counts: too much is executed rather than a task lost. A file that has nothing of weft in it is executed whole.
Python 3.8 or later; standard library only.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType
from typing import Any

SECTIONS = ("envs", "notes", "jobs")  # of a task plan: a module with these is not cut before them
DEFINING = frozenset({"task", "type", "environment", "note", "override", "child", "Registry"})
_STANDARD = frozenset(getattr(sys, "stdlib_module_names", ())) | frozenset(sys.builtin_module_names)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def excerpt(tree: ast.Module) -> ast.Module | None:
    """What of a module is to be executed; None when that is all of it."""
    if not any(map(_is_of_weft, tree.body)):
        return None
    reader = _Reader(tree)
    defining = [number for number, node in enumerate(tree.body) if reader.defines(node)]
    if not defining:
        return None
    last = max(defining + [number for number, node in enumerate(tree.body) if _is_section(node)])
    below = tree.body[last + 1 :]
    kept = [node for node in below if _only_defines(node)]
    if len(kept) == len(below):
        return None
    return ast.Module(body=[*tree.body[: last + 1], *kept], type_ignores=[])


def _is_of_weft(node: ast.stmt) -> bool:
    """Whether a statement imports weft, or decorates with the `task` of something."""
    for each in _executed(node):
        if isinstance(each, ast.Import) and any(alias.name.partition(".")[0] == "weft" for alias in each.names):
            return True
        if isinstance(each, ast.ImportFrom) and not each.level and (each.module or "").partition(".")[0] == "weft":
            return True
        for decorator in getattr(each, "decorator_list", ()):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(called, ast.Attribute) and called.attr == "task":
                return True
    return False


class _Reader:
    """Tells which statements of one module define tasks.

    origins: of the names that it binds, whether their values may have to do with tasks. makers: functions that define tasks when
    they are called.
    """

    def __init__(self, tree: ast.Module):
        self._origins: dict[str, bool] = {}
        self._makers: set[str] = set()
        for node in tree.body:
            self._bind(node)
        functions = [node for node in tree.body if isinstance(node, _FUNCTIONS)]
        known = -1
        while known != len(self._makers):  # a maker may call another one that stands below it
            known = len(self._makers)
            for node in functions:
                if node.name not in self._makers and any(map(self._defines_at_once, node.body)):
                    self._makers.add(node.name)

    def defines(self, node: ast.stmt) -> bool:
        """Whether a statement of the top level may define a task."""
        if _is_main_block(node):
            return any(map(self.defines, getattr(node, "orelse", ())))
        return self._defines_at_once(node)

    def _defines_at_once(self, node: ast.AST) -> bool:
        return any(map(self._is_definition, _executed(node)))

    def _is_definition(self, node: ast.AST) -> bool:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            return any(map(self._may_decorate, node.decorator_list))
        if isinstance(node, ast.Call):
            return self._is_defining_call(node)
        return False

    def _may_decorate(self, node: ast.expr) -> bool:
        root = _root(node)
        return root is None or root in self._makers or self._has_to_do(root)

    def _is_defining_call(self, node: ast.Call) -> bool:
        function = node.func
        root = _root(function)
        if isinstance(function, ast.Attribute) and function.attr in DEFINING:
            return root is None or self._has_to_do(root)
        if isinstance(function, ast.Call):  # weft.task("a")(function)
            return self._is_defining_call(function)
        if isinstance(function, ast.Name):
            if function.id in self._makers or function.id in DEFINING:
                return True
            if hasattr(builtins, function.id) and function.id not in self._origins:
                return False
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            return any(isinstance(each, ast.Name) and self._origins.get(each.id) is True for each in given)
        return False

    def _has_to_do(self, name: str) -> bool:
        return self._origins.get(name, not hasattr(builtins, name))

    def _bind(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._origins[alias.asname or alias.name.partition(".")[0]] = not _is_standard(alias.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._origins[alias.asname or alias.name] = bool(node.level) or not _is_standard(node.module or "")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            value = node.value
            used = {each.id for each in ast.walk(value) if isinstance(each, ast.Name)} if value is not None else set()
            for name in _assigned(node):
                self._origins[name] = any(map(self._has_to_do, used))
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self._origins[node.name] = False
        elif isinstance(node, (ast.If, ast.Try, ast.With)) and not _is_main_block(node):
            handlers = [each for handler in getattr(node, "handlers", ()) for each in handler.body]
            inner = [*node.body, *handlers, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())]
            for each in inner:
                self._bind(each)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """A statement and what is executed with it: not the bodies of functions."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            continue
        waiting.extend(ast.iter_child_nodes(node))


def _root(node: ast.expr) -> str | None:
    """The name that an expression of attributes and calls begins with."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _assigned(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        for each in ast.walk(target):
            if isinstance(each, ast.Name):
                yield each.id


def _is_section(node: ast.stmt) -> bool:
    """Whether a statement belongs to a task plan, which is never cut."""
    return isinstance(node, (ast.Assign, ast.AnnAssign)) and any(name in SECTIONS for name in _assigned(node))


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in _STANDARD


def _is_main_block(node: ast.AST) -> bool:
    """`if __name__ == "__main__":`, either way round."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    names = [each.id for each in sides if isinstance(each, ast.Name)]
    return len(sides) == 2 and names == ["__name__"] and isinstance(node.test.ops[0], ast.Eq)


def _only_defines(node: ast.stmt) -> bool:
    """Whether executing the statement does nothing but bind names."""
    if isinstance(node, ast.Pass):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(each, ast.Name) for each in targets) and _is_literal(node.value)
    if isinstance(node, _FUNCTIONS):
        given = [*node.args.defaults, *node.args.kw_defaults]
        hints = [each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg)]
        return not node.decorator_list and all(map(_is_literal, given)) and all(map(_is_name, [*hints, node.returns]))
    if isinstance(node, ast.ClassDef):
        bare = not node.decorator_list and not node.keywords and all(map(_is_name, node.bases))
        return bare and all(map(_only_defines, node.body))
    return False


def _is_literal(node: ast.AST | None) -> bool:
    if node is None or isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(map(_is_literal, node.elts))
    return isinstance(node, ast.Dict) and all(map(_is_literal, [*node.keys, *node.values]))


def _is_name(node: ast.AST | None) -> bool:
    """A hint or a base class that is looked up and not computed."""
    return node is None or not any(isinstance(each, (ast.Call, ast.Await, ast.NamedExpr)) for each in ast.walk(node))


# --- importing ---------------------------------------------------------------------------------------------------------


class ExcerptLoader(SourceFileLoader):
    """Loads what of a file defines its tasks. Nothing of it is cached: the file's bytecode is that of all of it."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the excerpt. Raises SyntaxError."""
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        code: CodeType = compile(excerpt(tree) or tree, path, "exec", dont_inherit=True)
        return code


class ExcerptFinder:
    """Stands before the other finders, for the files that were named."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def add(self, path: str) -> None:
        """From now on, import this file as an excerpt."""
        if not self._files:
            sys.meta_path.insert(0, self)
        self._files[os.path.realpath(path)] = _module_name(path)

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The usual spec, with the loader of an excerpt; None for all other modules."""
        if fullname.rpartition(".")[2] not in self._files.values():
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or os.path.realpath(spec.origin) not in self._files:
            return None
        spec.loader = ExcerptLoader(fullname, spec.origin)
        return spec


def _module_name(path: str) -> str:
    name = os.path.splitext(os.path.basename(path))[0]
    return os.path.basename(os.path.dirname(os.path.realpath(path))) if name == "__init__" else name


FINDER = ExcerptFinder()
"""Of this process."""


def split_paths(paths: Sequence[str]) -> list[str]:
    """The folders among them; files are imported as excerpts from now on."""
    for path in paths:
        if path.endswith(".py"):
            FINDER.add(path)
    return [path for path in paths if not path.endswith(".py")]
