"""Python's front: load documents, get a plan that runs, ask the run what happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from weft.errors import UsageError, hint_nearest
from weft.ports import Began, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome, RunState, TaskState, Usage
from weft.spec import plan as spec_plan
from weft.spec.graph import Graph
from weft.spec.tasks import Task

if TYPE_CHECKING:
    from weft.assemble import Explanation, RunSettings
    from weft.ports import AttemptRow, Gauge
    from weft.store.archive import SqliteArchive


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
    from weft.formats.load import load as load_documents

    pairs = [(name, value if isinstance(value, str) else _as_json(value)) for name, value in (options or {}).items()]
    return Plan(load_documents(paths, format=format, root=root, options=pairs, strict=strict).plan)


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


class TaskResult:
    """What became of one task of a run."""

    def __init__(self, run: Run, name: str, settled: SettleTask | None):
        self._run = run
        self._settled = settled
        self.name = name

    @property
    def state(self) -> TaskState:
        """`pending` until it has ended."""
        return self._settled.state if self._settled is not None else "pending"

    @property
    def cause(self) -> str | None:
        """Why it ended as it did; None when it is simply ok."""
        return self._settled.cause if self._settled is not None else None

    @property
    def usage(self) -> Usage | None:
        """Of the attempt that ended it."""
        return self._settled.usage if self._settled is not None else None

    @property
    def attempts(self) -> Sequence[AttemptRow]:
        """Every attempt of every instance."""
        with self._run.archive() as archive:
            return archive.attempts(self._run.id, self._run.plan.graph.index[self.name])

    @property
    def product(self) -> Any:
        """What it handed on in this run, or what stood in for it: text, a JSON value, paths; of a mapped task a list.

        Raises LookupError without one.
        """
        from weft.assemble import read_product

        return read_product(self._run.state_folder, self._run.id, self._run.plan.spec, self.name)

    def log(self, stream: Literal["stdout", "stderr"] = "stdout") -> bytes:
        """The output of its last attempt."""
        from weft.store.logs import LogReader

        rows = self.attempts
        if not rows:
            return b""
        return LogReader(self._run.state_folder, self._run.id).read(getattr(rows[-1], stream))


class Run:
    """One execution of a plan."""

    def __init__(self, plan: Plan, settings: RunSettings):
        self.plan = plan
        self.settings = settings
        self.id = ""
        self.state_folder = ""
        self._results: dict[int, SettleTask] = {}
        self._ending: RunEnding | None = None
        self._failure: BaseException | None = None
        self._refused: Warning | None = None
        self._is_stopping = False
        self._recorded = threading.Event()
        self._thread: threading.Thread | None = None
        self._gauge: Callable[[], Gauge] | None = None

    @property
    def state(self) -> RunState:
        """`running` until it has ended."""
        return self._ending.state if self._ending is not None else "running"

    @property
    def exit_code(self) -> int | None:
        """What the command line would have ended with; None while running."""
        return self._ending.exit_code if self._ending is not None else None

    def __getitem__(self, name: str) -> TaskResult:
        index = self.plan.graph.index.get(name)
        if index is None:
            raise UsageError(f"the plan has no task {name!r}", hint_nearest(name, list(self.plan.graph.index)))
        return TaskResult(self, name, self._results.get(index))

    def _execute(self) -> None:
        """Run to the end in this thread."""
        from weft import assemble

        self._ending = assemble.run(self.plan.spec, self.settings, (_Recorder(self),))
        if self._refused is not None:
            raise self._refused

    def _begin(self) -> None:
        """Run in a thread; returns once the run is recorded. Raises what kept it from starting."""

        def work() -> None:
            try:
                self._execute()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the run
                self._failure = error
            finally:
                self._recorded.set()

        self._thread = threading.Thread(target=work, name="weft-run")
        self._thread.start()
        self._recorded.wait()
        if not self.id and self._failure is not None:
            raise self._failure

    def wait(self) -> Run:
        """Wait for the end of a run that was started. Raises what stopped the engine."""
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self

    def cancel(self, tasks: Sequence[str] | None = None, *, force: bool = False) -> None:
        """Ask for tasks (None: all) to be given up; of a run that has ended, nothing. force: also what is not interruptible."""
        from weft import assemble

        if self._ending is None:
            assemble.cancel(self.state_folder, self.id, tasks, force)

    def stop(self) -> None:
        """End what runs and start nothing more, as the second Ctrl-C does; `weft resume` takes it up."""
        from weft import assemble

        self._is_stopping = True
        if self.id:
            assemble.stop(self.state_folder, self.id)

    def counts(self) -> Mapping[str, int]:
        """Tasks by state at this moment."""
        return self._gauge().counts if self._gauge is not None else {}

    def archive(self) -> SqliteArchive:
        """The store, for reading."""
        from weft import assemble

        return assemble.archive(self.state_folder)

    def explain(self, name: str) -> Explanation:
        """Why the task ran, was cached, waits or failed."""
        from weft import assemble

        return assemble.explain(self.state_folder, self.id, name)

    def _opened(self, opening: RunOpening) -> None:
        """The engine has recorded the run."""
        self.state_folder = opening.state_folder
        self.id = opening.run
        self._gauge = opening.gauge
        self._recorded.set()
        if self._is_stopping:
            self.stop()

    def _warn(self, text: str) -> None:
        """Something to know, as a warning. A filter that makes it an error must not kill the engine: it is raised at the end."""
        import warnings

        from weft.errors import WeftWarning

        try:
            warnings.warn(text, WeftWarning, stacklevel=2)
        except WeftWarning as refused:
            self._refused = self._refused or refused

    def _settled(self, settled: SettleTask) -> None:
        """A task has ended."""
        self._results[settled.task] = settled


class _Recorder:
    """The observer behind a `Run`."""

    def __init__(self, run: Run):
        self._run = run

    def run_started(self, opening: RunOpening) -> None:
        self._run._opened(opening)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        pass

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        pass

    def task_ended(self, settled: SettleTask) -> None:
        self._run._settled(settled)

    def remarked(self, text: str, task: int | None) -> None:  # noqa: ARG002 - the port's signature
        self._run._warn(text)

    def run_ended(self, ending: RunEnding) -> None:
        pass
