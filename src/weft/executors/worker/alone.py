"""One call in a process of its own. The supervisor treats it as any program: its output and its end are those of the attempt.

What it is to do is in a file, and the result goes to a file beside it, by rename. No result means that the process died in the
user's code, and its status tells how: `os._exit(0)` is a failure, too.
"""

from __future__ import annotations

import json
import marshal
import os
import sys
import types

from .functions import Functions
from .making import make
from .surroundings import Surroundings
from .talk import Talk, open_folder


def main(path: str) -> int:
    """Make the call that the file describes; the status of the process."""
    with open(path, "rb") as file:
        nonce, run_folder, has_streams, definition, arguments, special = marshal.loads(file.read())
    taken = path.replace(".call", ".taken")
    os.rename(path, taken)  # values are not kept longer than needed, but that it began is
    os.truncate(taken, 0)
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.stdout.reconfigure(line_buffering=True, errors="surrogateescape")  # type: ignore[union-attr]
    pid = os.getpid()
    functions = Functions(Surroundings())
    functions.define([definition])
    talk = None
    if has_streams:
        folder = open_folder(run_folder)
        talk = Talk(folder, ("call", nonce))
        os.close(folder)
    result = make(functions, definition[0], nonce, arguments, special, f"{run_folder}/streams", talk)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the call has closed or replaced it
    if result.trace:
        try:
            os.write(2, result.trace.encode("utf-8", "backslashreplace"))
        except OSError:
            pass
    if os.getpid() != pid:  # the user's code forked, and this is the copy
        os._exit(0 if result.cause is None else 1)
    answer = path.replace(".call", ".result")
    with open(answer + ".new", "x", encoding="utf-8") as file:
        json.dump([result.cause, result.detail, result.product], file)
    os.rename(answer + ".new", answer)
    return 0 if result.cause is None else 1
