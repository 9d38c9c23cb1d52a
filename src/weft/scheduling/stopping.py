"""How a run or a part of it is ended before its time: Ctrl-C, fail-fast, requests to cancel, pauses.

*Interrupted* work is taken up again by `resume`; *cancelled* work was given up on purpose. Both show as `cancelled`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from weft.scheduling import flowing
from weft.scheduling.board import Board
from weft.scheduling.commands import SettleTask, StopAttempt
from weft.scheduling.events import CancelRequested, Interrupted, PauseChanged
from weft.scheduling.keys import WHOLE
from weft.scheduling.lanes import LiveAttempt
from weft.scheduling.lifecycle import CANCELLED, FAILED, INSPECTING, READY, RUNNING
from weft.scheduling.mapped import drop_instances
from weft.scheduling.outcomes import CANCELLED as CANCELLED_CAUSE
from weft.scheduling.outcomes import INTERRUPTED, LOST, Outcome, kind
from weft.scheduling.retrying import Again, Over
from weft.scheduling.workload import SHIFT

_STRENGTH = {"withdraw": 1, "terminate": 2, "kill": 3}


def interrupt(board: Board, event: Interrupted) -> None:
    """Level 1: start nothing more; 2: end what runs; 3: kill it."""
    if event.level <= board.interrupt_level:
        board.ignored += 1
        return
    board.interrupt_level = event.level
    board.halted = board.halted or INTERRUPTED
    if event.level >= 2:
        for live in board.placement.live.values():
            _stop(board, live, "terminate" if event.level == 2 else "kill", INTERRUPTED)


def pause(board: Board, event: PauseChanged) -> None:
    """Start nothing while paused; what runs goes on."""
    board.paused = (event.reason or "paused") if event.paused else None
    if event.paused:
        withdraw_ahead(board, "paused")


def withdraw_ahead(board: Board, cause: str) -> None:
    """Take back what has been ordered but holds nothing yet."""
    for live in board.placement.live.values():
        if live.is_ahead:
            _stop(board, live, "withdraw", cause)


def _stop(board: Board, live: LiveAttempt, how: Literal["withdraw", "terminate", "kill"], cause: str) -> None:
    """Asking twice is asking once; what was asked for first says what the end counts as."""
    if _STRENGTH[how] <= live.stop_level:
        return
    if live.stop_level < _STRENGTH["terminate"]:
        live.stop_cause = cause
    live.stop_level = _STRENGTH[how]
    board.commands.append(StopAttempt(live.key, how, live.stop_cause or cause))


def forbid(board: Board, task: int, outcome: Outcome, cause: str, judged: Again | Over) -> tuple[int, Over] | None:
    """Why no attempt may follow one that failed, whatever the budgets say: (phase, cause); None when one may."""
    name = kind(cause)
    if task in board.cancelling:
        # What ended by itself has its true result; what our stop, or nobody, ended was cancelled.
        if outcome.charged and name not in (LOST, INTERRUPTED, CANCELLED_CAUSE):
            return FAILED, Over(cause, outcome.detail)
        return CANCELLED, Over(CANCELLED_CAUSE, outcome.detail)
    if outcome.charged and name in (CANCELLED_CAUSE, INTERRUPTED):
        return CANCELLED, Over(name, outcome.detail)
    if not isinstance(judged, Again):
        return None
    if board.makers and (doom := flowing.doom_of(board, task)) is not None:
        phase, cause = doom
        return phase, Over(cause, outcome.detail)
    if board.halted is not None:
        return CANCELLED, Over(INTERRUPTED, outcome.detail)
    return None


def wind_down(board: Board) -> None:
    """The run was told to stop: take back what has not begun, and end with the last attempt."""
    withdraw_ahead(board, INTERRUPTED)
    if board.makers:
        _give_up_stranding(board)
    if board.remaining and not board.placement.live:
        _give_up_rest(board)


def _give_up_stranding(board: Board) -> None:
    """What runs would wait for ever for a stream whose next attempt does not start any more."""
    stranding = {
        maker
        for live in board.placement.live.values()
        for maker in flowing.stranding(board, live.key.task)
        if board.phases[maker] < RUNNING
    }
    for maker in sorted(stranding):
        _drop(board, maker, INTERRUPTED)
    for maker in sorted(stranding):
        board.skip_followers(maker)


def break_stalemate(board: Board) -> None:
    """End what only waits for makers that it keeps from starting; it begins again when they have."""
    for live, cause in flowing.stalemate(board):
        _stop(board, live, "terminate", cause)


def end_orphans(board: Board) -> None:
    """Resume: end what iterates a stream that was given up."""
    for live in board.placement.live.values():
        doom = flowing.doom_of(board, live.key.task)
        if doom is not None and live.key.instance == WHOLE:
            _stop(board, live, "terminate", doom[1])


def _give_up_rest(board: Board) -> None:
    """The run was told to stop and its last attempt has ended: what has not run is interrupted."""
    # Instances first: one of them may have failed, and then those that follow are skipped for that.
    for task, mapped in list(board.mapped.items()):
        if has_instances(board, task):
            drop_instances(board, task, INTERRUPTED)
        mapped.looking.clear()
    for task in board.workload.by_rank:
        if board.phases[task] <= RUNNING:
            _drop(board, task, INTERRUPTED)
    board.timers.clear()
    board.inspecting = 0


def has_instances(board: Board, task: int) -> bool:
    """Whether an unsettled task ends by its instances: they have been offered, or one was adopted."""
    mapped, phase = board.mapped.get(task), board.phases[task]
    return mapped is not None and phase <= RUNNING and (mapped.is_open or phase == RUNNING)


def _drop(board: Board, task: int, cause: str) -> None:
    """An unsettled task without a live attempt is cancelled. Those that follow are the caller's affair."""
    if board.phases[task] == READY:
        board.placement.withdraw(board.workload.rank_of[task] << SHIFT)
    elif board.phases[task] == INSPECTING:
        board.inspecting -= 1
    board.move(task, CANCELLED)
    board.remaining -= 1
    board.causes[task] = cause
    unit = task << SHIFT
    board.unmet_now.pop(task, None)
    board.fingerprints.pop(task, None)
    board.waits.pop(unit, None)
    board.forget_trials(task)
    board.forget_timers(unit)
    board.commands.append(SettleTask(task, "cancelled", cause, None, board.tries(task)))


def cancel(board: Board, event: CancelRequested) -> None:
    """Give tasks up: at once what has no live attempt; the rest is asked to end, or, not interruptible, awaited."""
    chosen: Iterable[int] = board.workload.by_rank if event.tasks is None else dict.fromkeys(event.tasks)
    dropped = []
    for task in chosen:
        if not board.knows(task) or board.phases[task] > RUNNING:
            board.ignored += event.tasks is not None
            continue
        is_mapped = has_instances(board, task)
        if board.phases[task] == RUNNING or is_mapped:
            _cancel_running(board, task, event.force)
            if is_mapped:
                drop_instances(board, task, CANCELLED_CAUSE)
        else:
            _drop(board, task, CANCELLED_CAUSE)
            dropped.append(task)
    # Only now, so that a follower that was asked for, too, is cancelled itself and not skipped.
    for task in dropped:
        board.skip_followers(task)


def _cancel_running(board: Board, task: int, force: bool) -> None:
    board.cancelling.add(task)
    may_stop = force or board.tasks[task].policy.interruptible
    for live in board.placement.live.values():
        if live.key.task == task and (may_stop or live.is_ahead):
            _stop(board, live, "terminate" if may_stop else "withdraw", CANCELLED_CAUSE)
