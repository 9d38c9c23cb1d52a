"""Seeded runs of the real engine and the real recovery in a world of fakes; each failure replays from its seed."""

from __future__ import annotations

import pytest

from properties.engine_world import Faults, World, replayed

SEEDS = 500
BLOCK = 50


def undisturbed(seed: int) -> dict[str, tuple[str, str | None]]:
    return World(seed, Faults()).run()


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_promise_holds_whatever_goes_wrong_and_the_end_is_the_same(first: int) -> None:
    for seed in range(first, first + BLOCK):

        def act(world: World, seed: int = seed) -> None:
            ended = world.run()
            if not world.cancelled:
                assert ended == undisturbed(seed), "after any fault but a request to cancel the outcomes are the same"

        replayed(seed, act)


@pytest.mark.parametrize("first", range(5000, 5200, BLOCK))
def test_an_engine_that_dies_again_and_again_still_comes_to_the_same_end(first: int) -> None:
    for seed in range(first, first + BLOCK):

        def act(world: World, seed: int = seed) -> None:
            assert world.run() == undisturbed(seed)

        replayed(seed, act, Faults(crashes=0.15))
