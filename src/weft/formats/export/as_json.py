"""The graph as plain data: `{tasks: {name: {…}}, edges: [{from, to, as, each}]}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.formats.export.edges import declared_edges
from weft.spec.actions import kind_of
from weft.spec.plan import Plan
from weft.spec.tasks import Task


def render(plan: Plan, states: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Tasks in plan order with what a picture may want to show, and edges by the task that they lead to.

    as: the parameter that receives the product, null when the edge only orders. State only where one is given.
    """
    tasks = plan.graph.tasks
    edges = [
        {"from": tasks[source].name, "to": tasks[target].name, "as": dependency.bind, "each": dependency.each}
        for source, target, dependency in declared_edges(plan.graph)
    ]
    return {"tasks": {task.name: _task(task, states) for task in tasks}, "edges": edges}


def _task(task: Task, states: Mapping[str, str] | None) -> dict[str, Any]:
    policy = task.policy
    entry: dict[str, Any] = {
        "action": kind_of(task.action),
        "description": policy.description,
        "template": policy.template,
        "tags": list(policy.tags),
        "attributes": dict(policy.attributes),
        "resources": policy.resources.as_json(),
        "duration": policy.duration,
        "priority": policy.priority,
        "environment": policy.environment,
        "outputs": list(task.outputs),
        "mapped": policy.foreach is not None,
    }
    if states and task.name in states:
        entry["state"] = states[task.name]
    return entry
