"""Those who listen to a run: told in order, of what is durable, and given time when they want some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from weft.ports import Began, InstanceObserver, Observer, RunEnding, RunOpening, Ticker
from weft.scheduling.commands import BeginAttempt, CloseAttempt, SettleInstance, SettleTask
from weft.scheduling.events import Inspected
from weft.scheduling.reasons import DAMAGED

if TYPE_CHECKING:
    from weft.runtime.plain import NothingHandedOn
    from weft.runtime.products import Products

Told = BeginAttempt | CloseAttempt | SettleInstance | SettleTask
"""Facts that observers are told; all others are of interest to the store alone."""


class Audience:
    """began: reports by nonce, of attempts whose beginning is not durable yet. next_tick: when somebody wants time."""

    def __init__(self, observers: Sequence[Observer], products: Products | NothingHandedOn):
        self._observers = observers
        self._products = products
        self._tickers = tuple(cast(Ticker, each) for each in observers if hasattr(each, "tick"))
        self._watchers = tuple(cast(InstanceObserver, each) for each in observers if hasattr(each, "instance_ended"))
        self._warned: set[int] = set()
        self.began: dict[int, Began] = {}
        self.next_tick: float | None = None

    def open(self, opening: RunOpening) -> None:
        """The run is recorded."""
        for observer in self._observers:
            observer.run_started(opening)

    def inform(self, told: Sequence[Told]) -> None:
        """Facts that have become durable, in order."""
        observers, products = self._observers, self._products
        for fact in told:
            if isinstance(fact, BeginAttempt):
                began = self.began.pop(fact.nonce, None)
                if began is not None:
                    for observer in observers:
                        observer.attempt_started(fact.key, began)
            elif isinstance(fact, CloseAttempt):
                for observer in observers:
                    observer.attempt_ended(fact.key, fact.outcome, fact.retry)
            elif isinstance(fact, SettleInstance):
                for watcher in self._watchers:
                    watcher.instance_ended(fact)
            else:
                products.ended(fact.task, is_ok=fact.state == "ok")
                for observer in observers:
                    observer.task_ended(fact)

    def remark(self, text: str, task: int | None) -> None:
        """A warning, or news of the run."""
        for observer in self._observers:
            observer.remarked(text, task)

    def warn(self, answer: Inspected) -> None:
        """Of finished work that is damaged, once for a task: it is made again."""
        for reason in answer.reasons:
            if reason.code == DAMAGED and answer.task not in self._warned:
                self._warned.add(answer.task)
                self.remark(f"{reason.text}; it is made again", answer.task)

    def tick(self, now: float, idle: bool) -> None:
        """Give time to those that want it. idle: nothing waits for its commit."""
        wishes = [wish for ticker in self._tickers if (wish := ticker.tick(idle)) is not None]
        self.next_tick = now + min(wishes) if wishes else None

    def close(self, ending: RunEnding) -> None:
        """The run is over."""
        for observer in self._observers:
            observer.run_ended(ending)
