"""New graphs from old ones: what each rewrite leaves of the tasks, what it refuses, and how two graphs differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, NamedTuple

from weft.errors import UsageError, cut
from weft.spec.requirements import Foreach
from weft.spec.tasks import Dependency, Policy, Task
from weft.spec.types import Type, is_kind_of

if TYPE_CHECKING:
    from weft.spec.graph import Graph


class RewriteError(UsageError, ValueError):
    """A rewrite that would leave a task without something it depends on."""

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message, hint, code="rewrite")


class GraphDiff(NamedTuple):
    """What makes one graph of another; names in plan order. changed: name -> fields of the normal form that differ.

    edges_added, edges_removed: (dependency, follower).
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    edges_added: tuple[tuple[str, str], ...]
    edges_removed: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.edges_added or self.edges_removed)


# --- rewrites ----------------------------------------------------------------------------------------------------------


def replace_task(graph: Graph, old: int, task: Task, types: Mapping[str, Type]) -> Sequence[Task]:
    """All tasks, `task` standing where `old` stood."""
    before = graph.tasks[old]
    followers = [graph.tasks[i] for i in graph.downstream_indexes(old)]
    _check_fit(before, task, followers, types)
    tasks = list(graph.tasks)
    tasks[old] = task
    return tasks if task.name == before.name else _follow(graph, tasks, old, task.name)


def substitute_tasks(
    graph: Graph, selected: Sequence[int], tasks: tuple[Task, ...], types: Mapping[str, Type]
) -> Sequence[Task]:
    """All that stays, `tasks` standing where the first selected task stood."""
    leaving = set(selected)
    new_by_name = {task.name: task for task in tasks}
    for i in selected:
        before = graph.tasks[i]
        followers = [graph.tasks[follower] for follower in graph.downstream_indexes(i) if follower not in leaving]
        if not followers:
            continue
        after = new_by_name.get(before.name)
        if after is None:
            raise RewriteError(
                f"task {cut(followers[0].name)!r} depends on {cut(before.name)!r}, for which there is no substitute",
                f"give a task named {cut(before.name)!r}",
            )
        _check_fit(before, after, followers, types)
    arriving = []
    for task in tasks:
        present = graph.index.get(task.name)
        if present is None or present in leaving:
            arriving.append(task)
        elif graph.tasks[present] != task:
            raise RewriteError(f"the plan has another task {cut(task.name)!r}, which is not among those substituted")
    place = selected[0] if selected else len(graph.tasks)
    staying_after = [task for i, task in enumerate(graph.tasks[place:], place) if i not in leaving]
    return [*graph.tasks[:place], *arriving, *staying_after]


def add_tasks(graph: Graph, tasks: Iterable[Task]) -> Sequence[Task]:
    """All tasks, the new ones last."""
    return [*graph.tasks, *tasks]


def remove_tasks(graph: Graph, removed: Sequence[int]) -> Sequence[Task]:
    """All others, none of which may depend on what is removed."""
    leaving = set(removed)
    for i in removed:
        for follower in graph.downstream_indexes(i):
            if follower not in leaving:
                raise RewriteError(
                    f"task {cut(graph.tasks[follower].name)!r} depends on {cut(graph.tasks[i].name)!r}",
                    "remove both, or use drop, which cuts the dependency",
                )
    return [task for i, task in enumerate(graph.tasks) if i not in leaving]


def rename_task(graph: Graph, old: int, name: str) -> Sequence[Task]:
    """All tasks, one with another name, and its followers' dependencies with it."""
    tasks = list(graph.tasks)
    tasks[old] = replace(tasks[old], name=name)
    return _follow(graph, tasks, old, name)


def keep_tasks(graph: Graph, kept: Sequence[int]) -> Sequence[Task]:
    """These tasks, without their dependencies on others."""
    staying = bytearray(len(graph.tasks))
    for i in kept:
        staying[i] = 1
    result = []
    for i in kept:
        task = graph.tasks[i]
        if not all(staying[link] for link in graph.upstream_indexes(i)):
            task = _cut(task, tuple(edge for edge in task.dependencies if staying[graph.index[edge.name]]))
        result.append(task)
    return result


def _cut(task: Task, dependencies: tuple[Dependency, ...]) -> Task:
    stream = task.policy.foreach.stream if task.policy.foreach else None
    if stream is not None and all(edge.name != stream for edge in dependencies):
        raise RewriteError(
            f"task {cut(task.name)!r} runs once per item of {cut(stream)!r}, which would be gone",
            f"keep {cut(stream)!r}, or replace it by a value",
        )
    return replace(task, dependencies=dependencies)


def _follow(graph: Graph, tasks: list[Task], old: int, name: str) -> list[Task]:
    """Let all that named a task name it by its new name."""
    old_name = graph.tasks[old].name
    for i in graph.downstream_indexes(old):
        task = tasks[i]
        foreach = task.policy.foreach
        needs = task.requires.parameters
        policy = task.policy
        if foreach is not None and foreach.stream == old_name:
            policy = replace(policy, foreach=Foreach(foreach.files, foreach.values, name, foreach.bind))
        tasks[i] = replace(
            task,
            dependencies=tuple(
                edge._replace(name=name) if edge.name == old_name else edge for edge in task.dependencies
            ),
            requires=task.requires._replace(parameters=tuple(_renamed(need, old_name, name) for need in needs))
            if needs
            else task.requires,
            policy=policy,
        )
    return tasks


def _renamed(need: str, old_name: str, name: str) -> str:
    """A `TASK` or `TASK.key` under the task's new name."""
    if need == old_name:
        return name
    return name + need[len(old_name) :] if need.startswith(f"{old_name}.") else need


def _check_fit(before: Task, after: Task, followers: Iterable[Task], types: Mapping[str, Type]) -> None:
    """Whoever takes the product of `before` must be able to take that of `after`."""
    for follower in followers:
        takes = any(
            edge.name == before.name and (edge.bind is not None or edge.each or edge.gather)
            for edge in follower.dependencies
        )
        if not takes:
            continue
        if after.policy.product is None:
            raise RewriteError(
                f"task {cut(follower.name)!r} takes the product of {cut(before.name)!r}, and {cut(after.name)!r} has none",
                "give the new task a product",
            )
        wanted = before.policy.product.type if before.policy.product else "any"
        offered = after.policy.product.type
        if not is_kind_of(offered, wanted, types):
            raise RewriteError(
                f"the product of {cut(after.name)!r} is of type {offered!r}; {cut(follower.name)!r} takes {wanted!r}",
                f"make it {wanted!r} or a type below it",
            )


# --- comparison --------------------------------------------------------------------------------------------------------

_TASK_FIELDS = tuple(field.name for field in fields(Task) if field.name not in ("name", "policy"))
_POLICY_FIELDS = tuple(field.name for field in fields(Policy))


def compare(old: Graph, new: Graph) -> GraphDiff:
    """What makes `new` of `old`."""
    changed = {}
    for task in new.tasks:
        place = old.index.get(task.name)
        if place is not None and (names := changed_fields(old.tasks[place], task)):
            changed[task.name] = names
    before, after = _edge_names(old), _edge_names(new)
    return GraphDiff(
        added=tuple(task.name for task in new.tasks if task.name not in old.index),
        removed=tuple(task.name for task in old.tasks if task.name not in new.index),
        changed=changed,
        edges_added=tuple(edge for edge in after if edge not in before),
        edges_removed=tuple(edge for edge in before if edge not in after),
    )


def changed_fields(old: Task, new: Task) -> tuple[str, ...]:
    """Names of the fields (those of the policy by their own names) that differ."""
    if old is new:
        return ()
    names = [name for name in _TASK_FIELDS if getattr(old, name) != getattr(new, name)]
    if old.policy is not new.policy and old.policy != new.policy:
        names += [name for name in _POLICY_FIELDS if getattr(old.policy, name) != getattr(new.policy, name)]
    return tuple(names)


def _edge_names(graph: Graph) -> dict[tuple[str, str], None]:
    tasks = graph.tasks
    return {(tasks[dependency].name, tasks[follower].name): None for dependency, follower in graph.edges()}
