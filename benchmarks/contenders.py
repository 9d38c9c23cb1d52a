"""The plainest programs that do what weft is measured at: the limits. `python contenders.py NAME ARGUMENTS…`."""

import gc
import json
import os
import sys
from collections.abc import Callable


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


CONTENDERS: dict[str, Callable[..., None]] = {
    "spawn": spawn,
    "kahn": kahn,
    "parse": parse,
    "stat": stat,
    "hyperqueue": hyperqueue,
}

if __name__ == "__main__":
    CONTENDERS[sys.argv[1]](*sys.argv[2:])
