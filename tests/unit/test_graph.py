"""The graph: edges, mistakes, queries."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest

from weft.spec.actions import Command
from weft.spec.graph import Graph, GraphError, UnknownTask
from weft.spec.tasks import Dependency, Policy, Task

TRUE = Command(("true",))


def task(name: str, *dependencies: str, duration: float | None = None) -> Task:
    policy = Policy(duration=duration)
    return Task(name, TRUE, tuple(Dependency(dependency) for dependency in dependencies), policy=policy)


def graph(*lines: str) -> Graph:
    """Of lines such as `c: a b`."""
    return Graph(tasks(lines))


def tasks(lines: Iterable[str]) -> list[Task]:
    return [task(name, *needs.split()) for name, _, needs in (line.partition(":") for line in lines)]


def mistakes(*lines: str) -> GraphError:
    with pytest.raises(GraphError) as caught:
        graph(*lines)
    return caught.value


DIAMOND = ("a:", "b: a", "c: a", "d: b c", "e:")


def test_an_empty_graph_has_nothing() -> None:
    empty = graph()
    assert len(empty) == 0
    assert list(empty.first_dependency) == [0]
    assert list(empty.first_follower) == [0]
    assert empty.critical_path() == ()
    assert list(empty.topological()) == []


def test_the_arrays_hold_dependencies_as_declared_and_followers_in_plan_order() -> None:
    made = graph("a:", "b:", "d: b a", "c: a b")
    assert list(made.first_dependency) == [0, 0, 0, 2, 4]
    assert list(made.dependencies) == [1, 0, 0, 1]
    assert list(made.first_follower) == [0, 2, 4, 4, 4]
    assert list(made.followers) == [2, 3, 2, 3]


def test_other_policies_make_the_same_graph_of_tasks_that_are_treated_otherwise() -> None:
    shared = Policy(executor="far")
    graph = Graph([Task("a", TRUE, policy=shared), Task("b", TRUE, (Dependency("a"),), policy=shared)])
    asked: list[Policy] = []

    def here(policy: Policy) -> Policy:
        asked.append(policy)
        return replace(policy, executor=None)

    placed = graph.with_policies(here)
    assert asked == [shared]
    assert [task.policy.executor for task in placed] == [None, None]
    assert [task.policy.executor for task in graph] == ["far", "far"]
    assert placed == Graph([replace(task, policy=replace(shared, executor=None)) for task in graph])
    assert (placed.downstream("a"), list(placed.topological())) == (("b",), [0, 1])


def test_an_edge_that_is_declared_twice_is_one_edge() -> None:
    made = graph("a:", "b:", "c: b a b a", "d: a")
    assert made.upstream("c") == ("b", "a")
    assert made.downstream("a") == ("c", "d")
    assert list(made.edges()) == [(1, 2), (0, 2), (0, 3)]


def test_neighbouring_edges_of_two_tasks_are_not_taken_for_a_double_one() -> None:
    made = graph("a:", "b:", "c: a b")
    assert list(made.dependencies) == [0, 1]
    assert list(made.followers) == [2, 2]


def test_tasks_may_come_before_what_they_depend_on() -> None:
    made = graph("c: b", "b: a", "a:")
    assert made.names(made.topological()) == ("a", "b", "c")
    assert made.ancestors("c") == ("b", "a")


def test_plan_order_is_kept_where_it_is_topological() -> None:
    assert list(graph(*DIAMOND).topological()) == [0, 1, 2, 3, 4]


def test_all_mistakes_are_told_at_once() -> None:
    error = mistakes("a: nope", "b: b", "a:", "c: d gone", "d: c", "a: nope")
    assert error.duplicates == ("a",)
    assert error.unknown == (("a", "nope"), ("c", "gone"))
    assert error.cycles == (("b",), ("c", "d"))
    assert [(problem.code, problem.message) for problem in error.problems()] == [
        ("name.duplicate", "two tasks are named 'a'"),
        ("ref.task", "task 'a' depends on 'nope', which does not exist"),
        ("ref.task", "task 'c' depends on 'gone', which does not exist"),
        ("graph.cycle", "cycle 'b' -> 'b'"),
        ("graph.cycle", "cycle 'c' -> 'd' -> 'c'"),
    ]
    assert str(error) == "; ".join(problem.message for problem in error.problems())
    assert error.exit_code == 2


def test_a_name_that_occurs_twice_stands_for_the_first_task() -> None:
    error = mistakes("a: b", "b:", "a: c", "c: a")
    assert error.duplicates == ("a",)
    assert error.cycles == ()


def test_a_cycle_names_each_member_before_what_it_depends_on() -> None:
    assert mistakes("a: c", "b: a", "c: b").cycles == (("a", "c", "b"),)


def test_of_entangled_cycles_a_shortest_one_is_told() -> None:
    assert mistakes("a: b", "b: c", "c: d", "d: a e", "e: d").cycles == (("d", "e"),)
    assert mistakes("a: b", "b: c", "c: d", "d: a", "x: y", "y: z", "z: x b", "c2: x").cycles == (
        ("a", "b", "c", "d"),
        ("x", "y", "z"),
    )


def test_a_shortest_cycle_that_does_not_pass_the_first_member_is_found() -> None:
    ring = [f"n{i}: n{(i + 1) % 9}" for i in range(9)]
    ring[6] = "n6: n7 n4"
    assert mistakes(*ring).cycles == (("n4", "n5", "n6"),)


def test_longer_ways_round_do_not_replace_a_shorter_cycle() -> None:
    assert mistakes("a: b", "b: c", "c: a d", "d: e", "e: f", "f: g", "g: d c").cycles == (("a", "b", "c"),)


def test_a_task_that_depends_on_itself_does_not_hide_a_longer_cycle() -> None:
    assert mistakes("a: a b", "b: a").cycles == (("a",), ("a", "b"))


def test_a_cycle_that_is_declared_twice_is_told_once() -> None:
    assert mistakes("a: b b", "b: a a").cycles == (("a", "b"),)


def test_tasks_that_only_lead_into_a_cycle_are_not_part_of_it() -> None:
    assert mistakes("root:", "a: root b", "b: a", "after: b").cycles == (("a", "b"),)


def test_graph_code_needs_no_recursion() -> None:
    count = 100_000
    names = [f"t{i}" for i in range(count)]
    chain = [task(names[0]), *(task(name, before) for before, name in pairwise(names))]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        made = Graph(reversed(chain))
        assert len(made.ancestors(names[-1])) == count - 1
        assert len(made.descendants(names[0])) == count - 1
        assert made.remaining([1.0] * count)[made.index_of(names[0])] == count
        assert len(made.critical_path()) == count
        assert len(made.between(names[10], names[-10])) == count - 19
        with pytest.raises(GraphError) as caught:
            Graph([task(names[0], names[-1]), *chain[1:]])
    finally:
        sys.setrecursionlimit(limit)
    assert [len(cycle) for cycle in caught.value.cycles] == [count]


def test_a_wide_knot_of_cycles_is_searched_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.spec.cycles.SEARCH_STEPS", 10)
    layers = [f"l{layer}.{i}: l{(layer + 1) % 5}.0 l{(layer + 1) % 5}.1" for layer in range(5) for i in range(2)]
    (cycle,) = mistakes(*layers).cycles
    assert len(cycle) == 5


def test_direct_and_distant_relatives() -> None:
    made = graph(*DIAMOND)
    assert made.upstream("d") == ("b", "c")
    assert made.downstream("a") == ("b", "c")
    assert made.ancestors("d") == ("a", "b", "c")
    assert made.descendants("a") == ("b", "c", "d")
    assert made.ancestors("d", "b") == ("a", "b", "c")
    assert made.descendants("e") == ()
    assert made.roots() == ("a", "e")
    assert made.leaves() == ("d", "e")


def test_relatives_can_be_bounded_by_distance() -> None:
    made = graph("a:", "b: a", "c: b", "d: c")
    assert made.ancestors_indexes((3,), depth=2) == (1, 2)
    assert made.descendants_indexes((0,), depth=1) == (1,)
    assert made.descendants_indexes((0,), depth=0) == ()


def test_between_holds_the_ends_and_every_way_from_one_to_the_other() -> None:
    made = graph(*DIAMOND)
    assert made.between("a", "d") == ("a", "b", "c", "d")
    assert made.between("b", "d") == ("b", "d")
    assert made.between("b", "b") == ("b",)


def test_between_is_empty_when_there_is_no_way() -> None:
    made = graph(*DIAMOND)
    assert made.between("d", "a") == ()
    assert made.between("b", "c") == ()


def test_the_critical_path_is_the_chain_that_takes_longest() -> None:
    made = graph(*DIAMOND)
    assert made.critical_path({"c": 5.0}) == ("a", "c", "d")
    assert made.critical_path({"e": 50.0}) == ("e",)


def test_of_equally_long_paths_the_first_in_plan_order_is_told() -> None:
    assert graph(*DIAMOND).critical_path() == ("a", "b", "d")


def test_declared_durations_count_unless_measured_ones_are_given() -> None:
    made = Graph([task("a", duration=2.0), task("b", duration=9.0), task("c", "a", duration=0.0)])
    assert made.critical_path() == ("b",)
    assert made.critical_path({"b": 1.0}) == ("a", "c")
    assert list(made.weights({"c": 4.0})) == [2.0, 9.0, 4.0]


def test_remaining_is_a_task_and_the_heaviest_way_to_a_leaf() -> None:
    made = graph("d: b c", "b: a", "c: a", "a:", "e:")
    weights = [1.0, 2.0, 5.0, 10.0, 3.0]
    assert list(made.remaining(weights)) == [1.0, 3.0, 6.0, 16.0, 3.0]


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    made = graph("fetch:", "fit: fetch")
    with pytest.raises(UnknownTask) as caught:
        made.ancestors("ftch")
    assert caught.value.hint == "did you mean 'fetch'?"
    assert str(caught.value) == "there is no task 'ftch'"
    assert caught.value.exit_code == 2
    with pytest.raises(KeyError):
        made["nothing like it"]


def test_a_graph_is_a_collection_of_its_tasks() -> None:
    made = graph(*DIAMOND)
    assert "a" in made
    assert "z" not in made
    assert made["d"].name == "d"
    assert [each.name for each in made] == ["a", "b", "c", "d", "e"]
    assert made == graph(*DIAMOND)
    assert made != graph("a:")
    assert made != "a"
    assert repr(made) == "<Graph of 5 tasks, 4 edges>"
    assert made.indexes(["d", "a", "d"]) == (0, 3)
    assert made.select("d,a") == ("a", "d")
