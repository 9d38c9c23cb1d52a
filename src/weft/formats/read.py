"""Reading a plan's bytes: what may be read, how much, and as which kind of text."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from weft.errors import nearest
from weft.formats.mistakes import Mistakes

SIZE_LIMIT = 1 << 30  # bytes; dialects.md 1.2
DIGEST_BYTES: Final = 32  # blake2b; as everywhere in weft
FORMAT_BY_SUFFIX = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
SUFFIXES = (*FORMAT_BY_SUFFIX, ".py")
STANDARD_INPUT = "-"
_BINARY_SAMPLE = 4096  # bytes looked at when a text is not UTF-8, only to word the message


class Text(NamedTuple):
    """A file's bytes (for the digest) and the text they are, without a byte order mark."""

    raw: bytes
    text: str

    @property
    def digest(self) -> str:
        """Of the bytes (blake2b, hex)."""
        return blake2b(self.raw, digest_size=DIGEST_BYTES).hexdigest()


def read_text(path: str, shown: str, mistakes: Mistakes) -> Text | None:
    """The file's text; None when there is none to go on with (told to `mistakes`). shown: the path as its user wrote it."""
    try:
        raw = _read_regular(path, shown, mistakes)
    except OSError as error:
        _tell_os_error(error, path, shown, mistakes)
        return None
    return None if raw is None else decode(raw, shown, mistakes)


def read_standard_input(stdin: Callable[[], bytes], mistakes: Mistakes) -> Text | None:
    """The text that comes by standard input."""
    raw = stdin()
    if len(raw) > SIZE_LIMIT:
        mistakes.error("read.too_large", "standard input is larger than 1 GiB", STANDARD_INPUT)
        return None
    return decode(raw, STANDARD_INPUT, mistakes)


def decode(raw: bytes, shown: str, mistakes: Mistakes) -> Text | None:
    """The bytes as text, if they are UTF-8."""
    foreign = _foreign_encoding(raw)
    if foreign:
        hint = f"convert it: iconv -f {foreign} -t UTF-8"
        mistakes.error("read.encoding", f"{shown!r} is {foreign}, not UTF-8", shown, hint=hint)
        return None
    try:
        return Text(raw, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        sample = raw[max(0, error.start - _BINARY_SAMPLE) : error.start + _BINARY_SAMPLE]
        what = "a binary file" if b"\0" in sample else "not UTF-8"
        message = f"{shown!r} is {what}: byte 0x{raw[error.start]:02x} at offset {error.start}"
        mistakes.error("read.encoding", message, shown, hint="plans are UTF-8 text", line=line)
        return None


def _foreign_encoding(raw: bytes) -> str | None:
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    # Plans begin with an ASCII character; one with a zero byte beside it is UTF-16 without its mark.
    if len(raw) >= 4 and raw[0] and raw[1:4:2] == b"\0\0" and raw[2]:
        return "UTF-16LE"
    if len(raw) >= 4 and raw[1] and raw[0:4:2] == b"\0\0" and raw[3]:
        return "UTF-16BE"
    return None


def _read_regular(path: str, shown: str, mistakes: Mistakes) -> bytes | None:
    # Without O_NONBLOCK a FIFO would hold us here; what is no regular file is refused before a byte is read.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            mistakes.error("read.folder", f"{shown!r} is a folder", shown, hint="name a plan file in it")
            return None
        if not stat.S_ISREG(found.st_mode):
            hint = "use '-' to read a plan from standard input"
            mistakes.error("read.unreadable", f"{shown!r} is not a regular file", shown, hint=hint)
            return None
        if found.st_size > SIZE_LIMIT:
            mistakes.error("read.too_large", f"{shown!r} has {found.st_size} bytes; a plan may have 1 GiB", shown)
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_LIMIT + 1)
    finally:
        os.close(descriptor)


def _tell_os_error(error: OSError, path: str, shown: str, mistakes: Mistakes) -> None:
    reason = error.strerror or type(error).__name__
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        detail = "" if isinstance(error, FileNotFoundError) else f": {reason}"
        mistakes.error("read.missing", f"there is no file {shown!r}{detail}", shown, hint=_near_file(path, shown))
    elif isinstance(error, IsADirectoryError):
        mistakes.error("read.folder", f"{shown!r} is a folder", shown, hint="name a plan file in it")
    else:
        mistakes.error("read.unreadable", f"{shown!r} cannot be read: {reason}", shown)


def _near_file(path: str, shown: str) -> str | None:
    folder, name = os.path.split(path)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return f"there is no folder {os.path.dirname(shown)!r} either" if os.path.dirname(shown) else None
    found = nearest(name, names)
    return None if found is None else f"did you mean {os.path.join(os.path.dirname(shown), found)!r}?"
