"""A resume reads the documents of its run again only when they may say something else by now."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weft.assemble import loading, runs
from weft.assemble.loading import read_plan
from weft.assemble.run_settings import RunSettings
from weft.cli.session import Documents
from weft.errors import WeftError
from weft.formats.load import load
from weft.ports import RunEnding
from weft.store.archive import SqliteArchive

TASKS: dict[str, Any] = {"done": {"command": ["true"]}, "left": {"command": ["test", "-e", "needed"]}}


class Folder:
    """Plans are run here; `read` counts how often a resume read one again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.read = 0
        reload = runs.reload

        def counted(*given: Any) -> Any:
            self.read += 1
            return reload(*given)

        monkeypatch.setattr(runs, "reload", counted)

    def run(self, tasks: dict[str, Any] = TASKS, **more: Any) -> RunEnding:
        Path("plan.json").write_text(json.dumps({"weft": 1, "tasks": tasks, **more}), encoding="utf-8")
        how = Documents(("plan.json",), (), None, None, None, (), False, True, ()).recorded()
        found = read_plan(["plan.json"], ".weft", how, lambda: load(["plan.json"]))
        return runs.run(found.plan, RunSettings(recorded=how), (), found)

    def resume(self) -> RunEnding:
        Path("needed").touch()
        return runs.resume(None, None, RunSettings(state=os.path.abspath(".weft")), ())

    def attempts(self) -> dict[str, int]:
        with SqliteArchive(".weft") as archive:
            return {row.name: row.attempts for row in archive.tasks(archive.runs()[-1].run)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(monkeypatch)


def test_documents_that_are_as_they_were_are_not_read_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder.run().state == "failed"
    Path("elsewhere").mkdir()
    state = os.path.abspath(".weft")
    Path("needed").touch()
    with monkeypatch.context() as there:
        there.chdir("elsewhere")
        assert runs.resume(None, None, RunSettings(state=state), ()).state == "ok"
    assert folder.read == 0
    assert folder.attempts() == {"done": 1, "left": 2}


def other_text(patch: pytest.MonkeyPatch) -> None:
    Path("plan.json").write_text(Path("plan.json").read_text(encoding="utf-8") + " ", encoding="utf-8")


def other_weft(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loading, "__version__", "another")


def older_weft(patch: pytest.MonkeyPatch) -> None:
    """One that kept less of how documents were read."""
    patch.setattr(loading, "READING", (*loading.READING, "what else there may be"))


@pytest.mark.parametrize("change", [other_text, other_weft, older_weft])
def test_documents_that_may_say_something_else_are_read_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    folder.run()
    change(monkeypatch)
    assert folder.resume().state == "ok"
    assert folder.read == 1
    assert folder.attempts() == {"done": 1, "left": 2}


def test_a_change_of_a_document_counts(folder: Folder) -> None:
    folder.run()
    Path("plan.json").write_text(
        json.dumps({"weft": 1, "tasks": {**TASKS, "more": {"command": ["true"]}}}), encoding="utf-8"
    )
    assert folder.resume().state == "ok"
    assert folder.attempts() == {"done": 1, "left": 2, "more": 1}


def test_a_document_that_is_gone_is_told(folder: Folder) -> None:
    folder.run()
    Path("plan.json").unlink()
    with pytest.raises(WeftError, match=r"plan\.json"):
        folder.resume()
    assert folder.read == 1


def test_a_plan_with_values_is_read_again_because_they_are_not_stored(folder: Folder) -> None:
    folder.run(
        {"left": {"shell": 'test "$WORD" = secret -a -e needed', "environment": "values"}},
        environments={"values": {"variables": {"WORD": "secret"}}},
    )
    assert folder.resume().state == "ok"
    assert folder.read == 1
