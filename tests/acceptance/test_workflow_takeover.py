"""Workflows whose process is killed, asked to stop, or asked to hand over while its tasks run (workflows.md 6.3)."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.weft_process import LIMIT_SECONDS, Doorway, check_no_overlap, clean_environment, read_ledger

SCRIPT = """
import sys, warnings
import weft

def made(log, tasks=2):
    tool = weft.Tool("survey")
    template = tool.get_task_template("fit", "sh task.sh {place} {log}", node_args=["place"], op_args=["log"], max_attempts=1)
    wf = tool.create_workflow(workflow_args="d5")
    wf.add_tasks(template.create_tasks(place=["a", "b", "c"][:tasks], log=log))
    return wf

if __name__ == "__main__":
    log, options = sys.argv[1], eval(sys.argv[2])
    warnings.simplefilter("always" if options.pop("loud", False) else "ignore")
    wf = made(log, options.pop("tasks", 2))
    try:
        result = wf.run(jobs=4, **options)
    except weft.WeftError as error:
        print(type(error).__name__, error)
        sys.exit(3)
    print(result, result.num_previously_complete, sorted(result.task_final_statuses.values()))
    sys.exit(result != "D")
"""


class Scripts:
    """Processes that run the workflow, each with its own output."""

    def __init__(self, folder: Path, door: Doorway):
        self.folder = folder
        self.door = door
        self.ledger = folder / "ledger"
        self._started: list[subprocess.Popen[str]] = []
        (folder / "flow.py").write_text(SCRIPT, encoding="utf-8")
        (folder / "task.sh").write_text(
            f"[ -e broken-$1 ] && exit 9\n{door.script(self.ledger, word='$1')}\n", encoding="utf-8"
        )

    def start(self, log: str, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "flow.py", log, repr(options)],
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=LIMIT_SECONDS)

    def attempts(self) -> list[tuple[str, str, str]]:
        """(begin or end, task, attempt), in the order of the ledger."""
        return [(what, task, attempt) for what, task, attempt, _ in read_ledger(self.ledger)]


def said(process: subprocess.Popen[str]) -> str:
    """What it has printed at its end."""
    return process.communicate(timeout=LIMIT_SECONDS)[0].strip()


def first_to_end(processes: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Wait for the first of them."""
    watched = {os.pidfd_open(process.pid): process for process in processes}
    try:
        ready, _, _ = select.select(list(watched), [], [], LIMIT_SECONDS)
        assert ready, "none of them ended"
        return watched[ready[0]]
    finally:
        for descriptor in watched:
            os.close(descriptor)


@pytest.fixture
def scripts(tmp_path: Path, door: Doorway) -> Iterator[Scripts]:
    made = Scripts(tmp_path, door)
    yield made
    made.end()


def test_after_kill_9_a_cold_resume_ends_what_lives_and_begins_it_anew(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    pids = [int(row[3]) for row in read_ledger(scripts.ledger)]
    owner.kill()
    owner.wait(LIMIT_SECONDS)
    resumed = scripts.start("debug", resume=True)
    door.wait_for("a", "b")
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    door.let_on(2)
    assert said(resumed) == "D 0 ['D', 'D']"
    assert sorted(scripts.attempts()) == sorted(
        (what, task, attempt) for what, attempt in (("begin", "1"), ("begin", "2"), ("end", "2")) for task in "ab"
    )


def test_after_kill_9_a_hot_resume_adopts_what_lives(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    owner.kill()
    owner.wait(LIMIT_SECONDS)
    resumed = scripts.start("debug", resume=True, reset_running_jobs=False)
    door.let_on(2)
    assert said(resumed) == "D 0 ['D', 'D']"
    assert sorted(scripts.attempts()) == [
        ("begin", "a", "1"),
        ("begin", "b", "1"),
        ("end", "a", "1"),
        ("end", "b", "1"),
    ]


def test_what_ended_while_nobody_looked_is_done_also_for_a_cold_resume(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    owner.kill()
    owner.wait(LIMIT_SECONDS)
    door.let_on(2)
    (lock,) = scripts.folder.glob(".weft/runs/*/supervisor.lock")
    wait_until_unlocked(lock)
    assert len(scripts.attempts()) == 4
    assert said(scripts.start("debug", resume=True)).startswith("D")
    assert sorted(scripts.attempts()) == [
        ("begin", "a", "1"),
        ("begin", "b", "1"),
        ("end", "a", "1"),
        ("end", "b", "1"),
    ]


def wait_until_unlocked(path: Path) -> None:
    """Until the supervisor, which has nothing left to do, is gone."""
    import fcntl

    with path.open("rb+") as file:
        signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
        before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the supervisor lives on"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def test_a_cold_resume_asks_a_live_owner_to_stop_and_takes_over(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    resumed = scripts.start("debug", resume=True)
    assert said(owner) == "S 0 ['G', 'G']"
    door.wait_for("a", "b")
    door.let_on(2)
    assert said(resumed) == "D 0 ['D', 'D']"
    check_no_overlap(scripts.ledger, ["a", "b"])
    assert scripts.attempts().count(("end", "a", "2")) == 1


def test_a_hot_resume_takes_over_from_a_live_owner_without_touching_its_tasks(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    resumed = scripts.start("debug", resume=True, reset_running_jobs=False)
    words = said(owner)
    assert words.startswith("HandedOverError")
    assert f"process {resumed.pid}" in words
    door.let_on(2)
    assert said(resumed) == "D 0 ['D', 'D']"
    assert sorted(scripts.attempts()) == [
        ("begin", "a", "1"),
        ("begin", "b", "1"),
        ("end", "a", "1"),
        ("end", "b", "1"),
    ]


def test_an_owner_that_stands_still_keeps_it_until_it_is_let_go(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    owner.send_signal(signal.SIGSTOP)
    try:
        refused = scripts.start("debug", resume=True, resume_timeout=0.5)
        words = said(refused)
    finally:
        owner.send_signal(signal.SIGCONT)
    assert words.startswith("WorkflowNotResumable")
    assert "still owned after 0.5 s" in words
    door.let_on(2)
    assert said(owner) == "D 0 ['D', 'D']", "nobody wants any more what it was asked meanwhile"


def test_without_resume_a_live_owner_is_left_alone(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    assert said(scripts.start("debug")).startswith(
        "WorkflowAlreadyExists workflow 'd5' is being run by another process"
    )
    other = scripts.start("debug", resume=True, tasks=3)
    assert said(other).startswith("WorkflowAlreadyExists workflow 'd5' is recorded with another graph")
    door.let_on(2)
    assert said(owner) == "D 0 ['D', 'D']"


@contextmanager
def resuming(scripts: Scripts, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`weft workflow resume`, which ends with the test, also when that fails: its tasks wait for somebody to let them on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weft", "workflow", "resume", "-w", "1", *words],
        cwd=scripts.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_SECONDS)


def test_a_cap_that_was_changed_in_a_live_run_holds_for_a_resume_without_the_script(
    scripts: Scripts, door: Doorway
) -> None:
    weft = [sys.executable, "-m", "weft", "workflow"]
    owner = scripts.start("info")
    door.wait_for("a", "b")
    told = subprocess.run([*weft, "concurrency", "-w", "1", "-m", "1"], cwd=scripts.folder, env=clean_environment())
    assert told.returncode == 0
    owner.kill()
    owner.communicate(timeout=LIMIT_SECONDS)
    with resuming(scripts, "--reset-running", "-j", "4") as resumed:
        door.wait_for("a")
        door.let_on()
        door.wait_for("b")
        door.let_on()
        lines = resumed.communicate(timeout=LIMIT_SECONDS)[0].splitlines()
    assert [line.split()[0].rstrip(":") for line in lines if ": fit" in line] == ["Started", "Ended"] * 2


def asked(scripts: Scripts, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of `weft workflow`, about the one that there is."""
    verb, *more = words
    return subprocess.run(
        [sys.executable, "-m", "weft", "workflow", verb, "-w", "1", *more],
        cwd=scripts.folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_a_cap_can_be_changed_after_kill_9_and_ends_nothing(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    owner.kill()
    owner.communicate(timeout=LIMIT_SECONDS)
    changed = asked(scripts, "concurrency", "-m", "1")
    assert (changed.returncode, changed.stderr) == (0, "")
    assert asked(scripts, "reset").returncode == 4  # what lives of it is as well known as before
    with resuming(scripts) as resumed:
        door.let_on(2)
        assert resumed.wait(LIMIT_SECONDS) == 0
    assert sorted(scripts.attempts()) == [
        ("begin", "a", "1"),
        ("begin", "b", "1"),
        ("end", "a", "1"),
        ("end", "b", "1"),
    ]


def test_a_reset_after_kill_9_ends_what_lives_when_it_is_told_to(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    pids = [int(row[3]) for row in read_ledger(scripts.ledger)]
    owner.kill()
    owner.communicate(timeout=LIMIT_SECONDS)
    refused = asked(scripts, "reset")
    assert refused.returncode == 4
    assert "2 attempts of workflow" in refused.stderr
    assert "-f ends them" in refused.stderr
    assert asked(scripts, "reset", "-f").returncode == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with resuming(scripts) as resumed:
        door.wait_for("a", "b")
        door.let_on(2)
        assert resumed.wait(LIMIT_SECONDS) == 0
    assert sorted(scripts.attempts()) == sorted(
        (what, task, attempt) for what, attempt in (("begin", "1"), ("begin", "2"), ("end", "2")) for task in "ab"
    )


def test_what_ended_unseen_before_a_reset_runs_again(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    owner.kill()
    owner.communicate(timeout=LIMIT_SECONDS)
    door.let_on(2)
    (lock,) = scripts.folder.glob(".weft/runs/*/supervisor.lock")
    wait_until_unlocked(lock)
    assert asked(scripts, "reset", "-f").returncode == 0
    with resuming(scripts) as resumed:
        door.wait_for("a", "b")
        door.let_on(2)
        assert resumed.wait(LIMIT_SECONDS) == 0
    assert sorted(scripts.attempts()) == sorted(
        (what, task, attempt) for what in ("begin", "end") for attempt in "12" for task in "ab"
    )


def test_a_resume_of_a_workflow_whose_cap_is_nothing_says_what_it_waits_for(scripts: Scripts, door: Doorway) -> None:
    weft = [sys.executable, "-m", "weft", "workflow"]
    (scripts.folder / "broken-a").touch()
    owner = scripts.start("info")
    door.wait_for("b")
    door.let_on()
    assert said(owner).startswith("E")
    (scripts.folder / "broken-a").unlink()

    def cap(count: int) -> int:
        words = [*weft, "concurrency", "-w", "1", "-m", str(count)]
        return subprocess.run(words, cwd=scripts.folder, env=clean_environment(), check=False).returncode

    assert cap(0) == 0
    with resuming(scripts) as resumed:
        assert resumed.stderr is not None
        assert any("at most 0 tasks of d5 may be live" in line for line in resumed.stderr)
        assert cap(1) == 0
        door.wait_for("a")
        door.let_on()
        resumed.communicate(timeout=LIMIT_SECONDS)
    assert resumed.returncode == 0


def test_of_two_resumes_at_once_each_task_has_one_live_attempt_and_one_of_them_finishes(
    scripts: Scripts, door: Doorway
) -> None:
    for place in "ab":
        (scripts.folder / f"broken-{place}").touch()
    assert said(scripts.start("info")).startswith("E")
    for place in "ab":
        (scripts.folder / f"broken-{place}").unlink()
    both = [scripts.start(log, resume=True) for log in ("debug", "trace")]
    first = first_to_end(both)  # whoever is first is asked to stop by the other
    assert said(first).startswith("S 0")
    door.let_on(2)
    (last,) = [process for process in both if process is not first]
    assert said(last) == "D 0 ['D', 'D']"
    check_no_overlap(scripts.ledger, ["a", "b"])


def test_ctrl_c_ends_the_script_by_keyboard_interrupt_and_what_ran(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info", loud=True)
    door.wait_for("a", "b")
    owner.send_signal(signal.SIGINT)
    assert owner.stdout is not None
    while "interrupted: starting nothing more" not in owner.stdout.readline():
        assert owner.poll() is None
    owner.send_signal(signal.SIGINT)
    words = said(owner)
    assert words.endswith("KeyboardInterrupt")
    assert owner.returncode in (1, 130, -signal.SIGINT)
    resumed = scripts.start("debug", resume=True)
    door.wait_for("a", "b")
    door.let_on(2)
    assert said(resumed) == "D 0 ['D', 'D']"


def test_a_signal_to_end_ends_the_script_with_its_code(scripts: Scripts, door: Doorway) -> None:
    owner = scripts.start("info")
    door.wait_for("a", "b")
    owner.terminate()
    said(owner)
    assert owner.returncode == 128 + signal.SIGTERM
    resumed = scripts.start("debug", resume=True, executor="noop")
    assert said(resumed).startswith("D")
