"""Start a worker (`serve`) or one call (`alone`): `python …/worker/__main__.py ROLE ARGUMENT`.

The interpreter may know nothing of weft: only this package is made known to it, nothing else of the folder it is installed in.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec

ROLES = ("serve", "alone")


class OwnWeft:
    """Finds `weft` where this file is, before any other that the interpreter has: both ends must be of one version."""

    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

    @classmethod
    def find_spec(cls, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Of the package itself; its modules are found by its path."""
        if name != "weft":
            return None
        where = os.path.join(cls.folder, "__init__.py")
        return importlib.util.spec_from_file_location(name, where, submodule_search_locations=[cls.folder])


if __name__ == "__main__":
    sys.path[0] = ""
    sys.meta_path.insert(0, OwnWeft)
    _role = importlib.import_module(f"weft.executors.worker.{ROLES[ROLES.index(sys.argv[1])]}")
    sys.exit(_role.main(sys.argv[2]))
