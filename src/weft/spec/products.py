"""What a task hands on to those that depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProductSource = Literal["stdout", "json", "outputs", "return"]


@dataclass(frozen=True, slots=True)
class Product:
    """Where a task's product comes from and its type's name. stream: handed on while it is made."""

    source: ProductSource
    type: str = "any"
    stream: bool = False
