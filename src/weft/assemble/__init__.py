"""The composition root: settings in, engine out. The only place that names adapters."""

from __future__ import annotations

from weft.assemble.loading import ReadPlan, read_plan
from weft.assemble.products import read_product
from weft.assemble.questions import (
    CancelAnswer,
    Explanation,
    Finding,
    PlannedTask,
    archive,
    cancel,
    doctor,
    explain,
    preview,
    row_of,
    stop,
)
from weft.assemble.run_settings import RunSettings, state_folder
from weft.assemble.runs import resume, retry, run

__all__ = [
    "CancelAnswer",
    "Explanation",
    "Finding",
    "PlannedTask",
    "ReadPlan",
    "RunSettings",
    "archive",
    "cancel",
    "doctor",
    "explain",
    "preview",
    "read_plan",
    "read_product",
    "resume",
    "retry",
    "row_of",
    "run",
    "state_folder",
    "stop",
]
