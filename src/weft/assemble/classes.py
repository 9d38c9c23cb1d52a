"""Classes of the user's: named in documents and settings, or offered by installed packages as entry points."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class ClassNotFoundError(Exception):
    """There is no such class; the message says why."""


def load_class(reference: str, folder: str) -> Any:
    """The class of `module:Class`, `file.py:Class` or `package.module.Class`; its module is imported.

    folder: where modules and files are looked for first. Raises ClassNotFoundError, and whatever its module raises.
    """
    place, _, path = reference.rpartition(":") if ":" in reference else reference.rpartition(".")
    found: Any = _module_from_file(place, folder) if place.endswith(".py") else _module(place, folder)
    for part in path.split("."):
        if not hasattr(found, part):
            raise ClassNotFoundError(f"module {place!r} has no class {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ClassNotFoundError(f"{reference!r} is no class")
    return found


def offered(group: str) -> list[EntryPoint]:
    """What installed packages offer as entry points of `group`, by name."""
    from importlib.metadata import entry_points  # late: it reads what every installed package says of itself

    return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))


def _module(name: str, folder: str) -> ModuleType:
    """Imported with the folder in front, as the functions of tasks are; it stays at the end, for what is imported later."""
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def _module_from_file(path: str, folder: str) -> ModuleType:
    file = os.path.join(folder, path)
    if not os.path.isfile(file):
        raise ClassNotFoundError(f"there is no file {path!r} in {folder}")
    name = f"weft_class_{os.path.splitext(os.path.basename(path))[0]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ClassNotFoundError(f"{path!r} is no module")
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that what it defines can be found again, as by dataclasses
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
