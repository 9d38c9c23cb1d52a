"""What a workflow that is recorded knows of its tasks; who runs it fulfils this, and gives it to `WorkflowDraft.binding`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from weft.define.workflow_tasks import WorkflowTask


class Binding(Protocol):
    """Answers about tasks of one bound workflow. Each raises AttributeError where there is no answer yet."""

    def task_id(self, task: WorkflowTask) -> int:
        """Its number in the store."""

    def initial_status(self, task: WorkflowTask) -> str:
        """The letter that it had when it was bound."""

    def final_status(self, task: WorkflowTask) -> str:
        """The letter at the end of the run; before, AttributeError."""

    def state(self, task: WorkflowTask) -> str:
        """Weft's own word."""

    def cause(self, task: WorkflowTask) -> str | None:
        """Why it is in that state."""

    def attempts(self, task: WorkflowTask) -> Sequence[Any]:
        """Each one that was made, with what it asked for and took."""

    def added_attributes(self, task: WorkflowTask) -> Mapping[str, str | None]:
        """What it got while it ran."""

    def resource_usage(self, task: WorkflowTask) -> dict[str, Any]:
        """num_attempts, nodename, runtime (seconds), memory (peak bytes) of the successful attempt; four times None before."""

    def get_errors(self, task: WorkflowTask) -> dict[str, Any] | None:
        """task_instance_id and error_log of the latest failed attempt."""
