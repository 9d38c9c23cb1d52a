"""Variables of orders as they travel to where they are evaluated."""

from __future__ import annotations

from weft.ports import Order
from weft.spec.actions import Expand
from weft.spec.environments import ShellValue


def wire_variables(order: Order) -> list[tuple[str, str, str]]:
    """(name, kind, text) of each, in order."""
    found = []
    for name, value in order.variables:
        if isinstance(value, Expand):
            found.append((name, "expand", value.text))
        elif isinstance(value, ShellValue):
            found.append((name, "shell", value.command))
        else:
            assert isinstance(value, str)  # what is not known makes no order
            found.append((name, "text", value))
    return found
