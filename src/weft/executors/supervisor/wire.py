"""What the engine and the supervisor say to each other over the socket: frames of JSON one way, bells and answers
back.

To the supervisor: length (4 bytes, little-endian) and a JSON object. Back: one byte `BELL` (look at the receipts), or
`ANSWER`, length, JSON.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

LENGTH = struct.Struct("<I")
BELL = b"!"
ANSWER = b"="
FRAME_LIMIT = 1 << 30  # bytes


class Settings(NamedTuple):
    """What a supervisor is started with. grace: seconds from TERM to KILL. stray_wait: seconds that leftovers get."""

    run: str
    run_folder: str
    log_folder: str
    writer: str
    python: str
    umask: int = 0o022
    grace: float = 5.0
    stray_wait: float = 1.0


class WireOrder(NamedTuple):
    """An attempt to start, as it travels. key: (task, instance, attempt); attempts of one instance never overlap.

    words: argv. expand: indexes of words that are expanded. environment: differences to the base. variables: (name, kind, text)
    with kind `text`, `expand` or `shell`. suspect: ran when a supervisor died, so no two of these run at once.
    stdin: (path, path that comes into being when the first one is whole; empty: it is). is_streamed: its output is read while
    it is written, so its file is its own from the beginning.
    """

    nonce: int
    key: tuple[int, int, int]
    token: str
    words: list[str]
    folder: str
    environment: dict[str, str]
    variables: list[tuple[str, str, str]]
    expand: list[int]
    timeout: float | None
    memory: int | None
    niceness: int
    lane: int
    ahead: bool
    suspect: bool = False
    stdin: tuple[str, str] | None = None
    is_streamed: bool = False


def message(value: Any) -> bytes:
    """`value` as a frame to the supervisor."""
    payload = json.dumps(value, separators=(",", ":")).encode("ascii")
    return LENGTH.pack(len(payload)) + payload


def answer(value: Any) -> bytes:
    """`value` as an answer of the supervisor."""
    return ANSWER + message(value)


def take_messages(buffer: bytearray) -> list[Any]:
    """Remove every whole frame from the front of `buffer`. Raises ValueError when it is no conversation of ours."""
    found = []
    at = 0
    while len(buffer) - at >= LENGTH.size:
        (length,) = LENGTH.unpack_from(buffer, at)
        if length > FRAME_LIMIT:
            raise ValueError("the frame is too long")
        end = at + LENGTH.size + length
        if end > len(buffer):
            break
        found.append(json.loads(bytes(buffer[at + LENGTH.size : end])))
        at = end
    del buffer[:at]
    return found


def take_answers(buffer: bytearray) -> tuple[bool, list[Any]]:
    """Remove bells and whole answers from the front of `buffer`: (whether it rang, answers)."""
    rang = False
    answers = []
    while buffer:
        if buffer[:1] == BELL:
            rang = True
            del buffer[: len(buffer) - len(buffer.lstrip(BELL))]
            continue
        if buffer[:1] != ANSWER:
            raise ValueError("the peer is no supervisor")
        if len(buffer) < 1 + LENGTH.size:
            break
        (length,) = LENGTH.unpack_from(buffer, 1)
        end = 1 + LENGTH.size + length
        if len(buffer) < end:
            break
        answers.append(json.loads(bytes(buffer[1 + LENGTH.size : end])))
        del buffer[:end]
    return rang, answers
