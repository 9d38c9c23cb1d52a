"""How a function gets to where it is called: by reference when it can be imported there, else by value."""

from __future__ import annotations

import base64
import functools
import io
import sys
from types import ModuleType
from typing import Any, Final

from weft.define.projects import folder_of
from weft.spec.actions import Serialized

MADE_BY: Final = b"\nPython "  # what it writes is for this version; `executors.supervisor.makers` reads it


class ByValueError(TypeError):
    """A function can be sent neither by reference nor by value; says why."""


def reference_of(function: Any) -> str | None:
    """`module:name` when that is this very object wherever it is imported; None when it has to go by value."""
    module_name = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(name, str) or module_name in ("__main__", "__mp_main__"):
        return None
    module = sys.modules.get(module_name)
    if module is None or getattr(module, "__spec__", None) is None:  # made by hand: nobody else can import it
        return None
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return f"{module_name}:{name}" if found is function else None


def by_value(function: Any) -> Serialized:
    """The function itself, as bytes that another process of this Python reads. Raises ByValueError."""
    written = io.BytesIO()
    try:
        _pickler()(written).dump(function)
    except Exception as error:
        raise ByValueError(f"{type(error).__name__}: {error}") from error
    version = "{}.{}.{}".format(*sys.version_info[:3])
    written.write(MADE_BY + version.encode())  # behind the end of the pickle, where no reader looks
    return Serialized(data=base64.b64encode(written.getvalue()).decode("ascii"))


def take_along(module: ModuleType) -> None:
    """From now on, what functions use of this module goes with them by value: it is not there where they are called."""
    import cloudpickle  # type: ignore[import-untyped]

    cloudpickle.register_pickle_by_value(module)


@functools.cache
def _pickler() -> Any:
    """That of cloudpickle, which takes what `functools.lru_cache` makes for importable wherever it was made."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if type(value) is not functools._lru_cache_wrapper or reference_of(value) is not None:
                return super().reducer_override(value)
            limits = value.cache_parameters()
            arguments = (value.__wrapped__, limits["maxsize"], limits["typed"], functools._CacheInfo)
            return functools._lru_cache_wrapper, arguments, vars(value)

    return Pickler


def paths_of(function: Any) -> tuple[str, ...]:
    """Folders that must be on `sys.path` for the function's module, or what it refers to, to be found.

    And the file of its module, when that was not executed to its end here, and must not be where the function is called.
    """
    module_name = getattr(function, "__module__", None) or getattr(type(function), "__module__", None)
    folder = folder_of(module_name) if isinstance(module_name, str) else None
    if folder is None:
        return ()
    file = _excerpts.get(module_name or "")
    return (folder,) if file is None else (folder, file)


_excerpts: Final[dict[str, str]] = {}


def mark_excerpt(module: str, file: str) -> None:
    """Tell that only what defines its tasks was executed of a module."""
    _excerpts[module] = file
