"""A model of many places: clean the data of each, fit it in two ways, pool the fits, write a page. See README.md."""

import argparse
import sys
from pathlib import Path

import weft

HERE = Path(__file__).parent
PLACES = {
    "alder": 40, "birch": 60, "cedar": 50, "dogwood": 30, "elm": 70, "fir": 45, "ginkgo": 20, "hazel": 65,
    "ivy": 25, "juniper": 55, "katsura": 35, "larch": 4000, "maple": 90, "nutmeg": 15, "oak": 80, "pine": 3000,
}  # fmt: skip
"""Inhabitants in thousands."""
METHODS = ("trend", "season")


def build(data: str, strict: str) -> weft.Workflow:
    """data: version of the data, which tells workflows apart. strict: how `clean` takes gaps; it is in no identity."""
    tool = weft.Tool("places")
    clean = tool.get_task_template(
        "clean",
        "{python} {code}/clean.py --place {place} --size {size} --data {data} --gaps {gaps}",
        node_args=["place", "size"],
        task_args=["data"],
        op_args=["python", "code", "gaps"],
    )
    fit = tool.get_task_template(
        "fit",
        "{python} {code}/fit.py --place {place} --method {method} --data {data}",
        node_args=["place", "method"],
        task_args=["data"],
        op_args=["python", "code"],
        # Most places fit into this; of the two that do not, the requests double until they do.
        default_compute_resources={"cores": 1, "memory": "64M", "runtime": "1m"},
        default_resource_scales={"memory": 1.0},
        max_attempts=4,
    )
    pool = tool.get_task_template(
        "pool",
        "{python} {code}/pool.py --data {data} --methods {methods}",
        task_args=["data", "methods"],
        op_args=["python", "code"],
    )
    where = {"python": sys.executable, "code": str(HERE)}
    workflow = tool.create_workflow(workflow_args=f"places {data}", name=f"places {data}")
    cleaned = {
        place: clean.create_task(place=place, size=size, data=data, gaps=strict, **where)
        for place, size in PLACES.items()
    }
    workflow.add_tasks(cleaned.values())
    fits = []
    for place, task in cleaned.items():
        fits += fit.create_tasks(place=[place], method=METHODS, data=data, upstream_tasks=[task], **where)
    workflow.add_tasks(fits)
    workflow.add_task(pool.create_task(data=data, methods=",".join(METHODS), upstream_tasks=fits, **where))
    workflow.set_task_template_max_concurrency_limit("fit", 4)
    return workflow


def main() -> int:
    """Exit code 0 when all is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="d1", help="version of the data")
    parser.add_argument("--gaps", choices=("fail", "fill"), default="fill", help="what to do about gaps in the data")
    parser.add_argument("--resume", action="store_true", help="go on with what was begun")
    options = parser.parse_args()
    workflow = build(options.data, options.gaps)
    result = workflow.run(resume=options.resume)
    print(
        f"{result}: {result.done_count} of {result.total_tasks} done, {result.num_previously_complete} of them before"
    )
    for name, errors in workflow.task_errors.items():
        print(f"{name}: {errors['error_log'][-1]['description'].splitlines()[-1]}")
    return 0 if result == "D" else 1


if __name__ == "__main__":
    sys.exit(main())
