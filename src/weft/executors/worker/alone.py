"""One call in a process of its own. The supervisor treats it as any program: its output and its end are those of the attempt.

What it is to do is in a file, and the result goes to a file beside it, by rename. No result means that the process died in the
user's code, and its status tells how: `os._exit(0)` is a failure, too.
"""

from __future__ import annotations

import marshal
import os
import sys
import types

from weft.executors.supervisor.conclusion import conclude, take

from .functions import Functions
from .making import make
from .surroundings import Surroundings
from .talk import Talk, open_folder


def main(path: str) -> int:
    """Make the call that the file describes; the status of the process."""
    with open(path, "rb") as file:
        nonce, run_folder, has_streams, definition, arguments, special = marshal.loads(file.read())
    take(path)
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
    return conclude(path, result, pid)
