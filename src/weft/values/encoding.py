"""How a value travels: plain data as its JSON text, everything else as a reference to a file that is named by its content."""

from __future__ import annotations

import os
import sys
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any

from . import files, plain
from .files import DamagedError, MissingError, Reference, path_of, remedy

__all__ = [
    "INLINE_MOST",
    "DamagedError",
    "MissingError",
    "Reference",
    "UnencodableError",
    "UnreadableError",
    "data_of",
    "decode",
    "digest_of",
    "digest_of_value",
    "encode",
    "json_of",
    "parse",
    "path_of",
    "remedy",
    "sync",
    "text_of",
    "verify",
    "why_unreadable",
]

INLINE_MOST = 64 << 10  # bytes of text that travel with an outcome
FORMATS = frozenset(("json", "bytes", "numpy", "arrow", "pickle", "items"))


class UnencodableError(TypeError):
    """A value that can be neither written as data nor pickled."""


class UnreadableError(ValueError):
    """A whole product whose value cannot be made here: its class is not to be had, or its package is missing."""


def encode(value: Any, folder: str, *, inline_most: int = INLINE_MOST, is_durable: bool = True) -> str:
    """The text of a value; writes a file below `folder` when that is long. Raises UnencodableError, OSError."""
    text = plain.text_of(value)
    if text is not None:
        if len(text) * 4 <= inline_most:
            return text
        data = text.encode("utf-8")
        return text if len(data) <= inline_most else text_of(files.store("json", [data], folder, is_durable))
    from . import layouts  # late, with pickle: who only looks at texts needs neither

    kind = type(value)
    if kind is bytes:
        return _keep("bytes", [value], folder, inline_most, is_durable)
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is getattr(numpy, "ndarray", None):
        parts = layouts.parts_of_array(numpy, value)
        if parts is not None:
            return _keep("numpy", parts, folder, inline_most, is_durable)
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and kind is getattr(arrow, "Table", None):
        beside = layouts.write_table(arrow, value, folder)
        if beside is not None:
            try:
                return text_of(files.adopt(beside, "arrow", folder, is_durable))
            finally:
                os.unlink(beside)
    return _keep("pickle", _pickled(value), folder, inline_most, is_durable)


def _pickled(value: Any) -> Sequence[Any]:
    from . import layouts

    try:
        return layouts.parts_of_pickle(value)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # what __reduce__ and __getstate__ of the user's classes raise
        problem = f"{type(error).__name__}: {error}"
        raise UnencodableError(f"a value of type {type(value).__name__} cannot be pickled: {problem}") from error


def _keep(form: str, parts: Sequence[Any], folder: str, inline_most: int, is_durable: bool) -> str:
    size = sum(memoryview(part).nbytes for part in parts)
    if size * 4 > inline_most * 3:
        return text_of(files.store(form, parts, folder, is_durable))
    data = b"".join(parts)
    return text_of(Reference(form, files.digest_of_data(data, form, folder), size, data))


def decode(text: str, folder: str) -> Any:
    """The value of a text. Long ones are mapped; writing to them changes nobody else's.

    Raises MissingError, DamagedError, UnreadableError, OSError.
    """
    reference = parse(text)
    if reference is None:
        return plain.value_of(text)
    if reference.format == "items":
        from .items import ItemReader  # it needs this module

        with ItemReader(path_of(folder, reference), folder, reference) as reader:
            return list(reader)
    buffer = files.load(folder, reference)
    if reference.format == "json":
        try:
            return plain.value_of(bytes(buffer).decode("utf-8"))
        except ValueError as error:
            raise why_unreadable(reference, folder, error) from error
    if reference.format == "bytes":
        return bytes(buffer)
    from . import layouts

    read = {"numpy": layouts.read_array, "arrow": layouts.read_table, "pickle": layouts.read_pickle}[reference.format]
    try:
        return read(buffer)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # what a class of the user raises when it is made again
        text = f"the {reference.format} product {reference.digest[:12]} cannot be read here: {type(error).__name__}: {error}"
        raise why_unreadable(reference, folder, UnreadableError(text)) from error


def why_unreadable(reference: Reference, folder: str, error: ValueError) -> ValueError:
    """`error`, which came of data that the stats of its file vouched for, or DamagedError when its content has changed."""
    problem = verify(folder, reference)
    if problem is None:
        return error
    return DamagedError(problem, None if reference.inline is not None else path_of(folder, reference))


def json_of(text: str, folder: str) -> str:
    """The JSON text of a product of plain data. Raises MissingError, DamagedError, OSError."""
    reference = parse(text)
    if reference is None:
        return text
    try:
        return bytes(files.load(folder, reference)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise why_unreadable(reference, folder, error) from error


def data_of(text: str, folder: str) -> bytes:
    """The bytes of a reference, as they are kept. Raises MissingError, DamagedError, OSError."""
    reference = parse(text)
    return text.encode("utf-8") if reference is None else bytes(files.load(folder, reference))


def parse(text: str) -> Reference | None:
    """The reference that a text is; None for JSON text. Raises DamagedError when it is neither."""
    if not text.startswith("@"):
        return None
    words = text[1:].split(" ")
    try:
        form, digest, size = words[:3]
        rest = words[3] if len(words) == 4 else None
        if form not in FORMATS or len(digest) != 64 or len(words) > 4 or int(digest, 16) < 0:
            raise ValueError(text[:80])
        if rest is None or not rest.startswith(files.ROOM):
            inline = b64decode(rest.encode("ascii"), validate=True) if rest is not None else None
            return Reference(form, digest, int(size), inline)
        if not rest[1:].isalnum():
            raise ValueError(rest)
        return Reference(form, digest, int(size), None, rest)
    except (ValueError, Base64Error):
        raise DamagedError(f"{text[:80]!r} is no reference to a product") from None


def text_of(reference: Reference) -> str:
    """What `parse` reads: `@FORMAT DIGEST SIZE`, then the data in base64, or a room, or nothing."""
    text = f"@{reference.format} {reference.digest} {reference.size}"
    if reference.inline is not None:
        return f"{text} {b64encode(reference.inline).decode('ascii')}"
    return f"{text} {reference.room}" if reference.room else text


def digest_of(text: str) -> str:
    """Digest (hex) of the value of a text, for fingerprints; the same for text that travels and text in a file."""
    if text.startswith("@"):
        return text[1:].split(" ", 3)[1]
    return files.digest_of_data(text.encode("utf-8"), "json")


def digest_of_value(text: str) -> str:
    """The same, but that objects which differ only in the order of their keys are one value, as far as they travel."""
    return digest_of(plain.in_order(text)) if "{" in text and not text.startswith("@") else digest_of(text)


def verify(folder: str, reference: Reference) -> str | None:
    """What is wrong with a product; None when it is whole."""
    return files.problem_of(folder, reference)


def sync(folder: str, text: str) -> None:
    """Make a product durable; nothing to do for one that travels. Raises DamagedError, OSError."""
    reference = parse(text)
    if reference is not None:
        files.sync(folder, reference)
