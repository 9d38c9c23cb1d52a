"""The shape of a workflow document: templates, tasks of them, arrays. What resources mean is told by `spec.compute`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, with_config
from typing_extensions import TypedDict

from weft.formats.native_models import STRICT, Count, Name, Names, Path, Text

Asked = dict[Text, Any]
ByCluster = dict[Text, Asked]
Attributes = dict[Text, Any] | list[Text]
Limit = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""0 pauses (workflows.md 6.1)."""


@with_config(STRICT)
class WorkflowModel(TypedDict, total=False):
    """The key `workflow`."""

    name: Name
    workflow_args: Text
    description: Text
    workflow_attributes: Attributes
    max_concurrently_running: Limit
    default_cluster_name: Text
    default_compute_resources_set: ByCluster
    default_resource_scales_set: ByCluster
    default_max_attempts: Count


@with_config(STRICT)
class TemplateModel(TypedDict, total=False):
    """A template; whether it has a command is told by the loader."""

    command_template: Annotated[str, Field(min_length=1)]
    node_args: list[Text]
    task_args: list[Text]
    op_args: list[Text]
    compute_resources: Asked
    default_compute_resources: Asked
    resource_scales: Asked
    default_resource_scales: Asked
    default_cluster_name: Text
    max_attempts: Count
    shell: bool
    max_concurrently_running: Limit
    description: Text


@with_config(STRICT)
class TemplatedModel(TypedDict, total=False):
    """A task of a template, or an array of them (whose `name` is a prefix)."""

    template: Text
    args: Asked
    name: Name
    upstream_tasks: Names
    compute_resources: Asked
    resource_scales: Asked
    cluster_name: Text
    fallback_queues: Names
    max_attempts: Count
    task_attributes: Attributes


@with_config(STRICT)
class DocumentModel(TypedDict, total=False):
    """The document; its sections are checked one by one, so that a broken one hides no other."""

    tool: Text
    workflow: Any
    templates: Any
    tasks: Any
    arrays: Any
    yaml: Path
    name: Name
    description: Text
