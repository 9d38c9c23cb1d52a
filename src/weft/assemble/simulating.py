"""`weft simulate`: a plan, hosts and durations in; what the real scheduler makes of them out."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from weft.assemble.run_settings import DRY, RunSettings, state_folder, with_executors
from weft.assemble.selecting import select_tasks
from weft.errors import cut
from weft.runtime.clock import SystemClock
from weft.runtime.simulation.hosts import RECORDED, Host, parse_hosts, recorded_hosts, without
from weft.runtime.simulation.report import Report, make_report
from weft.runtime.simulation.world import ItemsOf, Skip, Trace, simulate
from weft.scheduling.hosts import Hosts
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.resources import CORES, MEMORY, MILLI
from weft.spec.tasks import Policy, Task
from weft.store.archive import SqliteArchive
from weft.store.database import path_of
from weft.units import BYTE_AMOUNTS, show_amount

if TYPE_CHECKING:
    from weft.files.inspector import FileInspector
    from weft.formats.export.gantt import Chart

ONE: Final = ("1",)  # the item that is assumed where none is known
RUNS_LOOKED_AT: Final = 10  # latest ones, for durations


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """How a plan is to be simulated. hosts: as `parse_hosts` reads them, or `recorded`; None: recorded ones.

    default_duration: seconds of a task of which none is known. order: instead of the plan's. shared: amounts for all hosts
    together, integer units by name. counts_memory: whether memory that hosts state is short. run: what is selected, and the
    state folder whose runs may know durations.
    """

    hosts: str | None = None
    default_duration: float | None = None
    order: Literal["path", "file"] | None = None
    shared: Mapping[str, int] = field(default_factory=dict)
    counts_memory: bool = True
    run: RunSettings = field(default_factory=RunSettings)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was simulated, on what, and how it went."""

    plan: Plan
    hosts: tuple[Host, ...]
    trace: Trace
    report: Report


def simulate_plan(plan: Plan, settings: SimulationSettings, warn: Callable[[str], None] = lambda _: None) -> Simulation:
    """Carry a plan through the real scheduler on a virtual clock; nothing is run, read or written, but for files of mapped tasks.

    warn: hears, before the start, what is assumed and what will be skipped. Raises UsageError, PlanError for hosts and
    selections that cannot be.
    """
    plan = with_executors(plan, settings.run)
    hosts = choose_hosts(plan, settings)
    stated = {name for host in hosts for name in host.amounts}
    limits = {name: units for name, units in plan.limits.items() if name not in stated}
    settings = replace(settings, shared={**limits, **settings.shared})
    plan = _prepared(plan, settings, warn)
    durations = [task.policy.duration or 0.0 for task in plan.graph.tasks]
    _warn_of_hosts(plan, hosts, settings, warn)
    with _Items(plan, settings.run, warn) as items:
        trace = simulate(plan, hosts, durations, SystemClock(), shared=settings.shared, items=items)
    return Simulation(plan, hosts, trace, make_report(plan, hosts, trace))


def choose_hosts(plan: Plan, settings: SimulationSettings) -> tuple[Host, ...]:
    """The hosts that are named, else those that the plan's document records. Raises UsageError, PlanError."""
    text = settings.hosts
    if text is None or text.strip() == RECORDED:
        machines = plan.attributes.get("machines")
        hosts = recorded_hosts(machines if isinstance(machines, list | tuple) else ())
    else:
        hosts = parse_hosts(text)
    return hosts if settings.counts_memory else without(hosts, MEMORY)


def _prepared(plan: Plan, settings: SimulationSettings, warn: Callable[[str], None]) -> Plan:
    """The selected tasks alone, in the order that is wanted, each with a duration."""
    selected = select_tasks(plan, settings.run)
    if len(selected) < len(plan.graph):
        plan = plan.with_graph(plan.graph.keep(plan.graph.names(selected)))
    if settings.order is not None:
        plan = replace(plan, order=settings.order)
    tasks = plan.graph.tasks
    unknown = [index for index, task in enumerate(tasks) if task.policy.duration is None]
    if not unknown:
        return plan
    measured = _measured(plan, [tasks[index].name for index in unknown], settings.run, warn)
    left = [tasks[index].name for index in unknown if tasks[index].name not in measured]
    default = settings.default_duration
    if left and default is None:
        what = f"{_counted(left)} no duration and {'counts' if len(left) == 1 else 'count'} as 0 s"
        warn(f"{what}; --default-duration gives another, a run of the plan measures it")
    durations = {index: measured.get(tasks[index].name, default or 0.0) for index in unknown}
    return replace(plan, graph=_timed(plan.graph, durations))


def _timed(graph: Graph, durations: Mapping[int, float]) -> Graph:
    """The same graph with these durations. Tasks that shared a policy and have equal durations share one again."""
    policies: dict[tuple[int, float], Policy] = {}
    tasks = list(graph.tasks)
    for index, seconds in durations.items():
        policy = tasks[index].policy
        timed = policies.get((id(policy), seconds))
        if timed is None:
            timed = policies[id(policy), seconds] = replace(policy, duration=seconds)
        tasks[index] = _with_policy(tasks[index], timed)
    return Graph(tasks)


def _with_policy(task: Task, policy: Policy) -> Task:
    return Task(task.name, task.action, task.dependencies, task.parameters, task.requires, task.outputs, policy)


def _measured(plan: Plan, names: Sequence[str], settings: RunSettings, warn: Callable[[str], None]) -> dict[str, float]:
    """Seconds by name of tasks that the latest runs of the plan really carried out."""
    folder = state_folder(plan.root, settings)
    if not os.path.exists(path_of(folder)):
        return {}
    found: dict[str, float] = {}
    wanted = frozenset(names)
    with SqliteArchive(folder) as archive:
        for row in reversed(archive.runs(plan.key)[-RUNS_LOOKED_AT:]):
            if row.settings.get("executor") in DRY or len(found) == len(wanted):
                continue
            for task in archive.tasks(row.run):
                if task.name in wanted and task.state == "ok" and task.cause is None and task.seconds is not None:
                    found.setdefault(task.name, task.seconds)
    if found:
        warn(f"{_counted(list(found))} no declared duration: what earlier runs measured is taken")
    return found


def _warn_of_hosts(
    plan: Plan, hosts: Sequence[Host], settings: SimulationSettings, warn: Callable[[str], None]
) -> None:
    """What can be told before the start: demands that fit no host, and what takes part in no figure."""
    shapes = Hosts([host.amounts for host in hosts])
    lacking: dict[str, list[str]] = {}
    coreless: list[str] = []
    by_demand: dict[tuple[tuple[str, int], ...], str | None] = {}
    for task in plan.graph.tasks:
        demand = task.policy.resources.amounts
        if demand not in by_demand:
            by_demand[demand] = _lack(demand, shapes, settings.shared)
        reason = by_demand[demand]
        if reason is not None:
            lacking.setdefault(reason, []).append(task.name)
        if not task.policy.resources.units(CORES):
            coreless.append(task.name)
    for reason, names in lacking.items():
        warn(f"{_named(names)} {reason}, and will be skipped with what follows")
    if coreless:
        warn(f"{_counted(coreless)} no cores: work, utilisation and speed-up do not count what holds none")


def _lack(demand: tuple[tuple[str, int], ...], shapes: Hosts, shared: Mapping[str, int]) -> str | None:
    """Why attempts with this demand can never start; None when they can."""
    for name, units in demand:
        if name in shapes.names or name in BYTE_AMOUNTS or units <= shared.get(name, -1) or not units:
            continue
        there = f"there is {show_amount(name, shared[name])}" if name in shared else "no host states it"
        return f"{_ask(name, units)}: {there} (--resources {name}=N gives it to all hosts together)"
    numbers = {name: number for number, name in enumerate(shapes.names)}
    number = shapes.lacking(tuple((numbers[name], units) for name, units in demand if name in numbers))
    if number is None:
        return None
    name = shapes.names[number]
    units, most = dict(demand)[name], shapes.largest(name)
    if most is not None and units > most:
        return f"{_ask(name, units)}: no host has more than {show_amount(name, most)}"
    return f"{_ask(name, units)}: no host has that beside the rest that is needed"


def _ask(name: str, units: int) -> str:
    return f"for {show_amount(name, units)} of {name}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more ask" if len(names) > 1 else " asks"
    return f"task {cut(names[0])!r}{more}"


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} tasks ({cut(names[0])!r} first) have" if len(names) > 1 else f"task {cut(names[0])!r} has"


class _Items:
    """The items of tasks that are mapped over files: those that are there now. A context, for what looks at them."""

    def __init__(self, plan: Plan, settings: RunSettings, warn: Callable[[str], None]):
        self._plan = plan
        self._settings = settings
        self._warn = warn
        self._inspector: FileInspector | None = None
        for task in plan.graph.tasks:
            foreach = task.policy.foreach
            if foreach is not None and foreach.stream is not None:
                warn(f"task {cut(task.name)!r} is mapped over what {cut(foreach.stream)!r} makes: one item is assumed")

    def __enter__(self) -> ItemsOf:
        return self._find

    def __exit__(self, *_: object) -> None:
        if self._inspector is not None:
            self._inspector.close()

    def _find(self, task: int) -> Sequence[str]:
        found: Sequence[str] = ()
        foreach = self._plan.graph.tasks[task].policy.foreach
        if foreach is not None and foreach.files:
            if self._inspector is None:
                from weft.assemble.inspection import planning_inspector  # late: few plans map over files

                self._inspector = planning_inspector(self._plan, None, self._settings)
            self._inspector.ask(task, True)
            self._inspector.drain()
            found = next((answer.items or () for answer in self._inspector.answers()), ())
            if not found:
                name = cut(self._plan.graph.tasks[task].name)
                self._warn(f"task {name!r} is mapped over files, and none is there now: one is assumed")
        return found or ONE


def skip_text(plan: Plan, skip: Skip) -> str:
    """A task that was not simulated, and why."""
    detail = f": {skip.detail}" if skip.detail else ""
    return f"{plan.graph.tasks[skip.task].name} ({skip.cause}){detail}"


def chart(made: Simulation) -> Chart:
    """What a drawing of the simulation shows; kinds are what a document calls them, else templates and families of names."""
    from weft.formats.export.gantt import Chart
    from weft.formats.export.grouping import family

    plan, trace = made.plan, made.trace
    tasks = plan.graph.tasks
    names = [str(task.policy.attributes.get("category") or family(task)) for task in tasks]
    if len(frozenset(names)) > len(names) // 2:  # some documents call every task a kind of its own
        names = [family(task) for task in tasks]
    kinds = {name: number for number, name in enumerate(dict.fromkeys(names))}
    kind_of_task = array("i", (kinds[name] for name in names))
    attempts = trace.tasks
    recorded = made.report.recorded_makespan
    return Chart(
        title=f"{plan.name or 'plan'}, simulated",
        hosts=[(host.name, host.amounts[CORES] / MILLI) for host in made.hosts],
        kinds=list(kinds),
        end=trace.makespan,
        attempts=len(attempts),
        host_of=trace.hosts,
        start_of=trace.starts,
        seconds_of=lambda attempt: trace.durations[attempts[attempt]],
        cores_of=lambda attempt: tasks[attempts[attempt]].policy.resources.units(CORES) / MILLI,
        kind_of=lambda attempt: kind_of_task[attempts[attempt]],
        name_of=lambda attempt: tasks[attempts[attempt]].name,
        mark=recorded,
    )
