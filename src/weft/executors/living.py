"""Whether attempts of a run whose engine is gone still live."""

from __future__ import annotations

from weft.executors.sweep import bearers


def living_attempts(run_token: str) -> int:
    """How many processes of this host still carry the run's token."""
    return sum(1 for _ in bearers(run_token))
