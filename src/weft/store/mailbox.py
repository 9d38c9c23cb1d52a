"""What other processes ask of a live engine: rows that count once, and a bell that says there are some.

The rows are the message; the bell (a datagram to `runs/<run>/engine.sock`) only saves waiting and may be lost.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import apsw

from weft.errors import StoreError
from weft.store import database
from weft.store.folder import FOLDER_MODE, unusable
from weft.store.sql import statements

SOCKET: Final = "engine.sock"
BUSY_SECONDS: Final = 60.0
_RING: Final = b"!"


class Asked(NamedTuple):
    """A request. id: given by who asks; the same id counts once. posted: wall clock seconds."""

    id: str
    kind: str
    payload: Mapping[str, Any]
    posted: float


class Mailbox:
    """The asking side: any process that may write the state folder. busy_seconds: how long to wait while another one writes."""

    def __init__(self, folder: str, busy_seconds: float = BUSY_SECONDS):
        self._folder = os.path.abspath(folder)
        self._busy_seconds = busy_seconds

    def post(self, run: str, kind: str, payload: Mapping[str, Any], id: str | None = None) -> str:
        """Ask something of the engine of `run`; the request's id. Raises StoreError."""
        given = id or os.urandom(16).hex()
        body = json.dumps(dict(payload), separators=(",", ":"), sort_keys=True)
        with _writing(self._folder, self._busy_seconds) as connection:
            connection.execute(statements("mailbox")["post"], (given, run, kind, body, time.time()))
        ring(self._folder, run)
        return given

    def withdraw(self, ids: Sequence[str]) -> None:
        """Nobody wants these any more; those that an engine has taken stay as they are. Raises StoreError."""
        with _writing(self._folder, self._busy_seconds) as connection:
            connection.executemany(statements("mailbox")["withdraw"], [(id,) for id in ids])

    def close(self) -> None:
        """Nothing is held between two posts."""

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Inbox:
    """The engine's side. `fileno` becomes readable when somebody rings."""

    def __init__(self, folder: str, run: str):
        self._folder = os.path.abspath(folder)
        self._run = run
        self._seen_bell = True  # what was posted before we listened rang nobody
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._place = _bind(self._socket, os.path.join(self._folder, "runs", run))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    def take(self) -> list[Asked]:
        """Requests that nobody has taken, oldest first; each counts once, also when this process dies right after.

        Costs one system call while nobody has rung.
        """
        if not (self._was_rung() or self._seen_bell):
            return []
        self._seen_bell = False
        sql = statements("mailbox")
        found: list[tuple[Any, ...]]
        with _writing(self._folder) as connection:
            found = connection.execute(sql["waiting"], (self._run,)).fetchall()
            if not found:
                return []
            connection.execute("BEGIN IMMEDIATE")
            now = time.time()
            connection.executemany(sql["settle"], [(now, row[1]) for row in found])
            connection.execute("COMMIT")
        return [Asked(id, kind, json.loads(payload), posted) for _, id, kind, payload, posted in found]

    def close(self) -> None:
        """Stop listening and take the socket away, if it is still ours. Safe to call twice."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        path = os.path.join(self._folder, "runs", self._run, SOCKET)
        try:
            found = os.lstat(path)
            if (found.st_dev, found.st_ino) == self._place:
                os.unlink(path)
        except FileNotFoundError:
            return

    def _was_rung(self) -> bool:
        rung = False
        while True:
            try:
                self._socket.recv(len(_RING))
            except BlockingIOError:
                return rung
            rung = True


def ring(folder: str, run: str) -> bool:
    """Ring an engine's bell; whether somebody listens."""
    try:
        place = os.open(os.path.join(folder, "runs", run), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bell:
            bell.sendto(_RING, f"/proc/self/fd/{place}/{SOCKET}")
    except BlockingIOError:
        return True  # its queue is full: it has been rung
    except OSError:
        return False
    finally:
        os.close(place)
    return True


def _bind(listener: socket.socket, folder: str) -> tuple[int, int]:
    """Listen in `folder`; identity of the socket file. By /proc/self/fd, because socket paths end at 107 bytes."""
    try:
        os.makedirs(folder, FOLDER_MODE, exist_ok=True)
        for made in (os.path.dirname(folder), folder):
            if os.lstat(made).st_mode & 0o777 != FOLDER_MODE:
                os.chmod(made, FOLDER_MODE)
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _remove_old(place)
            listener.bind(f"/proc/self/fd/{place}/{SOCKET}")
            os.chmod(f"/proc/self/fd/{place}/{SOCKET}", 0o600)
            found = os.stat(SOCKET, dir_fd=place, follow_symlinks=False)
        finally:
            os.close(place)
    except OSError as error:
        raise unusable(folder, error) from error
    return found.st_dev, found.st_ino


def _remove_old(place: int) -> None:
    """The socket of a dead engine; we hold the plan's lock, so no live one listens there."""
    try:
        found = os.stat(SOCKET, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StoreError(f"{SOCKET} in the run's folder is no socket; it is left as it is", SOCKET, "move it away")
    os.unlink(SOCKET, dir_fd=place)


@contextmanager
def _writing(folder: str, busy_seconds: float = BUSY_SECONDS) -> Iterator[apsw.Connection]:
    """A connection for a moment: requests are rare, and so no reader of bells keeps the database open."""
    connection = database.connect(folder, "power", database.Patience(folder, busy_seconds, None))
    try:
        with database.reworded(database.path_of(folder)):
            yield connection
    finally:
        connection.close()
