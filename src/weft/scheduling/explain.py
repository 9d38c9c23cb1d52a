"""Why a task waits, runs, was skipped, or is tried again: reasons, made here once and rendered elsewhere.

Each question is answered from the state as it is; nothing is kept for it but what the last retry was for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weft.scheduling import flowing
from weft.scheduling.headroom import BUSY
from weft.scheduling.lanes import Lane
from weft.scheduling.lifecycle import (
    ABSENT,
    CANCELLED,
    DELAYED,
    FAILED,
    INSPECTING,
    OK,
    PHASES,
    READY,
    RUNNING,
    SKIPPED,
    WAITING,
)
from weft.scheduling.outcomes import CACHED, INTERRUPTED, kind
from weft.scheduling.outcomes import CANCELLED as CANCELLED_CAUSE
from weft.scheduling.placement import Placement
from weft.scheduling.reasons import Reason, closed_by
from weft.scheduling.scheduler import Scheduler
from weft.scheduling.workload import CACHES, SHIFT
from weft.spec.compute import LIMIT_PREFIX
from weft.units import show_amount, show_seconds

SHOWN_DEPENDENCIES: Final = 10
SHOWN_INSTANCES: Final = 3


def explain(scheduler: Scheduler, task: int) -> tuple[Reason, ...]:
    """Why the task is in the state that it is in; at least one reason. task: index in the plan."""
    phase = scheduler.workload.phases[task]
    if phase == ABSENT:
        return (Reason("not_selected", "it is not selected for this run"),)
    if phase > RUNNING:
        return (_of_settled(scheduler, task, phase),)
    return tuple(_of_unsettled(scheduler, task, phase))


def _of_settled(scheduler: Scheduler, task: int, phase: int) -> Reason:
    cause = scheduler.cause_of(task)
    if phase == OK:
        if cause == CACHED:
            return Reason("cached", "it is up to date: finished work of before stands in for it")
        return Reason("ok", "it ran and did its work")
    cause = cause or ""
    _, _, detail = cause.partition(":")
    if phase == FAILED:
        return Reason("failed", f"its last attempt ended with {cause}", cause)
    if phase == CANCELLED:
        texts = {
            INTERRUPTED: "the run was interrupted before it was done; resume takes it up again",
            CANCELLED_CAUSE: "it was cancelled on request; retry takes it up again",
        }
        return Reason(cause, texts.get(cause, cause))
    assert phase == SKIPPED
    texts = {
        "dependency": f"task {detail!r}, which it follows, did not end well",
        "unsatisfiable": f"it needs more {detail} than there is in all",
        "unmet": f"a requirement does not hold: {detail}",
    }
    return Reason(kind(cause), texts.get(kind(cause), f"it was skipped: {cause}"), detail)


def _of_unsettled(scheduler: Scheduler, task: int, phase: int) -> Iterator[Reason]:
    board = scheduler.board
    if board.halted is not None:
        yield Reason("stopping", f"the run is ending ({board.halted}): nothing new starts", board.halted)
    elif board.paused is not None and phase != RUNNING:
        yield Reason("paused", f"starts are paused: {board.paused}", board.paused)
    trial = board.trials.get(task << SHIFT)
    if trial is not None and trial.reason is not None and phase != RUNNING:
        change = "with an unchanged request" if trial.change is None else f"with {trial.change}"
        yield Reason("retry", f"its last attempt ended with {trial.reason}; it is tried again {change}", trial.reason)
    if phase == WAITING:
        yield from _dependencies(scheduler, task)
        if not board.is_open:
            yield Reason("opening", "the run has not been told yet what there is to run on")
    elif phase == INSPECTING:
        asks = scheduler.workload.traits[task] & CACHES
        yield Reason(
            "inspecting", "its requirements are being looked at" + (", and whether it is up to date" if asks else "")
        )
    elif phase == DELAYED:
        yield _delay(scheduler, task)
    elif phase == READY or task in board.mapped:
        yield from _instances(scheduler, task) if task in board.mapped else _place(scheduler, task << SHIFT)
    else:
        yield from _running(scheduler, task)


def _dependencies(scheduler: Scheduler, task: int) -> Iterator[Reason]:
    graph, phases = scheduler.workload.graph, scheduler.workload.phases
    first = graph.first_dependency
    open_ones = [d for d in graph.dependencies[first[task] : first[task + 1]] if phases[d] < OK]
    ties = scheduler.workload.ties
    for dependency in open_ones[:SHOWN_DEPENDENCIES]:
        name = graph.tasks[dependency].name
        phase = PHASES[phases[dependency]]
        if dependency in ties.iterated.get(task, ()):
            if not ties.makers[dependency].is_flowing:
                yield Reason("stream", f"it waits for the stream of task {name!r} to begin, which is {phase}", name)
        elif ties.grown.get(task) == dependency:
            if not ties.makers[dependency].has_opened:
                yield Reason("items", f"it waits for the first items of task {name!r}, which is {phase}", name)
        else:
            yield Reason("dependency", f"it waits for task {name!r}, which is {phase}", name)
    if len(open_ones) > SHOWN_DEPENDENCIES:
        more = len(open_ones) - SHOWN_DEPENDENCIES
        yield Reason("dependency", f"it waits for {more} more tasks", str(more))


def _delay(scheduler: Scheduler, task: int) -> Reason:
    board = scheduler.board
    unmet = board.unmet_now.get(task)
    if unmet is not None:
        left = max(0.0, board.waits.get(task << SHIFT, board.now) - board.now)
        return Reason(
            "requirement", f"a requirement does not hold yet: {unmet}; waited for {show_seconds(left)} more", unmet
        )
    return Reason("timer", "its next attempt waits for the time between attempts to pass")


def _instances(scheduler: Scheduler, task: int) -> Iterator[Reason]:
    board = scheduler.board
    phases = board.mapped[task].phases
    live = phases.count(RUNNING)
    done = len(phases) - board.mapped[task].open
    yield Reason(
        "instances", f"{done} of {len(phases)} instances have ended, {live} run", after=f"{done}/{len(phases)}"
    )
    mapped = board.mapped[task]
    if mapped.is_growing and phases.count(WAITING) + done == len(phases):
        name = board.tasks[mapped.source].name
        what = "instances" if mapped.source in board.mapped else "items"
        yield Reason("items", f"it waits for more {what} of task {name!r}", name)
    shown = 0
    for instance, phase in enumerate(phases):
        if phase == READY:
            yield from _place(scheduler, task << SHIFT | instance + 1)
            shown += 1
        if shown == SHOWN_INSTANCES or (shown and not board.trials):
            return


def _running(scheduler: Scheduler, task: int) -> Iterator[Reason]:
    board = scheduler.board
    for live in scheduler.placement.live.values():
        if live.key.task != task:
            continue
        number = live.key.attempt
        if live.is_ahead:
            yield Reason("ahead", f"attempt {number} is ordered and starts when one like it has ended", str(number))
        elif live.stop_cause is not None:
            yield Reason("stopping", f"attempt {number} was asked to end: {live.stop_cause}", live.stop_cause)
        elif scheduler.placement.headroom is not None and live.nonce in scheduler.placement.headroom.paused:
            yield Reason("host_busy", f"{BUSY}; attempt {number} goes on when it is quiet", str(number))
        else:
            since = show_seconds(max(0.0, board.now - live.since))
            yield Reason("running", f"attempt {number} has been under way for {since}", str(number))
            for maker in flowing.stranding(board, task):
                name = board.tasks[maker].name
                yield Reason("stream", f"it waits for task {name!r}, whose stream is to be made again", name)


def _place(scheduler: Scheduler, unit: int) -> Iterator[Reason]:
    """Why a unit that is ready has not started."""
    reasons = tuple(_obstacles(scheduler, unit))
    yield from reasons or (Reason("next", "there is room for it: it starts with the next batch"),)


def _obstacles(scheduler: Scheduler, unit: int) -> Iterator[Reason]:
    placement = scheduler.placement
    lane = scheduler.board.lane_of(unit)
    if placement.slots is not None and placement.holding >= placement.slots:
        yield Reason(
            "slots", f"all {placement.slots} slots are taken", "slots", str(placement.holding), str(placement.slots)
        )
    short = list(_shortages(placement, lane))
    yield from short
    yield from _busy_host(placement, lane)
    reservation = placement.reservation
    if reservation is not None and reservation.lane is not lane and not short:
        yield Reason(
            "reservation", f"room is kept for {_head(scheduler, reservation.lane)}, which waits longer or ranks higher"
        )
    elif reservation is not None and reservation.lane is lane and _is_head(scheduler, lane, unit):
        yield Reason("reserved", "what is freed is kept for it")
    if not _is_head(scheduler, lane, unit):
        yield Reason("rank", f"{_head(scheduler, lane)} needs the same and comes first")


def _shortages(placement: Placement, lane: Lane) -> Iterator[Reason]:
    for number, units in lane.needs:
        free = placement.free[number]
        if free < units:
            name = placement.names[number]
            if placement.capacity_of(name) == 0 and name.startswith(LIMIT_PREFIX):
                yield closed_by(name)
                continue
            needed, there = show_amount(name, units), show_amount(name, max(free, 0))
            yield Reason("resource", f"needs {needed} of {name}, {there} is free", name, there, needed)


def _busy_host(placement: Placement, lane: Lane) -> Iterator[Reason]:
    """Opportunistic mode: what the host itself keeps a unit from."""
    headroom = placement.headroom
    if headroom is None:
        return
    if not headroom.is_known:
        yield Reason("measuring", "it is being measured what the host has free")
        return
    for number, _ in lane.needs:
        name = placement.names[number]
        usable, capacity = headroom.usable.get(name), placement.capacity_of(name) or 0
        if usable is not None and usable < capacity:
            there = show_amount(name, max(0, usable))
            text = f"the host is busy: {there} of {show_amount(name, capacity)} {name} may be used"
            yield Reason("host_busy", text, name, there)


def _is_head(scheduler: Scheduler, lane: Lane, unit: int) -> bool:
    best = scheduler.placement.best(lane)
    work = scheduler.workload
    return best is None or best == work.rank_of[unit >> SHIFT] << SHIFT | unit & ((1 << SHIFT) - 1)


def _head(scheduler: Scheduler, lane: Lane) -> str:
    best = scheduler.placement.best(lane)
    if best is None:
        return "another task"
    return f"task {scheduler.workload.tasks[scheduler.workload.by_rank[best >> SHIFT]].name!r}"
