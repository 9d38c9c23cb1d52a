"""Tasks of a workflow that is being built: identity, edges, attributes, levels (workflows.md 3, 4.1, 5)."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from weft.define.templates import TaskTemplate
from weft.define.tools import Tool
from weft.define.workflow_tasks import WorkflowTask
from weft.define.workflows import WorkflowDraft
from weft.errors import ArgumentError, InvalidMemoryUnit

GIB = 2**30


def a_template(tool: Tool | None = None, **more: Any) -> TaskTemplate:
    return (tool or Tool("t")).get_task_template(
        "fit", "fit {a} {b} {data} {log}", ["a", "b"], ["data"], ["log"], **more
    )


def a_task(
    a: Any = 1, b: Any = 2, data: Any = "d", log: Any = "l", template: TaskTemplate | None = None, **more: Any
) -> WorkflowTask:
    return (template or a_template()).create_task(a=a, b=b, data=data, log=log, **more)


def some_tasks(count: int) -> list[WorkflowTask]:
    return a_template().create_tasks(a=range(count), b=[0], data="d", log="l")


# --- identity ----------------------------------------------------------------------------------------------------------------


def test_values_count_by_their_text() -> None:
    ones = [a_task(a=value) for value in (1, "1", np.int64(1), np.int8(1))]
    assert len(set(ones)) == 1
    assert len({task.task_hash for task in ones}) == 1
    others = [a_task(a=value) for value in (1, 1.0, True, None, "", [1], (1,), b"1", "None ", {"x": 1})]
    assert len(set(others)) == len(others)


def test_identities_cannot_collide_by_joining_texts() -> None:
    pairs = [("a_b", "c"), ("a", "b_c"), ("69", "6"), ("6", "96"), ("", "696"), ("696", ""), ("a=1", "b"), ("a", "=1b")]
    tasks = [a_task(a=a, b=b) for a, b in pairs]
    assert len({task.node_hash for task in tasks}) == len(pairs)
    assert a_task(a="x", b="y") != a_task(a="y", b="x")


def test_node_args_make_the_node_task_args_the_task_and_op_args_nothing() -> None:
    task = a_task()
    assert a_task(data="e").node_hash == task.node_hash
    assert a_task(data="e").task_hash != task.task_hash
    more = {"max_attempts": 9, "compute_resources": {"cores": 3}, "task_attributes": {"x": 1}, "name": "other"}
    assert a_task(log="other", **more) == task
    assert hash(a_task(log="other", **more)) == hash(task)


def test_a_task_made_alone_is_the_task_made_with_others() -> None:
    template = a_template()
    together = template.create_tasks(b=["x", "y"], a=[1, 2.5, None], data="d", log="l")
    alone = [
        template.create_task(a=a, b=b, data="d", log="l") for b, a in itertools.product(["x", "y"], [1, 2.5, None])
    ]
    assert together == alone
    for one, other in zip(together, alone, strict=True):
        assert (one.name, one.node_hash, one.argv, one.command, one.values) == (
            other.name,
            other.node_hash,
            other.argv,
            other.command,
            other.values,
        )


def test_order_follows_the_task_hash() -> None:
    tasks = some_tasks(20)
    assert [task.task_hash for task in sorted(tasks)] == sorted(task.task_hash for task in tasks)
    low, high = sorted(tasks)[:2]
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert low != high
    assert low != "low"
    with pytest.raises(TypeError):
        _ = low < 3  # type: ignore[operator]


def test_identities_are_the_same_in_every_process() -> None:
    code = (
        "from weft.define.tools import Tool\n"
        "t = Tool('t').get_task_template('fit', 'fit {a} {b} {data} {log}', {'a', 'b'}, ['data'], ['log'])\n"
        "task = t.create_task(a=1, b='ä', data=2.5, log='x')\n"
        "print(task.node_hash, task.task_hash, hash(task))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    task = a_task(1, "ä", 2.5, "y")
    assert seen == {f"{task.node_hash} {task.task_hash} {hash(task)}\n"}


# --- edges -------------------------------------------------------------------------------------------------------------------


def test_upstreams_and_downstreams_are_symmetric_however_they_are_said() -> None:
    a, b, c, d, e = some_tasks(5)
    b.add_upstream(a)
    c.add_upstreams([a, b])
    d.add_downstream(e)
    a.add_downstreams([d])
    assert b.upstream_tasks == {a}
    assert c.upstream_tasks == {a, b}
    assert a.downstream_tasks == {b, c, d}
    assert b.downstream_tasks == {c}
    assert e.upstream_tasks == {d}
    assert a.upstream_tasks == e.downstream_tasks == frozenset()


@pytest.mark.parametrize("count", [3, 64, 65, 500])
def test_a_fan_in_is_seen_from_both_sides(count: int) -> None:
    tasks = some_tasks(count)
    total = a_task("total", upstream_tasks=tasks[1:])
    later = a_task("later", upstream_tasks=[total])
    assert total.upstream_tasks == set(tasks[1:])
    assert tasks[0].downstream_tasks == frozenset()
    assert all(task.downstream_tasks == {total} for task in tasks[1:])
    assert total.downstream_tasks == {later}


@pytest.mark.parametrize("count", [2, 100])
def test_all_tasks_of_one_call_share_their_upstreams(count: int) -> None:
    firsts = some_tasks(count)
    seconds = a_template(Tool("t2")).create_tasks(a=["x", "y"], b=["z"], data="d", log="l", upstream_tasks=firsts)
    assert all(task.upstream_tasks == set(firsts) for task in seconds)
    assert all(task.downstream_tasks == set(seconds) for task in firsts)
    seconds[0].add_upstream(seconds[1])
    assert seconds[1].downstream_tasks == {seconds[0]}
    assert seconds[1].upstream_tasks == set(firsts)
    assert seconds[0].upstream_tasks == {*firsts, seconds[1]}


def test_an_upstream_twice_is_one() -> None:
    a, b = some_tasks(2)
    b.add_upstreams([a, a])
    b.add_upstream(a)
    again = a_task("again", upstream_tasks=[a, a])
    assert b.upstream_tasks == again.upstream_tasks == {a}
    assert a.downstream_tasks == {b, again}


def test_only_tasks_can_be_waited_for() -> None:
    a = a_task()
    for wrong in ("a", None, 3):
        with pytest.raises(ArgumentError, match="no task"):
            a.add_upstream(wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        a.add_downstreams(["b"])  # type: ignore[list-item]
    assert a.upstream_tasks == frozenset()


# --- attributes --------------------------------------------------------------------------------------------------------------


def test_attributes_are_kept_as_texts() -> None:
    assert a_task(task_attributes={"place": 1, 2: 2.5, "none": None}).task_attributes == {
        "place": "1",
        "2": "2.5",
        "none": None,
    }
    task = a_task(task_attributes=["draft", "final"])
    assert task.task_attributes == {"draft": None, "final": None}
    task.add_attribute("draft", 3)
    task.add_attribute("more", "x")
    assert task.task_attributes == {"draft": "3", "final": None, "more": "x"}
    task.task_attributes["lost"] = "x"  # a copy
    assert "lost" not in task.task_attributes


@pytest.mark.parametrize("wrong", ["place", 3, {"a"}, ("a",), {"": 1}])
def test_attributes_of_other_kinds_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="attributes"):
        a_task(task_attributes=wrong)
    with pytest.raises(ValueError, match="attributes"):
        a_template().create_tasks(a=[1], b=[1], data="d", log="l", task_attributes=wrong)


def test_an_attribute_of_one_task_is_no_attribute_of_its_siblings() -> None:
    first, second = some_tasks(2)
    first.add_attribute("only", "here")
    assert second.task_attributes == {}


# --- levels ------------------------------------------------------------------------------------------------------------------


def test_attempts_come_from_the_nearest_level_that_says_them() -> None:
    tool = Tool("t")
    template = a_template(tool)
    workflow = WorkflowDraft(tool)
    (sibling,) = template.create_tasks(a=[9], b=[9], data="d", log="l", max_attempts=6)
    task = a_task(template=template)
    workflow.add_tasks([task, sibling])
    assert task.max_attempts == 3
    tool.set_default_max_attempts(2)
    assert task.max_attempts == 2
    workflow.set_default_max_attempts(4)
    assert task.max_attempts == 4
    template.set_default_max_attempts(5)
    assert (task.max_attempts, sibling.max_attempts) == (5, 6)
    task.max_attempts = 7
    assert task.max_attempts == 7
    task.max_attempts = None  # type: ignore[assignment]
    assert task.max_attempts == 5
    with pytest.raises(ValueError):
        task.max_attempts = 0


def test_resources_merge_key_by_key_over_all_levels() -> None:
    tool = Tool("t")
    tool.set_default_compute_resources_from_dict("*", {"cores": 1, "memory": "1G", "runtime": 1, "queue": "tool"})
    workflow = WorkflowDraft(
        tool, default_compute_resources_set={"slurm": {"memory": "2G", "runtime": 2, "disk": "1G"}}
    )
    template = a_template(tool, default_compute_resources={"runtime": 3, "gpu": 1})
    (task,) = template.create_tasks(
        a=[1], b=[1], data="d", log="l", compute_resources={"gpu": 2}, cluster_name="slurm", resource_scales={"gpu": 1}
    )
    workflow.add_task(task)
    expected = {"cores": 1, "memory": 2 * GIB, "runtime": 3, "queue": "tool", "disk": GIB, "gpu": 2}
    assert task.compute_resources == expected
    task.update_compute_resources(gpu=3, memory="500M")
    assert task.compute_resources == {**expected, "gpu": 3, "memory": 500 * 2**20}
    task.update_compute_resources(memory=None)
    assert task.compute_resources == {**expected, "gpu": 3}
    with pytest.raises(InvalidMemoryUnit):
        task.update_compute_resources(memory="3Q")


def test_the_cluster_comes_from_the_nearest_level_that_names_one() -> None:
    tool = Tool("t")
    template = a_template(tool)
    workflow = WorkflowDraft(tool)
    task = a_task(template=template)
    workflow.add_task(task)
    assert task.cluster_name == "local"
    tool.set_default_cluster_name("from-tool")
    assert task.cluster_name == "from-tool"
    workflow.set_default_cluster_name("from-workflow")
    assert task.cluster_name == "from-workflow"
    template.set_default_cluster_name("from-template")
    assert task.cluster_name == "from-template"
    task.cluster_name = "own"
    assert task.cluster_name == "own"


def test_scales_merge_and_an_empty_level_turns_them_off() -> None:
    tool = Tool("t")
    tool.set_default_resource_scales_from_dict("*", {"memory": 1, "cores": 2})
    template = a_template(tool)
    assert a_task().resource_scales is None
    assert a_task(template=template).resource_scales == {"memory": 1, "cores": 2}
    assert a_task(template=template, resource_scales={"memory": 3}).resource_scales == {"memory": 3, "cores": 2}
    off = a_task(template=template, resource_scales={})
    assert off.resource_scales == {}
    off.update_resource_scales(runtime=0.5)
    assert off.resource_scales == {"runtime": 0.5}
    off.update_resource_scales(runtime=None)
    assert off.resource_scales == {}
    off.update_resource_scales()
    assert off.resource_scales == {}
    own = a_task(template=template, resource_scales={"memory": 3})
    own.update_resource_scales(memory=None)
    assert own.resource_scales == {"memory": 1, "cores": 2}


def test_an_iterator_of_amounts_gives_every_task_the_same_ones() -> None:
    template = a_template()
    amounts = iter([2, 4, 8])
    first = a_task(template=template, resource_scales={"memory": amounts})
    second = a_task(a=2, template=template, resource_scales={"memory": amounts}, max_attempts=10)
    workflow = WorkflowDraft(template.tool)
    workflow.add_tasks([first, second])
    one, two = (task.policy.retries.scales for task in workflow.plan_spec().graph)
    assert one == (("memory", (2 * GIB, 4 * GIB)),)  # three attempts want two more amounts
    assert two == (("memory", (2 * GIB, 4 * GIB, 8 * GIB)),)


def test_an_endless_iterator_is_read_only_as_far_as_attempts_go() -> None:
    asked: list[int] = []

    def amounts() -> Any:
        for number in itertools.count(1):
            asked.append(number)
            yield number

    task = a_task(resource_scales={"runtime": amounts()}, max_attempts=4)
    assert asked == [1, 2, 3]
    assert len(asked) == task.max_attempts - 1


# --- before it is bound ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["task_id", "initial_status", "final_status", "state", "cause", "attempts"])
def test_what_a_store_knows_is_no_attribute_before_the_workflow_is_bound(member: str) -> None:
    task = a_task()
    WorkflowDraft(Tool("t")).add_task(task)
    with pytest.raises(AttributeError, match="bound"):
        getattr(task, member)
    assert not task.is_bound


def test_usage_of_a_task_that_is_not_bound_is_an_error_and_it_has_no_errors() -> None:
    task = a_task()
    with pytest.raises(RuntimeError, match="not bound"):
        task.resource_usage()
    assert task.get_errors() is None


class _Store:
    """A binding that answers with what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def answer(task: WorkflowTask) -> Any:
            self.asked.append(task.name)
            return name

        return answer


def test_a_bound_task_asks_the_latest_workflow_that_it_was_added_to() -> None:
    task, other = some_tasks(2)
    first, second = WorkflowDraft(Tool("t")), WorkflowDraft(Tool("t"))
    first.add_task(task)
    second.add_tasks([task])
    first.add_task(other)
    stores = _Store(), _Store()
    first.binding, second.binding = stores  # type: ignore[assignment]
    assert task.task_id == "task_id"  # type: ignore[comparison-overlap]
    assert task.resource_usage() == "resource_usage"  # type: ignore[comparison-overlap]
    assert other.get_errors() == "get_errors"  # type: ignore[comparison-overlap]
    assert stores[0].asked == [other.name]
    assert stores[1].asked == [task.name] * 2
    assert task.is_bound
