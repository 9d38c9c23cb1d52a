"""Tasks whose function tells what they need: what it gives, as a request (workflows.md 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from weft.errors import ArgumentError, cut
from weft.ports import Inspector
from weft.runtime.asking import Asked, AskingInspector, Unusable
from weft.scheduling.events import Event, RequestRecovered
from weft.scheduling.outcomes import Request
from weft.spec.compute import LIMIT_PREFIX, compute_of, demand_of, merge, read_compute
from weft.spec.plan import Plan
from weft.spec.tasks import Policy


def with_asking(inner: Inspector, plan: Plan, selected: Sequence[int], recovered: Sequence[Event]) -> Inspector:
    """The inspector, and before it what asks tasks. recovered: a request of an earlier engine is used again."""
    tasks = plan.graph.tasks
    asked = {task: asked_of(policy) for task in selected if (policy := tasks[task].policy).ask is not None}
    if not asked:
        return inner
    known = {event.task for event in recovered if isinstance(event, RequestRecovered) and event.request is not None}
    return AskingInspector(inner, asked, known)


def asked_of(policy: Policy) -> Asked:
    """How a task of this policy is asked."""
    assert policy.ask is not None
    return Asked(policy.ask, partial(request_of, policy))


def request_of(policy: Policy, given: Any) -> Request:
    """What the function gave, over what the task asks for anyway. Raises Unusable."""
    if not isinstance(given, Mapping):
        raise Unusable(f"a dict of compute resources is expected, not {cut(repr(given))}")
    try:
        asked = read_compute(given)
    except ArgumentError as error:
        raise Unusable(str(error)) from None
    demand = demand_of(merge(compute_of(policy.resources, policy.timeout, policy.queue), asked))
    limits = [(name, units) for name, units in policy.resources if name.startswith(LIMIT_PREFIX)]
    return Request(tuple(sorted([*demand.resources, *limits])), demand.timeout, demand.queue)
