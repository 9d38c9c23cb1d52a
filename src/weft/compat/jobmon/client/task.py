"""Tasks. In weft's own words a Task is frozen, and this is a WorkflowTask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from weft.compat.jobmon.attempts import unset_if_zero
from weft.define.counts import read_attempts
from weft.define.mistakes import show
from weft.define.workflow_tasks import WorkflowTask
from weft.errors import ArgumentError

if TYPE_CHECKING:
    from weft.define.arrays import Array
    from weft.define.workflows import WorkflowDraft

ILLEGAL: Final = "/\\'\""


class Task(WorkflowTask):
    """Made by `TaskTemplate.create_task` and `create_tasks`."""

    __slots__ = ()

    @staticmethod
    def is_valid_job_name(name: str) -> bool:
        """True, or ArgumentError: stricter than weft's own rule."""
        if not name or not isinstance(name, str):
            raise ArgumentError(f"the name of a task is a text that is not empty, not {show(name)}")
        if name[0].isdigit():
            raise ArgumentError(f"task {show(name)}: a name cannot begin with a digit")
        wrong = [character for character in dict.fromkeys(name) if character in ILLEGAL or character.isspace()]
        if wrong:
            raise ArgumentError(f"task {show(name)}: a name cannot hold {', '.join(map(repr, wrong))}")
        return True

    @property
    def max_attempts(self) -> int:
        """In all: what it says itself, else its template, workflow or tool, else 3."""
        return super().max_attempts

    @max_attempts.setter
    def max_attempts(self, value: int | None) -> None:
        self._treat(max_attempts=read_attempts(unset_if_zero(value)))

    @property
    def workflow(self) -> WorkflowDraft | None:
        """The one that it was added to; None before."""
        return self._workflow

    @property
    def array(self) -> Array | None:
        """The tasks of its template in its workflow; None before it was added to one."""
        workflow = self._workflow
        return None if workflow is None else workflow.arrays[self.task_template.name]

    @property
    def requested_resources(self) -> dict[str, Any]:
        """The same as `compute_resources`."""
        return self.compute_resources

    @property
    def queue_name(self) -> str:
        """Empty: the default queue of wherever it runs."""
        return str(self.compute_resources.get("queue", ""))
