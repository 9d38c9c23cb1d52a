"""Attributes that tasks give themselves while they run (workflows.md 5)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import weft
from weft.errors import ArgumentError, UsageError

TELL = """
import sys, weft
weft.add_task_attributes({"place": sys.argv[1], 3: 4.5, "seen": None})
weft.add_task_attributes(["late"])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith(("WEFT_", "JOBMON_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tell.py").write_text(TELL, encoding="utf-8")
    yield tmp_path


def a_workflow(*places: str) -> weft.Workflow:
    tool = weft.Tool("survey")
    template = tool.get_task_template("tell", "{python} tell.py {place}", ["place"], op_args=["python"])
    workflow = tool.create_workflow("d5")
    attributes = {"place": "declared", "kept": "yes"}
    workflow.add_tasks(template.create_tasks(place=places, python=sys.executable, task_attributes=attributes))
    return workflow


def test_a_task_gives_itself_attributes() -> None:
    workflow = a_workflow("a b", "south")
    assert workflow.run() == "D"
    told = {task.values["place"]: task.task_attributes for task in workflow.tasks}
    assert told == {
        place: {"place": place, "kept": "yes", "3": "4.5", "seen": None, "late": None} for place in ("a b", "south")
    }
    again = a_workflow("a b", "south")
    assert again.tasks[0].task_attributes == {"place": "declared", "kept": "yes"}


def test_state_elsewhere_is_found_by_the_task(folder: Path) -> None:
    workflow = a_workflow("north")
    assert workflow.run(state="other/state") == "D"
    assert workflow.tasks[0].task_attributes["place"] == "north"
    assert not (folder / ".weft").exists()


def test_a_task_is_given_attributes_by_its_number() -> None:
    workflow = a_workflow("north", "south")
    workflow.bind()
    first, second = workflow.tasks
    weft.add_task_attributes({"checked": True}, task_id=second.task_id)
    assert second.task_attributes == {"place": "declared", "kept": "yes", "checked": "True"}
    assert first.task_attributes == {"place": "declared", "kept": "yes"}
    assert workflow.run() == "D"
    assert second.task_attributes["checked"] == "True"
    assert second.task_attributes["place"] == "south"
    weft.add_task_attributes(["late"], task_id=second.task_id)
    assert second.task_attributes["late"] is None
    with pytest.raises(UsageError, match="no task"):
        weft.add_task_attributes({"checked": True}, task_id=second.task_id + 1000)


def test_what_is_declared_later_is_not_mixed_with_it() -> None:
    workflow = a_workflow("north")
    assert workflow.run() == "D"
    (task,) = workflow.tasks
    task.add_attribute("kept", "no")
    assert task.task_attributes["kept"] == "no"
    assert task.task_attributes["place"] == "north"


def test_outside_of_a_task_its_number_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for task_id in (None, True, "1"):
        with pytest.raises(ArgumentError, match="task_id"):
            weft.add_task_attributes({"a": 1}, task_id)  # type: ignore[arg-type]
    monkeypatch.setenv("WEFT_RUN_ID", "f" * 32)
    monkeypatch.setenv("WEFT_TASK", "x")
    monkeypatch.setenv("WEFT_SCRATCH", "/elsewhere")
    with pytest.raises(ArgumentError, match="task_id"):
        weft.add_task_attributes({"a": 1})


@pytest.mark.parametrize("attributes", ["text", 3, {("",): 1}.keys(), {"": 1}])
def test_other_kinds_are_refused(attributes: object) -> None:
    with pytest.raises(ArgumentError, match="task_attributes"):
        weft.add_task_attributes(attributes, 1)  # type: ignore[arg-type]
