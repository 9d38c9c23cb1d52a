"""What listens to a workflow's run besides its `weft.Run`: the workflow itself, and the log of those who ask for one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome

if TYPE_CHECKING:
    from weft.spec.graph import Graph

LOGGER: Final = "weft.workflow"


class Silent:
    """Hears everything and says nothing."""

    def run_started(self, opening: RunOpening) -> None:
        """See `ports.Observer`, here and below."""

    def attempt_started(self, key: AttemptKey, began: Began) -> None: ...

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None: ...

    def task_ended(self, settled: SettleTask) -> None: ...

    def remarked(self, text: str, task: int | None) -> None: ...

    def run_ended(self, ending: RunEnding) -> None: ...


class Telling(Silent):
    """Tells once that the run is recorded."""

    def __init__(self, tell: Callable[[RunOpening], None]):
        self._tell = tell

    def run_started(self, opening: RunOpening) -> None:
        """See `ports.Observer`."""
        self._tell(opening)


class Logging(Silent):
    """Progress by `logging`, on standard error if nobody has said where."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._log = logging.getLogger(LOGGER)
        if not self._log.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            self._log.addHandler(handler)
            self._log.setLevel(logging.INFO)

    def run_started(self, opening: RunOpening) -> None:
        """See `ports.Observer`, here and below."""
        before = f", {opening.resumed} of them done before" if opening.resumed else ""
        self._log.info("run %s of %d tasks%s", opening.run[:12], len(opening.selected), before)

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        if retry is not None:
            change = f" ({retry.change})" if retry.change else ""
            self._log.warning("%s: %s, is tried again%s", self._name(key.task), outcome.cause, change)

    def task_ended(self, settled: SettleTask) -> None:
        level = logging.INFO if settled.state == "ok" else logging.ERROR
        cause = f" ({settled.cause})" if settled.cause else ""
        self._log.log(level, "%s: %s%s", self._name(settled.task), settled.state, cause)

    def remarked(self, text: str, task: int | None) -> None:
        self._log.warning("%s%s", "" if task is None else f"{self._name(task)}: ", text)

    def run_ended(self, ending: RunEnding) -> None:
        self._log.info("run %s: %s after %.1f s", ending.run[:12], ending.state, ending.seconds)

    def _name(self, task: int) -> str:
        return self._graph.tasks[task].name
