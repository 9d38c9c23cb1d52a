"""Whole numbers that a workflow is told: of attempts, and of tasks at a time."""

from __future__ import annotations

from operator import index
from typing import Any, Final

from weft.define.mistakes import show
from weft.errors import ArgumentError
from weft.spec.compute import NO_LIMIT

USUAL_ATTEMPTS: Final = 3
"""Of a task for which nobody says anything; workflows.md 5."""


def read_attempts(value: Any) -> int | None:
    """Attempts in all, at least 1; None: unset. Raises ArgumentError."""
    if value is None:
        return None
    number = _whole(value)
    if number is None or number < 1:
        raise ArgumentError(f"max_attempts is a whole number of at least 1, or None for unset, not {show(value)}")
    return number


def read_limit(value: Any) -> int:
    """How many tasks may be live at a time; 0 pauses. Raises ArgumentError."""
    number = _whole(value)
    if number is None or number < 0:
        raise ArgumentError(f"max_concurrently_running is a whole number, 1 or more (0 pauses), not {show(value)}")
    return min(number, NO_LIMIT)


def read_count(name: str, value: Any) -> int:
    """Raises ArgumentError."""
    number = _whole(value)
    if number is None or number < 0:
        raise ArgumentError(f"{name} is a whole number of at least 0, or None for all, not {show(value)}")
    return number


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return index(value)  # NumPy's whole numbers, too
    except TypeError:
        return None
