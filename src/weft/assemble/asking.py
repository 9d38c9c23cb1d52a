"""Tasks whose function tells what they need: what it gives, as a request (workflows.md 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from weft.errors import ArgumentError, cut
from weft.ports import Inspector
from weft.runtime.asking import Asked, AskingInspector, Unusable
from weft.scheduling.events import Event, RequestRecovered
from weft.scheduling.outcomes import Request
from weft.spec.compute import COPIES, LIMIT_PREFIX, compute_of, demand_of, merge, read_compute
from weft.spec.plan import Plan
from weft.spec.resources import Resources
from weft.spec.tasks import Policy


def with_asking(
    inner: Inspector,
    plan: Plan,
    selected: Sequence[int],
    recovered: Sequence[Event],
    learnt: Sequence[Event] = (),
    copies: dict[int, Mapping[str, str]] | None = None,
) -> Inspector:
    """The inspector, and before it what asks tasks. recovered: a request that an earlier engine was told is used again.

    learnt: first requests that history gives, over which the answers are laid. copies: takes the places for copies of the
    streams by task, for who copies them.
    """
    tasks = plan.graph.tasks
    wishes = {event.task: event.request for event in learnt if isinstance(event, RequestRecovered)}
    places = {} if copies is None else copies
    asked = {
        task: Asked(ask, partial(request_of, tasks[task].policy, wishes.get(task), partial(places.__setitem__, task)))
        for task in selected
        if (ask := tasks[task].policy.ask) is not None
    }
    if not asked:
        return inner
    known = {event.task for event in recovered if isinstance(event, RequestRecovered) and event.request is not None}
    return AskingInspector(inner, asked, known)


def request_of(
    policy: Policy, learnt: Request | None, copied: Callable[[Mapping[str, str]], object], given: Any
) -> Request:
    """What the function gave, over what the task asks for anyway. copied: takes places for copies. Raises Unusable."""
    if not isinstance(given, Mapping):
        raise Unusable(f"a dict of compute resources is expected, not {cut(repr(given))}")
    try:
        asked = read_compute(given)
    except ArgumentError as error:
        raise Unusable(str(error)) from None
    base = compute_of(policy.resources, policy.timeout, policy.queue)
    if learnt is not None:
        base = merge(base, compute_of(Resources(learnt.amounts), learnt.timeout, learnt.queue))
    demand = demand_of(merge(base, asked))
    if demand.auto:
        raise Unusable("memory 'auto' is said where the task is made, not by its function")
    if demand.copies:
        copied(demand.copies)
    limits = [(name, units) for name, units in policy.resources if name.startswith(LIMIT_PREFIX)]
    besides = tuple(sorted({**demand.copies, **demand.directives}.items()))
    return Request(tuple(sorted([*demand.resources, *limits])), demand.timeout, demand.queue, besides)


def copies_of(request: Request) -> dict[str, str]:
    """Places for copies of the streams that the function gave."""
    return {name: place for name, place in request.besides if name in COPIES}
