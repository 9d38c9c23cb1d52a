"""weft: describe work once, run it everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.api import Plan, Run, load
    from weft.api.task_attributes import add_task_attributes
    from weft.api.workflow import Workflow
    from weft.api.workflow_result import WorkflowResult
    from weft.assemble import RunSettings
    from weft.define.arrays import Array
    from weft.define.decorators import (
        cores,
        depends_on,
        for_files_in_folder,
        for_files_matching,
        interruptible,
        max_attempts,
        memory,
        priority,
        require_files,
        require_folder,
        require_match,
        resource,
        task,
        time_limit,
    )
    from weft.define.dependencies import each, gather
    from weft.define.options import Option
    from weft.define.registry import Registry, default_registry
    from weft.define.task_generators import task_generator
    from weft.define.templates import TaskTemplate
    from weft.define.tools import Tool
    from weft.define.types import list_of, stream_of
    from weft.define.workflow_tasks import WorkflowTask
    from weft.errors import DefinitionError, PlanError, WeftError, WeftWarning
    from weft.executors.worker.streams import StreamError
    from weft.spec.graph import Graph
    from weft.spec.tasks import Task

__version__ = "0.1.0"

__all__ = [
    "Array",
    "DefinitionError",
    "Graph",
    "Option",
    "Plan",
    "PlanError",
    "Registry",
    "Run",
    "RunSettings",
    "StreamError",
    "Task",
    "TaskTemplate",
    "Tool",
    "WeftError",
    "WeftWarning",
    "Workflow",
    "WorkflowResult",
    "WorkflowTask",
    "add_task_attributes",
    "cores",
    "default_registry",
    "depends_on",
    "each",
    "for_files_in_folder",
    "for_files_matching",
    "gather",
    "interruptible",
    "list_of",
    "load",
    "max_attempts",
    "memory",
    "priority",
    "require_files",
    "require_folder",
    "require_match",
    "resource",
    "stream_of",
    "task",
    "task_generator",
    "time_limit",
]

_HOMES = {
    "Array": "weft.define.arrays",
    "DefinitionError": "weft.errors",
    "Graph": "weft.spec.graph",
    "Option": "weft.define.options",
    "Plan": "weft.api",
    "PlanError": "weft.errors",
    "Registry": "weft.define.registry",
    "Run": "weft.api",
    "RunSettings": "weft.assemble",
    "StreamError": "weft.executors.worker.streams",
    "Task": "weft.spec.tasks",
    "TaskTemplate": "weft.define.templates",
    "Tool": "weft.define.tools",
    "WeftError": "weft.errors",
    "WeftWarning": "weft.errors",
    "Workflow": "weft.api.workflow",
    "WorkflowResult": "weft.api.workflow_result",
    "WorkflowTask": "weft.define.workflow_tasks",
    "add_task_attributes": "weft.api.task_attributes",
    "cores": "weft.define.decorators",
    "default_registry": "weft.define.registry",
    "depends_on": "weft.define.decorators",
    "each": "weft.define.dependencies",
    "for_files_in_folder": "weft.define.decorators",
    "for_files_matching": "weft.define.decorators",
    "gather": "weft.define.dependencies",
    "interruptible": "weft.define.decorators",
    "list_of": "weft.define.types",
    "load": "weft.api",
    "max_attempts": "weft.define.decorators",
    "memory": "weft.define.decorators",
    "priority": "weft.define.decorators",
    "require_files": "weft.define.decorators",
    "require_folder": "weft.define.decorators",
    "require_match": "weft.define.decorators",
    "resource": "weft.define.decorators",
    "stream_of": "weft.define.types",
    "task": "weft.define.decorators",
    "task_generator": "weft.define.task_generators",
    "time_limit": "weft.define.decorators",
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
