"""What an executor is asked to do: an attempt, resolved but for what only its own environment knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from weft.scheduling.keys import AttemptKey
from weft.spec.environments import VariableValue
from weft.spec.tasks import Isolation


class Process(NamedTuple):
    """Start a program. argv holds finished words; an empty `expand` means none of them is to be expanded.

    expand: indexes of words in which `$NAME` is replaced from the attempt's environment before the start.
    """

    argv: tuple[str, ...]
    expand: tuple[int, ...] = ()


class Code(NamedTuple):
    """Run Python source with fresh globals. values: globals of their names."""

    source: str
    values: Mapping[str, Any]
    file: str


class Stdin(NamedTuple):
    """What a process reads. path: of a file. offset, length: the part of it, in bytes; length -1: all of it.

    grows: it is whole only when `StreamExecutor.end_input` says so.
    """

    path: str
    offset: int = 0
    length: int = -1
    grows: bool = False


SPREAD: Final = "*"
"""Before the text of a product, in a list of them: its items are members of the list. No text begins with it."""


class Handed(NamedTuple):
    """An argument: a product that a dependency handed on. text: as `weft.values` wrote it; decoded where it is used."""

    text: str


class HandedItem(NamedTuple):
    """An argument: one item of a product. log: text of the product (`@items …`), or path of a log that still grows."""

    log: str
    position: int


class HandedList(NamedTuple):
    """An argument: the products of several attempts as one list, in this order; after `SPREAD`, the items of one."""

    texts: Sequence[str]


class Flow(NamedTuple):
    """An argument: an iterator over a stream that may still grow.

    maker: nonce of the attempt that writes it, 0 when it is complete. path: of its item log. bind: the parameter's name.
    """

    maker: int
    path: str
    bind: str


class Function(NamedTuple):
    """Call `module:name`, `file.py:name`, or a serialised function (base64 of cloudpickle) with keyword arguments.

    arguments: plain data, `Opaque`, `Handed`, `HandedItem`, `HandedList`, `Flow`. paths: put before `sys.path` for its import.
    checks: what its value must be, as JSON (`weft.runtime.checks`); empty: anything.
    """

    reference: str | None
    serialized: str | None
    arguments: Mapping[str, Any]
    paths: tuple[str, ...] = ()
    checks: str = ""


Keeps = Literal["stdout", "json", "return", "items"]


class Order(NamedTuple):
    """An attempt that an executor is to start: everything is resolved but what only the attempt's environment knows.

    token: what the process carries in `WEFT_TOKEN`. environment: finished values, laid over the executor's base environment.
    variables: evaluated in order where the attempt runs, after `environment`. folder: absolute working folder.
    interpreter: of scripts, snippets and functions; None is weft's own.
    timeout: seconds of wall time. memory_bytes: limit. lane, ahead: see `StartAttempt`.
    isolation: of snippets and functions. keeps: what becomes the product, None when nothing does; `items`: the value of a
    function, item by item in a log of its own. products: folder of the state's products. is_durable: must outlive a power cut.
    cores: that it holds, as far as libraries that start threads should know; 0 is unknown.
    stdin: of a process; None is the null device. is_streamed: others read its stdout while it is written.
    """

    key: AttemptKey
    nonce: int
    token: str
    name: str
    launch: Process | Code | Function
    folder: str
    environment: Mapping[str, str] = MappingProxyType({})
    variables: tuple[tuple[str, VariableValue], ...] = ()
    interpreter: str | None = None
    timeout: float | None = None
    memory_bytes: int | None = None
    niceness: int = 0
    lane: int = 0
    ahead: bool = False
    isolation: Isolation = "process"
    keeps: Keeps | None = None
    products: str = ""
    is_durable: bool = True
    cores: int = 0
    stdin: Stdin | None = None
    is_streamed: bool = False
