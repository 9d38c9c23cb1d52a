"""Streams that nobody takes any more: which they are, and what their end counts as.

A generator may never end by itself, and whoever took from it may: it has had enough, or failed. Then the generator may
*linger*: go on for as long as it has run, `LINGER_SECONDS` at least. If it comes to its end, its stream is a product like any
other, kept for later runs. If not, its attempt is ended, and nobody has been wronged: when all that took from it are ok, it is
ok too, without a product, since half a stream is none. When one of them is not, it is interrupted, and runs again with that one.

A stream that nobody ever began to take is a branch of its own, like any task whose followers are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import INTERRUPTED, Outcome, kind

LINGER_SECONDS: Final = 10.0
LINGER_BYTES: Final = 1 << 30
"""That a stream may grow by meanwhile."""


class Linger(NamedTuple):
    """Order: say when the time of a stream that nobody takes is over. since: monotonic second of its begin, None if unknown."""

    task: int
    since: float | None


class Release(NamedTuple):
    """Order: end the attempt of a stream that nobody takes."""

    key: AttemptKey
    text: str


class _Source:
    """A stream. takers: followers that have not ended. is_left: one of those that have, had begun to take, and is not ok.

    limit: bytes at which its time is over, while nobody takes it.
    """

    def __init__(self) -> None:
        self.takers: set[int] = set()
        self.was_taken = False
        self.is_left = False
        self.limit: int | None = None
        self.released = 0


class Lingering:
    """The streams of a run, by their task, and those that follow them in any way."""

    def __init__(self) -> None:
        self._sources: dict[int, _Source] = {}
        self._sources_of: dict[int, list[int]] = {}

    def connect(self, maker: int, follower: int) -> None:
        """A task that takes part follows a stream."""
        self._sources.setdefault(maker, _Source()).takers.add(follower)
        self._sources_of.setdefault(follower, []).append(maker)

    def taken(self, maker: int) -> None:
        """Somebody has begun to take the stream."""
        source = self._sources.get(maker)
        if source is not None:
            source.was_taken = True

    def settled(self, follower: int, is_ok: bool) -> Sequence[int]:
        """A task has ended; the streams that nobody takes since."""
        makers = self._sources_of.pop(follower, ())
        for maker in makers:
            source = self._sources[maker]
            source.takers.discard(follower)
            source.is_left = source.is_left or not is_ok
            source.was_taken = source.was_taken or is_ok
        return [maker for maker in makers if self.is_idle(maker)]

    def is_idle(self, maker: int) -> bool:
        """Whether all that took the stream have ended."""
        source = self._sources.get(maker)
        return source is not None and source.was_taken and not source.takers

    def begin(self, maker: int, size: int) -> None:
        """From now on nobody takes it. size: bytes that it has."""
        self._sources[maker].limit = size + LINGER_BYTES

    def is_too_long(self, maker: int, size: int) -> bool:
        """Whether it has grown too far while nobody takes it."""
        source = self._sources.get(maker)
        return source is not None and source.limit is not None and size > source.limit

    def release(self, maker: int, nonce: int) -> bool:
        """Its time is over: whether the attempt is to be ended."""
        source = self._sources[maker]
        if source.released == nonce:
            return False
        source.released = nonce
        return True

    def is_released(self, maker: int, nonce: int) -> bool:
        """Whether the attempt is ended by us."""
        source = self._sources.get(maker)
        return source is not None and source.released == nonce

    def ended(self, maker: int, nonce: int, outcome: Outcome, count: int | None) -> Outcome:
        """The outcome of an attempt as it counts. count: of its items, None when nobody knows."""
        source = self._sources.get(maker)
        if source is None or source.released != nonce or outcome.ok or kind(outcome.cause or "") != INTERRUPTED:
            return outcome
        after = "" if count is None else f" after {count} items"
        detail = f"ended{after}: nobody takes more of it"
        if source.is_left:
            return outcome._replace(detail=detail, exit_code=None)
        return outcome._replace(ok=True, cause=None, detail=detail, exit_code=None, product=None)
