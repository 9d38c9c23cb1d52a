"""Engines and supervisors that die, and what their successors find."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.local_runs import LocalRun, is_living, local_run
from weft.errors import BackendError, OwnedError
from weft.executors import link
from weft.ports import Began, Order
from weft.scheduling.keys import AttemptKey

RUN_ON = 'until [ -e "$GO" ]; do sleep 0.02; done; echo went'


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LocalRun]:
    with local_run(tmp_path / "state") as found:
        yield found


def waiting_for(run: LocalRun, name: str, **fields: object) -> Order:
    return run.shell(RUN_ON, environment={"GO": str(run.folder / name)}, **fields)


def test_an_attempt_outlives_its_engine_and_is_adopted(run: LocalRun) -> None:
    order = waiting_for(run, "go")
    run.submit(order)
    first = run.began(order)
    run.abandon()
    living = run.executor.reattach({order.key: order.nonce}, run.offsets)
    second = living[order.key]
    assert isinstance(second, Began)
    assert (second.pid, second.nonce) == (first.pid, first.nonce)
    (run.folder / "go").touch()
    (outcome,) = run.finish(order)
    assert outcome.ok
    assert run.read(outcome.stdout) == b"went\n"


def test_an_attempt_that_ended_without_an_engine_has_its_receipt(run: LocalRun) -> None:
    order = waiting_for(run, "go")
    run.submit(order)
    run.began(order)
    pid = run.supervisor_pid()
    run.abandon()
    (run.folder / "go").touch()
    run.wait_for_death(pid)
    assert run.executor.reattach({order.key: order.nonce}, run.offsets) == {}
    (outcome,) = run.finish(order)
    assert outcome.ok
    assert outcome.usage.cpu_seconds is not None
    assert run.read(outcome.stdout) == b"went\n"


def test_without_an_engine_nothing_new_starts_and_nothing_is_charged(run: LocalRun) -> None:
    live, ahead = waiting_for(run, "go"), run.shell("touch ran", ahead=True)
    run.submit(live, ahead)
    run.began(live)
    pid = run.supervisor_pid()
    run.abandon()
    (run.folder / "go").touch()
    run.wait_for_death(pid)
    run.executor.reattach({live.key: live.nonce, ahead.key: ahead.nonce}, {})
    ended, never = run.finish(live, ahead)
    assert (ended.ok, never.cause, never.charged) == (True, "lost", False)
    assert not (run.work / "ran").exists()


def test_after_a_take_over_new_orders_are_obeyed(run: LocalRun) -> None:
    live = waiting_for(run, "go", lane=5)
    run.submit(live)
    run.began(live)
    run.abandon()
    run.executor.reattach({live.key: live.nonce}, run.offsets)
    (fresh,) = run.do(run.shell("echo new", lane=5))
    assert run.read(fresh.stdout) == b"new\n"
    (run.folder / "go").touch()
    run.finish(live)


def test_an_adopted_attempt_can_be_stopped_and_keeps_its_time_limit(run: LocalRun) -> None:
    stopped, limited = waiting_for(run, "never"), waiting_for(run, "never", timeout=0.8)
    run.submit(stopped, limited)
    run.began(limited)
    run.abandon()
    run.executor.reattach({order.key: order.nonce for order in (stopped, limited)}, run.offsets)
    run.executor.stop([stopped.key], "terminate", "cancelled")
    first, second = run.finish(stopped, limited)
    assert (first.cause, second.cause) == ("cancelled", "timeout")


def test_the_dead_supervisors_attempts_are_ended_and_lost_and_a_new_one_takes_over(run: LocalRun) -> None:
    begun, waiting = run.shell("sleep 71 & sleep 72"), run.shell("true", ahead=True)
    run.submit(begun, waiting)
    began = run.began(begun)
    os.kill(run.supervisor_pid(), signal.SIGKILL)
    lost, never = run.finish(begun, waiting)
    assert (lost.cause, lost.charged) == ("lost", True)
    assert (never.cause, never.charged) == ("lost", False)
    assert run.live_processes() == []
    assert began.pid is not None
    assert not is_living(began.pid)
    (after,) = run.do(run.shell("echo again"))
    assert run.read(after.stdout) == b"again\n"


def test_orders_given_while_the_remains_are_swept_run_afterwards(run: LocalRun) -> None:
    begun = run.shell("trap '' TERM; while :; do sleep 0.05; done")
    run.submit(begun)
    run.began(begun)
    os.kill(run.supervisor_pid(), signal.SIGKILL)
    run.wait(lambda: run.executor._supervision.is_waiting or begun.key in run.outcomes())
    late = run.shell("echo late")
    run.submit(late)
    lost, ran = run.finish(begun, late)
    assert (lost.cause, ran.ok) == ("lost", True)


def test_what_daemonized_does_not_survive_a_dead_supervisor(run: LocalRun) -> None:
    order = run.shell("setsid sh -c 'trap \"\" TERM; echo $$ > daemon; while :; do sleep 0.05; done' & sleep 73")
    run.submit(order)
    run.began(order)
    run.wait(lambda: (run.work / "daemon").exists() and (run.work / "daemon").read_text() != "")
    os.kill(run.supervisor_pid(), signal.SIGKILL)
    run.finish(order)
    assert not is_living(int((run.work / "daemon").read_text()))


def test_engine_and_supervisor_dead_together_leave_nothing(run: LocalRun) -> None:
    order, snippet = run.shell("sleep 74 & sleep 75"), run.snippet("import time; time.sleep(76)")
    run.submit(order, snippet)
    run.began(order)
    run.began(snippet)
    pid = run.supervisor_pid()
    os.kill(pid, signal.SIGKILL)
    run.abandon()
    run.wait_for_death(pid)
    assert run.executor.reattach({order.key: order.nonce, snippet.key: snippet.nonce}, {}) == {}
    assert run.live_processes() == []
    assert {outcome.cause for outcome in run.finish(order, snippet)} == {"lost"}


def test_a_stranger_without_the_token_is_not_touched(run: LocalRun) -> None:
    stranger = subprocess.Popen(["sleep", "77"], env={"WEFT_TOKEN": "another-run:1", "PATH": os.environ["PATH"]})
    order = run.shell("sleep 78")
    run.submit(order)
    run.began(order)
    os.kill(run.supervisor_pid(), signal.SIGKILL)
    run.finish(order)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_an_older_epoch_is_refused_and_a_newer_one_replaces(run: LocalRun) -> None:
    order = waiting_for(run, "go")
    run.submit(order)
    run.began(order)
    old = run.executor
    newer = run.new_executor(epoch=5)
    newer.reattach({order.key: order.nonce}, {})
    older = run.new_executor(epoch=4)
    with pytest.raises(OwnedError):
        older.reattach({}, {})
    older.close()
    with pytest.raises(OwnedError):
        run.wait(lambda: False, old)
    old.close()
    run.executor = newer
    (run.folder / "go").touch()
    assert run.finish(order)[0].ok


def test_a_supervisor_that_is_not_needed_ends_when_it_is_dismissed() -> None:
    newborn = link.give_birth("nobody")
    newborn.dismiss()
    _, status = os.waitpid(newborn.pid, 0)
    assert status == 0


def test_a_supervisor_that_was_born_early_is_the_first_and_a_second_one_follows_it(tmp_path: Path) -> None:
    with local_run(tmp_path / "state", is_early=True) as run:
        newborn = run.options["newborn"]
        run.do(run.shell("true"))
        assert run.executor.keeper == newborn.pid
        os.kill(newborn.pid, signal.SIGKILL)
        run.do(run.shell("true"))  # handed to the dying one, it may be lost
        (outcome,) = run.do(run.shell("true"))
        assert outcome.ok
        assert run.executor.keeper not in (None, newborn.pid)


def test_of_two_supervisors_one_gives_way(run: LocalRun) -> None:
    run.do(run.shell("true"))
    bell = select.epoll()
    place = link.Place(run.run, str(run.run_folder), str(run.log_folder), 1.0, 1.0, 1)
    second = link.start(place, "99", bell)
    run.wait(lambda: second.turn() or not second.is_open)
    bell.close()
    assert second.bury(10)
    (outcome,) = run.do(run.shell("true"))
    assert outcome.ok
    log = run.run_folder / "supervisor.log"
    assert "another supervisor" in log.read_text()
    log.write_text("")


def test_damaged_receipts_are_named_and_the_sound_ones_count(run: LocalRun) -> None:
    order, other = run.shell("echo one"), run.shell("echo two")
    run.do(order)
    run.do(other)
    pid = run.supervisor_pid()
    run.abandon()
    run.wait_for_death(pid)
    path = run.run_folder / "receipts" / "supervisor-1.log"
    data = bytearray(path.read_bytes())
    spot = data.index(b'"started",%d' % order.nonce)
    data[spot] ^= 0xFF
    path.write_bytes(bytes(data))
    (run.run_folder / "receipts" / "stranger.log").symlink_to("/etc/passwd")
    os.mkfifo(run.run_folder / "receipts" / "pipe.log")
    run.reports.clear()
    run.executor.reattach({order.key: order.nonce, other.key: other.nonce}, {})
    first, second = run.finish(order, other)
    assert first.ok
    assert second.ok
    texts = " ".join(remark.text for remark in run.remarks())
    assert "damaged bytes" in texts
    assert "stranger.log" in texts
    assert "pipe.log" in texts


def test_a_stopped_supervisor_takes_nothing_from_anybody(run: LocalRun) -> None:
    order = run.shell("sleep 0.2", timeout=5)
    run.submit(order)
    run.began(order)
    pid = run.supervisor_pid()
    os.kill(pid, signal.SIGSTOP)
    waiting = run.shell("echo woke")
    run.submit(waiting)
    assert not select.select(run.executor.bells(), [], [], 0.5)[0]
    os.kill(pid, signal.SIGCONT)
    first, second = run.finish(order, waiting)
    assert (first.ok, second.ok) == (True, True)


def test_a_snippet_outlives_its_engine_and_is_adopted(run: LocalRun) -> None:
    source = "import os, time\nprint('before')\nwhile not os.path.exists(go): time.sleep(0.02)\nprint('after')"
    go = str(run.folder / "go")
    one, two = run.snippet(source, {"go": go}), run.snippet(source, {"go": go}, timeout=1.0)
    alone = run.snippet(source, {"go": go}, isolation="process")
    run.submit(one, two, alone)
    for order in (one, two, alone):
        run.began(order)
    run.abandon()
    wanted = {order.key: order.nonce for order in (one, two, alone)}
    assert set(run.executor.reattach(wanted, run.offsets)) == set(wanted)
    assert run.finish(two)[0].cause == "timeout"
    (run.folder / "go").touch()
    for outcome in run.finish(one, alone):
        assert outcome.ok
        assert run.read(outcome.stdout) == b"before\nafter\n"
    (fresh,) = run.do(run.snippet("print('fresh')"))
    assert run.read(fresh.stdout) == b"fresh\n"


def test_a_late_report_of_an_attempt_nobody_asked_about_changes_nothing(run: LocalRun) -> None:
    order = waiting_for(run, "go")
    run.submit(order)
    run.began(order)
    run.abandon()
    run.reports.clear()
    run.executor.reattach({}, run.offsets)
    (run.folder / "go").touch()
    run.do(run.shell("true"))
    assert order.key not in run.outcomes()


def test_the_same_order_sent_twice_runs_once(run: LocalRun) -> None:
    order = run.shell("echo once >> log; sleep 0.3")
    run.submit(order)
    run.submit(order)
    run.finish(order)
    assert (run.work / "log").read_text() == "once\n"


ENGINE = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from support.local_runs import LocalRun
run = LocalRun.__new__(LocalRun)
run.__dict__.update(folder=Path({folder!r}), run={run!r}, token={token!r}, work=Path({folder!r}) / "work",
    options={{"grace": 0.5, "stray_wait": 0.2}}, epoch=0, number=0, reports=[], offsets={{}})
run.executor = run.new_executor()
order = run.shell({script!r}, environment={{"GO": {go!r}}})
run.submit(order)
run.began(order)
print("begun", flush=True)
os.kill(os.getpid(), 9)
"""


def test_an_engine_killed_outright_leaves_its_attempt_running(run: LocalRun) -> None:
    go = str(run.folder / "go")
    source = ENGINE.format(
        tests=str(Path(__file__).parents[1]), folder=str(run.folder), run=run.run, token=run.token, script=RUN_ON, go=go
    )
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("begun\n", -signal.SIGKILL)
    key = AttemptKey(1, -1, 1)
    living = run.executor.reattach({key: (1 << 63) + 1}, {})
    assert set(living) == {key}
    (run.folder / "go").touch()
    run.wait(lambda: key in run.outcomes())
    assert run.outcomes()[key].ok


def test_a_supervisor_that_cannot_start_is_said_and_not_tried_for_ever(
    run: LocalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = run.folder / "broken.py"
    broken.write_text("raise SystemExit('no room for it')")
    monkeypatch.setattr(link, "SUPERVISOR", str(broken))
    with pytest.raises(BackendError, match="no room for it"):
        for _ in range(10):
            run.do(run.shell("true"))
    assert {outcome.charged for outcome in run.outcomes().values()} == {False}
    monkeypatch.undo()
    (run.run_folder / "supervisor.log").write_text("")
