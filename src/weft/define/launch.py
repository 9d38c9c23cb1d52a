"""The one way from definitions up to what runs: a plan of `weft.api` around an invocation's (design.md 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.define.invocation import Invocation

if TYPE_CHECKING:
    from weft.api import Plan as Plan
    from weft.define.registry import Registry


def runnable(registry: Registry, targets: Any, options: Any, root: str | None = None) -> Plan:
    """The plan of an invocation, with `run()`. Raises PlanError."""
    from weft.api import Plan

    return Plan(Invocation(registry, root).plan(targets, options))


def forbid_runs(refuse: Callable[..., Any]) -> None:
    """From now on plans of this process call `refuse` when they are to run: a script that is being loaded may not run itself."""
    from weft.api import Plan

    for method in ("run", "start", "arun"):
        setattr(Plan, method, refuse)
