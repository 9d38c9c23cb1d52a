"""weft: describe work once, run it everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.api import Plan, Run, load
    from weft.assemble import RunSettings
    from weft.errors import DefinitionError, PlanError, WeftError, WeftWarning
    from weft.spec.graph import Graph
    from weft.spec.tasks import Task

__version__ = "0.1.0"

__all__ = [
    "DefinitionError",
    "Graph",
    "Plan",
    "PlanError",
    "Run",
    "RunSettings",
    "Task",
    "WeftError",
    "WeftWarning",
    "load",
]

_HOMES = {
    "DefinitionError": "weft.errors",
    "Graph": "weft.spec.graph",
    "Plan": "weft.api",
    "PlanError": "weft.errors",
    "Run": "weft.api",
    "RunSettings": "weft.assemble",
    "Task": "weft.spec.tasks",
    "WeftError": "weft.errors",
    "WeftWarning": "weft.errors",
    "load": "weft.api",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that importing weft costs and does nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'weft' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
