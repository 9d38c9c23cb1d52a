"""How tasks and instances are called in what we print."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.cli.output.terminal import label
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.spec.requirements import instance_name
from weft.spec.tasks import Task

ItemsOf = Callable[[int], Sequence[str]]
"""The recorded items of a mapped task, by its index."""


def no_items(_: int) -> Sequence[str]:
    """Nothing is known of instances; they are shown by number."""
    return ()


class Labels:
    """Names for people. items_of: asked once for each mapped task, when its first instance appears."""

    __slots__ = ("_items", "_items_of", "_tasks")

    def __init__(self, tasks: Sequence[Task], items_of: ItemsOf = no_items):
        self._tasks = tasks
        self._items_of = items_of
        self._items: dict[int, Sequence[str]] = {}

    def of(self, key: AttemptKey) -> str:
        """The task's name, or `NAME[ITEM]`."""
        return label(self.exact(key))

    def exact(self, key: AttemptKey) -> str:
        """The same as it must be written in a command: nothing is escaped."""
        name = self._tasks[key.task].name
        return name if key.instance == WHOLE else instance_name(name, self.item_of(key))

    def of_task(self, task: int) -> str:
        """The task's name."""
        return label(self._tasks[task].name)

    def item_of(self, key: AttemptKey) -> str:
        """The item of an instance, `#N` where it is not known."""
        items = self._items.get(key.task)
        if items is None or key.instance >= len(items):
            items = self._items[key.task] = self._items_of(key.task)
        return items[key.instance] if key.instance < len(items) else f"#{key.instance}"
