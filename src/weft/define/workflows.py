"""A workflow that is being built: tasks, limits, attributes, defaults; a plain value that does nothing (workflows.md 6.1)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

from weft.define.arrays import Array, Arrays
from weft.define.attributes import Attributes, read_attributes
from weft.define.blocks import NOT_HERE, Block, rows_of
from weft.define.counts import read_attempts, read_limit
from weft.define.defaults import Defaulted, read_cluster_name, read_scale_on, take_compute, take_scales_of
from weft.define.mistakes import show
from weft.define.nodes import Nodes
from weft.define.resource_files import ResourceFile
from weft.define.shared_names import SharedNames
from weft.define.telling import tell
from weft.define.workflow_tasks import WorkflowTask, read_tasks
from weft.errors import ArgumentError, DuplicateNodeArgsError, hint_nearest
from weft.spec.compute import NO_LIMIT
from weft.spec.identity import text_of_value, workflow_key
from weft.spec.tasks import name_problem

if TYPE_CHECKING:
    from weft.define.binding import Binding
    from weft.define.tools import Tool
    from weft.spec.plan import Plan


class WorkflowDraft(Defaulted):
    """Everything of a workflow but running. binding: what its store knows of its tasks, given by who binds it.

    told: (cluster, key) of resources that were warned of.
    """

    def __init__(
        self,
        tool: Tool,
        workflow_args: str = "",
        name: str = "",
        description: str = "",
        workflow_attributes: dict[Any, Any] | list[Any] | None = None,
        max_concurrently_running: int = NO_LIMIT,
        chunk_size: int = 500,  # noqa: ARG002 - accepted and ignored: nothing is sent in chunks
        default_cluster_name: str = "",
        default_compute_resources_set: Mapping[str, Mapping[str, Any]] | None = None,
        default_resource_scales_set: Mapping[str, Mapping[str, Any]] | None = None,
        default_max_attempts: int | None = None,
    ):
        if not isinstance(tool, Defaulted) or not hasattr(tool, "shared"):
            raise ArgumentError(f"a workflow belongs to a Tool, not to {show(tool)}")
        super().__init__(tool.shared)
        self.tool = tool
        self.tool_version = tool.active_tool_version_id
        self.workflow_args = _read_text("workflow_args", workflow_args) or _unique()
        self.name = _read_text("the name of a workflow", name)
        problem = name_problem(self.name) if self.name else None
        if problem is not None:
            raise ArgumentError(f"workflow {show(name)}: {problem}")
        self.description = _read_text("the description of a workflow", description)
        self.binding: Binding | None = None
        self._attributes = read_attributes(workflow_attributes, "workflow_attributes")
        self._limit = read_limit(max_concurrently_running)
        self._set_defaults(
            default_cluster_name, default_max_attempts, default_compute_resources_set, default_resource_scales_set
        )
        self._tasks: list[WorkflowTask] = []
        self._places: dict[Block, MutableSequence[int]] = {}
        self._as_home = (self,)
        self._names: set[str] = set()
        self._shared_names: SharedNames | None = None  # till tasks come that would have one
        self._nodes = Nodes()
        self._arrays = Arrays()
        self.told: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or self.workflow_args} of {len(self._tasks)} tasks>"

    # --- identity --------------------------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """What its runs are recorded under: tool, version and workflow_args."""
        return workflow_key(self.tool.name, self.tool_version, self.workflow_args)

    @property
    def shown_name(self) -> str:
        """Its name, else its workflow_args."""
        return self.name or self.workflow_args

    @property
    def hash(self) -> str:
        """Of its identity, its tasks and its edges. Raises NodeDependencyNotExistError."""
        from weft.define.lowering import hash_of

        return hash_of(self)

    # --- tasks -----------------------------------------------------------------------------------------------------------

    def add_task(self, task: WorkflowTask) -> WorkflowTask:
        """Raises ArgumentError for a task or a name that is there already, DuplicateNodeArgsError for an equal node."""
        self.add_tasks((task,))
        return task

    def add_tasks(self, tasks: Iterable[WorkflowTask]) -> None:
        """All of them or, when one is refused, none."""
        added = read_tasks("tasks", tasks)
        start = place = len(self._tasks)
        runs: list[tuple[Block, Sequence[int]]] = []
        names: list[str] = []
        try:
            for block, rows in rows_of(added):
                clash = self._nodes.take(block, rows, place)
                if clash is not None:
                    known = self._tasks[clash.place] if clash.place < start else added[clash.place - start]
                    raise _duplicate(block, clash.row, known)
                runs.append((block, rows))
                names += block.names_of(rows)
                place += len(rows)
            self._take_names(added, names)
        except ArgumentError:
            for block, rows in runs:
                self._nodes.forget(block, rows)
            raise
        self._tasks.extend(added)
        told = []
        for block, rows in runs:
            told.append(self._place(block, rows, start))
            start += len(rows)
        for text in told:
            if text is not None:
                tell(text)

    def _take_names(self, added: Sequence[WorkflowTask], names: list[str]) -> None:
        before = len(self._names)
        if self._names.isdisjoint(names) and (self._shared_names is None or self._shared_names.knows_none_of(names)):
            self._names.update(names)
            if len(self._names) == before + len(names):
                if self._shared_names is not None:
                    self._shared_names.note(added, names)
                return
            self._names.difference_update(names)
        if self._shared_names is None:
            self._shared_names = SharedNames(self)
        self._shared_names.take(added, names, self._names)

    def _place(self, block: Block, rows: Sequence[int], start: int) -> str | None:
        places = self._places.get(block)
        if places is None:
            block.homes = (*block.homes, self) if block.homes else self._as_home
            places = self._places[block] = [start] if block.size == 1 else array("i", [NOT_HERE]) * block.size
        if block.size > 1:
            for place, row in enumerate(rows, start):
                places[row] = place
        found = self._arrays.get(block.template.name)
        if found is None:
            found = self._arrays[block.template.name] = Array(self, block.template)
        return found.take(block)

    @property
    def tasks(self) -> list[WorkflowTask]:
        """In plan order. A copy."""
        return self._tasks[:]

    @property
    def members(self) -> Sequence[WorkflowTask]:
        """The same without a copy; not to be changed."""
        return self._tasks

    @property
    def arrays(self) -> Arrays:
        """By the name of their template; its id does as well. A copy."""
        return Arrays(self._arrays)

    def holds(self, task: WorkflowTask) -> bool:
        """Whether this very task was added."""
        places = self._places.get(task._block)
        return places is not None and places[task._row] != NOT_HERE

    def place_of(self, task: WorkflowTask) -> int | None:
        """Its place in plan order; an equal task counts as the one that was added. None: there is none."""
        places = self._places.get(task._block)
        if places is not None and places[task._row] != NOT_HERE:
            return places[task._row]
        block = task._block
        place = self._nodes.find(block.template.command.digest, block.node_digest(task._row))
        return place if place is not None and self._tasks[place].digest == task.digest else None

    def places_of(self, block: Block) -> Sequence[int]:
        """Of its rows, NOT_HERE for those that were not added; nothing when none was."""
        return self._places.get(block, ())

    def count_of(self, block: Block) -> int:
        """How many tasks of a block were added."""
        places = self._places.get(block)
        return 0 if places is None else len(places) - places.count(NOT_HERE)

    def get_tasks_by_node_args(self, task_template_name: str, **kw: Any) -> list[WorkflowTask]:
        """Tasks of a template in plan order; an id means one version. kw: a list is one of several values, a text is one value.

        Raises ArgumentError.
        """
        found = self._arrays.find(task_template_name)
        if found is None:
            raise ArgumentError(self._arrays.lacks(task_template_name))
        _, blocks = found
        known = dict.fromkeys(arg for block in blocks for arg in block.template.node_args)
        for arg in kw:
            if arg not in known:
                hint = hint_nearest(arg, known)
                near = f"; {hint}" if hint else f"; they are {', '.join(known) or 'none'}"
                raise ArgumentError(f"{arg!r} is no node argument of template {task_template_name!r}{near}")
        wanted = {arg: set(map(text_of_value, _choices(value))) for arg, value in kw.items()}
        places: list[int] = []
        for block in blocks:
            if set(wanted).issubset(block.template.node_args):
                own = self._places[block]
                places += [own[row] for row in block.rows_where(wanted) if own[row] != NOT_HERE]
        return [self._tasks[place] for place in sorted(places)]

    # --- limits ----------------------------------------------------------------------------------------------------------

    @property
    def max_concurrently_running(self) -> int:
        """How many of its tasks may be live at a time."""
        return self._limit

    @max_concurrently_running.setter
    def max_concurrently_running(self, max_concurrently_running: int) -> None:
        self._limit = read_limit(max_concurrently_running)

    def set_max_concurrently_running(self, max_concurrently_running: int) -> None:
        """0 pauses. Raises ArgumentError."""
        self.max_concurrently_running = max_concurrently_running

    def set_task_template_max_concurrency_limit(self, task_template_name: str, limit: int) -> None:
        """How many tasks of a template may be live at a time; 0 pauses. Raises KeyError, ArgumentError."""
        self._arrays[task_template_name].set_limit(read_limit(limit))

    # --- attributes and defaults -----------------------------------------------------------------------------------------

    @property
    def default_cluster_name(self) -> str:
        """Where tasks run that do not say: the tool's, when the workflow says nothing."""
        return self._cluster_name or self.tool.default_cluster_name

    @default_cluster_name.setter
    def default_cluster_name(self, cluster_name: str) -> None:
        self._cluster_name = read_cluster_name(cluster_name)

    @property
    def default_max_attempts(self) -> int | None:
        """Attempts of tasks that do not say: the tool's, when the workflow says nothing."""
        return self.tool.default_max_attempts if self._max_attempts is None else self._max_attempts

    @default_max_attempts.setter
    def default_max_attempts(self, n: int | None) -> None:
        self._max_attempts = read_attempts(n)

    @property
    def workflow_attributes(self) -> Attributes:
        """Texts that are kept with it. A copy."""
        return dict(self._attributes)

    def add_attributes(self, workflow_attributes: dict[Any, Any] | list[Any]) -> None:
        """New and changed ones. Raises ArgumentError."""
        self._attributes.update(read_attributes(workflow_attributes, "workflow_attributes"))

    def set_default_compute_resources_from_dict(self, cluster_name: str, dictionary: Mapping[str, Any]) -> None:
        """Replaces those of the cluster (empty or `*`: of all clusters). Raises ArgumentError."""
        super().set_default_compute_resources_from_dict(cluster_name, dictionary)

    def set_default_resource_scales_from_dict(self, cluster_name: str, dictionary: Mapping[str, Any]) -> None:
        """Replaces those of the cluster (empty or `*`: of all clusters). Raises ArgumentError."""
        super().set_default_resource_scales_from_dict(cluster_name, dictionary)

    def set_default_compute_resources_from_yaml(
        self,
        default_cluster_name: str,
        yaml_file: Any,
        set_task_templates: bool = False,
        ignore_missing_keys: bool = False,
    ) -> None:
        """What a file says for the tool and, if asked, for its active templates.

        Raises ArgumentError, OSError, KeyError for a template that it lacks.
        """
        file = ResourceFile(yaml_file)
        templates = self.tool.active_task_templates.values() if set_task_templates else ()
        take_compute(file, self, self.tool.name, templates, ignore_missing_keys)
        self._take_cluster(default_cluster_name)

    def set_compute_resources_from_yaml(self, cluster_name: str, yaml_file: Any) -> None:
        """What a file says for the tool; the name that tasks have."""
        self.set_default_compute_resources_from_yaml(cluster_name, yaml_file)

    def set_default_resource_scales_from_yaml(
        self,
        default_cluster_name: str,
        yaml_file: Any,
        set_task_templates: bool = False,
        ignore_missing_keys: bool = False,
    ) -> None:
        """As for resources."""
        file = ResourceFile(yaml_file)
        templates = self.tool.active_task_templates.values() if set_task_templates else ()
        take_scales_of(file, self, self.tool.name, templates, ignore_missing_keys)
        self._take_cluster(default_cluster_name)

    # --- the plan --------------------------------------------------------------------------------------------------------

    def plan_spec(self, scale_on: str = "exhausted") -> Plan:
        """The frozen plan, tasks in the order of `tasks`. scale_on: where nobody says it.

        Raises NodeDependencyNotExistError, CyclicGraphError, ArgumentError.
        """
        from weft.define.lowering import plan_of

        return plan_of(self, read_scale_on(scale_on) or "exhausted")


def _duplicate(block: Block, row: int, known: WorkflowTask) -> ArgumentError:
    name, other = show(block.name_of(row)), show(known.name)
    if known.digest == block.task_digest(row):
        which = "is in the workflow already" if name == other else f"equals {other}, which is in the workflow already"
        return ArgumentError(f"task {name} {which}: same template, same node and task arguments")
    return DuplicateNodeArgsError(
        f"tasks {other} and {name} have equal node arguments and other task arguments: node arguments tell the tasks of a "
        "workflow apart"
    )


def _choices(value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes) or not isinstance(value, list | tuple | set | frozenset | range):
        return (value,)
    return value


def _read_text(what: str, given: Any) -> str:
    if given is None:
        return ""
    if not isinstance(given, str):
        raise ArgumentError(f"{what} is a text, not {show(given)}")
    return given


def _unique() -> str:
    from uuid import uuid4

    return uuid4().hex
