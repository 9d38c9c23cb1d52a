"""The import paths of Jobmon: what they hold, and what is stricter or more lenient there than in weft's own API."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

import weft
from weft.api.workflow import Workflow as OwnWorkflow
from weft.cli.main import OLD_NAMES
from weft.cli.main import weft as weft_command
from weft.compat import jobmon
from weft.compat.jobmon.client.api import Tool
from weft.compat.jobmon.client.array import Array
from weft.compat.jobmon.client.task import Task
from weft.compat.jobmon.client.task_template import TaskTemplate
from weft.compat.jobmon.client.units import MemUnit, TimeUnit
from weft.compat.jobmon.client.workflow import Workflow
from weft.compat.jobmon.core import constants
from weft.compat.jobmon.core.task_generator import TaskGenerator, get_tasks_by_node_args, task_generator
from weft.define.task_generators import task_generator as own_task_generator
from weft.errors import (
    ArgumentError,
    DuplicateNodeArgsError,
    InvalidMemoryFormat,
    InvalidMemoryUnit,
    WeftError,
    WeftWarning,
)

NAMES = {
    "client.api": "Tool add_task_attributes task_status workflow_status workflow_tasks",
    "client.tool": "Tool",
    "client.task_template": "TaskTemplate",
    "client.task": "Task",
    "client.workflow": "Workflow",
    "client.array": "Array",
    "client.units": "MemUnit TimeUnit",
    "client.logging": "configure_client_logging",
    "client.status_commands": (
        "workflow_status workflow_tasks workflow_resume workflow_reset concurrency_limit get_filepaths "
        "task_template_resources create_resource_yaml task_status task_dependencies update_task_status "
        "resume_workflow_from_id get_task_dependencies"
    ),
    "core.constants": "TaskStatus TaskInstanceStatus WorkflowRunStatus WorkflowStatus MaxConcurrentlyRunning",
    "core.exceptions": (
        "WorkflowAlreadyExists WorkflowAlreadyComplete WorkflowNotResumable DuplicateNodeArgsError "
        "NodeDependencyNotExistError CyclicGraphError CallableReturnedInvalidObject InvalidMemoryFormat InvalidMemoryUnit "
        "EmptyWorkflowError DistributorNotAlive DistributorStartupTimeout DistributorInterruptedError InvalidResponse "
        "ConfigError"
    ),
    "core.task_generator": "task_generator TaskGenerator get_tasks_by_node_args",
}
"""The table of workflows.md 8."""

BUILTIN = {
    "WorkflowAlreadyExists": RuntimeError,
    "WorkflowAlreadyComplete": RuntimeError,
    "WorkflowNotResumable": RuntimeError,
    "DuplicateNodeArgsError": ValueError,
    "NodeDependencyNotExistError": ValueError,
    "CyclicGraphError": ValueError,
    "InvalidMemoryFormat": ValueError,
    "InvalidMemoryUnit": ValueError,
    "EmptyWorkflowError": RuntimeError,
}


def template(**options: Any) -> Any:
    return Tool("survey").get_task_template("fit", "fit {place} {data}", ["place"], ["data"], **options)


# --- what is there -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", NAMES)
def test_a_module_holds_the_names_that_are_promised(module: str) -> None:
    found = import_module(f"weft.compat.jobmon.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


def test_every_module_is_one_that_install_knows() -> None:
    folder = Path(jobmon.__file__).parent
    there = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for part in ("client", "core")
        for path in (folder / part).glob("*.py")
    }
    assert {name.removesuffix(".__init__") for name in there} == set(jobmon.MODULES)


@pytest.mark.parametrize("name", NAMES["core.exceptions"].split())
def test_exceptions_are_those_of_weft(name: str) -> None:
    found = getattr(import_module("weft.compat.jobmon.core.exceptions"), name)
    assert found is getattr(import_module("weft.errors"), name)
    assert issubclass(found, WeftError)
    assert issubclass(found, BUILTIN.get(name, Exception))


OWN = {"Tool": weft.Tool, "TaskTemplate": weft.TaskTemplate, "Task": weft.WorkflowTask, "Workflow": OwnWorkflow}
OTHER_SIGNATURES = {
    "set_default_max_attempts",  # `value`
    "set_default_compute_resources_from_yaml",  # its order, and `cluster_name`
    "set_default_resource_scales_from_yaml",
}


@pytest.mark.parametrize("made", [Tool, TaskTemplate, Task, Workflow], ids=lambda made: str(made.__name__))
def test_methods_have_the_signatures_of_weft(made: type) -> None:
    own = OWN[made.__name__]
    assert issubclass(made, own)
    compared = 0
    for name, method in vars(made).items():
        if name.startswith("_") or not inspect.isfunction(method) or name in OTHER_SIGNATURES:
            continue
        if hasattr(own, name):
            there, here = (
                [(each.name, each.kind, each.default) for each in inspect.signature(found).parameters.values()]
                for found in (getattr(own, name), method)
            )
            assert here == there, name
            compared += 1
    assert compared > 0 or made in (Task, TaskTemplate)


def test_a_generator_takes_the_keywords_of_weft() -> None:
    assert inspect.signature(task_generator) == inspect.signature(own_task_generator).replace(
        return_annotation=inspect.signature(task_generator).return_annotation
    )


def test_everything_that_comes_from_a_tool_is_of_these_classes() -> None:
    tool = Tool("survey")
    fit = tool.get_task_template("fit", "fit {place}", ["place"])
    workflow = tool.create_workflow("d5")
    tasks = fit.create_tasks(place=[1, 2])
    workflow.add_tasks(tasks)
    assert [type(each) for each in (fit, workflow, *tasks, workflow.arrays["fit"])] == [
        TaskTemplate,
        Workflow,
        Task,
        Task,
        Array,
    ]
    first = tasks[0]
    assert isinstance(first, Task)
    assert first.workflow is workflow
    assert first.array is workflow.arrays["fit"]
    assert isinstance(Tool.create_tool("x"), Tool)


def test_a_task_that_is_in_no_workflow_has_no_array() -> None:
    task = template().create_task(place=1, data="d5")
    assert (task.workflow, task.array) == (None, None)


def test_a_task_tells_its_queue_and_what_it_asks_for() -> None:
    task = template().create_task(place=1, data="d5", compute_resources={"queue": "long", "cores": 2})
    assert task.queue_name == "long"
    assert task.requested_resources == task.compute_resources == {"queue": "long", "cores": 2}
    assert template().create_task(place=1, data="d5").queue_name == ""


def test_the_letters_are_those_of_weft() -> None:
    of_tasks = {letter for name, letter in vars(constants.TaskStatus).items() if name.isupper()}
    assert of_tasks == set("GQIORDAEF")
    of_attempts = {letter for name, letter in vars(constants.TaskInstanceStatus).items() if name.isupper()}
    assert set("QIORDZUKEF") <= of_attempts
    of_runs = {letter for name, letter in vars(constants.WorkflowRunStatus).items() if name.isupper()}
    assert set("BRDEST") <= of_runs
    of_workflows = {letter for name, letter in vars(constants.WorkflowStatus).items() if name.isupper()}
    assert set("GQRDHFA") <= of_workflows
    assert constants.MaxConcurrentlyRunning.MAXCONCURRENTLYRUNNING == 2147483647
    assert constants.WorkflowRunStatus.DONE == "D"
    assert constants.WorkflowRunStatus.ERROR == "E"


# --- names -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1st", "a b", "a/b", "a\\b", "a'b", 'a"b', "a\tb", "a\N{NO-BREAK SPACE}b"])
def test_a_given_name_that_the_original_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        template().create_task(name=name, place=1, data="d5")
    with pytest.raises(ValueError, match="name"):
        Task.is_valid_job_name(name)


@pytest.mark.parametrize("name", ["first", "a-b", "a.b", "_1", "ä"])
def test_a_name_that_the_original_takes_is_taken(name: str) -> None:
    assert template().create_task(name=name, place=1, data="d5").name == name
    assert Task.is_valid_job_name(name)


def test_weft_itself_is_less_strict() -> None:
    fit = weft.Tool("survey").get_task_template("fit", "fit {place}", ["place"])
    assert fit.create_task(name="1st place", place=1).name == "1st place"


def test_names_of_no_one_are_made_so_that_they_are_allowed() -> None:
    tasks = template().create_tasks(place=["a b", "c/d"], data="d5")
    assert [task.name for task in tasks] == ["fit_place-a_b", "fit_place-c_d"]
    assert all(Task.is_valid_job_name(task.name) for task in tasks)


def test_a_repeated_name_gets_a_number_and_a_warning() -> None:
    fit = template()
    workflow = fit.tool.create_workflow("d5")
    with pytest.warns(WeftWarning, match="'process_2' for 'process'"):
        workflow.add_tasks([fit.create_task("process", place=place, data="d5") for place in (1, 2)])
    with pytest.warns(WeftWarning, match="'process_3' for 'process'"):
        workflow.add_task(fit.create_task("process", place=3, data="d5"))
    workflow.add_task(fit.create_task("process_5", place=4, data="d5"))
    with pytest.warns(WeftWarning, match="'process_4' for 'process', 'process_6' for 'process'"):
        workflow.add_tasks([fit.create_task("process", place=place, data="d5") for place in (5, 6)])
    assert [task.name for task in workflow.tasks] == [
        "process",
        "process_2",
        "process_3",
        "process_5",
        "process_4",
        "process_6",
    ]
    assert list(workflow.plan().graph.index) == [task.name for task in workflow.tasks]


def test_a_name_that_is_added_later_is_not_given_to_another_task() -> None:
    fit = template()
    workflow = fit.tool.create_workflow("d5")
    names = ["process", "process", "process_2"]
    with pytest.warns(WeftWarning, match="'process_3' for 'process'"):
        workflow.add_tasks([fit.create_task(name, place=place, data="d5") for place, name in enumerate(names)])
    assert [task.name for task in workflow.tasks] == ["process", "process_3", "process_2"]


def test_names_stay_when_tasks_are_refused() -> None:
    fit = template()
    workflow = fit.tool.create_workflow("d5")
    workflow.add_task(fit.create_task("process", place=1, data="d5"))
    fresh = fit.create_task("process", place=2, data="d5")
    with pytest.raises(DuplicateNodeArgsError):
        workflow.add_tasks([fresh, fit.create_task("process", place=1, data="d6")])
    assert fresh.name == "process"
    assert len(workflow.tasks) == 1
    with pytest.raises(ArgumentError, match="in the workflow already"):
        workflow.add_task(workflow.tasks[0])
    assert workflow.tasks[0].name == "process"


def test_a_changed_name_is_no_other_identity() -> None:
    fit = template()
    workflow = fit.tool.create_workflow("d5")
    with pytest.warns(WeftWarning):
        workflow.add_tasks([fit.create_task("process", place=place, data="d5") for place in (1, 2)])
    assert workflow.tasks[1].task_hash == fit.create_task("another", place=2, data="d5").task_hash


# --- attempts ----------------------------------------------------------------------------------------------------------------


def test_no_attempts_mean_unset_with_a_warning() -> None:
    fit = template()
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        task = fit.create_task(place=1, data="d5", max_attempts=0)
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        (other,) = fit.create_tasks(place=[2], data="d5", max_attempts=0)
    fit.set_default_max_attempts(7)
    assert (task.max_attempts, other.max_attempts) == (7, 7)
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        fit.set_default_max_attempts(0)
    fit.tool.set_default_max_attempts(value=5)
    assert (task.max_attempts, fit.default_max_attempts) == (5, None)
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        task.max_attempts = 0
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        workflow = fit.tool.create_workflow("d5", default_max_attempts=0)
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        workflow.set_default_max_attempts(0)
    with pytest.warns(WeftWarning, match="max_attempts=0 means unset"):
        template(max_attempts=0)
    workflow.add_task(task)
    assert task.max_attempts == 5


def test_the_warning_points_to_the_script() -> None:
    fit = template()
    with pytest.warns(WeftWarning) as caught:
        fit.create_task(place=1, data="d5", max_attempts=0)
        fit.set_default_max_attempts(0)
        template(max_attempts=0)
    assert {each.filename for each in caught} == {__file__}


@pytest.mark.parametrize("attempts", [-1, True, False, 1.5, "3"])
def test_other_attempts_are_still_mistakes(attempts: Any) -> None:
    with pytest.raises(ValueError, match="max_attempts"):
        template().create_task(place=1, data="d5", max_attempts=attempts)
    with pytest.raises(ValueError, match="max_attempts"):
        template().set_default_max_attempts(attempts)


# --- commands ----------------------------------------------------------------------------------------------------------------


def test_a_template_of_one_slot_takes_whole_commands() -> None:
    whole = Tool("survey").get_task_template("any", " {command} ", ["command"])
    task = whole.create_task(command="echo 'a b' | wc -w")
    assert task.argv == ("sh", "-c", "echo 'a b' | wc -w")
    assert Tool("survey").get_task_template("any", "{command}", ["command"], shell=False).create_task(
        command="a b"
    ).argv == ("a b",)


def test_in_other_templates_a_value_is_one_argument() -> None:
    task = template().create_task(place="a b; c", data="d5")
    assert task.argv == ("fit", "a b; c", "d5")


# --- files of resources ------------------------------------------------------------------------------------------------------


def test_files_of_resources_are_given_as_in_the_original(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    file = tmp_path / "resources.yaml"
    file.write_text(
        "tool_resources:\n  local: {cores: 1, memory: 1G}\ntask_template_resources:\n  fit:\n    local: {cores: 4}\n"
        "task_template_scales:\n  fit:\n    local: {memory: 0.2}\n",
        encoding="utf-8",
    )
    fit = template()
    fit.set_default_compute_resources_from_yaml(file, "local")
    fit.set_default_resource_scales_from_yaml(yaml_file=file)
    assert fit.default_cluster_name == "local"
    workflow = fit.tool.create_workflow("d5")
    workflow.set_default_compute_resources_from_yaml(cluster_name="local", yaml_file=file)
    task = workflow.add_task(fit.create_task(place=1, data="d5"))
    assert task.compute_resources == {"cores": 4, "memory": 1 << 30}
    assert list(task.resource_scales or ()) == ["memory"]


# --- units -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1G", "M", 1024),
        ("1g", "mb", 1024),
        ("1GiB", "MiB", 1024),
        ("2T", "Gib", 2048),
        ("2048kB", "M", 2),
        ("1.5G", "M", 1536),
        ("1G", "B", 1 << 30),
        (2, "M", 2048),
        ("2", "G", 2),
    ],
)
def test_memory_in_other_units(value: Any, unit: str, expected: int) -> None:
    found = MemUnit.convert(value, to=unit)
    assert (found, type(found)) == (expected, int)


def test_memory_is_in_gib_rounded_but_never_to_nothing() -> None:
    assert [MemUnit.convert(text) for text in ("10240M", "1500M", "1600M", "100M", "1B")] == [10, 1, 2, 1, 1]


@pytest.mark.parametrize("value", ["a", "1g1M", "", None])
def test_what_is_no_memory_is_refused(value: Any) -> None:
    with pytest.raises(InvalidMemoryFormat):
        MemUnit.convert(value)


@pytest.mark.parametrize("unit", ["a", "gg", "", None])
def test_a_unit_that_nobody_knows_is_refused(unit: Any) -> None:
    with pytest.raises(InvalidMemoryUnit):
        MemUnit.convert("1G", to=unit)
    with pytest.raises(InvalidMemoryUnit):
        MemUnit.convert("1X")


def test_times_of_several_parts() -> None:
    time = TimeUnit(sec=10, min=1, hour=1.5)
    assert (time.seconds, time.minutes, time.hours, time.readable) == (5470, 91.17, 1.52, "1:31:10")
    assert (TimeUnit.min_to_sec(1.5), TimeUnit.hour_to_sec(0.5), TimeUnit.hour_to_min(1.5)) == (90, 1800, 90.0)
    assert (TimeUnit.min_to_hour(90), TimeUnit.sec_to_hour(5400), TimeUnit.sec_to_min(90)) == (1.5, 1.5, 1.5)


# --- functions as tasks --------------------------------------------------------------------------------------------------------


@task_generator(serializers={}, tool_name="survey", naming_args=["place"])
def fitted(place: str, level: int = 3) -> str:
    """Fit a place."""
    return f"{place} {level}"


def test_a_function_becomes_a_template_of_these_classes() -> None:
    assert isinstance(fitted, TaskGenerator)
    assert isinstance(fitted.task_template, TaskTemplate)
    task = fitted.create_task(place="north", compute_resources={"cores": 2})
    assert isinstance(task, Task)
    assert task.name == "fitted_place-north"
    assert fitted.run(["place=north", "level=4"]) == "north 4"
    assert "place: str" in fitted.help()
    workflow = fitted.tool.create_workflow("d5")
    workflow.add_tasks(fitted.create_tasks(place=["north", "south"], level=[1, 2]))
    assert isinstance(workflow, Workflow)
    found = get_tasks_by_node_args(workflow, fitted, {"place": "north"})
    assert [each.values["level"] for each in found] == ["1", "2"]


@task_generator(tool_name="survey", name_func=lambda name, args: f"{name} {args['place']}")
def badly_named(place: str) -> None:
    """Its tasks have blanks in their names."""


def test_the_names_of_its_tasks_follow_the_strict_rules() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        badly_named.create_task(place="north")


# --- install -----------------------------------------------------------------------------------------------------------------


def in_a_new_process(code: str) -> str:
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_after_install_scripts_of_the_original_find_these_modules() -> None:
    code = """
import sys
from weft.compat.jobmon import install, is_installed
assert not is_installed()
assert not any(name.split(".")[0] == "jobmon" for name in sys.modules)
assert install() and install() and is_installed()
import jobmon.client.status_commands
from jobmon.client.api import Tool
from jobmon.client.tool import Tool as Same
from jobmon.client import api
from jobmon.core import task_generator
from jobmon.core.exceptions import WorkflowAlreadyComplete
import weft.compat.jobmon.client.tool as own
assert Tool is Same is own.Tool is api.Tool
assert task_generator.task_generator
try:
    import jobmon.server
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert in_a_new_process(code) == "jobmon.server\n"


def test_the_real_one_is_left_alone_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys, types
real = sys.modules["jobmon"] = types.ModuleType("jobmon")
from weft.compat.jobmon import install, is_installed
assert install() is False and not is_installed()
assert sys.modules["jobmon"] is real and "jobmon.client" not in sys.modules
"""
    assert in_a_new_process(code) == ""


def test_importing_a_part_installs_nothing() -> None:
    code = """
import sys
import weft.compat.jobmon.client.api
assert "jobmon" not in sys.modules
"""
    assert in_a_new_process(code) == ""


# --- the page for moving -----------------------------------------------------------------------------------------------

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "migrating.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_for_moving_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", GUIDE, re.M | re.S)
    (tmp_path / "weft.toml").write_text(f'executor = "noop"\n{toml}', encoding="utf-8")
    first, installing, script = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.M | re.S)
    exec(compile(first, "migrating.md", "exec"), {})
    in_a_new_process(installing)
    names: dict[str, Any] = {}
    with pytest.warns(WeftWarning):
        exec(compile(script, "migrating.md", "exec"), names)
    assert names["status"] == "D"
    assert [task.name for task in names["workflow"].tasks] == ["fit_place-north", "fit_place-south", "total_data-d5"]


def test_the_page_names_every_old_command_and_options_that_are_there() -> None:
    rows = re.findall(r"^\| `(\w+) [^`]*` \| `(.*?)`", GUIDE, re.M)
    rows = [(old, new) for old, new in rows if old != "jobmon"]  # the table's head
    assert {old for old, _ in rows} == set(OLD_NAMES)
    for old, new in rows:
        words = new.split()
        assert tuple(words[: len(OLD_NAMES[old])]) == OLD_NAMES[old]
        context = click.Context(weft_command)
        command: click.Command = weft_command
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, new
            command = found
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, new
