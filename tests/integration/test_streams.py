"""Streams between Python tasks: real workers, item by item, while they are made."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.runtime import lingering
from weft.spec.actions import Call
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach
from weft.spec.retries import Retries
from weft.spec.tasks import Dependency, Policy, Task
from weft.testing import run_here

SOURCE = '''
import os, pathlib

def rows(count, folder=None):
    for number in range(count):
        if folder:
            pathlib.Path(folder, "made").write_text(str(number + 1))
        yield {"n": number}

def doubled(rows):
    for row in rows:
        yield {"n": row["n"] * 2}

def total(rows):
    return sum(row["n"] for row in rows)

def first(rows):
    return next(rows)["n"]

def one(row):
    return row["n"] * 10

def picky(row, folder):
    if row["n"] == 2 and not os.path.exists(folder + "/tried"):
        os.mkdir(folder + "/tried")
        raise ValueError("not this one, not now")
    return row["n"]

def broken(count):
    yield from ({"n": number} for number in range(count))
    raise ValueError("no more")

def once_broken(folder):
    yield {"n": 1}
    yield {"n": 2}
    if not os.path.exists(folder + "/tried"):
        pathlib.Path(folder, "door").read_text()
        os.mkdir(folder + "/tried")
        raise ValueError("again")
    yield {"n": 3}

def patient(rows, folder):
    found = [next(rows)["n"]]
    if not os.path.exists(folder + "/tried"):
        pathlib.Path(folder, "door").write_text("go")
    return found + [row["n"] for row in rows]

def slow_first(rows, folder):
    """How many items there are when one has been taken and the maker has had all the time it wants."""
    first = next(rows)
    door = pathlib.Path(folder, "door").read_text()
    return int(pathlib.Path(folder, "made").read_text())

def zipped(left, right):
    return [(one["n"], two["n"]) for one, two in zip(left, right)]

def swallows(rows):
    try:
        return list(rows)
    except Exception:
        return "swallowed"

async def drops(count):
    for number in range(count):
        yield {"n": number}

async def gathers(rows):
    return [row["n"] async for row in rows]

def behind_a_door(folder):
    yield {"n": 1}
    pathlib.Path(folder, "begun").write_text("x")
    pathlib.Path(folder, "door").read_text()
    yield {"n": 2}

def text_rows():
    yield 1
    yield "two"
'''


class Builder:
    """Plans of functions of the module. `takes`: parameter -> maker; `each`: the parameter that gets an item."""

    def __init__(self, folder: Path):
        (folder / "module.py").write_text(SOURCE, encoding="utf-8")
        self.folder = folder

    def task(
        self,
        name: str,
        function: str | None = None,
        *,
        stream: bool = False,
        takes: dict[str, str] | None = None,
        each: tuple[str, str] | None = None,
        attempts: int = 1,
        item: str = "any",
        **parameters: Any,
    ) -> Task:
        edges = [Dependency(maker, bind) for bind, maker in (takes or {}).items()]
        foreach = None
        if each is not None:
            edges.append(Dependency(each[1], each[0], each=True))
            foreach = Foreach(stream=each[1], bind=each[0])
        policy = Policy(
            product=Product("return", item, stream), foreach=foreach, retries=Retries(max_attempts=attempts)
        )
        action = Call(f"{self.folder}/module.py:{function or name}")
        return Task(name, action, dependencies=tuple(edges), parameters=parameters, policy=policy)

    def plan(self, *tasks: Task) -> weft.Plan:
        return weft.Plan(Plan(Graph(tasks), str(self.folder), key="streams"))

    def run(self, *tasks: Task, jobs: int = 4) -> weft.Run:
        return self.plan(*tasks).run(jobs=jobs)


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def fifo(path: Path) -> int:
    """A descriptor that hears what is written to a new FIFO."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def hear(descriptor: int) -> None:
    """Until something is written, at most a minute."""
    ready, _, _ = select.select([descriptor], [], [], 60)
    os.close(descriptor)
    assert ready, "nobody wrote"


def open_door(path: Path) -> None:
    """Let on who waits there, or will."""
    door = threading.Thread(target=path.write_text, args=("go",), daemon=True)  # opening it waits for a reader
    door.start()
    door.join(60)
    if door.is_alive():
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # for the thread's sake
        pytest.fail("nobody came to the door")


def states(run: weft.Run, names: Sequence[str]) -> list[tuple[str, str | None]]:
    return [(run[name].state, run[name].cause) for name in names]


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_chain_of_streams_hands_everything_on(build: Builder, jobs: int) -> None:
    run = build.run(
        build.task("rows", stream=True, count=3_000),
        build.task("doubled", stream=True, takes={"rows": "rows"}),
        build.task("total", takes={"rows": "doubled"}),
        jobs=jobs,
    )
    assert run["total"].product == 2_999 * 3_000
    assert run["rows"].product == [{"n": number} for number in range(3_000)]


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_item_is_a_call(build: Builder, jobs: int) -> None:
    run = build.run(build.task("rows", stream=True, count=40), build.task("one", each=("row", "rows")), jobs=jobs)
    assert run["one"].product == [number * 10 for number in range(40)]


def test_a_hundred_thousand_items_go_through_two_stages(build: Builder) -> None:
    run = build.run(
        build.task("rows", stream=True, count=100_000),
        build.task("doubled", stream=True, takes={"rows": "rows"}),
        build.task("total", takes={"rows": "doubled"}),
    )
    assert run["total"].product == 99_999 * 100_000
    edges = {(edge["from"], edge["to"]): edge["items"] for edge in run.snapshot()["edges"]}
    assert edges == {("rows", "doubled"): 100_000, ("doubled", "total"): 100_000}


def test_a_slow_consumer_holds_a_fast_maker_back_by_items(build: Builder) -> None:
    door = build.folder / "door"
    os.mkfifo(door)
    plan = build.plan(
        build.task("rows", stream=True, count=4_000, folder=str(build.folder)),
        build.task("slow_first", takes={"rows": "rows"}, folder=str(build.folder)),
    )
    run = plan.start(jobs=2)

    async def until_it_stands_still() -> None:
        seen = -1
        while True:
            made = run.snapshot()["tasks"]["rows"]["done"]
            if made == seen and made >= 1_000:
                return
            seen = made
            await asyncio.sleep(0.3)

    asyncio.run(asyncio.wait_for(until_it_stands_still(), 60))
    open_door(door)
    run.wait()
    assert run.state == "ok"
    # The window, and what was made while the consumer's worker was still starting and held nobody back.
    assert run["slow_first"].product <= 2_000


def test_two_streams_are_zipped(build: Builder) -> None:
    run = build.run(
        build.task("left", "rows", stream=True, count=5_000),
        build.task("right", "rows", stream=True, count=3_000),
        build.task("zipped", takes={"left": "left", "right": "right"}),
    )
    assert run["zipped"].product == [(number, number) for number in range(3_000)]


def test_a_consumer_that_stops_early_is_ok(build: Builder) -> None:
    run = build.run(build.task("rows", stream=True, count=20_000), build.task("first", takes={"rows": "rows"}), jobs=2)
    assert (run.state, run["first"].product, len(run["rows"].product)) == ("ok", 0, 20_000)


def test_an_endless_generator_is_ended_once_nobody_takes_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "LINGER_SECONDS", 0.2)
    registry = weft.Registry()

    @registry.task
    def numbers() -> Iterator[int]:
        yield from itertools.count()

    @registry.task(deps=["numbers"])
    def first(numbers: Iterator[int], count: int = 3) -> list[int]:
        if count == 5:
            raise ValueError("no")
        return list(itertools.islice(numbers, count))

    def run(count: int) -> weft.Run:
        with pytest.warns(weft.WeftWarning, match="'numbers' is ended after"):
            return registry.invoke("first", {"first.count": count}).run(state=str(tmp_path / "state"), jobs=2)

    for _ in range(2):  # what took half a stream is not kept: nobody knows what that was
        enough = run(3)
        assert (enough.state, enough["first"].product, enough["first"].cause) == ("ok", [0, 1, 2], None)
        assert (enough["numbers"].state, enough["numbers"].cause) == ("ok", None)
        with pytest.raises(LookupError, match="has made no product"):
            _ = enough["numbers"].product
    failed = run(5)
    assert states(failed, ["numbers", "first"]) == [("cancelled", "interrupted"), ("failed", "exception")]


def test_a_maker_that_fails_skips_its_consumers_and_keeps_what_is_done(build: Builder) -> None:
    run = build.run(
        build.task("broken", stream=True, count=3),
        build.task("total", takes={"rows": "broken"}),
        build.task("swallows", takes={"rows": "broken"}),
        build.task("one", each=("row", "broken")),
        build.task("after", "total", takes={"rows": "total"}),
    )
    skipped = ("skipped", "dependency:broken")
    assert states(run, ["broken", "total", "swallows", "one", "after"]) == [("failed", "exception"), *[skipped] * 4]


def test_an_instance_that_fails_is_tried_again_alone(build: Builder) -> None:
    run = build.run(
        build.task("rows", stream=True, count=5),
        build.task("picky", each=("row", "rows"), attempts=2, folder=str(build.folder)),
    )
    assert run["picky"].product == [0, 1, 2, 3, 4]
    attempts = sorted((row.key.instance, row.key.attempt) for row in run["picky"].attempts)
    assert attempts == [(0, 1), (1, 1), (2, 1), (2, 2), (3, 1), (4, 1)]
    assert len(run["rows"].attempts) == 1


def test_a_maker_is_tried_again_under_its_live_consumer(build: Builder) -> None:
    os.mkfifo(build.folder / "door")
    run = build.run(
        build.task("once_broken", stream=True, attempts=2, folder=str(build.folder)),
        build.task("patient", takes={"rows": "once_broken"}, folder=str(build.folder)),
    )
    assert run["patient"].product == [1, 2, 3]
    assert (len(run["once_broken"].attempts), len(run["patient"].attempts)) == (2, 1)


def test_asynchronous_generators_and_consumers(build: Builder) -> None:
    run = build.run(build.task("drops", stream=True, count=500), build.task("gathers", takes={"rows": "drops"}))
    assert run["gathers"].product == list(range(500))


def test_an_item_of_another_type_is_named(build: Builder) -> None:
    run = build.run(build.task("text_rows", stream=True, item="int"), jobs=1)
    assert states(run, ["text_rows"]) == [("failed", "type")]
    detail = run["text_rows"].attempts[0].detail or ""
    assert "item 1" in detail


def test_a_stream_survives_the_death_of_the_engine(build: Builder) -> None:
    folder = build.folder
    os.mkfifo(folder / "door")
    begun = fifo(folder / "begun")
    tasks = {
        "behind_a_door": {
            "function": "module.py:behind_a_door",
            "parameters": {"folder": str(folder)},
            "product": "return",
            "stream": True,
        },
        "one": {
            "function": "module.py:one",
            "dependencies": [{"name": "behind_a_door", "as": "row", "each": True}],
            "foreach": {"stream": "behind_a_door", "as": "row"},
        },
        "total": {"function": "module.py:total", "dependencies": [{"name": "behind_a_door", "as": "rows"}]},
    }
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    command = [sys.executable, "-m", "weft", "run", str(plan), "-j4", "--output", "quiet"]
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    hear(begun)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    resume = [sys.executable, "-m", "weft", "resume", "--state", str(folder / ".weft"), "--output", "json"]
    resumed = subprocess.Popen(resume, stdout=subprocess.PIPE, cwd=folder)
    assert resumed.stdout is not None
    resumed.stdout.readline()
    open_door(folder / "door")
    lines = [json.loads(line) for line in resumed.communicate(timeout=60)[0].splitlines()]
    ended = lines[-1]["tasks"]
    assert {name: entry["state"] for name, entry in ended.items()} == dict.fromkeys(tasks, "ok")
    show = [sys.executable, "-m", "weft", "show", "total", "--product", "--state", str(folder / ".weft")]
    assert subprocess.run(show, stdout=subprocess.PIPE, check=True, timeout=60).stdout.strip() == b"3"


REGISTRY = """
import weft

registry = weft.Registry()

def note(word):
    with open("calls", "a") as file:
        file.write(word + "\\n")

@registry.task(product=weft.stream_of("int"), options={"numbers": weft.Option("list")})
def rows(numbers):
    yield from numbers

@registry.task(product="int", deps=[weft.each("rows")])
def square(rows):
    note("square %d" % rows)
    return rows * rows

@registry.task(product="int", deps=["rows"])
def total(rows):
    note("total")
    return sum(rows)
"""


def test_one_new_item_computes_one_item_and_nothing_new_computes_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipe.py").write_text(REGISTRY, encoding="utf-8")
    calls = tmp_path / "calls"

    def run(numbers: list[int]) -> tuple[list[str], dict[str, Any]]:
        calls.write_text("")
        command = [sys.executable, "-m", "weft", "run", "pipe.py", "-j3", "--output", "json"]
        command += ["-o", f"rows.numbers={json.dumps(numbers)}"]
        done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, check=True, timeout=60)
        return sorted(calls.read_text().splitlines()), json.loads(done.stdout.splitlines()[-1])["tasks"]

    assert run([3, 1, 2])[0] == ["square 1", "square 2", "square 3", "total"]
    again, tasks = run([3, 1, 2])
    assert again == []
    assert {name: entry["cause"] for name, entry in tasks.items()} == dict.fromkeys(
        ("rows", "square", "total"), "cached"
    )
    assert run([3, 5, 1, 2])[0] == ["square 5", "total"]  # in the middle: by content, not by place


def test_a_stream_that_finished_work_stands_in_for_counts_as_one_that_is_done(tmp_path: Path) -> None:
    def rows(count: int) -> Iterator[int]:
        yield from range(count)

    def total(rows: Iterator[int]) -> int:
        return sum(rows)

    def run() -> weft.Run:
        registry = weft.Registry()
        registry.task(rows)
        registry.task(total, deps=["rows"])
        return registry.invoke("total", {"rows.count": 7}).run(state=str(tmp_path / "state"))

    assert run().snapshot()["tasks"]["rows"] == {"state": "ok", "done": 7, "total": 7}
    again = run()
    assert again["rows"].cause == "cached"
    shown = again.snapshot()
    assert shown["tasks"]["rows"] == {"state": "ok", "done": 7, "total": 7}
    assert [(edge["items"], edge["seconds_left"]) for edge in shown["edges"]] == [(7, 0.0)]


def test_a_stream_is_gathered_by_its_items_alone_and_among_others(tmp_path: Path) -> None:
    registry = weft.Registry()

    @registry.task
    def rows() -> Iterator[tuple[int, str]]:
        yield 1, "a"
        yield 2, "b"

    registry.task(lambda row: row[0], name="first", deps=[weft.each("rows", as_="row")])
    registry.task(lambda all: all, name="alone", deps=[weft.gather("rows")])
    registry.task(lambda all: all, name="among", deps=[weft.gather("rows", "first", "alone")])
    plan = registry.invoke("among")
    for _ in ("made", "cached"):
        run = plan.run(state=str(tmp_path / "state"), jobs=2)
        assert run["alone"].product == [(1, "a"), (2, "b")]
        assert run["among"].product == [(1, "a"), (2, "b"), 1, 2, [(1, "a"), (2, "b")]]
    assert run_here(registry, "among")["among"] == run["among"].product
