"""What stats alone tell: with a sheet of the last run, without one, with one that does not count. The answers are the same."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from weft.files import glances, sheets
from weft.files.given import NoProducts
from weft.files.inspector import FileInspector, History
from weft.ports import FileRow, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.keys import WHOLE
from weft.spec.actions import Command, Script
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import FileNeed, Requirements
from weft.spec.tasks import Dependency, Policy, Task

LIMIT = 20.0
LONG_AGO = 1_000_000_000
PLAN = "ab" * 16


class Handed(NoProducts):
    """Every task that has a product has made the same one."""

    def digest(self, task: int, instance: int = WHOLE) -> str:
        return "ef" * 16


def asked() -> NoReturn:
    raise AssertionError("nothing that is recorded has to be read")


class World:
    """A root folder, what its runs remember, and how often they had to read it."""

    def __init__(self, root: Path):
        self.root = root
        self.results: dict[tuple[str, str], ResultRow] = {}
        self.files: dict[str, FileRow] = {}
        self.version = 0
        self.opened: list[FileInspector] = []

    def write(self, name: str, text: str = "", seconds: int = LONG_AGO) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (seconds, seconds))

    def inspector(
        self,
        tasks: tuple[Task, ...],
        *,
        plan_digest: str = PLAN,
        has_token: bool = True,
        results: Callable[[], Mapping[tuple[str, str], ResultRow]] | None = None,
        files: Callable[[], Mapping[str, FileRow]] | None = None,
    ) -> FileInspector:
        plan = Plan(Graph(tasks), str(self.root), key="plan")
        history = History(
            results or (lambda: self.results),
            files or (lambda: self.files),
            token=(lambda: str(self.version)) if has_token else None,
        )
        products = Handed() if any(task.policy.product is not None for task in tasks) else None
        found = FileInspector(plan, str(self.root / ".weft"), history, "run", products, plan_digest=plan_digest)
        self.opened.append(found)
        return found

    def run(self, *tasks: Task, plan_digest: str = PLAN) -> dict[str, Inspected]:
        """Look at every task in plan order, make what is not up to date, remember all of it."""
        inspector = self.inspector(tasks, plan_digest=plan_digest)
        answers = {}
        for index, task in enumerate(tasks):
            answer = answers[task.name] = ask(inspector, index)
            if answer.unmet is None and not answer.fresh:
                for path in task.outputs:
                    if not (self.root / path).exists():
                        self.write(path, f"made by {task.name}")
                assert inspector.finished(index, WHOLE) is None
        inspector.drain(LIMIT)
        results, files = inspector.take()
        self.results.update({(row.name, row.instance): row for row in results})
        self.files.update({row.path: row for row in files})
        self.version += bool(results)
        inspector.close()
        return answers

    def sheet(self) -> Path:
        (path,) = (self.root / ".weft" / sheets.FOLDER).iterdir()
        return path

    def has_sheet(self) -> bool:
        return (self.root / ".weft" / sheets.FOLDER).exists()

    def fresh(self, *tasks: Task, **how: bool) -> list[bool]:
        inspector = self.inspector(tasks, **how)  # type: ignore[arg-type]
        return [ask(inspector, index).fresh for index in range(len(tasks))]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(glances, "WORTH_A_SHEET", 1)
    made = World(tmp_path)
    yield made
    for inspector in made.opened:
        inspector.close()


def ask(inspector: FileInspector, task: int) -> Inspected:
    inspector.ask(task, False)
    assert select.select(inspector.bells(), [], [], LIMIT)[0], "no answer in time"
    (answer,) = inspector.answers()
    return answer


def copy(name: str, source: str, target: str, after: tuple[str, ...] = (), policy: Policy | None = None) -> Task:
    needs = Requirements(files=(FileNeed(source),))
    edges = tuple(Dependency(other) for other in after)
    return Task(
        name, Command(("cp", source, target)), edges, requires=needs, outputs=(target,), policy=policy or Policy()
    )


CHAIN = (copy("a", "in/a", "out/a"), copy("b", "in/b", "out/b"), copy("c", "out/a", "out/c", ("a",)))


def settled(world: World, *tasks: Task) -> None:
    """Two runs: what is needed for a sheet."""
    for name in ("a", "b"):
        world.write(f"in/{name}", name)
    world.run(*tasks)
    assert not world.has_sheet()
    assert all(answer.fresh for answer in world.run(*tasks).values())


def test_the_third_run_reads_neither_results_nor_digests(world: World) -> None:
    settled(world, *CHAIN)
    by_results = [ask(world.inspector(CHAIN, has_token=False), index) for index in range(3)]
    inspector = world.inspector(CHAIN, results=asked, files=asked)
    assert [ask(inspector, index) for index in range(3)] == by_results
    assert all(answer.fresh and answer.fingerprint for answer in by_results)


def test_a_sheet_is_private(world: World) -> None:
    settled(world, *CHAIN)
    assert world.sheet().stat().st_mode & 0o077 == 0
    assert world.sheet().parent.stat().st_mode & 0o077 == 0


def touched(world: World, name: str) -> None:
    world.write(name, (world.root / name).read_text(), LONG_AGO + 5)


def changed(world: World, name: str) -> None:
    world.write(name, "else", LONG_AGO + 5)


def replaced(world: World, name: str) -> None:
    """The same name, size and time; another inode and content."""
    was = (world.root / name).read_text()
    world.write(f"{name}.new", "x" * len(was))
    (world.root / f"{name}.new").replace(world.root / name)


def gone(world: World, name: str) -> None:
    (world.root / name).unlink()


def made_a_folder(world: World, name: str) -> None:
    gone(world, name)
    (world.root / name).mkdir()


@pytest.mark.parametrize("change", [touched, changed, replaced, gone, made_a_folder])
@pytest.mark.parametrize("name", ["in/a", "in/b", "out/a", "out/b", "out/c"])
def test_whatever_has_changed_the_answers_are_those_without_a_sheet(
    world: World, change: Callable[[World, str], None], name: str
) -> None:
    settled(world, *CHAIN)
    change(world, name)
    assert world.fresh(*CHAIN) == world.fresh(*CHAIN, has_token=False)


def test_after_a_change_the_tasks_that_it_concerns_run_and_no_other(world: World) -> None:
    settled(world, *CHAIN)
    changed(world, "in/a")
    gone(world, "out/a")
    assert [name for name, answer in world.run(*CHAIN).items() if not answer.fresh] == ["a"], "c has an equal input"
    changed(world, "out/a")
    assert [name for name, answer in world.run(*CHAIN).items() if not answer.fresh] == ["a", "c"]


def test_a_follower_whose_files_are_as_they_were_is_looked_at_when_its_dependency_is_not_in_the_sheet(
    world: World,
) -> None:
    tasks = (CHAIN[0], copy("d", "in/b", "out/d", ("a",)))
    settled(world, *tasks)
    touched(world, "in/a")
    with pytest.raises(AssertionError, match="nothing that is recorded"):
        ask(world.inspector(tasks, results=asked), 0)
    inspector = world.inspector(tasks)
    inspector.ask(1, False)
    assert inspector._examiner._recorded is not None, "its dependency was not answered"


def test_one_file_that_was_touched_does_not_make_every_later_run_slow(world: World) -> None:
    settled(world, *CHAIN)
    touched(world, "in/b")
    for _ in range(2):
        assert all(answer.fresh for answer in world.run(*CHAIN).values())
    inspector = world.inspector(CHAIN, results=asked, files=asked)
    assert all(ask(inspector, index).fresh for index in range(3))


def test_results_that_changed_meanwhile_make_a_sheet_void(world: World) -> None:
    settled(world, *CHAIN)
    world.results.clear()  # `weft cache gc`
    world.version += 1
    assert world.fresh(*CHAIN) == [False, False, False]


@pytest.mark.parametrize("name", ["in/a", "out/a"])
def test_a_file_whose_new_content_is_known_already_has_changed_all_the_same(world: World, name: str) -> None:
    settled(world, *CHAIN)
    changed(world, name)
    world.run(copy("other", name, "out/other"), plan_digest="cd" * 16)
    assert str(world.root / name) in world.files
    assert world.fresh(*CHAIN)[0] is world.fresh(*CHAIN, has_token=False)[0] is False


def test_a_sheet_is_of_one_version_of_the_plan(world: World) -> None:
    settled(world, *CHAIN)
    assert not any(world.inspector(CHAIN, plan_digest="cd" * 16)._examiner.glance(task) for task in range(3))


def test_a_run_that_recorded_results_leaves_the_sheet_to_the_next_one(world: World) -> None:
    settled(world, *CHAIN)
    before = world.sheet().read_bytes()
    changed(world, "in/b")
    world.run(*CHAIN)
    assert world.sheet().read_bytes() == before
    world.run(*CHAIN)
    assert world.sheet().read_bytes() != before
    assert world.fresh(*CHAIN) == [True, True, True]


def test_tasks_that_hand_on_more_than_files_and_what_follows_them_are_not_in_a_sheet(world: World) -> None:
    world.write("run.sh")
    product = Policy(product=Product("stdout"), cache="always")
    tasks = (
        copy("a", "in/a", "out/a"),
        Task("script", Script("run.sh"), outputs=("out/s",)),
        copy("product", "in/a", "out/p", policy=product),
        copy("after product", "in/b", "out/b", ("product",)),
        copy("after a", "in/b", "out/c", ("a",)),
    )
    settled_names = ["a", "after a"]
    for name in ("a", "b"):
        world.write(f"in/{name}", name)
    for _ in range(3):
        world.run(*tasks)
    found = sheets.read(str(world.sheet()), PLAN, len(tasks))
    assert found is not None
    assert [tasks[task].name for task in found[0].tasks] == settled_names
    assert world.fresh(*tasks) == world.fresh(*tasks, has_token=False)


def test_a_follower_outside_the_sheet_of_a_task_that_is_in_it_is_seen_at_a_glance(world: World) -> None:
    world.write("run.sh")
    tasks = (copy("a", "in/a", "out/a"), Task("script", Script("run.sh"), (Dependency("a"),), outputs=("out/s",)))
    settled(world, *tasks)
    inspector = world.inspector(tasks)
    assert [inspector._examiner.glance(task) is not None for task in range(2)] == [True, True]


@pytest.mark.parametrize("change", [touched, changed, gone])
def test_a_script_and_a_file_that_is_bound_to_a_name_are_seen_at_a_glance_until_they_change(
    world: World, change: Callable[[World, str], None]
) -> None:
    world.write("run.sh", "true")
    world.write("in/a")
    bound = Requirements(files=(FileNeed("in/a", "x"),))
    tasks = (
        Task("script", Script("run.sh"), outputs=("out/s",)),
        Task("bound", Command(("use", "{x}")), requires=bound, outputs=("out/b",)),
    )
    world.run(*tasks)

    def seen() -> list[bool]:
        inspector = world.inspector(tasks)
        return [inspector._examiner.glance(task) is not None for task in range(2)]

    assert seen() == [True, True]
    change(world, "run.sh")
    assert seen() == [False, True]
    change(world, "in/a")
    assert seen() == [False, False]


def test_a_sheet_that_cannot_be_written_costs_nothing_but_time(world: World) -> None:
    world.write(f".weft/{sheets.FOLDER}", "in the way")
    for name in ("a", "b"):
        world.write(f"in/{name}", name)
    for _ in range(3):
        answers = world.run(*CHAIN)
    assert all(answer.fresh for answer in answers.values())


def test_few_tasks_are_not_worth_a_sheet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glances, "WORTH_A_SHEET", 4)
    settled(world, *CHAIN)
    assert not world.has_sheet()


# --- the file -----------------------------------------------------------------------------------------------------------

LINES = [
    sheets.Line(2, "ab" * 32, [(5, -7, 2**62), (0, 2**40, 1)]),
    sheets.Line(0, "00" * 32, []),
    sheets.Line(3, "cd" * 32, [(1, 2, 3)]),
]


def test_a_sheet_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "sheets" / "one")
    sheets.write(path, PLAN, "token", 5, LINES)
    found = sheets.read(path, PLAN, 5)
    assert found is not None
    sheet, token = found
    assert token == "token"
    assert [sheet.line(task) for task in sheet.tasks] == LINES
    assert os.listdir(tmp_path / "sheets") == ["one"]
    assert sheets.read(path, "cd" * 16, 5) is None
    assert sheets.read(path, PLAN, 6) is None


@pytest.mark.parametrize(
    "odd",
    [
        sheets.Line(1, "no hex", []),
        sheets.Line(1, "AB" * 32, []),
        sheets.Line(1, "ab", []),
        sheets.Line(1, "ef" * 32, [(1, 2, 2**63)]),
    ],
)
def test_lines_that_do_not_fit_are_left_out(tmp_path: Path, odd: sheets.Line) -> None:
    path = str(tmp_path / "one")
    sheets.write(path, PLAN, "token", 5, [LINES[0], odd, *LINES[1:]])
    found = sheets.read(path, PLAN, 5)
    assert found is not None
    assert [found[0].line(task) for task in found[0].tasks] == LINES


def test_a_sheet_that_is_cut_or_changed_anywhere_is_none(tmp_path: Path) -> None:
    path = tmp_path / "one"
    sheets.write(str(path), PLAN, "token", 5, LINES)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place])
        assert sheets.read(str(path), PLAN, 5) is None
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert sheets.read(str(path), PLAN, 5) is None
    path.write_bytes(whole)
    assert sheets.read(str(path), PLAN, 5) is not None
