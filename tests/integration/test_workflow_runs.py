"""Workflows as they run here: results, statuses, errors, limits (workflows.md 6.1, 6.2, 6.4)."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import weft
from support.workflows import Bench, reap_supervisors
from weft.assemble.workflow_changes import reset
from weft.errors import (
    ArgumentError,
    CyclicGraphError,
    EmptyWorkflowError,
    HandedOverError,
    NodeDependencyNotExistError,
    PlanError,
    UsageError,
    WeftWarning,
    WorkflowAlreadyComplete,
    WorkflowAlreadyExists,
    WorkflowTimeoutError,
)
from weft.ports import Began
from weft.scheduling.keys import AttemptKey
from weft.store.archive import SqliteArchive


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield Bench(tmp_path)


# --- results ---------------------------------------------------------------------------------------------------------------


def test_a_workflow_in_which_all_is_done_gives_d(bench: Bench) -> None:
    wf = bench.workflow("north", "south", total=True)
    result = wf.run(jobs=2)
    assert result == "D"
    assert isinstance(result, str)
    assert (result.final_status, result.done_count, result.failed_count, result.total_tasks) == ("D", 3, 0, 3)
    assert result.num_previously_complete == 0
    assert result.elapsed_time > 0
    assert result.task_final_statuses == {"fit_place-north": "D", "fit_place-south": "D", "total": "D"}
    assert result.done_task_ids == [task.task_id for task in wf.tasks]
    assert result.failed_task_ids == []
    assert isinstance(result.run, weft.Run)
    assert result.run["total"].state == "ok"
    assert bench.lines()[-1] == "total d5"
    assert (wf.status, wf.get_errors(), wf.task_errors) == ("D", {}, {})


def test_a_result_travels_as_its_letter(bench: Bench) -> None:
    result = bench.workflow("north").run()
    assert pickle.loads(pickle.dumps(result)) == "D"


def test_a_failure_gives_e_after_everything_reachable_has_ended(bench: Bench) -> None:
    bench.break_task("north")
    wf = bench.workflow("north", "south", total=True, max_attempts=2)
    result = wf.run(jobs=1)
    assert result == "E"
    assert result != "D"
    assert (result.done_count, result.failed_count, result.total_tasks) == (1, 1, 3)
    assert result.task_final_statuses == {"fit_place-north": "F", "fit_place-south": "D", "total": "G"}
    north, south, total = wf.tasks
    assert result.failed_task_ids == [north.task_id]
    assert result.done_task_ids == [south.task_id]
    assert (north.state, north.cause, north.final_status) == ("failed", "exit:3", "F")
    assert (total.state, total.cause) == ("skipped", "dependency:fit_place-north")
    assert [each.letter for each in north.attempts] == ["E", "E"]
    assert wf.status == "F"
    assert sorted(bench.lines()) == ["north info", "north info", "south info"]


def test_fail_fast_starts_nothing_after_the_first_final_failure(bench: Bench) -> None:
    bench.break_task("a")
    result = bench.workflow("a", "b", "c", max_attempts=1).run(fail_fast=True, jobs=1)
    assert result == "E"
    assert bench.lines() == ["a info"]
    assert result.task_final_statuses == {"fit_place-a": "F", "fit_place-b": "G", "fit_place-c": "G"}


def test_fail_fast_has_nothing_waiting_that_begins_by_itself_after_a_failure(bench: Bench) -> None:
    bench.break_task("c")
    result = bench.workflow(*"abcdef", max_attempts=1).run(fail_fast=True, jobs=1)
    assert result == "E"
    assert bench.lines() == ["a info", "b info", "c info"]
    assert (result.done_count, result.failed_count) == (2, 1)


def test_signature_of_run_is_the_documented_one() -> None:
    parameters = inspect.signature(weft.Workflow.run).parameters
    assert list(parameters) == [
        "self",
        "fail_fast",
        "seconds_until_timeout",
        "resume",
        "reset_running_jobs",
        "distributor_startup_timeout",
        "resume_timeout",
        "configure_logging",
        "jobs",
        "timeout",
        "state",
        "store",
        "executor",
    ]
    defaults = {name: each.default for name, each in parameters.items() if each.default is not inspect.Parameter.empty}
    assert list(defaults.values()) == [False, 36000, False, True, 180, 300, False, None, None, None, None, None]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(parameters)[8:])
    assert list(inspect.signature(weft.Workflow.arun).parameters.values()) == list(parameters.values())


def test_fail_fast_does_not_mind_a_failure_with_attempts_left(bench: Bench) -> None:
    tool = bench.tool()
    once = tool.get_task_template("once", "sh -c 'test -e {file} || (touch {file}; exit 7)'", node_args=["file"])
    wf = tool.create_workflow()
    wf.add_tasks(once.create_tasks(file=["a", "b", "c"], max_attempts=2))
    assert wf.run(fail_fast=True, jobs=1) == "D"


# --- errors ----------------------------------------------------------------------------------------------------------------


def test_errors_are_cause_and_end_of_stderr_of_the_latest_failed_attempt(bench: Bench) -> None:
    bench.break_task("north")
    wf = bench.workflow("north", "south", max_attempts=2)
    wf.run()
    north = wf.tasks[0]
    errors = north.get_errors()
    assert errors is not None
    assert errors["task_instance_id"] > 0
    (entry,) = errors["error_log"]
    assert sorted(entry) == ["description", "error_id", "error_time"]
    assert entry["description"] == "exit:3\nnorth went wrong"
    assert entry["error_time"].startswith("20")
    assert wf.tasks[1].get_errors() is None
    assert wf.get_errors() == {north.task_id: errors}
    assert wf.task_errors == {"fit_place-north": errors}


def test_errors_say_why_a_request_could_not_grow(bench: Bench) -> None:
    def fails(_: float) -> float:
        raise LookupError("no such amount")

    tool = bench.tool()
    slow = tool.get_task_template("slow", "sleep {seconds}", node_args=["seconds"])
    wf = tool.create_workflow()
    task = slow.create_task(seconds=60, compute_resources={"runtime": 0.1}, resource_scales={"runtime": fails})
    wf.add_task(task)
    assert wf.run() == "E"
    assert (task.state, task.cause, len(task.attempts)) == ("failed", "setup", 1)
    errors = task.get_errors()
    assert errors is not None
    assert "LookupError: no such amount\ntimeout" in errors["error_log"][0]["description"]
    assert wf.get_errors() == {task.task_id: errors}
    assert wf.task_errors == {task.name: errors}


def test_one_task_is_read_as_all_of_them_are(bench: Bench) -> None:
    def states() -> list[str]:
        with SqliteArchive(str(bench.folder / ".weft")) as archive:
            (run,) = archive.runs()
            rows = archive.tasks(run.run)
            assert [archive.task(run.run, row.task, row.name) for row in rows] == rows
        return [row.state for row in rows]

    bench.break_task("b")
    wf = bench.workflow("a", "b", total=True)
    wf.bind()
    assert states() == ["pending"] * 3
    wf.run()
    assert states() == ["ok", "failed", "skipped"]
    with SqliteArchive(str(bench.folder / ".weft")) as archive:
        (run,) = archive.runs()
    assert reset(str(bench.folder / ".weft"), run, {1, 2}) == 2
    assert states() == ["ok", "pending", "pending"]


def test_get_errors_gives_exactly_as_many_as_asked_for(bench: Bench) -> None:
    places = [f"p{number}" for number in range(5)]
    bench.break_task(*places)
    wf = bench.workflow(*places, max_attempts=1)
    wf.run(jobs=1)
    latest = [task.task_id for task in reversed(wf.tasks)]
    assert list(wf.get_errors(limit=2)) == latest[:2]
    assert list(wf.get_errors(limit=5)) == list(wf.get_errors(None)) == list(wf.get_errors()) == latest
    assert wf.get_errors(limit=0) == {}
    for limit in (-1, "2", 1.5, True):
        with pytest.raises(ArgumentError, match="limit is a whole number"):
            wf.get_errors(limit)  # type: ignore[arg-type]
    assert list(wf.task_errors) == [task.name for task in wf.tasks]


def test_a_task_that_did_it_at_last_has_no_place_among_the_errors(bench: Bench) -> None:
    tool = bench.tool()
    template = tool.get_task_template("once", "sh -c 'test -e {file} || (touch {file}; exit 7)'", node_args=["file"])
    wf = tool.create_workflow()
    task = wf.add_task(template.create_task(file="seen"))
    assert wf.run() == "D"
    assert wf.get_errors() == {}
    errors = task.get_errors()
    assert errors is not None
    assert errors["error_log"][0]["description"] == "exit:7"


# --- usage -----------------------------------------------------------------------------------------------------------------


def test_usage_is_of_the_successful_attempt(bench: Bench) -> None:
    bench.break_task("north")
    wf = bench.workflow("north", "south", max_attempts=1)
    with pytest.raises(RuntimeError, match="not bound"):
        wf.tasks[0].resource_usage()
    wf.bind()
    nothing = {"num_attempts": None, "nodename": None, "runtime": None, "memory": None}
    assert wf.tasks[0].resource_usage() == nothing
    wf.run()
    north, south = wf.tasks
    assert north.resource_usage() == nothing
    usage = south.resource_usage()
    assert usage["num_attempts"] == 1
    assert usage["nodename"] == os.uname().nodename
    assert usage["runtime"] > 0
    assert isinstance(usage["memory"], int)


def test_attempts_of_an_earlier_run_do_not_count_as_tries_of_this_one(bench: Bench) -> None:
    bench.break_task("north")
    bench.workflow("north", max_attempts=2).run()
    bench.mend("north")
    wf = bench.workflow("north", max_attempts=2)
    assert wf.run(resume=True) == "D"
    assert wf.tasks[0].resource_usage()["num_attempts"] == 1
    assert [each.letter for each in wf.tasks[0].attempts] == ["E", "E", "D"]


def test_usage_of_a_template_counts_done_tasks_of_all_workflows(bench: Bench) -> None:
    template = bench.template(bench.tool())
    assert template.resource_usage()["num_tasks"] is None
    bench.break_task("c")
    first, second = bench.workflow("a", "b", "c", max_attempts=1), bench.workflow("a", "d", args="d6")
    first.run()
    second.run()
    usage = template.resource_usage(ci=0.9)
    assert usage["num_tasks"] == 4
    assert usage["min_mem"] <= usage["median_mem"] <= usage["max_mem"]
    assert usage["min_runtime"] <= usage["mean_runtime"] <= usage["max_runtime"]
    low, high = usage["ci_runtime"]
    assert low < usage["mean_runtime"] < high
    assert template.resource_usage(workflows=[second.workflow_id])["num_tasks"] == 2
    assert template.resource_usage(workflows=first)["num_tasks"] == 2
    assert template.resource_usage(node_args={"place": ["a"]})["num_tasks"] == 2
    assert template.resource_usage(node_args={"place": ["a", "d"]})["num_tasks"] == 3
    one = template.resource_usage(workflows=[first.workflow_id], node_args={"place": ["b"]}, ci=0.95)
    assert (one["num_tasks"], one["ci_mem"], one["ci_runtime"]) == (1, None, None)
    none = template.resource_usage(node_args={"place": ["west"]})
    assert none["num_tasks"] == 0
    assert {value for name, value in none.items() if name != "num_tasks"} == {None}
    with pytest.raises(ArgumentError, match="did you mean 'place'"):
        template.resource_usage(node_args={"plase": ["a"]})
    with pytest.raises(ValueError, match="between 0 and 1"):
        template.resource_usage(ci=95)
    with pytest.raises(ArgumentError, match="bound workflows or their numbers"):
        template.resource_usage(workflows=["yearly survey"])
    with pytest.raises(ArgumentError, match="values by argument"):
        template.resource_usage(node_args=["a"])  # type: ignore[arg-type]


def test_usage_counts_a_resumed_workflow_once(bench: Bench) -> None:
    bench.break_task("b")
    bench.workflow("a", "b", max_attempts=1).run()
    bench.mend("b")
    bench.workflow("a", "b").run(resume=True)
    assert bench.template(bench.tool()).resource_usage()["num_tasks"] == 2


# --- bind ------------------------------------------------------------------------------------------------------------------


def test_nothing_is_known_and_nothing_is_written_before_bind(bench: Bench) -> None:
    wf = bench.workflow("north")
    assert not wf.is_bound
    assert not wf.tasks[0].is_bound
    for ask in (
        lambda: wf.workflow_id,
        lambda: wf.dag_id,
        lambda: wf.tasks[0].task_id,
        lambda: wf.tasks[0].initial_status,
    ):
        with pytest.raises(AttributeError):
            ask()
    assert wf.status == "G"
    assert wf.validate() == []
    assert len(wf.plan().graph) == 1
    assert not (bench.folder / ".weft").exists()


def test_of_a_task_that_came_after_the_binding_nothing_is_known(bench: Bench) -> None:
    wf = bench.workflow("north")
    assert wf.run() == "D"
    late = wf.add_task(bench.template(wf.tool).create_task(place="south", log="info"))
    assert late.get_errors() is None
    with pytest.raises(RuntimeError, match="not bound"):
        late.resource_usage()
    with pytest.raises(AttributeError, match="after the workflow was bound"):
        _ = late.task_id


def test_bind_records_and_numbers_and_can_be_repeated(bench: Bench) -> None:
    wf = bench.workflow("north", "south")
    wf.bind()
    wf.bind()
    assert wf.is_bound
    assert wf.workflow_id == wf.dag_id == 1
    assert sorted(task.task_id for task in wf.tasks) == [10_000_001, 10_000_002]
    by_hash = sorted(wf.tasks, key=lambda task: task.task_hash)
    assert [task.task_id for task in by_hash] == [10_000_001, 10_000_002]
    assert [task.initial_status for task in wf.tasks] == ["G", "G"]
    with pytest.raises(AttributeError):
        _ = wf.tasks[0].final_status
    assert wf.status == "G"
    assert bench.lines() == []
    with SqliteArchive(".weft") as archive:
        assert len(archive.runs()) == 1


def test_a_bound_workflow_runs_without_resume_and_keeps_its_number(bench: Bench) -> None:
    wf = bench.workflow("north")
    wf.bind()
    number = wf.workflow_id
    assert wf.run() == "D"
    assert wf.workflow_id == number
    assert wf.last_workflow_run_id > 1


def test_bind_of_a_recorded_workflow_finds_it_but_does_not_make_it_ours_to_run(bench: Bench) -> None:
    bench.break_task("north")
    first = bench.workflow("north", "south", max_attempts=1)
    first.run()
    again = bench.workflow("south", "north")
    again.bind()
    assert again.workflow_id == first.workflow_id
    assert [task.state for task in again.tasks] == ["ok", "failed"]
    assert [task.initial_status for task in again.tasks] == ["D", "F"]
    assert list(again.task_errors) == ["fit_place-north"]
    assert {task.name: task.task_id for task in again.tasks} == {task.name: task.task_id for task in first.tasks}
    with pytest.raises(WorkflowAlreadyExists):
        again.run()
    with pytest.raises(WorkflowAlreadyExists):
        bench.workflow("north").bind()


def test_an_empty_workflow_is_an_error_everywhere(bench: Bench) -> None:
    wf = bench.tool().create_workflow()
    for ask in (wf.bind, wf.run, wf.plan, lambda: wf.validate(raise_on_error=True)):
        with pytest.raises(EmptyWorkflowError):
            ask()
    assert issubclass(EmptyWorkflowError, RuntimeError)
    assert [problem.code for problem in wf.validate()] == ["workflow"]
    assert not (bench.folder / ".weft").exists()


def test_an_upstream_outside_and_a_cycle_are_told_at_bind(bench: Bench) -> None:
    tool = bench.tool()
    template = bench.template(tool)
    a, b = template.create_tasks(place=["a", "b"], log="x")
    alone = tool.create_workflow()
    b.add_upstream(a)
    alone.add_task(b)
    with pytest.raises(NodeDependencyNotExistError, match="fit_place-a"):
        alone.bind()
    both = tool.create_workflow()
    c, d = template.create_tasks(place=["c", "d"], log="x")
    c.add_upstream(d)
    d.add_upstream(c)
    both.add_tasks([c, d])
    with pytest.raises(CyclicGraphError, match=r"fit_place-c.*fit_place-d"):
        both.run()
    assert [problem.message.count("fit_place-c") > 0 for problem in both.validate()] == [True]


def test_a_long_cycle_is_told_in_a_message_that_can_be_read(bench: Bench) -> None:
    tool = bench.tool()
    tasks = bench.template(tool).create_tasks(place=range(5000), log="x")
    for task, follower in zip(tasks, [*tasks[1:], tasks[0]], strict=True):
        follower.add_upstream(task)
    wf = tool.create_workflow()
    wf.add_tasks(tasks)
    with pytest.raises(CyclicGraphError, match="fit_place-0") as caught:
        wf.bind()
    assert len(str(caught.value)) < 5000


# --- settings, queues, clusters ----------------------------------------------------------------------------------------------


def test_validate_tells_demands_that_nothing_here_meets(bench: Bench) -> None:
    wf = bench.workflow("a", compute_resources={"cores": 100_000, "license": 2})
    problems = wf.validate()
    assert {problem.code for problem in problems} == {"unsatisfiable"}
    assert all("fit_place-a" in problem.message for problem in problems)
    with pytest.raises(PlanError):
        wf.validate(raise_on_error=True)


def test_a_first_request_above_its_queue_is_cut_with_a_warning_or_an_error_if_strict(bench: Bench) -> None:
    (bench.folder / "weft.toml").write_text(
        '[queues.short]\ncores = 1\nmemory = "1G"\nruntime = "1h"\n', encoding="utf-8"
    )
    wf = bench.workflow("a", compute_resources={"queue": "short", "memory": "2G", "runtime": "2h"})
    (problem,) = wf.validate(strict=True)
    assert problem.code == "queue"
    assert "memory 2G of 1G" in problem.message
    assert "runtime 2h of 1h" in problem.message
    assert wf.validate(strict=False) == []
    with pytest.warns(WeftWarning, match="queue 'short'"):
        assert wf.run() == "D"
    (attempt,) = wf.tasks[0].attempts
    assert attempt.compute_resources["memory"] == 1 << 30
    assert attempt.compute_resources["runtime"] == 3600


def test_bind_tells_what_is_cut_and_validate_tells_everything_at_once(bench: Bench) -> None:
    (bench.folder / "weft.toml").write_text('[queues.short]\nmemory = "1G"\n', encoding="utf-8")
    options = {"compute_resources": {"queue": "short", "memory": "2G"}}
    with pytest.warns(WeftWarning, match="queue 'short'"):
        bench.workflow("a", **options).bind()
    wf = bench.workflow("a", args="d6", cluster_name="mars", **options)
    assert [problem.code for problem in wf.validate()] == ["cluster", "queue"]
    assert [problem.code for problem in wf.validate(strict=False)] == ["cluster"]


def test_a_queue_that_nobody_knows_has_no_limits(bench: Bench) -> None:
    wf = bench.workflow("a", compute_resources={"queue": "all.q", "memory": "100M"})
    assert wf.validate() == []
    assert wf.run() == "D"


@pytest.mark.parametrize("cluster", ["local", "multiprocess", "dummy"])
def test_known_clusters_run_here(bench: Bench, cluster: str) -> None:
    wf = bench.workflow("a", cluster_name=cluster)
    if cluster == "dummy":
        with pytest.warns(WeftWarning, match="simulated"):
            assert wf.run() == "D"
        assert bench.lines() == []
    else:
        assert wf.run() == "D"
        assert bench.lines() == ["a info"]


def test_the_cluster_sequential_runs_one_task_at_a_time(bench: Bench) -> None:
    tool = bench.tool()
    command = "sh -c 'mkdir alone; mkdir seen-{n}; rmdir alone'"
    template = tool.get_task_template(
        "alone", command, node_args=["n"], default_cluster_name="sequential", max_attempts=1
    )
    wf = tool.create_workflow()
    wf.add_tasks(template.create_tasks(n=range(8)))
    assert wf.run(jobs=8) == "D"


@pytest.mark.parametrize("cluster", ["slurm", "dask", "mars"])
def test_a_cluster_that_is_not_here_is_told_at_bind_with_the_line_that_maps_it(bench: Bench, cluster: str) -> None:
    wf = bench.workflow("a", cluster_name=cluster)
    for ask in (wf.bind, wf.run, lambda: wf.validate(raise_on_error=True)):
        with pytest.raises(PlanError, match=rf'\[clusters\]\s+{cluster} = "local"'):
            ask()
    (bench.folder / "weft.toml").write_text(f'[clusters]\n{cluster} = "local"\n', encoding="utf-8")
    assert wf.run() == "D"
    assert bench.lines() == ["a info"]


def test_settings_are_read_as_the_command_line_reads_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.folder / "weft.toml").write_text('executor = "noop"\nstate = "there"\n', encoding="utf-8")
    wf = bench.workflow("a")
    assert wf.run() == "D"
    assert bench.lines() == []
    assert (bench.folder / "there" / "weft.db").exists()
    monkeypatch.setenv("WEFT_EXECUTOR", "local")
    assert bench.workflow("a", args="other").run(state="elsewhere") == "D"
    assert bench.lines() == ["a info"]
    assert (bench.folder / "elsewhere" / "weft.db").exists()


def test_what_a_run_cannot_take_is_told(bench: Bench) -> None:
    wf = bench.workflow("a")
    with pytest.raises(UsageError, match="store"):
        wf.run(store="postgresql://user:secret@host/db")
    with pytest.raises(ValueError, match="timeout"):
        wf.run(timeout=-1)
    with pytest.raises(ValueError, match="seconds_until_timeout"):
        wf.run(seconds_until_timeout="soon")
    with pytest.raises(PlanError, match="jobs"):
        wf.run(jobs=0)
    with pytest.raises(UsageError, match="no executor 'moon'"):
        wf.run(executor="moon")
    assert not wf.is_bound


def test_limits_keep_tasks_apart(bench: Bench) -> None:
    tool = bench.tool()
    alone = tool.get_task_template("alone", "sh -c 'mkdir a; mkdir seen-{n}; rmdir a'", node_args=["n"], max_attempts=1)
    wf = tool.create_workflow()
    wf.add_tasks(alone.create_tasks(n=range(6)))
    wf.set_task_template_max_concurrency_limit("alone", 1)
    assert wf.run(jobs=6) == "D"
    capped = tool.create_workflow(max_concurrently_running=1)
    capped.add_tasks(alone.create_tasks(n=range(10, 16)))
    assert capped.run(jobs=6) == "D"


# --- the end before its time -------------------------------------------------------------------------------------------------


def slow(bench: Bench) -> weft.Workflow:
    """A task that goes on until it is ended."""
    tool = bench.tool()
    template = tool.get_task_template("slow", "sh -c 'echo in >> began; exec sleep {seconds}'", node_args=["seconds"])
    wf = tool.create_workflow(workflow_args="slow")
    wf.add_task(template.create_task(seconds=1000))
    return wf


@pytest.mark.parametrize("keyword", ["timeout", "seconds_until_timeout"])
def test_a_timeout_ends_what_runs_and_can_be_resumed(bench: Bench, keyword: str) -> None:
    wf = slow(bench)
    with (
        pytest.warns(WeftWarning, match="time limit"),
        pytest.raises(RuntimeError, match="timeout") as caught,
    ):
        wf.run(**{keyword: 0.4})
    assert isinstance(caught.value, WorkflowTimeoutError)
    assert wf.status == "H"
    assert wf.tasks[0].cause == "interrupted"
    assert [each.letter for each in wf.tasks[0].attempts] == ["K"]
    assert slow(bench).run(resume=True, executor="noop") == "D"


def when_begun(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    """Do something once the first attempt runs."""
    from weft.api.run import _Recorder

    heard = _Recorder.attempt_started
    begun: list[AttemptKey] = []

    def hear(self: _Recorder, key: AttemptKey, began: Began) -> None:
        heard(self, key, began)
        begun.append(key)
        if len(begun) == 1:
            act()  # type: ignore[operator]

    monkeypatch.setattr(_Recorder, "attempt_started", hear)


def test_ctrl_c_is_a_keyboard_interrupt_with_the_state_stored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    when_begun(monkeypatch, interrupt)
    wf = slow(bench)
    before = signal.getsignal(signal.SIGINT)
    with pytest.warns(WeftWarning), pytest.raises(KeyboardInterrupt):
        wf.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert wf.status == "H"
    with SqliteArchive(".weft") as archive:
        (row,) = archive.runs()
        assert (row.state, row.exit_code) == ("interrupted", 130)
    assert slow(bench).run(resume=True, executor="noop") == "D"


@pytest.mark.filterwarnings("ignore::weft.errors.WeftWarning")  # that it was interrupted, when that is seen in time
def test_a_workflow_of_which_nothing_is_left_is_done_though_it_was_interrupted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_begun(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
    wf = bench.workflow("a")
    with pytest.raises(KeyboardInterrupt):
        wf.run()
    assert (wf.status, wf.tasks[0].final_status) == ("D", "D")
    with pytest.raises(WorkflowAlreadyComplete):
        bench.workflow("a").run(resume=True)


def test_a_run_that_another_thread_stops_gives_s(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from weft import assemble

    wf = slow(bench)
    when_begun(monkeypatch, lambda: assemble.stop(".weft", wf._records.run if wf._records else ""))
    with pytest.warns(WeftWarning, match="on request"):
        result = wf.run()
    assert result == "S"
    assert wf.status == "H"


def test_a_cap_of_zero_is_told_once_and_explained(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from weft import assemble
    from weft.api.run import _Recorder
    from weft.assemble import workflow_changes

    told: list[str] = []
    explained: list[str] = []

    def let_on() -> None:
        explained.extend(reason.text for reason in assemble.explain(".weft", None, "fit_place-a").reasons)
        with SqliteArchive(".weft") as archive:
            row = archive.find()
        workflow_changes.set_limit(".weft", row, 1)

    def hear(self: _Recorder, text: str, task: int | None) -> None:
        told.append(text)
        threading.Thread(target=let_on).start()

    monkeypatch.setattr(_Recorder, "remarked", hear)
    wf = bench.workflow("a", "b")
    wf.set_max_concurrently_running(0)
    assert {each.action for each in assemble.preview(wf.plan().spec, assemble.RunSettings()).values()} == {"blocked"}
    assert wf.run() == "D"
    text = "at most 0 tasks of yearly survey may be live: weft workflow concurrency lets them start"
    assert told == explained == [text]


def test_a_run_can_be_looked_at_while_it_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from weft import assemble

    seen: list[object] = []
    wf = slow(bench)

    def look() -> None:
        seen.extend([wf.status, wf.tasks[0].state, wf.tasks[0].task_id, wf.workflow_id])
        with pytest.raises(AttributeError):
            _ = wf.tasks[0].final_status
        assemble.stop(".weft", wf._records.run if wf._records else "")

    when_begun(monkeypatch, look)
    with pytest.warns(WeftWarning, match="on request"):
        assert wf.run() == "S"
    assert seen == ["R", "running", 10_000_001, 1]


def test_what_was_handed_over_has_not_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from weft.store.mailbox import Mailbox

    wf = slow(bench)

    def ask() -> None:
        with Mailbox(".weft") as mailbox:
            mailbox.post(wf._records.run if wf._records else "", "release", {"to": "the test"})

    when_begun(monkeypatch, ask)
    with pytest.raises(HandedOverError, match="handed over to the test"):
        wf.run()
    with pytest.raises(AttributeError):
        _ = wf.tasks[0].final_status
    (bench.folder / "began").unlink()
    with pytest.warns(WeftWarning, match="time limit"), pytest.raises(WorkflowTimeoutError):
        slow(bench).run(resume=True, reset_running_jobs=False, timeout=0.3)
    assert not (bench.folder / "began").exists(), "the attempt was adopted, not started anew"
    reap_supervisors()


# --- loops and threads -------------------------------------------------------------------------------------------------------


def test_it_runs_where_an_event_loop_is_running(bench: Bench) -> None:
    async def cell() -> str:
        return bench.workflow("a").run()

    assert asyncio.run(cell()) == "D"


def test_it_can_be_awaited_beside_other_work(bench: Bench) -> None:
    async def both() -> tuple[str, int]:
        ticks = 0
        work = asyncio.ensure_future(bench.workflow("a", "b").arun(jobs=2))
        while not work.done():
            ticks += 1
            await asyncio.sleep(0)
        return await work, ticks

    result, ticks = asyncio.run(both())
    assert result == "D"
    assert ticks > 1


def test_a_cancelled_wait_ends_what_runs_and_can_be_resumed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    when_begun(monkeypatch, begun.set)

    async def give_up() -> None:
        work = asyncio.ensure_future(slow(bench).arun())
        await asyncio.to_thread(begun.wait)
        work.cancel()
        await work

    with pytest.warns(WeftWarning, match="on request"), pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())
    assert slow(bench).run(resume=True, executor="noop") == "D"


# --- what tasks find, and what is told -----------------------------------------------------------------------------------------


def test_tasks_get_the_promised_variables_only_when_they_are_promised(bench: Bench) -> None:
    def variables(args: str, promises: bool) -> tuple[weft.Workflow, list[str]]:
        tool = bench.tool()
        show = tool.get_task_template("show", "sh -c 'env > {file}'", node_args=["file"])
        wf = tool.create_workflow(workflow_args=args)
        wf._promises_jobmon = promises
        wf.add_task(show.create_task(file=args))
        assert wf.run() == "D"
        lines = (bench.folder / args).read_text(encoding="utf-8").splitlines()
        return wf, sorted(line for line in lines if line.startswith("JOBMON_"))

    assert variables("plain", False)[1] == []
    wf, found = variables("jobmon", True)
    (attempt,) = wf.tasks[0].attempts
    assert found[0] == f"JOBMON_TASK_ID={wf.tasks[0].task_id}"
    assert found[1].startswith("JOBMON_TASK_INSTANCE_ID=")
    assert found[2:] == [
        f"JOBMON_WORKFLOW_ID={wf.workflow_id}",
        f"JOBMON_WORKFLOW_RUN_ID={wf.last_workflow_run_id}",
    ]
    assert attempt.state == "ok"


def test_progress_is_logged_when_asked_for(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.break_task("a")
    with caplog.at_level(logging.INFO, logger="weft.workflow"):
        assert bench.workflow("a", "b", max_attempts=2).run(configure_logging=True, jobs=1) == "E"
    text = caplog.text
    assert "fit_place-a: exit:3, is tried again" in text
    assert "fit_place-a: failed (exit:3)" in text
    assert "fit_place-b: ok" in text
    caplog.clear()
    assert bench.workflow("b", args="quiet").run() == "D"
    assert caplog.text == ""


def test_values_stay_inside_one_argument(bench: Bench) -> None:
    bad = "a b; touch pwned #'\""
    tool = bench.tool()
    keep = tool.get_task_template("keep", "sh -c 'printf %s \"$1\" > out' x {text}", node_args=["text"], shell=False)
    wf = tool.create_workflow()
    wf.add_task(keep.create_task(text=bad))
    assert wf.run() == "D"
    assert (bench.folder / "out").read_text(encoding="utf-8") == bad
    assert not (bench.folder / "pwned").exists()
