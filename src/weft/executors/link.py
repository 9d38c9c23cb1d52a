"""The engine's end of a supervisor: start one or find the living one, talk without waiting, notice its death."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import sys
import time
from typing import Any, NamedTuple

from weft.errors import BackendError, StoreError
from weft.executors.supervisor.wire import message, take_answers

SUPERVISOR = f"{os.path.dirname(__file__)}/supervisor/__main__.py"
FIRST_CONNECTION = 3  # descriptor that a started supervisor finds its engine at
ANSWER_SECONDS = 10.0  # a supervisor that says nothing for so long is called "not answering"


class Place(NamedTuple):
    """Folders and times of one run's supervisor. grace: seconds from TERM to KILL; stray_wait: that strays get first.

    epoch: of the engine that speaks.
    """

    run: str
    run_folder: str
    log_folder: str
    grace: float
    stray_wait: float
    epoch: int

    def name(self, kind: str, number: int) -> str:
        """Of a process that writes files of its own, the `number`th of its kind: no earlier engine has given it.

        What it wrote may be lost in a power cut while the store refers to it, so that what is there does not tell what is free.
        """
        return f"{kind}-{self.epoch}" if number == 1 else f"{kind}-{self.epoch}-{number}"


class Link:
    """A connection. `answers` come behind the bells; `is_open` turns False when the supervisor is gone or let us go.

    has_rung: there are receipts that whoever resets it has not read.
    """

    def __init__(self, connection: socket.socket, bell: select.epoll, child: int | None):
        connection.setblocking(False)
        self._connection = connection
        self._bell = bell
        self._inward = bytearray()
        self._outward = bytearray()
        self._child = child
        self.is_open = True
        self.has_rung = False
        self.answers: list[dict[str, Any]] = []
        bell.register(connection, select.EPOLLIN)

    def send(self, value: Any) -> None:
        """Hand over a message; what the socket does not take now goes out at the next `turn`."""
        self._outward += message(value)
        self._push()

    def _push(self) -> None:
        if not self.is_open:
            return
        waited = bool(self._outward)
        try:
            while self._outward:
                del self._outward[: self._connection.send(self._outward)]
        except BlockingIOError:
            pass
        except OSError:
            self._outward.clear()  # its end is read below, with what it said last
        if waited:
            wanted = select.EPOLLIN | (select.EPOLLOUT if self._outward else 0)
            self._bell.modify(self._connection, wanted)

    def turn(self) -> None:
        """Send what waits, hear what was said."""
        if not self.is_open:
            return
        self._push()
        is_over = False
        try:
            while data := self._connection.recv(1 << 16):
                self._inward += data
            is_over = True
        except BlockingIOError:
            pass
        except OSError:
            is_over = True
        rang, answers = take_answers(self._inward)
        self.has_rung = self.has_rung or rang
        self.answers += answers
        if is_over:
            self.close()

    def ask(self, value: Any) -> dict[str, Any] | None:
        """Send and wait for one answer; None when it hangs up. Raises BackendError when it says nothing."""
        self.send(value)
        limit = time.monotonic() + ANSWER_SECONDS
        while not self.answers:
            left = limit - time.monotonic()
            if not self.is_open:
                return None
            if left <= 0:
                self.close()
                raise _silent()
            select.select([self._connection], [self._connection] if self._outward else [], [], left)
            self.turn()
        return self.answers.pop(0)

    def bury(self, patience: float = 0.0) -> bool:
        """Reap the supervisor if it was our child, waiting so many seconds for its end; whether it is known to be dead."""
        limit = time.monotonic() + patience
        while self._child is not None:
            try:
                if os.waitpid(self._child, os.WNOHANG)[0]:
                    self._child = None
            except ChildProcessError:
                self._child = None
            if self._child is not None and time.monotonic() >= limit:
                return False
            if self._child is not None:
                time.sleep(0.001)
        return True

    def leave(self) -> None:
        """Its end is awaited by whoever comes next: a later `start` in this process reaps it."""
        if self._child is not None:
            _graves.append(self._child)
            self._child = None

    def close(self) -> None:
        """Let the supervisor go on alone."""
        if self.is_open:
            self.is_open = False
            self._bell.unregister(self._connection)
            self._connection.close()


_graves: list[int] = []  # supervisors that outlived their executor, to be reaped once they are dead


def _reap_graves() -> None:
    for pid in list(_graves):
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        except ChildProcessError:
            pass
        _graves.remove(pid)


class Newborn(NamedTuple):
    """A supervisor that wakes up, and has not been told what to do. Hanging up ends it. label: what lists of processes show."""

    label: str
    connection: socket.socket
    pid: int

    def dismiss(self) -> None:
        """It is not needed."""
        self.connection.close()
        _graves.append(self.pid)


def give_birth(label: str, log: str = os.devnull) -> Newborn:
    """Start a supervisor. log: file for what it prints before it knows its run."""
    _reap_graves()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "WEFT_TOKEN") if name in os.environ}
    with theirs:
        # `posix_spawn`: no copy of the engine's memory is made, and the descriptors of other threads stay ours.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", SUPERVISOR, "start", label],
            kept,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), FIRST_CONNECTION),
            ],
            setsid=True,
        )
    return Newborn(label, ours, pid)


def start(place: Place, writer: str, bell: select.epoll, newborn: Newborn | None = None) -> Link:
    """Let a supervisor begin its work, the newborn if there is one, and be connected to it; it may still be waking up."""
    if newborn is None:
        newborn = give_birth(place.run_folder, f"{place.run_folder}/supervisor.log")
    link = Link(newborn.connection, bell, newborn.pid)
    settings = {
        "run": place.run,
        "run_folder": place.run_folder,
        "log_folder": place.log_folder,
        "writer": writer,
        "python": sys.executable,
        "umask": _umask(),
        "grace": place.grace,
        "stray_wait": place.stray_wait,
    }
    link.send(settings)
    return link


def _umask() -> int:
    """Of this process, for what attempts make; the only way to read it without changing it."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def find(place: Place, bell: select.epoll) -> Link | None:
    """A connection to the run's living supervisor; None when there is none. Raises BackendError when it takes none."""
    try:
        connection = connect(place.run_folder)
    except BlockingIOError as problem:
        raise _silent() from problem
    return None if connection is None else Link(connection, bell, None)


def connect(run_folder: str) -> socket.socket | None:
    """A connection to a supervisor; None when there is none. Raises BlockingIOError: its queue of callers is full, OSError."""
    folder = os.open(run_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)  # one that stands still lets nobody in, and who waits for that waits for ever
    try:
        connection.connect(f"/proc/self/fd/{folder}/supervisor.sock")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


def _silent() -> BackendError:
    return BackendError(
        "the supervisor of this run is alive, but does not answer", "see `weft status`; nothing was taken from it"
    )


def is_alive(place: Place) -> bool:
    """Whether some supervisor holds the run's lock."""
    try:
        lock = os.open(f"{place.run_folder}/supervisor.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def make_folders(place: Place) -> None:
    """What a supervisor expects to exist, for nobody else's eyes. Raises StoreError."""
    inner = (f"{place.run_folder}/receipts", f"{place.run_folder}/scratch", f"{place.log_folder}/slots")
    for folder in (place.run_folder, place.log_folder, *inner):
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            is_folder = stat.S_ISDIR(os.lstat(folder).st_mode)
        except OSError as problem:
            raise StoreError(f"{folder} cannot be made: {problem.strerror}", folder) from problem
        if not is_folder:
            raise StoreError(f"{folder} is a link", folder, "remove it; weft makes its own folders")
