"""Which tasks the settings select; `state:` speaks of the plan's last run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from weft.assemble.run_settings import RunSettings, state_folder
from weft.runtime.selection import choose
from weft.spec.plan import Plan
from weft.store.archive import SqliteArchive
from weft.store.database import path_of


def select_tasks(plan: Plan, settings: RunSettings) -> tuple[int, ...]:
    """Indexes in plan order. Raises PlanError with every expression that selects nothing or cannot be read."""
    expressions = (settings.select, settings.exclude, settings.until, settings.start_from)
    asks_states = any("state:" in text for texts in expressions for text in texts)
    states = _last_states(plan, settings) if asks_states else None
    return choose(plan, *expressions, states=states)


def _last_states(plan: Plan, settings: RunSettings) -> Mapping[str, str] | None:
    """State by task name in the plan's last run, None without one. What took no part in it is pending."""
    folder = state_folder(plan.root, settings)
    if not os.path.exists(path_of(folder)):
        return None
    with SqliteArchive(folder) as archive:
        runs = archive.runs(plan.key)
        if not runs:
            return None
        known = {row.name: row.state for row in archive.tasks(runs[-1].run)}
    return {task.name: known.get(task.name, "pending") for task in plan.graph.tasks}
