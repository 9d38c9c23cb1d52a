"""Which modules are a user's own, and where Python finds them."""

from __future__ import annotations

import os
import sys
from functools import cache
from types import ModuleType
from typing import Final

_MAIN: Final = ("__main__", "__mp_main__")


@cache
def library_folders() -> tuple[str, ...]:
    """Where Python keeps its own modules and those that are installed."""
    import site
    import sysconfig

    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += site.getsitepackages()
    paths.append(site.getusersitepackages())
    return tuple(sorted({os.path.realpath(path) + os.sep for path in paths if path}))


def is_own(name: str | None) -> bool:
    """Whether a module is code of the user's project: neither Python's, nor installed, nor weft's."""
    if not name:
        return False
    if name in _MAIN:
        return True
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("weft", "cloudpickle"):
        return False
    return _is_own_file(name, _file_of(sys.modules.get(name)))


def _file_of(module: ModuleType | None) -> str | None:
    if module is None:
        return None
    path: str | None = getattr(module, "__file__", None)
    return path if path is not None else next(iter(getattr(module, "__path__", ())), None)


@cache
def _is_own_file(name: str, path: str | None) -> bool:
    if path is None:
        return name not in sys.modules or getattr(sys.modules[name], "__spec__", None) is None
    return not os.path.realpath(path).startswith(library_folders())


def folder_of(name: str) -> str | None:
    """The folder that has to be on `sys.path` for a module of a project to be found; None when nothing has to."""
    module = sys.modules.get(name)
    if name in _MAIN:
        path = getattr(module, "__file__", None)
        return os.path.dirname(os.path.abspath(path)) if path is not None else os.getcwd()
    if not is_own(name):
        return None
    top = sys.modules.get(name.partition(".")[0])
    path = _file_of(top) if getattr(top, "__file__", None) is not None else None
    if path is not None:
        folder = os.path.dirname(os.path.abspath(path))
        return os.path.dirname(folder) if hasattr(top, "__path__") else folder
    parts = list(getattr(top, "__path__", ()))
    return os.path.dirname(os.path.abspath(parts[0])) if parts else None
