"""The view of a run where there is no live terminal: plain lines, the tasks' output, a heartbeat, the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from weft.cli.output.follower import Follower, Lines
from weft.cli.output.labels import Labels
from weft.cli.output.printer import Printer
from weft.cli.output.recorded import Recorded
from weft.cli.output.report import PLAIN, advice, counted, note_lines, numbered, report
from weft.cli.output.tally import Tally
from weft.cli.output.terminal import Place, harmless, styled
from weft.errors import cut
from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome
from weft.units import show_seconds

HEARTBEAT_SECONDS: Final = 60.0


class PlainView:
    """Prints a run as lines. An Observer.

    follow: output comes line by line while tasks run, each line after its task's name, instead of in blocks.
    """

    def __init__(
        self,
        printer: Printer,
        place: Place = PLAIN,
        recorded: Recorded | None = None,
        *,
        follow: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._printer = printer
        self._place = place
        self._recorded = recorded or Recorded()
        self._clock = clock
        self._begun: set[AttemptKey] = set()
        self._tally: Tally
        self._labels: Labels
        self._started = self._beat = clock()
        self._follower = (
            Follower(printer.read, Lines(self._follow), clock) if follow and printer.read is not None else None
        )

    # --- what the engine tells -----------------------------------------------------------------------------------------

    def run_started(self, opening: RunOpening) -> None:
        self._recorded.opened(opening)
        self._tally = Tally(opening)
        self._labels = Labels(opening.plan.graph.tasks, self._recorded.items)
        self._started = self._beat = self._clock()
        number = len(opening.selected)
        before = (
            f", {'all' if opening.resumed == number else opening.resumed} of them ok already" if opening.resumed else ""
        )
        self._printer.warn(f"weft: run {opening.run}: {numbered(number)}{before}\n")
        self._printer.keep_calling(self._tick)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        self._begun.add(key)
        self._printer.put(f"Started: {self._labels.of(key)}\n")
        follower = self._follower
        if follower is not None:
            self._printer.call(lambda _: follower.begin(key, began))

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        has_begun = key in self._begun
        self._begun.discard(key)
        if not has_begun:
            if not outcome.charged:
                return  # taken back before it began: nothing happened that anybody could have seen
            self._printer.put(f"Started: {self._labels.of(key)}\n")
        follower = self._follower
        if follower is not None:
            self._printer.call(lambda _: follower.end(key, outcome))
        if retry is not None:
            self._printer.warn(self._retry_line(key, outcome, retry))
            return
        self._printer.put(f"Ended : {self._labels.of(key)}\n")
        if follower is None:
            self._printer.copy(outcome.stdout)
            self._printer.copy(outcome.stderr)
        if not outcome.ok:
            self._printer.warn(self._failure_line(key, outcome))

    def task_ended(self, settled: SettleTask) -> None:
        self._tally.settle(settled)

    def remarked(self, text: str, task: int | None) -> None:
        where = f"task '{self._labels.of_task(task)}': " if task is not None else ""
        self._printer.warn(self._noted(f"{where}{text}", "warning"))

    def echoed(self, text: str) -> None:
        self._printer.put(harmless(text) if self._place.is_terminal else text)

    def run_ended(self, ending: RunEnding) -> None:
        tally, printer = self._tally, self._printer
        if tally.needs_rows:
            tally.complete(self._recorded.rows())
        for piece in report(tally, self._place):
            printer.put(piece)
        for line in note_lines(ending):
            printer.put(f"{line}\n")
        line = counted(tally.counts(), len(tally.opening.selected))
        printer.put(f"{line}, in {show_seconds(ending.seconds)}\n")
        for line in advice(tally, ending.run):
            printer.warn(f"weft: {line}\n")
        printer.close()

    def close(self) -> None:
        """Print what is left, also when the run broke off."""
        self._printer.close()

    # --- lines ---------------------------------------------------------------------------------------------------------

    def _retry_line(self, key: AttemptKey, outcome: Outcome, retry: Retry) -> str:
        text = f"task '{self._labels.of(key)}': attempt {key.attempt} failed ({_why(outcome)}); trying again"
        if retry.delay:
            text += f" in {show_seconds(retry.delay)}"
        if retry.change:
            text += f" with {retry.change}"
        return self._noted(text, "warning")

    def _failure_line(self, key: AttemptKey, outcome: Outcome) -> str:
        cause = outcome.cause or "failed"
        word = "cancelled" if cause in ("interrupted", "cancelled") else "failed"
        return self._noted(f"task '{self._labels.of(key)}' {word}: {_why(outcome)}", "error")

    def _noted(self, text: str, style: str) -> str:
        if self._place.is_terminal:
            text = harmless(text)
        return f"weft: {styled(text, style, self._place.has_colour)}\n"

    def _tick(self, printer: Printer) -> float:
        now = self._clock()
        if now - self._beat >= HEARTBEAT_SECONDS:
            self._beat = now
            self._print_heartbeat(printer, now)
        pause = max(0.0, self._beat + HEARTBEAT_SECONDS - now)
        return pause if self._follower is None else min(pause, self._follower.look())

    def _print_heartbeat(self, printer: Printer, now: float) -> None:
        total = len(self._tally.opening.selected)
        done = self._tally.done + self._tally.opening.resumed
        running = len(self._begun)
        printer.write_error(
            f"weft: {show_seconds(now - self._started)}: {done} of {total} tasks ended, "
            f"{self._tally.failed} failed, {running} running\n"
        )

    def _follow(self, key: AttemptKey, line: str) -> None:
        whole = f"{self._labels.of(key)} | {line}\n"
        self._printer.write(harmless(whole) if self._place.is_terminal else whole)


def _why(outcome: Outcome) -> str:
    cause = outcome.cause or "failed"
    return f"{cause}: {cut(outcome.detail, 300)}" if outcome.detail else cause
