"""Real processes under the real supervisor: how they start, end, write, and what they leave."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.local_runs import BASE, LocalRun, is_living, local_run, python
from weft.errors import StoreError
from weft.executors.supervisor.census import OwnChildren
from weft.ports import Process
from weft.scheduling.keys import AttemptKey
from weft.spec.actions import Expand
from weft.spec.environments import ShellValue


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LocalRun]:
    with local_run(tmp_path / "state") as found:
        yield found


@pytest.mark.parametrize(("status", "shown"), [(0, 0), (1, 1), (3, 3), (255, 255), (300, 44)])
def test_an_exit_status_is_told_as_the_system_has_it(run: LocalRun, status: int, shown: int) -> None:
    (outcome,) = run.do(run.order(python(f"import os; os._exit({status})")))
    assert (outcome.ok, outcome.exit_code) == (shown == 0, shown)
    assert outcome.cause == (f"exit:{shown}" if shown else None)
    assert outcome.charged


@pytest.mark.parametrize("name", ["KILL", "SEGV", "ABRT", "TERM", "INT", "HUP", "PIPE", "USR1"])
def test_a_death_by_signal_is_named_without_sig(run: LocalRun, name: str) -> None:
    (outcome,) = run.do(run.shell(f"ulimit -c 0; kill -{name} $$"))
    assert (outcome.cause, outcome.exit_code, outcome.ok) == (f"signal:{name}", None, False)


def test_a_real_time_signal_has_a_name_too(run: LocalRun) -> None:
    (outcome,) = run.do(run.order(python("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 3)")))
    assert outcome.cause == "signal:RTMIN+3"


def test_output_is_kept_apart_byte_by_byte(run: LocalRun) -> None:
    loud = run.order(python(r"import os; os.write(1, b'\xff\x00\r\x1b[31m' + b'no newline'); os.write(2, b'\xfe')"))
    other = run.shell("printf other")
    first, second = run.do(loud, other)
    assert run.read(first.stdout) == b"\xff\x00\r\x1b[31mno newline"
    assert run.read(first.stderr) == b"\xfe"
    assert run.read(second.stdout) == b"other"
    assert second.stderr.length == 0


def test_a_file_opened_anew_over_the_output_loses_nothing_of_others(run: LocalRun) -> None:
    orders = [run.shell(f"echo first{n}; echo again{n} > /dev/stderr; echo x{n} >&2") for n in range(8)]
    for order in orders:
        (outcome,) = run.do(order)
        assert run.read(outcome.stderr).startswith(b"again")
    outcomes = run.outcomes()
    for number, order in enumerate(orders):
        assert run.read(outcomes[order.key].stdout) == b"first%d\n" % number
        assert run.read(outcomes[order.key].stderr) == b"again%d\nx%d\n" % (number, number)


def test_large_output_becomes_a_file_of_its_own_and_is_whole(run: LocalRun) -> None:
    size = 200 << 20
    big = run.order(python(f"import sys\nfor _ in range({size >> 20}): sys.stdout.buffer.write(b'x' * (1 << 20))"))
    small = run.shell("echo small")
    outcomes = run.do(big, small)
    assert outcomes[0].stdout.length == size
    path = run.log_folder / outcomes[0].stdout.file
    assert path.stat().st_size == size
    assert path.stat().st_mode & 0o777 == 0o600
    assert outcomes[1].stdout.file != outcomes[0].stdout.file
    path.unlink()


def test_output_just_around_the_limit_of_what_is_copied_is_whole(run: LocalRun) -> None:
    for size in (65535, 65536, 65537):
        (outcome,) = run.do(run.order(python(f"print('y' * {size - 1})")))
        assert run.read(outcome.stdout) == b"y" * (size - 1) + b"\n"


def test_an_attempt_that_removes_or_cuts_its_own_output_disturbs_nobody(run: LocalRun) -> None:
    script = "import os; os.write(1, b'lost'); os.unlink(os.readlink('/proc/self/fd/1')); os.ftruncate(2, 0); os.write(1, b'!')"
    (outcome,) = run.do(run.order(python(script)))
    assert outcome.ok
    assert run.read(outcome.stdout) == b"lost!"
    (after,) = run.do(run.shell("echo fine"))
    assert run.read(after.stdout) == b"fine\n"


def test_a_product_is_the_output_without_its_last_newline(run: LocalRun) -> None:
    shown, plain, failed = run.do(
        run.shell("printf 'a\\n\\n'", keeps="stdout"),
        run.shell("echo hidden"),
        run.shell("echo b; exit 1", keeps="stdout"),
    )
    assert (shown.product, plain.product, failed.product) == ("a\n", None, None)


def test_children_see_three_descriptors_and_an_empty_stdin(run: LocalRun) -> None:
    spare = os.open("/dev/zero", os.O_RDONLY)
    os.set_inheritable(spare, True)
    try:
        run.executor.prepare()
        source = "import os, sys; print(sorted(os.listdir('/proc/self/fd'))[:-1], sys.stdin.read() == '')"
        (outcome,) = run.do(run.order(python(source)))
    finally:
        os.close(spare)
    assert run.read(outcome.stdout) == b"['0', '1', '2'] True\n"


def test_children_start_with_default_signals_in_a_session_of_their_own(run: LocalRun) -> None:
    source = (
        "import os; s = open('/proc/self/status').read(); "
        "print([l.split()[1] for l in s.splitlines() if l.startswith('SigBlk')], os.getsid(0) == os.getpid())"
    )
    (outcome,) = run.do(run.order([*python(source)]))
    assert run.read(outcome.stdout) == b"['0000000000000000'] True\n"
    (ignored,) = run.do(run.shell("grep SigIgn /proc/self/status"))
    own_of_the_c_library = 0b11 << 31  # 32 and 33, which glibc's posix_spawn leaves ignored
    assert int(run.read(ignored.stdout).split()[1], 16) & ~own_of_the_c_library == 0


def test_the_environment_names_run_task_attempt_token_and_scratch(run: LocalRun) -> None:
    order = run.shell(
        'echo "$WEFT_RUN_ID|$WEFT_TASK|$WEFT_ATTEMPT|$WEFT_TOKEN|$EXTRA"; touch "$WEFT_SCRATCH/x"; ls "$WEFT_SCRATCH"',
        key=AttemptKey(4, -1, 3),
        name="it's me",
        environment={"EXTRA": "ü\udcff"},
    )
    (outcome,) = run.do(order)
    expected = f"{run.run}|it's me|3|{order.token}|ü".encode() + b"\xff\nx\n"
    assert run.read(outcome.stdout) == expected


def test_scratch_is_empty_for_every_attempt(run: LocalRun) -> None:
    for _ in range(5):
        (outcome,) = run.do(
            run.shell('ls -A "$WEFT_SCRATCH"; mkdir "$WEFT_SCRATCH/deep"; touch "$WEFT_SCRATCH/deep/x"')
        )
        assert outcome.ok
        assert outcome.stdout.length == 0


def test_an_outer_token_stays_in_front_of_ours(run: LocalRun) -> None:
    run.executor.close()
    run.executor = run.new_executor(environment={**BASE, "WEFT_TOKEN": "outer:1"})
    order = run.shell('printf %s "$WEFT_TOKEN"')
    (outcome,) = run.do(order)
    assert run.read(outcome.stdout).decode() == f"outer:1 {order.token}"


@pytest.mark.parametrize(
    ("make", "cause", "text"),
    [
        (lambda f: "no-such-program", "not_found", "not in PATH"),
        (lambda f: str(f / "absent"), "not_found", "No such file or directory"),
        (lambda f: str(f), "not_found", "folder"),
        (lambda f: _program(f, b"#!/bin/sh\n", 0o644), "not_found", "not executable"),
        (lambda f: _program(f, b"#!/no/such/shell\n", 0o755), "not_found", "/no/such/shell"),
        (lambda f: _program(f, b"#!/bin/sh\r\necho hi\n", 0o755), "not_found", "carriage return"),
        (lambda f: _program(f, b"\x7fELF" + b"\0" * 60, 0o755), "not_found", "Exec format error"),
        (lambda f: _program(f, b"echo no shebang\n", 0o755), "not_found", "Exec format error"),
        (lambda f: "x" * 5000 + "/y", "not_found", "File name too long"),
        (lambda f: "", "not_found", "empty"),
    ],
)
def test_a_program_that_cannot_start_is_an_outcome_in_the_systems_words(
    run: LocalRun, make: object, cause: str, text: str
) -> None:
    assert callable(make)
    (outcome,) = run.do(run.order([make(run.work)]))
    assert (outcome.ok, outcome.cause) == (False, cause)
    assert text in (outcome.detail or "")
    assert outcome.charged


def _program(folder: Path, content: bytes, mode: int) -> str:
    path = folder / "program"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_a_working_folder_that_is_not_there_is_a_setup_failure(run: LocalRun) -> None:
    gone, fine, file = run.do(
        run.shell("true", folder=str(run.work / "gone")), run.shell("pwd"), run.shell("true", folder="/etc/passwd")
    )
    assert (gone.cause, file.cause, fine.ok) == ("setup", "setup", True)
    assert "gone" in (gone.detail or "")


def test_arguments_that_are_too_long_name_their_sizes_and_the_way_out(run: LocalRun) -> None:
    (outcome,) = run.do(run.order(["/bin/true", "x" * 140_000]))
    assert outcome.cause == "setup"
    assert "140000" in (outcome.detail or "")
    assert "file" in (outcome.detail or "")


def test_a_program_is_found_in_the_path_of_the_attempt(run: LocalRun) -> None:
    folder = run.work / "bin"
    folder.mkdir()
    _program(folder, b"#!/bin/sh\necho mine\n", 0o755)
    (outcome,) = run.do(run.order(["program"], environment={"PATH": f"/nowhere:{folder}:/bin:/usr/bin"}))
    assert run.read(outcome.stdout) == b"mine\n"


def test_arguments_reach_the_program_unchanged(run: LocalRun) -> None:
    words = ["a b", "$HOME", "`id`", "*", "", "-n", "x\ny", "'", "\udcff"]
    (outcome,) = run.do(run.order(python("import os, sys; print([os.fsencode(w) for w in sys.argv[1:]])", *words)))
    assert run.read(outcome.stdout).decode().strip() == str([os.fsencode(word) for word in words])


def test_variables_and_words_are_expanded_where_the_attempt_runs(run: LocalRun) -> None:
    order = run.order(
        Process(("/bin/echo", "$C-${A}$$", "$C"), expand=(1,)),
        environment={"BASE": "b"},
        variables=(("A", "plain $BASE"), ("B", Expand("$BASE/$A/$NONE")), ("C", Expand("<$B>"))),
    )
    (outcome,) = run.do(order)
    assert run.read(outcome.stdout).decode() == "<b/plain $BASE/$NONE>-plain $BASE$ $C\n"


def test_a_backticked_variable_is_the_output_of_its_command(run: LocalRun) -> None:
    order = run.order(
        Process(("/bin/sh", "-c", 'echo "$A|$B|$0|"; ls /proc/self/fd | tr "\\n" " "', "$B"), expand=(3,)),
        variables=(("A", "in"), ("B", ShellValue("echo ' '$A '$HOME  '; echo noise >&2"))),
    )
    (outcome,) = run.do(order)
    assert run.read(outcome.stdout).decode() == "in|in $HOME|in $HOME|\n0 1 2 3 "
    assert run.read(outcome.stderr) == b"noise\n"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("exit 4", "exited with 4"),
        ("kill -9 $$", "signal 9"),
        ("printf 'a\\0b'", "NUL"),
        ("yes | head -c 2000000", "more than"),
    ],
)
def test_a_backticked_variable_that_fails_keeps_the_program_from_running(
    run: LocalRun, command: str, text: str
) -> None:
    order = run.order(["touch", "ran"], variables=(("A", ShellValue(command)),))
    (outcome,) = run.do(order)
    assert (outcome.cause, outcome.ok) == ("setup", False)
    assert text in (outcome.detail or "")
    assert not (run.work / "ran").exists()


def test_a_program_behind_backticks_that_is_missing_is_not_found(run: LocalRun) -> None:
    (outcome,) = run.do(run.order(["no-such-thing"], variables=(("A", ShellValue("echo x")),)))
    assert outcome.cause == "not_found"


def test_the_time_of_backticks_counts_for_the_limit(run: LocalRun) -> None:
    (outcome,) = run.do(run.order(["true"], variables=(("A", ShellValue("sleep 60")),), timeout=0.3))
    assert outcome.cause == "timeout"


def test_a_time_limit_ends_the_whole_group(run: LocalRun) -> None:
    order = run.shell("sleep 61 & sleep 62 | sleep 63; echo never", timeout=0.3)
    (outcome,) = run.do(order)
    assert (outcome.cause, outcome.ok) == ("timeout", False)
    assert run.live_processes() == []


def test_an_attempt_that_ignores_term_is_killed_and_the_cause_stays_timeout(run: LocalRun) -> None:
    (outcome,) = run.do(run.shell("trap '' TERM; while :; do sleep 0.05; done", timeout=0.2))
    assert outcome.cause == "timeout"
    assert outcome.usage.seconds >= 0.2 + run.options["grace"]


def test_an_attempt_that_ends_politely_on_term_was_still_stopped(run: LocalRun) -> None:
    (outcome,) = run.do(run.shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done", timeout=0.2))
    assert outcome.cause == "timeout"
    assert run.read(outcome.stdout) == b"bye\n"


def test_an_attempt_that_stopped_itself_is_ended_by_its_limit(run: LocalRun) -> None:
    (outcome,) = run.do(run.shell("kill -STOP $$", timeout=0.3))
    assert outcome.cause == "timeout"


def test_what_daemonized_is_found_by_its_token_when_the_attempt_is_stopped(run: LocalRun) -> None:
    order = run.order(python(DAEMON + "time.sleep(60)"), timeout=1.5)
    run.submit(order)
    run.began(order)
    (outcome,) = run.finish(order)
    assert outcome.cause == "timeout"
    assert (run.work / "daemon").exists()
    assert not is_living(int((run.work / "daemon").read_text()))


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open('daemon.new', 'w') as file: file.write(str(os.getpid()))
        os.rename('daemon.new', 'daemon')
        time.sleep(60)
    os._exit(0)
while not os.path.exists('daemon'): time.sleep(0.01)
"""


def test_what_an_attempt_leaves_behind_is_ended_and_named(run: LocalRun) -> None:
    for script in (["/bin/sh", "-c", "sleep 64 & exit 0"], python(DAEMON)):
        order = run.order(script)
        (outcome,) = run.do(order)
        assert outcome.ok
        run.wait(lambda order=order: any(remark.key == order.key for remark in run.remarks()))
        (remark,) = [remark for remark in run.remarks() if remark.key == order.key]
        assert "pid" in remark.text
        assert run.live_processes() == []


def test_a_child_that_holds_the_output_open_does_not_delay_the_end(run: LocalRun) -> None:
    order = run.shell("echo done; sleep 65 &")
    (outcome,) = run.do(order)
    assert run.read(outcome.stdout) == b"done\n"
    assert outcome.usage.seconds < 60
    (after,) = run.do(run.shell("echo next"))
    assert run.read(after.stdout) == b"next\n"


def test_a_new_attempt_waits_until_the_strays_of_the_last_one_are_gone(run: LocalRun) -> None:
    first = run.shell(
        "(trap '' TERM; echo $$ > stray; exec sleep 66) & while [ ! -s stray ]; do :; done; exit 1",
        key=AttemptKey(1, -1, 1),
    )
    run.do(first)
    second = run.shell("kill -0 $(cat stray) 2>/dev/null && echo overlap; exit 0", key=AttemptKey(1, -1, 2))
    (outcome,) = run.do(second)
    assert outcome.ok
    assert outcome.stdout.length == 0


def test_memory_beyond_the_limit_ends_the_attempt(run: LocalRun) -> None:
    hungry = python("import time; x = bytearray(200 << 20); time.sleep(60)")
    forked = python("import os, time; os.fork(); x = bytearray(70 << 20); time.sleep(60)")
    first, second = run.do(run.order(hungry, memory_bytes=40 << 20), run.order(forked, memory_bytes=100 << 20))
    assert (first.cause, second.cause) == ("memory", "memory")
    assert (first.usage.memory or 0) > 40 << 20


def test_a_peak_that_sampling_missed_still_counts(run: LocalRun) -> None:
    (outcome,) = run.do(run.order(python("x = b'x' * (150 << 20)"), memory_bytes=60 << 20))
    assert outcome.cause == "memory"


def test_pages_that_forks_share_do_not_count_twice(run: LocalRun) -> None:
    source = "import os, time; x = b'x' * (50 << 20); pids = [os.fork() for _ in range(2)]; time.sleep(0.6)"
    (outcome,) = run.do(run.order(python(source), memory_bytes=110 << 20))
    assert outcome.ok, outcome


def test_usage_has_wall_time_cpu_time_and_peak_memory(run: LocalRun) -> None:
    (outcome,) = run.do(run.order(python("x = b'x' * (64 << 20); s = sum(range(10**6))")))
    assert outcome.usage.seconds > 0
    assert outcome.usage.cpu_seconds is not None
    assert 0 < outcome.usage.cpu_seconds < 30
    assert (outcome.usage.memory or 0) > 64 << 20


def test_niceness_is_given_to_the_attempt(run: LocalRun) -> None:
    (outcome,) = run.do(run.shell("sleep 0.1; nice", niceness=7))
    assert run.read(outcome.stdout) == b"%d\n" % (os.nice(0) + 7)


def test_a_thousand_ends_at_once_are_all_told(run: LocalRun) -> None:
    orders = [run.order(["/bin/true"], lane=1, ahead=n >= 20) for n in range(1000)]
    outcomes = run.do(*orders)
    assert all(outcome.ok for outcome in outcomes)
    assert len(list((run.log_folder / "slots").iterdir())) <= 2 * 20


def test_many_that_run_at_once_and_end_together_leave_no_zombie(run: LocalRun) -> None:
    go = run.work / "go"
    os.mkfifo(go)
    orders = [run.shell("read line < go") for _ in range(100)]
    gate = os.open(go, os.O_RDWR)  # open until all have read: who comes late finds its line, too
    run.submit(*orders)
    for order in orders:
        run.began(order)
    os.write(gate, b"go\n" * len(orders))
    run.wait(lambda: len(run.outcomes()) == len(orders))
    os.close(gate)
    pid = run.supervisor_pid()
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


def test_kill_does_not_wait_for_grace(run: LocalRun) -> None:
    order = run.shell("trap '' TERM; echo up; while :; do sleep 0.05; done")
    run.submit(order)
    run.began(order)
    run.executor.stop([order.key], "kill", "interrupted")
    (outcome,) = run.finish(order)
    assert outcome.cause == "interrupted"


def test_kill_after_terminate_shortens_the_grace(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "state", grace=1000.0)
    order = run.shell("trap '' TERM; : > up; while :; do sleep 0.05; done")
    run.submit(order)
    run.wait(lambda: (run.work / "up").exists())
    run.executor.stop([order.key], "terminate", "interrupted")
    run.executor.stop([order.key], "kill", "interrupted")
    (outcome,) = run.finish(order)
    assert outcome.cause == "interrupted"
    run.audit()


def test_many_stops_at_once_end_everything(run: LocalRun) -> None:
    orders = [run.shell("sleep 67 & sleep 68") for _ in range(40)]
    run.submit(*orders)
    for order in orders:
        run.began(order)
    run.executor.stop([order.key for order in orders], "terminate", "interrupted")
    assert {outcome.cause for outcome in run.finish(*orders)} == {"interrupted"}
    assert run.live_processes() == []


def test_few_descriptors_put_starts_off_instead_of_failing_them(run: LocalRun) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    run.executor.prepare()
    run.do(run.shell("true"))
    resource.prlimit(run.supervisor_pid(), resource.RLIMIT_NOFILE, (40, hard))
    outcomes = run.do(*[run.shell("sleep 0.05") for _ in range(60)])
    assert all(outcome.ok for outcome in outcomes)
    assert any("put off" in remark.text and "open files" in remark.text for remark in run.remarks())


def test_a_deep_state_folder_works(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 8)
    run = LocalRun(deep)
    assert len(str(run.run_folder)) > 200
    command, snippet = run.do(run.shell("echo deep"), run.snippet("print('deep')"))
    assert run.read(command.stdout) == run.read(snippet.stdout) == b"deep\n"
    run.abandon()
    run.executor.reattach({}, {})
    run.audit()


def test_state_is_for_nobody_elses_eyes(run: LocalRun) -> None:
    before = os.umask(0)
    try:
        run.do(run.shell("echo secret"), run.snippet("print('secret')"))
    finally:
        os.umask(before)
    for top in (run.run_folder, run.log_folder):
        for folder, _, files in os.walk(top):
            assert os.stat(folder).st_mode & 0o777 == 0o700, folder
            for name in files:
                assert os.lstat(f"{folder}/{name}").st_mode & 0o777 == 0o600, name


def test_the_umask_of_attempts_is_that_of_weft(run: LocalRun) -> None:
    before = os.umask(0o027)
    try:
        (outcome,) = run.do(run.shell("umask"))
    finally:
        os.umask(before)
    assert int(run.read(outcome.stdout), 8) == 0o027


def test_an_attempt_is_easier_to_kill_for_the_system_than_the_supervisor(run: LocalRun) -> None:
    (outcome,) = run.do(run.shell("cat /proc/self/oom_score_adj"))
    supervisor = int(Path(f"/proc/{run.supervisor_pid()}/oom_score_adj").read_text())
    assert int(run.read(outcome.stdout)) > supervisor


def test_the_supervisor_is_small_and_knows_nothing_of_weft(run: LocalRun) -> None:
    run.do(run.shell("true"))
    pid = run.supervisor_pid()
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert words[1:3] == [b"-I", b"-S"]
    status = Path(f"/proc/{pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 16 << 10
    assert os.getsid(pid) == pid


def test_asking_the_supervisor_to_end_ends_its_attempts(run: LocalRun) -> None:
    order, waiting = run.shell("sleep 69"), run.shell("true", ahead=True)
    run.submit(order, waiting)
    run.began(order)
    os.kill(run.supervisor_pid(), signal.SIGTERM)
    first, second = run.finish(order, waiting)
    assert (first.cause, second.cause, second.charged) == ("interrupted", "interrupted", False)


def test_a_hundred_thousand_arguments_in_many_orders_pass_the_socket(run: LocalRun) -> None:
    orders = [run.order(["/bin/echo", *map(str, range(5000))], lane=1, ahead=n > 1) for n in range(40)]
    outcomes = run.do(*orders)
    assert {outcome.stdout.length for outcome in outcomes} == {len(" ".join(map(str, range(5000)))) + 1}


def test_what_hides_its_session_and_its_token_does_not_survive_the_run(run: LocalRun) -> None:
    hidden = "import os, time; open('hidden', 'w').write(str(os.getpid())); time.sleep(60)"
    source = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {hidden!r}], env={{}}, start_new_session=True)\n"
        "while not os.path.exists('hidden') or not open('hidden').read(): time.sleep(0.01)\n"
    )
    run.do(run.order(python(source)))
    run.executor.close()
    run.wait_for_death(int((run.work / "hidden").read_text()))


def test_time_limits_of_ended_attempts_are_forgotten(run: LocalRun) -> None:
    orders = [run.order(["/bin/true"], timeout=3600, lane=1, ahead=n > 2) for n in range(1300)]
    assert all(outcome.ok for outcome in run.do(*orders))
    (limited,) = run.do(run.shell("sleep 60", timeout=0.2))
    assert limited.cause == "timeout"


def test_all_children_are_found_however_many_there_are() -> None:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(700)]
    try:
        seen = OwnChildren()
        assert {child.pid for child in children} <= set(seen.pids())
        seen.close()
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def test_a_child_beside_those_that_are_expected_is_noticed() -> None:
    script = """
import os
from weft.executors.supervisor.census import OwnChildren
seen = OwnChildren()
first = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
assert seen.are_only([first])
second = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
alone = seen.are_only([first])
both = seen.are_only([first, second])
for pid in (first, second):
    os.kill(pid, 9)
    os.waitpid(pid, 0)
assert (alone, both, seen.are_only([])) == (False, True, True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_log_folders_that_are_moved_away_for_a_while_do_not_end_the_run(run: LocalRun) -> None:
    (first,) = run.do(run.shell("echo before"))
    loud = run.shell("until [ -e full ]; do sleep 0.02; done; echo inside")
    run.submit(loud)
    run.began(loud)
    slots = run.log_folder / "slots"
    slots.rename(run.folder / "aside")
    (run.work / "full").touch()
    (outcome,) = run.finish(loud)
    assert outcome.ok
    (run.folder / "aside").rename(slots)
    (after,) = run.do(run.shell("echo after"))
    assert (run.read(first.stdout), run.read(after.stdout)) == (b"before\n", b"after\n")


def test_a_state_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "state")
    run.run_folder.parent.mkdir(parents=True)
    run.run_folder.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="cannot be made"):
        run.submit(run.shell("true"))
    run.run_folder.unlink()
    run.audit()
