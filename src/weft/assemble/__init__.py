"""The composition root: settings in, engine out. The only place that names adapters."""

from __future__ import annotations

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
    read_product,
)
from weft.assemble.run_settings import RunSettings, state_folder
from weft.assemble.runs import resume, retry, run

__all__ = [
    "CancelAnswer",
    "Explanation",
    "Finding",
    "PlannedTask",
    "RunSettings",
    "archive",
    "cancel",
    "doctor",
    "explain",
    "preview",
    "read_product",
    "resume",
    "retry",
    "run",
    "state_folder",
]
