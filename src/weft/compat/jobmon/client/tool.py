"""Tools: where templates and workflows come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from weft.compat.jobmon.attempts import Lenient, unset_if_zero
from weft.compat.jobmon.client.task_template import TaskTemplate
from weft.compat.jobmon.client.workflow import Workflow
from weft.define.defaults import ScaleOn
from weft.define.templates import TaskTemplate as OwnTaskTemplate
from weft.define.tools import Tool as OwnTool

WHOLE_COMMAND: Final = re.compile(r"\s*(\{[A-Za-z_]\w*\})\s*", re.ASCII)


class Tool(Lenient, OwnTool):
    """As `weft.Tool`."""

    template_class = TaskTemplate
    workflow_class = Workflow

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
    ) -> OwnTaskTemplate:
        """As `weft.Tool.get_task_template`.

        A template that is one slot and nothing else takes whole commands there: a shell gets them as its one argument.
        """
        if shell is None and isinstance(command_template, str):
            whole = WHOLE_COMMAND.fullmatch(command_template)
            command_template = f"sh -c {whole[1]}" if whole else command_template
        return super().get_task_template(
            template_name,
            command_template,
            node_args,
            task_args,
            op_args,
            default_cluster_name,
            default_compute_resources,
            default_resource_scales,
            yaml_file,
            unset_if_zero(max_attempts),
            shell=shell,
            scale_on=scale_on,
        )
