"""One owned run: its executors, inspector, scheduler and engine, put together and taken apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from weft.assemble.executors import Executors
from weft.assemble.products import StoredProducts
from weft.assemble.run_settings import DRY, RunSettings
from weft.assemble.streaming import RunStreams
from weft.files.inspector import FileInspector, History
from weft.ports import FileRow, Observer, OpenRun, ResultRow, RunEnding, RunOpening
from weft.runtime.bindings import Binder
from weft.runtime.clock import SystemClock, SystemWaiter
from weft.runtime.engine import Engine, Parts
from weft.runtime.interrupts import Interrupts
from weft.runtime.orders import OrderWriter
from weft.runtime.preparation import Preparation
from weft.runtime.products import Products
from weft.runtime.recovery import NOTHING_RECOVERED, Recovered
from weft.runtime.requests import Requests
from weft.scheduling.events import CancelRequested, CapacityChanged, Event, LimitChanged, PauseChanged
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.scheduling.workload import QueueLimit
from weft.spec.plan import Plan
from weft.spec.resources import CORES, MILLI

if TYPE_CHECKING:
    from weft.assemble.installing import PlanInstaller
    from weft.store.ledger import SqliteLedger
    from weft.store.mailbox import Inbox
    from weft.store.sqlite import SqliteStore


class Session:
    """What one process needs to carry one run, but for its executors. A context: leaving it lets go of everything."""

    def __init__(
        self,
        store: SqliteStore,
        ledger: SqliteLedger,
        plan: Plan,
        selected: Sequence[int],
        settings: RunSettings,
        run: str,
        executors: Executors,
    ):
        self._plan = plan
        self._selected = selected
        self._settings = settings
        self._run = run
        self._store = store
        self._folder = store.folder
        self._ledger = ledger
        self._executors = executors
        with ExitStack() as opened:
            self._interrupts = Interrupts()
            opened.callback(self._interrupts.restore)
            self._inbox = _open_inbox(store.folder, run)
            opened.callback(self._inbox.close)
            self._requests = Requests(self._read_inbox, self._inbox.fileno())
            opened.callback(self._requests.close)
            self._preparation = Preparation(plan, _make_installer(plan, store.folder))
            opened.callback(self._preparation.close)
            self._files = files = StoredProducts(plan, store.folder, run, is_durable=settings.durability == "power")
            streaming = RunStreams(plan, selected, store.folder, run)
            self._streams, self._feeds = streaming.streams, streaming.feeds
            self._products = streaming.products = Products(plan, files, self._streams)
            opened.callback(self._products.close)
            self._inspector = FileInspector(
                plan,
                store.folder,
                _history(store.folder, plan, settings),
                run,
                self._products,
                is_caching=settings.use_cache,
                plan_digest=ledger.plan_digest(),
            )
            files.inspector = self._inspector
            opened.callback(self._inspector.close)
            for task in _mapped_makers_outside(plan, selected):
                self._products.take_items(task, files.items_of_unselected(task))
            self._opened = opened.pop_all()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def run(
        self,
        observers: Sequence[Observer],
        recovered: Recovered = NOTHING_RECOVERED,
        requests: Sequence[Event] = (),
    ) -> RunEnding:
        """Carry the run to its end. requests: what was asked before anything starts."""
        settings = self._settings
        capacity = capacity_of(settings, self._folder)
        seed = int.from_bytes(os.urandom(8), "big")
        options = replace(scheduler_options(settings), queue_ahead=self._may_queue_ahead())
        scheduler = Scheduler(self._plan, self._selected, options, seed)
        orders = OrderWriter(
            self._plan,
            self._run,
            bound=Binder(self._plan, self._products, self._inspector, self._feeds).bind,
            interpreter=self._preparation.interpreter,
            products=self._files.products,
            passing=self._files.room,
            is_durable=settings.durability == "power",
        )
        parts = Parts(
            ledger=self._ledger,
            executors=self._executors.by_name,
            default=self._executors.default,
            inspector=self._inspector,
            orders=orders,
            preparation=self._preparation,
            products=self._products,
            clock=SystemClock(),
            waiter=SystemWaiter(self._store.check_place),
            interrupts=self._interrupts,
            requests=self._requests,
            observers=observers,
            streams=self._streams,
        )
        engine = Engine(scheduler, parts, timeout=settings.timeout)
        opening = RunOpening(
            self._run, self._plan, self._selected, recovered.done, self._folder, capacity.amounts, engine.gauge
        )
        self._interrupts.install()
        ending = engine.run(opening, [*requests, capacity], recovered)
        if ending.state == "ok":  # else it may be taken up again
            self._files.forget_passing()
        return ending

    def interrupts(self) -> int:
        """How often the run was interrupted so far."""
        return self._interrupts.level

    def restore(self, opened: OpenRun) -> None:
        """Resume: items that were taken and products that were made."""
        for task, items in opened.items.items():
            self._inspector.recover_items(task, [item for item, _, _ in items])
        self._products.restore(opened)
        if self._streams is not None:
            self._streams.restore(opened)

    def _may_queue_ahead(self) -> bool:
        """Starts that wait for an environment are held back here, so the order in a lane would not be the executor's."""
        in_file_order = self._plan.order == "file"  # what becomes ready meanwhile may come first
        return self._executors.default not in DRY and not in_file_order and not needs_installing(self._plan)

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
                    self._interrupts.interrupt(2, 130, "interrupted on request")
        return events


def capacity_of(settings: RunSettings, folder: str) -> CapacityChanged:
    """Host figures, with what `-j` and `--resources` say (design.md 6, 16). folder: whose disk counts."""
    if settings.executor in DRY:
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
        unlimited=settings.executor in DRY,
        queue_ahead=settings.executor not in DRY,
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
    files = StoredProducts(plan, folder or "", "", is_durable=False)
    history = _history(folder, plan, settings) if folder is not None else History(_no_results, _no_files)
    files.inspector = FileInspector(
        plan, folder, history, "", Products(plan, files) if folder is not None else None, is_caching=settings.use_cache
    )
    return files.inspector


def needs_installing(plan: Plan) -> bool:
    """Whether an environment asks for an interpreter or for requirements."""
    return any(environment.is_installed for environment in plan.environments.values())


def _mapped_makers_outside(plan: Plan, selected: Sequence[int]) -> list[int]:
    """Mapped tasks that take no part but whose products do."""
    if len(selected) == len(plan.graph):
        return []
    inside = frozenset(selected)
    tasks, index = plan.graph.tasks, plan.graph.index
    bound = [index[edge.name] for task in selected for edge in tasks[task].dependencies if edge.bind is not None]
    makers = [maker for maker in dict.fromkeys(bound) if maker not in inside]
    return [maker for maker in makers if tasks[maker].policy.foreach is not None]


def _make_installer(plan: Plan, folder: str) -> PlanInstaller | None:
    if not needs_installing(plan):
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
        with SqliteArchive(folder) as archive:
            return archive.results(plan.results_key)

    def files() -> Mapping[str, FileRow]:
        with SqliteArchive(folder) as archive:
            return archive.files()

    def older() -> Mapping[tuple[str, str, str], ResultRow]:
        with SqliteArchive(folder) as archive:
            return archive.every_result(plan.results_key)

    return History(results, files, older)


def _no_results() -> Mapping[tuple[str, str], ResultRow]:
    return {}


def _no_files() -> Mapping[str, FileRow]:
    return {}
