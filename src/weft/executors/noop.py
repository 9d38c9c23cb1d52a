"""Ends every attempt at once as ok without starting anything: to measure the engine, to try out a graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import Literal

from weft.ports import Began, Finished, Order, Report, Reports
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, Outcome

DONE = Outcome(True)
NO_OFFSETS: Mapping[str, int] = {}

_key_of = attrgetter("key")
_nonce_of = attrgetter("nonce")
_finish: Callable[[tuple[AttemptKey, int, Outcome]], Finished] = partial(tuple.__new__, Finished)


class NoopExecutor:
    """Fulfils `ports.Executor` and `ports.DryExecutor`. No attempt begins; each is finished when it is submitted."""

    runs_nothing = True

    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rang = False

    def submit(self, orders: Sequence[Order | StartAttempt]) -> None:
        """See `ports.Executor`. Nobody reads what an order says, so the start itself serves."""
        self._reports += self._ends(orders)
        if not self._rang and self._reports:
            self._rang = True
            os.eventfd_write(self._bell, 1)

    def _ends(self, orders: Sequence[Order | StartAttempt]) -> Iterable[Finished]:
        # No loop, and no call of `Finished` itself: a million tasks pay for every bytecode here.
        return map(_finish, zip(map(_key_of, orders), map(_nonce_of, orders), repeat(DONE), strict=False))

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
