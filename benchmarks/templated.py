"""A workflow of templated commands: `python templated.py MODE COUNT`.

build: tasks of one template and one that waits for all of them, validated and recorded. run: commands that do nothing. fail: the
last hundredth of them fails, because a file is not there. resume: it is there now; prints the seconds from the start of this
process to the start of the first command. changed: the same with another op argument. kill: a process with `run` is killed when
99 % are done. kill-native, resume-native: the same with a native document and `weft`.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import weft
from weft.store.archive import SqliteArchive

NEEDED = "needed"
NATIVE = "native.json"
STATE = ".weft"


def process_start() -> float:
    """Wall clock second in which this process began (proc(5): field 22 of stat, in clock ticks since the boot)."""
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime", encoding="ascii") as file:
        up = float(file.read().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def workflow(count: int, more: int = 0) -> weft.Workflow:
    """Commands of which the last hundredth needs a file; `more` of them do not."""
    tool = weft.Tool("benchmark")
    check = tool.get_task_template(
        "check", f"/usr/bin/test {{number}} -lt {{limit}} -o -e {NEEDED}", node_args=["number"], op_args=["limit"]
    )
    flow = tool.create_workflow(workflow_args=f"of {count}")
    flow.add_tasks(check.create_tasks(number=range(count), limit=count - count // 100 + more, max_attempts=1))
    return flow


def build(count: int) -> None:
    tool = weft.Tool("benchmark")
    fit = tool.get_task_template("fit", "true --place {place} --data {data}", node_args=["place"], task_args=["data"])
    total = tool.get_task_template("total", "true --data {data}", task_args=["data"])
    flow = tool.create_workflow(workflow_args=f"build {count}")
    fits = fit.create_tasks(place=range(count), data="d5", compute_resources={"cores": 1, "runtime": "20m"})
    flow.add_tasks(fits)
    flow.add_task(total.create_task(data="d5", upstream_tasks=fits))
    flow.bind()
    assert len(flow.tasks) == count + 1
    assert flow.workflow_id


def kill(command: list[str], count: int) -> None:
    """Start an engine, kill it when 99 % are done, and wait until what it left behind has ended, too."""
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while (left := count - count // 100 - _done()) > 0:
        if engine.poll() is not None:
            sys.exit(f"it ended by itself, with {engine.returncode}")
        time.sleep(0.05 + left / 10_000)  # counting costs the engine time
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    for path in Path(STATE).glob("runs/*/supervisor.lock"):
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def _done() -> int:
    if not os.path.exists(f"{STATE}/weft.db"):
        return 0
    with SqliteArchive(STATE) as archive:
        runs = archive.runs()
        return archive.ended_counts(runs[-1].run).get("ok", 0) if runs else 0


def _first_start(run: str, began: float) -> float:
    with SqliteArchive(STATE) as archive:
        return min(row.started for row in archive.attempts(run) if row.started and row.started > began) - began


def resume_native() -> None:
    began = time.time()
    subprocess.run(["weft", "resume", "-j", "2"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with SqliteArchive(STATE) as archive:
        run = archive.runs()[-1].run
    print(json.dumps({"first start": _first_start(run, began)}))


def main() -> None:
    began = process_start()
    mode, count = sys.argv[1], int(sys.argv[2])
    match mode:
        case "build":
            build(count)
        case "kill":
            kill([sys.executable, sys.argv[0], "run", str(count)], count)
        case "kill-native":
            tasks = {f"task-{number}": {"command": ["/usr/bin/true", str(number)]} for number in range(count)}
            Path(NATIVE).write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
            kill(["weft", "run", NATIVE, "-j", "2"], count)
        case "resume-native":
            resume_native()
        case _:
            run(mode, count, began)


def run(mode: str, count: int, began: float) -> None:
    if mode != "fail":
        open(NEEDED, "w").close()
    is_resumed = mode in ("resume", "changed")
    result = workflow(count, more=mode == "changed").run(jobs=2, resume=is_resumed)
    expected = "E" if mode == "fail" else "D"
    if result != expected:
        sys.exit(f"the workflow ended with {result}, not {expected}")
    if is_resumed:
        print(json.dumps({"first start": _first_start(result.run.id, began)}))


if __name__ == "__main__":
    main()
