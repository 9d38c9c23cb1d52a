"""No starvation: a unit that fits alone starts after a bounded number of other starts, whatever its rank."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.scheduling.commands import SetTimer, StartAttempt
from weft.scheduling.events import AttemptEnded, CapacityChanged, TimerFired
from weft.scheduling.lanes import Lane
from weft.scheduling.outcomes import Outcome, Usage
from weft.scheduling.placement import PATIENCE_ROUNDS, PATIENCE_STARTS
from weft.scheduling.scheduler import Scheduler, SchedulerOptions
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.testing.scenario import task

CORES = 6


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.lists(
        st.tuples(st.integers(1, CORES), st.integers(0, 3), st.sampled_from([None, 1.0, 9.0])), min_size=2, max_size=6
    ),
)
def test_no_lane_is_passed_over_more_often_than_patience_allows(
    seed: int, queue_ahead: bool, kinds: list[tuple[int, int, float | None]]
) -> None:
    random = Random(seed)
    tasks = []
    for number in range(700):
        cores, priority, duration = kinds[0] if number % 3 else random.choice(kinds)
        tasks.append(task(f"t{number}", resources={"cores": cores}, priority=priority, duration=duration))
    scheduler = Scheduler(Plan(Graph(tasks), "/"), options=SchedulerOptions(queue_ahead=queue_ahead))
    lanes = scheduler.placement.lanes
    # Each overdue lane is served within its own patience once it holds the reservation, one lane after the other.
    bound = 2 * max(PATIENCE_STARTS, PATIENCE_ROUNDS * CORES) * (len(lanes) + 1)
    live: list[AttemptEnded] = []
    events: list[AttemptEnded | CapacityChanged | TimerFired] = [CapacityChanged({"cores": CORES * 1000})]
    now = 0.0
    while not scheduler.is_finished:
        for command in scheduler.handle(events, now):
            if isinstance(command, StartAttempt):
                seconds = random.choice([0.001, 0.01, 1.0])
                live.append(AttemptEnded(command.key, command.nonce, Outcome(True, usage=Usage(seconds))))
            assert not isinstance(command, SetTimer)
        for lane in lanes.values():
            assert passed_over(scheduler, lane) <= bound
        held = [event for event in live if not scheduler.placement.live[event.nonce].is_ahead]
        events = [random.choice(held)] if held else []
        live = [event for event in live if event not in events]
        now += 0.01


def passed_over(scheduler: Scheduler, lane: Lane) -> int:
    if lane.passed_since < 0 or scheduler.placement.best(lane) is None:
        return 0
    return scheduler.placement.starts - lane.passed_since


@pytest.mark.parametrize("order", ["path", "file"])
def test_a_reserved_unit_fits_as_soon_as_what_lived_before_it_has_ended(order: str) -> None:
    for seed in range(20):
        random = Random(seed)
        old = [task(f"old{i}", resources={"cores": random.randint(1, 2)}, priority=9) for i in range(3)]
        large = task("large", resources={"cores": CORES - random.randint(0, 1)}, priority=5)
        small = [task(f"s{i}", resources={"cores": random.randint(1, 2)}) for i in range(60)]
        plan = Plan(Graph([*old, large, *small]), "/", order="file" if order == "file" else "path")
        scheduler = Scheduler(plan)
        live: dict[int, StartAttempt] = {}
        started: set[str] = set()
        events: list[AttemptEnded | CapacityChanged] = [CapacityChanged({"cores": CORES * 1000})]
        while True:
            for command in scheduler.handle(events, 0.0):
                if isinstance(command, StartAttempt):
                    live[command.nonce] = command
                    started.add(plan.graph.tasks[command.key.task].name)
            names = {plan.graph.tasks[start.key.task].name for start in live.values()}
            if not any(name.startswith("old") for name in names):
                assert "large" in started, "what was let past holds nothing that the reserved unit needs"
                break
            nonce = random.choice(list(live))
            events = [AttemptEnded(live.pop(nonce).key, nonce, Outcome(True))]
