"""Tasks and their dependencies as flat arrays. Immutable; a rewrite gives a new graph.

Layout: task i's dependencies are `dependencies[first_dependency[i] : first_dependency[i + 1]]`, its followers
`followers[first_follower[i] : first_follower[i + 1]]`; both hold task indexes, followers in plan order, each edge once.
Edges come from `Task.dependencies` alone: what else names a task (a stream to map over, a product that must be there) is
written there, too, by whoever makes the task.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import chain, compress, repeat
from operator import attrgetter, lt
from typing import Final

from weft.errors import Problem, UsageError, WeftError, cut, hint_nearest
from weft.spec.cycles import find_cycles, prefix_sums
from weft.spec.rewrites import (
    GraphDiff,
    add_tasks,
    compare,
    keep_tasks,
    remove_tasks,
    rename_task,
    replace_task,
    substitute_tasks,
)
from weft.spec.select import select
from weft.spec.tasks import Policy, Task
from weft.spec.types import BUILTIN, Type

SHOWN_CYCLE: Final = 100
"""Tasks of a cycle that its message names."""

Selection = str | Iterable[str]
"""A selector expression, or names."""


class GraphError(WeftError, ValueError):
    """The tasks make no graph. duplicates: names. unknown: (task, dependency). cycles: names in order, each once.

    Each member of a cycle depends on the next one, the last on the first.
    """

    exit_code = 2

    def __init__(
        self,
        duplicates: tuple[str, ...] = (),
        unknown: tuple[tuple[str, str], ...] = (),
        cycles: tuple[tuple[str, ...], ...] = (),
    ):
        self.duplicates = duplicates
        self.unknown = unknown
        self.cycles = cycles
        super().__init__("; ".join(problem.message for problem in self.problems()))

    def problems(self) -> tuple[Problem, ...]:
        """One per mistake."""
        return (
            *(Problem("name.duplicate", f"two tasks are named {name!r}") for name in self.duplicates),
            *(
                Problem("ref.task", f"task {task!r} depends on {name!r}, which does not exist")
                for task, name in self.unknown
            ),
            *(Problem("graph.cycle", f"cycle {_shown_cycle(cycle)}") for cycle in self.cycles),
        )


def _shown_cycle(cycle: tuple[str, ...]) -> str:
    """Its tasks in order, the first one again at the end; of a long one those in the middle are left out."""
    names = [*map(repr, (*cycle, cycle[0]))]
    if len(cycle) > SHOWN_CYCLE:
        half = SHOWN_CYCLE // 2
        names[half:-half] = [f"{len(names) - 2 * half} more"]
    return " -> ".join(names)


class UnknownTask(UsageError, KeyError):
    """There is no task of that name. hint: the nearest name, if any is near."""

    def __init__(self, name: str, known: Iterable[str] = ()):
        UsageError.__init__(self, f"there is no task {cut(name)!r}", hint_nearest(name, known), code="ref.task")
        self.name = name

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the text's repr


class Graph:
    """Tasks in plan order and the edges between them. Raises GraphError with every mistake.

    first_dependency, first_follower: int32[tasks + 1]. dependencies, followers: int32[edges]. index: name -> task.
    """

    __slots__ = ("_order", "dependencies", "first_dependency", "first_follower", "followers", "index", "tasks")

    tasks: tuple[Task, ...]
    index: Mapping[str, int]
    first_dependency: array[int]
    dependencies: array[int]
    first_follower: array[int]
    followers: array[int]
    _order: array[int] | None  # None: plan order is topological, the usual case, which then costs nothing

    def __init__(self, tasks: Iterable[Task]):
        self.tasks = tuple(tasks)
        self.index, duplicates = _index_names(self.tasks)
        self.first_dependency, self.dependencies, unknown = _link(self.tasks, self.index)
        is_ordered = all(map(lt, self.dependencies, _sources(self.first_dependency)))
        self.first_follower, self.followers, has_double_edges = _turn(self.first_dependency, self.dependencies)
        if has_double_edges:
            self.first_dependency, self.dependencies = _merge(self.first_dependency, self.dependencies)
            self.first_follower, self.followers, _ = _turn(self.first_dependency, self.dependencies)
        self._order = None if is_ordered else self._sort()
        cycles: tuple[tuple[str, ...], ...] = ()
        if self._order is not None and len(self._order) < len(self.tasks):
            found = find_cycles(self.first_dependency, self.dependencies)
            cycles = tuple(self.names(cycle) for cycle in found)
        if duplicates or unknown or cycles:
            raise GraphError(duplicates, unknown, cycles)

    def _sort(self) -> array[int]:
        """Kahn's order; shorter than the tasks when there is a cycle."""
        first, followers, starts = self.first_follower, self.followers, self.first_dependency
        waiting = array("i", (starts[i + 1] - starts[i] for i in range(len(self.tasks))))
        order = array("i", (i for i, count in enumerate(waiting) if not count))
        for task in order:  # grows while it is read
            for follower in followers[first[task] : first[task + 1]]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    order.append(follower)
        return order

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __contains__(self, name: object) -> bool:
        return name in self.index

    def __getitem__(self, name: str) -> Task:
        return self.tasks[self.index_of(name)]

    def __eq__(self, other: object) -> bool:
        return self.tasks == other.tasks if isinstance(other, Graph) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # tasks hold mappings

    def __repr__(self) -> str:
        return f"<Graph of {len(self.tasks)} tasks, {len(self.dependencies)} edges>"

    # --- names and indexes ---

    def index_of(self, name: str) -> int:
        """The task's place in plan order. Raises UnknownTask."""
        found = self.index.get(name)
        if found is None:
            raise UnknownTask(name, self.index)
        return found

    def indexes(self, selection: Selection) -> tuple[int, ...]:
        """Sorted indexes of what a selector or names select. Raises SelectError, UnknownTask."""
        if isinstance(selection, str):
            return select(self, selection)
        return tuple(sorted({self.index_of(name) for name in selection}))

    def names(self, indexes: Iterable[int]) -> tuple[str, ...]:
        """Names of these tasks, in the order given."""
        tasks = self.tasks
        return tuple([tasks[i].name for i in indexes])

    # --- queries ---

    def select(self, expression: str, states: Mapping[str, str] | Sequence[str] | None = None) -> tuple[str, ...]:
        """Names that a selector (design.md 11) selects, in plan order. Raises SelectError."""
        return self.names(select(self, expression, states))

    def edges(self) -> Iterator[tuple[int, int]]:
        """(dependency, follower) of each edge, by follower in plan order, then as declared."""
        return zip(self.dependencies, _sources(self.first_dependency), strict=True)

    def upstream(self, name: str) -> tuple[str, ...]:
        """What the task depends on directly, as declared."""
        return self.names(self.upstream_indexes(self.index_of(name)))

    def upstream_indexes(self, task: int) -> array[int]:
        """What the task depends on directly, as declared."""
        return self.dependencies[self.first_dependency[task] : self.first_dependency[task + 1]]

    def downstream(self, name: str) -> tuple[str, ...]:
        """What depends on the task directly, in plan order."""
        return self.names(self.downstream_indexes(self.index_of(name)))

    def downstream_indexes(self, task: int) -> array[int]:
        """What depends on the task directly, in plan order."""
        return self.followers[self.first_follower[task] : self.first_follower[task + 1]]

    def ancestors(self, *names: str) -> tuple[str, ...]:
        """All that must be ok before these tasks, in plan order; the tasks themselves only if one needs another."""
        return self.names(self.ancestors_indexes(map(self.index_of, names)))

    def ancestors_indexes(self, tasks: Iterable[int], depth: int | None = None) -> tuple[int, ...]:
        """As `ancestors`, at most `depth` edges away."""
        return tuple(compress(range(len(self.tasks)), self.reach(tasks, is_up=True, depth=depth)))

    def descendants(self, *names: str) -> tuple[str, ...]:
        """All that waits for these tasks, in plan order; the tasks themselves only if one needs another."""
        return self.names(self.descendants_indexes(map(self.index_of, names)))

    def descendants_indexes(self, tasks: Iterable[int], depth: int | None = None) -> tuple[int, ...]:
        """As `descendants`, at most `depth` edges away."""
        return tuple(compress(range(len(self.tasks)), self.reach(tasks, is_up=False, depth=depth)))

    def reach(self, tasks: Iterable[int], *, is_up: bool, depth: int | None = None) -> bytearray:
        """One byte per task, 1 for those that are reached by an edge or more. Cost: O(edges of what is reached)."""
        first, links = (self.first_dependency, self.dependencies) if is_up else (self.first_follower, self.followers)
        reached = bytearray(len(self.tasks))
        entered = bytearray(len(self.tasks))
        level = sorted(set(tasks))
        for task in level:
            entered[task] = 1
        while level and depth != 0:
            following: list[int] = []
            for task in level:
                for link in links[first[task] : first[task + 1]]:
                    reached[link] = 1
                    if not entered[link]:
                        entered[link] = 1
                        following.append(link)
            level, depth = following, None if depth is None else depth - 1
        return reached

    def between(self, start: str, end: str) -> tuple[str, ...]:
        """Tasks on the ways from `start` to `end`, both included, in plan order; empty when there is no way."""
        return self.names(self.between_indexes(self.index_of(start), self.index_of(end)))

    def between_indexes(self, start: int, end: int) -> tuple[int, ...]:
        """As `between`."""
        after, before = self.reach((start,), is_up=False), self.reach((end,), is_up=True)
        after[start] = before[end] = 1
        return tuple(i for i, is_after in enumerate(after) if is_after and before[i])

    def roots(self) -> tuple[str, ...]:
        """Tasks without dependencies."""
        return self.names(self.roots_indexes())

    def roots_indexes(self) -> tuple[int, ...]:
        """Tasks without dependencies."""
        return tuple(i for i in range(len(self.tasks)) if self.first_dependency[i] == self.first_dependency[i + 1])

    def leaves(self) -> tuple[str, ...]:
        """Tasks that nothing depends on."""
        return self.names(self.leaves_indexes())

    def leaves_indexes(self) -> tuple[int, ...]:
        """Tasks that nothing depends on."""
        return tuple(i for i in range(len(self.tasks)) if self.first_follower[i] == self.first_follower[i + 1])

    def topological(self) -> array[int]:
        """Indexes, each after all it depends on; plan order where that is possible for the whole plan."""
        return array("i", range(len(self.tasks))) if self._order is None else self._order[:]

    def remaining(self, weights: Sequence[float]) -> array[float]:
        """float64[tasks]: the task's weight plus the heaviest way from it to a leaf. weights: one per task, >= 0."""
        first, followers = self.first_follower, self.followers
        longest = array("d", weights)
        get = longest.__getitem__
        for task in reversed(range(len(self.tasks)) if self._order is None else self._order):
            start, end = first[task], first[task + 1]
            if end - start == 1:
                longest[task] += longest[followers[start]]
            elif end > start:
                longest[task] += max(map(get, followers[start:end]))
        return longest

    def critical_path(self, durations: Mapping[str, float] | None = None) -> tuple[str, ...]:
        """The chain of tasks that takes longest, first to last; of equally long ones the first in plan order.

        durations: seconds by name. A task that is not in it counts its declared `duration`, else 1.
        """
        return self.names(self.critical_path_indexes(self.weights(durations)))

    def critical_path_indexes(self, weights: Sequence[float]) -> tuple[int, ...]:
        """As `critical_path`. weights: one per task."""
        remaining = self.remaining(weights)
        path: list[int] = []
        choices: Iterable[int] = self.roots_indexes()
        while True:
            task = max(choices, key=remaining.__getitem__, default=None)
            if task is None:
                return tuple(path)
            path.append(task)
            choices = self.downstream_indexes(task)

    def weights(self, durations: Mapping[str, float] | None = None) -> array[float]:
        """float64[tasks], seconds: from `durations`, else the declared `duration`, else 1."""
        known = durations or {}
        result = array("d")
        for task in self.tasks:
            declared = task.policy.duration
            result.append(known.get(task.name, 1.0 if declared is None else declared))
        return result

    # --- rewrites; each gives a new graph and raises RewriteError where it would leave something unsatisfied ---

    def replace(self, name: str, task: Task, types: Mapping[str, Type] = BUILTIN) -> Graph:
        """`task` in the place of `name`; those that depended on `name` depend on it, and its product must fit them."""
        return Graph(replace_task(self, self.index_of(name), task, types))

    def substitute(self, selection: Selection, tasks: Iterable[Task], types: Mapping[str, Type] = BUILTIN) -> Graph:
        """Other tasks (or another graph) instead of the selected ones.

        What stays and depends on a selected task must find one of the same name whose product fits. Tasks that are equal to
        ones that stay stand for these; the others may depend on what stays when they come as plain tasks.
        """
        return Graph(substitute_tasks(self, self.indexes(selection), tuple(tasks), types))

    def add(self, *tasks: Task) -> Graph:
        """With these tasks at the end."""
        return Graph(add_tasks(self, tasks))

    def remove(self, *names: str) -> Graph:
        """Without these tasks, which nothing that stays may depend on (`drop` cuts such dependencies)."""
        return Graph(remove_tasks(self, self.indexes(names)))

    def rename(self, name: str, new_name: str) -> Graph:
        """With another name for a task; those that depend on it follow."""
        return Graph(rename_task(self, self.index_of(name), new_name))

    def keep(self, selection: Selection) -> Graph:
        """The selected tasks alone. Their dependencies on others are cut: they count as satisfied and bind nothing."""
        return Graph(keep_tasks(self, self.indexes(selection)))

    def drop(self, selection: Selection) -> Graph:
        """Without the selected tasks. What stays loses its dependencies on them: they count as satisfied, bind nothing."""
        dropped = bytearray(len(self.tasks))
        for task in self.indexes(selection):
            dropped[task] = 1
        return Graph(keep_tasks(self, tuple(i for i, is_dropped in enumerate(dropped) if not is_dropped)))

    def with_policies(self, change: Callable[[Policy], Policy]) -> Graph:
        """The same tasks and edges, treated otherwise. change: is asked once for each policy object that tasks share."""
        made: dict[int, Policy] = {}
        tasks = []
        for task in self.tasks:
            policy = made.get(id(task.policy))
            if policy is None:
                policy = made[id(task.policy)] = change(task.policy)
            if policy is not task.policy:
                task = Task(
                    task.name, task.action, task.dependencies, task.parameters, task.requires, task.outputs, policy
                )
            tasks.append(task)
        found = copy(self)
        found.tasks = tuple(tasks)
        return found

    def diff(self, other: Graph) -> GraphDiff:
        """What makes `other` of this graph."""
        return compare(self, other)


def diff(old: Graph, new: Graph) -> GraphDiff:
    """What makes `new` of `old`; by name, in plan order."""
    return compare(old, new)


def _index_names(tasks: tuple[Task, ...]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Index by name (the first one wins) and the names that occur twice or more."""
    index = dict(zip(map(attrgetter("name"), tasks), range(len(tasks)), strict=True))
    if len(index) == len(tasks):
        return index, ()
    index.clear()
    duplicates: dict[str, None] = {}
    for i, task in enumerate(tasks):
        if index.setdefault(task.name, i) != i:
            duplicates[task.name] = None
    return index, tuple(duplicates)


def _link(
    tasks: tuple[Task, ...], index: Mapping[str, int]
) -> tuple[array[int], array[int], tuple[tuple[str, str], ...]]:
    """Flat adjacency as declared, double edges included, and the unknown names, which are left out."""
    rows = [task.dependencies for task in tasks]
    first = prefix_sums([len(row) for row in rows])
    names = [dependency.name for row in rows for dependency in row]
    try:
        return first, array("i", map(index.__getitem__, names)), ()
    except KeyError:
        pass  # rare: go through them again, one by one
    unknown: dict[tuple[str, str], None] = {}
    counts = [0] * len(tasks)
    links = array("i")
    for i, row in enumerate(rows):
        for dependency in row:
            found = index.get(dependency.name)
            if found is None:
                unknown[tasks[i].name, dependency.name] = None
            else:
                links.append(found)
                counts[i] += 1
    return prefix_sums(counts), links, tuple(unknown)


def _sources(first: Sequence[int]) -> Iterator[int]:
    """For each entry of a flat adjacency, the node whose row it is in."""
    sizes = map(int.__sub__, first[1:], first)
    return chain.from_iterable(map(repeat, range(len(first) - 1), sizes))


def _turn(first: Sequence[int], links: Sequence[int]) -> tuple[array[int], array[int], bool]:
    """The same edges seen from the other end, in plan order, and whether any edge is there twice. A counting sort."""
    counts = [0] * (len(first) - 1)
    for link in links:
        counts[link] += 1
    turned_first = prefix_sums(counts)
    position = turned_first.tolist()
    turned = array("i", bytes(4 * len(links)))
    has_double = False
    for source, link in zip(_sources(first), links, strict=True):
        place = position[link]
        # entries of one row come one after the other, so a double edge meets its twin just before it
        if turned[place - 1] == source and place > turned_first[link]:
            has_double = True
        turned[place] = source
        position[link] = place + 1
    return turned_first, turned, has_double


def _merge(first: Sequence[int], links: array[int]) -> tuple[array[int], array[int]]:
    """Each edge once, where it is declared first."""
    rows = [tuple(dict.fromkeys(links[first[i] : first[i + 1]])) for i in range(len(first) - 1)]
    return prefix_sums([len(row) for row in rows]), array("i", chain.from_iterable(rows))
