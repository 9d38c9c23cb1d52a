"""Start the supervisor: `python -I -S <this folder> <arguments>`; isolated mode leaves no import path to find it by."""

from __future__ import annotations

import importlib
import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(importlib.import_module("supervisor.start").main(sys.argv[1:]))
