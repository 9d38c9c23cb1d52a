"""What a task hands on to those that depend on it."""

from __future__ import annotations

from typing import Literal, NamedTuple

ProductSource = Literal["stdout", "json", "outputs", "return"]


class Product(NamedTuple):
    """Where a task's product comes from and its type's name. stream: handed on while it is made."""

    source: ProductSource
    type: str = "any"
    stream: bool = False
