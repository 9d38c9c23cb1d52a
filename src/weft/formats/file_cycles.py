"""Cycles that close through files: a task requires what only one of its followers makes, so neither can ever start.

A task that requires what it makes itself is none: it changes a file in place.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from os.path import normpath
from typing import NamedTuple

from weft.spec.cycles import find_cycles, prefix_sums
from weft.spec.graph import Graph
from weft.spec.tasks import Task


class FileCycle(NamedTuple):
    """tasks: each waits for the next, the last for the first. files: what of the next it requires, None: it depends on it."""

    tasks: tuple[int, ...]
    files: tuple[str | None, ...]


def file_cycles(graph: Graph) -> list[FileCycle]:
    """Of each knot of tasks a shortest cycle. Paths count as written, made plain; those with slots are not known yet."""
    needs = _needs(graph.tasks)
    if not needs:
        return []
    position = array("q", bytes(8 * len(graph)))
    for place, task in enumerate(graph.topological()):
        position[task] = place
    if all(position[maker] < position[task] for task, made in needs.items() for maker in made):
        return []
    links = [
        [*(graph.index[edge.name] for edge in task.dependencies), *needs.get(index, ())]
        for index, task in enumerate(graph.tasks)
    ]
    flat = array("i", [link for row in links for link in row])
    return [_described(cycle, graph, needs) for cycle in find_cycles(prefix_sums([len(row) for row in links]), flat)]


def _needs(tasks: Sequence[Task]) -> dict[int, dict[int, str]]:
    """By task, the makers of files that it requires, each with the file's path. A file of several makers has none for sure."""
    makers: dict[str, int | None] = {}
    for index, task in enumerate(tasks):
        for path in task.outputs:
            if "{" not in path:
                plain = normpath(path)
                makers[plain] = index if makers.get(plain, index) == index else None
    if not makers:
        return {}
    found: dict[int, dict[int, str]] = {}
    for index, task in enumerate(tasks):
        for need in task.requires.files:
            maker = makers.get(normpath(need.path))
            if maker is not None and maker != index:
                found.setdefault(index, {}).setdefault(maker, need.path)
    return found


def _described(cycle: tuple[int, ...], graph: Graph, needs: Mapping[int, Mapping[int, str]]) -> FileCycle:
    files: list[str | None] = []
    for task, following in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        depends = any(graph.index[edge.name] == following for edge in graph.tasks[task].dependencies)
        files.append(None if depends else needs[task][following])
    return FileCycle(cycle, tuple(files))
