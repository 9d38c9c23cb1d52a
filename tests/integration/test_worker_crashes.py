"""Workers that die, hang or lose their engine: only who is to blame pays, and everything ends once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.local_runs import LocalRun
from weft.executors.worker import cell
from weft.executors.worker.cell import Cell
from weft.ports import Finished, Order

BODY = """
import os, signal, sys, time, ctypes, subprocess
def f(x): return x + 1
def leave(status): os._exit(status)
def kill(number): os.kill(os.getpid(), number)
def crash(): ctypes.string_at(0)
def hang(): time.sleep(3600)
def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)
def hold_the_lock(): sum(range(10**15))
def family():
    subprocess.run(["/bin/sleep", "3600"])
def pid(): return os.getpid()
def wait_for(door):
    print("begun", flush=True)
    with open(door) as file: return file.read()
def loud_leave():
    print("last words")
    os._exit(3)
def always(value): return True
def never_ends(value): time.sleep(3600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LocalRun]:
    found = LocalRun(tmp_path / "state")
    found.module(BODY)
    yield found
    found.audit()


def doors(run: LocalRun, number: int) -> list[Path]:
    found = [run.folder / f"door-{place}" for place in range(number)]
    for door in found:
        os.mkfifo(door)
    return found


def lane_of(run: LocalRun, culprit: Order, before: int, behind: int) -> list[Order]:
    """The culprit with calls of its lane around it, all but two ahead."""

    calls = [run.call("functions:f", {"x": number}, lane=1) for number in range(before + behind)]
    orders = [*calls[:before], culprit, *calls[before:]]
    return [order._replace(lane=1, ahead=place >= 2) for place, order in enumerate(orders)]


@pytest.mark.parametrize(
    ("culprit", "arguments", "cause", "code"),
    [
        ("leave", {"status": 3}, "exit:3", 3),
        ("leave", {"status": 0}, "exit:0", None),
        ("kill", {"number": int(signal.SIGKILL)}, "signal:KILL", None),
        ("kill", {"number": int(signal.SIGTERM)}, "signal:TERM", None),
        ("crash", {}, "signal:SEGV", None),
    ],
)
def test_who_ends_its_worker_fails_alone(run: LocalRun, culprit: str, arguments: Any, cause: str, code: Any) -> None:
    orders = lane_of(run, run.call(f"functions:{culprit}", arguments), 150, 150)
    outcomes = run.do(*orders)
    (failed,) = [outcome for outcome in outcomes if not outcome.ok]
    assert (outcomes[150], failed.cause, failed.exit_code, failed.charged) == (failed, cause, code, True)


def test_what_a_call_printed_before_it_ended_its_worker_is_kept(run: LocalRun) -> None:
    (outcome,) = run.do(run.call("functions:loud_leave"))
    assert (outcome.cause, run.read(outcome.stdout)) == ("exit:3", b"last words\n")
    (after,) = run.do(run.call("functions:f", {"x": 1}))
    assert after.product == "2"


@pytest.mark.parametrize("body", ["hang", "stubborn", "hold_the_lock", "family"])
def test_a_call_that_takes_too_long_is_ended_and_its_worker_replaced(run: LocalRun, body: str) -> None:
    slow = run.call(f"functions:{body}", timeout=0.3, lane=1)
    behind = [run.call("functions:f", {"x": 1}, timeout=30.0, lane=1, ahead=True) for _ in range(5)]
    outcomes = run.do(slow, *behind)
    assert (outcomes[0].cause, outcomes[0].charged) == ("timeout", True)
    assert outcomes[0].usage.seconds >= 0.3
    assert [outcome.product for outcome in outcomes[1:]] == ["2"] * 5


def test_calls_within_their_time_are_left_alone(run: LocalRun) -> None:
    calls = [run.call("functions:f", {"x": number}, timeout=5.0, lane=1, ahead=number > 1) for number in range(500)]
    assert all(outcome.ok for outcome in run.do(*calls))


def test_a_predicate_that_hangs_is_ended_with_its_call(run: LocalRun) -> None:
    checks = '{"type": "t", "each": false, "types": {"t": {"predicate": "functions:never_ends"}}}'
    (outcome,) = run.do(run.call("functions:f", {"x": 1}, checks=checks, timeout=0.3))
    assert outcome.cause == "timeout"


def test_a_call_with_a_memory_limit_runs_alone_and_is_held_to_it(run: LocalRun) -> None:
    run.module(
        "def f():\n    data = bytearray(400 << 20)\n    while True: data[::4096] = bytes(len(data) // 4096)", "big"
    )
    hungry, modest = run.do(
        run.call("big:f", memory_bytes=100 << 20), run.call("functions:f", {"x": 1}, memory_bytes=100 << 20)
    )
    assert (hungry.cause, modest.product) == ("memory", "2")


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_stopped_call_takes_nobody_with_it(run: LocalRun, how: Any) -> None:
    hanging = run.call("functions:hang", lane=1)
    behind = [run.call("functions:f", {"x": 1}, lane=1, ahead=True) for _ in range(5)]
    run.submit(hanging, *behind)
    run.began(hanging)
    run.executor.stop([hanging.key], how, "cancelled")
    outcomes = run.finish(hanging, *behind)
    assert outcomes[0].cause == "cancelled"
    assert [outcome.product for outcome in outcomes[1:]] == ["2"] * 5


def test_a_worker_that_is_killed_from_outside_is_replaced(run: LocalRun) -> None:
    (found,) = run.do(run.call("functions:pid"))
    os.kill(int(found.product or ""), signal.SIGKILL)
    run.wait_for_death(int(found.product or ""))
    (after,) = run.do(run.call("functions:f", {"x": 1}))
    assert after.product == "2"


def test_idle_workers_are_used_again(run: LocalRun) -> None:
    pids = {run.do(run.call("functions:pid"))[0].product for _ in range(5)}
    assert len(pids) == 1


# --- without an engine ---------------------------------------------------------------------------------------------------


def test_a_call_outlives_its_engine_and_is_adopted_by_the_next(run: LocalRun) -> None:
    (door,) = doors(run, 1)
    live = run.call("functions:wait_for", {"door": str(door)}, lane=1)
    behind = run.call("functions:f", {"x": 1}, lane=1, ahead=True)
    run.submit(live, behind)
    run.began(live)
    run.abandon()
    living = run.executor.reattach({live.key: live.nonce, behind.key: behind.nonce}, run.offsets)
    assert set(living) == {live.key}
    began = living[live.key]
    assert began is not None
    assert began.started > 0
    (lost,) = run.finish(behind)
    assert (lost.cause, lost.charged) == ("lost", False)
    door.write_text("done")
    (outcome,) = run.finish(live)
    assert (outcome.product, run.read(outcome.stdout)) == ('"done"', b"begun\n")
    (after,) = run.do(run.call("functions:f", {"x": 1}))
    assert after.product == "2"


def test_a_call_that_ended_meanwhile_counts_once(run: LocalRun) -> None:
    (door,) = doors(run, 1)
    live = run.call("functions:wait_for", {"door": str(door)})
    (found,) = run.do(run.call("functions:pid"))
    run.submit(live)
    run.began(live)
    old = run.abandon()
    door.write_text("done")
    run.wait_for_death(int(found.product or ""))
    assert old is not run.executor
    assert run.executor.reattach({live.key: live.nonce}, run.offsets) == {}
    (outcome,) = run.finish(live)
    assert (outcome.ok, outcome.product) == (True, '"done"')
    assert run.read(outcome.stdout) == b"begun\n"
    assert len([report for report in run.reports if isinstance(report, Finished)]) == 2


def test_a_call_that_crashed_meanwhile_failed(run: LocalRun) -> None:
    (door,) = doors(run, 1)
    run.module(f"import os\ndef f():\n    print('on')\n    open({str(door)!r}).close()\n    os._exit(4)", "late")
    (found,) = run.do(run.call("functions:pid"))
    order = run.call("late:f")
    run.submit(order)
    run.began(order)
    run.abandon()
    door.write_text("")
    run.wait_for_death(int(found.product or ""))
    run.wait_for_death(run.supervisor_pid())
    assert run.executor.reattach({order.key: order.nonce}, run.offsets) == {}
    (outcome,) = run.finish(order)
    assert (outcome.cause, outcome.charged, run.read(outcome.stdout)) == ("exit:4", True, b"on\n")


def test_an_adopted_call_can_be_stopped(run: LocalRun) -> None:
    order = run.call("functions:hang")
    run.submit(order)
    run.began(order)
    run.abandon()
    assert set(run.executor.reattach({order.key: order.nonce}, run.offsets)) == {order.key}
    run.executor.stop([order.key], "terminate", "cancelled")
    (outcome,) = run.finish(order)
    assert outcome.cause == "cancelled"


def test_time_limits_hold_without_an_engine(run: LocalRun) -> None:
    order = run.call("functions:hang", timeout=0.4)
    (found,) = run.do(run.call("functions:pid"))
    run.submit(order)
    run.began(order)
    run.abandon()
    run.wait_for_death(int(found.product or ""))
    run.wait_for_death(run.supervisor_pid())
    assert run.executor.reattach({order.key: order.nonce}, run.offsets) == {}
    (outcome,) = run.finish(order)
    assert outcome.cause == "timeout"


def test_calls_go_on_when_the_supervisor_dies(run: LocalRun) -> None:
    (door,) = doors(run, 1)
    order = run.call("functions:wait_for", {"door": str(door)}, lane=1)
    behind = [run.call("functions:f", {"x": 1}, lane=1, ahead=True) for _ in range(3)]
    run.submit(order, *behind)
    run.began(order)
    os.kill(run.supervisor_pid(), signal.SIGKILL)
    outcomes = run.finish(order, *behind)
    assert (outcomes[0].cause, outcomes[0].charged) == ("lost", True)
    assert [outcome.product for outcome in outcomes[1:]] == ["2"] * 3


def test_idle_workers_end_with_their_engine(run: LocalRun) -> None:
    (found,) = run.do(run.call("functions:pid"))
    run.executor.close()
    run.wait_for_death(int(found.product or ""))


def test_exit_handlers_of_user_code_run_and_cannot_hold_a_worker_for_ever(run: LocalRun) -> None:
    mark = run.folder / "mark"
    run.module(
        f"import atexit, os\natexit.register(lambda: open({str(mark)!r}, 'w').close())\ndef f(): return os.getpid()",
        "exits",
    )
    (found,) = run.do(run.call("exits:f"))
    run.executor.close()
    run.wait_for_death(int(found.product or ""))
    assert mark.exists()


def test_a_later_engine_can_forbid_what_has_not_begun(tmp_path: Path) -> None:
    shared = Cell(str(tmp_path / "cell"), is_new=True)
    other = Cell(str(tmp_path / "cell"))
    shared.numbers[cell.REVOKED] = 7
    shared.times[cell.DUE] = 1.5
    assert (other.numbers[cell.REVOKED], other.times[cell.DUE]) == (7, 1.5)
    assert (tmp_path / "cell").stat().st_mode & 0o777 == 0o600
    shared.close()
    other.close()


def test_the_supervisor_reads_limits_where_workers_write_them(tmp_path: Path) -> None:
    from weft.executors.supervisor.watches import Watches

    path = tmp_path / "cell"
    shared = Cell(str(path), is_new=True)
    watches = Watches()
    watches.add(1, str(path), 2.0, 100.0)
    assert (watches.due, watches.look(101.0)) == (102.0, [])
    assert watches.look(102.0) == []  # nothing runs
    assert watches.due == 104.0
    shared.times[cell.DUE] = 105.0
    assert watches.look(104.0) == []
    assert watches.due == 105.0
    assert watches.look(105.0) == [1]
    assert watches.due is None
    shared.close()
