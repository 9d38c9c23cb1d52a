"""The real scheduler on a virtual clock: small plans whose best schedule is known by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import weft
from weft.assemble.run_settings import RunSettings
from weft.assemble.simulating import Simulation, SimulationSettings, chart, simulate_plan
from weft.errors import UsageError
from weft.formats.export import gantt
from weft.runtime.simulation.hosts import parse_hosts
from weft.runtime.simulation.report import make_report
from weft.runtime.simulation.world import Trace, simulate
from weft.scheduling import invariants
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.tasks import Task
from weft.testing.manual_clock import ManualClock
from weft.testing.scenario import task


def plan_of(*tasks: Task, root: str = "/nowhere", **fields: Any) -> Plan:
    return Plan(Graph(tasks), root, **fields)


def run(*tasks: Task, hosts: str, warnings: list[str] | None = None, **settings: Any) -> Simulation:
    told = [] if warnings is None else warnings
    return simulate_plan(plan_of(*tasks), SimulationSettings(hosts=hosts, **settings), told.append)


def places(made: Simulation) -> dict[str, tuple[int, float]]:
    """Host and start by task."""
    tasks, trace = made.plan.graph.tasks, made.trace
    return {
        tasks[task].name: (host, start)
        for task, host, start in zip(trace.tasks, trace.hosts, trace.starts, strict=True)
    }


def sized(name: str, seconds: float, cores: float = 1, **more: Any) -> Task:
    return task(name, resources={"cores": cores, **more.pop("resources", {})}, duration=seconds, **more)


def test_a_chain_takes_as_long_as_its_tasks() -> None:
    chain = [sized(f"t{n}", 0.1 * n, after=[f"t{n - 1}"] if n else []) for n in range(8)]
    report = run(*chain, hosts="4x4c").report
    assert report.makespan == report.bound == report.critical_path.seconds == pytest.approx(2.8)
    assert report.critical_path.tasks == tuple(f"t{n}" for n in range(8))
    assert (report.hosts, report.tasks) == (4, 8)
    assert report.speedup == pytest.approx(1.0)
    assert report.utilisation == pytest.approx(1 / 16)


def test_the_longest_path_goes_first_and_plan_order_can_be_asked_for() -> None:
    tasks = [sized("a", 2), sized("b", 2), sized("c", 4)]
    best = run(*tasks, hosts="2c").report
    assert (best.makespan, best.bound, best.work, best.utilisation) == (4, 4, 8, 1)
    assert run(*tasks, hosts="2c", order="file").report.makespan == 6


def test_a_task_runs_on_one_host_and_not_on_the_rest_of_two() -> None:
    tasks = [sized("a", 10, 3), sized("b", 10, 3), sized("c", 5, 2)]
    made = run(*tasks, hosts="2x4c")
    assert places(made) == {"a": (0, 0), "b": (1, 0), "c": (0, 10)}
    assert run(*tasks, hosts="1x8c").report.makespan == 10, "in one host of as many cores it fits"


def test_what_fits_no_host_is_skipped_with_what_follows_and_told_before() -> None:
    warnings: list[str] = []
    tasks = [sized("a", 1, 5), sized("b", 1, after=["a"]), sized("c", 3)]
    made = run(*tasks, hosts="2x4c", warnings=warnings)
    names = [task.name for task in made.plan.graph.tasks]
    assert {names[skip.task]: skip.cause for skip in made.report.skipped} == {
        "a": "unsatisfiable:cores",
        "b": "dependency:a",
    }
    assert (made.report.makespan, made.report.bound, made.report.work, made.report.tasks) == (3, 3, 3, 1)
    assert made.report.critical_path.tasks == ("c",)
    assert "task 'a' asks for 5 of cores: no host has more than 4" in warnings[0]


def test_a_demand_that_only_several_hosts_together_meet_is_told_as_that() -> None:
    warnings: list[str] = []
    big = sized("a", 1, 8, resources={"memory": 2**34})
    made = run(big, hosts="1x8c,8G+1x4c,16G", warnings=warnings)
    assert [skip.cause for skip in made.report.skipped] == ["unsatisfiable:memory"]
    assert "no host has that beside the rest" in warnings[0]


def test_memory_counts_only_when_hosts_state_it_and_can_be_ignored() -> None:
    tasks = [sized(f"t{n}", 10, resources={"memory": 3 * 2**30}) for n in range(2)]
    assert run(*tasks, hosts="4c").report.makespan == 10
    assert run(*tasks, hosts="4c,4G").report.makespan == 20
    assert run(*tasks, hosts="2x4c,4G").report.makespan == 10
    assert run(*tasks, hosts="4c,4G", counts_memory=False).report.makespan == 10


def test_a_named_amount_is_of_each_host_or_of_all_together_or_missing() -> None:
    tasks = [sized(f"t{n}", 10, resources={"license": 1}) for n in range(2)]
    assert run(*tasks, hosts="2x1c,license=1").report.makespan == 10
    assert run(*tasks, hosts="2x1c", shared={"license": 1_000_000}).report.makespan == 20
    warnings: list[str] = []
    made = run(*tasks, hosts="2x1c", warnings=warnings)
    assert [skip.cause for skip in made.report.skipped] == ["unsatisfiable:license"] * 2
    assert "task 't0' and 1 more ask for 1 of license: no host states it" in warnings[0]


def test_a_large_task_is_not_starved_by_small_ones() -> None:
    small = [sized(f"s{n}", 1 + n % 3, priority=1 if n % 2 else 0) for n in range(400)]
    made = run(*small, sized("large", 1, 4), hosts="2x4c", order="file")
    assert places(made)["large"][1] < 40
    assert made.report.makespan < 1.1 * made.report.bound


def test_small_tasks_use_the_other_host_while_a_large_one_waits_for_its_own() -> None:
    tasks = [
        sized("first", 10, 2, priority=9),
        sized("other", 4, 4, priority=8),
        sized("large", 5, 4, priority=7),
        *[sized(f"s{n}", 2, 2) for n in range(2)],
    ]
    made = run(*tasks, hosts="1x4c+1x5c")
    found = places(made)
    assert found["large"][1] == 4, "the host of `other` is free first, and nothing is put there before"
    assert {found[f"s{n}"][0] for n in range(2)} == {found["first"][0]}, "beside `first` there is room all the time"


def test_missing_durations_are_told_and_can_be_given() -> None:
    warnings: list[str] = []
    assert run(task("a"), sized("b", 3), hosts="1c", warnings=warnings).report.makespan == 3
    assert len(warnings) == 1 and "task 'a' has no duration" in warnings[0]
    warnings.clear()
    assert run(task("a"), sized("b", 3), hosts="1c", warnings=warnings, default_duration=2.0).report.makespan == 5
    assert not warnings


def test_each_instance_of_a_mapped_task_takes_its_duration() -> None:
    made = run(sized("m", 4, each=range(5)), sized("z", 1, after=["m"]), hosts="2c")
    assert (made.report.makespan, made.report.work, made.report.tasks, made.report.attempts) == (13, 21, 2, 6)
    assert made.report.critical_path.seconds == 5


def test_streams_are_taken_as_one_item_at_their_makers_end() -> None:
    warnings: list[str] = []
    tasks = [sized("maker", 3, streams=True), sized("each", 2, of="maker"), sized("all", 1, reads=["maker"])]
    made = run(*tasks, hosts="4c", warnings=warnings)
    assert (made.report.makespan, made.report.tasks) == (5, 3)
    assert warnings == ["task 'each' is mapped over what 'maker' makes: one item is assumed"]


def test_requirements_are_taken_to_hold_and_nothing_is_looked_at() -> None:
    assert run(sized("a", 2, needs=["absent"], outputs=["made"]), hosts="1c").report.makespan == 2


def test_tasks_without_cores_take_no_room_and_no_part_in_work() -> None:
    warnings: list[str] = []
    made = run(*[sized(f"t{n}", 2, 0) for n in range(3)], hosts="2x1c", warnings=warnings)
    assert (made.report.makespan, made.report.work, made.report.bound) == (2, 0, 2)
    assert "have no cores" in warnings[0]


def test_an_empty_plan_and_tasks_that_take_no_time_have_figures() -> None:
    for report in (run(hosts="1c").report, run(sized("a", 0), sized("b", 0, after=["a"]), hosts="1c").report):
        assert (report.makespan, report.bound, report.utilisation, report.speedup) == (0, 0, 0, 0)


def test_recorded_hosts_are_the_default() -> None:
    machines = [{"nodeName": "n1", "cores": 2}, {"nodeName": "n2", "cores": 2}]
    plan = plan_of(sized("a", 1, 2), sized("b", 1, 2), attributes={"machines": machines, "makespanInSeconds": 7.5})
    for hosts in (None, "recorded"):
        made = simulate_plan(plan, SimulationSettings(hosts=hosts))
        assert [host.name for host in made.hosts] == ["n1", "n2"]
        assert (made.report.makespan, made.report.recorded_makespan) == (1, 7.5)
    with pytest.raises(UsageError, match="records no machines"):
        simulate_plan(plan_of(sized("a", 1)), SimulationSettings())


def test_the_same_input_gives_the_same_trace_and_the_clock_is_only_asked_for_the_rate() -> None:
    plan = plan_of(*[sized(f"t{n}", 1 + n % 7, 1 + n % 3, after=[f"t{n - 9}"] if n > 8 else []) for n in range(200)])
    durations = [task.policy.duration or 0 for task in plan.graph.tasks]

    def traced() -> Trace:
        return simulate(
            plan,
            parse_hosts("2x3c+1x5c"),
            durations,
            ManualClock(),
            shared={},
            items=lambda _: (),
            watch=invariants.check,
        )

    first, second = traced(), traced()
    assert (first.tasks, first.hosts, first.starts) == (second.tasks, second.hosts, second.starts)
    report = make_report(plan, parse_hosts("2x3c+1x5c"), first)
    assert report.dispatches_per_second == 0, "no time has passed on a clock that stands"


def test_tasks_mapped_over_files_have_those_that_are_there(tmp_path: Path) -> None:
    from weft.formats.load import load

    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).touch()
    document = """{"weft": 1, "tasks": {"each": {"command": ["true", "{f}"], "duration": 2,
        "requires": {"folders": [{"path": "in", "minimum": 1}]}, "foreach": {"files": true, "as": "f"}}}}"""
    (tmp_path / "plan.json").write_text(document, encoding="utf-8")
    plan = load((str(tmp_path / "plan.json"),)).plan
    assert simulate_plan(plan, SimulationSettings(hosts="1c")).report.makespan == 6
    for file in (tmp_path / "in").iterdir():
        file.unlink()
    warnings: list[str] = []
    assert simulate_plan(plan, SimulationSettings(hosts="1c"), warnings.append).report.makespan == 2
    assert warnings == ["task 'each' is mapped over files, and none is there now: one is assumed"]


def test_a_plan_can_be_simulated_from_python() -> None:
    plan = weft.Plan([sized("a", 4, resources={"license": 1}), task("b", after=["a"], resources={"license": 1})])
    report = plan.simulate("2x2c", default_duration="1m", resources={"license": 1})
    assert (report.makespan, report.critical_path.tasks, report.hosts) == (64, ("a", "b"), 2)
    with pytest.warns(weft.WeftWarning, match="task 'b' has no duration"):
        assert plan.simulate("2x2c", order="file", resources={"license": 1}).makespan == 4
    with pytest.raises(weft.WeftError, match="is no number of hosts"):
        plan.simulate("many")
    with pytest.raises(weft.WeftError, match="default_duration"):
        plan.simulate("1c", default_duration="soon")


# --- the chart ---------------------------------------------------------------------------------------------------------


def drawn(made: Simulation) -> tuple[str, Sequence[Mapping[str, str]]]:
    text = gantt.render(chart(made))
    shapes = [element.attrib for element in ElementTree.fromstring(text).iter() if "fill" in element.attrib]
    return text, shapes


def bars(shapes: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    return [shape for shape in shapes if shape.get("class") == "b"]


@pytest.mark.parametrize(
    ("hosts", "resources", "seconds"), [("4x1c", {}, 40), ("4x1c,seat=1", {}, 10), ("4c", {"seat": 2}, 20)]
)
def test_limits_of_the_plan_hold_for_all_hosts_that_state_nothing_else(
    tmp_path: Path, hosts: str, resources: dict[str, int], seconds: int
) -> None:
    task = {"command": ["true"], "resources": {"seat": 1}, "duration": 10}
    document = {"weft": 1, "limits": {"seat": 1}, "tasks": {f"t{number}": task for number in range(4)}}
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    report = weft.load(str(tmp_path / "plan.json")).simulate(hosts, resources=resources)
    assert (report.makespan, len(report.skipped)) == (seconds, 0)


def test_tasks_whose_executor_the_settings_call_sequential_go_one_by_one() -> None:
    tasks = [sized("a", 10, executor="far"), sized("b", 10, executor="far"), sized("c", 10)]
    assert run(*tasks, hosts="1x4c").report.makespan == 10
    assert run(*tasks, hosts="1x4c", run=RunSettings(clusters={"far": "sequential"})).report.makespan == 20


def test_a_chart_has_a_bar_for_each_attempt_that_none_other_covers() -> None:
    tasks = [sized(f"t{n}", 1 + n % 5, after=[f"t{n - 4}"] if n > 3 else []) for n in range(40)]
    text, shapes = drawn(run(*tasks, hosts="2x2c"))
    found = bars(shapes)
    assert len(found) == 40 and "host 2" in text and "<title>t39" in text
    rows: dict[str, list[tuple[float, float]]] = {}
    for bar in found:
        rows.setdefault(bar["y"], []).append((float(bar["x"]), float(bar["x"]) + float(bar["width"])))
    assert len(rows) == 4
    for spans in rows.values():
        spans.sort()
        assert all(first[1] <= second[0] + 0.11 for first, second in pairwise(spans))


def test_names_are_harmless_in_a_chart() -> None:
    text, _ = drawn(run(sized("<script>&", 1), sized("a\ufffeb", 1), hosts="2c"))
    assert "<script>" not in text and "\ufffe" not in text


def test_many_attempts_make_a_small_chart_of_busy_cores() -> None:
    tasks = [sized(f"{'abcdefghijklmnop'[n % 16]}{n}", 1 + n % 11) for n in range(gantt.BAR_LIMIT + 1)]
    made = run(*tasks, hosts="60x2c")
    text, shapes = drawn(made)
    assert not bars(shapes) and len(text) < 1_500_000
    assert "drawn as busy cores" in text and "7 more kinds" in text and "host 1 … host 3" in text


def test_a_profile_holds_all_the_work() -> None:
    tasks = [sized(f"t{n}", 0.5 + n % 13, 1 + n % 2) for n in range(300)]
    made = run(*tasks, hosts="3x4c")
    by_group = gantt._busy(chart(made), [0], 1, 1, 3)
    assert sum(map(sum, (rows[0] for rows in by_group))) == pytest.approx(made.report.work)
    full = 4 * made.report.makespan / gantt.SLICES
    assert all(-1e-9 <= amount <= full + 1e-9 for rows in by_group for amount in rows[0])


def test_a_chart_of_nothing_can_be_drawn() -> None:
    assert "0 attempts" in drawn(run(hosts="1c"))[0]
    assert len(bars(drawn(run(sized("a", 0), hosts="1c"))[1])) == 1
