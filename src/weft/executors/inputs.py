"""What processes read: a file, a part of one, or a file that still grows and whose end is told by a file of its own."""

from __future__ import annotations

import os

from weft.executors.link import Place
from weft.ports import Order


def stdin_of(place: Place, order: Order) -> tuple[str, str] | None:
    """(path, path that tells when it is whole; empty: it is), for the supervisor. Raises OSError."""
    stdin = order.stdin
    if stdin is None:
        return None
    if stdin.grows:
        os.makedirs(_folder(place), 0o700, exist_ok=True)
        return stdin.path, _whole(place, order.nonce)
    if stdin.length < 0 or (stdin.offset == 0 and os.stat(stdin.path).st_size == stdin.length):
        return stdin.path, ""
    return _cut_out(place, order.nonce, stdin.path, stdin.offset, stdin.length), ""


def _folder(place: Place) -> str:
    return f"{place.run_folder}/inputs"


def _whole(place: Place, nonce: int) -> str:
    return f"{_folder(place)}/{nonce:016x}.whole"


def _cut_out(place: Place, nonce: int, path: str, offset: int, length: int) -> str:
    """A part of a file as a file: it was small, else it would have one of its own."""
    os.makedirs(_folder(place), 0o700, exist_ok=True)
    target = f"{_folder(place)}/{nonce:016x}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(path, "rb", buffering=0) as source, open(os.open(target, flags, 0o600), "wb") as copy:
        while length > 0:
            data = os.pread(source.fileno(), min(length, 1 << 20), offset)
            if not data:
                break
            copy.write(data)
            offset += len(data)
            length -= len(data)
    return target


def end_input(place: Place, nonce: int, length: int) -> None:
    """The file that the process of an attempt reads is whole. Raises OSError."""
    path = _whole(place, nonce)
    os.makedirs(_folder(place), 0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(f"{path}.new", flags, 0o600), "w", encoding="ascii") as file:
        file.write(str(length))
    os.rename(f"{path}.new", path)
