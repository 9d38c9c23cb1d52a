"""Big graphs of tasks that do nothing: layers of 1,000, two dependencies each, executor noop, durable in SQLite."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import HERE, PYTHON, WEFT, Contender, Goal, compare, fresh, report, weft_environment, write_plan

WIDTH = 1_000


def write_layered(path: Path, layers: int) -> None:
    """Layered graph; dependencies straight above and somewhere else in the layer above."""
    tasks = {}
    for layer in range(layers):
        for place in range(WIDTH):
            above = dict.fromkeys((place, (place * 7 + 3) % WIDTH)) if layer else {}
            tasks[f"l{layer}-{place}"] = {
                "command": ["/bin/true"],
                "dependencies": [f"l{layer - 1}-{other}" for other in above],
            }
    write_plan(path, tasks)


def read_status(folder: Path, count: int) -> Mapping[str, float]:
    """us_a_task: of the run as it was recorded, so without the loading of the document."""
    asked = subprocess.run(
        [WEFT, "status", "--output", "json"],
        cwd=folder,
        env=weft_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    status = json.loads(asked.stdout)
    assert status["counts"]["ok"] == count, status["counts"]
    return {"us_a_task": 1e6 * status["seconds"] / count}


def contender(folder: Path, layers: int) -> Contender:
    count = layers * WIDTH
    own = folder / str(count)
    own.mkdir()
    write_layered(own / "plan.json", layers)
    return Contender(
        f"weft, {count:,}",
        [WEFT, "run", "plan.json", "--executor", "noop", "--output", "quiet"],
        count,
        own,
        fresh(own, ".weft"),
        lambda _: read_status(own, count),
    )


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    small, large = contender(folder, 1), contender(folder, 100)
    kahn = Contender(
        "Kahn over lists", [PYTHON, "-S", str(HERE / "contenders.py"), "kahn", "100", str(WIDTH)], 100 * WIDTH, folder
    )
    results = compare([small, large, kahn], runs)
    if full:
        results |= compare([contender(folder, 1_000)], 1, warm_ups=0)
    goals = []
    base = results.get(small.name)
    for name, result in results.items():
        if base is None or result is base or "us_a_task" not in result.figures:
            continue
        units = result.contender.units
        growth = (result.median("resident") - base.median("resident")) / (units - base.contender.units)
        goals += [
            Goal(f"{name}: us a task without loading", result.median("us_a_task"), 30),
            Goal(
                f"{name}: bytes a task resident while it runs",
                growth,
                1_500 if units > 500_000 else 1_200,
            ),
        ]
        if units > 500_000:
            goals.append(Goal(f"{name}: seconds, whole", result.median("wall"), 40))
    return report("graph", f"layers of {WIDTH:,} tasks, two dependencies each, no work", results, goals) and bool(goals)
