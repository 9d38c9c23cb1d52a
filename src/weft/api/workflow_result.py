"""What `workflow.run()` gives: the status letter, and how every task of the workflow ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from weft.api.letters import DONE, result_letter
from weft.api.workflow_records import letter_of

if TYPE_CHECKING:
    from weft.api.run import Run
    from weft.api.workflow_records import Records
    from weft.ports import RunEnding, TaskRow


class WorkflowResult(str):
    """Equal to the letter of the run: `D` all done, `E` something was not, `S` stopped by another process.

    elapsed_time: seconds of this run. num_previously_complete: tasks that were done before it began. run: the `weft.Run`.
    """

    run: Run
    elapsed_time: float
    num_previously_complete: int
    _records: Records
    _rows: Sequence[TaskRow]

    def __new__(
        cls, ending: RunEnding, run: Run, records: Records, rows: Sequence[TaskRow], earlier: int
    ) -> WorkflowResult:
        made = super().__new__(cls, result_letter(ending.state))
        made.run = run
        made.elapsed_time = ending.seconds
        made.num_previously_complete = earlier
        made._records = records
        made._rows = rows
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Elsewhere it is the letter alone: runs do not travel."""
        return str, (str(self),)

    @property
    def final_status(self) -> str:
        """The letter."""
        return str(self)

    @property
    def total_tasks(self) -> int:
        """All tasks of the workflow."""
        return len(self._rows)

    @cached_property
    def done_count(self) -> int:
        """Tasks that are done, also those that were before."""
        return sum(row.state == "ok" for row in self._rows)

    @cached_property
    def failed_count(self) -> int:
        """Tasks that failed for good; what was skipped behind them is not counted."""
        return sum(row.state == "failed" for row in self._rows)

    @cached_property
    def task_final_statuses(self) -> dict[str, str]:
        """Letter by name."""
        return {row.name: letter_of(row) for row in self._rows}

    @cached_property
    def done_task_ids(self) -> list[int]:
        """Of tasks that are done."""
        return self._ids("ok")

    @cached_property
    def failed_task_ids(self) -> list[int]:
        """Of tasks that failed for good."""
        return self._ids("failed")

    @property
    def is_done(self) -> bool:
        """Whether all tasks are done."""
        return self == DONE

    def _ids(self, state: str) -> list[int]:
        ids = self._records.ids()
        return [ids[place] for place, row in enumerate(self._rows) if row.state == state]
