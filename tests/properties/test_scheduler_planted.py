"""Is the world any good? Each planted bug must be found by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from properties import test_scheduler_fairness
from properties.scheduler_world import Faults, World
from weft.errors import InternalError
from weft.scheduling import flowing, growing, mapped, recovering, retrying, scheduler, stopping
from weft.scheduling.board import Board
from weft.scheduling.events import StreamGrew
from weft.scheduling.lanes import Lane, LiveAttempt
from weft.scheduling.lifecycle import OK, TASK_TABLE
from weft.scheduling.mapped import Mapped
from weft.scheduling.placement import Placement
from weft.scheduling.retrying import Again, Trial
from weft.scheduling.scheduler import Scheduler

SEEDS = 300
STREAMED_SEEDS = 900
BREAKING = Faults(failures=0.6, capacity=0.05, interrupts=0.02, unmet=0.1)
Patch = pytest.MonkeyPatch


def given_back_twice(patch: Patch) -> None:
    release = Placement.release

    def twice(self: Placement, live: LiveAttempt) -> LiveAttempt | None:
        heir = release(self, live)
        for number, units in live.lane.needs:
            self.free[number] += units
        return heir

    patch.setattr(Placement, "release", twice)


def nonce_not_checked(patch: Patch) -> None:
    ended = Scheduler._attempt_ended

    def careless(self: Scheduler, event: object) -> None:
        own = next((n for n, live in self.placement.live.items() if live.key == event.key), event.nonce)  # type: ignore[attr-defined]
        ended(self, event._replace(nonce=own))  # type: ignore[attr-defined]

    handlers = dict(scheduler._HANDLERS)
    handlers[scheduler.AttemptEnded] = careless
    patch.setattr(scheduler, "_HANDLERS", handlers)


def decremented_twice(patch: Patch) -> None:
    settle = Board.settle

    def twice(self: Board, task: int, phase: int, *rest: object) -> None:
        settle(self, task, phase, *rest)  # type: ignore[arg-type]
        graph = self.workload.graph
        if phase == OK and task % 5 == 0:
            for follower in graph.followers[graph.first_follower[task] : graph.first_follower[task + 1]]:
                self.workload.unmet[follower] -= 1

    patch.setattr(Board, "settle", twice)


def transfer_last_in_first_out(patch: Patch) -> None:
    release = Placement.release

    def stack(self: Placement, live: LiveAttempt) -> LiveAttempt | None:
        if not live.is_ahead:
            live.lane.ahead.reverse()
            heir = release(self, live)
            live.lane.ahead.reverse()
            return heir
        return release(self, live)

    patch.setattr(Placement, "release", stack)


def skip_without_root(patch: Patch) -> None:
    skip = Board.skip_followers

    def nearest(self: Board, root: int) -> None:
        before = len(self.commands)
        skip(self, root)
        for command in self.commands[before:]:
            self.causes[command.task] = "dependency:?"  # type: ignore[union-attr]

    patch.setattr(Board, "skip_followers", nearest)


def lost_charged_to_retries(patch: Patch) -> None:
    patch.setattr(retrying, "LOST", "never")


def cancel_forgotten_at_the_end(patch: Patch) -> None:
    monkey = stopping.forbid

    def ignores_cancel(board: Board, task: int, *rest: object) -> object:
        found = monkey(board, task, *rest)  # type: ignore[arg-type]
        return None if task in board.cancelling and isinstance(rest[-1], Again) else found

    patch.setattr(stopping, "forbid", ignores_cancel)


def timer_forgotten(patch: Patch) -> None:
    patch.setattr(Board, "set_timer", lambda self, unit, at: None)


def pause_ignored(patch: Patch) -> None:
    patch.setattr(stopping, "pause", lambda board, event: None)


def instance_counted_for_its_task(patch: Patch) -> None:
    settle = mapped.settle_instance

    def ends_the_task(board: Board, task: int, instance: int, *rest: object, **more: object) -> None:
        settle(board, task, instance, *rest, **more)  # type: ignore[arg-type]
        if board.mapped[task].open == 1 and OK in TASK_TABLE[board.phases[task]]:
            board.settle(task, OK, None)

    patch.setattr(mapped, "settle_instance", ends_the_task)


def capacity_believed_late(patch: Patch) -> None:
    patch.setattr(Placement, "_recount", lambda self: None)


def trials_kept(patch: Patch) -> None:
    class Hoard(dict[int, Trial]):
        def pop(self, key: int, default: object = None) -> object:  # type: ignore[override]
            return default

    opened = recovering.open_run

    def hoards(board: Board) -> None:
        board.trials = Hoard(board.trials)
        opened(board)

    patch.setattr(recovering, "open_run", hoards)


def reservation_never_given_up(patch: Patch) -> None:
    patch.setattr(Placement, "_may_pass", lambda self, *rest: False)
    patch.setattr(Placement, "_clear_claims", lambda self, lane: None)
    post = Placement._post
    patch.setattr(Placement, "_post", lambda self, lane: None if lane is self.overdue else post(self, lane))
    patch.setattr("weft.scheduling.placement.fits", lambda lane, free: all(free[n] > u for n, u in lane.needs))


PLANTED: list[Callable[[Patch], None]] = [
    given_back_twice,
    nonce_not_checked,
    decremented_twice,
    transfer_last_in_first_out,
    skip_without_root,
    lost_charged_to_retries,
    cancel_forgotten_at_the_end,
    timer_forgotten,
    pause_ignored,
    instance_counted_for_its_task,
    capacity_believed_late,
    trials_kept,
    reservation_never_given_up,
]


def instance_appended_twice(patch: Patch) -> None:
    extend = Mapped.extend

    def twice(self: Mapped, items: int) -> None:
        extend(self, 2 * items)

    patch.setattr(Mapped, "extend", twice)


def items_told_again_counted_again(patch: Patch) -> None:
    grew = flowing.grew

    def believes(board: Board, event: StreamGrew) -> None:
        maker = board.makers.get(event.task)
        grew(board, event if maker is None else event._replace(first=maker.count))

    patch.setattr(flowing, "grew", believes)


def iterator_started_before_its_maker_began(patch: Patch) -> None:
    start = Scheduler._start

    def early(self: Scheduler, item: int, lane: Lane) -> LiveAttempt:
        live = start(self, item, lane)
        if live.key.task in self.board.makers and live.key.instance < 0:
            flowing.begin(self.board, live.key.task)
        return live

    patch.setattr(Scheduler, "_start", early)


def standstill_of_a_stream_forgotten(patch: Patch) -> None:
    patch.setattr(flowing, "ebb", lambda board, task: setattr(board.makers[task], "has_begun", False))


def stalemate_left_alone(patch: Patch) -> None:
    patch.setattr(stopping, "break_stalemate", lambda board: None)


def stranded_ones_awaited_for_ever(patch: Patch) -> None:
    patch.setattr(stopping, "_give_up_stranding", lambda board: None)


def waiting_iterator_kept_when_its_maker_failed(patch: Patch) -> None:
    patch.setattr(flowing, "_give_up", lambda *rest: None)


def growth_that_never_ends(patch: Patch) -> None:
    patch.setattr(growing, "end_growth", lambda *rest, **more: None)


def instance_started_before_the_one_it_follows(patch: Patch) -> None:
    patch.setattr(growing, "_admit", lambda board, task, instance, **rest: mapped.offer_instance(board, task, instance))


def end_of_an_instance_not_told(patch: Patch) -> None:
    patch.setattr(growing, "echo", lambda *rest: None)


def failed_stream_charged_to_its_iterator(patch: Patch) -> None:
    patch.setattr(flowing, "doom_of", lambda board, task: None)


def later_order_of_a_lane_not_believed(patch: Patch) -> None:
    patch.setattr(Placement, "claim", lambda self, live: None)


PLANTED_IN_STREAMS: list[Callable[[Patch], None]] = [
    instance_appended_twice,
    items_told_again_counted_again,
    iterator_started_before_its_maker_began,
    standstill_of_a_stream_forgotten,
    stalemate_left_alone,
    stranded_ones_awaited_for_ever,
    waiting_iterator_kept_when_its_maker_failed,
    growth_that_never_ends,
    instance_started_before_the_one_it_follows,
    end_of_an_instance_not_told,
    failed_stream_charged_to_its_iterator,
    later_order_of_a_lane_not_believed,
]


@pytest.mark.parametrize("plant", PLANTED_IN_STREAMS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_in_streams_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, InternalError, KeyError, ValueError, IndexError)):
        for seed in range(STREAMED_SEEDS):
            world = World(seed, family="streamed", faults=BREAKING)
            world.run(faulty_steps=60)
            world.budgets_hold()


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    for seed in range(SEEDS):
        world = World(seed)
        try:
            world.run()
            world.budgets_hold()
        except (AssertionError, InternalError, KeyError, ValueError, IndexError):
            return
    pytest.fail(f"{plant.__name__} was not found in {SEEDS} runs")


@pytest.mark.parametrize("fact", ["recover_task", "recover_items", "recover_request", "adopt_attempt"])
def test_a_recovered_fact_that_is_lost_is_found(fact: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(recovering, fact, lambda board, event: None)
    with pytest.raises((AssertionError, InternalError)):
        for seed in range(SEEDS):
            World(seed).run(crashes=0.05)


def test_a_reservation_that_is_ignored_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Placement, "_may_pass", lambda self, *rest: True)
    with pytest.raises(AssertionError, match="let past"):
        test_scheduler_fairness.test_a_reserved_unit_fits_as_soon_as_what_lived_before_it_has_ended("path")
