"""Which try of which task: the name of an attempt inside one run."""

from __future__ import annotations

from typing import NamedTuple

WHOLE = -1
"""Instance number of a task that is not mapped."""


class AttemptKey(NamedTuple):
    """task: index in the plan's graph. instance: index among the recorded items, WHOLE if not mapped. attempt: from 1."""

    task: int
    instance: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.task}.{self.instance}.{self.attempt}"
