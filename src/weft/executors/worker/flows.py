"""Products that are kept item by item, and iterators over streams: what `streams` needs of a call and of the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from weft.executors.supervisor.calls import Refused
from weft.values.encoding import encode
from weft.values.items import ItemReader, ItemWriter

from .checks import Check, WrongType
from .making import Call, awaited
from .streams import Incoming, ItemTypeError, Outgoing


def take_product(call: Call, value: Any) -> str:
    """The text of a product that is kept as an item log: a generator's items as they come, a list's at once."""
    callee = call.callee
    check = callee.check
    if isinstance(value, CoroutineType):
        value = awaited(value)
    is_async = isinstance(value, AsyncGeneratorType)
    if check is None or not check.is_each:
        if is_async or isinstance(value, GeneratorType):
            value = awaited(_listed(value)) if is_async else list(value)
        if check is not None:
            check(value)
        if type(value) not in (list, tuple):
            return encode(
                value, callee.products, is_durable=callee.is_durable
            )  # who wanted its items says what is wrong
        return _written(_writer(call), value, None)
    if not is_async and not hasattr(value, "__iter__"):
        raise WrongType(f"a {type(value).__name__} has no items to hand on")
    if call.talk is None:
        return _written(_writer(call), awaited(_listed(value)) if is_async else value, check)
    return _streamed(call, _writer(call), value, check)


def _writer(call: Call) -> ItemWriter:
    os.makedirs(os.path.dirname(call.log), 0o700, exist_ok=True)
    return ItemWriter(call.log, call.callee.products, is_durable=call.callee.is_durable)


def _written(writer: ItemWriter, values: Any, check: Check | None) -> str:
    try:
        for index, value in enumerate(values):
            if check is not None:
                try:
                    check(value)
                except WrongType as wrong:
                    raise WrongType(f"item {index}: {wrong}") from None
            writer.add(value)
    except BaseException:
        writer.abandon()
        raise
    return writer.close()


def _streamed(call: Call, writer: ItemWriter, value: Any, check: Check | None) -> str:
    talk = call.talk
    assert talk is not None

    def tell(first: int, shown: list[str], digests: list[str], size: int) -> None:
        talk.say(("yielded", call.nonce, first, shown, digests, size))

    outgoing = Outgoing(writer, tell, _problem_by(check))
    talk.listen(("allow", call.nonce), outgoing.allow, outgoing.lose)
    try:
        if isinstance(value, AsyncGeneratorType):
            awaited(outgoing.add_all_async(value))
        else:
            outgoing.add_all(value)
        return outgoing.close()
    except ItemTypeError as problem:
        outgoing.abandon()
        raise WrongType(str(problem)) from None
    except BaseException:
        outgoing.abandon()
        raise
    finally:
        talk.forget(("allow", call.nonce))


def _problem_by(check: Check | None) -> Callable[[Any], str | None] | None:
    if check is None:
        return None

    def problem_of(value: Any) -> str | None:
        try:
            check(value)
        except WrongType as wrong:
            return str(wrong)
        return None

    return problem_of


async def _listed(values: Any) -> list[Any]:
    return [value async for value in values]


class Flow:
    """An iterator over a stream as an argument, and its line to the engine."""

    def __init__(self, call: Call, path: str, bind: str, is_complete: bool):
        folder = call.callee.products

        def open_log(where: str) -> ItemReader:
            return ItemReader(where, folder)

        talk = call.talk
        if talk is None and not is_complete:
            raise Refused("setup", "a stream that still grows can only be taken in a shared worker")
        items = None
        if is_complete:
            with open_log(path) as reader:
                items = reader.count

        def tell(position: int) -> None:
            if talk is not None:
                talk.say(("taken", call.nonce, bind, position))

        self.iterator = Incoming(bind, path, open_log, tell, items)
        self._talk = talk
        self._key = ("announce", call.nonce, bind)
        if talk is not None and not is_complete:
            talk.listen(self._key, self.iterator.announce, self.iterator.lose)
            tell(0)  # what was announced before would not have been heard

    def close(self) -> None:
        """The call is over."""
        if self._talk is not None:
            self._talk.forget(self._key)
        self.iterator.close()
