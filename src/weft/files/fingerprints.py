"""The fingerprint of a task as the world is now: what it is, what it reads, what came from before it.

To the parts of `spec.fingerprint.task_parts` come these; `parameters` as a whole gives way to one part a value, so that `explain`
can name the one that changed and show both values:
- `parameters:NAME`, `options:NAME`: values that are no `op` parameters; options as far as the task uses them.
- `item`: of an instance whose item is a value, or of another task's product.
- of a typed task the parts of its code, and `type`: of what it hands on.
- `inputs:PATH`: content of a required file, of a script, of a function's file; of an instance's own file.
- `inputs:FOLDER`, `inputs:EXPRESSION`: names and contents of the files of a source. Both with the name that binds them.
- `dependencies:TASK`: the digest of its product, else of the contents of its outputs; a task that has neither adds nothing.
  So an upstream that ran again and made the same leaves its followers up to date.
Signals, shared memory and sources that are conditions only are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from weft.files.contents import DIGEST_BYTES, Contents
from weft.files.requirements import Findings
from weft.files.search import Place
from weft.ports import ResultRow
from weft.scheduling.freshness import part
from weft.spec.actions import Call, Script, Serialized
from weft.spec.fingerprint import digest, slots_of, task_parts
from weft.spec.options import Opaque
from weft.spec.plan import Plan
from weft.spec.requirements import FolderNeed, MatchNeed
from weft.spec.secrets import is_secret_name
from weft.spec.slots import fill, slots_in, text_of
from weft.spec.tasks import NOTHING, Task
from weft.spec.types import lineage

ABSENT: Final = "absent"  # stands for the content of a file that is not there


def outputs_of(plan: Plan, task: Task, item_values: Mapping[str, Any] = NOTHING) -> tuple[str, ...]:
    """Paths that a task or instance is to make: as written, slots filled. item_values: what the instance adds to parameters."""
    if not any("{" in path for path in task.outputs):
        return task.outputs
    values = {**plan.values, **task.parameters, **item_values}
    return tuple(_filled(path, values) for path in task.outputs)


def _filled(path: str, values: Mapping[str, Any]) -> str:
    try:
        return fill(path, values)
    except KeyError:
        return path


class Fingerprints:
    """Takes fingerprints of a plan's tasks. Lives in one thread. product: digest of what a task handed on, None when nothing.

    made: paths of all outputs of a task. worked: the fingerprint of a task of this run; then one that hands on nothing counts by
    it, so that its followers follow (`weft watch`).
    """

    def __init__(
        self,
        plan: Plan,
        place: Place,
        contents: Contents,
        product: Callable[[int], str | None],
        made: Callable[[int], Iterable[str]],
        worked: Callable[[int], str | None] | None = None,
    ):
        self._plan = plan
        self._place = place
        self._contents = contents
        self._product = product
        self._made = made
        self._worked = worked
        self._delivered: dict[int, str | None] = {}
        self._fresh: dict[int, ResultRow] = {}
        self._types: dict[str, str] = {}

    def forget(self, task: int) -> None:
        """The task has run again: what it made must be looked at anew."""
        self._delivered.pop(task, None)
        self._fresh.pop(task, None)

    def confirm(self, task: int, row: ResultRow) -> None:
        """Finished work stands in for the task: what it hands on is what was recorded."""
        self._fresh[task] = row

    def delivers_the_same(self, index: int, parts: Mapping[str, str]) -> bool:
        """Whether finished work stands in for all dependencies of a task, and handed on what these parts were made from."""
        graph = self._plan.graph
        tasks = graph.tasks
        for dependency in graph.dependencies[graph.first_dependency[index] : graph.first_dependency[index + 1]]:
            maker = tasks[dependency]
            if dependency not in self._delivered:
                confirmed = self._fresh.get(dependency)
                if confirmed is None and (maker.outputs or maker.policy.product is not None):
                    return False
                self._delivered[dependency] = _handed_on(confirmed) if confirmed is not None else None
            if parts.get(f"dependencies:{maker.name}") != self._delivered[dependency]:
                return False
        return True

    def own_parts(self, index: int) -> dict[str, str]:
        """The parts of a task that follow from the plan alone, whatever files and dependencies are like."""
        task = self._plan.graph.tasks[index]
        parts = task_parts(self._plan, task)
        del parts["parameters"]
        if isinstance(task.action, Call) and task.action.code:
            del parts["code"]  # what the parts of the code say already, and where it lies besides
            parts.update(task.action.code)
            parts["type"] = self._type(task)
        if task.parameters or self._plan.values:
            parts.update(self._values(task))
        return parts

    def parts(self, index: int, findings: Findings) -> dict[str, str]:
        """All parts of a task, of a mapped one those that its instances share. Raises UnreadableError."""
        task = self._plan.graph.tasks[index]
        parts = self.own_parts(index)
        for path, bind in read_files(task):
            parts[f"inputs:{path}"] = bound(self._content(path), bind)
        if not (task.policy.foreach is not None and task.policy.foreach.files):
            parts.update(self._sources(task, findings))
        graph = self._plan.graph
        foreach = task.policy.foreach
        streamed = foreach.stream if foreach is not None else None
        for dependency in graph.dependencies[graph.first_dependency[index] : graph.first_dependency[index + 1]]:
            if graph.tasks[dependency].name == streamed and not _takes_whole(task, streamed):
                continue  # each instance has its own item of it
            delivered = self.delivered(dependency)
            if delivered is not None:
                parts[f"dependencies:{graph.tasks[dependency].name}"] = delivered
        return parts

    def item_part(self, task: Task, instance: int, item: str, bind: str | None, made: str = "") -> tuple[str, str]:
        """The part that tells an instance from the others. Raises UnreadableError.

        bind: the parameter that receives its file. made: digest of its item, when that comes from another task's product: its
        place among the items is not in it.
        """
        foreach = task.policy.foreach
        assert foreach is not None
        if foreach.files:
            return f"inputs:{item}", bound(self._content(item), f"{bind or ''},{foreach.bind or ''}".strip(",") or None)
        if made:
            return "item", digest((foreach.bind, made))
        value = foreach.values[instance] if foreach.values is not None else item
        return "item", part(digest((foreach.bind, value)), item)

    def _type(self, task: Task) -> str:
        """The part of the type of what a function hands on."""
        product = task.policy.product
        name = product.type if product is not None else "any"
        if name not in self._types:
            line = lineage(name, self._plan.types)
            limits = [(of.name, of.minimum, of.maximum, of.pattern, of.choices, of.items) for of in line]
            self._types[name] = part(digest((name, limits)), name)
        return self._types[name]

    def _values(self, task: Task) -> Iterable[tuple[str, str]]:
        roles = task.policy.roles
        for name, value in task.parameters.items():
            if roles.get(name, "task") != "op":
                yield f"parameters:{name}", _shown(name, value)
        values = self._plan.values
        written = (name for path in task.outputs for name in slots_in(path))
        for name in (*slots_of(self._plan, task), *written, *task.requires.parameters):
            if name in values and name not in task.parameters:
                yield f"options:{name}", _shown(name, values[name])

    def delivered(self, index: int) -> str | None:
        """Digest of what a task hands on: of its product, else over its outputs; None when it has neither."""
        if index in self._delivered:
            return self._delivered[index]
        found = self._product(index)
        if found is None and self._plan.graph.tasks[index].outputs:
            found = digest_pairs((path, self._content(path)) for path in self._made(index))
        if found is None and self._worked is not None:
            found = self._worked(index)
        self._delivered[index] = found
        return found

    def _content(self, path: str) -> str:
        state = self._contents.state(self._place.absolute(path))
        return ABSENT if state is None else state.digest

    def _sources(self, task: Task, findings: Findings) -> Iterable[tuple[str, str]]:
        sources: tuple[FolderNeed | MatchNeed, ...] = (*task.requires.folders, *task.requires.match)
        for need, paths in zip(sources, (*findings.folders, *findings.matches), strict=True):
            if need.source:
                name = need.path if isinstance(need, FolderNeed) else need.pattern
                content = bound(digest_pairs((path, self._content(path)) for path in paths), need.bind)
                yield f"inputs:{name}", part(content, f"{len(paths)} file" + "s" * (len(paths) != 1))


def _takes_whole(task: Task, maker: str) -> bool:
    """Whether a task that is mapped over a product also takes that as it is."""
    return any(edge.name == maker and edge.bind is not None and not edge.each for edge in task.dependencies)


def _shown(name: str, value: object) -> str:
    """The part of a value: its digest, and its text unless its name says that it is a secret."""
    if isinstance(value, Opaque):
        found, text = value.digest, value.shown
    else:
        found, text = digest(value), _text(value)
    return found if is_secret_name(name) else part(found, text)


def _text(value: object) -> str:
    """What people see of it; like the digest, it does not depend on the order of keys."""
    text = text_of(value)
    if isinstance(value, Mapping | list | tuple) and text.count("{"):
        text = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text


def _handed_on(row: ResultRow) -> str | None:
    """What `Fingerprints.delivered` gives for finished work that stands."""
    if row.product is not None:
        return row.product
    return digest_pairs((output[0], output[4]) for output in row.outputs) if row.outputs else None


def read_files(task: Task) -> Sequence[tuple[str, str | None]]:
    """(path, parameter) of files that are read whatever the task finds: required ones, and the one that holds its code."""
    paths: list[tuple[str, str | None]] = [(need.path, need.bind) for need in task.requires.files]
    action = task.action
    if isinstance(action, Script):
        paths.append((action.path, None))
    elif isinstance(action, Call):
        function = action.function
        if isinstance(function, Serialized):
            paths += [(function.path, None)] if function.path is not None else []
        elif (file := function.rpartition(":")[0]).endswith(".py"):
            paths.append((file, None))
    return paths


def bound(content: str, bind: str | None) -> str:
    """A digest of content that is handed over under a name."""
    return content if bind is None else digest((content, bind))


def digest_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Digest (hex) over names and digests in their order; lengths are taken in, so that no two lists are alike."""
    total = blake2b(digest_size=DIGEST_BYTES)
    for name, content in pairs:
        feed_pair(total, name, content)
    return total.hexdigest()


def feed_pair(total: blake2b, name: str, content: str) -> None:
    """Take a name and its digest into a digest over many."""
    data = name.encode("utf-8", "surrogateescape")
    total.update(b"%d:%d:" % (len(data), len(content)) + data + content.encode("utf-8", "surrogateescape"))
