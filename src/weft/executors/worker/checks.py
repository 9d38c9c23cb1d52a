"""Whether a value is of the type that its task declares: limits as for options, predicates as the user wrote them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weft.executors.supervisor.calls import Refused, one_line

if TYPE_CHECKING:
    Find = Callable[[str, list[str]], Any]

EXACT = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict, "bytes": bytes}


class WrongType(Exception):
    """A value is none of its type; the text says why."""


class Check:
    """One type, ready to be asked. text: JSON of `type`, `each`, `types` (see `ports.Function`). find: looks a predicate up.

    is_each: it is the type of each item, not of the whole.
    """

    def __init__(self, text: str, find: Find):
        asked = json.loads(text)
        self.name: str = asked["type"]
        self.is_each: bool = asked["each"]
        self._types: Mapping[str, Mapping[str, Any]] = asked["types"]
        self._find = find
        self._lines: dict[str, list[tuple[str, Any, Any, str | None]]] = {}
        self._exact = EXACT.get(self.name) if self.name not in self._types else None

    def __call__(self, value: Any) -> None:
        """Raises WrongType, Refused."""
        if type(value) is self._exact or self.name == "any":
            return
        self._check(value, self.name)

    def _check(self, value: Any, name: str) -> None:
        from weft.spec.types import problem_of

        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = self._line(name)
        for own_name, types, predicate, items in line:
            problem = problem_of(value, own_name, types)
            if problem is not None:
                raise WrongType(problem)
            if predicate is not None:
                _ask(predicate, value, own_name)
            if items is not None:
                for number, item in enumerate(value):
                    try:
                        self._check(item, items)
                    except WrongType as wrong:
                        raise WrongType(f"item {number}: {wrong}") from None

    def _line(self, name: str) -> list[tuple[str, Any, Any, str | None]]:
        """The type and its parents, the farthest first: (name, itself without parent, predicate, type of its items)."""
        try:
            from weft.spec.types import BUILTIN, Type
        except (ImportError, SyntaxError, TypeError) as problem:
            raise Refused("setup", f"this interpreter is too old to check types: {problem}") from problem
        found: list[tuple[str, Any, Any, str | None]] = []
        seen = set()
        next_name: str | None = name
        while next_name is not None and next_name not in seen:
            seen.add(next_name)
            fields = self._types.get(next_name)
            if fields is None:
                found.append((next_name, BUILTIN, None, None))
                break
            limits = Type(
                next_name,
                minimum=fields.get("minimum"),
                maximum=fields.get("maximum"),
                pattern=fields.get("pattern"),
                choices=tuple(fields["choices"]) if fields.get("choices") is not None else None,
            )
            predicate = fields.get("predicate")
            asked = self._find(predicate, fields.get("paths", [])) if predicate is not None else None
            found.append((next_name, {next_name: limits}, asked, fields.get("items")))
            next_name = fields.get("parent")
        return found[::-1]


def _ask(predicate: Any, value: Any, name: str) -> None:
    try:
        holds = bool(predicate(value))
    except (Exception, SystemExit) as problem:
        text = one_line(f"{type(problem).__name__}: {problem}")
        raise WrongType(f"the check of {name!r} failed: {text}") from problem
    if not holds:
        raise WrongType(f"{_shown(value)} is no {name!r}")


def _shown(value: Any) -> str:
    """A value for a message, never long."""
    try:
        text = repr(value)
    except Exception as problem:  # noqa: BLE001 - whatever a user's __repr__ raises
        text = f"a {type(value).__name__} (its repr fails: {type(problem).__name__})"
    return one_line(text)[:80]
