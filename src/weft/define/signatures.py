"""How a function can be called by name: its parameters, with what their hints say and the defaults that they have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final, NamedTuple

from weft.define.hints import Hint, hints_of
from weft.spec.options import MISSING

_GENERATOR: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Parameter(NamedTuple):
    """A parameter that can be given by name. default: MISSING when it must be given. hint: None when it has none."""

    name: str
    hint: Hint | None = None
    default: Any = MISSING


class Signature(NamedTuple):
    """What of a function can be given. takes_any: it has `**names`. positional: what must be, and cannot be given by name.

    names_types: some hint has a name that Python does not know, and a registry may.
    """

    parameters: dict[str, Parameter]
    takes_any: bool = False
    positional: tuple[str, ...] = ()
    product: Hint | None = None
    is_generator: bool = False
    names_types: bool = False


class UnreadableSignatureError(TypeError):
    """Python itself cannot tell how it is called."""


def signature_of(function: Callable[..., Any]) -> Signature:
    """Raises UnreadableSignatureError."""
    hints = hints_of(_hinted(function))
    found = _read(function, hints)
    is_named = any(hint.named is not None for hint in hints.values()) if hints else False
    return found._replace(names_types=True) if is_named else found


def _read(function: Callable[..., Any], hints: Mapping[str, Hint]) -> Signature:
    if type(function) is FunctionType and not hasattr(function, "__wrapped__"):
        return _of_function(function, hints)
    try:
        read = inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise UnreadableSignatureError(str(error)) from error
    parameters: dict[str, Parameter] = {}
    positional: list[str] = []
    takes_any = False
    for name, parameter in read.parameters.items():
        has_default = parameter.default is not inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional += () if has_default else (name,)
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            parameters[name] = Parameter(name, hints.get(name), parameter.default if has_default else MISSING)
    made = None if isinstance(function, type) else hints.get("return")
    return Signature(parameters, takes_any, tuple(positional), made, _yields(function))


def _hinted(function: Any) -> Any:
    """The function whose hints are those of a call."""
    if isinstance(function, type):
        return vars(function).get("__init__")
    unwrapped = inspect.unwrap(function)
    return unwrapped if hasattr(unwrapped, "__annotations__") else vars(type(unwrapped)).get("__call__")


def _yields(function: Any) -> bool:
    inner = inspect.unwrap(function)
    called = getattr(inner, "__func__", inner)
    if not hasattr(called, "__code__") and not isinstance(called, type):
        called = vars(type(called)).get("__call__")
    code = getattr(called, "__code__", None)
    return code is not None and bool(code.co_flags & _GENERATOR)


def _of_function(function: FunctionType, hints: Any) -> Signature:
    """The same without `inspect`, which takes ten times as long: registries of thousands of functions are filled at import."""
    code = function.__code__
    names = code.co_varnames
    positional_only, by_place = code.co_posonlyargcount, code.co_argcount
    by_name = by_place + code.co_kwonlyargcount
    defaults = function.__defaults__ or ()
    first_default = by_place - len(defaults)
    keyword_defaults = function.__kwdefaults__ or {}
    parameters: dict[str, Parameter] = {}
    for index in range(positional_only, by_name):
        name = names[index]
        if index >= by_place:
            default = keyword_defaults.get(name, MISSING)
        else:
            default = defaults[index - first_default] if index >= first_default else MISSING
        parameters[name] = Parameter(name, hints.get(name), default)
    return Signature(
        parameters,
        bool(code.co_flags & inspect.CO_VARKEYWORDS),
        names[: min(positional_only, first_default)],
        hints.get("return"),
        bool(code.co_flags & _GENERATOR),
    )
