"""Which view a run gets: JSON lines, errors only, a live region, or plain lines."""

from __future__ import annotations

from typing import Protocol

from weft.cli.output.printer import Printer
from weft.cli.output.recorded import Recorded
from weft.cli.output.terminal import Place
from weft.ports import Observer


class View(Observer, Protocol):
    """An observer that prints."""

    def close(self) -> None:
        """Print what is left, also when the run broke off."""


def open_view(output: str, place: Place, recorded: Recorded, *, follow: bool, title: str) -> View:
    """The view for an output mode and the place that standard output is."""
    printer = Printer(read=recorded.reader, is_terminal=place.is_terminal)
    if output == "json":
        from weft.cli.output.json_lines import JsonView

        return JsonView(printer, recorded, follow=follow)
    if output == "quiet":
        from weft.cli.output.quiet import QuietView

        return QuietView(printer, place, recorded)
    if place.is_live:
        from weft.cli.output.live import LiveView

        return LiveView(printer, place, recorded, title=title, follow=follow)
    from weft.cli.output.plain import PlainView

    return PlainView(printer, place, recorded, follow=follow)
