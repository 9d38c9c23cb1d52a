"""One owned run: its executors, inspector, scheduler and engine, put together and taken apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from weft.assemble.run_settings import RunSettings
from weft.files.inspector import FileInspector, History
from weft.ports import Executor, FileRow, Ledger, Observer, ResultRow, RunEnding, RunOpening
from weft.runtime.bindings import Binder
from weft.runtime.clock import SystemClock
from weft.runtime.engine import Engine, Parts
from weft.runtime.interrupts import Interrupts
from weft.runtime.orders import OrderWriter
from weft.runtime.preparation import Preparation
from weft.runtime.products import Products
from weft.runtime.recovery import Recovered
from weft.runtime.requests import Requests
from weft.scheduling.events import CancelRequested, CapacityChanged, Event, LimitChanged, PauseChanged
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.scheduling.workload import QueueLimit
from weft.spec.plan import Plan
from weft.spec.resources import CORES, MILLI
from weft.store.logs import LogReader

if TYPE_CHECKING:
    from weft.assemble.installing import PlanInstaller
    from weft.store.mailbox import Inbox
    from weft.store.sqlite import SqliteStore

WEFT_VARIABLES: Final = (
    "WEFT_RUN_ID",
    "WEFT_TASK",
    "WEFT_ATTEMPT",
    "WEFT_FILE",
    "WEFT_SCRATCH",
    "WEFT_FAILPOINT",
)
"""Of an outer run's attempt: a run inside it gives its own attempts their own. The token stays: it is appended to."""


class Session:
    """What one process needs to carry one run. A context: leaving it lets go of everything.

    recall: the product text that an earlier run kept for a task index.
    """

    def __init__(
        self,
        store: SqliteStore,
        ledger: Ledger,
        plan: Plan,
        selected: Sequence[int],
        settings: RunSettings,
        run: str,
        epoch: int,
        recall: Callable[[int], str | None],
    ):
        self._plan = plan
        self._selected = selected
        self._settings = settings
        self._run = run
        self._folder = store.folder
        self._ledger = ledger
        self.default = settings.executor or "local"
        self._epoch = epoch
        self.executors = self._make_executors()
        self.products = Products(plan, read=LogReader(store.folder, run).read, recall=recall)
        self.inspector = FileInspector(
            plan,
            store.folder,
            _history(store.folder, plan, settings),
            run,
            self.products,
            is_caching=settings.use_cache,
        )
        self._preparation = Preparation(plan, _make_installer(plan, store.folder))
        self._interrupts = Interrupts()
        self._inbox = _open_inbox(store.folder, run)
        self._requests = Requests(self._read_inbox, self._inbox.fileno())

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for executor in self.executors.values():
            executor.close()
        self.inspector.close()
        self._preparation.close()
        self._requests.close()
        self._inbox.close()
        self._interrupts.restore()
        self._ledger.close()

    def run(
        self, observers: Sequence[Observer], recovered: Recovered | None, requests: Sequence[Event] = ()
    ) -> RunEnding:
        """Carry the run to its end. requests: what was asked before anything starts."""
        settings = self._settings
        capacity = capacity_of(settings, self._folder)
        seed = int.from_bytes(os.urandom(8), "big")
        scheduler = Scheduler(self._plan, self._selected, scheduler_options(settings), seed)
        orders = OrderWriter(
            self._plan,
            self._run,
            bound=Binder(self._plan, self.products, self.inspector).bind,
            interpreter=self._preparation.interpreter,
        )
        parts = Parts(
            ledger=self._ledger,
            executors=self.executors,
            default=self.default,
            inspector=self.inspector,
            orders=orders,
            preparation=self._preparation,
            products=self.products,
            clock=SystemClock(),
            interrupts=self._interrupts,
            requests=self._requests,
            observers=observers,
        )
        engine = Engine(scheduler, parts, timeout=settings.timeout)
        done = recovered.done if recovered is not None else 0
        opening = RunOpening(self._run, self._plan, self._selected, done, self._folder, capacity.amounts, engine.gauge)
        first: list[Event] = [*requests, capacity]
        if recovered is not None:
            first = [*recovered.facts, *first, *recovered.ends]
        self._interrupts.install()
        return engine.run(opening, first)

    def _make_executors(self) -> Mapping[str, Executor]:
        names = {self.default}
        if self.default != "noop":
            names |= {task.policy.executor for task in self._plan.graph.tasks if task.policy.executor is not None}
        executors: dict[str, Executor] = {}
        if "local" in names:
            executors["local"] = self.make_local_executor()
        if "noop" in names:
            from weft.executors.noop import NoopExecutor

            executors["noop"] = NoopExecutor()
        return executors

    def make_local_executor(self) -> Executor:
        """A new connection to this run's local processes, present ones and later ones."""
        from weft.executors.processes import ProcessExecutor

        base = {name: value for name, value in os.environ.items() if name not in WEFT_VARIABLES}
        run_folder = os.path.join(self._folder, "runs", self._run)
        log_folder = os.path.join(self._folder, "logs", self._run)
        return ProcessExecutor(run_folder, log_folder, self._run, self._epoch, base)

    def _read_inbox(self) -> Sequence[Event]:
        events: list[Event] = []
        index = self._plan.graph.index
        for request in self._inbox.take():
            payload = request.payload
            match request.kind:
                case "cancel":
                    names = payload.get("tasks")
                    tasks = None if names is None else tuple(index[name] for name in names if name in index)
                    events.append(CancelRequested(tasks, bool(payload.get("force"))))
                case "pause":
                    events.append(PauseChanged(bool(payload.get("paused")), str(payload.get("reason", ""))))
                case "limit":
                    events.append(LimitChanged(str(payload["name"]), payload.get("units")))
                case "stop":
                    self._interrupts.interrupt(2, 130)
        return events


def capacity_of(settings: RunSettings, folder: str) -> CapacityChanged:
    """Host figures, with what `-j` and `--resources` say (design.md 6, 16). folder: whose disk counts."""
    if settings.executor == "noop":
        return CapacityChanged(dict(settings.resources), settings.jobs)
    from weft.trackers.host import HostTracker

    tracker = HostTracker(folder)
    amounts = dict(tracker.capacity())
    if settings.jobs is not None:
        amounts[CORES] = settings.jobs * MILLI
    amounts.update(settings.resources)
    ceiling = tracker.ceiling().processes
    return CapacityChanged(amounts, min(settings.jobs, ceiling) if settings.jobs is not None else ceiling)


def scheduler_options(settings: RunSettings) -> SchedulerOptions:
    """What of the settings the scheduler decides by."""
    return SchedulerOptions(
        fail_fast=settings.fail_fast,
        use_cache=settings.use_cache,
        force=settings.force,
        wait_seconds=settings.wait,
        unlimited=settings.executor == "noop",
        queue_ahead=settings.executor != "noop",
        queues=queue_limits(settings.queues),
    )


def queue_limits(queues: Mapping[str, Mapping[str, float]]) -> Mapping[str, QueueLimit]:
    """Limits by queue name as the scheduler takes them: amounts in integer units, `timeout` apart."""
    return {
        name: QueueLimit({key: int(units) for key, units in limits.items() if key != "timeout"}, limits.get("timeout"))
        for name, limits in queues.items()
    }


def planning_inspector(plan: Plan, folder: str | None, settings: RunSettings) -> FileInspector:
    """An inspector that only looks: for `weft plan`. folder: the state folder, None when there is none yet."""
    products = Products(plan, read=_no_bytes, recall=_no_product)
    history = _history(folder, plan, settings) if folder is not None else History(_no_results, _no_files)
    return FileInspector(plan, folder, history, "", products, is_caching=settings.use_cache)


def _no_bytes(_: object) -> bytes:
    return b""


def _no_product(_: int) -> str | None:
    return None


def _make_installer(plan: Plan, folder: str) -> PlanInstaller | None:
    """None when no environment asks for an interpreter or for requirements."""
    if not any(environment.python or environment.requirements for environment in plan.environments.values()):
        return None
    from weft.assemble.installing import PlanInstaller

    return PlanInstaller(plan, folder)


def _open_inbox(folder: str, run: str) -> Inbox:
    from weft.store.mailbox import Inbox

    return Inbox(folder, run)


def _history(folder: str, plan: Plan, settings: RunSettings) -> History:
    if not settings.use_cache:
        return History(_no_results, _no_files)
    from weft.store.archive import SqliteArchive

    def results() -> Mapping[tuple[str, str], ResultRow]:
        archive = SqliteArchive(folder)
        try:
            return archive.results(plan.key)
        finally:
            archive.close()

    def files() -> Mapping[str, FileRow]:
        archive = SqliteArchive(folder)
        try:
            return archive.files()
        finally:
            archive.close()

    return History(results, files)


def _no_results() -> Mapping[tuple[str, str], ResultRow]:
    return {}


def _no_files() -> Mapping[str, FileRow]:
    return {}
