"""The view of a run in a terminal: a region that is redrawn, permanent lines for what matters, a summary at the end.

Everything that touches the terminal happens on the printer's thread: a terminal that is stopped (Ctrl-S) stops the drawing and
not the run. The region appears, and rich is imported, only when a run takes longer than APPEARS_SECONDS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from weft.cli.output.failures import Failure, failure_lines
from weft.cli.output.follower import Follower, Lines
from weft.cli.output.labels import Labels
from weft.cli.output.printer import Printer
from weft.cli.output.progress import Kind, Progress, memory_in_use
from weft.cli.output.recorded import Recorded
from weft.cli.output.report import advice, counted, note_lines, numbered
from weft.cli.output.tally import Tally
from weft.cli.output.terminal import Place, harmless, label, styled
from weft.errors import cut
from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome, kind
from weft.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

APPEARS_SECONDS: Final = 0.25
REDRAW_SECONDS: Final = 0.125
LONGEST_SHOWN: Final = 3
NARROWEST_NAME: Final = 12  # columns; names give way to figures down to this
FAILURES_KEPT: Final = 200
FAILURE_LINES_LIMIT: Final = 50  # permanent lines for failures while the run goes on; the summary has the rest


class LiveView:
    """Draws a run in a terminal. An Observer. Parameters as for `PlainView`."""

    def __init__(
        self,
        printer: Printer,
        place: Place,
        recorded: Recorded | None = None,
        *,
        title: str = "",
        follow: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._printer = printer
        self._place = place
        self._title = title
        self._recorded = recorded or Recorded()
        self._clock = clock
        self._live: Live | None = None
        self._drawn = 0.0
        self._memory: tuple[float, str] = (0.0, "")
        self._failures: list[Failure] = []
        self._told = 0
        self._attempt_failures: set[int] = set()
        self._tally: Tally
        self._labels: Labels
        self._progress: Progress
        self._follower = (
            Follower(printer.read, Lines(self._follow), clock) if follow and printer.read is not None else None
        )

    # --- what the engine tells -----------------------------------------------------------------------------------------

    def run_started(self, opening: RunOpening) -> None:
        self._recorded.opened(opening)
        self._tally = Tally(opening)
        self._labels = Labels(opening.plan.graph.tasks, self._recorded.items)
        self._progress = Progress(opening, self._clock())
        number = len(opening.selected)
        parts = [numbered(number)]
        if opening.resumed:
            parts.append(f"{'all' if opening.resumed == number else opening.resumed} ok already")
        cores = opening.capacity.get("cores")
        if cores:
            parts.append(f"{cores / 1000:g} cores")
        memory = opening.capacity.get("memory")
        if memory:
            parts.append(f"{show_bytes(memory)} memory")
        title = label(self._title or opening.plan.name or "weft")
        self._say(
            f"{styled(title, 'bold', self._place.has_colour)}  {', '.join(parts)}  {self._dim(f'run {opening.run[:12]}')}"
        )
        self._printer.keep_calling(self._tick)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        self._progress.begin(key, self._clock())
        self._labels.of(key)  # asks for the items here, on the engine's thread
        follower = self._follower
        if follower is not None:
            self._printer.call(lambda _: follower.begin(key, began))

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        self._progress.end(key, self._clock())
        follower = self._follower
        if follower is not None:
            self._printer.call(lambda _: follower.end(key, outcome))
        if outcome.ok or (not outcome.charged and retry is None):
            return
        name = self._labels.of(key)
        if retry is not None:
            self._say_retry(name, key, outcome, retry)
        elif kind(outcome.cause or "") not in ("interrupted", "cancelled"):
            self._attempt_failures.add(key.task)
            output = outcome.stderr if outcome.stderr.length else outcome.stdout
            self._fail(Failure(key.task, self._labels.exact(key), outcome.cause or "failed", outcome.detail, output))

    def task_ended(self, settled: SettleTask) -> None:
        self._tally.settle(settled)
        self._progress.settle(settled)
        if settled.state == "failed" and settled.task not in self._attempt_failures:
            name = self._tally.tasks[settled.task].name
            self._fail(Failure(settled.task, name, settled.cause or "failed", settled.detail, None))

    def remarked(self, text: str, task: int | None) -> None:
        where = f"{self._labels.of_task(task)}: " if task is not None else ""
        self._say(self._mark("!", "warning") + harmless(f"{where}{text}"))

    def echoed(self, text: str) -> None:
        self._say(harmless(text.rstrip("\n")))

    def run_ended(self, ending: RunEnding) -> None:
        if self._tally.needs_rows:
            self._tally.complete(self._recorded.rows())
        self._printer.call(lambda _: self._stop())
        self._printer.call(lambda _: self._summary(ending))
        self._printer.close()

    def close(self) -> None:
        """Take the region away, also when the run broke off."""
        self._printer.call(lambda _: self._stop())
        self._printer.close()

    # --- permanent lines -----------------------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        self._printer.call(lambda _: self._print(line))

    def _print(self, line: str) -> None:
        if self._live is None:
            self._printer.write(line + "\n")
            return
        from rich.text import Text

        self._draw(lambda live: live.console.print(Text.from_ansi(line), soft_wrap=True))

    def _dim(self, text: str) -> str:
        return styled(text, "dim", self._place.has_colour)

    def _mark(self, sign: str, style: str) -> str:
        return styled(sign, style, self._place.has_colour) + " "

    def _say_retry(self, name: str, key: AttemptKey, outcome: Outcome, retry: Retry) -> None:
        line = f"{name}: attempt {key.attempt} failed ({label(outcome.cause or 'failed')}); trying again"
        if retry.delay:
            line += f" in {show_seconds(retry.delay)}"
        if retry.change:
            line += f" with {label(retry.change)}"
        self._say(self._mark("↻", "warning") + line)

    def _fail(self, failure: Failure) -> None:
        if len(self._failures) < FAILURES_KEPT:
            self._failures.append(failure)
        self._told += 1
        if self._told > FAILURE_LINES_LIMIT:
            return
        detail = f": {cut(failure.detail, 200)}" if failure.detail else ""
        self._say(f"{self._mark('✗', 'failed')}{label(failure.name)}: {label(failure.cause)}{detail}")
        if self._told == FAILURE_LINES_LIMIT:
            self._say(self._dim("  further failures are counted below and told at the end"))

    def _summary(self, ending: RunEnding) -> None:
        tally, place = self._tally, self._place
        for line in failure_lines(self._failures, tally, ending.run, place, self._printer.read):
            self._printer.write(line + "\n")
        for line in note_lines(ending):
            self._printer.write(self._mark("!", "warning") + line + "\n")
        style = {"ok": "ok", "failed": "failed"}.get(ending.state, "cancelled")
        state = styled(ending.state, style, place.has_colour)
        self._printer.write(
            f"{state}  {counted(tally.counts(), len(tally.opening.selected))}, in {show_seconds(ending.seconds)}\n"
        )
        for line in advice(tally, ending.run):
            self._printer.write(f"{line}\n")

    def _follow(self, key: AttemptKey, line: str) -> None:
        self._print(f"{self._dim(self._labels.of(key) + ' | ')}{harmless(line)}")

    # --- the region ----------------------------------------------------------------------------------------------------

    def _tick(self, _: Printer) -> float:
        self._redraw()
        return REDRAW_SECONDS

    def _redraw(self) -> None:
        if self._follower is not None:
            self._follower.look()
        now = self._clock()
        if now - self._drawn < REDRAW_SECONDS * 0.8:
            return
        self._drawn = now
        if self._live is None:
            if now - self._progress.started < APPEARS_SECONDS or self._progress.done >= self._progress.total:
                return
            self._appear()
        self._draw(lambda live: live.update(self._region(), refresh=True))

    def _appear(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=_Out(self._printer),  # type: ignore[arg-type]
            force_terminal=True,
            color_system="auto" if self._place.has_colour else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._draw(lambda live: live.start())

    def _draw(self, draw: Callable[[Live], None]) -> None:
        if self._live is not None:
            draw(self._live)

    def _stop(self) -> None:
        self._draw(lambda live: live.stop())
        self._live = None
        self._drawn = float("inf")

    def _region(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        progress, now = self._progress, self._clock()
        table = Table.grid(padding=(0, 1))
        parts = progress.instances()
        rows = [
            (label(one.name), f"{one.done}/{one.total}", _kind_counts(one, parts.get(one.name)))
            for one in progress.kinds
        ]
        figures = max((len(done) + 2 + counts.cell_len for _, done, counts in rows), default=0)
        width = self._live.console.width if self._live is not None else self._place.columns
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(NARROWEST_NAME, width - figures))
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis")
        for name, done, counts in rows:
            table.add_row(Text(name), Text(done), counts)
        lines: list[RenderableType] = [table]
        for key, began in progress.oldest(LONGEST_SHOWN):
            text = Text(no_wrap=True, overflow="ellipsis")
            text.append(f"  {show_seconds(round(now - began, 1)):>8}  ", "dim")
            text.append(self._labels.of(key))
            lines.append(text)
        lines.append(self._bar(now))
        lines.append(Text(self._amounts(now), style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*lines)

    def _bar(self, now: float) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._progress
        done, total = progress.done, max(progress.total, 1)
        left = progress.seconds_left(now)
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        eta = f"ETA {show_seconds(float(round(left)))}" if left is not None else "ETA -"
        grid.add_row(ProgressBar(total=total, completed=done), Text(f"{100 * done // total}% {eta}"))
        return grid

    def _amounts(self, now: float) -> str:
        held, budget = self._progress.cores()
        text = f"cores {held / 1000:g}"
        if budget is not None:
            text += f"/{budget / 1000:g}"
        if now - self._memory[0] >= 1 or not self._memory[1]:
            self._memory = (now, _host_memory())
        return f"{text}  {self._memory[1]}  {show_seconds(float(round(now - self._progress.started)))}"


class _Out:
    """The file that rich writes to: the printer, which knows when nobody reads any more."""

    encoding = "utf-8"

    def __init__(self, printer: Printer):
        self._printer = printer

    def write(self, text: str) -> int:
        self._printer.write(text)
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._printer.out_descriptor


def _kind_counts(one: Kind, parts: tuple[int, int] | None = None) -> Text:
    """parts: (ended, known) instances of its mapped tasks under way."""
    from rich.text import Text

    text = Text()
    for number, word, style in (
        (one.running, "running", "cyan"),
        (one.failed, "failed", "bold red"),
        (one.skipped, "skipped", "yellow"),
        (one.cancelled, "cancelled", "yellow"),
        (one.cached, "cached", "dim"),
    ):
        if number:
            text.append(f"{' ' if text else ''}{number} {word}", style)
    if parts is not None:
        text.append(f"{' ' if text else ''}{parts[0]}/{parts[1]} items", "dim")
    return text


def _host_memory() -> str:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = memory_in_use(file.read())
    except OSError:
        found = None
    return f"memory {show_bytes(found[0])}/{show_bytes(found[1])}" if found else ""
