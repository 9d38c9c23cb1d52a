"""Classes of the user's: `module:Class`, `file.py:Class`, `package.module.Class`, or a name of the entry points `weft.notes`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from weft.notes.errors import NoteError
from weft.ports import Notifier
from weft.spec.notes import ENTRY_POINTS, is_class_path

Maker = Any
"""The class: called with the keywords, it gives a Notifier."""


def load_class(name: str, root: str) -> Maker:
    """The class that a note names; its module is imported. root: folder where modules are looked for first.

    Raises NoteError when there is none that can be used, and whatever its module raises.
    """
    if not is_class_path(name):
        return _from_entry_point(name)
    module_name, _, path = name.rpartition(":") if ":" in name else name.rpartition(".")
    found: Any = _module_from_file(module_name, root) if module_name.endswith(".py") else _module(module_name, root)
    for part in path.split("."):
        if not hasattr(found, part):
            raise NoteError(f"module {module_name!r} has no class {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise NoteError(f"{name!r} is no class")
    return found


def check_keywords(maker: Maker, name: str, keywords: Mapping[str, Any]) -> None:
    """Raises NoteError when the class does not take these keywords, or its instances cannot send."""
    if isinstance(maker, type) and not callable(getattr(maker, "send", None)):
        raise NoteError(f"class {name!r} has no method send(record)")
    try:
        signature = inspect.signature(maker)
    except ValueError:
        return  # made in C: it will say itself what it does not take
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise NoteError(f"class {name!r} cannot be made of its keywords: {error}") from error


def make(maker: Maker, name: str, keywords: Mapping[str, Any]) -> Notifier:
    """An instance."""
    made = maker(**keywords)
    if not callable(getattr(made, "send", None)):
        raise NoteError(f"what {name!r} makes has no method send(record)")
    sink: Notifier = made
    return sink


def _module(name: str, root: str) -> ModuleType:
    """Imported with the root in front, as the functions of tasks are; it stays at the end, for what is imported later."""
    sys.path.insert(0, root)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(root)
        if root not in sys.path:
            sys.path.append(root)


def _module_from_file(path: str, root: str) -> ModuleType:
    file = os.path.join(root, path)
    if not os.path.isfile(file):
        raise NoteError(f"there is no file {path!r}")
    name = f"weft_note_{os.path.splitext(os.path.basename(path))[0]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise NoteError(f"{path!r} is no module")
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that what it defines can be found again, as by dataclasses
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_entry_point(name: str) -> Maker:
    from importlib.metadata import entry_points

    found = sorted(entry_points(group=ENTRY_POINTS, name=name), key=lambda each: each.value)
    if not found:
        raise NoteError(f"no installed package offers a note {name!r}")
    return found[0].load()
