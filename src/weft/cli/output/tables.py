"""Columns of text that line up, cut to the terminal's width where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from weft.cli.output.terminal import Place, label, styled

GAP = "  "
WIDEST = 60  # characters; a longer cell sticks out instead of pushing every line aside


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    place: Place,
    *,
    spare: Sequence[str] = (),
) -> str:
    """A head and rows. In a terminal lines are cut; a pipe gets everything.

    spare: columns to do without, first to last, where the terminal is too narrow for all.
    """
    cells = [[label(cell) for cell in row] for row in rows]
    widths = [
        max(len(head[column]), *(length for row in cells if (length := len(row[column])) <= WIDEST), 0)
        for column in range(len(head))
    ]
    shown = list(range(len(head)))
    for name in spare:
        if not place.is_terminal or sum(widths[column] + len(GAP) for column in shown) - len(GAP) <= place.columns:
            break
        shown.remove(head.index(name))
    pick = [widths[column] for column in shown]
    lines = [styled(_line([head[column] for column in shown], pick, place), "dim", place.has_colour)]
    lines += [_line([row[column] for column in shown], pick, place) for row in cells]
    return "".join(f"{line}\n" for line in lines)


def _line(row: Sequence[str], widths: Sequence[int], place: Place) -> str:
    line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if place.is_terminal and len(line) > place.columns:
        return line[: place.columns - 1] + "…"
    return line
