"""The one way from definitions up to what runs: `weft.api`'s plan of an invocation, and its workflow of a tool (design.md 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.api import Plan as Plan
    from weft.api.workflow import Workflow as Workflow
    from weft.define.registry import Registry
    from weft.define.templates import TaskTemplate
    from weft.define.tools import Tool

_refuse: Callable[..., Any] | None = None


def runnable(registry: Registry, targets: Any, options: Any, root: str | None = None) -> Plan:
    """The plan of an invocation, with `run()`. Raises PlanError."""
    from weft.api import Plan
    from weft.define.invocation import Invocation

    return Plan(Invocation(registry, root).plan(targets, options))


def new_workflow(tool: Tool, *given: Any) -> Workflow:
    """A workflow with `run()`. given: as `Tool.create_workflow` takes it, in that order."""
    from weft.api.workflow import Workflow

    if _refuse is not None:
        for method in ("bind", "run", "arun"):
            setattr(Workflow, method, _refuse)
    return (tool.workflow_class or Workflow)(tool, *given)


def kept_versions(tool: Tool) -> list[int]:
    """Versions of a tool that recorded workflows have; none where nothing is recorded. Raises StoreError."""
    from weft.api.tool_versions import kept_versions

    return kept_versions(tool)


def usage_of_template(template: TaskTemplate, workflows: Any, node_args: Any, ci: Any) -> dict[str, Any]:
    """What the tasks of a template used, in all recorded workflows or in those."""
    from weft.api.template_usage import usage_of_template

    return usage_of_template(template, workflows, node_args, ci)


def forbid_workflows(refuse: Callable[..., Any]) -> None:
    """From now on workflows of this process call `refuse` when they are to run."""
    global _refuse  # so that the workflows need not be imported for it
    _refuse = refuse


def forbid_runs(refuse: Callable[..., Any]) -> None:
    """From now on plans and workflows call `refuse` when they are to run: a script that is being loaded may not run itself."""
    from weft.api import Plan

    forbid_workflows(refuse)
    for method in ("run", "start", "arun"):
        setattr(Plan, method, refuse)
