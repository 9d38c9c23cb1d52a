"""Python's front: what a script or a notebook does."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.api.journal import Journal
from weft.errors import StoreError, UsageError
from weft.scheduling.commands import SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import Outcome, Usage
from weft.spec.actions import Shell
from weft.spec.products import Product
from weft.spec.tasks import Dependency, Policy


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def plan(tasks: dict[str, Any], name: str = "plan.json", **more: Any) -> str:
        (tmp_path / name).write_text(json.dumps({"weft": 1, "tasks": tasks, **more}), encoding="utf-8")
        return str(tmp_path / name)

    return plan


TWO = {
    "a": {"command": ["echo", "hello"], "product": "stdout"},
    "b": {"command": ["echo", "{x} you"], "dependencies": [{"name": "a", "as": "x"}], "product": "stdout"},
}


def waiting_for(gate: Path) -> dict[str, Any]:
    return {"shell": f"until [ -e {gate} ]; do sleep 0.01; done"}


def test_a_plan_runs_to_its_end_and_answers_for_its_tasks(write: Any) -> None:
    run = weft.load(write(TWO)).run(jobs=2)
    assert (run.state, run.exit_code) == ("ok", 0)
    assert (run["b"].state, run["b"].cause, run["b"].product) == ("ok", None, "hello you")
    assert run["b"].log() == b"hello you\n"
    assert run["b"].usage is not None and run["b"].usage.seconds > 0
    assert [row.key.attempt for row in run["a"].attempts] == [1]
    assert run.counts()["ok"] == 2
    assert run.explain("a").action == "run"
    assert run.wait() is run


def test_every_mistake_of_a_document_is_in_the_error(write: Any) -> None:
    bad = {"a": {"command": ["true"], "dependencies": ["nobody"]}, "b": {"comand": ["true"]}}
    with pytest.raises(weft.PlanError) as raised:
        weft.load(write(bad))
    assert len(raised.value.problems()) >= 2


def test_options_are_values_or_texts(write: Any) -> None:
    path = write({"a": {"command": ["echo", "{n}"], "product": "json"}}, options={"n": {"type": "int"}})
    for given in (3, "3"):
        assert weft.load(path, options={"n": given}).run()["a"].product == 3


def test_a_setting_that_does_not_exist_is_told_with_the_nearest(write: Any) -> None:
    with pytest.raises(UsageError) as raised:
        weft.load(write(TWO)).run(job=2)
    assert "jobs" in (raised.value.hint or "")
    with pytest.raises(UsageError):
        weft.load(write(TWO)).run()["c"]


def test_a_failed_task_is_a_value_and_no_exception(write: Any) -> None:
    run = weft.load(write({"a": {"command": ["sh", "-c", "exit 3"], "product": "stdout"}})).run()
    assert (run.state, run.exit_code) == ("failed", 1)
    assert (run["a"].state, run["a"].cause) == ("failed", "exit:3")
    with pytest.raises(LookupError):
        _ = run["a"].product


def test_a_started_run_goes_on_beside_and_can_be_waited_for(write: Any, tmp_path: Path) -> None:
    run = weft.load(write({"a": waiting_for(tmp_path / "gate"), "b": {"command": ["true"]}})).start(jobs=2)
    assert (run.state, run.exit_code, run["a"].state) == ("running", None, "pending")
    assert run.id and sum(run.counts().values()) == 2
    (tmp_path / "gate").touch()
    assert run.wait().state == "ok"


def test_a_started_run_can_be_cancelled(write: Any, tmp_path: Path) -> None:
    run = weft.load(write({"a": waiting_for(tmp_path / "never"), "b": {"command": ["true"]}})).start(jobs=2)
    run.cancel(["a"])
    run.wait()
    assert (run["a"].state, run["a"].cause, run["b"].state) == ("cancelled", "cancelled", "ok")
    run.cancel()  # it has ended: nothing happens
    assert run["b"].state == "ok"


def test_a_started_run_can_be_stopped_and_is_then_interrupted(write: Any, tmp_path: Path) -> None:
    run = weft.load(write({"a": waiting_for(tmp_path / "never")})).start()
    run.stop()
    with pytest.warns(weft.WeftWarning, match="interrupted"):
        run.wait()
    assert (run.state, run["a"].cause) == ("interrupted", "interrupted")


def test_what_keeps_a_run_from_starting_is_raised_where_it_was_started(write: Any, tmp_path: Path) -> None:
    plan = weft.load(write(TWO))
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        plan.start(state=str(tmp_path / "file" / "state"))


def test_a_run_works_in_any_thread(write: Any) -> None:
    plan = weft.load(write(TWO))
    states: list[str] = []
    thread = threading.Thread(target=lambda: states.append(plan.run().state))
    thread.start()
    thread.join()
    assert states == ["ok"]


def test_a_run_inside_an_event_loop_does_not_block_it(write: Any, tmp_path: Path) -> None:
    plan = weft.load(write({"a": waiting_for(tmp_path / "gate")}))

    async def both() -> weft.Run:
        run = asyncio.ensure_future(plan.arun())
        await asyncio.sleep(0)
        (tmp_path / "gate").touch()  # only a loop that is not blocked comes here
        return await run

    assert asyncio.run(both()).state == "ok"


def test_a_plain_run_works_inside_an_event_loop_too(write: Any) -> None:
    async def inside() -> str:
        return weft.load(write(TWO)).run().state

    assert asyncio.run(inside()) == "ok"


@pytest.mark.parametrize("is_begun", [False, True])
def test_an_awaited_run_that_is_cancelled_leaves_nothing_running(write: Any, tmp_path: Path, is_begun: bool) -> None:
    began = tmp_path / "began"
    plan = weft.load(write({"a": {"shell": f"touch {began}; while :; do sleep 0.01; done"}}))

    async def cancelled() -> None:
        run = asyncio.ensure_future(plan.arun())
        await asyncio.sleep(0)
        while is_begun and not began.exists():
            await asyncio.sleep(0.005)
        run.cancel()
        await run

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_two_runs_of_two_plans_live_in_one_process(write: Any, tmp_path: Path) -> None:
    first = weft.load(write({"a": waiting_for(tmp_path / "gate")}, "one.json")).start()
    second = weft.load(write({"a": {"command": ["touch", str(tmp_path / "gate")]}}, "two.json")).start()
    assert (second.wait().state, first.wait().state) == ("ok", "ok")
    assert first.id != second.id and first.state_folder == second.state_folder


def test_a_run_answers_with_its_own_products_also_after_a_later_one(write: Any, tmp_path: Path) -> None:
    tasks = {
        "a": {"command": ["cat", "in"], "requires": {"files": ["in"]}, "product": "stdout", "cache": "always"},
        "m": {
            "command": ["echo", "{i}"],
            "foreach": {"values": [1, 2], "as": "i"},
            "product": "json",
            "cache": "always",
        },
    }
    path = write(tasks)
    (tmp_path / "in").write_text("old\n")
    first = weft.load(path).run()
    (tmp_path / "in").write_text("new\n")
    second = weft.load(path).run()
    third = weft.load(path).run()
    assert [run["a"].product for run in (first, second, third)] == ["old", "new", "new"]
    assert [run["m"].product for run in (first, second, third)] == [[1, 2]] * 3
    assert third["a"].cause == "cached" and third["m"].cause == "cached"


def test_a_rewritten_plan_runs_instead(write: Any) -> None:
    run = weft.load(write(TWO)).select("a").run()
    assert run["a"].state == "ok"
    assert len(run.plan.graph) == 1


def test_a_plan_is_made_of_a_graph_or_of_tasks(tmp_path: Path) -> None:
    tasks = [weft.Task("a", Shell("echo 1")), weft.Task("b", Shell("echo 2"), (Dependency("a"),))]
    run = weft.Plan(tasks, root=str(tmp_path)).run()
    assert (run.state, run["b"].log()) == ("ok", b"2\n")
    assert weft.Plan(weft.Graph(tasks), name="nightly").spec.key == "graph:nightly"
    assert weft.Plan(tasks).diff(weft.Plan(tasks[:1])).removed == ("b",)
    with pytest.raises(weft.WeftError, match="a plan has no 'nmae'"):
        weft.Plan(tasks, nmae="nightly")


def test_a_task_that_has_not_ended_well_has_no_product(tmp_path: Path) -> None:
    made = Product("stdout", "str")
    for script in ("echo one", "exit 3"):
        task = weft.Task("a", Shell(script), policy=Policy(product=made, cache="always"))
        run = weft.Plan([task], root=str(tmp_path), name="x").run()
    with pytest.raises(LookupError, match="its state is failed"):
        run["a"].product  # noqa: B018 - and not what the run before has made


def test_output_of_a_task_that_printed_nothing_is_empty(tmp_path: Path) -> None:
    run = weft.Plan([weft.Task("a", Shell("true"))], root=str(tmp_path)).run()
    assert (run["a"].log(), run["a"].log("stderr")) == (b"", b"")


def test_news_of_a_run_are_warnings_and_a_strict_filter_is_no_harm_to_the_run(write: Any, tmp_path: Path) -> None:
    path = write({"a": waiting_for(tmp_path / "never")})
    with pytest.warns(weft.WeftWarning, match="time limit") as told:
        weft.load(path).run(timeout=0.1)
    assert [warning.filename for warning in told] == [__file__] * len(told), "at the line that asked for the run"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(weft.WeftWarning, match="time limit"):
            weft.load(path).run(timeout=0.1)


def test_resources_are_given_as_people_write_them() -> None:
    from weft.api.plan import _settings

    given = _settings({"resources": {"memory": "8G", "cores": 1.5, "license": 2}})
    assert dict(given.resources) == {"memory": 8 << 30, "cores": 1500, "license": 2_000_000}
    with pytest.raises(UsageError, match="memory"):
        _settings({"resources": {"memory": "8 parsecs"}})


# --- a run while it goes on --------------------------------------------------------------------------------------------


async def gathered(run: weft.Run) -> list[dict[str, Any]]:
    return [dict(event) async for event in run.events()]


def timeless(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what differs between two runs."""
    gone = {"time", "run", "seconds", "memory", "cpu_seconds"}
    plain = []
    for event in events:
        event = {key: value for key, value in event.items() if key not in gone}
        if "tasks" in event and isinstance(event["tasks"], dict):
            event["tasks"] = {
                name: {key: value for key, value in entry.items() if key not in gone}
                for name, entry in event["tasks"].items()
            }
        plain.append(event)
    return plain


FOUR = {
    "a": {"command": ["echo", "hello"], "product": "stdout"},
    "bad": {"command": ["false"], "max_attempts": 2, "dependencies": ["a"]},
    "c": {"command": ["true"], "dependencies": ["bad"]},
    "each": {
        "command": ["sh", "-c", "test {n} != 2", "x"],
        "foreach": {"values": [1, 2], "as": "n"},
        "dependencies": ["bad"],
    },
}


def test_events_after_the_end_are_the_lines_of_the_command(write: Any, tmp_path: Path) -> None:
    noted = {**FOUR, "noted": {"command": ["true"], "notes": ["diary"]}}
    path = write(noted, notes={"diary": {"kind": "file", "path": str(tmp_path / "diary")}})
    run = weft.load(path).run(jobs=1, state=str(tmp_path / "one"))
    command = [sys.executable, "-m", "weft", "run", path, "-j1", "--output", "json", "--state", str(tmp_path / "two")]
    lines = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=60).stdout.splitlines()
    events = timeless(asyncio.run(gathered(run)))
    assert events == timeless([json.loads(line) for line in lines])
    assert events[-1]["notes"] == {"diary": {"sent": 1, "unsent": 0, "problem": None}}


def test_instances_are_named_by_their_items(write: Any) -> None:
    tasks = {"each": {"command": ["true"], "foreach": {"values": ["x", "y"], "as": "n"}}}
    run = weft.load(write(tasks)).run(jobs=1)
    events = asyncio.run(gathered(run))
    started = [(event["instance"], event["item"]) for event in events if event["event"] == "task_started"]
    assert started == [(0, "x"), (1, "y")]


def test_two_listeners_follow_a_run_inside_a_loop(write: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def follow() -> list[list[dict[str, Any]]]:
        run = weft.load(write({"a": waiting_for(gate), "b": {"command": ["true"], "dependencies": ["a"]}})).start()
        first = asyncio.create_task(gathered(run))
        async for event in run.events():
            if event["event"] == "task_started":
                gate.touch()
                break
        events = await asyncio.wait_for(asyncio.gather(first, gathered(run)), 60)
        await asyncio.to_thread(run.wait)
        return list(events)

    one, two = asyncio.run(follow())
    assert one == two
    assert [event["event"] for event in one] == ["run_started", *["task_started", "task_ended"] * 2, "run_ended"]


def test_who_asks_for_progress_gets_it_while_nothing_else_happens(write: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def follow() -> list[Any]:
        run = weft.load(write({"a": waiting_for(gate), "b": {"command": ["true"], "dependencies": ["a"]}})).start()
        events = []
        async for event in run.events(every=0.01):
            events.append(event)
            if event["event"] == "progress" and event["tasks"]["a"]["state"] == "running":
                gate.touch()
        await asyncio.to_thread(run.wait)
        return [*events, await gathered(run)]

    *events, plain = asyncio.run(asyncio.wait_for(follow(), 60))
    progress = [event for event in events if event["event"] == "progress"]
    assert [event for event in events if event["event"] != "progress"] == plain
    assert progress[0]["edges"] == [{"from": "a", "to": "b", "items": 0, "bytes": 0, "seconds_left": None}]
    assert sum(progress[0]["counts"].values()) == 2
    changes = [{**event, "time": ""} for event in progress]
    assert all(before != after for before, after in itertools.pairwise(changes)), "what has not changed is not told"


def test_a_listener_that_leaves_is_forgotten(write: Any) -> None:
    async def leave() -> weft.Run:
        run = weft.load(write(TWO)).start()
        events = run.events()
        assert (await anext(events))["event"] == "run_started"
        await events.aclose()
        await asyncio.to_thread(run.wait)
        return run

    run = asyncio.run(leave())
    assert not run._journal._listeners


def test_a_run_can_be_cancelled_inside_a_loop(write: Any, tmp_path: Path) -> None:
    async def cancel() -> list[dict[str, Any]]:
        run = weft.load(write({"a": waiting_for(tmp_path / "gate")})).start()
        events = []
        async for event in run.events():
            events.append(dict(event))
            if event["event"] == "task_started":
                run.cancel()
        return events

    last = asyncio.run(asyncio.wait_for(cancel(), 60))[-1]
    assert (last["state"], last["counts"]["cancelled"]) == ("cancelled", 1)


def test_events_of_an_engine_that_stopped_end_with_what_stopped_it(write: Any, monkeypatch: Any) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr("weft.runtime.engine.Engine._end", fail)
    run = weft.load(write(TWO)).start()
    with pytest.raises(StoreError, match="the disk is gone"):
        asyncio.run(gathered(run))
    with pytest.raises(StoreError):
        run.wait()


def test_a_snapshot_shows_states_and_what_went_over_the_edges(write: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tasks = {
        "a": {"command": ["echo", "hello"], "product": "stdout"},
        "b": {**waiting_for(gate), "dependencies": [{"name": "a", "as": "x"}]},
        "each": {"command": ["true"], "foreach": {"values": [1, 2, 3], "as": "n"}, "dependencies": ["b"]},
    }
    run = weft.load(write(tasks)).start(jobs=1)

    async def until_begun() -> None:
        async for event in run.events():
            if event["event"] == "task_started" and event["task"] == "b":
                return

    asyncio.run(until_begun())
    during = run.snapshot()
    gate.touch()
    run.wait()
    after = run.snapshot()
    assert during["state"] == "running"
    assert during["tasks"]["a"] == {"state": "ok", "done": 1, "total": 1}
    assert during["tasks"]["b"] == {"state": "running", "done": 0, "total": 1}
    first, second = during["edges"]
    assert first == {"from": "a", "to": "b", "items": 1, "bytes": 5, "seconds_left": 0.0}
    assert second == {"from": "b", "to": "each", "items": 0, "bytes": 0, "seconds_left": None}
    assert after["state"] == "ok"
    assert after["tasks"]["each"] == {"state": "ok", "done": 3, "total": 3}


def test_a_million_events_are_small() -> None:
    journal = Journal(lambda: 0.0)
    outcome = Outcome(True, usage=Usage(0.5, 0.1, 1 << 20))
    for number in range(10_000):
        key = AttemptKey(number, WHOLE, 1)
        journal.start(key)
        journal.end(key, outcome, False)
        journal.settle(SettleTask(number, "ok", None, None, 1))
    assert len(journal) == 20_000
    size = sum(sys.getsizeof(column) for column in vars(journal).values() if hasattr(column, "itemsize"))
    assert size / len(journal) < 80
    assert not journal._final


def test_a_slow_listener_gets_every_event_and_holds_nobody_up() -> None:
    async def listen() -> tuple[int, int]:
        journal = Journal(lambda: 0.0)
        rows = journal.rows()
        journal.start(AttemptKey(0, WHOLE, 1))
        await anext(rows)
        for number in range(1, 5_000):
            journal.start(AttemptKey(number, WHOLE, 1))
        journal.close()
        return len(journal), 1 + len([row async for row in rows])

    assert asyncio.run(listen()) == (5_000, 5_000)
