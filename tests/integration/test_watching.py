"""What a round of `weft watch` is shown, with files whose times say whether they are whole."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weft.assemble.run_settings import RunSettings
from weft.assemble.watching import RoundSieve, Watching, WatchSettings
from weft.errors import UsageError
from weft.files.search import Place
from weft.files.watched import Outputs
from weft.formats.load import load
from weft.ports import RunEnding
from weft.spec.actions import Command
from weft.spec.tasks import Dependency, Task

LONG = 1000.0  # seconds: what was written within them may still be written


class Script:
    """Changes that the test makes itself, one each time that somebody waits."""

    def __init__(self, *steps: Callable[[], object]):
        self.steps = list(steps)
        self.is_closed = False

    def wait(self, seconds: float | None) -> bool:
        self.steps.pop(0)()
        return True

    def close(self) -> None:
        self.is_closed = True


def age(path: Path, seconds: float = 2 * LONG) -> None:
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def put(path: Path, text: str = "x", *, is_whole: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if is_whole:
        age(path)


def watching(folder: Path, tasks: dict[str, Any], *steps: Callable[[], object], settle: float = LONG) -> Watching:
    (folder / "plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    plan = load([str(folder / "plan.json")], cwd=str(folder)).plan
    return Watching(plan, RunSettings(jobs=2), WatchSettings(settle=settle), lambda _: None, Script(*steps))


def lines(folder: Path) -> list[str]:
    return sorted((folder / "ledger").read_text(encoding="utf-8").splitlines())


EACH = {
    "each": {
        "shell": 'echo "$WEFT_FILE" >> ledger',
        "requires": {"folders": ["in"]},
        "foreach": {"files": True},
    }
}


def test_a_file_that_is_still_written_waits_for_a_later_round(tmp_path: Path) -> None:
    put(tmp_path / "in" / "whole")
    put(tmp_path / "in" / "part", is_whole=False)

    def rename() -> None:
        put(tmp_path / "part")
        os.rename(tmp_path / "part", tmp_path / "in" / "part")

    with watching(tmp_path, EACH, lambda: None, rename) as watched:
        assert watched.wait() == "round 1: in/whole is new"
        assert watched.run([]).state == "ok"
        assert lines(tmp_path) == ["in/whole"]
        assert watched.wait() == "round 2: in/part is new"
        assert watched.run([]).state == "ok"
    assert lines(tmp_path) == ["in/part", "in/whole"]


def test_a_file_that_was_touched_is_looked_at_and_not_worked_on(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a"
    put(path)
    with watching(tmp_path, EACH, lambda: age(path), lambda: put(path, "other")) as watched:
        watched.wait()
        watched.run([])
        assert watched.wait() == "round 2: in/a has changed"
        watched.run([])
        assert lines(tmp_path) == ["in/a"]
        watched.wait()
        watched.run([])
    assert lines(tmp_path) == ["in/a", "in/a"]


def test_what_a_task_has_just_made_is_whole_for_those_that_follow_it(tmp_path: Path) -> None:
    tasks = {
        "make": {"shell": "mkdir -p in && cp start in/made", "requires": {"files": ["start"]}},
        "each": {**EACH["each"], "dependencies": ["make"]},
    }
    put(tmp_path / "start")
    with watching(tmp_path, tasks) as watched:
        watched.wait()
        assert watched.run([]).state == "ok"
    assert lines(tmp_path) == ["in/made"]


def test_what_others_write_while_a_round_runs_counts_for_followers_when_it_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = tmp_path / "in" / "part", tmp_path / "in" / "made"
    put(path, is_whole=False)
    put(made, is_whole=False)
    place = Place(str(tmp_path), str(tmp_path / ".weft"))
    follower = Task("b", Command(("true",)), dependencies=(Dependency("a"),))
    own = Outputs([Task("a", Command(("true",)), outputs=("in/made",))], place)
    sieve = RoundSieve({}, frozenset(), {}, place, own)

    monkeypatch.setattr(time, "sleep", lambda seconds: put(path, "more", is_whole=False))
    assert not sieve.shows(follower, str(path))
    assert sieve.shows(follower, str(made))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert sieve.shows(follower, str(path))
    assert not sieve.shows(Task("first", Command(("true",))), str(path))


def test_a_declared_output_starts_nothing(tmp_path: Path) -> None:
    tasks = {
        "each": {
            **EACH["each"],
            "shell": 'echo "$WEFT_FILE" >> ledger; cp -p "$WEFT_FILE" in/out',
            "outputs": ["in/out"],
        }
    }
    put(tmp_path / "in" / "a")
    with watching(tmp_path, tasks, lambda: None, lambda: put(tmp_path / "in" / "b")) as watched:
        watched.wait()
        watched.run([])
        assert watched.wait() == "round 2: in/b is new"


def test_a_signal_that_comes_after_the_end_of_a_round_ends_the_watching(tmp_path: Path) -> None:
    class Late:
        def run_ended(self, ending: RunEnding) -> None:
            signal.raise_signal(signal.SIGINT)

        def __getattr__(self, name: str) -> Any:
            return lambda *told: None

    put(tmp_path / "in" / "a")
    with watching(tmp_path, EACH) as watched:
        watched.wait()
        ending = watched.run([Late()])
    assert (ending.state, ending.exit_code) == ("ok", 130)


def test_a_plan_that_requires_no_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing to watch"):
        watching(tmp_path, {"a": {"command": ["true"]}})


def test_watching_ends_with_its_context(tmp_path: Path) -> None:
    with watching(tmp_path, EACH) as watched:
        changes = watched._changes
    assert isinstance(changes, Script) and changes.is_closed
