"""How a plan is to be run: what the command line, the settings files and the API agree on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from weft.errors import PlanError, Problem, UsageError, hint_nearest
from weft.settings import STATE_FOLDER
from weft.spec.plan import Plan

EXECUTORS: Final = ("local", "noop")
LATER_EXECUTORS: Final = ("slurm", "dask", "simulated")
STDIN: Final = "stdin"  # a dependency bound to it streams into the standard input (design.md 16)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a plan is to be run. resources: capacities that are added or capped, in integer units.

    timeout: seconds for the whole run. wait: seconds that an unmet requirement is waited for. queues: limits by queue name,
    amounts in integer units and `timeout` in seconds. recorded: what the run's row keeps, so that `weft resume` reads the same
    documents with the same options.
    """

    jobs: int | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    executor: str | None = None
    state: str | None = None
    fail_fast: bool = False
    force: bool = False
    use_cache: bool = True
    timeout: float | None = None
    wait: float | None = None
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    start_from: tuple[str, ...] = ()
    durability: Literal["power", "process"] = "power"
    queues: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)


def state_folder(root: str, settings: RunSettings) -> str:
    """Where the state of a plan lies: `--state`, else `.weft` beside the plan."""
    return os.path.abspath(settings.state) if settings.state else os.path.join(root, STATE_FOLDER)


def check_supported(plan: Plan, settings: RunSettings) -> list[str]:
    """Whether this version can do what the plan and the settings ask for; what it will leave undone, as remarks.

    Raises UsageError, PlanError for what would run wrongly.
    """
    if settings.executor is not None:
        text = _executor_problem(settings.executor)
        if text is not None:
            raise UsageError(text, _executor_hint(settings.executor), code="executor")
    problems: list[Problem] = []
    noting = 0
    for task in plan.graph.tasks:
        policy = task.policy
        noting += bool(policy.notes)
        if policy.executor is not None and (text := _executor_problem(policy.executor)) is not None:
            problems.append(Problem("executor", f"task {task.name!r}: {text}", hint=_executor_hint(policy.executor)))
        streams = policy.product is not None and policy.product.stream
        if streams or any(edge.each or edge.bind == STDIN for edge in task.dependencies):
            text = f"task {task.name!r} makes or takes a stream; streams are not in this version"
            problems.append(Problem("stream", text, hint="hand the whole product on by `as`, or a file by `outputs`"))
    if problems:
        raise PlanError(problems)
    if not noting:
        return []
    return [f"notes are not sent by this version: {noting} task{'s name' if noting > 1 else ' names'} some"]


def _executor_problem(name: str) -> str | None:
    if name in EXECUTORS:
        return None
    return f"executor {name!r} is not in this version" if name in LATER_EXECUTORS else f"there is no executor {name!r}"


def _executor_hint(name: str) -> str:
    return hint_nearest(name, EXECUTORS) or f"known executors: {', '.join(EXECUTORS)}"
