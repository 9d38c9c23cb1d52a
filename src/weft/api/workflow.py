"""A workflow that runs (workflows.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from weft.api.plan import Plan
from weft.api.workflow_settings import USUAL_TIMEOUT, Chosen, Told, choose
from weft.define.counts import read_count
from weft.define.telling import tell
from weft.define.workflows import WorkflowDraft
from weft.errors import EmptyWorkflowError, PlanError, Problem, WeftError

if TYPE_CHECKING:
    from weft.api.workflow_execution import Execution
    from weft.api.workflow_records import Records
    from weft.api.workflow_result import WorkflowResult
    from weft.assemble.workflows import Written
    from weft.ports import TaskRow
    from weft.spec import plan as spec_plan


class Workflow(WorkflowDraft):
    """Tasks that run together. Made by `Tool.create_workflow`; nothing happens before `bind` or `run`."""

    _promises_jobmon = False
    """Whether tasks get the variables that the original system gives its tasks (workflows.md 8)."""

    _records: Records | None = None
    _own_run: str | None = None

    # --- before a run ----------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """The frozen plan, as it would run now: queries, rewrites, export, simulation. Raises what `validate` finds."""
        return Plan(self._spec(choose(Told())))

    def validate(self, strict: bool = True, raise_on_error: bool = False) -> list[Problem]:
        """Every mistake that can be found without running anything; none: an empty list.

        strict: a first request above the limits of its queue counts, which a run would only cut. raise_on_error: raise
        instead: the mistake itself, several as one PlanError.
        """
        from weft.api.workflow_checks import problems_of

        try:
            chosen = choose(Told())
            problems = problems_of(self._unplaced(chosen), chosen, strict=strict)
        except WeftError as error:
            if raise_on_error:
                raise
            return list(error.problems())
        if problems and raise_on_error:
            raise PlanError(problems)
        return problems

    def bind(self) -> None:
        """Validate and record it, so that it and its tasks have numbers. Idempotent.

        Raises EmptyWorkflowError, WorkflowAlreadyExists for another graph of this identity, and what `validate` would find.
        """
        from weft.assemble.workflows import bind, write

        if self._records is not None:
            return
        chosen = choose(Told(), self)
        present = write(self._spec(chosen))
        row, is_new = bind(present, chosen.settings, tell)
        if is_new:
            self._own_run = row.run
        records = self._attach(self._folder(present, chosen), row.run, present)
        if not is_new:
            records.remember_beginning()

    # --- running ---------------------------------------------------------------------------------------------------------

    def run(
        self,
        fail_fast: bool = False,
        seconds_until_timeout: float = USUAL_TIMEOUT,
        resume: bool = False,
        reset_running_jobs: bool = True,
        distributor_startup_timeout: float = 180,  # noqa: ARG002 - accepted and ignored: there is no distributor
        resume_timeout: float = 300,
        configure_logging: bool = False,
        *,
        jobs: int | None = None,
        timeout: float | str | None = None,
        state: str | None = None,
        store: str | None = None,
        executor: str | None = None,
    ) -> WorkflowResult:
        """Run it to its end. Raises WorkflowAlreadyExists, WorkflowAlreadyComplete, WorkflowNotResumable before anything starts.

        fail_fast: the first final failure is the end. seconds_until_timeout, timeout: for the whole (WorkflowTimeoutError).
        resume: take the recorded workflow up; reset_running_jobs: end what runs of it, else adopt it; resume_timeout: seconds
        that a live owner has to let go. Ctrl-C ends it, stored, with KeyboardInterrupt.
        """
        told = Told(
            fail_fast,
            seconds_until_timeout,
            resume,
            reset_running_jobs,
            resume_timeout,
            configure_logging,
            jobs,
            timeout,
            state,
            store,
            executor,
        )
        execution = self._execution(told)
        try:
            execution.run._execute()
        finally:
            execution.close()
        return execution.result()

    async def arun(
        self,
        fail_fast: bool = False,
        seconds_until_timeout: float = USUAL_TIMEOUT,
        resume: bool = False,
        reset_running_jobs: bool = True,
        distributor_startup_timeout: float = 180,  # noqa: ARG002 - accepted and ignored: there is no distributor
        resume_timeout: float = 300,
        configure_logging: bool = False,
        *,
        jobs: int | None = None,
        timeout: float | str | None = None,
        state: str | None = None,
        store: str | None = None,
        executor: str | None = None,
    ) -> WorkflowResult:
        """As `run`, without blocking the event loop. Cancelled, it ends what runs, stored, before it lets go."""
        import asyncio

        told = Told(
            fail_fast,
            seconds_until_timeout,
            resume,
            reset_running_jobs,
            resume_timeout,
            configure_logging,
            jobs,
            timeout,
            state,
            store,
            executor,
        )
        execution = self._execution(told)
        work = asyncio.ensure_future(asyncio.to_thread(execution.run._execute))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as cancelled:
            execution.run.stop()
            await asyncio.wait([work])
            raise cancelled from work.exception()
        finally:
            execution.close()
        return execution.result()

    # --- what is recorded ------------------------------------------------------------------------------------------------

    @property
    def is_bound(self) -> bool:
        """Whether it is recorded."""
        return self._records is not None

    @property
    def workflow_id(self) -> int:
        """Its number in the store. Raises AttributeError before it is bound."""
        return self._bound("workflow_id").number

    @property
    def dag_id(self) -> int:
        """The same number: a workflow has one graph."""
        return self._bound("dag_id").number

    @property
    def last_workflow_run_id(self) -> int:
        """Number of its latest execution, from 1. Raises AttributeError before it is bound."""
        return self._bound("last_workflow_run_id").last_epoch()

    @property
    def status(self) -> str:
        """The letter of the workflow (workflows.md 7); `G` before it is recorded."""
        return "G" if self._records is None else self._records.letter()

    def get_errors(self, limit: int | None = 1000) -> dict[int, dict[str, Any]]:
        """Of the latest `limit` failed tasks (None: all), by their numbers: `task.get_errors()`. Read anew each time.

        Raises ArgumentError.
        """
        count = None if limit is None else read_count("limit", limit)
        return {} if self._records is None else self._records.errors(count)

    @property
    def task_errors(self) -> dict[str, dict[str, Any]]:
        """By name, of tasks that failed for good."""
        return {} if self._records is None else self._records.final_errors()

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _execution(self, told: Told) -> Execution:
        from weft.api.workflow_execution import Execution

        return Execution(self, told)

    def _bound(self, what: str) -> Records:
        if self._records is None:
            raise AttributeError(f"{what} is known once the workflow is bound")
        return self._records

    def _spec(self, chosen: Chosen) -> spec_plan.Plan:
        """Raises EmptyWorkflowError, CyclicGraphError, NodeDependencyNotExistError, PlanError."""
        from weft.assemble.clusters import settle_clusters

        return settle_clusters(self._unplaced(chosen), chosen.clusters, chosen.settings.executor)

    def _unplaced(self, chosen: Chosen) -> spec_plan.Plan:
        """The same with the names of clusters as they were given."""
        if not self.members:
            raise EmptyWorkflowError(f"workflow {self.shown_name!r} has no tasks")
        plan = self.plan_spec(chosen.scale_on or "exhausted")
        if self._promises_jobmon:
            about = MappingProxyType({**plan.attributes["workflow"], "jobmon": True})
            plan = replace(plan, attributes=MappingProxyType({**plan.attributes, "workflow": about}))
        return plan

    def _folder(self, present: Written, chosen: Chosen) -> str:
        from weft.assemble import state_folder

        return state_folder(present.plan.root, chosen.settings)

    def _attach(self, folder: str, run: str, present: Written, initial: Sequence[TaskRow] = ()) -> Records:
        """The workflow and its tasks answer by this recorded run from now on. initial: how they stood when it was taken up."""
        from weft.api.workflow_records import Records
        from weft.assemble.workflows import recorded_hashes

        tasks = self.tasks

        def hashes() -> list[bytes]:
            return recorded_hashes(folder, run, present) or [task.digest for task in tasks]

        self._records = self.binding = Records(folder, run, self.key, hashes, initial)
        self.tool.state_folders[folder] = None
        return self._records
