"""Functions that a plan names, turned into functions that it holds: the part of `weft compile --serialize` in the child process.

What belongs to the project goes along (what the function uses of its own module and of its neighbours), what is installed is
named: the interpreter that calls the function has to have it. Modules are compiled from their source, because what is equal in a
compiled file that was read differs in its bytes from what is equal in one that was just made.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import count
from types import CodeType, ModuleType
from typing import Any, Final

from weft.define.projects import is_own
from weft.define.references import ByValueError, by_value, take_along
from weft.errors import Problem, cut, hint_nearest
from weft.executors.worker.excerpts import FINDER, ExcerptLoader, split_paths

SEED_BYTES: Final = 32


class SourceLoader(SourceFileLoader):
    """Compiles a file whether it has been compiled before or not."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the module. Raises SyntaxError."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class SourceFinder:
    """Stands before the usual finders, for modules below a folder."""

    def __init__(self, folder: str):
        self._folder = os.path.realpath(folder) + os.sep

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The usual spec with a loader that compiles; None for all other modules."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return None
        if not os.path.realpath(spec.origin).startswith(self._folder):
            return None
        spec.loader = SourceLoader(fullname, spec.origin)
        return spec


def serialize(asked: Sequence[tuple[str, Sequence[str]]], root: str) -> dict[str, Any]:
    """`{"data": [base64]}` of functions by reference (with their `paths`), in their order, or `{"problems"}`.

    Raises what a module raises while it is imported.
    """
    sys.meta_path.insert(0, SourceFinder(root))
    sys.path.insert(0, root)
    found: list[tuple[str, Any]] = []
    problems: list[Problem] = []
    for reference, paths in asked:
        sys.path[:0] = [path for path in split_paths(paths) if path not in sys.path]
        try:
            found.append((reference, _found(reference, root)))
        except LookupError as error:
            problems.append(Problem("shape.value", str(error.args[0]), None, None, None, None, error.args[1]))
    data: list[str | None] = []
    with _numbered(_take_along()):
        for reference, function in found:
            try:
                data.append(by_value(function).data)
            except ByValueError as error:
                message = f"function {cut(reference)!r} cannot be serialised: {cut(str(error), 300)}"
                hint = "what it uses must be data, or be made inside of it"
                problems.append(Problem("shape.value", message, hint=hint))
    if problems:
        return {"problems": [problem.as_json() for problem in problems]}
    return {"data": data}


def _found(reference: str, root: str) -> Any:
    """The function. Raises LookupError with a message and a hint."""
    place, _, name = reference.rpartition(":")
    found: Any = _from_file(root, place) if place.endswith(".py") else _imported(place)
    for part in name.split("."):
        if not hasattr(found, part):
            raise LookupError(f"{cut(place)!r} has no function {cut(name)!r}", hint_nearest(part, vars(found)))
        found = getattr(found, part)
    if not callable(found):
        raise LookupError(f"{cut(reference)!r} is no function", None)
    return found


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise LookupError(
            f"there is no module named {error.name!r}", "modules are looked for from the root on"
        ) from error


def _from_file(root: str, place: str) -> ModuleType:
    """The module of a file, as a worker imports it: once, down to its last task."""
    path = os.path.join(root, place)
    if not os.path.isfile(path):
        raise LookupError(f"there is no file {cut(place)!r}", None)
    name = os.path.splitext(os.path.basename(path))[0]
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == path:
        return loaded
    FINDER.add(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=ExcerptLoader(name, path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(path))
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _take_along() -> bytes:
    """Modules of the project are not there where the function is called. The digest of their files."""
    digest = blake2b(digest_size=SEED_BYTES)
    for name, module in sorted(sys.modules.items()):
        if name == "__main__" or not is_own(name) or getattr(module, "__spec__", None) is None:
            continue
        take_along(module)
        file = getattr(module, "__file__", None)
        if file is not None and os.path.isfile(file):
            with open(file, "rb") as source:
                digest.update(f"{name}:".encode() + blake2b(source.read()).digest())
    return digest.digest()


@contextmanager
def _numbered(seed: bytes) -> Iterator[None]:
    """Meanwhile the identities that cloudpickle gives to classes follow from the sources: the same sources, the same bytes."""
    numbers = count()

    def made() -> uuid.UUID:
        return uuid.UUID(bytes=blake2b(b"%d" % next(numbers), key=seed, digest_size=16).digest(), version=4)

    by_chance, uuid.uuid4 = uuid.uuid4, made
    try:
        yield
    finally:
        uuid.uuid4 = by_chance
