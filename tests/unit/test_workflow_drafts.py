"""Workflows as plain values: what they refuse, and the plan that they become (workflows.md 3, 4, 6.1)."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from weft.define.templates import TaskTemplate
from weft.define.tools import Tool
from weft.define.workflow_tasks import WorkflowTask
from weft.define.workflows import WorkflowDraft
from weft.errors import (
    CyclicGraphError,
    DuplicateNodeArgsError,
    NodeDependencyNotExistError,
    UnknownTemplateError,
    WeftWarning,
)
from weft.formats.snapshot import restore, snapshot
from weft.spec.actions import Command, Shell
from weft.spec.resources import MICRO
from weft.spec.tasks import Dependency, Task

GIB = 2**30
NO_LIMIT = 2**31 - 1


@pytest.fixture
def tool() -> Tool:
    return Tool("survey")


@pytest.fixture
def fit(tool: Tool) -> TaskTemplate:
    return tool.get_task_template("fit", "fit {place} {data} {log}", ["place"], ["data"], ["log"])


@pytest.fixture
def total(tool: Tool) -> TaskTemplate:
    return tool.get_task_template("total", "total {data}", task_args=["data"])


@pytest.fixture
def draft(tool: Tool) -> WorkflowDraft:
    return WorkflowDraft(tool, "d5")


def fits(template: TaskTemplate, *places: Any, data: str = "d5", log: str = "l", **more: Any) -> list[WorkflowTask]:
    return template.create_tasks(place=places, data=data, log=log, **more)


def planned(draft: WorkflowDraft) -> dict[str, Task]:
    return {task.name: task for task in draft.plan_spec().graph.tasks}


# --- the object --------------------------------------------------------------------------------------------------------------


def test_empty_workflow_args_are_a_fresh_text_that_is_shown(tool: Tool) -> None:
    one, two = WorkflowDraft(tool), WorkflowDraft(tool)
    assert one.workflow_args
    assert one.workflow_args != two.workflow_args
    assert one.key != two.key


@pytest.mark.parametrize(
    "wrong", [{"workflow_args": 3}, {"name": 3}, {"name": "a\nb"}, {"description": 3}, {"workflow_attributes": "x"}]
)
def test_wrong_texts_are_refused(tool: Tool, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        WorkflowDraft(tool, **wrong)


def test_attributes_are_texts_and_later_ones_win(tool: Tool) -> None:
    draft = WorkflowDraft(tool, workflow_attributes={"a": 1, "b": 2})
    draft.add_attributes({"b": 3, "c": None})
    draft.add_attributes(["d"])
    assert draft.workflow_attributes == {"a": "1", "b": "3", "c": None, "d": None}
    with pytest.raises(ValueError):
        draft.add_attributes("e")  # type: ignore[arg-type]


def test_nothing_is_written_by_building_and_planning(
    tool: Tool, fit: TaskTemplate, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draft = WorkflowDraft(tool)
    draft.add_tasks(fits(fit, "n", "s"))
    draft.plan_spec()
    assert draft.hash
    assert os.listdir(tmp_path) == []


# --- adding ------------------------------------------------------------------------------------------------------------------


def test_tasks_stand_in_the_order_in_which_they_were_added(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    tasks = fits(fit, *"abcde")
    assert draft.add_task(tasks[3]) is tasks[3]
    draft.add_tasks(task for task in (tasks[1], tasks[4]))
    assert draft.tasks == [tasks[3], tasks[1], tasks[4]]
    assert [task.name for task in draft.plan_spec().graph] == ["fit_place-d", "fit_place-b", "fit_place-e"]
    assert draft.place_of(tasks[1]) == 1
    assert draft.place_of(tasks[0]) is None
    draft.tasks.clear()  # a copy
    assert len(draft.tasks) == 3


def test_the_same_task_again_is_refused(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    tasks = fits(fit, "n", "s")
    draft.add_tasks(tasks)
    for again in (tasks[0], fits(fit, "n")[0], fits(fit, "n", log="other")[0], fits(fit, "x", "n", "y")[1]):
        with pytest.raises(ValueError, match="already") as caught:
            draft.add_task(again)
        assert not isinstance(caught.value, DuplicateNodeArgsError)
    with pytest.raises(ValueError, match="already"):
        draft.add_tasks(fits(fit, "new", "s"))
    assert draft.tasks == tasks


def test_equal_nodes_with_other_task_args_are_refused(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, "n", "s"))
    with pytest.raises(DuplicateNodeArgsError, match="fit_place-s"):
        draft.add_task(fits(fit, "s", data="d6")[0])
    other = WorkflowDraft(draft.tool)
    with pytest.raises(DuplicateNodeArgsError):
        other.add_tasks([*fits(fit, "a", "b"), *fits(fit, "a", data="d6", name="other")])
    assert other.tasks == []


def test_a_repeated_value_in_one_call_is_a_duplicate(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    with pytest.raises(ValueError, match="already"):
        draft.add_tasks(fits(fit, 1, "1"))
    draft.add_tasks(fits(fit, 1, "1")[:1])


def test_names_are_unique_in_a_workflow(draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, "a b"))
    for second in (
        [total.create_task(name="fit_place-a_b", data="d")],
        [total.create_task(name="fit_place-x", data="d"), *fits(fit, "x")],
        [fit.create_task(name="same", place=place, data="d5", log="l") for place in "yz"],
    ):
        with pytest.raises(ValueError, match="names are unique"):
            draft.add_tasks(second)
    assert len(draft.tasks) == 1
    draft.add_tasks([fit.create_task(name="a/b", place="a/b", data="d5", log="l"), *fits(fit, "c d")])


def test_a_refused_call_leaves_no_trace(draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate) -> None:
    good, more = fits(fit, "a", "b"), fits(fit, "c", "d")
    with pytest.raises(ValueError):
        draft.add_tasks([*good, *more, total.create_task(data="d", name=good[0].name)])
    assert draft.tasks == []
    assert draft.arrays == {}
    draft.add_tasks([*more, *good])
    assert draft.tasks == [*more, *good]


@pytest.mark.parametrize("wrong", ["task", [1], [None], 3])
def test_only_tasks_can_be_added(draft: WorkflowDraft, wrong: Any) -> None:
    with pytest.raises(ValueError, match="tasks"):
        draft.add_tasks(wrong)


# --- looking up --------------------------------------------------------------------------------------------------------------


def test_tasks_are_found_by_their_node_args(draft: WorkflowDraft, tool: Tool, total: TaskTemplate) -> None:
    two = tool.get_task_template("two", "two {a} {b}", ["a", "b"])
    tasks = two.create_tasks(b=["x", "y"], a=[1, 2, 3])
    single = two.create_task(a=9, b="x")
    draft.add_tasks([*tasks[::-1], single, total.create_task(data="d")])

    def found(**kw: Any) -> list[tuple[Any, Any]]:
        return [(task.node_args["a"], task.node_args["b"]) for task in draft.get_tasks_by_node_args("two", **kw)]

    assert found(a=2) == found(a="2") == [(2, "y"), (2, "x")]
    assert found(a=[1, 9], b="x") == [(1, "x"), (9, "x")]
    assert found(a=[]) == found(a=7) == found(b=["xy"]) == []
    assert len(found()) == 7
    assert draft.get_tasks_by_node_args("total") == draft.tasks[-1:]


def test_unknown_templates_and_arguments_are_value_errors_with_the_nearest(
    draft: WorkflowDraft, fit: TaskTemplate
) -> None:
    draft.add_tasks(fits(fit, "n"))
    with pytest.raises(ValueError, match="did you mean 'fit'"):
        draft.get_tasks_by_node_args("fti", place="n")
    with pytest.raises(ValueError, match="did you mean 'place'"):
        draft.get_tasks_by_node_args("fit", plaec="n")
    with pytest.raises(ValueError, match="'data' is no node argument"):
        draft.get_tasks_by_node_args("fit", data="d5")


# --- limits ------------------------------------------------------------------------------------------------------------------


def test_limits_are_capacities_of_named_resources(tool: Tool, fit: TaskTemplate, total: TaskTemplate) -> None:
    draft = WorkflowDraft(tool, "d5", name="yearly", max_concurrently_running=7)
    draft.add_tasks([*fits(fit, "n", max_concurrently_running=2), total.create_task(data="d")])
    plan = draft.plan_spec()
    assert plan.limits == {
        "concurrency:yearly": 7 * MICRO,
        "concurrency:fit": 2 * MICRO,
        "concurrency:total": NO_LIMIT * MICRO,
    }
    for task, array in zip(plan.graph, ("fit", "total"), strict=True):
        assert task.policy.resources.units(f"concurrency:{array}") == MICRO
        assert task.policy.resources.units("concurrency:yearly") == MICRO
    draft.set_max_concurrently_running(0)
    draft.set_task_template_max_concurrency_limit("fit", limit=4)
    assert draft.max_concurrently_running == 0
    assert draft.plan_spec().limits == {**plan.limits, "concurrency:yearly": 0, "concurrency:fit": 4 * MICRO}


def test_a_workflow_and_a_template_of_one_name_have_limits_of_their_own(tool: Tool, fit: TaskTemplate) -> None:
    draft = WorkflowDraft(tool, name="fit", max_concurrently_running=5)
    draft.add_tasks(fits(fit, "n", max_concurrently_running=2))
    plan = draft.plan_spec()
    own = plan.attributes["workflow"]["limit"]
    assert own != "concurrency:fit"
    assert plan.limits == {own: 5 * MICRO, "concurrency:fit": 2 * MICRO}
    assert plan.graph.tasks[0].policy.resources.units(own) == MICRO


def test_limits_that_cannot_be_are_refused(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, "n"))
    with pytest.raises(KeyError, match="did you mean 'fit'"):
        draft.set_task_template_max_concurrency_limit("fitt", 3)
    with pytest.raises(UnknownTemplateError):
        WorkflowDraft(draft.tool).set_task_template_max_concurrency_limit("fit", 3)
    for wrong in (-1, True, 1.5, "3"):
        with pytest.raises(ValueError):
            draft.set_max_concurrently_running(wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            draft.set_task_template_max_concurrency_limit("fit", wrong)  # type: ignore[arg-type]


# --- edges -------------------------------------------------------------------------------------------------------------------


def test_dependencies_stand_in_plan_order_each_once(
    draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate
) -> None:
    a, b, c = fits(fit, "a", "b", "c")
    last = total.create_task(data="d", upstream_tasks=[c, a, c])
    last.add_upstreams([b, a])
    draft.add_tasks([last, b, a, c])  # any order
    tasks = planned(draft)
    assert tasks[last.name].dependencies == (Dependency(b.name), Dependency(a.name), Dependency(c.name))
    assert tasks[a.name].dependencies == ()


def test_an_equal_task_counts_as_the_one_that_was_added(
    draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate
) -> None:
    real = fits(fit, "a", "b")
    stands_in = fit.create_task(place="a", data="d5", log="another", name="never added")
    last = total.create_task(data="d", upstream_tasks=[stands_in])
    draft.add_tasks([*real, last])
    assert planned(draft)[last.name].dependencies == (Dependency("fit_place-a"),)


def test_upstreams_that_are_not_in_the_workflow_are_all_named(
    draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate
) -> None:
    a, b = fits(fit, "a", "b")
    other = fits(fit, "a", data="d6")[0]  # the same node, but another task
    last = total.create_task(data="d", upstream_tasks=[a, b, other])
    draft.add_tasks([a, last])
    for ask in (draft.plan_spec, lambda: draft.hash):
        with pytest.raises(NodeDependencyNotExistError) as caught:
            ask()  # type: ignore[no-untyped-call]
        assert str(caught.value).count("waits for") == 2
        assert "'fit_place-b'" in str(caught.value)


def test_many_missing_upstreams_are_counted(draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate) -> None:
    draft.add_task(total.create_task(data="d", upstream_tasks=fits(fit, *range(20))))
    with pytest.raises(NodeDependencyNotExistError, match="and 15 more"):
        draft.plan_spec()


def test_a_cycle_is_told_with_its_members(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    a, b, c = fits(fit, "a", "b", "c")
    a.add_upstream(b)
    b.add_upstream(c)
    c.add_upstream(a)
    draft.add_tasks([a, b, c])
    with pytest.raises(CyclicGraphError, match=r"fit_place-a.*fit_place-b.*fit_place-c"):
        draft.plan_spec()


def test_a_task_that_waits_for_itself_is_a_cycle(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    (a,) = fits(fit, "a")
    a.add_upstream(a)
    draft.add_task(a)
    with pytest.raises(CyclicGraphError):
        draft.plan_spec()


def test_a_long_chain_needs_no_deep_stack(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    tasks: list[WorkflowTask] = []
    for number in range(3000):
        tasks.append(fit.create_task(place=number, data="d", log="l", upstream_tasks=tasks[-1:]))
    draft.add_tasks(tasks)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        assert len(draft.plan_spec().graph.dependencies) == 2999
        assert draft.hash
    finally:
        sys.setrecursionlimit(limit)


# --- the plan ----------------------------------------------------------------------------------------------------------------


def test_a_plan_has_the_identity_and_the_templates_of_its_workflow(
    tool: Tool, fit: TaskTemplate, total: TaskTemplate
) -> None:
    draft = WorkflowDraft(tool, "d5", "yearly", "all places", {"owner": "me"})
    tasks = fits(fit, "n", "s")
    draft.add_tasks([*tasks, total.create_task(data="d", upstream_tasks=tasks)])
    plan = draft.plan_spec()
    assert (plan.key, plan.name, plan.description, plan.root) == (draft.key, "yearly", "all places", os.getcwd())
    assert plan.key.startswith("workflow:")
    workflow = plan.attributes["workflow"]
    assert {
        key: workflow[key] for key in ("tool", "version", "workflow_args", "name", "description", "attributes")
    } == {
        "tool": "survey",
        "version": 0,
        "workflow_args": "d5",
        "name": "yearly",
        "description": "all places",
        "attributes": {"owner": "me"},
    }
    assert workflow["templates"]["fit"] == [
        ["place"],
        ["data"],
        ["log"],
        fit.command.digest.hex(),
        "fit {place} {data} {log}",
    ]
    assert plan.templates["fit"].fields == {
        "command": ["fit", "{place}", "{data}", "{log}"],
        "parameter_roles": {"place": "node", "data": "task", "log": "op"},
    }
    assert WorkflowDraft(tool, "d5").plan_spec().name == "d5"


def test_tasks_of_a_template_share_their_action_and_their_policy(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, *range(5)))
    draft.add_tasks(fit.create_task(place=place, data="d5", log="l") for place in "abc")
    tasks = draft.plan_spec().graph.tasks
    assert len({id(task.action) for task in tasks}) == len({id(task.policy) for task in tasks}) == 1
    assert tasks[0].action == Command(("fit", "{place}", "{data}", "{log}"))
    assert tasks[0].policy.roles == {"place": "node", "data": "task", "log": "op"}
    assert tasks[0].policy.template == "fit"
    assert dict(tasks[1].parameters) == {"place": 1, "data": "d5", "log": "l"}
    assert tasks[1].parameters == {"log": "l", "data": "d5", "place": 1}
    assert "place" in tasks[1].parameters
    assert "x" not in tasks[1].parameters
    assert tasks[1].parameters.get("x") is None


def test_a_plan_is_the_same_when_it_comes_back_from_the_store(
    draft: WorkflowDraft, fit: TaskTemplate, total: TaskTemplate, tool: Tool
) -> None:
    shell = tool.get_task_template("pipe", "echo {word} | cat", ["word"])
    tasks = fits(fit, *range(9000), compute_resources={"memory": "1G", "runtime": "1h", "queue": "q"}, max_attempts=2)
    tasks[5].add_attribute("x", 1)
    draft.add_tasks([*tasks, total.create_task(data="d", upstream_tasks=tasks), *shell.create_tasks(word=["a b"])])
    plan = draft.plan_spec()
    again = restore(snapshot(plan))
    assert again.graph == plan.graph
    assert again.limits == plan.limits
    assert again.attributes == plan.attributes
    assert snapshot(again) == snapshot(plan)
    assert isinstance(again.graph["pipe_word-a_b"].action, Shell)


def test_everything_that_is_said_stands_in_the_policy(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    def ask() -> dict[str, Any]:
        return {"cores": 3}

    (task,) = fits(
        fit,
        "n",
        compute_resources={
            "cores": 1.5,
            "memory": "2G",
            "runtime": "1h30m",
            "queue": "short",
            "stdout": "logs",
            "gpu": 1,
            "license": 2,
            "project": "proj_x",
            "constraints": "archive",
        },
        compute_resources_callable=ask,
        resource_scales={"memory": 0.25, "runtime": [7200, 9000], "cores": float},
        cluster_name="slurm",
        fallback_queues=["long", "longer"],
        task_attributes={"stage": 1},
    )
    draft.add_task(task)
    policy = draft.plan_spec().graph.tasks[0].policy
    amounts = {name: value for name, value in policy.resources.as_json().items() if "concurrency" not in name}
    assert amounts == {"cores": 1.5, "memory": 2 * GIB, "gpu": 1, "license": 2}
    assert policy.timeout == 5400
    assert (policy.executor, policy.queue, policy.ask) == ("slurm", "short", ask)
    assert policy.copies == {"stdout": "logs"}
    assert policy.directives == {"project": "proj_x", "constraints": "archive"}
    assert policy.attributes == {"stage": "1"}
    assert policy.retries.max_attempts == 3
    assert policy.retries.fallback_queues == ("long", "longer")
    assert policy.retries.scales == (("cores", float), ("memory", 0.25), ("timeout", (7200, 9000)))
    assert policy.retries.scale_on == "exhausted"


def test_unset_is_one_core_no_limits_three_attempts_and_no_cluster(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, "n"))
    policy = draft.plan_spec().graph.tasks[0].policy
    assert policy.resources.units("cores") == 1000
    assert policy.resources.memory_bytes is None
    assert (policy.timeout, policy.queue, policy.executor) == (None, None, None)
    assert policy.retries.max_attempts == 3
    assert policy.retries.scales is None
    assert policy.cache == "auto"


def test_memory_may_be_left_to_history(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, "n", compute_resources={"memory": "auto"}))
    policy = draft.plan_spec().graph.tasks[0].policy
    assert policy.auto == {"memory"}
    assert policy.resources.memory_bytes is None


def test_scale_on_comes_from_the_nearest_level(draft: WorkflowDraft, fit: TaskTemplate, tool: Tool) -> None:
    first, second = fits(fit, "a", "b")
    draft.add_tasks([first, second])

    def seen(told: str = "exhausted") -> list[str]:
        return [task.policy.retries.scale_on for task in draft.plan_spec(told).graph]

    assert seen() == ["exhausted"] * 2
    assert seen("any") == ["any"] * 2  # as the settings say
    for level in (tool, draft, fit):
        level.scale_on = "any"
        assert seen() == ["any"] * 2
        level.scale_on = "exhausted"
        assert seen("any") == ["exhausted"] * 2
    second.scale_on = "any"
    assert seen() == ["exhausted", "any"]


def test_what_one_task_says_later_is_its_own(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    tasks = fits(fit, *range(4), compute_resources={"memory": "1G"})
    draft.add_tasks(tasks)
    before = draft.plan_spec()
    tasks[2].update_compute_resources(memory="2G")
    tasks[3].update_compute_resources(memory="2G")
    after = draft.plan_spec().graph.tasks
    assert [task.policy.resources.memory_bytes for task in after] == [GIB, GIB, 2 * GIB, 2 * GIB]
    assert len({id(task.policy) for task in after}) == 2
    assert {task.policy.resources.memory_bytes for task in before.graph} == {GIB}


def test_two_versions_of_a_template_stand_side_by_side(draft: WorkflowDraft, fit: TaskTemplate, tool: Tool) -> None:
    old = fits(fit, "a")
    changed = tool.get_task_template("fit", "refit {place}", ["place"])
    draft.add_tasks([*old, changed.create_task(place="b")])
    plan = draft.plan_spec()
    assert [task.policy.template for task in plan.graph] == ["fit", "fit#2"]
    assert plan.templates["fit#2"].fields["command"] == ["refit", "{place}"]
    assert draft.arrays["fit"].task_template is changed
    assert len(draft.arrays["fit"].tasks) == 2
    assert plan.graph.tasks[1].policy.resources.units("concurrency:fit") == MICRO
    assert plan.with_graph(plan.graph).graph is plan.graph  # every template is known


def test_what_a_cluster_cannot_use_is_warned_of_once(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    draft.add_tasks(fits(fit, "a", "b", compute_resources={"project": "p"}))
    draft.add_tasks(fits(fit, "c", compute_resources={"project": "q"}))
    draft.add_tasks(fits(fit, "d", compute_resources={"project": "q"}, cluster_name="slurm"))
    with pytest.warns(WeftWarning, match="'local' has no use for 'project'") as caught:
        draft.plan_spec()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draft.plan_spec()


def test_a_function_that_cannot_be_hashed_is_no_obstacle(draft: WorkflowDraft, fit: TaskTemplate) -> None:
    class Grow:
        def __eq__(self, other: object) -> bool:
            return self is other

        def __call__(self, old: float) -> float:
            return old * 2

    draft.add_tasks(fits(fit, "a", "b", resource_scales={"cores": Grow()}))
    scales = draft.plan_spec().graph.tasks[1].policy.retries.scales
    assert scales is not None
    (name, scale) = scales[0]
    assert name == "cores"
    assert Grow.__hash__ is None  # type: ignore[comparison-overlap]
    assert callable(scale)
    assert scale(2) == 4


# --- the hash ----------------------------------------------------------------------------------------------------------------


def build(
    change: Callable[[list[WorkflowTask], WorkflowTask], None] | None = None, data: str = "d", log: str = "l"
) -> str:
    tool = Tool("survey")
    fit = tool.get_task_template("fit", "fit {place} {data} {log}", ["place"], ["data"], ["log"])
    total = tool.get_task_template("total", "total {data}", task_args=["data"])
    tasks = fit.create_tasks(place=["abc", "x", "y"], data=data, log=log)
    last = total.create_task(data="d", upstream_tasks=tasks[1:])
    if change is not None:
        change(tasks, last)
    draft = WorkflowDraft(tool, "w")
    draft.add_tasks([last, *tasks[::-1]])
    return draft.hash


def test_the_hash_is_of_identity_tasks_and_edges_only() -> None:
    same = build()
    assert build(log="other") == same
    assert build(lambda tasks, last: last.update_compute_resources(cores=4)) == same
    assert build(data="other") != same
    assert build(lambda tasks, last: last.add_upstream(tasks[0])) != same
    assert build(lambda tasks, last: tasks[0].add_upstream(tasks[1])) != same
    assert build(lambda tasks, last: tasks.pop(0) and None) != same


def test_the_hash_is_the_same_in_every_process() -> None:
    code = "from tests.unit.test_workflow_drafts import build; print(build())"
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for seed in ("1", "2"):
        path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == build()


def test_a_workflow_shows_what_it_inherits_from_its_tool(tool: Tool) -> None:
    workflow = WorkflowDraft(tool)
    assert (workflow.default_cluster_name, workflow.default_max_attempts) == ("", None)
    tool.set_default_cluster_name("slurm")
    tool.set_default_max_attempts(7)
    assert (workflow.default_cluster_name, workflow.default_max_attempts) == ("slurm", 7)
    workflow.set_default_cluster_name("local")
    workflow.set_default_max_attempts(2)
    assert (workflow.default_cluster_name, workflow.default_max_attempts) == ("local", 2)


def names_by_place(draft: WorkflowDraft) -> dict[str, str]:
    return {str(task.values["place"]): task.name for task in draft.tasks}


@pytest.mark.parametrize("order", [("a b", "a/b", "c", "a'b"), ("a'b", "c", "a/b", "a b")])
def test_default_names_that_values_do_not_tell_apart_end_in_what_does(order: tuple[str, ...]) -> None:
    found = []
    for is_one_call in (True, False):
        tool = Tool("t")
        template = tool.get_task_template("t", "echo {place}", ["place"])
        draft = WorkflowDraft(tool, "w")
        if is_one_call:
            draft.add_tasks(template.create_tasks(place=order))
        else:
            for place in order:
                draft.add_task(template.create_task(place=place))
        found.append(names_by_place(draft))
        for task in draft.tasks:
            is_plain = task.values["place"] == "c"
            assert task.name == ("t_place-c" if is_plain else f"t_place-a_b_{task.node_hash[:16]}")
        assert [*draft.plan_spec().graph.names(range(4))] == [task.name for task in draft.tasks]
    assert found[0] == found[1]


def test_arguments_whose_pieces_run_together_have_names_of_their_own() -> None:
    tool = Tool("t")
    template = tool.get_task_template("t", "echo {x} {y}", ["x", "y"])
    draft = WorkflowDraft(tool, "w")
    draft.add_tasks([template.create_task(x="1_y-2", y="3"), template.create_task(x="1", y="2_y-3")])
    names = [task.name for task in draft.tasks]
    assert len(set(names)) == 2
    assert all(name.startswith("t_x-1_y-2_y-3_") for name in names)


def test_a_name_that_was_given_or_is_recorded_is_never_changed() -> None:
    tool = Tool("t")
    template = tool.get_task_template("t", "echo {place}", ["place"])
    draft = WorkflowDraft(tool, "w")
    draft.add_task(template.create_task(name="t_place-a_b", place="first"))
    with pytest.raises(ValueError, match="names are unique"):
        draft.add_task(template.create_task(place="a b"))
    assert [task.name for task in draft.tasks] == ["t_place-a_b"]
    other = WorkflowDraft(tool, "v")
    task = template.create_task(place="a b")
    other.add_task(task)
    draft = WorkflowDraft(tool, "u")
    draft.add_task(task)
    later = draft.add_task(template.create_task(place="a/b"))
    assert (task.name, later.name) == (
        "t_place-a_b",
        f"t_place-a_b_{later.node_hash[:16]}",
    )  # `other` knows it by this one
    with pytest.raises(ValueError, match="names are unique"):
        draft.add_task(template.create_task(name=later.name, place="z"))


def test_scale_on_is_said_where_a_level_is_made() -> None:
    tool = Tool("t")
    template = tool.get_task_template("t", "echo {x}", ["x"], scale_on="any")
    assert (template.scale_on, tool.create_workflow("w", scale_on="any").scale_on) == ("any", "any")
    one = template.create_task(x=1, scale_on="exhausted")
    (many,) = template.create_tasks(x=[2], scale_on="exhausted")
    draft = WorkflowDraft(tool, "w")
    draft.add_tasks([one, many, template.create_task(x=3)])
    assert [task.policy.retries.scale_on for task in draft.plan_spec().graph] == ["exhausted", "exhausted", "any"]
    with pytest.raises(ValueError, match="scale_on"):
        template.create_task(x=4, scale_on="all")  # type: ignore[arg-type]
