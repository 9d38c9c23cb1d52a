"""Where tasks of a workflow run: the names that they give as clusters, as executors of this weft (workflows.md 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from weft.assemble.run_settings import DRY, EXECUTORS, SIMULATED
from weft.errors import PlanError, Problem, cut, hint_nearest
from weft.spec.plan import Plan
from weft.spec.resources import MICRO, Resources
from weft.spec.tasks import Policy

LOCAL: Final = ("", "local", "multiprocess")
SEQUENTIAL: Final = "sequential"
DUMMY: Final = "dummy"
ONE_AT_A_TIME: Final = "concurrency:sequential"
"""The named resource of which there is one, for tasks of the cluster `sequential`."""

KNOWN: Final = (*EXECUTORS, "multiprocess", SEQUENTIAL, DUMMY)


def settle_clusters(plan: Plan, clusters: Mapping[str, str], executor: str | None = None) -> Plan:
    """The plan with executors in the place of clusters. clusters: what `[clusters]` of the settings says.

    executor: of the whole run; one that runs nothing takes all tasks, whatever they name. Raises PlanError with every cluster
    that cannot be.
    """
    named = {task.policy.executor for task in plan.graph.tasks}
    if named <= {None} or named <= {None, SIMULATED}:
        return plan
    found: dict[str | None, str | None] = {None: None}
    problems: list[Problem] = []
    for name in sorted(each for each in named if each is not None):
        wanted = clusters.get(name, name)
        if executor in DRY or wanted in LOCAL or wanted == SEQUENTIAL:
            found[name] = None
        elif wanted in (DUMMY, SIMULATED):
            found[name] = SIMULATED
        elif wanted in EXECUTORS:
            found[name] = wanted
        else:
            problems.append(_problem(name, wanted))
    if problems:
        raise PlanError(problems)
    one_by_one = {name for name in named if name is not None and clusters.get(name, name) == SEQUENTIAL}
    return _placed(plan, found, one_by_one)


def place_named(plan: Plan, clusters: Mapping[str, str], executor: str | None = None) -> Plan:
    """The same for the plan of documents, where executors mean themselves; names that cannot be placed stay as they are."""
    if executor in DRY:
        return plan
    named = {task.policy.executor for task in plan.graph.tasks}
    known = {
        name: wanted
        for name, wanted in clusters.items()
        if name in named and name not in EXECUTORS and _standing_for(wanted) is not None
    }
    if not known:
        return plan
    found: dict[str | None, str | None] = {name: name for name in named}
    for name, wanted in known.items():
        found[name] = None if wanted in LOCAL or wanted == SEQUENTIAL else _standing_for(wanted)
    return _placed(plan, found, {name for name, wanted in known.items() if wanted == SEQUENTIAL})


def executor_of(cluster: str, clusters: Mapping[str, str]) -> str:
    """The executor that stands for a cluster, for a whole run. Raises PlanError."""
    wanted = clusters.get(cluster, cluster)
    found = _standing_for(wanted)
    if found is None:
        raise PlanError([_problem(cluster, wanted)])
    return found


def _standing_for(wanted: str) -> str | None:
    """The executor for what the settings say of a cluster; None for what is not known."""
    if wanted in LOCAL or wanted == SEQUENTIAL:
        return "local"
    if wanted == DUMMY:
        return SIMULATED
    return wanted if wanted in EXECUTORS else None


def _problem(name: str, wanted: str) -> Problem:
    line = f'[clusters]\n    {name} = "local"'
    there = (
        f"cluster {cut(name)!r}" if name == wanted else f"cluster {cut(name)!r}, which the settings call {wanted!r},"
    )
    hint = hint_nearest(wanted, KNOWN)
    text = f"{there} is not in this version" if wanted in ("slurm", "dask") else f"{there} is not known"
    return Problem("cluster", text, hint=f"{f'{hint} ' if hint else ''}weft.toml says where it runs, as in\n    {line}")


def _placed(plan: Plan, found: Mapping[str | None, str | None], one_by_one: set[str]) -> Plan:
    def place(policy: Policy) -> Policy:
        if policy.executor is None:
            return policy
        placed = replace(policy, executor=found[policy.executor])
        if policy.executor not in one_by_one:
            return placed
        amounts = {**dict(policy.resources.amounts), ONE_AT_A_TIME: MICRO}
        return replace(placed, resources=Resources(tuple(sorted(amounts.items()))))

    limits = {**plan.limits, ONE_AT_A_TIME: MICRO} if one_by_one else plan.limits
    return replace(plan, graph=plan.graph.with_policies(place), limits=MappingProxyType(dict(limits)))
