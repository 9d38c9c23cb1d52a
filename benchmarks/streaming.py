"""A stream of 100,000 small items: from a generator through a generator that consumes it into a sum, all three at once."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import HERE, PYTHON, Contender, Goal, compare, fresh, report

COUNT = 100_000
OURS = "weft, state durable"


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    typed = [PYTHON, str(HERE / "typed.py"), "streaming", str(COUNT)]
    plain = [PYTHON, "-S", str(HERE / "contenders.py"), "queues", str(COUNT)]
    state = fresh(folder, "state")
    found = [
        Contender(OURS, [*typed, "never"], COUNT, folder, state),
        Contender("weft, kept for other runs", [*typed, "auto"], COUNT, folder, state),
        Contender("multiprocessing.Queue", plain, COUNT, folder),
    ]
    results = compare(found, runs)
    goals = [Goal("items/s", COUNT / results[OURS].median("wall"), 20_000, at_least=True)] if OURS in results else []
    title = f"{COUNT:,} items through two stages, whole processes"
    return report("streaming", title, results, goals) and bool(goals)
