"""Tasks without a registry in hand: decorators that add to the default registry (dialects.md 2.7).

Each gives the plain function back. They stand in any order, each once, and `task` must be among them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar, overload

from weft.define.fields import FIELDS, as_words
from weft.define.marks import Said, mark_of, say
from weft.define.mistakes import Mistakes, holding
from weft.define.registry import default_registry
from weft.errors import cut
from weft.units import BYTE_AMOUNTS, Bare, UnitError, parse_size

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]
Path = str | os.PathLike[str]

BARE: Bare = "MiB"  # what an amount of bytes without a unit means here, as in all task specifications


@overload
def task(function: Function, /, **fields: Any) -> Function: ...


@overload
def task(name: str | None = None, /, **fields: Any) -> Callable[[Function], Function]: ...


def task(function: Any = None, /, **fields: Any) -> Any:
    """Define a task in `weft.default_registry`.

    The words are those of `Registry.task`, and fields of task specifications (`time_limit`, `cpu`, `memory`, `dependencies`,
    `required_folder`, ...). Raises DefinitionError.
    """
    if function is not None and not isinstance(function, str):
        if fields:
            _refuse_second(function, fields.get("name"))
            return default_registry.task(function, **_words(fields, function))
        with holding(None, function):
            _refuse_second(function, None)
            default_registry.task(function)
        return function
    name = fields.setdefault("name", function)

    def define(decorated: Function) -> Function:
        with holding(name, decorated):
            _refuse_second(decorated, name)
            default_registry.task(**_words(fields, decorated, function))(decorated)
        return decorated

    return define


def _words(fields: dict[str, Any], function: Any, first: str | None = None) -> dict[str, Any]:
    """The words of a definition. first: the name that was given by position. Raises DefinitionError."""
    name = fields.get("name")
    if FIELDS.isdisjoint(fields) and first in (None, name):
        return dict(fields)
    mistakes = Mistakes("task", name or getattr(function, "__name__", None))
    if first not in (None, name):
        mistakes.add("shape.conflict", f"is called {cut(str(first))!r} and {cut(str(name))!r}", "keep one name")
    words = as_words(fields, _bytes, mistakes)
    mark = mark_of(function)
    if mistakes and mark is not None:
        mark.is_task = True  # in vain
    mistakes.raise_if_any()
    return words


def _refuse_second(function: Any, name: object) -> None:
    """A function that has its name already is given to `task` again on purpose; below another decorator it has none yet."""
    mark = mark_of(function)
    if mark is None or mark.registry is not default_registry:
        return
    own = getattr(function, "__name__", None)
    caller = sys._getframe(2)
    if own == "<lambda>" or own is None or caller.f_locals.get(own, caller.f_globals.get(own)) is function:
        return
    mistakes = Mistakes("task", name if isinstance(name, str) else own)
    mistakes.add("shape.conflict", "@weft.task is given twice", "keep one of them")
    mistakes.raise_if_any()


def _decorator(name: str, word: str, value: Any, key: str | None = None) -> Decorator[Any]:
    def decorate(function: Function) -> Function:
        say(function, Said(name, word, key, value))
        return function

    return decorate


def time_limit(time: Any) -> Decorator[Any]:
    """How long an attempt may take: seconds, or a text like `10min`."""
    return _decorator("time_limit", "timeout", time)


def cores(number: float) -> Decorator[Any]:
    """How many cores an attempt holds; decimals are allowed."""
    return _decorator("cores", "resources", number, "cores")


def memory(size: Any) -> Decorator[Any]:
    """How much memory an attempt may use: a text like `1G`; a bare number is MiB."""
    return _decorator("memory", "resources", _bytes("memory", size), "memory")


def resource(name: str, amount: Any) -> Decorator[Any]:
    """How much of a resource an attempt holds."""
    return _decorator("resource", "resources", _bytes(name, amount), name)


def _bytes(name: object, amount: Any) -> Any:
    """An amount of bytes in whole bytes; what cannot be read is told when the task is defined."""
    is_bare = type(amount) in (int, float) or (isinstance(amount, str) and amount.strip().replace(".", "", 1).isdigit())
    if not is_bare or not isinstance(name, str) or name not in BYTE_AMOUNTS:
        return amount
    try:
        return f"{parse_size(amount, BARE)}B"
    except UnitError:
        return amount


def depends_on(*tasks: Any) -> Decorator[Any]:
    """Tasks that must be ok before: names, or functions that are tasks already."""
    return _decorator("depends_on", "deps", tasks)


def require_files(*paths: Path) -> Decorator[Any]:
    """Files that must exist."""
    return _decorator("require_files", "requires", ("files", [{"path": path} for path in paths]))


def require_folder(path: Path, minimum: int = 1) -> Decorator[Any]:
    """A folder that must hold files. A parameter `filenames` gets them, sorted."""
    return _decorator("require_folder", "requires", ("folders", [{"path": path, "minimum": minimum}]))


def require_match(pattern: str) -> Decorator[Any]:
    """A regular expression, or `glob:PATTERN`, that must match a file. A parameter `filenames` gets all of them, sorted."""
    return _decorator("require_match", "requires", ("match", [{"pattern": pattern}]))


def for_files_in_folder(path: Path, as_: str | None = None) -> Decorator[Any]:
    """Once for each file of a folder. as_: the parameter that gets the path; `filename`, when there is one and none is named."""
    return _decorator("for_files_in_folder", "requires", ("folders", [{"path": path, "as": as_}]))


def for_files_matching(pattern: str, as_: str | None = None) -> Decorator[Any]:
    """Once for each file that matches a regular expression or `glob:PATTERN`. as_: as for `for_files_in_folder`."""
    return _decorator("for_files_matching", "requires", ("match", [{"pattern": pattern, "as": as_}]))


def interruptible(flag: bool) -> Decorator[Any]:
    """Whether an attempt may be stopped, or paused, and queued again."""
    return _decorator("interruptible", "interruptible", flag)


def priority(number: int) -> Decorator[Any]:
    """What is ready and has the highest starts first."""
    return _decorator("priority", "priority", number)


def max_attempts(number: int) -> Decorator[Any]:
    """How many attempts a task has in all."""
    return _decorator("max_attempts", "max_attempts", number)
