"""A module that builds a workflow, as a plan: what the process that loads modules answers of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from weft.errors import PlanError, Problem, cut
from weft.spec.plan import Plan

if TYPE_CHECKING:
    from weft.define.workflows import WorkflowDraft


def workflow_in(module: ModuleType, attribute: str | None, shown: str, tasks: Sequence[str]) -> WorkflowDraft | None:
    """The workflow that a module holds at its top, or under a name; None when it holds none.

    shown: how the module was named. tasks: of its registries. Raises PlanError when nobody can say which plan is meant.
    """
    if "weft.define.workflows" not in sys.modules:
        return None
    from weft.define.workflows import WorkflowDraft

    if attribute is not None:
        named: Any = getattr(module, attribute, None)
        return named if isinstance(named, WorkflowDraft) else None
    found: dict[int, str] = {}
    by_name: dict[str, WorkflowDraft] = {}
    for name, value in vars(module).items():
        if isinstance(value, WorkflowDraft) and id(value) not in found:
            found[id(value)] = name
            by_name[name] = value
    if len(by_name) == 1 and not tasks:
        return next(iter(by_name.values()))
    if not by_name:
        return None
    names = ", ".join(by_name)
    what = f"defines tasks ({cut(tasks[0])!r}) and a workflow ({names})" if tasks else f"has workflows {names}"
    hint = f"say which one, as in {shown}:{next(iter(by_name))}"
    raise PlanError([Problem("detect.ambiguous", f"{shown!r} {what}", shown, hint=hint)])


def plan_of_workflow(workflow: WorkflowDraft, shown: str) -> Plan:
    """Raises PlanError for what only the script itself can run: functions that tell what tasks need, or how that grows."""
    plan = workflow.plan_spec()
    problems = []
    for policy, name in {id(task.policy): (task.policy, task.name) for task in plan.graph.tasks}.values():
        scales = policy.retries.scales or ()
        which = [key for key, by in scales if callable(by)]
        if policy.ask is not None or which:
            what = f"a function that scales {which[0]}" if which else "a function that says what it needs"
            text = f"task {cut(name)!r} has {what}, which no document can hold"
            problems.append(Problem("workflow", text, shown, hint="run the script itself: python, and workflow.run()"))
    if problems:
        raise PlanError(problems)
    return plan
