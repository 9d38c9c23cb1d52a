"""Several hosts: nobody starves, whether durations are known or not, and whoever ends next."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.scheduling import invariants
from weft.scheduling.commands import StartAttempt
from weft.scheduling.events import AttemptEnded, CapacityChanged
from weft.scheduling.lanes import Lane
from weft.scheduling.outcomes import Outcome
from weft.scheduling.placement import PATIENCE_ROUNDS, PATIENCE_STARTS
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.testing.scenario import task

KINDS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 3), st.sampled_from([None, 1.0, 9.0]), st.integers(0, 1)),
    min_size=2,
    max_size=6,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.lists(st.integers(3, 6), min_size=2, max_size=4), KINDS)
def test_no_lane_is_passed_over_more_often_than_patience_allows(
    seed: int, sizes: list[int], kinds: list[tuple[int, int, float | None, int]]
) -> None:
    random = Random(seed)
    sizes = [*sizes, 6]
    tasks = []
    for number in range(600):
        cores, priority, duration, licenses = kinds[0] if number % 3 else random.choice(kinds)
        resources = {"cores": cores, "license": licenses}
        tasks.append(task(f"t{number}", resources=resources, priority=priority, duration=duration))
    hosts = tuple({"cores": size * 1000} for size in sizes)
    scheduler = Scheduler(Plan(Graph(tasks), "/"), options=SchedulerOptions(hosts=hosts, placement_batch=10_000))
    lanes = scheduler.placement.lanes
    bound = 2 * max(PATIENCE_STARTS, PATIENCE_ROUNDS * sum(sizes)) * (len(lanes) + 1)
    live: list[StartAttempt] = []
    events: list[AttemptEnded | CapacityChanged] = [CapacityChanged({"cores": sum(sizes) * 1000, "license": 4_000_000})]
    now = 0.0
    while not scheduler.is_finished:
        live += [command for command in scheduler.handle(events, now) if isinstance(command, StartAttempt)]
        if not random.randrange(20):
            invariants.check(scheduler)
        for lane in lanes.values():
            assert passed_over(scheduler, lane) <= bound
        if not live:
            break
        # What is to end next has nothing to do with what was declared: estimates err.
        ended = live.pop(random.randrange(len(live)))
        events = [AttemptEnded(ended.key, ended.nonce, Outcome(True))]
        now += 0.01
    assert scheduler.is_finished


def passed_over(scheduler: Scheduler, lane: Lane) -> int:
    if lane.passed_since < 0 or scheduler.placement.best(lane) is None:
        return 0
    return scheduler.placement.starts - lane.passed_since


def test_a_unit_that_needs_a_whole_host_gets_one_though_all_are_always_in_use() -> None:
    for seed in range(20):
        random = Random(seed)
        old = [task(f"old{i}", priority=9) for i in range(8)]
        small = [task(f"s{i}") for i in range(400)]
        plan = Plan(Graph([*old, task("large", resources={"cores": 4}, priority=5), *small]), "/")
        scheduler = Scheduler(plan, options=SchedulerOptions(hosts=({"cores": 4000}, {"cores": 4000})))
        events: list[AttemptEnded | CapacityChanged] = [CapacityChanged({"cores": 8000})]
        live: list[StartAttempt] = []
        others = 0
        while "large" not in (names := [plan.graph.tasks[start.key.task].name for start in live]):
            others = max(others, sum(name.startswith("s") for name in names))
            if live:
                ended = live.pop(random.randrange(len(live)))
                events = [AttemptEnded(ended.key, ended.nonce, Outcome(True))]
            live += [command for command in scheduler.handle(events, 0.0) if isinstance(command, StartAttempt)]
            held = {scheduler.host_of(start.nonce) for start in live if plan.graph.tasks[start.key.task].name[0] == "s"}
            assert len(held) <= 1, "small ones go to the host that is not reserved"
        assert others, "and there they do go"
