"""The vocabulary of what is recorded: the scheduler's facts, and those that only an owner of a run can state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    ReopenTask,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.scheduling.outcomes import RunState


class OwnRun(NamedTuple):
    """An owner has taken the run under this epoch. since: wall clock seconds."""

    epoch: int
    host: str
    pid: int
    since: float


class ChangePlan(NamedTuple):
    """The run goes on with another plan. moved: new index of each old task that stays; the others are gone."""

    moved: Mapping[int, int]


class EndRun(NamedTuple):
    """The run is over."""

    state: RunState
    exit_code: int | None
    ended: float


class CountReceipts(NamedTuple):
    """Receipts have been counted up to these offsets: file -> bytes."""

    offsets: Mapping[str, int]


Fact = (
    StartAttempt
    | BeginAttempt
    | CloseAttempt
    | SettleTask
    | SettleInstance
    | TakeItems
    | AddItems
    | ReopenTask
    | ExplainTask
    | OwnRun
    | ChangePlan
    | EndRun
    | CountReceipts
)
