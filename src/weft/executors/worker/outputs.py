"""What a call prints: descriptors 1 and 2 are two files of the worker, emptied after each call that wrote to them.

As the supervisor does with its slots: what is small is copied to the worker's pack, what is large is renamed to a file of its
own. A call that prints nothing costs two `fstat`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

SMALL_OUTPUT = 64 << 10  # bytes a stream; up to here copying is cheaper than a new file
ENDINGS = ("out", "err")
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

if TYPE_CHECKING:
    Region = tuple[str, int, int]

EMPTY: Region = ("", 0, 0)


class Outputs:
    """Both streams of the worker `name`, below the run's log folder."""

    def __init__(self, log_folder: str, name: str):
        self._folder = log_folder
        self.names = (f"slots/{name}.out", f"slots/{name}.err")
        self._pack_name = f"output-{name}.log"
        self._pack = -1
        self._pack_size = 0
        self._inodes = [0, 0]
        self.stdout: Any = sys.stdout
        self.stderr: Any = sys.stderr

    def open(self) -> None:
        """Put our files in place of what the supervisor gave us."""
        for stream in (0, 1):
            self._renew(stream, os.O_EXCL)
        sys.stdout.reconfigure(line_buffering=True, errors="surrogateescape")  # type: ignore[union-attr]

    def _renew(self, stream: int, flags: int = 0) -> None:
        """Let the descriptor be our file again, whatever it is now."""
        file = os.open(f"{self._folder}/{self.names[stream]}", FLAGS | flags, 0o600)
        try:
            os.dup2(file, stream + 1)
            self._inodes[stream] = os.fstat(file).st_ino
        finally:
            if file != stream + 1:
                os.close(file)

    def settle(self, nonce: int) -> tuple[Region, Region] | None:
        """Where the output of the call that has ended is now; None when there is none."""
        if sys.stdout is not self.stdout or sys.stderr is not self.stderr:
            self._restore_streams()
        try:
            self.stdout.flush()
            self.stderr.flush()  # of a line without an end, which would be the next call's
        except (OSError, ValueError):
            self._restore_streams()
        try:
            out, err = os.fstat(1), os.fstat(2)
        except OSError:
            return self._mend(nonce)
        inodes = self._inodes
        if out.st_ino != inodes[0] or err.st_ino != inodes[1]:
            return self._mend(nonce)
        if out.st_size == 0 and err.st_size == 0:
            if out.st_nlink and err.st_nlink:
                return None
            return self._mend(nonce)
        return self._settle(0, out.st_size, nonce), self._settle(1, err.st_size, nonce)

    def _mend(self, nonce: int) -> tuple[Region, Region]:
        """A call has closed, replaced or removed what it writes to: keep what there is, and start anew."""
        for stream in (0, 1):
            self._renew(stream)
        from weft.executors.supervisor.calls import (
            flush,
        )  # late, as below: engines read receipts by this module's names

        for name in ("stdout", "stderr"):
            self._tell(
                flush(name, getattr(self, name))
            )  # what it could not write before is its own, not the next call's
        out, err = (self._settle(stream, os.fstat(stream + 1).st_size, nonce) for stream in (0, 1))
        return out, err

    def _tell(self, text: str) -> None:
        """On stderr, which the call may have closed, or replaced by a file that is none of ours."""
        if not text:
            return
        try:
            is_ours = os.fstat(2).st_ino == self._inodes[1]
        except OSError:
            is_ours = False
        if not is_ours:
            self._renew(1)
        try:
            os.write(2, text.encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # the disk is full: there is no place to say it

    def _restore_streams(self) -> None:
        """A call has put something else in place of `sys.stdout`, or has closed it."""
        for stream, name in enumerate(("stdout", "stderr")):
            current = getattr(sys, name)
            own = getattr(self, name)
            if current is not own:
                from weft.executors.supervisor.calls import flush

                self._tell(flush(name, current))
            if own.closed:
                file = os.fdopen(
                    stream + 1, "w", buffering=1, encoding="utf-8", errors="surrogateescape", closefd=False
                )
                setattr(self, name, file)
                setattr(sys, f"__{name}__", file)
            setattr(sys, name, getattr(self, name))

    def _settle(self, stream: int, size: int, nonce: int) -> Region:
        if size == 0:
            return EMPTY
        if size <= SMALL_OUTPUT:
            region = self._copy(stream, size)
            if region is not None:
                return region
        name = f"{nonce:016x}.{ENDINGS[stream]}"
        try:
            os.rename(f"{self._folder}/{self.names[stream]}", f"{self._folder}/{name}")
        except OSError:
            name = self.names[stream]  # its owner removed it: the region says how much there was
        self._renew(stream)
        return (name, 0, size)

    def _copy(self, stream: int, size: int) -> Region | None:
        try:
            data = os.pread(stream + 1, size, 0)
            if self._pack < 0:
                self._pack = os.open(f"{self._folder}/{self._pack_name}", FLAGS | os.O_EXCL, 0o600)
            offset = self._pack_size
            written = os.write(self._pack, data)
            self._pack_size += written
            if written < len(data):
                return None
            os.ftruncate(stream + 1, 0)
        except OSError:
            return None
        return (self._pack_name, offset, len(data))

    def close(self) -> None:
        """Remove the files that are empty."""
        for name in self.names:
            path = f"{self._folder}/{name}"
            try:
                if os.stat(path).st_size == 0:
                    os.unlink(path)
            except OSError:
                pass
