"""First requests that ask for more than their queue allows (workflows.md 4.6): they are cut, and that is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from weft.spec.tasks import Policy, Task
from weft.units import show_amount, show_seconds

Queues = Mapping[str, Mapping[str, float]]
"""Limits by queue: amounts in integer units, and `timeout` in seconds."""


def cuts(tasks: Iterable[Task], queues: Queues) -> Iterator[str]:
    """One text for tasks that are treated alike."""
    for _, text in placed_cuts(tasks, queues):
        yield text


def placed_cuts(tasks: Iterable[Task], queues: Queues) -> Iterator[tuple[int, str]]:
    """The same, with the place of the first of them among `tasks`."""
    seen: set[int] = set()
    for place, task in enumerate(tasks) if queues else ():
        policy = task.policy
        if id(policy) not in seen:
            seen.add(id(policy))
            parts = list(_above(policy, queues))
            if parts:
                yield place, f"task {task.name!r} asks for more than queue {policy.queue!r} allows: {', '.join(parts)}"


def _above(policy: Policy, queues: Queues) -> Iterator[str]:
    limits = queues.get(policy.queue, {}) if policy.queue is not None else {}
    for name, units in policy.resources:
        if name in limits and units > limits[name]:
            yield f"{name} {show_amount(name, units)} of {show_amount(name, int(limits[name]))}"
    most = limits.get("timeout")
    if most is not None and policy.timeout is not None and policy.timeout > most:
        yield f"runtime {show_seconds(policy.timeout)} of {show_seconds(most)}"
