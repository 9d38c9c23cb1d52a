"""The selector language."""

from __future__ import annotations

import pytest

from weft.spec.actions import Command
from weft.spec.graph import Graph
from weft.spec.select import SelectError, select
from weft.spec.tasks import Dependency, Policy, Task


def task(name: str, *needs: str, tags: tuple[str, ...] = (), **attributes: object) -> Task:
    policy = Policy(tags=tags, attributes=attributes)  # type: ignore[arg-type]
    return Task(name, Command(("true",)), tuple(map(Dependency, needs)), policy=policy)


CHAIN = Graph(
    [
        task("fetch", tags=("io", "night shift")),
        task("clean", "fetch", stage="first", level=1, fast=True),
        task("fit", "clean", stage="second", level=2),
        task("report", "fit", tags=("io",), note="a b"),
        task("alone"),
    ]
)
ODD = Graph(
    [
        task("a"),
        task("a+b", "a"),
        task("x,y", "a+b"),
        task("two words", "x,y"),
        task("tile[1]"),
        task("tile1"),
        task('say "hi"'),
        task("!not"),
        task("p & q"),
        task("tag:x"),
        task("+a"),
    ]
)


def chosen(expression: str, graph: Graph = CHAIN, states: object = None) -> list[str]:
    return list(graph.names(select(graph, expression, states)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("fit", "fit"),
        (" fit ", "fit"),
        ("f*", "fetch fit"),
        ("f?t", "fit"),
        ("[cr]*", "clean report"),
        ("*", "fetch clean fit report alone"),
        ("+fit", "fetch clean fit"),
        ("fit+", "fit report"),
        ("+fit+", "fetch clean fit report"),
        ("1+fit", "clean fit"),
        ("2+report", "clean fit report"),
        ("clean+1", "clean fit"),
        ("1+fit+1", "clean fit report"),
        ("0+fit", "fit"),
        ("99999999999999999999+fit", "fetch clean fit"),
        ("f*+1", "fetch clean fit report"),
        ("tag:io", "fetch report"),
        ('tag:"night shift"', "fetch"),
        ("tag:io+1", "fetch clean report"),
        ("attr:stage=first", "clean"),
        ("attr:stage", "clean fit"),
        ("attr:level=2", "fit"),
        ("attr:fast=true", "clean"),
        ('attr:note="a b"', "report"),
        ("fit,fetch", "fetch fit"),
        ("fetch+ & +fit", "fetch clean fit"),
        ("fetch+&!fit", "fetch clean report alone".replace(" alone", "")),
        ("!fit", "fetch clean report alone"),
        ("!!fit", "fit"),
        ("! ! fit", "fit"),
        ("!f* & !alone", "clean report"),
        ("fit, !fit & alone", "fit alone"),
        ("alone, f* & *t", "fit alone"),
        ('"fit"', "fit"),
        ('+"fit"+1', "fetch clean fit report"),
    ],
)
def test_an_expression_selects_in_plan_order(expression: str, names: str) -> None:
    assert chosen(expression) == names.split()


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("a+b", ["a+b"]),
        ("x,y", ["x,y"]),
        ("p & q", ["p & q"]),
        ("+a", ["+a"]),
        ("!not", ["!not"]),
        ("tag:x", ["tag:x"]),
        ("two words", ["two words"]),
        ("tile[1]", ["tile[1]"]),
        ("tile[1],tile1", ["tile[1]", "tile1"]),
        ("tile[12]", ["tile1"]),
        ('+"x,y"', ["a", "a+b", "x,y"]),
        ('"a"+', ["a", "a+b", "x,y", "two words"]),
        ("1+two words", ["x,y", "two words"]),
        ('"say \\"hi\\""', ['say "hi"']),
        ('"x,y", "p & q"', ["x,y", "p & q"]),
        ("a+b+1", ["a+b", "x,y"]),
    ],
)
def test_a_name_that_exists_wins_and_quotes_take_text_literally(expression: str, names: list[str]) -> None:
    assert chosen(expression, ODD) == names


@pytest.mark.parametrize(
    "states", [["ok", "failed", "ok", "failed", "pending"], {"clean": "failed", "report": "failed"}]
)
def test_states_select_tasks_of_a_run(states: object) -> None:
    assert chosen("state:failed", states=states) == ["clean", "report"]
    assert chosen("state:failed+", states=states) == ["clean", "fit", "report"]
    assert chosen("state:skipped", states=states) == []


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("ftch", "there is no task 'ftch'", "did you mean 'fetch'?"),
        ("+ftch", "there is no task 'ftch'", "did you mean 'fetch'?"),
        ("repor?t", "no task matches 'repor?t'", "did you mean 'report'?"),
        ("zz*", "no task matches 'zz*'", None),
        ("tag:oi", "no task has the tag 'oi'", None),
        ("tag:night shif", "no task has the tag 'night shif'", "did you mean 'night shift'?"),
        ("attr:stag=first", "no task has the attribute 'stag=first'", "did you mean 'stage'?"),
        ("attr:stage=third", "no task has the attribute 'stage=third'", None),
        ("attr:lvl", "no task has the attribute 'lvl'", "did you mean 'level'?"),
        ("state:failed", "'state:failed' asks for states, and there is no run to take them from", None),
        ("", "the selector '' lacks a name", "put names that hold , or & in double quotes"),
        ("fit,", "the selector 'fit,' lacks a name", "put names that hold , or & in double quotes"),
        ("fit &", "the selector 'fit &' lacks a name", "put names that hold , or & in double quotes"),
        ("!", "the selector '!' lacks a name", "put names that hold , or & in double quotes"),
        ("+", "there is no task '+'", None),
        ("2+", "there is no task '2'", None),
        ("+ ", "there is no task '+'", None),
        ('"fit', "the quotes in '\"fit' do not close", 'write "..." around the whole name'),
        ('"fit"x', "the quotes in '\"fit\"x' do not close", 'write "..." around the whole name'),
        ('"', "the quotes in '\"' do not close", 'write "..." around the whole name'),
        ('"FIT "', "there is no task 'FIT '", "did you mean 'fit'?"),
    ],
)
def test_what_selects_nothing_is_an_error_with_the_nearest_name(
    expression: str, message: str, hint: str | None
) -> None:
    with pytest.raises(SelectError) as caught:
        chosen(expression)
    assert str(caught.value) == message
    assert caught.value.hint == hint


def test_an_unknown_state_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SelectError, match="no state 'faild'") as caught:
        chosen("state:faild", states=["ok"] * 5)
    assert caught.value.hint == "did you mean 'failed'?"
    with pytest.raises(SelectError) as caught:
        chosen("state:xyz", states=["ok"] * 5)
    assert caught.value.hint == "states are pending, running, ok, failed, skipped, cancelled"


def test_names_of_digits_are_names() -> None:
    graph = Graph([task("0"), task("1", "0"), task("2", "1")])
    assert chosen("0+", graph) == ["0", "1", "2"]
    assert chosen("+2", graph) == ["0", "1", "2"]
    assert chosen("1+2", graph) == ["1", "2"]
    assert chosen("1,2", graph) == ["1", "2"]


def test_a_long_expression_needs_no_recursion() -> None:
    assert chosen("!" * 100_000 + "fit") == ["fit"]
    assert chosen(",".join(["fit"] * 5_000)) == ["fit"]


def test_a_name_that_does_not_exist_in_an_empty_graph_has_no_hint() -> None:
    with pytest.raises(SelectError) as caught:
        select(Graph([]), "a")
    assert caught.value.hint is None
