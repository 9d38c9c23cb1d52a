"""What a task's result depends on besides its inputs: the code of its function and of what that uses of the same project.

Followed from name to name: a global that the code looks up, an attribute of a module of the project, a closure, a default. Each
function, class and constant found that way becomes one named part, so that `weft explain` can say which one changed. What is
installed counts by its name only: a new version of a library is a new environment.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, Final

from weft.define.bytecode import Import, uses_of
from weft.define.forms import form_of, qualified, shown_of
from weft.define.projects import is_own
from weft.define.sources import form_of_source, form_of_tree
from weft.scheduling.freshness import part
from weft.spec.fingerprint import digest
from weft.spec.secrets import is_secret_name

_ABSENT: Final = object()
_NO_MEMBERS: Final = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __slotnames__ __firstlineno__ __static_attributes__ __annotations__ "
    "__qualname__ "
    "__dataclass_fields__ __dataclass_params__ __abstractmethods__ _abc_impl __annotate__ __annotate_func__ "
    "__annotations_cache__ _member_map_ _value2member_map_ _member_names_ _unhashable_values_ _hashable_values_".split()
)


def pinned(version: str) -> Mapping[str, str]:
    """The parts of code whose changes somebody tells by hand."""
    return MappingProxyType({"version": part(digest(version), version)})


def parts_of(function: Any) -> Mapping[str, str]:
    """Named parts, in the order in which they are found; the function itself comes first."""
    return MappingProxyType(_Walk(function).parts)


def digest_of_code(function: Any) -> str:
    """One digest over all of them."""
    return digest(dict(parts_of(function)))


class _Walk:
    """The search from one function."""

    def __init__(self, root: Any):
        self.parts: dict[str, str] = {}
        self._home = getattr(root, "__module__", None)
        self._open: list[Callable[[], None]] = []
        self._labels: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no id is used twice
        self._constants: set[tuple[str, str]] = set()
        self._is_root = True
        own = f"code:{self._refer(root)}"
        while self._open:
            self._open.pop(0)()
        if own in self.parts:
            self.parts = {own: self.parts.pop(own), **self.parts}

    def _label(self, module: str | None, name: str) -> str:
        name = name.replace("<locals>.", "").replace("<lambda>", "lambda")
        return name if module == self._home or module is None else f"{module}.{name}"

    def _add(self, kind: str, label: str, text: str) -> None:
        name, number = f"{kind}:{label}", 2
        while self.parts.get(name, text) != text:  # two lambdas of one module are called the same
            name, number = f"{kind}:{label}#{number}", number + 1
        self.parts[name] = text

    # --- what a value refers to

    def _refer(self, value: Any) -> str:
        """What stands for a function, class or module; the first time one of the project is met, it is looked into later."""
        known = self._labels.get(id(value))
        if known is not None:
            return known
        self._kept.append(value)
        if isinstance(value, ModuleType):
            label = value.__name__
            if is_own(label):
                self._open.append(lambda: self._add("code", label, digest(_module_form(value))))
        else:
            label = self._refer_code(value)
        self._labels[id(value)] = label
        return label

    def _refer_code(self, value: Any) -> str:
        is_root, self._is_root = self._is_root, False
        if isinstance(value, FunctionType):
            label = self._label(value.__module__, value.__qualname__)
            if is_root or is_own(value.__module__):
                self._open.append(lambda: self._function(value, label, is_root))
                return label
        elif isinstance(value, type):
            label = self._label(value.__module__, value.__qualname__)
            if is_root or is_own(value.__module__):
                self._open.append(lambda: self._class(value, label))
                return label
        elif is_root:  # a partial, a method, an object that can be called
            label = self._label(self._home, getattr(value, "__qualname__", type(value).__qualname__))
            self._open.append(lambda: self._add("code", label, digest(self._value(value))))
            return label
        return qualified(value)

    def _value(self, value: Any) -> Any:
        if isinstance(value, MethodType):
            return ["method", self._refer(value.__func__), form_of(value.__self__, self._refer)]
        if isinstance(value, functools.partial):
            given = (value.args, value.keywords)
            return ["partial", self._value(value.func), form_of(given, self._refer)]
        if isinstance(value, FunctionType | type | ModuleType):
            return self._refer(value)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None and callable(wrapped):
            return ["wrapper", qualified(type(value)), self._value(wrapped)]
        if callable(value) and not isinstance(value, type):
            self._refer(type(value))
        return form_of(value, self._refer)

    # --- functions

    def _function(self, function: FunctionType, label: str, is_root: bool) -> None:
        uses = uses_of(function.__code__)
        # The defaults of the task's own function are values of its options, which are parts of their own.
        defaults = None if is_root else (function.__defaults__, function.__kwdefaults__)
        others: list[Any] = []
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                others.append((name, self._use(label, function.__module__, name, cell.cell_contents, ())))
            except ValueError:  # not yet filled
                continue
        for chain in uses.names:
            value = function.__globals__.get(chain[0], _ABSENT)
            if value is not _ABSENT:
                others.append((chain[0], self._use(label, function.__module__, chain[0], value, chain[1:])))
        for found in uses.imports:
            others.extend(self._import(function.__module__, found))
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            others.append(("__wrapped__", self._value(wrapped)))
        others.sort(
            key=lambda other: str(other[0])
        )  # where a line is broken, the compiler may look up in another order
        source = form_of_source(function.__code__)
        form = (uses.form if source is None else source, form_of(defaults, self._refer), others)
        self._add("code", label, digest(form))

    def _use(self, owner: str, module: str | None, name: str, value: Any, attributes: tuple[str, ...]) -> Any:
        """What stands in the user's code for what it looks up; a constant is a part of its own."""
        while isinstance(value, ModuleType) and is_own(value.__name__) and attributes:
            found = getattr(value, attributes[0], _ABSENT)
            if found is _ABSENT:
                break
            module, name, value, attributes = value.__name__, attributes[0], found, attributes[1:]
        if isinstance(value, ModuleType):
            return self._refer(value) if is_own(value.__name__) else value.__name__
        if isinstance(value, FunctionType | type | MethodType | functools.partial):
            return self._value(value)
        if getattr(type(value), "__module__", "").partition(".")[0] == "weft":  # a registry, not a value
            return qualified(type(value))
        if callable(value):
            return self._value(value)
        self._constant(module, name if name.isidentifier() else f"{owner}.{name}", value)
        return None

    def _constant(self, module: str | None, name: str, value: Any) -> None:
        label = self._label(module, name)
        key = (label, str(id(value)))
        if key in self._constants:
            return
        self._constants.add(key)
        self._kept.append(value)
        shown = None if is_secret_name(name) else shown_of(value)
        self._add("constant", label, part(digest(form_of(value, self._refer)), shown))

    def _import(self, module: str | None, found: Import) -> Iterator[Any]:
        name = found.module
        if found.level:
            package = getattr(sys.modules.get(module or ""), "__package__", None) or ""
            parents = package.split(".")[: len(package.split(".")) - found.level + 1]
            name = ".".join([*parents, name] if name else parents)
        loaded = sys.modules.get(name)
        if not is_own(name):
            yield (name, found.names)
            return
        if loaded is None:
            text = _unloaded_form(name)
            if text is not None:
                self._add("code", name, digest(text))
            yield (name, found.names)
            return
        if not found.names:
            yield (name, self._refer(loaded))
        for each in found.names:
            value = getattr(loaded, each, _ABSENT)
            if value is not _ABSENT:
                yield (each, self._use(each, name, each, value, ()))

    # --- classes

    def _class(self, kind: type, label: str) -> None:
        bases = [self._refer(base) for base in kind.__bases__]
        members = []
        for name in sorted(vars(kind)):
            if name not in _NO_MEMBERS:
                members.append((name, self._member(vars(kind)[name])))
        self._add("code", label, digest((bases, members)))

    def _member(self, value: Any) -> Any:
        if isinstance(value, staticmethod | classmethod):
            return [type(value).__name__, self._method(value.__func__)]
        if isinstance(value, property):
            return ["property", *(self._method(each) for each in (value.fget, value.fset, value.fdel))]
        if isinstance(value, FunctionType):
            return self._method(value)
        if type(value).__name__ in ("member_descriptor", "getset_descriptor", "wrapper_descriptor"):
            return type(value).__name__
        return form_of(value, self._refer)

    def _method(self, value: Any) -> Any:
        return self._value(value) if value is not None else None


def _module_form(module: ModuleType) -> Any:
    """A module that is used as a whole: its source without comments and docstrings."""
    path = getattr(module, "__file__", None)
    return _source_form(path) if path is not None else module.__name__


def _unloaded_form(name: str) -> Any:
    """A module that is imported when the function is called, and has not been yet."""
    from importlib.machinery import PathFinder

    top, _, rest = name.partition(".")
    found = PathFinder.find_spec(top)
    for each in rest.split(".") if rest else ():
        if found is None or found.submodule_search_locations is None:
            return None
        found = PathFinder.find_spec(each, list(found.submodule_search_locations))
    return _source_form(found.origin) if found is not None and found.origin is not None else None


def _source_form(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return form_of_tree(ast.parse(file.read()))
    except (OSError, SyntaxError, ValueError):
        return path
