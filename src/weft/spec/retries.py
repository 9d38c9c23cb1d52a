"""When an attempt that failed is tried again, and with what request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

NEVER_RETRIED = frozenset({"not_found", "type", "setup", "interrupted", "cancelled"})
"""Cause kinds that `retry_on: None` leaves out; design.md 7."""

LOST_BUDGET = 3
"""Attempts that may be lost before the task fails with `lost`; reliability.md R7."""

Scale = float | tuple[float, ...] | Callable[[float], float]
"""A factor f (times 1 + f) · the next amounts, the last one repeated · a function of the old amount."""


class Forgotten:
    """A function of the script that made a plan, where the script is not at hand: as an answer or an amount it changes nothing.

    name: of the function.
    """

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __call__(self, old: Any = None) -> Any:
        return {} if old is None else old

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Forgotten) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<Forgotten {self.name}>"


class Retries(NamedTuple):
    """The retry policy of a task.

    max_attempts: counts all attempts, >= 1. delay: seconds before the next one.
    retry_on: cause kinds (`exit`, `exit:3`, `signal`, `timeout`, ...); None = all but NEVER_RETRIED.
    scales: by resource name (`timeout` for the time limit); None = the exhausted dimension by 0.5; {} = no scaling.
    scale_on: `exhausted` scales what ran out, `any` every named key.
    """

    max_attempts: int = 1
    delay: float = 0
    retry_on: tuple[str, ...] | None = None
    scales: tuple[tuple[str, Scale], ...] | None = None
    scale_on: Literal["exhausted", "any"] = "exhausted"
    fallback_queues: tuple[str, ...] = ()


NO_RETRIES = Retries()
