"""Seeded runs of the scheduler in a world where everything goes wrong; each failure replays from its seed."""

from __future__ import annotations

import pytest

from properties.scheduler_graphs import FAMILIES
from properties.scheduler_world import World, without_faults

SEEDS = 400
BLOCK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_promise_holds_after_every_step_whatever_goes_wrong(first: int) -> None:
    for seed in range(first, first + BLOCK):
        world = World(seed)
        try:
            world.run()
            world.budgets_hold()
        except Exception as error:
            error.add_note(f"replay: World({seed}).run()")
            raise


@pytest.mark.parametrize("first", range(0, SEEDS // 2, BLOCK))
def test_a_run_that_is_taken_up_again_keeps_every_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        world = World(seed)
        try:
            world.run(crashes=0.05)
        except Exception as error:
            error.add_note(f"replay: World({seed}).run(crashes=0.05)")
            raise


@pytest.mark.parametrize("crashes", [0, 0.05])
def test_streams_keep_every_promise_whatever_goes_wrong(crashes: float) -> None:
    for seed in range(3 * BLOCK):
        world = World(seed, family="streamed")
        try:
            world.run(crashes=crashes)
        except Exception as error:
            error.add_note(f"replay: World({seed}, family='streamed').run(crashes={crashes})")
            raise


@pytest.mark.parametrize("family", FAMILIES)
def test_every_state_is_what_a_naive_reading_of_the_records_says(family: str) -> None:
    for seed in range(10):
        world = without_faults(seed, family)
        world.run()
        graph = world.plan.graph
        chosen = set(world.selected)
        for index in chosen:
            settled = world.settled[index]
            names = map(graph.index.__getitem__, names_before(world, index))
            bad = {d for d in names if d in chosen and world.settled[d].state != "ok"}
            if not bad:
                assert settled.state != "skipped" or not settled.cause.startswith("dependency")
            elif bad - soft(world, index):
                assert settled.state in ("skipped", "cancelled")
            elif index in world.source and world.source[index] in bad:
                assert settled.state != "ok"
            else:
                ran = [closed for closed in world.closed.values() if closed.key.task == index]
                assert ran or settled.state in ("skipped", "cancelled")
            if settled.state == "skipped" and settled.cause.startswith("dependency:"):
                root = graph.index[settled.cause.partition(":")[2]]
                assert root in ancestors(world, index)
                assert world.settled[root].state in ("failed", "skipped", "cancelled")
                assert not (world.settled[root].cause or "").startswith("dependency:")


def soft(world: World, index: int) -> set[int]:
    """What the task takes items from while they are made."""
    streams = {other for other in world.reads.get(index, ()) if other in world.total}
    return streams | ({world.source[index]} if index in world.source else set())


def names_before(world: World, index: int) -> list[str]:
    return [dependency.name for dependency in world.plan.graph.tasks[index].dependencies]


def ancestors(world: World, index: int) -> set[int]:
    found: set[int] = set()
    left = [index]
    while left:
        for name in names_before(world, left.pop()):
            other = world.plan.graph.index[name]
            if other not in found:
                found.add(other)
                left.append(other)
    return found
