"""Output of attempts, read by region from the run's log folder, whatever somebody may have put there."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from typing import Final

from weft.scheduling.outcomes import LogRegion
from weft.spec.environments import Withheld

WHOLE_FILE: Final = -1
"""Length of a region that is still being written: up to where the file ends now."""

_BLOCK: Final = 1 << 16
KEPT_SECRETS: Final = "secrets"
"""File in a run's log folder; supervisors append to it."""


class LogGoneError(LookupError):
    """A log file cannot be read any more: removed, replaced, or never there."""


class LogReader:
    """The log folder of one run. Files are opened beneath it, without following links."""

    def __init__(self, folder: str, run: str):
        self._folder = os.path.join(os.path.abspath(folder), "logs", run)
        self._kept: tuple[int, tuple[tuple[str, Withheld], ...]] = (0, ())  # size of the file, what was in it

    def kept_secrets(self) -> tuple[tuple[str, Withheld], ...]:
        """(variable, what was kept of its value) of secrets that only attempts of the run knew."""
        try:
            file = self._open(KEPT_SECRETS)
        except LogGoneError:
            return ()
        try:
            size = os.fstat(file).st_size
            if size != self._kept[0]:
                self._kept = (size, tuple(_kept_of(_read(file, 0, size))))
        finally:
            os.close(file)
        return self._kept[1]

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a region from `offset` within it, at most `limit`. Raises LogGoneError.

        Fewer bytes than the region has when the file was cut since.
        """
        if not region.file:
            return b""
        file = self._open(region.file)
        try:
            return _read(file, *self._span(file, region, offset, limit))
        finally:
            os.close(file)

    def whole(self, region: LogRegion) -> bytes:
        """All bytes of a region. Raises LogGoneError, also when the file was cut since: half a product is none."""
        found = self.read(region)
        if region.length != WHOLE_FILE and len(found) < region.length:
            path = os.path.join(self._folder, region.file)
            raise LogGoneError(f"the log has {len(found)} bytes of {region.length} that were written: {path}")
        return found

    def size(self, region: LogRegion) -> int:
        """Bytes that the region has now. Raises LogGoneError."""
        if not region.file or region.length != WHOLE_FILE:
            return region.length
        file = self._open(region.file)
        try:
            return self._span(file, region, 0, None)[1]
        finally:
            os.close(file)

    def tail(self, region: LogRegion, lines: int) -> bytes:
        """The last `lines` lines of a region; reads backwards, so cost goes with the lines. Raises LogGoneError."""
        if not region.file or lines <= 0:
            return b""
        file = self._open(region.file)
        try:
            start, left = self._span(file, region, 0, None)
            found = b""
            while left and found.count(b"\n", 0, len(found) - 1 if found.endswith(b"\n") else None) < lines:
                step = min(left, max(_BLOCK, len(found)))  # doubling: a line of any length is read once or twice
                left -= step
                found = _read(file, start + left, step) + found
            return _last(found, lines)
        finally:
            os.close(file)

    def _span(self, file: int, region: LogRegion, offset: int, limit: int | None) -> tuple[int, int]:
        """(where in the file, how many bytes)."""
        end = os.fstat(file).st_size if region.length == WHOLE_FILE else region.offset + region.length
        start = region.offset + max(offset, 0)
        length = max(end - start, 0)
        return start, length if limit is None else min(length, max(limit, 0))

    def _open(self, name: str) -> int:
        parts = name.split("/")
        if name.startswith("/") or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise LogGoneError(f"{name!r} is no log file of this run")
        try:
            return self._descend(parts)
        except OSError as error:
            path = os.path.join(self._folder, name)
            raise LogGoneError(f"the log is gone or cannot be read: {os.strerror(error.errno or 0)}: {path}") from error

    def _descend(self, parts: list[str]) -> int:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = below
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not make us wait
            file = os.open(parts[-1], flags, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise LogGoneError(f"{'/'.join(parts)!r} is no regular file")
        return file


def _read(file: int, start: int, length: int) -> bytes:
    """`length` bytes, fewer at the end of the file."""
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(file, min(length, 1 << 30), start)
        if not part:
            break
        parts.append(part)
        start += len(part)
        length -= len(part)
    return b"".join(parts)


def _last(text: bytes, lines: int) -> bytes:
    """The last lines, where only a newline ends one."""
    pieces = text.split(b"\n")
    open_end = pieces.pop()
    whole = [piece + b"\n" for piece in pieces]
    if open_end:
        whole.append(open_end)
    return b"".join(whole[-lines:])


def _kept_of(data: bytes) -> Iterator[tuple[str, Withheld]]:
    for line in data.splitlines():
        try:
            name, digest, words, forms = json.loads(line)
        except ValueError:  # half written, or by a later weft
            continue
        yield name, Withheld(digest, words, tuple(forms))
