"""Resume: facts of an earlier engine, taken before the first capacity. They give no commands but what follows from them."""

from __future__ import annotations

from math import inf

from weft.scheduling import flowing
from weft.scheduling.board import Board
from weft.scheduling.events import AttemptAdopted, ItemsRecovered, RequestRecovered, TaskRecovered
from weft.scheduling.keys import WHOLE
from weft.scheduling.lanes import LiveAttempt
from weft.scheduling.lifecycle import ABSENT, OK, PHASE_BY_STATE, RUNNING, WAITING
from weft.scheduling.mapped import Mapped
from weft.scheduling.outcomes import CANCELLED as CANCELLED_CAUSE
from weft.scheduling.retrying import Trial, recover_positions
from weft.scheduling.workload import SHIFT


def recover_task(board: Board, event: TaskRecovered) -> None:
    """A task that need not run again. Those that follow one that is not ok are skipped when the run opens."""
    task = event.task
    phase = PHASE_BY_STATE.get(event.state)
    if phase is None or not _is_open_to_facts(board, task) or board.phases[task] != WAITING:
        board.ignored += 1
        return
    board.phases[task] = phase
    board.remaining -= 1
    if event.cause is not None or phase != OK:
        board.causes[task] = event.cause or CANCELLED_CAUSE
    if phase == OK:
        graph, unmet = board.workload.graph, board.workload.unmet
        first = graph.first_follower
        for follower in graph.followers[first[task] : first[task + 1]]:
            unmet[follower] -= 1


def recover_items(board: Board, event: ItemsRecovered) -> None:
    """The items of a mapped task, as they were taken the first time."""
    task = event.task
    if not _is_open_to_facts(board, task) or task in board.mapped or board.tasks[task].policy.foreach is None:
        board.ignored += 1
        return
    if board.phases[task] != WAITING:
        return  # recovered as settled: its items say nothing more
    mapped = board.mapped[task] = Mapped(len(event.items))
    for instance in sorted(event.ok):
        mapped.phases[instance] = OK
        mapped.open -= 1
    if task in board.makers:
        board.makers[task].keep(event.items)
    source = board.workload.ties.grown.get(task)
    if source is None:
        return
    mapped.is_growing = board.phases[source] == WAITING
    if board.tasks[source].policy.foreach is None:
        maker = board.makers[source]
        if len(event.items) > maker.count:  # the stream must make them again, and others may need them before
            maker.count, maker.items = len(event.items), list(event.items)


def recover_request(board: Board, event: RequestRecovered) -> None:
    """Attempt numbers only grow, and a scaled request is kept."""
    task, instance = event.task, event.instance
    if not _is_open_to_facts(board, task):
        board.ignored += 1
        return
    mapped = board.mapped.get(task)
    if instance < 0:
        board.attempts[task] = event.attempts
    else:
        board.attempts[task] += event.attempts
        if mapped is None:
            # Its items are taken anew, and may be others: then only the numbers mean something.
            board.past.setdefault(task, {})[instance] = event.attempts
            return
        if instance >= len(mapped):
            board.ignored += 1
            return
        mapped.attempts[instance] = event.attempts
        if mapped.phases[instance] != WAITING:
            return  # finished work stood in for it
    offer = board.workload.offers[board.workload.offer_of[task]]
    if event.request is not None and event.request != offer.request and board.phases[task] == WAITING:
        trial = board.trials[task << SHIFT | instance + 1] = Trial(event.request)
        recover_positions(board.tasks[task].policy.retries, trial, event.request)


def adopt_attempt(board: Board, event: AttemptAdopted) -> None:
    """An attempt that still lives holds its amounts at once, even above the capacity."""
    task, instance, number = event.key
    mapped = board.mapped.get(task)
    placement = board.placement
    if (
        not _is_open_to_facts(board, task)
        or event.nonce in placement.live
        or (instance >= 0 and (mapped is None or instance >= len(mapped)))
    ):
        board.ignored += 1
        return
    board.move_unit(task, instance, RUNNING)
    if event.fingerprint is not None:
        board.fingerprints[task] = event.fingerprint
    if mapped is not None and instance >= 0:
        if board.phases[task] != RUNNING:
            board.move(task, RUNNING)
        board.attempts[task] += max(0, number - mapped.attempts[instance])
        mapped.attempts[instance] = max(number, mapped.attempts[instance])
    else:
        board.attempts[task] = max(number, board.attempts[task])
    offer = board.workload.offers[board.workload.offer_of[task]]
    unit = task << SHIFT | instance + 1
    if event.request != offer.request:
        board.trials.setdefault(unit, Trial(event.request)).request = event.request
    else:
        board.trials.pop(unit, None)
    lane = placement.lane_for(event.request, offer.executor, adopted=True)
    live = LiveAttempt(event.key, event.nonce, event.request, lane, board.now, inf)
    live.state = "running"
    live.started = event.started
    placement.live[event.nonce] = live
    placement.hold(live)
    if task in board.makers and instance == WHOLE:
        flowing.begin(board, task)


def open_run(board: Board) -> None:
    """Everything recovered is known: skip behind what was given up, and let what depends on nothing more be looked at."""
    board.is_open = True
    phases, unmet, mapped = board.phases, board.workload.unmet, board.mapped
    for task in sorted(board.causes):
        if phases[task] not in (OK, ABSENT) and phases[task] > RUNNING:
            board.skip_followers(task)
    board.due = [
        task
        for task in board.workload.by_rank
        if not unmet[task] and (phases[task] == WAITING or (task in mapped and phases[task] == RUNNING))
    ]


def _is_open_to_facts(board: Board, task: int) -> bool:
    """Recovered facts come before the first start, about tasks that take part."""
    return not board.is_open and board.knows(task) and board.phases[task] != ABSENT
