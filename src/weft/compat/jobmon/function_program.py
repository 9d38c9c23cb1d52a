"""`weft.define.function_program` for scripts that import `jobmon`: `install` was called in another process than this one."""

from __future__ import annotations

import sys

from weft.compat.jobmon import install
from weft.define.function_program import main

if __name__ == "__main__":
    install()
    main(sys.argv[1:])
