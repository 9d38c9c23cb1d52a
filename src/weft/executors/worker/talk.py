"""A worker's line to the engine: calls come in as frames, bells and what streams say go out.

The main thread hears for itself, between calls. Streams need to be heard during one: from the first of them on a thread of
its own does the hearing. Frames are length (4 bytes, little-endian) and `marshal` version 2, which all Python versions share
and which, unlike later ones, never lets two calls of a frame share a list.
"""

from __future__ import annotations

import marshal
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

LENGTH = struct.Struct("<I")
MARSHAL_VERSION = 2
READ_SIZE = 1 << 20

if TYPE_CHECKING:
    Key = tuple[Any, ...]


def packed(value: Any) -> bytes:
    """`value` as a frame. Raises ValueError when it is no plain data."""
    payload = marshal.dumps(value, MARSHAL_VERSION)
    return LENGTH.pack(len(payload)) + payload


def take_frames(buffer: bytearray) -> list[Any]:
    """Remove every whole frame from the front of `buffer`."""
    found = []
    at = 0
    while len(buffer) - at >= LENGTH.size:
        (length,) = LENGTH.unpack_from(buffer, at)
        end = at + LENGTH.size + length
        if end > len(buffer):
            break
        found.append(marshal.loads(bytes(buffer[at + LENGTH.size : end])))
        at = end
    if at:
        del buffer[:at]
    return found


class Talk:
    """One connection, made when the worker starts. Without it the worker ends as soon as what it has begun has ended."""

    def __init__(self, folder: int, hello: Any):
        self._buffer = bytearray()
        self._listeners: dict[Key, tuple[Callable[..., None], Callable[[], None]]] = {}
        self._ear: threading.Thread | None = None
        self._heard: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self._mouth = threading.Lock()
        self._connection: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(f"/proc/self/fd/{folder}/workers.sock")
            self._connection.sendall(packed(hello))
        except OSError:
            self.close()

    @property
    def is_open(self) -> bool:
        """Whether an engine is there, as far as is known."""
        return self._connection is not None

    def wait(self) -> list[Any] | None:
        """The next frames of calls; None when the engine is gone. Blocks."""
        if self._ear is not None:
            return self._heard.get()
        while self._connection is not None:
            found = self._hear()
            if found:
                return found
        return None

    def look(self) -> None:
        """Notice an engine that has gone, without waiting."""
        connection = self._connection
        if connection is None or self._ear is not None:
            return
        try:
            if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def _hear(self) -> list[Any]:
        connection = self._connection
        if connection is None:
            return []
        try:
            data = connection.recv(READ_SIZE)
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        self._buffer += data
        calls = []
        for message in take_frames(self._buffer):
            if message[0] == "calls" or message[0] == "end":
                calls.append(message)
            else:
                self._pass_on(message)
        return calls

    def _pass_on(self, message: Any) -> None:
        """("allow", nonce, items) or ("announce", nonce, bind, items, state, path)."""
        size = 2 if message[0] == "allow" else 3
        listener = self._listeners.get(tuple(message[:size]))
        if listener is not None:
            listener[0](*message[size:])

    def listen(self, key: Key, hear: Callable[..., None], lose: Callable[[], None]) -> None:
        """Pass on what is said under `key`; lose: called when the engine is gone."""
        self._listeners[key] = (hear, lose)
        if self._ear is None:
            self._ear = threading.Thread(target=self._listen, name="weft-ear", daemon=True)
            self._ear.start()
        if self._connection is None:
            lose()

    def forget(self, key: Key) -> None:
        """Nobody listens under `key` any more."""
        self._listeners.pop(key, None)

    def _listen(self) -> None:
        while self._connection is not None:
            found = self._hear()
            if found:
                self._heard.put(found)
        for _, lose in list(self._listeners.values()):
            lose()
        self._heard.put(None)

    def ring(self) -> None:
        """There are receipts to be read."""
        self._send(b"!")

    def say(self, value: Any) -> None:
        """A message of a stream, behind the receipts' bell."""
        self._send(b"=" + packed(value))

    def _send(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        with self._mouth:
            try:
                connection.sendall(data)
            except OSError:
                pass  # the end of the connection is noticed by whoever hears

    def close(self) -> None:
        """Let go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def open_folder(path: str) -> int:
    """A descriptor of a folder, for socket paths that would be too long."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
