"""What a simulation says: how long it took, and how near that is to the least that is possible."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from weft.runtime.simulation.hosts import Host
from weft.runtime.simulation.world import Skip, Trace
from weft.spec.plan import Plan
from weft.spec.resources import CORES, MILLI


@dataclass(frozen=True, slots=True)
class Path:
    """The chain of tasks that takes longest, first to last; seconds it takes however many cores there are."""

    seconds: float
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """makespan, bound: seconds; no order of starts can be faster than the bound. work: core-seconds.

    utilisation: work over what the cores of all hosts could have done, 0 to 1. speedup: work over makespan. hosts, tasks:
    how many; tasks those that ran. attempts: with each instance of a mapped task. recorded_makespan: of the document.
    """

    makespan: float
    work: float
    bound: float
    utilisation: float
    speedup: float
    critical_path: Path
    hosts: int
    cores: float
    tasks: int
    attempts: int
    dispatches_per_second: float
    skipped: tuple[Skip, ...]
    recorded_makespan: float | None


def make_report(plan: Plan, hosts: Sequence[Host], trace: Trace) -> Report:
    """The figures of a simulation that has ended."""
    tasks = plan.graph.tasks
    millicores = [task.policy.resources.units(CORES) for task in tasks]
    work = fsum(millicores[task] * trace.durations[task] for task in trace.tasks) / MILLI
    ran = bytearray(len(tasks))
    for task in trace.tasks:
        ran[task] = 1
    longest, path = _longest_path(plan, trace.durations, ran)
    cores = sum(host.amounts[CORES] for host in hosts) / MILLI
    makespan = trace.makespan
    recorded = plan.attributes.get("makespanInSeconds")
    return Report(
        makespan=makespan,
        work=work,
        bound=min(max(longest, work / cores), makespan),  # the last digit of a division may be above
        utilisation=min(work / (cores * makespan), 1.0) if makespan else 0.0,
        speedup=work / makespan if makespan else 0.0,
        critical_path=Path(longest, plan.graph.names(path)),
        hosts=len(hosts),
        cores=cores,
        tasks=sum(ran),
        attempts=len(trace.tasks),
        dispatches_per_second=len(trace.tasks) / trace.bookkeeping if trace.bookkeeping > 0 else 0.0,
        skipped=tuple(sorted(trace.skipped)),
        recorded_makespan=recorded if isinstance(recorded, int | float) else None,
    )


def _longest_path(plan: Plan, durations: Sequence[float], ran: bytearray) -> tuple[float, list[int]]:
    """Seconds and tasks of the longest chain of tasks that ran.

    Added up from its beginning, as the virtual clock does: so rounding makes the makespan never less.
    """
    graph = plan.graph
    first, dependencies = graph.first_dependency, graph.dependencies
    ends = array("d", bytes(8 * len(ran)))
    before = array("i", [-1]) * len(ran)
    for task in graph.topological():
        if not ran[task]:
            continue
        latest = 0.0
        for dependency in dependencies[first[task] : first[task + 1]]:
            if ran[dependency] and (before[task] < 0 or ends[dependency] > latest):
                latest, before[task] = ends[dependency], dependency
        ends[task] = latest + durations[task]
    last = max((task for task in range(len(ran)) if ran[task]), key=ends.__getitem__, default=-1)
    path: list[int] = []
    seconds = ends[last] if last >= 0 else 0.0
    while last >= 0:
        path.append(last)
        last = before[last]
    path.reverse()
    return seconds, path
