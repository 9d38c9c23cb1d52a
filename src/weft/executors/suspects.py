"""Who ran when a supervisor died (decision 0010): they run one at a time from then on, so who is to blame is soon found, and
its neighbours go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.executors.opened import OpenAttempt
from weft.executors.receipts import lost_fact
from weft.scheduling.keys import AttemptKey


class Suspects:
    """Tasks and instances that ran together when a supervisor died, until one of their attempts ends otherwise."""

    def __init__(self) -> None:
        self._tasks: set[tuple[int, int]] = set()

    def __contains__(self, key: AttemptKey) -> bool:
        return bool(self._tasks) and (key.task, key.instance) in self._tasks

    def clear_of(self, key: AttemptKey) -> None:
        """It has ended without its supervisor's death."""
        if self._tasks:
            self._tasks.discard((key.task, key.instance))

    def blame(self, lost: Sequence[int], attempts: Mapping[int, OpenAttempt]) -> list[list[Any]]:
        """The ends of attempts that went with their supervisor. Who ran beside an earlier suspect is not charged."""
        begun = [nonce for nonce in lost if attempts[nonce].has_begun]
        suspected = [nonce for nonce in begun if attempts[nonce].key in self]
        blamed = frozenset(suspected or begun)
        if len(begun) > 1:
            self._tasks |= {(attempts[nonce].key.task, attempts[nonce].key.instance) for nonce in begun}
        facts = []
        for nonce in lost:
            attempt = attempts[nonce]
            fact = lost_fact(nonce, attempt.has_begun, nonce in blamed)
            if attempt.kind in ("thread", "worker") and len(begun) > 1:
                fact += [None, True]  # in a process of its own the next time
            facts.append(fact)
        return facts
