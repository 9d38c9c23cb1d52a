"""Functions called in Python workers: what a call finds, what it hands on, what it prints, what it cannot do to the next one."""

from __future__ import annotations

import base64
import json
import os
import pickle
import select
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from support.local_runs import LocalRun
from weft.executors.workers import Worker
from weft.ports import Began, Finished, Flow, Handed, HandedItem, HandedList, Order, Taken, Yielded
from weft.scheduling.outcomes import Outcome
from weft.spec.options import Opaque
from weft.values.encoding import decode, encode
from weft.values.items import ItemReader, ItemWriter


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LocalRun]:
    found = LocalRun(tmp_path / "state")
    yield found
    found.audit()


def one(run: LocalRun, body: str, arguments: dict[str, Any] | None = None, **fields: Any) -> Outcome:
    """Call `f`, whose module is `body`."""
    run.module(body)
    (outcome,) = run.do(run.call("functions:f", arguments, **fields))
    return outcome


def in_turn(run: LocalRun, *orders: Order) -> list[Outcome]:
    """Calls one after the other, so that one worker makes them all."""
    return [run.do(order)[0] for order in orders]


def value_of(run: LocalRun, outcome: Outcome) -> Any:
    assert outcome.ok, outcome
    assert outcome.product is not None
    return decode(outcome.product, str(run.folder / "products"))


def workers(run: LocalRun) -> int:
    return len(list((run.run_folder / "receipts").glob("worker-*.log")))


# --- values --------------------------------------------------------------------------------------------------------------


def test_a_call_gets_its_arguments_and_hands_its_value_on(run: LocalRun) -> None:
    outcome = one(run, "def f(x, y): return x + y", {"x": 40, "y": 2})
    assert (outcome.ok, outcome.cause, outcome.product) == (True, None, "42")
    assert outcome.usage.cpu_seconds is not None
    assert (outcome.usage.memory or 0) > 1 << 20


@pytest.mark.parametrize("isolation", ["worker", "process"])
@pytest.mark.parametrize(
    "value", [None, True, 2**80, -0.5, "ä\ud800", [1, [2]], {"a": None}, {1: 2}, (1, 2), {3}, b"x", float("inf")]
)
def test_values_come_back_as_they_were(run: LocalRun, value: Any, isolation: Any) -> None:
    products = str(run.folder / "products")
    outcome = one(run, "def f(x): return x", {"x": Handed(encode(value, products))}, isolation=isolation)
    found = value_of(run, outcome)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_arguments_of_every_kind_are_made_in_the_worker(run: LocalRun, isolation: Any) -> None:
    products = str(run.folder / "products")
    log = ItemWriter(str(run.folder / "some.items"), products)
    log.add("zero")
    log.add([1])
    text = log.close()
    opaque = Opaque(base64.b64encode(pickle.dumps({1, 2}, 5)).decode(), "00")
    arguments = {
        "plain": [1, "x"],
        "handed": Handed(encode({"a": 1}, products)),
        "item": HandedItem(text, 1),
        "several": HandedList([encode(1, products), encode((2,), products)]),
        "opaque": opaque,
    }
    outcome = one(run, "def f(**all): return all", arguments, isolation=isolation)
    assert value_of(run, outcome) == {
        "plain": [1, "x"],
        "handed": {"a": 1},
        "item": [1],
        "several": [1, (2,)],
        "opaque": {1, 2},
    }


def test_a_damaged_product_is_no_fault_of_the_function(run: LocalRun) -> None:
    products = run.folder / "products"
    text = encode("x" * 100_000, str(products))
    (path,) = products.rglob("*.json")
    path.unlink()
    outcome = one(run, "def f(x): return 1", {"x": Handed(text)})
    assert outcome.cause == "setup"
    assert "argument 'x'" in (outcome.detail or "")


def test_a_body_that_changes_its_arguments_or_defaults_changes_nothing_for_others(run: LocalRun) -> None:
    run.module("def f(x):\n    x.append(1)\n    return x")
    shared = [0]
    calls = [run.call("functions:f", {"x": shared}) for _ in range(4)]
    assert [outcome.product for outcome in in_turn(run, *calls)] == ["[0,1]"] * 4 or [
        value_of(run, outcome) for outcome in run.do(run.call("functions:f", {"x": shared}))
    ] == [[0, 1]]
    assert shared == [0]


def test_large_products_are_files_that_the_next_call_reads(run: LocalRun) -> None:
    run.module("def big(): return 'x' * 1_000_000\ndef size(x): return len(x)")
    (made,) = run.do(run.call("functions:big"))
    assert made.product is not None
    assert made.product.startswith("@json ")
    (read,) = run.do(run.call("functions:size", {"x": Handed(made.product)}))
    assert read.product == "1000000"


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_what_cannot_be_pickled_is_of_no_type(run: LocalRun, isolation: Any) -> None:
    outcome = one(run, "import threading\ndef f(): return [threading.Lock()]", isolation=isolation)
    assert (outcome.ok, outcome.cause) == (False, "type")
    assert "cannot be handed on" in (outcome.detail or "")
    assert "lock" in (outcome.detail or "")


def test_functions_by_value_travel_once_and_are_called_often(run: LocalRun) -> None:
    factor = 3
    data = base64.b64encode(cloudpickle.dumps(lambda x: x * factor)).decode()
    calls = [run.call("", {"x": number}, serialized=data) for number in range(5)]
    assert [outcome.product for outcome in in_turn(run, *calls)] == ["0", "3", "6", "9", "12"]
    assert workers(run) == 1


def test_functions_of_a_file_are_found_and_its_module_runs_once(run: LocalRun) -> None:
    run.module("import helper\nprint('imported')\ndef a(): return helper.ONE\ndef b(): return helper.ONE + 1", "own")
    run.module("ONE = 1", "helper")
    file = f"{run.modules}/own.py"
    a, b = in_turn(run, run.call(f"{file}:a"), run.call(f"{file}:b"))
    assert (a.product, b.product) == ("1", "2")
    assert (run.read(a.stdout), run.read(b.stdout)) == (b"imported\n", b"")


def test_nested_names_are_found_by_their_dots(run: LocalRun) -> None:
    run.module("class A:\n    @staticmethod\n    def f(): return 1")
    assert run.do(run.call("functions:A.f"))[0].product == "1"


@pytest.mark.parametrize(
    ("reference", "cause", "detail"),
    [
        ("functions:nothing", "not_found", "has no function 'nothing'"),
        ("no_such_module:f", "not_found", "no module named 'no_such_module'"),
        ("functions:ONE", "not_found", "is no function"),
        ("/no/such/file.py:f", "not_found", "no file '/no/such/file.py'"),
        ("broken:f", "exception", "ZeroDivisionError"),
    ],
)
def test_a_function_that_is_not_there_is_not_found(run: LocalRun, reference: str, cause: str, detail: str) -> None:
    run.module("ONE = 1")
    run.module("1 / 0\ndef f(): pass", "broken")
    (outcome,) = run.do(run.call(reference))
    assert (outcome.ok, outcome.cause) == (False, cause)
    assert detail in (outcome.detail or "")


@pytest.mark.parametrize(
    ("body", "product"),
    [
        ("async def f():\n    import asyncio\n    await asyncio.sleep(0)\n    return 1", "1"),
        ("def f():\n    yield 1\n    yield 2", "[1, 2]"),
        ("async def f():\n    yield 1\n    yield 2", "[1, 2]"),
        ("def f(): return None", "null"),
    ],
)
def test_coroutines_are_awaited_and_generators_listed(run: LocalRun, body: str, product: str) -> None:
    outcome = one(run, body)
    assert json.loads(outcome.product or "") == json.loads(product)


def test_nothing_is_kept_of_a_call_without_product(run: LocalRun) -> None:
    outcome = one(run, "import threading\ndef f(): return threading.Lock()", keeps=None)
    assert (outcome.ok, outcome.product) == (True, None)


@pytest.mark.parametrize("isolation", ["worker", "process"])
@pytest.mark.parametrize("body", ["def f(): return ['a', 2]", "def f():\n    yield 'a'\n    yield 2"])
def test_a_product_can_be_kept_item_by_item(run: LocalRun, body: str, isolation: Any) -> None:
    outcome = one(run, body, keeps="items", isolation=isolation)
    assert (outcome.product or "").startswith("@items ")
    assert value_of(run, outcome) == ["a", 2]


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_items_can_be_read_while_they_are_made(run: LocalRun, isolation: Any) -> None:
    door = run.folder / "door"
    os.mkfifo(door)
    body = f"def f():\n    yield 1\n    open({str(door)!r}).close()\n    yield 2"
    run.module(body)
    order = run.call("functions:f", keeps="items", checks=checks("any", {}, each=True), isolation=isolation)
    run.submit(order)
    run.wait(lambda: any(isinstance(report, Yielded) for report in run.reports))
    reader = ItemReader(f"{run.run_folder}/streams/{order.nonce:016x}.items", str(run.folder / "products"))
    assert list(reader) == [1]
    reader.close()
    door.open("w").close()
    (outcome,) = run.finish(order)
    assert value_of(run, outcome) == [1, 2]
    told = [report for report in run.reports if isinstance(report, Yielded)]
    assert [item for report in told for item in report.shown] == ["1", "2"]
    last = max(place for place, report in enumerate(run.reports) if isinstance(report, Yielded))
    assert isinstance(run.reports[last + 1], Finished)


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_a_stream_is_taken_while_it_grows(run: LocalRun, isolation: Any) -> None:
    products = str(run.folder / "products")
    log = ItemWriter(str(run.folder / "growing.items"), products)
    flow = Flow(77, log.path, "rows")
    run.module("def f(rows): return [row * 2 for row in rows]")
    order = run.call("functions:f", {"rows": flow}, isolation=isolation)
    run.submit(order)
    run.wait(lambda: any(isinstance(report, Taken) for report in run.reports))
    for number in (1, 2, 3):
        log.add(number)
        log.flush()
        run.executor.announce(order.nonce, "rows", number, "open")
    run.wait(lambda: any(isinstance(report, Taken) and report.position == 3 for report in run.reports))
    run.executor.announce(order.nonce, "rows", 3, "complete")
    (outcome,) = run.finish(order)
    assert value_of(run, outcome) == [2, 4, 6]
    log.abandon()


# --- checks --------------------------------------------------------------------------------------------------------------


def checks(name: str, types: dict[str, dict[str, Any]], *, each: bool = False) -> str:
    return json.dumps({"type": name, "each": each, "types": types})


PREDICATES = """
def even(n): return n % 2 == 0
def broken(n): return n.nothing
def f(x): return x
"""


@pytest.mark.parametrize("isolation", ["worker", "process"])
@pytest.mark.parametrize(
    ("value", "check", "detail"),
    [
        (1, ("int", {}), None),
        ("a", ("int", {}), "the product is no int"),
        (4, ("even", {"even": {"parent": "int", "predicate": "functions:even"}}), None),
        (3, ("even", {"even": {"parent": "int", "predicate": "functions:even"}}), "3 is no 'even'"),
        ("a", ("even", {"even": {"parent": "int", "predicate": "functions:even"}}), "is no int"),
        (3, ("odd", {"odd": {"predicate": "functions:broken"}}), "the check of 'odd' failed: AttributeError"),
        (3, ("small", {"small": {"parent": "int", "maximum": 2}}), "above the maximum"),
        ([1, "x"], ("ints", {"ints": {"parent": "list", "items": "int"}}), "item 1: "),
        ([1, 2], ("ints", {"ints": {"parent": "list", "items": "int"}}), None),
    ],
)
def test_values_are_checked_where_they_are_made(
    run: LocalRun, value: Any, check: Any, detail: str | None, isolation: Any
) -> None:
    outcome = one(run, PREDICATES, {"x": value}, checks=checks(*check), isolation=isolation)
    assert outcome.cause == (None if detail is None else "type")
    assert detail is None or detail in (outcome.detail or "")


def test_predicates_travel_by_value_too(run: LocalRun) -> None:
    predicate = base64.b64encode(cloudpickle.dumps(lambda n: n > 1)).decode()
    text = checks("many", {"many": {"predicate": predicate}})
    good = one(run, PREDICATES, {"x": 2}, checks=text)
    (bad,) = run.do(run.call("functions:f", {"x": 1}, checks=text))
    assert (good.cause, bad.cause) == (None, "type")


def test_items_of_a_stream_are_checked_one_by_one(run: LocalRun) -> None:
    outcome = one(run, "def f():\n    yield 1\n    yield 'x'", keeps="items", checks=checks("int", {}, each=True))
    assert outcome.cause == "type"
    assert "item 1" in (outcome.detail or "")


# --- what a call prints --------------------------------------------------------------------------------------------------


LOUD = """
import logging, os, subprocess, sys, threading
def f(n):
    print("out", n)
    print("err", n, file=sys.stderr)
    logging.warning("warned %s", n)
    logging.info("unseen")
    subprocess.run(["/bin/sh", "-c", f"echo child {n}; echo child-err {n} >&2"], check=True)
    os.write(1, b"raw\\n")
    thread = threading.Thread(target=print, args=("thread", n))
    thread.start()
    thread.join()
def quiet(): pass
"""


def test_everything_that_a_call_prints_is_its_own(run: LocalRun) -> None:
    run.module(LOUD)
    first, silent, second = in_turn(
        run, run.call("functions:f", {"n": 1}), run.call("functions:quiet"), run.call("functions:f", {"n": 2})
    )
    for number, outcome in ((1, first), (2, second)):
        assert outcome.ok, outcome
        expected = f"out {number}\nchild {number}\nraw\nthread {number}\n"
        assert run.read(outcome.stdout).decode() == expected
        err = run.read(outcome.stderr).decode().splitlines()
        assert f"WARNING:root:warned {number}" in err
        assert f"child-err {number}" in err
        assert "unseen" not in err
    assert (silent.stdout.length, silent.stderr.length) == (0, 0)
    assert workers(run) == 1


def test_ten_thousand_lines_of_a_call_are_all_there(run: LocalRun) -> None:
    outcome = one(run, "def f():\n    for n in range(10_000): print('line', n)")
    assert run.read(outcome.stdout).decode() == "".join(f"line {n}\n" for n in range(10_000))


def test_long_output_gets_a_file_of_its_own_and_the_next_call_is_not_touched(run: LocalRun) -> None:
    run.module("def f(n): print('x' * n)")
    long, short = in_turn(run, run.call("functions:f", {"n": 1_000_000}), run.call("functions:f", {"n": 1}))
    assert (long.stdout.length, run.read(long.stdout)[-2:]) == (1_000_001, b"x\n")
    assert run.read(short.stdout) == b"x\n"


@pytest.mark.parametrize(
    "trick",
    [
        "sys.stdout = open(os.devnull, 'w')",
        "sys.stdout.close()",
        "os.close(1); os.close(2)",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "sys.stdout = None",
        "os.chdir('/')",
        "os.environ['PATH'] = 'x'; os.environ.pop('HOME', None); os.environ['EXTRA'] = '1'; os.putenv('WEFT_TASK', 'no')",
        "os.environ.clear()",
        "sys.path.clear()",
        "sys.path.insert(0, '/nowhere')",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(0.02)",
        "signal.signal(signal.SIGALRM, print); signal.alarm(100); time.sleep(0.02)",
        "os.umask(0); time.sleep(0.02)",
        "threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()",
        "sys.setrecursionlimit(5000)",
        "os.closerange(3, 256)",
    ],
)
def test_what_a_call_does_to_its_process_does_not_reach_the_next(run: LocalRun, trick: str) -> None:
    body = f"""
import json, os, signal, sys, threading, time
def spoil():
    {trick}
def look():
    print("seen")
    umask = os.umask(0)
    os.umask(umask)
    return [os.getcwd(), os.environ["WEFT_TASK"], os.environ.get("EXTRA"), os.environ["PATH"],
            "/nowhere" in sys.path, len(sys.path) > 1, umask,
            signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getitimer(signal.ITIMER_REAL)[0],
            os.popen("echo $WEFT_TASK $WEFT_ATTEMPT").read()]
"""
    run.module(body)
    before, spoilt, after = in_turn(
        run,
        run.call("functions:look", name="same"),
        run.call("functions:spoil", keeps=None),
        run.call("functions:look", name="same"),
    )
    assert before.ok, before
    assert spoilt.ok, spoilt
    assert value_of(run, after) == value_of(run, before)
    assert value_of(run, after)[-1] == "same 1\n"
    assert run.read(after.stdout) == b"seen\n"


def test_a_stream_that_cannot_be_flushed_is_told_in_the_output_of_its_call(run: LocalRun) -> None:
    run.module("""
import os, sys
class Broken:
    def write(self, text): pass
    def flush(self): raise RuntimeError("no room")
def spoil(close):
    if close: os.close(2)
    sys.stdout = Broken()
def look(): print("seen")
""")
    told, closed, after = in_turn(
        run,
        run.call("functions:spoil", {"close": False}, keeps=None),
        run.call("functions:spoil", {"close": True}, keeps=None),
        run.call("functions:look", keeps=None),
    )
    line = b"weft: sys.stdout cannot be flushed, some of the output may be lost: RuntimeError: no room\n"
    assert [each.ok for each in (told, closed, after)] == [True, True, True]
    assert run.read(told.stderr) == line
    assert run.read(closed.stderr) == line
    assert (run.read(after.stdout), run.read(after.stderr)) == (b"seen\n", b"")


@pytest.mark.parametrize("spoil", ["", "os.close(1); os.close(2)"])
def test_half_a_line_belongs_to_the_call_that_wrote_it(run: LocalRun, spoil: str) -> None:
    run.module(f"""
import os, sys
def half():
    sys.stdout.write("out")
    sys.stderr.write("err")
    {spoil}
def look(): print("seen")
""")
    half, after = in_turn(run, run.call("functions:half", keeps=None), run.call("functions:look", keeps=None))
    assert half.ok, half
    assert (run.read(half.stdout), run.read(half.stderr)) == (b"out", b"err")
    assert (run.read(after.stdout), run.read(after.stderr)) == (b"seen\n", b"")


# --- whatever leaves it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("raise SystemExit(0)", "SystemExit: 0 (line 2)"),
        ("import sys; sys.exit('no')", "SystemExit: no (line 2)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (line 2)"),
        ("f()", "RecursionError: maximum recursion depth exceeded"),
        ("raise ValueError('x' * 10_000_000)", "ValueError: xxx"),
        ("input()", "EOFError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", "KeyboardInterrupt"),
        ("raise BaseException('b')", "BaseException: b"),
    ],
)
def test_whatever_leaves_a_call_is_its_failure_and_the_worker_goes_on(
    run: LocalRun, statement: str, detail: str
) -> None:
    run.module(f"def f():\n    {statement}\ndef g(): return 1")
    failed, fine = in_turn(run, run.call("functions:f"), run.call("functions:g"))
    assert (failed.ok, failed.cause, failed.charged) == (False, "exception", True)
    assert detail in (failed.detail or "")
    assert len(failed.detail or "") <= 500
    trace = run.read(failed.stderr).decode()
    assert "Traceback" in trace
    assert "weft/executors" not in trace
    assert len(trace) < 200_000
    assert fine.product == "1"
    assert workers(run) == 1


def test_the_copy_of_a_call_that_forks_does_not_answer(run: LocalRun) -> None:
    body = "import os\ndef f():\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n    return pid > 0\ndef g(): return 2"
    run.module(body)
    forked, after = in_turn(run, run.call("functions:f"), run.call("functions:g"))
    assert forked.product == "true"
    assert after.product == "2"


def test_a_worker_knows_nothing_of_wefts_own_environment_but_weft(run: LocalRun) -> None:
    body = "import sys\ndef f(): return [sys.argv, sys.modules['__main__'].__dict__.get('Worker') is None]"
    outcome = one(run, body)
    assert value_of(run, outcome) == [[""], True]


def test_threads_of_libraries_follow_the_cores_of_the_task(run: LocalRun) -> None:
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "PYTHONHASHSEED"]
    run.module(f"import os\ndef f(): return [os.environ.get(name) for name in {names}]")
    plain, two, own = run.do(
        run.call("functions:f"),
        run.call("functions:f", cores=2),
        run.call("functions:f", environment={"OMP_NUM_THREADS": "7", "PYTHONHASHSEED": "3"}),
    )
    assert value_of(run, plain) == ["1", "1", "1", "1", "0"]
    assert value_of(run, two) == ["2", "2", "2", "2", "0"]
    assert value_of(run, own) == ["7", "1", "1", "1", "3"]


def test_variables_and_folder_are_those_of_the_order(run: LocalRun, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    run.module("import os\ndef f(): return [os.getcwd(), os.environ['A'], os.environ.get('WEFT_FILE')]")
    outcome, plain = run.do(
        run.call("functions:f", folder=str(folder), environment={"A": "1", "WEFT_FILE": "x"}),
        run.call("functions:f", folder=str(folder), environment={"A": "1"}),
    )
    assert value_of(run, outcome) == [str(folder), "1", "x"]
    assert value_of(run, plain) == [str(folder), "1", None]


def test_each_call_finds_an_empty_scratch_folder(run: LocalRun) -> None:
    body = """
import os
def f():
    found = os.listdir(os.environ["WEFT_SCRATCH"])
    os.makedirs(os.path.join(os.environ["WEFT_SCRATCH"], "a", "b"))
    return found
"""
    run.module(body)
    first, second = in_turn(run, run.call("functions:f"), run.call("functions:f"))
    assert (first.product, second.product) == ("[]", "[]")


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_an_interpreter_of_its_own_needs_nothing_of_weft_and_sees_nothing_of_its_packages(
    run: LocalRun, tmp_path: Path, isolation: Any
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    body = """
import importlib.util, sys
def f(x): return [sys.prefix, importlib.util.find_spec("click") is None, x]
"""
    run.module(body)
    check = checks("list", {})
    (outcome,) = run.do(run.call("functions:f", {"x": 1}, interpreter=python, checks=check, isolation=isolation))
    assert value_of(run, outcome) == [str(tmp_path / "bare"), True, 1]
    data = base64.b64encode(cloudpickle.dumps(lambda: 1)).decode()
    (refused,) = run.do(run.call("", serialized=data, interpreter=python, isolation=isolation))
    assert refused.cause == "setup"
    assert "cloudpickle" in (refused.detail or "")


def test_processor_time_of_children_and_peak_memory_are_counted(run: LocalRun) -> None:
    body = f"""
import subprocess
def f(): subprocess.run([{sys.executable!r}, "-c", "n = 0\\nwhile n < 3_000_000: n += 1"], check=True)
def g():
    data = bytearray(200 << 20)
    for place in range(0, len(data), 4096): data[place] = 1
def h():
    import time
    time.sleep(0.02)
"""
    run.module(body)
    child, large, small = in_turn(run, *[run.call(f"functions:{name}", keeps=None) for name in "fgh"])
    assert (child.usage.cpu_seconds or 0) > 0.02
    assert (large.usage.memory or 0) > 200 << 20
    assert (small.usage.memory or 0) < 150 << 20


# --- many ----------------------------------------------------------------------------------------------------------------


def test_many_calls_share_few_workers_and_none_is_lost(run: LocalRun) -> None:
    run.module("def f(x): return x + 1")
    orders = [run.call("functions:f", {"x": number}, lane=1, ahead=number >= 2) for number in range(3000)]
    outcomes = run.do(*orders)
    assert [outcome.product for outcome in outcomes] == [str(number + 1) for number in range(3000)]
    assert workers(run) == 2
    begun = [report.nonce for report in run.reports if isinstance(report, Began)]
    ended = [report.nonce for report in run.reports if isinstance(report, Finished)]
    assert sorted(begun) == sorted(ended) == [order.nonce for order in orders]


def test_what_is_stuck_behind_a_long_call_goes_elsewhere(run: LocalRun) -> None:
    door = run.folder / "door"
    os.mkfifo(door)
    run.module(f"def f(x):\n    if x == 700: open({str(door)!r}).close()\n    return x")
    orders = [run.call("functions:f", {"x": number}, lane=1, ahead=number >= 2) for number in range(2000)]
    run.submit(*orders)
    others = [order for number, order in enumerate(orders) if number != 700]
    run.finish(*others)
    assert orders[700].key not in run.outcomes()
    door.open("w").close()
    (last,) = run.finish(orders[700])
    assert last.product == "700"


def test_a_call_that_has_not_begun_can_be_taken_back(run: LocalRun) -> None:
    door = run.folder / "door"
    os.mkfifo(door)
    run.module(f"def f(x):\n    if x: open({str(door)!r}).close()\n    return x")
    run.do(*[run.call("functions:f", {"x": 0}) for _ in range(1)])
    first = run.call("functions:f", {"x": 1}, lane=1)
    behind = [run.call("functions:f", {"x": 0}, lane=1, ahead=True) for _ in range(3)]
    run.submit(first, *behind)
    run.began(first)
    run.executor.stop([behind[1].key], "withdraw", "cancelled")
    run.executor.stop([first.key], "withdraw", "cancelled")
    (withdrawn,) = run.finish(behind[1])
    assert (withdrawn.cause, withdrawn.charged) == ("cancelled", False)
    door.open("w").close()
    assert [outcome.ok for outcome in run.finish(first, behind[0], behind[2])] == [True] * 3


def test_arguments_that_cannot_travel_fail_their_call_alone(run: LocalRun) -> None:
    run.module("def f(x): return 1")
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    bad, good = run.do(run.call("functions:f", {"x": deep}), run.call("functions:f", {"x": 1}))
    assert (bad.cause, good.product) == ("setup", "1")
    assert "cannot be handed over" in (bad.detail or "")


def test_an_interpreter_that_cannot_start_is_the_environments_fault(run: LocalRun, tmp_path: Path) -> None:
    run.module("def f(): return 1")
    missing, broken = run.do(
        run.call("functions:f", interpreter="/no/such/python"), run.call("functions:f", interpreter="/bin/false")
    )
    assert (missing.cause, broken.cause) == ("setup", "setup")
    assert "/no/such/python" in (missing.detail or "")
    assert "exit:1" in (broken.detail or "")


def test_a_call_that_ends_between_the_look_at_its_receipts_and_at_its_bell_is_not_forgotten(
    run: LocalRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Worker.read
    held: list[list[Any]] = []

    def look_too_early(worker: Worker) -> list[list[Any]]:
        found = read(worker)
        if not held and any(fact[0] == "done" for fact in found):
            held.append(found)
            return []
        if held and held[-1]:
            found = held[-1] + found
            held.append([])
        return found

    monkeypatch.setattr(Worker, "read", look_too_early)
    door = run.folder / "door"
    os.mkfifo(door)
    run.module(f"def f(): open({str(door)!r}).close()")
    order = run.call("functions:f")
    run.submit(order)
    run.began(order)
    while select.select(run.executor.bells(), [], [], 0.1)[0]:  # until only its end can ring
        run.executor.poll()
    door.open("w").close()
    reports: list[Any] = []
    while not any(isinstance(report, Finished) for report in reports):
        assert select.select(run.executor.bells(), [], [], 10.0)[0], "nothing rings any more"
        reports += run.executor.poll().reports
    assert len(held) == 2
