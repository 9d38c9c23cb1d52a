"""The view of a run that prints errors only."""

from __future__ import annotations

from weft.cli.output.labels import Labels
from weft.cli.output.printer import Printer
from weft.cli.output.recorded import Recorded
from weft.cli.output.report import PLAIN
from weft.cli.output.terminal import Place, harmless, styled
from weft.errors import cut
from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome


class QuietView:
    """Says on standard error which tasks failed, and nothing else. An Observer."""

    def __init__(self, printer: Printer, place: Place = PLAIN, recorded: Recorded | None = None):
        self._printer = printer
        self._place = place
        self._recorded = recorded or Recorded()
        self._labels: Labels

    def run_started(self, opening: RunOpening) -> None:
        self._recorded.opened(opening)
        self._labels = Labels(opening.plan.graph.tasks, self._recorded.items)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:  # noqa: ARG002
        return

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:  # noqa: ARG002
        return

    def task_ended(self, settled: SettleTask) -> None:
        if settled.state != "failed":
            return
        text = f"task '{self._labels.of_task(settled.task)}' failed: {settled.cause or 'failed'}"
        if settled.detail:
            text += f": {cut(settled.detail, 300)}"
        if self._place.is_terminal:
            text = harmless(text)
        self._printer.warn(f"weft: {styled(text, 'error', self._place.has_colour)}\n")

    def remarked(self, text: str, task: int | None) -> None:  # noqa: ARG002
        return

    def echoed(self, text: str) -> None:  # noqa: ARG002 - whoever wants quiet gets it
        return

    def run_ended(self, ending: RunEnding) -> None:  # noqa: ARG002
        self._printer.close()

    def close(self) -> None:
        """Print what is left, also when the run broke off."""
        self._printer.close()
