"""What happens next: facts in, orders out.

`Scheduler.handle(events, now) -> commands` is the only door that changes its state. There is no clock, no input or output and
no chance in here: time, answers and nonces come as data, so the same events give the same commands, byte for byte, under any
hash seed, and a failure replays from its events. The engine makes the records of a batch durable before a start of it leaves.

How a task goes. All it depends on is ok -> *ready to prepare*. If it has requirements, finds its items by looking, or may be
up to date, an `Inspect` is asked; otherwise nothing is. Then it (or each of its instances) stands in a lane of `placement`.
`StartAttempt` gives it a number and a nonce. `AttemptEnded` closes the attempt; `retrying` says whether and how another one
follows; else the task is settled: its followers come one step nearer, or are skipped. The phases and what may follow which
stand in `lifecycle`; a step that is not there raises InternalError with the task's story, since going on would be guessing.

Streams. Some edges do not wait for an end (`streams`): an iterator starts beside its maker (`flowing`), a mapped follower gets
its instances as items come, or follows the instances of a mapped task one by one (`growing`). All else is as for other tasks.

What ends a task without an attempt:
- a dependency that failed, was skipped or was cancelled: `skipped`, `dependency:<root>`, at once and for all that follow, in one
  iterative sweep; the root is the task whose own fault it was. A dependency that was interrupted: `cancelled`, `interrupted`.
- a demand above every capacity: `skipped`, `unsatisfiable:<name>`, the moment it would stand in a lane (or the capacity falls).
- a requirement that does not hold: `skipped`, `unmet:<requirement>`.
- a request: `cancelled`. The end of the run (Ctrl-C, fail-fast): `cancelled`, `interrupted`, once the last attempt has ended,
  so that what follows a task that fails meanwhile is still told the true reason.

Numbers. A million tasks must fit, so a task is an index, its phase a byte, and everything rare (retries, waits, causes of what
is not ok, instances) lives in dictionaries that only tasks that need them enter. The cost of an end is its out-degree.

A report counts once: the nonce finds the live attempt, and an attempt that has ended is no longer there. Late, doubled and
foreign reports are counted in `ignored` and change nothing.

Progress. Whatever is not settled must have something that moves it: a live attempt, a timer, a question to the world, a pause,
or a dependency that has one. `handle` ends by looking: if nothing moves and tasks are left, it raises with a dump (R19).

Rejected: states as objects (400 B a task); callbacks from task to task (order by accident, recursion); a ready queue rebuilt
per round; counting a failed dependency down like a good one and looking later (the reason is lost); believing a report by its
key alone (a late one of an earlier engine would end the wrong try).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from types import MappingProxyType
from typing import Any, Final

from weft.scheduling import flowing, preparing, recovering, stopping
from weft.scheduling import headroom as giving
from weft.scheduling import mapped as mapping
from weft.scheduling.board import Board
from weft.scheduling.caps import ShutCaps
from weft.scheduling.commands import BeginAttempt, CloseAttempt, Command, Retry, SetTimer, StartAttempt
from weft.scheduling.events import (
    AttemptAdopted,
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    CapacityChanged,
    Event,
    HeadroomChanged,
    Inspected,
    Interrupted,
    ItemsRecovered,
    LimitChanged,
    PauseChanged,
    RequestRecovered,
    StreamGrew,
    TaskRecovered,
    TimerFired,
    WorldChanged,
)
from weft.scheduling.hosts import NOWHERE, Hosts
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.lanes import Lane, LiveAttempt
from weft.scheduling.lifecycle import (
    ABSENT,
    DELAYED,
    FAILED,
    OK,
    READY,
    RUNNING,
    STATE_BY_PHASE,
    TASK_TABLE,
    AttemptState,
)
from weft.scheduling.outcomes import CANCELLED as CANCELLED_CAUSE
from weft.scheduling.outcomes import (
    DEPENDENCY,
    INTERRUPTED,
    LOST,
    RESOURCE_CAUSES,
    SETUP,
    Outcome,
    Request,
    TaskState,
    kind,
)
from weft.scheduling.placement import Placement
from weft.scheduling.retrying import (
    Again,
    Bounds,
    Over,
    ScaleError,
    Trial,
    cause_of,
    describe_change,
    describe_limit,
    judge,
    scale,
)
from weft.scheduling.workload import LOW, NOTHING_EXPECTED, SHIFT, QueueLimit, Workload, declared_request
from weft.spec.plan import Plan

GPU: Final = "gpu"
NONCE_MASK: Final = (1 << 64) - 1
LOOK_SECONDS: Final = 1.0
"""Between two looks at a requirement that is waited for (dialects.md 2.3)."""
LANE_SHIFT: Final = 33
"""Lanes are numbered from the seed's upper bits, so that no engine takes up the numbers of the one before it."""


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """How a run is to be scheduled.

    fail_fast: the first task that fails for good ends the run. use_cache, force: whether finished work may stand in.
    wait_seconds: how long an unmet requirement is waited for, None = not. look_seconds: between two looks at it, if no
    `WorldChanged` comes earlier. unlimited: amounts are never short, slots count.
    queue_ahead: ahead orders may be given. queues: limits by name. placement_batch: most starts that one `handle` gives.
    hosts: machines that attempts are placed on, integer units by name, `cores` in each; `CapacityChanged` tells the sums.
    opportunistic: only what `HeadroomChanged` says the host leaves is used, and given back when the host needs it.
    expected: seconds that tasks took in earlier runs, for those that declare none.
    grows_any: `scale_on: any`, for tasks of documents that cannot say it.
    """

    fail_fast: bool = False
    use_cache: bool = True
    force: bool = False
    wait_seconds: float | None = None
    look_seconds: float = LOOK_SECONDS
    unlimited: bool = False
    queue_ahead: bool = False
    queues: Mapping[str, QueueLimit] = field(default_factory=lambda: MappingProxyType({}))
    placement_batch: int = 256
    hosts: tuple[Mapping[str, int], ...] = ()
    opportunistic: bool = False
    expected: Mapping[int, float] = field(default_factory=lambda: NOTHING_EXPECTED)
    grows_any: bool = False


NO_OPTIONS: Final = SchedulerOptions()

# Without a call of their own constructors, which a million attempts would pay for.
_new_key: Final[Callable[[tuple[int, int, int]], AttemptKey]] = partial(tuple.__new__, AttemptKey)
_new_start: Final[Callable[[tuple[AttemptKey, int, Request, int, bool, bool]], StartAttempt]] = partial(
    tuple.__new__, StartAttempt
)
_new_close: Final[Callable[[tuple[AttemptKey, int, Outcome, None]], CloseAttempt]] = partial(
    tuple.__new__, CloseAttempt
)


class Scheduler:
    """The scheduler of one run. selected: task indexes that take part, None = all. seed: of the nonces.

    Starts begin after the first `CapacityChanged`; recovered facts come before it.
    """

    def __init__(
        self, plan: Plan, selected: Sequence[int] | None = None, options: SchedulerOptions = NO_OPTIONS, seed: int = 0
    ):
        self.plan = plan
        self.options = options
        asks = options.use_cache and not options.force
        self.workload = Workload(plan, selected, asks, options.queues, options.expected)
        hosts = Hosts(options.hosts) if len(options.hosts) > 1 else None  # the sums say all about a single one
        headroom = giving.Headroom() if options.opportunistic and not options.unlimited else None
        self._caps = ShutCaps()
        self.placement = Placement(options.unlimited, seed >> LANE_SHIFT, hosts, headroom)
        self.placement.apart = {self.workload.rank_of[task] for task in self.workload.ties.iterated}
        self.placement.apart |= self._device_ranks()
        self.board = Board(self.workload, self.placement, options.fail_fast, options.wait_seconds, options.look_seconds)
        self._seed = seed
        self._nonces = 0
        self._turn_timer: int | None = None

    def _device_ranks(self) -> set[int]:
        """Of tasks that hold devices of their own: which ones can be said only when they hold them, so not ahead."""
        work = self.workload
        asking = {
            number for number, offer in enumerate(work.offers) if any(name == GPU for name, _ in offer.request.amounts)
        }
        return {work.rank_of[task] for task in work.by_rank if work.offer_of[task] in asking} if asking else set()

    # --- questions ------------------------------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether all selected tasks are settled and no attempt lives."""
        return not self.board.remaining and not self.placement.live

    @property
    def has_turn(self) -> bool:
        """Whether the last batch was full, so that a timer which is due at once will ask for more starts."""
        return self._turn_timer is not None

    def is_ahead(self, nonce: int) -> bool:
        """Whether the attempt still waits for one of its lane to end; False once it holds amounts, or is gone."""
        live = self.placement.live.get(nonce)
        return live is not None and live.is_ahead

    def host_of(self, nonce: int) -> int:
        """The number of the host that a live attempt is placed on; NOWHERE without hosts."""
        live = self.placement.live.get(nonce)
        return NOWHERE if live is None else live.host

    def is_live(self, key: AttemptKey, nonce: int) -> bool:
        """Whether a report of this attempt counts: it was ordered or adopted, and its end is not known yet."""
        live = self.placement.live.get(nonce)
        return live is not None and live.key == key

    @property
    def ignored(self) -> int:
        """Reports and requests that changed nothing: late, doubled, foreign."""
        return self.board.ignored

    def state_of(self, task: int) -> TaskState:
        """What people see of a task."""
        return STATE_BY_PHASE[self.workload.phases[task]]

    def parts_of(self, task: int) -> tuple[int, int] | None:
        """(settled, known) instances of a mapped task whose items are known; None of any other."""
        mapped = self.board.mapped.get(task)
        return None if mapped is None else (len(mapped) - mapped.open, len(mapped))

    def cause_of(self, task: int) -> str | None:
        """Why a settled task is what it is; None for a task that ran and is ok."""
        return self.board.causes.get(task)

    def counts(self) -> dict[TaskState, int]:
        """Selected tasks by state. O(tasks), but a scan of bytes: under a millisecond for a million."""
        counts: dict[TaskState, int] = dict.fromkeys(STATE_BY_PHASE, 0)
        for phase in range(ABSENT):
            counts[STATE_BY_PHASE[phase]] += self.workload.phases.count(phase)
        return counts

    def held(self) -> dict[str, int]:
        """Amounts that live attempts hold, by resource, integer units; 0 for those that somebody demands."""
        return dict(sorted(zip(self.placement.names, self.placement.held, strict=True)))

    def live(self) -> list[tuple[AttemptKey, float]]:
        """Attempts that have begun and have not ended, with the wall clock second of their start, in order of their orders."""
        return [(live.key, live.started) for live in list(self.placement.live.values()) if live.state == "running"]

    def unsatisfiable(self) -> list[tuple[int, str]]:
        """(task, resource) of all unsettled tasks that ask for more than there is in all, in plan order."""
        lanes, offer_of = self.board.lanes, self.workload.offer_of
        if not self.placement.is_known or not any(lane.lacking for lane in lanes):
            return []
        return [
            (task, lacking)
            for task, phase in enumerate(self.workload.phases)
            if phase <= RUNNING and (lacking := lanes[offer_of[task]].lacking) is not None
        ]

    # --- the door -------------------------------------------------------------------------------------------------------

    def handle(self, events: Iterable[Event], now: float) -> list[Command]:
        """Take facts in, in order; give out what follows. now: monotonic seconds. Raises InternalError if a promise is broken."""
        board = self.board
        board.now = now
        commands: list[Command] = []
        board.commands = commands
        recent = board.recent
        for event in events:
            recent.append(event)
            _HANDLERS[type(event)](self, event)
        self._advance()
        return commands

    def _advance(self) -> None:
        """What follows from the batch as a whole: openings, starts, the end of a run that was told to stop."""
        board, placement = self.board, self.placement
        if placement.is_known and board.halted is None and not board.is_open:
            recovering.open_run(board)
            if board.makers:
                stopping.end_orphans(board)
        while True:  # each of the two may bring about more of the other
            if board.ripples:
                flowing.settle_ripples(board)
            if not board.due or not placement.is_known or board.halted is not None:
                break
            preparing.prepare_due(board)
        if board.halted is not None:
            stopping.wind_down(board)
            flowing.settle_ripples(board)
        elif placement.is_known and board.paused is None:
            self._place()

    def _place(self) -> None:
        board, placement = self.board, self.placement
        if placement.headroom is not None and not placement.headroom.is_known:
            return  # the first measurement is on its way
        started = placement.place(board.now, self.options.placement_batch, self._start, self._duration_of)
        if self._caps.untold:
            board.commands += self._caps.tell(placement)
        if started >= self.options.placement_batch and self._turn_timer is None:
            # More may be possible, and no event need ever come that says so: ask for another turn.
            self._turn_timer = board.take_timer()
            board.commands.append(SetTimer(self._turn_timer, board.now))
        if self.options.queue_ahead:
            placement.place_ahead(self._start_ahead)
        if board.makers and not started and self._turn_timer is None:
            stopping.break_stalemate(board)
        moving = placement.live or board.timers or board.inspecting or self._turn_timer
        # The next measurement may make room, or somebody raise a cap.
        if board.remaining and not moving and placement.headroom is None and not placement.is_closed():
            board.give_out()

    # --- starting -------------------------------------------------------------------------------------------------------

    def _start(self, item: int, lane: Lane) -> LiveAttempt:
        """Make the attempt of a ready unit."""
        board, work = self.board, self.workload
        task = work.by_rank[item >> SHIFT]
        place = item & LOW
        phases = board.phases
        if not place:
            if RUNNING not in TASK_TABLE[phases[task]]:
                board.break_off(task, RUNNING)
            phases[task] = RUNNING
            number = board.attempts[task] + 1
            board.attempts[task] = number
        else:
            number = self._number_instance(task, place - 1)
        request = work.offers[work.offer_of[task]].request
        alone = False
        if board.trials and (trial := board.trials.get(task << SHIFT | place)) is not None:
            request = trial.request or request
            alone = trial.alone
        now, end = board.now, inf
        if work.has_durations:
            end = now + self._duration_of(item)
        key = _new_key((task, place - 1, number))
        nonce = (self._seed + self._nonces) & NONCE_MASK
        self._nonces += 1
        live = LiveAttempt(key, nonce, request, lane, now, end)
        self.placement.live[nonce] = live
        board.commands.append(_new_start((key, nonce, request, lane.number, False, alone)))
        return live

    def _number_instance(self, task: int, instance: int) -> int:
        board = self.board
        board.move_instance(task, instance, RUNNING)
        if board.phases[task] == READY:
            board.move(task, RUNNING)
        mapped = board.mapped[task]
        mapped.attempts[instance] += 1
        board.attempts[task] += 1
        return mapped.attempts[instance]

    def _start_ahead(self, item: int, lane: Lane) -> LiveAttempt:
        live = self._start(item, lane)
        command = self.board.commands[-1]
        assert isinstance(command, StartAttempt)
        self.board.commands[-1] = command._replace(ahead=True)
        live.state = "ahead"
        return live

    def _duration_of(self, item: int) -> float:
        work = self.workload
        duration = work.duration_of(work.by_rank[item >> SHIFT])
        return inf if duration is None else duration

    def _attempt_started(self, event: AttemptStarted) -> None:
        live = self.placement.live.get(event.nonce)
        if live is None or live.key != event.key or live.state == "running":
            self.board.ignored += 1
            return
        board = self.board
        if live.is_ahead:
            self._claim(live)
        elif live.lane.heirs and live in live.lane.heirs:
            live.lane.heirs.remove(live)
        board.turn(live, "running")
        if board.makers and event.key.task in board.makers and event.key.instance == WHOLE:
            flowing.begin(board, event.key.task)
        live.started = event.started
        self.board.commands.append(BeginAttempt(event.key, event.nonce, event.started, event.stdout, event.stderr))

    def _claim(self, live: LiveAttempt) -> None:
        """An order ahead has begun, whoever was thought to be next."""
        board = self.board
        heir = self.placement.claim(live)
        if heir is not None:
            live.since = board.now
            board.turn(heir, "ahead")
            if board.paused is not None:
                stopping.withdraw_ahead(board, "paused")

    # --- ending ---------------------------------------------------------------------------------------------------------

    def _attempt_ended(self, event: AttemptEnded) -> None:
        board, placement = self.board, self.placement
        key, nonce, outcome = event
        live = placement.live.get(nonce)
        if live is None or live.key != key:
            board.ignored += 1
            return
        del placement.live[nonce]
        if placement.headroom is not None:
            giving.forget(placement.headroom, live)
        heir = placement.release(live)
        if heir is not None:
            heir.since = board.now
            if heir.state == "ahead":
                board.turn(heir, "queued")
        if outcome.charged and not live.gives_way:
            placement.learn(live.lane, outcome.usage.seconds)
        if outcome.ok:
            board.turn(live, "ok")
            board.commands.append(_new_close((key, nonce, outcome, None)))
            self._settle_unit(key, OK, None, None, outcome)
        else:
            if board.makers and key.task in board.makers and key.instance == WHOLE:
                flowing.ebb(board, key.task)
            self._attempt_failed(live, outcome)

    def _settle_unit(
        self, key: AttemptKey, phase: int, cause: str | None, detail: str | None, outcome: Outcome
    ) -> None:
        if key.instance < 0:
            self.board.settle(key.task, phase, cause, detail, outcome.usage)
        else:
            mapping.settle_instance(self.board, key.task, key.instance, phase, cause, detail, outcome.usage)

    def _attempt_failed(self, live: LiveAttempt, outcome: Outcome) -> None:
        """Close an attempt that did not do its work, and say what follows."""
        board, key = self.board, live.key
        unit = key.task << SHIFT | key.instance + 1
        cause = cause_of(outcome)
        had_begun = live.state == "running" or not live.is_ahead
        if live.gives_way and kind(cause) == INTERRUPTED:
            outcome = outcome._replace(charged=False, detail="the host needed what it used")
        if live.state != "running" and not outcome.charged and kind(cause) != LOST:
            board.taken_back[key.task] = board.taken_back.get(key.task, 0) + 1
        board.turn(live, _ended_state(outcome, cause))
        trial = board.trials.get(unit)
        if trial is None:
            trial = board.trials[unit] = Trial()
        policy = board.tasks[key.task].policy.retries
        counted = outcome
        if kind(cause) == DEPENDENCY:
            counted = outcome._replace(charged=False)  # its stream failed or stood still: no fault of its own
        judged = judge(policy, trial, counted, had_begun)
        over = stopping.forbid(board, key.task, counted, cause, judged)
        if over is None and isinstance(judged, Over):
            over = (FAILED, judged)
        if over is None and counted.charged and kind(cause) in RESOURCE_CAUSES:
            over = self._scale(unit, live.request, cause)
        if over is not None:
            phase, last = over
            board.commands.append(CloseAttempt(key, live.nonce, outcome, None))
            self._settle_unit(key, phase, last.cause, last.detail, outcome)
            return
        assert isinstance(judged, Again)
        request = board.request_of(unit)
        trial.change = describe_change(live.request, request) or describe_limit(trial, request, cause)
        retry = Retry(judged.reason, judged.delay, request, trial.change)
        board.commands.append(CloseAttempt(key, live.nonce, outcome, retry))
        if judged.delay > 0:
            board.move_unit(key.task, key.instance, DELAYED)
            board.set_timer(unit, board.now + judged.delay)
        else:
            preparing.offer_again(board, key.task, key.instance)

    def _scale(self, unit: int, old: Request, cause: str) -> tuple[int, Over] | None:
        """Let the request grow after a resource failure; what to give up with when an entry gives no amount."""
        trial = self.board.trials[unit]
        policy = self.board.tasks[unit >> SHIFT].policy
        retries = policy.retries._replace(scale_on="any") if self.options.grows_any else policy.retries
        if trial.wanted is None:
            trial.wanted = declared_request(policy)
        capacity = {name: units for name, _ in old.amounts if (units := self.placement.capacity_of(name)) is not None}
        try:
            new = scale(retries, trial, old, cause, Bounds(capacity, self.options.queues))
        except ScaleError as error:
            return FAILED, Over(SETUP, str(error))
        trial.request = new
        return None

    # --- timers and capacity --------------------------------------------------------------------------------------------

    def _timer_fired(self, event: TimerFired) -> None:
        if event.timer == self._turn_timer:
            self._turn_timer = None
            return
        unit = self.board.timers.pop(event.timer, None)
        if unit is None:
            self.board.ignored += 1
        elif self.board.halted is None:
            preparing.offer_again(self.board, unit >> SHIFT, (unit & LOW) - 1)

    def _capacity_changed(self, event: CapacityChanged) -> None:
        self._caps.give(event.amounts)
        self.placement.set_capacity(event.amounts, event.slots)
        self._refuse_lacking()

    def _headroom_changed(self, event: HeadroomChanged) -> None:
        giving.take_sample(self.board, event)

    def _world_changed(self, _: WorldChanged) -> None:
        preparing.look_at_all(self.board)

    def _limit_changed(self, event: LimitChanged) -> None:
        self._caps.change(event.name, event.units)
        self.placement.set_limit(event.name, event.units)
        if self.placement.is_known:
            self._refuse_lacking()

    def _refuse_lacking(self) -> None:
        """Skip what stands in lanes that can never start now."""
        board, placement = self.board, self.placement
        for lane in list(placement.lanes.values()):
            if lane.lacking is None or not lane.items:
                continue
            for item in sorted(placement.ready_items(lane)):
                task, place = self.workload.by_rank[item >> SHIFT], item & LOW
                placement.withdraw(item)
                if place:
                    mapping.refuse_instance(board, task, place - 1, lane.lacking)
                else:
                    board.refuse(task, lane.lacking)

    # --- what other parts do --------------------------------------------------------------------------------------------

    def _inspected(self, event: Inspected) -> None:
        if self.placement.headroom is not None and event.reasons:
            self.placement.headroom.reasons[event.task] = event.reasons
        preparing.inspected(self.board, event)

    def _interrupted(self, event: Interrupted) -> None:
        stopping.interrupt(self.board, event)

    def _cancel_requested(self, event: CancelRequested) -> None:
        stopping.cancel(self.board, event)

    def _pause_changed(self, event: PauseChanged) -> None:
        stopping.pause(self.board, event)

    def _task_recovered(self, event: TaskRecovered) -> None:
        recovering.recover_task(self.board, event)

    def _items_recovered(self, event: ItemsRecovered) -> None:
        recovering.recover_items(self.board, event)

    def _request_recovered(self, event: RequestRecovered) -> None:
        recovering.recover_request(self.board, event)

    def _stream_grew(self, event: StreamGrew) -> None:
        flowing.grew(self.board, event)

    def _attempt_adopted(self, event: AttemptAdopted) -> None:
        recovering.adopt_attempt(self.board, event)


def _ended_state(outcome: Outcome, cause: str) -> AttemptState:
    name = kind(cause)
    if name == LOST:
        return "lost"
    if not outcome.charged:
        return "withdrawn"
    return "cancelled" if name in (INTERRUPTED, CANCELLED_CAUSE) else "failed"


_HANDLERS: Final[Mapping[type, Callable[[Scheduler, Any], None]]] = {
    AttemptStarted: Scheduler._attempt_started,
    AttemptEnded: Scheduler._attempt_ended,
    Inspected: Scheduler._inspected,
    TimerFired: Scheduler._timer_fired,
    CapacityChanged: Scheduler._capacity_changed,
    HeadroomChanged: Scheduler._headroom_changed,
    WorldChanged: Scheduler._world_changed,
    Interrupted: Scheduler._interrupted,
    CancelRequested: Scheduler._cancel_requested,
    PauseChanged: Scheduler._pause_changed,
    LimitChanged: Scheduler._limit_changed,
    TaskRecovered: Scheduler._task_recovered,
    ItemsRecovered: Scheduler._items_recovered,
    RequestRecovered: Scheduler._request_recovered,
    AttemptAdopted: Scheduler._attempt_adopted,
    StreamGrew: Scheduler._stream_grew,
}
