"""Workflows of templated commands: building them, running them, resuming them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.harness import HERE, PYTHON, Contender, Goal, compare, report, run_once

BUILT = 200_000
RUN = 10_000
RESUMED = 100_000
PROGRAM = str(HERE / "templated.py")


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    reached = [_build(folder / "build", runs), _run(folder / "run", runs), _resume(folder / "resume", runs)]
    return all(reached)


def _build(folder: Path, runs: int) -> bool:
    folder.mkdir()

    def forget() -> None:
        shutil.rmtree(folder / ".weft", ignore_errors=True)

    name = "create_tasks, bind"
    results = compare([Contender(name, [PYTHON, PROGRAM, "build", str(BUILT)], BUILT, folder, forget)], runs)
    goals = []
    if name in results:
        goals = [
            Goal("seconds, whole process", results[name].median("wall"), 6.0),
            Goal("MB resident", results[name].median("peak") / 1e6, 300.0),
        ]
    return report("workflow_build", f"{BUILT:,} tasks of a template and a fan-in", results, goals) and bool(goals)


def _run(folder: Path, runs: int) -> bool:
    folder.mkdir()

    def forget() -> None:
        shutil.rmtree(folder / ".weft", ignore_errors=True)

    name = "workflow.run()"
    results = compare([Contender(name, [PYTHON, PROGRAM, "run", str(RUN)], RUN, folder, forget)], runs)
    goals = [Goal("tasks/s, whole process", RUN / results[name].median("wall"), 1500, True)] if name in results else []
    return report("workflow_run", f"{RUN:,} templated commands that do nothing", results, goals) and bool(goals)


RESUMES = {
    "its engine ended": ("fail", "resume"),
    "its engine was killed": ("kill", "resume"),
    "killed; another op argument": ("kill", "changed"),
    "weft resume of a native plan, killed": ("kill-native", "resume-native"),
}
"""How the first run is made, and the one that is measured."""


def _resume(folder: Path, runs: int) -> bool:
    folder.mkdir()
    for mode in dict.fromkeys(first for first, _ in RESUMES.values()):
        (folder / mode).mkdir()
        first = run_once(Contender(mode, [PYTHON, PROGRAM, mode, str(RESUMED)], RESUMED, folder / mode))
        print(f"  first run of {RESUMED:,} commands ({mode}): {first['wall']:.1f} s")
        (folder / mode / ".weft").rename(folder / mode / "kept")

    def read(printed: str) -> Mapping[str, float]:
        found: dict[str, float] = json.loads(printed.splitlines()[-1])
        return found

    contenders = [
        Contender(
            name,
            [PYTHON, PROGRAM, mode, str(RESUMED)],
            RESUMED // 100,
            folder / first,
            _as_it_was(folder / first),
            read,
        )
        for name, (first, mode) in RESUMES.items()
    ]
    results = compare(contenders, runs)
    goals = [Goal(f"seconds to the first start: {name}", results[name].median("first start"), 2.0) for name in results]
    is_reached = report("workflow_resume", f"{RESUMED:,} commands, 99 % done", results, goals)
    return is_reached and len(results) == len(RESUMES)


def _as_it_was(folder: Path) -> Callable[[], None]:
    def prepare() -> None:
        shutil.rmtree(folder / ".weft", ignore_errors=True)
        (folder / "needed").unlink(missing_ok=True)
        shutil.copytree(folder / "kept", folder / ".weft", symlinks=True, ignore=shutil.ignore_patterns("*.sock"))

    return prepare
