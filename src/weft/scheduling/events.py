"""What the scheduler is told: facts about the world, in the past tense.

NamedTuples, not dataclasses: they are made once or twice per attempt, and construction is what a million tasks pay for.
Two kinds never compare equal by accident because handling goes by class, never by equality.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, LogRegion, Outcome, Request, TaskState
from weft.scheduling.reasons import Reason

NOTHING_MEASURED: Final[Mapping[str, int]] = MappingProxyType({})


class AttemptStarted(NamedTuple):
    """The executor says that the attempt's action has begun. started: wall clock seconds, for people only.

    stdout, stderr: where its output goes meanwhile; length -1.
    """

    key: AttemptKey
    nonce: int
    started: float
    stdout: LogRegion = NO_OUTPUT
    stderr: LogRegion = NO_OUTPUT


class AttemptEnded(NamedTuple):
    """The executor says how the attempt ended (reaped, or known to be gone). A stale one (other nonce) only counts."""

    key: AttemptKey
    nonce: int
    outcome: Outcome


class Inspected(NamedTuple):
    """Answer to `Inspect`: what the world is like just before a task would start.

    unmet: requirement that does not hold (`file:PATH`), None when all hold. detail: its text for people.
    items: of a mapped task, in order; None when not mapped.
    fresh: the recorded results of every part are up to date: the task need not run. fingerprint: hex digest, None when not
    taken. reasons: why it must run, for `explain`; made by freshness.
    request: what the task asks for now that its function for that was called (workflows.md 4.3); None: what it did before.
    refusal: why that function gave nothing that can be used.
    """

    task: int
    unmet: str | None = None
    detail: str | None = None
    items: tuple[str, ...] | None = None
    fresh: bool = False
    fingerprint: str | None = None
    fresh_items: frozenset[int] = frozenset()
    reasons: tuple[Reason, ...] = ()
    request: Request | None = None
    refusal: str | None = None


class StreamGrew(NamedTuple):
    """A live producer has handed on more items of its stream; told before the end of its attempt.

    items: their texts, in order. first: index of the first of them; items that are known already (a retry, a resumed run)
    count once.
    """

    task: int
    nonce: int
    items: tuple[str, ...]
    first: int


class TimerFired(NamedTuple):
    """A timer set by `SetTimer` is over."""

    timer: int


class CapacityChanged(NamedTuple):
    """What there is in all, per resource in integer units; a name that is absent is known to nobody.

    slots: cap on live attempts (`-j`), None = none.
    """

    amounts: Mapping[str, int]
    slots: int | None = None


class HeadroomChanged(NamedTuple):
    """Opportunistic mode: what was measured of the host, per resource in integer units.

    free: what nobody uses now, less the host's reserve (it may be negative). own: what our attempts use; of a name that is
    absent, what they hold stands for it. remarks: what people should know of the measuring.
    """

    free: Mapping[str, int]
    own: Mapping[str, int] = NOTHING_MEASURED
    remarks: tuple[str, ...] = ()


class WorldChanged(NamedTuple):
    """Something that waiting tasks require may have come: look again at all whose requirements did not hold."""


class Interrupted(NamedTuple):
    """The user or the host wants the run to end. level 1: start nothing more; 2: terminate what runs; 3: kill it."""

    level: Literal[1, 2, 3]


class CancelRequested(NamedTuple):
    """Somebody asked for tasks to be given up (None: all). force: also those that are not interruptible."""

    tasks: tuple[int, ...] | None
    force: bool = False


class PauseChanged(NamedTuple):
    """Start nothing new while paused (disk full, user's wish)."""

    paused: bool
    reason: str = ""


class LimitChanged(NamedTuple):
    """The capacity of one named resource was changed by request; in integer units, None removes the limit."""

    name: str
    units: int | None


class TaskRecovered(NamedTuple):
    """Resume: what the store knows of a task of this run. Sent for tasks that need not run again.

    state: `ok` (or `cancelled` by request). Tasks not named are pending.
    """

    task: int
    state: TaskState
    cause: str | None = None


class ItemsRecovered(NamedTuple):
    """Resume: the recorded items of a mapped task and which of them are ok."""

    task: int
    items: tuple[str, ...]
    ok: frozenset[int]


class RequestRecovered(NamedTuple):
    """Resume: the request (scaled) that the next attempt of a task or instance is to use, and the attempts made so far.

    attempts: highest attempt number used in this run, so that numbers only grow; budgets start anew.
    """

    task: int
    instance: int
    attempts: int
    request: Request | None


class AttemptAdopted(NamedTuple):
    """Resume: an attempt of an earlier engine that still lives and counts. Holds its request's amounts at once.

    fingerprint: of its task, as it was looked at before; None where nobody did.
    """

    key: AttemptKey
    nonce: int
    request: Request
    started: float
    fingerprint: str | None = None


Event = (
    AttemptStarted
    | AttemptEnded
    | Inspected
    | StreamGrew
    | TimerFired
    | CapacityChanged
    | HeadroomChanged
    | WorldChanged
    | Interrupted
    | CancelRequested
    | PauseChanged
    | LimitChanged
    | TaskRecovered
    | ItemsRecovered
    | RequestRecovered
    | AttemptAdopted
)
