"""The graph drawn with characters: one task a line, edges as rails beside them; large graphs as a table of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from weft.formats.export.grouping import counts, family
from weft.formats.export.layout import depths
from weft.spec.plan import Plan

LINE_LIMIT: Final = 200  # tasks (or groups of equal neighbours) that are drawn one by one
RAIL_LIMIT: Final = 16  # rails side by side; more is no longer readable
ALIKE: Final = 5  # so many tasks with the same dependencies and followers are drawn as one line
LAYER_LIMIT: Final = 60  # rows of the table
FAMILIES_SHOWN: Final = 4  # of one layer
NAMES_SHOWN: Final = 3  # of a group
NAME_CHARACTERS: Final = 60
STARTS: Final = ("○", "◇")  # nothing leads to them from above, even where a rail has just ended


def render(plan: Plan, states: Mapping[str, str] | None = None) -> str:
    """The graph as text, with the tasks' states when given; at most some 200 lines, whatever its size."""
    tasks = plan.graph.tasks
    if not tasks:
        return "no tasks\n"
    names = [task.name for task in tasks]
    edges = list(plan.graph.edges())
    knots = _knots(len(names), edges) if len(names) <= LINE_LIMIT * 50 else []
    drawing = _rails(knots) if 0 < len(knots) <= LINE_LIMIT else None
    head = f"{len(names):,} task{'s' if len(names) != 1 else ''}, {len(edges):,} edge{'s' if len(edges) != 1 else ''}"
    if drawing is None:
        return "\n".join(_table(plan, edges, states, head)) + "\n"
    width = max(len(rails) for rails, _ in drawing)
    lines = [f"{head}  ({_legend(drawing)})", ""]
    for rails, knot in drawing:
        shown = "" if knot is None else _label([names[task] for task in knots[knot].members], states)
        lines.append(f"{rails:<{width}}  {shown}".rstrip())
    return "\n".join(lines) + "\n"


class _Knot(NamedTuple):
    """Tasks that stand on one line, with the knots before and behind them."""

    members: list[int]
    before: list[int]
    behind: list[int]


def _knots(count: int, edges: Sequence[tuple[int, int]]) -> list[_Knot]:
    """One knot per task, save that at least ALIKE tasks with equal dependencies and followers share one."""
    before: list[list[int]] = [[] for _ in range(count)]
    behind: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        before[end].append(start)
        behind[start].append(end)
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for task in range(count):
        alike.setdefault((tuple(sorted(before[task])), tuple(sorted(behind[task]))), []).append(task)
    knot_of = [0] * count
    members: list[list[int]] = []
    for together in sorted(
        group for tasks in alike.values() for group in ([tasks] if len(tasks) >= ALIKE else [[task] for task in tasks])
    ):
        for task in together:
            knot_of[task] = len(members)
        members.append(together)
    return [
        _Knot(
            tasks,
            list(dict.fromkeys(knot_of[task] for task in before[tasks[0]])),
            list(dict.fromkeys(knot_of[task] for task in behind[tasks[0]])),
        )
        for tasks in members
    ]


# --- rails -------------------------------------------------------------------------------------------------------------


def _rails(knots: Sequence[_Knot]) -> list[tuple[str, int | None]] | None:
    """Lines as (rails, knot or None for a line of joints); None when there are too many rails side by side.

    A rail belongs to a knot that was drawn and goes down until the last knot behind it has been drawn.
    """
    lines: list[tuple[str, int | None]] = []
    columns: list[int | None] = []
    pending = [len(knot.behind) for knot in knots]
    for knot in _order(knots):
        sources = [column for column, owner in enumerate(columns) if owner in knots[knot].before]
        ending = set()
        for column in sources:
            owner = columns[column]
            assert owner is not None
            pending[owner] -= 1
            if not pending[owner]:
                ending.add(column)
        place = min(ending) if ending else _free(columns)
        if sources and sources != [place]:
            lines.append((_joint(columns, sources, ending, place), None))
        for column in ending:
            columns[column] = None
        while len(columns) <= place:
            columns.append(None)
        columns[place] = knot
        one, several = ("●", "◆") if sources else STARTS
        lines.append((_row(columns, {place: one if len(knots[knot].members) == 1 else several}), knot))
        if not knots[knot].behind:
            columns[place] = None
        while columns and columns[-1] is None:
            columns.pop()
        if len(columns) > RAIL_LIMIT:
            return None
    return lines


def _order(knots: Sequence[_Knot]) -> list[int]:
    """Dependencies first; otherwise go deep, so that few rails are open at a time."""
    waiting = [len(knot.before) for knot in knots]
    stack = [knot for knot in range(len(knots) - 1, -1, -1) if not waiting[knot]]
    order = []
    while stack:
        knot = stack.pop()
        order.append(knot)
        for behind in reversed(knots[knot].behind):
            waiting[behind] -= 1
            if not waiting[behind]:
                stack.append(behind)
    return order


def _free(columns: Sequence[int | None]) -> int:
    return next((column for column, owner in enumerate(columns) if owner is None), len(columns))


def _row(columns: Sequence[int | None], marks: Mapping[int, str]) -> str:
    return " ".join(marks.get(column, " " if owner is None else "│") for column, owner in enumerate(columns))


def _joint(columns: Sequence[int | None], sources: Sequence[int], ending: set[int], place: int) -> str:
    """The line that leads from the sources' rails to the column of the knot below it."""
    low, high = min(*sources, place), max(*sources, place)
    text = ""
    for column in range(max(len(columns), high + 1)):
        up = column < len(columns) and columns[column] is not None
        inside = low <= column <= high
        joined = column in sources or column == place
        down = column == place or (up and column not in ending)
        if joined:
            text += _CORNERS[up, down, column > low, column < high]
        elif up:
            text += "│"
        else:
            text += "─" if inside else " "
        text += "─" if low <= column < high else " "
    return text.rstrip()


_CORNERS: Final = {
    (up, down, left, right): character
    for up, down, left, right, character in (
        (True, True, False, False, "│"),
        (True, True, False, True, "├"),
        (True, True, True, False, "┤"),
        (True, True, True, True, "┼"),
        (True, False, False, True, "╰"),
        (True, False, True, False, "╯"),
        (True, False, True, True, "┴"),
        (False, True, False, True, "╭"),
        (False, True, True, False, "╮"),
        (False, True, True, True, "┬"),
    )
}
"""Line pieces by the sides that they touch: up, down, left, right."""


# --- words -------------------------------------------------------------------------------------------------------------


def _label(names: Sequence[str], states: Mapping[str, str] | None) -> str:
    found = counts(names, states)
    if len(names) == 1:
        return _cut(names[0]) + (f"  [{next(iter(found))}]" if found else "")
    tally = f"  [{_tally(found)}]" if found else ""
    shown = names if len(names) <= NAMES_SHOWN + 2 else (*names[:NAMES_SHOWN], f"… {_cut(names[-1])}")
    return f"{', '.join(map(_cut, shown))}  ({len(names):,} tasks){tally}"


def _legend(drawing: Sequence[tuple[str, int | None]]) -> str:
    """What the signs of this drawing mean."""
    signs = {sign for rails, _ in drawing for sign in rails}
    one, group = STARTS
    parts = [f"{one} depends on nothing"] if one in signs else []
    if group in signs:
        parts.append(f"{group} a group that does" if parts else f"{group} depend on nothing")
    return ", ".join(parts)


def _tally(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in found.items())


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"


def _table(plan: Plan, edges: Sequence[tuple[int, int]], states: Mapping[str, str] | None, head: str) -> list[str]:
    """The layers (by longest path) with the families of tasks in them; long graphs with several layers a row."""
    tasks = plan.graph.tasks
    depth = depths(len(tasks), edges)
    layers = max(depth) + 1
    step = -(-layers // LAYER_LIMIT)
    rows: list[list[int]] = [[] for _ in range(-(-layers // step))]
    for task, own in enumerate(depth):
        rows[own // step].append(task)
    lines = [f"{head}, {layers:,} layer{'s' if layers != 1 else ''} (a summary: too large to draw as text)", ""]
    for place, members in enumerate(rows):
        first, last = place * step + 1, min(layers, place * step + step)
        by_family: dict[str, int] = {}
        for task in members:
            name = family(tasks[task])
            by_family[name] = by_family.get(name, 0) + 1
        shown = [
            f"{_cut(name)} × {number:,}" if number > 1 else _cut(name)
            for name, number in list(by_family.items())[:FAMILIES_SHOWN]
        ]
        if len(by_family) > FAMILIES_SHOWN:
            shown.append(f"… {len(by_family) - FAMILIES_SHOWN:,} more kinds")
        found = counts([tasks[task].name for task in members], states)
        tally = f"  [{_tally(found)}]" if found else ""
        label = f"layer {first:,}" if first == last else f"layers {first:,}-{last:,}"
        lines.append(f"{label:<20} {len(members):>9,}  {', '.join(shown)}{tally}")
    return lines
