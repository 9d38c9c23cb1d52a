"""Short Python functions: 10,000 x `x + 1` on 2 workers, products typed and recorded, state durable."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import HERE, PEERS, PYTHON, WEFT, Contender, Goal, compare, fresh, report

COUNT = 10_000
JOBS = 2
MODULE = f"""
import weft

registry = weft.Registry()

def add(x: int) -> int:
    return x + 1

for number in range({COUNT}):
    registry.task(add, name=f"t{{number}}", cache="never", options={{"x": weft.Option("int", number)}})
"""
FUTURES, IMAP, DASK = "ProcessPoolExecutor.submit", "multiprocessing.Pool.imap", "dask.distributed"


def contenders(folder: Path, peers: bool) -> list[Contender]:
    (folder / "module.py").write_text(MODULE, encoding="utf-8")
    state = fresh(folder, "state", ".weft")
    typed, plain = [PYTHON, str(HERE / "typed.py")], [PYTHON, "-S", str(HERE / "contenders.py")]
    amount = [str(COUNT), str(JOBS)]
    found = [
        Contender("a task a call", [*typed, "calls", str(COUNT), "never"], COUNT, folder, state),
        Contender("one task, mapped", [*typed, "mapped", str(COUNT), "never"], COUNT, folder, state),
        Contender(
            "weft run, a task a call",
            [WEFT, "run", "module.py", "-j", str(JOBS), "--output", "quiet"],
            COUNT,
            folder,
            state,
        ),
        Contender(FUTURES, [*plain, "futures", *amount], COUNT, folder),
        Contender(IMAP, [*plain, "imap", *amount], COUNT, folder),
    ]
    if peers and PEERS.exists():
        found.append(Contender(DASK, [str(PEERS), str(HERE / "contenders.py"), "dask", *amount], COUNT, folder))
    return found


def measure(folder: Path, runs: int, full: bool, peers: bool) -> bool:
    results = compare(contenders(folder, peers), runs)
    goals = []
    for ours in ("a task a call", "one task, mapped"):
        for other, limit in ((FUTURES, 1.0), (DASK, 8.0)):
            if ours in results and other in results:
                ratio = results[other].median("wall") / results[ours].median("wall")
                goals.append(Goal(f"rate of {ours} beside {other}", ratio, limit, at_least=True))
    title = f"{COUNT:,} x x + 1 in Python, {JOBS} workers, whole processes"
    return report("calls", title, results, goals) and len(goals) >= 2
