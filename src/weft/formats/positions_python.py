"""Where in the source of a Python module the values of its plan are written, as far as they are written out."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.formats.mistakes import Place, split_pointer


class Found(NamedTuple):
    """The nodes of a key and of its value; one and the same for an item of a list."""

    key: ast.expr
    value: ast.expr


def locate_python(text: str, locations: Iterable[str]) -> dict[str, tuple[Place, Place]]:
    """(place of the key, place of the value) by JSON pointer; of what is computed the nearest thing that is written out."""
    with warnings.catch_warnings():  # of a module that is not ours to judge
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return {}
    lines = text.encode("utf-8", "surrogatepass").splitlines()
    top = _top(tree)
    places: dict[str, tuple[Place, Place]] = {}
    for location in locations:
        found = _find(top, split_pointer(location))
        if found is not None:
            places[location] = _place(found.key, lines), _place(found.value, lines)
    return places


def _top(tree: ast.Module) -> dict[str, Found]:
    """What the names of the top level are assigned last."""
    found: dict[str, Found] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found.update((each.id, Found(each, node.value)) for each in node.targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = Found(node.target, node.value)
    return found


def _find(top: dict[str, Found], parts: list[str]) -> Found | None:
    if not parts or parts[0] not in top:
        return None
    found = top[parts[0]]
    for part in parts[1:]:
        inner = next((each for name, each in _members(found.value) if name == part), None)
        if inner is None:
            break
        found = inner
    return found


def _members(node: ast.expr) -> Iterator[tuple[str, Found]]:
    if isinstance(node, ast.Dict):
        pairs = list(zip(node.keys, node.values, strict=True))
        for key, value in reversed(pairs):  # of equal keys the last one counts
            if isinstance(key, ast.Constant):
                yield str(key.value), Found(key, value)
    elif isinstance(node, ast.List | ast.Tuple):
        for index, item in enumerate(node.elts):
            yield str(index), Found(item, item)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield keyword.arg, Found(keyword.value, keyword.value)


def _place(node: ast.expr, lines: list[bytes]) -> Place:
    before = lines[node.lineno - 1][: node.col_offset] if node.lineno <= len(lines) else b""
    return node.lineno, len(before.decode("utf-8", "replace")) + 1
