"""The plainest programs that do what weft is measured at: the limits. `python contenders.py NAME ARGUMENTS…`."""

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def spawn(count: str, jobs: str, *command: str) -> None:
    """Start a command `count` times, `jobs` at a time, with posix_spawn and wait4."""
    argv = list(command) or ["/bin/true"]
    left, running = int(count), 0
    while left or running:
        while left and running < int(jobs):
            os.posix_spawn(argv[0], argv, os.environ)
            left -= 1
            running += 1
        os.wait4(-1, 0)
        running -= 1


def kahn(layers: str, width: str) -> None:
    """Build the layered graph as lists and walk it by counting down dependencies."""
    deep, wide = int(layers), int(width)
    followers: list[list[int]] = [[] for _ in range(deep * wide)]
    waiting = [0] * (deep * wide)
    for layer in range(1, deep):
        for place in range(wide):
            task = layer * wide + place
            for other in {place, (place * 7 + 3) % wide}:
                followers[(layer - 1) * wide + other].append(task)
                waiting[task] += 1
    ready = [task for task, count in enumerate(waiting) if not count]
    for task in ready:
        for follower in followers[task]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    assert len(ready) == deep * wide


def parse(path: str) -> None:
    """Read a JSON document with the garbage collector at rest."""
    gc.disable()
    with open(path, encoding="utf-8") as file:
        json.load(file)


def stat(count: str) -> None:
    """Ask for two files a task whether the one is older than the other."""
    for number in range(int(count)):
        assert os.stat(f"in/{number}").st_mtime_ns <= os.stat(f"out/{number}").st_mtime_ns


def hyperqueue(count: str, jobs: str) -> None:
    """One HyperQueue job of `count` commands on a local cluster with `jobs` cores."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=int(jobs)))
        client = cluster.client()
        job = Job()
        for _ in range(int(count)):
            job.program(["/bin/true"], stdout=None, stderr=None)
        client.wait_for_jobs([client.submit(job)])


def add(x: int) -> int:
    return x + 1


def futures(count: str, jobs: str) -> None:
    """`count` calls through concurrent.futures."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(int(jobs)) as pool:
        calls = [pool.submit(add, number) for number in range(int(count))]
        assert [call.result() for call in calls] == list(range(1, int(count) + 1))


def imap(count: str, jobs: str) -> None:
    """`count` calls through multiprocessing.Pool."""
    from multiprocessing import Pool

    with Pool(int(jobs)) as pool:
        assert list(pool.imap(add, range(int(count)))) == list(range(1, int(count) + 1))


def dask(count: str, jobs: str) -> None:
    """`count` calls through a cluster of Dask distributed on this machine."""
    from distributed import Client

    with Client(n_workers=int(jobs), threads_per_worker=1, dashboard_address=None) as client:
        calls = client.map(add, range(int(count)), pure=False)
        assert client.gather(calls) == list(range(1, int(count) + 1))


def queues(count: str) -> None:
    """`count` numbers through two queues and three processes, one number at a time."""
    from multiprocessing import Process, Queue

    first: Queue[int | None] = Queue(1000)
    second: Queue[int | None] = Queue(1000)
    stages = [Process(target=_fill, args=(int(count), first)), Process(target=_double, args=(first, second))]
    for stage in stages:
        stage.start()
    assert sum(iter(second.get, None)) == int(count) * (int(count) - 1)
    for stage in stages:
        stage.join()


def _fill(count: int, queue: Any) -> None:
    for number in range(count):
        queue.put(number)
    queue.put(None)


def _double(source: Any, sink: Any) -> None:
    for number in iter(source.get, None):
        sink.put(2 * number)
    sink.put(None)


def copies(size: str) -> None:
    """Make an array, and copy it twice; prints seconds of both."""
    import time

    import numpy as np

    started = time.perf_counter()
    array = np.ones(int(size) // 8)
    made = time.perf_counter()
    two = [np.copy(array), np.copy(array)]
    print(f"made {made - started} read {time.perf_counter() - made}")
    assert all(copy[-1] == 1 for copy in two)


CONTENDERS: dict[str, Callable[..., None]] = {
    "spawn": spawn,
    "kahn": kahn,
    "parse": parse,
    "stat": stat,
    "hyperqueue": hyperqueue,
    "futures": futures,
    "imap": imap,
    "dask": dask,
    "queues": queues,
    "copies": copies,
}

if __name__ == "__main__":
    CONTENDERS[sys.argv[1]](*sys.argv[2:])
