"""Who takes items while they are made: which edges of the graph do not wait for the end of the task that they come from.

Such an edge is one of two kinds. Its follower *iterates*: it is called once with an iterator, and may start when the maker has
begun. Or it *grows*: it is mapped over the maker's items, one instance each, and its instances come into being as items do;
the maker makes a stream, or is itself mapped, and then its instances are followed one by one. All other edges wait for the end.

What decides is in the plan alone, so that the scheduler and whoever hands on the items cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from weft.scheduling.lifecycle import ABSENT
from weft.spec.actions import Call, Snippet
from weft.spec.graph import Graph
from weft.spec.tasks import Dependency, Task

WAITS: Final = 0
ITERATES: Final = 1
GROWS: Final = 2


class Maker:
    """A task whose items are taken before it has ended. iterators, growers: those that do so, in plan order.

    has_begun: it has a live attempt that has begun. is_flowing: besides, all streams that it iterates itself come or have come
    to their end, so its iterators have what they need to begin. has_opened: its growers have. items: the first `count` texts,
    kept while one of its growers (`late` of them) has not taken any.
    """

    __slots__ = ("count", "growers", "has_begun", "has_opened", "is_flowing", "items", "iterators", "late")

    def __init__(self) -> None:
        self.iterators: list[int] = []
        self.growers: list[int] = []
        self.has_begun = False
        self.is_flowing = False
        self.has_opened = False
        self.count = 0
        self.items: list[str] = []
        self.late = 0

    def keep(self, texts: Sequence[str]) -> None:
        """There are more items."""
        self.count += len(texts)
        if self.late:
            self.items += texts

    def has_joined(self) -> None:
        """One of the growers has taken the items that there are."""
        self.late -= 1
        if not self.late:
            self.items = []


def is_stream(task: Task) -> bool:
    """Whether the task hands on items while it makes them. A mapped one does not: its product is the list of its instances'."""
    product = task.policy.product
    return product is not None and product.stream and product.source == "return" and task.policy.foreach is None


def is_byte_stream(task: Task) -> bool:
    """Whether what the task writes to its stdout may be read while it writes."""
    product = task.policy.product
    if product is None or not product.stream or product.source != "stdout" or task.policy.foreach is not None:
        return False
    return not isinstance(task.action, Call | Snippet)


def ties(follower: Task, makers: Mapping[str, Task]) -> dict[str, int]:
    """By name of the makers that it takes something from: WAITS, ITERATES or GROWS; WAITS when anything of it needs the end."""
    found: dict[str, int] = {}
    for edge in follower.dependencies:
        maker = makers.get(edge.name)
        if maker is not None:
            kind = _kind(edge, follower, maker)
            found[edge.name] = kind if found.get(edge.name, kind) == kind else WAITS
    return found


def _kind(edge: Dependency, follower: Task, maker: Task) -> int:
    foreach = follower.policy.foreach
    if edge.gather:
        return WAITS
    if edge is follower.stdin:
        return ITERATES if foreach is None and is_byte_stream(maker) else WAITS
    if foreach is not None:
        is_source = foreach.stream == maker.name and (edge.each or edge.bind is None)
        return GROWS if is_source and (is_stream(maker) or maker.policy.foreach is not None) else WAITS
    iterates = edge.bind is not None and not edge.each and isinstance(follower.action, Call) and is_stream(maker)
    return ITERATES if iterates else WAITS


class Ties:
    """Who takes items from whom before the end. iterated: by iterator, its makers. grown: by grower, its maker."""

    __slots__ = ("grown", "iterated", "makers")

    def __init__(self) -> None:
        self.makers: dict[int, Maker] = {}
        self.iterated: dict[int, list[int]] = {}
        self.grown: dict[int, int] = {}


def find_ties(graph: Graph, phases: bytearray, candidates: Iterable[int]) -> Ties:
    """Of the candidates that take part, those that others that take part take items from."""
    found = Ties()
    first, tasks, index = graph.first_follower, graph.tasks, graph.index
    chosen = {tasks[task].name: tasks[task] for task in sorted(set(candidates)) if phases[task] != ABSENT}
    followers: set[int] = set()
    for name in chosen:
        maker = index[name]
        followers.update(graph.followers[first[maker] : first[maker + 1]])
    for follower in sorted(followers):
        if phases[follower] == ABSENT:
            continue
        for name, kind in ties(tasks[follower], chosen).items():
            if kind == ITERATES:
                found.iterated.setdefault(follower, []).append(index[name])
                found.makers.setdefault(index[name], Maker()).iterators.append(follower)
            elif kind == GROWS:
                found.grown[follower] = index[name]
                maker_of_items = found.makers.setdefault(index[name], Maker())
                maker_of_items.growers.append(follower)
                maker_of_items.late += 1
    return found


NO_TIES: Final = Ties()
