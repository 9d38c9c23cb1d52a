"""The executors of one run; light to import, so that a supervisor wakes up while the rest of weft is still being loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from math import ceil
from typing import Final

from weft.assemble.run_settings import DRY, EXECUTORS, SIMULATED, RunSettings
from weft.executors.processes import ProcessExecutor
from weft.ports import Executor, Function, Order
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.spec.actions import Call
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS
from weft.spec.resources import CORES, MILLI
from weft.spec.tasks import Task

WEFT_VARIABLES: Final = (
    "WEFT_RUN_ID",
    "WEFT_TASK",
    "WEFT_ATTEMPT",
    "WEFT_FILE",
    "WEFT_SCRATCH",
    "WEFT_FAILPOINT",
)
"""Of an outer run's attempt: a run inside it gives its own attempts their own. The token stays: it is appended to."""


class Executors:
    """Those that the tasks of a run name, by name. A context: leaving it lets go of them."""

    def __init__(self, plan: Plan, settings: RunSettings, folder: str, run: str, epoch: int):
        self._plan = plan
        self._folder = folder
        self._run = run
        self._epoch = epoch
        self._newborn = settings.newborn
        self._jobs = settings.jobs or len(os.sched_getaffinity(0))
        self.default = settings.executor or "local"
        self.by_name: dict[str, Executor] = {}
        named = {executor_name(task, self.default) for task in plan.graph.tasks}
        names = sorted(
            {self.default} | named.intersection(EXECUTORS)
        )  # of a task that takes no part it may be anything
        with ExitStack() as opened:
            for name in names:
                self.by_name[name] = self.make(name)
                opened.callback(self.by_name[name].close)
            self._opened = opened.pop_all()

    def __enter__(self) -> Executors:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def make(self, name: str) -> Executor:
        """A new connection to this run's attempts of an executor, present ones and later ones."""
        if name == "noop":
            from weft.executors.noop import NoopExecutor

            return NoopExecutor()
        if name == SIMULATED:
            from weft.executors.simulated import SimulatedExecutor

            return SimulatedExecutor([task.policy.duration for task in self._plan.graph.tasks])
        base = {name: value for name, value in os.environ.items() if name not in WEFT_VARIABLES}
        run_folder = os.path.join(self._folder, "runs", self._run)
        log_folder = os.path.join(self._folder, "logs", self._run)
        newborn, self._newborn = self._newborn, None
        return ProcessExecutor(run_folder, log_folder, self._run, self._epoch, base, newborn=newborn)

    def wake(self, plan: Plan, selected: Sequence[int]) -> None:
        """Start the supervisor and workers now if they will be needed for certain: they wake up on another core."""
        local = self.by_name.get("local")
        if not isinstance(local, ProcessExecutor):
            return
        certain = _certain(plan, selected)
        first = next(certain, None)
        if first is None:
            return
        local.prepare()
        kind = self._kind_of_worker(first)
        if kind is not None:
            others = (task for task in islice(certain, self._jobs - 1) if self._kind_of_worker(task) == kind)
            count = 1 + sum(1 for _ in others)
            cores, niceness = kind
            call = Function(None, None, {})
            likely = Order(AttemptKey(0, WHOLE, 0), 0, "", "", call, plan.root, niceness=niceness, cores=cores)
            local.prepare_calls(likely, min(count, max(1, self._jobs // cores)))

    def _kind_of_worker(self, task: Task) -> tuple[int, int] | None:
        """(cores, niceness) of the worker that a call will be made in; None when it will be made elsewhere."""
        policy = task.policy
        amounts = dict(policy.resources.amounts)
        if not isinstance(task.action, Call) or policy.isolation not in (None, "worker"):
            return None
        if policy.environment is not None or amounts.keys() - {CORES} or executor_name(task, self.default) != "local":
            return None
        return max(1, ceil(amounts.get(CORES, 0) / MILLI)), policy.niceness


def executor_name(task: Task, default: str) -> str:
    """The executor of a task in a run with this default; one that runs nothing is for all, whatever they name."""
    return default if default in DRY else task.policy.executor or default


def _certain(plan: Plan, selected: Sequence[int]) -> Iterator[Task]:
    """Tasks that start whatever the world is like: those without dependencies that are never cached."""
    for index in selected:
        task = plan.graph.tasks[index]
        if not (task.dependencies or task.is_cacheable or task.policy.foreach or task.requires is not NO_REQUIREMENTS):
            yield task
