"""Functions by reference or by value: each is looked up once and kept."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from weft.executors.supervisor.calls import Refused, find

from .checks import Check
from .excerpts import ExcerptLoader, split_paths
from .surroundings import Surroundings


class Callee:
    """A function and what its calls have in common. keeps: `return`, `items` or None. products: where its values go.

    file: of its code, where its traceback begins. check: None for any value.
    """

    __slots__ = ("check", "file", "function", "is_durable", "keeps", "products")

    def __init__(
        self,
        function: Callable[..., Any],
        check: Check | None,
        keeps: str | None,
        products: str,
        is_durable: bool,
    ):
        self.function = function
        self.check = check
        self.keeps = keeps
        self.products = products
        self.is_durable = is_durable
        self.file: str = getattr(getattr(function, "__code__", None), "co_filename", "")


class Functions:
    """All functions of a worker, by the numbers that the engine gives them."""

    def __init__(self, surroundings: Surroundings):
        self._surroundings = surroundings
        self._definitions: dict[int, tuple[Any, ...]] = {}
        self._found: dict[int, Callee] = {}
        self._files: dict[str, Any] = {}

    def define(self, definitions: list[tuple[Any, ...]]) -> None:
        """Take (number, reference, serialized, paths, checks, keeps, products, is_durable) of functions yet unknown."""
        for definition in definitions:
            self._definitions[definition[0]] = definition[1:]

    def get(self, number: int) -> Callee:
        """Raises Refused, and whatever the import of the function's module raises."""
        callee = self._found.get(number)
        if callee is None:
            callee = self._found[number] = self._look_up(*self._definitions[number])
            self._surroundings.accept()
        return callee

    def _look_up(
        self,
        reference: str | None,
        serialized: str | None,
        paths: list[str],
        checks: str,
        keeps: str | None,
        products: str,
        is_durable: bool,
    ) -> Callee:
        self._surroundings.add_path(split_paths(paths))
        if serialized is not None:
            function = find({"serialized": serialized, "reference": None})
        else:
            function = self._by_reference(reference or "")
        check = Check(checks, self._predicate) if checks else None
        return Callee(function, check, keeps, products, is_durable)

    def _by_reference(self, reference: str) -> Any:
        place, _, name = reference.rpartition(":")
        if not place.endswith(".py"):
            return find({"serialized": None, "reference": reference})
        found = self._module(os.path.abspath(place))
        for part in name.split("."):
            if not hasattr(found, part):
                raise Refused("not_found", f"{place!r} has no function {name!r}")
            found = getattr(found, part)
        if not callable(found):
            raise Refused("not_found", f"{reference!r} is no function")
        return found

    def _module(self, path: str) -> Any:
        """The module of a file, executed once."""
        module = self._files.get(path)
        if module is not None:
            return module
        if not os.path.isfile(path):
            raise Refused("not_found", f"no file {path!r}")
        name = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location(name, path, loader=ExcerptLoader(name, path))
        if spec is None or spec.loader is None:
            raise Refused("not_found", f"{path!r} is no Python file")
        module = importlib.util.module_from_spec(spec)
        self._surroundings.add_path([os.path.dirname(path)])
        shadowed = sys.modules.get(name)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            if shadowed is None:
                del sys.modules[name]
            else:
                sys.modules[name] = shadowed
            raise
        self._files[path] = module
        return module

    def _predicate(self, text: str, paths: list[str]) -> Any:
        self._surroundings.add_path(split_paths(paths))
        if ":" in text:
            return self._by_reference(text)
        return find({"serialized": text, "reference": None})
