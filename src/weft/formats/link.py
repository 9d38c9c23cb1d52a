"""Drafts to one plan: united, every reference resolved, values of options in place, the graph made."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.errors import COMPARED_NAMES, cut, hint_nearest
from weft.formats.check_slots import check_slots, escape_script, found_names
from weft.formats.draft import SECTIONS, Draft
from weft.formats.mistakes import Mistakes, pointer
from weft.spec.actions import Call, Shell
from weft.spec.graph import Graph, GraphError
from weft.spec.options import Option
from weft.spec.plan import Plan, Source
from weft.spec.tasks import Dependency, Policy, Task
from weft.spec.types import BUILTIN

if TYPE_CHECKING:
    from weft.formats.option_values import Given

SHOWN_CYCLE: Final = 100  # tasks of a cycle that its message names; more are left out in the middle
COMPARED: Final = 500_000  # names that hints may compare in all, some seconds: a plan may have 100,000 wrong references

_WORDS = {
    "options": "option",
    "types": "type",
    "environments": "environment",
    "notes": "note",
    "templates": "template",
}


class Advice(NamedTuple):
    """A warning about a task of a sound plan, or what any run would refuse. path: where below the task."""

    task: int
    path: tuple[str | int, ...]
    code: str
    message: str
    hint: str | None = None
    is_error: bool = False


Advise = Callable[[Plan], Iterable[Advice]]


class _Linker:
    """Tables of all drafts, while they become a plan."""

    def __init__(self, drafts: Sequence[Draft], mistakes: Mistakes):
        self.drafts = drafts
        self.mistakes = mistakes
        self.tasks: list[Task] = []
        self.starts: list[int] = []  # index of the first task of each draft
        self.index: dict[str, int] = {}
        self.broken: set[str] = set()
        self.unsound: set[int] = set()  # indexes of tasks that were kept in part
        self.sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        self._comparisons_left = COMPARED
        self._policies: dict[int, tuple[tuple[str, str, str, str], ...]] = {}

    def hint(self, name: str, known: Collection[str]) -> str | None:
        """`did you mean`, as long as there is time to look."""
        self._comparisons_left -= min(len(known), COMPARED_NAMES)
        return hint_nearest(name, known) if self._comparisons_left >= 0 else None

    def home(self, index: int) -> tuple[Draft, int]:
        """The draft that a task came from, and its position there."""
        number = bisect_right(self.starts, index) - 1
        return self.drafts[number], index - self.starts[number]

    def place(self, index: int, *rest: str | int) -> tuple[str, str]:
        """File and JSON pointer of a task, or of something in it."""
        draft, position = self.home(index)
        return draft.file, draft.pointer_of(position, *rest)

    # --- unite

    def unite(self) -> None:
        for section in SECTIONS:
            self._unite_section(section)
        repeated: dict[str, list[int]] = {}
        index, tasks = self.index, self.tasks
        for draft in self.drafts:
            self.starts.append(len(tasks))
            self.broken.update(draft.broken)
            self.unsound.update(len(tasks) + position for position in draft.unsound)
            for task in draft.tasks:
                first = index.setdefault(task.name, len(tasks))
                if first != len(tasks):
                    repeated.setdefault(task.name, [first]).append(len(tasks))
                tasks.append(task)
        for name, indexes in repeated.items():
            others = tuple(self.place(each) for each in indexes)
            file, location = others[-1]
            message = f"task {cut(name)!r} is defined {len(indexes)} times"
            self.mistakes.error("name.duplicate", message, file, location, at_key=True, others=others)
        self._tell_instance_names()

    def _unite_section(self, section: str) -> None:
        table = self.sections[section]
        owners: dict[str, list[Draft]] = {}
        for draft in self.drafts:
            for name, value in getattr(draft, section).items():
                owners.setdefault(name, []).append(draft)
                table.setdefault(name, value)
        for name, drafts in owners.items():
            if len(drafts) > 1:
                others = tuple((draft.file, draft.section_pointer(section, name)) for draft in drafts)
                message = f"{_WORDS[section]} {cut(name)!r} is defined {len(drafts)} times"
                file, location = others[-1]
                self.mistakes.error("name.duplicate", message, file, location, at_key=True, others=others)

    def _tell_instance_names(self) -> None:
        """`NAME[ITEM]` is an instance of the mapped task NAME; no other task may be called so."""
        mapped = {task.name for task in self.tasks if task.policy.foreach is not None}
        if not mapped:
            return
        for index, task in enumerate(self.tasks):
            name = task.name
            if not name.endswith("]"):
                continue
            end = name.find("[")
            while end > 0:
                if name[:end] in mapped:
                    file, location = self.place(index)
                    message = f"task {cut(name)!r} has the name of an instance of the mapped task {cut(name[:end])!r}"
                    self.mistakes.error("name.duplicate", message, file, location, "choose another name", at_key=True)
                    break
                end = name.find("[", end + 1)

    # --- sections

    def check_sections(self) -> None:
        types = self.sections["types"]
        known = [*BUILTIN, *types]
        for draft in self.drafts:
            for name, kind in draft.types.items():
                if kind.parent is not None and kind.parent not in types and kind.parent not in BUILTIN:
                    message = f"type {cut(name)!r} has the parent {cut(kind.parent)!r}, which does not exist"
                    location = pointer("types", name, "parent")
                    self.mistakes.error("ref.type", message, draft.file, location, self.hint(kind.parent, known))
                if kind.items is not None and kind.items not in types and kind.items not in BUILTIN:
                    message = f"type {cut(name)!r} has items of the type {cut(kind.items)!r}, which does not exist"
                    location = pointer("types", name, "items")
                    self.mistakes.error("ref.type", message, draft.file, location, self.hint(kind.items, known))
            for name, option in draft.options.items():
                self._check_option(draft.file, name, option, known)
        self._tell_type_cycles()

    def _check_option(self, file: str, name: str, option: Option, known: Sequence[str]) -> None:
        types = self.sections["types"]
        if option.type not in types and option.type not in BUILTIN:
            message = f"option {cut(name)!r} has the type {cut(option.type)!r}, which does not exist"
            location = pointer("options", name, "type")
            self.mistakes.error("ref.type", message, file, location, self.hint(option.type, known))
        elif not option.is_required and self._has_sound_type(option.type):
            from weft.formats.option_values import value_problem  # late, as below: few plans have options

            problem = value_problem(option.default, option.type, types)
            if problem:
                message = f"option {cut(name)!r}: its default is wrong: {problem}"
                self.mistakes.error("option.type", message, file, pointer("options", name, "default"))

    def _has_sound_type(self, name: str) -> bool:
        seen: set[str] = set()
        current: str | None = name
        while current is not None and current not in seen:
            seen.add(current)
            kind = self.sections["types"].get(current)
            if kind is None:
                return current in BUILTIN
            current = kind.parent
        return current is None

    def _tell_type_cycles(self) -> None:
        types = self.sections["types"]
        told: set[str] = set()
        for draft in self.drafts:
            for name in draft.types:
                line: list[str] = []
                current: str | None = name
                while current in types and current not in line and current not in told:
                    line.append(current)
                    current = types[current].parent
                told.update(line)
                if current in line:
                    cycle = line[line.index(current) :]
                    shown = " -> ".join(repr(cut(member)) for member in (*cycle, cycle[0]))
                    location = pointer("types", name, "parent")
                    self.mistakes.error("graph.cycle", f"types are each other's parents: {shown}", draft.file, location)

    # --- references of tasks

    def check_references(self) -> None:
        """Environments, notes and types that tasks name; each policy is looked at once."""
        for index, task in enumerate(self.tasks):
            policy = task.policy
            found = self._policies.get(id(policy))
            if found is None:
                found = self._policies[id(policy)] = tuple(self._unknown_in(policy))
            for field, code, word, name in found:
                rest: tuple[str | int, ...] = (field,)
                if field == "notes":
                    rest = self._note_place(index, name)
                file, location = self.place(index, *rest)
                known = {"ref.environment": "environments", "ref.note": "notes", "ref.type": "types"}[code]
                names = [*self.sections[known], *(BUILTIN if known == "types" else ())]
                message = f"task {cut(task.name)!r} names the {word} {cut(name)!r}, which does not exist"
                hint = self.hint(name, names) or (None if names else f"the plan has no {known}")
                self.mistakes.error(code, message, file, location, hint)

    def _unknown_in(self, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
        if policy.environment is not None and policy.environment not in self.sections["environments"]:
            yield "environment", "ref.environment", "environment", policy.environment
        for note in policy.notes:
            if note not in self.sections["notes"]:
                yield "notes", "ref.note", "note", note
        if policy.product is not None:
            kind = policy.product.type
            if kind not in BUILTIN and kind not in self.sections["types"]:
                yield "product", "ref.type", "type", kind

    def _note_place(self, index: int, name: str) -> tuple[str | int, ...]:
        draft, position = self.home(index)
        raw = draft.raw(position)
        if isinstance(raw, dict):
            for key in ("notes", "note"):
                value = raw.get(key)
                if isinstance(value, list) and name in value:
                    return key, value.index(name)
                if value is not None:
                    return (key,)
        return ("notes",)

    def check_products(self) -> None:
        """What a dependency hands over must be a product, for a parameter that nothing else gives."""
        for index, task in enumerate(self.tasks):
            if index in self.unsound:
                continue
            product = task.policy.product
            if product is not None:
                self._check_source(index, task, product.source)
            if any(edge.bind is not None for edge in task.dependencies):
                self._check_binds(index, task)
            foreach = task.policy.foreach
            stream = foreach.stream if foreach is not None else None
            for edge in task.dependencies:
                if edge.bind is not None or edge.each or edge.name == stream:
                    self._check_maker(index, task, edge.name)

    def _check_source(self, index: int, task: Task, source: str) -> None:
        if source == "return" and not isinstance(task.action, Call):
            reason = "which only a function can give"
            hint = "a command's or a snippet's product is 'stdout', 'json' or 'outputs'"
        elif source == "outputs" and not task.outputs:
            reason, hint = "and declares no outputs", "name its files or folders under 'outputs'"
        else:
            return
        file, location = self.place(index, "product")
        message = f"task {cut(task.name)!r} has the product {source!r}, {reason}"
        self.mistakes.error("shape.conflict", message, file, location, hint)

    def _check_binds(self, index: int, task: Task) -> None:
        """A parameter has one value; only gathered products come together in one."""
        given = dict.fromkeys(task.parameters, "its parameters") | dict.fromkeys(
            found_names(task), "its files or items"
        )
        for edge in task.dependencies:
            foreach = task.policy.foreach
            if edge.bind is None or (edge.each and foreach is not None and foreach.stream == edge.name):
                continue  # what an instance receives of the task that it is mapped over, its foreach says as well
            other = given.get(edge.bind)
            given.setdefault(edge.bind, f"the product of {cut(edge.name)!r}")
            if other is None or (edge.gather and other.startswith("the product")):
                continue
            draft, position = self.home(index)
            message = f"task {cut(task.name)!r} takes {cut(edge.bind)!r} from {cut(edge.name)!r} and from {other}"
            location = draft.dependency_place(position, edge.name)
            self.mistakes.error("shape.conflict", message, draft.file, location, "give them different names by 'as'")

    def _check_maker(self, index: int, task: Task, name: str) -> None:
        maker = self.index.get(name)
        if maker is None or name in self.broken or maker in self.unsound:
            return
        if self.tasks[maker].policy.product is not None:
            return
        draft, position = self.home(index)
        message = f"task {cut(task.name)!r} takes the product of {cut(name)!r}, which has none"
        hint = "give that task a product: stdout, json or outputs"
        self.mistakes.error("shape.conflict", message, draft.file, draft.dependency_place(position, name), hint)

    # --- parameters that tasks require

    def wanted_parameters(self) -> dict[str, list[int]]:
        """Tasks by name in their `requires.parameters`, in plan order."""
        wanted: dict[str, list[int]] = {}
        for index, task in enumerate(self.tasks):
            for name in task.requires.parameters:
                wanted.setdefault(name, []).append(index)
        return wanted

    def add_parameter_edges(self, wanted: Mapping[str, list[int]], values: Mapping[str, Any]) -> None:
        """A required `TASK` or `TASK.key` is a dependency; a name that nothing gives is told as a warning."""
        for name, askers in wanted.items():
            if name in values:
                continue
            owner = name if name in self.index else None
            end = name.rfind(".")
            while owner is None and end > 0:
                owner = name[:end] if name[:end] in self.index else None
                end = name.rfind(".", 0, end)
            for asker in askers:
                task = self.tasks[asker]
                if owner is None:
                    self._warn_unmet(asker, task, name)
                elif all(edge.name != owner for edge in task.dependencies):
                    self.tasks[asker] = replace(task, dependencies=(*task.dependencies, Dependency(owner)))

    def _warn_unmet(self, asker: int, task: Task, name: str) -> None:
        if name in self.broken:
            return
        file, location = self.place(asker, "requires", "parameters")
        message = (
            f"task {cut(task.name)!r} requires the parameter {cut(name)!r}, which nothing gives; it will be skipped"
        )
        hint = self.hint(name, [*self.sections["options"], *self.index]) or f"give it with -o {cut(name)}=VALUE"
        self.mistakes.warn("option.missing", message, file, location, hint)

    # --- graph

    def graph(self) -> Graph | None:
        try:
            return Graph(self.tasks)
        except GraphError as error:
            if error.unknown:
                self._tell_unknown()
            for cycle in error.cycles:
                self._tell_cycle(cycle)
        return None

    def tell_file_cycles(self, graph: Graph) -> None:
        """What waits for files that can only be made after it."""
        if not any(task.outputs for task in self.tasks):
            return
        from weft.formats.file_cycles import file_cycles

        for cycle in file_cycles(graph):
            names = [
                repr(cut(self.tasks[task].name)) + (f" (for {cut(path)!r})" if path is not None else "")
                for task, path in zip(cycle.tasks, cycle.files, strict=True)
            ]
            shown = _shown_cycle([*names, repr(cut(self.tasks[cycle.tasks[0]].name))])
            asking = next(place for place, path in enumerate(cycle.files) if path is not None)
            file, location = self.place(cycle.tasks[asking], "requires", "files")
            message = f"{len(cycle.tasks)} tasks wait for each other, each for the next: {shown}"
            hint = "what must be there before and is no input: requires.signal"
            self.mistakes.error("graph.cycle", message, file, location, hint)

    def _tell_unknown(self) -> None:
        for index, task in enumerate(self.tasks):
            for edge in task.dependencies:
                if edge.name not in self.index and edge.name not in self.broken:
                    self._tell_unknown_edge(index, task, edge.name)

    def _tell_unknown_edge(self, index: int, task: Task, name: str) -> None:
        draft, position = self.home(index)
        location = draft.dependency_place(position, name)
        is_stream = task.policy.foreach is not None and task.policy.foreach.stream == name
        if is_stream and "/dependencies" not in location:
            location = draft.pointer_of(position, "foreach", "stream")
        message = f"task {cut(task.name)!r} depends on {cut(name)!r}, which does not exist"
        self.mistakes.error("ref.task", message, draft.file, location, self.hint(name, self.index))

    def _tell_cycle(self, cycle: Sequence[str]) -> None:
        draft, position = self.home(self.index[cycle[0]])
        if len(cycle) == 1:
            message = f"task {cut(cycle[0])!r} depends on itself"
        else:
            names = [repr(cut(name)) for name in (*cycle, cycle[0])]
            message = f"{len(cycle)} tasks depend on each other, each on the next: {_shown_cycle(names)}"
        location = draft.dependency_place(position, cycle[1 % len(cycle)])
        self.mistakes.error("graph.cycle", message, draft.file, location)


def _shown_cycle(names: list[str]) -> str:
    if len(names) > SHOWN_CYCLE:
        half = SHOWN_CYCLE // 2
        names = [*names[:half], f"… ({len(names) - 2 * half} more)", *names[-half:]]
    return " -> ".join(names)


def link(
    drafts: Sequence[Draft],
    folder: str,
    given_root: str | None,
    given: Given,
    mistakes: Mistakes,
    advise: Advise | None = None,
    is_open: bool = False,
) -> Plan | None:
    """The plan that the drafts make together, None when there are mistakes.

    folder: what a relative `given_root` starts from. given: `-o` pairs. advise: finds more in the plan. is_open: options may
    stay without values.
    """
    linker = _Linker(drafts, mistakes)
    linker.unite()
    linker.check_sections()
    linker.check_references()
    linker.check_products()
    options: dict[str, Option] = dict(linker.sections["options"])
    types = linker.sections["types"]
    wanted = linker.wanted_parameters()
    assigned: dict[str, Any] = {}
    if given:
        from weft.formats.option_values import assign

        assigned = assign(given, options, types, wanted, linker.index, linker.tasks, mistakes)
    for name in assigned:
        options.setdefault(name, Option())
    values = {name: assigned.get(name, option.default) for name, option in options.items()}
    missing = [name for name, option in options.items() if name not in assigned and option.is_required]
    for name in missing:
        del values[name]
    linker.add_parameter_edges(wanted, values)
    if values:  # without values no script is filled, and `{{` would stay as it is
        _escape_foreign_scripts(linker)
    used = check_slots(linker.tasks, linker.place, options, values, mistakes, linker.unsound)
    if not is_open:
        _tell_missing(missing, wanted, used, drafts, mistakes)
    graph = linker.graph()
    if graph is not None:
        linker.tell_file_cycles(graph)
    if graph is None or mistakes.errors or not drafts:
        return None
    plan = _plan(linker, graph, options, values, _root(drafts, folder, given_root))
    for advice in advise(plan) if advise is not None else ():
        file, location = linker.place(advice.task, *advice.path)
        tell = mistakes.error if advice.is_error else mistakes.warn
        tell(advice.code, advice.message, file, location, advice.hint)
    return plan


def _escape_foreign_scripts(linker: _Linker) -> None:
    """Slots mean nothing in the scripts of other dialects, also beside a document whose options would make them active."""
    for index, task in enumerate(linker.tasks):
        if not isinstance(task.action, Shell) or "{" not in task.action.script:
            continue
        draft, position = linker.home(index)
        if draft.dialect not in ("tasklist", "taskplan"):
            continue
        escaped = escape_script(task.action.script)
        if escaped is None:
            key = "arguments" if draft.dialect == "tasklist" else "command"
            file, location = draft.file, draft.pointer_of(position, key)
            message = f"task {cut(task.name)!r} has braces that read as a slot now that the plan has options"
            linker.mistakes.error(
                "slot.unknown", message, file, location, "write the task natively, with `{{` and `}}`"
            )
        else:
            linker.tasks[index] = replace(task, action=Shell(escaped))


def _tell_missing(
    missing: Sequence[str],
    wanted: Mapping[str, Any],
    used: set[str],
    drafts: Sequence[Draft],
    mistakes: Mistakes,
) -> None:
    """An option without a value is a mistake, unless tasks only require it: then it is for the run to skip them."""
    for name in missing:
        if name in wanted and name not in used:
            continue
        owner = next((draft for draft in drafts if name in draft.options), None)
        message = f"option {cut(name)!r} has no value"
        hint = f"give it with -o {cut(name)}=VALUE, or a default"
        file = None if owner is None else owner.file
        mistakes.error("option.missing", message, file, pointer("options", name), hint, at_key=True)


def _root(drafts: Sequence[Draft], folder: str, given: str | None) -> str:
    if given is not None:
        return os.path.abspath(os.path.join(folder, given))
    for draft in drafts:
        if draft.root is not None:
            return os.path.abspath(os.path.join(draft.document.folder, draft.root))
    return drafts[0].document.folder


def _plan(linker: _Linker, graph: Graph, options: Mapping[str, Option], values: Mapping[str, Any], root: str) -> Plan:
    drafts = linker.drafts
    sources: list[Source] = []
    for draft in drafts:
        document = draft.document
        path = document.path if document.path == "-" else os.path.relpath(document.key, root)
        sources += draft.sources or (Source(path, draft.dialect, document.digest),)
        sources += (each._replace(path=os.path.relpath(each.path, root)) for each in draft.besides)
    attributes: dict[str, Any] = {}
    limits: dict[str, int] = {}
    for draft in drafts:
        attributes = {**draft.attributes, **attributes}
        limits = {**draft.limits, **limits}
    return Plan(
        graph=graph,
        root=root,
        key=drafts[0].document.key,
        name=next((draft.name for draft in drafts if draft.name is not None), None),
        description=next((draft.description for draft in drafts if draft.description is not None), None),
        sources=tuple(sources),
        options=MappingProxyType(dict(options)),
        values=MappingProxyType(dict(values)),
        attributes=MappingProxyType(attributes),
        limits=MappingProxyType(limits),
        order="file" if next((draft.order for draft in drafts if draft.order), "path") == "file" else "path",
        family=drafts[0].family if len(drafts) == 1 else "",
        types=MappingProxyType(linker.sections["types"]),
        environments=MappingProxyType(linker.sections["environments"]),
        notes=MappingProxyType(linker.sections["notes"]),
        templates=MappingProxyType(linker.sections["templates"]),
    )
