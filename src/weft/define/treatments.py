"""How tasks are treated, as one call or one task says it: resources, growth, attempts, place, attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from weft.define.attributes import read_attributes
from weft.define.counts import read_attempts
from weft.define.defaults import ScaleOn, read_cluster_name, read_scale_on
from weft.define.growth import Shared, take_scales
from weft.define.mistakes import show
from weft.errors import ArgumentError
from weft.spec.compute import read_compute

Items = tuple[tuple[str, Any], ...]


class Treatment(NamedTuple):
    """None, or empty: nothing is said. Pairs instead of dicts, so that equal treatments can be found.

    compute: as `read_compute` gives it. ask: called before the first start. scales: as `take_scales` gives them.
    """

    max_attempts: int | None = None
    compute: Items = ()
    ask: Callable[[], Any] | None = None
    scales: Items | None = None
    cluster_name: str = ""
    fallback_queues: tuple[str, ...] | None = None
    attributes: tuple[tuple[str, str | None], ...] = ()
    scale_on: ScaleOn | None = None


PLAIN = Treatment()


def read_treatment(
    max_attempts: Any,
    compute_resources: Any,
    compute_resources_callable: Any,
    resource_scales: Any,
    cluster_name: Any,
    fallback_queues: Any,
    task_attributes: Any,
    scale_on: Any,
    usual_attempts: int,
    shared: Shared,
) -> Treatment:
    """usual_attempts: of a task that says nothing. Raises ArgumentError."""
    attempts = read_attempts(max_attempts)
    ask = read_callable(compute_resources_callable)
    if callable(compute_resources) and not isinstance(compute_resources, Mapping):
        if ask is not None:
            raise ArgumentError("compute_resources and compute_resources_callable are both functions; give one of them")
        ask, compute_resources = compute_resources, None
    scales = take_scales(resource_scales, attempts or usual_attempts, shared)
    made = Treatment(
        attempts,
        items_of(read_compute(compute_resources)),
        ask,
        None if scales is None else items_of(scales),
        read_cluster_name(cluster_name),
        read_queues(fallback_queues),
        tuple(read_attributes(task_attributes, "task_attributes").items()),
        read_scale_on(scale_on),
    )
    return shared.same(made)


def items_of(mapping: Mapping[str, Any]) -> Items:
    """Its pairs, sorted by key."""
    return tuple(sorted(mapping.items(), key=lambda item: item[0]))


def read_callable(given: Any) -> Callable[[], Any] | None:
    """Raises ArgumentError."""
    if given is None or callable(given):
        found: Callable[[], Any] | None = given
        return found
    raise ArgumentError(f"compute_resources_callable is a function without arguments, not {show(given)}")


def read_queues(given: Any) -> tuple[str, ...] | None:
    """Names of queues in the order in which they are tried; None: unset. Raises ArgumentError."""
    if given is None:
        return None
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable) or isinstance(given, Mapping | set | frozenset | bytes):
        raise ArgumentError(f"fallback_queues are names in order, not {show(given)}")
    queues = tuple(given)
    for queue in queues:
        if not isinstance(queue, str) or not queue:
            raise ArgumentError(f"fallback_queues holds {show(queue)}, which is no name of a queue")
    return queues
