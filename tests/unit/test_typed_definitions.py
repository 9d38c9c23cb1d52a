"""Definitions in a registry: what they give, and every mistake in them, told at once and at the user's line."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import weft
from weft.errors import Problem
from weft.spec.actions import Expand
from weft.spec.environments import ShellValue
from weft.spec.tasks import Dependency


@pytest.fixture
def registry() -> weft.Registry:
    made = weft.Registry()
    made.type("positive", lambda n: n > 0, parent="int")

    @made.task(product="list", options={"url": weft.Option("str")})
    def fetch(url: str) -> list[int]:
        return [len(url)]

    return made


def problems_of(define: Callable[[], object]) -> tuple[Problem, ...]:
    with pytest.raises(weft.DefinitionError) as told:
        define()
    assert isinstance(told.value, ValueError)
    return told.value.problems()


def codes_of(define: Callable[[], object]) -> list[str]:
    return [problem.code for problem in problems_of(define)]


# --- what a definition gives -------------------------------------------------------------------------------------------


def test_the_function_comes_back_unchanged_by_every_way_to_define_it(registry: weft.Registry) -> None:
    def body(k: int = 1) -> int:
        return k

    assert registry.task(body) is body
    assert registry.task(name="other")(body) is body
    assert registry.task("third")(body) is body
    assert registry.task(body, name="fourth") is body
    assert list(registry) == ["fetch", "body", "other", "third", "fourth"]


def test_parameters_that_are_no_dependencies_become_options_with_their_hints_and_defaults(
    registry: weft.Registry,
) -> None:
    @registry.task(deps=["fetch"])
    def fit(
        fetch: list[int], k: int = 2, names: list[str] | None = None, rate: float = 0.5, any_of: object = ()
    ) -> dict[str, int]:
        return {}

    definition = registry["fit"]
    assert {name: (option.type, option.default) for name, option in definition.options.items()} == {
        "k": ("int", 2),
        "names": ("list_of(str)", None),
        "rate": ("float", 0.5),
        "any_of": ("any", ()),
    }
    assert definition.edges == (Dependency("fetch", "fetch"),)
    assert definition.product.type == "dict"


def test_words_of_the_policy_are_read_with_their_units(registry: weft.Registry) -> None:
    registry.task(
        lambda: 1,
        name="a",
        resources={"cores": 2, "memory": "1G", "gpu": 1},
        timeout="10min",
        retry_delay="5s",
        max_attempts=3,
        retry_on="exit:3",
        cache="never",
        isolation="process",
        tags="slow",
        priority=5,
        niceness=3,
        attributes={"team": "x"},
    )
    policy = registry["a"].policy
    assert policy.resources.as_json() == {"cores": 2, "gpu": 1, "memory": 2**30}
    assert (policy.timeout, policy.retries.delay, policy.retries.max_attempts) == (600, 5, 3)
    assert (policy.retries.retry_on, policy.cache, policy.isolation) == (("exit:3",), "never", "process")
    assert (policy.tags, policy.priority, policy.niceness, dict(policy.attributes)) == (("slow",), 5, 3, {"team": "x"})


def test_tasks_that_say_the_same_share_one_policy(registry: weft.Registry) -> None:
    for name in "ab":
        registry.task(lambda: 1, name=name, resources={"cores": 2})
    assert registry["a"].policy is registry["b"].policy


def test_a_generator_makes_a_stream_and_each_maps_over_it(registry: weft.Registry) -> None:
    @registry.task
    def rows() -> Iterator[int]:
        yield 1

    @registry.task(deps=[weft.each("rows")])
    def square(row: int) -> int:
        return row * row

    @registry.task(deps=[weft.gather(square), "rows"])
    def total(squares: list[int]) -> int:
        return sum(squares)

    assert (registry["rows"].product.type, registry["rows"].product.stream) == ("int", True)
    foreach = registry["square"].policy.foreach
    assert foreach is not None
    assert (foreach.stream, foreach.bind) == ("rows", "row")
    assert registry["square"].edges == (Dependency("rows", "row", each=True),)
    assert registry["total"].edges == (Dependency("square", "squares", gather=True), Dependency("rows"))


def test_several_gathered_tasks_share_the_parameter_that_is_left(registry: weft.Registry) -> None:
    for name in "ab":
        registry.task(lambda: 1, name=name)
    registry.task(lambda all, scale=2: all, name="c", deps=[weft.gather("a", "b")])
    assert registry["c"].edges == (Dependency("a", "all", gather=True), Dependency("b", "all", gather=True))
    assert list(registry["c"].options) == ["scale"]


def test_a_dependency_that_the_function_takes_no_argument_for_orders_only(registry: weft.Registry) -> None:
    registry.task(lambda: 1, name="after", deps=["fetch"])
    assert registry["after"].edges == (Dependency("fetch"),)


def test_a_name_that_is_no_identifier_is_received_with_underscores(registry: weft.Registry) -> None:
    registry.task(lambda: 1, name="load-data")
    registry.task(lambda load_data: 1, name="use", deps=["load-data"])
    assert registry["use"].edges == (Dependency("load-data", "load_data"),)


def test_as_names_the_parameter_and_double_stars_take_what_is_named(registry: weft.Registry) -> None:
    registry.task(lambda **parts: 1, name="join", deps=["fetch"], options={"k": weft.Option("int", 1)})
    registry.task(lambda rows: 1, name="use", deps=[{"name": "fetch", "as": "rows"}])
    assert registry["join"].edges == (Dependency("fetch", "fetch"),)
    assert registry["use"].edges == (Dependency("fetch", "rows"),)


def test_tasks_run_in_environments_that_the_registry_defines(registry: weft.Registry) -> None:
    variables = {"A": "1", "B": {"expand": "$A"}, "C": {"shell": "date"}}
    registry.environment("lab", requirements=["six"], variables=variables)
    registry.note("diary", "file", path="log", conditions="only_if_ok")
    registry.task(lambda: 1, name="a", environment="lab", notes=["diary"])
    plan = registry.invoke("a").spec
    assert plan.environments["lab"].variables == (("A", "1"), ("B", Expand("$A")), ("C", ShellValue("date")))
    assert plan.notes["diary"].conditions == ("only_if_ok",)
    assert not registry.invoke("fetch", {"fetch.url": ""}).spec.environments
    words: dict[str, Any] = {"environment": "lib", "notes": "diry"}
    found = problems_of(lambda: registry.task(lambda: 1, name="b", **words))
    assert [(problem.code, problem.hint) for problem in found] == [
        ("ref.environment", "did you mean 'lab'?"),
        ("ref.note", "did you mean 'diary'?"),
    ]
    assert codes_of(lambda: registry.environment("lab")) == ["name.duplicate"]
    assert codes_of(lambda: registry.note("x", "fil", conditions="never")) == ["shape.value", "ref.note_class"]
    assert "shape.unknown_key" in codes_of(lambda: registry.note("x", "file", pathh="log"))
    assert codes_of(lambda: registry.environment("x", requirements=3, variables={"A=": 1})) == [
        *("shape.type", "name.invalid", "shape.type"),
    ]


def test_a_mutable_default_is_a_copy(registry: weft.Registry) -> None:
    shared: list[int] = [1]

    def body(numbers: list[int] = shared) -> None:
        numbers.append(2)

    registry.task(body)
    shared.append(3)
    assert registry["body"].options["numbers"].default == [1]


def test_classes_partials_methods_and_callable_objects_can_be_tasks(registry: weft.Registry) -> None:
    class Point:
        def __init__(self, x: int = 1) -> None:
            self.x = x

        def moved(self, by: int = 1) -> int:
            return self.x + by

        def __call__(self, times: float = 1) -> float:
            return self.x * times

    registry.task(Point)
    registry.task(Point(2).moved)
    registry.task(Point(3), name="object")
    registry.task(functools.partial(lambda a, b=1: a + b, 1), name="partial")
    assert [list(registry[name].options) for name in ("Point", "moved", "object", "partial")] == [
        ["x"],
        ["by"],
        ["times"],
        ["b"],
    ]
    assert registry["object"].options["times"].type == "float"


def test_default_registry_is_what_the_free_decorator_adds_to() -> None:
    def of_the_default_registry() -> int:
        return 1

    try:
        assert weft.task("of_the_default_registry")(of_the_default_registry) is of_the_default_registry
        assert "of_the_default_registry" in weft.default_registry
    finally:
        weft.default_registry._tasks.pop("of_the_default_registry")


def test_a_program_without_a_file_is_no_notebook(monkeypatch: pytest.MonkeyPatch, registry: weft.Registry) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)  # python -c, a worker of a test runner
    assert codes_of(lambda: registry.type("positive", lambda n: n > 1)) == ["name.duplicate"]


def test_a_cell_of_a_notebook_may_be_executed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = weft.Registry()
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    names: dict[str, Any] = {"registry": registry, "__name__": "__main__"}
    for text in ("1", "2"):
        exec(f"@registry.task\ndef cell():\n    return {text}\n", names)
    function = registry["cell"].function
    assert function is not None
    assert function() == 2
    types = "registry.type('small', lambda n: n < {0})\nregistry.environment('lab', python='{0}')\n"
    for number in (1, 2):
        exec(types.format(number), names)
    assert registry.problem_of(1, "small") is None
    assert registry.environments()["lab"].python == "2"
    exec("@registry.task(deps=[cell])\ndef after(cell): ...\n", names)
    exec("@registry.task(product='list')\ndef cell():\n    return []\n", names)
    with pytest.raises(weft.DefinitionError, match="depend on itself"):
        exec("@registry.task(deps=['after'])\ndef cell(): ...\n", names)


# --- mistakes ----------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_definition_are_told_together_at_the_users_line(registry: weft.Registry) -> None:
    def define() -> None:
        registry.task(
            lambda nope, k: 1,
            name="fit",
            product="lisst",
            deps=["nope", "fetc"],
            options={"k": weft.Option("positive", default=-1), "m": "int"},
            timeout="never",
            resources={"memory": "1X"},
            retries=3,
        )

    found = problems_of(define)
    assert {problem.code for problem in found} == {
        *("ref.task", "option.unknown", "option.type", "ref.type", "unit.size", "unit.time", "shape.unknown_key"),
    }
    line = define.__code__.co_firstlineno + 1
    assert all(problem.file is not None and problem.file.endswith("test_typed_definitions.py") for problem in found)
    assert all(problem.line is not None and line <= problem.line <= line + 10 for problem in found)
    hints = [problem.hint for problem in found]
    assert "did you mean 'fetch'?" in hints
    assert "did you mean 'list'?" in hints
    assert "say max_attempts=..." in hints
    assert not any("fit" in name for name in registry)


@pytest.mark.parametrize(
    ("written", "meant"), [("list[int]", "list_of(int)"), ("list[list[str]]", "list_of(list_of(str))")]
)
def test_a_list_that_is_written_as_a_hint_is_told_as_a_type_is_written(written: str, meant: str) -> None:
    def make() -> Any:
        return []

    with pytest.raises(weft.DefinitionError) as raised:
        weft.Registry().task(make, product=written)
    (problem,) = raised.value.problems()
    assert (problem.code, problem.hint) == ("ref.type", f"write {meant}")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"product": "nope"}, "ref.type"),
        ({"product": 3}, "shape.type"),
        ({"product": weft.list_of("nope")}, "ref.type"),
        ({"product": weft.list_of(weft.stream_of("int"))}, "shape.value"),
        ({"deps": ["a"]}, "ref.task"),
        ({"deps": [3]}, "shape.type"),
        ({"deps": ["fetch", "fetch"]}, "name.duplicate"),
        ({"deps": [weft.each("fetch"), weft.gather("fetch")]}, "name.duplicate"),
        ({"deps": [weft.gather()]}, "shape.missing"),
        ({"deps": [{"as": "k"}]}, "shape.missing"),
        ({"deps": [{"name": "fetch", "to": "k"}]}, "shape.unknown_key"),
        ({"deps": [{"name": "fetch", "as": "nope"}]}, "slot.unknown"),
        ({"deps": [{"name": "fetch", "as": "1"}]}, "shape.value"),
        ({"deps": [weft.each("number")]}, "shape.conflict"),
        ({"options": ["k"]}, "shape.type"),
        ({"options": {"1": "int"}}, "name.invalid"),
        ({"options": {"k": weft.Option("int", default=lambda: 1)}}, "option.type"),
        ({"options": {"k": weft.Option("int", default="x")}}, "option.type"),
        ({"options": {"k": weft.Option("int", default=None)}}, "option.type"),
        ({"options": {"k": weft.Option("raising", default=1)}}, "option.type"),
        ({"options": {"k": weft.Option(weft.list_of("int"), default=[1, "x"])}}, "option.type"),
        ({"options": {"k": weft.Option(weft.stream_of("int"))}}, "shape.value"),
        ({"roles": {"x": "op"}}, "option.unknown"),
        ({"roles": {"k": "ops"}}, "shape.value"),
        ({"version": 1.5}, "shape.type"),
        ({"outputs": [3]}, "shape.type"),
        ({"max_attempts": 0}, "shape.value"),
        ({"max_attempts": True}, "shape.type"),
        ({"niceness": 20}, "shape.value"),
        ({"cache": "sometimes"}, "shape.value"),
        ({"retry_on": ["exits"]}, "shape.value"),
        ({"interruptible": 1}, "shape.type"),
        ({"attributes": {"a": object()}}, "shape.type"),
        ({"resources": {"cores": -1}}, "shape.value"),
        ({"resources": {"memory": 5}}, "unit.size"),
        ({"resources": [1]}, "shape.type"),
        ({"timeout": 0}, "unit.time"),
    ],
)
def test_a_mistake_has_its_code(registry: weft.Registry, words: dict[str, Any], code: str) -> None:
    registry.type("raising", lambda n: n / 0, parent="int")
    registry.task(lambda: 1, name="number", product="int")
    assert codes_of(lambda: registry.task(lambda k, item=1: 1, name="a", **words)) == [code]


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (lambda: 1, "name.invalid"),
        (3, "name.invalid"),
        (max, "shape.value"),
        (functools.partial(int, "3"), "name.invalid"),
    ],
)
def test_what_cannot_be_a_task_is_refused(registry: weft.Registry, function: Any, code: str) -> None:
    assert code in codes_of(lambda: registry.task(function))


def test_positional_parameters_are_refused_unless_they_have_a_default(registry: weft.Registry) -> None:
    def needs(a: int, /) -> int:
        return a

    def may(a: int = 1, /, b: int = 2) -> int:
        return a + b

    assert codes_of(lambda: registry.task(needs)) == ["shape.value"]
    registry.task(may)
    assert list(registry["may"].options) == ["b"]


def test_hints_that_contradict_what_is_given_are_mistakes(registry: weft.Registry) -> None:
    def body(k: str = "x") -> int:
        return 1

    assert codes_of(lambda: registry.task(body, product="str")) == ["shape.conflict"]
    assert codes_of(lambda: registry.task(body, options={"k": weft.Option("positive", default=1)})) == [
        "shape.conflict"
    ]
    assert registry.task(body, product="int") is body


def test_a_hint_may_name_a_type_that_is_defined_later(registry: weft.Registry) -> None:
    body = took("even")
    registry.task(body, name="before")
    registry.type("even", lambda number: number % 2 == 0, parent="int")
    registry.task(body, name="after")
    assert [registry[name].options["got"].type for name in ("before", "after")] == ["any", "even"]


def took(hint: Any) -> Callable[..., Any]:
    def body(got: Any) -> None: ...

    body.__annotations__["got"] = hint
    return body


@pytest.mark.parametrize(
    ("dependency", "hint", "is_mistake"),
    [
        ({"name": "fetch", "as": "got"}, int, True),
        ({"name": "fetch", "as": "got"}, list[str], False),
        ({"name": "rows", "as": "got"}, Iterator[int], False),
        ({"name": "rows", "as": "got"}, Iterator[str], True),
        ({"name": "rows", "as": "got"}, list, True),
        ({"name": "numbers", "as": "got"}, Iterator[int], False),
        ({"name": "count", "as": "got"}, Iterator[int], True),
        (weft.each("rows", as_="got"), "positive", False),
        (weft.each("rows", as_="got"), str, True),
        (weft.each("numbers", as_="got"), str, True),
        (weft.each("squared", as_="got"), str, True),
        ({"name": "squared", "as": "got"}, list[int], False),
        ({"name": "squared", "as": "got"}, int, True),
        (weft.gather("squared", as_="got"), list[str], True),
        (weft.gather("rows", as_="got"), list[int], False),
        (weft.gather("count", "squared", as_="got"), list[str], True),
        (weft.gather("count", "squared", as_="got"), list[int], False),
        (weft.gather("count", "squared", as_="got"), int, True),
    ],
)
def test_what_a_parameter_receives_is_compared_with_its_hint(
    registry: weft.Registry, dependency: Any, hint: Any, is_mistake: bool
) -> None:
    registry.task(lambda: iter([1]), name="rows", product=weft.stream_of("positive"))
    registry.task(lambda: [1], name="numbers", product=weft.list_of(int))
    registry.task(lambda: 1, name="count", product=int)
    registry.task(lambda rows: rows, name="squared", product=int, deps=[weft.each("rows")])
    if is_mistake:
        assert set(codes_of(lambda: registry.task(took(hint), deps=[dependency]))) == {"shape.conflict"}
    else:
        registry.task(took(hint), deps=[dependency])


def test_a_product_that_may_be_none_is_of_any_type(registry: weft.Registry) -> None:
    def body() -> int | None:
        return None

    registry.task(body)
    assert registry["body"].product.type == "any"


def test_a_generator_whose_product_is_no_stream_is_a_mistake(registry: weft.Registry) -> None:
    def rows():  # type: ignore[no-untyped-def]
        yield 1

    assert codes_of(lambda: registry.task(rows, product="list")) == ["shape.conflict"]
    assert codes_of(lambda: registry.task(inspect.unwrap(rows), product=list)) == ["shape.conflict"]


def test_each_without_a_parameter_that_could_receive_the_item_is_a_mistake(registry: weft.Registry) -> None:
    assert codes_of(lambda: registry.task(lambda: 1, name="a", deps=[weft.each("fetch")])) == ["shape.missing"]
    assert codes_of(lambda: registry.task(lambda x, y: 1, name="a", deps=[weft.each("fetch")])) == ["shape.missing"]
    message = problems_of(
        lambda: registry.task(lambda x, fetch, other: 1, name="a", deps=[weft.each("fetch"), weft.each("other")])
    )[0].message
    assert "other" in message


def test_one_parameter_cannot_be_a_dependency_and_an_option(registry: weft.Registry) -> None:
    words: dict[str, Any] = {"deps": ["fetch"], "options": {"fetch": "list"}}
    assert codes_of(lambda: registry.task(lambda fetch: 1, name="a", **words)) == ["shape.conflict"]


def test_a_task_may_not_have_the_name_of_an_instance(registry: weft.Registry) -> None:
    registry.task(lambda row: row, name="mapped", deps=[weft.each("fetch")])
    assert codes_of(lambda: registry.task(lambda: 1, name="mapped[1]")) == ["name.duplicate"]
    registry.task(lambda: 1, name="fetch[1]")


def test_a_predicate_that_exits_is_a_failed_check(registry: weft.Registry) -> None:
    registry.type("leaving", lambda n: sys.exit(3))
    assert registry.problem_of(1, "leaving") == "1 is no 'leaving': its predicate raised SystemExit: 3"


def test_names_are_unique_and_the_first_place_is_told(registry: weft.Registry) -> None:
    found = problems_of(lambda: registry.task(lambda: 1, name="fetch"))
    assert [problem.code for problem in found] == ["name.duplicate"]
    assert "test_typed_definitions.py, line" in found[0].message


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("int", None), "name.duplicate"),
        (("positive", None), "name.duplicate"),
        (("small", 3), "shape.type"),
        (("small", None, "integer"), "ref.type"),
        (("small", None, 3), "shape.type"),
        (("", None), "name.invalid"),
        (("list_of(int)", None), "name.invalid"),
        ((3, None), "name.invalid"),
    ],
)
def test_mistakes_of_types(registry: weft.Registry, arguments: tuple[Any, ...], code: str) -> None:
    assert codes_of(lambda: registry.type(*arguments)) == [code]


def test_the_parents_predicate_comes_first_and_one_that_raises_is_a_failed_check(registry: weft.Registry) -> None:
    asked: list[object] = []

    def is_small(n: int) -> bool:
        asked.append(n)
        return n < 10

    registry.type("small", is_small, parent="positive")
    assert registry.problem_of(-1, "small") == "-1 is no 'positive'"
    assert registry.problem_of("x", "small") == "'x' is no int"
    assert asked == []
    assert registry.problem_of(11, "small") == "11 is no 'small'"
    registry.type("raising", lambda n: {}[n])
    assert registry.problem_of(1, "raising") == "1 is no 'raising': its predicate raised KeyError: 1"
    assert registry.problem_of([1, [2, 0]], "list_of(any)") is None
    assert registry.problem_of([[1], [2, 0]], "list_of(list_of(positive))") == "item 1: item 1: 0 is no 'positive'"


def test_a_value_whose_repr_raises_is_told_nevertheless(registry: weft.Registry) -> None:
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    registry.type("never", lambda value: False)
    assert "its repr raises RuntimeError" in str(registry.problem_of(Silent(), "never"))


def test_a_value_is_checked_against_any_way_to_name_a_type(registry: weft.Registry) -> None:
    assert (
        registry.problem_of([[1], [0]], weft.list_of(weft.list_of("positive"))) == "item 1: item 0: 0 is no 'positive'"
    )
    assert registry.problem_of(1, int) is None


def test_a_function_that_replaces_a_value_takes_what_the_first_function_took(registry: weft.Registry) -> None:
    registry.task(lambda fetch, k: k, name="fit", deps=["fetch"], options={"k": weft.Option("positive", default=2)})
    again = registry.override("fit", value=1).override("fit", function=lambda fetch, k: k)
    assert again["fit"].edges == registry["fit"].edges
    assert again["fit"].options == registry["fit"].options
