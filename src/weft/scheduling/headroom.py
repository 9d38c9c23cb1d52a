"""Opportunistic mode: attempts use what the host does not need for itself, and give way when it needs more.

The measure. `HeadroomChanged` tells, by resource, what is free now (less the host's reserve) and what our own attempts use of
it. *Usable* is the sum: what all of ours could have, whatever they hold. Where their use is not measured, what they hold
stands for it. Usable, and a little slack since every host has some noise, bounds the capacity: `held + free = capacity` stays
true, and while the capacity is below what is held nothing starts.

Admission. A gap in the host's work is good for a short task and bad for a long one. So a unit starts only if it would have had
room during all of the time just past that is as long as it is expected to take (at most WINDOW_SECONDS, and since the run
began): `duration`, else the mean of its lane, else UNKNOWN_SECONDS.

Giving way. When nothing is idle though what runs holds more than is usable, SAMPLES times in a row, the youngest attempts that
may be interrupted are paused until the rest fits. Pausing frees processors and links, not memory: where that is short, they are
stopped and queued again, at no charge. A paused attempt keeps what it holds, so nobody takes its place, and it goes on when
what it needs has been idle SAMPLES times in a row; those that began first go first.

Two marks, far apart, keep it from swinging: giving way needs STOP_SHARE of the capacity to be missing, going on and starting
need all but START_SHARE of the amount to be idle.

Rejected: comparing what is free with what is held (our own work looks like the host's); giving the room of a paused attempt to
others (two would go on where there is room for one); pausing at the first busy sample (every login would stop a run).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from weft.scheduling.commands import ContinueAttempt, ExplainTask, Mention, PauseAttempt, StopAttempt
from weft.scheduling.outcomes import INTERRUPTED
from weft.scheduling.reasons import Reason
from weft.spec.actions import Snippet
from weft.spec.resources import CORES, MEMORY
from weft.units import MILLI, show_amount

if TYPE_CHECKING:
    from weft.scheduling.board import Board
    from weft.scheduling.events import HeadroomChanged
    from weft.scheduling.lanes import Lane, LiveAttempt
    from weft.scheduling.placement import Placement

SAMPLES: Final = 2
"""Samples in a row that say the same before running attempts are paused, or go on."""
WINDOW_SECONDS: Final = 60.0
UNKNOWN_SECONDS: Final = 5.0
"""How long a task is expected to take of which nothing is known."""
START_SHARE: Final = 10
STOP_SHARE: Final = 4
"""One part in so many of the capacity."""
START_CORES: Final = MILLI // 4
STOP_CORES: Final = MILLI
"""Most of it, of cores: a large host must not lose sixteen of them before anybody gives way."""

KEPT_WHILE_PAUSED: Final = frozenset({MEMORY, "shared_memory"})
FREED_BY_PAUSING: Final = frozenset({CORES, "network_bandwidth"})
BUSY: Final = "paused: the host is busy"


class Headroom:
    """What was measured, and who was paused for it. All amounts by resource name, integer units.

    idle: measured free now, less the reserve. usable: what our attempts could have in all. paused: attempts by nonce, with the
    number of samples in a row that had room for them. reasons: why tasks run, to be shown again when they go on.
    """

    def __init__(self) -> None:
        self.idle: dict[str, int] = {}
        self.usable: dict[str, int] = {}
        self.paused: dict[int, int] = {}
        self.busy: dict[str, int] = {}
        self.reasons: dict[int, tuple[Reason, ...]] = {}
        self.is_known = False
        self._past: deque[tuple[float, Mapping[str, int]]] = deque()
        self._floors: dict[tuple[str, int], int] = {}
        self._now = 0.0

    def note(self, event: HeadroomChanged, active: Mapping[str, int], now: float) -> None:
        """Take a sample in. active: what attempts hold that are neither paused nor ending."""
        self.is_known = True
        self._now = now
        self.idle = dict(event.free)
        self.usable = {name: units + event.own.get(name, active.get(name, 0)) for name, units in event.free.items()}
        self._past.append((now, self.usable))
        while self._past[0][0] < now - WINDOW_SECONDS:
            self._past.popleft()
        self._floors.clear()

    def floor(self, name: str, seconds: float) -> int | None:
        """The least that was usable in the last so many seconds; None for what is not measured."""
        if name not in self.usable:
            return None
        key = (name, int(seconds))
        least = self._floors.get(key)
        if least is None:
            least = self.usable[name]
            for when, usable in reversed(self._past):
                if when < self._now - seconds:
                    break
                least = min(least, usable.get(name, least))
            self._floors[key] = least
        return least

    def lasts(self, placement: Placement, lane: Lane, seconds: float, alone: bool = False) -> bool:
        """Whether a unit of the lane that takes so long may be expected to find room all the time. infinite: unknown.

        alone: if nothing else of ours held anything.
        """
        if not self.is_known:
            return False
        if seconds == float("inf"):
            seconds = lane.mean if lane.mean >= 0 else UNKNOWN_SECONDS
        seconds = min(seconds, WINDOW_SECONDS)
        for number, units in lane.needs:
            name = placement.names[number]
            least = self.floor(name, seconds)
            held = 0 if alone else placement.held[number]
            if least is not None and held + units > least + start_slack(placement, name):
                return False
        return True

    def state(self) -> tuple[object, ...]:
        """All that decides about what follows."""
        return (sorted(self.usable.items()), sorted(self.paused.items()), sorted(self.busy.items()), list(self._past))


def start_slack(placement: Placement, name: str) -> int:
    """How much less than it needs may be idle when something starts or goes on."""
    slack = (placement.capacity_of(name) or 0) // START_SHARE
    return min(slack, START_CORES) if name == CORES else slack


def stop_slack(placement: Placement, name: str) -> int:
    """How much more than is usable may be held before somebody gives way."""
    slack = (placement.capacity_of(name) or 0) // STOP_SHARE
    return min(slack, STOP_CORES) if name == CORES else slack


def take_sample(board: Board, event: HeadroomChanged) -> None:
    """New figures: what may start changes, and what runs gives way or goes on."""
    placement, headroom = board.placement, board.placement.headroom
    if headroom is None:
        board.ignored += 1
        return
    board.commands += [Mention(text, None) for text in event.remarks]
    active = _active(placement, headroom)
    headroom.note(event, active, board.now)
    ceilings = {name: max(0, units + start_slack(placement, name)) for name, units in headroom.usable.items()}
    placement.set_ceilings(ceilings)
    short = _short_of(placement, headroom, active)
    if short:
        _give_way(board, headroom, short)
        for name in short:  # what follows is measured anew, with these gone
            headroom.busy[name] = 0
    elif headroom.paused:
        _go_on(board, headroom)


def forget(headroom: Headroom, live: LiveAttempt) -> None:
    """The attempt has ended."""
    headroom.paused.pop(live.nonce, None)


def _active(placement: Placement, headroom: Headroom) -> dict[str, int]:
    """What attempts hold that can use it: neither paused nor asked to end."""
    active = dict(zip(placement.names, placement.held, strict=True))
    for live in placement.live.values():
        if live.nonce in headroom.paused or (live.stop_level and not live.is_ahead):
            for number, units in live.lane.needs:
                active[placement.names[number]] -= units
    return active


def _short_of(placement: Placement, headroom: Headroom, active: Mapping[str, int]) -> dict[str, int]:
    """By name: how much has to be given back, of what has been short for long enough."""
    short = {}
    for name, usable in sorted(headroom.usable.items()):
        over = active.get(name, 0) - usable - stop_slack(placement, name)
        is_busy = over > 0 and headroom.idle[name] < start_slack(placement, name)
        headroom.busy[name] = headroom.busy.get(name, 0) + 1 if is_busy else 0
        if headroom.busy[name] >= SAMPLES:
            short[name] = over
    return short


def _give_way(board: Board, headroom: Headroom, short: Mapping[str, int]) -> None:
    """Pause or stop the youngest that may be interrupted, until what is short is enough."""
    placement = board.placement
    left = dict(short)
    for live in reversed(list(placement.live.values())):
        wanted = [
            (placement.names[number], units)
            for number, units in live.lane.needs
            if left.get(placement.names[number], 0) > 0
        ]
        if not wanted or not _may_yield(board, headroom, live):
            continue
        names = [name for name, _ in wanted]
        if any(name in KEPT_WHILE_PAUSED for name in names):
            if live.key.task in board.makers:
                continue  # others read what it hands on
            _send_back(board, live, names)
        elif any(name in FREED_BY_PAUSING for name in names):
            _pause(board, headroom, live, names)
        else:
            continue
        for name, units in wanted:
            left[name] -= units
        if all(over <= 0 for over in left.values()):
            return


def _may_yield(board: Board, headroom: Headroom, live: LiveAttempt) -> bool:
    if live.state != "running" or live.is_ahead or live.stop_level or live.nonce in headroom.paused:
        return False
    task = board.tasks[live.key.task]
    if not task.policy.interruptible:
        return False
    if not isinstance(task.action, Snippet):
        return True
    has_own_process = any(name == MEMORY and units for name, units in live.request.amounts)
    return has_own_process or task.policy.isolation == "process"  # a thread can be neither paused nor ended


def _pause(board: Board, headroom: Headroom, live: LiveAttempt, names: list[str]) -> None:
    headroom.paused[live.nonce] = 0
    task = live.key.task
    text = f"{BUSY} ({_figures(headroom, names)})"
    board.commands.append(PauseAttempt(live.key, live.nonce))
    board.commands.append(ExplainTask(task, (*headroom.reasons.get(task, ()), Reason("host_busy", text, names[0]))))
    board.commands.append(Mention(text, task))


def _send_back(board: Board, live: LiveAttempt, names: list[str]) -> None:
    """Stop it for the host's sake; its end is charged to nobody, so it stands in its lane again."""
    live.gives_way = True
    live.stop_cause = INTERRUPTED
    live.stop_level = 2
    board.commands.append(StopAttempt(live.key, "terminate", INTERRUPTED))
    text = f"stopped, and queued again: the host is short of {' and '.join(names)}"
    board.commands.append(Mention(text, live.key.task))


def _go_on(board: Board, headroom: Headroom) -> None:
    """Let paused attempts go on for which there was room long enough; those that began first go first."""
    placement = board.placement
    left = dict(headroom.idle)
    for nonce in [nonce for nonce in placement.live if nonce in headroom.paused]:
        live = placement.live[nonce]
        needs = [
            (placement.names[number], units)
            for number, units in live.lane.needs
            if placement.names[number] in FREED_BY_PAUSING and placement.names[number] in left
        ]
        if any(left[name] + start_slack(placement, name) < units for name, units in needs):
            headroom.paused[nonce] = 0
            continue
        for name, units in needs:
            left[name] -= units
        headroom.paused[nonce] += 1
        if headroom.paused[nonce] >= SAMPLES:
            resume(board, headroom, live, "the host is quiet again: it goes on")


def resume(board: Board, headroom: Headroom, live: LiveAttempt, text: str) -> None:
    """Let a paused attempt go on."""
    del headroom.paused[live.nonce]
    task = live.key.task
    board.commands.append(ContinueAttempt(live.key, live.nonce))
    board.commands.append(ExplainTask(task, headroom.reasons.get(task, ())))
    board.commands.append(Mention(text, task))


def _figures(headroom: Headroom, names: list[str]) -> str:
    return ", ".join(f"{name}: {show_amount(name, max(0, headroom.idle[name]))} idle" for name in names)
