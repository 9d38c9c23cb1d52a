"""Tasks that look alike, taken together: by template, else by the beginning of the name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from weft.formats.export.layout import depths
from weft.spec.graph import Graph
from weft.spec.tasks import Task

_STEM: Final = re.compile(r"[^\d\[/:.#-]*[^\d\[/:.#_\s-]")
WORST_FIRST: Final = ("failed", "running", "cancelled", "skipped", "pending", "ok")
"""The state that a group shows: the first of these that one of its tasks is in."""


def family(task: Task) -> str:
    """What a task is one of many of: its template, else its name up to the first digit or separator."""
    if task.policy.template is not None:
        return task.policy.template
    stem = _STEM.match(task.name)
    return stem.group() if stem else task.name


def families(tasks: Sequence[Task]) -> dict[str, list[int]]:
    """Task indexes by family, families and members in plan order."""
    groups: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        groups.setdefault(family(task), []).append(index)
    return groups


def boxes(graph: Graph, limit: int) -> list[tuple[str, list[int]]]:
    """At most `limit` groups that hold every task once: families by layer, else families, else ranges of layers."""
    depth = depths(len(graph.tasks), tuple(graph.edges()))
    by_layer: dict[tuple[str, int], list[int]] = {}
    for index, task in enumerate(graph.tasks):
        by_layer.setdefault((family(task), depth[index]), []).append(index)
    if len(by_layer) <= limit:
        return [(name, members) for (name, _), members in by_layer.items()]
    groups = families(graph.tasks)
    if 1 < len(groups) <= limit:
        return list(groups.items())
    wide = -(-(max(depth) + 1) // limit)
    by_range: dict[int, list[int]] = {}
    for index, own in enumerate(depth):
        by_range.setdefault(own // wide, []).append(index)
    return [
        (f"layer {part + 1}" if wide == 1 else f"layers {part * wide + 1:,}-{part * wide + wide:,}", members)
        for part, members in sorted(by_range.items())
    ]


def counts(names: Sequence[str], states: Mapping[str, str] | None) -> dict[str, int]:
    """How many of the named tasks are in each state, worst first; tasks without a state are not counted."""
    if not states:
        return {}
    found: dict[str, int] = dict.fromkeys(WORST_FIRST, 0)
    for name in names:
        state = states.get(name)
        if state is not None:
            found[state] = found.get(state, 0) + 1
    return {state: number for state, number in found.items() if number}
