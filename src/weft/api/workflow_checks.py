"""What can be wrong with a workflow before it runs: demands against queues and against what there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from weft.errors import Problem, WeftError
from weft.units import show_amount, show_seconds

if TYPE_CHECKING:
    from weft.assemble import RunSettings
    from weft.spec.plan import Plan
    from weft.spec.tasks import Policy


def problems_of(plan: Plan, settings: RunSettings, *, strict: bool) -> list[Problem]:
    """strict: a first request above the limits of its queue is a mistake; else it is cut, which `cuts` tells."""
    from weft.assemble.questions import unsatisfiable
    from weft.assemble.run_settings import check_supported

    try:
        check_supported(plan, settings)
    except WeftError as error:
        return list(error.problems())
    found = [Problem("queue", text) for text in cuts(plan, settings)] if strict else []
    tasks = plan.graph.tasks
    everything = range(len(tasks))
    found += [
        Problem("unsatisfiable", f"task {tasks[task].name!r} {why}")
        for task, _, why in unsatisfiable(plan, everything, settings)
    ]
    return found


def cuts(plan: Plan, settings: RunSettings) -> Iterator[str]:
    """First requests above the limits of their queue, one text for tasks that are treated alike."""
    seen: set[int] = set()
    for task in plan.graph.tasks if settings.queues else ():
        policy = task.policy
        if id(policy) not in seen:
            seen.add(id(policy))
            parts = list(_above(policy, settings))
            if parts:
                yield f"task {task.name!r} asks for more than queue {policy.queue!r} allows: {', '.join(parts)}"


def _above(policy: Policy, settings: RunSettings) -> Iterator[str]:
    limits = settings.queues.get(policy.queue, {}) if policy.queue is not None else {}
    for name, units in policy.resources:
        if name in limits and units > limits[name]:
            yield f"{name} {show_amount(name, units)} of {show_amount(name, int(limits[name]))}"
    most = limits.get("timeout")
    if most is not None and policy.timeout is not None and policy.timeout > most:
        yield f"runtime {show_seconds(policy.timeout)} of {show_seconds(most)}"
