"""A full audit of a scheduler between two calls of `handle`: every figure that is kept is counted again, naively.

For tests and for the report of a fault of ours: O(tasks + edges + instances + live). Numbers in brackets are those of the
invariants in reliability.md, section 6.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from math import inf

from weft.errors import InternalError
from weft.scheduling.keys import WHOLE
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
from weft.scheduling.outcomes import CACHED, INTERRUPTED
from weft.scheduling.placement import SCAN_LIMIT, SPARE_LANES
from weft.scheduling.scheduler import Scheduler
from weft.scheduling.workload import LOW, SHIFT

_DEPENDENCY = "dependency:"


def check(scheduler: Scheduler) -> None:
    """Raise InternalError with all that does not hold; do nothing when all does."""
    faults: list[str] = []
    for part in (_tasks, _instances, _readiness, _attempts, _resources, _rarities, _skips, _progress, _room, _streams):
        faults += part(scheduler)
    if faults:
        raise InternalError("the scheduler's state is inconsistent: " + "; ".join(faults))


def fingerprint(scheduler: Scheduler) -> str:
    """Hex digest of all state that decides about what follows; equal under any hash seed. What is only counted is left out."""
    board, placement = scheduler.board, scheduler.placement
    live = [
        (
            *attempt.key,
            attempt.nonce,
            attempt.request,
            attempt.lane.number,
            attempt.state,
            attempt.is_ahead,
            attempt.stop_level,
        )
        for attempt in placement.live.values()
    ]
    trials = [
        (
            unit,
            trial.request,
            trial.wanted,
            trial.charged,
            trial.lost,
            trial.uncharged,
            trial.alone,
            sorted(trial.positions.items()),
        )
        for unit, trial in sorted(board.trials.items())
    ]
    mapped = [
        (task, bytes(m.phases), m.attempts.tolist(), m.is_open, m.is_growing, m.looking)
        for task, m in sorted(board.mapped.items())
    ]
    makers = [
        (task, maker.has_begun, maker.is_flowing, maker.has_opened, maker.count, maker.items)
        for task, maker in sorted(board.makers.items())
    ]
    state = (
        bytes(board.phases),
        scheduler.workload.unmet.tolist(),
        board.attempts.tolist(),
        sorted(board.taken_back.items()),
        sorted(board.causes.items()),
        sorted(board.timers.items()),
        sorted(board.waits.items()),
        sorted(board.cancelling),
        (board.paused, board.halted, board.interrupt_level, board.remaining),
        (placement.names, placement.capacity, placement.held, placement.slots, placement.holding),
        None if placement.headroom is None else placement.headroom.state(),
        live,
        trials,
        mapped,
        makers,
    )
    return blake2b(repr(state).encode(), digest_size=16).hexdigest()


def _name(scheduler: Scheduler, task: int) -> str:
    return repr(scheduler.workload.tasks[task].name)


def _is_satisfied(scheduler: Scheduler, dependency: int, task: int) -> bool:
    """Whether an edge keeps its follower from starting no more."""
    if scheduler.workload.phases[dependency] in (OK, ABSENT):
        return True
    ties = scheduler.workload.ties
    if dependency in ties.iterated.get(task, ()):
        return ties.makers[dependency].is_flowing
    return ties.grown.get(task) == dependency and ties.makers[dependency].has_opened


def _tasks(scheduler: Scheduler) -> list[str]:
    """[7] Counters equal a recount."""
    work, board, faults = scheduler.workload, scheduler.board, []
    first, phases = work.graph.first_dependency, work.phases
    for task, phase in enumerate(phases):
        if phase == ABSENT:
            continue
        dependencies = work.graph.dependencies[first[task] : first[task + 1]]
        unmet = sum(not _is_satisfied(scheduler, d, task) for d in dependencies)
        if unmet != work.unmet[task]:
            faults.append(
                f"task {_name(scheduler, task)} counts {work.unmet[task]} unmet dependencies, there are {unmet}"
            )
    remaining = sum(phase <= RUNNING for phase in phases)
    if remaining != board.remaining:
        faults.append(f"{board.remaining} tasks are counted as not ended, there are {remaining}")
    asked = phases.count(INSPECTING) + sum(bool(mapped.looking) for mapped in board.mapped.values())
    if asked != board.inspecting:
        faults.append(f"{board.inspecting} looks are counted as under way, there are {asked}")
    ranks = sorted(work.by_rank)
    if ranks != [task for task, phase in enumerate(phases) if phase != ABSENT]:
        faults.append("the order of starting is no permutation of the selected tasks")
    return faults


def _instances(scheduler: Scheduler) -> list[str]:
    faults = []
    for task, mapped in scheduler.board.mapped.items():
        open_ones = sum(phase <= RUNNING for phase in mapped.phases)
        phase = scheduler.workload.phases[task]
        if open_ones != mapped.open:
            faults.append(f"task {_name(scheduler, task)} counts {mapped.open} open instances, there are {open_ones}")
        if mapped.is_open and phase > RUNNING and open_ones:
            faults.append(f"task {_name(scheduler, task)} has ended with {open_ones} open instances")
        if mapped.is_open and phase <= RUNNING and not open_ones and not mapped.is_growing:
            faults.append(f"all instances of task {_name(scheduler, task)} have ended, it has not")
        if phase == OK and any(instance != OK for instance in mapped.phases):
            faults.append(f"task {_name(scheduler, task)} is ok with an instance that is not")
        if FAILED in mapped.phases and phase > RUNNING and phase != FAILED:
            faults.append(f"task {_name(scheduler, task)} is {PHASES[phase]} with an instance that failed")
    return faults


def _readiness(scheduler: Scheduler) -> list[str]:
    """[4, 7] What stands in the lanes is exactly what is ready; what started had all it needs."""
    work, board, placement, faults = scheduler.workload, scheduler.board, scheduler.placement, []
    standing: Counter[int] = Counter()
    for lane in placement.lanes.values():
        for item in placement.ready_items(lane):
            unit = work.by_rank[item >> SHIFT] << SHIFT | item & LOW
            standing[unit] += 1
            if board.lane_of(unit) is not lane:
                faults.append(f"unit {unit} stands in the lane of another demand")
    ready = {unit for unit, phase in _units(scheduler) if phase == READY}
    if set(standing) != ready or any(count > 1 for count in standing.values()):
        faults.append(f"units {sorted(set(standing) ^ ready)[:5]} are ready or stand in a lane, not both once")
    first, phases = work.graph.first_dependency, work.phases
    for task, phase in enumerate(phases):
        if phase in (ABSENT, SKIPPED, CANCELLED, OK):
            continue
        before = work.graph.dependencies[first[task] : first[task + 1]]
        unmet = [d for d in before if not _is_satisfied(scheduler, d, task)]
        if phase in (INSPECTING, DELAYED):  # a stream may stand still before it is noticed
            unmet = [d for d in unmet if d not in work.ties.iterated.get(task, ())]
        if phase == WAITING and not unmet and board.is_open and board.halted is None:
            faults.append(f"task {_name(scheduler, task)} waits for nothing")
        if phase in (INSPECTING, READY, DELAYED) and unmet:
            faults.append(f"task {_name(scheduler, task)} is {PHASES[phase]} before {_name(scheduler, unmet[0])} is ok")
    return faults


def _units(scheduler: Scheduler) -> list[tuple[int, int]]:
    """(unit, phase) of everything that attempts are made of."""
    board = scheduler.board
    units = [(task << SHIFT, phase) for task, phase in enumerate(board.phases) if task not in board.mapped]
    for task, mapped in board.mapped.items():
        units += [(task << SHIFT | instance + 1, phase) for instance, phase in enumerate(mapped.phases)]
    return units


def _attempts(scheduler: Scheduler) -> list[str]:
    """[1, 2, 3] One live attempt of each running unit, none of any other; numbers and nonces as they should be."""
    board, faults = scheduler.board, []
    units = Counter[int]()
    for nonce, live in scheduler.placement.live.items():
        task, instance, number = live.key
        units[task << SHIFT | instance + 1] += 1
        if live.nonce != nonce:
            faults.append(f"attempt {live.key} is kept under a nonce that is not its own")
        made = board.attempts[task] if instance == WHOLE else board.mapped[task].attempts[instance]
        if number != made:
            faults.append(f"attempt {live.key} lives, but {made} attempts were made")
    running = {unit for unit, phase in _units(scheduler) if phase == RUNNING}
    if set(units) != running or any(count > 1 for count in units.values()):
        faults.append(f"units {sorted(set(units) ^ running)[:5]} run or have a live attempt, not both once")
    return faults


def _resources(scheduler: Scheduler) -> list[str]:
    """[5] Held amounts are those of live attempts; held + free = capacity; all is free at the end."""
    placement, faults = scheduler.placement, []
    held = [0] * len(placement.names)
    holding = 0
    live_by_lane: Counter[int] = Counter()
    ahead: Counter[int] = Counter()
    for live in placement.live.values():
        if live.is_ahead:
            ahead[live.lane.number] += 1
            continue
        holding += 1
        live_by_lane[live.lane.number] += 1
        for number, units in live.lane.needs:
            held[number] += units
    if held != placement.held or holding != placement.holding:
        faults.append(f"held is kept as {placement.held} in {placement.holding} slots, it is {held} in {holding}")
    for number, name in enumerate(placement.names):
        capacity = placement.capacity[number] or 0
        if placement.held[number] + placement.free[number] != capacity:
            faults.append(f"{name}: {placement.held[number]} held and {placement.free[number]} free make no {capacity}")
    for lane in placement.lanes.values():
        if lane.live != live_by_lane[lane.number] or len(lane.ahead) != ahead[lane.number]:
            faults.append(f"lane {lane.number} counts {lane.live} live and {len(lane.ahead)} ahead")
        if any(heir.is_ahead or heir.state != "queued" or heir.lane is not lane for heir in lane.heirs):
            faults.append(f"lane {lane.number} keeps an heir that has begun, or holds nothing")
    if placement.hosts is not None:
        faults += placement.hosts.faults(placement.live.values())
    for nonce in () if placement.headroom is None else placement.headroom.paused:
        attempt = placement.live.get(nonce)
        if attempt is None or attempt.state != "running" or not _may_be_paused(scheduler, attempt.key.task):
            faults.append(f"the attempt with nonce {nonce} is paused, but it may not be, or does not run")
    return faults


def _may_be_paused(scheduler: Scheduler, task: int) -> bool:
    return scheduler.workload.tasks[task].policy.interruptible


def _rarities(scheduler: Scheduler) -> list[str]:
    """[13] What is kept besides the arrays belongs to somebody who is not done."""
    board, faults = scheduler.board, []
    phases = dict(_units(scheduler))
    for what, kept in (("a trial", board.trials), ("a wait", board.waits)):
        gone = [unit for unit in kept if phases.get(unit, board.phases[unit >> SHIFT]) > RUNNING]
        if gone:
            faults.append(f"{what} is kept for unit {gone[0]}, which has ended")
    if any(board.phases[task] > RUNNING for task in board.cancelling):
        faults.append("a task is still being cancelled that has ended")
    spare = [lane for lane in scheduler.placement.lanes.values() if not lane.is_kept]
    used = len(scheduler.placement.live) + len(phases)
    if len(spare) > max(SPARE_LANES, 2 * used):
        faults.append(f"{len(spare)} lanes are kept for {used} units and attempts")
    return faults


def _skips(scheduler: Scheduler) -> list[str]:
    """[6] Skips are exactly the followers of what did not end well, each with a root among its ancestors."""
    work, board = scheduler.workload, scheduler.board
    faults: list[str] = []
    if not board.is_open:
        return faults
    phases, graph = work.phases, work.graph
    first = graph.first_dependency
    for task, phase in enumerate(phases):
        if phase == ABSENT:
            continue
        cause = board.causes.get(task)
        bad = [
            d for d in graph.dependencies[first[task] : first[task + 1]] if phases[d] in (FAILED, SKIPPED, CANCELLED)
        ]
        if phase in (FAILED, SKIPPED, CANCELLED) and cause is None:
            faults.append(f"task {_name(scheduler, task)} is {PHASES[phase]} without a cause")
        if phase == OK and cause not in (None, CACHED):
            faults.append(f"task {_name(scheduler, task)} is ok because of {cause}")
        if bad and phase == WAITING:
            faults.append(f"task {_name(scheduler, task)} waits for {_name(scheduler, bad[0])}, which did not end well")
        if cause is not None and cause.startswith(_DEPENDENCY):
            roots = {_root_cause(scheduler, d) for d in bad} | _instance_roots(scheduler, task)
            if phase != SKIPPED or cause not in roots:
                faults.append(
                    f"task {_name(scheduler, task)} is {PHASES[phase]} with {cause}, its dependencies say {roots}"
                )
    return faults


def _root_cause(scheduler: Scheduler, dependency: int) -> str:
    cause = scheduler.board.causes.get(dependency) or ""
    if cause == INTERRUPTED or cause.startswith(_DEPENDENCY):
        return cause
    return f"{_DEPENDENCY}{scheduler.workload.tasks[dependency].name}"


def _instance_roots(scheduler: Scheduler, task: int) -> set[str]:
    """Causes that instances of a task inherit from instances of the mapped task that they follow."""
    source = scheduler.workload.ties.grown.get(task, -1)
    above = scheduler.board.mapped.get(source)
    return set() if above is None else {scheduler.board.inherited(source, cause)[1] for cause in above.causes.values()}


def _progress(scheduler: Scheduler) -> list[str]:
    """[12] Whatever is not ended has something that moves it."""
    board, placement = scheduler.board, scheduler.placement
    if not board.remaining or not board.is_open:
        return []
    timed = set(board.timers.values())
    faults = []
    if board.halted is not None:
        return [] if placement.live else ["the run is ending, nothing lives, and tasks are not ended"]
    for unit, phase in _units(scheduler):
        if phase == DELAYED and unit not in timed:
            faults.append(f"unit {unit} is delayed without a timer")
    measured = placement.headroom is not None  # the next measurement may make room
    waits = board.paused is not None or placement.is_closed()
    moving = placement.live or timed or board.inspecting or waits or scheduler.has_turn or measured
    if not moving:
        faults.append("nothing lives, nothing is timed or asked, and tasks are not ended")
    return faults


def _streams(scheduler: Scheduler) -> list[str]:
    """[4, 7] Makers flow exactly while they may; instances follow the items, and one by one the instances of a mapped task."""
    board, work, faults = scheduler.board, scheduler.workload, []
    if board.ripples:
        faults.append("followers have not been told of an end")
    whole = {live.key.task: live for live in scheduler.placement.live.values() if live.key.instance == WHOLE}
    for task, maker in board.makers.items():
        has_begun = task in whole and whole[task].state == "running"
        if (maker.has_begun and task not in whole) or (has_begun and not maker.has_begun):
            faults.append(f"maker {_name(scheduler, task)} has begun or has a live attempt, not both")
        if maker.is_flowing != (maker.has_begun and not work.unmet[task]):
            faults.append(f"maker {_name(scheduler, task)} flows, or could, not both")
    for task, source in work.ties.grown.items():
        mapped, maker = board.mapped.get(task), board.makers[source]
        if mapped is None or mapped.source != source:
            continue
        is_growing = mapped.is_growing and mapped.source >= 0 and work.phases[task] <= RUNNING
        if is_growing and (work.phases[source] > RUNNING or len(mapped) != maker.count):
            faults.append(
                f"task {_name(scheduler, task)} has {len(mapped)} of {maker.count} items, or its maker has ended"
            )
        above = board.mapped.get(source)
        if above is None or not mapped.is_open:
            continue
        for instance, (phase, over) in enumerate(zip(mapped.phases, above.phases, strict=False)):
            has_turn = phase != WAITING and phase not in (SKIPPED, CANCELLED)
            if has_turn != (over == OK) and not (phase > RUNNING and over == OK) and (has_turn or over > RUNNING):
                told = f"{PHASES[phase]}, the one that it follows is {PHASES[over]}"
                faults.append(f"instance {instance} of task {_name(scheduler, task)} is {told}")
    return faults


def _room(scheduler: Scheduler) -> list[str]:
    """[5] No slot is used twice, and a unit that has room starts unless something else is to be waited for."""
    board, placement = scheduler.board, scheduler.placement
    if not board.is_open or board.paused is not None or board.halted is not None or scheduler.has_turn:
        return []
    if placement.reservation is not None or len(placement.lanes) > SCAN_LIMIT:
        return []
    if placement.slots is not None and placement.holding >= placement.slots:
        return []
    hosts, headroom = placement.hosts, placement.headroom
    if headroom is not None and not headroom.is_known:
        return []
    return [
        f"lane {lane.number} has room and units, but none was started"
        for lane in placement.lanes.values()
        if placement.ready_items(lane)
        and all(placement.free[number] >= units for number, units in lane.needs)
        and (hosts is None or hosts.find(lane))
        and (headroom is None or headroom.lasts(placement, lane, _expected(scheduler, lane)))
    ]


def _expected(scheduler: Scheduler, lane: Lane) -> float:
    """Seconds that the best unit of a lane is said to take."""
    item = scheduler.placement.best(lane)
    work = scheduler.workload
    duration = None if item is None else work.duration_of(work.by_rank[item >> SHIFT])
    return inf if duration is None else duration
