"""Settings that workflows read: queues with the words of that API, clusters, what makes amounts grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import weft
from weft.assemble.clusters import ONE_AT_A_TIME, place_named, settle_clusters
from weft.assemble.workflows import raised
from weft.errors import ArgumentError, PlanError
from weft.scheduling.outcomes import Request
from weft.settings import read
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.resources import MICRO, Resources
from weft.spec.retries import Forgotten
from weft.spec.tasks import Policy, Task


def settings_of(folder: Path, text: str) -> Any:
    (folder / "weft.toml").write_text(text, encoding="utf-8")
    return read(str(folder), {})


# --- weft.toml ---------------------------------------------------------------------------------------------------------------


def test_queues_take_runtime_for_timeout_and_an_executor(tmp_path: Path) -> None:
    text = (
        '[queues.short]\nexecutor = "slurm"\ncores = 8\nmemory = "64G"\nruntime = "2h"\n[queues.long]\ntimeout = "7d"\n'
    )
    queues = settings_of(tmp_path, text)["queues"]
    assert dict(queues["short"]) == {"cores": 8000, "memory": 64 << 30, "timeout": 7200.0}
    assert dict(queues["long"]) == {"timeout": 7 * 86400.0}
    assert dict(queues.executors) == {"short": "slurm"}


def test_clusters_map_names_and_scale_on_is_read(tmp_path: Path) -> None:
    found = settings_of(tmp_path, '[clusters]\nslurm = "local"\n[workflow]\nscale_on = "any"\n')
    assert dict(found["clusters"]) == {"slurm": "local"}
    assert dict(found["workflow"]) == {"scale_on": "any"}


@pytest.mark.parametrize(
    "text",
    [
        '[queues.short]\nruntime = "2h"\ntimeout = "2h"\n',
        "[queues.short]\nexecutor = 3\n",
        "[clusters]\nslurm = 3\n",
        'clusters = "local"\n',
        '[workflow]\nscale_on = "some"\n',
        "[workflow]\nscale = 3\n",
    ],
)
def test_what_a_setting_does_not_take_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        settings_of(tmp_path, text)
    (problem,) = caught.value.problems()
    assert problem.code == "setting.value"
    assert problem.file == str(tmp_path / "weft.toml")


def test_a_workflow_takes_scale_on_from_the_settings_unless_it_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weft.toml").write_text('[workflow]\nscale_on = "any"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    tool = weft.Tool("survey")
    template = tool.get_task_template("fit", "true {x}", node_args=["x"])
    wf = tool.create_workflow()
    one, other = template.create_tasks(x=[1, 2])
    other.scale_on = "exhausted"
    wf.add_tasks([one, other])
    assert [task.policy.retries.scale_on for task in wf.plan().graph] == ["any", "exhausted"]


def test_patience_is_a_time_and_may_be_none() -> None:
    from weft.api.workflow_settings import Told, patience

    assert patience(Told(resume_timeout=0)) == 0
    assert patience(Told(resume_timeout="2m")) == 120
    with pytest.raises(ArgumentError, match="resume_timeout"):
        patience(Told(resume_timeout=-1))


# --- clusters ----------------------------------------------------------------------------------------------------------------


def plan_of(*clusters: str | None) -> Plan:
    tasks = [
        Task(f"t{number}", Command(("true",)), policy=Policy(executor=name)) for number, name in enumerate(clusters)
    ]
    return Plan(Graph(tasks), "/")


def executors_of(plan: Plan) -> list[str | None]:
    return [task.policy.executor for task in plan.graph]


def test_clusters_become_executors() -> None:
    plan = settle_clusters(plan_of(None, "local", "multiprocess", "dummy", "simulated", "noop"), {})
    assert executors_of(plan) == [None, None, None, "simulated", "simulated", "noop"]
    assert not plan.limits


def test_what_names_no_cluster_stays_the_very_plan() -> None:
    plan = plan_of(None, None)
    assert settle_clusters(plan, {"slurm": "local"}) is plan


def test_sequential_holds_the_one_unit_that_there_is() -> None:
    plan = settle_clusters(plan_of("sequential", "mine", None), {"mine": "sequential"})
    assert executors_of(plan) == [None, None, None]
    assert [task.policy.resources.units(ONE_AT_A_TIME) for task in plan.graph] == [MICRO, MICRO, 0]
    assert dict(plan.limits) == {ONE_AT_A_TIME: MICRO}


def test_every_cluster_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        settle_clusters(plan_of("slurm", "locl", "local", "far"), {"far": "mars"})
    problems = caught.value.problems()
    assert [problem.code for problem in problems] == ["cluster"] * 3
    assert "which the settings call 'mars'" in problems[0].message
    assert "did you mean 'local'" in (problems[1].hint or "")
    assert 'slurm = "local"' in (problems[2].hint or "")


def test_documents_have_other_names_placed_where_workflows_have_clusters() -> None:
    clusters = {"a": "sequential", "b": "dummy", "c": "multiprocess", "d": "noop", "e": "mars", "local": "noop"}
    names = (*"abcdef", None, "local", "simulated")
    plan = place_named(plan_of(*names), clusters)
    assert executors_of(plan) == [None, "simulated", None, "noop", "e", "f", None, "local", "simulated"]
    assert [task.policy.resources.units(ONE_AT_A_TIME) for task in plan.graph] == [MICRO, *[0] * 8]
    assert dict(plan.limits) == {ONE_AT_A_TIME: MICRO}
    alike = settle_clusters(plan_of(*"abcd"), clusters)
    assert executors_of(alike) == executors_of(plan)[:4] and alike.limits == plan.limits
    for same in (plan_of("e", "f", None, "local"), plan_of(None)):
        assert place_named(same, clusters) is same


def test_an_executor_that_runs_nothing_takes_all_clusters() -> None:
    assert executors_of(settle_clusters(plan_of("slurm", "mars"), {}, "noop")) == [None, None]


# --- what a resume asks for ------------------------------------------------------------------------------------------------


def policy(memory: int = 0, timeout: float | None = None, **more: Any) -> Policy:
    return Policy(resources=Resources.of({"memory": memory}), timeout=timeout, **more)


def request(memory: int, timeout: float | None = None, queue: str | None = None) -> Request:
    return Request(Resources.of({"memory": memory}).amounts, timeout, queue)


@pytest.mark.parametrize(
    ("was", "last", "now", "expected"),
    [
        (policy(8), request(8), policy(8), None),
        (policy(8), request(18), policy(8), request(18)),
        (policy(8), request(18), policy(9), request(18)),
        (policy(8), request(18), policy(32), None),
        (policy(8), request(8), policy(4), None),
        (policy(8), request(6), policy(8), None),  # a queue had cut it
        (policy(8), request(18), policy(0), None),
        (policy(timeout=10), request(0, 15), policy(timeout=10), request(0, 15)),
        (policy(timeout=10), request(0, 15), policy(timeout=60), None),
        (policy(timeout=10), request(0, 15), policy(timeout=None), None),
        (policy(8, queue="short"), request(18, queue="long"), policy(8, queue="short"), request(18, queue="long")),
        (policy(8, queue="short"), request(18, queue="long"), policy(8, queue="other"), request(18, queue="other")),
    ],
)
def test_what_scaling_raised_stays_unless_the_present_is_larger(
    was: Policy, last: Request, now: Policy, expected: Request | None
) -> None:
    assert raised(was, last, now) == expected


def test_what_a_function_gave_is_not_asked_for_again() -> None:
    asked = policy(8, ask=dict)
    assert raised(asked, request(2), asked) == request(2)
    assert raised(asked, request(8), asked) == request(8)
    assert raised(policy(8), request(2), asked) == request(2)
    told = request(8)._replace(besides=(("project", "p"), ("stdout", "o/")))
    before = policy(4, ask=Forgotten("survey.ask"))
    assert raised(before, told, policy(8, ask=dict)) == told
    assert raised(before, told, policy(8)) is None
    assert raised(policy(8), request(8), asked) is None  # nobody was asked then
    assert raised(policy(), request(5), policy(auto=frozenset({"memory"}))) == request(5)
