"""Where the boxes of a layered drawing stand: layers from left to right, rows from top to bottom.

Steps after Sugiyama, Tagawa, Toda 1981: layers by longest path, one stand-in per layer that a long edge passes, fewer
crossings by barycentres, rows by least squares. Two additions for plans: a layer with very many boxes is folded into
several columns, and a drawing that would be a thin line is folded into bands, like the lines of a text. Edges of one
source share their stand-ins, so the number of lines grows with the tasks and not with the edges.
Everything is iterative; cost is O(nodes + edges + stand-ins) per sweep.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

ROW_HEIGHT = 36.0  # pixels from box to box
BOX_HEIGHT = 26.0
STAND_IN_HEIGHT = 10.0
COLUMN_GAP = 26.0  # between the columns of a folded layer
MARGIN = 24.0
FOLD_ABOVE = 64  # boxes in one layer; beyond it the layer takes several columns
STAND_IN_BUDGET = 40_000  # more would hide the picture and cost seconds; longer edges are then drawn straight
SWEEPS = 8
SETTLES = 6
BAND_ASPECT = 12.0  # a drawing this many times wider than high is folded into bands,
BAND_WIDTH = 2_400.0  # but none that a wide screen shows as it is

Point = tuple[float, float]


class Box(NamedTuple):
    """A node's place: its left upper corner and width, in pixels."""

    x: float
    y: float
    width: float


class Line(NamedTuple):
    """A piece of an edge. source: the node it comes from; target: the node it reaches, None at a stand-in.

    before: points from the box to the border of its layer. after: points from the border of the next layer to the box.
    folded: both lie in different bands; the points between are to be joined straight, else by a curve.
    """

    source: int
    target: int | None
    before: tuple[Point, ...]
    after: tuple[Point, ...]
    folded: tuple[Point, ...] = ()


class Layout(NamedTuple):
    """A finished drawing: boxes by node, lines grouped by source, size in pixels."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


def depths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path that leads to each node, in edges. edges: (from, to), without cycles."""
    followers: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        followers[source].append(target)
        waiting[target] += 1
    depth = [0] * count
    ready = [node for node in range(count) if not waiting[node]]
    for node in ready:  # grows while it is walked
        for follower in followers[node]:
            depth[follower] = max(depth[follower], depth[node] + 1)
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return depth


def arrange(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place boxes of these widths (pixels) so that every edge (from, to) leads to the right. No cycles, no doubles."""
    if not widths:
        return Layout((), (), 2 * MARGIN, 2 * MARGIN)
    net = _Net(len(widths), edges)
    orders = _order(net)
    layers = [_Layer(net, order, widths) for order in orders]
    centres = _settle(net, layers)
    return _draw(net, layers, centres, widths)


class _Net:
    """Nodes and stand-ins by layer with their neighbours. Nodes 0..count-1 are boxes, the others stand-ins."""

    def __init__(self, count: int, edges: Sequence[tuple[int, int]]):
        self.count = count
        self.layer = _near_followers(depths(count, edges), edges)
        self.source = list(range(count))
        self.links: list[tuple[int, int]] = []
        spans = [self.layer[target] - self.layer[source] for source, target in edges]
        limit = _longest_span(spans)
        chains: dict[int, list[int]] = {}
        seen: set[tuple[int, int]] = set()
        for (source, target), span in zip(edges, spans, strict=True):
            path = [source]
            if span <= limit:
                chain = chains.setdefault(source, [])
                while len(chain) < span - 1:
                    chain.append(self._stand_in(source, self.layer[source] + len(chain) + 1))
                path += chain[: span - 1]
            path.append(target)
            for link in itertools.pairwise(path):
                if link not in seen:
                    seen.add(link)
                    self.links.append(link)
        self.left: list[list[int]] = [[] for _ in self.layer]
        self.right: list[list[int]] = [[] for _ in self.layer]
        for start, end in self.links:
            if self.layer[end] - self.layer[start] == 1:
                self.right[start].append(end)
                self.left[end].append(start)

    def _stand_in(self, source: int, layer: int) -> int:
        self.layer.append(layer)
        self.source.append(source)
        return len(self.layer) - 1


def _near_followers(depth: list[int], edges: Sequence[tuple[int, int]]) -> list[int]:
    """Move what waits for nothing next to the first that needs it: a far away start makes a long edge for nothing."""
    has_dependency = [False] * len(depth)
    nearest: list[int | None] = [None] * len(depth)
    for source, target in edges:
        has_dependency[target] = True
        known = nearest[source]
        nearest[source] = depth[target] if known is None else min(known, depth[target])
    return [depth[node] if has_dependency[node] or near is None else near - 1 for node, near in enumerate(nearest)]


def _longest_span(spans: Sequence[int]) -> int:
    """The longest span for which edges get stand-ins, so that all of them stay within the budget."""
    left = STAND_IN_BUDGET
    for span in sorted(spans):
        left -= span - 1
        if left < 0:
            return span - 1
    return max(spans, default=0)


# --- order inside the layers -------------------------------------------------------------------------------------------


def _order(net: _Net) -> list[list[int]]:
    """The nodes of each layer from top to bottom; the best of several sweeps of barycentres."""
    orders: list[list[int]] = [[] for _ in range(max(net.layer) + 1)]
    for node in sorted(range(len(net.layer)), key=lambda node: (net.source[node], node)):
        orders[net.layer[node]].append(node)
    best = [list(order) for order in orders]
    fewest = _crossings(net, orders)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        neighbours = net.left if forward else net.right
        for order in orders if forward else reversed(orders):
            _sort_by_barycentre(order, orders, neighbours, net.layer)
        crossings = _crossings(net, orders)
        if crossings < fewest:
            fewest, best = crossings, [list(order) for order in orders]
    return best


def _sort_by_barycentre(
    order: list[int], orders: list[list[int]], neighbours: list[list[int]], layer: list[int]
) -> None:
    """Sort one layer by the mean position of the neighbours; nodes without any keep their relative place."""
    near = next((neighbours[node][0] for node in order if neighbours[node]), None)
    if near is None:
        return
    fixed = orders[layer[near]]
    position = {node: place for place, node in enumerate(fixed)}
    scale = len(fixed) / len(order)
    wish = {
        node: (
            sum(position[other] for other in neighbours[node]) / len(neighbours[node])
            if neighbours[node]
            else place * scale
        )
        for place, node in enumerate(order)
    }
    order.sort(key=wish.__getitem__)


def _crossings(net: _Net, orders: list[list[int]]) -> int:
    """How often lines between neighbouring layers cross. O(links * sqrt) by sorted insertion."""
    total = 0
    for left, right in itertools.pairwise(orders):
        position = {node: place for place, node in enumerate(right)}
        seen: list[int] = []
        for node in left:
            ends = sorted(position[other] for other in net.right[node])
            for end in ends:
                total += len(seen) - bisect_left(seen, end + 1)
            for end in ends:
                seen.insert(bisect_left(seen, end), end)
    return total


# --- rows --------------------------------------------------------------------------------------------------------------


class _Layer:
    """The rows of one layer: nodes that stand side by side (one, unless the layer is folded), and their heights."""

    def __init__(self, net: _Net, order: list[int], widths: Sequence[float]):
        boxes = [node for node in order if node < net.count]
        self.width = max((widths[node] for node in boxes), default=0.0)
        rows = len(boxes) if len(boxes) <= FOLD_ABOVE else max(FOLD_ABOVE // 2, int(sqrt(5 * len(boxes))))
        self.columns = -(-len(boxes) // rows) if rows else 1
        self.rows: list[list[int]] = []
        self.heights: list[float] = []
        open_row: list[int] | None = None
        for node in order:
            if node >= net.count:
                self.rows.append([node])
                self.heights.append(STAND_IN_HEIGHT)
            elif open_row is None or len(open_row) == self.columns:
                open_row = [node]
                self.rows.append(open_row)
                self.heights.append(ROW_HEIGHT)
            else:
                open_row.append(node)

    @property
    def span(self) -> float:
        """Width of all columns together."""
        return self.columns * self.width + (self.columns - 1) * COLUMN_GAP


def _settle(net: _Net, layers: list[_Layer]) -> list[float]:
    """The vertical centre of each node: near its neighbours, in order, never closer than the rows' heights."""
    centre = [0.0] * len(net.layer)
    for layer in layers:
        _put(layer, centre, [0.0] * len(layer.rows))
    for settle in range(SETTLES):
        forward = settle % 2 == 0
        for layer in layers if forward else reversed(layers):
            both = settle >= SETTLES - 2
            wishes = [_wish(net, row, centre, forward, both) for row in layer.rows]
            _put(layer, centre, wishes)
    return centre


def _wish(net: _Net, row: list[int], centre: list[float], forward: bool, both: bool) -> float:
    total, count = 0.0, 0
    for node in row:
        first, second = (net.left[node], net.right[node]) if forward else (net.right[node], net.left[node])
        near = first + second if both else first or second
        total += sum(centre[other] for other in near)
        count += len(near)
    return total / count if count else centre[row[0]]


def _put(layer: _Layer, centre: list[float], wishes: list[float]) -> None:
    for row, place in zip(layer.rows, spread(wishes, layer.heights), strict=True):
        for node in row:
            centre[node] = place


def spread(wishes: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Places nearest to the wishes (least squares) that keep the order and do not overlap.

    Source: pool adjacent violators (Ayer et al. 1955) on wishes from which the minimal offsets are taken away.
    """
    offsets: list[float] = []
    offset = 0.0
    for place, height in enumerate(heights):
        offset += (heights[place - 1] + height) / 2 if place else 0.0
        offsets.append(offset)
    pools: list[tuple[float, int]] = []  # (mean, members)
    for wish, offset in zip(wishes, offsets, strict=True):
        mean, members = wish - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean = (mean * members + other * count) / (members + count)
            members += count
        pools.append((mean, members))
    means = [mean for mean, members in pools for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


# --- coordinates -------------------------------------------------------------------------------------------------------


class _Frame(NamedTuple):
    """What is known when lines are drawn: by layer its left border and band, by node its left border and centre."""

    borders: list[float]
    bands: list[int]
    floors: list[float]
    lefts: list[float]
    centres: list[float]
    width: float


def _draw(net: _Net, layers: list[_Layer], centres: list[float], widths: Sequence[float]) -> Layout:
    gaps = _gaps(net, len(layers))
    total = sum(layer.span for layer in layers) + sum(gaps)
    high = max(centres) - min(centres) + ROW_HEIGHT
    bands = max(1, round(sqrt(total / (2 * (high + ROW_HEIGHT))))) if total > max(BAND_WIDTH, BAND_ASPECT * high) else 1
    frame = _frame(layers, centres, gaps, total / bands)
    boxes = tuple(
        Box(frame.lefts[node], frame.centres[node] - BOX_HEIGHT / 2, widths[node]) for node in range(net.count)
    )
    links = sorted(net.links, key=lambda link: (net.source[link[0]], link))
    lines = tuple(_line(net, layers, frame, widths, start, end) for start, end in links)
    return Layout(boxes, lines, frame.width, frame.floors[-1] + MARGIN)


def _gaps(net: _Net, count: int) -> list[float]:
    """Free width behind each layer: the more lines pass there, the more room they get."""
    passing = [0] * count
    for start, _ in net.links:
        passing[net.layer[start]] += 1
    return [44.0 + min(90.0, 1.5 * lines) for lines in passing[:-1]] + [0.0]


def _frame(layers: list[_Layer], centres: list[float], gaps: list[float], wide: float) -> _Frame:
    """Walk the layers from left to right and start a new band whenever `wide` pixels are full."""
    borders: list[float] = []
    bands: list[int] = []
    floors: list[float] = []
    moved = list(centres)
    lefts = [0.0] * len(centres)
    x, band, width = MARGIN, 0, 0.0
    first = 0
    for index, layer in enumerate(layers):
        if borders and x - MARGIN + layer.span > wide * 1.02:
            floors.append(_lower(layers[first:index], moved, floors))
            x, band, first = MARGIN, band + 1, index
        borders.append(x)
        bands.append(band)
        for row in layer.rows:
            for column, node in enumerate(row):
                lefts[node] = x + column * (layer.width + COLUMN_GAP)
        width = max(width, x + layer.span)
        x += layer.span + gaps[index]
    floors.append(_lower(layers[first:], moved, floors))
    return _Frame(borders, bands, floors, lefts, moved, width + MARGIN)


def _lower(layers: list[_Layer], centres: list[float], floors: list[float]) -> float:
    """Move the nodes of a band below the one before it; the new floor."""
    nodes = [node for layer in layers for row in layer.rows for node in row]
    top = (floors[-1] if floors else MARGIN) + BOX_HEIGHT
    shift = top - min(centres[node] for node in nodes)
    for node in nodes:
        centres[node] += shift
    return max(centres[node] for node in nodes) + BOX_HEIGHT


def _line(net: _Net, layers: list[_Layer], frame: _Frame, widths: Sequence[float], start: int, end: int) -> Line:
    here, there = net.layer[start], net.layer[end]
    right = frame.borders[here] + layers[here].span
    left = frame.borders[there]
    y, goal = frame.centres[start], frame.centres[end]
    is_box = start < net.count
    leaves = frame.lefts[start] + widths[start] if is_box else frame.borders[here]
    before: tuple[Point, ...] = ((leaves, y),)
    stands_behind = is_box and frame.lefts[start] + layers[here].width < right - 1
    if stands_behind:  # other boxes of the row stand in the way: pass below them
        gutter = y + ROW_HEIGHT / 2
        before += ((leaves + 8, gutter), (right, gutter))
    elif leaves < right:
        before += ((right, y),)
    after: tuple[Point, ...] = ((left, goal),)
    if end < net.count and frame.lefts[end] > left:
        gutter = goal - ROW_HEIGHT / 2
        after = ((left, gutter), (frame.lefts[end] - 8, gutter), (frame.lefts[end], goal))
    folded: tuple[Point, ...] = ()
    if frame.bands[here] != frame.bands[there]:
        floor = frame.floors[frame.bands[there] - 1]
        margin = MARGIN / 2
        folded = ((before[-1][0] + margin, before[-1][1]), (before[-1][0] + margin, floor), (left - margin, floor))
        folded += ((left - margin, after[0][1]),)
    return Line(net.source[start], end if end < net.count else None, before, after, folded)
