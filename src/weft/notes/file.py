"""The note that keeps records in a file: appended, or only the last one."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from weft.notes.errors import NoteError
from weft.notes.records import as_json, as_text

_LONGEST_NAME: Final = 120  # characters that a task may add to a file name, so that it stays below a system's 255 bytes
_ESCAPED: Final = frozenset('%/\\\0<>:"|?*') | frozenset(map(chr, range(32)))


def file_part(text: str) -> str:
    """A name as part of a file name: no separator, no way out of the folder; different names stay different."""
    made = "".join(f"%{ord(character):02X}" if character in _ESCAPED else character for character in text)
    if made in (".", ".."):
        made = made.replace(".", "%2E")
    if len(made.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        kept = made.encode("utf-8", "surrogateescape")[: _LONGEST_NAME - 17].decode("utf-8", "ignore")
        made = f"{kept}%{digest}"  # no escape has so many digits
    return made


class FileNote:
    """Writes each record by one write, so that those of several threads, processes and runs never mix.

    path: relative to `root`. overwrites: the file holds the last record only, and is replaced whole.
    """

    def __init__(self, path: str, *, root: str, overwrites: bool = False, format: str = "text"):
        self._path = os.path.join(root, path)
        self._overwrites = overwrites
        self._render = as_json if format == "json" else as_text

    def send(self, record: Mapping[str, Any]) -> None:
        """Append the record, or put it in the place of the last one."""
        text = self._render(record)
        data = (text if text.endswith("\n") else f"{text}\n").encode("utf-8", "backslashreplace")
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        if self._overwrites and _is_replaceable(self._path):
            _replace(os.path.realpath(self._path), data)
        else:
            _append(self._path, data)


def _is_replaceable(path: str) -> bool:
    """Not a terminal, a FIFO, a device: these are written to."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def _append(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    try:
        written = os.write(file, data)
    finally:
        os.close(file)
    if written < len(data):
        raise NoteError(f"only {written} of {len(data)} bytes could be written: {path}")


def _replace(path: str, data: bytes) -> None:
    """Under another name first, so that a reader finds a whole record, whenever it looks."""
    folder, name = os.path.split(path)
    made = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        if os.path.exists(path):
            os.fchmod(file, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(made, path)
    except OSError:
        os.unlink(made)
        raise
    finally:
        os.close(file)
