"""Tools: where templates and workflows come from, with defaults for both (workflows.md 2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from weft.define.defaults import Defaulted, ScaleOn, read_cluster_name, take_compute, take_scales_of
from weft.define.growth import Shared
from weft.define.mistakes import show
from weft.define.resource_files import ResourceFile
from weft.define.templates import TaskTemplate
from weft.errors import ArgumentError, PlanError, StoreError
from weft.spec.command_templates import command_template as read_command
from weft.spec.compute import NO_LIMIT
from weft.spec.tasks import name_problem

if TYPE_CHECKING:
    from weft.define.launch import Workflow

LATEST: Final = "latest"
UNVERSIONED: Final = 0
"""What a tool is before it gets its first version."""


class Tool(Defaulted):
    """name: `unknown-<user>` when there is none. tool_name: the older spelling. requester is accepted and ignored.

    Versions count from 1; before the first one a tool is at 0. Those that bound workflows have are kept in the state folder,
    and `latest` is the last of them, too.
    """

    template_class: type[TaskTemplate] = TaskTemplate
    workflow_class: type[Workflow] | None = None
    """None: `weft.api`'s own, which is not at hand here."""

    def __init__(
        self,
        name: str | None = None,
        active_tool_version_id: int | str = LATEST,
        requester: object = None,  # noqa: ARG002 - accepted and ignored: there is no server
        *,
        tool_name: str | None = None,
    ):
        self.shared = Shared()
        super().__init__(self.shared)
        if name is not None and tool_name is not None and name != tool_name:
            raise ArgumentError(f"name={show(name)} and tool_name={show(tool_name)} are two names for one tool")
        self.name = _read_name(name if name is not None else tool_name)
        self._latest = UNVERSIONED
        if active_tool_version_id != LATEST:
            # It may stem from another process, so only its kind is checked.
            self._latest = _read_version(active_tool_version_id)
        self._active = self._latest
        self._follows_latest = active_tool_version_id == LATEST
        self._templates: dict[int, dict[str, TaskTemplate]] = {}
        self._known: dict[tuple[int, str, bytes, bool], TaskTemplate] = {}
        self.state_folders: dict[str, None] = {}  # where workflows of it are recorded, as far as this process knows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @classmethod
    def create_tool(cls, name: str) -> Tool:
        """The older spelling of the constructor."""
        return cls(name)

    # --- versions --------------------------------------------------------------------------------------------------------

    @property
    def active_tool_version_id(self) -> int:
        """The version of templates and workflows that are made now; 0 before the first one."""
        return self._active

    @property
    def tool_version_ids(self) -> tuple[int, ...]:
        """All that are known here, with the one that every tool begins with."""
        return tuple(range(UNVERSIONED, self._latest + 1))

    def get_new_tool_version(self) -> int:
        """The next one, made active. Workflows of different versions never match. Raises StoreError."""
        self._latest = max(self._latest, *self._kept_versions()) + 1
        self._active, self._follows_latest = self._latest, False
        return self._latest

    def set_active_tool_version_id(self, id_or_latest: int | str) -> None:
        """Raises ArgumentError for one that is not known, here and in the state folder; StoreError."""
        if id_or_latest == LATEST:
            self._latest = max(self._latest, *self._kept_versions())
            self._active, self._follows_latest = self._latest, True
            return
        known = self.tool_version_ids
        if id_or_latest not in known:
            self._latest = max(self._latest, *self._kept_versions())
            known = self.tool_version_ids
        if isinstance(id_or_latest, bool) or id_or_latest not in known:
            shown = ", ".join(map(str, known))
            raise ArgumentError(f"tool {self.name!r} has no version {show(id_or_latest)}; known: {shown}, {LATEST!r}")
        self._active, self._follows_latest = int(id_or_latest), False

    def _kept_versions(self) -> list[int]:
        """Of workflows that were bound; at least the one that all tools begin with."""
        from weft.define.launch import kept_versions

        return [UNVERSIONED, *kept_versions(self)]

    def _follow_latest(self) -> None:
        if not self._follows_latest:
            return
        try:
            latest = max(self._kept_versions())
        except (StoreError, PlanError):  # whoever binds the workflow there is told
            return
        if latest > self._latest:
            self._templates.setdefault(latest, self._templates.get(self._active, {}))
            self._active = self._latest = latest

    # --- templates -------------------------------------------------------------------------------------------------------

    @property
    def active_task_templates(self) -> dict[str, TaskTemplate]:
        """Those of the active version, by name. A copy."""
        return dict(self._templates.get(self._active, {}))

    def get_task_template(
        self,
        template_name: str,
        command_template: str,
        node_args: Iterable[str] | None = None,
        task_args: Iterable[str] | None = None,
        op_args: Iterable[str] | None = None,
        default_cluster_name: str = "",
        default_compute_resources: Mapping[str, Any] | None = None,
        default_resource_scales: Mapping[str, Any] | None = None,
        yaml_file: Any = None,
        max_attempts: int | None = None,
        *,
        shell: bool | None = None,
        scale_on: ScaleOn | None = None,
    ) -> TaskTemplate:
        """The template of this definition: the same object for the same one, a new version, made active, for a changed one.

        Defaults that are given lie over those of the file. Raises TemplateError (a ValueError) with every mistake.
        """
        command = read_command(template_name, command_template, node_args, task_args, op_args, shell, self.name)
        key = (self._active, template_name, command.digest, command.uses_shell)
        template = self._known.get(key)
        made = template or self.template_class(self, command)
        cluster = read_cluster_name(default_cluster_name)
        if yaml_file is not None:
            made.take_file(ResourceFile(yaml_file))
        if default_compute_resources is not None:
            made.lay_compute(cluster, default_compute_resources)
        if default_resource_scales is not None:
            made.lay_scales(cluster, default_resource_scales)
        if cluster:
            made.default_cluster_name = cluster
        if max_attempts is not None:
            made.default_max_attempts = max_attempts
        if scale_on is not None:
            made.scale_on = scale_on
        self._known[key] = made
        self._templates.setdefault(self._active, {})[template_name] = made
        return made

    # --- workflows -------------------------------------------------------------------------------------------------------

    def create_workflow(
        self,
        workflow_args: str = "",
        name: str = "",
        description: str = "",
        workflow_attributes: dict[Any, Any] | list[Any] | None = None,
        max_concurrently_running: int = NO_LIMIT,
        chunk_size: int = 500,
        default_cluster_name: str = "",
        default_compute_resources_set: Mapping[str, Mapping[str, Any]] | None = None,
        default_resource_scales_set: Mapping[str, Mapping[str, Any]] | None = None,
        default_max_attempts: int | None = None,
        *,
        scale_on: ScaleOn | None = None,
    ) -> Workflow:
        """A workflow of the active version, with the tool's defaults below its own. chunk_size is accepted and ignored."""
        from weft.define.launch import new_workflow

        self._follow_latest()
        made = new_workflow(
            self,
            workflow_args,
            name,
            description,
            workflow_attributes,
            max_concurrently_running,
            chunk_size,
            default_cluster_name,
            default_compute_resources_set,
            default_resource_scales_set,
            default_max_attempts,
        )
        made.scale_on = scale_on
        return made

    # --- defaults --------------------------------------------------------------------------------------------------------

    def set_default_compute_resources_from_yaml(
        self,
        default_cluster_name: str,
        yaml_file: Any,
        set_task_templates: bool = False,
        ignore_missing_keys: bool = False,
    ) -> None:
        """What a file says for this tool and, if asked, for its active templates.

        Raises ArgumentError, OSError, KeyError for a template that it lacks.
        """
        file = ResourceFile(yaml_file)
        templates = self.active_task_templates.values() if set_task_templates else ()
        take_compute(file, self, self.name, templates, ignore_missing_keys)
        self._take_cluster(default_cluster_name)

    def set_default_resource_scales_from_yaml(
        self,
        default_cluster_name: str,
        yaml_file: Any,
        set_task_templates: bool = False,
        ignore_missing_keys: bool = False,
    ) -> None:
        """As for resources."""
        file = ResourceFile(yaml_file)
        templates = self.active_task_templates.values() if set_task_templates else ()
        take_scales_of(file, self, self.name, templates, ignore_missing_keys)
        self._take_cluster(default_cluster_name)


def _read_name(name: Any) -> str:
    if name is None:
        return f"unknown-{_user()}"
    if not isinstance(name, str):
        raise ArgumentError(f"the name of a tool is a text, not {show(name)}")
    problem = name_problem(name)
    if problem is not None:
        raise ArgumentError(f"tool {show(name)}: {problem}")
    return name


def _read_version(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ArgumentError(f"the version of a tool is {LATEST!r} or a number of at least 1, not {show(given)}")
    return given


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without an entry: a container's
        return "user"
