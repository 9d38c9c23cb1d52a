"""Sets in an order of their own, so that equal ones are written alike whatever the seed of their hashes."""

from __future__ import annotations

import pickle
from typing import Any

DEEPEST = 50  # containers in containers that are looked through; below that sets are written as they come
_SETS = frozenset((set, frozenset))
_HOLDERS = frozenset((list, tuple, dict))


class _Ordered:
    """Is written as a set, made from its members in order."""

    __slots__ = ("_kind", "_members")

    def __init__(self, kind: type, members: list[Any]):
        self._kind = kind
        self._members = members

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return self._kind, (self._members,)


def in_order(value: Any) -> Any:
    """The value to write instead: sets with an order, also within lists, tuples and dictionaries; itself without any.

    What is shared stays shared. A value that goes round in a circle is left as it is, and so is one with members that cannot be
    pickled plainly.
    """
    if not _has_set(value):
        return value
    made: dict[int, Any] = {}
    try:
        return _ordered(value, made, DEEPEST)
    except Exception:  # noqa: BLE001 - a circle, or what the members' classes raise: then it has no order of its own
        return value


class _CircleError(Exception):
    """A container that holds itself."""


def _has_set(value: Any) -> bool:
    seen = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind in _SETS:
            return True
        if kind in _HOLDERS and id(one) not in seen:
            seen.add(id(one))
            waiting.extend(one)
            if kind is dict:
                waiting.extend(one.values())
    return False


def _ordered(value: Any, made: dict[int, Any], depth: int) -> Any:
    kind = type(value)
    if (kind not in _HOLDERS and kind not in _SETS) or not depth:
        return value
    known = made.get(id(value))
    if known is not None:
        if known is _ordered:
            raise _CircleError
        return known
    made[id(value)] = _ordered
    below = depth - 1
    if kind is dict:
        built: Any = {_ordered(key, made, below): _ordered(one, made, below) for key, one in value.items()}
    elif kind in _SETS:
        members = [_ordered(one, made, below) for one in value]
        built = _Ordered(kind, sorted(members, key=_place))
    else:
        built = kind([_ordered(one, made, below) for one in value])
    made[id(value)] = built
    return built


def _place(member: Any) -> bytes:
    return pickle.dumps(member, 5)
