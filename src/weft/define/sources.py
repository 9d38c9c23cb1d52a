"""The source of a code object as plain data: what its syntax tree says, without comments, docstrings, hints and layout.

Bytecode alone will not do: the compiler lays out jumps by the lines that they stand in, so that breaking a line may change it.
But a source may have been edited since it was imported. So it is compiled again, and believed only where that gives the same
code.
"""

from __future__ import annotations

import ast
import linecache
import os
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, Final, NamedTuple

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_WITH_DOCSTRING: Final = (*_FUNCTIONS, ast.ClassDef, ast.Module)
_LEFT_OUT: Final = frozenset({"annotation", "returns", "type_comment", "kind", "type_ignores", "ctx"})
_SAME: Final = (
    *("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_firstlineno", "co_flags"),
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_exceptiontable", "co_name"),
)

Key = tuple[int, str]
"""First line and name of a function."""


class Source(NamedTuple):
    """The functions of one file, as code and as syntax; by line and name, of which there may be several."""

    codes: dict[Key, list[CodeType]]
    nodes: dict[Key, list[ast.AST]]


def form_of_source(code: CodeType) -> Any:
    """The form of a function's source, None when it is not at hand, or has changed since."""
    text = _text_of(code.co_filename)
    source = _read(code.co_filename, text) if text is not None else None
    if source is None:
        return None
    key = (code.co_firstlineno, code.co_name)
    codes, nodes = source.codes.get(key, ()), source.nodes.get(key, ())
    if len(codes) != 1 or len(nodes) != 1 or not _is_same(codes[0], code):
        return None
    return form_of_tree(nodes[0])


def _text_of(path: str) -> str | None:
    """The file as it is now; a cell of a notebook as it was executed."""
    if os.path.isfile(path):
        try:
            with open(path, encoding="utf-8-sig") as file:
                return file.read()
        except (OSError, ValueError):
            return None
    return "".join(linecache.getlines(path)) or None


@lru_cache(maxsize=256)
def _read(path: str, text: str) -> Source | None:
    try:
        tree = ast.parse(text, path)
        module = compile(tree, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    codes: dict[Key, list[CodeType]] = {}
    for code in _inside(module):
        codes.setdefault((code.co_firstlineno, code.co_name), []).append(code)
    nodes: dict[Key, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            nodes.setdefault((line, node.name), []).append(node)
        elif isinstance(node, ast.Lambda):
            nodes.setdefault((node.lineno, "<lambda>"), []).append(node)
    return Source(codes, nodes)


def _inside(code: CodeType) -> Iterator[CodeType]:
    open_codes = [code]
    while open_codes:
        found = open_codes.pop()
        yield found
        open_codes += [each for each in found.co_consts if isinstance(each, CodeType)]


def _is_same(one: CodeType, other: CodeType) -> bool:
    """Whether both do the same, line by line; code that has run differs from code that has not in what it remembers only."""
    pairs = [(one, other)]
    while pairs:
        first, second = pairs.pop()
        if any(getattr(first, name, None) != getattr(second, name, None) for name in _SAME):
            return False
        if len(first.co_consts) != len(second.co_consts):
            return False
        for left, right in zip(first.co_consts, second.co_consts, strict=True):
            if isinstance(left, CodeType) and isinstance(right, CodeType):
                pairs.append((left, right))
            elif type(left) is not type(right) or left != right:
                return False
    return True


def form_of_tree(root: ast.AST) -> list[Any]:
    """A flat list that stands for a tree. Of the outermost function neither its name, nor its decorators, nor its defaults."""
    form: list[Any] = []
    own = getattr(root, "args", None)
    open_values: list[Any] = [root]
    while open_values:
        value = open_values.pop()
        if isinstance(value, ast.AST):
            form.append(type(value).__name__)
            fields = [
                (name, _field(value, name, value is root or value is own))
                for name in value._fields
                if name not in _LEFT_OUT
            ]
            open_values.extend(reversed([each for field in fields for each in field]))
        elif isinstance(value, list):
            form.append(len(value))
            open_values.extend(reversed(value))
        elif value is None or isinstance(value, str | int | float | bool | bytes):
            form.append(value)
        else:
            form.append(repr(value))  # an ellipsis, a complex number
    return form


def _field(node: ast.AST, name: str, is_root: bool) -> Any:
    value = getattr(node, name, None)
    if is_root and name in ("decorator_list", "name", "defaults", "kw_defaults"):
        return None
    if name == "body" and isinstance(node, _WITH_DOCSTRING) and value and _is_docstring(value[0]):
        return value[1:]
    return value


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
