"""Annotated functions as templates, and the tasks that were made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from weft.compat.jobmon.client.tool import Tool
from weft.define.argument_types import Serializers
from weft.define.task_generators import NameFunction
from weft.define.task_generators import TaskGenerator as OwnTaskGenerator
from weft.define.task_generators import get_tasks_by_node_args as get_tasks_by_node_args
from weft.errors import ArgumentError


class TaskGenerator(OwnTaskGenerator):
    """Made by `task_generator`. Called, it is its function."""

    tool_class = Tool
    program = "weft.compat.jobmon.function_program"


def task_generator(
    *,
    serializers: Serializers | None = None,
    tool_name: str,
    naming_args: Iterable[str] | None = None,
    max_attempts: int | None = None,
    module_source_path: Any = None,
    name_func: NameFunction | None = None,
    default_cluster_name: str = "",
    default_compute_resources: Mapping[str, Any] | None = None,
    default_resource_scales: Mapping[str, Any] | None = None,
    yaml_file: Any = None,
    custom_naming: NameFunction | None = None,
) -> Callable[[Callable[..., Any]], TaskGenerator]:
    """As `weft.task_generator`."""
    if name_func is not None and custom_naming is not None:
        raise ArgumentError("name_func and custom_naming are two spellings of one option; give one of them")

    def generate(task_function: Callable[..., Any]) -> TaskGenerator:
        return TaskGenerator(
            task_function,
            serializers,
            tool_name=tool_name,
            naming_args=naming_args,
            max_attempts=max_attempts,
            module_source_path=module_source_path,
            name_func=name_func or custom_naming,
            default_cluster_name=default_cluster_name,
            default_compute_resources=default_compute_resources,
            default_resource_scales=default_resource_scales,
            yaml_file=yaml_file,
        )

    return generate
