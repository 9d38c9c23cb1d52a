"""A task of a workflow that is being built: a light handle on a row of its block. In weft's own words a Task is frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.define.attributes import read_attribute
from weft.define.counts import read_attempts
from weft.define.defaults import ScaleOn, read_cluster_name, read_scale_on, updated, without_none
from weft.define.growth import lay_over, shown_scales, take_scales
from weft.define.levels import cluster_of, compute_of, max_attempts_of, scales_of
from weft.define.mistakes import show
from weft.define.resource_files import ResourceFile
from weft.define.treatments import items_of
from weft.errors import ArgumentError
from weft.spec.command_templates import argv_of, command_of
from weft.spec.compute import read_compute
from weft.spec.tasks import name_problem

if TYPE_CHECKING:
    from weft.define.binding import Binding
    from weft.define.blocks import Block
    from weft.define.templates import TaskTemplate
    from weft.define.treatments import Treatment
    from weft.define.workflows import WorkflowDraft


class WorkflowTask:
    """Made by `TaskTemplate.create_task` and `create_tasks`. Equal, and ordered, by its identity (workflows.md 3)."""

    __slots__ = ("_block", "_row")

    _block: Block
    _row: int

    def __init__(self, block: Block, row: int):
        self._block = block
        self._row = row

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # --- identity --------------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> bytes:
        """The task hash as bytes."""
        return self._block.task_digest(self._row)

    @property
    def node_hash(self) -> str:
        """Of the template version and the node arguments."""
        return self._block.node_digest(self._row).hex()

    @property
    def task_hash(self) -> str:
        """Of the node and the task arguments."""
        return self.digest.hex()

    def __hash__(self) -> int:
        return int.from_bytes(self.digest[:8], "big", signed=True)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self.digest == other.digest if isinstance(other, WorkflowTask) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.digest < other.digest if isinstance(other, WorkflowTask) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self.digest <= other.digest if isinstance(other, WorkflowTask) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self.digest > other.digest if isinstance(other, WorkflowTask) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self.digest >= other.digest if isinstance(other, WorkflowTask) else NotImplemented

    # --- what it does ----------------------------------------------------------------------------------------------------

    @property
    def task_template(self) -> TaskTemplate:
        """What it was made from."""
        return self._block.template

    @property
    def name(self) -> str:
        """Unique in its workflow."""
        return self._block.name_of(self._row)

    @name.setter
    def name(self, name: str) -> None:
        if self._workflow is not None:
            raise ArgumentError(f"task {self.name!r} is in a workflow, where it is known by its name")
        self._block.own_of(self._row).name = read_name(name)

    @property
    def values(self) -> dict[str, Any]:
        """Every argument of the template, as text or number."""
        return dict(self._block.values(self._row))

    @property
    def node_args(self) -> dict[str, Any]:
        """Arguments that tell it from other tasks of its template."""
        return self._args(self._block.template.command.node_args)

    @property
    def task_args(self) -> dict[str, Any]:
        """Arguments that tell its data from those of other workflows."""
        return self._args(self._block.template.command.task_args)

    @property
    def op_args(self) -> dict[str, Any]:
        """Arguments that say how, and are in no identity."""
        return self._args(self._block.template.command.op_args)

    def _args(self, names: Iterable[str]) -> dict[str, Any]:
        values = self.values
        return {name: values[name] for name in names}

    @property
    def command(self) -> str:
        """The command as one would type it in a shell."""
        return command_of(self._block.template.command, self.values)

    @property
    def argv(self) -> tuple[str, ...] | None:
        """The command's words; None when a shell reads it."""
        return argv_of(self._block.template.command, self.values)

    # --- who waits for whom ----------------------------------------------------------------------------------------------

    @property
    def upstream_tasks(self) -> frozenset[WorkflowTask]:
        """What it waits for."""
        return frozenset(self._upstreams())

    @property
    def downstream_tasks(self) -> frozenset[WorkflowTask]:
        """What waits for it."""
        return frozenset(self._downstreams())

    def _upstreams(self) -> Iterator[WorkflowTask]:
        yield from self._block.upstreams
        own = self._block.own.get(self._row)
        if own is not None and own.upstreams is not None:
            yield from own.upstreams.values()

    def _downstreams(self) -> Iterator[WorkflowTask]:
        for follower in self._block.followers_of(self._row):
            if isinstance(follower, WorkflowTask):
                yield follower
            else:
                yield from (type(self)(follower, row) for row in range(follower.size))

    def add_upstream(self, upstream_task: WorkflowTask) -> None:
        """Waits for that task; twice is once. Raises ArgumentError for what is no task."""
        self.add_upstreams((upstream_task,))

    def add_upstreams(self, upstream_tasks: Iterable[WorkflowTask]) -> None:
        """Waits for those tasks."""
        added = read_tasks("upstream_tasks", upstream_tasks)
        if not added:
            return
        own = self._block.own_of(self._row)
        if own.upstreams is None:
            own.upstreams = {}
        for task in added:
            key = (task._block, task._row)  # not its hash: an equal task of another call has followers of its own
            if key not in own.upstreams:
                own.upstreams[key] = task
                task._block.tell_follower(task._row, self)

    def add_downstream(self, downstream_task: WorkflowTask) -> None:
        """That task waits for this one."""
        self.add_downstreams((downstream_task,))

    def add_downstreams(self, downstream_tasks: Iterable[WorkflowTask]) -> None:
        """Those tasks wait for this one."""
        for task in read_tasks("downstream_tasks", downstream_tasks):
            task.add_upstream(self)

    # --- how it is treated -----------------------------------------------------------------------------------------------

    @property
    def task_attributes(self) -> dict[str, str | None]:
        """Kept with it, never in its command or environment; with what it got while it ran."""
        own, binding = dict(self._treatment.attributes), self._binding
        return own if binding is None else {**own, **binding.added_attributes(self)}

    def add_attribute(self, attribute: Any, value: Any = None) -> None:
        """Kept as texts."""
        name, text = read_attribute(attribute, value, "task_attributes")
        self._treat(attributes=tuple({**dict(self._treatment.attributes), name: text}.items()))

    def add_attributes(self, task_attributes: Mapping[Any, Any]) -> None:
        """Several of them."""
        for name, value in task_attributes.items():
            self.add_attribute(name, value)

    @property
    def max_attempts(self) -> int:
        """In all: what it says itself, else its template, workflow or tool, else 3."""
        return max_attempts_of(self._treatment, self._block.template, self._workflow)

    @max_attempts.setter
    def max_attempts(self, value: int | None) -> None:
        self._treat(max_attempts=read_attempts(value))

    @property
    def cluster_name(self) -> str:
        """Where it runs."""
        return cluster_of(self._treatment, self._block.template, self._workflow)

    @cluster_name.setter
    def cluster_name(self, cluster_name: str) -> None:
        self._treat(cluster_name=read_cluster_name(cluster_name))

    @property
    def compute_resources(self) -> dict[str, Any]:
        """What it asks for, of all levels: memory in bytes, runtime in seconds."""
        return compute_of(self._treatment, self._block.template, self._workflow)

    @property
    def resource_scales(self) -> dict[str, Any] | None:
        """How that grows, of all levels; None: what ran out by a half."""
        return shown_scales(scales_of(self._treatment, self._block.template, self._workflow), self.max_attempts)

    @property
    def fallback_queues(self) -> tuple[str, ...]:
        """Where it goes when its request has outgrown its queue."""
        return self._treatment.fallback_queues or ()

    @property
    def scale_on(self) -> ScaleOn | None:
        """`exhausted` or `any`, when it says so itself."""
        return self._treatment.scale_on

    @scale_on.setter
    def scale_on(self, value: ScaleOn | None) -> None:
        self._treat(scale_on=read_scale_on(value))

    def update_compute_resources(self, **kw: Any) -> None:
        """Merges key by key; None takes away what the task itself said. Raises ArgumentError."""
        self._treat(compute=items_of(updated(dict(self._treatment.compute), read_compute(kw), kw)))

    def update_resource_scales(self, **kw: Any) -> None:
        """Merges key by key; None takes away what the task itself said. Raises ArgumentError."""
        if not kw:
            return
        taken = take_scales(without_none(kw), self.max_attempts, self._block.template.tool.shared) or {}
        said = self._treatment.scales
        after = lay_over(None if said is None else dict(said), taken, kw)
        self._treat(scales=None if after is None else items_of(after))

    def set_compute_resources_from_yaml(self, cluster_name: str, yaml_file: Any) -> None:
        """What a file says for its template on that cluster, over what the task says. Raises ArgumentError, KeyError, OSError."""
        template = self._block.template
        found = ResourceFile(yaml_file).need_template_resources(template.name)
        compute = {**found.get("*", {}), **found.get(read_cluster_name(cluster_name), {})}
        self.update_compute_resources(**compute)

    @property
    def _treatment(self) -> Treatment:
        return self._block.treatment_of(self._row)

    def _treat(self, **changes: Any) -> None:
        changed = self._treatment._replace(**changes)
        self._block.own_of(self._row).treatment = changed

    # --- its workflow, when that is recorded -----------------------------------------------------------------------------

    @property
    def _workflow(self) -> WorkflowDraft | None:
        """The one that it was added to, the latest if there are several."""
        for draft in reversed(self._block.homes):
            if draft.holds(self):
                return draft
        return None

    @property
    def is_bound(self) -> bool:
        """Whether its workflow is recorded."""
        return self._binding is not None

    @property
    def _binding(self) -> Binding | None:
        workflow = self._workflow
        return None if workflow is None else workflow.binding

    def _bound(self, member: str) -> Binding:
        binding = self._binding
        if binding is None:
            raise AttributeError(f"{member} of task {self.name!r} is known when its workflow is bound")
        return binding

    @property
    def task_id(self) -> int:
        """Its number; AttributeError before its workflow is bound."""
        return self._bound("task_id").task_id(self)

    @property
    def initial_status(self) -> str:
        """Its letter when it was bound; AttributeError before."""
        return self._bound("initial_status").initial_status(self)

    @property
    def final_status(self) -> str:
        """Its letter at the end of the run; AttributeError before."""
        return self._bound("final_status").final_status(self)

    @property
    def state(self) -> str:
        """Weft's own word; AttributeError before its workflow is bound."""
        return self._bound("state").state(self)

    @property
    def cause(self) -> str | None:
        """Why it is in that state; AttributeError before its workflow is bound."""
        return self._bound("cause").cause(self)

    @property
    def attempts(self) -> Sequence[Any]:
        """Each one that was made, with what it asked for and took; AttributeError before its workflow is bound."""
        return self._bound("attempts").attempts(self)

    def resource_usage(self) -> dict[str, Any]:
        """num_attempts, nodename, runtime (seconds), memory (peak bytes) of the successful attempt; all None before.

        Raises RuntimeError when its workflow is not bound.
        """
        binding = self._binding
        if binding is None:
            raise RuntimeError(f"task {self.name!r} is not bound: add it to a workflow, and run or bind that")
        return binding.resource_usage(self)

    def get_errors(self) -> dict[str, Any] | None:
        """None, or `{"task_instance_id", "error_log": [{"error_id", "error_time", "description"}, ...]}`; read anew each time."""
        binding = self._binding
        return None if binding is None else binding.get_errors(self)


def read_name(name: Any) -> str:
    """Raises ArgumentError."""
    if not isinstance(name, str):
        raise ArgumentError(f"the name of a task is a text, not {show(name)}")
    problem = name_problem(name)
    if problem is not None:
        raise ArgumentError(f"task {show(name)}: {problem}")
    return name


def read_tasks(what: str, given: Any) -> tuple[WorkflowTask, ...]:
    """Raises ArgumentError unless they are tasks."""
    if given is None:
        return ()
    if isinstance(given, WorkflowTask):
        return (given,)
    if not isinstance(given, Iterable):
        raise ArgumentError(f"{what} are tasks, not {show(given)}")
    if isinstance(given, set | frozenset):
        given = sorted(given) if all(isinstance(each, WorkflowTask) for each in given) else list(given)
    tasks = tuple(given)
    for task in tasks:
        if not isinstance(task, WorkflowTask):
            raise ArgumentError(f"{what} holds {show(task)}, which is no task")
    return tasks
