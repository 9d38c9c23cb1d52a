"""A workflow's plan: its tasks in the words of the engine (workflows.md 2 to 4, dialects.md 4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from weft.collector import collector_paused
from weft.define.blocks import NOT_HERE, Row, rows_of
from weft.define.growth import engine_scales
from weft.define.levels import compute_of, max_attempts_of, said_cluster_of, scale_on_of, scales_of
from weft.define.telling import tell
from weft.errors import CyclicGraphError, NodeDependencyNotExistError, cut
from weft.spec.actions import Shell
from weft.spec.compute import CLUSTERS_WITHOUT_PROJECTS, demand_of, limit_name
from weft.spec.graph import Graph, GraphError
from weft.spec.identity import edges_digest, tasks_digest, workflow_digest
from weft.spec.plan import Plan, Template
from weft.spec.requirements import NO_REQUIREMENTS
from weft.spec.resources import to_units
from weft.spec.retries import Retries
from weft.spec.tasks import NOTHING, Dependency, Policy, Task, name_problem

if TYPE_CHECKING:
    from weft.define.blocks import Block
    from weft.define.defaults import ScaleOn
    from weft.define.templates import TaskTemplate
    from weft.define.treatments import Treatment
    from weft.define.workflow_tasks import WorkflowTask
    from weft.define.workflows import WorkflowDraft

SHOWN_MISSING: Final = 5


def plan_of(draft: WorkflowDraft, scale_on: ScaleOn) -> Plan:
    """Raises NodeDependencyNotExistError, CyclicGraphError, ArgumentError."""
    with collector_paused():
        edges = _Edges(draft)
        names = _Names(draft)
        policies = _Policies(draft, names, scale_on)
        tasks: list[Task] = []
        for block, rows in rows_of(draft.members):
            tasks.extend(_tasks(block, rows, edges, policies))
        edges.tell_missing()
        try:
            graph = Graph(tasks)
        except GraphError as error:
            raise CyclicGraphError("; ".join(problem.message for problem in error.problems())) from None
        return Plan(
            graph=graph,
            root=os.getcwd(),
            key=draft.key,
            name=draft.shown_name,
            description=draft.description or None,
            templates=MappingProxyType(names.templates()),
            attributes=MappingProxyType({"workflow": _attributes(draft, names, edges)}),
            limits=MappingProxyType(names.limits()),
        )


def hash_of(draft: WorkflowDraft) -> str:
    """Of the identity, the tasks and the edges. Raises NodeDependencyNotExistError."""
    with collector_paused():
        edges = _Edges(draft)
        digests = edges.digests()
        found = workflow_digest(draft.key, tasks_digest(digests), edges.digest(digests))
        edges.tell_missing()
        return found


def _tasks(block: Block, rows: Sequence[int], edges: _Edges, policies: _Policies) -> Iterator[Task]:
    action = block.template.command.action
    has_args = bool(block.layout.args)
    names = block.names_of(rows)
    if block.own:
        for name, row in zip(names, rows, strict=True):
            parameters = Row(block, row) if has_args else NOTHING
            policy = policies.of(block, block.treatment_of(row))
            yield Task(name, action, edges.dependencies(block, row), parameters, NO_REQUIREMENTS, (), policy)
        return
    dependencies = edges.dependencies(block, rows[0])
    policy = policies.of(block, block.treatment)
    for name, row in zip(names, rows, strict=True):
        yield Task(name, action, dependencies, Row(block, row) if has_args else NOTHING, NO_REQUIREMENTS, (), policy)


class _Edges:
    """Dependencies of a draft's tasks, in plan order, each once; what is not in the workflow is collected."""

    def __init__(self, draft: WorkflowDraft):
        self._draft = draft
        self._by_place: dict[int, Dependency] = {}
        self._shared: dict[Block, tuple[int, ...]] = {}
        self._shared_dependencies: dict[Block, tuple[Dependency, ...]] = {}
        self._missing: dict[tuple[str, str], None] = {}

    def places(self, block: Block, row: int) -> tuple[int, ...]:
        """Of what a task waits for, sorted."""
        shared: tuple[int, ...] = ()
        if block.upstreams:
            known = self._shared.get(block)
            shared = self._resolve(block.upstreams, block, row) if known is None else known
            self._shared[block] = shared
        own = block.own.get(row)
        if own is None or not own.upstreams:
            return shared
        return tuple(sorted({*shared, *self._resolve(own.upstreams.values(), block, row)}))

    def dependencies(self, block: Block, row: int) -> tuple[Dependency, ...]:
        """The same as the engine takes them."""
        own = block.own.get(row)
        if own is not None and own.upstreams:
            return self._named(self.places(block, row))
        if not block.upstreams:
            return ()
        found = self._shared_dependencies.get(block)
        if found is None:
            found = self._shared_dependencies[block] = self._named(self.places(block, row))
        return found

    def _named(self, places: tuple[int, ...]) -> tuple[Dependency, ...]:
        known, members = self._by_place, self._draft.members
        for place in places:
            if place not in known:
                task = members[place]
                known[place] = Dependency(task._block.name_of(task._row))
        return tuple([known[place] for place in places])

    def _resolve(self, upstreams: Iterable[WorkflowTask], block: Block, row: int) -> tuple[int, ...]:
        found: set[int] = set()
        draft = self._draft
        places_by_block: dict[Block, Sequence[int]] = {}
        for task in upstreams:
            upstream = task._block
            places = places_by_block.get(upstream)
            if places is None:
                places = places_by_block[upstream] = draft.places_of(upstream)
            place = places[task._row] if places else NOT_HERE
            if place != NOT_HERE:
                found.add(place)
                continue
            equal = draft.place_of(task)
            if equal is None:
                self._missing[block.name_of(row), task.name] = None
            else:
                found.add(equal)
        return tuple(sorted(found))

    def tell_missing(self) -> None:
        """Raises NodeDependencyNotExistError with what waits for tasks that are not there."""
        if not self._missing:
            return
        shown = [f"{cut(name)!r} waits for {cut(other)!r}" for name, other in islice(self._missing, SHOWN_MISSING)]
        more = len(self._missing) - len(shown)
        raise NodeDependencyNotExistError(
            f"upstream tasks that are not in the workflow: {', '.join(shown)}"
            f"{f' and {more} more' if more else ''}; add them with add_task"
        )

    def digests(self) -> list[bytes]:
        """Of all tasks, in plan order."""
        return [each for block, rows in rows_of(self._draft.members) for each in block.task_digests_of(rows)]

    def digest(self, tasks: Sequence[bytes]) -> str:
        """Of all edges. tasks: their digests, in plan order."""
        return edges_digest(self._pairs(tasks))

    def _pairs(self, tasks: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        start = 0
        for block, rows in rows_of(self._draft.members):
            if block.upstreams or block.own:
                for place, row in enumerate(rows, start):
                    yield from zip([tasks[each] for each in self.places(block, row)], repeat(tasks[place]))
            start += len(rows)


class _Names:
    """What templates and limits are called in the plan."""

    def __init__(self, draft: WorkflowDraft):
        self._draft = draft
        self._templates: dict[tuple[bytes, bool], tuple[str, TaskTemplate]] = {}
        taken: set[str] = set()
        for array in draft.arrays.values():
            for block in array.blocks:
                command = block.template.command
                if (command.digest, command.uses_shell) not in self._templates:
                    name = _free(command.name, taken)
                    taken.add(name)
                    self._templates[command.digest, command.uses_shell] = (name, block.template)
        shown = draft.shown_name if name_problem(draft.shown_name) is None else draft.key
        # A template of the same name must not share the workflow's limit.
        while shown in draft.arrays:
            shown = f"workflow:{shown}"
        self.workflow_limit = limit_name(shown)

    def of_template(self, template: TaskTemplate) -> str:
        """Unique also among versions of one template."""
        return self._templates[template.command.digest, template.command.uses_shell][0]

    def limits_of(self, template: TaskTemplate) -> tuple[str, str]:
        """The named resources of which each of its tasks holds one."""
        return self.workflow_limit, limit_name(template.name)

    def templates(self) -> dict[str, Template]:
        """As native templates."""
        return {name: Template(name, MappingProxyType(_fields(each))) for name, each in self._templates.values()}

    def limits(self) -> dict[str, int]:
        """Capacities in integer units."""
        counts = {self.workflow_limit: self._draft.max_concurrently_running}
        counts.update((limit_name(name), each.max_concurrently_running) for name, each in self._draft.arrays.items())
        return {name: to_units(name, count) for name, count in counts.items()}

    def described(self) -> dict[str, list[Any]]:
        """What the command line needs of the templates when the script is gone."""
        return {name: _described(template) for name, template in self._templates.values()}


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}#{number}", number + 1
    return found


def _fields(template: TaskTemplate) -> dict[str, Any]:
    action = template.command.action
    command = {"shell": action.script} if isinstance(action, Shell) else {"command": list(action.argv)}
    return {**command, "parameter_roles": dict(template.command.roles)}


def _described(template: TaskTemplate) -> list[Any]:
    command = template.command
    return [list(command.node_args), list(command.task_args), list(command.op_args), command.digest.hex(), command.text]


def _attributes(draft: WorkflowDraft, names: _Names, edges: _Edges) -> dict[str, Any]:
    digests = edges.digests()
    return {
        "tool": draft.tool.name,
        "version": draft.tool_version,
        "workflow_args": draft.workflow_args,
        "name": draft.name,
        "description": draft.description,
        "attributes": draft.workflow_attributes,
        "tasks": tasks_digest(digests),
        "edges": edges.digest(digests),
        "templates": names.described(),
        "limit": names.workflow_limit,
    }


class _Policies:
    """One object for all tasks that are treated alike."""

    def __init__(self, draft: WorkflowDraft, names: _Names, scale_on: ScaleOn):
        self._draft = draft
        self._names = names
        self._scale_on = scale_on
        self._made: dict[tuple[int, Treatment], Policy] = {}

    def of(self, block: Block, treatment: Treatment) -> Policy:
        """How a task of the block is treated."""
        key = (id(block.template), treatment)
        try:
            found = self._made.get(key)
        except TypeError:  # a function or an attribute that cannot be hashed: not shared
            return self._make(block.template, treatment)
        if found is None:
            found = self._made[key] = self._make(block.template, treatment)
        return found

    def _make(self, template: TaskTemplate, treatment: Treatment) -> Policy:
        levels = (treatment, template, self._draft)
        attempts = max_attempts_of(*levels)
        demand = demand_of(compute_of(*levels), self._names.limits_of(template))
        cluster = said_cluster_of(*levels)
        self._warn_of_unused(cluster, demand.directives)
        retries = Retries(
            max_attempts=attempts,
            scales=engine_scales(scales_of(*levels), attempts),
            scale_on=scale_on_of(*levels) or self._scale_on,
            fallback_queues=treatment.fallback_queues or (),
        )
        return Policy(
            resources=demand.resources,
            retries=retries,
            timeout=demand.timeout,
            roles=template.command.roles,
            template=self._names.of_template(template),
            executor=cluster,
            queue=demand.queue,
            attributes=MappingProxyType(dict(treatment.attributes)) if treatment.attributes else NOTHING,
            copies=demand.copies if demand.copies else NOTHING,
            directives=demand.directives if demand.directives else NOTHING,
            auto=demand.auto,
            ask=treatment.ask,
        )

    def _warn_of_unused(self, cluster: str | None, unused: Mapping[str, Any]) -> None:
        name = cluster or "local"
        if name not in CLUSTERS_WITHOUT_PROJECTS:
            return
        for key in unused:
            if (name, key) not in self._draft.told:
                self._draft.told.add((name, key))
                tell(f"compute_resources: cluster {name!r} has no use for {key!r}")
