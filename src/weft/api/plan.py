"""A plan that runs, and how documents become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from weft.api.run import Run
from weft.errors import UsageError, hint_nearest
from weft.spec import plan as spec_plan
from weft.spec.graph import Graph
from weft.spec.tasks import Task

if TYPE_CHECKING:
    from weft.assemble import RunSettings


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
    from weft.assemble.python_plans import load_python
    from weft.formats.load import load as load_documents

    pairs = [(name, value if isinstance(value, str) else _as_json(value)) for name, value in (options or {}).items()]
    loaded = load_documents(paths, format=format, root=root, options=pairs, strict=strict, python=load_python)
    return Plan(loaded.plan)


def _as_json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


class Plan:
    """A plan that runs. Wraps the frozen `spec.plan.Plan`; rewrites give new plans."""

    def __init__(self, spec: spec_plan.Plan):
        self.spec = spec

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


def _settings(given: Mapping[str, Any]) -> RunSettings:
    from dataclasses import fields

    from weft.assemble import RunSettings

    known = [field.name for field in fields(RunSettings)]
    for name in given:
        if name not in known:
            raise UsageError(f"run() takes no {name!r}", hint_nearest(name, known))
    if "resources" in given:
        from weft.settings import SettingError, amount

        try:
            units = {name: amount(name, value) for name, value in given["resources"].items()}
        except SettingError as error:
            raise UsageError(f"resources: {error}") from error
        given = {**given, "resources": units}
    return RunSettings(**given)
