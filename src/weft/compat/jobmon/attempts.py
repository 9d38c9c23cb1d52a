"""`max_attempts=0` means unset there; here it is a mistake (workflows.md 5)."""

from __future__ import annotations

from typing import Any
from warnings import warn

from weft.define.counts import read_attempts
from weft.define.defaults import Defaulted
from weft.errors import WeftWarning


def unset_if_zero(max_attempts: Any, stacklevel: int = 2) -> Any:
    """None for 0, with a warning; anything else as it is. stacklevel: 2 for the caller of the caller."""
    if max_attempts != 0 or isinstance(max_attempts, bool):
        return max_attempts
    text = "max_attempts=0 means unset; a task that is not to be tried again has max_attempts=1"
    warn(text, WeftWarning, stacklevel=stacklevel + 1)
    return None


class Lenient(Defaulted):
    """A level of defaults at which 0 attempts mean unset."""

    @property
    def default_max_attempts(self) -> int | None:
        """Attempts of tasks that do not say; None: unset."""
        return self._max_attempts

    @default_max_attempts.setter
    def default_max_attempts(self, n: int | None) -> None:
        self._max_attempts = read_attempts(unset_if_zero(n, 3))

    def set_default_max_attempts(self, value: int | None) -> None:
        """Attempts of tasks that do not say; None and 0: unset. Raises ArgumentError."""
        self.default_max_attempts = value
