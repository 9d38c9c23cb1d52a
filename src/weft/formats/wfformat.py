"""The wfformat dialect: WfCommons instances, which record what another system ran (dialects.md 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from weft.errors import cut, hint_nearest
from weft.formats.draft import Draft
from weft.formats.mistakes import Document, Mistakes, pointer, show
from weft.formats.wfformat_tasks import Checker, ReadTask, read_tasks
from weft.formats.wfformat_versions import LAYOUTS, Layout
from weft.spec.actions import Command
from weft.spec.resources import CORES, MEMORY, Resources
from weft.spec.tasks import Dependency, Policy, Task, name_problem
from weft.units import GIBIBYTE

EXECUTOR: Final = "simulated"
NOTHING: Final = Command(("true",))
"""In the place of what another system ran: recorded commands are never started."""

_KEPT: Final = ("createdAt", "author")


@dataclass(slots=True)
class WfDraft(Draft):
    """A draft that knows where edges are declared."""

    def pointer_of(self, position: int, *rest: str | int) -> str:
        """JSON pointer of a task; of what it was made from, where that stands below it."""
        key = "parents" if rest and rest[0] == "dependencies" else rest[0] if rest else ""
        return pointer(*self.prefix, self.keys[position], *self._existing(self.raw(position), (key, *rest[1:])))

    def dependency_place(self, position: int, name: str) -> str:
        """JSON pointer of the parent that is named `name`, or of the child that this task is there."""
        parents = self.raw(position).get("parents")
        if isinstance(parents, list) and name in parents:
            return self.pointer_of(position, "parents", parents.index(name))
        own = self.tasks[position].name
        for other, task in enumerate(self.tasks):
            children = self.raw(other).get("children") if task.name == name else None
            if isinstance(children, list) and own in children:
                return self.pointer_of(other, "children", children.index(own))
        return self.pointer_of(position, "parents")


def load_wfformat(document: Document, mistakes: Mistakes) -> Draft:
    """The draft of an instance: tasks to be simulated, with measured durations and the bytes that pass between them."""
    raw, file = document.data, document.path
    draft = WfDraft(document, "wfformat")
    if not isinstance(raw, dict):
        mistakes.error("shape.type", f"a WfFormat document is an object, not {show(raw)}", file, "")
        return draft
    checker = Checker(file, mistakes)
    name = checker.text(raw, "name", "the document", (), is_required=True)
    if name is not None and (problem := name_problem(name)):
        mistakes.error("name.invalid", f"the document: name: {problem}", file, "/name")
    draft.name = name
    description = raw.get("description")
    draft.description = description if isinstance(description, str) else None
    layout = _layout(raw, checker)
    workflow = checker.table(raw, "workflow", "the document", (), is_required=True)
    if layout is None or workflow is None:
        return draft
    draft.prefix = layout.tasks
    execution_path = ("workflow", "execution") if layout.is_split else ("workflow",)
    execution = checker.table(workflow, "execution", "the workflow", ("workflow",)) if layout.is_split else workflow
    draft.attributes = _attributes(raw, execution or {}, execution_path, layout, checker)
    _add_tasks(draft, read_tasks(raw, layout, checker))
    return draft


def _layout(raw: Mapping[str, Any], checker: Checker) -> Layout | None:
    version = checker.text(raw, "schemaVersion", "the document", (), is_required=True)
    if version is None:
        return None
    layout = LAYOUTS.get(version)
    if layout is None:
        message = f"the document: schemaVersion {cut(version)!r} is not known"
        hint = hint_nearest(version, LAYOUTS)
        known = f"known versions are {', '.join(LAYOUTS)}"
        checker.tell("shape.value", message, ("schemaVersion",), f"{known}; {hint}" if hint else known)
    return layout


def _attributes(
    raw: Mapping[str, Any], execution: Mapping[str, Any], path: tuple[str, ...], layout: Layout, checker: Checker
) -> dict[str, Any]:
    """What is shown beside a simulation, by the names of 1.5."""
    attributes: dict[str, Any] = {"schemaVersion": raw["schemaVersion"]}
    attributes.update((key, raw[key]) for key in _KEPT if raw.get(key) is not None)
    system = raw.get(layout.system)
    if system is not None:
        attributes["runtimeSystem"] = system
    makespan = checker.number(execution, layout.makespan, "the execution", path)
    if makespan is not None:
        attributes["makespanInSeconds"] = makespan
    if isinstance(execution.get("executedAt"), str):
        attributes["executedAt"] = execution["executedAt"]
    machines = _machines(execution, path, layout, checker)
    if machines:
        attributes["machines"] = machines
    return attributes


def _machines(
    execution: Mapping[str, Any], path: tuple[str, ...], layout: Layout, checker: Checker
) -> list[dict[str, Any]]:
    """Each host once: `nodeName`, `cores` and `memory` (bytes) as far as they are known."""
    by_name: dict[str, dict[str, Any]] = {}
    for index, body in checker.tables(execution, "machines", "the execution", path):
        place: tuple[str | int, ...] = (*path, "machines", index)
        name = checker.text(body, "nodeName", f"machine number {index + 1}", place, is_required=True)
        if name is None or name in by_name:
            continue
        subject = f"machine {cut(name)!r}"
        host: dict[str, Any] = {"nodeName": name}
        cpu = checker.table(body, "cpu", subject, place) or {}
        cores = checker.number(cpu, layout.machine_cores, subject, (*place, "cpu"))
        memory = checker.number(body, layout.memory, subject, place)
        if cores:
            host["cores"] = cores
        if memory:
            host["memory"] = memory = int(memory * layout.memory_bytes)
            if memory < GIBIBYTE:
                message = f"{subject} has {memory} bytes of memory, less than 1 GiB; some instances give kibibytes"
                checker.warn("shape.value", message, (*place, layout.memory), "--ignore-memory drops the dimension")
        by_name[name] = host
    return list(by_name.values())


def _add_tasks(draft: WfDraft, tasks: Iterable[ReadTask]) -> None:
    policies: dict[str, Policy] = {}
    edges: dict[str, Dependency] = {}
    for read in tasks:
        amounts: dict[str, float] = {CORES: read.cores}
        if read.memory:
            amounts[MEMORY] = read.memory
        attributes = MappingProxyType(dict(read.attributes))
        key = repr((amounts, read.duration, read.attributes))
        if key not in policies:
            policies[key] = Policy(
                resources=Resources.of(amounts), duration=read.duration, executor=EXECUTOR, attributes=attributes
            )
        dependencies = tuple([edges.setdefault(name, Dependency(name)) for name in read.parents])
        draft.tasks.append(Task(read.id, NOTHING, dependencies, policy=policies[key]))
        draft.keys.append(read.index)
