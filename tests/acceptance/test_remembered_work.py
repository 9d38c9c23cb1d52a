"""Finished work is not repeated by later runs, whatever became of the engine that began it (docs/decisions/0056)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import LIMIT_SECONDS, Doorway, Weft, events_of, kill, read_ledger, supervisor_of

FUNCTIONS = """
import weft

registry = weft.Registry()


@registry.task(product="int", options={{"k": weft.Option("int", default=1)}})
def slow(k):
    with open("{ledger}", "a") as file:
        file.write("begin slow 1 1\\n")
    with open("{inside}", "w") as file:
        file.write("slow\\n")
    with open("{gate}") as file:
        file.readline()
    return k + 1


@registry.task(product="int", deps=["slow"])
def after(slow):
    with open("{ledger}", "a") as file:
        file.write("begin after 1 1\\n")
    return slow + 1
"""


def begun(ledger: Path) -> list[str]:
    return [task for what, task, *_ in read_ledger(ledger) if what == "begin"]


def files(weft: Weft, door: Doorway, ledger: Path) -> str:
    """Reads one file, makes two more; what follows makes a third."""
    (weft.folder / "in.txt").write_text("old", encoding="utf-8")
    slow = f"cat in.txt > out.txt; mkdir -p parts; cat in.txt > parts/one; {door.script(ledger)}"
    after = f'echo "begin after 1 1" >> {ledger}; cat out.txt > last.txt'
    tasks = {
        "slow": {"shell": slow, "requires": {"files": ["in.txt"]}, "outputs": ["out.txt", "parts"]},
        "after": {"shell": after, "dependencies": ["slow"], "outputs": ["last.txt"]},
    }
    return weft.plan(tasks)


def functions(weft: Weft, door: Doorway, ledger: Path) -> str:
    text = FUNCTIONS.format(ledger=ledger, inside=door.inside, gate=door.gate)
    (weft.folder / "steps.py").write_text(text, encoding="utf-8")
    return "steps.py"


def instances(weft: Weft, door: Doorway, ledger: Path) -> str:
    """One for each of two files, of which the second waits for a core."""
    (weft.folder / "in").mkdir()
    for name in ("a", "b"):
        (weft.folder / "in" / name).write_text(name, encoding="utf-8")
    each = {
        "shell": f"cat {{file}} > {{file}}.out; {door.script(ledger, 'slow')}",
        "requires": {"match": ["glob:in/?"]},
        "foreach": {"files": True, "as": "file"},
        "outputs": ["{file}.out"],
    }
    return weft.plan({"slow": each})


def last_run(weft: Weft) -> str:
    return str(json.loads(weft("status", "--output", "json").stdout)["run"])


def die_before_the_end(weft: Weft, door: Doorway, plan: str) -> None:
    """The engine dies while the first task is at work."""
    engine = weft.start("run", plan, "-j", "1")
    door.wait_for("slow")
    kill(engine)


def end_unseen(weft: Weft, door: Doorway) -> None:
    """What lives ends while there is no engine, and its supervisor with it."""
    watch = os.pidfd_open(supervisor_of(last_run(weft)))
    door.let_on()
    assert select.select([watch], [], [], LIMIT_SECONDS)[0], "the supervisor ends when the last receipt is written"
    os.close(watch)


def finish(process: subprocess.Popen[bytes], weft: Weft) -> None:
    assert process.wait(LIMIT_SECONDS) == 0, (weft.folder / "err").read_text(encoding="utf-8")


def causes(weft: Weft, plan: str) -> dict[str, str | None]:
    """What one more run does with each task."""
    answer = weft("run", plan, "--output", "json")
    assert answer.returncode == 0, answer.stderr
    return {name: task["cause"] for name, task in events_of(answer.stdout)[-1]["tasks"].items()}


def shown(weft: Weft, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(weft("show", *words, "--output", "json").stdout)
    return found


def reasons(weft: Weft, task: str) -> list[tuple[str, str | None]]:
    answer = json.loads(weft("explain", task, "--output", "json").stdout)
    return [(reason["code"], reason.get("part")) for reason in answer["reasons"]]


@pytest.mark.parametrize("plan_of", [files, functions])
@pytest.mark.parametrize("taken_up", ["alive by resume", "ended by resume", "ended by run"])
def test_an_attempt_that_outlived_its_engine_is_remembered_for_later_runs(
    weft: Weft, door: Doorway, tmp_path: Path, plan_of: Any, taken_up: str
) -> None:
    ledger = tmp_path / "ledger"
    plan = plan_of(weft, door, ledger)
    die_before_the_end(weft, door, plan)
    left = last_run(weft)
    if taken_up == "alive by resume":
        resumed = weft.start("resume")
        door.let_on()
        finish(resumed, weft)
    else:
        end_unseen(weft, door)
        answer = weft("resume") if taken_up == "ended by resume" else weft("run", plan)
        assert answer.returncode == 0, answer.stderr
    assert begun(ledger) == ["slow", "after"]
    assert causes(weft, plan) == {"slow": "cached", "after": "cached"}
    assert begun(ledger) == ["slow", "after"]
    assert reasons(weft, "slow") == [("cached", None)]
    then, now = shown(weft, left, "slow"), shown(weft, "slow")
    assert then["state"] == "ok"
    assert then["fingerprint"] == now["fingerprint"] is not None
    assert [attempt["started"] is not None and attempt["seconds"] > 0 for attempt in then["attempts"]] == [True]


@pytest.mark.parametrize("nth", [2, 4])
@pytest.mark.parametrize("point", ["engine.commit.before", "engine.commit.after"])
def test_whenever_an_engine_dies_a_run_after_the_resume_finds_everything_done(
    weft: Weft, tmp_path: Path, point: str, nth: int
) -> None:
    ledger = tmp_path / "ledger"
    tasks: dict[str, Any] = {
        f"t{number}": {
            "shell": f'echo "begin t{number} 1 1" >> {ledger}; echo {number} > o{number}',
            "outputs": [f"o{number}"],
            "dependencies": [f"t{number // 2}"] if number else [],
        }
        for number in range(12)
    }
    plan = weft.plan(tasks)
    assert weft("run", plan, "-j", "2", WEFT_FAILPOINT=f"{point}:kill:{nth}").returncode == -signal.SIGKILL
    assert weft("resume").returncode == 0
    assert causes(weft, plan) == dict.fromkeys(tasks, "cached")
    assert sorted(begun(ledger)) == sorted(tasks)


def test_a_run_that_was_left_open_shows_what_its_attempts_came_to_once_another_has_begun(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    plan = files(weft, door, tmp_path / "ledger")
    die_before_the_end(weft, door, plan)
    left = last_run(weft)
    end_unseen(weft, door)
    assert weft("run", plan).returncode == 0
    assert weft.states(left) == {"slow": ("ok", None), "after": ("pending", None)}
    assert json.loads(weft("status", left, "--output", "json").stdout)["state"] == "interrupted"
    assert weft("resume", left).returncode == 0
    assert begun(tmp_path / "ledger") == ["slow", "after"]


@pytest.mark.parametrize("dies", [False, True])
def test_a_file_that_changed_while_it_was_worked_on_is_worked_on_again_and_its_old_content_is_not(
    weft: Weft, door: Doorway, tmp_path: Path, dies: bool
) -> None:
    ledger = tmp_path / "ledger"
    plan = files(weft, door, ledger)
    if dies:
        die_before_the_end(weft, door, plan)
        (weft.folder / "in.txt").write_text("newer", encoding="utf-8")
        process = weft.start("resume")
    else:
        process = weft.start("run", plan, "-j", "1")
        door.wait_for("slow")
        (weft.folder / "in.txt").write_text("newer", encoding="utf-8")
    door.let_on()
    finish(process, weft)
    door.let_on()
    assert causes(weft, plan) == {"slow": None, "after": None}
    assert reasons(weft, "slow") == [("part_changed", "inputs:in.txt")]
    assert begun(ledger) == ["slow", "after"] * 2
    (weft.folder / "in.txt").write_text("old", encoding="utf-8")
    door.let_on()
    assert causes(weft, plan)["slow"] is None, "its outputs are those of the newer content"
    assert {code for code, _ in reasons(weft, "slow")} == {"output_changed"}


@pytest.mark.parametrize("output", ["out.txt", "parts/one"])
def test_what_somebody_else_wrote_after_the_end_is_not_taken_for_what_the_task_made(
    weft: Weft, door: Doorway, tmp_path: Path, output: str
) -> None:
    ledger = tmp_path / "ledger"
    plan = files(weft, door, ledger)
    die_before_the_end(weft, door, plan)
    end_unseen(weft, door)
    later = (weft.folder / "out.txt").stat().st_mtime + 3600
    (weft.folder / output).write_text("by hand", encoding="utf-8")
    os.utime(weft.folder / output, (later, later))
    assert weft("resume").returncode == 0
    door.let_on()
    assert causes(weft, plan)["slow"] is None
    assert (weft.folder / output).read_text(encoding="utf-8") == "old"


def test_instances_of_a_dead_engine_are_remembered_under_what_they_had_read(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    plan = instances(weft, door, ledger)
    die_before_the_end(weft, door, plan)
    (weft.folder / "in" / "a").write_text("newer", encoding="utf-8")
    resumed = weft.start("resume", "-j", "1")
    door.let_on(2)
    finish(resumed, weft)
    assert begun(ledger) == ["slow", "slow"]
    door.let_on()
    assert causes(weft, plan) == {"slow": None}
    assert begun(ledger) == ["slow"] * 3, "the first has read what is there no more; the second is as it was"
    assert (weft.folder / "in" / "a.out").read_text(encoding="utf-8") == "newer"
    assert causes(weft, plan) == {"slow": "cached"}


def test_what_an_orphan_did_for_a_watch_is_not_done_again_in_the_next_round(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    after = f'echo "begin after 1 1" >> {ledger}; echo after > {door.inside}'
    other = f'echo "begin other 1 1" >> {ledger}; echo other > {door.inside}'
    tasks = {
        "slow": {"shell": door.script(ledger), "requires": {"files": ["one.txt"]}},
        "after": {"shell": after, "dependencies": ["slow"]},
        "other": {"shell": other, "requires": {"files": ["two.txt"]}},
    }
    words = ("watch", weft.plan(tasks), "--poll", "0.05s", "--settle", "0.1s")
    (weft.folder / "one.txt").write_text("1", encoding="utf-8")
    killed = weft.start(*words)
    door.wait_for("slow")
    kill(killed)
    again = weft.start(*words)
    door.let_on()
    door.wait_for("after")
    (weft.folder / "two.new").write_text("2", encoding="utf-8")
    os.rename(weft.folder / "two.new", weft.folder / "two.txt")
    door.wait_for("other")
    again.terminate()
    assert again.wait(LIMIT_SECONDS) == 143
    assert begun(ledger) == ["slow", "after", "other"]
