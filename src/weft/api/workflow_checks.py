"""What can be wrong with a workflow before it runs: demands against queues and against what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.errors import Problem, WeftError

if TYPE_CHECKING:
    from weft.api.workflow_settings import Chosen
    from weft.spec.plan import Plan


def problems_of(plan: Plan, chosen: Chosen, *, strict: bool) -> list[Problem]:
    """strict: a first request above the limits of its queue is a mistake; else it is cut, which a run tells."""
    from weft.assemble.clusters import settle_clusters
    from weft.assemble.questions import unsatisfiable
    from weft.assemble.queue_cuts import cuts
    from weft.assemble.run_settings import check_supported

    settings, tasks = chosen.settings, plan.graph.tasks
    found = [Problem("queue", text) for text in cuts(tasks, settings.queues)] if strict else []
    try:
        plan = settle_clusters(plan, chosen.clusters, settings.executor)
        check_supported(plan, settings)
    except WeftError as error:
        return [*error.problems(), *found]
    tasks = plan.graph.tasks
    everything = range(len(tasks))
    found += [
        Problem("unsatisfiable", f"task {tasks[task].name!r} {why}")
        for task, _, why in unsatisfiable(plan, everything, settings)
    ]
    return found
