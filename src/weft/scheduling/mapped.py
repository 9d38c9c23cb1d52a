"""Mapped tasks: one instance per item, scheduled like tasks, in compact arrays that are made when the items are taken.

Layout of a mapped task: `phases` uint8[items], `attempts` int32[items], by the item's place.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from weft.scheduling.commands import SettleInstance, TakeItems
from weft.scheduling.events import Inspected
from weft.scheduling.lifecycle import (
    CANCELLED,
    DELAYED,
    FAILED,
    INSPECTING,
    OK,
    READY,
    RUNNING,
    SKIPPED,
    STATE_BY_PHASE,
    WAITING,
)
from weft.scheduling.outcomes import CACHED, NO_USAGE, Usage
from weft.scheduling.workload import CACHES, REQUIRES, SHIFT
from weft.spec.slots import text_of

if TYPE_CHECKING:
    from weft.scheduling.board import Board


class Mapped:
    """A mapped task whose items are known. open: instances not settled yet. first: (cause, detail) of the first that ended so.

    is_open: its dependencies are ok and its instances may start. looking: instances whose next attempt waits for the answer
    that has been asked for; to_look: those that came after the question. cached: instances that finished work stands in for.

    Of one whose items come from a task that has not ended, `source`, -1 for none: is_growing: more may come. seen: how many
    there were when it was last looked at as a whole. causes: of instances that are not ok, where others follow them one by one.
    """

    __slots__ = (
        "attempts",
        "cached",
        "causes",
        "first",
        "is_growing",
        "is_open",
        "looking",
        "open",
        "phases",
        "seen",
        "source",
        "to_look",
    )

    def __init__(self, items: int):
        self.phases = bytearray(items)
        self.attempts = array("i", bytes(4 * items))
        self.open = items
        self.is_open = False
        self.first: dict[int, tuple[str | None, str | None]] = {}
        self.looking: list[int] = []
        self.to_look: list[int] = []
        self.cached = 0
        self.is_growing = False
        self.seen = 0
        self.source = -1
        self.causes: dict[int, str] = {}

    def extend(self, items: int) -> None:
        """More instances at the end, none of which may start yet."""
        self.phases.extend(bytes(items))
        self.attempts.frombytes(bytes(self.attempts.itemsize * items))
        self.open += items

    def __len__(self) -> int:
        return len(self.phases)

    def verdict(self) -> tuple[int, str | None, str | None]:
        """(phase, cause, detail) of the whole task once all instances are settled: the worst of them, its first cause."""
        for phase in (FAILED, CANCELLED, SKIPPED):
            if phase in self.first:
                return phase, *self.first[phase]
        return OK, None, None


def take_items(
    board: Board, task: int, found: Sequence[str] | None, fresh: Iterable[int], all_fresh: bool = False
) -> None:
    """The items of a mapped task are known: record them, once, and offer its instances. fresh: those that are up to date."""
    if task not in board.mapped:
        foreach = board.tasks[task].policy.foreach
        values = foreach.values if foreach is not None else None
        items = tuple(text_of(value) for value in values) if values is not None else tuple(found or ())
        mapped = board.mapped[task] = Mapped(len(items))
        for instance, attempts in board.past.pop(task, {}).items():
            if instance < len(items):
                mapped.attempts[instance] = attempts
        board.commands.append(TakeItems(task, items))
        if task in board.makers:
            board.makers[task].keep(items)
    board.move(task, READY)
    open_instances(board, task, range(len(board.mapped[task])) if all_fresh else fresh)


def open_instances(board: Board, task: int, fresh: Iterable[int]) -> None:
    """Offer all instances that have not been offered yet; those that are fresh are ok at once."""
    mapped = board.mapped[task]
    mapped.is_open = True
    board.open_growers(task)
    phases = mapped.phases
    for instance in sorted(fresh):
        if instance < len(phases) and phases[instance] == WAITING:
            settle_instance(board, task, instance, OK, CACHED, settles_task=False)
    if not mapped.open:
        settle_mapped(board, task)
        return
    waiting = [instance for instance, phase in enumerate(phases) if phase == WAITING]
    lane = board.lanes[board.workload.offer_of[task]]
    if board.trials or lane.lacking is not None:
        for instance in waiting:
            offer_instance(board, task, instance)
        return
    for instance in waiting:
        phases[instance] = READY
    rank = board.workload.rank_of[task] << SHIFT
    board.placement.add_all(lane, [rank | instance + 1 for instance in waiting])


def resume_instances(board: Board, task: int) -> None:
    """A mapped task with adopted attempts: its other instances are looked at as for a retry."""
    if not board.workload.traits[task] & (REQUIRES | CACHES):
        open_instances(board, task, ())
        return
    mapped = board.mapped[task]
    mapped.is_open = True
    board.open_growers(task)
    for instance, phase in enumerate(mapped.phases):
        if phase == WAITING:
            look_again(board, task, instance)
    if not mapped.open:
        settle_mapped(board, task)


def offer_instance(board: Board, task: int, instance: int) -> None:
    """An instance is ready."""
    unit = task << SHIFT | instance + 1
    lane = board.lane_of(unit)
    if lane.lacking is not None:
        refuse_instance(board, task, instance, lane.lacking)
        return
    board.move_instance(task, instance, READY)
    board.placement.add(lane, board.workload.rank_of[task] << SHIFT | instance + 1)


def refuse_instance(board: Board, task: int, instance: int, lacking: str) -> None:
    """A demand that can never be met ends an instance before it starts."""
    detail = board.describe_lack(task << SHIFT | instance + 1, lacking)
    settle_instance(board, task, instance, SKIPPED, f"unsatisfiable:{lacking}", detail)


def settle_instance(
    board: Board,
    task: int,
    instance: int,
    phase: int,
    cause: str | None,
    detail: str | None = None,
    usage: Usage = NO_USAGE,
    settles_task: bool = True,
) -> None:
    """An instance has ended for this run, and with the last one its task."""
    board.move_instance(task, instance, phase)
    mapped = board.mapped[task]
    mapped.open -= 1
    unit = task << SHIFT | instance + 1
    board.trials.pop(unit, None)
    board.waits.pop(unit, None)
    board.commands.append(SettleInstance(task, instance, STATE_BY_PHASE[phase], cause, detail))
    if board.makers and task in board.makers:
        if phase != OK:
            mapped.causes[instance] = cause or ""
        board.ripples.append((task, instance))
    if phase != OK:
        mapped.first.setdefault(phase, (cause, detail))
        if phase == FAILED and board.fail_fast and board.halted is None:
            board.halted = "fail-fast"
    elif cause == CACHED:
        mapped.cached += 1
    if settles_task and not mapped.open and not mapped.is_growing:
        settle_mapped(board, task, usage)


def settle_mapped(board: Board, task: int, usage: Usage = NO_USAGE) -> None:
    """All instances have ended, and there will be no more."""
    mapped = board.mapped[task]
    phase, cause, detail = mapped.verdict()
    if phase == OK and mapped.cached and mapped.cached == len(mapped):
        cause = CACHED
    board.settle(task, phase, cause, detail, usage)


# --- requirements before another attempt of an instance ----------------------------------------------------------------


def look_again(board: Board, task: int, instance: int) -> None:
    """Requirements hold for one attempt: look once more. One question serves all that were there when it was asked."""
    mapped = board.mapped[task]
    board.move_instance(task, instance, INSPECTING)
    if mapped.looking:
        mapped.to_look.append(instance)
        return
    mapped.looking.append(instance)
    _ask(board, task, mapped)


def _ask(board: Board, task: int, mapped: Mapped) -> None:
    board.ask(task, tuple(mapped.looking))


def looked_again(board: Board, mapped: Mapped, event: Inspected) -> None:
    """The answer to `look_again`."""
    task = event.task
    board.inspecting -= 1
    asked, mapped.looking, mapped.to_look = mapped.looking, mapped.to_look, []
    if mapped.looking:
        _ask(board, task, mapped)
    fresh = event.fresh_items if board.workload.traits[task] & CACHES else ()
    for instance in asked:
        if mapped.phases[instance] != INSPECTING:
            continue  # given up meanwhile
        if board.halted is not None:
            board.move_instance(task, instance, DELAYED)  # given up with the rest
        elif event.unmet is not None:
            _miss(board, task, instance, event, board.wait_seconds)
        elif instance in fresh and not mapped.attempts[instance]:
            settle_instance(board, task, instance, OK, CACHED)
        else:
            board.waits.pop(task << SHIFT | instance + 1, None)
            offer_instance(board, task, instance)


def _miss(board: Board, task: int, instance: int, event: Inspected, limit: float | None) -> None:
    unit = task << SHIFT | instance + 1
    until = board.now if limit is None else board.waits.setdefault(unit, board.now + limit)
    if board.now < until:
        board.move_instance(task, instance, DELAYED)
        board.set_timer(unit, min(board.now + board.look_seconds, until))
    else:
        settle_instance(board, task, instance, SKIPPED, f"unmet:{event.unmet}", event.detail)


def drop_instances(board: Board, task: int, cause: str, into: int = CANCELLED) -> None:
    """Those that have no live attempt are given up, and there will be no more; with the last one, the task."""
    mapped = board.mapped[task]
    rank = board.workload.rank_of[task] << SHIFT
    if mapped.is_growing:
        mapped.is_growing = False
        mapped.first.setdefault(into, (cause, None))
    for instance, phase in enumerate(mapped.phases):
        if phase >= RUNNING:
            continue
        if phase == READY:
            board.placement.withdraw(rank | instance + 1)
        board.forget_timers(task << SHIFT | instance + 1)
        settle_instance(board, task, instance, into, cause)
    mapped.to_look.clear()
    if not mapped.open and board.phases[task] <= RUNNING:
        settle_mapped(board, task)
