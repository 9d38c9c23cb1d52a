"""Modules that hold a workflow at their top are plans, for `weft run`, `compile` and `graph`."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.assemble.python_plans import load_python, refresh
from weft.errors import PlanError, Problem
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.spec.plan import Plan
from weft.spec.resources import MICRO

FLOW = """
import weft
tool = weft.Tool("survey")
say = tool.get_task_template("say", "echo {place} {log}", node_args=["place"], op_args=["log"])
flow = tool.create_workflow(workflow_args="x", name="a flow", max_concurrently_running=3)
says = say.create_tasks(place=["a", "b c"], log=1, resource_scales={"memory": [2, "4G"]})
flow.add_tasks(says)
"""


def read(folder: Path, source: str, name: str = "flow.py") -> Plan:
    (folder / "flow.py").write_text(source, encoding="utf-8")
    return load([name], cwd=str(folder), python=load_python, present=refresh).plan


def refusal(folder: Path, source: str, name: str = "flow.py") -> Problem:
    with pytest.raises(PlanError) as caught:
        read(folder, source, name)
    (problem,) = caught.value.problems()
    return problem


def test_a_workflow_at_the_top_of_a_module_is_its_plan(tmp_path: Path) -> None:
    plan = read(tmp_path, FLOW)
    assert [task.name for task in plan.graph.tasks] == ["say_place-a", "say_place-b_c"]
    assert plan.root == str(tmp_path)
    assert plan.limits["concurrency:a flow"] == 3 * MICRO
    assert plan.attributes["workflow"]["workflow_args"] == "x"
    assert set(plan.templates) == {"say"}


def test_it_compiles_to_a_document_that_is_the_same_plan(tmp_path: Path) -> None:
    compiled = compile_plan(read(tmp_path, FLOW))
    (tmp_path / "plan.json").write_bytes(compiled)
    assert compile_plan(load(["plan.json"], cwd=str(tmp_path)).plan) == compiled


def test_one_of_several_is_named(tmp_path: Path) -> None:
    source = (
        FLOW + "other = tool.create_workflow(workflow_args='y')\nother.add_task(say.create_task(place='z', log=2))\n"
    )
    problem = refusal(tmp_path, source)
    assert problem.code == "detect.ambiguous"
    assert "flow.py:flow" in str(problem.hint)
    assert [task.name for task in read(tmp_path, source, "flow.py:other").graph.tasks] == ["say_place-z"]


def test_a_workflow_beside_typed_tasks_is_told(tmp_path: Path) -> None:
    problem = refusal(tmp_path, FLOW + "registry = weft.Registry()\nregistry.task(lambda: 1, name='one')\n")
    assert problem.code == "detect.ambiguous"
    assert "'one'" in problem.message


@pytest.mark.parametrize("given", ["resource_scales={'memory': lambda old: old + 1}", "compute_resources=lambda: {}"])
def test_what_only_the_script_can_run_is_told(tmp_path: Path, given: str) -> None:
    problem = refusal(tmp_path, FLOW + f"flow.add_task(say.create_task(place='f', log=1, {given}))\n")
    assert problem.code == "workflow"
    assert "say_place-f" in problem.message
    assert "python" in str(problem.hint)


def test_a_script_that_runs_its_workflow_while_it_is_loaded_is_told_where(tmp_path: Path) -> None:
    problem = refusal(tmp_path, FLOW + "flow.run()\n")
    assert "__main__" in problem.message + str(problem.hint)
    assert problem.line == 8


def test_mistakes_of_a_workflow_are_told(tmp_path: Path) -> None:
    problem = refusal(tmp_path, FLOW + "says[0].add_upstream(says[1])\nsays[1].add_upstream(says[0])\n")
    assert "cycle" in problem.message
