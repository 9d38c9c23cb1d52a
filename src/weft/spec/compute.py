"""What a templated task asks for, as people write it, and how that grows (workflows.md 4).

Levels merge key by key. What has been read is canonical: memory and disk in bytes, runtime in seconds, and reads as itself again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from weft.errors import ArgumentError, InvalidMemoryFormat, InvalidMemoryUnit, cut, shown
from weft.spec.resources import BYTE_AMOUNTS, CORES, MEMORY, MICRO, Resources, from_units
from weft.spec.retries import Scale
from weft.spec.tasks import name_problem
from weft.units import GIBIBYTE, LARGEST_SIZE, UnitError, parse_size, parse_time

RUNTIME: Final = "runtime"
TIMEOUT: Final = "timeout"
QUEUE: Final = "queue"
COPIES: Final = ("stdout", "stderr")
DIRECTIVES: Final = ("project", "constraints")
CLUSTERS_WITHOUT_PROJECTS: Final = frozenset({"local", "multiprocess", "sequential", "dummy", "simulated"})
"""Names of clusters that have no use for what is in `DIRECTIVES`."""
TEXTS: Final = (QUEUE, *DIRECTIVES, *COPIES)
AUTO: Final = "auto"
AUTOMATIC: Final = (MEMORY,)
"""Amounts that may be left to what earlier runs used."""

DEFAULT_QUEUES: Final = ("", "null.q")
LARGEST_AMOUNT: Final = 2**63 // MICRO - 1

Compute = Mapping[str, Any]


class Bytes(int):
    """An amount of memory that has been read: it is in bytes, not in GiB."""

    __slots__ = ()


class Demand(NamedTuple):
    """What the engine takes. copies: stream -> folder or file. directives: for a cluster's own scheduler.

    auto: amounts that history gives.
    """

    resources: Resources
    timeout: float | None
    queue: str | None
    copies: Mapping[str, str]
    directives: Mapping[str, str]
    auto: frozenset[str]


# --- resources ---------------------------------------------------------------------------------------------------------


def read_compute(raw: Mapping[str, Any] | None) -> dict[str, Any]:
    """Raises ArgumentError: of one mistake with its own class, of several with all their texts."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ArgumentError(f"compute resources are a dict, not {cut(repr(raw))}")
    found: dict[str, Any] = {}
    mistakes: list[ArgumentError] = []
    for key, value in raw.items():
        try:
            found[_key(key)] = _read(key, value)
        except ArgumentError as error:
            mistakes.append(error)
    _raise(mistakes)
    return {key: value for key, value in found.items() if value is not None}


def _raise(mistakes: list[ArgumentError]) -> None:
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        raise type(mistakes[0])("; ".join(map(str, mistakes)))


def _key(key: object) -> str:
    problem = name_problem(key) if isinstance(key, str) else "it is no text"
    if problem is not None:
        raise ArgumentError(f"{cut(repr(key))} is no name of a resource: {problem}")
    return key  # type: ignore[return-value]


def _read(key: str, value: Any) -> Any:
    if value is None:
        return None  # as if it were not there
    if key in TEXTS:
        return _text(key, value)
    if key == MEMORY:
        return AUTO if value == AUTO else read_memory(value)
    if key == RUNTIME:
        return read_runtime(value)
    if key in BYTE_AMOUNTS:
        return _size(key, value)
    return read_amount(key, value)


def _text(key: str, value: Any) -> str:
    if hasattr(value, "__fspath__") and key in COPIES:
        value = value.__fspath__()
    if not isinstance(value, str) or not {"\x00", "\n", "\r"}.isdisjoint(value):
        raise ArgumentError(f"{key} is a text on one line, not {cut(repr(value))}")
    problem = name_problem(value) if key == QUEUE and value not in DEFAULT_QUEUES else None
    if problem is not None:
        raise ArgumentError(f"{key}: {problem}")
    return value


def read_memory(value: Any) -> Bytes:
    """Whole bytes; a bare number, also as text, is GiB. Raises InvalidMemoryFormat, InvalidMemoryUnit."""
    if isinstance(value, Bytes):
        return value
    try:
        return Bytes(parse_size(_exact(value), bare="GiB"))
    except UnitError as error:
        kind = InvalidMemoryUnit if "unknown unit" in str(error) else InvalidMemoryFormat
        raise kind(f"memory: {error}") from None


def _size(key: str, value: Any) -> Bytes | int:
    if isinstance(value, Bytes) or (value == 0 and not isinstance(value, bool)):
        return value
    try:
        return Bytes(parse_size(_exact(value), bare="GiB"))
    except UnitError as error:
        raise ArgumentError(f"{key}: {error}") from None


def _exact(value: Any) -> Any:
    """A float by the digits that it was written with: 1.9 GiB are not 1.8999999999999999 GiB. NumPy's numbers are numbers."""
    value = _python_number(value)
    return repr(value) if isinstance(value, float) and isfinite(value) and "e" not in repr(value) else value


def _python_number(value: Any) -> Any:
    """What NumPy's scalars stand for; some of them are floats, but not written as such."""
    if value.__class__ in (bool, int, float, str) or not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (TypeError, ValueError):
        return value


def read_runtime(value: Any) -> float:
    """Seconds. Raises ArgumentError."""
    try:
        return parse_time(_python_number(value))
    except UnitError as error:
        raise ArgumentError(f"runtime: {error}") from None


def read_amount(key: str, value: Any) -> float | int:
    """Cores and anything that is counted: a number, or its digits; cores above 0. Raises ArgumentError."""
    value = _python_number(value)
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().isdecimal() else float(value)
        except ValueError:
            raise ArgumentError(f"{key}: a number is expected, not {cut(value)!r}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ArgumentError(f"{key}: a number is expected, not {shown(value)}")
    if value < 0 or (key == CORES and value == 0):
        raise ArgumentError(
            f"{key}: a number {'above 0' if key == CORES else 'of at least 0'} is expected, not {shown(value)}"
        )
    if value > LARGEST_AMOUNT:
        raise ArgumentError(f"{key}: {shown(value)} is larger than weft can count")
    return value


def merge(*levels: Compute | None) -> dict[str, Any]:
    """Key by key; the lowest level first."""
    merged: dict[str, Any] = {}
    for level in levels:
        if level:
            merged.update(level)
    return merged


def demand_of(compute: Compute, limits: Iterable[str] = ()) -> Demand:
    """compute: as `read_compute` gives it. limits: named resources of which the task holds one each."""
    amounts: dict[str, float] = {}
    for key, value in compute.items():
        if key not in TEXTS and key != RUNTIME and value != AUTO:
            amounts[key] = int(value) if isinstance(value, Bytes) else value
    amounts.update(dict.fromkeys(limits, 1))
    queue = compute.get(QUEUE)
    return Demand(
        Resources.of(amounts),
        compute.get(RUNTIME),
        None if queue in DEFAULT_QUEUES else queue,
        MappingProxyType({key: compute[key] for key in COPIES if compute.get(key)}),
        MappingProxyType({key: compute[key] for key in DIRECTIVES if compute.get(key)}),
        frozenset(key for key in AUTOMATIC if compute.get(key) == AUTO),
    )


def compute_of(resources: Resources, timeout: float | None, queue: str | None) -> dict[str, Any]:
    """The way back from what the engine takes, without limits on tasks at a time."""
    compute: dict[str, Any] = {}
    for name, units in resources:
        if not name.startswith(LIMIT_PREFIX):
            compute[name] = Bytes(units) if name in BYTE_AMOUNTS else from_units(name, units)
    if timeout is not None:
        compute[RUNTIME] = timeout
    if queue is not None:
        compute[QUEUE] = queue
    return compute


LIMIT_PREFIX: Final = "concurrency:"
"""Of the named resource that caps how many tasks of a workflow or template are live: `concurrency:<name>`."""

NO_LIMIT: Final = 2_147_483_647
"""`MaxConcurrentlyRunning` when nobody says otherwise."""


def limit_name(name: str) -> str:
    """The named resource that caps the tasks of a workflow or a template."""
    return LIMIT_PREFIX + name


# --- scales ------------------------------------------------------------------------------------------------------------


def read_scales(raw: Mapping[str, Any] | None, max_attempts: int) -> dict[str, Scale] | None:
    """By the engine's names and in its units; None stays None (the usual growth). Raises ArgumentError with every mistake.

    max_attempts: an iterator is read for at most one amount less. What is canonical already stays as it is.
    """
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise ArgumentError(f"resource scales are a dict, not {cut(repr(raw))}")
    found: dict[str, Scale] = {}
    mistakes: list[ArgumentError] = []
    for key, entry in raw.items():
        try:
            name = TIMEOUT if _key(key) == RUNTIME else key
            found[name] = _scale(name, entry, max_attempts)
        except ArgumentError as error:
            mistakes.append(error)
    _raise(mistakes)
    return found


def _shown(name: str) -> str:
    """The engine's name as people write it here."""
    return RUNTIME if name == TIMEOUT else name


def _scale(name: str, entry: Any, max_attempts: int) -> Scale:
    if name in TEXTS:
        raise ArgumentError(f"resource_scales: {_shown(name)} is a text, which cannot grow")
    entry = _python_number(entry)
    if entry is None or isinstance(entry, bool | str | bytes | Mapping):
        raise ArgumentError(
            f"resource_scales: {_shown(name)}: a number, a function or amounts are expected, not {cut(repr(entry))}"
        )
    if isinstance(entry, int | float):
        if not 0 <= entry <= LARGEST_SIZE:
            raise ArgumentError(f"resource_scales: {_shown(name)}: a number of at least 0 is expected, not {entry}")
        return entry
    if isinstance(entry, Amounts | ByGibibytes):
        return entry
    if callable(entry):
        return ByGibibytes(entry) if name in BYTE_AMOUNTS else entry
    return Amounts(_listed(name, _few(name, entry, max_attempts)))


class Amounts(tuple[float, ...]):
    """A list of amounts that has been read: bytes, seconds, numbers."""

    __slots__ = ()


class ByGibibytes:
    """A function of the old amount in GiB, as one of bytes."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[float], Any]):
        self.function = function

    def __call__(self, size: float) -> Any:
        amount = self.function(size / GIBIBYTE)
        is_number = isinstance(_python_number(amount), int | float) and not isinstance(amount, bool)
        # What is no number is refused, and named, by who asked.
        return int(read_memory(amount)) if is_number and 0 < amount < LARGEST_SIZE / GIBIBYTE else amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByGibibytes) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)


def _few(name: str, entry: Any, max_attempts: int) -> Iterator[Any]:
    try:
        items = iter(entry)
    except TypeError:
        raise ArgumentError(
            f"resource_scales: {_shown(name)}: a number, a function or amounts are expected, not {cut(repr(entry))}"
        ) from None
    return islice(items, None if isinstance(entry, list | tuple) else max(max_attempts - 1, 1))


def _listed(name: str, items: Iterable[Any]) -> Iterator[float]:
    is_empty = True
    for item in items:
        is_empty = False
        if name in BYTE_AMOUNTS:
            yield int(_size(name, item) if name != MEMORY else read_memory(item))
        elif name == TIMEOUT:
            yield read_runtime(item)
        else:
            amount = read_amount(name, item)
            if not amount:
                raise ArgumentError(f"resource_scales: {_shown(name)}: amounts are above 0")
            yield amount
    if is_empty:
        raise ArgumentError(f"resource_scales: {_shown(name)}: there is no amount in it")
