"""The workflow dialect: templates, tasks, arrays, levels of resources (dialects.md 4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.errors import PlanError, Problem
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.formats.snapshot import restore, snapshot
from weft.spec.actions import Command, Shell
from weft.spec.plan import Plan
from weft.spec.resources import MICRO
from weft.units import GIBIBYTE

SAY = {"command_template": "echo {word}", "node_args": ["word"]}


@pytest.fixture
def read(tmp_path: Path):
    def load_it(document: Any, **settings: Any) -> Plan:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return load([str(path)], **settings).plan

    return load_it


@pytest.fixture
def problems(read):
    def refuse(document: Any, **settings: Any) -> list[Problem]:
        with pytest.raises(PlanError) as caught:
            read(document, **settings)
        return list(caught.value.problems())

    return refuse


def told(found: list[Problem]) -> set[tuple[str, str | None]]:
    return {(problem.code, problem.location) for problem in found}


def test_a_task_of_a_template_is_its_tokens_and_its_arguments(read):
    plan = read(
        {"templates": {"say": SAY}, "tasks": [{"name": "say_hi", "template": "say", "args": {"word": "h i; $x"}}]}
    )
    (task,) = plan.graph.tasks
    assert task.name == "say_hi"
    assert task.action == Command(("echo", "h i; $x"))
    assert dict(task.parameters) == {"word": "h i; $x"}
    assert dict(task.policy.roles) == {"word": "node"}
    assert (task.policy.template, task.policy.executor, task.policy.retries.max_attempts) == ("say", "local", 3)


def test_the_example_of_the_text_is_read_whole(read):
    plan = read(
        {
            "tool": "atlas",
            "workflow": {"name": "yearly", "workflow_args": "v7", "max_concurrently_running": 20},
            "templates": {
                "fit": {
                    "command_template": "{python} fit.py --place {place} --data {data}",
                    "node_args": ["place"],
                    "task_args": ["data"],
                    "op_args": ["python"],
                    "compute_resources": {"cores": 2, "memory": "3.5G", "runtime": "45m", "queue": "short"},
                    "resource_scales": {"memory": 1.0},
                },
                "sum": {
                    "command_template": "{python} sum.py --data {data}",
                    "task_args": ["data"],
                    "op_args": ["python"],
                },
            },
            "arrays": [
                {
                    "template": "fit",
                    "args": {"place": [1, 2, 3], "data": "d5", "python": "python3"},
                    "fallback_queues": ["long"],
                }
            ],
            "tasks": [
                {
                    "name": "total",
                    "template": "sum",
                    "args": {"data": "d5", "python": "python3"},
                    "upstream_tasks": ["fit_place-1", "fit_place-2", "fit_place-3"],
                    "task_attributes": {"stage": "final"},
                }
            ],
        }
    )
    assert [task.name for task in plan.graph.tasks] == ["fit_place-1", "fit_place-2", "fit_place-3", "total"]
    fit, total = plan.graph["fit_place-2"], plan.graph["total"]
    assert fit.policy.resources.as_json() == {"concurrency:yearly": 1, "cores": 2, "memory": 7 * GIBIBYTE // 2}
    assert (fit.policy.timeout, fit.policy.queue) == (2700.0, "short")
    assert fit.policy.retries.scales == (("memory", 1.0),)
    assert fit.policy.retries.fallback_queues == ("long",)
    assert dict(fit.policy.roles) == {"place": "node", "data": "task", "python": "op"}
    assert [edge.name for edge in total.dependencies] == ["fit_place-1", "fit_place-2", "fit_place-3"]
    assert dict(total.policy.attributes) == {"stage": "final"}
    assert dict(plan.limits) == {"concurrency:yearly": 20 * MICRO}
    assert plan.name == "yearly"


def test_tasks_of_an_array_share_what_they_have_in_common(read):
    plan = read({"templates": {"say": SAY}, "arrays": [{"template": "say", "args": {"word": list(range(50))}}]})
    assert len({id(task.policy) for task in plan.graph.tasks}) == 1
    assert [task.action for task in plan.graph.tasks[:2]] == [Command(("echo", "0")), Command(("echo", "1"))]


def test_an_array_is_a_cross_product_whose_last_argument_varies_fastest(read):
    template = {"command_template": "run {a} {b} {c}", "node_args": ["a", "b"], "op_args": ["c"]}
    plan = read(
        {"templates": {"t": template}, "arrays": [{"template": "t", "args": {"b": [1, 2], "a": ["x", "y"], "c": [7]}}]}
    )
    assert [(task.parameters["b"], task.parameters["a"]) for task in plan.graph.tasks] == [
        (1, "x"),
        (1, "y"),
        (2, "x"),
        (2, "y"),
    ]
    assert all(task.parameters["c"] == [7] for task in plan.graph.tasks)


def test_the_name_of_an_array_is_a_prefix(read):
    plan = read(
        {"templates": {"say": SAY}, "arrays": [{"template": "say", "name": "hello", "args": {"word": ["a b", "c"]}}]}
    )
    assert [task.name for task in plan.graph.tasks] == ["hello_word-a_b", "hello_word-c"]


def test_tasks_may_be_an_object(read):
    plan = read({"templates": {"say": SAY}, "tasks": {"one": {"template": "say", "args": {"word": 1}}}})
    assert [task.name for task in plan.graph.tasks] == ["one"]


def test_a_shell_is_used_only_when_the_flag_is_set(read):
    template = {"command_template": "echo {word} | cat", "node_args": ["word"]}
    for flag, kind in ((True, Shell), (False, Command)):
        plan = read(
            {"templates": {"t": {**template, "shell": flag}}, "tasks": [{"template": "t", "args": {"word": 1}}]}
        )
        assert type(plan.graph.tasks[0].action) is kind


def test_braces_of_values_and_templates_are_braces_when_it_runs(tmp_path):
    document = {
        "templates": {
            "argv": {"command_template": "printf %s {{a}}{word}", "node_args": ["word"]},
            "script": {
                "command_template": "printf %s {word} | tr -d {{ ; printf ${{UNSET-x}}",
                "node_args": ["word"],
                "shell": True,
            },
            "plain": {"command_template": "printf %s '{{b}}' | cat", "shell": True},
        },
        "tasks": {
            "one": {"template": "argv", "args": {"word": "{x} {{y}}"}},
            "two": {"template": "script", "args": {"word": "{a} 'b' $c"}},
            "three": {"template": "plain"},
        },
    }
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "compiled.json").write_bytes(compile_plan(load([str(tmp_path / "plan.json")]).plan))
    for name in ("plan.json", "compiled.json"):
        run = weft.load(str(tmp_path / name)).run()
        assert [run[task].log() for task in ("one", "two", "three")] == [b"{a}{x} {{y}}", b"a} 'b' $cx", b"{b}"]


def test_levels_merge_key_by_key(read, tmp_path):
    (tmp_path / "levels.json").write_text(
        json.dumps(
            {
                "tool_resources": {"local": {"cores": 1, "memory": "1G"}, "atlas": {"local": {"memory": "2G"}}},
                "task_template_resources": {"say": {"runtime": 10, "gpu": 1}},
                "task_template_scales": {"say": {"local": {"memory": [3, "4G"]}}},
            }
        ),
        encoding="utf-8",
    )
    plan = read(
        {
            "tool": "atlas",
            "yaml": "levels.json",
            "workflow": {
                "default_compute_resources_set": {"*": {"disk": "1G"}, "local": {"cores": 2}, "slurm": {"cores": 9}}
            },
            "templates": {"say": {**SAY, "default_compute_resources": {"gpu": 2}, "compute_resources": {"license": 1}}},
            "tasks": [{"template": "say", "args": {"word": "a"}, "compute_resources": {"license": 3}}],
        }
    )
    policy = plan.graph.tasks[0].policy
    assert policy.resources.as_json() == {
        "cores": 2,
        "disk": GIBIBYTE,
        "gpu": 2,
        "license": 3,
        "memory": 2 * GIBIBYTE,
    }
    assert policy.timeout == 10
    assert policy.retries.scales == (("memory", (3 * GIBIBYTE, 4 * GIBIBYTE)),)


def test_attempts_are_those_of_the_nearest_level(read):
    document = {
        "workflow": {"default_max_attempts": 5},
        "templates": {"a": {**SAY, "max_attempts": 2}, "b": SAY},
        "tasks": [
            {"name": "own", "template": "a", "args": {"word": 1}, "max_attempts": 1},
            {"name": "template", "template": "a", "args": {"word": 2}},
            {"name": "workflow", "template": "b", "args": {"word": 1}},
        ],
    }
    assert [task.policy.retries.max_attempts for task in read(document).graph.tasks] == [1, 2, 5]


def test_clusters_of_the_original_system_have_executors(read):
    names = ("local", "multiprocess", "sequential", "dummy")
    plan = read(
        {
            "templates": {"say": SAY},
            "tasks": [
                {"name": name, "template": "say", "args": {"word": name}, "cluster_name": name} for name in names
            ],
        }
    )
    assert [task.policy.executor for task in plan.graph.tasks] == ["local", "local", "local", "simulated"]
    assert dict(plan.limits) == {"concurrency:sequential": MICRO}


def test_compiling_twice_changes_nothing(read, tmp_path):
    plan = read(
        {
            "workflow": {"name": "w", "max_concurrently_running": 3, "workflow_attributes": {"k": 1}},
            "templates": {
                "say": {
                    **SAY,
                    "compute_resources": {"memory": "auto", "stdout": "out", "project": "p", "constraints": "archive"},
                    "max_concurrently_running": 1,
                }
            },
            "arrays": [
                {"template": "say", "args": {"word": [1, "two"]}, "compute_resources": {"project": "proj_x"}},
                {"template": "say", "args": {"word": [3]}},
            ],
        }
    )
    compiled = compile_plan(plan)
    again = tmp_path / "compiled.json"
    again.write_bytes(compiled)
    loaded = load([str(again)]).plan
    assert compile_plan(loaded) == compiled
    assert loaded.graph.tasks == plan.graph.tasks
    assert dict(loaded.limits) == dict(plan.limits)
    assert loaded.graph.tasks[0].policy.auto == {"memory"}
    assert dict(loaded.graph.tasks[0].policy.copies) == {"stdout": "out"}
    told = [dict(task.policy.directives) for task in restore(snapshot(loaded)).graph.tasks]
    assert told == [{"project": each, "constraints": "archive"} for each in ("proj_x", "proj_x", "p")]


def test_a_recorded_plan_is_the_same_plan(read):
    plan = read(
        {
            "workflow": {"max_concurrently_running": 3},
            "templates": {"say": {**SAY, "compute_resources": {"memory": "auto", "stderr": "e"}}},
            "arrays": [{"template": "say", "args": {"word": [1]}}],
        }
    )
    assert restore(snapshot(plan)) == plan


def test_all_mistakes_are_told_at_once_with_their_places(problems):
    found = problems(
        {
            "tool": 3,
            "workflow": {"max_concurrently_running": -1, "default_compute_resources_set": {"local": {"memory": "8X"}}},
            "templates": {
                "fit": {
                    "command_template": "echo {place} {x.y}",
                    "node_args": ["place", "plac"],
                    "compute_resources": {"cores": 0, "runtime": "1 month"},
                    "max_attempts": 0,
                },
                "bad": 3,
                "none": {},
                "ok": SAY,
            },
            "arrays": [{"template": "okk"}, {"template": "ok", "args": {"word": [1, 1]}}],
            "tasks": [
                {"name": "t", "template": "ok", "args": {"wrod": 3}, "upstream_tasks": ["tt"]},
                {
                    "template": "ok",
                    "args": {"word": "x"},
                    "compute_resources": {"memory": True},
                    "upstream_tasks": ["zz"],
                },
                4,
                {"name": "nothing"},
            ],
        }
    )
    assert told(found) == {
        ("shape.type", "/tool"),
        ("shape.value", "/workflow/max_concurrently_running"),
        ("unit.size", "/workflow/default_compute_resources_set/local/memory"),
        ("slot.unknown", "/templates/fit/command_template"),
        ("shape.value", "/templates/fit/compute_resources/cores"),
        ("unit.time", "/templates/fit/compute_resources/runtime"),
        ("shape.value", "/templates/fit/max_attempts"),
        ("shape.type", "/templates/bad"),
        ("shape.missing", "/templates/none"),
        ("ref.template", "/arrays/0/template"),
        ("name.duplicate", "/arrays/1"),
        ("option.missing", "/tasks/0/args"),
        ("option.unknown", "/tasks/0/args/wrod"),
        ("ref.task", "/tasks/0/upstream_tasks/0"),
        ("unit.size", "/tasks/1/compute_resources/memory"),
        ("ref.task", "/tasks/1/upstream_tasks/0"),
        ("shape.type", "/tasks/2"),
        ("shape.missing", "/tasks/3"),
    }
    hints = {problem.location: problem.hint for problem in found}
    assert hints["/arrays/0/template"] == "did you mean 'ok'?"
    assert hints["/tasks/0/args/wrod"] == "did you mean 'word'?"


def test_what_no_engine_could_take_is_told_with_its_place(problems):
    resources = [{"cores": 10**400}, {"cores": -(10**400)}, {"queue": " "}, {"memory": 10**400}]
    found = problems(
        {
            "templates": {
                "say": SAY,
                **{f"t{index}": {**SAY, "compute_resources": each} for index, each in enumerate(resources)},
            },
            "arrays": [{"template": "say", "args": {"word": ["a", "b\0c"]}}],
            "tasks": [{"name": "x", "template": "say", "args": {"word": "d\0"}}],
        }
    )
    assert told(found) == {
        ("shape.value", "/templates/t0/compute_resources/cores"),
        ("shape.value", "/templates/t1/compute_resources/cores"),
        ("shape.value", "/templates/t2/compute_resources/queue"),
        ("unit.size", "/templates/t3/compute_resources/memory"),
        ("shape.value", "/arrays/0/args/word"),
        ("shape.value", "/tasks/0/args/word"),
    }


def test_equal_node_arguments_are_told(problems):
    template = {"command_template": "run {a} {b}", "node_args": ["a"], "task_args": ["b"]}
    found = problems(
        {
            "templates": {"t": template},
            "tasks": [
                {"name": "one", "template": "t", "args": {"a": 1, "b": 1}},
                {"name": "two", "template": "t", "args": {"a": "1", "b": 2}},
            ],
        }
    )
    assert told(found) == {("name.duplicate", "/tasks/1/args")}
    assert "'one' and 'two'" in found[0].message


def test_a_document_without_templates_or_tasks_is_told(problems):
    assert told(problems({"templates": {"say": SAY}})) == {("shape.missing", "")}
    assert told(problems({"templates": None, "tasks": []}, format="workflow")) == {("shape.missing", "")}


def test_a_key_that_means_nothing_is_a_warning_or_with_strict_an_error(read, problems):
    document = {"templates": {"say": SAY}, "tasks": [{"template": "say", "args": {"word": 1}, "agrs": 1}]}
    read(document)
    assert told(problems(document, strict=True)) == {("shape.unknown_key", "/tasks/0/agrs")}


def test_a_resource_file_that_cannot_be_read_is_told(problems):
    document = {"templates": {"say": SAY}, "tasks": [{"template": "say", "args": {"word": 1}}], "yaml": "gone.json"}
    assert [problem.code for problem in problems(document)] == ["read.missing"]


def test_a_cycle_is_told(problems):
    found = problems(
        {
            "templates": {"say": SAY},
            "tasks": [
                {"name": "a", "template": "say", "args": {"word": 1}, "upstream_tasks": ["b"]},
                {"name": "b", "template": "say", "args": {"word": 2}, "upstream_tasks": ["a"]},
            ],
        }
    )
    assert [problem.code for problem in found] == ["graph.cycle"]


def test_an_empty_level_of_scales_turns_growth_off(read):
    plan = read(
        {
            "templates": {"say": {**SAY, "resource_scales": {"memory": 0.5}}},
            "tasks": [
                {"name": "on", "template": "say", "args": {"word": 1}},
                {"name": "off", "template": "say", "args": {"word": 2}, "resource_scales": {}},
            ],
        }
    )
    assert [task.policy.retries.scales for task in plan.graph.tasks] == [(("memory", 0.5),), ()]


def test_a_text_in_the_place_of_a_list_is_one_value_with_a_warning(tmp_path):
    path = tmp_path / "plan.json"
    document = {"templates": {"say": SAY}, "arrays": [{"template": "say", "args": {"word": "abc"}}]}
    path.write_text(json.dumps(document), encoding="utf-8")
    loaded = load([str(path)])
    assert [task.name for task in loaded.plan.graph.tasks] == ["say_word-abc"]
    assert [(problem.code, problem.location) for problem in loaded.warnings] == [("shape.type", "/arrays/0/args/word")]


def test_all_mistakes_of_the_resource_file_are_told(problems, tmp_path):
    levels = {"tool_resources": {"local": {"memory": "8X"}, "x": 5}, "other": {}}
    (tmp_path / "levels.json").write_text(json.dumps(levels), encoding="utf-8")
    (problem,) = problems({"templates": {"say": SAY}, "tasks": [], "yaml": "levels.json"})
    assert (problem.code, problem.location) == ("shape.value", "/yaml")
    for part in ("'other'", "local: memory: '8X'", "x: 5"):
        assert part in problem.message


def test_the_resource_file_is_a_source_of_the_plan(read, tmp_path):
    (tmp_path / "levels.json").write_text("{}", encoding="utf-8")
    document = {"templates": {"say": SAY}, "tasks": [], "yaml": "levels.json"}
    assert [(each.path, each.dialect) for each in read(document).sources] == [
        ("plan.json", "workflow"),
        ("levels.json", "resources"),
    ]


def test_scales_are_called_by_the_name_that_was_written(problems):
    found = problems({"templates": {"say": {**SAY, "resource_scales": {"runtime": True}}}, "tasks": []})
    assert "runtime: " in found[0].message
    assert "timeout" not in found[0].message


def test_what_a_cluster_has_no_use_for_is_told_once(tmp_path):
    path = tmp_path / "plan.json"
    asked = {"project": "p", "constraints": "c"}
    document = {
        "templates": {"say": {**SAY, "compute_resources": asked}},
        "arrays": [{"template": "say", "args": {"word": [1, 2]}}],
        "tasks": [
            {"template": "say", "args": {"word": 3}},
            {"template": "say", "args": {"word": 4}, "cluster_name": "far"},
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    told = [problem.message for problem in load([str(path)]).warnings]
    assert told == [f"array '0': compute_resources: cluster 'local' has no use for {key!r}" for key in asked]


def test_tasks_that_are_treated_alike_share_a_policy(read):
    alike = {"template": "say", "compute_resources": {"memory": "1G"}, "task_attributes": {"k": 1}}
    plan = read(
        {
            "templates": {"say": SAY},
            "tasks": [
                {**alike, "args": {"word": 1}},
                {**alike, "args": {"word": 2}},
                {**alike, "args": {"word": 3}, "task_attributes": {"k": True}},
            ],
        }
    )
    first, second, third = (task.policy for task in plan.graph.tasks)
    assert first is second
    assert dict(third.attributes) == {"k": "True"}


def test_a_mistake_is_told_of_each_task_that_has_it(problems):
    task = {"template": "say", "compute_resources": {"memory": "8X"}}
    found = problems({"templates": {"say": SAY}, "tasks": [{**task, "args": {"word": word}} for word in (1, 2)]})
    assert told(found) == {("unit.size", f"/tasks/{place}/compute_resources/memory") for place in (0, 1)}


def test_an_upstream_task_that_is_named_twice_is_one_edge_with_a_warning(tmp_path):
    path = tmp_path / "plan.json"
    tasks = [
        {"name": "a", "template": "say", "args": {"word": 1}},
        {"name": "b", "template": "say", "args": {"word": 2}, "upstream_tasks": ["a", "a"]},
    ]
    path.write_text(json.dumps({"templates": {"say": SAY}, "tasks": tasks}), encoding="utf-8")
    loaded = load([str(path)])
    assert [edge.name for edge in loaded.plan.graph["b"].dependencies] == ["a"]
    found = [(problem.code, problem.location) for problem in loaded.warnings]
    assert found == [("name.duplicate", "/tasks/1/upstream_tasks/1")]


def test_names_made_of_arguments_are_told_apart_as_in_python(read):
    words = ["a b", "a/b", "c"]
    plan = read(
        {
            "templates": {"say": SAY},
            "arrays": [{"template": "say", "args": {"word": words[:1] + words[2:]}}],
            "tasks": [{"template": "say", "args": {"word": "a/b"}}],
        }
    )
    template = weft.Tool("default").get_task_template("say", SAY["command_template"], SAY["node_args"])
    flow = template.tool.create_workflow("w")
    flow.add_tasks(template.create_tasks(word=["a b", "c", "a/b"]))
    assert [task.name for task in plan.graph.tasks] == [task.name for task in flow.tasks]
    assert [task.name for task in plan.graph.tasks][1] == "say_word-c"
    assert len({task.name for task in plan.graph.tasks}) == 3
