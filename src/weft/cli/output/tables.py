"""Columns of text that line up, cut to the terminal's width where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from weft.cli.output.terminal import Place, label, styled

GAP = "  "


def table(head: Sequence[str], rows: Sequence[Sequence[str]], place: Place, styles: Sequence[str | None] = ()) -> str:
    """A head and rows. Cells are made harmless in a terminal. styles: one per row, of its first cell.

    Only in a terminal is the last column cut to the width; a pipe gets everything.
    """
    cells = [[label(cell, place.is_terminal) for cell in row] for row in rows]
    widths = [max((len(row[column]) for row in [list(head), *cells]), default=0) for column in range(len(head))]
    lines = [styled(_line(head, widths, place), "dim", place.has_colour)]
    for number, row in enumerate(cells):
        line = _line(row, widths, place)
        style = styles[number] if number < len(styles) else None
        if style and place.has_colour:
            line = styled(row[0], style, True) + line[len(row[0]) :]
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _line(row: Sequence[str], widths: Sequence[int], place: Place) -> str:
    line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if place.is_terminal and len(line) > place.columns:
        return line[: place.columns - 1] + "…"
    return line
