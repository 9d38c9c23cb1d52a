"""Arguments that are no plain data, made in the worker: unpickled, decoded from products, taken from item logs and streams."""

from __future__ import annotations

import base64
import pickle
from typing import TYPE_CHECKING, Any

from weft.executors.supervisor.calls import Refused

if TYPE_CHECKING:
    from .making import Call

SPREAD = "*"  # as in `ports.orders`
READERS_MOST = 16  # item logs that are kept open

_readers: dict[str, Any] = {}


def fill(call: Call, arguments: dict[str, Any], special: dict[str, tuple[Any, ...]], flows: list[Any]) -> None:
    """Put the values of `special` (name -> kind and what it says) into `arguments`; flows: gets what is to be closed.

    Raises Refused.
    """
    from weft.values.encoding import DamagedError, MissingError, UnreadableError, remedy

    for name, (kind, *more) in special.items():
        try:
            if kind == "flow":
                from .flows import Flow

                maker, path, bind = more
                flow = Flow(call, path, bind, maker == 0)
                flows.append(flow)
                arguments[name] = flow.iterator
            else:
                arguments[name] = _value(kind, call.callee.products, *more)
        except (DamagedError, MissingError, UnreadableError, OSError) as problem:
            raise Refused("setup", f"argument {name!r} cannot be read: {problem}{remedy(problem)}") from problem


def _value(kind: str, folder: str, what: Any, position: int = 0) -> Any:
    if kind == "handed":
        from weft.values.encoding import decode

        return decode(what, folder)
    if kind == "opaque":
        return _unpickled(what)
    if kind == "list":
        return _list(what, folder)
    return _item(what, position, folder)


def _list(texts: list[str], folder: str) -> list[Any]:
    """Of values; those of a text that is to be spread are its items."""
    from weft.values.encoding import decode

    found: list[Any] = []
    for text in texts:
        if not text.startswith(SPREAD):
            found.append(decode(text, folder))
            continue
        value = decode(text[len(SPREAD) :], folder)
        found += value if isinstance(value, (list, tuple)) else [value]
    return found


def _unpickled(text: str) -> Any:
    try:
        return pickle.loads(base64.b64decode(text, validate=True))
    except Exception as problem:
        # A pickle of another Python fails in any way it likes.
        raise Refused(
            "setup", f"an argument cannot be unpickled here: {type(problem).__name__}: {problem}"
        ) from problem


def _item(log: str, position: int, folder: str) -> Any:
    """From a finished log (its product's text) or one that still grows (its path)."""
    from weft.values.encoding import MissingError, parse, path_of
    from weft.values.items import ItemReader

    reader = _readers.get(log)
    if reader is None:
        reference = parse(log)
        reader = (
            ItemReader(log, folder) if reference is None else ItemReader(path_of(folder, reference), folder, reference)
        )
        if len(_readers) >= READERS_MOST:
            _readers.pop(next(iter(_readers))).close()
        _readers[log] = reader
    if position >= reader.count and position >= reader.refresh():
        raise MissingError(f"the item log {log:.200} has no item {position}")
    return reader.read(position)
