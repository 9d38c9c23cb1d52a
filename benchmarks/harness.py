"""Compare contenders: whole processes from outside, alternating within one run, medians, a table and JSON."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SOURCE = HERE.parent / "src" / "weft"
WEFT = str(Path(sys.executable).parent / "weft")
PYTHON = sys.executable
PEERS = HERE.parent / ".venvs" / "peers" / "bin" / "python"
"""The interpreter that has the peers written in Python; `make bench-peers` makes it."""
WARM_UPS = 1
LIMIT = 600.0  # seconds for one command


class Failed(Exception):
    """A contender did not do its work."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A command that does `units` units of work in `folder`. prepare: called before each round, not timed.

    read: takes figures of its own (name -> number) from what the command printed or left.
    """

    name: str
    command: Sequence[str]
    units: int
    folder: Path
    prepare: Callable[[], object] | None = None
    read: Callable[[str], Mapping[str, float]] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Result:
    """What one contender took in all rounds. figures: name -> one number per round."""

    contender: Contender
    figures: dict[str, list[float]] = field(default_factory=dict)

    def median(self, figure: str) -> float:
        return statistics.median(self.figures[figure])

    def as_json(self) -> dict[str, Any]:
        return {
            "units": self.contender.units,
            "figures": {
                name: {"min": min(values), "median": statistics.median(values), "max": max(values), "runs": len(values)}
                for name, values in self.figures.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that weft is to reach: at most `limit` (at_least: at least)."""

    text: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def weft_environment() -> dict[str, str]:
    """The caller's, without settings of weft, and with this environment's programs first."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")}
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found.get('PATH', os.defpath)}"
    return found


def run_once(contender: Contender) -> dict[str, float]:
    """One round: wall and cpu in seconds, peak and resident in bytes, and the contender's own figures. Raises Failed."""
    if contender.prepare is not None:
        contender.prepare()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        # The command's own output goes to a file by a shell-less redirection: `one.py` keeps stdout for its figures.
        done = subprocess.run(
            [PYTHON, "-S", str(HERE / "one.py"), str(LIMIT), *contender.command],
            cwd=contender.folder,
            env={**weft_environment(), **contender.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
        output.seek(0)
        lines = output.read()
    *printed, last = lines.splitlines() or [""]
    if done.returncode or not last.startswith("{"):
        raise Failed(f"{contender.name}: {done.stderr.strip()[-2000:]}")
    figures = json.loads(last)
    if figures.pop("code"):
        raise Failed(f"{contender.name}: {(' '.join(printed) + done.stderr).strip()[-2000:]}")
    if contender.read is not None:
        figures.update(contender.read("\n".join(printed)))
    return {name: float(value) for name, value in figures.items()}


def compare(contenders: Sequence[Contender], runs: int, warm_ups: int = WARM_UPS) -> dict[str, Result]:
    """All contenders in turn, `runs` rounds after the warm-ups; those that fail are told and left out."""
    results = {contender.name: Result(contender) for contender in contenders}
    for round_number in range(-warm_ups, runs):
        for contender in contenders:
            if contender.name not in results:
                continue
            try:
                figures = run_once(contender)
            except Failed as failure:
                print(f"  failed: {failure}", file=sys.stderr)
                del results[contender.name]
                continue
            if round_number >= 0:
                for name, value in figures.items():
                    results[contender.name].figures.setdefault(name, []).append(value)
    return results


def report(name: str, title: str, results: Mapping[str, Result], goals: Sequence[Goal] = ()) -> bool:
    """Print the table and the goals, keep the JSON; whether all goals are reached."""
    print(f"\n## {name}: {title}")
    print(
        f"{'contender':<34} {'units':>9} {'wall s':>8} {'min':>8} {'max':>8} {'units/s':>10} {'cpu us/unit':>11} {'MB':>8}"
    )
    for label, result in results.items():
        wall = result.figures["wall"]
        units = result.contender.units
        print(
            f"{label:<34} {units:>9,} {result.median('wall'):>8.3f} {min(wall):>8.3f} {max(wall):>8.3f} "
            f"{units / result.median('wall'):>10,.0f} {1e6 * result.median('cpu') / units:>11,.1f} "
            f"{result.median('peak') / 1e6:>8,.1f}"
        )
        own = {
            figure: result.median(figure)
            for figure in result.figures
            if figure not in ("wall", "cpu", "peak", "resident")
        }
        if own:
            print(f"{'':<34} " + ", ".join(f"{figure} {value:,.3f}" for figure, value in own.items()))
    for goal in goals:
        sign = ">=" if goal.at_least else "<="
        print(f"{'reached' if goal.is_reached else 'MISSED '}  {goal.text}: {goal.value:,.3f} ({sign} {goal.limit:,g})")
    RESULTS.mkdir(exist_ok=True)
    document = {
        "benchmark": name,
        "title": title,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "versions": versions(),
        "contenders": {label: result.as_json() for label, result in results.items()},
        "goals": [
            {
                "text": goal.text,
                "value": goal.value,
                "limit": goal.limit,
                "at_least": goal.at_least,
                "reached": goal.is_reached,
            }
            for goal in goals
        ],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return all(goal.is_reached for goal in goals)


def machine() -> dict[str, Any]:
    """What the figures depend on; no names and no paths."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next((int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory": memory, "kernel": platform.release()}


def versions() -> dict[str, str]:
    """weft, Python, and those contenders that can be asked."""
    found = {"weft": metadata.version("weft"), "python": platform.python_version()}
    for tool in ("make", "ninja", "parallel", "xargs"):
        if shutil.which(tool):
            asked = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=20)
            found[tool] = (asked.stdout.splitlines() or ["?"])[0]
    return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()


def fresh(folder: Path, *names: str) -> Callable[[], None]:
    """A preparation that removes these files and folders of `folder`."""

    def prepare() -> None:
        for name in names:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return prepare


def write_plan(path: Path, tasks: Mapping[str, Any], **more: Any) -> None:
    """A native plan as JSON."""
    path.write_text(json.dumps({"weft": 1, **more, "tasks": tasks}), encoding="utf-8")
