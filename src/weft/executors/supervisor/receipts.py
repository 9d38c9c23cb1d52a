"""Receipts: append-only files of framed facts, one writer each (reliability.md 2).

A frame is magic (4 bytes), version and flags (2 + 2), payload length (4), sequence number (8), payload (JSON), and the
CRC-32 of everything before it (4); little-endian. A reader stops at a torn tail; behind a damaged frame it looks for
the next sound one.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import zlib
from typing import Any, NamedTuple

MAGIC = b"\xf7wr\n"
NOTHING = bytes(4)
VERSION = 1
HEADER = struct.Struct("<4sHHIQ")
CHECKSUM = struct.Struct("<I")
PLAIN_HEADER = struct.Struct("<8sIQ")  # the same, for comparing magic, version and flags in one piece
PLAIN_BEGINNING = MAGIC + struct.pack("<HH", VERSION, 0)
OVERHEAD = HEADER.size + CHECKSUM.size
PAYLOAD_LIMIT = 16 << 20  # bytes; a longer length is damage, not a fact
ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
READ_LIMIT = 8 << 20  # bytes at a time, so that a long absence of the reader costs bounded memory


def frame(sequence: int, payload: bytes) -> bytes:
    """One receipt as it stands in the file."""
    body = HEADER.pack(MAGIC, VERSION, 0, len(payload), sequence) + payload
    return body + CHECKSUM.pack(zlib.crc32(body))


class ReceiptWriter:
    """Appends facts; `flush` writes all of them with one system call. A new file begins with a header that names its run."""

    def __init__(self, path: str, header: dict[str, Any]):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self.pending: list[bytes] = []  # what waits for the disk
        self._torn = 0
        self.sequence = 0
        self.add(["file", header])
        self.flush()

    def add(self, fact: list[Any]) -> int:
        """Queue a fact; its sequence number."""
        return self.add_text(ENCODE(fact))

    def add_text(self, fact: str) -> int:
        """Queue a fact that is JSON (ASCII) already; its sequence number."""
        sequence = self.sequence = self.sequence + 1
        payload = fact.encode("ascii")
        body = HEADER.pack(MAGIC, VERSION, 0, len(payload), sequence) + payload  # `frame`, without the call
        self.pending.append(body + CHECKSUM.pack(zlib.crc32(body)))
        return sequence

    def flush(self) -> bool:
        """Write what is queued; False when the disk did not take all of it (it stays queued, call again)."""
        if not self.pending:
            return True
        data = b"".join(self.pending)
        view = memoryview(data)[self._torn :] if self._torn else data
        try:
            written = os.write(self._file, view)
        except OSError:
            self.pending = [data]
            return False
        if written == len(view):
            self.pending.clear()
            self._torn = 0
            return True
        self.pending = [data]
        self._torn += written
        return False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Frames(NamedTuple):
    """What a stretch of a receipts file holds. end: bytes consumed. version: of a frame this code is too old for."""

    facts: list[tuple[int, list[Any]]]
    end: int
    damages: list[str]
    version: int | None = None


def read_frames(data: bytes, base: int = 0) -> Frames:
    """Every sound frame of `data`. base: offset of `data` in its file, for the texts."""
    facts, at = _first_sound(data)
    damages: list[str] = []
    size = len(data)
    while at + HEADER.size <= size:
        magic, version, _, length, sequence = HEADER.unpack_from(data, at)
        if magic == MAGIC and version > VERSION:
            return Frames(facts, at, damages, version)
        if magic == NOTHING and not data[at:].strip(b"\0"):
            break  # reserved by a writer that maps its file
        end = at + OVERHEAD + length
        fact = _fact(data, at, end) if magic == MAGIC and length <= PAYLOAD_LIMIT and end <= size else None
        if fact is not None:
            facts.append((sequence, fact))
            at = end
            continue
        following = _next_sound(data, at + 1)
        if following is None:
            # A frame that is complete and yet wrong is damage; one that is not complete may still be being written.
            if magic == MAGIC and length <= PAYLOAD_LIMIT and end > size:
                break
            following = end if magic == MAGIC and length <= PAYLOAD_LIMIT else size
        damages.append(f"{following - at} damaged bytes at offset {base + at}")
        at = following
    return Frames(facts, at, damages)


def _first_sound(data: bytes) -> tuple[list[tuple[int, list[Any]]], int]:
    """The sound frames that `data` begins with, and their end; nothing of them if anything about one is odd.

    Their payloads are parsed as one JSON text, which takes a third of the time.
    """
    sequences: list[int] = []
    payloads: list[bytes] = []
    view = memoryview(data)
    at, last = 0, len(data) - OVERHEAD
    while at <= last:
        beginning, length, sequence = PLAIN_HEADER.unpack_from(data, at)
        if beginning != PLAIN_BEGINNING or length > PAYLOAD_LIMIT or at + length > last:
            break
        tail = at + HEADER.size + length
        if zlib.crc32(view[at:tail]) != CHECKSUM.unpack_from(data, tail)[0]:
            break
        sequences.append(sequence)
        payloads.append(data[at + HEADER.size : tail])
        at = tail + CHECKSUM.size
    try:
        facts = json.loads(b"[" + b",".join(payloads) + b"]")
    except ValueError:
        return [], 0
    if len(facts) != len(payloads) or not all(map(_is_fact, facts)):
        return [], 0
    return list(zip(sequences, facts, strict=True)), at


def _first_frame(data: bytes) -> bytes:
    """The frame that `data` begins with, when it says how long it is; else all of it."""
    if len(data) < HEADER.size:
        return data
    magic, _, _, length, _ = HEADER.unpack_from(data)
    return data[: OVERHEAD + length] if magic == MAGIC and length <= PAYLOAD_LIMIT else data


def _is_fact(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _fact(data: bytes, at: int, end: int) -> list[Any] | None:
    if zlib.crc32(memoryview(data)[at : end - CHECKSUM.size]) != CHECKSUM.unpack_from(data, end - CHECKSUM.size)[0]:
        return None
    try:
        fact = json.loads(data[at + HEADER.size : end - CHECKSUM.size])
    except ValueError:
        return None
    return fact if _is_fact(fact) else None


def _next_sound(data: bytes, at: int) -> int | None:
    while (at := data.find(MAGIC, at)) >= 0:
        if at + HEADER.size <= len(data):
            _, version, _, length, _ = HEADER.unpack_from(data, at)
            end = at + OVERHEAD + length
            if version > VERSION:
                return at
            if length <= PAYLOAD_LIMIT and end <= len(data) and _fact(data, at, end) is not None:
                return at
        at += 1
    return None


class ReceiptReader:
    """Reads a receipts file as it grows. Refuses links, FIFOs, files of other owners and of other runs: `refusal` says why."""

    def __init__(self, path: str, run: str, offset: int = 0):
        self.path = path
        self.offset = offset
        self.header: dict[str, Any] = {}
        self.refusal: str | None = None
        self._run = run
        self._sequence: int | None = None  # None until something was read
        self._file = -1
        self._open()
        if self.refusal is None:
            self._read_header()

    def _open(self) -> None:
        try:
            self._file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as problem:
            self.refusal = problem.strerror or str(problem)
            return
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            self.refusal = "it is no regular file"
        elif found.st_uid != os.geteuid():
            self.refusal = f"it belongs to user {found.st_uid}"
        elif found.st_size < self.offset:
            self.refusal = f"it has {found.st_size} bytes, but {self.offset} were counted already"

    def _read_header(self) -> None:
        first = read_frames(_first_frame(os.pread(self._file, 65536, 0)))
        if first.version is not None and not first.facts:
            self.refusal = f"it is written in version {first.version}, this weft knows {VERSION}"
        elif first.facts and first.facts[0][1][0] == "file":
            self.header = first.facts[0][1][1]
            if self.header.get("run") != self._run:
                self.refusal = f"it belongs to run {self.header.get('run')!s:.40}"

    def read(self) -> tuple[list[tuple[int, list[Any]]], list[str]]:
        """New facts with their sequence numbers, and what is wrong with the file."""
        if self.refusal is not None:
            return [], []
        facts: list[tuple[int, list[Any]]] = []
        remarks: list[str] = []
        limit = READ_LIMIT
        while True:
            data = os.pread(self._file, limit, self.offset)
            if not data:
                break
            frames = read_frames(data, self.offset)
            self.offset += frames.end
            facts += frames.facts
            remarks += frames.damages
            if frames.version is not None:
                self.refusal = f"from offset {self.offset} on it is written in version {frames.version}"
                remarks.append(self.refusal)
                break
            if len(data) < limit:
                break
            if frames.end == 0:
                limit *= 2
        for sequence, _ in facts:
            if self._sequence is not None and sequence > self._sequence + 1 and not remarks:
                remarks.append(f"{sequence - self._sequence - 1} receipts before number {sequence} are missing")
            self._sequence = sequence
        return facts, remarks

    @property
    def sequence(self) -> int:
        """Number of the last fact read, 0 before the first."""
        return self._sequence or 0

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
