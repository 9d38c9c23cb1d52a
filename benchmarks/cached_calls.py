"""Everything cached: 10,000 typed tasks of a script, run once more."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import HERE, PYTHON, Contender, Goal, compare, report, run_once

COUNT = 10_000
OURS = "a script of typed tasks"


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    typed = [PYTHON, str(HERE / "typed.py")]
    for name in ("calls", "mapped"):
        (folder / name).mkdir()  # a state of its own: both are of one registry, and all its results are loaded
    found = [
        Contender(OURS, [*typed, "calls", str(COUNT), "auto"], COUNT, folder / "calls"),
        Contender("one task, mapped", [*typed, "mapped", str(COUNT), "auto"], COUNT, folder / "mapped"),
    ]
    for contender in found:
        first = run_once(contender)
        print(f"  first run, {contender.name}: {first['wall']:.2f} s")
    results = compare(found, runs)
    goals = [Goal("seconds, whole process", results[OURS].median("wall"), 0.6)] if OURS in results else []
    return report("cached_calls", f"{COUNT:,} typed tasks, all cached", results, goals) and bool(goals)
