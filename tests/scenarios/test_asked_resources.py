"""Tasks that say what they need just before their first start, and what earlier runs say of tasks."""

from __future__ import annotations

from weft.scheduling.commands import SettleTask
from weft.scheduling.events import Inspected, RequestRecovered
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import Request
from weft.scheduling.scheduler import SchedulerOptions
from weft.scheduling.workload import QueueLimit
from weft.spec.retries import Retries
from weft.testing.scenario import Scenario, task


def asked() -> None:
    """What a policy holds; the scheduler never calls it."""


def request(cores: int, memory: int | None = None, timeout: float | None = None, queue: str | None = None) -> Request:
    amounts = {"cores": cores * 1000, **({} if memory is None else {"memory": memory})}
    return Request(tuple(sorted(amounts.items())), timeout, queue)


def test_a_task_is_asked_when_its_dependencies_are_ok() -> None:
    run = Scenario(task("a"), task("b", after=["a"], ask=asked))
    assert run.open(cores=4) == ["start a"]
    assert run.end("a") == ["close a ok", "settle a ok", "inspect b"]
    assert run.inspected("b", request=request(3)) == ["start b"]
    assert run.start_of("b").request == request(3)


def test_what_it_says_decides_whether_it_has_room() -> None:
    run = Scenario(task("a", resources={"cores": 2}), task("b", ask=asked))
    run.open(cores=4)
    assert run.inspected("b", request=request(3)) == []
    assert run.end("a") == ["close a ok", "settle a ok", "start b"]


def test_what_can_never_be_ends_it_before_the_start() -> None:
    run = Scenario(task("a", ask=asked))
    run.open(cores=4)
    assert run.inspected("a", request=request(5)) == ["settle a skipped unsatisfiable:cores"]


def test_a_function_that_says_nothing_usable_fails_its_task_and_skips_what_follows() -> None:
    run = Scenario(task("a", ask=asked), task("b", after=["a"]), task("c"))
    assert run.open(cores=4) == ["inspect a", "start c"]
    assert run.inspected("a", refusal="it raised") == ["settle a failed setup", "settle b skipped dependency:a"]
    assert run.of(SettleTask, "a")[0].detail == "it raised"


def test_later_attempts_use_and_scale_what_was_said_the_first_time() -> None:
    run = Scenario(task("a", ask=asked, retries=Retries(3)))
    run.open(cores=4, memory=1 << 30)
    run.inspected("a", request=request(1, memory=100))
    run.end("a", "exit:1")
    assert run.inspected("a") == ["start a #2"]
    assert run.start_of("a").request == request(1, memory=100)
    run.end("a", "memory")
    run.inspected("a")
    assert run.start_of("a").request == request(1, memory=150)


def test_a_request_above_the_limits_of_its_queue_is_cut() -> None:
    queues = {"short": QueueLimit({"cores": 2000}, 60.0)}
    run = Scenario(task("a", ask=asked), options=SchedulerOptions(queues=queues))
    run.open(cores=4)
    run.inspected("a", request=request(3, timeout=100.0, queue="short"))
    assert run.start_of("a").request == request(2, timeout=60.0, queue="short")


def test_a_recovered_request_stands_until_the_world_says_otherwise() -> None:
    run = Scenario(task("a", ask=asked))
    run.send(RequestRecovered(0, WHOLE, 1, request(2)))
    run.open(cores=4)
    assert run.send(Inspected(0)) == ["start a #2"]
    assert run.start_of("a").request == request(2)


def test_measured_durations_say_which_path_is_the_longest() -> None:
    tasks = [task("short"), task("long"), task("middle", duration=5.0)]
    run = Scenario(*tasks, options=SchedulerOptions(expected={0: 1.0, 1: 9.0, 2: 100.0}))
    assert run.open(cores=1) == ["start long"]
    assert run.end("long") == ["close long ok", "settle long ok", "start middle"]


def test_durations_of_tasks_that_take_no_part_mean_nothing() -> None:
    run = Scenario(task("a"), task("b"), options=SchedulerOptions(expected={0: 4.0}), select=["b"])
    assert run.open(cores=1) == ["start b"]
