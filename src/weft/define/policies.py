"""How a task is to be treated, from the words of its definition; equal words give one shared `Policy`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Final

from weft.define.mistakes import Mistakes, show
from weft.errors import cut, hint_nearest
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.resources import BYTE_AMOUNTS, ONE_CORE, Resources, to_units
from weft.spec.retries import NO_RETRIES, Retries
from weft.spec.tasks import NOTHING, Policy, name_problem
from weft.units import UnitError, parse_size, parse_time

LARGEST_UNITS: Final = 2**63 - 1  # what the scheduler's arrays and the store hold
LARGEST_COUNT: Final = 2**31 - 1
NICEST: Final = 19
CAUSE_KINDS: Final = (
    *("exit", "signal", "timeout", "memory", "exception", "not_found", "setup", "type", "missing_output", "unmet"),
    *("unsatisfiable", "dependency", "lost", "interrupted", "cancelled"),
)
_CACHES: Final = ("auto", "always", "never", "memory")
_ISOLATIONS: Final = ("thread", "worker", "process")
_SCALE_ON: Final = ("exhausted", "any")
_ROLES: Final = ("node", "task", "op")


class WrongValueError(ValueError):
    """A word of a definition has a value that it cannot have. code: of the mistake."""

    def __init__(self, code: str, message: str, hint: str | None = None):
        super().__init__(message)
        self.code = code
        self.hint = hint


# --- values ------------------------------------------------------------------------------------------------------------


def _time(value: object) -> float:
    try:
        return parse_time(value)
    except UnitError as error:
        raise WrongValueError(error.code, str(error)) from error


def _delay(value: object) -> float:
    return 0 if type(value) in (int, float) and value == 0 else _time(value)


def _whole(lowest: int, highest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int:
            raise WrongValueError("shape.type", f"must be a whole number, not {show(value)}")
        if not lowest <= value <= highest:
            raise WrongValueError("shape.value", f"must be from {lowest} to {highest}, not {show(value)}")
        return value

    return read


def _one_of(words: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value in words and isinstance(value, str):
            return value
        hint = hint_nearest(value, words) if isinstance(value, str) else None
        raise WrongValueError("shape.value", f"must be one of {', '.join(words)}, not {show(value)}", hint)

    return read


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise WrongValueError("shape.type", f"must be a text, not {show(value)}")


def _name(value: object) -> str:
    problem = name_problem(_text(value))
    if problem is not None:
        raise WrongValueError("name.invalid", problem)
    return _text(value)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise WrongValueError("shape.type", f"must be True or False, not {show(value)}")


def _names(value: object) -> tuple[str, ...]:
    members = [value] if isinstance(value, str) else value
    if not isinstance(members, list | tuple | set | frozenset):
        raise WrongValueError("shape.type", f"must be a list of texts, not {show(value)}")
    names = [_name(member) for member in members]
    return tuple(sorted(names) if isinstance(members, set | frozenset) else names)


def _causes(value: object) -> tuple[str, ...]:
    causes = _names(value)
    for cause in causes:
        if cause.partition(":")[0] not in CAUSE_KINDS:
            raise WrongValueError("shape.value", f"{cut(cause)!r} is no cause", hint_nearest(cause, CAUSE_KINDS))
    return causes


def _attributes(value: object) -> Mapping[str, Any]:
    from weft.values.plain import is_plain

    if not isinstance(value, Mapping) or not is_plain(dict(value)):
        raise WrongValueError("shape.type", f"must be a dict of plain data with texts as keys, not {show(value)}")
    return MappingProxyType(dict(value)) if value else NOTHING


def _amount(name: object, value: object) -> float:
    name = _name(name)
    if name in BYTE_AMOUNTS:
        if name != "memory" and type(value) in (int, float) and value == 0:
            return 0
        if name == "network_bandwidth" and isinstance(value, str):
            value = value.removesuffix("/s")
        try:
            return parse_size(value)
        except UnitError as error:
            raise WrongValueError(error.code, f"{name}: {error}") from error
    if type(value) not in (int, float):
        raise WrongValueError("shape.type", f"{cut(name)} must be a number, not {show(value)}")
    assert isinstance(value, int | float)
    if not 0 <= value <= LARGEST_UNITS or to_units(name, value) > LARGEST_UNITS:
        raise WrongValueError("shape.value", f"{cut(name)} must be 0 or more and countable, not {show(value)}")
    return value


def _resources(value: object) -> Resources:
    if not isinstance(value, Mapping):
        raise WrongValueError("shape.type", f"must be a dict of amounts by name, not {show(value)}")
    made = Resources.of({name: _amount(name, amount) for name, amount in value.items()})
    return ONE_CORE if made == ONE_CORE else made


def _scales(value: object) -> tuple[tuple[str, Any], ...]:
    if not isinstance(value, Mapping):
        raise WrongValueError("shape.type", f"must be a dict of scales by name, not {show(value)}")
    return tuple((_name(name), _scale(str(name), by)) for name, by in value.items())


def _scale(name: str, by: object) -> Any:
    if callable(by):
        return by
    if isinstance(by, list | tuple) and by:
        return tuple(_time(item) if name == "timeout" else _amount(name, item) for item in by)
    if type(by) in (int, float) and isinstance(by, int | float) and isfinite(by) and 0 <= by <= LARGEST_COUNT:
        return by
    raise WrongValueError(
        "shape.value", f"{cut(name)} must be a number, a list of amounts or a function, not {show(by)}"
    )


def _roles(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise WrongValueError("shape.type", f"must be a dict of roles by parameter, not {show(value)}")
    read = _one_of(_ROLES)
    return MappingProxyType({_text(name): read(role) for name, role in value.items()})


# --- policy ------------------------------------------------------------------------------------------------------------

_POLICY_WORDS: Final[Mapping[str, Callable[[object], Any]]] = {
    "resources": _resources,
    "timeout": _time,
    "duration": _time,
    "roles": _roles,
    "environment": _name,
    "notes": _names,
    "cache": _one_of(_CACHES),
    "isolation": _one_of(_ISOLATIONS),
    "interruptible": _flag,
    "priority": _whole(-LARGEST_COUNT, LARGEST_COUNT),
    "niceness": _whole(0, NICEST),
    "executor": _name,
    "queue": _name,
    "tags": _names,
    "attributes": _attributes,
    "description": _text,
}
_RETRY_WORDS: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "max_attempts": ("max_attempts", _whole(1, LARGEST_COUNT)),
    "retry_delay": ("delay", _delay),
    "retry_on": ("retry_on", _causes),
    "resource_scales": ("scales", _scales),
    "scale_on": ("scale_on", _one_of(_SCALE_ON)),
    "fallback_queues": ("fallback_queues", _names),
}
WORDS: Final = (*_POLICY_WORDS, *_RETRY_WORDS)
"""What a definition may say about how its task is treated."""

_MEANT: Final = {
    "retries": "max_attempts",
    "max_retries": "max_attempts",
    "dependencies": "deps",
    "depends_on": "deps",
    "time_limit": "timeout",
    "memory": "resources",
    "cores": "resources",
    "cpus": "resources",
    "gpu": "resources",
    "type": "product",
    "produces": "product",
    "parameter_roles": "roles",
}
"""What other tools, and other parts of weft, call these words."""

_OTHERS: Final = ("name", "product", "deps", "options", "version", "outputs", "requires", "foreach")

Key = tuple[Product, Foreach | None, str]


class Policies:
    """Makes policies; those that say the same are one object, because a million tasks may share it."""

    def __init__(self) -> None:
        self._made: dict[Key, Policy] = {}

    def make(self, words: Mapping[str, Any], product: Product, foreach: Foreach | None, mistakes: Mistakes) -> Policy:
        """The policy that the words describe; what is wrong with them goes to `mistakes`."""
        key = (product, foreach, repr(words) if words else "")
        found = self._made.get(key)
        if found is None:
            before = len(mistakes.found)
            found = _make(words, product, foreach, mistakes)
            if len(mistakes.found) == before and not any(map(callable, words.values())):
                self._made[key] = found
        return found


def _make(words: Mapping[str, Any], product: Product, foreach: Foreach | None, mistakes: Mistakes) -> Policy:
    fields: dict[str, Any] = {}
    retries: dict[str, Any] = {}
    for word, value in words.items():
        if value is None:
            continue
        try:
            if word in _POLICY_WORDS:
                fields[word] = _POLICY_WORDS[word](value)
            elif word in _RETRY_WORDS:
                field, read = _RETRY_WORDS[word]
                retries[field] = read(value)
            else:
                known = (*WORDS, *_OTHERS)
                hint = f"say {_MEANT[word]}=..." if word in _MEANT else hint_nearest(word, known)
                mistakes.add("shape.unknown_key", f"a task has no {cut(word)!r}", hint)
        except WrongValueError as error:
            mistakes.add(
                error.code, f"{word} {error}" if str(error).startswith("must") else f"{word}: {error}", error.hint
            )
    made = Retries(**retries) if retries else NO_RETRIES
    return Policy(product=product, foreach=foreach, retries=NO_RETRIES if made == NO_RETRIES else made, **fields)
