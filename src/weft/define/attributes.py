"""Attributes of tasks and workflows: texts that are kept with them, and change nothing."""

from __future__ import annotations

from typing import Any

from weft.define.mistakes import show
from weft.errors import ArgumentError

Attributes = dict[str, str | None]


def read_attributes(given: Any, what: str) -> Attributes:
    """From a dict, or a list of names, whose values are None. Raises ArgumentError for other kinds."""
    if given is None:
        return {}
    if isinstance(given, dict):
        return {_text(name, what): _value(value) for name, value in given.items()}
    if isinstance(given, list):
        return dict.fromkeys(_text(name, what) for name in given)
    raise ArgumentError(f"{what} are a dict, or a list of names, not {show(given)}")


def read_attribute(name: Any, value: Any, what: str) -> tuple[str, str | None]:
    """One of them."""
    return _text(name, what), _value(value)


def _text(name: Any, what: str) -> str:
    text = str(name)
    if not text:
        raise ArgumentError(f"{what} have names that are not empty")
    return text


def _value(value: Any) -> str | None:
    return None if value is None else str(value)
