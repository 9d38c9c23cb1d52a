"""From the last dependency to a place in a lane: what has to be known about a task before it may start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from weft.scheduling import flowing, growing
from weft.scheduling import mapped as mapping
from weft.scheduling.events import Inspected
from weft.scheduling.lifecycle import DELAYED, FAILED, INSPECTING, OK, READY, RUNNING, SKIPPED, WAITING
from weft.scheduling.outcomes import CACHED, SETUP, Request
from weft.scheduling.retrying import Trial
from weft.scheduling.workload import CACHES, FINDS, FLOWS, GROWS, LOW, MAPPED, REQUIRES, SHIFT

if TYPE_CHECKING:
    from weft.scheduling.board import Board


def prepare_due(board: Board) -> None:
    """Tasks whose dependencies have all become ok are looked at, or stand in a lane."""
    work, placement = board.workload, board.placement
    phases, traits, offer_of, rank_of, lanes = board.phases, work.traits, work.offer_of, work.rank_of, board.lanes
    due = board.due
    for task in due:  # grows while it is read: what is cached or empty ends at once
        if traits[task] or board.trials or phases[task] != WAITING:
            _prepare(board, task)
            continue
        lane = lanes[offer_of[task]]
        if lane.lacking is not None:
            board.refuse(task, lane.lacking)
            continue
        phases[task] = READY
        placement.add(lane, rank_of[task] << SHIFT)
    due.clear()


def _prepare(board: Board, task: int) -> None:
    work = board.workload
    if work.unmet[task]:
        return  # a stream that it iterates stands still again
    traits = work.traits[task]
    mapped = board.mapped.get(task)
    if mapped is not None and board.phases[task] == RUNNING and not mapped.is_open:
        _resume(board, task)
    if board.phases[task] != WAITING:
        return
    joins = bool(traits & GROWS) and board.phases[work.ties.grown[task]] <= RUNNING
    lacking = board.lane_of(task << SHIFT).lacking
    if lacking is not None:
        board.refuse(task, lacking)
    elif joins:
        growing.join(board, task)
        if traits & (REQUIRES | CACHES):
            inspect(board, task)
        else:
            growing.open_growing(board, task, ())
    elif traits & FLOWS and not traits & REQUIRES and not _has_streams(board, task):
        offer(board, task)  # its streams' contents are not known yet, so nothing could be compared
    elif traits & (REQUIRES | CACHES) or (traits & FINDS and mapped is None and not growing.knows(board, task)):
        inspect(board, task)
    elif traits & MAPPED:
        _take_items(board, task, None, (), False)
    else:
        offer(board, task)


def _resume(board: Board, task: int) -> None:
    """A mapped task with adopted attempts has come to its turn."""
    source = board.workload.ties.grown.get(task)
    if source is None or board.phases[source] == OK:
        if source is not None:
            growing.catch_up(board, task, None)
        mapping.resume_instances(board, task)
    elif board.phases[source] <= RUNNING or flowing.has_told_instances(board, source):
        growing.join(board, task)
        growing.open_growing(board, task, ())


def _has_streams(board: Board, task: int) -> bool:
    """Whether all streams that the task iterates are complete."""
    return all(board.phases[maker] == OK for maker in board.workload.ties.iterated.get(task, ()))


def _take_items(board: Board, task: int, found: Sequence[str] | None, fresh: Iterable[int], all_fresh: bool) -> None:
    if board.workload.traits[task] & GROWS:
        growing.take(board, task, found, fresh, all_fresh)
    else:
        mapping.take_items(board, task, found, fresh, all_fresh)


def offer(board: Board, task: int) -> None:
    """A task that is not mapped is ready, unless a stream that it iterates stands still again."""
    if board.workload.unmet[task]:
        board.move(task, WAITING)
        board.waits.pop(task << SHIFT, None)
        board.unmet_now.pop(task, None)
        return
    lane = board.lane_of(task << SHIFT)
    if lane.lacking is not None:
        board.refuse(task, lane.lacking)
        return
    board.move(task, READY)
    board.placement.add(lane, board.workload.rank_of[task] << SHIFT)


def inspect(board: Board, task: int) -> None:
    """Have the world looked at before a task starts."""
    board.move(task, INSPECTING)
    mapped = board.mapped.get(task)
    if mapped is not None:
        mapped.seen = len(mapped)
    board.ask(task)


def offer_again(board: Board, task: int, instance: int) -> None:
    """The next attempt of a unit: requirements are looked at before every one."""
    looks = board.workload.traits[task] & REQUIRES
    if instance >= 0 and not board.mapped[task].is_open:
        board.move_instance(
            task, instance, WAITING
        )  # it was adopted, and what its task follows has not come so far again
    elif instance >= 0:
        (mapping.look_again if looks else mapping.offer_instance)(board, task, instance)
    elif (looks or task << SHIFT in board.waits) and not board.workload.unmet[task]:
        inspect(board, task)
    else:
        offer(board, task)


# --- the answer -------------------------------------------------------------------------------------------------------


def inspected(board: Board, event: Inspected) -> None:
    """The world has been looked at for a task, or for some of its instances."""
    task = event.task
    if not board.knows(task) or board.phases[task] != INSPECTING:
        mapped = board.mapped.get(task)
        if mapped is not None and mapped.looking:
            mapping.looked_again(board, mapped, event)
        else:
            board.ignored += 1
        return
    board.inspecting -= 1
    if board.halted is not None:
        board.move(task, DELAYED)  # nothing starts any more; it is given up with the rest
    elif event.unmet is not None:
        _miss(board, event)
    elif event.refusal is not None:
        board.settle(task, FAILED, SETUP, event.refusal)
    else:
        _met(board, event)


def _met(board: Board, event: Inspected) -> None:
    """All requirements hold, and maybe it need not run at all."""
    task = event.task
    traits = board.workload.traits[task]
    board.waits.pop(task << SHIFT, None)
    board.unmet_now.pop(task, None)
    if event.fingerprint is not None:
        board.fingerprints[task] = event.fingerprint
    if event.request is not None:
        _take_request(board, task, event.request)
    is_fresh = event.fresh and bool(traits & CACHES) and not board.attempts[task] and _has_streams(board, task)
    if traits & MAPPED:
        fresh: Iterable[int] = event.fresh_items if traits & CACHES else ()
        mapped = board.mapped.get(task)
        if mapped is not None and mapped.source >= 0:
            growing.open_growing(board, task, fresh)
        else:
            _take_items(board, task, event.items, fresh, is_fresh)
    elif is_fresh:
        board.settle(task, OK, CACHED)
    else:
        offer(board, task)


def _take_request(board: Board, task: int, request: Request) -> None:
    """What the task asks for is known only now."""
    limit = board.workload.queues.get(request.queue) if request.queue is not None else None
    request = request if limit is None else limit.cut(request)
    if request != board.request_of(task << SHIFT):
        board.trials.setdefault(task << SHIFT, Trial()).request = request


def look_at_all(board: Board) -> None:
    """Something may have come that tasks wait for, whose requirements did not hold: look again now, not when it is time."""
    if not board.waits or board.halted is not None:
        return
    for timer, unit in [(timer, unit) for timer, unit in board.timers.items() if unit in board.waits]:
        del board.timers[timer]
        offer_again(board, unit >> SHIFT, (unit & LOW) - 1)


def _miss(board: Board, event: Inspected) -> None:
    """A requirement does not hold: look again later, or skip."""
    task, limit = event.task, board.wait_seconds
    if limit is not None:
        until = board.waits.setdefault(task << SHIFT, board.now + limit)
        if board.now < until:
            board.unmet_now[task] = event.unmet or ""
            board.move(task, DELAYED)
            board.set_timer(task << SHIFT, min(board.now + board.look_seconds, until))
            return
    board.settle(task, SKIPPED, f"unmet:{event.unmet}", event.detail)
