"""One snippet or function in a process of its own: `python single.py REQUEST`. The supervisor treats it as any program.

REQUEST is a JSON file; the result goes to a file beside it, by rename. No result means that the process died in the user's code, and
its status tells how: `os._exit(0)` is a failure, too. stdout and stderr are the attempt's own.
"""

from __future__ import annotations

import json
import os
import sys
import types

if __name__ == "__main__":
    _folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, _folder)
    from supervisor.calls import call, run_source

    sys.path.remove(_folder)


def main(path: str) -> int:
    """Run the request in `path`; the status of the process."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    os.unlink(path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "supervisor"]:
        del sys.modules[name]
    sys.path[0] = ""
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    pid = os.getpid()
    if "source" in request:
        result = run_source(request["source"], request["file"], request["values"])
    else:
        result = call(request)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
