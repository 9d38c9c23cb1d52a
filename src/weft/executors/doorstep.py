"""Where our own processes come back to: a socket in the run's folder, and who has not yet said who they are."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

CREDENTIALS = struct.Struct("3i")
GREETING_MOST = 4096  # bytes


class Doorstep:
    """Listens at `<folder>/<name>` from `open` on.

    take: removes whole messages from the front of a buffer, raises ValueError for what is none.
    """

    def __init__(self, folder: str, name: str, bell: select.epoll, take: Callable[[bytearray], list[Any]]):
        self._folder = folder
        self._name = name
        self._bell = bell
        self._take = take
        self._server: socket.socket | None = None
        self._strangers: dict[int, tuple[socket.socket, bytearray]] = {}

    def open(self) -> None:
        """Listen; nothing when it does already."""
        if self._server is not None:
            return
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                os.unlink(self._name, dir_fd=folder)
            except FileNotFoundError:
                pass
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.bind(f"/proc/self/fd/{folder}/{self._name}")
            os.chmod(self._name, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
        server.listen(64)
        server.setblocking(False)
        self._server = server
        self._bell.register(server, select.EPOLLIN)

    def arrivals(self) -> list[tuple[Any, socket.socket]]:
        """Who has said its first word since: (word, connection), registered with the bell. Others of our user are let go."""
        if self._server is None:
            return []
        self._accept(self._server)
        found = []
        for descriptor, (connection, buffer) in list(self._strangers.items()):
            try:
                data = connection.recv(GREETING_MOST)
                buffer += data
                said = self._take(buffer)
            except BlockingIOError:
                continue
            except (OSError, ValueError):
                data, said = b"", []
            if said:
                del self._strangers[descriptor]
                found.append((said[0], connection))
            elif not data or len(buffer) > GREETING_MOST:
                del self._strangers[descriptor]
                self.dismiss(connection)
        return found

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except BlockingIOError:
                return
            asked = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            if CREDENTIALS.unpack(asked)[1] != os.geteuid():
                connection.close()
                continue
            connection.setblocking(False)
            self._strangers[connection.fileno()] = (connection, bytearray())
            self._bell.register(connection, select.EPOLLIN)

    def dismiss(self, connection: socket.socket) -> None:
        """Hang up."""
        self._bell.unregister(connection)
        connection.close()

    def close(self) -> None:
        """Nobody may come any more."""
        for connection, _ in self._strangers.values():
            self.dismiss(connection)
        self._strangers.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
            try:
                os.unlink(f"{self._folder}/{self._name}")
            except FileNotFoundError:
                pass
