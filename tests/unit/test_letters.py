"""The letters of workflows.md 7."""

from __future__ import annotations

from typing import Any

import pytest

from weft.api import letters
from weft.ports import AttemptRow
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, NO_USAGE, Request


def attempt(state: str, cause: str | None = None, retry: str | None = None) -> AttemptRow:
    return AttemptRow(
        AttemptKey(0, WHOLE, 1),
        1,
        state,
        cause,
        None,
        None,
        None,
        NO_USAGE,
        Request(()),
        NO_OUTPUT,
        NO_OUTPUT,
        None,
        retry,
        True,
    )


@pytest.mark.parametrize(
    ("letter", "state", "last", "is_ready"),
    [
        ("G", "pending", None, False),
        ("Q", "pending", None, True),
        ("O", "pending", attempt("queued"), True),
        ("O", "running", attempt("queued"), True),
        ("R", "running", attempt("running"), True),
        ("R", "running", None, True),
        ("D", "ok", attempt("ok"), True),
        ("D", "ok", None, True),
        ("F", "failed", attempt("failed", "exit:1"), True),
        ("A", "pending", attempt("failed", "memory", "memory 1G -> 1.5G"), True),
        ("A", "pending", attempt("failed", "timeout", "timeout 1s -> 1.5s"), True),
        ("E", "pending", attempt("failed", "exit:3", "exit:3"), True),
        ("E", "pending", attempt("lost", "lost", "lost"), True),
        ("Q", "pending", attempt("failed", "exit:3"), True),  # was reset, or is resumed: it begins anew
        ("G", "pending", attempt("failed", "memory"), False),
        ("Q", "pending", attempt("cancelled", "interrupted"), True),
        ("G", "skipped", None, False),
        ("G", "cancelled", attempt("cancelled", "cancelled"), True),
    ],
)
def test_a_task_has_the_letter_of_its_state_and_latest_attempt(
    letter: str, state: Any, last: AttemptRow | None, is_ready: bool
) -> None:
    assert letters.task_letter(state, last, is_ready=is_ready) == letter


@pytest.mark.parametrize(
    ("letter", "state", "cause"),
    [
        ("O", "queued", None),
        ("R", "running", None),
        ("D", "ok", None),
        ("Z", "failed", "memory"),
        ("Z", "failed", "timeout"),
        ("U", "lost", "lost"),
        ("K", "cancelled", "cancelled"),
        ("K", "cancelled", "interrupted"),
        ("E", "failed", "exit:2"),
        ("E", "failed", "signal:KILL"),
        ("F", "failed", "not_found"),
        ("F", "failed", "setup"),
        ("F", "failed", "type"),
    ],
)
def test_an_attempt_has_the_letter_of_its_end(letter: str, state: str, cause: str | None) -> None:
    assert letters.attempt_letter(state, cause) == letter


@pytest.mark.parametrize(
    ("letter", "state", "is_owned", "has_started"),
    [
        ("R", "running", True, True),
        ("T", "running", False, True),
        ("D", "ok", False, True),
        ("E", "failed", False, True),
        ("S", "interrupted", False, True),
        ("S", "cancelled", False, True),
        ("B", "interrupted", False, False),
    ],
)
def test_a_run_has_the_letter_of_its_end_or_of_its_owner(
    letter: str, state: Any, is_owned: bool, has_started: bool
) -> None:
    assert letters.run_letter(state, is_owned=is_owned, has_started=has_started) == letter


@pytest.mark.parametrize(
    ("letter", "state", "is_owned", "has_started", "exit_code"),
    [
        ("G", "interrupted", False, False, None),
        ("Q", "running", True, False, None),
        ("R", "running", True, True, None),
        ("D", "ok", False, True, 0),
        ("H", "interrupted", False, True, 130),
        ("H", "cancelled", False, True, 1),
        ("H", "running", False, True, None),
        ("F", "failed", False, True, 1),
        ("A", "interrupted", False, False, 130),
        ("A", "running", False, False, None),
    ],
)
def test_a_workflow_has_the_letter_of_its_recorded_run(
    letter: str, state: Any, is_owned: bool, has_started: bool, exit_code: int | None
) -> None:
    found = letters.workflow_letter(state, is_owned=is_owned, has_started=has_started, exit_code=exit_code)
    assert found == letter


@pytest.mark.parametrize(("state", "exit_code"), [("interrupted", 130), ("running", None), ("cancelled", 1), ("ok", 0)])
def test_a_workflow_of_which_all_is_done_is_done_however_its_run_ended(state: Any, exit_code: int | None) -> None:
    assert letters.workflow_letter(state, exit_code=exit_code, is_complete=True) == "D"
    assert letters.workflow_letter("running", is_owned=True, is_complete=True) == "R"


def test_every_letter_of_a_task_has_a_label() -> None:
    assert {letter: letters.label(letter) for letter in "GQIAEORDF"} == {
        "G": "PENDING",
        "Q": "PENDING",
        "I": "PENDING",
        "A": "PENDING",
        "E": "PENDING",
        "O": "SCHEDULED",
        "R": "RUNNING",
        "D": "DONE",
        "F": "FATAL",
    }


def test_all_but_finished_workflows_can_be_resumed() -> None:
    assert "D" not in letters.RESUMABLE
    assert set("GHFA") <= letters.RESUMABLE
