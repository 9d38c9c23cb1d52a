"""Named inputs that are known before a run, and the values they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

Value = None | bool | int | float | str | Sequence[Any] | Mapping[str, Any]
"""Plain data: what JSON can say."""


class _Missing:
    """The absence of a default; `None` is a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that is no plain data, as it travels and is recorded; only workers and the user's own process unpickle it.

    pickle: base64 of protocol 5; equal values may have different ones. digest: hex, over what the value is. shown: one line for
    people.
    """

    pickle: str = field(compare=False)
    digest: str
    shown: str = ""


class Option(NamedTuple):
    """A named input: its type's name, maybe a default, which is a value and never a closure."""

    type: str = "any"
    default: Any = MISSING
    description: str | None = None

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return self.default is MISSING
