"""Tasks of a WfFormat document: specification and execution together, edges from both directions, bytes on edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from weft.errors import COMPARED_NAMES, cut, hint_nearest
from weft.formats.mistakes import Mistakes, pointer, show
from weft.formats.wfformat_versions import Layout, measured_machines
from weft.spec.tasks import name_problem
from weft.units import canonical_seconds

LARGEST_NUMBER: Final = 2**53  # seconds or bytes; what every reader of JSON keeps exactly
COMPARED: Final = 500_000  # names that hints may compare in all

Path = tuple[str | int, ...]


@dataclass(slots=True)
class ReadTask:
    """One task. index: in its list. names: of what it refers to itself by. cores, memory (bytes), duration (seconds).

    inputs, outputs: files by id, with their bytes. attributes: by the names of 1.5; `bytes_from`: bytes that each maker hands
    over; `bytes_staged`: of inputs that no task makes; `bytes_written`: of outputs.
    """

    id: str
    index: int
    category: str
    parents: dict[str, None] = field(default_factory=dict)
    cores: float = 1
    memory: int = 0
    duration: float = 0
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


class Checker:
    """Takes values of the kind that is expected, and tells what is of another."""

    def __init__(self, file: str, mistakes: Mistakes):
        self._file = file
        self._mistakes = mistakes
        self._comparisons_left = COMPARED

    def tell(self, code: str, message: str, path: Path, hint: str | None = None) -> None:
        """Add an error."""
        self._mistakes.error(code, message, self._file, pointer(*path), hint)

    def warn(self, code: str, message: str, path: Path, hint: str | None = None) -> None:
        """Add a warning."""
        self._mistakes.warn(code, message, self._file, pointer(*path), hint)

    def hint(self, name: str, known: Mapping[str, Any]) -> str | None:
        """The nearest name, as long as there is time to look."""
        self._comparisons_left -= min(len(known), COMPARED_NAMES)
        return hint_nearest(name, known) if self._comparisons_left >= 0 else None

    def text(
        self, body: Mapping[str, Any], key: str, subject: str, path: Path, is_required: bool = False
    ) -> str | None:
        """A text, None when there is none."""
        found: str | None = self._of_kind(str, "a text", body, key, subject, path, is_required)
        return found

    def table(
        self, body: Mapping[str, Any], key: str, subject: str, path: Path, is_required: bool = False
    ) -> dict[str, Any] | None:
        """An object, None when there is none."""
        found: dict[str, Any] | None = self._of_kind(dict, "an object", body, key, subject, path, is_required)
        return found

    def items(
        self, body: Mapping[str, Any], key: str, subject: str, path: Path, is_required: bool = False
    ) -> list[Any]:
        """A list, empty when there is none."""
        return self._of_kind(list, "a list", body, key, subject, path, is_required) or []

    def tables(
        self, body: Mapping[str, Any], key: str, subject: str, path: Path, is_required: bool = False
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(index, object) of a list's items."""
        for index, item in enumerate(self.items(body, key, subject, path, is_required)):
            if isinstance(item, dict):
                yield index, item
            else:
                self.tell(
                    "shape.type", f"{subject}: {key}[{index}] must be an object, not {show(item)}", (*path, key, index)
                )

    def texts(self, body: Mapping[str, Any], key: str, subject: str, path: Path) -> Iterator[tuple[int, str]]:
        """(index, text) of a list's items."""
        for index, item in enumerate(self.items(body, key, subject, path)):
            if isinstance(item, str):
                yield index, item
            else:
                self.tell(
                    "shape.type", f"{subject}: {key}[{index}] must be a text, not {show(item)}", (*path, key, index)
                )

    def number(
        self, body: Mapping[str, Any], key: str, subject: str, path: Path, is_required: bool = False
    ) -> float | None:
        """A number >= 0, None when there is none."""
        value = body.get(key)
        if value is None:
            if is_required or key in body:
                self._tell_absent(key, "a number", body, subject, path, is_required)
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.tell("shape.type", f"{subject}: {key} must be a number, not {show(value)}", (*path, key))
            return None
        if not 0 <= value <= LARGEST_NUMBER:
            self.tell("shape.value", f"{subject}: {key} must be from 0 to 2^53, not {show(value)}", (*path, key))
            return None
        return value

    def _of_kind(
        self, kind: Any, word: str, body: Mapping[str, Any], key: str, subject: str, path: Path, is_required: bool
    ) -> Any:
        value = body.get(key)
        if isinstance(value, kind):
            return value
        if value is None:
            self._tell_absent(key, word, body, subject, path, is_required)
        else:
            self.tell("shape.type", f"{subject}: {key} must be {word}, not {show(value)}", (*path, key))
        return None

    def _tell_absent(
        self, key: str, word: str, body: Mapping[str, Any], subject: str, path: Path, is_required: bool
    ) -> None:
        if is_required and key in body:
            self.tell("shape.type", f"{subject}: {key} must be {word}, not null", (*path, key))
        elif is_required:
            self.tell("shape.missing", f"{subject} has no {key!r}", path)


class _Names:
    """Tasks by what others call them: by id; up to 1.4 by name first."""

    def __init__(self, tasks: list[ReadTask], is_by_name: bool):
        self.by_id = {task.id: task.id for task in tasks}
        self._by_name: dict[str, str] = {}
        self.shared: set[str] = set()
        for task in tasks if is_by_name else ():
            first = self._by_name.setdefault(task.category, task.id)
            if first != task.id:
                self.shared.add(task.category)

    def find(self, name: str) -> str | None:
        """The id of the task that is meant."""
        found = self.by_id.get(name)
        if name in self.shared:
            return found  # a name of several tasks names none of them
        return self._by_name.get(name, found)

    @property
    def known(self) -> Mapping[str, str]:
        """All that may be written."""
        return {**self.by_id, **self._by_name}


def read_tasks(raw: Mapping[str, Any], layout: Layout, checker: Checker) -> list[ReadTask]:
    """The tasks of a document, in its order, with the edges and bytes between them."""
    owner: Any = raw
    *above, last = layout.tasks
    for depth, key in enumerate(above):
        owner = checker.table(owner, key, "the document", tuple(above[:depth]), is_required=True)
        if owner is None:
            return []
    path = layout.tasks
    bodies: list[tuple[ReadTask, dict[str, Any]]] = []
    for index, body in checker.tables(owner, last, "the workflow", tuple(above), is_required=True):
        task = _read_task(body, index, layout, (*path, index), checker)
        if task is not None:
            bodies.append((task, body))
    tasks = [task for task, _ in bodies]
    names = _Names(tasks, is_by_name=not layout.is_split)
    has_edges = _read_edges(bodies, names, path, checker)
    _read_files(bodies, owner, layout, path, checker)
    if layout.is_split:
        _read_executions(raw["workflow"], names, tasks, layout, checker)
    else:
        for task, body in bodies:
            _measure(task, body, layout, (*path, task.index), checker, is_required=False)
    _add_bytes(tasks, has_edges, path, checker)
    return tasks


def _read_task(body: Mapping[str, Any], index: int, layout: Layout, path: Path, checker: Checker) -> ReadTask | None:
    subject = f"task number {index + 1}"
    category = checker.text(body, "name", subject, path, is_required=True)
    may_lack_id = not layout.is_split and layout.attributes["command"] == "arguments"
    name = checker.text(body, "id", subject, path, is_required=not may_lack_id)
    if name is None and may_lack_id and body.get("id") is None:
        name = category
    if name is None:
        return None
    problem = name_problem(name)
    if problem:
        checker.tell("name.invalid", f"task {cut(name)!r}: {problem}", (*path, "id"))
    return ReadTask(name, index, category or name)


def _read_edges(bodies: list[tuple[ReadTask, dict[str, Any]]], names: _Names, path: Path, checker: Checker) -> bool:
    """The union of what parents and children say; whether anybody says anything."""
    declared: dict[str, dict[str, dict[str, Path]]] = {"parents": {}, "children": {}}
    has_edges = False
    for task, body in bodies:
        subject = f"task {cut(task.id)!r}"
        for side in ("parents", "children"):
            for index, other in checker.texts(body, side, subject, (*path, task.index)):
                has_edges = True
                found = names.find(other)
                place = (*path, task.index, side, index)
                if found is None:
                    _tell_unknown(other, f"{subject}: {side}[{index}]", names, place, checker)
                    continue
                child, parent = (task.id, found) if side == "parents" else (found, task.id)
                if parent in declared[side].get(child, ()):
                    message = f"{subject} names {cut(other)!r} twice among its {side}"
                    checker.warn("name.duplicate", message, place, "one edge is made of both")
                declared[side].setdefault(child, {}).setdefault(parent, place)
    for task, _ in bodies:
        by_parent, by_child = declared["parents"].get(task.id, {}), declared["children"].get(task.id, {})
        task.parents = dict.fromkeys((*by_parent, *by_child))
        for parent, place in {**by_child, **by_parent}.items():
            if (parent in by_parent) == (parent in by_child):
                continue
            said, silent = ("parents", "children") if parent in by_parent else ("children", "parents")
            message = f"the edge from {cut(parent)!r} to {cut(task.id)!r} stands in {said} and not in {silent}"
            checker.warn("shape.value", message, place, "it counts all the same")
    return has_edges


def _tell_unknown(name: str, subject: str, names: _Names, path: Path, checker: Checker) -> None:
    if name in names.shared:
        message = f"{subject} names {cut(name)!r}, which several tasks are called"
        checker.tell("ref.task", message, path, "name the task by its id")
        return
    message = f"{subject} names {cut(name)!r}, which does not exist"
    checker.tell("ref.task", message, path, checker.hint(name, names.known))


# --- files -------------------------------------------------------------------------------------------------------------


def _read_files(
    bodies: list[tuple[ReadTask, dict[str, Any]]],
    specification: Mapping[str, Any],
    layout: Layout,
    path: Path,
    checker: Checker,
) -> None:
    if not layout.is_split:
        for task, body in bodies:
            _read_own_files(task, body, layout, (*path, task.index), checker)
        return
    sizes: dict[str, int] = {}
    above = path[:-1]
    for index, body in checker.tables(specification, "files", "the specification", above):
        place = (*above, "files", index)
        name = checker.text(body, "id", f"file number {index + 1}", place, is_required=True)
        size = checker.number(body, layout.size, f"file {cut(name or '')!r}", place, is_required=True)
        if name is not None:
            sizes.setdefault(name, int(size or 0))
    told: set[str] = set()
    for task, body in bodies:
        for key, files in (("inputFiles", task.inputs), ("outputFiles", task.outputs)):
            for index, used in checker.texts(body, key, f"task {cut(task.id)!r}", (*path, task.index)):
                files[used] = sizes.get(used, 0)
                if used not in sizes and used not in told:
                    told.add(used)
                    message = f"file {cut(used)!r} is not listed among the files; it counts 0 bytes"
                    checker.warn("shape.value", message, (*path, task.index, key, index), checker.hint(used, sizes))


def _read_own_files(task: ReadTask, body: Mapping[str, Any], layout: Layout, path: Path, checker: Checker) -> None:
    subject = f"task {cut(task.id)!r}"
    for index, item in checker.tables(body, "files", subject, path):
        place = (*path, "files", index)
        name = checker.text(item, "name", f"{subject}: files[{index}]", place, is_required=True)
        link = checker.text(item, "link", f"{subject}: files[{index}]", place, is_required=True)
        size = checker.number(item, layout.size, f"{subject}: files[{index}]", place)
        if link is not None and link not in ("input", "output"):
            message = f"{subject}: files[{index}].link must be 'input' or 'output', not {show(link)}"
            checker.tell("shape.value", message, (*place, "link"), hint_nearest(link, ("input", "output")))
        elif name is not None and link is not None:
            (task.inputs if link == "input" else task.outputs)[name] = int(size or 0)


def _add_bytes(tasks: list[ReadTask], has_edges: bool, path: Path, checker: Checker) -> None:
    """Bytes from makers to readers; files make edges only in a document without any."""
    makers: dict[str, list[str]] = {}
    for task in tasks:
        for name in task.outputs:
            makers.setdefault(name, []).append(task.id)
    for task in tasks:
        taken: dict[str, int] = {}
        staged = 0
        for name, size in task.inputs.items():
            others = [maker for maker in makers.get(name, ()) if maker != task.id]
            staged += 0 if others else size
            for maker in others:
                taken[maker] = taken.get(maker, 0) + size
        for maker in taken:
            if maker not in task.parents:
                _tell_file_edge(task, maker, has_edges, path, checker)
                if not has_edges:
                    task.parents[maker] = None
        if taken:
            task.attributes["bytes_from"] = taken
        if staged:
            task.attributes["bytes_staged"] = staged
        if task.outputs:
            task.attributes["bytes_written"] = sum(task.outputs.values())


def _tell_file_edge(task: ReadTask, maker: str, has_edges: bool, path: Path, checker: Checker) -> None:
    message = f"task {cut(task.id)!r} reads a file of {cut(maker)!r}, and no edge says so"
    hint = "the document declares other edges, so it does not count" if has_edges else "it counts as a dependency"
    checker.warn("shape.value", message, (*path, task.index), hint)


# --- what was measured -------------------------------------------------------------------------------------------------


def _read_executions(
    workflow: Mapping[str, Any], names: _Names, tasks: list[ReadTask], layout: Layout, checker: Checker
) -> None:
    path = ("workflow", "execution")
    execution = workflow.get("execution")
    by_id = {task.id: task for task in reversed(tasks)}
    seen: set[str] = set()
    entries = checker.tables(execution, "tasks", "the execution", path) if isinstance(execution, dict) else iter(())
    for index, body in entries:
        place = (*path, "tasks", index)
        name = checker.text(body, "id", f"execution of task number {index + 1}", place, is_required=True)
        if name is None:
            continue
        if name not in by_id:
            _tell_unknown(name, f"the execution: tasks[{index}]", names, (*place, "id"), checker)
            continue
        if name in seen:
            checker.tell("name.duplicate", f"the execution of task {cut(name)!r} is told twice", (*place, "id"))
        seen.add(name)
        _measure(by_id[name], body, layout, place, checker, is_required=True)
    for task in tasks:
        task.attributes = {"category": task.category, **task.attributes}
    if not seen and tasks:
        message = "no task has a measured runtime; all durations count as 0"
        checker.warn("shape.missing", message, path if execution is not None else path[:1])
        return
    for task in tasks:
        if task.id not in seen:
            _warn_unmeasured(task, (*layout.tasks, task.index), checker)


def _measure(
    task: ReadTask, body: Mapping[str, Any], layout: Layout, path: Path, checker: Checker, is_required: bool
) -> None:
    subject = f"task {cut(task.id)!r}"
    duration = checker.number(body, layout.runtime, subject, path, is_required)
    cores = checker.number(body, layout.cores, subject, path)
    memory = checker.number(body, layout.memory, subject, path)
    task.duration = canonical_seconds(duration or 0)
    task.cores = 1 if cores is None else cores
    task.memory = ceil((memory or 0) * layout.memory_bytes)
    kept = {name: body[key] for name, key in layout.attributes.items() if body.get(key) is not None}
    machines = measured_machines(body, layout)
    if machines:
        kept["machines"] = machines
    task.attributes = {"category": task.category, **kept}
    if duration is None and not is_required and body.get(layout.runtime) is None:
        _warn_unmeasured(task, path, checker)


def _warn_unmeasured(task: ReadTask, path: Path, checker: Checker) -> None:
    checker.warn("shape.missing", f"task {cut(task.id)!r} has no measured runtime; its duration counts as 0", path)
