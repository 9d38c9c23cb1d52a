"""The letters and labels of workflows.md 7: a view of weft's own states, never stored. One function for each kind of object."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from weft.scheduling.outcomes import (
    CANCELLED,
    INTERRUPTED,
    LOST,
    NOT_FOUND,
    RESOURCE_CAUSES,
    SETUP,
    TYPE,
    RunState,
    TaskState,
    kind,
)

if TYPE_CHECKING:
    from weft.ports import AttemptRow

NEVER_RETRIED: Final = frozenset({NOT_FOUND, SETUP, TYPE})

LABELS: Final = MappingProxyType(
    {
        **dict.fromkeys("GQIAE", "PENDING"),
        "O": "SCHEDULED",
        "R": "RUNNING",
        "D": "DONE",
        "F": "FATAL",
    }
)
"""What people read for the letter of a task."""

DONE: Final = "D"
FAILED: Final = "E"
STOPPED: Final = "S"

WORKFLOW_LETTERS: Final = "GQRDHFA"
"""Of workflows, in the order in which they come about."""

RESUMABLE: Final = frozenset("GQHFA")
"""Workflows that a resume takes up; a running one, too, once its owner lets go."""


def task_letter(state: TaskState, last: AttemptRow | None = None, *, is_ready: bool = False) -> str:
    """Of a task. last: its latest attempt. is_ready: all that it waits for is done, and an engine queues it."""
    if state == "ok":
        return "D"
    if state == "failed":
        return "F"
    if state in ("skipped", "cancelled"):
        return "G"
    if last is not None and last.state == "running":
        return "R"
    if last is not None and last.state == "queued":
        return "O"
    if state == "running":
        return "R"
    if last is not None and last.retry is not None:  # without one it begins anew: it was reset, or is being resumed
        return "A" if kind(last.cause or "") in RESOURCE_CAUSES else "E"
    return "Q" if is_ready else "G"


def attempt_letter(state: str, cause: str | None = None) -> str:
    """Of an attempt, by its recorded state and cause."""
    if state == "ok":
        return "D"
    if state == "running":
        return "R"
    if state == "queued":
        return "O"
    name = kind(cause or "")
    if state == "lost" or name == LOST:
        return "U"
    if state == "cancelled" or name in (CANCELLED, INTERRUPTED):
        return "K"
    if name in RESOURCE_CAUSES:
        return "Z"
    return "F" if name in NEVER_RETRIED else "E"


def run_letter(state: RunState, *, is_owned: bool, has_started: bool = True) -> str:
    """Of one execution of a workflow. is_owned: whether an engine that carries it lives. has_started: any attempt."""
    if state == "running":
        return "R" if is_owned else "T"
    if state == "ok":
        return DONE
    if state == "failed":
        return FAILED
    return STOPPED if has_started else "B"


def workflow_letter(
    state: RunState,
    *,
    is_owned: bool = False,
    has_started: bool = True,
    exit_code: int | None = None,
    is_complete: bool = False,
) -> str:
    """Of a workflow, by its recorded run. exit_code: of that run; None when nobody ever ran it, or its engine was lost.

    is_complete: all tasks are done, as they may be though the run was interrupted, or its engine lost.
    """
    if is_complete and not is_owned:
        return "D"
    if state == "running":
        if is_owned:
            return "R" if has_started else "Q"
        return "H" if has_started else "A"
    if state == "ok":
        return "D"
    if not has_started:
        return "G" if exit_code is None else "A"
    return "F" if state == "failed" else "H"


def result_letter(state: RunState) -> str:
    """What `workflow.run()` gives: `D`, `E`, or `S` for one that was stopped on request."""
    return {"ok": DONE, "interrupted": STOPPED}.get(state, FAILED)


def label(letter: str) -> str:
    """PENDING, SCHEDULED, RUNNING, DONE, FATAL."""
    return LABELS[letter]
