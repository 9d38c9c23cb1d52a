"""The end of a call that has a process of its own: what it printed is out, why it failed is said, its result is in a file."""

from __future__ import annotations

import json
import os
import sys

from .calls import Result, flush


def take(path: str) -> None:
    """The call in the file `path` begins: that is kept, but its values are not kept longer than needed."""
    taken = path.replace(".call", ".taken")
    os.rename(path, taken)
    os.truncate(taken, 0)


def conclude(path: str, result: Result, pid: int) -> int:
    """The status of the process. pid: of the process that began the call."""
    for name in ("stdout", "stderr"):
        _say(flush(name, getattr(sys, name, None)))
    _say(result.trace)
    status = 0 if result.cause is None else 1
    if os.getpid() != pid:  # the user's code forked, and this is the copy
        os._exit(status)
    answer = path.replace(".call", ".result")
    with open(answer + ".new", "x", encoding="utf-8") as file:
        json.dump([result.cause, result.detail, result.product], file)
    os.rename(answer + ".new", answer)
    return status


def _say(text: str) -> None:
    if not text:
        return
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the call has closed its stderr, or the disk is full: the result says what happened
