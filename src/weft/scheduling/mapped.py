"""Mapped tasks: one instance per item, scheduled like tasks, in compact arrays that are made when the items are taken.

Layout of a mapped task: `phases` uint8[items], `attempts` int32[items], by the item's place.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

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
from weft.scheduling.workload import REQUIRES, SHIFT
from weft.spec.slots import text_of

if TYPE_CHECKING:
    from weft.scheduling.board import Board

LOOK_SECONDS: Final = 1.0
"""Between two looks at a requirement that is waited for (dialects.md 2.3)."""


class Mapped:
    """A mapped task whose items are known. open: instances not settled yet. first: (cause, detail) of the first that ended so.

    is_open: its dependencies are ok and its instances may start. looking: instances whose next attempt waits for the answer
    that has been asked for; to_look: those that came after the question.
    """

    __slots__ = ("attempts", "first", "is_open", "looking", "open", "phases", "to_look")

    def __init__(self, items: int):
        self.phases = bytearray(items)
        self.attempts = array("i", bytes(4 * items))
        self.open = items
        self.is_open = False
        self.first: dict[int, tuple[str | None, str | None]] = {}
        self.looking: list[int] = []
        self.to_look: list[int] = []

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
    board.move(task, READY)
    open_instances(board, task, range(len(board.mapped[task])) if all_fresh else fresh)


def open_instances(board: Board, task: int, fresh: Iterable[int]) -> None:
    """Offer all instances that have not been offered yet; those that are fresh are ok at once."""
    mapped = board.mapped[task]
    mapped.is_open = True
    phases = mapped.phases
    cached = 0
    for instance in sorted(fresh):
        if instance < len(phases) and phases[instance] == WAITING:
            settle_instance(board, task, instance, OK, CACHED, settles_task=False)
            cached += 1
    if not mapped.open:
        settle_mapped(board, task, CACHED if cached and cached == len(mapped) else None)
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
    """A mapped task with adopted attempts: the requirements of its other instances are looked at as for a retry."""
    if not board.workload.traits[task] & REQUIRES:
        open_instances(board, task, ())
        return
    mapped = board.mapped[task]
    mapped.is_open = True
    for instance, phase in enumerate(mapped.phases):
        if phase == WAITING:
            look_again(board, task, instance)


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
    if phase != OK:
        mapped.first.setdefault(phase, (cause, detail))
        if phase == FAILED and board.fail_fast and board.halted is None:
            board.halted = "fail-fast"
    if settles_task and not mapped.open:
        settle_mapped(board, task, None, usage)


def settle_mapped(board: Board, task: int, ok_cause: str | None, usage: Usage = NO_USAGE) -> None:
    """All instances have ended."""
    phase, cause, detail = board.mapped[task].verdict()
    board.settle(task, phase, ok_cause if phase == OK else cause, detail, usage)


# --- requirements before another attempt of an instance ----------------------------------------------------------------


def look_again(board: Board, task: int, instance: int) -> None:
    """Requirements hold for one attempt: look once more. One question serves all that were there when it was asked."""
    mapped = board.mapped[task]
    board.move_instance(task, instance, INSPECTING)
    if mapped.looking:
        mapped.to_look.append(instance)
        return
    mapped.looking.append(instance)
    board.ask(task)


def looked_again(board: Board, mapped: Mapped, event: Inspected) -> None:
    """The answer to `look_again`."""
    task = event.task
    board.inspecting -= 1
    asked, mapped.looking, mapped.to_look = mapped.looking, mapped.to_look, []
    if mapped.looking:
        board.ask(task)
    for instance in asked:
        if mapped.phases[instance] != INSPECTING:
            continue  # given up meanwhile
        if board.halted is not None:
            board.move_instance(task, instance, DELAYED)  # given up with the rest
        elif event.unmet is not None:
            _miss(board, task, instance, event, board.wait_seconds)
        else:
            board.waits.pop(task << SHIFT | instance + 1, None)
            offer_instance(board, task, instance)


def _miss(board: Board, task: int, instance: int, event: Inspected, limit: float | None) -> None:
    unit = task << SHIFT | instance + 1
    until = board.now if limit is None else board.waits.setdefault(unit, board.now + limit)
    if board.now < until:
        board.move_instance(task, instance, DELAYED)
        board.set_timer(unit, min(board.now + LOOK_SECONDS, until))
    else:
        settle_instance(board, task, instance, SKIPPED, f"unmet:{event.unmet}", event.detail)


def drop_instances(board: Board, task: int, cause: str) -> None:
    """Those that have no live attempt are cancelled; with the last one, the task."""
    mapped = board.mapped[task]
    rank = board.workload.rank_of[task] << SHIFT
    for instance, phase in enumerate(mapped.phases):
        if phase >= RUNNING:
            continue
        if phase == READY:
            board.placement.withdraw(rank | instance + 1)
        board.forget_timers(task << SHIFT | instance + 1)
        settle_instance(board, task, instance, CANCELLED, cause)
    mapped.to_look.clear()
