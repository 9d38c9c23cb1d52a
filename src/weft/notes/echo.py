"""The note that prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.notes.records import headline, shorten


class EchoNote:
    """Prints a short text: a head line and the beginning of the output. say: prints whole lines, where and when it fits."""

    def __init__(self, *, say: Callable[[str], None], max_len: int = 450, max_lines: int = 6):
        self._say = say
        self._max_len = max_len
        self._max_lines = max_lines

    def send(self, record: Mapping[str, Any]) -> None:
        """At most `max_len` characters in `max_lines` lines."""
        lines = [headline(record), *record["output"].splitlines()]
        if len(lines) > self._max_lines:
            lines = [*lines[: self._max_lines - 1], "…"] if self._max_lines > 1 else [f"{lines[0]} …"]
        self._say(shorten("\n".join(lines), self._max_len) + "\n")
