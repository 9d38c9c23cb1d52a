"""Limits, pauses and leases are measured by clocks that only grow: reliability.md, R18 and H1."""

from __future__ import annotations

import ast
from pathlib import Path

import weft

SOURCE = Path(weft.__file__).parent
FOLDERS = ("scheduling", "runtime", "executors")
WALL = {"time", "time_ns", "wall", "now", "utcnow", "today", "localtime", "gmtime", "ctime", "strftime", "asctime"}

TOLD = {
    "runtime/clock.py": 1,  # the port itself
    "runtime/engine.py": 1,  # when the run ended, for its record
    "executors/supervisor/loop.py": 1,  # when an attempt began, for its receipt
    "executors/supervisor/host.py": 1,  # the same of a snippet
    "executors/worker/serve.py": 1,  # and of a call
}
"""Where the wall clock is read to be shown to people, and how often. Nothing may be computed from it."""


def readings(path: Path) -> int:
    """Calls of a wall clock in a module."""
    found = 0
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WALL:
            found += 1
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
            assert not {alias.name for alias in node.names} & (WALL | {"datetime", "date"}), path
        if isinstance(node, ast.Attribute) and node.attr in ("CLOCK_REALTIME", "CLOCK_TAI"):
            found += 1
    return found


def test_nothing_that_decides_reads_the_wall_clock() -> None:
    found = {
        str(path.relative_to(SOURCE)): count
        for folder in FOLDERS
        for path in sorted((SOURCE / folder).rglob("*.py"))
        if (count := readings(path))
    }
    assert found == TOLD
