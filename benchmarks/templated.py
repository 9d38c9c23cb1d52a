"""A workflow of templated commands: `python templated.py build|run|fail|resume COUNT`.

build: tasks of one template and one that waits for all of them, validated and recorded. run: commands that do nothing. fail: the
last hundredth of them fails, because a file is not there. resume: it is there now; prints the seconds from the start of this
process to the start of the first command.
"""

import json
import os
import sys
import time

import weft

NEEDED = "needed"


def process_start() -> float:
    """Wall clock second in which this process began (proc(5): field 22 of stat, in clock ticks since the boot)."""
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime", encoding="ascii") as file:
        up = float(file.read().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def workflow(count: int) -> weft.Workflow:
    """Commands of which the last hundredth needs a file."""
    tool = weft.Tool("benchmark")
    check = tool.get_task_template(
        "check", f"/usr/bin/test {{number}} -lt {{limit}} -o -e {NEEDED}", node_args=["number"], op_args=["limit"]
    )
    flow = tool.create_workflow(workflow_args=f"of {count}")
    flow.add_tasks(check.create_tasks(number=range(count), limit=count - count // 100, max_attempts=1))
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


def main() -> None:
    began = process_start()
    mode, count = sys.argv[1], int(sys.argv[2])
    if mode == "build":
        build(count)
        return
    if mode != "fail":
        open(NEEDED, "w").close()
    result = workflow(count).run(jobs=2, resume=mode == "resume")
    expected = "E" if mode == "fail" else "D"
    if result != expected:
        sys.exit(f"the workflow ended with {result}, not {expected}")
    if mode == "resume":
        with result.run.archive() as archive:
            first = min(row.started for row in archive.attempts(result.run.id) if row.started and row.started > began)
        print(json.dumps({"first start": first - began}))


if __name__ == "__main__":
    main()
