"""Scaling of requests, entry by entry, and the tables of the state machines."""

from __future__ import annotations

from fractions import Fraction

import pytest

from weft.scheduling import lifecycle
from weft.scheduling.outcomes import Request
from weft.scheduling.retrying import (
    Bounds,
    ScaleError,
    Trial,
    describe_change,
    describe_limit,
    recover_positions,
    scale,
)
from weft.scheduling.workload import QueueLimit
from weft.spec.retries import Retries, Scale

FREE = Bounds({}, {})


def request(timeout: float | None = None, queue: str | None = None, **amounts: int) -> Request:
    return Request(tuple(sorted(amounts.items())), timeout, queue)


def grow(old: Request, cause: str = "memory", bounds: Bounds = FREE, times: int = 1, **policy: object) -> Request:
    trial = Trial()
    for _ in range(times):
        old = scale(Retries(9, **policy), trial, old, cause, bounds)  # type: ignore[arg-type]
    return old


@pytest.mark.parametrize("cause", ["exit:1", "signal:KILL", "exception"])
def test_an_ordinary_failure_changes_nothing(cause: str) -> None:
    assert grow(request(10, memory=100), cause) == request(10, memory=100)


def test_without_scales_the_exhausted_dimension_grows_by_half() -> None:
    assert grow(request(10, memory=100, cores=1000)) == request(10, memory=150, cores=1000)
    assert grow(request(10, memory=100), "timeout") == request(15, memory=100)


def test_scale_on_any_grows_memory_and_time_both() -> None:
    assert grow(request(10, memory=100), scale_on="any") == request(15, memory=150)


def test_no_scales_at_all_turn_scaling_off() -> None:
    assert grow(request(10, memory=100), scales=()) == request(10, memory=100)


def test_a_dimension_that_ran_out_but_is_not_named_stays() -> None:
    assert grow(request(10, memory=100), scales=(("timeout", 1.0),)) == request(10, memory=100)


def test_other_named_keys_follow_every_resource_failure() -> None:
    scales = (("cores", 1.0), ("memory", 0.2), ("runtime", 1.0))
    assert grow(request(10, memory=100, cores=1000), scales=scales) == request(10, memory=120, cores=2000)
    assert grow(request(10, memory=100, cores=1000), scales=scales, scale_on="any") == request(
        20, memory=120, cores=2000
    )


@pytest.mark.parametrize(
    ("factor", "old", "new"), [(0.1, 100, 110), (0.5, 3, 5), (0.0, 7, 7), (1e-9, 100, 101), (2.0, 2**40, 3 * 2**40)]
)
def test_a_factor_is_exact_and_bytes_round_up(factor: float, old: int, new: int) -> None:
    assert grow(request(memory=old), scales=(("memory", factor),)) == request(memory=new)


def test_seconds_are_not_rounded_and_named_amounts_are_thousandths() -> None:
    assert grow(request(7), "timeout").timeout == 10.5
    assert grow(request(10), "timeout", scales=(("timeout", 0.1),)).timeout == 11
    assert grow(request(0.3), "timeout", scales=(("timeout", 0.1),)).timeout == 0.33
    assert grow(request(0.05), "timeout", scales=(("timeout", 0.001),)).timeout == 0.05005
    assert grow(request(gpu=1_000_000), scales=(("gpu", 0.3333),)) == request(gpu=1_334_000)


def test_a_list_gives_the_next_amounts_and_repeats_its_last() -> None:
    scales: tuple[tuple[str, Scale], ...] = (("memory", (200, 50, 300)),)
    seen = [grow(request(memory=100), scales=scales, times=times) for times in (1, 2, 3, 4)]
    assert [dict(each.amounts)["memory"] for each in seen] == [200, 50, 300, 300]
    assert grow(request(5.0), "timeout", scales=(("timeout", (7, 9)),), times=2).timeout == 9


def test_a_function_gets_the_old_amount_as_people_write_it() -> None:
    assert grow(request(cores=1500), scales=(("cores", lambda old: old + 1),)) == request(cores=2500)
    assert grow(request(8.0), "timeout", scales=(("timeout", lambda old: old * 3),)).timeout == 24


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "8G", None])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ScaleError, match="no number above 0"):
        grow(request(memory=100), scales=(("memory", lambda _: value),))


def test_a_function_that_raises_and_an_empty_list_are_refused() -> None:
    with pytest.raises(ScaleError, match="ZeroDivisionError"):
        grow(request(memory=100), scales=(("memory", lambda old: old / 0),))
    with pytest.raises(ScaleError, match="empty"):
        grow(request(memory=100), scales=(("memory", ()),))


def test_a_function_that_leaves_the_interpreter_is_refused() -> None:
    def leave(_: float) -> float:
        raise SystemExit(3)

    with pytest.raises(ScaleError, match="SystemExit: 3"):
        grow(request(memory=100), scales=(("memory", leave),))


def test_numbers_of_other_libraries_are_numbers() -> None:
    assert grow(request(memory=100), scales=(("memory", lambda old: Fraction(int(old)) * 2),)) == request(memory=200)


def test_what_cannot_grow_any_more_is_said() -> None:
    trial, bounds = Trial(), Bounds({"memory": 120}, {"short": QueueLimit({}, 12.0)})
    most = scale(Retries(9), trial, request(memory=100), "memory", bounds)
    assert describe_limit(trial, most, "memory") == "memory 120B, which is the most there is"
    assert describe_limit(trial, most, "exit:1") is None
    trial = Trial()
    assert describe_limit(trial, request(memory=100), "memory") is None
    most = scale(Retries(9), trial, request(10, "short"), "timeout", bounds)
    assert describe_limit(trial, most, "timeout") == "timeout 12s, which is the most that queue short allows"
    trial = Trial()
    grown = scale(Retries(9), trial, request(memory=60), "memory", bounds)
    assert describe_limit(trial, grown, "memory") is None


def test_what_is_not_demanded_does_not_grow() -> None:
    assert grow(request(cores=1000)) == request(cores=1000)
    assert grow(request(cores=1000), "timeout") == request(cores=1000)


def test_growth_ends_at_the_capacity_but_never_shrinks() -> None:
    assert grow(request(memory=100), bounds=Bounds({"memory": 120}, {})) == request(memory=120)
    assert grow(request(memory=100), bounds=Bounds({"memory": 80}, {})) == request(memory=100)


def test_without_a_queue_of_its_own_the_capacity_is_the_limit_before_the_fallbacks() -> None:
    bounds = Bounds({"memory": 120}, {"big": QueueLimit({"memory": 500}, 60.0)})
    grown = grow(request(100.0, memory=100), bounds=bounds, fallback_queues=("big",))
    assert grown == request(60.0, "big", memory=120)


def test_a_queue_without_limits_admits_everything() -> None:
    assert grow(request(memory=100, queue="q")) == request(memory=150, queue="q")
    bounds = Bounds({}, {"q": QueueLimit({"memory": 100})})
    assert grow(request(memory=100, queue="q"), bounds=bounds) == request(memory=100, queue="q")
    assert grow(request(memory=100, queue="q"), bounds=bounds, fallback_queues=("r",)) == request(memory=150, queue="r")


def test_what_a_queue_has_cut_grows_from_what_was_wanted() -> None:
    bounds = Bounds({}, {"short": QueueLimit({"memory": 100}, 0.2), "long": QueueLimit({"memory": 400}, 3.0)})
    trial = Trial()
    trial.wanted = request(10.0, "short", memory=300)
    policy = Retries(9, fallback_queues=("long",))
    moved = scale(policy, trial, request(0.2, "short", memory=100), "timeout", bounds)
    assert moved == request(3.0, "long", memory=300)
    assert scale(policy, trial, moved, "memory", bounds) == request(3.0, "long", memory=400)
    assert scale(Retries(9), trial, request(0.2, "short", memory=50), "memory", bounds) == request(
        0.2, "short", memory=75
    ), "what was not cut grows from what it was"


def test_a_limit_that_only_the_queue_gave_stays_behind_with_it() -> None:
    bounds = Bounds({}, {"short": QueueLimit({}, 0.2)})
    trial = Trial()
    trial.wanted = request(None, "short")
    policy = Retries(9, fallback_queues=("free",))
    assert scale(policy, trial, request(0.2, "short"), "timeout", bounds) == request(None, "free")


def test_positions_in_lists_are_found_again_after_a_resume() -> None:
    policy = Retries(9, scales=(("memory", (200, 200, 300)), ("runtime", (7, 9)), ("cores", 0.5)))
    trial = Trial()
    recover_positions(policy, trial, request(7, memory=200, cores=1000))
    assert trial.positions == {"memory": 2, "timeout": 1}
    recover_positions(Retries(), trial, request())
    assert len(trial.positions) == 2


def test_changes_are_told_in_units_of_people() -> None:
    old, new = request(60, memory=2**30, cores=1000), request(90, "long", memory=3 * 2**29, cores=1500)
    assert describe_change(old, new) == "cores 1 -> 1.5, memory 1G -> 1.5G, timeout 1m -> 1m 30s, queue default -> long"
    assert describe_change(old, old) is None


# --- the tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [lifecycle.TASK_TABLE, lifecycle.INSTANCE_TABLE])
def test_ended_phases_have_no_way_on_and_all_others_reach_an_end(table: tuple[frozenset[int], ...]) -> None:
    assert len(table) == len(lifecycle.PHASES) == len(lifecycle.STATE_BY_PHASE)
    for phase, following in enumerate(table):
        if lifecycle.is_settled(phase) or phase == lifecycle.ABSENT:
            assert not following
        else:
            assert any(lifecycle.is_settled(other) for other in following)
            assert phase not in following


def test_every_phase_can_be_reached_from_waiting() -> None:
    reached, left = {lifecycle.WAITING}, [lifecycle.WAITING]
    while left:
        for phase in lifecycle.TASK_TABLE[left.pop()] - reached:
            reached.add(phase)
            left.append(phase)
    assert reached == set(range(lifecycle.ABSENT))


def test_attempts_end_once() -> None:
    ended = {state for state, following in lifecycle.ATTEMPT_TABLE.items() if not following}
    assert ended == {"ok", "failed", "cancelled", "lost", "withdrawn"}
    for state, following in lifecycle.ATTEMPT_TABLE.items():
        assert state in ended or ended <= following
