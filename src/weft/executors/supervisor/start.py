"""Begin to supervise: own session, child subreaper, the run's lock, the socket's name, then the loop."""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import time

from .loop import Supervisor
from .wire import LENGTH, Settings

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
LOCK_WAIT_SECONDS = 5.0  # a predecessor that is about to exit holds the lock a moment longer
CONNECTION = 3  # descriptor of the first engine's socket
GARBAGE_THRESHOLD = 50_000  # objects; next to no cycles are made here, and every search delays a start
CALLERS = 64  # that may wait to be let in; more are turned away
CHILD_BADNESS = 200  # added to the oom score of children, so that the kernel takes them first


def main(_label: str) -> int:
    """Supervise as the engine's first message says, until nothing is left to do. Status 3: somebody else does.

    _label: for whoever lists processes.
    """
    close_inherited()
    connection = socket.socket(fileno=CONNECTION)
    settings = hear_settings(connection)
    if settings is None:
        return 0  # we were started early, and are not needed
    os.umask(settings.umask)
    write_to(f"{settings.run_folder}/supervisor.log")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    folder = os.open(settings.run_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not take_lock(folder):
        print("another supervisor of this run is alive", file=sys.stderr)
        return 3
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    supervisor = Supervisor(settings, listen(folder), oom_score())
    supervisor.serve(connection)
    try:
        os.unlink("supervisor.sock", dir_fd=folder)
    except FileNotFoundError:
        pass
    return 0


def hear_settings(connection: socket.socket) -> Settings | None:
    """What the engine says first; None when it hangs up instead. Later messages stay in the socket."""
    head = connection.recv(LENGTH.size, socket.MSG_WAITALL)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    text = connection.recv(length, socket.MSG_WAITALL)
    return Settings(**json.loads(text)) if len(text) == length else None


def write_to(path: str) -> None:
    """Let what this process prints go to a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def close_inherited() -> None:
    """Children are to find 0, 1 and 2 only; whoever started weft may have left us more."""
    os.set_inheritable(CONNECTION, False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > CONNECTION:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor that listed the folder


def become_subreaper() -> None:
    """Orphans below this process become its children instead of init's, so that they are seen and reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def take_lock(folder: int) -> bool:
    """Hold `supervisor.lock` for life; False when another process does not let go of it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open("supervisor.lock", flags, 0o600, dir_fd=folder)
    limit = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > limit:
                return False
            time.sleep(0.02)


def listen(folder: int) -> socket.socket:
    """A socket named `supervisor.sock` in `folder`; by /proc, because a socket's path ends at 107 bytes."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink("supervisor.sock", dir_fd=folder)
    except FileNotFoundError:
        pass
    before = os.umask(0o177)
    server.bind(f"/proc/self/fd/{folder}/supervisor.sock")
    os.umask(before)
    server.listen(CALLERS)
    server.setblocking(False)
    return server


def oom_score() -> tuple[int, bytes, bytes] | None:
    """(descriptor of our own score, score for children, our score); None where it cannot be changed."""
    try:
        file = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        own = int(os.pread(file, 16, 0))
    except (OSError, ValueError):
        return None
    return file, str(min(1000, own + CHILD_BADNESS)).encode(), str(own).encode()
