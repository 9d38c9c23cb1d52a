"""Ends every attempt at once as ok and says that it took what was recorded or declared: nothing is really run.

For plans that record the work of another system (dialects.md 6), and for trying a graph out with figures in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weft.executors.noop import NoopExecutor
from weft.ports import Finished, Order
from weft.scheduling.commands import StartAttempt
from weft.scheduling.outcomes import Outcome, Usage


class SimulatedExecutor(NoopExecutor):
    """A `NoopExecutor` whose attempts have their task's duration as their wall time. durations: by task, None counts as 0."""

    def __init__(self, durations: Sequence[float | None]) -> None:
        super().__init__()
        self._durations = durations

    def _ends(self, orders: Sequence[Order | StartAttempt]) -> Iterable[Finished]:
        durations = self._durations
        for order in orders:
            usage = Usage(float(durations[order.key.task] or 0))
            yield Finished(order.key, order.nonce, Outcome(True, usage=usage))
