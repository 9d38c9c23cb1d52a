"""Many independent short commands: 2,000 x /bin/true, two at a time, output captured, usage recorded, state durable."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.harness import HERE, PEERS, PYTHON, WEFT, Contender, Goal, compare, fresh, report, write_plan

COUNT = 2_000
JOBS = 2


def contenders(folder: Path, peers: bool) -> list[Contender]:
    write_plan(folder / "plan.json", {f"t{number}": {"command": ["/bin/true"]} for number in range(COUNT)})
    names = [f"t{number}" for number in range(COUNT)]
    (folder / "Makefile").write_text(
        f"all: {' '.join(names)}\n.PHONY: all {' '.join(names)}\n{' '.join(names)}:\n\t@/bin/true\n"
    )
    (folder / "build.ninja").write_text(
        "rule true\n  command = /bin/true\n" + "".join(f"build {name}: true\n" for name in names)
    )
    (folder / "numbers").write_text("\n".join(names) + "\n")
    run = [WEFT, "run", "plan.json", "--output", "quiet"]
    found = [
        Contender(f"weft -j {JOBS}", [*run, "-j", str(JOBS)], COUNT, folder, fresh(folder, ".weft")),
        Contender("weft -j 8", [*run, "-j", "8"], COUNT, folder, fresh(folder, ".weft")),
        Contender(
            "posix_spawn + wait4",
            [PYTHON, "-S", str(HERE / "contenders.py"), "spawn", str(COUNT), str(JOBS)],
            COUNT,
            folder,
        ),
    ]
    others = {
        "make": ["make", "-s", f"-j{JOBS}"],
        "ninja": ["ninja", "--quiet", f"-j{JOBS}"],
        "xargs": ["xargs", "-a", "numbers", f"-P{JOBS}", "-n1", "/bin/true"],
    }
    if peers:
        others["parallel"] = ["parallel", "-a", "numbers", f"-j{JOBS}", "/bin/true"]
    if peers and PEERS.exists():
        others["hyperqueue"] = [str(PEERS), str(HERE / "contenders.py"), "hyperqueue", str(COUNT), str(JOBS)]
    leftovers = fresh(folder, ".ninja_log", ".ninja_deps")
    found += [
        Contender(name, command, COUNT, folder, leftovers)
        for name, command in others.items()
        if shutil.which(command[0])
    ]
    return found


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    results = compare(contenders(folder, peers), runs)
    goals = []
    ours = results.get(f"weft -j {JOBS}")
    if ours is not None:
        wall = ours.median("wall")
        for name, limit in (
            ("posix_spawn + wait4", 0.75),
            ("ninja", 1.0),
            ("xargs", 1.0),
            ("make", 0.75),
            ("hyperqueue", 1.0),
        ):
            if name in results:
                goals.append(Goal(f"rate beside {name}", results[name].median("wall") / wall, limit, at_least=True))
        if "weft -j 8" in results:
            goals.append(Goal("-j 8 beside -j 2", wall / results["weft -j 8"].median("wall"), 0.95, at_least=True))
    return report("commands", f"{COUNT:,} x /bin/true, {JOBS} at a time", results, goals) and ours is not None
