"""Products that are not in memory: in the logs of this run, among its outputs, and in runs that were recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from weft.files.inspector import FileInspector
from weft.ports import AttemptRow
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import LogRegion
from weft.spec.plan import Plan
from weft.store.archive import SqliteArchive
from weft.store.database import path_of
from weft.store.history import product_text
from weft.store.logs import LogGoneError, LogReader


class RecordedProducts:
    """Products of recorded runs, as text. What a run says of a task is read once."""

    def __init__(self, folder: str):
        self._folder = folder
        self._places: dict[str, Mapping[str, int]] = {}
        self._made: dict[tuple[str, str], Mapping[str, AttemptRow]] = {}

    def text(self, run: str, name: str, item: str = "") -> str | None:
        """What a task, or its instance of an item, handed on in a run; None when it did not, or its output is gone."""
        if (run, name) not in self._made:
            with SqliteArchive(self._folder) as archive:
                task = self._place(archive, run, name)
                self._made[run, name] = {} if task is None else _last_good(archive, run, task)
        row = self._made[run, name].get(item)
        if row is None:
            return None
        if row.product is not None:
            return row.product
        if not row.stdout.file:
            return ""
        try:
            output = LogReader(self._folder, run).read(row.stdout)
        except LogGoneError:
            return None
        return output.decode("utf-8", "replace").removesuffix("\n")

    def last_items(self, plan: Plan, task: int) -> tuple[str, tuple[str, ...]] | None:
        """(run, items) of a mapped task, from the newest run of the plan in which it was ok; None when there is none."""
        name = plan.graph.tasks[task].name
        if not os.path.exists(path_of(self._folder)):
            return None
        with SqliteArchive(self._folder) as archive:
            for row in reversed(archive.runs(plan.key)):
                place = self._place(archive, row.run, name)
                items = () if place is None else archive.items(row.run, place).get(place, ())
                if items and all(state == "ok" for _, state, _ in items):
                    return row.run, tuple(item for item, _, _ in items)
        return None

    def _place(self, archive: SqliteArchive, run: str, name: str) -> int | None:
        if run not in self._places:
            self._places[run] = {row.name: row.task for row in archive.tasks(run)}
        return self._places[run].get(name)


def _last_good(archive: SqliteArchive, run: str, task: int) -> Mapping[str, AttemptRow]:
    """The last good attempt by item; "" for a task that is not mapped."""
    items = [item for item, _, _ in archive.items(run, task).get(task, ())]
    found = [row for row in archive.attempts(run, task) if row.state == "ok" and row.key.instance < len(items)]
    return {"" if row.key.instance == WHOLE else items[row.key.instance]: row for row in found}


class StoredProducts:
    """Fulfils the `ProductFiles` of `runtime.products` for one run over a state folder. is_durable: whether to sync at all."""

    def __init__(self, plan: Plan, folder: str, run: str, *, is_durable: bool):
        self._plan = plan
        self._folder = folder
        self._run = run
        self._is_durable = is_durable
        self._logs = LogReader(folder, run)
        self._recorded = RecordedProducts(folder)
        self._unselected: dict[int, tuple[str, tuple[str, ...]]] = {}
        self._recalled: dict[tuple[int, int], str | None] = {}
        self.inspector: FileInspector | None = None

    def read(self, region: LogRegion) -> bytes:
        """See `ProductFiles`."""
        return self._logs.read(region)

    def sync(self, region: LogRegion) -> None:
        """See `ProductFiles`."""
        if not region.file:
            return
        self._logs.read(region, limit=1)  # raises when it is no log of ours, or gone
        if self._is_durable:
            _sync(os.path.join(self._folder, "logs", self._run, region.file))

    def sync_outputs(self, task: int, instance: int) -> None:
        """See `ProductFiles`."""
        if self._is_durable:
            for path in self.outputs(task, instance):
                _sync(os.path.join(self._plan.root, path))

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        """See `ProductFiles`."""
        assert self.inspector is not None
        return self.inspector.outputs(task, instance)

    def items_of_unselected(self, task: int) -> tuple[str, ...]:
        """The items of a mapped task that takes no part, as the run had them whose products stand in."""
        found = self._recorded.last_items(self._plan, task)
        if found is not None:
            self._unselected[task] = found
        return () if found is None else found[1]

    def recall(self, task: int, instance: int) -> str | None:
        """See `ProductFiles`. Each is looked up once."""
        if (task, instance) not in self._recalled:
            self._recalled[task, instance] = self._look_up(task, instance)
        return self._recalled[task, instance]

    def _look_up(self, task: int, instance: int) -> str | None:
        assert self.inspector is not None
        name = self._plan.graph.tasks[task].name
        if task in self._unselected:
            run, items = self._unselected[task]
            return self._recorded.text(run, name, items[instance])
        item = "" if instance == WHOLE else self.inspector.items(task)[instance]
        row = self.inspector.recorded(task, item)
        # Not of the newest run in which it was ok: that may have had other inputs than what stands in now.
        text = self._recorded.text(row.run, name, item) if row is not None and row.run != self._run else None
        if text is None and instance == WHOLE:
            text = product_text(self._folder, self._plan.key, name, before=self._run)
        return text


def has_product(folder: str, plan: Plan, task: int) -> bool:
    """Whether some recorded run has a product of the task at hand."""
    given = plan.graph.tasks[task]
    if given.policy.foreach is not None:
        return RecordedProducts(folder).last_items(plan, task) is not None
    return product_text(folder, plan.key, given.name) is not None


def read_product(state: str, run: str, plan: Plan, task: str) -> Any:
    """What a task handed on in a run, or what stood in for it; of a mapped task a list, in item order. Raises LookupError."""
    index = plan.graph.index[task]
    given = plan.graph.tasks[index]
    source = given.policy.product.source if given.policy.product is not None else None
    if source is None:
        raise LookupError(f"task {task!r} has no product")
    if source == "outputs":
        return given.outputs[0] if len(given.outputs) == 1 else list(given.outputs)
    recorded = RecordedProducts(state)
    with SqliteArchive(state) as archive:
        items = [item for item, _, _ in archive.items(run, index).get(index, ())]
        by_item = {item: row.run for (name, item), row in archive.results(plan.key).items() if name == task}
        fingerprint = next((row.fingerprint for row in archive.tasks(run) if row.task == index), None)
        if fingerprint is not None:
            by_item |= {row.instance: row.run for row in archive.by_fingerprint([fingerprint], plan.key).values()}
    values = []
    for item in items if given.policy.foreach is not None else [""]:
        text = recorded.text(run, task, item)
        if text is None and item in by_item:
            text = recorded.text(by_item[item], task, item)
        if text is None:
            raise LookupError(f"task {task!r} has made no product in run {run[:12]}")
        values.append(text if source == "stdout" else json.loads(text))
    return values if given.policy.foreach is not None else values[0]


def _sync(path: str) -> None:
    """A file and its entry in its folder; a folder, with what lies directly in it."""
    paths = [os.path.dirname(path), path]
    if os.path.isdir(path):
        paths += [entry.path for entry in os.scandir(path) if entry.is_file(follow_symlinks=False)]
    for one in paths:
        opened = os.open(one, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
