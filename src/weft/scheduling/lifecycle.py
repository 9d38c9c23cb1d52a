"""The two state machines as data: which phase of a task or an attempt may follow which.

A phase is finer than the state that people see: `pending` is four phases, which differ in what has to happen next. The
scheduler keeps one byte a task; names exist at the rim only. Tests draw the docs' diagrams from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from weft.scheduling.outcomes import TaskState

WAITING: Final = 0  # for dependencies
INSPECTING: Final = 1  # the world is being looked at
READY: Final = 2  # stands in a lane; a mapped task: its items are taken, none has started
DELAYED: Final = 3  # for a timer: the next attempt, or the next look at a requirement
RUNNING: Final = 4  # has a live attempt; a mapped task: an instance has begun
OK: Final = 5
FAILED: Final = 6
SKIPPED: Final = 7
CANCELLED: Final = 8
ABSENT: Final = 9  # not selected: never touched, counts as satisfied

PHASES: Final = (
    "waiting",
    "inspecting",
    "ready",
    "delayed",
    "running",
    "ok",
    "failed",
    "skipped",
    "cancelled",
    "absent",
)

STATE_BY_PHASE: Final[tuple[TaskState, ...]] = (
    "pending",
    "pending",
    "pending",
    "pending",
    "running",
    "ok",
    "failed",
    "skipped",
    "cancelled",
    "pending",
)
"""What people see; an absent task is never shown."""

PHASE_BY_STATE: Final[Mapping[TaskState, int]] = {
    "ok": OK,
    "failed": FAILED,
    "skipped": SKIPPED,
    "cancelled": CANCELLED,
}
"""Of the states in which a task stays."""

_LEAVES_PENDING: Final = frozenset({SKIPPED, CANCELLED})

TASK_TABLE: Final[tuple[frozenset[int], ...]] = (
    _LEAVES_PENDING
    | {INSPECTING, READY, RUNNING, OK},  # waiting: RUNNING is an adopted attempt, OK a recovered or empty one
    _LEAVES_PENDING
    # inspecting: WAITING, here and below, for a stream that stands still; FAILED when it cannot say what it needs
    | {READY, DELAYED, OK, FAILED, WAITING},
    _LEAVES_PENDING
    | {RUNNING, OK, FAILED, WAITING},  # ready: OK and FAILED of a mapped task whose items were all settled before
    _LEAVES_PENDING | {INSPECTING, READY, WAITING},  # delayed
    frozenset({INSPECTING, READY, DELAYED, OK, FAILED, SKIPPED, CANCELLED, WAITING}),  # running
    frozenset(),
    frozenset(),
    frozenset(),
    frozenset(),
    frozenset(),
)
"""By phase: the phases that may follow. Ended states have none."""

INSTANCE_TABLE: Final[tuple[frozenset[int], ...]] = (
    _LEAVES_PENDING | {INSPECTING, READY, RUNNING, OK},
    _LEAVES_PENDING | {READY, DELAYED, OK},  # OK: a later item that is up to date
    _LEAVES_PENDING | {RUNNING},
    _LEAVES_PENDING | {INSPECTING, READY, WAITING},  # WAITING, here and below: of an adopted one, until its task opens
    frozenset({INSPECTING, READY, DELAYED, OK, FAILED, SKIPPED, CANCELLED, WAITING}),
    frozenset(),
    frozenset(),
    frozenset(),
    frozenset(),
    frozenset(),
)
"""Likewise for an instance of a mapped task."""

AttemptState = Literal["ahead", "queued", "running", "ok", "failed", "cancelled", "lost", "withdrawn"]

ATTEMPT_TABLE: Final[Mapping[AttemptState, frozenset[AttemptState]]] = {
    # Ahead: ordered, but holds nothing yet. It may be seen to run before its forerunner's end is told.
    "ahead": frozenset({"queued", "running", "ok", "failed", "cancelled", "lost", "withdrawn"}),
    # Queued: may turn out to be ahead still, when another order of its lane began first.
    "queued": frozenset({"ahead", "running", "ok", "failed", "cancelled", "lost", "withdrawn"}),
    "running": frozenset({"ok", "failed", "cancelled", "lost", "withdrawn"}),
    "ok": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "lost": frozenset(),
    "withdrawn": frozenset(),
}
"""By state of an attempt: the states that may follow. `withdrawn`: its end was charged to no budget."""


def is_settled(phase: int) -> bool:
    """Whether a task in this phase has ended for this run."""
    return OK <= phase <= CANCELLED
