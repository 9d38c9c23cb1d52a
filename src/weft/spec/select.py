"""The selector language of design.md 11: which tasks of a graph are meant.

    union     = both ("," both)*          both = term ("&" term)*          term = "!"* atom
    atom      = [[N] "+"] body ["+" [N]]  (ancestors, descendants, at most N edges away)
    body      = name | glob | "tag:" text | "attr:" key ["=" text] | "state:" text

A text in double quotes is taken literally (`\\"` and `\\\\` inside). A name that exists wins over every other reading of the same
text, so a task called `a+b` needs no quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from itertools import compress
from typing import TYPE_CHECKING

from weft.errors import UsageError, cut, hint_nearest
from weft.spec.slots import text_of

if TYPE_CHECKING:
    from weft.spec.graph import Graph

STATES = ("pending", "running", "ok", "failed", "skipped", "cancelled")

States = Mapping[str, str] | Sequence[str]
"""States by name, or one per task in plan order."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ATOM = rf"(?P<up>[0-9]*\+)?(?P<body>{_QUOTED}|.+?)(?P<down>\+[0-9]*)?"
_PIECES = rf'{_QUOTED}|[,&]|[^,&"]+|"'
_ESCAPED = r"\\(.)"
_OPPOSITE = bytes([1, 0]) + bytes(254)


class SelectError(UsageError, ValueError):
    """A selector that cannot be read, or that names what is not there. hint: the nearest name."""

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message, hint, code="select")


def select(graph: Graph, expression: str, states: States | None = None) -> tuple[int, ...]:
    """Sorted indexes of the tasks that the expression selects. Raises SelectError."""
    return _Selector(graph, states).select(expression)


class _Selector:
    """One reading of one expression. Sets of tasks are one byte per task, 0 or 1."""

    __slots__ = ("_count", "_graph", "_states")

    def __init__(self, graph: Graph, states: States | None):
        self._graph = graph
        self._states = states
        self._count = len(graph.tasks)

    def select(self, expression: str) -> tuple[int, ...]:
        whole = self._graph.index.get(expression.strip())
        if whole is not None:
            return (whole,)
        union = 0
        for alternative in _split(expression, ","):
            both = -1
            for term in _split(alternative, "&"):
                both &= int.from_bytes(self._term(term, expression), "little")
            union |= both
        return tuple(compress(range(self._count), union.to_bytes(self._count, "little")))

    def _term(self, text: str, expression: str) -> bytes:
        atom = text.strip()
        if atom in self._graph.index:
            return self._one(atom)
        positive = atom.lstrip("! \t")
        if not positive:
            raise SelectError(
                f"the selector {cut(expression)!r} lacks a name", "put names that hold , or & in double quotes"
            )
        selected = self._atom(positive)
        bangs = atom[: len(atom) - len(positive)].count("!")
        return selected.translate(_OPPOSITE) if bangs % 2 else selected

    def _atom(self, text: str) -> bytes:
        if text in self._graph.index:
            return self._one(text)
        parts = re.fullmatch(_ATOM, text, re.DOTALL)
        assert parts is not None, "every text matches: the body may be anything"
        up, body, down = parts["up"], parts["body"].strip(), parts["down"]
        selected = self._body(body, text)
        starts = [*compress(range(self._count), selected)]
        for sign, is_up in ((up, True), (down, False)):
            if sign:
                depth = sign.strip("+")
                found = self._graph.reach(starts, is_up=is_up, depth=_depth(depth) if depth else None)
                selected = _union(selected, bytes(found))
        return selected

    def _body(self, body: str, atom: str) -> bytes:
        if body in self._graph.index:
            return self._one(body)
        if body.startswith('"'):
            return self._one(_unquote(body, atom))
        kind, colon, rest = body.partition(":")
        if colon and kind in ("tag", "attr", "state"):
            return {"tag": self._tagged, "attr": self._with_attribute, "state": self._in_state}[kind](
                rest.strip(), atom
            )
        if any(sign in body for sign in "*?["):
            return self._matching(body)
        return self._one(body)

    def _one(self, name: str) -> bytes:
        index = self._graph.index.get(name)
        if index is None:
            raise SelectError(f"there is no task {cut(name)!r}", hint_nearest(name, self._graph.index))
        selected = bytearray(self._count)
        selected[index] = 1
        return bytes(selected)

    def _matching(self, glob: str) -> bytes:
        matches = re.compile(translate(glob)).match
        selected = bytes([matches(task.name) is not None for task in self._graph.tasks])
        if not any(selected):
            raise SelectError(f"no task matches {cut(glob)!r}", hint_nearest(glob, self._graph.index))
        return selected

    def _tagged(self, text: str, atom: str) -> bytes:
        tag = _unquote(text, atom)
        selected = bytes([tag in task.policy.tags for task in self._graph.tasks])
        if not any(selected):
            raise SelectError(
                f"no task has the tag {cut(tag)!r}", hint_nearest(tag, self._known(lambda policy: policy.tags))
            )
        return selected

    def _with_attribute(self, text: str, atom: str) -> bytes:
        key, equals, value = text.partition("=")
        key, value = key.strip(), _unquote(value.strip(), atom)
        tasks = self._graph.tasks
        if equals:
            has = [key in (held := task.policy.attributes) and text_of(held[key]) == value for task in tasks]
        else:
            has = [key in task.policy.attributes for task in tasks]
        if not any(has):
            wanted = f"{key}={value}" if equals else key
            known = dict.fromkeys(self._known(lambda policy: policy.attributes))
            hint = None if key in known else hint_nearest(key, known)
            raise SelectError(f"no task has the attribute {cut(wanted)!r}", hint)
        return bytes(has)

    def _known(self, names: Callable[..., Iterable[str]]) -> Iterator[str]:
        return (name for task in self._graph.tasks for name in names(task.policy))

    def _in_state(self, text: str, atom: str) -> bytes:
        state = _unquote(text, atom)
        if self._states is None:
            raise SelectError(f"{cut(atom)!r} asks for states, and there is no run to take them from")
        if state not in STATES:
            raise SelectError(
                f"there is no state {cut(state)!r}", hint_nearest(state, STATES) or f"states are {', '.join(STATES)}"
            )
        if isinstance(self._states, Mapping):
            get = self._states.get
            return bytes([get(task.name) == state for task in self._graph.tasks])
        return bytes([held == state for held in self._states])


def _split(text: str, operator: str) -> list[str]:
    """The parts between operators outside quotes. A quote without its partner is plain text."""
    parts: list[list[str]] = [[]]
    for piece in re.findall(_PIECES, text, re.DOTALL):
        if piece == operator:
            parts.append([])
        else:
            parts[-1].append(piece)
    return ["".join(part) for part in parts]


def _unquote(text: str, atom: str) -> str:
    if not text.startswith('"'):
        return text
    if len(text) < 2 or not re.fullmatch(_QUOTED, text, re.DOTALL):
        raise SelectError(f"the quotes in {cut(atom)!r} do not close", 'write "..." around the whole name')
    return re.sub(_ESCAPED, r"\1", text[1:-1], flags=re.DOTALL)


def _depth(digits: str) -> int:
    return int(digits) if len(digits) < 10 else 2**31  # no plan is deeper, and int() refuses endless digits


def _union(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") | int.from_bytes(other, "little")).to_bytes(len(one), "little")
