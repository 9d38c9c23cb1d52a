"""Scripts that were written for Jobmon, as they run here: its own pages, resume, statuses, functions as tasks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weft.compat.jobmon.client import logging as client_logging
from weft.compat.jobmon.client import status_commands
from weft.compat.jobmon.client.api import Tool
from weft.compat.jobmon.core.constants import TaskStatus, WorkflowRunStatus
from weft.compat.jobmon.core.exceptions import (
    CallableReturnedInvalidObject,
    WorkflowAlreadyComplete,
    WorkflowAlreadyExists,
    WorkflowRunStateError,
)
from weft.errors import ArgumentError, StoreError, UsageError, WeftWarning

WORK = """
# `work.sh name ...` leaves a line in the ledger; it fails while there is a file `fail-<name>`.
echo "$*" >> ledger
if [ -e "fail-$1" ]; then echo "$1 went wrong" >&2; exit 3; fi
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith(("WEFT_", "JOBMON_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.sh").write_text(WORK, encoding="utf-8")
    (tmp_path / "weft.toml").write_text('[resources]\ncores = 4\nmemory = "32G"\n', encoding="utf-8")
    yield tmp_path


def lines(folder: Path) -> list[str]:
    path = folder / "ledger"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


# --- the page about tasks ----------------------------------------------------------------------------------------------------

PAGE = [
    """
template = tool.get_task_template(
    template_name="process_data",
    command_template="python process.py --input {input_file} --output {output_file}",
    node_args=["input_file"],      # Unique per task
    task_args=["output_file"],     # Unique per workflow run
    op_args=[],                    # Operational (script paths, etc.)
)
""",
    """
task = template.create_task(
    name="process_location_1",
    input_file="/data/loc_1.csv",
    output_file="/output/loc_1.csv",
    compute_resources={
        "cores": 2,
        "memory": "8G",
        "runtime": "1h",
    }
)
""",
    """
# Good: descriptive and unique
task = template.create_task(name=f"process_loc_{location_id}_year_{year}", ...)

# Bad: not unique
task = template.create_task(name="process", ...)
""",
    """
# task2 runs after task1 completes
task2.add_upstream(task1)
""",
    """
# aggregate_task waits for all process_tasks
for task in process_tasks:
    aggregate_task.add_upstream(task)
""",
    """
task2 = template.create_task(
    name="downstream",
    upstream_tasks=[task1, task3],
    ...
)
""",
    """
task = template.create_task(
    name="my_task",
    task_attributes={
        "location_id": 1,
        "model_version": "2.1"
    },
    ...
)
""",
    """
task = template.create_task(
    name="my_task",
    max_attempts=3,  # Retry up to 3 times
    ...
)
""",
    """
# Get resource usage for a completed task
usage = task.resource_usage()
print(f"Memory used: {usage['memory']} bytes")
print(f"Runtime: {usage['runtime']} seconds")
print(f"Attempts: {usage['num_attempts']}")
""",
]
"""Its blocks of code, as they stand there."""

PROCESS = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--input")
parser.add_argument("--output")
args = parser.parse_args()
with open("ledger", "a", encoding="utf-8") as ledger:
    ledger.write(f"{args.input} {args.output}\\n")
"""


class Script:
    """Blocks of one script. What the page leaves out (`...`) is `rest`: the template's arguments."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.run("from weft.compat.jobmon.client.api import Tool\ntool = Tool(name='pages')")

    def run(self, block: str, **given: Any) -> Any:
        self.names.update(given)
        exec(compile(re.sub(r"\.\.\.(?=\s*\))", "**rest", block), "page", "exec"), self.names)
        return self.names.get("task")

    def rest(self, number: int) -> dict[str, str]:
        return {"input_file": f"/data/{number}.csv", "output_file": f"/output/{number}.csv"}


def test_the_code_of_the_page_about_tasks_runs_as_it_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "process.py").write_text(PROCESS, encoding="utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    make, create, names, add, collect, waiting, attributes, retries, usage = PAGE
    script = Script()
    script.run(make)
    first = script.run(create)
    assert first.compute_resources == {"cores": 2, "memory": 8 << 30, "runtime": 3600.0}
    script.run(names, location_id=7, year=2020, rest=script.rest(2))
    third = script.names["template"].create_task(name="task3", **script.rest(3))
    script.run(waiting, task1=first, task3=third, rest=script.rest(4))
    second = script.names["task2"]
    assert second.upstream_tasks == {first, third}
    script.run(add)
    assert second.upstream_tasks == {first, third}
    described = script.run(attributes, rest=script.rest(5))
    assert described.task_attributes == {"location_id": "1", "model_version": "2.1"}
    stubborn = script.run(retries, rest=script.rest(6))
    assert stubborn.max_attempts == 3
    script.run(collect, process_tasks=[first, second, third], aggregate_task=stubborn)
    assert stubborn.upstream_tasks == {first, second, third}

    workflow = script.names["tool"].create_workflow(name="page", workflow_args="page")
    workflow.add_tasks([first, second, third, stubborn])
    with pytest.warns(WeftWarning, match="'my_task_2' for 'my_task'"):
        workflow.add_task(described)
    assert workflow.run() == "D"
    ran = lines(folder)
    assert sorted(ran) == sorted(f"/data/{each}.csv /output/{each}.csv" for each in ("loc_1", "3", "4", "5", "6"))
    assert ran.index("/data/4.csv /output/4.csv") > ran.index("/data/3.csv /output/3.csv")
    assert ran.index("/data/6.csv /output/6.csv") > ran.index("/data/4.csv /output/4.csv")
    script.run(usage, task=stubborn)
    told = capsys.readouterr().out
    assert re.fullmatch(r"Memory used: \d+ bytes\nRuntime: \d[\d.e-]* seconds\nAttempts: 1\n", told)


# --- the usual tutorial ------------------------------------------------------------------------------------------------------


def tutorial(folder: Path, locations: range = range(3), args: str = "tutorial", log_level: str = "INFO") -> Any:
    """Data preparation, one task for each location, one that sums them up."""
    tool = Tool(name="tutorial_tool")
    workflow = tool.create_workflow(name="tutorial", workflow_args=args)
    workflow.set_default_compute_resources_from_dict(
        cluster_name="multiprocess",
        dictionary={"queue": "null.q", "cores": 1, "memory": "1G", "runtime": "10m", "stdout": "out", "stderr": "err"},
    )
    workflow.set_default_cluster_name("multiprocess")
    prepare = tool.get_task_template(
        template_name="prepare",
        command_template="sh work.sh prepare {location_set} {root_dir} {log_level}",
        node_args=[],
        task_args=["location_set", "root_dir"],
        op_args=["log_level"],
    )
    fit = tool.get_task_template(
        template_name="fit",
        command_template="sh work.sh location-{location_id} {root_dir} {log_level}",
        node_args=["location_id"],
        task_args=["root_dir"],
        op_args=["log_level"],
    )
    summarize = tool.get_task_template(
        template_name="summarize",
        command_template="sh work.sh summary {root_dir} {log_level}",
        node_args=[],
        task_args=["root_dir"],
        op_args=["log_level"],
    )
    fit.update_default_compute_resources("multiprocess", cores=2)
    shared: dict[str, Any] = {"root_dir": "data", "log_level": log_level}
    preparing = prepare.create_task(name="prepare", upstream_tasks=[], location_set=5, **shared)
    workflow.add_tasks([preparing])
    workflow.add_tasks(fit.create_tasks(location_id=locations, max_attempts=2, **shared))
    summary = summarize.create_task(**shared)
    workflow.add_tasks([summary])
    for location in locations:
        (task,) = workflow.get_tasks_by_node_args("fit", location_id=location)
        task.add_upstream(preparing)
        summary.add_upstream(task)
    return workflow


def test_the_usual_tutorial_runs(folder: Path) -> None:
    workflow = tutorial(folder)
    (folder / "out").mkdir()
    (folder / "err").mkdir()
    workflow.bind()
    assert isinstance(workflow.workflow_id, int)
    assert workflow.get_tasks_by_node_args("fit", location_id=[0, 2])[1].compute_resources["cores"] == 2
    status = workflow.run()
    assert status == WorkflowRunStatus.DONE
    ran = lines(folder)
    assert ran[0] == "prepare 5 data INFO"
    assert sorted(ran[1:4]) == [f"location-{each} data INFO" for each in range(3)]
    assert ran[4:] == ["summary data INFO"]
    assert status.total_tasks == status.done_count == 5
    assert all(task.final_status == TaskStatus.DONE for task in workflow.tasks)
    again = tutorial(folder)
    with pytest.raises(WorkflowAlreadyComplete):
        again.run(resume=True)


def test_what_failed_is_resumed_and_nothing_else(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "err").mkdir()
    (folder / "fail-location-1").touch()
    workflow = tutorial(folder)
    status = workflow.run()
    assert status == WorkflowRunStatus.ERROR
    (failed,) = workflow.get_tasks_by_node_args("fit", location_id=1)
    assert status.failed_task_ids == [failed.task_id]
    assert failed.final_status == TaskStatus.ERROR_FATAL
    assert "went wrong" in failed.get_errors()["error_log"][0]["description"]
    assert list(workflow.get_errors()) == [failed.task_id]
    assert lines(folder).count("location-1 data INFO") == 2

    (folder / "fail-location-1").unlink()
    (folder / "ledger").unlink()
    with pytest.raises(WorkflowAlreadyExists):
        tutorial(folder).run()
    resumed = tutorial(folder, log_level="DEBUG")
    status = resumed.run(resume=True)
    assert status == "D"
    assert status.num_previously_complete == 3
    assert lines(folder) == ["location-1 data DEBUG", "summary data DEBUG"]
    assert resumed.workflow_id == workflow.workflow_id


def test_tasks_find_who_they_are(folder: Path) -> None:
    tool = Tool("who")
    template = tool.get_task_template("tell", "{command}", node_args=["command"])
    workflow = tool.create_workflow()
    (task,) = template.create_tasks(command=["env | grep ^JOBMON_ | sort > found"])
    workflow.add_task(task)
    workflow.bind()
    assert workflow.run() == "D"
    found = dict(line.split("=") for line in (folder / "found").read_text(encoding="utf-8").splitlines())
    (row,) = status_commands.task_status(task.task_id)
    assert found == {
        "JOBMON_TASK_ID": str(task.task_id),
        "JOBMON_TASK_INSTANCE_ID": str(row["TASK_INSTANCE_ID"]),
        "JOBMON_WORKFLOW_ID": str(workflow.workflow_id),
        "JOBMON_WORKFLOW_RUN_ID": str(workflow.last_workflow_run_id),
    }


def test_a_dummy_cluster_runs_nothing(folder: Path) -> None:
    workflow = tutorial(folder)
    workflow.set_default_cluster_name("dummy")
    with pytest.warns(WeftWarning, match="simulated"):
        assert workflow.run() == "D"
    assert lines(folder) == []


def test_on_the_cluster_sequential_tasks_run_one_by_one(folder: Path) -> None:
    tool = Tool("one_by_one")
    template = tool.get_task_template(
        "alone", "mkdir alone && echo {n} >> ledger && rmdir alone", node_args=["n"], default_cluster_name="sequential"
    )
    workflow = tool.create_workflow(default_max_attempts=1)
    workflow.add_tasks(template.create_tasks(n=range(6)))
    assert workflow.run(jobs=4) == "D"
    assert sorted(lines(folder)) == [str(n) for n in range(6)]


# --- functions that are asked for resources ----------------------------------------------------------------------------------


def asked_workflow(folder: Path) -> Any:
    def broken() -> dict[str, Any]:
        raise LookupError("no such table")

    tool = Tool("asked")
    template = tool.get_task_template("ask", "sh work.sh {name_}", node_args=["name_"])
    workflow = tool.create_workflow("asked")
    workflow.add_tasks(
        [
            template.create_task("text", name_="text", compute_resources_callable=lambda: "8G"),
            template.create_task("broken", name_="broken", compute_resources=broken),
            template.create_task("good", name_="good", compute_resources_callable=lambda: {"memory": "1G"}),
        ]
    )
    workflow.add_task(template.create_task("plain", name_="plain", upstream_tasks=[workflow.tasks[2]]))
    return workflow


@pytest.mark.parametrize("is_async", [False, True])
def test_a_wrong_answer_is_raised_once_everything_else_has_ended(folder: Path, is_async: bool) -> None:
    workflow = asked_workflow(folder)
    with pytest.raises(CallableReturnedInvalidObject) as caught:
        if is_async:
            asyncio.run(workflow.arun())
        else:
            workflow.run()
    assert "'text': a dict of compute resources is expected" in str(caught.value)
    assert "'broken'" in str(caught.value)
    assert "no such table" in str(caught.value)
    assert "'good'" not in str(caught.value)
    assert lines(folder) == ["good", "plain"]
    assert {task.name: (task.final_status, task.cause) for task in workflow.tasks} == {
        "text": ("F", "setup"),
        "broken": ("F", "setup"),
        "good": ("D", None),
        "plain": ("D", None),
    }
    text, broken, good, _ = workflow.tasks
    assert "CallableReturnedInvalidObject" in text.get_errors()["error_log"][0]["description"]
    described = workflow.task_errors["broken"]["error_log"][0]["description"]
    assert "CallableReturnedInvalidObject" in described
    assert "no such table" in described
    assert good.get_errors() is None
    assert set(workflow.get_errors()) == {text.task_id, broken.task_id}
    assert len(workflow.get_errors(limit=1)) == 1


def test_a_resume_with_right_answers_raises_nothing(folder: Path) -> None:
    with pytest.raises(CallableReturnedInvalidObject):
        asked_workflow(folder).run()
    tool = Tool("asked")
    template = tool.get_task_template("ask", "sh work.sh {name_}", node_args=["name_"])
    workflow = tool.create_workflow("asked")
    tasks = {name: template.create_task(name, name_=name) for name in ("text", "broken", "good", "plain")}
    tasks["plain"].add_upstream(tasks["good"])
    workflow.add_tasks(tasks.values())
    assert workflow.run(resume=True) == "D"
    assert sorted(lines(folder)) == ["broken", "good", "plain", "text"]


# --- functions as tasks ------------------------------------------------------------------------------------------------------

GENERATED = """
from weft.compat.jobmon import install

install()
from jobmon.client.api import Tool
from jobmon.core.task_generator import get_tasks_by_node_args
from shapes import draw

if __name__ == "__main__":
    tool = Tool("drawing")
    workflow = tool.create_workflow("drawing")
    workflow.add_tasks(draw.create_tasks(shape=["round", "a 'b' = {c}"], sizes=[[1, 2]]))
    (found,) = get_tasks_by_node_args(workflow, draw, {"shape": "round", "sizes": [1, 2]})
    found.max_attempts = 1
    print(workflow.run())
"""

SHAPES = '''
from typing import List, Optional

from jobmon.core.task_generator import task_generator


@task_generator(serializers={}, tool_name="drawing", naming_args=["shape"])
def draw(shape: str, sizes: List[int], color: Optional[str] = None) -> None:
    """Draws."""
    with open("ledger", "a", encoding="utf-8") as ledger:
        ledger.write(f"{shape} {sizes} {color}\\n")
'''


def test_functions_of_modules_that_import_the_original_run(folder: Path) -> None:
    """Their processes are not the one in which `install` was called."""
    (folder / "script.py").write_text(GENERATED, encoding="utf-8")
    (folder / "shapes.py").write_text(SHAPES, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert (found.stdout, found.stderr) == ("D\n", "")
    assert sorted(lines(folder)) == ["a 'b' = {c} [1, 2] None", "round [1, 2] None"]


# --- statuses ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(folder: Path) -> Any:
    """The tutorial, in which a location has failed."""
    (folder / "out").mkdir()
    (folder / "err").mkdir()
    (folder / "fail-location-1").touch()
    workflow = tutorial(folder)
    assert workflow.run() == "E"
    return workflow


def test_statuses_of_a_workflow_and_its_tasks(recorded: Any, folder: Path) -> None:
    number = recorded.workflow_id
    (row,) = status_commands.workflow_status(workflow_id=[number])
    assert {key: value for key, value in row.items() if key != "CREATED_DATE"} == {
        "WF_ID": number,
        "WF_NAME": "tutorial",
        "WF_STATUS": "F",
        "TASKS": 5,
        "PENDING": 1,
        "SCHEDULED": 0,
        "RUNNING": 0,
        "DONE": 3,
        "FATAL": 1,
        "RETRIES": 1,
    }
    assert json.loads(status_commands.workflow_status(json=True)) == [row]
    assert status_commands.workflow_status(user="nobody-of-that-name") == []
    assert status_commands.workflow_status(limit=0) == []
    tasks = status_commands.workflow_tasks(number, limit=-1)
    assert len(tasks) == 5
    assert len(status_commands.workflow_tasks(number, limit=2)) == 2
    (fatal,) = status_commands.workflow_tasks(number, status=["fatal"])
    (failed,) = recorded.get_tasks_by_node_args("fit", location_id=1)
    assert fatal == {"TASK_ID": failed.task_id, "TASK_NAME": failed.name, "STATUS": "FATAL", "RETRIES": 1}
    with pytest.raises(UsageError, match="no status"):
        status_commands.workflow_tasks(number, status="FATLA")


def test_attempts_dependencies_and_logs_of_tasks(recorded: Any, folder: Path) -> None:
    (failed,) = recorded.get_tasks_by_node_args("fit", location_id=1)
    summary = recorded.tasks[-1]
    attempts = status_commands.task_status([failed.task_id])
    assert [each["STATUS"] for each in attempts] == ["FATAL", "FATAL"]
    assert "went wrong" in attempts[0]["ERROR_TRACE"]
    (never,) = status_commands.task_status(summary.task_id)
    assert (never["task_status"], never["STATUS"], never["TASK_INSTANCE_ID"]) == ("G", "PENDING", None)
    assert status_commands.task_status([failed.task_id, summary.task_id], status=["DONE"]) == []
    found = status_commands.get_task_dependencies(failed.task_id)
    assert [each["name"] for each in found["up"]] == ["prepare"]
    assert found["down"] == [{"id": summary.task_id, "name": summary.name, "status": "G"}]
    (paths,) = status_commands.get_filepaths(recorded.workflow_id, array_name="fit", job_name="location_id-1")
    with open(paths["ERROR_PATH"], "rb") as file:
        file.seek(paths["ERROR_OFFSET"])
        assert file.read(paths["ERROR_LENGTH"]) == b"location-1 went wrong\n"


def test_a_workflow_is_resumed_by_its_number(recorded: Any, folder: Path) -> None:
    number = recorded.workflow_id
    with pytest.raises(WorkflowRunStateError, match="status E"):
        status_commands.resume_workflow_from_id(number, "multiprocess", log=False)
    (folder / "fail-location-1").unlink()
    assert status_commands.resume_workflow_from_id(workflow_id=number, cluster_name="multiprocess", log=False) == "D"
    assert lines(folder)[-1] == "summary data INFO"
    with pytest.raises(WorkflowAlreadyComplete):
        status_commands.workflow_resume(number, log=False)


def test_a_workflow_is_reset(recorded: Any, folder: Path) -> None:
    number = recorded.workflow_id
    (folder / "fail-location-1").unlink()
    assert status_commands.workflow_reset(number, partial_reset=True) == f"Workflow {number} has been reset."
    (row,) = status_commands.workflow_status(number)
    assert (row["DONE"], row["FATAL"], row["PENDING"]) == (3, 0, 2)
    status_commands.workflow_reset(number)
    (row,) = status_commands.workflow_status(number)
    assert (row["DONE"], row["PENDING"]) == (0, 5)


def test_statuses_of_tasks_are_changed(recorded: Any, folder: Path) -> None:
    number = recorded.workflow_id
    (failed,) = recorded.get_tasks_by_node_args("fit", location_id=1)
    summary = recorded.tasks[-1]
    assert "1 tasks marked as done" in status_commands.update_task_status([failed.task_id], number, "D")
    assert "1 tasks" in status_commands.update_task_status(summary.task_id, number, new_status="D", recursive=True)
    (row,) = status_commands.workflow_status(number)
    assert (row["WF_STATUS"], row["DONE"]) == ("D", 5)
    told = status_commands.update_task_status([failed.task_id], number, "G")
    assert "2 tasks to run again" in told  # what follows it, too
    with pytest.raises(ArgumentError, match="'D' or 'G'"):
        status_commands.update_task_status([failed.task_id], number, "F")


def test_limits_change_and_what_was_used_is_told(recorded: Any, folder: Path) -> None:
    number = recorded.workflow_id
    assert "0 tasks of workflow" in status_commands.concurrency_limit(number, 0)
    assert "template 'fit'" in status_commands.concurrency_limit(number, max_tasks=3, template="fit")
    fit = recorded.arrays["fit"].task_template.id
    assert "template 'fit'" in status_commands.concurrency_limit(number, max_tasks=3, template=fit[:8])
    with pytest.raises(ArgumentError):
        status_commands.concurrency_limit(number, -1)
    usage = status_commands.task_template_resources("fit", workflows=[number], node_args={"location_id": [0, 1]})
    assert status_commands.task_template_resources(fit, [number], {"location_id": [0, 1]}) == usage
    assert usage["num_tasks"] == 1
    assert usage["min_mem"] > 0
    with pytest.raises(UsageError, match="no task template 'fti'"):
        status_commands.task_template_resources("fti")
    yaml = pytest.importorskip("yaml")
    written = yaml.safe_load(status_commands.create_resource_yaml(number, clusters=["slurm"]))
    assert set(written["task_template_resources"]) == {"prepare", "fit"}
    assert set(written["task_template_resources"]["fit"]) == {"slurm"}
    (done,) = recorded.get_tasks_by_node_args("fit", location_id=0)
    only = yaml.safe_load(status_commands.create_resource_yaml(tid=done.task_id))
    assert set(only["task_template_resources"]) == {"fit"}


def test_state_elsewhere_is_found_when_it_is_named(folder: Path) -> None:
    tool = Tool("elsewhere")
    workflow = tool.create_workflow("elsewhere")
    workflow.add_task(tool.get_task_template("say", "sh work.sh {word}", ["word"]).create_task(word="here"))
    assert workflow.run(state="other") == "D"
    with pytest.raises(StoreError):
        status_commands.workflow_status()
    assert len(status_commands.workflow_status(state="other")) == 1


# --- logging -----------------------------------------------------------------------------------------------------------------


def test_progress_is_told_after_client_logging_was_configured(folder: Path) -> None:
    code = """
from weft.compat.jobmon.client.api import Tool
from weft.compat.jobmon.client.logging import configure_client_logging
tool = Tool("loud")
say = tool.get_task_template("say", "sh work.sh {word}", ["word"])
for args, words in (("quiet", "a"), ("loud", "b")):
    workflow = tool.create_workflow(args)
    workflow.add_task(say.create_task(word=words))
    workflow.run()
    configure_client_logging()
"""
    assert not client_logging.is_configured()
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert "say_word-b: ok" in found.stdout
    assert "say_word-a" not in found.stdout
    assert found.stderr == ""
