"""The inspector on a real file system: what it answers, what it remembers, what a next run makes of it."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from weft.errors import InternalError
from weft.files import contents
from weft.files.contents import hash_file
from weft.files.inspector import FileInspector, History
from weft.ports import FileRow, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.keys import WHOLE
from weft.spec.actions import Command, Script
from weft.spec.graph import Graph
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import FileNeed, FolderNeed, Foreach, MatchNeed, Requirements
from weft.spec.tasks import Dependency, Policy, Task
from weft.values.items import Item, item_of

LIMIT = 20.0
LONG_AGO = 1_000_000_000


class Handed:
    """Products of a run."""

    def __init__(self, digests: Mapping[int, str] | None = None, texts: Mapping[int, str] | None = None):
        self.digests = digests or {}
        self.texts = texts or {}

    def digest(self, task: int, instance: int = WHOLE) -> str | None:
        return self.digests.get(task)

    def text(self, task: int) -> str | None:
        return self.texts.get(task)

    def items(self, maker: int) -> Sequence[Item] | None:
        rows = json.loads(self.texts[maker]) if maker in self.texts else None
        return rows and [item_of(json.dumps(row), row, index) for index, row in enumerate(rows)]

    def held(self, task: int, instance: int, is_by_content: bool) -> str | None:
        return '"held"' if is_by_content else None


class World:
    """A root folder and what runs over it remember."""

    def __init__(self, root: Path):
        self.root = root
        self.results: dict[tuple[str, str], ResultRow] = {}
        self.files: dict[str, FileRow] = {}
        self.opened: list[FileInspector] = []

    def write(self, name: str, text: str = "", seconds: int = LONG_AGO) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (seconds, seconds))

    def inspector(
        self, *tasks: Task, handed: Handed | None = None, is_caching: bool = True, **plan: Any
    ) -> FileInspector:
        made = Plan(Graph(tasks), str(self.root), key="plan", **plan)
        history = History(lambda: self.results, lambda: self.files)
        found = FileInspector(made, str(self.root / ".weft"), history, "run", handed, is_caching=is_caching)
        self.opened.append(found)
        return found

    def run(self, *tasks: Task, forced: bool = False, **more: Any) -> dict[str, Inspected]:
        """Ask for every task in plan order and keep what the ones that are not fresh made."""
        inspector = self.inspector(*tasks, **more)
        answers = {}
        for index, task in enumerate(tasks):
            answer = answers[task.name] = ask(inspector, index, forced)
            if answer.unmet is None and not answer.fresh:
                for instance in range(len(answer.items)) if answer.items is not None else (WHOLE,):
                    if instance not in answer.fresh_items:
                        assert inspector.finished(index, instance) is None
        self.keep(inspector)
        return answers

    def keep(self, inspector: FileInspector) -> None:
        inspector.drain(LIMIT)
        results, files = inspector.take()
        self.results.update({(row.name, row.instance): row for row in results})
        self.files.update({row.path: row for row in files})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for inspector in made.opened:
        inspector.close()


def answers(inspector: FileInspector, number: int) -> list[Inspected]:
    found: list[Inspected] = []
    deadline = time.monotonic() + LIMIT
    while len(found) < number:
        assert select.select(inspector.bells(), [], [], max(0.0, deadline - time.monotonic()))[0], "no answer in time"
        found += inspector.answers()
    return found


def ask(inspector: FileInspector, task: int, force: bool = False) -> Inspected:
    inspector.ask(task, force)
    (answer,) = answers(inspector, 1)
    return answer


def copy(name: str = "copy", source: str = "in", target: str = "out", after: Sequence[str] = (), **more: Any) -> Task:
    return Task(
        name,
        Command(("cp", source, target)),
        tuple(Dependency(other) for other in after),
        requires=Requirements(files=(FileNeed(source),)),
        outputs=(target,),
        **more,
    )


def each(*needs: FolderNeed | MatchNeed, outputs: tuple[str, ...] = ("{file}.out",), bind: str = "file") -> Task:
    requires = Requirements(
        folders=tuple(need for need in needs if isinstance(need, FolderNeed)),
        match=tuple(need for need in needs if isinstance(need, MatchNeed)),
    )
    policy = Policy(foreach=Foreach(files=True, bind=bind))
    return Task("each", Command(("do", "{file}")), requires=requires, outputs=outputs, policy=policy)


def codes(answer: Inspected) -> list[str]:
    return [reason.code for reason in answer.reasons]


# --- answers -----------------------------------------------------------------------------------------------------------


def test_a_task_that_needs_no_look_is_answered_at_once(world: World) -> None:
    inspector = world.inspector(Task("a", Command(("true",))))
    inspector.ask(0, False)
    assert inspector.answers() == [Inspected(0)]
    assert inspector.answers() == []


def test_every_question_gets_one_answer_and_the_bell_is_silent_after(world: World) -> None:
    world.write("in")
    tasks = [copy(f"t{number}", target=f"o{number}") for number in range(500)] + [Task("plain", Command(("true",)))]
    inspector = world.inspector(*tasks)
    for index in range(len(tasks)):
        inspector.ask(index, False)
    found = answers(inspector, len(tasks))
    assert sorted(answer.task for answer in found) == list(range(len(tasks)))
    assert inspector.answers() == []
    assert not select.select(inspector.bells(), [], [], 0)[0]


def test_an_unmet_requirement_is_the_answer(world: World) -> None:
    answer = world.run(copy())["copy"]
    assert (answer.unmet, answer.detail) == ("file:in", "required file in does not exist")


def test_a_failure_of_ours_reaches_the_loop(world: World) -> None:
    world.write("in")
    broken = History(lambda: 1 // 0, dict)  # type: ignore[return-value, arg-type]
    inspector = FileInspector(Plan(Graph([copy()]), str(world.root)), None, broken, "run")
    world.opened.append(inspector)
    inspector.ask(0, False)
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        answers(inspector, 1)
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        inspector.drain(LIMIT)


def test_nobody_waits_behind_a_long_search(world: World) -> None:
    world.write("a" * 60)
    world.write("in")
    stuck = Task("stuck", Command(("x",)), requires=Requirements(match=(MatchNeed("(a+)+b"),)))
    inspector = world.inspector(stuck, *(copy(f"t{number}", target=f"o{number}") for number in range(5)))
    for index in range(6):
        inspector.ask(index, False)
    assert [answer.task for answer in answers(inspector, 5)] == [1, 2, 3, 4, 5]


def test_nobody_waits_behind_a_large_file_and_it_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    may_read = Event()
    read = []

    def slow(path: str, is_stopped: Callable[[], bool]) -> Any:
        if path.endswith("large"):
            read.append(path)
            assert may_read.wait(LIMIT)
        return hash_file(path, is_stopped)

    monkeypatch.setattr(contents, "hash_file", slow)
    monkeypatch.setattr(contents, "LARGE_BYTES", 3)
    world.write("large", "12345")
    world.write("in")
    inspector = world.inspector(copy("a", "large"), copy("b"), copy("c", "large"), copy("d"))
    for index in range(4):
        inspector.ask(index, False)
    assert [answer.task for answer in answers(inspector, 2)] == [1, 3]
    may_read.set()
    assert sorted(answer.task for answer in answers(inspector, 2)) == [0, 2]
    assert len(read) == 1


def test_draining_waits_for_what_is_read_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LARGE_BYTES", 3)
    world.write("in", "12345")
    world.write("out", "12345")
    assert not world.run(copy())["copy"].fresh
    assert list(world.results) == [("copy", "")]


# --- finished work -------------------------------------------------------------------------------------------------------


def test_work_that_was_done_is_fresh_in_the_next_run(world: World) -> None:
    world.write("in", "x")
    world.write("out", "x")
    first = world.run(copy())["copy"]
    assert (first.fresh, codes(first)) == (False, ["never_ran"])
    again = world.run(copy())["copy"]
    assert (again.fresh, codes(again)) == (True, ["cached"])
    assert again.fingerprint == first.fingerprint == world.results["copy", ""].fingerprint


def test_work_is_fresh_even_when_its_files_were_too_young_to_trust(world: World) -> None:
    now = int(time.time())
    world.write("in", "x", now)
    world.write("out", "x", now)
    world.run(copy())
    assert world.files == {}
    assert world.run(copy())["copy"].fresh


def test_a_file_that_was_only_touched_changes_nothing(world: World) -> None:
    world.write("in", "x")
    world.write("out", "x")
    world.run(copy())
    world.write("in", "x", LONG_AGO + 5)
    world.write("out", "x", LONG_AGO + 5)
    assert world.run(copy())["copy"].fresh


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        ("input", "part_changed", "inputs:in"),
        ("output", "output_changed", "outputs:out"),
        ("output gone", "output_missing", "outputs:out"),
        ("code", "part_changed", "code"),
        ("parameter", "part_changed", "parameters:k"),
        ("option", "part_changed", "options:name"),
    ],
)
def test_a_change_is_found_and_named(world: World, change: str, code: str, part: str) -> None:
    def task(word: str = "cp", k: int = 2) -> Task:
        return Task(
            "copy",
            Command((word, "{k}", "{name}")),
            parameters={"k": k},
            requires=Requirements(files=(FileNeed("in"),)),
            outputs=("out",),
        )

    world.write("in", "x")
    world.write("out", "x")
    world.run(task(), values={"name": "n"})
    match change:
        case "input":
            world.write("in", "yy")
        case "output":
            world.write("out", "yy")
        case "output gone":
            os.unlink(world.root / "out")
    inspector = world.inspector(
        task("mv" if change == "code" else "cp", 4 if change == "parameter" else 2),
        values={"name": "m" if change == "option" else "n"},
    )
    answer = ask(inspector, 0)
    assert not answer.fresh
    assert [(reason.code, reason.part) for reason in answer.reasons] == [(code, part)]
    if change == "parameter":
        assert answer.reasons[0].text == "parameter k changed from 2 to 4"


def test_force_runs_what_is_fresh_and_remembers_it(world: World) -> None:
    world.write("in")
    world.write("out")
    world.run(copy())
    before = world.results["copy", ""]
    assert codes(world.run(copy(), forced=True)["copy"]) == ["forced"]
    assert world.results["copy", ""] == before
    assert world.results["copy", ""] is not before


def test_without_the_cache_nothing_is_read_or_kept(world: World) -> None:
    world.write("in")
    world.write("out")
    world.run(copy())
    world.results["copy", ""] = kept = world.results["copy", ""]._replace(run="kept")
    answer = world.run(copy(), is_caching=False)["copy"]
    assert (answer.fresh, answer.fingerprint) == (False, None)
    assert world.results["copy", ""] is kept


def test_a_folder_as_output_is_compared_by_all_that_is_in_it(world: World) -> None:
    world.write("in")
    world.write("out/a/b", "1")
    world.run(copy())
    assert world.run(copy())["copy"].fresh
    world.write("out/a/b", "2", LONG_AGO + 1)
    assert codes(world.run(copy())["copy"]) == ["output_changed"]


def test_the_content_of_a_script_counts(world: World) -> None:
    task = Task("s", Script("s.py"), outputs=("out",))
    world.write("s.py", "1")
    world.write("out")
    world.run(task)
    assert world.run(task)["s"].fresh
    world.write("s.py", "22")
    assert [reason.part for reason in world.run(task)["s"].reasons] == ["inputs:s.py"]


def test_files_of_a_source_count_by_name_and_content_conditions_do_not(world: World) -> None:
    needs = Requirements(folders=(FolderNeed("d"), FolderNeed("c", source=False)), signal=("go",))
    task = Task("t", Command(("x",)), requires=needs, outputs=("out",))
    for name in ("d/a", "c/a", "go", "out"):
        world.write(name)
    world.run(task)
    world.write("c/b")
    world.write("go", "changed")
    assert world.run(task)["t"].fresh
    world.write("d/b")
    (reason,) = world.run(task)["t"].reasons
    assert reason.text == "input d changed from 1 file to 2 files"


def test_an_input_that_cannot_be_read_is_told_and_not_believed(world: World) -> None:
    world.write("out")
    os.mkfifo(world.root / "p")
    task = Task("s", Script("p"), outputs=("out",))
    for _ in range(2):
        answer = world.run(task)["s"]
        assert (answer.fresh, codes(answer)) == (False, ["input_unreadable"])
    assert world.results == {}


# --- what came before ----------------------------------------------------------------------------------------------------


def test_an_upstream_that_makes_the_same_again_leaves_its_followers_cached(world: World) -> None:
    world.write("in", "1")
    world.write("mid", "m")
    world.write("out", "o")
    tasks = (copy("a", "in", "mid"), copy("b", "mid", "out", after=("a",)))
    world.run(*tasks)
    world.write("in", "22")
    found = world.run(*tasks)
    assert (found["a"].fresh, found["b"].fresh) == (False, True)


def test_an_upstream_that_makes_something_else_is_the_reason(world: World) -> None:
    maker = copy("a", "in", "mid")
    user = Task("b", Command(("use",)), (Dependency("a"),), outputs=("out",))
    for name in ("in", "mid", "out"):
        world.write(name)
    world.run(maker, user)
    inspector = world.inspector(maker, user)
    world.write("in", "changed")
    assert not ask(inspector, 0).fresh
    world.write("mid", "changed")
    assert inspector.finished(0, WHOLE) is None
    answer = ask(inspector, 1)
    assert [(reason.code, reason.part) for reason in answer.reasons] == [("part_changed", "dependencies:a")]


def test_a_product_decides_where_there_is_one(world: World) -> None:
    maker = Task("a", Command(("say",)), policy=Policy(product=Product("stdout")))
    user = Task("b", Command(("use",)), (Dependency("a", "x"),), outputs=("out",))
    world.write("out")
    world.run(maker, user, handed=Handed({0: "aa"}))
    assert world.run(maker, user, handed=Handed({0: "aa"}))["b"].fresh
    assert [reason.part for reason in world.run(maker, user, handed=Handed({0: "bb"}))["b"].reasons] == [
        "dependencies:a"
    ]


def test_a_product_that_was_not_kept_makes_its_task_run(world: World) -> None:
    task = Task("a", Command(("say",)), policy=Policy(product=Product("stdout"), cache="always"))
    world.run(task)
    assert codes(world.run(task, handed=Handed({0: "aa"}))["a"]) == ["product_missing"]
    assert world.run(task)["a"].fresh
    inspector = world.inspector(task)
    assert ask(inspector, 0).fresh
    row = inspector.recorded(0)
    assert row is not None
    assert row.product == "aa"


def test_a_required_parameter_may_be_a_product_or_a_key_of_it(world: World) -> None:
    maker = Task("a", Command(("say",)), policy=Policy(product=Product("json")))

    def unmet(name: str, handed: Handed) -> str | None:
        user = Task("b", Command(("use",)), (Dependency("a"),), requires=Requirements(parameters=(name,)))
        return ask(world.inspector(maker, user, handed=handed, values={"season": 1, "none": None}), 1).unmet

    handed = Handed({0: "aa"}, {0: '{"k": 1, "z": null}'})
    assert [unmet(name, handed) for name in ("season", "a", "a.k")] == [None, None, None]
    assert [unmet(name, handed) for name in ("none", "a.q", "a.z", "x")] == [
        "parameter:none",
        "parameter:a.q",
        "parameter:a.z",
        "parameter:x",
    ]
    assert unmet("a", Handed()) == "parameter:a"
    assert unmet("a.k", Handed({0: "aa"}, {0: "no JSON"})) == "parameter:a.k"
    assert unmet("a.k", Handed({0: "aa"})) == "parameter:a.k"  # nobody has kept its text
    nested = Handed({0: "aa"}, {0: '{"k": {"l": {"m": 1}}, "x.y": 2, "x": {"z": {"w": 3}}}'})
    names = ("a.k.l.m", "a.x.y", "a.x.z.w", "a.k.l.q", "a.x.q")
    assert [unmet(name, nested) for name in names] == [None, None, None, "parameter:a.k.l.q", "parameter:a.x.q"]


def test_a_product_that_is_no_object_has_no_keys(world: World) -> None:
    user = Task("b", Command(("use",)), (Dependency("a"),), requires=Requirements(parameters=("a.k",)))
    for source in ("stdout", "outputs"):
        maker = Task("a", Command(("say",)), outputs=("o",), policy=Policy(product=Product(source)))
        inspector = world.inspector(maker, user, handed=Handed({0: "aa"}, {0: '{"k": 1}'}))
        assert ask(inspector, 1).unmet == "parameter:a.k"


def test_files_are_a_product_that_is_there_when_they_all_are(world: World) -> None:
    maker = Task("a", Command(("say",)), outputs=("o", "p"), policy=Policy(product=Product("outputs")))
    user = Task("b", Command(("use",)), (Dependency("a"),), requires=Requirements(parameters=("a",)))
    world.write("o")
    assert ask(world.inspector(maker, user), 1).unmet == "parameter:a"
    world.write("p")
    assert ask(world.inspector(maker, user), 1).unmet is None


# --- mapped tasks --------------------------------------------------------------------------------------------------------


def test_a_mapped_task_has_one_item_per_file_and_only_new_ones_run(world: World) -> None:
    task = each(FolderNeed("d"))
    for name in ("d/b", "d/a", "d/a.out", "d/b.out"):
        world.write(name)
    for name in ("d/a.out", "d/b.out"):
        os.rename(world.root / name, world.root / name.replace("d/", ""))
    task = Task("each", task.action, requires=task.requires, outputs=("outs/{file}",), policy=task.policy)
    for name in ("outs/d/a", "outs/d/b", "outs/d/c"):
        world.write(name)
    first = world.run(task)["each"]
    assert (first.items, first.fresh, first.fresh_items) == (("d/a", "d/b"), False, frozenset())
    again = world.run(task)["each"]
    assert (again.fresh, again.fresh_items) == (True, frozenset({0, 1}))
    world.write("d/c")
    more = world.run(task)["each"]
    assert (more.items, more.fresh, more.fresh_items) == (("d/a", "d/b", "d/c"), False, frozenset({0, 1}))
    world.write("d/a", "changed")
    assert world.run(task)["each"].fresh_items == {1, 2}


def test_values_give_items_that_stand_for_themselves(world: World) -> None:
    def mapped(*values: int) -> Task:
        return Task("v", Command(("x",)), outputs=("o{n}",), policy=Policy(foreach=Foreach(values=values, bind="n")))

    for name in ("o1", "o2", "o3"):
        world.write(name)
    assert world.run(mapped(1, 2))["v"].items == ("1", "2")
    assert world.run(mapped(2, 3))["v"].fresh_items == {0}


def test_a_mapped_task_without_files_is_unmet(world: World) -> None:
    (world.root / "d").mkdir()
    answer = world.run(each(FolderNeed("d", minimum=0)))["each"]
    assert answer.unmet == "folder:d"
    assert world.run(each(MatchNeed("x.*", minimum=0)))["each"].unmet == "match:x.*"


def test_items_are_taken_once_and_a_resumed_run_keeps_the_recorded_ones(world: World) -> None:
    world.write("d/a")
    inspector = world.inspector(each(FolderNeed("d")))
    assert ask(inspector, 0).items == ("d/a",)
    world.write("d/b")
    assert ask(inspector, 0).items == ("d/a",)
    resumed = world.inspector(each(FolderNeed("d")))
    resumed.recover_items(0, ["d/old"])
    assert ask(resumed, 0).items == ("d/old",)
    assert resumed.bound(0, 0) == {}


def test_a_stream_gives_items_when_it_is_at_hand(world: World) -> None:
    maker = Task("a", Command(("say",)), policy=Policy(product=Product("json")))
    user = Task("b", Command(("x",)), (Dependency("a"),), policy=Policy(foreach=Foreach(stream="a", bind="row")))
    assert ask(world.inspector(maker, user, handed=Handed({}, {0: '[1, "two"]'})), 1).items == ("1", "two")


def test_items_that_come_while_another_is_looked_at_are_remembered_like_it(world: World) -> None:
    maker = Task("a", Command(("say",)), policy=Policy(product=Product("json")))
    foreach = Policy(foreach=Foreach(stream="a", bind="row"), cache="always")
    user = Task("b", Command(("x",)), (Dependency("a"),), policy=foreach)
    handed = Handed({}, {0: "[1]"})
    inspector = world.inspector(maker, user, handed=handed)
    told = []
    for text, instance in (("[1]", 0), ("[1, 2, 3]", 1), ("[1, 2, 3]", 2)):
        handed.texts[0] = text
        inspector.ask(1, False, [instance])
        answers(inspector, 1)
        told.append([row.instance for row in inspector.begun()])
    assert told == [[WHOLE, 0], [1, 2], []], "each is compared once"
    for instance in range(3):
        assert inspector.finished(1, instance) is None
    inspector.drain(LIMIT)
    assert len({row.instance for row in inspector.take()[0]}) == 3


def test_what_is_bound_is_what_the_last_look_found(world: World) -> None:
    world.write("d/-b")
    world.write("d/a")
    inspector = world.inspector(
        Task("t", Command(("x",)), requires=Requirements(folders=(FolderNeed("d", bind="files"),))),
        Task(
            "m",
            Command(("x",)),
            requires=Requirements(folders=(FolderNeed("d", bind="file"),)),
            policy=Policy(foreach=Foreach(files=True)),
        ),
    )
    ask(inspector, 0)
    ask(inspector, 1)
    assert inspector.bound(0) == {"files": ["d/-b", "d/a"]}
    assert inspector.items(1) == ("d/-b", "d/a")
    assert inspector.bound(1, 0) == {"file": "d/-b"}


def test_names_of_any_bytes_become_items(world: World) -> None:
    name = os.fsdecode(b"d/\xff\n-")
    world.write(name)
    assert ask(world.inspector(each(FolderNeed("d"))), 0).items == (name,)


# --- after an attempt ----------------------------------------------------------------------------------------------------


def test_a_missing_output_is_named(world: World) -> None:
    world.write("in")
    task = Task("t", Command(("x",)), outputs=("a", "b", "c"))
    world.write("b")
    inspector = world.inspector(task)
    assert inspector.finished(0, WHOLE) == ("missing_output", "declared outputs not made: a, c")


def test_outputs_fill_their_slots_from_parameters_options_and_the_item(world: World) -> None:
    plain = Task("t", Command(("x",)), parameters={"k": 4}, outputs=("o_{k}_{name}_{{x}}", "{other}"))
    mapped = Task("m", Command(("x",)), outputs=("o{n}",), policy=Policy(foreach=Foreach(values=(1.5, "b"), bind="n")))
    inspector = world.inspector(plain, mapped, values={"name": "n"})
    assert inspector.outputs(0) == ("o_4_n_{x}", "{other}")
    assert [inspector.outputs(1, instance) for instance in (0, 1)] == [("o1.5",), ("ob",)]


def test_an_attempt_that_an_earlier_engine_began_is_not_remembered(world: World) -> None:
    world.write("in")
    world.write("out")
    inspector = world.inspector(copy())
    assert inspector.finished(0, WHOLE) is None
    world.keep(inspector)
    assert world.results == {}


def test_what_was_read_counts_as_it_was_when_the_attempt_began(world: World) -> None:
    world.write("in", "old")
    world.write("out")
    inspector = world.inspector(copy())
    ask(inspector, 0)
    world.write("in", "changed meanwhile")
    inspector.finished(0, WHOLE)
    world.keep(inspector)
    assert [reason.part for reason in world.run(copy())["copy"].reasons] == ["inputs:in"]


def test_closing_twice_takes_nobody_elses_descriptors(world: World, tmp_path: Path) -> None:
    world.write("in")
    inspector = world.inspector(copy())
    ask(inspector, 0)
    inspector.close()
    others = [
        os.open(tmp_path, os.O_RDONLY) for _ in range(5)
    ]  # numbers that the first close has set free are among them
    try:
        inspector.close()
        assert all(os.path.samestat(os.fstat(other), os.stat(tmp_path)) for other in others)
    finally:
        for other in others:
            os.close(other)


# --- what would happen -----------------------------------------------------------------------------------------------------


def forecast(world: World, *tasks: Task, force: bool = False) -> dict[str, tuple[str, list[str]]]:
    found = world.inspector(*tasks).preview(range(len(tasks)), force)
    return {
        tasks[index].name: (entry.action, [reason.code for reason in entry.reasons]) for index, entry in found.items()
    }


def test_the_forecast_tells_what_runs_what_is_cached_and_why(world: World) -> None:
    world.write("in")
    world.write("mid")
    world.write("out")
    tasks = (
        copy("a", "in", "mid"),
        copy("b", "mid", "out", after=("a",)),
        Task("c", Command(("x",)), (Dependency("b"),)),
    )
    assert forecast(world, *tasks)["a"] == ("run", ["never_ran"])
    world.run(*tasks)
    assert forecast(world, *tasks) == {
        "a": ("cached", ["cached"]),
        "b": ("cached", ["cached"]),
        "c": ("run", ["not_cacheable"]),
    }
    world.write("in", "changed")
    assert forecast(world, *tasks)["a"] == ("run", ["part_changed"])
    assert forecast(world, *tasks)["b"] == ("run", ["dependency_runs"])
    assert forecast(world, *tasks, force=True)["b"] == ("run", ["forced"])


def test_the_forecast_of_what_cannot_start_is_blocked_with_its_followers(world: World) -> None:
    tasks = (copy("a"), Task("b", Command(("x",)), (Dependency("a"),)))
    assert forecast(world, *tasks) == {"a": ("blocked", ["unmet"]), "b": ("blocked", ["dependency_blocked"])}


def test_the_forecast_does_not_miss_what_will_be_made_first(world: World) -> None:
    tasks = (Task("a", Command(("make", "in"))), copy("b", after=("a",)))
    assert forecast(world, *tasks)["b"] == ("run", ["dependency_runs"])


def test_a_follower_that_changed_itself_runs_whatever_is_made_before_it(world: World) -> None:
    def tasks(k: int) -> tuple[Task, Task]:
        return copy("a", "in", "mid"), copy("b", "mid", "out", after=("a",), parameters={"k": k})

    for name in ("in", "mid", "out"):
        world.write(name)
    world.run(*tasks(1))
    world.write("in", "changed")
    assert forecast(world, *tasks(1))["b"] == ("run", ["dependency_runs"])
    found = world.inspector(*tasks(2)).preview(range(2), False)[1]
    assert [reason.text for reason in found.reasons] == ["parameter k changed from 1 to 2"]


def test_of_a_mapped_task_it_is_told_how_many_instances_are_up_to_date(world: World) -> None:
    def mapped(*values: str) -> Task:
        return Task(
            "m",
            Command(("x", "{v}")),
            policy=Policy(cache="auto", foreach=Foreach(values=values, bind="v")),
            outputs=("{v}.out",),
        )

    for name in ("p", "q", "r"):
        world.write(f"{name}.out")
    world.run(mapped("p", "q"))
    found = world.inspector(mapped("p", "q", "r")).preview([0], False)[0]
    texts = [reason.text for reason in found.reasons]
    assert texts == ["2 of 3 instances are up to date, the others are not", "has not run before"]
    (whole,) = world.inspector(mapped("p", "q")).preview([0], False)[0].reasons
    assert whole.text == "up to date"
