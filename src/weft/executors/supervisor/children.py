"""What child processes of a snippet print: it goes to the snippet's own output, not to that of the host.

Children get the files of the snippet's streams as their descriptors 1 and 2 where they would have inherited the host's. A
process that calls `fork` in C, or `posix_spawn`, is out of reach: `isolation: process` is the way.
"""

from __future__ import annotations

import os
from typing import Any

from .capture import Capture, Owners, Text


def inherit_output(owners: Owners) -> None:
    """From now on, for all threads."""
    import subprocess

    plain_init = subprocess.Popen.__init__

    def init(
        popen: Any,
        args: Any,
        bufsize: int = -1,
        executable: Any = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        *more: Any,
        **named: Any,
    ) -> None:
        capture = owners.capture
        if capture is not None:
            owners.flush()
            stdout, stderr = _own(stdout, 0, capture), _own(stderr, 1, capture)
        plain_init(popen, args, bufsize, executable, stdin, stdout, stderr, *more, **named)

    def system(command: Any) -> int:
        status = subprocess.Popen(command, shell=True).wait()
        return -status if status < 0 else status << 8

    subprocess.Popen.__init__ = init  # type: ignore[method-assign, assignment]
    os.system = system
    os.register_at_fork(before=lambda: _open_files(owners), after_in_child=lambda: _write_at_once(owners))


def _own(given: Any, stream: int, capture: Capture) -> Any:
    """The file instead of what a child would inherit; anything else stays."""
    if isinstance(given, Text):
        given = given.fileno()
    if given is None:
        return capture.streams[stream].descriptor()
    if isinstance(given, int) and given in (1, 2):
        return capture.streams[given - 1].descriptor()
    return given


def _open_files(owners: Owners) -> None:
    if owners.capture is not None:
        owners.flush()
        for stream in owners.capture.streams:
            stream.descriptor()


def _write_at_once(owners: Owners) -> None:
    """A forked child has a memory of its own, which nobody reads when it is gone."""
    if owners.capture is not None:
        for stream in owners.capture.streams:
            stream.write_at_once()
