"""Copy a file that still grows into a pipe: role `feeder`, the file on descriptor 0, the pipe on 1.

It ends when the file is known to be whole and all of it is in the pipe, or when nobody reads the pipe any more. It waits for
both by inotify and poll, and never looks at a clock. The path of its argument comes into being when the file is whole, and
holds its length.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal

PIECE = 1 << 20  # bytes
IN_MODIFY = 0x002
IN_CLOSE_WRITE = 0x008
IN_MOVED_TO = 0x080
SOURCE, PIPE = 0, 1


def watch(path: str) -> int:
    """A descriptor that is readable when the file on `SOURCE` has grown, or something has come to the folder of `path`."""
    system = ctypes.CDLL(None, use_errno=True)
    watcher = system.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    folder = os.fsencode(os.path.dirname(path))
    for name, mask in ((b"/proc/self/fd/%d" % SOURCE, IN_MODIFY | IN_CLOSE_WRITE), (folder, IN_MOVED_TO)):
        if watcher < 0 or system.inotify_add_watch(watcher, name, mask) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fsdecode(name))
    return int(watcher)


def length_of(path: str) -> int | None:
    """Bytes of the whole file; None while it grows."""
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except FileNotFoundError:
        return None


def copy(path: str, watcher: int) -> None:
    """Everything, until the end. Raises BrokenPipeError when nobody reads it."""
    poll = select.poll()
    poll.register(watcher, select.POLLIN)
    poll.register(PIPE, 0)  # only its errors: the reader is gone
    done = 0
    while True:
        whole = length_of(path)  # before the reading: what was written until then is there
        while data := os.pread(SOURCE, PIECE if whole is None else min(PIECE, whole - done), done):
            view = memoryview(data)
            while view:
                view = view[os.write(PIPE, view) :]
            done += len(data)
        if whole is not None:
            return
        for descriptor, _ in poll.poll():
            if descriptor == PIPE:
                return
        try:
            while os.read(watcher, 1 << 16):
                pass
        except BlockingIOError:
            pass


def main(path: str) -> int:
    """Copy until the file at `path` says how long it is."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        copy(path, watch(path))
    except OSError as problem:
        if problem.errno != errno.EPIPE:
            raise
    return 0
