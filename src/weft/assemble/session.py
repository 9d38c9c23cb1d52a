"""One owned run: its executors, inspector, scheduler and engine, put together and taken apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from weft.assemble.capacity import Resources, look_around, wanted_by
from weft.assemble.executors import Executors
from weft.assemble.experience import Experience
from weft.assemble.run_settings import DRY, RunSettings, with_limits
from weft.errors import HandedOverError, StoreError
from weft.ports import Inspector, Observer, OpenRun, Remark, Reports, RunEnding, RunOpening
from weft.runtime.clock import SystemClock, SystemWaiter
from weft.runtime.devices import GPU, VISIBLE, Devices, device_names
from weft.runtime.engine import Engine, Parts
from weft.runtime.interrupts import ON_REQUEST, Interrupts
from weft.runtime.orders import OrderWriter
from weft.runtime.plain import NothingHandedOn, NothingToInspect, bind_nothing, is_plain
from weft.runtime.preparation import Preparation
from weft.runtime.recovered import NOTHING_RECOVERED, Recovered
from weft.runtime.requests import Requests
from weft.scheduling.events import (
    CancelRequested,
    CapacityChanged,
    Event,
    LimitChanged,
    PauseChanged,
    RequestRecovered,
)
from weft.scheduling.keys import WHOLE
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.scheduling.workload import QueueLimit
from weft.spec.plan import Plan
from weft.store.history import History

if TYPE_CHECKING:
    from weft.assemble.inspection import Inspection
    from weft.assemble.installing import PlanInstaller
    from weft.files.herald import Herald
    from weft.runtime.sampling import Sampling
    from weft.store.ledger import SqliteLedger
    from weft.store.mailbox import Inbox
    from weft.store.sqlite import SqliteStore


HERALDED_SECONDS: Final = (
    30.0  # between looks at what is waited for while changes are told: some file systems tell of few
)


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
        self._settings = settings = with_limits(plan, settings)
        self._run = run
        self._store = store
        self._folder = store.folder
        self._ledger = ledger
        self._executors = executors
        with ExitStack() as opened:
            self._interrupts = settings.interrupts or Interrupts()
            opened.callback(self._interrupts.restore)
            self._inbox = _open_inbox(store.folder, run)
            opened.callback(self._inbox.close)
            self._requests = Requests(self._read_inbox, self._inbox.fileno())
            opened.callback(self._requests.close)
            self._preparation = Preparation(plan, _make_installer(plan, store.folder))
            opened.callback(self._preparation.close)
            self._inspection: Inspection | None = None
            self._herald: Herald | None = None
            self._asked_copies: dict[int, Mapping[str, str]] = {}
            if settings.sieve is not None or not is_plain(plan):
                from weft.assemble.inspection import Inspection

                if settings.wait is not None:
                    from weft.assemble.heralding import make_herald

                    self._herald = make_herald(plan, selected, settings, store.folder, self._requests)
                if self._herald is not None:
                    opened.callback(self._herald.close)
                on_unmet = None if self._herald is None else self._herald.begin
                digest = ledger.plan_digest()
                self._inspection = Inspection(plan, selected, settings, store.folder, run, digest, on_unmet)
                opened.callback(self._inspection.close)
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
        seed = int.from_bytes(os.urandom(8), "big")
        options = replace(
            scheduler_options(settings),
            queue_ahead=self._may_queue_ahead(),
            grows_any=settings.scale_on == "any" and any(each.dialect == "workflow" for each in self._plan.sources),
        )
        if self._herald is not None:
            options = replace(options, look_seconds=HERALDED_SECONDS)
        told_earlier = recovered.facts
        recovered, options = self._learn(recovered, options)
        scheduler = Scheduler(self._plan, self._selected, options, seed)
        capacity, remarks, sampling = self._look_around(scheduler)
        if remarks:
            told = Reports((*recovered.reports.reports, *map(Remark, remarks)), recovered.reports.offsets)
            recovered = recovered._replace(reports=told)
        found = self._inspection
        if found is not None:
            found.recover(recovered)
        orders = OrderWriter(
            self._plan,
            self._run,
            bound=found.bind if found is not None else bind_nothing,
            interpreter=self._preparation.interpreter,
            products=found.kept if found is not None else "",
            passing=found.passing if found is not None else "",
            is_durable=settings.durability == "power",
            devices=_devices(scheduler, capacity),
            promised=_promised(self._plan, self._ledger),
        )
        parts = Parts(
            ledger=self._ledger,
            executors=self._executors.by_name,
            default=self._executors.default,
            inspector=self._inspector(told_earlier, recovered.facts[len(told_earlier) :]),
            orders=orders,
            preparation=self._preparation,
            products=found.products if found is not None else NothingHandedOn(),
            clock=SystemClock(),
            waiter=SystemWaiter(self._store.check_place),
            interrupts=self._interrupts,
            requests=self._requests,
            observers=self._with_copies(observers),
            streams=found.streams if found is not None else None,
        )
        engine = Engine(scheduler, parts, timeout=settings.timeout)
        opening = RunOpening(
            self._run, self._plan, self._selected, recovered.done, self._folder, capacity.amounts, engine.gauge
        )
        self._interrupts.install()
        if sampling is not None:
            self._opened.callback(sampling.close)
            sampling.start()
        ending = engine.run(opening, [*requests, capacity], recovered)
        if found is not None and ending.state == "ok":  # else it may be taken up again
            found.forget_passing()
        return ending

    def _learn(self, recovered: Recovered, options: SchedulerOptions) -> tuple[Recovered, SchedulerOptions]:
        """What earlier runs say about this one."""
        if self._settings.executor in DRY:
            return recovered, options
        experience = Experience(History(self._store.connection), self._plan, self._selected)
        options = replace(options, expected=experience.durations())
        requests = experience.requests()
        if requests:
            told = {event.task for event in recovered.facts if isinstance(event, RequestRecovered)}
            facts = [RequestRecovered(task, WHOLE, 0, wish) for task, wish in requests.items() if task not in told]
            recovered = recovered._replace(facts=[*recovered.facts, *facts])
        return recovered, options

    def _inspector(self, told_earlier: Sequence[Event], learnt: Sequence[Event]) -> Inspector:
        """What looks at the world for tasks that are about to start. told_earlier: to an engine before this one."""
        found = self._inspection
        inner = found.inspector if found is not None else NothingToInspect()
        if all(task.policy.ask is None for task in self._plan.graph.tasks):
            return inner
        from weft.assemble.asking import with_asking

        asking = with_asking(inner, self._plan, self._selected, told_earlier, learnt, self._asked_copies)
        self._opened.callback(asking.close)
        return asking

    def _with_copies(self, observers: Sequence[Observer]) -> Sequence[Observer]:
        """The observers, and with them what copies output if a task asks for it."""
        tasks = self._plan.graph.tasks
        if not any(tasks[task].policy.copies or tasks[task].policy.ask for task in self._selected):
            return observers
        from weft.assemble.copying import Copying

        copying = Copying(self._plan, observers, self._asked_copies)
        self._opened.callback(copying.close)
        return (*observers, copying)

    def _look_around(self, scheduler: Scheduler) -> tuple[CapacityChanged, Sequence[str], Sampling | None]:
        """What there is, what has to be told of it, and what goes on measuring it in opportunistic mode."""
        settings = self._settings
        wanted = wanted_by(scheduler)
        if settings.executor in DRY or not settings.opportunistic:
            return *look_around(settings, self._folder, wanted), None
        resources = Resources(settings, self._folder, wanted)
        from weft.runtime.sampling import Sampling

        executors = list(self._executors.by_name.values())
        return resources.event, list(resources.remarks), Sampling(resources.measuring(executors), self._requests.put)

    def interrupts(self) -> int:
        """How often the run was interrupted so far."""
        return self._interrupts.level

    def restore(self, opened: OpenRun) -> None:
        """Resume: items that were taken, products that were made, and what functions of tasks told of copies."""
        if self._inspection is not None:
            self._inspection.restore(opened)
        told = [
            (row.key.task, request) for row in opened.attempts if (request := row.next_request or row.request).besides
        ]
        if told:
            from weft.assemble.asking import copies_of

            self._asked_copies.update((task, copies_of(request)) for task, request in told)

    def _may_queue_ahead(self) -> bool:
        """Starts that wait for an environment are held back here, so the order in a lane would not be the executor's."""
        in_file_order = self._plan.order == "file"  # what becomes ready meanwhile may come first
        # What is ahead begins by itself, whatever the host has free by then, and also right after a failure.
        if self._settings.opportunistic or self._settings.fail_fast:
            return False
        return self._executors.default not in DRY and not in_file_order and not needs_installing(self._plan)

    def _read_inbox(self) -> Sequence[Event]:
        events: list[Event] = []
        index = self._plan.graph.index
        try:
            found = self._inbox.take()
        except StoreError:
            self._store.check_place()  # the whole folder may have gone: that is what has to be said
            raise
        for request in found:
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
                    self._interrupts.interrupt(2, 130, ON_REQUEST)
                case "release":
                    raise HandedOverError(
                        f"run {self._run[:12]} was handed over to {payload.get('to', 'another process')}",
                        "it goes on there; weft status shows how it stands",
                    )
        return events


def _promised(plan: Plan, ledger: SqliteLedger) -> Callable[[int, int], Mapping[str, str]] | None:
    """Variables of workflows that were started by the names of another system."""
    if not plan.attributes.get("workflow", {}).get("jobmon"):
        return None
    from weft.assemble.workflow_identity import JobmonNames

    return JobmonNames(plan, ledger.number, ledger.epoch)


def _devices(scheduler: Scheduler, capacity: CapacityChanged) -> Devices | None:
    """What attempts that ask for graphics processors choose from; None when nobody asks, or there are none."""
    units = capacity.amounts.get(GPU, 0)
    if not units or GPU not in wanted_by(scheduler):
        return None
    return Devices(device_names(units, os.environ.get(VISIBLE)))


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
        opportunistic=settings.opportunistic,
    )


def queue_limits(queues: Mapping[str, Mapping[str, float]]) -> Mapping[str, QueueLimit]:
    """Limits by queue name as the scheduler takes them: amounts in integer units, `timeout` apart."""
    return {
        name: QueueLimit({key: int(units) for key, units in limits.items() if key != "timeout"}, limits.get("timeout"))
        for name, limits in queues.items()
    }


def needs_installing(plan: Plan) -> bool:
    """Whether an environment asks for an interpreter or for requirements."""
    return any(environment.is_installed for environment in plan.environments.values())


def _make_installer(plan: Plan, folder: str) -> PlanInstaller | None:
    if not needs_installing(plan):
        return None
    from weft.assemble.installing import PlanInstaller

    return PlanInstaller(plan, folder)


def _open_inbox(folder: str, run: str) -> Inbox:
    from weft.store.mailbox import Inbox

    return Inbox(folder, run)
