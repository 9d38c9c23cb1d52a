"""Resume, retry and cancel of runs whose engine is gone, with attempts that still live: reliability.md section 3."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from support.waiting import wait_for_ends
from support.weft_process import LIMIT_SECONDS, Doorway, Weft, kill, read_ledger


def left_alive(weft: Weft, door: Doorway, tasks: dict[str, Any], *inside: str) -> list[int]:
    """Start a plan, wait until these tasks are in, kill the engine; the pids of what lives on."""
    weft.plan(tasks)
    engine = weft.start("run", "plan.json", "-j", "4")
    door.wait_for(*inside)
    kill(engine)
    return [int(pid) for what, _, _, pid in read_ledger(weft.folder / "ledger") if what == "begin"]


def is_alive(pid: int) -> bool:
    return (
        os.path.exists(f"/proc/{pid}")
        and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    )


def test_a_live_attempt_of_a_changed_task_is_ended_and_its_result_does_not_count(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    tasks = {name: {"shell": door.script(ledger)} for name in ("stays", "changes", "leaves")}
    pids = left_alive(weft, door, tasks, *tasks)
    weft.plan({"stays": tasks["stays"], "changes": {"shell": f"echo begin changes new $$ >> {ledger}"}})
    resumed = weft.start("resume", "-j", "4")
    begun = {task: int(pid) for what, task, _, pid in read_ledger(ledger) if what == "begin" and int(pid) in pids}
    # Whoever of the three waits at the gate may take the word to go on, so it is said when only one is left.
    wait_for_ends([begun["changes"], begun["leaves"]], LIMIT_SECONDS)
    door.let_on()
    assert resumed.wait(60) == 0, (tmp_path / "err").read_text()
    said = (tmp_path / "err").read_text()
    assert "removed: leaves" in said and "changed: changes (action)" in said
    assert weft.states() == {"stays": ("ok", None), "changes": ("ok", None)}
    told = [(what, task, attempt) for what, task, attempt, _ in read_ledger(ledger)]
    assert ("begin", "changes", "new") in told and ("end", "stays", "1") in told
    assert ("end", "changes", "1") not in told and ("end", "leaves", "1") not in told
    assert not any(map(is_alive, pids))


def test_a_resume_without_executing_ends_what_another_executor_had_started(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    tasks = {"one": {"shell": door.script(tmp_path / "ledger")}, "two": {"command": ["false"], "dependencies": ["one"]}}
    pids = left_alive(weft, door, tasks, "one")
    resumed = weft("resume", "--executor", "noop")
    assert resumed.returncode == 0, resumed.stderr
    assert not any(map(is_alive, pids))
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}
    assert [what for what, *_ in read_ledger(tmp_path / "ledger")] == ["begin"]


def test_cancel_of_a_dead_run_ends_what_lives_and_resume_leaves_it_alone(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    tasks = {"one": {"shell": door.script(tmp_path / "ledger")}, "two": {"command": ["true"], "dependencies": ["one"]}}
    pids = left_alive(weft, door, tasks, "one")
    cancelled = weft("cancel")
    assert cancelled.returncode == 0, cancelled.stderr
    assert not any(map(is_alive, pids))
    assert weft.states() == {"one": ("cancelled", "cancelled"), "two": ("cancelled", "cancelled")}
    assert weft("resume").returncode == 1
    assert weft.states()["one"] == ("cancelled", "cancelled")


def test_executors_by_other_names_are_taken_up_and_given_up_like_their_own(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    placing = tmp_path / "weft.toml"
    placing.write_text('[clusters]\nfar = "sequential"\n', encoding="utf-8")
    ledger = tmp_path / "ledger"
    tasks = {name: {"shell": door.script(ledger), "executor": "far"} for name in ("one", "two")}
    (first,) = left_alive(weft, door, tasks, "one")  # the other one waits: one at a time
    resumed = weft.start("resume", "-j", "4")
    door.let_on()
    door.wait_for("two")
    kill(resumed)
    begun = [(task, int(pid)) for what, task, _, pid in read_ledger(ledger) if what == "begin"]
    assert [task for task, _ in begun] == ["one", "two"] and begun[0][1] == first, "the first one was adopted"
    placing.unlink()
    refused = weft("resume")
    assert refused.returncode == 2 and "no executor 'far'" in refused.stderr
    assert weft("cancel").returncode == 0
    assert not any(is_alive(pid) for _, pid in begun)
    assert weft.states() == {"one": ("ok", None), "two": ("cancelled", "cancelled")}


def test_cancel_of_an_interrupted_run_takes_it_out_of_resumes_reach(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan(
        {"one": {"shell": door.script(tmp_path / "ledger")}, "two": {"command": ["true"], "dependencies": ["one"]}}
    )
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    engine.terminate()
    assert engine.wait(60) == 143
    assert weft.states()["one"] == ("cancelled", "interrupted")
    assert weft("cancel", "last", "one").returncode == 0
    assert weft.states() == {"one": ("cancelled", "cancelled"), "two": ("cancelled", "interrupted")}
    assert weft("resume").returncode == 1
    assert weft.states()["one"] == ("cancelled", "cancelled")


def test_a_run_that_another_resume_left_alive_is_not_overtaken(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan({"one": {"shell": "exit 1"}})
    assert weft("run", "plan.json").returncode == 1
    left_alive(weft, door, {"one": {"shell": door.script(tmp_path / "ledger")}}, "one")
    overtaking = weft("resume", "-2")
    assert overtaking.returncode == 4, overtaking.stderr
    assert weft("cancel").returncode == 0


def test_an_interrupted_attempt_keeps_its_scaled_request(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    script = f'[ "$WEFT_ATTEMPT" = 1 ] && sleep 60; {door.script(ledger)}'
    weft.plan({"one": {"shell": script, "timeout": 0.5, "max_attempts": 3, "resource_scales": {"timeout": 200}}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    engine.terminate()
    assert engine.wait(60) == 143
    again = weft.start("resume")
    door.wait_for("one")
    door.let_on()
    assert again.wait(60) == 0, (tmp_path / "err").read_text()
    shown = json.loads(weft("show", "one", "--output", "json").stdout)
    assert [attempt["request"]["timeout"] for attempt in shown["attempts"]] == [0.5, 100.5, 100.5]
