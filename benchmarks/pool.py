"""The pool of Python workers alone, without scheduler and store: `python -m benchmarks.pool [CALLS]`.

10,000 x `x + 1` on 2 workers through a real supervisor, orders handed over as the engine does it, beside
`ProcessPoolExecutor.submit` of the same calls. Both with the start of their processes; the pool also with what a call costs
the engine's process and, measured in one worker, the worker's.
"""

from __future__ import annotations

import os
import select
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from weft.executors.processes import ProcessExecutor
from weft.ports import Finished, Function, Order
from weft.scheduling.keys import AttemptKey

WORKERS = 2
AHEAD = 512
ROUNDS = 5
MODULE = "def add(x): return x + 1\n"


def add(x: int) -> int:
    return x + 1


def orders_of(folder: Path, calls: int, workers: int) -> list[Order]:
    (folder / "bench_functions.py").write_text(MODULE, encoding="utf-8")
    function = Function("bench_functions:add", None, {}, (str(folder),))
    template = Order(
        AttemptKey(0, -1, 1), 0, "bench", "call", function, str(folder), lane=1, isolation="worker", keeps="return",
        products=str(folder / "products"),
    )  # fmt: skip
    return [
        template._replace(
            key=AttemptKey(number, -1, 1),
            nonce=(1 << 62) + number,
            name=f"call {number}",
            launch=function._replace(arguments={"x": number}),
            ahead=number >= workers,
        )
        for number in range(calls)
    ]


def through_pool(folder: Path, calls: int, workers: int = WORKERS) -> tuple[float, float]:
    """(wall, CPU of this process) seconds; ahead orders are kept at AHEAD, as a scheduler would."""
    run = "ab" * 16
    orders = orders_of(folder, calls, workers)
    executor = ProcessExecutor(
        str(folder / "runs" / run), str(folder / "logs" / run), f"{run}-bench", 1, {"PATH": os.environ["PATH"]}
    )
    started, processor = time.perf_counter(), time.process_time()
    ended = sent = 0
    while ended < calls:
        room = min(workers + AHEAD - (sent - ended), calls - sent)
        if room > AHEAD // 2 or (room and sent == 0) or sent + room == calls:
            executor.submit(orders[sent : sent + room])
            sent += room
        select.select(executor.bells(), [], [], 10.0)
        for report in executor.poll().reports:
            if isinstance(report, Finished):
                assert report.outcome.product == str(report.key.task + 1), report
                ended += 1
    taken = time.perf_counter() - started, time.process_time() - processor
    executor.close()
    return taken


def through_futures(calls: int) -> float:
    started = time.perf_counter()
    with ProcessPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(add, number) for number in range(calls)]
        assert [future.result() for future in futures] == list(range(1, calls + 1))
    return time.perf_counter() - started


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    walls, costs, others = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="weft-bench-pool-") as folder:
            wall, cost = through_pool(Path(folder), calls)
        walls.append(wall)
        costs.append(cost)
        others.append(through_futures(calls))
    print(f"{calls} calls, {WORKERS} workers, medians of {ROUNDS}")
    cost = statistics.median(costs) / calls * 1e6
    print(f"pool                  {statistics.median(walls):7.3f} s, {cost:.1f} us of the engine's process a call")
    print(f"ProcessPoolExecutor   {statistics.median(others):7.3f} s")
    print(f"ratio                 {statistics.median(others) / statistics.median(walls):7.2f}")


if __name__ == "__main__":
    main()
