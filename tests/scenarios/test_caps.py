"""Caps on how many tasks of a workflow or a template are live, and their change while the run goes on (workflows.md 6.1)."""

from __future__ import annotations

from weft.scheduling.commands import Mention
from weft.scheduling.events import CapacityChanged, LimitChanged
from weft.spec.compute import limit_name
from weft.spec.resources import MICRO, MILLI
from weft.spec.tasks import Task
from weft.testing.scenario import Scenario, task

FIT, SUM = limit_name("fit"), limit_name("sum")


def capped(name: str, cap: str, cores: float = 1) -> Task:
    return task(name, resources={"cores": cores, cap: 1})


def change(run: Scenario, cap: str, count: int | None) -> list[str]:
    return run.send(LimitChanged(cap, None if count is None else count * MICRO))


def test_a_cap_of_zero_pauses_and_ends_nothing() -> None:
    run = Scenario(capped("a", FIT), capped("b", FIT), capped("c", SUM))
    assert run.open(cores=9, **{FIT: 0, SUM: 9}) == ["start c"]
    assert run.end("c") == ["close c ok", "settle c ok"]
    assert not run.is_finished
    assert change(run, FIT, 1) == ["start a"]
    assert run.end("a") == ["close a ok", "settle a ok", "start b"]


def test_a_cap_that_is_lowered_ends_nothing_and_starts_nothing() -> None:
    run = Scenario(*(capped(str(number), FIT) for number in range(5)))
    run.open(cores=9, **{FIT: 3})
    assert change(run, FIT, 1) == []
    assert run.running == ["0", "1", "2"]
    run.end("0")
    run.end("1")
    assert run.running == ["2"]
    assert run.end("2")[-1] == "start 3"


def test_a_cap_that_is_taken_back_is_the_given_one_again() -> None:
    run = Scenario(*(capped(str(number), FIT) for number in range(5)))
    run.open(cores=9, **{FIT: 2})
    change(run, FIT, 0)
    assert change(run, FIT, None) == []
    run.end("0")
    assert run.running == ["1", "2"]


def test_what_waits_for_a_closed_cap_keeps_nobody_else_waiting() -> None:
    paused = [capped(f"a{number}", FIT, cores=2) for number in range(3)]
    run = Scenario(*paused, *(capped(f"b{number}", SUM) for number in range(300)), order="file")
    run.open(cores=2, **{FIT: 0, SUM: 300})
    for number in range(300):
        assert len(run.running) == min(2, 300 - number)
        run.end(run.running[0])
    assert change(run, FIT, 1) == ["start a0"]


def test_a_capped_template_leaves_the_cores_to_others() -> None:
    run = Scenario(*(capped(f"{cap}{number}", cap) for cap in (FIT, SUM) for number in range(50)))
    run.open(cores=4, **{FIT: 1, SUM: 50})
    for _ in range(60):
        assert len(run.running) == 4
        run.end(run.running[0])


def test_a_cap_that_nobody_gives_is_unsatisfiable_as_any_amount() -> None:
    run = Scenario(capped("a", FIT))
    assert run.open(cores=1) == [f"settle a skipped unsatisfiable:{FIT}"]


def mentioned(run: Scenario) -> list[str]:
    return [command.text for command in run.commands if isinstance(command, Mention)]


def test_what_a_cap_of_zero_keeps_back_is_told_once_and_again_when_the_cap_is_changed() -> None:
    run = Scenario(capped("a", FIT), capped("b", FIT, cores=2), capped("c", SUM))
    run.open(cores=9, **{FIT: 0, SUM: 9})
    told = "at most 0 tasks of fit may be live: weft workflow concurrency lets them start"
    assert mentioned(run) == [told]
    run.end("c")
    run.send(CapacityChanged({"cores": 9 * MILLI, FIT: 0, SUM: 9 * MICRO}))
    assert mentioned(run) == [told]
    assert run.reason_codes("a") == ["closed"]
    assert change(run, FIT, 1) == ["start a"]
    assert "closed" not in run.reason_codes("b")
    change(run, FIT, 0)
    assert mentioned(run) == [told, told]


def test_a_cap_of_zero_that_keeps_nothing_back_is_not_told() -> None:
    run = Scenario(capped("a", FIT), task("b"))
    assert run.open(cores=9, **{FIT: 9, SUM: 0}) == ["start a", "start b"]
    assert mentioned(run) == []
