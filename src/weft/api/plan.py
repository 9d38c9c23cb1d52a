"""A plan that runs, and how documents become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from weft.api.run import Run
from weft.errors import UsageError, hint_nearest
from weft.spec import plan as spec_plan
from weft.spec.fingerprint import digest
from weft.spec.graph import Graph
from weft.spec.rewrites import GraphDiff
from weft.spec.tasks import Task

if TYPE_CHECKING:
    from weft.assemble import RunSettings
    from weft.runtime.simulation.report import Report


def load(
    *paths: str,
    format: str | None = None,  # the word of the command line
    root: str | None = None,
    options: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> Plan:
    """The plan that one or more documents describe. Raises PlanError with every mistake in them.

    options: plan options by name, parameters as `task.name`; texts are read by the option's type.
    """
    from weft.assemble.python_plans import load_python, refresh
    from weft.formats.load import load as load_documents

    pairs = [(name, value if isinstance(value, str) else _as_json(value)) for name, value in (options or {}).items()]
    loaded = load_documents(
        paths, format=format, root=root, options=pairs, strict=strict, python=load_python, present=refresh
    )
    return Plan(loaded.plan)


def _as_json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


class Plan:
    """A plan that runs. Wraps the frozen `spec.plan.Plan`; rewrites give new plans."""

    def __init__(self, graph: Graph | Iterable[Task] | spec_plan.Plan, **fields: Any):
        """Around a graph, or tasks; fields: others of `spec.plan.Plan`, as root (default: the current folder) and name.

        Finished work of plans of one name, or without one of equal task names, is found again. Raises UsageError.
        """
        if isinstance(graph, spec_plan.Plan):
            self.spec = replace(graph, **_checked(fields)) if fields else graph
        else:
            self.spec = _made(graph if isinstance(graph, Graph) else Graph(graph), _checked(fields))

    def __repr__(self) -> str:
        return f"<Plan {self.spec.name or self.spec.key} of {len(self.graph)} tasks>"

    @property
    def graph(self) -> Graph:
        """Its tasks and dependencies."""
        return self.spec.graph

    def replace(self, name: str, by: Any) -> Plan:
        """The plan with one task exchanged for another task, or for a value that stands for its product."""
        return Plan(self.spec.replace(name, by))

    def substitute(self, selection: str, tasks: Iterable[Task]) -> Plan:
        """The plan with the selected tasks exchanged for others; product types must still fit."""
        return Plan(self.spec.substitute(selection, tasks))

    def select(self, expression: str) -> Plan:
        """The plan with nothing but the selected tasks."""
        return Plan(self.spec.select(expression))

    def drop(self, selection: str) -> Plan:
        """The plan without the selected tasks."""
        return Plan(self.spec.drop(selection))

    def add(self, *tasks: Task) -> Plan:
        """The plan with these tasks at its end."""
        return Plan(self.spec.add(*tasks))

    def remove(self, *names: str) -> Plan:
        """The plan without these tasks, which nothing that stays may depend on."""
        return Plan(self.spec.remove(*names))

    def rename(self, name: str, new_name: str) -> Plan:
        """The plan with another name for a task; those that depend on it follow."""
        return Plan(self.spec.rename(name, new_name))

    def keep(self, selection: str) -> Plan:
        """The plan with nothing but the selected tasks, as `select`."""
        return Plan(self.spec.keep(selection))

    def diff(self, other: Plan) -> GraphDiff:
        """What makes the other plan's graph of this one's."""
        return self.spec.diff(other.spec)

    def simulate(
        self,
        hosts: str | None = None,
        *,
        default_duration: float | str | None = None,
        order: Literal["path", "file"] | None = None,
        resources: Mapping[str, Any] | None = None,
        ignore_memory: bool = False,
    ) -> Report:
        """What a run would take on these hosts, as `weft simulate` tells it; runs nothing. What it assumes comes as warnings.

        hosts: `4x48c`, `100x64c,256G`; None: those that a WfFormat document records. default_duration: of tasks of which none
        is known. resources: amounts that all hosts share. Raises UsageError, PlanError.
        """
        from weft.assemble import RunSettings, SimulationSettings, simulate_plan
        from weft.define.telling import caller
        from weft.units import UnitError, parse_time

        if order not in (None, "path", "file"):
            raise UsageError(f"there is no order {order!r}", "path, or file for plan order")
        try:
            seconds = parse_time(default_duration) if default_duration else None
        except UnitError as error:
            raise UsageError(f"default_duration: {error}") from error
        shared = _settings({"resources": resources or {}}).resources
        settings = SimulationSettings(hosts, seconds, order, shared, not ignore_memory, RunSettings())
        return simulate_plan(self.spec, settings, caller().tell).report

    def run(self, **settings: Any) -> Run:
        """Run it to its end. Keywords are those of `weft.RunSettings`. Ctrl-C works as on the command line."""
        run = Run(self, _settings(settings))
        run._execute()
        return run

    def start(self, **settings: Any) -> Run:
        """Run it in a thread of its own; returns once the run is recorded."""
        run = Run(self, _settings(settings))
        run._begin()
        return run

    async def arun(self, **settings: Any) -> Run:
        """Run it without blocking the event loop. Cancelled, it ends what runs (`weft resume` takes it up) before it lets go."""
        import asyncio

        run = Run(self, _settings(settings))
        work = asyncio.ensure_future(asyncio.to_thread(run._execute))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as cancelled:
            run.stop()
            await asyncio.wait([work])
            raise cancelled from work.exception()
        return run


def _checked(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    known = [field.name for field in dataclass_fields(spec_plan.Plan) if field.name != "graph"]
    for name in fields:
        if name not in known:
            raise UsageError(f"a plan has no {name!r}", hint_nearest(name, known))
    return fields


def _made(graph: Graph, fields: Mapping[str, Any]) -> spec_plan.Plan:
    """Raises RewriteError when tasks name environments, notes or templates that the plan lacks."""
    import os

    known = {**fields, "root": os.path.abspath(fields.get("root") or os.getcwd())}
    if not known.get("key"):
        known["key"] = f"graph:{known.get('name') or digest([task.name for task in graph])}"
    return spec_plan.Plan(Graph(()), **known).with_graph(graph)


def _settings(given: Mapping[str, Any]) -> RunSettings:
    from weft.assemble import RunSettings

    known = [field.name for field in dataclass_fields(RunSettings)]
    for name in given:
        if name not in known:
            raise UsageError(f"run() takes no {name!r}", hint_nearest(name, known))
    for field in ("resources", "reserve"):
        if field in given:
            given = {**given, field: _units(field, given[field])}
    return RunSettings(**given)


def _units(field: str, amounts: Mapping[str, Any]) -> Mapping[str, int]:
    from weft.settings import SettingError, amount

    try:
        return {name: amount(name, value) for name, value in amounts.items()}
    except SettingError as error:
        raise UsageError(f"{field}: {error}") from error
