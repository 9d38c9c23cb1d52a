"""One call of `Workflow.run`: what was told becomes a run, and its end a result or an exception."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.api.plan import Plan
from weft.api.run import Run
from weft.api.workflow_observing import Logging, Telling
from weft.api.workflow_result import WorkflowResult
from weft.api.workflow_settings import Told, choose, patience
from weft.assemble.workflows import Wish, carry, write
from weft.errors import WorkflowTimeoutError
from weft.ports import Observer, OpenRun, RunEnding, RunOpening, TaskRow

if TYPE_CHECKING:
    from weft.api.workflow import Workflow
    from weft.api.workflow_records import Records


class Execution:
    """One call of `run`, from what it was told to what it gives."""

    def __init__(self, workflow: Workflow, told: Told):
        chosen = choose(told, workflow)
        self._workflow = workflow
        self._records: Records | None = None
        self._rows: Sequence[TaskRow] = ()
        self._told = told
        self._timeout = chosen.settings.timeout
        self._initial: Sequence[TaskRow] = ()
        self._earlier = 0
        self._present = present = write(workflow._spec(chosen))
        wish = Wish(
            told.resume, told.reset_running_jobs, patience(told), own=workflow._own_run, gives_up=self._is_given_up
        )

        besides: list[Observer] = [Telling(self._recorded)]
        if told.configure_logging:
            besides.append(Logging(present.plan.graph))

        def carry_it(observers: Sequence[Observer]) -> RunEnding:
            return carry(present, chosen.settings, wish, (*observers, *besides), self._taken_up)

        self.run = Run(Plan(present.plan), chosen.settings, carry_it)

    def _is_given_up(self) -> bool:
        return self.run._is_stopping

    def _taken_up(self, opened: OpenRun) -> None:
        self._initial = opened.tasks
        self._earlier = sum(row.state == "ok" for row in opened.tasks)

    def _recorded(self, opening: RunOpening) -> None:
        self._records = self._workflow._attach(opening.state_folder, opening.run, self._present, self._initial)

    def close(self) -> None:
        """If it has come to an end, what is recorded now is how; what was handed over goes on elsewhere."""
        if self._records is not None and self.run._ending is not None:
            self._rows = self._records.close()

    def result(self) -> WorkflowResult:
        """Raises WorkflowTimeoutError, KeyboardInterrupt, SystemExit for other signals."""
        ending, records = self.run._ending, self._records
        assert ending is not None
        assert records is not None
        if ending.state != "ok" and ending.ended_by == "timeout":
            raise WorkflowTimeoutError(
                f"timeout: workflow {self._workflow.shown_name!r} had not ended after {self._timeout:g} s; what ran was "
                "ended, and run(resume=True) takes it up"
            )
        if ending.state == "interrupted" and ending.ended_by == "signal":
            raise KeyboardInterrupt if ending.exit_code == 130 else SystemExit(ending.exit_code)
        self.run._recall(self._rows)
        return WorkflowResult(ending, self.run, records, self._rows, self._earlier)
