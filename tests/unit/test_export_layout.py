"""Layered drawings: boxes apart, edges to the right, few crossings, sensible shapes."""

from __future__ import annotations

from itertools import combinations

import pytest

from weft.formats.export.layout import BOX_HEIGHT, Layout, arrange, depths, spread

Edges = list[tuple[int, int]]


def chain(count: int) -> Edges:
    return [(node, node + 1) for node in range(count - 1)]


def fan(count: int) -> Edges:
    """One start, `count` between, one end."""
    return [(0, node) for node in range(1, count + 1)] + [(node, count + 1) for node in range(1, count + 1)]


def overlapping(layout: Layout) -> list[tuple[int, int]]:
    def overlap(one: int, two: int) -> bool:
        a, b = layout.boxes[one], layout.boxes[two]
        return a.x < b.x + b.width and b.x < a.x + a.width and abs(a.y - b.y) < BOX_HEIGHT

    return [(one, two) for one, two in combinations(range(len(layout.boxes)), 2) if overlap(one, two)]


def test_a_node_lies_behind_the_longest_path_to_it() -> None:
    assert depths(5, [(0, 1), (1, 2), (0, 2), (2, 3), (4, 3)]) == [0, 1, 2, 3, 0]


def test_a_start_is_drawn_next_to_the_first_that_needs_it() -> None:
    boxes = arrange([50] * 5, [(0, 1), (1, 2), (2, 3), (4, 3)]).boxes
    assert boxes[4].x == boxes[2].x


def test_nothing_to_draw_is_an_empty_drawing() -> None:
    assert arrange([], []).boxes == ()


@pytest.mark.parametrize(
    ("count", "edges"),
    [
        (1, []),
        (7, []),
        (40, chain(40)),
        (32, fan(30)),
        (202, fan(200)),
        (6, [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (0, 4), (5, 4)]),
    ],
)
def test_boxes_never_overlap_and_lie_inside_the_drawing(count: int, edges: Edges) -> None:
    layout = arrange([60.0 + node % 5 * 20 for node in range(count)], edges)
    assert not overlapping(layout)
    for box in layout.boxes:
        assert box.x >= 0 and box.x + box.width <= layout.width
        assert box.y >= 0 and box.y + BOX_HEIGHT <= layout.height


def test_every_edge_is_drawn_from_its_source_to_its_target() -> None:
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)]
    layout = arrange([50] * 4, edges)
    assert sorted((line.source, line.target) for line in layout.lines if line.target is not None) == sorted(edges)
    for line in layout.lines:
        if line.target is not None:
            box = layout.boxes[line.target]
            assert line.after[-1] == (box.x, box.y + BOX_HEIGHT / 2)


def test_long_edges_pass_beside_the_boxes_between() -> None:
    edges = [*chain(4), (0, 3)]
    layout = arrange([50] * 4, edges)
    passing = [line for line in layout.lines if line.source == 0 and line.target is None]
    assert len(passing) == 2
    for line, node in zip(passing, (1, 2), strict=True):
        assert abs(line.after[-1][1] - (layout.boxes[node].y + BOX_HEIGHT / 2)) >= BOX_HEIGHT / 2


def test_two_crossed_pairs_are_uncrossed() -> None:
    boxes = arrange([50] * 4, [(0, 3), (1, 2)]).boxes
    assert (boxes[0].y < boxes[1].y) == (boxes[3].y < boxes[2].y)


def test_a_diamond_is_symmetric() -> None:
    boxes = arrange([50] * 4, [(0, 1), (0, 2), (1, 3), (2, 3)]).boxes
    assert boxes[0].y == boxes[3].y == pytest.approx((boxes[1].y + boxes[2].y) / 2)


def test_a_long_chain_is_folded_into_bands() -> None:
    layout = arrange([60] * 1000, chain(1000))
    assert layout.width < 6 * layout.height
    assert sum(bool(line.folded) for line in layout.lines) == len({box.y for box in layout.boxes}) - 1


def test_a_wide_layer_is_folded_into_columns() -> None:
    layout = arrange([60] * 2002, fan(2000))
    assert layout.height < 3 * layout.width
    assert len({box.x for box in layout.boxes}) > 3


def test_the_drawing_is_the_same_every_time() -> None:
    edges = [(node, other) for node in range(40) for other in range(node + 1, 40) if (node * 7 + other) % 11 == 0]
    assert arrange([60] * 40, edges) == arrange([60] * 40, edges)


def test_spread_keeps_wishes_that_do_not_touch_and_shares_the_push_of_those_that_do() -> None:
    assert spread([0, 100], [10, 10]) == [0, 100]
    assert spread([50, 50], [10, 10]) == [45, 55]
    assert spread([30, 0, 100], [10, 10, 10]) == [10, 20, 100]
