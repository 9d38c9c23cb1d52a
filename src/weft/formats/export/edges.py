"""The edges of a graph with what was declared about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weft.spec.graph import Graph
from weft.spec.tasks import Dependency

ORDER_ONLY: Final = Dependency("")
"""Stands for an edge that no dependency declares (it comes from a requirement)."""


def declared_edges(graph: Graph) -> Iterator[tuple[int, int, Dependency]]:
    """(dependency, follower, declaration) of each edge, by follower in plan order, then as declared."""
    tasks = graph.tasks
    known, current = {}, -1
    for source, target in graph.edges():
        if target != current:
            current = target
            known = {dependency.name: dependency for dependency in tasks[target].dependencies}
        yield source, target, known.get(tasks[source].name, ORDER_ONLY)
