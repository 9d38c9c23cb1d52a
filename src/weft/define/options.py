"""How people declare an option of a task: its type, maybe a default, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weft.define.types import TypeName
from weft.spec.options import MISSING


@dataclass(frozen=True, slots=True)
class Option:
    """A named input that is known before the run. default: a value, never a function that makes one."""

    type: TypeName = "any"
    default: Any = MISSING
    description: str | None = None
