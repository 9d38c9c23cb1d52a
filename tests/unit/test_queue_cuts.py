"""What is told of first requests above the limits of their queue, and of functions that only a script has."""

from __future__ import annotations

from weft.assemble.queue_cuts import cuts
from weft.assemble.run_settings import RunSettings, check_supported, forgotten
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.resources import Resources
from weft.spec.retries import Forgotten, Retries
from weft.spec.tasks import Policy, Task

QUEUES = {"short": {"cores": 2000, "memory": 70 << 20, "timeout": 60.0}}


def tasks(*policies: Policy) -> list[Task]:
    return [Task(f"t{number}", Command(("true",)), policy=policy) for number, policy in enumerate(policies)]


def asking(queue: str | None, timeout: float | None = None, **amounts: float) -> Policy:
    return Policy(resources=Resources.of(amounts), timeout=timeout, queue=queue)


def test_what_is_above_the_limits_of_its_queue_is_told_once_for_tasks_that_are_treated_alike() -> None:
    much = asking("short", 90, cores=2, memory=1 << 30)
    fits, elsewhere, nowhere = asking("short", 60, cores=2), asking("long", 90, cores=9), asking(None, 90, cores=9)
    found = list(cuts(tasks(fits, much, elsewhere, much, nowhere), QUEUES))
    assert found == ["task 't1' asks for more than queue 'short' allows: memory 1G of 70M, runtime 1m 30s of 1m"]
    assert list(cuts(tasks(much), {})) == []


def test_a_run_of_any_door_says_that_requests_are_cut() -> None:
    plan = Plan(Graph(tasks(asking("short", cores=3))), "/")
    (text,) = check_supported(plan, RunSettings(queues=QUEUES))
    assert text == "task 't0' asks for more than queue 'short' allows: cores 3 of 2; it is cut to that"


def test_functions_that_only_the_script_has_are_told_once_each() -> None:
    asked = Policy(ask=Forgotten("survey.ask"))
    scaled = Policy(retries=Retries(3, scales=(("memory", Forgotten("survey.grow")), ("timeout", 0.5))))
    own = Policy(ask=dict, retries=Retries(3, scales=(("memory", lambda old: old),)))
    plan = Plan(Graph(tasks(asked, scaled, asked, own)), "/")
    told = [*forgotten(plan, range(4))]
    assert [text.split(",")[0] for text in told] == ["survey.ask", "survey.grow"]
    assert [*forgotten(plan, [3])] == []
