"""A large product: an array of 1 GB handed to 4 followers on 2 workers, each of which reads all of it.

beyond: the highest sum of the proportional set sizes (PSS) of all processes, above that of the same program with an array of
a few bytes; from rounds of their own, because reading them delays. wall beyond: likewise seconds, from rounds without that.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import HERE, PYTHON, Contender, Goal, Result, compare, fresh, report

SIZE = 1_000_000_000  # bytes
SMALL = 8_000
NEEDED = 4 * SIZE  # available memory, and room for files
CACHES = ("never", "memory")
COPIES = "2 copies in one process"
MEMORY_ROUNDS = 3


def read_times(printed: str) -> Mapping[str, float]:
    return {name: float(value) for name, value in re.findall(r"(made|read) (\S+)", printed)}


def read_peak(printed: str) -> Mapping[str, float]:
    return {"pss": float(re.findall(r"pss (\d+)", printed)[-1])}


def contenders(folder: Path) -> tuple[list[Contender], list[Contender]]:
    """(measured in seconds, measured in bytes)"""
    state = fresh(folder, "state")
    timed, watched = [], []
    for cache in CACHES:
        for size in (SIZE, SMALL):
            command = [PYTHON, str(HERE / "typed.py"), "large", str(size), cache]
            name = f"{'1 GB' if size == SIZE else 'a few bytes'}, cache {cache}"
            timed.append(Contender(name, command, 4, folder, state, read_times))
            watched.append(Contender(name, [PYTHON, "-S", str(HERE / "pss.py"), *command], 4, folder, state, read_peak))
    copies = [PYTHON, str(HERE / "contenders.py"), "copies", str(SIZE)]
    timed.append(Contender(COPIES, copies, 2, folder, None, read_times))
    return timed, watched


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    lacking = lack_of_room(folder)
    if lacking is not None:
        print(f"\n## large_product: left out, {lacking}")
        return False
    timed, watched = contenders(folder)
    results = compare(timed, runs)
    peaks = compare(watched, min(runs, MEMORY_ROUNDS), warm_ups=0)
    fresh(folder, "state")()
    goals = []
    for cache in CACHES:
        big, small = f"1 GB, cache {cache}", f"a few bytes, cache {cache}"
        if big in peaks and small in peaks:
            add_figure(results, big, "beyond", peaks[big].median("pss") - peaks[small].median("pss"))
            goals.append(Goal(f"{big}: GB beyond the baseline", results[big].median("beyond") / 1e9, 1.3))
        if big in results and small in results and COPIES in results:
            made = results[COPIES].median("made")  # an array of ones takes as long in any process
            beyond = results[big].median("wall") - results[small].median("wall") - made
            copies = results[COPIES].median("read")
            goals.append(Goal(f"{big}: seconds beside those of 2 copies", beyond / copies, 1.0))
    return report("large_product", "an array of 1 GB for 4 followers on 2 workers", results, goals) and len(goals) == 4


def add_figure(results: Mapping[str, Result], name: str, figure: str, value: float) -> None:
    if name in results:
        results[name].figures[figure] = [value]


def lack_of_room(folder: Path) -> str | None:
    """Why this machine cannot do it."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    if available < NEEDED:
        return f"{available / 1e9:.1f} GB of memory are available, {NEEDED / 1e9:.0f} are needed"
    room = shutil.disk_usage(folder).free
    if room < NEEDED:
        return f"{room / 1e9:.1f} GB are free in {tempfile.gettempdir()}, {NEEDED / 1e9:.0f} are needed"
    return None
