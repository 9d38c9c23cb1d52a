"""Tasks and their dependencies as flat arrays. Immutable; a rewrite gives a new graph.

Layout: task i's dependencies are `dependencies[first_dependency[i] : first_dependency[i + 1]]`, its followers
`followers[first_follower[i] : first_follower[i + 1]]`; both hold task indexes, followers in plan order, each edge once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from weft.spec.tasks import Task


class GraphError(ValueError):
    """The tasks make no graph. duplicates: names. unknown: (task, dependency). cycles: names in order, each once."""

    def __init__(
        self,
        duplicates: tuple[str, ...] = (),
        unknown: tuple[tuple[str, str], ...] = (),
        cycles: tuple[tuple[str, ...], ...] = (),
    ):
        self.duplicates = duplicates
        self.unknown = unknown
        self.cycles = cycles
        parts = [f"duplicate names {', '.join(map(repr, duplicates))}"] if duplicates else []
        parts += [f"task {task!r} depends on {name!r}, which does not exist" for task, name in unknown]
        parts += ["cycle " + " -> ".join(map(repr, (*cycle, cycle[0]))) for cycle in cycles]
        super().__init__("; ".join(parts))


class Graph:
    """Tasks in plan order and the edges between them. Raises GraphError with every mistake."""

    __slots__ = ("dependencies", "first_dependency", "first_follower", "followers", "index", "tasks")

    tasks: tuple[Task, ...]
    index: Mapping[str, int]
    first_dependency: array[int]
    dependencies: array[int]
    first_follower: array[int]
    followers: array[int]

    def __init__(self, tasks: Iterable[Task]):
        self.tasks = tuple(tasks)
        raise NotImplementedError  # helper A

    def __len__(self) -> int:
        return len(self.tasks)
