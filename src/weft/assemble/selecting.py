"""Which tasks the settings select; `state:` speaks of the plan's last run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from weft.assemble.run_settings import RunSettings, state_folder
from weft.runtime.selection import check_unselected, choose
from weft.spec.plan import Plan
from weft.store.archive import SqliteArchive
from weft.store.database import path_of

REGISTRY: Final = "registry:"  # how the family of a registry's plans begins


def select_tasks(plan: Plan, settings: RunSettings) -> tuple[int, ...]:
    """Indexes in plan order. Raises PlanError with every expression that selects nothing or cannot be read."""
    expressions = (settings.select, settings.exclude, settings.until, settings.start_from)
    asks_states = any("state:" in text for texts in expressions for text in texts)
    states = _last_states(plan, settings) if asks_states else None
    # What is selected of a registry is invoked: what it needs takes part, too.
    return choose(plan, *expressions, states=states, invokes=plan.family.startswith(REGISTRY))


def check_left_out(plan: Plan, selected: Sequence[int], folder: str) -> None:
    """Whether tasks that take no part have left what the selected ones take of them. folder: of the state. Raises PlanError."""

    def has_product(task: int) -> bool:
        from weft.assemble import products  # rarely needed, and long to load

        return products.has_product(folder, plan, task)

    def outputs(task: int) -> Sequence[str]:
        if not plan.graph.tasks[task].outputs:
            return ()
        from weft.assemble import products

        return products.last_outputs(folder, plan, task)

    check_unselected(plan, selected, has_product, outputs)


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
