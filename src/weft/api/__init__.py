"""Python's front: load documents, get a plan that runs, ask the run what happened."""

from __future__ import annotations

from weft.api.plan import Plan, load
from weft.api.run import Run, TaskResult

__all__ = ["Plan", "Run", "TaskResult", "load"]
