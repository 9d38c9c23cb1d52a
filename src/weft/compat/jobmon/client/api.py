"""What most scripts import."""

from __future__ import annotations

from weft.api.task_attributes import add_task_attributes as add_task_attributes
from weft.compat.jobmon.client.status_commands import task_status as task_status
from weft.compat.jobmon.client.status_commands import workflow_status as workflow_status
from weft.compat.jobmon.client.status_commands import workflow_tasks as workflow_tasks
from weft.compat.jobmon.client.tool import Tool as Tool
