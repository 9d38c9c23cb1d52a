"""Many tasks of one call, and all tasks of a template in a workflow (workflows.md 2.4)."""

from __future__ import annotations

import itertools
import random
import warnings
from typing import Any

import numpy as np
import pytest

from weft.define.templates import TaskTemplate
from weft.define.tools import Tool
from weft.define.workflows import WorkflowDraft
from weft.errors import WeftWarning

NO_LIMIT = 2**31 - 1


@pytest.fixture
def tool() -> Tool:
    return Tool("survey")


@pytest.fixture
def fit(tool: Tool) -> TaskTemplate:
    return tool.get_task_template("fit", "fit {a} {b} {data} {log}", ["a", "b"], ["data"], ["log"])


# --- create_tasks ------------------------------------------------------------------------------------------------------------


def test_the_last_named_argument_varies_fastest(fit: TaskTemplate) -> None:
    tasks = fit.create_tasks(a=[1, 2], b=["x", "y", "z"], data="d", log="l")
    expected = list(itertools.product([1, 2], ["x", "y", "z"]))
    assert [tuple(task.node_args.values()) for task in tasks] == expected
    turned = fit.create_tasks(b=["x", "y", "z"], data="d", a=[1, 2], log="l")
    assert [(t.node_args["b"], t.node_args["a"]) for t in turned] == list(itertools.product(["x", "y", "z"], [1, 2]))
    assert {task.name for task in turned} == {task.name for task in tasks}  # names follow the template


def test_names_commands_and_hashes_of_a_cross_product_are_those_of_single_tasks(tool: Tool) -> None:
    chance = random.Random(5)
    for _ in range(30):
        args = list("abcd")[: chance.randint(1, 4)]
        shuffled = chance.sample(args, len(args))
        template = tool.get_task_template("x" + "".join(args), "run " + " ".join(f"{{{a}}}" for a in args), args)
        columns = {a: [chance.choice([1, 2.5, "x y", None, ""]) for _ in range(chance.randint(1, 4))] for a in shuffled}
        together = template.create_tasks(**columns)
        alone = [
            template.create_task(**dict(zip(shuffled, row, strict=True)))
            for row in itertools.product(*(columns[a] for a in shuffled))
        ]
        assert [t.name for t in together] == [t.name for t in alone]
        assert [t.argv for t in together] == [t.argv for t in alone]
        assert [t.task_hash for t in together] == [t.task_hash for t in alone]


def test_any_iterable_is_a_list_of_values(fit: TaskTemplate) -> None:
    shapes: list[Any] = [[1, 2], (1, 2), range(1, 3), iter([1, 2]), (x for x in (1, 2)), np.arange(1, 3), {1: 0, 2: 0}]
    for values in shapes:
        tasks = fit.create_tasks(a=values, b=["x"], data="d", log="l")
        assert [task.argv for task in tasks] == [("fit", "1", "x", "d", "l"), ("fit", "2", "x", "d", "l")]


def test_the_order_of_a_set_is_the_same_in_every_process(fit: TaskTemplate) -> None:
    tasks = fit.create_tasks(a={"b", "c", "a", 10, 9}, b=["x"], data="d", log="l")
    assert [task.node_args["a"] for task in tasks] == [10, 9, "a", "b", "c"]


@pytest.mark.parametrize("text", ["north", b"north"])
def test_a_text_is_one_value_with_a_warning(fit: TaskTemplate, text: Any) -> None:
    with pytest.warns(WeftWarning, match="one value") as caught:
        tasks = fit.create_tasks(a=text, b=["x"], data="d", log="l")
    assert len(tasks) == 1
    assert caught[0].filename == __file__


def test_no_node_args_or_no_values_make_no_tasks(fit: TaskTemplate, tool: Tool) -> None:
    total = tool.get_task_template("total", "total {data}", task_args=["data"])
    assert total.create_tasks(data="d") == []
    assert fit.create_tasks(a=[], b=["x"], data="d", log="l") == []
    assert fit.create_tasks(a=[1], b=iter(()), data="d", log="l") == []


def test_arguments_are_checked_before_anything_else(fit: TaskTemplate) -> None:
    with pytest.raises(ValueError, match="'log'"):
        fit.create_tasks(a=[], b=[], data="d")
    with pytest.raises(ValueError, match="'lgo' \\(did you mean 'log'"):
        fit.create_tasks(a=[1], b=[1], data="d", lgo="x")
    with pytest.raises(ValueError, match="iterable"):
        fit.create_tasks(a=1, b=["x"], data="d", log="l")


def test_other_arguments_are_single_values(fit: TaskTemplate) -> None:
    (task,) = fit.create_tasks(a=[1], b=["x"], data=["d", 5], log="l")
    assert task.argv == ("fit", "1", "x", "['d', 5]", "l")


def test_a_given_name_stands_before_the_arguments(fit: TaskTemplate) -> None:
    tasks = fit.create_tasks(name="first fit", a=[1, 2], b=["x"], data="d", log="l")
    assert [task.name for task in tasks] == ["first fit_a-1_b-x", "first fit_a-2_b-x"]
    with pytest.raises(ValueError):
        fit.create_tasks(name="a\nb", a=[1], b=["x"], data="d", log="l")


def test_what_one_call_says_holds_for_all_its_tasks(fit: TaskTemplate) -> None:
    tasks = fit.create_tasks(
        max_attempts=2,
        compute_resources={"cores": 2},
        cluster_name="slurm",
        fallback_queues=["long"],
        task_attributes={"stage": 1},
        a=[1, 2],
        b=["x"],
        data="d",
        log="l",
    )
    for task in tasks:
        assert (task.max_attempts, task.cluster_name, task.fallback_queues) == (2, "slurm", ("long",))
        assert task.compute_resources == {"cores": 2}
        assert task.task_attributes == {"stage": "1"}


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "3", None])
def test_a_limit_is_a_whole_number(fit: TaskTemplate, tool: Tool, wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_concurrently_running"):
        fit.create_tasks(max_concurrently_running=wrong, a=[1], b=[1], data="d", log="l")
    with pytest.raises(ValueError, match="max_concurrently_running"):
        WorkflowDraft(tool, max_concurrently_running=wrong)


def test_many_tasks_cost_a_handle_each(fit: TaskTemplate) -> None:
    tasks = fit.create_tasks(a=range(20_000), b=["x"], data="d", log="l", upstream_tasks=[])
    assert len({id(task._block) for task in tasks}) == 1
    assert not hasattr(tasks[0], "__dict__")


def test_tasks_of_large_blocks_may_be_added_in_any_order_and_one_by_one(fit: TaskTemplate, tool: Tool) -> None:
    other = tool.get_task_template("other", "other {a}", ["a"])
    count = 8_000
    firsts = fit.create_tasks(a=range(count), b=["x"], data="d", log="l")
    seconds = other.create_tasks(a=range(count))
    workflow = WorkflowDraft(tool)
    for first, second in zip(firsts, reversed(seconds), strict=True):  # quadratic work would show as minutes
        second.add_upstream(first)
        workflow.add_task(first)
        workflow.add_task(second)
    graph = workflow.plan_spec().graph
    assert len(graph) == 2 * count
    assert len(graph.dependencies) == count
    assert firsts[7].downstream_tasks == {seconds[-8]}


# --- arrays of a workflow ----------------------------------------------------------------------------------------------------


def test_all_tasks_of_a_template_in_a_workflow_are_one_array(fit: TaskTemplate, tool: Tool) -> None:
    workflow = WorkflowDraft(tool)
    assert workflow.arrays == {}
    first = fit.create_tasks(a=[1, 2], b=["x"], data="d", log="l", compute_resources={"cores": 2})
    second = fit.create_tasks(a=[3], b=["x"], data="d", log="l", compute_resources={"memory": 1})
    single = fit.create_task(a=4, b="x", data="d", log="l")
    workflow.add_tasks(first)
    array = workflow.arrays["fit"]
    workflow.add_tasks([*second, single])
    assert workflow.arrays == {"fit": array}
    assert array.name == "fit"
    assert array.task_template is fit
    assert array.tasks == [*first, *second, single]
    assert len(array) == 4
    assert array.compute_resources == {"cores": 2, "memory": 2**30}
    assert array.max_concurrently_running == NO_LIMIT


def test_an_array_has_only_the_tasks_that_were_added(fit: TaskTemplate, tool: Tool) -> None:
    workflow = WorkflowDraft(tool)
    tasks = fit.create_tasks(a=range(5), b=["x"], data="d", log="l")
    workflow.add_tasks([tasks[3], tasks[1]])
    assert workflow.arrays["fit"].tasks == [tasks[3], tasks[1]]
    assert len(workflow.arrays["fit"]) == 2


def test_of_two_limits_the_smaller_one_holds_with_a_warning(fit: TaskTemplate, tool: Tool) -> None:
    workflow = WorkflowDraft(tool)
    calls = [
        fit.create_tasks(a=[number], b=["x"], data="d", log="l", max_concurrently_running=limit)
        for number, limit in enumerate([5, NO_LIMIT, 5, 3, 9])
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tasks in calls[:3]:
            workflow.add_tasks(tasks)
    for tasks, told in zip(calls[3:], ("5 and 3: 3", "3 and 9: 3"), strict=True):
        with pytest.warns(WeftWarning, match=told) as caught:
            workflow.add_task(tasks[0])
        assert caught[0].filename == __file__
    assert workflow.arrays["fit"].max_concurrently_running == 3
