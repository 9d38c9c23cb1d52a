"""Run Python text or call a Python function for an attempt, and say how it went. Python 3.8 or later."""

from __future__ import annotations

import base64
import builtins
import importlib
import importlib.util
import linecache
import os
import pickle
import sys
import threading
import traceback
from types import CodeType, TracebackType
from typing import Any, NamedTuple

from .makers import is_older, maker_of
from .secrets import cover

DETAIL_LIMIT = 500  # characters of an exception's text that are kept in one line

_formatting = threading.Lock()


class Result(NamedTuple):
    """How a call went. cause: None when it went well. trace: for stderr. product: JSON text."""

    cause: str | None
    detail: str | None = None
    trace: str = ""
    product: str | None = None


class Refused(Exception):
    """A function cannot be called. cause: `not_found` or `setup`."""

    def __init__(self, cause: str, detail: str):
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


def run_source(source: str, file: str, values: dict[str, Any]) -> Result:
    """Execute `source` with fresh globals. Whatever leaves it is a failure, also SystemExit."""
    names = {"__name__": "__main__", "__builtins__": builtins, **values}
    code: CodeType | None = None
    try:
        code = compile(source, file, "exec", dont_inherit=True)
        exec(code, names)
    except BaseException as problem:  # noqa: BLE001 - the boundary between a user's code and its outcome
        return failure(problem, file, source)
    return Result(None)


def find(request: dict[str, Any]) -> Any:
    """The function of a request. Raises Refused."""
    if request["serialized"] is not None:
        return _unpickled(request["serialized"])
    reference: str = request["reference"]
    place, _, name = reference.rpartition(":")
    module = _from_file(place) if place.endswith(".py") else _from_path(place)
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise Refused("not_found", f"{place!r} has no function {name!r}")
        found = getattr(found, part)
    if not callable(found):
        raise Refused("not_found", f"{reference!r} is no function")
    return found


def _from_path(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (name == problem.name or name.startswith(problem.name + ".")):
            raise Refused("not_found", f"no module named {problem.name!r}") from problem
        raise


def _from_file(path: str) -> Any:
    if not os.path.isfile(path):
        raise Refused("not_found", f"no file {path!r}")
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Refused("not_found", f"{path!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _unpickled(data: str) -> Any:
    try:
        importlib.import_module("cloudpickle")  # what it wrote refers to it by name
    except ImportError as problem:
        raise Refused("setup", f"Python {sys.version.split()[0]} ({sys.executable}) has no cloudpickle") from problem
    here = f"Python {sys.version.split()[0]}"
    written = b""
    try:
        written = base64.b64decode(data, validate=True)
        maker = maker_of(written)
        found = pickle.loads(written) if maker is None else None
    except Exception as problem:
        # A pickle of another Python fails in any way it likes.
        text = one_line(f"{type(problem).__name__}: {problem}")
        made = ", made by Python 3.10 or older," if sys.version_info >= (3, 11) and is_older(written) else ""
        raise Refused("setup", f"the serialised function{made} cannot be read by {here}: {text}") from problem
    if maker is not None:
        raise Refused("setup", f"the serialised function was made by Python {maker}, and cannot be read by {here}")
    if not callable(found):
        raise Refused("setup", "what was serialised is no function")
    return found


def failure(problem: BaseException, file: str, source: str | None) -> Result:
    """The outcome of an exception: `Type: text (line N)`, and the traceback from the user's first frame on."""
    frames = problem.__traceback__
    while frames is not None and file and frames.tb_frame.f_code.co_filename != file:
        frames = frames.tb_next
    line = _line(frames, file)
    if isinstance(problem, SyntaxError) and problem.filename == file:
        line = problem.lineno
    text = _text(problem)
    detail = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    if line is not None:
        detail = f"{detail} (line {line})"
    return Result("exception", one_line(cover(detail, os.environ.items())), _trace(problem, frames, file, source))


def _line(frames: TracebackType | None, file: str) -> int | None:
    line = None
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == file:
            line = frames.tb_lineno
        frames = frames.tb_next
    return line


def _text(problem: BaseException) -> str:
    try:
        return problem.msg if isinstance(problem, SyntaxError) else str(problem)
    except Exception:  # noqa: BLE001 - a user's __str__ may fail; its own failure is not what matters
        return "(its text cannot be shown)"


def _trace(problem: BaseException, frames: TracebackType | None, file: str, source: str | None) -> str:
    with _formatting:
        if source is not None:
            linecache.cache[file] = (len(source), None, [line + "\n" for line in source.splitlines()], file)
        try:
            return "".join(traceback.format_exception(type(problem), problem, frames))
        except Exception as again:  # noqa: BLE001 - as above
            return f"{type(problem).__name__} (its traceback cannot be shown: {type(again).__name__})\n"
        finally:
            if source is not None:
                linecache.cache.pop(file, None)


def flush(name: str, stream: Any) -> str:
    """Flush `sys.name`, or what a call has put there. What keeps it from that, as a line for stderr; empty when nothing does."""
    try:
        # What was closed was flushed then; what cannot be flushed holds nothing back.
        if not getattr(stream, "closed", False) and hasattr(stream, "flush"):
            stream.flush()
    except Exception as problem:  # noqa: BLE001 - whatever a user's object does when it is flushed
        why = one_line(f"{type(problem).__name__}: {_text(problem)}")
        return f"weft: sys.{name} cannot be flushed, some of the output may be lost: {why}\n"
    return ""


def one_line(text: str) -> str:
    """`text` on one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= DETAIL_LIMIT else line[: DETAIL_LIMIT - 1] + "…"
