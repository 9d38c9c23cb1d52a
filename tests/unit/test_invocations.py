"""From definitions and values to a plan: who takes part, what parameters hold, and every mistake in one error."""

from __future__ import annotations

import math
import pickle
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.errors import Problem
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.formats.snapshot import restore, snapshot
from weft.spec.actions import Call, Serialized
from weft.spec.options import Opaque
from weft.spec.requirements import FileNeed
from weft.spec.tasks import Dependency


def fetch(url: str) -> list[int]:
    return [len(url)]


def fit(fetch: list[int], k: int, mode: str = "fast") -> dict[str, int]:
    return {mode: sum(fetch) * k}


def is_positive(n: int) -> bool:
    return n > 0


@pytest.fixture
def registry() -> weft.Registry:
    made = weft.Registry()
    made.type("positive", is_positive, parent="int")
    made.task(fetch)
    made.task(fit, deps=[fetch], options={"k": weft.Option("positive", default=2)})
    made.task(lambda: 1, name="other")
    return made


def problems_of(registry: weft.Registry, targets: Any, options: Any) -> tuple[Problem, ...]:
    with pytest.raises(weft.PlanError) as told:
        registry.invoke(targets, options)
    return told.value.problems()


def test_targets_and_what_they_need_take_part(registry: weft.Registry) -> None:
    plan = registry.invoke("fit", {"fetch": {"url": "ab"}})
    assert [task.name for task in plan.graph.tasks] == ["fetch", "fit"]
    assert [task.name for task in registry.invoke(["other", fetch], {"fetch.url": ""}).graph.tasks] == [
        "fetch",
        "other",
    ]
    assert len(registry.invoke(None, {"fetch.url": ""}).graph) == 3


def test_the_plan_is_known_by_its_module_and_its_targets(registry: weft.Registry) -> None:
    one, two = registry.invoke("other"), registry.invoke(["fit", "other"], {"fetch.url": ""})
    assert (one.spec.key, one.spec.family) == (f"registry:{__name__}:other", f"registry:{__name__}")
    assert (two.spec.key, two.spec.family) == (f"registry:{__name__}:fit,other", f"registry:{__name__}")
    assert registry.invoke(["other", "fit"], {"fetch.url": ""}).spec.key == two.spec.key


def test_a_value_that_is_nested_without_end_is_a_mistake_and_one_in_a_circle_is_pickled(
    registry: weft.Registry,
) -> None:
    registry.task(lambda value: value, name="takes")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    (problem,) = problems_of(registry, "takes", {"takes.value": deep})
    assert (problem.code, "nested more than 200 deep" in problem.message) == ("option.type", True)
    circle: list[Any] = []
    circle.append(circle)
    assert registry.invoke("takes", {"takes.value": circle})


def test_values_come_nested_or_flat_and_defaults_fill_the_rest(registry: weft.Registry) -> None:
    task = registry.invoke("fit", {"fetch": {"url": "ab"}, "fit.k": 4}).graph["fit"]
    assert dict(task.parameters) == {"k": 4, "mode": "fast"}
    assert task.dependencies == (Dependency("fetch", "fetch"),)
    assert isinstance(task.action, Call)
    assert task.action.function == f"{__name__}:fit"
    assert task.action.paths == (str(Path(__file__).parents[__name__.count(".")]),)
    assert list(task.action.code) == ["code:fit"]


def test_every_mistake_is_told_at_once_with_its_place_and_the_nearest_name(registry: weft.Registry) -> None:
    found = problems_of(
        registry,
        ["fitt", "fit"],
        {"fit": {"k": -1, "modus": 1}, "fetch.ur": 1, "fetchh": {"url": 1}, "fit.k": 3, 3: 4, "other": 5},
    )
    assert [(problem.code, problem.location, problem.hint) for problem in found] == [
        ("ref.task", None, "did you mean 'fit'?"),
        ("option.type", "fit.k", None),
        ("option.unknown", "fit.modus", "did you mean 'mode'?"),
        ("option.unknown", "fetch.ur", "did you mean 'url'?"),
        ("option.unknown", "fetchh", "did you mean 'fetch'?"),
        ("shape.conflict", "fit.k", "give it once"),
        ("option.unknown", None, "give {'task': {'option': value}}"),
        ("option.type", "other", "give {'other': {'option': value}}, or 'other.option'"),
        ("option.missing", "fetch.url", "it is of type 'str'; give it, or a default"),
    ]


def test_options_of_tasks_that_do_not_take_part_are_checked_and_not_demanded(registry: weft.Registry) -> None:
    registry.invoke("other", {"fit": {"k": 4}})
    assert [problem.code for problem in problems_of(registry, "other", {"fit": {"k": "x"}})] == ["option.type"]


def test_no_body_and_no_predicate_of_a_product_is_called(registry: weft.Registry) -> None:
    called: list[object] = []
    registry.type("noted", lambda value: called.insert(0, value) is None)
    registry.task(lambda: called.append(1), name="body", product="noted")
    registry.invoke("body")
    assert called == []


def test_a_predicate_that_raises_is_a_failed_check(registry: weft.Registry) -> None:
    registry.type("raising", lambda value: value.nothing)
    registry.task(lambda x: x, name="a", options={"x": "raising"})
    (problem,) = problems_of(registry, "a", {"a.x": 1})
    assert problem.code == "option.type"
    assert "its predicate raised AttributeError: 'int' object has no attribute 'nothing'" in problem.message


def test_none_is_taken_where_the_hint_says_so(registry: weft.Registry) -> None:
    def maybe(x: int | None, y: int = 1) -> None: ...

    registry.task(maybe)
    assert dict(registry.invoke("maybe", {"maybe.x": None}).graph["maybe"].parameters) == {"x": None, "y": 1}
    assert [problem.location for problem in problems_of(registry, "maybe", {"maybe": {"x": 1, "y": None}})] == [
        "maybe.y"
    ]


def test_the_plan_holds_copies_of_plain_values(registry: weft.Registry) -> None:
    registry.task(lambda rows, more=[1]: rows, name="a")
    rows = [1, {"b": 2}]
    plan = registry.invoke("a", {"a": {"rows": rows}})
    rows.append(3)
    parameters = plan.graph["a"].parameters
    assert dict(parameters) == {"rows": [1, {"b": 2}], "more": [1]}
    parameters["more"].append(2)  # type: ignore[union-attr]
    assert registry.invoke("a", {"a": {"rows": rows}}).graph["a"].parameters["more"] == [1]


@pytest.mark.parametrize(
    "value", [(1, 2), {1, 2}, float("nan"), float("inf"), {1: 2}, Path("x"), b"ab", 10**5000, [(1,)]], ids=type
)
def test_what_is_no_plain_data_is_pickled_with_a_digest(registry: weft.Registry, value: Any) -> None:
    registry.task(lambda x: x, name="a")
    held: Any = registry.invoke("a", {"a": {"x": value}}).graph["a"].parameters["x"]
    assert isinstance(held, Opaque)
    back = pickle.loads(b64decode(held.pickle))
    assert back == value or (isinstance(value, float) and math.isnan(value) and math.isnan(back))


@pytest.mark.parametrize("value", [1, -0.0, True, None, "x", [1.5, {"a": None}], "\ud800"])
def test_plain_data_stays_as_it_is(registry: weft.Registry, value: Any) -> None:
    registry.task(lambda x: x, name="a")
    held: Any = registry.invoke("a", {"a": {"x": value}}).graph["a"].parameters["x"]
    assert repr(held) == repr(value)


def test_what_cannot_be_pickled_is_told_before_the_run(registry: weft.Registry) -> None:
    lock = threading.Lock()
    registry.task(lambda x: x, name="a")
    registry.task(lambda: lock, name="b")
    found = problems_of(registry, ["a", "b"], {"a": {"x": lock}})
    assert [(problem.code, problem.location) for problem in found] == [("option.type", "a.x"), ("shape.value", "b")]


def test_a_path_given_as_text_is_a_path_where_the_hint_asks_for_one(registry: weft.Registry) -> None:
    def read(path: Path, other: str = "x") -> None: ...

    registry.task(read)
    held: Any = registry.invoke("read", {"read": {"path": "data"}}).graph["read"].parameters["path"]
    assert isinstance(held, Opaque)
    assert pickle.loads(b64decode(held.pickle)) == Path("data")


def test_a_file_that_an_option_names_is_required_and_one_of_role_op_or_a_path_is_not(registry: weft.Registry) -> None:
    registry.type("table", lambda path: path.endswith(".csv"), parent="file")
    options = {"a": weft.Option("table"), "b": weft.Option("file", default="b.txt"), "c": "path", "d": "file"}
    registry.task(lambda a, b, c, d: None, name="read", options=options, roles={"d": "op"})
    given = {"a": "x.csv", "c": "y", "d": "z"}
    assert registry.invoke("read", {"read": given}).graph["read"].requires.files == (
        FileNeed("x.csv"),
        FileNeed("b.txt"),
    )


def test_functions_that_cannot_be_imported_go_by_value(registry: weft.Registry) -> None:
    action = registry.invoke("other").graph["other"].action
    assert isinstance(action, Call)
    assert isinstance(action.function, Serialized)
    assert pickle.loads(b64decode(action.function.data or ""))() == 1


def test_tasks_of_one_function_share_its_call(registry: weft.Registry) -> None:
    registry.task(fetch, name="again")
    graph = registry.invoke(["fetch", "again"], {"fetch.url": "", "again.url": ""}).graph
    assert graph["fetch"].action is graph["again"].action


def test_a_version_stands_for_the_code(registry: weft.Registry) -> None:
    registry.task(fetch, name="pinned", version="2")
    action = registry.invoke("pinned", {"pinned.url": ""}).graph["pinned"].action
    assert isinstance(action, Call)
    assert list(action.code) == ["version"]


def test_types_of_products_come_with_all_that_they_come_from(registry: weft.Registry) -> None:
    registry.task(lambda: [1], name="a", product=weft.list_of("positive"))
    plan = registry.invoke("a")
    assert {name: (kind.parent, kind.items, kind.predicate) for name, kind in plan.spec.types.items()} == {
        "list_of(positive)": ("list", "positive", None),
        "positive": ("int", None, f"{__name__}:is_positive"),
    }
    assert "type:positive" not in plan.graph["a"].action.code  # type: ignore[union-attr]


def everything() -> weft.Registry:
    made = weft.Registry()
    made.type("positive", is_positive, parent="int")
    made.task(fetch, resources={"memory": "1G"}, timeout="1h", roles={"url": "op"}, outputs=["x.bin"])
    made.task(lambda fetch, k=(1, 2): fetch, name="by value", deps=["fetch"], product=weft.list_of("positive"))

    @made.task(product=weft.stream_of("positive"))
    def rows() -> Iterator[int]:
        yield 1

    made.task(lambda row: row, name="each", deps=[weft.each("rows")])
    made.task(lambda rows, k=b"a": rows, name="gather", deps=[weft.gather("each")], options={"k": "bytes"})
    return made


def test_a_snapshot_is_restored_exactly() -> None:
    plan = everything().invoke(None, {"fetch": {"url": "x"}}).spec
    back = restore(snapshot(plan))
    assert back == plan
    assert snapshot(back) == snapshot(plan)


def test_a_compiled_registry_is_canonical(tmp_path: Path) -> None:
    plan = everything().invoke(None, {"fetch": {"url": "x"}}).spec
    compiled = compile_plan(plan)
    (tmp_path / "compiled.json").write_bytes(compiled)
    back = load([str(tmp_path / "compiled.json")]).plan
    assert compile_plan(back) == compiled
    assert list(back.graph.tasks) == list(plan.graph.tasks)
    assert (back.family, dict(back.types)) == (plan.family, dict(plan.types))


# --- overlays ----------------------------------------------------------------------------------------------------------


def test_an_override_gives_a_child_and_leaves_the_original_as_it_was(registry: weft.Registry) -> None:
    child = registry.override("fetch", value=[1, 2])
    assert child.parent is registry
    assert [task.name for task in child.invoke("fit").graph.tasks] == ["fetch", "fit"]
    assert problems_of(registry, "fit", {})[0].code == "option.missing"
    assert child.find("fetch").value == [1, 2]  # type: ignore[union-attr]


def test_options_of_an_overridden_task_may_still_be_given(registry: weft.Registry) -> None:
    child = registry.override(fetch, function=lambda: [3])
    child.invoke("fit", {"fetch": {"url": "x"}})
    assert [problem.code for problem in problems_of(child, "fit", {"fetch": {"ur": "x"}})] == ["option.unknown"]


def test_a_function_keeps_what_the_task_depends_on_as_far_as_it_takes_it(registry: weft.Registry) -> None:
    child = registry.override("fit", function=lambda k, extra=1: {"k": k})
    definition = child["fit"]
    assert definition.edges == (Dependency("fetch"),)
    assert {name: option.type for name, option in definition.options.items()} == {"k": "positive", "extra": "any"}
    assert definition.product.type == "dict"


def test_the_value_of_a_file_and_another_task_can_stand_in(registry: weft.Registry, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[1, 2]", encoding="utf-8")
    registry.task(lambda: [7], name="fake", product=weft.list_of("int"))
    assert registry.override("fetch", file=tmp_path / "rows.json").find("fetch").value == [1, 2]  # type: ignore[union-attr]
    child = registry.override("fetch", task="fake")
    assert child["fetch"].function is registry["fake"].function
    assert child.invoke("fit").graph["fetch"].name == "fetch"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "shape.conflict"),
        ({"value": 1, "function": fetch}, "shape.conflict"),
        ({"value": "x"}, "option.type"),
        ({"value": ["x"]}, "option.type"),
        ({"file": "nowhere.json"}, "read.missing"),
        ({"task": "fitt"}, "ref.task"),
        ({"task": "fit"}, "shape.conflict"),
        ({"task": "after"}, "graph.cycle"),
        ({"function": lambda: 1, "value": None}, "shape.conflict"),
    ],
)
def test_mistakes_of_overrides(registry: weft.Registry, arguments: dict[str, Any], code: str) -> None:
    registry.task(lambda: [1], name="after", deps=["fit"], product=weft.list_of("int"))
    with pytest.raises(weft.DefinitionError) as told:
        registry.override("fetch", **arguments)
    assert told.value.problems()[0].code == code


def test_an_override_of_nothing_names_the_nearest(registry: weft.Registry) -> None:
    with pytest.raises(weft.DefinitionError, match="did you mean 'fetch'") as told:
        registry.override("fetsh", value=[1])
    assert told.value.problems()[0].code == "ref.task"


def test_a_hint_that_contradicts_the_product_of_what_is_overridden_is_a_mistake(registry: weft.Registry) -> None:
    def wrong() -> str:
        return ""

    with pytest.raises(weft.DefinitionError):
        registry.override("fetch", function=wrong)


def test_children_overlay_parents_and_see_what_those_define_later(registry: weft.Registry) -> None:
    child = registry.child()
    child.task(lambda: 2, name="other")
    registry.task(lambda: 3, name="later")
    assert (child["other"].function(), registry["other"].function(), child["later"].function()) == (2, 1, 3)  # type: ignore[misc]
    assert list(child) == ["fetch", "fit", "other", "later"]


def test_a_long_line_of_children_is_looked_through_without_recursion(registry: weft.Registry) -> None:
    child = registry
    for _ in range(5000):
        child = child.child()
    assert [task.name for task in child.invoke("other").graph.tasks] == ["other"]


def test_a_value_that_is_no_plain_data_stands_in_by_its_pickle(registry: weft.Registry) -> None:
    registry.task(lambda: (1, 2), name="pair")
    task = registry.override("pair", value=(3, 4)).invoke("pair").graph["pair"]
    assert isinstance(task.action, Call)
    assert isinstance(task.parameters["val"], Opaque)
