"""New graphs and plans from old ones."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from weft.spec.actions import Command, Snippet
from weft.spec.environments import Environment
from weft.spec.given import given
from weft.spec.graph import Graph, GraphError, UnknownTask, diff
from weft.spec.plan import Plan
from weft.spec.products import Product
from weft.spec.requirements import Foreach, Requirements
from weft.spec.resources import NO_CORES
from weft.spec.rewrites import RewriteError
from weft.spec.select import SelectError
from weft.spec.tasks import Dependency, Policy, Task
from weft.spec.types import Type

TRUE = Command(("true",))
TYPES = {"positive": Type("positive", "int", minimum=1)}


def task(name: str, *needs: str | Dependency, product: str | None = None, **policy: Any) -> Task:
    dependencies = tuple(Dependency(need) if isinstance(need, str) else need for need in needs)
    made = Policy(product=Product("json", product) if product else None, **policy)
    return Task(name, TRUE, dependencies, policy=made)


CHAIN = Graph(
    [
        task("fetch", product="list"),
        task("clean", Dependency("fetch", bind="rows"), product="int"),
        task("fit", Dependency("clean", bind="n")),
        task("report", "fit", "fetch"),
    ]
)


def names(graph: Graph) -> list[str]:
    return [each.name for each in graph]


# --- replace ---


def test_a_replaced_task_keeps_its_place_and_its_followers() -> None:
    made = CHAIN.replace("clean", replace(CHAIN["clean"], action=Snippet("x")))
    assert names(made) == names(CHAIN)
    assert made["clean"].action == Snippet("x")
    assert made.downstream("clean") == ("fit",)
    assert CHAIN["clean"].action == TRUE


def test_followers_follow_a_replacement_with_another_name() -> None:
    made = CHAIN.replace("fetch", task("download", product="list"))
    assert names(made) == ["download", "clean", "fit", "report"]
    assert made["clean"].dependencies == (Dependency("download", bind="rows"),)
    assert made.upstream("report") == ("fit", "download")


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (None, "task 'fit' takes the product of 'clean', and 'clean' has none"),
        ("str", "the product of 'clean' is of type 'str'; 'fit' takes 'int'"),
        ("any", "the product of 'clean' is of type 'any'; 'fit' takes 'int'"),
    ],
)
def test_a_replacement_whose_product_does_not_fit_is_refused(product: str | None, message: str) -> None:
    with pytest.raises(RewriteError) as caught:
        CHAIN.replace("clean", task("clean", product=product))
    assert str(caught.value) == message


def test_a_product_of_a_type_below_fits() -> None:
    assert CHAIN.replace("clean", task("clean", product="positive"), TYPES)["clean"].policy.product == Product(
        "json", "positive"
    )


def test_a_product_that_nobody_takes_may_go() -> None:
    assert CHAIN.replace("fit", task("fit", product=None))["fit"].dependencies == ()


def test_an_order_only_dependency_asks_for_no_product() -> None:
    graph = Graph([task("a", product="int"), task("b", "a")])
    assert graph.replace("a", task("a"))["a"].policy.product is None


def test_a_replacement_may_not_close_a_cycle() -> None:
    with pytest.raises(GraphError) as caught:
        CHAIN.replace("fetch", task("fetch", "report", product="list"))
    assert caught.value.cycles == (("fetch", "report"),)


def test_an_unknown_task_cannot_be_replaced() -> None:
    with pytest.raises(UnknownTask, match="no task 'fits'"):
        CHAIN.replace("fits", task("fits"))


# --- substitute ---


def test_other_tasks_stand_where_the_selected_ones_stood() -> None:
    made = CHAIN.substitute("clean,fit", [task("prepare", "fetch"), task("fit", "prepare")])
    assert names(made) == ["fetch", "prepare", "fit", "report"]
    assert made.ancestors("report") == ("fetch", "prepare", "fit")


def test_a_whole_graph_may_be_the_substitute() -> None:
    made = CHAIN.substitute(["fetch", "clean"], Graph([task("fetch", product="list"), task("clean", product="int")]))
    assert names(made) == names(CHAIN)
    assert made.upstream("clean") == ()


def test_tasks_equal_to_ones_that_stay_stand_for_these() -> None:
    made = CHAIN.substitute("fit", Graph([*CHAIN.tasks[:2], task("fit", "clean", "fetch")]))
    assert names(made) == names(CHAIN)
    assert made.upstream("fit") == ("clean", "fetch")


def test_what_stays_must_find_what_it_depends_on() -> None:
    with pytest.raises(RewriteError, match="task 'report' depends on 'fit', for which there is no substitute"):
        CHAIN.substitute("fit", [task("other")])
    with pytest.raises(RewriteError, match="task 'clean' takes the product of 'fetch', and 'fetch' has none"):
        CHAIN.substitute("fetch", [task("fetch")])


def test_a_substitute_may_not_take_the_name_of_another_task_that_stays() -> None:
    with pytest.raises(RewriteError, match="the plan has another task 'report'"):
        CHAIN.substitute("fit", [task("fit"), task("report")])


def test_substituting_nothing_adds() -> None:
    assert names(CHAIN.substitute([], [task("more", "fit")])) == [*names(CHAIN), "more"]


# --- add, remove, rename, keep, drop ---


def test_added_tasks_come_last_and_are_checked() -> None:
    assert names(CHAIN.add(task("x", "fit"), task("y", "x")))[-2:] == ["x", "y"]
    with pytest.raises(GraphError) as caught:
        CHAIN.add(task("fit"))
    assert caught.value.duplicates == ("fit",)


def test_only_what_nobody_needs_can_be_removed() -> None:
    assert names(CHAIN.remove("report", "fit")) == ["fetch", "clean"]
    with pytest.raises(RewriteError, match="task 'fit' depends on 'clean'") as caught:
        CHAIN.remove("clean")
    assert caught.value.hint == "remove both, or use drop, which cuts the dependency"


def test_a_renamed_task_is_renamed_wherever_it_is_named() -> None:
    mapped = Task(
        "each",
        TRUE,
        (Dependency("rows", each=True), Dependency("other")),
        requires=Requirements(parameters=("rows", "rows.key", "rowspan", "other")),
        policy=Policy(foreach=Foreach(stream="rows", bind="x")),
    )
    values = replace(mapped, name="values", policy=Policy(foreach=Foreach(values=(1,))))
    graph = Graph([task("rows", product="list"), task("other"), mapped, values])
    made = graph.rename("rows", "lines")
    assert names(made) == ["lines", "other", "each", "values"]
    assert made["each"].dependencies == (Dependency("lines", each=True), Dependency("other"))
    assert made["each"].requires.parameters == ("lines", "lines.key", "rowspan", "other")
    assert made["each"].policy.foreach == Foreach(stream="lines", bind="x")
    assert made["values"].policy.foreach == Foreach(values=(1,))


def test_a_task_cannot_take_a_name_that_is_taken() -> None:
    with pytest.raises(GraphError):
        CHAIN.rename("fetch", "fit")


def test_keep_cuts_dependencies_on_what_goes() -> None:
    made = CHAIN.keep("fit,report")
    assert names(made) == ["fit", "report"]
    assert made.upstream("fit") == ()
    assert made["report"].dependencies == (Dependency("fit"),)


def test_drop_is_keep_of_the_others() -> None:
    assert CHAIN.drop("fetch") == CHAIN.keep("!fetch")
    assert CHAIN.keep(["clean", "fetch"])["clean"] is CHAIN["clean"]


def test_a_mapped_task_cannot_lose_the_stream_it_maps_over() -> None:
    mapped = task("each", Dependency("rows", each=True), foreach=Foreach(stream="rows"))
    graph = Graph([task("rows", product="list"), task("other"), mapped, task("plain", "rows", "other")])
    with pytest.raises(RewriteError, match="runs once per item of 'rows', which would be gone"):
        graph.drop("rows")
    assert names(graph.drop("other")) == ["rows", "each", "plain"]


def test_a_selection_that_selects_nothing_is_an_error() -> None:
    with pytest.raises(SelectError):
        CHAIN.keep("nothing")
    with pytest.raises(UnknownTask):
        CHAIN.drop(["nothing"])


# --- diff ---


def test_a_graph_does_not_differ_from_itself() -> None:
    assert not diff(CHAIN, CHAIN)
    assert not diff(CHAIN, Graph([replace(each) for each in CHAIN]))


def test_a_difference_names_tasks_fields_and_edges() -> None:
    new = CHAIN.remove("report").add(task("plot", "fit"))
    new = new.replace("clean", replace(task("clean", product="int", timeout=5.0), parameters={"a": 1}))
    found = diff(CHAIN, new)
    assert found
    assert found.added == ("plot",)
    assert found.removed == ("report",)
    assert found.changed == {"clean": ("dependencies", "parameters", "timeout")}
    assert found.edges_added == (("fit", "plot"),)
    assert found.edges_removed == (("fetch", "clean"), ("fit", "report"), ("fetch", "report"))


# --- plans ---

PLAN = Plan(CHAIN, "/root", name="p", types=TYPES, environments={"e": Environment()})


def test_a_plan_keeps_everything_but_its_graph() -> None:
    made = PLAN.keep("fetch")
    assert names(made.graph) == ["fetch"]
    assert (made.root, made.name, made.types) == (PLAN.root, PLAN.name, PLAN.types)
    assert len(PLAN.graph) == 4


def test_a_plan_mirrors_the_rewrites_of_its_graph() -> None:
    assert PLAN.select("+fit").graph == CHAIN.keep("+fit")
    assert PLAN.drop("report").graph == CHAIN.drop("report")
    assert PLAN.add(task("x")).graph == CHAIN.add(task("x"))
    assert PLAN.remove("report").graph == CHAIN.remove("report")
    assert PLAN.rename("fit", "match").graph == CHAIN.rename("fit", "match")
    assert PLAN.substitute("fit", [task("fit")]).graph == CHAIN.substitute("fit", [task("fit")])
    assert PLAN.replace("clean", task("clean", product="positive")).graph["clean"].policy.product == Product(
        "json", "positive"
    )
    assert PLAN.diff(PLAN.drop("report")).removed == ("report",)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"environment": "f"}, "task 'x' names the environment 'f', which the plan lacks"),
        ({"notes": ("n",)}, "task 'x' names the note 'n', which the plan lacks"),
        ({"template": "t"}, "task 'x' names the template 't', which the plan lacks"),
    ],
)
def test_a_plan_knows_what_its_tasks_name(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(RewriteError) as caught:
        PLAN.add(task("x", **policy))
    assert str(caught.value) == message
    assert "x" in PLAN.add(task("x", environment="e"), Task("y", TRUE), Task("z", TRUE)).graph


def test_a_value_replaces_a_task_as_one_that_prints_it() -> None:
    value = [1, 'it\'s "quoted"\n{x} é \U0001f600', None, {"a": [True]}]
    made = PLAN.replace("fetch", value).graph["fetch"]
    assert made.dependencies == ()
    assert made.policy.product == Product("json", "list")
    assert made.policy.resources == NO_CORES
    assert isinstance(made.action, Snippet)
    (statement,) = ast.parse(made.action.source).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert json.loads(ast.literal_eval(statement.value.args[0])) == value


def test_a_value_keeps_what_was_said_about_the_task() -> None:
    made = given("a", 1, Policy(tags=("t",), attributes={"k": 1}, description="d", timeout=4.0))
    assert (made.policy.tags, made.policy.attributes, made.policy.description) == (("t",), {"k": 1}, "d")
    assert made.policy.timeout is None
    assert given("a", 1).policy == Policy(product=Product("json"), resources=NO_CORES)


def test_a_value_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(RewriteError, match="the value for 'fetch' does not fit its product: 1 is no list"):
        PLAN.replace("fetch", 1)


@pytest.mark.parametrize("value", [[float("nan")], [{1, 2}], [b"x"]])
def test_a_value_that_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(RewriteError, match="cannot be written as JSON"):
        PLAN.replace("fetch", value)


def test_a_task_without_a_product_may_be_replaced_by_any_value() -> None:
    assert PLAN.replace("fit", {"a": 1}).graph["fit"].policy.product == Product("json", "any")
    assert PLAN.replace("fit", MappingProxyType({})).graph["fit"].action == Snippet("print('{}')\n")


def test_a_list_in_the_place_of_a_stream_is_a_stream_of_its_items() -> None:
    made = Task("rows", TRUE, policy=Policy(product=Product("return", "int", stream=True)))
    plan = Plan(Graph([made, task("use", Dependency("rows", bind="rows"))]), "/")
    given_ = plan.replace("rows", [1, 2]).graph["rows"]
    assert given_.policy.product == Product("return", "int", stream=True)
    assert given_.parameters == {"typ": None, "val": [1, 2]}
    for value, message in ((5, "give a list of them"), ([1, "x"], "item 1: 'x' is no int")):
        with pytest.raises(RewriteError, match=message):
            plan.replace("rows", value)


def test_a_list_in_the_place_of_a_mapped_function_has_an_instance_for_each() -> None:
    mapped = Policy(product=Product("return", "int"), foreach=Foreach(values=(1, 2, 3), bind="n"))
    plan = Plan(Graph([Task("square", TRUE, policy=mapped)]), "/")
    made = plan.replace("square", [7, 8]).graph["square"]
    assert made.policy.foreach == Foreach(values=(7, 8), bind="val")


def test_a_graph_tells_what_another_one_has_instead() -> None:
    assert CHAIN.diff(CHAIN.drop("report")) == diff(CHAIN, CHAIN.drop("report"))
