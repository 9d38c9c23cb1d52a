"""What was found of a mapped task's instances, also while they are still coming."""

from __future__ import annotations

from hashlib import blake2b

from weft.files.contents import DIGEST_BYTES
from weft.files.fingerprints import feed_pair
from weft.scheduling.reasons import Reason


class Instances:
    """fresh: those that are up to date. reasons: why others are not. done: so many from the first on have been compared."""

    __slots__ = ("_ahead", "_own", "done", "fresh", "reasons")

    def __init__(self) -> None:
        self.fresh: set[int] = set()
        self.reasons: dict[Reason, None] = {}
        self.done = 0
        self._ahead: dict[int, tuple[str, str]] = {}
        self._own = blake2b(digest_size=DIGEST_BYTES)

    def add(self, instance: int, own: tuple[str, str]) -> None:
        """An instance was compared. own: the part that tells it from the others."""
        self._ahead[instance] = own
        while self.done in self._ahead:
            feed_pair(self._own, *self._ahead.pop(self.done))
            self.done += 1

    def __contains__(self, instance: int) -> bool:
        return instance < self.done or instance in self._ahead

    @property
    def own_parts(self) -> str:
        """Digest (hex) over what tells them from each other, of the first `done`."""
        return self._own.copy().hexdigest()
