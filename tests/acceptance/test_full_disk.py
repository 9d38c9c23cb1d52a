"""A state disk without room: the run waits for it and loses nothing (reliability.md R13)."""

from __future__ import annotations

import pytest

from support.weft_process import Weft


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_commit_that_finds_no_room_is_made_when_there_is_some(weft: Weft, nth: int) -> None:
    weft.plan({"a": {"command": ["true"]}, "b": {"command": ["true"], "dependencies": ["a"]}})
    ended = weft("run", "plan.json", WEFT_FAILPOINT=f"store.commit.before:ENOSPC:{nth}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("nothing new starts: ") == 1
    assert "No space left on device" in ended.stderr and "weft.db" in ended.stderr
    assert weft.states() == {"a": ("ok", None), "b": ("ok", None)}


def test_a_commit_that_fails_for_another_reason_ends_the_run_and_resume_goes_on(weft: Weft) -> None:
    weft.plan({"a": {"command": ["true"]}, "b": {"command": ["true"], "dependencies": ["a"]}})
    ended = weft("run", "plan.json", WEFT_FAILPOINT="engine.commit.before:EIO:2")
    assert ended.returncode != 0
    assert weft("resume").returncode == 0
    assert weft.states() == {"a": ("ok", None), "b": ("ok", None)}
