"""Who worked when, host by host, as a picture that any browser shows: time from left to right, coloured by kind of task.

Few attempts are drawn one by one, in as many rows of their host as work at once. Of many (a million must make a picture, too)
each host shows how many of its cores are busy with what, slice of time by slice of time; many hosts are drawn in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, floor, log10
from typing import Final

from weft.formats.export.markup import cut_middle, number, xml
from weft.units import show_seconds

BAR_LIMIT: Final = 5_000  # attempts that are drawn one by one
ROW_LIMIT: Final = 400  # rows of all hosts
HOST_ROWS: Final = 24  # hosts, or groups of them, beyond these limits
SLICES: Final = 320  # of time, likewise
KIND_LIMIT: Final = 10
KINDS_A_LINE: Final = 5
NAME_CHARACTERS: Final = 26

LEFT: Final = 190.0  # pixels, for the names of hosts
WIDTH: Final = 1000.0
TOP: Final = 108.0
BAND: Final = 56.0  # of a host that is drawn as a profile

# Apart from each other also for the colour-blind (after Okabe and Ito, 2008, and Tol, 2021); the last is for all that is left.
COLOURS: Final = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#88693d",
    "#7a5cc7",
    "#b6b100",
    "#8c959f",
)
_STYLE: Final = (
    "text{font:12px ui-sans-serif,system-ui,'Segoe UI','DejaVu Sans',sans-serif;fill:#57606a}"
    ".h{font-weight:600;fill:#1f2328}.b{stroke:#ffffff;stroke-width:.5}.b:hover{stroke:#1f2328;stroke-width:1.5}"
    ".g{stroke:#d8dee4;stroke-width:1}.l{fill:#f6f8fa}"
)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is to be drawn. hosts: name and cores. end: seconds. mark: another end to compare with, seconds.

    Attempts, each by its place: host_of, start_of, seconds_of, cores_of, kind_of (place in `kinds`), name_of. attempts: how
    many.
    """

    title: str
    hosts: Sequence[tuple[str, float]]
    kinds: Sequence[str]
    end: float
    attempts: int
    host_of: Sequence[int]
    start_of: Sequence[float]
    seconds_of: Callable[[int], float]
    cores_of: Callable[[int], float]
    kind_of: Callable[[int], int]
    name_of: Callable[[int], str]
    mark: float | None = None


def render(chart: Chart) -> str:
    """The chart as an SVG document, of about a megabyte at most whatever it shows."""
    colour_of, legend = _colours(chart)
    rows = _rows(chart) if chart.attempts <= BAR_LIMIT else None
    if rows is not None and rows[1] <= ROW_LIMIT:
        body, height = _bars(chart, rows[0], colour_of)
        note = f"{chart.attempts:,} {'attempt' if chart.attempts == 1 else 'attempts'}"
    else:
        body, height = _profiles(chart, colour_of, len(legend))
        note = f"{chart.attempts:,} attempts, drawn as busy cores"
    total = TOP + height + 40
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(LEFT + WIDTH + 40)}" height="{number(total)}" '
        f'viewBox="0 0 {number(LEFT + WIDTH + 40)} {number(total)}" role="img">',
        f"<title>{xml(chart.title)}</title>",
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text class="h" x="24" y="28">{xml(cut_middle(chart.title, 90))}</text>',
        f'<text x="24" y="48">{xml(note)}, {xml(show_seconds(chart.end))} in all{xml(_mark_note(chart))}</text>',
        *_legend(legend),
        *_axis(chart, TOP, height),
        *body,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _mark_note(chart: Chart) -> str:
    return f" (recorded: {show_seconds(chart.mark)})" if chart.mark is not None else ""


# --- colours -----------------------------------------------------------------------------------------------------------


def _colours(chart: Chart) -> tuple[list[int], list[tuple[str, str]]]:
    """Place of each kind's colour in the legend, and the legend: kinds by work, most first; the rest shares one colour."""
    work = [0.0] * len(chart.kinds)
    for attempt in range(chart.attempts):
        work[chart.kind_of(attempt)] += chart.seconds_of(attempt) * (chart.cores_of(attempt) or 1.0)
    order = sorted(range(len(work)), key=lambda kind: -work[kind])
    shown = order if len(order) <= KIND_LIMIT else order[: KIND_LIMIT - 1]
    place = [len(shown)] * len(work)
    for position, kind in enumerate(shown):
        place[kind] = position
    legend = [(chart.kinds[kind], COLOURS[position]) for position, kind in enumerate(shown)]
    if len(order) > len(shown):
        legend.append((f"{len(order) - len(shown)} more kinds", COLOURS[-1]))
    return place, legend


def _legend(legend: Sequence[tuple[str, str]]) -> Iterator[str]:
    for place, (name, colour) in enumerate(legend):
        line, column = divmod(place, KINDS_A_LINE)
        x, y = 24.0 + column * (LEFT + WIDTH) / KINDS_A_LINE, 59.0 + 19 * line
        yield (
            f"<g><title>{xml(name)}</title>"
            f'<rect x="{number(x)}" y="{number(y)}" width="12" height="12" rx="2" fill="{colour}"/>'
            f'<text x="{number(x + 17)}" y="{number(y + 10)}">{xml(cut_middle(name, NAME_CHARACTERS))}</text></g>'
        )


# --- the axis ----------------------------------------------------------------------------------------------------------

_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def _step(end: float) -> float:
    """Seconds between two lines of the axis: at most ten of them, at figures that clocks show."""
    least = end / 10
    if least <= 0:
        return 1.0
    if least < 1:
        magnitude = 10.0 ** floor(log10(least))
        return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= least)
    days = 86400.0 * ceil(least / 86400)
    return next((float(step) for step in _STEPS if step >= least), days)


def _axis(chart: Chart, top: float, height: float) -> Iterator[str]:
    step = _step(chart.end)
    for line in range(int(chart.end / step + 1e-9) + 1):
        x = number(LEFT + _scale(chart) * line * step)
        yield (
            f'<path class="g" d="M{x} {number(top)}V{number(top + height)}"/>'
            f'<text x="{x}" y="{number(top + height + 18)}" text-anchor="middle">{xml(show_seconds(line * step))}</text>'
        )


def _scale(chart: Chart) -> float:
    return WIDTH / chart.end if chart.end > 0 else 0.0


def _host_label(name: str, y: float, band: float, more: str) -> str:
    label = xml(cut_middle(name, NAME_CHARACTERS))
    return (
        f'<g><title>{xml(name)}: {xml(more)}</title><rect class="l" x="16" y="{number(y)}" '
        f'width="{number(LEFT - 22)}" height="{number(band)}"/>'
        f'<text x="24" y="{number(y + band / 2 + 4)}">{label}</text></g>'
    )


def _cores(cores: float) -> str:
    return f"{cores:g} {'core' if cores == 1 else 'cores'}"


# --- one by one --------------------------------------------------------------------------------------------------------


def _rows(chart: Chart) -> tuple[list[int], int]:
    """The row of each attempt within its host, the topmost that is free then; rows of all hosts."""
    free: list[list[int]] = [[] for _ in chart.hosts]
    used = [0] * len(chart.hosts)
    busy: list[list[tuple[float, int]]] = [[] for _ in chart.hosts]
    row_of: list[int] = []
    for attempt in range(chart.attempts):
        host, start = chart.host_of[attempt], chart.start_of[attempt]
        while busy[host] and busy[host][0][0] <= start:
            heappush(free[host], heappop(busy[host])[1])
        if free[host]:
            row = heappop(free[host])
        else:
            row, used[host] = used[host], used[host] + 1
        heappush(busy[host], (start + chart.seconds_of(attempt), row))
        row_of.append(row)
    return row_of, sum(max(1, rows) for rows in used)


def _bars(chart: Chart, row_of: Sequence[int], colour_of: Sequence[int]) -> tuple[list[str], float]:
    rows = [1] * len(chart.hosts)
    for attempt, row in enumerate(row_of):
        rows[chart.host_of[attempt]] = max(rows[chart.host_of[attempt]], row + 1)
    tall = 16.0 if sum(rows) <= 100 else 8.0
    tops, y = [], TOP
    parts: list[str] = []
    for (name, cores), count in zip(chart.hosts, rows, strict=True):
        tops.append(y)
        band = max(18.0, count * tall)
        parts.append(_host_label(name, y, band, _cores(cores)))
        y += band + 6
    scale = _scale(chart)
    for attempt, row in enumerate(row_of):
        start, seconds = chart.start_of[attempt], chart.seconds_of(attempt)
        top = tops[chart.host_of[attempt]] + row * tall
        told = f"{chart.name_of(attempt)}\n{show_seconds(start)} + {show_seconds(seconds)}"
        told += f", {_cores(chart.cores_of(attempt))}"
        colour = COLOURS[min(colour_of[chart.kind_of(attempt)], KIND_LIMIT - 1)]
        parts.append(
            f'<rect class="b" x="{number(LEFT + scale * start)}" y="{number(top)}" '
            f'width="{number(max(0.6, scale * seconds))}" height="{number(tall - 1)}" fill="{colour}">'
            f"<title>{xml(told)}</title></rect>"
        )
    return parts, y - TOP


# --- as a profile ------------------------------------------------------------------------------------------------------


def _profiles(chart: Chart, colour_of: Sequence[int], colours: int) -> tuple[list[str], float]:
    per_row = ceil(len(chart.hosts) / HOST_ROWS)
    groups = [chart.hosts[first : first + per_row] for first in range(0, len(chart.hosts), per_row)]
    busy = _busy(chart, colour_of, colours, per_row, len(groups))
    parts: list[str] = []
    y = TOP
    for group, by_colour in zip(groups, busy, strict=True):
        cores = sum(each for _, each in group)
        name = group[0][0] if len(group) == 1 else f"{group[0][0]} … {group[-1][0]}"
        work = sum(map(sum, by_colour))
        most = cores * chart.end
        share = f", {work / most:.1%} busy" if most else ""
        parts.append(_host_label(name, y, BAND, f"{_cores(cores)}{share}"))
        parts += _areas(by_colour, cores * chart.end / SLICES, y)
        y += BAND + 6
    return parts, y - TOP


def _busy(chart: Chart, colour_of: Sequence[int], colours: int, per_row: int, groups: int) -> list[list[list[float]]]:
    """Core-seconds by group of hosts, colour and slice. Whole slices of an attempt cost two additions, however many."""
    busy = [[[0.0] * (SLICES + 1) for _ in range(colours)] for _ in range(groups)]
    steps = [[[0.0] * (SLICES + 2) for _ in range(colours)] for _ in range(groups)]
    wide = chart.end / SLICES if chart.end > 0 else 1.0
    for attempt in range(chart.attempts):
        start, cores = chart.start_of[attempt], chart.cores_of(attempt)
        end = start + chart.seconds_of(attempt)
        group, colour = chart.host_of[attempt] // per_row, colour_of[chart.kind_of(attempt)]
        own, step = busy[group][colour], steps[group][colour]
        first, last = min(int(start / wide), SLICES), min(int(end / wide), SLICES)
        if first == last:
            own[first] += cores * (end - start)
            continue
        own[first] += cores * ((first + 1) * wide - start)
        own[last] += cores * (end - last * wide)
        step[first + 1] += cores * wide
        step[last] -= cores * wide
    for rows, changes in zip(busy, steps, strict=True):
        for own, step in zip(rows, changes, strict=True):
            level = 0.0
            for place in range(SLICES):
                level += step[place]
                own[place] += level
            own[SLICES - 1] += own.pop()  # what ends with the last slice
    return busy


def _areas(by_colour: Sequence[Sequence[float]], full: float, y: float) -> Iterator[str]:
    """One stacked area per colour, from the bottom of the band."""
    bottom = [0.0] * SLICES
    tall = BAND / full if full > 0 else 0.0
    low = [number(y + BAND)] * SLICES
    for place, amounts in enumerate(by_colour):
        if not any(amounts):
            continue
        bottom = [under + amount for under, amount in zip(bottom, amounts, strict=True)]
        high = [number(y + BAND - tall * level) for level in bottom]
        corners = [
            f"M{number(LEFT)} {high[0]}",
            *_stairs(high, range(SLICES)),
            *_stairs(low, range(SLICES - 1, -1, -1)),
        ]
        yield f'<path fill="{COLOURS[place]}" d="{"".join(corners)}z"/>'
        low = high


def _stairs(heights: Sequence[str], places: range) -> Iterator[str]:
    """From one end of the staircase to the other, with corners only where it rises or falls."""
    is_back = places.step < 0
    last: str | None = None if is_back else heights[0]
    for place in places:
        if heights[place] != last:
            side = place + 1 if is_back else place
            yield f"H{number(LEFT + side * WIDTH / SLICES)}V{heights[place]}"
            last = heights[place]
    if not is_back:
        yield f"H{number(LEFT + WIDTH)}"
