"""Make one call: find the function, make its arguments, call it, take its value. What leaves the user's code is an outcome."""

from __future__ import annotations

import os
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple

from weft.executors.supervisor.calls import Refused, Result, failure, one_line
from weft.executors.supervisor.secrets import cover
from weft.values.encoding import UnencodableError, encode

from .checks import WrongType
from .functions import Callee, Functions

if TYPE_CHECKING:
    from .talk import Talk

SMALL = 1 << 62
TRACE_MOST = 64 << 10  # characters of a traceback that are printed
PLAIN = frozenset((int, float, str, list, dict, bool, type(None)))  # values that need no further look


class Call(NamedTuple):
    """A call that is being made, for those who make its arguments and take its value. log: where its items go."""

    nonce: int
    callee: Callee
    log: str
    talk: Talk | None


def make(
    functions: Functions,
    number: int,
    nonce: int,
    arguments: dict[str, Any],
    special: dict[str, tuple[Any, ...]] | None,
    streams: str,
    talk: Talk | None,
) -> Result:
    """Call function `number`. streams: folder of item logs."""
    callee: Callee | None = None
    flows: list[Any] = []
    try:
        callee = functions.get(number)
        if special is None and callee.keeps != "items":
            value = callee.function(**arguments)
        else:
            from . import flows as items

            call = Call(nonce, callee, f"{streams}/{nonce:016x}.items", talk)
            if special is not None:
                from .arguments import fill

                fill(call, arguments, special, flows)
            value = callee.function(**arguments)
            if callee.keeps == "items":
                product = items.take_product(call, value)
                _refuse_partial(flows)
                return Result(None, product=product)
        if type(value) not in PLAIN:
            value = _settled(value)
        if flows:
            _refuse_partial(flows)
        if callee.check is not None:
            callee.check(value)
        if callee.keeps is None:
            return Result(None)
        if type(value) is int and -SMALL < value < SMALL:
            return Result(None, product=str(value))  # what `encode` makes of it, later
        return Result(None, product=encode(value, callee.products, is_durable=callee.is_durable))
    except Refused as problem:
        detail = cover(problem.detail, os.environ.items())
        return Result(problem.cause, detail, detail + "\n")
    except WrongType as problem:
        detail = f"the product is no {callee.check.name}: {problem}" if callee and callee.check else str(problem)
        detail = one_line(cover(detail, os.environ.items()))
        return Result("type", detail, detail + "\n")
    except BaseException as problem:  # noqa: BLE001 - the boundary between a user's code and its outcome
        return _starved(flows, problem) or _failed(problem, callee)
    finally:
        for flow in flows:
            flow.close()


def _settled(value: Any) -> Any:
    """Coroutines awaited, generators as lists."""
    if isinstance(value, CoroutineType):
        return awaited(value)
    if isinstance(value, GeneratorType):
        return list(value)
    if isinstance(value, AsyncGeneratorType):
        return awaited(_listed(value))
    return value


def awaited(value: Any) -> Any:
    """The result of a coroutine, in a loop of its own."""
    import asyncio

    return asyncio.run(value)


async def _listed(values: Any) -> list[Any]:
    return [value async for value in values]


def _refuse_partial(flows: list[Any]) -> None:
    """What was made of half a stream, because the function caught the error, is no product."""
    for flow in flows:
        if flow.iterator.has_raised:
            raise RuntimeError(f"stream {flow.iterator.name!r} ended early, which the function did not let show")


def _starved(flows: list[Any], problem: BaseException) -> Result | None:
    """The end of a call whose stream ended early: its maker's fault, or nobody's if only the engine is gone."""
    for flow in flows:
        if flow.iterator.has_raised:
            cause = "lost" if flow.iterator.is_lost else f"dependency:{flow.iterator.name}"
            return Result(cause, one_line(cover(str(problem), os.environ.items())))
    return None


def _failed(problem: BaseException, callee: Callee | None) -> Result:
    encoding = _encoding_problem(problem)
    if encoding is not None:
        detail = one_line(cover(encoding, os.environ.items()))
        return Result("type", detail, detail + "\n")
    result = failure(problem, callee.file if callee is not None else "", None)
    if len(result.trace) > TRACE_MOST:
        half = TRACE_MOST // 2
        left = len(result.trace) - 2 * half
        result = result._replace(trace=f"{result.trace[:half]}\n… {left} characters …\n{result.trace[-half:]}")
    return result


def _encoding_problem(problem: BaseException) -> str | None:
    """Why a value cannot be handed on, if that is what has failed."""
    if type(problem) is UnencodableError:
        return f"the return value cannot be handed on: {problem}"
    return None
