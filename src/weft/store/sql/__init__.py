"""The statements of the store, by name; they stand in the `.sql` files beside this one."""

from __future__ import annotations

import os
from functools import cache

_MARK = "-- name: "


@cache
def statements(file: str) -> dict[str, str]:
    """Statements of `<file>.sql` by the name in the comment line above each; comments are left out."""
    with open(os.path.join(os.path.dirname(__file__), f"{file}.sql"), encoding="utf-8") as source:
        sections = source.read().split(_MARK)[1:]
    found: dict[str, str] = {}
    for section in sections:
        name, _, body = section.partition("\n")
        found[name.strip()] = "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
    return found
