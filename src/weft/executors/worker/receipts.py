"""A worker's receipts, written into mapped memory: no system call an outcome, and what is written outlives the worker.

The file is as long as was asked for, its end is zeros until it is used; `WRITTEN` in the cell says how far it is whole.
"""

from __future__ import annotations

import json
import mmap
import os
import time
from typing import Any

from weft.executors.supervisor.receipts import frame

from .cell import WRITTEN, Cell

CHUNK = 256 << 10  # bytes
DISK_RETRY_SECONDS = 0.1

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class MappedReceipts:
    """Appends facts to a new file. header: what names its run and writer."""

    def __init__(self, path: str, header: dict[str, Any], cell: Cell):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        self._path = path
        self._map = _mapped(path, CHUNK)
        self._size = CHUNK
        self._cell = cell.numbers
        self._end = 0
        self._sequence = 0
        self.add_fact(["file", header])

    def add_fact(self, fact: list[Any]) -> None:
        """Append a fact."""
        self.add(_encode(fact))

    def add(self, fact: str) -> None:
        """Append a fact that is JSON (ASCII) already."""
        self._sequence += 1
        data = frame(self._sequence, fact.encode("ascii"))
        start = self._end
        end = start + len(data)
        if end > self._size:
            self._size = (end // CHUNK + 1) * CHUNK
            self._map.close()
            self._map = _mapped(self._path, self._size)
        self._map[start:end] = data
        self._end = end
        self._cell[WRITTEN] = end

    def close(self) -> None:
        """Cut off what is not used."""
        self._map.close()
        os.truncate(self._path, self._end)


def _mapped(path: str, size: int) -> mmap.mmap:
    """The file, made so long. A full disk is waited for: without a receipt a call cannot have ended."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.posix_fallocate(file, 0, size)  # a hole in it could be a deadly signal later
            return mmap.mmap(file, size)
        except OSError:
            time.sleep(DISK_RETRY_SECONDS)
        finally:
            os.close(file)
