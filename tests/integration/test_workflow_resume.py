"""Resuming workflows by their identity, table and rules of workflows.md 6.3."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import weft
from support.workflows import Bench
from weft import assemble
from weft.errors import OwnedError, WeftWarning, WorkflowAlreadyComplete, WorkflowAlreadyExists, WorkflowNotResumable
from weft.formats.snapshot import restore
from weft.store import proof
from weft.store.archive import SqliteArchive
from weft.store.ownership import PlanLock
from weft.store.sqlite import SqliteStore


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in [name for name in os.environ if name.startswith("WEFT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield Bench(tmp_path)


def half_done(bench: Bench, **options: Any) -> weft.Workflow:
    """`north` is done, `south` has failed, `total` was skipped."""
    bench.break_task("south")
    wf = bench.workflow("north", "south", total=True, max_attempts=1, **options)
    assert wf.run(jobs=2) == "E"
    bench.mend("south")
    (bench.folder / "ledger").unlink()
    return wf


# --- the table ---------------------------------------------------------------------------------------------------------------


def test_nothing_recorded_runs_with_resume_too_and_says_so(bench: Bench) -> None:
    with pytest.warns(WeftWarning, match="nothing is recorded of workflow 'd5'"):
        assert bench.workflow("north").run(resume=True) == "D"


def test_an_unfinished_workflow_is_not_run_without_resume(bench: Bench) -> None:
    wf = half_done(bench)
    for again in (wf, bench.workflow("north", "south", total=True)):
        with pytest.raises(WorkflowAlreadyExists, match="resume=True"):
            again.run()
    assert bench.lines() == []
    assert issubclass(WorkflowAlreadyExists, weft.WeftError)


def test_an_unfinished_workflow_resumes(bench: Bench) -> None:
    first = half_done(bench)
    wf = bench.workflow("north", "south", total=True)
    result = wf.run(resume=True)
    assert result == "D"
    assert (result.done_count, result.num_previously_complete, result.total_tasks) == (3, 1, 3)
    assert bench.lines() == ["south info", "total d5"]
    assert [task.initial_status for task in wf.tasks] == ["D", "F", "G"]
    assert [task.final_status for task in wf.tasks] == ["D", "D", "D"]
    assert wf.workflow_id == first.workflow_id
    assert wf.last_workflow_run_id == first.last_workflow_run_id == 2
    assert [result.run[name].state for name in ("fit_place-north", "fit_place-south", "total")] == ["ok", "ok", "ok"]


def test_the_same_object_can_be_resumed(bench: Bench) -> None:
    wf = half_done(bench)
    assert wf.run(resume=True) == "D"
    assert bench.lines() == ["south info", "total d5"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_workflow_is_complete_either_way(bench: Bench, resume: bool) -> None:
    assert bench.workflow("north").run() == "D"
    for again in (bench.workflow("north"), bench.workflow("north", log="debug")):
        with pytest.raises(WorkflowAlreadyComplete, match="all 1 tasks of workflow 'd5' are done"):
            again.run(resume=resume)
    assert bench.lines() == ["north info"]


@pytest.mark.parametrize("resume", [False, True])
def test_other_tasks_are_told_either_way(bench: Bench, resume: bool) -> None:
    half_done(bench)
    with pytest.raises(WorkflowAlreadyExists) as caught:
        bench.workflow("north", "west", total=True).run(resume=resume)
    assert "1 task (fit_place-west) is new" in str(caught.value)
    assert "1 task (fit_place-south) is not there any more" in str(caught.value)
    assert bench.lines() == []


@pytest.mark.parametrize("resume", [False, True])
def test_other_edges_are_told_either_way(bench: Bench, resume: bool) -> None:
    half_done(bench)
    wf = bench.workflow("north", "south", total=True)
    north, south, _ = wf.tasks
    south.add_upstream(north)
    with pytest.raises(WorkflowAlreadyExists, match=r"1 dependency \(fit_place-north -> fit_place-south\) is new"):
        wf.run(resume=resume)


def test_other_arguments_tools_and_versions_are_other_workflows(bench: Bench) -> None:
    assert bench.workflow("north").run() == "D"
    assert bench.workflow("north", args="d6").run() == "D"
    tool = bench.tool("other")
    wf = tool.create_workflow(workflow_args="d5")
    wf.add_tasks(bench.template(tool).create_tasks(place=["north"], log="info"))
    assert wf.run() == "D"
    tool = bench.tool()
    tool.get_new_tool_version()
    wf = tool.create_workflow(workflow_args="d5")
    wf.add_tasks(bench.template(tool).create_tasks(place=["north"], log="info"))
    assert wf.run() == "D"
    assert len(bench.lines()) == 4


def test_without_arguments_a_workflow_never_matches(bench: Bench) -> None:
    first, second = bench.workflow("north", args=""), bench.workflow("north", args="")
    assert first.workflow_args != second.workflow_args
    assert (first.run(), second.run()) == ("D", "D")
    kept = bench.workflow("north", args=first.workflow_args)
    with pytest.raises(WorkflowAlreadyComplete):
        kept.run()


def test_state_is_looked_for_where_it_was_put(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.break_task("north")
    assert bench.workflow("north", max_attempts=1).run(state="there") == "E"
    bench.mend("north")
    monkeypatch.setenv("WEFT_STATE", str(bench.folder / "there"))
    with pytest.raises(WorkflowAlreadyExists):
        bench.workflow("north").run()
    assert bench.workflow("north").run(resume=True) == "D"


# --- what is taken over, and from where ----------------------------------------------------------------------------------------


def test_what_is_not_done_runs_with_the_present_command_and_name(bench: Bench) -> None:
    half_done(bench)
    tool = bench.tool()
    wf = tool.create_workflow(workflow_args="d5")
    template = bench.template(tool)
    total = tool.get_task_template("total", "sh work.sh total {data}", task_args=["data"])
    # In another order, with other names and op arguments.
    last = total.create_task(data="d5", name="the whole")
    south = template.create_task(place="south", log="debug", name="the south")
    north = template.create_task(place="north", log="debug", name="the north")
    last.add_upstreams([north, south])
    wf.add_tasks([last, south, north])
    result = wf.run(resume=True)
    assert result == "D"
    assert bench.lines() == ["south debug", "total d5"], "what is done never runs again"
    assert result.task_final_statuses == {"the whole": "D", "the south": "D", "the north": "D"}
    assert [task.initial_status for task in wf.tasks] == ["G", "F", "D"]
    assert [len(task.attempts) for task in wf.tasks] == [1, 2, 1]


def test_equal_names_and_places_do_not_make_tasks_equal(bench: Bench) -> None:
    def flow(order: list[Any]) -> weft.Workflow:
        tool = bench.tool()
        template = tool.get_task_template("which", "sh -c {script} {number}", node_args=["number"], op_args=["script"])
        wf = tool.create_workflow(workflow_args="d5")
        script = "echo $0 >> ledger; test $0 != 1"
        for name, number in zip("ab", order, strict=True):
            wf.add_task(template.create_task(name=name, number=number, script=script, max_attempts=1))
        return wf

    assert flow([1.0, 1]).run(jobs=1) == "E"
    assert sorted(bench.lines()) == ["1", "1.0"]
    again = flow([1, 1.0])
    result = again.run(resume=True)
    assert (result.num_previously_complete, result.task_final_statuses) == (1, {"a": "F", "b": "D"})
    assert sorted(bench.lines()) == ["1", "1", "1.0"]


def test_attempts_begin_anew_with_the_present_limit(bench: Bench) -> None:
    bench.break_task("a")
    assert bench.workflow("a", max_attempts=3).run() == "E"
    wf = bench.workflow("a", max_attempts=2)
    assert wf.run(resume=True) == "E"
    assert [row[2] for row in bench.rows()] == ["1", "2", "3", "4", "5"]
    assert wf.task_errors["fit_place-a"]["error_log"][0]["description"].startswith("exit:3")


def test_a_changed_graph_is_for_weft_resume(bench: Bench) -> None:
    half_done(bench)
    wf = bench.workflow("north", "south", "west", total=True)
    ending = assemble.resume("last", wf.plan().spec, assemble.RunSettings(), ())
    assert ending.state == "ok"
    with pytest.raises(WorkflowAlreadyComplete):
        bench.workflow("north", "south", "west", total=True).run(resume=True)
    with pytest.raises(WorkflowAlreadyExists, match="fit_place-west"):
        bench.workflow("north", "south", total=True).run(resume=True)


SLEEP = "sh -c 'test -e enough || exec sleep 1000 {n}'"


def sleeper(bench: Bench, runtime: float | str, **options: Any) -> weft.Workflow:
    tool = bench.tool()
    template = tool.get_task_template("slow", SLEEP, node_args=["n"])
    wf = tool.create_workflow(workflow_args="slow")
    wf.add_task(template.create_task(n=1, compute_resources={"runtime": runtime}, max_attempts=2, **options))
    return wf


@pytest.mark.parametrize(
    ("present", "expected"), [(0.8, 1.2), (0.9, 1.2), (100, 100.0)], ids=["the same", "smaller than raised", "larger"]
)
def test_what_scaling_raised_stays_raised_unless_the_present_is_larger(
    bench: Bench, present: float, expected: float
) -> None:
    wf = sleeper(bench, 0.8)
    assert wf.run() == "E"
    assert [(each.letter, round(each.compute_resources["runtime"], 6)) for each in wf.tasks[0].attempts] == [
        ("Z", 0.8),
        ("Z", 1.2),
    ]
    (bench.folder / "enough").touch()
    again = sleeper(bench, present)
    assert again.run(resume=True) == "D"
    assert round(again.tasks[0].attempts[-1].compute_resources["runtime"], 6) == expected


def test_what_stays_raised_is_cut_to_what_its_queue_allows_now(bench: Bench) -> None:
    sleeper(bench, 0.8).run()
    (bench.folder / "enough").touch()
    (bench.folder / "weft.toml").write_text('[queues.short]\nruntime = "1s"\n', encoding="utf-8")
    wf = sleeper(bench, 0.8)
    wf.tasks[0].update_compute_resources(queue="short")
    assert wf.run(resume=True) == "D"
    assert wf.tasks[0].attempts[-1].compute_resources == {"cores": 1, "runtime": 1, "queue": "short"}


def test_what_was_never_raised_is_what_the_present_says(bench: Bench) -> None:
    bench.break_task("a")
    bench.workflow("a", max_attempts=1, compute_resources={"memory": "2G", "runtime": "2h"}).run()
    bench.mend("a")
    wf = bench.workflow("a", compute_resources={"memory": "1G", "cores": 2})
    assert wf.run(resume=True) == "D"
    first, second = wf.tasks[0].attempts
    assert first.compute_resources == {"cores": 1, "memory": 2 << 30, "runtime": 7200}
    assert second.compute_resources == {"cores": 2, "memory": 1 << 30}


def test_attributes_keep_old_keys_and_take_new_and_changed_ones(bench: Bench) -> None:
    def made(of_workflow: dict[str, str], of_task: dict[str, str]) -> weft.Workflow:
        wf = bench.workflow("a", "b", max_attempts=1, task_attributes=of_task)
        wf.add_attributes(of_workflow)
        return wf

    bench.break_task("a")
    made({"old": "1", "both": "1"}, {"old": "x", "both": "x"}).run()
    bench.mend("a")
    made({"both": "2", "new": "2"}, {"both": "y", "new": "y"}).run(resume=True)
    with SqliteArchive(".weft") as archive:
        plan = restore(archive.snapshot(archive.runs()[0].run))
    assert plan.attributes["workflow"]["attributes"] == {"old": "1", "both": "2", "new": "2"}
    for task in plan.graph:
        assert dict(task.policy.attributes) == {"old": "x", "both": "y", "new": "y"}


# --- owners ------------------------------------------------------------------------------------------------------------------


def test_an_owner_that_does_not_let_go_makes_it_not_resumable(bench: Bench) -> None:
    wf = half_done(bench)
    lock = PlanLock(str(bench.folder / ".weft"), wf.key)
    try:
        for options in ({"resume_timeout": 0}, {"resume_timeout": 0.1, "reset_running_jobs": False}):
            with pytest.raises(WorkflowNotResumable, match="still owned"):
                bench.workflow("north", "south", total=True).run(resume=True, **options)
        with pytest.raises(WorkflowAlreadyExists, match="another process"):
            bench.workflow("north", "south", total=True).run()
        with pytest.raises(WorkflowAlreadyExists, match="new"):  # what cannot be resumed asks nobody to let go
            bench.workflow("north", "west", total=True).run(resume=True)
    finally:
        lock.release()
    assert bench.workflow("north", "south", total=True).run(resume=True) == "D"


def test_a_new_workflow_waits_for_nobody(bench: Bench) -> None:
    wf = bench.workflow("north")
    (bench.folder / ".weft").mkdir(mode=0o700)
    bench.workflow("other", args="other").run()
    lock = PlanLock(str(bench.folder / ".weft"), wf.key)
    try:
        with pytest.raises(OwnedError):
            wf.run()
    finally:
        lock.release()
    assert wf.run() == "D"


@pytest.mark.parametrize("begins", [weft.Workflow.bind, weft.Workflow.run])
def test_who_comes_while_another_one_is_about_to_record_it_looks_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, begins: Callable[[weft.Workflow], object]
) -> None:
    real, refused = SqliteStore.open_attempts, []

    def owned_at_first(store: SqliteStore, key: str) -> object:
        if not refused:
            refused.append(key)
            raise OwnedError("this plan is being run by another process")
        return real(store, key)

    monkeypatch.setattr(SqliteStore, "open_attempts", owned_at_first)
    wf = bench.workflow("north")
    begins(wf)
    assert wf.is_bound
    assert refused == [wf.key]


def test_of_two_that_begin_at_once_one_records_it(bench: Bench) -> None:
    bench.workflow("other", args="other").run()
    meet = threading.Barrier(2)
    found: list[object] = []

    def begin() -> None:
        wf = bench.workflow(*[f"p{number}" for number in range(20)])
        meet.wait()
        try:
            found.append(str(wf.run(jobs=2)))
        except (WorkflowAlreadyExists, WorkflowAlreadyComplete, OwnedError) as error:
            found.append(type(error))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "D" in found
    assert len([line for line in bench.lines() if line.startswith("p")]) == 20
    with SqliteArchive(".weft") as archive:
        assert len(archive.runs(bench.workflow("x").key)) == 1


# --- the short proof that the tables are right ----


def test_large_runs_leave_a_proof_that_spares_a_resume_the_replay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weft.store import verify

    monkeypatch.setattr(proof, "PROVEN_FROM", 1)
    half_done(bench)
    replayed = []
    replay = verify._replay
    monkeypatch.setattr(verify, "_replay", lambda *given: replayed.append(given) or replay(*given))
    assert bench.workflow("north", "south", total=True).run(resume=True) == "D"
    assert replayed == []


@pytest.mark.parametrize("harm", ["none", "a table", "the seal"])
def test_large_runs_are_sealed_while_they_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """As after `kill -9`: no proof was left at the end."""
    import apsw

    from weft.store import seals, verify

    monkeypatch.setattr(proof, "PROVEN_FROM", 1)
    monkeypatch.setattr(seals, "INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(seals, "SHARE", float("inf"))
    wf = half_done(bench)
    (at_the_end,) = bench.folder.glob(f".weft/runs/*/{proof.NAME}")
    at_the_end.unlink()
    (left,) = bench.folder.glob(f".weft/runs/*/{seals.NAME}")
    if harm == "a table":  # says that what is done has failed
        connection = apsw.Connection(".weft/weft.db")
        connection.execute("UPDATE tasks SET state = 3 WHERE state = 2")
        connection.close()
    elif harm == "the seal":
        left.write_bytes(left.read_bytes()[:-1])
    replayed = []
    replay = verify._replay
    monkeypatch.setattr(verify, "_replay", lambda *given: replayed.append(given) or replay(*given))
    if harm == "a table":
        with pytest.warns(WeftWarning, match="made again"):
            assert wf.run(resume=True) == "D"
    else:
        assert wf.run(resume=True) == "D"
    assert bench.lines() == ["south info", "total d5"]
    assert len(replayed) == (harm != "none")


@pytest.mark.parametrize("harm", ["a table", "the proof", "no proof"])
def test_without_a_proof_that_holds_the_facts_decide(bench: Bench, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    import apsw

    monkeypatch.setattr(proof, "PROVEN_FROM", 1)
    wf = half_done(bench)
    (left,) = bench.folder.glob(f".weft/runs/*/{proof.NAME}")
    if harm == "a table":  # says that what failed is done
        connection = apsw.Connection(".weft/weft.db")
        connection.execute("UPDATE tasks SET state = 2 WHERE state = 3")
        connection.close()
    elif harm == "the proof":
        left.write_text("{", encoding="utf-8")
    else:
        left.unlink()
    if harm == "a table":
        with pytest.warns(WeftWarning, match="made again"):
            assert wf.run(resume=True) == "D"
    else:
        assert wf.run(resume=True) == "D"
    assert bench.lines() == ["south info", "total d5"]
