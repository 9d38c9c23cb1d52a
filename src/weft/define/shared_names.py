"""Default names that several tasks of a workflow would have, as of values `a b` and `a/b`.

They end in what the nodes of their tasks are known by: all of them, so that a name depends on which tasks there are, not on the
order in which they came. A name that somebody gave, or that is known elsewhere, is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from weft.define.mistakes import show
from weft.errors import ArgumentError
from weft.spec.command_templates import distinct_name

if TYPE_CHECKING:
    from weft.define.workflow_tasks import WorkflowTask
    from weft.define.workflows import WorkflowDraft


class SharedNames:
    """Of one workflow, from the first time on that a name comes twice."""

    def __init__(self, draft: WorkflowDraft):
        self._draft = draft
        self._known: set[str] = set()
        self._tasks: dict[str, WorkflowTask] = {task.name: task for task in draft.members}

    def knows_none_of(self, names: Iterable[str]) -> bool:
        """Whether none of them is one that tasks have shared before."""
        return self._known.isdisjoint(names)

    def note(self, added: Sequence[WorkflowTask], names: Sequence[str]) -> None:
        """These tasks are added with the names that they have."""
        self._tasks.update(zip(names, added, strict=True))

    def take(self, added: Sequence[WorkflowTask], names: Sequence[str], taken: set[str]) -> None:
        """Tasks are about to be added. taken: all names, brought up to date. Raises ArgumentError, and then changes nothing."""
        groups: dict[str, list[WorkflowTask]] = {}
        for name, task in zip(names, added, strict=True):
            groups.setdefault(name, []).append(task)
        renamed: dict[str, WorkflowTask] = {}
        left: dict[str, WorkflowTask] = {}
        for name, tasks in groups.items():
            earlier = self._tasks.get(name)
            if len(tasks) == 1 and earlier is None and not (name in self._known and _is_default(tasks[0])):
                left[name] = tasks[0]
                continue
            if not all(map(_is_default, tasks)) or (earlier is not None and not _is_default(earlier)):
                raise _given_twice(name)
            if earlier is not None and self._may_change(earlier):
                tasks = [earlier, *tasks]
            if not all(map(self._may_change, tasks)):
                raise _given_twice(name)
            renamed.update((distinct_name(name, task._block.node_digest(task._row)), task) for task in tasks)
        for name in renamed:
            if name in taken or name in left:
                raise _given_twice(name)
        self._rename(renamed, taken)
        taken.update(left)
        self._tasks.update(left)

    def _rename(self, renamed: dict[str, WorkflowTask], taken: set[str]) -> None:
        for name, task in renamed.items():
            before = task.name
            self._known.add(before)
            if self._tasks.get(before) is task:
                del self._tasks[before]
                taken.discard(before)
            task._block.own_of(task._row).name = name
        taken.update(renamed)
        self._tasks.update(renamed)

    def _may_change(self, task: WorkflowTask) -> bool:
        """Nobody else knows it by its name yet."""
        return self._draft.binding is None and all(home is self._draft for home in task._block.homes)


def _is_default(task: WorkflowTask) -> bool:
    return task._block.has_default_name(task._row)


def _given_twice(name: str) -> ArgumentError:
    return ArgumentError(
        f"two tasks of the workflow are named {show(name)}: names are unique, give one of them another name"
    )
