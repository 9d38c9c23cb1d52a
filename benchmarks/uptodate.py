"""Everything up to date: 10,000 commands with one source and one output file each, run once more."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from benchmarks.harness import HERE, PYTHON, WEFT, Contender, Goal, compare, report, run_once, write_plan

COUNT = 10_000
SETTLED_SECONDS = 3.0


def contenders(folder: Path) -> list[Contender]:
    write_plan(
        folder / "plan.json",
        {
            f"t{number}": {
                "command": ["/bin/cp", f"in/{number}", f"out/{number}"],
                "requires": {"files": [f"in/{number}"]},
                "outputs": [f"out/{number}"],
            }
            for number in range(COUNT)
        },
    )
    targets = " ".join(f"out/{number}" for number in range(COUNT))
    rules = "".join(f"out/{number}: in/{number}\n\t@cp $< $@\n" for number in range(COUNT))
    (folder / "Makefile").write_text(f".PHONY: all\nall: {targets}\n{rules}")
    (folder / "build.ninja").write_text(
        "rule cp\n  command = cp $in $out\n"
        + "".join(f"build out/{number}: cp in/{number}\n" for number in range(COUNT))
    )
    for name in ("in", "out"):
        (folder / name).mkdir()
    for number in range(COUNT):
        (folder / "in" / str(number)).write_text(f"{number}\n")
    run = [WEFT, "run", "plan.json", "-j", "2", "--output", "quiet"]
    found = [
        Contender("weft run", run, COUNT, folder),
        Contender("two os.stat a task", [PYTHON, "-S", str(HERE / "contenders.py"), "stat", str(COUNT)], COUNT, folder),
    ]
    if shutil.which("make"):
        found.append(Contender("make -rR", ["make", "-rRs", "-j2", "all"], COUNT, folder))
    if shutil.which("ninja"):
        found.append(Contender("ninja", ["ninja", "--quiet", "-j2"], COUNT, folder))
    return found


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    found = contenders(folder)
    first = run_once(found[0])
    print(f"  first run of all {COUNT:,} commands: {first['wall']:.2f} s")
    for other in found[1:]:
        run_once(other)  # ninja has no log yet: it makes everything once more
    # Until then, what was just made is too young to be known by its stats, and is read in each run.
    time.sleep(SETTLED_SECONDS)
    for _ in range(2):
        run_once(found[0])
    results = compare(found, runs)
    goals = [Goal("seconds, whole process", results["weft run"].median("wall"), 0.5)] if "weft run" in results else []
    return report("uptodate", f"{COUNT:,} commands with outputs, all up to date", results, goals) and bool(goals)
