"""Item logs: what a task makes one by one, read while it is still being made.

A frame is its text's length (u32) and CRC-32, both little-endian, and the text, as `encoding` writes a value. What is not whole
at the end of a file is no item yet.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from . import files
from .encoding import INLINE_MOST, decode, digest_of, encode, parse, path_of, text_of
from .files import MAP_LEAST, DamagedError, MissingError, Reference

SHOWN_MOST = 40  # characters of an item that stand for it
BUFFERED_MOST = 64 << 10  # bytes
_HEAD = Struct("<II")
_BLOCK = 1 << 20  # bytes that are scanned at once


class Item(NamedTuple):
    """One item as others see it. digest: hex. shown: what people see. size: bytes of its text in the log, or of its file."""

    digest: str
    shown: str
    size: int


def item_of(text: str, value: Any, index: int) -> Item:
    """What others see of the item whose text this is."""
    size = int(text.split(" ", 3)[2]) if text.startswith("@") else len(text)
    return Item(digest_of(text), _shown(value, text, index), size)


def _shown(value: Any, text: str, index: int) -> str:
    """The item itself when it is a short scalar."""
    if type(value) is str:
        return value if 0 < len(value) <= SHOWN_MOST and value.isprintable() else str(index)
    if type(value) in (int, float, bool) and len(text) <= SHOWN_MOST and not text.startswith("@"):
        return text
    return str(index)


class ItemWriter:
    """Appends items to a log. folder: of products, for items that are long and for the log itself when it is finished.

    `flush` shows readers what was added; without it that happens now and then.
    """

    def __init__(self, path: str, folder: str, *, inline_most: int = INLINE_MOST, is_durable: bool = True):
        self.path = path
        self.count = 0
        self._folder = folder
        self._inline_most = inline_most
        self._is_durable = is_durable
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
        try:
            self._file = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            self._file = os.open(path, flags, 0o600)

    def add(self, value: Any) -> Item:
        """Append a value. Raises UnencodableError, OSError."""
        text = encode(value, self._folder, inline_most=self._inline_most, is_durable=self._is_durable)
        data = text.encode("utf-8")
        self._waiting += [_HEAD.pack(len(data), crc32(data)), data]
        self._waiting_size += len(data) + _HEAD.size
        self.count += 1
        if self._waiting_size >= BUFFERED_MOST:
            self.flush()
        return item_of(text, value, self.count - 1)

    def flush(self) -> None:
        """Let readers see everything that was added. Raises OSError."""
        data = memoryview(b"".join(self._waiting))
        while data:
            data = data[os.write(self._file, data) :]
        self._waiting.clear()
        self._waiting_size = 0

    def close(self) -> str:
        """The text of the finished log, which is a product now; readers may go on with its path. Raises OSError."""
        self.abandon()
        return text_of(files.adopt(self.path, "items", self._folder, self._is_durable))

    def abandon(self) -> None:
        """Let go; the log stays as it is. Safe to call twice."""
        if self._file >= 0:
            try:
                self.flush()
            finally:
                os.close(self._file)
                self._file = -1


def problem_of_items(folder: str, reference: Reference) -> str | None:
    """What is wrong with the files of long items of a finished log, which itself is whole; None when nothing is."""
    with ItemReader(path_of(folder, reference), folder) as log:
        for index in log.referring():
            item = parse(log.text(index))
            problem = files.problem_at_a_glance(folder, item) if item is not None else None
            if item is not None and problem is not None:
                files.distrust(path_of(folder, item))
                return f"item {index}: {problem}"
    return None


class ItemReader:
    """Reads a log that may still grow. reference: of a finished one, whose size and digest must be right.

    Raises MissingError, DamagedError, OSError. To be closed, or used in a `with`.
    """

    def __init__(self, path: str, folder: str, reference: Reference | None = None):
        self.path = path
        self._folder = folder
        self._offsets = array("Q")
        self._end = 0
        if reference is not None:
            problem = files.problem_of(folder, reference)
            if problem is not None:
                kind = DamagedError if os.path.exists(path) else MissingError
                raise kind(f"the product is damaged: {problem}", path)
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise MissingError(f"the item log {path} is not there", path) from None
        self.refresh()

    @property
    def count(self) -> int:
        """How many items are known."""
        return len(self._offsets)

    def refresh(self) -> int:
        """Take in what was appended since; how many items are known now."""
        size = os.fstat(self._file).st_size
        block, start = b"", self._end
        while self._end + _HEAD.size <= size:
            if self._end + _HEAD.size > start + len(block):
                block, start = os.pread(self._file, _BLOCK, self._end), self._end
                if len(block) < _HEAD.size:
                    break
            length, _ = _HEAD.unpack_from(block, self._end - start)
            if self._end + _HEAD.size + length > size:
                break
            self._offsets.append(self._end)
            self._end += _HEAD.size + length
        return len(self._offsets)

    def text(self, index: int) -> str:
        """The text of an item. Raises IndexError, DamagedError."""
        if not 0 <= index < len(self._offsets):
            raise IndexError(f"item {index} of {len(self._offsets)}")
        place = self._offsets[index]
        end = self._offsets[index + 1] if index + 1 < len(self._offsets) else self._end
        data = os.pread(self._file, end - place, place)
        length, check = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if len(body) != length or crc32(body) != check:
            raise DamagedError(f"item {index} of {self.path} is damaged", self.path)
        return body.decode("utf-8")

    def referring(self) -> Iterator[int]:
        """The items that are references: nearly always none, which is seen without looking at each."""
        if self._end < MAP_LEAST:
            data: Any = os.pread(self._file, self._end, 0)
        else:
            data = mmap(self._file, self._end, access=ACCESS_READ)
        place = data.find(b"@")
        while place >= 0:
            index = bisect_right(self._offsets, place) - 1
            if place == self._offsets[index] + _HEAD.size:
                yield index
            place = data.find(b"@", place + 1)

    def read(self, index: int) -> Any:
        """The value of an item. Raises IndexError, DamagedError, MissingError, UnreadableError."""
        return decode(self.text(index), self._folder)

    def item(self, index: int) -> Item:
        """What others see of an item."""
        text = self.text(index)
        return item_of(text, None if text.startswith("@") else decode(text, self._folder), index)

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Any]:
        """Values of the items that are known when it gets to them."""
        index = 0
        while index < len(self._offsets):
            yield self.read(index)
            index += 1

    def __enter__(self) -> ItemReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
