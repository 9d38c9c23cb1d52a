"""An executor whose attempts do what a test says: everything that the port promises, and nothing happens by itself."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

from weft.ports import Began, Finished, Order, Remark, Report, Reports, StreamReport, Taken, Yielded
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, NO_OUTPUT, Outcome

OK = Outcome(True, exit_code=0)

Behaviour = Callable[[Order], Outcome | None]


class FakeExecutor:
    """Fulfils `ports.Executor`, `ports.StreamExecutor` and `ports.PausingExecutor` in memory.

    behave: asked when an attempt begins; an outcome ends it at once, None leaves it running until `end`. Without it everything
    runs until told. orders: all that were ever submitted. live, waiting: begun, and ahead of resources, by key.
    allowed: items that a maker may make, by nonce. announced: (items, state, path) that a consumer was told last, by nonce and
    parameter. inputs: lengths of what processes read, by nonce. paused: attempts that stand still.
    """

    def __init__(self, behave: Behaviour | None = None):
        self._behave = behave
        self._reports: list[Report | StreamReport] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ahead: dict[int, deque[AttemptKey]] = {}
        self._freed: deque[int] = deque()
        self._unclaimed: Counter[int] = Counter()  # ends that found no ahead order, and that nobody has been told of
        self._ended: dict[AttemptKey, tuple[int, Outcome]] = {}
        self._began: dict[AttemptKey, Began] = {}
        self._clock = 0.0
        self.orders: list[Order] = []
        self.live: dict[AttemptKey, Order] = {}
        self.waiting: dict[AttemptKey, Order] = {}
        self.stops: list[tuple[AttemptKey, str, str]] = []
        self.allowed: dict[int, int] = {}
        self.announced: dict[tuple[int, str], tuple[int, str, str]] = {}
        self.inputs: dict[int, int] = {}
        self.paused: set[AttemptKey] = set()
        self.keeper: int | None = None

    # --- the port ------------------------------------------------------------------------------------------------------

    def submit(self, orders: Sequence[Order]) -> None:
        """See `ports.Executor`."""
        for order in orders:
            self.orders.append(order)
            is_due = not order.ahead or self._unclaimed[order.lane] > 0
            self._unclaimed[order.lane] -= order.ahead and is_due
            if not is_due and any(other.lane == order.lane for other in self.live.values()):
                self.waiting[order.key] = order
                self._ahead.setdefault(order.lane, deque()).append(order.key)
            else:
                self._begin(order)
            self._fill()

    def stop(self, keys: Sequence[AttemptKey], how: Literal["withdraw", "terminate", "kill"], cause: str) -> None:
        """See `ports.Executor`. A begun attempt obeys at once."""
        for key in keys:
            self.stops.append((key, how, cause))
            if key in self.waiting:
                order = self.waiting.pop(key)
                self._ahead[order.lane].remove(key)
                self._report(Finished(key, order.nonce, Outcome(False, cause, charged=False)))
            elif key in self.live and how != "withdraw":
                self.end(key, Outcome(False, cause))

    def poll(self) -> Reports:
        """See `ports.Executor`."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass
        self._unclaimed.clear()
        reports, self._reports = self._reports, []
        return Reports(reports, {"fake": len(self._ended)} if reports else {})

    def reattach(
        self,
        nonces: Mapping[AttemptKey, int],
        offsets: Mapping[str, int],  # noqa: ARG002 - of the port
    ) -> Mapping[AttemptKey, Began | None]:
        """See `ports.Executor`. What waited ahead of resources is given up, as a supervisor without an engine does."""
        self.lose_engine()
        living: dict[AttemptKey, Began | None] = {}
        for key, nonce in nonces.items():
            if key in self.live and self.live[key].nonce == nonce:
                living[key] = self._began[key]
            elif self._ended.get(key, (None,))[0] == nonce:
                self._report(Finished(key, nonce, self._ended[key][1]))
            else:
                self._report(Finished(key, nonce, Outcome(False, LOST, detail="it was never started", charged=False)))
        return living

    def bells(self) -> Sequence[int]:
        """See `ports.Executor`."""
        return (self._bell,)

    def allow(self, nonce: int, items: int) -> None:
        """See `ports.StreamExecutor`."""
        self.allowed[nonce] = items

    def announce(
        self, nonce: int, bind: str, items: int, state: Literal["open", "complete", "failed"], path: str = ""
    ) -> None:
        """See `ports.StreamExecutor`."""
        self.announced[nonce, bind] = (items, state, path)

    def end_input(self, nonce: int, length: int) -> None:
        """See `ports.StreamExecutor`."""
        self.inputs[nonce] = length

    def pause(self, key: AttemptKey) -> None:
        """See `ports.PausingExecutor`."""
        if key in self.live:
            self.paused.add(key)

    def go_on(self, key: AttemptKey) -> None:
        """See `ports.PausingExecutor`."""
        self.paused.discard(key)

    def close(self) -> None:
        """Let go of the bell; `live` stays to be looked at."""
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1

    # --- what a test may do ----------------------------------------------------------------------------------------------

    def end(self, key: AttemptKey, outcome: Outcome = OK) -> None:
        """Let a live attempt end. Raises KeyError when it is not live."""
        order = self.live.pop(key)
        self._finish(order, outcome)
        self._fill()

    def end_all(self, keys: Iterable[AttemptKey] | None = None, outcome: Outcome = OK) -> None:
        """Let several end, in the order they were begun."""
        for key in list(self.live if keys is None else keys):
            self.end(key, outcome)

    def hand_on(self, key: AttemptKey, first: int, items: Sequence[str]) -> None:
        """Let a live attempt hand on items; equal texts are equal items."""
        digests = tuple(blake2b(text.encode(), digest_size=32).hexdigest() for text in items)
        self._report(Yielded(key, self.live[key].nonce, first, tuple(items), digests, sum(map(len, items))))

    def take(self, key: AttemptKey, bind: str, position: int) -> None:
        """Let a live attempt have taken the items before `position`; with 0 it listens."""
        self._report(Taken(key, self.live[key].nonce, bind, position))

    def lose_engine(self) -> None:
        """Nobody listens any more: what runs goes on, what waits ahead of resources never begins."""
        self._reports.clear()
        self._unclaimed.clear()
        self.waiting.clear()
        self._ahead.clear()

    def remark(self, text: str, key: AttemptKey | None = None) -> None:
        """Say something."""
        self._report(Remark(text, key))

    def repeat(self, key: AttemptKey) -> None:
        """Report an end a second time, as a stale channel may."""
        nonce, outcome = self._ended[key]
        self._report(Finished(key, nonce, outcome))

    def _begin(self, order: Order) -> None:
        self.live[order.key] = order
        self._clock += 1.0
        self._began[order.key] = Began(order.key, order.nonce, self._clock, None, NO_OUTPUT, NO_OUTPUT)
        self._report(self._began[order.key])
        outcome = self._behave(order) if self._behave is not None else None
        if outcome is not None:
            del self.live[order.key]
            self._finish(order, outcome)

    def _finish(self, order: Order, outcome: Outcome) -> None:
        self._ended[order.key] = (order.nonce, outcome)
        self._report(Finished(order.key, order.nonce, outcome))
        self._freed.append(order.lane)

    def _fill(self) -> None:
        while self._freed:
            lane = self._freed.popleft()
            queue = self._ahead.get(lane)
            if queue:
                self._begin(self.waiting.pop(queue.popleft()))
            else:
                self._unclaimed[lane] += 1

    def _report(self, report: Report | StreamReport) -> None:
        self._reports.append(report)
        os.eventfd_write(self._bell, 1)
