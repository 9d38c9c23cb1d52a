"""Workflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final
from warnings import warn

from weft.api.workflow import Workflow as OwnWorkflow
from weft.api.workflow_records import is_unstarted
from weft.api.workflow_result import WorkflowResult
from weft.api.workflow_settings import USUAL_TIMEOUT
from weft.compat.jobmon.attempts import Lenient
from weft.compat.jobmon.client import logging
from weft.define.blocks import rows_of
from weft.define.mistakes import show
from weft.define.workflow_tasks import WorkflowTask, read_tasks
from weft.errors import CallableReturnedInvalidObject, WeftWarning, cut
from weft.runtime.asking import NOT_READABLE
from weft.scheduling.outcomes import SETUP

SHOWN_REPEATED: Final = 5
SHOWN_CHARACTERS: Final = 500
PREFIX: Final = f"{NOT_READABLE}: "


class Workflow(Lenient, OwnWorkflow):
    """As `weft.Workflow`. Made by `Tool.create_workflow`."""

    _promises_jobmon = True

    def add_tasks(self, tasks: Iterable[WorkflowTask]) -> None:
        """All of them or, when one is refused, none. A name that is there already gets `_2`, `_3`, with a warning."""
        added = read_tasks("tasks", tasks)
        names = [name for block, rows in rows_of(added) for name in block.names_of(rows)]
        if self._names.isdisjoint(names) and len(set(names)) == len(names):
            super().add_tasks(added)
            return
        renamed = self._rename(added, names)
        try:
            super().add_tasks(added)
        except BaseException:
            for task, before, _ in reversed(renamed):
                task._block.own_of(task._row).name = before
            raise
        if renamed:
            shown = ", ".join(f"{show(task.name)} for {show(name)}" for task, _, name in renamed[:SHOWN_REPEATED])
            more = f" and {len(renamed) - SHOWN_REPEATED} more" if len(renamed) > SHOWN_REPEATED else ""
            text = f"names are unique in a workflow; repeated ones were changed: {shown}{more}"
            warn(text, WeftWarning, stacklevel=2)

    def _rename(
        self, added: Sequence[WorkflowTask], names: Sequence[str]
    ) -> list[tuple[WorkflowTask, str | None, str]]:
        """(task, what it was told to be called, name that it had). Tasks that are in a workflow already keep theirs."""
        taken = set(names) | self._names
        seen = set(self._names)
        next_number: dict[str, Iterator[int]] = {}
        renamed: list[tuple[WorkflowTask, str | None, str]] = []
        for task, name in zip(added, names, strict=True):
            if name in seen and task._workflow is None:
                numbers = next_number.setdefault(name, count(2))
                free = next(each for number in numbers if (each := f"{name}_{number}") not in taken)
                taken.add(free)
                own = task._block.own_of(task._row)
                renamed.append((task, own.name, name))
                own.name = free
            seen.add(name)
        return renamed

    def set_default_compute_resources_from_yaml(
        self,
        default_cluster_name: str = "",
        yaml_file: Any = None,
        set_task_templates: bool = False,
        ignore_missing_keys: bool = False,
        *,
        cluster_name: str = "",
    ) -> None:
        """As `weft.Workflow`'s; cluster_name is the original's word. Raises ArgumentError, KeyError, OSError."""
        super().set_default_compute_resources_from_yaml(
            cluster_name or default_cluster_name, yaml_file, set_task_templates, ignore_missing_keys
        )

    def run(
        self,
        fail_fast: bool = False,
        seconds_until_timeout: float = USUAL_TIMEOUT,
        resume: bool = False,
        reset_running_jobs: bool = True,
        distributor_startup_timeout: float = 180,
        resume_timeout: float = 300,
        configure_logging: bool = False,
        *,
        jobs: int | None = None,
        timeout: float | str | None = None,
        state: str | None = None,
        store: str | None = None,
        executor: str | None = None,
    ) -> WorkflowResult:
        """As `weft.Workflow.run`; CallableReturnedInvalidObject once it has ended, if a task's function gave no resources."""
        result = super().run(
            fail_fast,
            seconds_until_timeout,
            resume,
            reset_running_jobs,
            distributor_startup_timeout,
            resume_timeout,
            configure_logging or logging.is_configured(),
            jobs=jobs,
            timeout=timeout,
            state=state,
            store=store,
            executor=executor,
        )
        self._check_answers()
        return result

    async def arun(
        self,
        fail_fast: bool = False,
        seconds_until_timeout: float = USUAL_TIMEOUT,
        resume: bool = False,
        reset_running_jobs: bool = True,
        distributor_startup_timeout: float = 180,
        resume_timeout: float = 300,
        configure_logging: bool = False,
        *,
        jobs: int | None = None,
        timeout: float | str | None = None,
        state: str | None = None,
        store: str | None = None,
        executor: str | None = None,
    ) -> WorkflowResult:
        """As `run`, without blocking the event loop."""
        result = await super().arun(
            fail_fast,
            seconds_until_timeout,
            resume,
            reset_running_jobs,
            distributor_startup_timeout,
            resume_timeout,
            configure_logging or logging.is_configured(),
            jobs=jobs,
            timeout=timeout,
            state=state,
            store=store,
            executor=executor,
        )
        self._check_answers()
        return result

    def _check_answers(self) -> None:
        """Raises CallableReturnedInvalidObject with every task whose function raised, or gave something else."""
        failed = [
            f"{show(task.name)}: {cut(why.removeprefix(PREFIX), SHOWN_CHARACTERS)}" for task, why in self._refused()
        ]
        if failed:
            raise CallableReturnedInvalidObject("; ".join(failed))

    def _refused(self) -> Iterator[tuple[WorkflowTask, str]]:
        records = self._records
        assert records is not None
        for block, rows in rows_of(self.members):
            if block.treatment.ask is None and not block.own:
                continue
            for row in rows:
                if block.treatment_of(row).ask is None:
                    continue
                task = block.template.task_class(block, row)
                found = records.row(task)
                if found.cause == SETUP and is_unstarted(found):
                    yield task, str(found.detail)
