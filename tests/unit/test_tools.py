"""Tools: versions, templates, defaults that replace or merge (workflows.md 2.1)."""

from __future__ import annotations

import getpass
import inspect
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.define.templates import TaskTemplate
from weft.define.tools import Tool
from weft.errors import ArgumentError, InvalidMemoryFormat, InvalidMemoryUnit

GIB = 2**30


def a_template(tool: Tool, name: str = "say", text: str = "echo {word}", **more: Any) -> TaskTemplate:
    return tool.get_task_template(name, text, node_args=["word"], **more)


# --- the object --------------------------------------------------------------------------------------------------------------


def test_a_tool_without_a_name_is_named_after_its_user() -> None:
    assert Tool().name == f"unknown-{getpass.getuser()}"


def test_the_older_spellings_of_a_tool_make_the_same_tool() -> None:
    assert Tool(tool_name="survey").name == Tool.create_tool("survey").name == Tool("survey", requester=object()).name
    with pytest.raises(ValueError, match="two names for one tool"):
        Tool("a", tool_name="b")


@pytest.mark.parametrize("name", ["", " ", "a\nb", 3])
def test_a_tool_needs_a_name_that_can_be_one(name: Any) -> None:
    with pytest.raises(ValueError):
        Tool(name)


def test_the_front_of_weft_has_the_names_of_the_workflow_api() -> None:
    for name in ("Tool", "TaskTemplate", "WorkflowTask", "Array", "Workflow", "WorkflowResult", "task_generator"):
        assert name in weft.__all__
        assert getattr(weft, name).__name__ == name


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (
            Tool.get_task_template,
            "template_name command_template node_args=None task_args=None op_args=None default_cluster_name='' "
            "default_compute_resources=None default_resource_scales=None yaml_file=None max_attempts=None * shell=None "
            "scale_on=None",
        ),
        (
            Tool.create_workflow,
            "workflow_args='' name='' description='' workflow_attributes=None max_concurrently_running=2147483647 "
            "chunk_size=500 default_cluster_name='' default_compute_resources_set=None default_resource_scales_set=None "
            "default_max_attempts=None * scale_on=None",
        ),
        (
            TaskTemplate.create_task,
            "name='' upstream_tasks=() task_attributes={} max_attempts=None compute_resources=None "
            "compute_resources_callable=None resource_scales=None cluster_name='' fallback_queues=None * scale_on=None **kwargs",
        ),
        (
            TaskTemplate.create_tasks,
            "max_attempts=None upstream_tasks=None max_concurrently_running=2147483647 compute_resources=None "
            "compute_resources_callable=None resource_scales=None cluster_name='' name=None * fallback_queues=None "
            "task_attributes=None scale_on=None **kwargs",
        ),
        (Tool.set_default_compute_resources_from_dict, "cluster_name compute_resources"),
        (Tool.update_default_compute_resources, "cluster_name **kw"),
        (
            Tool.set_default_compute_resources_from_yaml,
            "default_cluster_name yaml_file set_task_templates=False ignore_missing_keys=False",
        ),
        (Tool.set_default_resource_scales_from_dict, "cluster_name resource_scales"),
        (Tool.set_default_cluster_name, "cluster_name"),
        (Tool.set_default_max_attempts, "n"),
        (weft.Workflow.set_default_compute_resources_from_dict, "cluster_name dictionary"),
        (weft.Workflow.set_default_resource_scales_from_dict, "cluster_name dictionary"),
        (weft.Workflow.get_tasks_by_node_args, "task_template_name **kw"),
        (weft.Workflow.set_task_template_max_concurrency_limit, "task_template_name limit"),
    ],
)
def test_signatures_are_those_of_the_document(member: Any, expected: str) -> None:
    parameters = list(inspect.signature(member, eval_str=False).parameters.values())[1:]
    shown, has_star = [], False
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and not has_star:
            shown.append("*")
            has_star = True
        stars = "**" if each.kind is each.VAR_KEYWORD else ""
        shown.append(f"{stars}{each.name}" + ("" if each.default is each.empty else f"={each.default!r}"))
    assert shown == expected.split()


# --- versions ----------------------------------------------------------------------------------------------------------------


def test_new_versions_count_from_one_and_are_active() -> None:
    tool = Tool("survey")
    assert [tool.get_new_tool_version(), tool.get_new_tool_version()] == [1, 2]
    assert tool.active_tool_version_id == 2
    tool.set_active_tool_version_id(1)
    assert tool.active_tool_version_id == 1
    tool.set_active_tool_version_id("latest")
    assert tool.active_tool_version_id == 2
    first = Tool("survey").active_tool_version_id
    tool.set_active_tool_version_id(first)  # the one that every tool begins with
    assert tool.active_tool_version_id == first


@pytest.mark.parametrize("wrong", [3, -1, "newest", True, None])
def test_an_unknown_version_is_refused_with_the_known_ones(wrong: Any) -> None:
    tool = Tool("survey")
    tool.get_new_tool_version()
    tool.get_new_tool_version()
    with pytest.raises(ValueError, match="known: 0, 1, 2, 'latest'"):
        tool.set_active_tool_version_id(wrong)
    assert tool.active_tool_version_id == 2


def test_versions_are_kept_where_workflows_are_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tool = Tool("survey")
    assert tool.get_new_tool_version() == 1
    workflow = tool.create_workflow("w")
    workflow.add_task(a_template(tool).create_task(word="x"))
    assert Tool("survey").get_new_tool_version() == 1  # a plain value till it is bound
    workflow.bind()
    assert tool.get_new_tool_version() == Tool("survey").get_new_tool_version() == 2
    assert Tool("other").get_new_tool_version() == 1
    later = Tool("survey")
    later.set_active_tool_version_id(1)
    assert later.create_workflow("w").key == workflow.key
    assert Tool("survey").create_workflow("w").key == workflow.key  # the latest
    with pytest.raises(ValueError, match="known: 0, 1, 'latest'"):
        Tool("survey").set_active_tool_version_id(2)


def test_a_tool_may_begin_at_a_version_that_another_process_made() -> None:
    tool = Tool("survey", 4)
    assert tool.active_tool_version_id == 4
    assert tool.get_new_tool_version() == 5
    for wrong in (0, True, "last", 1.5):
        with pytest.raises(ValueError):
            Tool("survey", wrong)  # type: ignore[arg-type]


def test_workflows_keep_the_version_that_they_were_made_in_and_never_match_others() -> None:
    tool = Tool("survey")
    first = tool.create_workflow("same")
    tool.get_new_tool_version()
    second = tool.create_workflow("same")
    assert first.key != second.key
    tool.get_new_tool_version()
    assert second.tool_version == 1
    assert first.key == Tool("survey").create_workflow("same").key != Tool("other").create_workflow("same").key


# --- templates ---------------------------------------------------------------------------------------------------------------


def test_the_same_definition_gives_the_same_template() -> None:
    tool = Tool("t")
    text = "run {a} {b} {c} {d}"
    first = tool.get_task_template("x", text, ["a", "b"], ["c"], ["d"])
    assert tool.get_task_template("x", text, ["b", "a"], ["c"], ["d"]) is first  # lists are sets
    assert tool.active_task_templates == {"x": first}


def test_a_changed_definition_is_a_new_version_that_becomes_active() -> None:
    tool = Tool("t")
    first = a_template(tool)
    second = a_template(tool, text="echo -n {word}")
    assert second is not first
    assert tool.active_task_templates == {"say": second}
    assert first.create_task(word="x").node_hash != second.create_task(word="x").node_hash
    assert a_template(tool) is first
    assert tool.active_task_templates == {"say": first}
    as_shell = a_template(tool, shell=True)
    assert as_shell is not first
    assert as_shell.uses_shell


def test_each_version_of_a_tool_has_templates_of_its_own() -> None:
    tool = Tool("t")
    first = a_template(tool)
    tool.get_new_tool_version()
    assert tool.active_task_templates == {}
    assert a_template(tool) is not first
    tool.active_task_templates.clear()  # a copy
    assert list(tool.active_task_templates) == ["say"]


def test_a_definition_with_a_bad_default_leaves_no_template_behind() -> None:
    tool = Tool("t")
    with pytest.raises(ValueError):
        a_template(tool, default_compute_resources={"memory": "3Q"})
    assert tool.active_task_templates == {}


# --- defaults ----------------------------------------------------------------------------------------------------------------


def test_setting_replaces_and_updating_merges() -> None:
    tool = Tool("t")
    tool.set_default_compute_resources_from_dict("slurm", {"cores": 2, "memory": "3G"})
    tool.update_default_compute_resources("slurm", memory="4G", queue="long")
    assert tool.default_compute_resources_set == {"slurm": {"cores": 2, "memory": 4 * GIB, "queue": "long"}}
    tool.update_default_compute_resources("slurm", queue=None)
    assert tool.default_compute_resources_set == {"slurm": {"cores": 2, "memory": 4 * GIB}}
    tool.set_default_compute_resources_from_dict(cluster_name="slurm", compute_resources={"runtime": "1h"})
    assert tool.default_compute_resources_set == {"slurm": {"runtime": 3600}}


def test_scales_are_set_and_merged_like_resources() -> None:
    tool = Tool("t")
    tool.set_default_resource_scales_from_dict("slurm", {"memory": 0.5, "runtime": 1})
    tool.update_default_resource_scales("slurm", memory=2)
    assert tool.default_resource_scales_set == {"slurm": {"memory": 2, "runtime": 1}}
    tool.update_default_resource_scales("slurm", memory=None)
    assert tool.default_resource_scales_set == {"slurm": {"runtime": 1}}
    tool.update_default_resource_scales("slurm", runtime=None)
    assert tool.default_resource_scales_set == {}


def test_scales_that_were_turned_off_stay_so_when_others_are_laid_over_them() -> None:
    tool = Tool("t")
    tool.set_default_resource_scales_from_dict("*", {"memory": 0.5})
    template = a_template(tool)
    template.set_default_resource_scales_from_dict("*", {})
    template.update_default_resource_scales("*", runtime=1)
    assert template.default_resource_scales_set == {"*": {"runtime": 1}}
    assert template.create_task(word="x").resource_scales == {"runtime": 1}
    template.update_default_resource_scales("*", runtime=None)
    assert template.create_task(word="x").resource_scales == {}


@pytest.mark.parametrize(
    ("compute", "error"),
    [
        ({"memory": "lots"}, InvalidMemoryFormat),
        ({"memory": "3Q"}, InvalidMemoryUnit),
        ({"memory": -1}, InvalidMemoryFormat),
        ({"runtime": "2 months"}, ValueError),
        ({"runtime": "1:30"}, ValueError),
        ({"cores": 0}, ValueError),
        ({"cores": True}, ValueError),
        ({"queue": 3}, ValueError),
        (["cores"], ValueError),
    ],
)
def test_wrong_amounts_are_refused_when_they_are_told(compute: Any, error: type[Exception]) -> None:
    tool = Tool("t")
    with pytest.raises(error):
        tool.set_default_compute_resources_from_dict("local", compute)
    assert tool.default_compute_resources_set == {}
    with pytest.raises(error):
        a_template(tool).create_task(word="x", compute_resources=compute)


@pytest.mark.parametrize(
    "scales", [{"memory": -1}, {"memory": True}, {"memory": "half"}, {"queue": 1}, {"memory": []}, 3]
)
def test_wrong_scales_are_refused_when_they_are_told(scales: Any) -> None:
    tool = Tool("t")
    for tell in (
        lambda: tool.set_default_resource_scales_from_dict("local", scales),
        lambda: a_template(tool).create_task(word="x", resource_scales=scales),
        lambda: a_template(tool).create_tasks(word=["x"], resource_scales=scales),
        lambda: a_template(tool, default_resource_scales=scales),
    ):
        with pytest.raises(ValueError):
            tell()


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "3"])
def test_attempts_are_whole_numbers_from_one(wrong: Any) -> None:
    tool = Tool("t")
    for tell in (
        lambda: tool.set_default_max_attempts(wrong),
        lambda: a_template(tool).create_task(word="x", max_attempts=wrong),
        lambda: a_template(tool).create_tasks(word=["x"], max_attempts=wrong),
        lambda: a_template(tool, max_attempts=wrong),
        lambda: tool.create_workflow(default_max_attempts=wrong),
    ):
        with pytest.raises(ValueError, match="max_attempts"):
            tell()


def test_defaults_that_are_no_dicts_by_cluster_say_how_to_write_them() -> None:
    tool = Tool("t")
    with pytest.raises(ArgumentError, match="by cluster name") as caught:
        tool.create_workflow(default_compute_resources_set={"cores": 2})  # type: ignore[dict-item]
    assert "'*'" in str(caught.value)


@pytest.mark.parametrize("name", [3, ["slurm"]])
def test_the_name_of_a_cluster_is_a_text(name: Any) -> None:
    with pytest.raises(ValueError):
        Tool("t").set_default_cluster_name(name)


def test_scale_on_takes_its_two_words() -> None:
    tool = Tool("t")
    tool.scale_on = "any"
    assert tool.scale_on == "any"
    with pytest.raises(ValueError, match="did you mean 'exhausted'"):
        tool.scale_on = "exhaust"  # type: ignore[assignment]


def test_settings_that_cannot_be_read_are_for_who_binds_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weft.toml").write_text("[queues.short]\nmemory = '8X'\n", encoding="utf-8")
    assert Tool("survey").create_workflow("w").workflow_args == "w"
