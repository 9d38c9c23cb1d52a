"""Who speaks to the supervisor: connections of our own user, and of each what it has not finished saying."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

from .wire import take_messages

CREDENTIALS = struct.Struct("3i")

Obey = Callable[[socket.socket, dict[str, Any]], None]
"""Does what a message says. Raises ValueError, TypeError, KeyError for nonsense."""


class Connections:
    """open: by descriptor. door: descriptor of whoever wants to be let in. lost: is told of each that ended."""

    def __init__(
        self,
        server: socket.socket,
        poll: select.epoll,
        obey: Obey,
        lost: Callable[[socket.socket], None],
        remark: Callable[[str], None],
    ):
        self._server = server
        self._poll = poll
        self._obey = obey
        self._lost = lost
        self._remark = remark
        self.door = server.fileno()
        self.open: dict[int, tuple[socket.socket, bytearray]] = {}
        poll.register(server, select.EPOLLIN)

    def accept(self) -> None:
        """Somebody is at the door."""
        try:
            connection, _ = self._server.accept()
        except OSError:
            return
        size = CREDENTIALS.size
        _, uid, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if uid != os.geteuid():
            connection.close()
            return
        self.welcome(connection)

    def welcome(self, connection: socket.socket) -> None:
        """From now on it is heard."""
        connection.setblocking(False)
        self.open[connection.fileno()] = (connection, bytearray())
        self._poll.register(connection, select.EPOLLIN)

    def hear(self, descriptor: int) -> None:
        """Do what it says. One that speaks nonsense is let go."""
        if descriptor not in self.open:
            return
        connection, buffer = self.open[descriptor]
        is_over = False
        try:
            while data := connection.recv(1 << 20):
                buffer += data
            is_over = True
        except BlockingIOError:
            pass
        except OSError:
            is_over = True
        try:
            for value in take_messages(buffer):
                self._obey(connection, value)
                if descriptor not in self.open:
                    return
        except (ValueError, TypeError, KeyError) as problem:
            self._remark(f"an engine was let go, it spoke nonsense: {problem}")
            self.lose(connection)
            return
        if is_over:
            self.lose(connection)

    def lose(self, connection: socket.socket) -> None:
        """It is over with this one."""
        descriptor = connection.fileno()
        del self.open[descriptor]
        self._poll.unregister(descriptor)
        connection.close()
        self._lost(connection)
