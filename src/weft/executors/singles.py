"""A snippet or function in a process of its own: what it is to do goes in by a file, and its result comes back by another."""

from __future__ import annotations

import json
import marshal
import os
import sys
from typing import Any

from weft.executors.callees import PROGRAM, Callees, arguments_of, travelling
from weft.executors.link import SUPERVISOR, Place
from weft.executors.opened import UnfitArgumentsError
from weft.executors.worker.talk import MARSHAL_VERSION
from weft.ports import Code, Flow, Function, Order, Process
from weft.scheduling.outcomes import NOT_FOUND, SETUP


def folder_of(place: Place) -> str:
    """Where requests and results lie."""
    return f"{place.run_folder}/calls"


def write_request(place: Place, order: Order) -> list[str]:
    """Prepare a call; the words of the process that does it. Raises UnfitArgumentsError, OSError."""
    launch = order.launch
    assert not isinstance(launch, Process)
    if isinstance(launch, Code):
        request: dict[str, Any] = {"source": launch.source, "file": launch.file, "values": dict(launch.values)}
        try:
            data = json.dumps(request).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise UnfitArgumentsError(str(error)) from error
        role = [SUPERVISOR, "single"]
    else:
        definition = Callees().of(order).definition
        call = [order.nonce, place.run_folder, has_streams(order), definition, *arguments_of(launch.arguments)]
        data = marshal.dumps(travelling(call), MARSHAL_VERSION)
        role = [PROGRAM, "alone"]
    folder = folder_of(place)
    os.makedirs(folder, 0o700, exist_ok=True)
    path = f"{folder}/{order.nonce:016x}.call"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(file, "wb") as stream:
        stream.write(data)
    return [order.interpreter or sys.executable, *role, path]


def has_streams(order: Order) -> bool:
    """Whether a call in a process of its own hands on items while it runs, or takes such."""
    launch = order.launch
    if not isinstance(launch, Function):
        return False
    return order.keeps == "items" or any(type(value) is Flow and value.maker for value in launch.arguments.values())


def with_result(place: Place, fact: list[Any]) -> list[Any]:
    """The end of the process as the end of the call it made."""
    _, nonce, cause, code, detail, charged, usage, out, err = fact
    path = f"{folder_of(place)}/{nonce:016x}"
    result = _take(f"{path}.result")
    _remove(f"{path}.call")
    _remove(f"{path}.taken")
    product = None
    if usage is None:
        # It never began. A missing interpreter is the environment's fault, not the call's.
        cause = SETUP if cause == NOT_FOUND else cause
    elif cause is None or cause.startswith("exit:"):
        if result is not None:
            cause, detail, product = result
            code = None
        elif cause is None:
            cause, detail = "exit:0", "os._exit was called"
    return ["ended", nonce, cause, code, detail, charged, usage, out, err, product]


def _take(path: str) -> list[Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    _remove(path)
    return found if isinstance(found, list) and len(found) == 3 else None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def is_single(place: Place, nonce: int) -> bool:
    """Whether an attempt of an earlier engine was a call in a process of its own."""
    path = f"{folder_of(place)}/{nonce:016x}"
    return os.path.exists(f"{path}.result") or os.path.exists(f"{path}.call") or os.path.exists(f"{path}.taken")
