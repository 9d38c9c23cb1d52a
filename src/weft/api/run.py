"""One execution of a plan: while it goes on, and what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from weft.api.journal import VERSION, Journal, event_of, stamp
from weft.api.progress import Progress
from weft.collector import collector_spared
from weft.define.telling import caller
from weft.errors import UsageError, hint_nearest
from weft.ports import Began, Observer, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleInstance, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome, RunState, TaskState, Usage

if TYPE_CHECKING:
    from weft.api.plan import Plan
    from weft.assemble import Explanation, RunSettings
    from weft.ports import AttemptRow, Gauge, NoteTally, TaskRow
    from weft.store.archive import SqliteArchive


SHORTEST_SECONDS: Final = 0.05
"""Between two events that show how far a run is."""


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

        state = self.state
        if state != "ok" and (self._settled is not None or self._run._takes_part(self.name)):
            raise LookupError(
                f"task {self.name!r} has made no product in run {self._run.id[:12]}: its state is {state}"
            )
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

    def __init__(
        self, plan: Plan, settings: RunSettings, carry: Callable[[Sequence[Observer]], RunEnding] | None = None
    ):
        """carry: what runs it, for these observers; None: a new run of the plan."""
        self.plan = plan
        self.settings = settings
        self._carry = carry
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
        self._selected: Sequence[int] = ()
        self._began = self._ended = 0.0
        self._notes: Mapping[str, NoteTally] = {}
        self._items: dict[int, Sequence[str]] = {}
        self._caller = caller()
        self._journal = Journal()
        self._progress = Progress(plan.graph, measure=self._measure)

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

    def _takes_part(self, name: str) -> bool:
        """Whether the task is selected: of one that is not, earlier work stands in."""
        return self.plan.graph.index[name] in self._selected

    def _execute(self) -> None:
        """Run to the end in this thread."""
        from weft import assemble

        try:
            with collector_spared():
                observers = (_Recorder(self),)
                if self._carry is not None:
                    self._ending = self._carry(observers)
                else:
                    self._ending = assemble.run(self.plan.spec, self.settings, observers)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._journal.close()
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

    def snapshot(self) -> Mapping[str, Any]:
        """How far it is: `{state, tasks: {name: {state, done, total}}, edges: [{from, to, items, bytes, seconds_left}]}`.

        done, total: instances of a mapped task, items of a stream that is made (total None meanwhile), else the task itself.
        seconds_left: at the rate so far; None where nothing tells.
        """
        if self._gauge is None:
            return {"state": self.state, "tasks": {}, "edges": []}
        gauge = self._gauge()
        return {
            "state": self.state,
            "tasks": self._progress.tasks(self._selected, gauge),
            "edges": self._progress.edges(self._selected, gauge),
        }

    def _measure(self, task: int) -> tuple[int, int] | None:
        from weft.assemble import measure_items

        return measure_items(self.state_folder, self.id, self.plan.spec, task)

    async def events(self, every: float | None = None) -> AsyncGenerator[Mapping[str, Any], None]:
        """What happens, as the lines of `--output json`, from the beginning, whenever it is asked for; ends with the run.

        every: seconds, at least; then, as often, and whenever it shows something new, an event `progress` comes among them:
        counts, and what `snapshot()` has. Any number of listeners, at their own pace: nobody waits for them, and none misses an
        event. Raises what stopped the engine, if something did.
        """
        if self._began:
            label = self.plan.spec.name or next((source.path for source in self.plan.spec.sources), self.plan.spec.key)
            yield self._event("run_started", self._began, run=self.id, plan=label, tasks=len(self._selected))
        tasks = self.plan.graph.tasks
        shown: Mapping[str, Any] = {}
        async for row in self._journal.rows(None if every is None else max(every, SHORTEST_SECONDS)):
            if row is None:
                before, shown = shown, self.snapshot()
                if shown != before:
                    yield self._event("progress", time.time(), counts=self.counts(), **shown)
                continue
            item = self._item_of(row.task, row.instance) if row.instance >= 0 else None
            yield event_of(row, tasks[row.task].name, item)
        if self._failure is not None:
            raise self._failure
        if self._ending is not None:
            yield self._last_event(self._ending)

    def _event(self, name: str, moment: float, **fields: Any) -> Mapping[str, Any]:
        return {"v": VERSION, "event": name, "time": stamp(moment), **fields}

    def _last_event(self, ending: RunEnding) -> Mapping[str, Any]:
        from weft.api.ended import counts_of, notes_of, tasks_of

        entries = tasks_of(self.plan.spec, self._selected, self._results, self.archive, self.id)
        return self._event(
            "run_ended",
            self._ended,
            run=ending.run,
            state=ending.state,
            exit_code=ending.exit_code,
            seconds=round(ending.seconds, 6),
            counts=counts_of(entries),
            tasks=entries,
            **({"notes": notes_of(self._notes)} if self._notes else {}),
        )

    def _item_of(self, task: int, instance: int) -> str:
        """The item that an instance has."""
        items = self._items.get(task, ())
        if instance >= len(items):
            with self.archive() as archive:
                items = self._items[task] = [item for item, _, _ in archive.items(self.id, task).get(task, ())]
        return items[instance] if instance < len(items) else f"#{instance}"

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
        self._selected = opening.selected
        self._began = time.time()
        self._recorded.set()
        if self._is_stopping:
            self.stop()

    def _warn(self, text: str) -> None:
        """Something to know, as a warning. A filter that makes it an error must not kill the engine: it is raised at the end."""
        from weft.errors import WeftWarning

        try:
            self._caller.tell(text)
        except WeftWarning as refused:
            self._refused = self._refused or refused

    def _recall(self, rows: Sequence[TaskRow]) -> None:
        """How tasks ended that had done so before this run began. rows: as the store shows them."""
        results = self._results
        for row in rows:
            if row.task not in results and row.state not in ("pending", "running"):
                usage = Usage(row.seconds or 0.0, row.cpu_seconds, row.memory)
                results[row.task] = SettleTask(
                    row.task, row.state, row.cause, row.detail, row.attempts, row.fingerprint, usage
                )

    def _settled(self, settled: SettleTask) -> None:
        """A task has ended."""
        self._results[settled.task] = settled
        self._journal.settle(settled)


class _Recorder:
    """The observer behind a `Run`."""

    def __init__(self, run: Run):
        self._run = run

    def run_started(self, opening: RunOpening) -> None:
        self._run._opened(opening)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:  # noqa: ARG002 - the port's signature
        self._run._progress.started(key)
        self._run._journal.start(key)

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        if outcome.ok:
            self._run._progress.made(key, outcome)
        self._run._journal.end(key, outcome, retry is not None)

    def instance_ended(self, settled: SettleInstance) -> None:
        self._run._journal.settle_instance(settled)

    def task_ended(self, settled: SettleTask) -> None:
        self._run._settled(settled)

    def remarked(self, text: str, task: int | None) -> None:  # noqa: ARG002 - the port's signature
        self._run._warn(text)

    def run_ended(self, ending: RunEnding) -> None:
        self._run._ended = time.time()
        self._run._notes = ending.notes  # what the engine returns knows nothing of them
