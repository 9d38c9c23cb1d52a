"""Commands that read what other commands write, while they write it: real processes, real pipes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from support.weft_process import Doorway
from weft.errors import PlanError

FEED = [{"name": "a", "as": "stdin"}]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[dict[str, Any]], weft.Plan]:
    def make(tasks: dict[str, Any]) -> weft.Plan:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
        return weft.load(str(path))

    return make


Load = Callable[[dict[str, Any]], weft.Plan]


def made(script: str, **more: Any) -> dict[str, Any]:
    return {"shell": script, "product": "stdout", "stream": True, **more}


def read(script: str, **more: Any) -> dict[str, Any]:
    return {"shell": script, "dependencies": FEED, "product": "stdout", **more}


def test_a_consumer_gets_bytes_while_they_are_made(load: Load, tmp_path: Path) -> None:
    # The maker ends only after the consumer has seen its first line.
    os.mkfifo(tmp_path / "door")
    run = load(
        {
            "a": made(f"echo first; read line < {tmp_path}/door; echo $line"),
            "b": read(f"read line; echo got $line; echo second > {tmp_path}/door; cat"),
        }
    ).run(jobs=2)
    assert (run.state, run["b"].product) == ("ok", "got first\nsecond")
    assert run["a"].product == "first\nsecond"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("jobs", [1, 2])
def test_every_byte_arrives_and_nothing_else(load: Load, stream: bool, jobs: int) -> None:
    script = f"{sys.executable} -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 20000)'"
    run = load({"a": {**made(script), "stream": stream}, "b": read("sha256sum"), "c": read("wc -c")}).run(jobs=jobs)
    assert run["c"].product == str(256 * 20000)
    digest = subprocess.run(f"{script} | sha256sum", shell=True, stdout=subprocess.PIPE, check=True).stdout
    assert run["b"].product == digest.decode().rstrip("\n")


def test_the_last_line_end_is_there_or_not_as_it_was_written(load: Load) -> None:
    for written, count in (("printf x", "1"), ("printf 'x\\n'", "2"), ("true", "0")):
        for stream in (True, False):
            run = load({"a": {**made(written), "stream": stream}, "b": read("wc -c")}).run()
            assert run["b"].product == count


def test_a_consumer_that_stops_early_is_ok_and_its_maker_goes_on(load: Load) -> None:
    run = load({"a": made("seq 200000"), "b": read("head -n 1"), "c": read("wc -l")}).run(jobs=3)
    assert (run.state, run["b"].product, run["c"].product) == ("ok", "1", "200000")


def test_chains_of_commands_run_at_once(load: Load) -> None:
    tasks = {
        "a": made("seq 1000"),
        "b": {**made("while read n; do echo $((n * 2)); done"), "dependencies": FEED},
        "c": {**read("tail -n 1"), "dependencies": [{"name": "b", "as": "stdin"}]},
    }
    run = load(tasks).run(jobs=3)
    assert (run.state, run["c"].product) == ("ok", "2000")


def test_a_maker_that_fails_ends_its_consumer_as_skipped(load: Load) -> None:
    run = load({"a": made("echo x; exit 3"), "b": read("cat"), "after": {"shell": "true", "dependencies": ["b"]}}).run(
        jobs=2
    )
    assert (run["a"].state, run["a"].cause) == ("failed", "exit:3")
    assert (run["b"].state, run["b"].cause) == ("skipped", "dependency:a")
    assert (run["after"].state, run["after"].cause) == ("skipped", "dependency:a")


def test_a_consumer_begins_again_with_the_second_attempt_of_its_maker(load: Load, tmp_path: Path) -> None:
    # The first attempt fails once its consumer has read something of it.
    os.mkfifo(tmp_path / "door")
    script = f"if mkdir {tmp_path}/tried; then echo wrong; read line < {tmp_path}/door; exit 1; fi; echo right"
    consumer = f"read line; [ $line = right ] || echo > {tmp_path}/door; echo $line; cat"
    run = load({"a": made(script, max_attempts=2), "b": read(consumer)}).run(jobs=2)
    assert (run.state, run["b"].product) == ("ok", "right")
    states = [(row.state, row.cause, row.charged) for row in run["b"].attempts]
    assert states == [("lost", "lost", False), ("ok", None, True)]
    assert len(run["a"].attempts) == 2


def test_a_consumer_that_fails_reads_everything_again(load: Load, tmp_path: Path) -> None:
    consumer = f"if mkdir {tmp_path}/tried; then head -c 5 > /dev/null; exit 1; fi; wc -l"
    run = load({"a": made("seq 5000"), "b": read(consumer, max_attempts=2)}).run(jobs=2)
    assert (run.state, run["b"].product) == ("ok", "5000")


def test_two_commands_read_the_same_output(load: Load) -> None:
    run = load({"a": made("seq 3000"), "b": read("head -n 2"), "c": read("tail -n 1")}).run(jobs=3)
    assert (run["b"].product, run["c"].product) == ("1\n2", "3000")


def test_the_product_of_a_run_before_is_read_as_well(load: Load) -> None:
    tasks = {"a": made("echo one", cache="always"), "b": read("cat; echo two")}
    assert load(tasks).run()["b"].product == "one\ntwo"
    again = load(tasks).run()
    assert (again["a"].cause, again["b"].product) == ("cached", "one\ntwo")


def test_what_was_made_of_a_stream_is_up_to_date_the_next_time(load: Load) -> None:
    tasks = {"a": made("seq 3", cache="always"), "b": read("cat > out.txt", outputs=["out.txt"], product="outputs")}
    assert load(tasks).run(jobs=2)["b"].cause is None
    again = load(tasks).run(jobs=2)
    assert (again["a"].cause, again["b"].cause) == ("cached", "cached")


def test_one_output_file_is_read_as_stdin(load: Load) -> None:
    tasks = {"a": {"shell": "echo content > made.txt", "outputs": ["made.txt"], "product": "outputs"}, "b": read("cat")}
    assert load(tasks).run()["b"].product == "content"


def test_what_cannot_be_read_as_stdin_is_refused_before_the_start(load: Load) -> None:
    mapped = {"command": ["echo", "{n}"], "product": "stdout", "foreach": {"values": [1, 2], "as": "n"}}
    with pytest.raises(PlanError, match="cannot take 'a' item by item"):
        load({"a": mapped, "b": read("cat")}).run()


def test_the_consumer_and_what_feeds_it_are_gone_after_a_cancel(load: Load, tmp_path: Path) -> None:
    door = Doorway(tmp_path)
    run = load({"a": made(f"echo x; {door.script(tmp_path / 'ledger', 'a')}"), "b": read("cat")}).start(jobs=2)
    door.wait_for("a")
    run.cancel()
    run.wait()
    door.close()
    assert (run["a"].state, run["b"].state) == ("cancelled", "cancelled")


def test_a_stream_of_bytes_survives_the_death_of_the_engine(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    heard = os.open(begun, os.O_RDWR | os.O_NONBLOCK)
    tasks = {
        "a": made(f"echo first; read line < {gate}; echo second"),
        "b": read(f"read line; echo > {begun}; echo $line; cat"),
    }
    plan.write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    command = [sys.executable, "-m", "weft", "run", str(plan), "-j2", "--output", "quiet"]
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ready, _, _ = select.select([heard], [], [], 60)  # the consumer has read the first line
    os.close(heard)
    assert ready
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    resume = [sys.executable, "-m", "weft", "resume", "--state", str(tmp_path / ".weft"), "--output", "json"]
    resumed = subprocess.Popen(resume, stdout=subprocess.PIPE, cwd=tmp_path)
    assert resumed.stdout is not None
    resumed.stdout.readline()  # it has taken over
    opened = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)  # the maker waits there
    os.write(opened, b"go\n")
    os.close(opened)
    lines = [json.loads(line) for line in resumed.communicate(timeout=60)[0].splitlines()]
    ended = lines[-1]["tasks"]
    assert (ended["a"]["state"], ended["b"]["state"]) == ("ok", "ok")
    assert ended["b"]["attempts"] == 1
    show = [sys.executable, "-m", "weft", "show", "b", "--product", "--state", str(tmp_path / ".weft")]
    assert subprocess.run(show, stdout=subprocess.PIPE, check=True, timeout=60).stdout == b"first\nsecond"
