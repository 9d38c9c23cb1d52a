"""Streams while they run: who may begin since a maker has begun, and who may not any more since it is tried again.

`unmet` of a task counts the edges that keep it from starting. An edge that iterates counts while its maker does not *flow*: it
is ok, or its attempt has begun and nothing that it iterates itself stands still. When a maker's attempt fails and another one
follows, the edges of its iterators count again, through any number of streams, and those that stand ready step back. Why so
strict: an iterator without a maker holds its slot and waits, and if the slot is the one that the maker needs, for ever. Who
holds slots while nothing flows is therefore only what began before; and should even they keep their makers from starting (a
larger request, fewer slots), they are ended, uncharged, and begin again later (`stalemate`).

What happens to one task may happen to all that follow, so each step goes on in a list or by `board.ripples`, never by recursion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from weft.errors import InternalError
from weft.scheduling import growing
from weft.scheduling.events import StreamGrew
from weft.scheduling.keys import WHOLE
from weft.scheduling.lanes import Lane, LiveAttempt
from weft.scheduling.lifecycle import CANCELLED, INSPECTING, OK, READY, RUNNING, WAITING
from weft.scheduling.workload import FLOWS, SHIFT

if TYPE_CHECKING:
    from weft.scheduling.board import Board


# --- a maker begins, stands still, ends -------------------------------------------------------------------------------


def begin(board: Board, task: int) -> None:
    """The attempt of a maker has begun: followers that take its items may, too."""
    maker = board.makers[task]
    if maker.has_begun:
        return
    maker.has_begun = True
    open_growers(board, task)
    if not board.workload.unmet[task]:
        _flow(board, [task])


def open_growers(board: Board, task: int) -> None:
    """Followers that are mapped over the maker's items may take them from now on."""
    maker = board.makers[task]
    if not maker.has_opened:
        maker.has_opened = True
        for follower in maker.growers:
            _satisfy(board, follower)


def _flow(board: Board, found: list[int]) -> None:
    for task in found:  # grows while it is read
        maker = board.makers[task]
        maker.is_flowing = True
        found += [follower for follower in maker.iterators if _satisfy(board, follower)]


def _satisfy(board: Board, follower: int) -> bool:
    """One edge less keeps the follower from starting; whether it flows by that, as a maker itself."""
    unmet = board.workload.unmet
    unmet[follower] -= 1
    if unmet[follower]:
        return False
    phase = board.phases[follower]
    if phase == WAITING:
        board.due.append(follower)
    elif phase == RUNNING:
        mapped = board.mapped.get(follower)
        if mapped is not None and not mapped.is_open:
            board.due.append(follower)
        maker = board.makers.get(follower)
        return maker is not None and maker.has_begun
    return False


def ebb(board: Board, task: int) -> None:
    """The maker's attempt did not do its work: who would begin to iterate now, waits until it has begun again."""
    board.makers[task].has_begun = False
    phases, unmet, makers = board.phases, board.workload.unmet, board.makers
    back: dict[int, tuple[Lane, set[int]]] = {}
    found = [task]
    for task in found:  # grows while it is read
        maker = makers[task]
        if not maker.is_flowing:
            continue
        maker.is_flowing = False
        for follower in maker.iterators:
            unmet[follower] += 1
            if phases[follower] == READY:
                lane = board.lane_of(follower << SHIFT)
                back.setdefault(lane.number, (lane, set()))[1].add(board.workload.rank_of[follower] << SHIFT)
                board.move(follower, WAITING)
            elif phases[follower] == RUNNING and follower in makers:
                found.append(follower)
    for lane, items in back.values():
        board.placement.take_out(lane, items)


def complete(board: Board, task: int) -> None:
    """The maker is ok. Edges that its beginning had satisfied are so already."""
    maker = board.makers[task]
    graph, first = board.workload.graph, board.workload.graph.first_follower
    done: set[int] = set()
    if maker.is_flowing:
        done.update(maker.iterators)
    if maker.has_opened:
        done.update(maker.growers)
    maker.is_flowing = maker.has_begun = False
    followers = graph.followers[first[task] : first[task + 1]]
    _flow(board, [follower for follower in followers if follower not in done and _satisfy(board, follower)])
    board.ripples.append((task, WHOLE))


def grew(board: Board, event: StreamGrew) -> None:
    """A live maker has handed on items: instances for those that are new."""
    task, nonce, items, first = event
    live, maker = board.placement.live.get(nonce), board.makers.get(task)
    if live is None or live.key.task != task or live.key.instance != WHOLE:
        board.ignored += 1
        return
    if maker is None:
        return  # nobody takes them before its end
    begin(board, task)
    if first > maker.count:
        raise InternalError(f"items {first} and on of a stream with {maker.count}\n{board.story(task)}")
    growing.pour(board, task, items[maker.count - first :])


# --- what follows from it, later in the same call ---------------------------------------------------------------------


def settle_ripples(board: Board) -> None:
    """Tell followers of makers and of their instances that have ended since; more may end by that."""
    for task, instance in board.ripples:  # grows while it is read
        if instance != WHOLE:
            growing.echo(board, task, instance)
            continue
        phase = board.phases[task]
        inherited = None if phase == OK else board.inheritance(task)
        for follower in board.makers[task].growers:
            growing.end_growth(board, follower, inherited, by_instance=has_told_instances(board, task))
        if inherited is not None:
            for follower in board.makers[task].iterators:
                _give_up(board, follower, *inherited)
    board.ripples.clear()


def _give_up(board: Board, task: int, phase: int, cause: str) -> None:
    """The maker will not come: an iterator that has no live attempt has ended. A live one is told by the engine."""
    if board.phases[task] >= RUNNING:
        return
    board.inspecting -= (
        board.phases[task] == INSPECTING
    )  # READY it is not: it stepped back when the maker's attempt ended
    board.forget_timers(task << SHIFT)
    board.settle(task, phase, cause)


def has_told_instances(board: Board, task: int) -> bool:
    """Whether a task has ended by its instances, whose followers know by them."""
    mapped = board.mapped.get(task)
    return mapped is not None and not mapped.open


def doom_of(board: Board, task: int) -> tuple[int, str] | None:
    """(phase, cause) of a task whose items will never all come; None while they may."""
    ties = board.workload.ties
    makers: Sequence[int] = ties.iterated.get(task, ())
    if task in ties.grown and not (board.mapped[task].is_open and has_told_instances(board, ties.grown[task])):
        makers = (ties.grown[task],)
    return next((board.inheritance(maker) for maker in makers if board.phases[maker] in _ENDED_BADLY), None)


_ENDED_BADLY = frozenset(range(OK + 1, CANCELLED + 1))


# --- who waits for what cannot come -----------------------------------------------------------------------------------


def stranding(board: Board, task: int) -> Iterator[int]:
    """The streams that a task iterates and that stand still, but may come again."""
    if board.workload.traits[task] & FLOWS and board.workload.unmet[task]:
        for maker in board.workload.ties.iterated[task]:
            if board.phases[maker] <= RUNNING and not board.makers[maker].is_flowing:
                yield maker


def stalemate(board: Board) -> list[tuple[LiveAttempt, str]]:
    """Attempts that wait for makers, and for which, when nothing else lives and so they alone keep them from starting."""
    if board.timers or board.inspecting:
        return []
    found = []
    for live in board.placement.live.values():
        if live.state == "ahead":
            continue  # it waits for one of these to end
        maker = next(stranding(board, live.key.task), None)
        if maker is None:
            return []
        found.append((live, f"dependency:{board.tasks[maker].name}"))
    return found
