"""All trackers of a run as one: who knows what, and what becomes of one that fails or hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

from weft.errors import cut

if TYPE_CHECKING:
    from weft.ports import Tracker
    from weft.trackers.custom import Source

_Answer = TypeVar("_Answer")

CALL_SECONDS: Final = 5.0
"""How long a tracker of the user's may take to answer."""


class Roster:
    """Fulfils `ports.Tracker` for several: of two that know a resource, the later one is believed.

    own: weft's trackers by origin; they are called as they are. sources: the user's, each in a thread of its own, since nobody
    knows what they do. One that raises or does not answer is told of once and never asked again: what it alone knew is unknown.
    origins: who told the capacity of a resource. remarks: what has to be told. quietly: keeps what a thread prints apart.
    """

    def __init__(
        self,
        own: Mapping[str, Tracker],
        sources: Iterable[Source] = (),
        seconds: float = CALL_SECONDS,
        quietly: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self._quietly = quietly
        self._trackers: dict[str, Tracker] = dict(own)
        self._guarded: set[str] = set()
        self._seconds = seconds
        self.origins: dict[str, str] = {}
        self.remarks: list[str] = []
        for source in sources:
            self.add(source)

    def add(self, source: Source, is_first: bool = False) -> None:
        """Take in one of the user's; is_first: every other one is believed before it."""
        made = self._guard(source.origin, source.make)
        if made is not None:
            first, last = (
                ({source.origin: made}, self._trackers) if is_first else (self._trackers, {source.origin: made})
            )
            self._trackers = {**first, **last}
            self._guarded.add(source.origin)

    def capacity(self) -> Mapping[str, int]:
        """See `ports.Tracker`."""
        return self._ask(lambda tracker: tracker.capacity(), self.origins)

    def available(self) -> Mapping[str, int]:
        """See `ports.Tracker`. Only of resources whose capacity the same tracker told."""
        told: dict[str, str] = {}
        found = self._ask(lambda tracker: tracker.available(), told)
        return {name: units for name, units in found.items() if self.origins.get(name) == told[name]}

    def _ask(self, call: Callable[[Tracker], Mapping[str, int]], origins: dict[str, str]) -> Mapping[str, int]:
        amounts: dict[str, int] = {}
        for origin, tracker in list(self._trackers.items()):
            if origin not in self._guarded:
                told: Mapping[str, int] | None = call(tracker)
            else:
                told = self._guard(origin, lambda tracker=tracker: call(tracker))  # type: ignore[misc]
                if told is None:
                    del self._trackers[origin]
                    continue
            amounts.update(told or {})
            origins.update(dict.fromkeys(told or {}, origin))
        return amounts

    def _guard(self, origin: str, call: Callable[[], _Answer]) -> _Answer | None:
        """What `call` answers in time; None when it does not, which is noted."""
        answers: list[_Answer] = []
        failures: list[str] = []

        def ask() -> None:
            try:
                with self._quietly():
                    answers.append(call())
            except BaseException as error:  # noqa: BLE001 - of the user's code, told as it is; it must not end us
                failures.append(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)

        thread = threading.Thread(target=ask, name="weft-tracker", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if answers:
            return answers[0]
        why = cut(failures[0], 200) if failures else f"it did not answer within {self._seconds:g} s"
        self.remarks.append(f"{origin} is left out: {why}")
        return None
