"""Attributes that tasks give themselves while they run (workflows.md 5)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import weft
from weft import assemble
from weft.api.workflow_views import task_entries, workflow_of
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


def a_workflow(*places: str, name: str | None = None) -> weft.Workflow:
    tool = weft.Tool("survey")
    template = tool.get_task_template("tell", "{python} tell.py {place}", ["place"], op_args=["python"])
    workflow = tool.create_workflow("d5")
    attributes = {"place": "declared", "kept": "yes"}
    tasks = template.create_tasks(place=places, python=sys.executable, task_attributes=attributes, name=name)
    workflow.add_tasks(tasks)
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


def test_a_task_that_is_named_anew_by_a_resume_keeps_what_it_got(folder: Path) -> None:
    (folder / "tell.py").write_text(TELL + "import os\nsys.exit(sys.argv[1] == 'south' and os.path.exists('broken'))\n")
    (folder / "broken").touch()
    first = a_workflow("north", "south", "west")
    first.tasks[0].max_attempts = first.tasks[1].max_attempts = 1
    assert first.run() == "E"
    weft.add_task_attributes({"checked": True}, task_id=first.tasks[2].task_id)
    (folder / "broken").unlink()
    again = a_workflow("west", "south", "north", name="told")
    assert again.run(resume=True) == "D"
    assert [(task.name, task.task_attributes["place"]) for task in again.tasks] == [
        (f"told_place-{place}", place) for place in ("west", "south", "north")
    ]
    assert [task.task_attributes.get("checked") for task in again.tasks] == ["True", None, None]
    with assemble.archive(str(folder / ".weft")) as archive:
        entries = task_entries(workflow_of(archive, "d5"))
    assert {entry["name"]: entry["attributes"] for entry in entries} == {
        task.name: task.task_attributes for task in again.tasks
    }


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
