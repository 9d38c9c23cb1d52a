"""Snippets in shared hosts, and snippets and functions in processes of their own."""

from __future__ import annotations

import base64
import json
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from support.local_runs import LocalRun, local_run
from weft.ports import Function, Order
from weft.scheduling.keys import AttemptKey

ISOLATIONS = ["thread", "process"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LocalRun]:
    with local_run(tmp_path / "state") as found:
        yield found


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_snippet_has_fresh_globals_its_values_and_is_main(run: LocalRun, isolation: Any) -> None:
    first = run.snippet("left = 1; print(__name__, x, y)", {"x": "ü", "y": [1, {"a": None}]}, isolation=isolation)
    second = run.snippet("print('left' in globals(), 'x' in globals())", isolation=isolation)
    one, two = run.do(first, second)
    assert run.read(one.stdout).decode() == "__main__ ü [1, {'a': None}]\n"
    assert run.read(two.stdout) == b"False False\n"
    assert one.ok
    assert one.cause is None


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("raise SystemExit(0)", "SystemExit: 0 (line 1)"),
        ("import sys\n\nsys.exit('no')", "SystemExit: no (line 3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (line 1)"),
        ("x = 1\ndef f(:\n  pass", "SyntaxError: invalid syntax (line 2)"),
        ("def f():\n    raise ValueError('a\\nb')\nf()", "ValueError: a b (line 2)"),
        ("import json\njson.loads('{')", "(line 2)"),
        ("input()", "EOFError: EOF when reading a line (line 1)"),
        ("class E(Exception):\n    def __str__(self): 1/0\nraise E", "(its text cannot be shown) (line 3)"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("x = '\0'", "source code"),
    ],
)
def test_whatever_leaves_a_snippet_is_a_failure_with_type_text_and_line(
    run: LocalRun, source: str, detail: str, isolation: Any
) -> None:
    (outcome,) = run.do(run.snippet(source, isolation=isolation))
    assert (outcome.ok, outcome.cause, outcome.exit_code) == (False, "exception", None)
    assert detail in (outcome.detail or "")
    assert outcome.charged
    trace = run.read(outcome.stderr).decode()
    assert "supervisor" not in trace
    assert "runpy" not in trace


CHILDREN = {
    "run": "subprocess.run(['sh', '-c', 'echo out; echo err >&2'], check=True)",
    "system": "assert os.system('echo out; echo err >&2; exit 3') == 3 << 8",
    "streams": "subprocess.run(['sh', '-c', 'echo out; echo err >&2'], stdout=sys.stdout, stderr=sys.stderr, check=True)",
    "threads": "t = threading.Thread(target=os.system, args=('echo out; echo err >&2',)); t.start(); t.join()",
    "fork": "p = get_context('fork').Process(target=lambda: (print('out'), print('err', file=sys.stderr))); p.start(); p.join()",
}


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("way", ["run", "system", "streams", "threads", "fork"])
def test_what_children_of_a_snippet_print_is_its_output_in_order(run: LocalRun, way: str, isolation: Any) -> None:
    imports = "import os, subprocess, sys, threading\nfrom multiprocessing import get_context"
    source = f"{imports}\nprint('before')\n{CHILDREN[way]}\nprint('after')"
    (outcome,) = run.do(run.snippet(source, isolation=isolation))
    assert outcome.ok, outcome.detail
    assert run.read(outcome.stdout) == b"before\nout\nafter\n"
    assert run.read(outcome.stderr) == b"err\n"


def test_children_of_concurrent_snippets_print_apart_and_what_is_piped_stays_so(run: LocalRun) -> None:
    source = """import subprocess
text = subprocess.run(['echo', 'x%d'], stdout=subprocess.PIPE, check=True).stdout
both = subprocess.run('echo e >&2', shell=True, stderr=subprocess.STDOUT, check=True)
subprocess.run('for i in 1 2 3; do echo %d; done', shell=True, check=True)
print(text)"""
    outcomes = run.do(*(run.snippet(source % (number, number)) for number in range(8)))
    for number, outcome in enumerate(outcomes):
        assert outcome.ok, outcome.detail
        assert run.read(outcome.stdout).decode() == f"e\n{number}\n{number}\n{number}\nb'x{number}\\n'\n"
        assert outcome.stderr.length == 0


def test_a_child_that_prints_nothing_leaves_no_file(run: LocalRun) -> None:
    (outcome,) = run.do(run.snippet("import os; os.system('true')"))
    assert outcome.ok
    assert outcome.stdout.length == outcome.stderr.length == 0
    assert not list(run.log_folder.glob("*.out"))


def test_a_snippet_that_closed_its_stderr_fails_for_its_own_reason(run: LocalRun) -> None:
    (outcome,) = run.do(run.snippet("import os\nos.close(2)\n1 / 0", isolation="process"))
    assert (outcome.cause, outcome.detail) == ("exception", "ZeroDivisionError: division by zero (line 3)")


BROKEN = """import os, sys
class Broken:
    def write(self, text): pass
    def flush(self): raise RuntimeError("no room")
sys.stdout = Broken()
"""


def test_a_stream_that_a_snippet_cannot_flush_is_told_and_fails_nothing(run: LocalRun) -> None:
    told, closed = run.do(
        run.snippet(BROKEN, isolation="process"), run.snippet(f"{BROKEN}os.close(2)", isolation="process")
    )
    assert (told.ok, closed.ok) == (True, True)
    line = b"weft: sys.stdout cannot be flushed, some of the output may be lost: RuntimeError: no room"
    assert run.read(told.stderr).splitlines()[0] == line


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_traceback_shows_the_snippets_own_lines(run: LocalRun, isolation: Any) -> None:
    order = run.snippet("def broken():\n    return missing\nbroken()", isolation=isolation)
    (outcome,) = run.do(order)
    trace = run.read(outcome.stderr).decode()
    assert trace.startswith(
        'Traceback (most recent call last):\n  File "<snippet 1>", line 3, in <module>\n    broken()\n'
    )
    assert "    return missing\n" in trace
    assert trace.endswith("NameError: name 'missing' is not defined\n")


def test_concurrent_output_never_mixes(run: LocalRun) -> None:
    source = """
import sys, threading, time
def work(part):
    for number in range(200):
        print(me, part, number)
        sys.stderr.write(f'{me} err\\n')
        sys.stdout.buffer.write(b'%d raw\\n' % me)
threads = [threading.Thread(target=work, args=(part,)) for part in range(3)]
for thread in threads: thread.start()
work(9)
for thread in threads: thread.join()
"""
    orders = [run.snippet(source, {"me": number}) for number in range(12)]
    for number, outcome in enumerate(run.do(*orders)):
        out = run.read(outcome.stdout).decode().splitlines()
        assert len(out) == 1600
        assert {line.split()[0] for line in out} == {str(number)}
        assert set(run.read(outcome.stderr).decode().splitlines()) == {f"{number} err"}


def test_threads_of_pools_write_for_their_snippet(run: LocalRun) -> None:
    source = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(lambda n: print(me, n), range(3)))"
    )
    outcomes = run.do(*[run.snippet(source, {"me": number}) for number in range(3)])
    for number, outcome in enumerate(outcomes):
        assert sorted(run.read(outcome.stdout).decode().splitlines()) == [f"{number} {n}" for n in range(3)]


def test_large_output_of_a_snippet_is_whole(run: LocalRun) -> None:
    (outcome,) = run.do(run.snippet("for n in range(300): print(str(n % 10) * 99999)"))
    assert outcome.stdout.length == 300 * 100_000
    assert run.read(outcome.stdout).startswith(b"0" * 99999 + b"\n1")


def test_hundreds_of_sleeping_snippets_live_at_once(run: LocalRun) -> None:
    gate = run.work / "gate"
    source = "import os, time\nwhile not os.path.exists(gate): time.sleep(0.05)"
    orders = [run.snippet(source, {"gate": str(gate)}) for _ in range(300)]
    run.submit(*orders)
    for order in orders:
        run.began(order)
    gate.touch()
    assert all(outcome.ok for outcome in run.finish(*orders))
    assert len(list((run.run_folder / "receipts").glob("host-*.log"))) == 2


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_os_exit_fails_its_caller_whatever_the_code(run: LocalRun, code: int, isolation: Any) -> None:
    (outcome,) = run.do(run.snippet(f"import os; print('last words'); os._exit({code})", isolation=isolation))
    assert (outcome.ok, outcome.cause, outcome.exit_code) == (False, f"exit:{code}", code)
    assert run.read(outcome.stdout) == b"last words\n"


def test_os_exit_among_others_fails_its_caller_only_and_the_others_run_again_alone(run: LocalRun) -> None:
    beside = [run.snippet("import time; time.sleep(60)") for _ in range(3)]
    run.submit(*beside)
    for order in beside:
        run.began(order)
    (culprit,) = run.do(run.snippet("import os; os._exit(5)"))
    assert (culprit.cause, culprit.charged, culprit.alone) == ("exit:5", True, False)
    for outcome in run.finish(*beside):
        assert (outcome.cause, outcome.charged, outcome.alone) == ("lost", False, True)
    (after,) = run.do(run.snippet("print('a new host')"))
    assert run.read(after.stdout) == b"a new host\n"


def test_a_crash_with_one_in_flight_is_its_own(run: LocalRun) -> None:
    run.do(run.snippet("pass"))
    (outcome,) = run.do(run.snippet("import ctypes; ctypes.string_at(0)"))
    assert (outcome.cause, outcome.charged) == ("signal:SEGV", True)


def test_a_crash_among_others_makes_all_run_again_alone(run: LocalRun) -> None:
    sleeper = run.snippet("import time; time.sleep(60)")
    run.submit(sleeper)
    run.began(sleeper)
    crasher = run.snippet("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    for outcome in run.do(crasher, sleeper):
        assert (outcome.cause, outcome.charged, outcome.alone) == ("lost", False, True)


def test_a_copy_made_by_fork_reports_nothing(run: LocalRun) -> None:
    fork = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0); print('parent')\n"
    for source in (fork, fork + "else: os._exit(3)\n", fork + "else: raise ValueError\n"):
        for isolation in ISOLATIONS:
            (outcome,) = run.do(run.snippet(source, isolation=isolation))
            assert outcome.ok, outcome
            assert run.read(outcome.stdout) == b"parent\n"


def test_an_endless_snippet_is_abandoned_and_its_host_ends_after_the_others(run: LocalRun) -> None:
    gate = run.work / "gate"
    wait = "import os, time\nwhile not os.path.exists(gate): time.sleep(0.02)\nprint('fine')"
    beside = run.snippet(wait, {"gate": str(gate)})
    endless = run.snippet("while True: print('noise')", timeout=0.5, key=AttemptKey(77, -1, 1))
    run.submit(beside, endless)
    (outcome,) = run.finish(endless)
    assert (outcome.ok, outcome.cause) == (False, "timeout")
    length = outcome.stdout.length
    (fresh,) = run.do(run.snippet("import os; print(os.getpid())"))
    again = run.snippet("print('again')", key=AttemptKey(77, -1, 2))
    run.submit(again)
    run.do(run.snippet("pass"))
    assert again.key not in run.outcomes()
    gate.touch()
    first, second = run.finish(beside, again)
    assert (run.read(first.stdout), run.read(second.stdout)) == (b"fine\n", b"again\n")
    assert fresh.ok
    assert (run.log_folder / outcome.stdout.file).stat().st_size == length


def test_a_snippet_of_its_own_process_is_really_ended(run: LocalRun) -> None:
    order = run.snippet("print('on', flush=True)\nwhile True: pass", timeout=1.0, isolation="process")
    (outcome,) = run.do(order)
    assert outcome.cause == "timeout"
    assert run.read(outcome.stdout) == b"on\n"
    assert run.live_processes() == []


def test_a_memory_demand_gives_a_snippet_its_own_process_and_is_enforced(run: LocalRun) -> None:
    hungry, modest = run.do(
        run.snippet("import time; x = bytearray(200 << 20); time.sleep(60)", memory_bytes=60 << 20),
        run.snippet("x = bytearray(50 << 20)", memory_bytes=200 << 20),
    )
    assert hungry.cause == "memory"
    assert modest.ok
    assert (modest.usage.memory or 0) > 50 << 20


def test_usage_of_a_snippet_has_its_own_cpu_time_and_no_memory(run: LocalRun) -> None:
    idle, busy = run.do(run.snippet("import time; time.sleep(0.3)"), run.snippet("sum(range(3_000_000))"))
    assert idle.usage.memory is None
    assert idle.usage.seconds >= 0.3
    assert idle.usage.cpu_seconds is not None
    assert busy.usage.cpu_seconds is not None
    assert idle.usage.cpu_seconds < busy.usage.cpu_seconds


def test_snippets_share_a_host_with_equal_environments_only(run: LocalRun) -> None:
    source = "import os; print(os.getpid(), os.environ.get('COLOUR'))"
    orders = [
        run.snippet(source, environment=env) for env in ({}, {}, {"COLOUR": "red", "WEFT_X": "1"}, {"COLOUR": "red"})
    ]
    shown = [run.read(outcome.stdout).decode().split() for outcome in run.do(*orders)]
    assert shown[0] == shown[1]
    assert shown[2] == shown[3]
    assert shown[0][0] != shown[2][0]
    assert (shown[0][1], shown[2][1]) == ("None", "red")


def test_a_snippet_works_in_its_folder(run: LocalRun) -> None:
    (run.work / "neighbour.py").write_text("answer = 42\n")
    for isolation in ISOLATIONS:
        source = "import os, neighbour; print(os.getcwd(), neighbour.answer)"
        (outcome,) = run.do(run.snippet(source, isolation=isolation))
        assert run.read(outcome.stdout).decode() == f"{run.work} 42\n"


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_interpreter_that_is_missing_is_a_setup_failure(run: LocalRun, isolation: Any) -> None:
    order = run.snippet("pass", interpreter="/no/such/python", isolation=isolation)
    (outcome,) = run.do(order)
    assert (outcome.ok, outcome.cause) == (False, "setup")
    assert "/no/such/python" in (outcome.detail or "")


def test_values_that_cannot_travel_are_a_setup_failure(run: LocalRun) -> None:
    for isolation in ISOLATIONS:
        (outcome,) = run.do(run.snippet("pass", {"x": {1, 2}}, isolation=isolation))
        assert outcome.cause == "setup"


def call(run: LocalRun, reference: str | None, arguments: dict[str, Any] | None = None, **fields: Any) -> Order:
    return run.order(
        Function(reference, fields.pop("serialized", None), arguments or {}),
        **{"keeps": "return", "products": str(run.folder / "products"), **fields},
    )


def test_a_function_gets_keywords_and_its_return_value_is_the_product(run: LocalRun) -> None:
    (run.work / "steps.py").write_text(
        "import sys\nclass Group:\n    @staticmethod\n    def inner(): return 1\n"
        "def add(a, b=2):\n    print('adding')\n    return {'sum': a + b, 'ü': [1, None]}\n"
        "def bad(): return sys._getframe()\ndef broken(): raise LookupError('deep')\n"
        "def bare(): return float('nan')\nnumber = 3\n"
    )
    orders = [
        call(run, "steps.py:add", {"a": 1}),
        call(run, "steps:add", {"a": 1, "b": 4}),
        call(run, "steps:Group.inner"),
        call(run, "steps:add", {"a": 1}, keeps=None),
        call(run, "steps:bad"),
        call(run, "steps:bare"),
        call(run, "steps:broken"),
        call(run, "steps:add", {"c": 1}),
        call(run, "steps:nothing"),
        call(run, "steps:number"),
        call(run, "nothing:at_all"),
        call(run, "nothing.py:at_all"),
    ]
    found = run.do(*orders)
    assert json.loads(found[0].product or "") == {"sum": 3, "ü": [1, None]}
    assert run.read(found[0].stdout) == b"adding\n"
    assert json.loads(found[1].product or "") == {"sum": 5, "ü": [1, None]}
    assert (found[2].product, found[3].product) == ("1", None)
    assert (found[5].product or "").startswith("@pickle ")  # NaN is no plain data
    assert [outcome.cause for outcome in found] == [
        *[None] * 4, "type", None, "exception", "exception", *["not_found"] * 4,
    ]  # fmt: skip
    assert found[6].detail == "LookupError: deep (line 9)"
    assert "supervisor" not in run.read(found[6].stderr).decode()
    assert list((run.run_folder / "calls").iterdir()) == []


def test_a_module_that_lacks_something_else_is_an_exception(run: LocalRun) -> None:
    (run.work / "needy.py").write_text("import absent_module\ndef f(): pass\n")
    for reference in ("needy:f", "needy.py:f"):
        (outcome,) = run.do(call(run, reference))
        assert outcome.cause == "exception"
        assert "absent_module" in (outcome.detail or "")


def test_a_serialised_function_is_called_and_an_unreadable_one_is_a_setup_failure(run: LocalRun) -> None:
    data = base64.b64encode(cloudpickle.dumps(lambda a: a * 2)).decode()
    fine, broken = run.do(
        call(run, None, {"a": 21}, serialized=data), call(run, None, serialized=base64.b64encode(b"junk").decode())
    )
    assert fine.product == "42"
    assert broken.cause == "setup"
    assert "Python" in (broken.detail or "")


def test_withdrawn_snippets_never_begin(run: LocalRun) -> None:
    gate = run.work / "gate"
    first = run.snippet(
        "import os, time\nwhile not os.path.exists(gate): time.sleep(0.02)", {"gate": str(gate)}, lane=4
    )
    second, third = run.snippet("open('ran', 'w')", lane=4, ahead=True), run.shell("echo third", lane=4, ahead=True)
    run.submit(first, second, third)
    run.began(first)
    run.executor.stop([second.key], "withdraw", "cancelled")
    gate.touch()
    done = run.finish(first, second, third)
    assert [outcome.cause for outcome in done] == [None, "cancelled", None]
    assert not (run.work / "ran").exists()


def test_a_lane_of_commands_and_snippets_keeps_its_order(run: LocalRun) -> None:
    orders = []
    for number in range(40):
        fields: dict[str, Any] = {"lane": 2, "ahead": number > 0}
        orders.append(
            run.shell(f"echo {number} >> log", **fields) if number % 3 else run.snippet(LOG, {"n": number}, **fields)
        )
    run.submit(*orders[:5])
    run.submit(*orders[5:])
    assert all(outcome.ok for outcome in run.finish(*orders))
    assert (run.work / "log").read_text().split() == [str(number) for number in range(40)]


LOG = "with open('log', 'a') as file: print(n, file=file)"


def test_what_a_process_of_a_snippet_prints_or_hands_back_comes_once(run: LocalRun) -> None:
    source = "import subprocess; subprocess.run(['echo', 'stray']); print(subprocess.check_output(['echo', 'mine'], text=True))"
    (outcome,) = run.do(run.snippet(source))
    assert run.read(outcome.stdout) == b"stray\nmine\n\n"


def test_the_bell_rings_for_snippets_too(run: LocalRun) -> None:
    order = run.snippet("pass")
    run.submit(order)
    seen = 0
    while order.key not in run.outcomes():
        assert select.select(run.executor.bells(), [], [], 20)[0]
        reports = run.executor.poll().reports
        run.reports += reports
        seen += 1
        assert seen < 1000
    assert os.path.exists(run.run_folder / "receipts" / "host-1.log")


def test_what_starts_by_the_end_of_a_host_does_not_go_to_that_host(run: LocalRun) -> None:
    sleeper = run.snippet("import time; time.sleep(60)", lane=1)
    other = run.snippet("import time; time.sleep(60)", lane=1)
    run.submit(sleeper, other)
    for order in (sleeper, other):
        run.began(order)
    crasher = run.snippet("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", lane=2)
    waits = run.snippet("print('fine')", lane=1, ahead=True)
    run.submit(waits, crasher)
    (outcome,) = run.finish(waits)
    assert outcome.ok
    assert run.read(outcome.stdout) == b"fine\n"
