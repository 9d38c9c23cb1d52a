"""A chain of short commands: what weft adds to a hop, and how long a follower waits for its dependency's end."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import HERE, PYTHON, WEFT, Contender, Goal, compare, fresh, report, write_plan

COUNT = 2_000
STAMPED = ["/bin/sh", "-c", "exec date +%s.%N >> stamps"]
"""Each task writes down itself when it runs; the distance of two stamps is a hop and one such command."""


def contenders(folder: Path) -> list[Contender]:
    found = []
    for kind, command in (("true", ["/bin/true"]), ("stamped", STAMPED)):
        own = folder / kind
        own.mkdir()
        write_plan(
            own / "plan.json",
            {
                f"t{number}": {"command": command, "dependencies": [f"t{number - 1}"] if number else []}
                for number in range(COUNT)
            },
        )
        bare = [PYTHON, "-S", str(HERE / "contenders.py"), "spawn", str(COUNT), "1", *command]
        read = (lambda _, own=own: hops(own / "stamps")) if kind == "stamped" else None
        found += [
            Contender(
                f"weft, {kind}",
                [WEFT, "run", "plan.json", "-j", "2", "--output", "quiet"],
                COUNT,
                own,
                fresh(own, ".weft", "stamps"),
                read,
            ),
            Contender(f"posix_spawn + wait4, {kind}", bare, COUNT, own, fresh(own, "stamps"), read),
        ]
    return found


def hops(path: Path) -> Mapping[str, float]:
    """Milliseconds from one stamp to the next."""
    stamps = [float(line) for line in path.read_text().split()]
    found = sorted(1e3 * (after - before) for before, after in itertools.pairwise(stamps))
    return {"hop_ms_median": statistics.median(found), "hop_ms_p99": found[int(len(found) * 0.99)]}


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    results = compare(contenders(folder), runs)
    goals = []
    if "weft, true" in results and "posix_spawn + wait4, true" in results:
        added = results["weft, true"].median("wall") - results["posix_spawn + wait4, true"].median("wall")
        goals.append(Goal("ms a hop beyond the command", 1e3 * added / COUNT, 1.5))
    if "weft, stamped" in results and "posix_spawn + wait4, stamped" in results:
        ours, bare = results["weft, stamped"], results["posix_spawn + wait4, stamped"]
        for figure, limit in (("hop_ms_median", 1.0), ("hop_ms_p99", 2.0)):
            goals.append(
                Goal(f"{figure} beyond that of the bare loop", ours.median(figure) - bare.median(figure), limit)
            )
    return report("chain", f"{COUNT:,} commands, each after the one before", results, goals) and len(goals) == 3
