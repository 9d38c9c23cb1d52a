"""Mapped tasks whose items come from a task of this run: instances are appended while it goes on.

A follower *joins* when its other dependencies are ok and its maker has begun; then it takes the items that there are, and each
later one as it comes. Over a stream, an instance is ready at once. Over a mapped task, instance i waits for the maker's instance
i, and is skipped with it. The task has ended when its maker has and no instance is open. If the maker did not end well, a
follower over a stream begins nothing more and is skipped; one over a mapped task has been told instance by instance already.

A follower that comes to its turn when the maker is ok takes all items at once, like any mapped task (`mapped.take_items`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from weft.scheduling import flowing
from weft.scheduling.commands import AddItems
from weft.scheduling.lifecycle import DELAYED, INSPECTING, OK, READY, RUNNING, WAITING
from weft.scheduling.mapped import (
    Mapped,
    drop_instances,
    look_again,
    offer_instance,
    settle_instance,
    settle_mapped,
    take_items,
)
from weft.scheduling.outcomes import CACHED
from weft.scheduling.workload import CACHES, REQUIRES, SHIFT

if TYPE_CHECKING:
    from weft.scheduling.board import Board

_LOOKS: Final = REQUIRES | CACHES


def knows(board: Board, task: int) -> bool:
    """Whether nobody need look for the items of the task: they are those of a mapped task of this engine."""
    return board.workload.ties.grown.get(task, -1) in board.mapped


def take(board: Board, task: int, found: Sequence[str] | None, fresh: Iterable[int], all_fresh: bool) -> None:
    """All items at once, since the maker is ok. found: by looking, None when nobody looked."""
    items = catch_up(board, task, found)
    take_items(board, task, items, fresh, all_fresh)


def catch_up(board: Board, task: int, found: Sequence[str] | None) -> Sequence[str]:
    """The items of a task whose maker is ok. Adds to what an earlier engine has recorded of them."""
    number = board.workload.ties.grown[task]
    maker = board.makers[number]
    items = maker.items or found or () if number in board.mapped else found or maker.items
    maker.has_joined()
    mapped = board.mapped.get(task)
    if mapped is not None:
        mapped.is_growing = False
        if len(mapped) < len(items):
            _append(board, task, items[len(mapped) :])
    return items


# --- joining and growing ----------------------------------------------------------------------------------------------


def join(board: Board, task: int) -> Mapped:
    """Take the items that there are; the others as they come."""
    number = board.workload.ties.grown[task]
    maker = board.makers[number]
    mapped = board.mapped.get(task)
    if mapped is None:
        mapped = board.mapped[task] = Mapped(0)
        _append(board, task, maker.items)
    elif len(mapped) < len(maker.items):
        _append(board, task, maker.items[len(mapped) :])
    mapped.is_growing = True
    mapped.source = number
    maker.has_joined()
    return mapped


def _append(board: Board, task: int, texts: Sequence[str]) -> None:
    """More instances, none of which may start yet."""
    mapped = board.mapped[task]
    first = len(mapped)
    mapped.extend(len(texts))
    past = board.past.get(task)
    if past:
        for instance in range(first, len(mapped)):
            mapped.attempts[instance] = past.pop(instance, 0)
    board.commands.append(AddItems(task, first, tuple(texts)))
    if task in board.makers:
        board.makers[task].keep(texts)


def pour(board: Board, task: int, texts: Sequence[str]) -> None:
    """New items of a maker: to those that have joined it, and to those that have joined them."""
    if not texts:
        return
    board.makers[task].keep(texts)
    poured = [(task, board.makers[task].count, texts)]
    for maker, count, given in poured:  # grows while it is read
        for follower in board.makers[maker].growers:
            mapped = board.mapped.get(follower)
            if mapped is None or not _takes_more(board, follower, mapped) or len(mapped) >= count:
                continue
            first = len(mapped)
            new = given[len(given) - (count - first) :]
            _append(board, follower, new)
            if mapped.is_open:
                for instance in range(first, count):
                    _admit(board, follower, instance)
            if follower in board.makers:
                poured.append((follower, board.makers[follower].count, new))


def _takes_more(board: Board, task: int, mapped: Mapped) -> bool:
    return mapped.is_growing and mapped.source >= 0 and board.phases[task] <= RUNNING


# --- instances --------------------------------------------------------------------------------------------------------


def open_growing(board: Board, task: int, fresh: Iterable[int]) -> None:
    """Let instances start. fresh: those that are up to date, of those that were there when it was looked at."""
    mapped = board.mapped[task]
    mapped.is_open = True
    if board.phases[task] != RUNNING:
        board.move(task, READY)
    if task in board.makers:
        flowing.open_growers(board, task)
    above = board.mapped.get(mapped.source)
    seen = mapped.seen if above is None else 0  # what it follows one by one may have ended after the look
    for instance in sorted(fresh):
        if instance >= len(mapped) or (above is not None and above.phases[instance] != OK):
            continue
        if mapped.phases[instance] == WAITING:
            settle_instance(board, task, instance, OK, CACHED)
    for instance in range(len(mapped)):
        if mapped.phases[instance] == WAITING:
            _admit(board, task, instance, has_looked=instance < seen)
    _finish(board, task)


def _admit(board: Board, task: int, instance: int, has_looked: bool = False) -> None:
    """An instance may start, unless it follows one that has not ended, or not well."""
    source = board.mapped[task].source
    above = board.mapped.get(source)
    if above is not None and above.phases[instance] != OK:
        if above.phases[instance] > OK:
            phase, cause = board.inherited(source, above.causes.get(instance) or "")
            settle_instance(board, task, instance, phase, cause)
        return
    if board.workload.traits[task] & _LOOKS and not has_looked:
        look_again(board, task, instance)
    else:
        offer_instance(board, task, instance)


def echo(board: Board, task: int, instance: int) -> None:
    """An instance of a maker has ended: so may those that follow it, or begin."""
    for follower in board.makers[task].growers:
        mapped = board.mapped.get(follower)
        if mapped is None or not mapped.is_open or board.phases[follower] > RUNNING or instance >= len(mapped):
            continue
        if mapped.phases[instance] == WAITING:
            _admit(board, follower, instance)


# --- the end ----------------------------------------------------------------------------------------------------------


def end_growth(board: Board, task: int, inherited: tuple[int, str] | None, *, by_instance: bool) -> None:
    """The maker has ended. inherited: (phase, cause) for those that follow it, None when it is ok."""
    mapped = board.mapped.get(task)
    if mapped is None or not WAITING < board.phases[task] <= RUNNING:
        return  # it has ended, or it takes all items when its turn comes
    if mapped.is_growing:
        mapped.is_growing = False
        if inherited is not None:
            mapped.first.setdefault(inherited[0], (inherited[1], None))
    elif board.phases[task] != RUNNING:
        return
    is_told = by_instance and (mapped.is_open or board.phases[task] != RUNNING)  # one that was adopted did not listen
    if inherited is not None and not is_told:
        if board.phases[task] in (INSPECTING, DELAYED):
            board.inspecting -= board.phases[task] == INSPECTING
            board.forget_timers(task << SHIFT)
            board.settle(task, *inherited)
            return
        drop_instances(board, task, inherited[1], inherited[0])
    if mapped.is_open:
        _finish(board, task)


def _finish(board: Board, task: int) -> None:
    mapped = board.mapped[task]
    if not mapped.open and not mapped.is_growing and board.phases[task] <= RUNNING:
        settle_mapped(board, task)
