"""What a real inspector tells of attempts that begin, and what the next engine's one makes of it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from weft.files.inspector import FileInspector, History
from weft.ports import BegunRow, ResultRow
from weft.scheduling.keys import WHOLE
from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.requirements import FileNeed, FolderNeed, Requirements
from weft.spec.tasks import Foreach, Policy, Task

LIMIT = 30.0
LONG_AGO = 1_000_000_000

COPY = Task("copy", Command(("cp", "in", "out")), requires=Requirements(files=(FileNeed("in"),)), outputs=("out",))
EACH = Task(
    "each",
    Command(("cp", "{file}", "{file}.out")),
    requires=Requirements(folders=(FolderNeed("folder", source=True),)),
    outputs=("{file}.out",),
    policy=Policy(foreach=Foreach(files=True, bind="file")),
)


class Inspectors:
    """One for each engine that the run has. results: what earlier runs left."""

    def __init__(self, root: Path):
        self.root = root
        self.results: dict[tuple[str, str], ResultRow] = {}
        self.opened: list[FileInspector] = []

    def of(self, task: Task, *, is_caching: bool = True) -> FileInspector:
        plan = Plan(Graph((task,)), str(self.root), key="plan")
        history = History(lambda: self.results, dict)
        state = str(self.root / ".weft")
        self.opened.append(FileInspector(plan, state, history, "run", is_caching=is_caching, plan_digest="ab"))
        return self.opened[-1]

    def write(self, name: str, text: str, seconds: int = LONG_AGO) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (seconds, seconds))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Inspectors]:
    made = Inspectors(tmp_path)
    yield made
    for inspector in made.opened:
        inspector.close()


def look(inspector: FileInspector, instances: Sequence[int] | None = None) -> list[BegunRow]:
    """What is told before the answer is there."""
    inspector.ask(0, False, instances)
    assert select.select(inspector.bells(), [], [], LIMIT)[0]
    (answer,) = inspector.answers()
    assert answer.unmet is None
    return list(inspector.begun())


def kept(inspector: FileInspector) -> list[ResultRow]:
    inspector.drain(LIMIT)
    return list(inspector.take()[0])


def test_what_an_attempt_was_begun_with_is_told_before_it_starts_and_until_it_is_remembered(world: Inspectors) -> None:
    world.write("in", "old")
    inspector = world.of(COPY)
    (row,) = look(inspector)
    assert (row.task, row.instance, row.is_over) == (0, WHOLE, False)
    assert row.fingerprint and "inputs:in" in row.parts
    world.write("out", "old")
    assert inspector.finished(0, WHOLE) is None
    (result,) = kept(inspector)
    assert (result.fingerprint, result.parts, result.plan) == (row.fingerprint, row.parts, "ab")
    assert [(over.task, over.is_over) for over in inspector.begun()] == [(0, True)]


def test_the_next_engine_remembers_an_attempt_under_what_it_was_begun_with(world: Inspectors) -> None:
    world.write("in", "old")
    (row,) = look(world.of(COPY))
    world.write("in", "newer")
    world.write("out", "old")
    inspector = world.of(COPY)
    inspector.recover_begun([row])
    assert inspector.finished(0, WHOLE) is None
    (result,) = kept(inspector)
    assert (result.fingerprint, result.parts) == (row.fingerprint, row.parts)
    assert result.plan == "", "that the plan is still the same is not known"


def test_without_its_row_an_attempt_of_an_earlier_engine_is_not_remembered(world: Inspectors) -> None:
    world.write("in", "old")
    world.write("out", "old")
    inspector = world.of(COPY)
    assert inspector.finished(0, WHOLE) is None
    assert kept(inspector) == []


@pytest.mark.parametrize(("written", "is_kept"), [(LONG_AGO, True), (LONG_AGO + 10, False)])
def test_work_that_was_done_and_not_remembered_is_remembered_unless_somebody_wrote_later(
    world: Inspectors, written: int, is_kept: bool
) -> None:
    world.write("in", "old")
    (row,) = look(world.of(COPY))
    world.write("out", "old", written)
    inspector = world.of(COPY)
    inspector.recover_begun([row._replace(ended=float(LONG_AGO))])
    assert [result.fingerprint for result in kept(inspector)] == [row.fingerprint] * is_kept
    assert [over.is_over for over in inspector.begun()] == [True]


def test_an_engine_that_remembers_nothing_ends_what_it_does_not_follow(world: Inspectors) -> None:
    world.write("in", "old")
    (row,) = look(world.of(COPY))
    inspector = world.of(COPY, is_caching=False)
    inspector.recover_begun([row])
    assert [(over.task, over.is_over) for over in inspector.begun()] == [(0, True)]
    world.write("out", "old")
    assert inspector.finished(0, WHOLE) is None
    assert kept(inspector) == []


def test_a_look_for_one_instance_does_not_change_what_the_others_were_begun_with(world: Inspectors) -> None:
    world.write("folder/a", "a")
    world.write("folder/b", "b")
    inspector = world.of(EACH)
    first = {row.instance: row for row in look(inspector)}
    assert sorted(first) == [WHOLE, 0, 1]
    world.write("folder/a", "newer a")
    world.write("folder/b", "newer b")
    (again,) = look(inspector, [1])
    assert (again.instance, again.own != first[1].own) == (1, True)
    for name in ("a", "b"):
        world.write(f"folder/{name}.out", name)
    for instance in (0, 1):
        assert inspector.finished(0, instance) is None
    parts = {result.instance: result.parts for result in kept(inspector)}
    assert first[0].own is not None and again.own is not None
    assert parts["folder/a"]["inputs:folder/a"] == first[0].own[1], "its attempt was under way"
    assert parts["folder/b"]["inputs:folder/b"] == again.own[1]


def test_instances_of_an_earlier_engine_are_remembered_although_nobody_has_looked(world: Inspectors) -> None:
    world.write("folder/a", "a")
    world.write("folder/b", "b")
    rows = look(world.of(EACH))
    world.write("folder/b", "newer b")
    world.write("folder/b.out", "b")
    inspector = world.of(EACH)
    inspector.recover_items(0, ["folder/a", "folder/b"])
    inspector.recover_begun(rows)
    assert inspector.finished(0, 1) is None
    (result,) = kept(inspector)
    own = next(row.own for row in rows if row.instance == 1)
    assert own is not None
    assert (result.instance, result.parts["inputs:folder/b"]) == ("folder/b", own[1])
