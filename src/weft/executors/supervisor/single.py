"""One snippet in a process of its own: role `single`. The supervisor treats it as any program.

Its argument is a JSON file; the result goes to a file beside it, by rename. No result means that the process died in
the user's code, and its status tells how: `os._exit(0)` is a failure, too. stdout and stderr are the attempt's own.
"""

from __future__ import annotations

import json
import os
import sys
import types

from .calls import run_source
from .conclusion import conclude, take


def main(path: str) -> int:
    """Run the request in `path`; the status of the process."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    take(path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "supervisor"]:
        del sys.modules[name]
    sys.path[0] = ""
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    pid = os.getpid()
    return conclude(path, run_source(request["source"], request["file"], request["values"]), pid)
