"""`--wait` over events of the system: a run goes on when its files come, and is not looking every second."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.assemble import heralding, session
from weft.assemble.run_settings import RunSettings
from weft.assemble.runs import run
from weft.files.changes import FileEvents, Polling
from weft.files.herald import Herald
from weft.files.search import Place
from weft.formats.load import load
from weft.spec.plan import Plan

pytest.importorskip("watchfiles")
LIMIT = 20.0  # seconds; less than the run looks by itself
TASKS = {
    "late": {"command": ["cp", "in/data", "out"], "requires": {"files": ["in/data"]}},
    "after": {"command": ["true"], "dependencies": ["late"]},
}


@pytest.fixture(autouse=True)
def nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(session, "HERALDED_SECONDS", 10 * LIMIT)
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "weft-herald"]


def plan_of(folder: Path) -> Plan:
    (folder / "plan.json").write_text(json.dumps({"weft": 1, "tasks": TASKS}), encoding="utf-8")
    return load([str(folder / "plan.json")], cwd=str(folder)).plan


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_file_that_comes_starts_the_task_that_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_folder: bool
) -> None:
    missed = threading.Event()
    begin = Herald.begin

    def begun(herald: Herald) -> None:
        begin(herald)
        missed.set()

    def come() -> None:
        assert missed.wait(LIMIT)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "part").write_text("x", encoding="utf-8")
        os.rename(tmp_path / "part", tmp_path / "in" / "data")

    monkeypatch.setattr(Herald, "begin", begun)
    if has_folder:
        (tmp_path / "in").mkdir()
    world = threading.Thread(target=come)
    world.start()
    ending = run(plan_of(tmp_path), RunSettings(jobs=1, wait=LIMIT), ())
    world.join()
    assert ending.state == "ok"
    assert (tmp_path / "out").read_text(encoding="utf-8") == "x"


def test_what_never_comes_is_skipped_when_the_time_is_over(tmp_path: Path) -> None:
    ending = run(plan_of(tmp_path), RunSettings(jobs=1, wait=0.3), ())
    assert (ending.state, ending.exit_code) == ("failed", 1)
    assert not (tmp_path / "out").exists()


def test_disks_that_tell_of_nothing_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(str(tmp_path), None)
    assert isinstance(heralding.open_changes([str(tmp_path)], place), FileEvents)
    monkeypatch.setattr(heralding, "file_system_of", lambda path: "nfs4")
    assert isinstance(heralding.open_changes([str(tmp_path)], place), Polling)


def test_a_run_without_waiting_or_without_events_has_no_herald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path)
    requests = session.Requests()
    try:
        for settings in (RunSettings(), RunSettings(wait=1.0, executor="noop")):
            assert heralding.make_herald(plan, [0, 1], settings, str(tmp_path), requests) is None
        assert heralding.make_herald(plan, [1], RunSettings(wait=1.0), str(tmp_path), requests) is None
        assert heralding.make_herald(plan, [0, 1], RunSettings(wait=1.0), str(tmp_path), requests) is not None
        monkeypatch.setattr(heralding, "has_events", lambda: False)
        assert heralding.make_herald(plan, [0, 1], RunSettings(wait=1.0), str(tmp_path), requests) is None
    finally:
        requests.close()
