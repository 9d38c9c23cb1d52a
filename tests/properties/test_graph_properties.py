"""Whatever the edges are, the graph agrees with a naive reading of them."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from weft.spec.actions import Command
from weft.spec.fingerprint import canonical
from weft.spec.graph import Graph, GraphError
from weft.spec.tasks import Dependency, Task

TRUE = Command(("true",))
Edges = list[tuple[int, int]]


@st.composite
def edges(draw: st.DrawFn, acyclic: bool) -> tuple[int, Edges]:
    """How many tasks, and (dependency, follower) pairs, in any order, some of them twice."""
    count = draw(st.integers(1, 12))
    node = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=30))
    if not acyclic:
        return count, pairs
    order = draw(st.permutations(range(count)))
    return count, [(order[min(pair)], order[max(pair)]) for pair in pairs if pair[0] != pair[1]]


def tasks(count: int, pairs: Edges) -> list[Task]:
    needs: list[list[Dependency]] = [[] for _ in range(count)]
    for dependency, follower in pairs:
        needs[follower].append(Dependency(str(dependency)))
    return [Task(str(i), TRUE, tuple(needs[i])) for i in range(count)]


def reachable(pairs: Edges, start: int) -> set[int]:
    """All followers of followers, the slow way."""
    found: set[int] = set()
    pending = [start]
    while pending:
        node = pending.pop()
        for dependency, follower in pairs:
            if dependency == node and follower not in found:
                found.add(follower)
                pending.append(follower)
    return found


@given(edges(acyclic=True))
def test_both_directions_hold_each_edge_once(made: tuple[int, Edges]) -> None:
    count, pairs = made
    graph = Graph(tasks(count, pairs))
    up = [(dependency, i) for i in range(count) for dependency in graph.upstream_indexes(i)]
    down = [(i, follower) for i in range(count) for follower in graph.downstream_indexes(i)]
    assert sorted(up) == down == sorted(set(pairs))
    assert sorted(graph.edges()) == down


@given(edges(acyclic=True))
def test_the_order_puts_every_task_behind_what_it_depends_on(made: tuple[int, Edges]) -> None:
    count, pairs = made
    order = list(Graph(tasks(count, pairs)).topological())
    assert sorted(order) == list(range(count))
    assert all(order.index(dependency) < order.index(follower) for dependency, follower in pairs)


@given(edges(acyclic=True), st.data())
def test_relatives_are_what_a_walk_finds(made: tuple[int, Edges], data: st.DataObject) -> None:
    count, pairs = made
    graph = Graph(tasks(count, pairs))
    one, other = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    assert set(graph.descendants_indexes((one,))) == reachable(pairs, one)
    assert set(graph.ancestors_indexes((one,))) == {i for i in range(count) if one in reachable(pairs, i)}
    after, before = reachable(pairs, one) | {one}, {i for i in range(count) if other in reachable(pairs, i)} | {other}
    assert set(graph.between_indexes(one, other)) == after & before


@given(edges(acyclic=True), st.data())
def test_the_critical_path_is_a_path_and_none_is_longer(made: tuple[int, Edges], data: st.DataObject) -> None:
    count, pairs = made
    graph = Graph(tasks(count, pairs))
    weights = [float(data.draw(st.integers(0, 9))) for _ in range(count)]
    path = graph.critical_path_indexes(weights)
    assert all(pair in pairs for pair in pairwise(path))
    longest = [0.0] * count
    for i in reversed(graph.topological()):
        longest[i] = weights[i] + max(
            [longest[follower] for dependency, follower in pairs if dependency == i], default=0
        )
    assert list(graph.remaining(weights)) == longest
    assert sum(weights[i] for i in path) == max(longest)


def length_of_shortest(pairs: Edges, inside: set[int]) -> int:
    """Of the shortest cycle, by widening from each member, the slow way."""
    links = {(a, b) for a, b in pairs if a in inside and b in inside and a != b}
    for length in range(2, len(inside) + 1):
        for start in inside:
            front = {start}
            for _ in range(length):
                front = {b for a, b in links if a in front}
            if start in front:
                return length
    raise AssertionError("no cycle")


@given(edges(acyclic=False))
def test_each_component_shows_one_of_its_shortest_cycles_and_nothing_else(made: tuple[int, Edges]) -> None:
    count, pairs = made
    from_each = [reachable(pairs, i) for i in range(count)]
    components = {
        frozenset(j for j in range(count) if j == i or (j in from_each[i] and i in from_each[j])) for i in range(count)
    }
    knots = [component for component in components if len(component) > 1]
    selfish = {i for i in range(count) if (i, i) in pairs}
    try:
        Graph(tasks(count, pairs))
    except GraphError as error:
        cycles = [tuple(map(int, cycle)) for cycle in error.cycles]
    else:
        cycles = []
    assert {cycle[0] for cycle in cycles if len(cycle) == 1} == selfish
    longer = [cycle for cycle in cycles if len(cycle) > 1]
    assert len(longer) == len(knots)
    for cycle in longer:
        (home,) = [knot for knot in knots if cycle[0] in knot]
        assert set(cycle) <= home
        assert cycle[0] == min(cycle)
        assert all((after, before) in pairs for before, after in pairwise((*cycle, cycle[0])))
        assert len(cycle) == length_of_shortest(pairs, set(home))


@given(edges(acyclic=True), st.data())
def test_a_selection_is_set_arithmetic(made: tuple[int, Edges], data: st.DataObject) -> None:
    count, pairs = made
    graph = Graph(tasks(count, pairs))
    one, other, third = (data.draw(st.integers(0, count - 1)) for _ in range(3))
    up = set(graph.ancestors_indexes((one,))) | {one}
    down = set(graph.descendants_indexes((other,))) | {other}
    assert set(map(int, graph.select(f"+{one} & {other}+"))) == up & down
    assert set(map(int, graph.select(f"+{one}, {other}+ & !{third}"))) == up | (down - {third})


@given(edges(acyclic=True), st.data())
def test_what_is_kept_keeps_its_own_edges(made: tuple[int, Edges], data: st.DataObject) -> None:
    count, pairs = made
    graph = Graph(tasks(count, pairs))
    kept = data.draw(st.sets(st.integers(0, count - 1)))
    part = graph.keep([str(i) for i in kept])
    assert [int(task.name) for task in part] == sorted(kept)
    inside = {(a, b) for a, b in pairs if a in kept and b in kept}
    assert {tuple(int(name) for name in part.names(edge)) for edge in part.edges()} == inside
    assert part == graph.drop([str(i) for i in range(count) if i not in kept])


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def typed(value: object) -> object:
    """The value with its types written beside it, so that Python's `==` tells 1 from 1.0 and true."""
    if isinstance(value, list):
        return "list", [typed(item) for item in value]
    if isinstance(value, dict):
        return "dict", {key: typed(item) for key, item in value.items()}
    return type(value).__name__, str(value) if isinstance(value, float) else value


@given(PLAIN, PLAIN)
def test_canonical_bytes_are_equal_only_for_equal_values(one: object, other: object) -> None:
    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


@given(st.dictionaries(st.text(), PLAIN, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_no_byte(value: dict[str, object], chance: random.Random) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert canonical(dict(items)) == canonical(value)
