"""What a run will need for certain, begun before its plan is read; light to import."""

from __future__ import annotations

import os

from weft.executors.link import Newborn, give_birth


def early_supervisor() -> Newborn | None:
    """A supervisor that wakes up on another core while this process reads the plan; None where there is no other core.

    It does nothing until it is told to, and ends when this process does, or dismisses it. Its label is the id of the run to be.
    """
    if len(os.sched_getaffinity(0)) < 2:
        return None
    return give_birth(os.urandom(16).hex())
