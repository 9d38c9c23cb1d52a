"""Task templates: a command with arguments that have roles, and defaults for the tasks that are made from it (workflows.md 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from weft.define.blocks import Block, Layout, layout_of
from weft.define.counts import USUAL_ATTEMPTS, read_attempts, read_limit
from weft.define.defaults import Defaulted, ScaleOn
from weft.define.mistakes import show
from weft.define.resource_files import ResourceFile
from weft.define.telling import tell
from weft.define.treatments import read_treatment
from weft.define.workflow_tasks import WorkflowTask, read_name, read_tasks
from weft.errors import ArgumentError
from weft.spec.command_templates import CommandTemplate, TemplateError, check_args, command_of
from weft.spec.compute import NO_LIMIT

if TYPE_CHECKING:
    from weft.define.tools import Tool

OWN_WORDS: Final = frozenset(
    "name upstream_tasks task_attributes max_attempts max_concurrently_running compute_resources compute_resources_callable "
    "resource_scales cluster_name fallback_queues scale_on".split()
)
"""What `create_task` and `create_tasks` take for themselves."""

Compute = Mapping[str, Any] | Callable[[], Any] | None


class TaskTemplate(Defaulted):
    """Made by `Tool.get_task_template`. command: what its tasks have in common."""

    task_class: type[WorkflowTask] = WorkflowTask

    def __init__(self, tool: Tool, command: CommandTemplate):
        taken = [arg for arg in command.args if arg in OWN_WORDS]
        if taken:
            told = [f"an argument may not be called {arg!r}: that says something of the task" for arg in taken]
            raise TemplateError(command.name, told)
        super().__init__(tool.shared)
        self.tool = tool
        self.command = command
        self._delicate_args = _delicate_args(command)
        self._layouts: dict[tuple[str, ...], Layout] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """Unique in its tool."""
        return self.command.name

    @property
    def id(self) -> str:
        """Of this version, in hexadecimal digits; it serves wherever the name does, as does its beginning from 8 digits on."""
        return self.command.digest.hex()

    @property
    def template_name(self) -> str:
        """The same as `name`; the older word."""
        return self.command.name

    @property
    def task_template_name(self) -> str:
        """The same as `name`; the oldest word."""
        return self.command.name

    @property
    def command_template(self) -> str:
        """With its slots."""
        return self.command.text

    @property
    def node_args(self) -> tuple[str, ...]:
        """They tell tasks of one workflow apart."""
        return self.command.node_args

    @property
    def task_args(self) -> tuple[str, ...]:
        """They tell data apart between workflows."""
        return self.command.task_args

    @property
    def op_args(self) -> tuple[str, ...]:
        """They say how, not what."""
        return self.command.op_args

    @property
    def uses_shell(self) -> bool:
        """Whether a shell reads its commands."""
        return self.command.uses_shell

    # --- tasks -----------------------------------------------------------------------------------------------------------

    def create_task(
        self,
        /,
        name: str = "",
        upstream_tasks: Iterable[WorkflowTask] = (),
        task_attributes: dict[Any, Any] | list[Any] = {},  # noqa: B006 - as documented; never changed
        max_attempts: int | None = None,
        compute_resources: Compute = None,
        compute_resources_callable: Callable[[], Any] | None = None,
        resource_scales: Mapping[str, Any] | None = None,
        cluster_name: str = "",
        fallback_queues: Iterable[str] | None = None,
        *,
        scale_on: ScaleOn | None = None,
        **kwargs: Any,
    ) -> WorkflowTask:
        """One task. kwargs: exactly the template's arguments. Raises ArgumentError with every missing and unexpected one."""
        check_args(self.command, kwargs)
        treatment = read_treatment(
            self.read_attempts(max_attempts),
            compute_resources,
            compute_resources_callable,
            resource_scales,
            cluster_name,
            fallback_queues,
            task_attributes,
            scale_on,
            self._usual_attempts,
            self.tool.shared,
        )
        self._check_quoting((arg, (kwargs[arg],)) for arg in self._delicate_args)
        block = Block(
            self,
            self._layout(self.command.node_args),
            [(kwargs[arg],) for arg in self.command.node_args],
            self._single_values(kwargs),
            treatment,
            read_tasks("upstream_tasks", upstream_tasks),
            name=self.read_name(name) if name else None,
        )
        block.tell_upstreams()
        return self.task_class(block, 0)

    def create_tasks(
        self,
        /,
        max_attempts: int | None = None,
        upstream_tasks: Iterable[WorkflowTask] | None = None,
        max_concurrently_running: int = NO_LIMIT,
        compute_resources: Compute = None,
        compute_resources_callable: Callable[[], Any] | None = None,
        resource_scales: Mapping[str, Any] | None = None,
        cluster_name: str = "",
        name: str | None = None,
        *,
        fallback_queues: Iterable[str] | None = None,
        task_attributes: dict[Any, Any] | list[Any] | None = None,
        scale_on: ScaleOn | None = None,
        **kwargs: Any,
    ) -> list[WorkflowTask]:
        """One task for each member of the cross product of the node arguments, the last one named varying fastest.

        kwargs: an iterable for each node argument, a value for each other one. name: before the arguments in the tasks' names.
        Raises ArgumentError.
        """
        check_args(self.command, kwargs)
        limit = read_limit(max_concurrently_running)
        treatment = read_treatment(
            self.read_attempts(max_attempts),
            compute_resources,
            compute_resources_callable,
            resource_scales,
            cluster_name,
            fallback_queues,
            task_attributes,
            scale_on,
            self._usual_attempts,
            self.tool.shared,
        )
        upstreams = read_tasks("upstream_tasks", upstream_tasks)
        node_args = set(self.node_args)
        columns = {arg: self.read_members(arg, given) for arg, given in kwargs.items() if arg in node_args}
        prefix = self.read_name(name) if name else None
        if not columns or not all(columns.values()):
            return []
        self._check_quoting((arg, columns.get(arg, (kwargs[arg],))) for arg in self._delicate_args)
        block = Block(
            self,
            self._layout(tuple(columns)),
            columns.values(),
            self._single_values(kwargs),
            treatment,
            upstreams,
            prefix,
            limit=None if limit == NO_LIMIT else limit,
        )
        block.tell_upstreams()
        task_class = self.task_class
        return [task_class(block, row) for row in range(block.size)]

    def read_attempts(self, max_attempts: Any) -> int | None:
        """What a task says; None: nothing. Raises ArgumentError."""
        return read_attempts(max_attempts)

    def read_name(self, name: Any) -> str:
        """The name of a task as it may be. Raises ArgumentError."""
        return read_name(name)

    def _layout(self, columns: tuple[str, ...]) -> Layout:
        found = self._layouts.get(columns)
        if found is None:
            found = self._layouts[columns] = layout_of(columns, (*self.task_args, *self.op_args))
        return found

    def _check_quoting(self, values: Iterable[tuple[str, Iterable[Any]]]) -> None:
        sample = dict.fromkeys(self.command.args, "0")
        for arg, members in values:
            for value in members:
                command_of(self.command, {**sample, arg: value})

    def _single_values(self, kwargs: Mapping[str, Any]) -> list[Any]:
        return [kwargs[arg] for arg in (*self.command.task_args, *self.command.op_args)]

    def read_members(self, arg: str, given: Any) -> list[Any]:
        """The values of a node argument. Raises ArgumentError for what is no iterable."""
        if isinstance(given, str | bytes):
            tell(f"{arg}={show(given)} is one value of template {self.name!r}: give a list, also of one text")
            return [given]
        if isinstance(given, set | frozenset):  # its order may be another one in each process
            return sorted(given, key=lambda value: (str(value), type(value).__qualname__))
        try:
            return list(given)
        except TypeError:
            raise ArgumentError(
                f"{arg} is a node argument of template {self.name!r}: give an iterable of values, not {show(given)}"
            ) from None

    @property
    def _usual_attempts(self) -> int:
        return self.default_max_attempts or self.tool.default_max_attempts or USUAL_ATTEMPTS

    # --- defaults --------------------------------------------------------------------------------------------------------

    def set_default_compute_resources_from_yaml(
        self,
        default_cluster_name: str,
        yaml_file: Any,
        set_task_templates: bool = False,  # noqa: ARG002 - the tool's signature; a template has none below it
        ignore_missing_keys: bool = False,
    ) -> None:
        """What a file says for this template. Raises ArgumentError, KeyError when it lacks the template, OSError."""
        file = ResourceFile(yaml_file)
        self._take_compute(
            file.template_resources(self.name) or {} if ignore_missing_keys else file.need_template_resources(self.name)
        )
        self._take_cluster(default_cluster_name)

    def set_default_resource_scales_from_yaml(
        self,
        default_cluster_name: str,
        yaml_file: Any,
        set_task_templates: bool = False,  # noqa: ARG002 - the tool's signature; a template has none below it
        ignore_missing_keys: bool = False,
    ) -> None:
        """What a file says for this template. Raises ArgumentError, KeyError when it lacks the template, OSError."""
        file = ResourceFile(yaml_file)
        found = file.template_scales(self.name)
        if found is None and not ignore_missing_keys:
            raise file.lacks("task_template_scales", self.name)
        self._take_scales(file, found or {})
        self._take_cluster(default_cluster_name)

    def take_file(self, file: ResourceFile) -> None:
        """Whatever a file says for this template."""
        self._take_compute(file.template_resources(self.name) or {})
        self._take_scales(file, file.template_scales(self.name) or {})

    # --- what its tasks used ---------------------------------------------------------------------------------------------

    def resource_usage(
        self, workflows: Any = None, node_args: Mapping[str, Any] | None = None, ci: float | None = None
    ) -> dict[str, Any]:
        """num_tasks, min_/max_/mean_/median_ of mem (bytes) and runtime (seconds), ci_mem, ci_runtime ([low, high])."""
        from weft.define.launch import usage_of_template

        return usage_of_template(self, workflows, node_args, ci)


def _delicate_args(command: CommandTemplate) -> tuple[str, ...]:
    """Arguments that stand where the shell can quote only some values: in backquotes, or in arithmetic."""
    if not command.uses_shell:
        return ()
    found = []
    for arg in command.args:
        try:
            command_of(command, {**dict.fromkeys(command.args, "0"), arg: "a 'b'"})
        except ArgumentError:
            found.append(arg)
    return tuple(found)
