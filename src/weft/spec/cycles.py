"""Finds the cycles that keep tasks from being a graph."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate

SEARCH_STEPS = (
    20_000_000  # edges looked at for one shortest cycle, some seconds; then the shortest found so far is told
)


def find_cycles(first: Sequence[int], links: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Each self-dependency, and of each strongly connected component a shortest cycle of the rest.

    first, links: flat adjacency, `links[first[i] : first[i + 1]]` is what i depends on.
    Each member of a cycle depends on the next, the last on the first; the member that stands first in the plan leads.
    """
    cycles: list[tuple[int, ...]] = [
        (node,) for node in range(len(first) - 1) if node in links[first[node] : first[node + 1]]
    ]
    for component in components(first, links):
        cycle = _shortest_cycle(component, first, links)
        lead = cycle.index(min(cycle))
        cycles.append((*cycle[lead:], *cycle[:lead]))
    return tuple(sorted(cycles))


def components(first: Sequence[int], links: Sequence[int]) -> list[list[int]]:
    """Strongly connected components of two or more nodes. Cost: O(nodes + edges). Source: Tarjan 1972, iterative."""
    count = len(first) - 1
    order = array("i", [-1]) * count
    low = array("i", bytes(4 * count))
    cursor = array("i", first[:count])
    on_stack = bytearray(count)
    stack: list[int] = []
    found: list[list[int]] = []
    clock = 0
    for root in range(count):
        path = [root] if order[root] < 0 else []
        while path:
            node = path[-1]
            if order[node] < 0:
                order[node] = low[node] = clock
                clock += 1
                stack.append(node)
                on_stack[node] = 1
            if cursor[node] < first[node + 1]:
                target = links[cursor[node]]
                cursor[node] += 1
                if order[target] < 0:
                    path.append(target)
                elif on_stack[target]:
                    low[node] = min(low[node], order[target])
                continue
            path.pop()
            if path:
                low[path[-1]] = min(low[path[-1]], low[node])
            if low[node] == order[node]:
                component = _pop_component(node, stack, on_stack)
                if len(component) > 1:
                    found.append(component)
    return found


def _pop_component(node: int, stack: list[int], on_stack: bytearray) -> list[int]:
    start = len(stack) - 1
    while stack[start] != node:
        start -= 1
    component = stack[start:]
    del stack[start:]
    for member in component:
        on_stack[member] = 0
    return component


def _shortest_cycle(component: list[int], first: Sequence[int], links: Sequence[int]) -> list[int]:
    """Search from each member for the way back to it, never deeper than the best; then take it out: its cycles are known.

    What can no longer be on a cycle goes with it, so that a plain ring is looked through once, not once per member.
    """
    members = sorted(component)
    local = {node: number for number, node in enumerate(members)}
    out = [
        sorted({local[link] for link in links[first[node] : first[node + 1]] if link in local and link != node})
        for node in members
    ]
    ring = _Trimmed(out)
    best: list[int] = []
    steps = SEARCH_STEPS
    for start in range(len(members)):
        if ring.is_gone[start]:
            continue
        found, used = _way_back(start, out, ring.is_gone, len(best) - 1 if best else len(members))
        best = found or best
        steps -= used
        if len(best) == 2 or steps <= 0:
            break
        ring.remove(start)
    return [members[number] for number in best]


def _way_back(start: int, out: list[list[int]], is_gone: bytearray, limit: int) -> tuple[list[int], int]:
    """A shortest cycle through `start` of at most `limit` members (else empty), and how many edges were looked at."""
    parents = {start: -1}
    level, depth, used = [start], 1, 0
    while level and depth <= limit:
        following: list[int] = []
        for node in level:
            used += len(out[node])
            for target in out[node]:
                if target == start:
                    cycle = [node]
                    while parents[cycle[-1]] >= 0:
                        cycle.append(parents[cycle[-1]])
                    return cycle[::-1], used
                if target not in parents and not is_gone[target]:
                    parents[target] = node
                    following.append(target)
        level, depth = following, depth + 1
    return [], used


class _Trimmed:
    """Which nodes may still lie on a cycle: a node without an edge in or without one out does not."""

    __slots__ = ("_edges_in", "_edges_out", "_into", "_out", "is_gone")

    def __init__(self, out: list[list[int]]):
        self._out = out
        self._into: list[list[int]] = [[] for _ in out]
        for node, targets in enumerate(out):
            for target in targets:
                self._into[target].append(node)
        self._edges_out = [len(targets) for targets in out]
        self._edges_in = [len(sources) for sources in self._into]
        self.is_gone = bytearray(len(out))

    def remove(self, node: int) -> None:
        """Take the node out, and whatever that leaves without a way in or out."""
        self.is_gone[node] = 1
        pending = [node]
        while pending:
            gone = pending.pop()
            for neighbours, edges in ((self._out[gone], self._edges_in), (self._into[gone], self._edges_out)):
                for neighbour in neighbours:
                    edges[neighbour] -= 1
                    if not edges[neighbour] and not self.is_gone[neighbour]:
                        self.is_gone[neighbour] = 1
                        pending.append(neighbour)


def prefix_sums(counts: Sequence[int]) -> array[int]:
    """Where each group starts when groups of these sizes lie one after the other; one more entry for the end."""
    return array("i", accumulate(counts, initial=0))
