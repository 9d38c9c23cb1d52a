"""weft: describe work once, run it everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.api import Plan, Run, load
    from weft.assemble import RunSettings
    from weft.define.dependencies import each, gather
    from weft.define.options import Option
    from weft.define.registry import Registry, default_registry, task
    from weft.define.types import list_of, stream_of
    from weft.errors import DefinitionError, PlanError, WeftError, WeftWarning
    from weft.spec.graph import Graph
    from weft.spec.tasks import Task

__version__ = "0.1.0"

__all__ = [
    "DefinitionError",
    "Graph",
    "Option",
    "Plan",
    "PlanError",
    "Registry",
    "Run",
    "RunSettings",
    "Task",
    "WeftError",
    "WeftWarning",
    "default_registry",
    "each",
    "gather",
    "list_of",
    "load",
    "stream_of",
    "task",
]

_HOMES = {
    "DefinitionError": "weft.errors",
    "Graph": "weft.spec.graph",
    "Option": "weft.define.options",
    "Plan": "weft.api",
    "PlanError": "weft.errors",
    "Registry": "weft.define.registry",
    "Run": "weft.api",
    "RunSettings": "weft.assemble",
    "Task": "weft.spec.tasks",
    "WeftError": "weft.errors",
    "WeftWarning": "weft.errors",
    "default_registry": "weft.define.registry",
    "each": "weft.define.dependencies",
    "gather": "weft.define.dependencies",
    "list_of": "weft.define.types",
    "load": "weft.api",
    "stream_of": "weft.define.types",
    "task": "weft.define.registry",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that importing weft costs and does nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'weft' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(home), name)  # the next look-up finds it at once
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
