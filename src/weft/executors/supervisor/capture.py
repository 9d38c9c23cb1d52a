"""Keep apart what concurrent snippets print: `sys.stdout` and `sys.stderr` of a host ask whose thread is writing.

A thread that a snippet starts through `threading` writes for that snippet. Output stays in memory while it is short and
the snippet young, so that most snippets never make a file; then it goes to a file of its own.
"""

from __future__ import annotations

import io
import os
import threading
from typing import Any

SMALL_OUTPUT = 64 << 10  # bytes a stream that are kept in memory


LINE_LIMIT = 8192  # bytes of an unfinished line that wait for the rest


class Stream:
    """One output stream of one snippet. `close` makes everything that comes later vanish."""

    def __init__(self, folder: str, name: str):
        self._path = f"{folder}/{name}"
        self._name = name
        self._parts: list[bytes] = []
        self._held = 0
        self._file = -1
        self._lock = threading.Lock()
        self._is_open = True
        self._most_held = 4096  # bytes, once there is a file

    def write(self, data: bytes) -> None:
        """Take output, from any thread."""
        with self._lock:
            if not self._is_open:
                return
            self._parts.append(data)
            self._held += len(data)
            if self._held > SMALL_OUTPUT or (self._file >= 0 and self._held > self._most_held):
                self._spill()

    def spill(self) -> None:
        """Make what is held visible in the file, for those who follow the log."""
        with self._lock:
            if self._is_open and self._parts:
                self._spill()

    def descriptor(self) -> int:
        """Of the file, for child processes that append to it; what was written before is in it."""
        with self._lock:
            if self._is_open:
                self._spill()
            elif self._file < 0:
                self._file = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            return self._file

    def write_at_once(self) -> None:
        """In a forked process, after `descriptor`."""
        self._lock = threading.Lock()  # a thread that is not here may have held it
        self._most_held = 0

    def _spill(self) -> None:
        if self._file < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        view = memoryview(b"".join(self._parts))
        self._parts.clear()
        self._held = 0
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> tuple[bytes, tuple[str, int, int] | None]:
        """No more output: (what is still in memory, None), or (b"", its region of a file of its own)."""
        with self._lock:
            self._is_open = False
            if self._file < 0:
                data = b"".join(self._parts)
                self._parts.clear()
                return data, None
            self._spill()
            size = os.fstat(self._file).st_size  # children have written, too
            os.close(self._file)
            self._file = -1
            if size == 0:
                self._remove()
                return b"", None
            return b"", (self._name, 0, size)

    def _remove(self) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass  # somebody else did


class Capture:
    """Both streams of one snippet."""

    def __init__(self, folder: str, nonce: int):
        self.streams = (Stream(folder, f"{nonce:016x}.out"), Stream(folder, f"{nonce:016x}.err"))

    def spill(self) -> None:
        """See `Stream.spill`."""
        for stream in self.streams:
            stream.spill()


class Owners(threading.local):
    """The capture that the present thread writes for; None outside snippets."""

    capture: Capture | None = None
    call: Any = None

    def __init__(self) -> None:
        # `print` writes a line in pieces; kept together here, lines of a snippet's threads do not run into each other.
        self.lines = [b"", b""]

    def flush(self) -> None:
        """Write the unfinished lines of the present thread."""
        for stream in (0, 1):
            if self.lines[stream]:
                self.write(stream, b"")

    def write(self, stream: int, data: bytes) -> None:
        """Write to a stream of whoever the present thread works for."""
        data, self.lines[stream] = self.lines[stream] + data, b""
        if self.capture is None:
            os.write(stream + 1, data)
        else:
            self.capture.streams[stream].write(data)


class Bytes(io.RawIOBase):
    """What `sys.stdout.buffer` is in a host."""

    def __init__(self, owners: Owners, stream: int):
        super().__init__()
        self._owners = owners
        self._stream = stream

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream + 1

    def write(self, data: Any) -> int:
        """All of it, always."""
        copy = bytes(data)
        self._owners.write(self._stream, copy)
        return len(copy)

    def close(self) -> None:
        """A snippet that closes its output does not close that of the others."""


class Text(io.TextIOBase):
    """What `sys.stdout` is in a host."""

    def __init__(self, owners: Owners, stream: int):
        super().__init__()
        self._owners = owners
        self._stream = stream
        self._bytes = Bytes(owners, stream)

    @property
    def buffer(self) -> Bytes:
        """Where bytes go."""
        return self._bytes

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "surrogateescape"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._bytes.fileno()

    def write(self, text: str) -> int:
        """All of it, always."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        data = text.encode("utf-8", "surrogateescape")
        if "\n" in text or len(data) > LINE_LIMIT:
            self._owners.write(self._stream, data)
        else:
            line = self._owners.lines[self._stream] = self._owners.lines[self._stream] + data
            if len(line) > LINE_LIMIT:
                self._owners.write(self._stream, b"")
        return len(text)

    def flush(self) -> None:
        """Write the unfinished line."""
        self._owners.flush()

    def reconfigure(self, **_: Any) -> None:
        """Nothing to change: UTF-8, unbuffered."""

    def close(self) -> None:
        """As for bytes."""


def inherit_owner(owners: Owners) -> None:
    """Let threads started through `threading` write for whoever started them."""
    plain_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        capture, call, run = owners.capture, owners.call, thread.run
        if capture is not None:

            def run_for_owner() -> None:
                owners.capture, owners.call = capture, call
                try:
                    run()
                finally:
                    owners.flush()

            thread.run = run_for_owner  # type: ignore[method-assign]
        plain_start(thread)

    threading.Thread.start = start  # type: ignore[assignment, method-assign]
