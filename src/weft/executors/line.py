"""The engine's end of a line to a worker, or to a call in a process of its own: frames out, bells and messages of streams in."""

from __future__ import annotations

import select
import socket
from typing import Any

from weft.executors.worker.talk import LENGTH, packed, take_frames

BELL = b"!"


class Line:
    """connection: None before the other side has come, and after it is gone; what is said before is kept for it."""

    def __init__(self, bell: select.epoll, connection: socket.socket | None = None):
        self._bell = bell
        self._inward = bytearray()
        self._outward = bytearray()
        self._wants_out = False
        self.connection = connection

    def say(self, value: Any) -> None:
        """Send a message with the next `push`. Raises ValueError for what cannot travel."""
        self._outward += packed(value)

    def send(self, frame: bytes) -> None:
        """The same for a message that is packed already."""
        self._outward += frame

    def push(self) -> None:
        """Hand the socket what it takes."""
        connection = self.connection
        if connection is None or not (self._outward or self._wants_out):
            return
        try:
            while self._outward:
                del self._outward[: connection.send(self._outward)]
        except BlockingIOError:
            pass
        except OSError:
            self._outward.clear()  # it is dead; its end comes as a receipt of the supervisor
        wants_out = bool(self._outward)
        if wants_out != self._wants_out:
            self._wants_out = wants_out
            self._bell.modify(connection, select.EPOLLIN | (select.EPOLLOUT if wants_out else 0))

    def hear(self) -> list[Any]:
        """Messages; bells are only heard."""
        connection = self.connection
        if connection is None:
            return []
        is_over = False
        try:
            while data := connection.recv(1 << 16):
                self._inward += data
            is_over = True
        except BlockingIOError:
            pass
        except OSError:
            is_over = True
        if is_over:
            self.close()
        return self._messages() if self._inward else []

    def _messages(self) -> list[Any]:
        """A message is a frame behind its sign; bells stand between frames only."""
        inward = self._inward
        found = []
        while inward:
            if inward.startswith(BELL):
                del inward[: len(inward) - len(inward.lstrip(BELL))]
                continue
            if len(inward) < 1 + LENGTH.size:
                break
            end = 1 + LENGTH.size + LENGTH.unpack_from(inward, 1)[0]
            if len(inward) < end:
                break
            found += take_frames(inward[1:end])
            del inward[:end]
        return found

    def close(self) -> None:
        """Hang up."""
        if self.connection is not None:
            self._bell.unregister(self.connection)
            self.connection.close()
            self.connection = None
