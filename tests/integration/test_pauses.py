"""Attempts that stand still: real signals, real clocks, engines that die meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.local_runs import LIMIT, LocalRun, local_run
from support.waiting import wait_in
from weft.ports import Order, PausingExecutor

BEAT = 'echo $$ > "$PID.new" && mv "$PID.new" "$PID"; until [ -e "$GO" ]; do sleep 0.02; done; echo went'


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LocalRun]:
    with local_run(tmp_path / "state") as found:
        yield found


def beating(run: LocalRun, **fields: object) -> Order:
    return run.shell(BEAT, environment={"GO": str(run.folder / "go"), "PID": str(run.folder / "pid")}, **fields)


def pid_in(path: Path) -> int:
    wait_in(path.parent, path.exists)
    return int(path.read_text())


def wait_until_it_goes_on(pid: int) -> None:
    """Nothing tells of it but what it is seen to be."""
    limit = time.monotonic() + LIMIT
    while is_still(pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


def state_of(pid: int) -> str:
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2]


def is_still(pid: int) -> bool:
    return state_of(pid) in "TD"  # D: a shell that waits for its stopped child to become a program (vfork)


def pause(run: LocalRun, order: Order, pid: int) -> None:
    run.executor.pause(order.key)
    run.wait(lambda: is_still(pid))


def test_a_paused_attempt_stands_still_and_goes_on(run: LocalRun) -> None:
    assert isinstance(run.executor, PausingExecutor)
    order = beating(run)
    run.submit(order)
    run.began(order)
    pid = pid_in(run.folder / "pid")
    pause(run, order, pid)
    assert run.executor.keeper == parent_of(pid)
    run.executor.go_on(order.key)
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert outcome.ok
    assert run.read(outcome.stdout) == b"went\n"


def parent_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[1])


def test_all_of_its_processes_stand_still_also_one_in_a_session_of_its_own(run: LocalRun) -> None:
    apart = run.folder / "apart"
    script = (
        f"setsid sh -c 'echo $$ > {apart}.new && mv {apart}.new {apart}; exec sleep 600' & {BEAT}; kill $(cat {apart})"
    )
    order = run.shell(script, environment={"GO": str(run.folder / "go"), "PID": str(run.folder / "pid")})
    run.submit(order)
    run.began(order)
    other, pid = pid_in(apart), pid_in(run.folder / "pid")
    pause(run, order, pid)
    run.wait(lambda: is_still(other))
    run.executor.go_on(order.key)
    run.wait(lambda: not is_still(other))
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert run.read(outcome.stdout) == b"went\n"


def test_time_that_it_stood_still_does_not_count_for_its_limit(run: LocalRun) -> None:
    order = beating(run, timeout=1.5)
    run.submit(order)
    run.began(order)
    pid = pid_in(run.folder / "pid")
    pause(run, order, pid)
    still = run.shell("sleep 2")  # longer than all of the limit
    run.submit(still)
    run.finish(still)
    assert is_still(pid)
    run.executor.go_on(order.key)
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert outcome.ok


def test_its_limit_counts_on_when_it_goes_on(run: LocalRun) -> None:
    order = beating(run, timeout=1.0)
    run.submit(order)
    run.began(order)
    pid = pid_in(run.folder / "pid")
    pause(run, order, pid)
    run.executor.go_on(order.key)
    (outcome,) = run.finish(order)
    assert outcome.cause == "timeout"


def test_a_paused_attempt_can_be_ended(run: LocalRun) -> None:
    order = run.shell(
        "trap 'echo ending; exit 3' TERM; " + BEAT, environment={"GO": "/nowhere/go", "PID": str(run.folder / "pid")}
    )
    run.submit(order)
    run.began(order)
    pid = pid_in(run.folder / "pid")
    pause(run, order, pid)
    run.executor.stop((order.key,), "terminate", "cancelled")
    (outcome,) = run.finish(order)
    assert outcome.cause == "cancelled"
    assert run.read(outcome.stdout) == b"ending\n"


def test_it_goes_on_when_its_engine_is_gone(run: LocalRun) -> None:
    order = beating(run)
    run.submit(order)
    run.began(order)
    pid = pid_in(run.folder / "pid")
    pause(run, order, pid)
    run.abandon()
    wait_until_it_goes_on(pid)
    living = run.executor.reattach({order.key: order.nonce}, run.offsets)
    assert living[order.key] is not None
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert outcome.ok


def test_a_call_stands_still_with_its_worker_and_its_limit_waits(run: LocalRun) -> None:
    run.module(
        "import os, time\n"
        "def wait(pid, go):\n"
        "    with open(pid + '.new', 'w') as file: file.write(str(os.getpid()))\n"
        "    os.rename(pid + '.new', pid)\n"
        "    while not os.path.exists(go): time.sleep(0.02)\n"
        "    return os.getpid()\n"
    )
    arguments = {"pid": str(run.folder / "pid"), "go": str(run.folder / "go")}
    order = run.call("functions:wait", arguments, timeout=1.5)
    run.submit(order)
    run.began(order)
    pid = pid_in(run.folder / "pid")
    pause(run, order, pid)
    still = run.shell("sleep 2")
    run.submit(still)
    run.finish(still)
    run.executor.go_on(order.key)
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert outcome.ok, outcome


def test_a_worker_does_not_stand_still_when_the_call_that_was_paused_is_over(run: LocalRun) -> None:
    run.module("def nothing(): return 1\n")
    for _ in range(20):  # the pause may arrive before the end of the call or after it
        order = run.call("functions:nothing")
        run.submit(order)
        run.wait(lambda key=order.key: bool(run.reports) and run.reports[-1].key == key)
        run.executor.pause(order.key)
        run.executor.go_on(order.key)
        (outcome,) = run.finish(order)
        assert outcome.ok


def test_a_pause_of_what_cannot_stand_still_changes_nothing(run: LocalRun) -> None:
    order = run.snippet(
        "import os, time\nwhile not os.path.exists(go): time.sleep(0.02)", {"go": str(run.folder / "go")}
    )
    run.submit(order)
    run.began(order)
    run.executor.pause(order.key)
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert outcome.ok
    run.executor.pause(order.key)
    run.executor.go_on(order.key)


def test_the_pause_reaches_a_stopped_attempt_no_more(run: LocalRun) -> None:
    order = run.shell("trap '' TERM; " + BEAT, environment={"GO": "/nowhere/go", "PID": str(run.folder / "pid")})
    run.submit(order)
    run.began(order)
    pid_in(run.folder / "pid")
    run.executor.stop((order.key,), "terminate", "cancelled")
    run.executor.pause(order.key)
    (outcome,) = run.finish(order)
    assert outcome.cause == "cancelled"
