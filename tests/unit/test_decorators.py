"""Decorators without a registry in hand (dialects.md 2.7)."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import weft
from weft.define import decorators
from weft.define.registry import Registry
from weft.spec.requirements import FileNeed, FolderNeed, MatchNeed
from weft.spec.tasks import Task
from weft.units import MEBIBYTE


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A default registry of the test's own."""
    made = Registry()
    monkeypatch.setattr(decorators, "default_registry", made)
    monkeypatch.setattr("weft.define.marks._marks", weakref.WeakKeyDictionary())
    monkeypatch.setattr("weft.define.registry.default_registry", made)
    yield made


def only(registry: Registry) -> Task:
    (task,) = registry.invoke().graph.tasks
    return task


def codes(error: pytest.ExceptionInfo[weft.WeftError]) -> list[str]:
    return [problem.code for problem in error.value.problems()]


ALL: tuple[Any, ...] = (
    weft.task("all"),
    weft.time_limit("10min"),
    weft.memory(512),
    weft.cores(2),
    weft.resource("license", 1),
    weft.require_files("a.csv"),
    weft.max_attempts(3),
    weft.priority(5),
    weft.interruptible(False),
)


@pytest.mark.parametrize("first", range(len(ALL)))
def test_every_order_gives_the_same_task(registry: Registry, first: int) -> None:
    def work() -> int:
        return 1

    decorated = work
    for decorate in (*ALL[first:], *ALL[:first]):
        decorated = decorate(decorated)
    assert decorated is work
    task = only(registry)
    policy = task.policy
    assert (task.name, policy.timeout, policy.retries.max_attempts) == ("all", 600, 3)
    assert (policy.priority, policy.interruptible) == (5, False)
    amounts = dict(policy.resources.amounts)
    assert amounts == {"cores": 2000, "memory": 512 * MEBIBYTE, "license": 1_000_000}
    assert task.requires.files == (FileNeed("a.csv"),)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_given_twice_is_a_conflict_in_every_order(order: tuple[int, ...]) -> None:
    both = (weft.task("twice"), weft.memory("1G"), weft.memory("1G"))

    def work() -> None: ...

    with pytest.raises(weft.DefinitionError) as told:
        decorated = work
        for number in order:
            decorated = both[number](decorated)
    assert codes(told) == ["shape.conflict"]


def test_task_twice_is_a_conflict() -> None:
    with pytest.raises(weft.DefinitionError) as told:

        @weft.task("one")
        @weft.task("two")
        def work() -> None: ...

    assert codes(told) == ["shape.conflict"]


def test_a_function_that_has_its_name_may_become_several_tasks(registry: Registry) -> None:
    def work(k: int = 1) -> int:
        return k

    for name in ("a", "b"):
        weft.task(name)(work)
    assert list(registry.names()) == ["a", "b"]


@pytest.mark.parametrize("fields", [{"timeout": 5}, {"resources": {"memory": "1G"}}, {"requires": {"files": ["x"]}}])
def test_what_the_task_and_a_decorator_say_is_a_conflict(fields: dict[str, Any]) -> None:
    with pytest.raises(weft.DefinitionError) as told:

        @weft.task(**fields)
        @weft.time_limit(6)
        @weft.memory("2G")
        @weft.require_files("y")
        def work() -> None: ...

    assert codes(told) == ["shape.conflict"]


def test_without_a_task_the_plan_is_refused_at_the_functions_line(registry: Registry) -> None:
    @weft.cores(2)
    @weft.memory("1G")
    def forgotten() -> None: ...

    @weft.task
    def other() -> None: ...

    with pytest.raises(weft.PlanError) as told:
        registry.invoke("other")
    (problem,) = told.value.problems()
    assert (problem.code, problem.location) == ("action.none", "forgotten")
    assert problem.line is not None and "@weft.cores and @weft.memory" in problem.message
    assert callable(forgotten)


def test_dependencies_are_names_or_functions(registry: Registry) -> None:
    @weft.task
    def fetch() -> int:
        return 1

    @weft.task("clean")
    @weft.depends_on(fetch)
    def clean_up(fetch: int) -> int:
        return fetch

    @weft.depends_on("clean", fetch)
    @weft.task
    def report(clean: int) -> int:
        return clean

    edges = {
        task.name: [(edge.name, edge.bind) for edge in task.dependencies] for task in registry.invoke().graph.tasks
    }
    assert edges == {
        "fetch": [],
        "clean": [("fetch", "fetch")],
        "report": [("clean", "clean"), ("fetch", None)],
    }


def test_files_are_mapped_over_and_go_to_filename(registry: Registry) -> None:
    @weft.task
    @weft.for_files_in_folder("data")
    @weft.require_folder("models", minimum=2)
    def count(filename: str, k: int = 2) -> int:
        return k

    task = only(registry)
    assert task.requires.folders == (
        FolderNeed("data", bind="filename"),
        FolderNeed("models", minimum=2, source=False),
    )
    assert task.policy.foreach is not None and task.policy.foreach.files
    assert dict(task.parameters) == {"k": 2}


def test_a_name_may_be_said_and_globs_are_told_from_expressions(registry: Registry) -> None:
    @weft.task
    @weft.for_files_matching(r"glob:in/*.csv", as_="path")
    def read(path: str) -> None: ...

    assert only(registry).requires.match == (MatchNeed("in/*.csv", "glob", bind="path"),)


def test_all_files_go_to_filenames(registry: Registry) -> None:
    @weft.task
    @weft.require_match(r"in/.*\.csv")
    def read(filenames: list[str]) -> None: ...

    assert only(registry).requires.match == (MatchNeed(r"in/.*\.csv", bind="filenames"),)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(weft.DefinitionError) as told:

        @weft.task
        @weft.time_limit("10 parsecs")
        @weft.memory("1Q")
        @weft.require_match("[")
        @weft.require_files("https://example.org/a.csv")
        @weft.depends_on("nobody")
        @weft.max_attempts(0)
        @weft.for_files_in_folder("data", as_="fil")
        def work(file: str) -> None: ...

    assert sorted(codes(told)) == [
        *("option.unknown", "pattern.invalid", "ref.task", "shape.value", "shape.value", "unit.size", "unit.time"),
    ]


def test_a_file_cannot_go_where_an_option_stands() -> None:
    with pytest.raises(weft.DefinitionError) as told:

        @weft.task(options={"path": weft.Option("str")})
        @weft.for_files_in_folder("data", as_="path")
        def work(path: str) -> None: ...

    assert codes(told) == ["shape.conflict"]


def test_fields_take_requirements_in_the_normal_form(registry: Registry) -> None:
    @weft.task(
        requires={"folders": [{"path": "a", "recursive": True}, "b"], "signal": "go", "parameters": ["season"]},
        foreach={"files": True, "as": "item"},
    )
    def work(item: str) -> None: ...

    task = only(registry)
    assert task.requires.folders == (FolderNeed("a", recursive=True), FolderNeed("b"))
    assert (task.requires.signal, task.requires.parameters) == (("go",), ("season",))
    assert task.policy.foreach is not None and task.policy.foreach.bind == "item"


def test_registries_in_hand_take_what_decorators_say() -> None:
    own = weft.Registry()

    @weft.time_limit(5)
    @own.task
    @weft.cores(3)
    def work() -> None: ...

    (task,) = own.invoke().graph.tasks
    assert (task.policy.timeout, dict(task.policy.resources.amounts)) == (5, {"cores": 3000})


def test_overriding_keeps_what_is_required(registry: Registry) -> None:
    @weft.task
    @weft.for_files_in_folder("data")
    def count(filename: str) -> int:
        return 1

    after = registry.override("count", function=lambda filename: 2)
    (task,) = after.invoke().graph.tasks
    assert task.requires.folders == (FolderNeed("data", bind="filename"),)
    assert task.policy.foreach is not None and task.policy.foreach.files


@pytest.mark.parametrize("given", [[1], 5])
def test_what_is_no_function_cannot_be_decorated(given: Any) -> None:
    with pytest.raises(weft.DefinitionError) as told:
        weft.cores(2)(given)
    assert codes(told) == ["shape.type"]


def test_fields_of_specifications_are_words_too(registry: Registry) -> None:
    @weft.task("before")
    def before() -> None: ...

    fields: dict[str, Any] = {
        "time_limit": "10min",
        "cpu": 2,
        "memory": 512,
        "resources": {"license": 1},
        "depends_on": "before",
        "interrupt_allowed": False,
        "output_file": "a",
        "output_folder": ["b"],
        "required_filepath": "c",
        "required_folder": ["d", "e"],
        "files_in_directory": {"path": "f", "minimum": 3},
        "required_file_expression": "g",
        "filepath_parameter": ["x", "y", "z"],
        "single_file_task": True,
        "ready_signal": None,
    }

    @weft.task("all", **fields)
    def work(x: str | None, y: str | None, z: str | None) -> None: ...

    task = registry.invoke("all").graph["all"]
    policy = task.policy
    assert (policy.timeout, policy.interruptible, task.outputs) == (600, False, ("a", "b"))
    amounts = dict(policy.resources.amounts)
    assert amounts == {"cores": 2000, "memory": 512 * MEBIBYTE, "license": 1_000_000}
    assert [dependency.name for dependency in task.dependencies] == ["before"]
    assert task.requires.files == (FileNeed("c"),)
    assert set(task.requires.folders) == {
        *(FolderNeed("d", bind="x"), FolderNeed("e", bind="y"), FolderNeed("f", minimum=3, source=False)),
    }
    assert task.requires.match == (MatchNeed("g", bind="z"),)
    assert policy.foreach is not None and policy.foreach.files


@pytest.mark.parametrize(
    "fields",
    [
        {"time_limit": 3, "timeout": 4},
        {"time_limit": 3, "time": 4},
        {"cpu": 1, "cores": 2},
        {"cpu": 1, "resources": {"cores": 1}},
        {"output_file": "a", "outputs": ["a"]},
        {"required_folder": "a", "requires": {"files": ["b"]}},
        {"filepath_parameter": "a"},
        {"required_folder": ["a", "b", "c"], "filepath_parameter": ["a", "b"]},
        {"name": "another"},
    ],
)
def test_what_fields_say_twice_or_nowhere_is_a_conflict(fields: dict[str, Any]) -> None:
    with pytest.raises(weft.DefinitionError) as told:
        weft.task("one", **fields)(lambda a=None, b=None: None)
    assert codes(told) == ["shape.conflict"]
