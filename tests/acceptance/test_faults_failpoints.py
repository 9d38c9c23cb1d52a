"""Every failpoint that weft declares is hit by a death there, and a resume comes to the same end: reliability.md, section 5."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import Weft, check_no_overlap, read_ledger

EXPECTED = {
    "a": ("ok", None),
    "b": ("ok", None),
    "bad": ("failed", "exit:3"),
    "after": ("skipped", "dependency:bad"),
}

MIGRATION = "store.migrate.statement"
"""There is one schema so far: `tests/unit/test_store_sql.py` breaks a migration off at each of its statements."""


def tasks_of(ledger: Path) -> dict[str, Any]:
    line = f'echo "begin $WEFT_TASK $WEFT_ATTEMPT $$" >> {ledger}; echo "end $WEFT_TASK $WEFT_ATTEMPT $$" >> {ledger}'
    return {
        "a": {"shell": line},
        "b": {"shell": line, "dependencies": ["a"]},
        "bad": {"shell": f"{line}; exit 3"},
        "after": {"shell": line, "dependencies": ["bad"]},
    }


def at_run(weft: Weft, fault: str) -> int:
    return weft("run", "plan.json", WEFT_FAILPOINT=fault).returncode


def at_resume(weft: Weft, fault: str) -> int:
    """The engine dies half way, and then again at the resume."""
    assert weft("run", "plan.json", WEFT_FAILPOINT="engine.commit.after:kill:3").returncode == -signal.SIGKILL
    return weft("resume", WEFT_FAILPOINT=fault).returncode


WAYS: dict[str, Callable[[Weft, str], int]] = {
    "engine.commit.before": at_run,
    "engine.commit.after": at_run,
    "store.commit.before": at_run,
    "store.commit.written": at_run,
    "store.commit.after": at_run,
    "store.open.created": at_run,
    "store.open.ready": at_run,
    "store.own.locked": at_run,
    "resume.reopened": at_resume,
    "resume.replanned": at_resume,
    "resume.tasks": at_resume,
}


def declared(weft: Weft) -> set[str]:
    return {line.split()[0] for line in weft("doctor", "--failpoints").stdout.splitlines() if line}


def test_every_declared_failpoint_has_a_way_to_it(weft: Weft) -> None:
    assert declared(weft) == WAYS.keys() | {MIGRATION}


def comes_to_the_same_end(weft: Weft, ledger: Path) -> None:
    """After at most one more start, everything is as if nothing had happened, and nothing lived twice."""
    ended = weft("resume")
    if ended.returncode == 3:  # it died before a run was recorded: nothing had begun
        assert read_ledger(ledger) == []
        ended = weft("run", "plan.json")
    assert ended.returncode == 1, ended.stderr
    assert weft.states() == EXPECTED
    check_no_overlap(ledger, list(EXPECTED))


@pytest.mark.parametrize("point", sorted(WAYS))
def test_a_death_at_a_failpoint_is_resumed_to_the_same_end(weft: Weft, tmp_path: Path, point: str) -> None:
    ledger = tmp_path / "ledger"
    weft.plan(tasks_of(ledger))
    assert WAYS[point](weft, f"{point}:kill:1") == -signal.SIGKILL, "it was hit"
    comes_to_the_same_end(weft, ledger)


def test_five_deaths_in_recovery_change_nothing(weft: Weft, tmp_path: Path) -> None:
    """Row A8."""
    ledger = tmp_path / "ledger"
    weft.plan(tasks_of(ledger))
    assert weft("run", "plan.json", WEFT_FAILPOINT="engine.commit.after:kill:2").returncode == -signal.SIGKILL
    for point in (
        "resume.reopened",
        "store.own.locked",
        "resume.replanned",
        "resume.tasks",
        "engine.commit.before",
    ):
        assert weft("resume", WEFT_FAILPOINT=f"{point}:kill:1").returncode == -signal.SIGKILL, point
    comes_to_the_same_end(weft, ledger)
