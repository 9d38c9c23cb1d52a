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


def main(path: str) -> int:
    """Run the request in `path`; the status of the process."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    os.rename(path, path.replace(".call", ".taken"))  # values are not kept longer than needed, but that it began is
    os.truncate(path.replace(".call", ".taken"), 0)
    for name in [name for name in sys.modules if name.partition(".")[0] == "supervisor"]:
        del sys.modules[name]
    sys.path[0] = ""
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    pid = os.getpid()
    result = run_source(request["source"], request["file"], request["values"])
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
    if result.trace:
        os.write(2, result.trace.encode("utf-8", "backslashreplace"))
    if os.getpid() != pid:  # the user's code forked, and this is the copy
        os._exit(0 if result.cause is None else 1)
    answer = path.replace(".call", ".result")
    with open(answer + ".new", "x", encoding="utf-8") as file:
        json.dump([result.cause, result.detail, result.product], file)
    os.rename(answer + ".new", answer)
    return 0 if result.cause is None else 1
