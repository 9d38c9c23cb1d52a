"""YAML files of resources and scales, in every shape that is accepted (workflows.md 4.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from weft.define.tools import Tool
from weft.define.workflows import WorkflowDraft
from weft.errors import ArgumentError, InvalidMemoryUnit

GIB = 2**30


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_it(text: str) -> Path:
        path = tmp_path / "resources.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_it


FULL = """
tool_resources:
  slurm: {cores: 1, memory: "1G", runtime: "1h", queue: all.q}
  survey:
    slurm: {memory: 2G}
    local: {cores: 3}
  other-tool:
    slurm: {memory: 9G}
task_template_resources:
  fit:
    slurm: {cores: 4, memory: 4.5}
    local: {cores: 2}
  total: {runtime: 90 min}
tool_scales:
  slurm: {memory: 0.5}
task_template_scales:
  fit:
    slurm: {memory: 1.0, runtime: [7200, 9000]}
"""


def a_tool() -> Tool:
    tool = Tool("survey")
    tool.get_task_template("fit", "fit {a}", ["a"])
    tool.get_task_template("total", "total {a}", ["a"])
    return tool


def test_a_tool_takes_what_is_said_for_clusters_and_for_itself(write: Any) -> None:
    tool = a_tool()
    tool.set_default_compute_resources_from_yaml("slurm", write(FULL))
    assert tool.default_cluster_name == "slurm"
    assert tool.default_compute_resources_set == {
        "slurm": {"cores": 1, "memory": 2 * GIB, "runtime": 3600, "queue": "all.q"},
        "local": {"cores": 3},
    }
    assert tool.active_task_templates["fit"].default_compute_resources_set == {}


def test_templates_take_their_part_when_they_are_asked_to(write: Any) -> None:
    tool = a_tool()
    tool.set_default_compute_resources_from_yaml("slurm", write(FULL), set_task_templates=True)
    tool.set_default_resource_scales_from_yaml("slurm", write(FULL), True, ignore_missing_keys=True)
    fit, total = tool.active_task_templates["fit"], tool.active_task_templates["total"]
    assert fit.default_compute_resources_set == {
        "slurm": {"cores": 4, "memory": 9 * GIB // 2},
        "local": {"cores": 2},
    }
    assert total.default_compute_resources_set == {"*": {"runtime": 5400}}
    assert fit.default_resource_scales_set == {"slurm": {"memory": 1.0, "runtime": (7200, 9000)}}
    assert tool.default_resource_scales_set == {"slurm": {"memory": 0.5}}
    task = fit.create_task(a=1)
    assert task.compute_resources == {
        "cores": 4,
        "memory": 9 * GIB // 2,
        "runtime": 3600,
        "queue": "all.q",
    }
    assert task.resource_scales == {"memory": 1.0, "runtime": (7200, 9000)}


def test_a_template_that_the_file_lacks_is_a_key_error_unless_ignored(write: Any) -> None:
    tool = a_tool()
    path = write("task_template_resources: {fti: {local: {cores: 1}}, total: {cores: 2}}")
    with pytest.raises(KeyError, match="did you mean 'fti'") as caught:
        tool.set_default_compute_resources_from_yaml("local", path, set_task_templates=True)
    assert "resources.yaml" in str(caught.value)
    assert tool.active_task_templates["total"].default_compute_resources_set == {}  # nothing was taken
    tool.set_default_compute_resources_from_yaml("local", path, set_task_templates=True, ignore_missing_keys=True)
    assert tool.active_task_templates["total"].default_compute_resources_set == {"*": {"cores": 2}}
    with pytest.raises(KeyError):
        tool.set_default_resource_scales_from_yaml("local", path, set_task_templates=True)
    fit = tool.active_task_templates["fit"]
    for take in (fit.set_default_compute_resources_from_yaml, fit.set_default_resource_scales_from_yaml):
        with pytest.raises(KeyError):
            take("local", path)
        take("local", path, ignore_missing_keys=True)
    assert (fit.default_compute_resources_set, fit.default_cluster_name) == ({}, "local")


def test_a_name_that_is_tool_and_cluster_is_a_cluster_when_its_values_are_plain(write: Any) -> None:
    tool = Tool("local")
    tool.set_default_compute_resources_from_yaml("", write("tool_resources: {local: {cores: 2}}"))
    assert tool.default_compute_resources_set == {"local": {"cores": 2}}
    other = Tool("local")
    other.set_default_compute_resources_from_yaml("", write("tool_resources: {local: {local: {cores: 3}}}"))
    assert other.default_compute_resources_set == {"local": {"cores": 3}}
    assert other.default_cluster_name == ""


def test_a_template_needs_neither_scales_nor_a_cluster_in_its_file(write: Any) -> None:
    tool = Tool("survey")
    fit = tool.get_task_template("fit", "fit {a}", ["a"], yaml_file=write(FULL.split("tool_scales")[0]))
    assert fit.default_compute_resources_set["slurm"]["cores"] == 4
    assert fit.default_resource_scales_set == {}
    both = tool.get_task_template(
        "total", "total {a}", ["a"], yaml_file=write(FULL), default_compute_resources={"cores": 7}
    )
    assert both.default_compute_resources_set == {"*": {"runtime": 5400, "cores": 7}}
    lacking = tool.get_task_template("new", "new {a}", ["a"], yaml_file=write(FULL))
    assert lacking.default_compute_resources_set == {}


def test_tasks_and_workflows_take_files_too(write: Any) -> None:
    tool = a_tool()
    task = tool.active_task_templates["fit"].create_task(a=1)
    task.set_compute_resources_from_yaml("slurm", write(FULL))
    assert task.compute_resources == {"cores": 4, "memory": 9 * GIB // 2}
    workflow = WorkflowDraft(tool)
    workflow.set_compute_resources_from_yaml("slurm", write(FULL))
    assert workflow.default_compute_resources_set["local"] == {"cores": 3}
    assert workflow.default_cluster_name == "slurm"
    workflow.set_default_resource_scales_from_yaml("slurm", write(FULL))
    assert workflow.default_resource_scales_set == {"slurm": {"memory": 0.5}}


def test_empty_files_and_empty_parts_say_nothing(write: Any) -> None:
    for text in ("", "tool_resources:\n", "tool_resources: {slurm:}", "task_template_resources: {fit: {local:}}", "{}"):
        tool = a_tool()
        tool.set_default_compute_resources_from_yaml("x", write(text), True, True)
        assert not any(tool.default_compute_resources_set.values())


def test_values_are_read_as_they_stand(write: Any) -> None:
    text = "tool_resources: {local: {runtime: 01:30:00, memory: 512M, queue: yes, project: 2024-01-01, cores: 2}}"
    tool = Tool("t")
    tool.set_default_compute_resources_from_yaml("local", write(text))
    assert tool.default_compute_resources_set == {
        "local": {"runtime": 5400, "memory": 512 * 2**20, "queue": "yes", "project": "2024-01-01", "cores": 2}
    }
    clock = write("tool_resources: {local: {runtime: 2:00:00}}")
    tool.set_default_compute_resources_from_yaml("local", clock)
    assert tool.default_compute_resources_set["local"] == {"runtime": 7200}


def test_anchors_and_merges_are_followed(write: Any) -> None:
    text = "task_template_resources:\n  a: &a {cores: 2, memory: 1G}\n  b: {<<: *a, cores: 3}\n"
    tool = Tool("t")
    template = tool.get_task_template("b", "b {x}", ["x"], yaml_file=write(text))
    assert template.default_compute_resources_set == {"*": {"cores": 3, "memory": GIB}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tool_resource: {}", "did you mean 'tool_resources'"),
        ("[1, 2]", "not the keys"),
        ("tool_resources: 3", "tool_resources holds 3"),
        ("tool_resources: {slurm: 4G}", "slurm: '4G' is no dict"),
        ("tool_resources: {slurm: {cores: 1, deep: {a: {b: 1}}}}", "slurm: "),
        ("tool_resources: {slurm: {runtime: 1:30}}", "slurm: runtime"),
        ("task_template_scales: {fit: {local: {memory: half}}}", "fit: local: "),
        ("tool_scales: {local: {memory: -1}}", "local: "),
        ("a: 1\na: 2", "'a' stands twice"),
        ("{a: ", "no YAML"),
        ("tool_resources: !!python/object:os.system {}", "no YAML"),
    ],
)
def test_mistakes_name_the_file_and_the_place(write: Any, text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        a_tool().set_default_compute_resources_from_yaml("local", write(text))
    assert "resources.yaml: " in str(caught.value)
    assert told in str(caught.value)


def test_all_mistakes_of_a_file_are_told_at_once_and_one_keeps_its_class(write: Any) -> None:
    with pytest.raises(InvalidMemoryUnit, match="slurm"):
        a_tool().set_default_compute_resources_from_yaml("x", write("tool_resources: {slurm: {memory: 3Q}}"))
    text = "tool_resources: {slurm: {memory: 3Q, cores: -1}}\ntask_template_resources: {fit: {local: {runtime: no}}}"
    with pytest.raises(ArgumentError) as caught:
        a_tool().set_default_compute_resources_from_yaml("x", write(text))
    for part in ("3Q", "cores", "fit: local: runtime"):
        assert part in str(caught.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        a_tool().set_default_compute_resources_from_yaml("local", tmp_path / "none.yaml")
