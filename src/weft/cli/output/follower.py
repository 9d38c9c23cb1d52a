"""Follows the output of attempts while they run (`--follow`).

Output files are shared by attempts one after another, so bytes at the end of a file may already be those of the next
attempt. Therefore what is read stays back until the next look: by then an end that was near is known, and its region says
where the attempt's output stops.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from typing import Final, Literal

from weft.cli.output.printer import PIECE_BYTES, Printer, ReadLog
from weft.ports import Began
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome
from weft.store.logs import LogGoneError

LOOK_SECONDS: Final = 0.2
LINE_LIMIT: Final = 65_536  # characters; a line without end may not fill the memory

Stream = Literal["stdout", "stderr"]
Emit = Callable[[AttemptKey, Stream, str, bool], None]
"""Takes text of an attempt's stream; the flag says that the stream has ended."""


class _Tail:
    """One stream of one attempt. shown: bytes given away; held: read, but not yet sure to be ours."""

    __slots__ = ("decoder", "held", "region", "shown")

    def __init__(self, region: LogRegion):
        self.region = region
        self.shown = 0
        self.held = b""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")


class Follower:
    """Gives the text of live attempts to `emit`. All its calls belong on the printer's thread."""

    def __init__(self, read: ReadLog, emit: Emit, clock: Callable[[], float] = time.monotonic):
        self._read = read
        self._clock = clock
        self._looked = float("-inf")
        self._emit = emit
        self._tails: dict[AttemptKey, tuple[_Tail, _Tail]] = {}

    def begin(self, key: AttemptKey, began: Began) -> None:
        """An attempt has begun; look at its files from now on."""
        self._tails[key] = (_Tail(began.stdout), _Tail(began.stderr))

    def look(self, _: Printer | None = None) -> float:
        """Give away what the last look found and read what came since; the seconds until the next look.

        Nothing is done before its time: a look that follows too soon cannot know of ends that were near.
        """
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return self._looked + LOOK_SECONDS - now
        self._looked = now
        for key, (stdout, stderr) in self._tails.items():
            self._look_at(key, "stdout", stdout)
            self._look_at(key, "stderr", stderr)
        return LOOK_SECONDS

    def end(self, key: AttemptKey, outcome: Outcome) -> None:
        """An attempt has ended: give away the rest of its output, up to its true end."""
        tails = self._tails.pop(key, None) or (_Tail(outcome.stdout), _Tail(outcome.stderr))
        self._finish(key, "stdout", tails[0], outcome.stdout)
        self._finish(key, "stderr", tails[1], outcome.stderr)

    def _look_at(self, key: AttemptKey, stream: Stream, tail: _Tail) -> None:
        self._give(key, stream, tail, tail.held)
        tail.held = self._piece(tail.region, tail.shown, PIECE_BYTES) if tail.region.file else b""

    def _finish(self, key: AttemptKey, stream: Stream, tail: _Tail, region: LogRegion) -> None:
        tail.held = b""
        while tail.shown < region.length:
            piece = self._piece(region, tail.shown, min(PIECE_BYTES, region.length - tail.shown))
            if not piece:
                break
            self._give(key, stream, tail, piece)
        self._emit(key, stream, tail.decoder.decode(b"", True), True)

    def _give(self, key: AttemptKey, stream: Stream, tail: _Tail, data: bytes) -> None:
        tail.shown += len(data)
        text = tail.decoder.decode(data)
        if text:
            self._emit(key, stream, text, False)

    def _piece(self, region: LogRegion, offset: int, limit: int) -> bytes:
        # A log that went away (the task may delete it) ends the following of it, not the run: `weft logs` tells.
        try:
            return self._read(region, offset, limit)
        except (LogGoneError, OSError):
            return b""


class Lines:
    """An `Emit` that gives whole lines to `take`: (attempt, line without its break)."""

    def __init__(self, take: Callable[[AttemptKey, str], None]):
        self._take = take
        self._partial: dict[tuple[AttemptKey, Stream], str] = {}

    def __call__(self, key: AttemptKey, stream: Stream, text: str, is_end: bool) -> None:
        place = (key, stream)
        *lines, rest = (self._partial.pop(place, "") + text).split("\n")
        if rest and (is_end or len(rest) > LINE_LIMIT):
            lines.append(rest)
        elif rest:
            self._partial[place] = rest
        for line in lines:
            self._take(key, line)
