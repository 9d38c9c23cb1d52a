"""A picture of the graph that any browser shows: layers from left to right, coloured by state, without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from weft.formats.export import palette
from weft.formats.export.grouping import boxes, counts
from weft.formats.export.layout import BOX_HEIGHT, Box, Layout, Line, Point, arrange
from weft.formats.export.markup import cut_middle as _cut
from weft.formats.export.markup import number as _n
from weft.formats.export.markup import xml as _xml
from weft.spec.plan import Plan

TASK_LIMIT: Final = 5_000  # single boxes; beyond it one box stands for a family of tasks
GROUP_LIMIT: Final = 120
NAME_CHARACTERS: Final = 30  # of a box; the whole name is in its title
CHARACTER_WIDTH: Final = 6.7  # pixels, of the 12 px font below, on the wide side
HEADER: Final = 34.0  # pixels above the drawing
SHOWN_NAMES: Final = 12  # of a group, in its title

_STYLE = (
    "text{font:12px ui-sans-serif,system-ui,'Segoe UI','DejaVu Sans',sans-serif}"
    ".e{fill:none;stroke:#8c959f;stroke-width:1.1;stroke-opacity:.75}"
    ".h{fill:#8c959f}.e:hover{stroke:#0969da;stroke-width:2.2;stroke-opacity:1}"
)


class _Picture(NamedTuple):
    """What is to be drawn. labels, titles, states: by box. tallies: (state, share of the box) for groups."""

    labels: list[str]
    titles: list[str]
    states: list[str | None]
    tallies: list[list[tuple[str, float]]]
    edges: list[tuple[int, int]]
    returning: frozenset[tuple[int, int]]
    note: str


def render(plan: Plan, states: Mapping[str, str] | None = None) -> str:
    """The plan's graph as an SVG document; states: task name -> state.

    Beyond 5,000 tasks a box stands for a family of tasks, and the header says how many single boxes were left out.
    """
    picture = _tasks(plan, states) if len(plan.graph.tasks) <= TASK_LIMIT else _groups(plan, states)
    widths = [max(46.0, 18.0 + CHARACTER_WIDTH * _columns(label)) for label in picture.labels]
    layout = arrange(widths, picture.edges)
    used = dict.fromkeys(state for state in palette.STATES if states and state in set(states.values()))
    width = max(layout.width, 60.0 + CHARACTER_WIDTH * len(picture.note) + 92.0 * len(used))
    height = layout.height + HEADER
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img">',
        f"<title>{_xml(plan.name or 'plan')}</title>",
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_header(picture.note, list(used)),
        f'<g transform="translate(0 {_n(HEADER)})">',
        *_edges(layout, picture),
        *(_box(box, place, picture) for place, box in enumerate(layout.boxes)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# --- what is drawn -----------------------------------------------------------------------------------------------------


def _tasks(plan: Plan, states: Mapping[str, str] | None) -> _Picture:
    graph = plan.graph
    names = [task.name for task in graph.tasks]
    known = states or {}
    edges = list(graph.edges())
    titles = [f"{name}: {known[name]}" if name in known else name for name in names]
    title = f"{_cut(plan.name, 60)}: " if plan.name else ""
    note = f"{title}{_count(len(names), 'task')}, {_count(len(edges), 'edge')}"
    states_by_box = [known.get(name) for name in names]
    return _Picture(
        [_cut(name, NAME_CHARACTERS) for name in names], titles, states_by_box, [], edges, frozenset(), note
    )


def _groups(plan: Plan, states: Mapping[str, str] | None) -> _Picture:
    tasks = plan.graph.tasks
    groups = boxes(plan.graph, GROUP_LIMIT)
    group_of = [0] * len(tasks)
    for place, (_, members) in enumerate(groups):
        for task in members:
            group_of[task] = place
    pairs = dict.fromkeys(
        (group_of[start], group_of[end]) for start, end in list(plan.graph.edges()) if group_of[start] != group_of[end]
    )
    # Families may depend on each other in circles; those edges that lead back (by plan order) are drawn from right to left.
    returning = frozenset((end, start) for start, end in pairs if start > end)
    edges = list(dict.fromkeys((min(pair), max(pair)) for pair in pairs))
    only_back = frozenset(pair for pair in returning if pair not in pairs)
    labels, titles, shown, tallies = [], [], [], []
    for name, members in groups:
        names = [tasks[task].name for task in members]
        found = counts(names, states)
        more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
        labels.append(f"{_cut(name, NAME_CHARACTERS - 9)} × {len(names):,}" if len(names) > 1 else _cut(names[0], 30))
        tally = "".join(f"\n{number:,} {state}" for state, number in found.items())
        titles.append(f"{name}: {_count(len(names), 'task')}{tally}\n{', '.join(names[:SHOWN_NAMES])}{more}")
        shown.append(next(iter(found), None))
        tallies.append([(state, number / len(names)) for state, number in found.items()])
    note = (
        f"{len(tasks):,} tasks drawn as {_count(len(groups), 'group')} "
        f"({len(tasks):,} single boxes left out: more than {TASK_LIMIT:,})"
    )
    return _Picture(labels, titles, shown, tallies, edges, only_back, note)


# --- how it is drawn ---------------------------------------------------------------------------------------------------


def _header(note: str, used: Sequence[str]) -> list[str]:
    parts = [f'<text x="24" y="26" fill="#57606a">{_xml(note)}</text>']
    x = 44.0 + CHARACTER_WIDTH * len(note)
    for state in used:
        colour = palette.of(state)
        parts.append(
            f'<rect x="{_n(x)}" y="16" width="12" height="12" rx="3" fill="{colour.fill}" stroke="{colour.line}"/>'
            f'<text x="{_n(x + 17)}" y="26" fill="{colour.text}">{_xml(state)}</text>'
        )
        x += 92.0
    return parts


def _box(box: Box, place: int, picture: _Picture) -> str:
    colour = palette.of(picture.states[place])
    bar = ""
    if picture.tallies and len(picture.tallies[place]) > 1:
        x = box.x
        for state, share in picture.tallies[place]:
            bar += (
                f'<rect x="{_n(x)}" y="{_n(box.y + BOX_HEIGHT - 4)}" width="{_n(share * box.width)}" height="4" '
                f'fill="{palette.of(state).line}"/>'
            )
            x += share * box.width
    return (
        f"<g><title>{_xml(picture.titles[place])}</title>"
        f'<rect x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(BOX_HEIGHT)}" rx="5" '
        f'fill="{colour.fill}" stroke="{colour.line}"/>{bar}'
        f'<text x="{_n(box.x + box.width / 2)}" y="{_n(box.y + BOX_HEIGHT / 2 + 4)}" text-anchor="middle" '
        f'fill="{colour.text}">{_xml(picture.labels[place])}</text></g>'
    )


def _edges(layout: Layout, picture: _Picture) -> list[str]:
    """One path per source, so that hovering shows all that follows it; below the boxes."""
    by_source: dict[int, list[Line]] = {}
    for line in layout.lines:
        by_source.setdefault(line.source, []).append(line)
    parts, heads = [], []
    for source, lines in by_source.items():
        parts.append(f'<path class="e" d="{"".join(map(_path, lines))}"/>')
        for line in lines:
            if line.target is None:
                continue
            if (source, line.target) in picture.returning:
                heads.append(_head(line.before[0], -1))
            else:
                heads.append(_head(line.after[-1], 1))
    if heads:
        parts.append(f'<path class="h" d="{"".join(heads)}"/>')
    return parts


def _path(line: Line) -> str:
    text = f"M{_p(line.before[0])}" + "".join(f"L{_p(point)}" for point in line.before[1:])
    if line.folded:
        text += "".join(f"L{_p(point)}" for point in (*line.folded, line.after[0]))
    else:
        (x, y), (end_x, end_y) = line.before[-1], line.after[0]
        middle = (x + end_x) / 2
        text += (
            f"L{_p(line.after[0])}"
            if abs(y - end_y) < 0.5
            else f"C{_p((middle, y))} {_p((middle, end_y))} {_p((end_x, end_y))}"
        )
    return text + "".join(f"L{_p(point)}" for point in line.after[1:])


def _head(tip: Point, direction: int) -> str:
    x, y = tip
    return f"M{_n(x)} {_n(y)}l{-6 * direction} -3.2v6.4z"


# --- text --------------------------------------------------------------------------------------------------------------


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _columns(text: str) -> float:
    """Width in characters: those of East Asian scripts and pictures count almost twice."""
    return sum(1.8 if ord(character) >= 0x1100 else 1.0 for character in text)


def _p(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"
