"""Workflows for tests: tasks that leave a line in a ledger, and do what files beside it tell them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import weft
from support.local_runs import LIMIT
from weft.executors import link

SCRIPT = """
# A task `name` fails while there is a file `fail-<name>`.
echo "$1 ${2:-} $WEFT_ATTEMPT" >> ledger
if [ -e "fail-$1" ]; then echo "$1 went wrong" >&2; exit 3; fi
"""


class Bench:
    """A folder with a script, where workflows are made and run. The test's working folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "work.sh").write_text(SCRIPT, encoding="utf-8")

    def tool(self, name: str = "survey") -> weft.Tool:
        return weft.Tool(name)

    def template(self, tool: weft.Tool, name: str = "fit") -> weft.TaskTemplate:
        return tool.get_task_template(name, "sh work.sh {place} {log}", node_args=["place"], op_args=["log"])

    def workflow(
        self, *places: str, args: str = "d5", log: str = "info", total: bool = False, **options: Any
    ) -> weft.Workflow:
        """`fit` for each place and, if asked for, a `total` behind them. options: of `create_tasks`."""
        tool = self.tool()
        wf = tool.create_workflow(workflow_args=args, name="yearly survey")
        fits = self.template(tool).create_tasks(place=list(places), log=log, **options)
        wf.add_tasks(fits)
        if total:
            summing = tool.get_task_template("total", "sh work.sh total {data}", task_args=["data"])
            wf.add_task(summing.create_task(data="d5", upstream_tasks=fits, name="total"))
        return wf

    def break_task(self, *places: str) -> None:
        for place in places:
            (self.folder / f"fail-{place}").touch()

    def mend(self, *places: str) -> None:
        for place in places:
            (self.folder / f"fail-{place}").unlink()

    def lines(self) -> list[str]:
        """What tasks have written, without the number of the attempt."""
        return [" ".join(words[:2]) for words in self.rows()]

    def rows(self) -> Sequence[list[str]]:
        path = self.folder / "ledger"
        return [line.split(" ") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def reap_supervisors() -> None:
    """Those of runs that were handed over within this process: the next start would do it."""
    limit = time.monotonic() + LIMIT
    while link._graves:
        assert time.monotonic() < limit, f"supervisors that do not end: {link._graves}"
        link._reap_graves()
        time.sleep(0.01)
