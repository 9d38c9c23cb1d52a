"""Any plan on any hosts, simulated: what must hold of the trace, recounted without the scheduler's help."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.scheduler_graphs import FAMILIES, Flows, edges
from weft.runtime.simulation.hosts import Host
from weft.runtime.simulation.report import make_report
from weft.runtime.simulation.world import Trace, simulate
from weft.scheduling import invariants
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.resources import CORES, MEMORY
from weft.spec.tasks import Task
from weft.testing.manual_clock import ManualClock
from weft.testing.scenario import task

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
SECONDS = st.one_of(st.integers(0, 9), st.floats(0, 50, allow_nan=False))
HOSTS = st.lists(
    st.builds(
        lambda number, cores, memory: Host(
            f"h{number}", {CORES: cores * 1000, **({MEMORY: memory * 2**20} if memory else {})}
        ),
        st.integers(0, 99),
        st.integers(1, 8),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=5,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A few tasks that depend on earlier ones, of mixed demands."""
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 24))):
        after = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        resources: dict[str, float] = {"cores": draw(st.sampled_from([1, 1, 2, 3, 6, 0.5, 0]))}
        if memory := draw(st.sampled_from([0, 0, 1, 2, 5])):
            resources["memory"] = memory * 2**20
        seconds = float(draw(SECONDS))
        priority = draw(st.sampled_from([0, 0, 0, 1]))
        tasks.append(
            task(f"t{number}", after=[f"t{n}" for n in after], resources=resources, duration=seconds, priority=priority)
        )
    return Plan(Graph(tasks), "/", order=draw(st.sampled_from(["path", "file"])))


def carried(plan: Plan, hosts: list[Host]) -> Trace:
    durations = [task.policy.duration or 0.0 for task in plan.graph.tasks]
    return simulate(plan, hosts, durations, ManualClock(), shared={}, items=lambda _: ("1",), watch=invariants.check)


def fits_somewhere(one: Task, hosts: list[Host]) -> bool:
    return any(all(units <= host.amounts.get(name, units) for name, units in one.policy.resources) for host in hosts)


def check_hosts(plan: Plan, hosts: list[Host], trace: Trace) -> None:
    """No host gives more than it has, at any time."""
    tasks = plan.graph.tasks
    for number, host in enumerate(hosts):
        for name, capacity in host.amounts.items():
            changes: list[tuple[float, int]] = []
            for index, place, start in zip(trace.tasks, trace.hosts, trace.starts, strict=True):
                units = tasks[index].policy.resources.units(name)
                if place == number and trace.durations[index] > 0:
                    changes += [(start, units), (start + trace.durations[index], -units)]
            held = 0
            for _, change in sorted(changes):  # at one instant, what is given back comes first
                held += change
                assert held <= capacity, (host, name)


@EXAMPLES
@given(plans(), HOSTS)
def test_no_host_is_over_its_capacity_and_no_task_starts_before_its_dependencies(plan: Plan, hosts: list[Host]) -> None:
    trace = carried(plan, hosts)
    check_hosts(plan, hosts, trace)
    starts = dict(zip(trace.tasks, trace.starts, strict=True))
    assert len(starts) == len(trace.tasks), "each task starts once"
    for index in starts:
        for before in plan.graph.upstream_indexes(index):
            assert starts[before] + trace.durations[before] <= starts[index]


@EXAMPLES
@given(plans(), HOSTS)
def test_what_is_skipped_is_what_no_host_can_take_and_what_follows(plan: Plan, hosts: list[Host]) -> None:
    trace = carried(plan, hosts)
    expected: set[int] = set()
    for index in plan.graph.topological():
        if not fits_somewhere(plan.graph.tasks[index], hosts) or expected.intersection(
            plan.graph.upstream_indexes(index)
        ):
            expected.add(index)
    assert {skip.task for skip in trace.skipped} == expected
    assert set(trace.tasks) == set(range(len(plan.graph))) - expected


@EXAMPLES
@given(plans(), HOSTS)
def test_the_makespan_lies_between_the_bound_and_the_sum(plan: Plan, hosts: list[Host]) -> None:
    trace = carried(plan, hosts)
    report = make_report(plan, hosts, trace)
    longest: dict[int, float] = {}
    ran = set(trace.tasks)
    for index in plan.graph.topological():
        if index in ran:
            before = [longest[other] for other in plan.graph.upstream_indexes(index)]
            longest[index] = max(before, default=0.0) + trace.durations[index]
    path = max(longest.values(), default=0.0)
    work = sum(plan.graph.tasks[i].policy.resources.units(CORES) / 1000 * trace.durations[i] for i in trace.tasks)
    cores = sum(host.amounts[CORES] for host in hosts) / 1000
    assert report.critical_path.seconds == path
    assert report.bound == pytest.approx(max(path, work / cores))
    assert report.bound <= report.makespan <= sum(trace.durations[index] for index in trace.tasks) * (1 + 1e-9)
    assert 0 <= report.utilisation <= 1
    names = report.critical_path.tasks
    for first, second in pairwise(names):
        assert plan.graph.index[first] in plan.graph.upstream_indexes(plan.graph.index[second])


@EXAMPLES
@given(plans(), HOSTS)
def test_the_same_input_gives_the_same_trace(plan: Plan, hosts: list[Host]) -> None:
    first, second = carried(plan, hosts), carried(plan, hosts)
    assert (first.tasks, first.hosts, first.starts, first.skipped) == (
        second.tasks,
        second.hosts,
        second.starts,
        second.skipped,
    )


@EXAMPLES
@given(plans(), st.integers(1, 8))
def test_one_host_is_as_good_as_its_sum(plan: Plan, cores: int) -> None:
    """A single host is scheduled by sums alone; a second one that nothing fits on must change nothing."""
    alone = carried(plan, [Host("h", {CORES: cores * 1000})])
    beside = carried(plan, [Host("h", {CORES: cores * 1000}), Host("tiny", {CORES: 1, "never": 1})])
    if any(not one.policy.resources.units(CORES) for one in plan.graph.tasks):
        return  # what holds no cores may go to the tiny one
    assert (alone.tasks, alone.starts) == (beside.tasks, beside.starts)
    assert set(beside.hosts) <= {0}


@pytest.mark.parametrize("family", FAMILIES)
@EXAMPLES
@given(seed=st.integers(0, 10**9), hosts=HOSTS)
def test_mapped_tasks_and_streams_come_to_their_end(family: str, seed: int, hosts: list[Host]) -> None:
    random = Random(seed)
    flows = Flows(random)
    shape = random.choice(FAMILIES[:-1]) if family == "streamed" else family
    after = edges(random, shape, 16)
    tasks = []
    for number, before in enumerate(after):
        how = flows.of(number, before) if family == "streamed" else {"after": [f"t{n}" for n in before]}
        cores = random.choice([0, 1, 1, 2])
        tasks.append(task(f"t{number}", resources={"cores": cores}, duration=random.random() * 9, **how))
    plan = Plan(Graph(tasks), "/")
    trace = carried(plan, hosts)
    check_hosts(plan, hosts, trace)
    report = make_report(plan, hosts, trace)
    assert report.bound <= report.makespan
    assert {skip.cause.partition(":")[0] for skip in trace.skipped} <= {"unsatisfiable", "dependency"}
