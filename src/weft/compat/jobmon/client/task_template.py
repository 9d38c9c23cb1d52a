"""Task templates."""

from __future__ import annotations

from typing import Any

from weft.compat.jobmon.attempts import Lenient, unset_if_zero
from weft.compat.jobmon.client.task import Task
from weft.define.templates import TaskTemplate as OwnTaskTemplate


class TaskTemplate(Lenient, OwnTaskTemplate):
    """Made by `Tool.get_task_template`."""

    task_class = Task

    def set_default_compute_resources_from_yaml(  # type: ignore[override]  # the original's order
        self, yaml_file: Any, default_cluster_name: str = ""
    ) -> None:
        """What a file says for this template. Raises ArgumentError, KeyError when it lacks the template, OSError."""
        super().set_default_compute_resources_from_yaml(default_cluster_name, yaml_file)

    def set_default_resource_scales_from_yaml(  # type: ignore[override]  # the original's order
        self, yaml_file: Any, default_cluster_name: str = ""
    ) -> None:
        """What a file says for this template. Raises ArgumentError, KeyError when it lacks the template, OSError."""
        super().set_default_resource_scales_from_yaml(default_cluster_name, yaml_file)

    def read_attempts(self, max_attempts: Any) -> int | None:
        """What a task says; None and 0: nothing. Raises ArgumentError."""
        return super().read_attempts(unset_if_zero(max_attempts, 3))

    def read_name(self, name: Any) -> str:
        """The name of a task as it may be. Raises ArgumentError."""
        Task.is_valid_job_name(name)
        return super().read_name(name)
