"""Ends every attempt at once as ok and says that it took what was recorded or declared: nothing is really run.

For plans that record the work of another system (dialects.md 6), and for trying a graph out with figures in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

from weft.ports import Began, Finished, Order, Report, Reports
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, Outcome, Usage

NO_OFFSETS: Mapping[str, int] = {}


class SimulatedExecutor:
    """Fulfils `ports.Executor` and `ports.DryExecutor`. durations: seconds by task, None counts as 0.

    No attempt begins and no time passes; each is finished when it is submitted, with its task's duration as its wall time.
    """

    runs_nothing = True

    def __init__(self, durations: Sequence[float | None]) -> None:
        self._durations = durations
        self._reports: list[Report] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rang = False

    def submit(self, orders: Sequence[Order | StartAttempt]) -> None:
        """See `ports.Executor`. Nobody reads what an order says, so the start itself serves."""
        durations = self._durations
        self._reports += [
            Finished(order.key, order.nonce, Outcome(True, usage=Usage(float(durations[order.key.task] or 0))))
            for order in orders
        ]
        if not self._rang and self._reports:
            self._rang = True
            os.eventfd_write(self._bell, 1)

    def stop(self, keys: Sequence[AttemptKey], how: Literal["withdraw", "terminate", "kill"], cause: str) -> None:
        """Nothing is ever live."""

    def poll(self) -> Reports:
        """See `ports.Executor`."""
        if self._rang:
            self._rang = False
            os.eventfd_read(self._bell)
        reports, self._reports = self._reports, []
        return Reports(reports, NO_OFFSETS)

    def reattach(
        self,
        nonces: Mapping[AttemptKey, int],
        offsets: Mapping[str, int],  # noqa: ARG002 - of the port
    ) -> Mapping[AttemptKey, Began | None]:
        """What an earlier engine ordered is gone with it: each ends as lost, at nobody's expense."""
        gone = Outcome(False, LOST, detail="it was never started", charged=False)
        self._reports += [Finished(key, nonce, gone) for key, nonce in nonces.items()]
        return {}

    def bells(self) -> Sequence[int]:
        """See `ports.Executor`."""
        return (self._bell,)

    def close(self) -> None:
        """Let go of the bell."""
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
