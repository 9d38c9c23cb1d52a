"""Small things: help, and one task, as whole processes."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.harness import PYTHON, WEFT, Contender, Goal, compare, fresh, report, write_plan


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    write_plan(folder / "plan.json", {"one": {"command": ["/bin/true"]}})
    (folder / "Makefile").write_text("one:\n\t@/bin/true\n")
    (folder / "build.ninja").write_text("rule true\n  command = /bin/true\nbuild one: true\n")
    found = [
        Contender("weft --help", [WEFT, "--help"], 1, folder),
        Contender(
            "weft run, one true", [WEFT, "run", "plan.json", "--output", "quiet"], 1, folder, fresh(folder, ".weft")
        ),
        Contender("python -c pass", [PYTHON, "-c", "pass"], 1, folder),
    ]
    for tool in filter(shutil.which, ("make", "ninja")):
        quiet = {"make": "-s", "ninja": "--quiet"}[tool]
        found.append(Contender(f"{tool}, one true", [tool, quiet], 1, folder, fresh(folder, ".ninja_log")))
    results = compare(found, 3 * runs)
    limits = {"weft --help": 0.15, "weft run, one true": 0.35}
    goals = [
        Goal(f"{name}: seconds", results[name].median("wall"), limit)
        for name, limit in limits.items()
        if name in results
    ]
    return report("startup", "whole processes", results, goals) and len(goals) == len(limits)
