"""What dies, and how a resume goes on: reliability.md, rows A1 to A8 and C9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import (
    Doorway,
    Weft,
    check_no_overlap,
    clean_environment,
    events_of,
    kill,
    read_ledger,
    supervisor_of,
)


def last_run(weft: Weft) -> str:
    return str(json.loads(weft("status", "--output", "json").stdout)["run"])


def started_by(ledger: Path) -> list[str]:
    return [task for what, task, *_ in read_ledger(ledger) if what == "begin"]


def diamond(ledger: Path) -> dict[str, Any]:
    def task(*dependencies: str) -> dict[str, Any]:
        text = (
            f'echo "begin $WEFT_TASK $WEFT_ATTEMPT $$" >> {ledger}; echo "end $WEFT_TASK $WEFT_ATTEMPT $$" >> {ledger}'
        )
        return {"shell": text, "dependencies": list(dependencies)}

    return {
        "a": task(),
        "b": task("a"),
        "c": task("a"),
        "d": task("b", "c"),
        "bad": {"shell": "exit 3"},
        "e": task("bad", "d"),
    }


EXPECTED = {
    "a": ("ok", None),
    "b": ("ok", None),
    "c": ("ok", None),
    "d": ("ok", None),
    "bad": ("failed", "exit:3"),
    "e": ("skipped", "dependency:bad"),
}


def failpoints(weft: Weft) -> list[str]:
    text = weft("doctor", "--failpoints").stdout
    return [line.split()[0] for line in text.splitlines() if line.strip() and line.split()[0].count(".")]


@pytest.mark.parametrize(
    "point",
    [
        "engine.commit.before",
        "engine.commit.after",
        "store.commit.before",
        "store.commit.written",
        "store.commit.after",
    ],
)
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8])
def test_an_engine_that_dies_at_a_commit_is_resumed_to_the_same_end(
    weft: Weft, tmp_path: Path, point: str, nth: int
) -> None:
    ledger = tmp_path / "ledger"
    weft.plan(diamond(ledger))
    first = weft("run", "plan.json", "-j", "2", WEFT_FAILPOINT=f"{point}:kill:{nth}")
    if first.returncode == 1:
        return  # it needed fewer commits than that
    assert first.returncode == -signal.SIGKILL, first.stderr
    if weft("status").returncode == 3:  # it died before the run was recorded: there is nothing to resume
        assert not started_by(ledger)
        assert weft("run", "plan.json").returncode == 1
        return
    done = [name for name, (state, _) in weft.states().items() if state == "ok"]
    begun = started_by(ledger)
    resumed = weft("resume")
    assert resumed.returncode == 1, resumed.stderr
    assert weft.states() == EXPECTED
    check_no_overlap(ledger, list(EXPECTED))
    for name in done:
        assert started_by(ledger).count(name) == begun.count(name), f"{name} had been recorded as ok and ran again"


def test_live_attempts_of_a_dead_engine_are_adopted(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": door.script(ledger), "dependencies": ["one"]}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    kill(engine)
    second = weft("run", "plan.json")
    assert second.returncode == 4, second.stderr
    assert "weft resume" in second.stderr and "weft cancel" in second.stderr
    resumed = weft.start("resume")
    door.let_on(2)
    assert resumed.wait(60) == 0, (tmp_path / "err").read_text()
    assert started_by(ledger) == ["one", "two"]
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}


def test_an_attempt_that_ended_while_no_engine_lived_counts_from_its_receipt(
    weft: Weft, door: Doorway, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": f"{door.script(ledger)}; exit 7"}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    supervisor = supervisor_of(last_run(weft))
    watch = os.pidfd_open(supervisor)
    kill(engine)
    door.let_on()
    import select

    assert select.select([watch], [], [], 60)[0], "the supervisor ends when the last receipt is written"
    os.close(watch)
    assert weft("resume").returncode == 1
    assert weft.states() == {"one": ("failed", "exit:7")}
    assert started_by(ledger) == ["one"]


def test_what_was_forced_is_forced_after_a_resume_as_well(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan(
        {
            "one": {"shell": door.script(tmp_path / "ledger")},
            "two": {"shell": "echo x >> made", "outputs": ["made"], "dependencies": ["one"]},
        }
    )
    door.let_on()
    assert weft("run", "plan.json").returncode == 0
    door.wait_for("one")
    engine = weft.start("run", "plan.json", "--force")
    door.wait_for("one")
    kill(engine)
    door.let_on()
    assert weft("resume").returncode == 0
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}, "and nothing is cached"
    assert (tmp_path / "made").read_text() == "x\nx\n"


@pytest.mark.parametrize("who", ["supervisor", "both"])
def test_children_of_a_dead_supervisor_are_ended_and_run_again(
    weft: Weft, door: Doorway, tmp_path: Path, who: str
) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}})
    engine = weft.start("run", "plan.json")
    door.wait_for("one")
    supervisor = supervisor_of(last_run(weft))
    if who == "both":
        engine.send_signal(signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    if who == "both":
        kill(engine)
        engine = weft.start("resume")
    door.wait_for("one")
    door.let_on()
    assert engine.wait(60) == 0, (tmp_path / "err").read_text()
    assert [attempt for what, _, attempt, _ in read_ledger(ledger) if what == "begin"] == ["1", "2"]
    assert [attempt for what, _, attempt, _ in read_ledger(ledger) if what == "end"] == ["2"]


def test_a_poison_task_ends_after_three_losses(weft: Weft) -> None:
    weft.plan({"poison": {"shell": "kill -9 $PPID; while :; do sleep 1; done"}, "other": {"command": ["true"]}})
    # One at a time: what runs beside it when the supervisor dies is lost as well, and may be so three times.
    ended = weft("run", "plan.json", "-j", "1", "--output", "json")
    assert ended.returncode == 1, ended.stderr
    assert weft.states() == {"poison": ("failed", "lost"), "other": ("ok", None)}
    causes = [
        event["cause"]
        for event in events_of(ended.stdout)
        if event["event"] == "task_ended" and event["task"] == "poison"
    ]
    assert causes == ["lost"] * 3


def test_neighbours_of_a_poison_task_do_not_fail_with_it(weft: Weft, tmp_path: Path) -> None:
    """Nobody can tell who ended the supervisor; so those who ran together run one by one, and only the culprit fails."""
    meet = tmp_path / "meet"
    os.mkfifo(meet)
    # The first time, the poison waits until its neighbours are there; afterwards nobody waits for anybody.
    neighbour = {"shell": f"if [ $WEFT_ATTEMPT = 1 ]; then echo in > {meet}; sleep 60; fi"}
    poison = {
        "shell": f"exec 3<> {meet}; if [ $WEFT_ATTEMPT = 1 ]; then for n in 1 2 3; do read x <&3; done; fi; "
        "kill -9 $PPID; while :; do sleep 1; done"
    }
    weft.plan({"n1": neighbour, "n2": neighbour, "n3": neighbour, "poison": poison})
    ended = weft("run", "plan.json", "-j", "4", "--output", "json")
    assert ended.returncode == 1, ended.stderr
    good = dict.fromkeys(("n1", "n2", "n3"), ("ok", None))
    assert weft.states() == {**good, "poison": ("failed", "lost")}
    told = [event for event in events_of(ended.stdout) if event["event"] == "task_ended"]
    causes = {name: [event["cause"] for event in told if event["task"] == name] for name in ("n1", "poison")}
    assert causes == {"n1": ["lost", None], "poison": ["lost"] * 3}


def test_of_many_starts_at_once_exactly_one_runs(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan({"one": {"shell": door.script(tmp_path / "ledger")}})
    starts = [weft.start("run", "plan.json") for _ in range(6)]
    door.wait_for("one")
    codes = []
    while len(codes) < 5:
        alive = [process for process in starts if process.returncode is None]
        pid, status = os.waitpid(-1, 0)
        ended = next(process for process in alive if process.pid == pid)
        ended.returncode = os.waitstatus_to_exitcode(status)
        codes.append(ended.returncode)
    assert codes == [4] * 5
    door.let_on()
    assert [process.wait(60) for process in starts if process.returncode is None] == [0]
    assert started_by(tmp_path / "ledger") == ["one"]


def test_a_resume_tells_what_the_present_plan_changes(weft: Weft, tmp_path: Path) -> None:
    weft.plan({"a": {"command": ["true"]}, "b": {"command": ["false"]}, "c": {"command": ["true"]}})
    assert weft("run", "plan.json").returncode == 1
    weft.plan(
        {"a": {"command": ["true"]}, "b": {"command": ["true"]}, "d": {"command": ["true"], "dependencies": ["b"]}}
    )
    resumed = weft("resume")
    assert resumed.returncode == 0, resumed.stderr
    for text in ("changed: b (action)", "removed: c", "added: d"):
        assert text in resumed.stderr
    assert weft.states() == {"a": ("ok", None), "b": ("ok", None), "d": ("ok", None)}


def test_everything_dies_at_once(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"command": ["true"]}})
    inside = ["unshare", "-pf", "--mount-proc", "--kill-child", *weft.command("run", "plan.json")]
    with open(tmp_path / "unshare", "wb") as out:
        outer = subprocess.Popen(
            inside, cwd=tmp_path, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        door.wait_for("one")
    finally:
        outer.kill()
        outer.wait(60)
    resumed = weft.start("resume")
    door.wait_for("one")
    door.let_on()
    assert resumed.wait(60) == 0, (tmp_path / "err").read_text()
    assert weft.states() == {"one": ("ok", None), "two": ("ok", None)}


def layers(ledger: Path, width: int, depth: int) -> dict[str, Any]:
    line = 'echo "{what} $WEFT_TASK $WEFT_ATTEMPT $$" >> ' + str(ledger)
    text = f"{line.format(what='begin')}; {line.format(what='end')}"
    return {
        f"t{level}.{place}": {
            "shell": text,
            "dependencies": [f"t{level - 1}.{place}", f"t{level - 1}.{(place + 1) % width}"] if level else [],
        }
        for level in range(depth)
        for place in range(width)
    }


@pytest.mark.parametrize("lines", [1, 3, 7, 12, 20, 31, 45, 60, 90])
def test_an_engine_killed_after_any_line_it_told_repeats_and_loses_nothing(
    weft: Weft, tmp_path: Path, lines: int
) -> None:
    ledger = tmp_path / "ledger"
    tasks = layers(ledger, 6, 8)
    weft.plan(tasks)
    told: set[str] = set()
    for words in (["run", "plan.json"], ["resume"], ["resume"]):
        engine = subprocess.Popen(
            weft.command(*words, "-j", "3", "--output", "json"),
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert engine.stdout is not None
        heard = [line for _, line in zip(range(lines), engine.stdout, strict=False)]
        kill(engine)
        engine.stdout.close()
        events = [json.loads(line) for line in heard if line.endswith(b"\n")]
        told |= {e["task"] for e in events if e["event"] == "task_ended" and e["state"] == "ok"}
        recorded = {name for name, (state, _) in weft.states().items() if state == "ok"}
        assert told <= recorded, "what was told as ended is not recorded"
        begun = {name: started_by(ledger).count(name) for name in recorded}
        told |= recorded
    assert weft("resume").returncode == 0
    assert weft.states() == dict.fromkeys(tasks, ("ok", None))
    check_no_overlap(ledger, list(tasks))
    assert begun == {name: started_by(ledger).count(name) for name in begun}, "recorded work ran again"


KILLS = 20  # times ten seeds: the 200 rounds of reliability.md R1


@pytest.mark.parametrize("seed", range(10))
def test_an_engine_killed_again_and_again_at_random_moments_repeats_and_loses_nothing(
    weft: Weft, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    ledger = tmp_path / "ledger"
    tasks = layers(ledger, 10, 16)
    weft.plan(tasks)
    told: list[str] = []
    for number in range(KILLS):
        words = ["resume"] if (tmp_path / ".weft" / "weft.db").exists() and number else ["run", "plan.json"]
        engine = subprocess.Popen(
            weft.command(*words, "-j", "2", "--output", "json"),
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert engine.stdout is not None
        heard = [line for _, line in zip(range(chance.randrange(1, 24)), engine.stdout, strict=False)]
        kill(engine)
        engine.stdout.close()
        events = [json.loads(line) for line in heard if line.endswith(b"\n")]
        told += [e["task"] for e in events if e["event"] == "task_ended" and e["state"] == "ok"]
    assert weft("resume").returncode == 0
    assert weft.states() == dict.fromkeys(tasks, ("ok", None))
    check_no_overlap(ledger, list(tasks))
    assert len(told) == len(set(told)), "a task was told as ended twice"
    assert all(started_by(ledger).count(name) == 1 for name in told), "what was told as ended ran again"
