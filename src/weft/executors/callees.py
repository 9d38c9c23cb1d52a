"""Calls as they travel to workers: what calls of one function share goes once to each worker, arguments with each call."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from weft.executors.opened import UnfitArgumentsError
from weft.executors.worker.talk import packed
from weft.ports import Flow, Function, Handed, HandedItem, HandedList, Order
from weft.spec.options import Opaque

PROGRAM = f"{os.path.dirname(__file__)}/worker/__main__.py"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
SPECIAL = frozenset((Handed, HandedItem, HandedList, Flow, Opaque))
NEW_WEIGHT = 0.3  # of the latest calls in what a function's calls are expected to take
LEAP = 4.0  # times longer than expected, and only the latest count


class Callee:
    """A function as orders describe it. number: its name towards workers. seconds: what a call takes, -1 while unknown."""

    __slots__ = ("definition", "number", "seconds")

    def __init__(self, number: int, definition: tuple[Any, ...]):
        self.number = number
        self.definition = definition
        self.seconds = -1.0

    def learn(self, seconds: float) -> None:
        """Some calls have taken so long in the mean."""
        if self.seconds < 0 or seconds > LEAP * self.seconds:
            self.seconds = seconds
        else:
            self.seconds += NEW_WEIGHT * (seconds - self.seconds)


class Callees:
    """All functions of a run, numbered as they come."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Callee] = {}

    def of(self, order: Order) -> Callee:
        """The function of an order."""
        launch = order.launch
        assert isinstance(launch, Function)
        key = (
            launch.reference,
            launch.serialized,
            launch.paths,
            launch.checks,
            order.keeps,
            order.products,
            order.is_durable,
        )
        callee = self._known.get(key)
        if callee is None:
            number = len(self._known) + 1
            definition = (number, key[0], key[1], list(launch.paths), *key[3:])
            callee = self._known[key] = Callee(number, definition)
        return callee


class Arguments(NamedTuple):
    """plain: by name. special: name -> kind and what it says, of those that the worker has to make."""

    plain: dict[str, Any]
    special: dict[str, tuple[Any, ...]] | None


def arguments_of(given: Mapping[str, Any]) -> Arguments:
    """Arguments as they travel. Raises TypeError, ValueError for what is neither plain data nor known."""
    plain: dict[str, Any] = {}
    special: dict[str, tuple[Any, ...]] | None = None
    for name, value in given.items():
        if type(value) not in SPECIAL:
            plain[name] = value
        else:
            if special is None:
                special = {}
            special[name] = _special(value)
    return Arguments(plain, special)


def _special(value: Any) -> tuple[Any, ...]:
    match value:
        case Handed(text):
            return ("handed", text)
        case HandedItem(log, position):
            return ("item", log, position)
        case HandedList(texts):
            return ("list", list(texts))
        case Flow(maker, path, bind):
            return ("flow", maker, path, bind)
        case _:
            return ("opaque", value.pickle)


def travelling(call: list[Any]) -> list[Any]:
    """`call`, certain to be packed. Raises UnfitArgumentsError."""
    try:
        packed(call)
        return call
    except ValueError:
        pass
    # Subclasses of plain types (an enumeration's member, say) become what JSON makes of them.
    try:
        call = json.loads(json.dumps(call))
        packed(call)
    except RecursionError:
        raise UnfitArgumentsError("it is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise UnfitArgumentsError(str(error)) from error
    return call


def python_variables(order: Order, base: Mapping[str, str]) -> dict[str, str]:
    """What Python functions find in their environment, unless the user has set it. base: what every process gets."""
    given = order.environment.keys() | base.keys() | {name for name, _ in order.variables}
    found = {name: str(max(1, order.cores)) for name in THREADS if name not in given}
    if "PYTHONHASHSEED" not in given:
        found["PYTHONHASHSEED"] = "0"
    return found
