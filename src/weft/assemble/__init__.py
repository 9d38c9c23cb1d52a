"""The composition root: settings in, engine out. The only place that names adapters.

What it offers is loaded when it is first asked for: a run needs nothing of `questions`, and `plan` nothing of `runs`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft.assemble.archives import archive
    from weft.assemble.loading import ReadPlan, read_plan
    from weft.assemble.products import RunProducts, measure_items, read_product
    from weft.assemble.questions import (
        CancelAnswer,
        Explanation,
        Finding,
        PlannedTask,
        cancel,
        doctor,
        explain,
        preview,
        row_of,
        stop,
    )
    from weft.assemble.run_settings import RunSettings, state_folder
    from weft.assemble.runs import resume, retry, run
    from weft.assemble.silence import silent
    from weft.assemble.simulating import SimulationSettings, simulate_plan, skip_text
    from weft.assemble.waiting import as_begun
    from weft.assemble.watching import Watching, WatchSettings

__all__ = [
    "CancelAnswer",
    "Explanation",
    "Finding",
    "PlannedTask",
    "ReadPlan",
    "RunProducts",
    "RunSettings",
    "SimulationSettings",
    "WatchSettings",
    "Watching",
    "archive",
    "as_begun",
    "cancel",
    "doctor",
    "explain",
    "measure_items",
    "preview",
    "read_plan",
    "read_product",
    "rebuild",
    "resume",
    "retry",
    "row_of",
    "run",
    "silent",
    "simulate_plan",
    "skip_text",
    "state_folder",
    "stop",
]

_ELSEWHERE = {
    "archive": "archives",
    "ReadPlan": "loading",
    "read_plan": "loading",
    "measure_items": "products",
    "read_product": "products",
    "RunProducts": "products",
    "RunSettings": "run_settings",
    "state_folder": "run_settings",
    "resume": "runs",
    "retry": "runs",
    "run": "runs",
    "SimulationSettings": "simulating",
    "simulate_plan": "simulating",
    "skip_text": "simulating",
    "as_begun": "waiting",
    "silent": "silence",
    "WatchSettings": "watching",
    "Watching": "watching",
}
"""Where a name comes from, if not from `questions`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_ELSEWHERE.get(name, 'questions')}")
    globals()[name] = found = getattr(module, name)
    return found
