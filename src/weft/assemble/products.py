"""Products that are not in memory: in the logs of this run, among its files, and in runs that were recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from contextlib import closing
from typing import Any, Final

from weft.files.examination import PRODUCTS
from weft.files.fingerprints import outputs_of
from weft.files.inspector import FileInspector, History
from weft.ports import OpenRun, ResultRow
from weft.runtime.products import Products
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import INTERRUPTED, LogRegion
from weft.scheduling.streams import is_stream
from weft.spec.plan import Plan
from weft.spec.slots import text_of
from weft.spec.tasks import Task
from weft.store.archive import SqliteArchive
from weft.store.logs import LogReader
from weft.store.products import RecordedProducts
from weft.values import encoding, plain
from weft.values.files import ROOM
from weft.values.items import ItemReader


class StoredProducts:
    """Fulfils the `ProductFiles` of `runtime.products` for one run over a state folder. is_durable: whether to sync at all."""

    def __init__(self, plan: Plan, folder: str, run: str, *, is_durable: bool):
        self._plan = plan
        self._folder = folder
        self._run = run
        self._is_durable = is_durable
        self._logs = LogReader(folder, run)
        self._recorded = RecordedProducts(folder)
        self._unselected: dict[int, str] = {}
        self._recalled: dict[tuple[int, int], str | None] = {}
        self._lasting: set[str] = set()
        self.inspector: FileInspector | None = None

    @property
    def products(self) -> str:
        """See `ProductFiles`."""
        return os.path.join(self._folder, PRODUCTS)

    def read(self, region: LogRegion) -> bytes:
        """See `ProductFiles`."""
        return self._logs.whole(region)

    def sync(self, region: LogRegion) -> None:
        """See `ProductFiles`."""
        if not region.file:
            return
        self._logs.read(region, limit=1)  # raises when it is no log of ours, or gone
        if self._is_durable:
            path = os.path.join(self._folder, "logs", self._run, region.file)
            _sync(path)
            if os.path.dirname(path) not in self._lasting:  # nobody makes the folders of logs anew
                _sync_above(path, self._folder)
                self._lasting.add(os.path.dirname(path))

    def sync_product(self, text: str) -> None:
        """See `ProductFiles`."""
        reference = encoding.parse(text)
        if reference is None or reference.inline is not None:
            return
        path = encoding.path_of(self.products, reference)
        if not os.path.exists(path):
            raise LookupError(f"{path} is not there")
        if (
            self._is_durable and not reference.room
        ):  # what is kept only while it is needed is made again after a power cut
            encoding.sync(self.products, text)

    def sync_outputs(self, task: int, instance: int) -> None:
        """See `ProductFiles`."""
        if self._is_durable:
            for path in self.outputs(task, instance):
                made = os.path.join(self._plan.root, path)
                _sync(made)
                _sync_above(made, self._plan.root)

    def remove_product(self, text: str) -> None:
        """See `ProductFiles`. Only of those that are kept while they are needed: others may be another run's as well."""
        reference = encoding.parse(text)
        if reference is not None and reference.room:
            try:
                os.unlink(encoding.path_of(self.products, reference))
            except FileNotFoundError:
                pass  # removed before by a run of which this one is the continuation

    @property
    def room(self) -> str:
        """Folder of products that are kept only while this run needs them (`cache: memory`)."""
        return os.path.join(self.products, ROOM + self._run)

    def forget_passing(self) -> None:
        """The run is over and will not be taken up again: what it kept only while it needed it goes."""
        if os.path.isdir(self.room):
            import shutil  # late: most runs keep nothing of that kind

            shutil.rmtree(self.room, ignore_errors=True)  # what stays is cleared by `weft cache gc`

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:
        """See `ProductFiles`."""
        assert self.inspector is not None
        return self.inspector.outputs(task, instance)

    def items_of_unselected(self, task: int) -> tuple[str, ...]:
        """The items of a mapped task that takes no part, as the run had them whose products stand in."""
        found = self._recorded.last_items(self._plan.key, self._plan.graph.tasks[task].name)
        if found is None:
            return ()
        self._unselected[task], items = found
        return items

    def recall(self, task: int, instance: int) -> str | None:
        """See `ProductFiles`. Each is looked up once."""
        if (task, instance) not in self._recalled:
            self._recalled[task, instance] = self._look_up(task, instance)
        return self._recalled[task, instance]

    def _look_up(self, task: int, instance: int) -> str | None:
        assert self.inspector is not None
        given = self._plan.graph.tasks[task]
        if task in self._unselected:
            return self._recorded.text(self._unselected[task], given.name, instance, is_value=_is_value(given))
        # Not of the newest run in which it was ok: that may have had other inputs than what stands in now.
        row = self.inspector.recorded(task, instance)
        item = None if instance == WHOLE else self.inspector.item(task, instance)
        text = None
        if row is not None and (row.held is not None or row.run != self._run):
            text = _text_of_result(self._recorded, given, row, item)
        if text is None and instance == WHOLE:
            keys = (self._plan.key, self._plan.family)
            text = self._recorded.last(*keys, given.name, before=self._run, is_value=_is_value(given))
        return text


def _text_of_result(recorded: RecordedProducts, task: Task, row: ResultRow, item: str | None) -> str | None:
    """What finished work handed on. item: of an instance."""
    if row.held is not None:
        product = task.policy.product
        is_output = product is not None and product.source == "stdout"
        return str(json.loads(row.held.text)) if is_output else row.held.text
    is_value = _is_value(task)
    if item is None:
        return recorded.text(row.run, task.name, is_value=is_value)
    return recorded.of_item(row.run, task.name, item, is_value=is_value)


def _is_value(task: Task) -> bool:
    """Whether it hands on what a function returned: its output is no product then."""
    return task.policy.product is not None and task.policy.product.source == "return"


def has_product(folder: str, plan: Plan, task: int) -> bool:
    """Whether some recorded run has a product of the task at hand."""
    given = plan.graph.tasks[task]
    recorded = RecordedProducts(folder)
    if given.policy.foreach is not None:
        return recorded.last_items(plan.key, given.name) is not None
    return recorded.last(plan.key, plan.family, given.name, is_value=_is_value(given)) is not None


def last_outputs(folder: str, plan: Plan, task: int) -> Sequence[str]:
    """The paths that a task has made, if it ever ran; as they are written for a mapped one that never did."""
    given = plan.graph.tasks[task]
    foreach = given.policy.foreach
    if foreach is None or not given.outputs:
        return outputs_of(plan, given)
    if foreach.values is not None:
        items = tuple(map(text_of, foreach.values))
    else:
        found = RecordedProducts(folder).last_items(plan.key, given.name)
        if found is None:
            return given.outputs
        items = found[1]
    return [path for paths in _outputs_with(folder, plan, task, items) for path in paths]


def _outputs_with(folder: str, plan: Plan, task: int, items: Sequence[str]) -> Sequence[Sequence[str]]:
    inspector = FileInspector(plan, folder, History(dict, dict), "")
    try:
        return inspector.outputs_with(task, items)
    finally:
        inspector.close()


def lost_makers(folder: str, plan: Plan, opened: OpenRun, again: Collection[int]) -> set[int]:
    """Resume: tasks that ended well and whose product is gone though a task that is to run needs it. They run again, too.

    So it is with what is kept only while it is needed, with what was damaged and set aside, and with half a stream.
    again: tasks that will run.
    """
    products = os.path.join(folder, PRODUCTS)
    tasks, index = plan.graph.tasks, plan.graph.index
    done = {row.task for row in opened.tasks if row.state == "ok"} - set(again)
    texts: dict[int, list[str]] = {}
    for row in opened.attempts:
        product = tasks[row.key.task].policy.product
        if row.state != "ok" or product is None or product.source != "return":
            continue
        if row.product is not None or product.stream:
            texts.setdefault(row.key.task, []).append(row.product or HALF)
    left = {row.task for row in opened.tasks if row.cause == INTERRUPTED and is_stream(tasks[row.task])} - set(again)
    lost: set[int] = set()
    waiting = [row.task for row in opened.tasks if row.task not in done]
    while waiting:
        number = waiting.pop()
        task = tasks[number]
        foreach = task.policy.foreach
        names = [edge.name for edge in task.dependencies if edge.bind is not None]
        names += [foreach.stream] if foreach is not None and foreach.stream is not None else []
        makers = {index[name] for name in names}
        if number in again:
            lost |= makers & left
        for maker in makers & done - lost:
            if any(_is_gone(products, text) for text in texts.get(maker, ())):
                lost.add(maker)
                waiting.append(maker)
    return lost


HALF: Final = ""
"""Stands for a stream that was ended since nobody took more of it (`runtime.lingering`)."""


def _is_gone(products: str, text: str) -> bool:
    if text == HALF:
        return True
    reference = encoding.parse(text)
    if reference is None or reference.inline is not None:
        return False
    return not os.path.exists(encoding.path_of(products, reference))


# --- of a run that was recorded ----------------------------------------------------------------------------------------


class RunProducts:
    """What the tasks of one recorded run handed on, or what stood in for them. Raises LookupError when there is nothing."""

    def __init__(self, state: str, run: str, plan: Plan):
        self.run = run
        self._state = state
        self._plan = plan
        self._recorded = RecordedProducts(state)
        self._results: dict[int, dict[str, ResultRow]] = {}
        self._items: dict[int, list[str]] = {}
        self._made = Products(plan, _Recalled(self))  # one for all instances: it reads an item log once

    @property
    def folder(self) -> str:
        """Where product files lie."""
        return os.path.join(self._state, PRODUCTS)

    def close(self) -> None:
        """Let go of item logs that were read."""
        self._made.close()

    def instances(self, task: int) -> Sequence[str]:
        """Items of a mapped task."""
        if task not in self._items:
            with SqliteArchive(self._state) as archive:
                self._items[task] = [item for item, _, _ in archive.items(self.run, task).get(task, ())]
        return self._items[task]

    def outputs(self, task: int, instance: int = WHOLE) -> str | list[str]:
        """Files as a product, as a follower receives them: the one path of a task or instance, else a list."""
        given = self._plan.graph.tasks[task]
        if given.policy.foreach is None:
            paths = list(outputs_of(self._plan, given))
            return paths[0] if len(paths) == 1 else paths
        by_instance = _outputs_with(self._state, self._plan, task, self.instances(task))
        if instance == WHOLE:
            return [path for paths in by_instance for path in paths]
        return by_instance[instance][0] if len(by_instance[instance]) == 1 else list(by_instance[instance])

    def text(self, task: int, instance: int = WHOLE) -> str:
        """Its text: as `weft.values` wrote it, JSON, or captured output."""
        given = self._plan.graph.tasks[task]
        text = self._recorded.text(self.run, given.name, instance, is_value=_is_value(given))
        if text is None:
            row = self._stood_in(task, instance)
            item = None if instance == WHOLE else self.instances(task)[instance]
            text = None if row is None else _text_of_result(self._recorded, given, row, item)
        if text is None:
            raise LookupError(f"task {given.name!r} has made no product in run {self.run[:12]}")
        if given.policy.product is not None and given.policy.product.source == "return":
            self._refuse_passed(given.name, text)
        return text

    def value(self, task: int, instance: int = WHOLE) -> Any:
        """The value. Raises ValueError when it is damaged."""
        given = self._plan.graph.tasks[task]
        product = given.policy.product
        text = self.text(task, instance)
        if product is not None and product.source != "return":
            return text if product.source == "stdout" else plain.value_of(text)
        return encoding.decode(text, self.folder)

    def _refuse_passed(self, name: str, text: str) -> None:
        """What was kept only while it was needed is gone for good. Raises LookupError."""
        reference = encoding.parse(text)
        if reference is None or not reference.room or os.path.exists(encoding.path_of(self.folder, reference)):
            return
        raise LookupError(
            f"the product of {name!r} is gone: it was kept only while run {self.run[:12]} needed it (cache: memory)"
        )

    def _stood_in(self, task: int, instance: int) -> ResultRow | None:
        """The finished work that stood in for a task or instance of the run."""
        given = self._plan.graph.tasks[task]
        if task not in self._results:
            with SqliteArchive(self._state) as archive:
                found = self._results[task] = archive.results_of(self._plan.results_key, given.name)
                fingerprint = archive.fingerprint(self.run, task)
                if fingerprint is not None:  # a later run may have made another one since
                    for row in archive.by_fingerprint([fingerprint], self._plan.results_key).values():
                        found[row.instance] = row
        name = ""
        if instance != WHOLE:
            foreach = given.policy.foreach
            is_fed = foreach is not None and foreach.stream is not None
            name = f"#{self._digest_of_item(task, instance)}" if is_fed else self.instances(task)[instance]
        return self._results[task].get(name)

    def _digest_of_item(self, task: int, instance: int) -> str:
        foreach = self._plan.graph.tasks[task].policy.foreach
        assert foreach is not None and foreach.stream is not None
        maker = self._plan.graph.index[foreach.stream]
        if self._plan.graph.tasks[maker].policy.foreach is not None:
            self._made.take_items(maker, self.instances(maker))
            return self._made.digest(maker, instance) or ""
        items = self._made.items(maker) or ()
        return items[instance].digest if instance < len(items) else ""


class _Recalled:
    """A recorded run as the `ProductFiles` of `runtime.products`: everything is recalled, nothing is made."""

    def __init__(self, run: RunProducts):
        self._run = run

    @property
    def products(self) -> str:
        return self._run.folder

    def recall(self, task: int, instance: int) -> str | None:
        return self._run.text(task, instance)

    def read(self, region: LogRegion) -> bytes:
        raise LookupError(region.file)

    def outputs(self, task: int, instance: int = WHOLE) -> Sequence[str]:  # noqa: ARG002
        return ()

    def sync(self, region: LogRegion) -> None: ...

    def sync_product(self, text: str) -> None: ...

    def sync_outputs(self, task: int, instance: int) -> None: ...

    def remove_product(self, text: str) -> None: ...


def read_product(state: str, run: str, plan: Plan, task: str) -> Any:
    """What a task handed on in a run, or what stood in for it; of a mapped task a list, in item order.

    Raises LookupError, ValueError (damaged, or its class is not to be had), OSError.
    """
    index = plan.graph.index[task]
    given = plan.graph.tasks[index]
    source = given.policy.product.source if given.policy.product is not None else None
    if source is None:
        raise LookupError(f"task {task!r} has no product")
    with closing(RunProducts(state, run, plan)) as recorded:
        if source == "outputs":
            return recorded.outputs(index)
        if given.policy.foreach is None:
            return recorded.value(index)
        return [recorded.value(index, instance) for instance in range(len(recorded.instances(index)))]


def measure_items(state: str, run: str, plan: Plan, task: int) -> tuple[int, int] | None:
    """How many items a stream of a run has, and bytes; None when it is not at hand."""
    with closing(RunProducts(state, run, plan)) as recorded:
        try:
            reference = encoding.parse(recorded.text(task))
            if reference is None or reference.format == "json":
                found = recorded.value(task)  # a value stands in for the stream
                return (len(found), len(recorded.text(task))) if isinstance(found, list) else None
            if reference.format != "items":
                return None
            with ItemReader(encoding.path_of(recorded.folder, reference), recorded.folder) as log:
                return log.count, reference.size
        except (LookupError, ValueError, OSError):
            return None


def _sync(path: str) -> None:
    """A file and its entry in its folder; a folder, with what lies directly in it."""
    paths = [os.path.dirname(path), path]
    if os.path.isdir(path):
        paths += [entry.path for entry in os.scandir(path) if entry.is_file(follow_symlinks=False)]
    for one in paths:
        _sync_one(one)


def _sync_above(path: str, top: str) -> None:
    """The entries of the folders that a file lies in, up to those in `top`; of a file elsewhere, nothing."""
    folder, top = os.path.dirname(os.path.abspath(path)), os.path.abspath(top)
    while folder.startswith(os.path.join(top, "")):
        folder = os.path.dirname(folder)
        _sync_one(folder)


def _sync_one(path: str) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
