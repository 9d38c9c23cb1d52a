"""A large native document: 100,000 tasks loaded and validated."""

from __future__ import annotations

from pathlib import Path

from benchmarks.graph import WIDTH, write_layered
from benchmarks.harness import HERE, PYTHON, WEFT, Contender, Goal, compare, report

LAYERS = 100


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    write_layered(folder / "plan.json", LAYERS)
    count = LAYERS * WIDTH
    results = compare(
        [
            Contender("weft validate", [WEFT, "validate", "plan.json", "--output", "quiet"], count, folder),
            Contender("json.load", [PYTHON, "-S", str(HERE / "contenders.py"), "parse", "plan.json"], count, folder),
        ],
        runs,
    )
    goals = (
        [Goal("seconds, whole process", results["weft validate"].median("wall"), 5)]
        if "weft validate" in results
        else []
    )
    return report("loading", f"{count:,} tasks of native JSON, loaded and validated", results, goals) and bool(goals)
