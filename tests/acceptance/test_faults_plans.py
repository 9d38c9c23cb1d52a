"""Plans that are wrong or huge, starts and readers that compete: reliability.md, rows F1, F2, F5, G1, G5, J7."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.faults import run_in
from support.weft_process import LIMIT_SECONDS, Doorway, Weft, clean_environment, kill, processes_with, read_ledger

Tasks = dict[str, Any]
WIDTH = 100_000


def task(*dependencies: str) -> dict[str, Any]:
    return {"command": ["true"], "dependencies": list(dependencies)} if dependencies else {"command": ["true"]}


# --- F1 ------------------------------------------------------------------------------------------------------------------


def ring(count: int) -> Tasks:
    return {f"t{number}": task(f"t{(number + 1) % count}") for number in range(count)}


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (ring(1), ["task 't0' depends on itself"]),
        (ring(2), ["2 tasks depend on each other", "'t0' -> 't1' -> 't0'"]),
        ({**ring(5), "u": task("t1"), "t1": task("t2", "t0")}, ["2 tasks depend on each other", "'t0' -> 't1'"]),
        (ring(WIDTH), [f"{WIDTH} tasks depend on each other", "'t0' -> 't1'"]),
        ({"alpha": task(), "b": task("alpah")}, ["'alpah', which does not exist", "did you mean 'alpha'?"]),
    ],
    ids=["of one", "of two", "the shortest", "of many", "unknown"],
)
def test_dependencies_that_cannot_be_are_told_before_anything_runs(weft: Weft, tasks: Tasks, words: list[str]) -> None:
    weft.plan(tasks)
    ended = weft("run", "plan.json")
    assert ended.returncode == 2, ended.stderr[:2000]
    assert ended.stdout == "" and not (weft.folder / ".weft").exists()
    for part in words:
        assert part in ended.stderr, ended.stderr[:2000]


def test_an_empty_plan_and_one_that_is_done_are_ok(weft: Weft) -> None:
    weft.plan({}, name="empty.json")
    assert weft("run", "empty.json").returncode == 0
    weft.plan({"a": {"shell": "echo x > out", "outputs": ["out"]}})
    assert weft("run", "plan.json").returncode == 0
    again = weft("run", "plan.json")
    assert again.returncode == 0
    assert weft.states() == {"a": ("ok", "cached")}


# --- F2 ------------------------------------------------------------------------------------------------------------------


MEASURE = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)
"""


def peak_of(weft: Weft, *words: str) -> tuple[int, int]:
    """Exit code and peak memory, in bytes, of a command. Its parent is small: a child's peak begins at that of its parent."""
    measured = run_in(weft, [sys.executable, "-I", "-S", "-c", MEASURE, *weft.command(*words)])
    code, peak = measured.stdout.splitlines()[-1].split()
    return int(code), int(peak)


def count(weft: Weft, rows: str) -> int:
    connection = sqlite3.connect(weft.folder / ".weft" / "weft.db")
    try:
        return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])
    finally:
        connection.close()


def fan() -> Tasks:
    middle = [f"t{number}" for number in range(WIDTH)]
    return {"first": task(), **{name: task("first") for name in middle}, "last": task(*middle)}


def complete() -> Tasks:
    upper = [f"a{number}" for number in range(1000)]
    return {**{name: task() for name in upper}, **{f"b{number}": task(*upper) for number in range(1000)}}


@pytest.mark.parametrize("tasks", [fan, complete], ids=["fan out and in", "complete, a million edges"])
def test_wide_graphs_run_in_little_memory(weft: Weft, tasks: Callable[[], Tasks]) -> None:
    weft.plan(tasks())
    code, peak = peak_of(weft, "run", "plan.json", "--executor", "noop", "--output", "quiet")
    assert code == 0
    assert peak < 400 << 20


def test_a_skip_of_a_hundred_thousand_is_one_batch(weft: Weft) -> None:
    weft.plan({"bad": {"command": ["false"]}, **{f"t{number}": task("bad") for number in range(WIDTH)}})
    code, peak = peak_of(weft, "run", "plan.json", "--output", "quiet")
    assert code == 1
    assert peak < 400 << 20
    assert count(weft, "facts") < 10, "own, start, its end with all that follows from it, the end"
    assert count(weft, "tasks WHERE cause = 'dependency:bad'") == WIDTH


# --- F5 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("deep.json", b'{"weft": 1, "tasks": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nests deeper"),
        ("deep.yaml", b"weft: 1\ntasks: " + b"[" * 100_000 + b"]" * 100_000 + b"\n", "nests deeper"),
        ("wide.json", '{"weft": 1, "tasks": {}}'.encode("utf-16"), "UTF-16"),
        ("more.json", b'{"weft": 1, "tasks": {}} x', "text after its end"),
        ("long.json", b'{"weft": 1, "tasks": {"a": {"timeout": ' + b"9" * 5000 + b"}}}", "too long"),
        ("huge.json", None, "2147483648 bytes"),
    ],
    ids=["deep JSON", "deep YAML", "UTF-16", "text behind", "long number", "2 GiB"],
)
def test_documents_without_measure_are_refused_in_little_memory(
    weft: Weft, name: str, content: bytes | None, words: str
) -> None:
    if content is None:
        with open(weft.folder / name, "wb") as file:
            file.truncate(2 << 30)  # sparse: it takes no room
    else:
        (weft.folder / name).write_bytes(content)
    ended = weft("run", name)
    assert ended.returncode == 2 and words in ended.stderr, ended.stderr[:2000]
    code, peak = peak_of(weft, "run", name, "--output", "quiet")
    assert code == 2
    assert peak < 128 << 20


# --- G1, G5 --------------------------------------------------------------------------------------------------------------


def test_of_twenty_starts_at_once_one_runs_and_nineteen_are_told(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    weft.plan({"one": {"shell": door.script(tmp_path / "ledger")}})
    starts = [weft.start("run", "plan.json") for _ in range(20)]
    door.wait_for("one")
    codes = []
    while len(codes) < 19:
        pid, status = os.waitpid(-1, 0)
        ended = next(process for process in starts if process.pid == pid)
        ended.returncode = os.waitstatus_to_exitcode(status)
        codes.append(ended.returncode)
    assert codes == [4] * 19
    said = (tmp_path / "err").read_text()
    assert said.count("weft cancel") == 19 and "--wait" not in said
    door.let_on()
    assert [process.wait(LIMIT_SECONDS) for process in starts if process.returncode is None] == [0]
    assert [what for what, *_ in read_ledger(tmp_path / "ledger")] == ["begin", "end"]


def test_readers_do_not_hold_a_run_up_and_see_it_grow(weft: Weft) -> None:
    weft.plan({f"t{number}": task() for number in range(1500)})
    engine = weft.start("run", "plan.json", "-j", "2", "--output", "quiet")
    look = 'while kill -0 "$0" 2>/dev/null; do "$@" status --output json; echo; done'
    readers = [
        subprocess.Popen(
            ["/bin/sh", "-c", look, str(engine.pid), *weft.command()],
            cwd=weft.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert engine.wait(LIMIT_SECONDS) == 0
    for reader in readers:
        out, _ = reader.communicate(timeout=LIMIT_SECONDS)
        answers = [json.loads(line) for line in out.splitlines() if line]
        grown = [answer["tasks"] for answer in answers if "tasks" in answer]
        # Whoever looked before the run was recorded was told so; nothing else may go wrong.
        other = [answer["errors"] for answer in answers if "tasks" not in answer]
        assert {error["code"] for errors in other for error in errors} <= {"store"}, other
        counts = [sum(one["state"] == "ok" for one in tasks.values()) for tasks in grown]
        assert counts == sorted(counts)
    log = weft.folder / ".weft" / "weft.db-wal"
    assert not log.exists() or log.stat().st_size <= 64 << 20, "it is begun anew however many look"
    assert set(weft.states().values()) == {("ok", None)}


def test_a_reader_that_leaves_does_not_take_the_log_of_changes_away(weft: Weft, door: Doorway, tmp_path: Path) -> None:
    """A cancel is read over a second connection of the engine; its end must not cost the first one its locks."""
    ledger = tmp_path / "ledger"
    weft.plan({"one": {"shell": door.script(ledger)}, "two": {"shell": door.script(ledger)}, "three": task("one")})
    engine = weft.start("run", "plan.json", "-j", "2")
    door.wait_for("one", "two")
    assert weft("cancel", "last", "two").returncode == 0
    for _ in range(3):
        assert weft("status").returncode == 0
        assert (tmp_path / ".weft" / "weft.db-wal").exists()
    kill(engine)
    door.let_on(2)
    assert weft("resume").returncode in (0, 1)
    assert weft.states()["three"] == ("ok", None)


# --- J7 ------------------------------------------------------------------------------------------------------------------


def test_a_secret_of_the_environment_is_nowhere_but_in_the_tasks_own_log(weft: Weft) -> None:
    canary = "Canary7781"
    weft.plan(
        {
            "prints": {"shell": "echo $API_TOKEN; exit 3", "environment": "e"},
            "raises": {"python": "import os\nraise ValueError('no ' + os.environ['API_TOKEN'])"},
            "alone": {
                "python": "import os\nraise ValueError('no ' + os.environ['API_TOKEN'])",
                "isolation": "process",
            },
            "missing": {"command": ["./nothing"], "environment": "e"},
        },
        environments={"e": {"variables": {"COPY_SECRET": {"expand": "x$API_TOKEN"}, "MORE": {"shell": "echo 1"}}}},
    )
    shown = []
    for words in (
        ("run", "plan.json"),
        ("run", "plan.json", "--output", "json"),
        ("plan", "plan.json"),
        ("compile", "plan.json"),
        ("graph", "plan.json"),
        ("status",),
        *(("show", name) for name in ("prints", "raises", "alone", "missing")),
        *(("logs", name) for name in ("prints", "raises", "alone")),
        ("explain", "raises"),
        ("usage",),
        ("doctor",),
    ):
        ended = weft(*words, API_TOKEN=canary)
        assert "Traceback" not in ended.stderr.replace('Traceback (most recent call last):\n  File "<', "")
        shown.append(f"{words}: {ended.stdout}{ended.stderr}")
    assert [text for text in shown if canary in text] == []
    hits = []
    for folder, _, files in os.walk(weft.folder / ".weft"):
        hits += [Path(folder, name) for name in files if canary.encode() in Path(folder, name).read_bytes()]
    assert {path.parts[path.parts.index(".weft") + 1] for path in hits} == {"logs"}, hits
    assert processes_with(canary) == []
