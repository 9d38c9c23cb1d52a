"""Start one of our processes: `python …/supervisor/__main__.py ROLE ARGUMENT`. There is no import path to find us by:
isolated mode has none, and a host's interpreter may know nothing of weft."""

from __future__ import annotations

import gc
import importlib
import os
import sys

ROLES = ("start", "launcher", "host", "single", "feeder")

if __name__ == "__main__":
    _folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, _folder)
    _name = ROLES[ROLES.index(sys.argv[1])]  # kept: a role may give the user's code another `sys.argv`
    gc.disable()  # loading code makes many objects, and hardly ever a cycle of them
    _role = importlib.import_module(f"supervisor.{_name}")
    gc.enable()
    sys.path.remove(_folder)
    _status = _role.main(*sys.argv[2:])
    if _name == "start":
        # Everything is written and closed, and the engine may be waiting: taking the interpreter apart takes milliseconds.
        sys.stderr.flush()
        os._exit(_status)
    sys.exit(_status)
