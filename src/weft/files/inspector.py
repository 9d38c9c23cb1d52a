"""Looks at the world for tasks that are about to start, and at what they left behind, in a thread beside the loop.

The loop hands over jobs and takes answers; it never waits. Jobs are done one after another in their order, so that what an
attempt made is known before its followers are looked at. Tasks that need no look are answered at once.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from weft.errors import InternalError
from weft.files.contents import UNSETTLED, Contents, UnreadableError
from weft.files.fingerprints import Fingerprints, digest_pairs, outputs_of
from weft.files.requirements import (
    NOTHING_REQUIRED,
    SHARED_MEMORY_FOLDER,
    Findings,
    Surroundings,
    bound_files,
    bound_item,
    check,
    has_value,
    item_binder,
    source_files,
    unmet_match,
)
from weft.files.search import Place
from weft.ports import FileRow, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.freshness import (
    FORCED,
    MISSING,
    NEVER_CACHED,
    NOT_CACHEABLE,
    UP_TO_DATE,
    Decision,
    Forecast,
    Recorded,
    decide,
)
from weft.scheduling.keys import WHOLE
from weft.scheduling.outcomes import MISSING_OUTPUT
from weft.scheduling.reasons import Reason
from weft.spec.fingerprint import combine
from weft.spec.plan import Plan
from weft.spec.requirements import NO_REQUIREMENTS
from weft.spec.slots import text_of
from weft.spec.tasks import Task

Value = TypeVar("Value")

PUBLISH_SECONDS: Final = 0.002  # answers wait for others at most so long, because each batch wakes the loop once
CLOSE_SECONDS: Final = 5.0
SHOWN_OUTPUTS: Final = 5  # paths that a detail names
SHOWN_REASONS: Final = 10


class Ask(NamedTuple):
    """Job: look whether and how a task is to start."""

    task: int
    is_forced: bool


class Keep(NamedTuple):
    """Job: an attempt did its work; remember what it made."""

    task: int
    instance: int


Job = Ask | Keep | Event | None


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs left. Both are called at most once, in the inspector's thread.

    results: by (task name, item). files: by absolute path.
    """

    results: Callable[[], Mapping[tuple[str, str], ResultRow]]
    files: Callable[[], Mapping[str, FileRow]]


class Products(Protocol):
    """What tasks have handed on in this run; called in the inspector's thread, for a task after its `finished`."""

    def digest(self, task: int, instance: int = WHOLE) -> str | None:
        """Hex, None when nothing is known. WHOLE of a mapped task: over all its instances."""

    def text(self, task: int) -> str | None:
        """The product itself as JSON text, None when it is not at hand."""


class NoProducts:
    """Tasks that hand on nothing."""

    def digest(self, task: int, instance: int = WHOLE) -> str | None:  # noqa: ARG002
        return None

    def text(self, task: int) -> str | None:  # noqa: ARG002
        return None


class FileInspector:
    """Fulfils `ports.Inspector`.

    run: of the rows that it makes. products: what tasks of this run handed on. is_caching: whether finished work may stand in
    and is remembered (`--no-cache` says no).
    """

    def __init__(
        self,
        plan: Plan,
        state_folder: str | None,
        history: History,
        run: str,
        products: Products | None = None,
        *,
        is_caching: bool = True,
        shared_memory: str = SHARED_MEMORY_FOLDER,
    ):
        place = Place(os.path.abspath(plan.root), state_folder and os.path.realpath(state_folder))
        self._plan = plan
        self._tasks: Sequence[Task] = plan.graph.tasks
        self._place = place
        self._run = run
        self._products = products or NoProducts()
        self._is_caching = is_caching
        self._history = history
        self._recorded: dict[tuple[str, str], ResultRow] | None = None
        self._contents = Contents(history.files, self._publish)
        self._fingerprints = Fingerprints(plan, place, self._contents, self._product, self._made)
        self._surroundings = Surroundings(place, self._has_parameter, shared_memory)

        self._findings: dict[int, Findings] = {}
        self._binders: dict[int, Callable[[str], str | None]] = {}
        self._items: dict[int, tuple[str, ...]] = {}
        # What the attempts that are under way were begun with: shared parts, and per instance the part of its own.
        self._begun: dict[int, Mapping[str, str]] = {}
        self._begun_items: dict[tuple[int, int], tuple[str, str]] = {}

        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._unpublished: list[Inspected] = []
        self._publish_at = 0.0
        self._answers: deque[Inspected] = deque()
        self._results: deque[ResultRow] = deque()
        self._files: deque[FileRow] = deque()
        self._failure: BaseException | None = None
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_ringing = False
        self._is_closed = False
        self._thread: Thread | None = None

    # --- the loop's side -------------------------------------------------------------------------------------------------

    def ask(self, task: int, force: bool) -> None:
        """Begin looking. force: do not ask whether it is up to date."""
        if self.needs_look(task):
            self._begin(Ask(task, force))
            return
        self._answers.append(Inspected(task))
        self._ring()

    def needs_look(self, task: int) -> bool:
        """Whether there is anything to look at before the task starts."""
        given = self._tasks[task]
        if given.requires is not NO_REQUIREMENTS and given.requires != NO_REQUIREMENTS:
            return True
        return given.policy.foreach is not None or (self._is_caching and given.is_cacheable)

    def answers(self) -> Sequence[Inspected]:
        """What has been found since; never waits."""
        # The bell is emptied first and the flag cleared second: an answer that comes in between is taken below.
        if self._is_ringing:
            try:
                os.eventfd_read(self._bell)
            except BlockingIOError:
                pass
            self._is_ringing = False
        if self._failure is not None:
            raise InternalError(f"the inspector has failed: {self._failure!r}") from self._failure
        return _taken(self._answers)

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""
        return (self._bell,)

    def finished(self, task: int, instance: int) -> tuple[str, str] | None:
        """After an attempt that did its work: (cause, detail) when a declared output is missing, else None.

        What it made is remembered behind the loop's back; `take` gives it.
        """
        given = self._tasks[task]
        missing = [path for path in self.outputs(task, instance) if not _exists(self._place.absolute(path))]
        if missing:
            more = len(missing) - SHOWN_OUTPUTS
            named = ", ".join(missing[:SHOWN_OUTPUTS]) + (f" and {more} more" if more > 0 else "")
            return MISSING_OUTPUT, f"declared output{'s' * (len(missing) > 1)} not made: {named}"
        if given.outputs or (self._is_caching and given.is_cacheable):
            self._begin(Keep(task, instance))
        return None

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """Results and digests that are known since the last call, to be stored."""
        return _taken(self._results), _taken(self._files)

    def drain(self, limit: float | None = None) -> None:
        """Wait until everything that was begun is known, at most `limit` seconds. Raises TimeoutError."""
        if self._thread is None:
            return
        mark = Event()
        self._jobs.put(mark)
        if not mark.wait(limit):
            raise TimeoutError("the inspector is still reading files")

    def recover_items(self, task: int, items: Sequence[str]) -> None:
        """Resume: a mapped task keeps these items. Before the first `ask`."""
        self._items[task] = tuple(items)

    def items(self, task: int) -> tuple[str, ...]:
        """The items of a mapped task; empty before they are known."""
        known = self._items.get(task)
        foreach = self._tasks[task].policy.foreach
        if known is None and foreach is not None and foreach.values is not None:
            known = self._items[task] = tuple(text_of(value) for value in foreach.values)
        return known or ()

    def recorded(self, task: int, item: str = "") -> ResultRow | None:
        """The finished work that stands in for a task or instance that is up to date. After its answer only."""
        return self._results_by_name().get((self._tasks[task].name, item))

    def bound(self, task: int, instance: int = WHOLE) -> Mapping[str, str | list[str]]:
        """Parameter -> path, or sorted paths, of what requirements bind, as the last look found it."""
        given = self._tasks[task]
        if given.requires is NO_REQUIREMENTS:
            return {}
        foreach = given.policy.foreach
        if instance == WHOLE or foreach is None or not foreach.files:
            return bound_files(given.requires, self._findings.get(task, NOTHING_REQUIRED))
        item = self._items[task][instance]
        return bound_item(given.requires, self._binder(task)(item), item)

    def outputs(self, task: int, instance: int = WHOLE) -> tuple[str, ...]:
        """Paths that the task or instance is to make, slots filled."""
        given = self._tasks[task]
        if instance == WHOLE or not given.outputs:
            return outputs_of(self._plan, given)
        return outputs_of(self._plan, given, self._item_values(task, instance))

    def close(self) -> None:
        """Stop looking."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(CLOSE_SECONDS)
        # A thread that is still reading a large file may ring once more: then its bell stays open until the process ends.
        if self._thread is None or not self._thread.is_alive():
            os.close(self._bell)

    def _begin(self, job: Job) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._work, name="weft-inspector", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _ring(self) -> None:
        if not self._is_ringing:
            self._is_ringing = True
            os.eventfd_write(self._bell, 1)

    def _binder(self, task: int) -> Callable[[str], str | None]:
        binder = self._binders.get(task)
        if binder is None:
            findings = self._findings.get(task, NOTHING_REQUIRED)
            binder = self._binders[task] = item_binder(self._tasks[task].requires, findings)
        return binder

    def _item_values(self, task: int, instance: int) -> dict[str, Any]:
        """What an instance adds to its task's parameters."""
        foreach = self._tasks[task].policy.foreach
        assert foreach is not None
        item = self.items(task)[instance]
        if foreach.values is not None:
            return {} if foreach.bind is None else {foreach.bind: foreach.values[instance]}
        values: dict[str, Any] = {} if foreach.bind is None else {foreach.bind: item}
        return {**self.bound(task, instance), **values}

    # --- the thread's side -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._work_one():
                pass
        except BaseException as error:  # noqa: BLE001 - handed to the loop, which ends the run with it
            self._failure = error
            self._ring()

    def _work_one(self) -> bool:
        """Do one job; False at the end."""
        if self._unpublished and (self._jobs.empty() or time.monotonic() > self._publish_at):
            self._publish()
        job = self._jobs.get()
        if isinstance(job, Ask):
            if not self._unpublished:
                self._publish_at = time.monotonic() + PUBLISH_SECONDS
            self._unpublished.append(self._look(job.task, job.is_forced))
        elif isinstance(job, Keep):
            self._keep(job.task, job.instance)
        elif isinstance(job, Event):
            self._publish()
            job.set()
        else:
            self._publish()
            return False
        return True

    def _publish(self) -> None:
        """Hand over what is known so far."""
        self._files.extend(self._contents.take())
        if self._unpublished:
            self._answers.extend(self._unpublished)
            self._unpublished.clear()
            self._ring()

    def _look(self, task: int, is_forced: bool) -> Inspected:
        given = self._tasks[task]
        if given.requires != NO_REQUIREMENTS:
            if given.requires.match or given.requires.folders:
                self._publish()
            findings = check(given.requires, self._surroundings)
            if findings.unmet is not None:
                return Inspected(task, findings.unmet, findings.detail)
            self._findings[task] = findings
            self._binders.pop(task, None)
        else:
            findings = NOTHING_REQUIRED
        items = None
        if given.policy.foreach is not None:
            items = self._take_items(task, given, findings)
            if given.policy.foreach.files and not items:
                return Inspected(task, _unmet_source(given), "none of its sources has a file")
        if not (self._is_caching and given.is_cacheable):
            return Inspected(task, items=items)
        try:
            return self._compare(task, given, findings, items, is_forced)
        except UnreadableError as error:
            return Inspected(task, items=items, reasons=(Reason("input_unreadable", str(error)),))

    def _take_items(self, task: int, given: Task, findings: Findings) -> tuple[str, ...]:
        """Taken once: a later look, or a resumed run, keeps them."""
        known = self.items(task)
        foreach = given.policy.foreach
        if known or foreach is None:
            return known
        if foreach.files:
            self._items[task] = source_files(given.requires, findings)
        elif foreach.stream is not None:
            text = self._products.text(self._plan.graph.index[foreach.stream])
            self._items[task] = tuple(text_of(value) for value in json.loads(text)) if text is not None else ()
        return self._items.get(task, ())

    def _compare(
        self, task: int, given: Task, findings: Findings, items: tuple[str, ...] | None, is_forced: bool
    ) -> Inspected:
        parts = self._fingerprints.parts(task, findings)
        results = self._results_by_name()
        if items is None:
            row = results.get((given.name, ""))
            decision = self._judge(given, parts, row, outputs_of(self._plan, given), is_forced)
            if not decision.fresh:
                self._begun[task] = parts
            fingerprint = row.fingerprint if row is not None and row.parts == parts else combine(parts)
            return Inspected(task, None, None, None, decision.fresh, fingerprint, frozenset(), decision.reasons)
        fresh = set()
        reasons: dict[Reason, None] = {}
        own_parts = []
        binder = self._binder(task)
        for instance, item in enumerate(items):
            own = self._fingerprints.item_part(given, instance, item, binder(item))
            own_parts.append(own)
            whole = {**parts, own[0]: own[1]}
            decision = self._judge(
                given, whole, results.get((given.name, item)), self.outputs(task, instance), is_forced
            )
            if decision.fresh:
                fresh.add(instance)
                continue
            self._begun_items[task, instance] = own
            if len(reasons) < SHOWN_REASONS:
                reasons.update(dict.fromkeys(decision.reasons))
        self._begun[task] = parts
        all_fresh = len(fresh) == len(items)
        fingerprint = combine({**parts, "items": digest_pairs(own_parts)})
        return Inspected(
            task, None, None, items, all_fresh, fingerprint, frozenset(fresh), tuple(reasons) or UP_TO_DATE.reasons
        )

    def _judge(
        self, given: Task, parts: Mapping[str, str], row: ResultRow | None, outputs: Sequence[str], is_forced: bool
    ) -> Decision:
        if is_forced or row is None:
            return decide(parts, None, {}, force=is_forced)
        then = {path: (size, mtime_ns, inode, digest) for path, size, mtime_ns, inode, digest in row.outputs}
        now = {path: self._output_now(path, then.get(path)) for path in outputs}
        decision = decide(parts, Recorded(row.parts, {path: state[3] for path, state in then.items()}), now)
        product = given.policy.product
        if decision.fresh and product is not None and product.source != "outputs" and row.product is None:
            return Decision(False, (Reason("product_missing", "its product was not kept", "product"),))
        return decision

    def _output_now(self, path: str, then: tuple[int, int, int, str] | None) -> str:
        absolute = self._place.absolute(path)
        if then is not None and then[1] != UNSETTLED:
            try:
                found = os.stat(absolute)
            except (OSError, ValueError):
                return MISSING
            if (found.st_size, found.st_mtime_ns, found.st_ino) == then[:3]:
                return then[3]
        state = self._contents.state(absolute)
        return MISSING if state is None else state.digest

    def _keep(self, task: int, instance: int) -> None:
        given = self._tasks[task]
        self._fingerprints.forget(task)
        shared = self._begun.get(task) if instance != WHOLE else self._begun.pop(task, None)
        own = self._begun_items.pop((task, instance), None)
        if not (self._is_caching and given.is_cacheable) or shared is None or (instance != WHOLE and own is None):
            return  # an attempt that an earlier engine began: nobody knows what it read
        parts = shared if own is None else {**shared, own[0]: own[1]}
        try:
            states = [(path, self._contents.state(self._place.absolute(path))) for path in self.outputs(task, instance)]
        except UnreadableError:
            return  # the next run will say so and make it again
        if any(state is None for _, state in states):
            return
        outputs = tuple((path, *state) for path, state in states if state is not None)
        item = "" if instance == WHOLE else self.items(task)[instance]
        product = self._products.digest(task) if instance == WHOLE else self._products.digest(task, instance)
        row = ResultRow(self._plan.key, given.name, item, combine(parts), parts, outputs, product, self._run)
        self._results_by_name()[given.name, item] = row
        self._results.append(row)

    def _results_by_name(self) -> dict[tuple[str, str], ResultRow]:
        if self._recorded is None:
            self._recorded = dict(self._history.results())
        return self._recorded

    def _product(self, task: int) -> str | None:
        product = self._tasks[task].policy.product
        if product is None:
            return None
        digest = self._products.digest(task)
        if digest is None and product.source != "outputs":
            row = self._results_by_name().get((self._tasks[task].name, ""))
            digest = None if row is None else row.product
        return digest

    def _made(self, task: int) -> Sequence[str]:
        """All outputs of a task, of a mapped one those of its instances as far as they are known."""
        given = self._tasks[task]
        if given.policy.foreach is None:
            return outputs_of(self._plan, given)
        items = self.items(task)
        if items:
            return [path for instance in range(len(items)) for path in self.outputs(task, instance)]
        rows = sorted(key for key in self._results_by_name() if key[0] == given.name)
        return [output[0] for key in rows for output in self._results_by_name()[key].outputs]

    def _has_parameter(self, name: str) -> bool:
        if has_value(name, self._plan.values):
            return True
        index = self._plan.graph.index
        if name in index:
            return self._product(index[name]) is not None
        maker, _, key = name.rpartition(".")
        if maker not in index:
            return False
        text = self._products.text(index[maker])
        if text is None:
            return self._product(index[maker]) is not None
        value = json.loads(text)
        return isinstance(value, dict) and value.get(key) is not None

    # --- what would happen -----------------------------------------------------------------------------------------------

    def preview(self, selected: Sequence[int], force: bool = False) -> dict[int, Forecast]:
        """What would happen now to each of the selected tasks; starts nothing. Instead of a run, not during one."""
        assert self._thread is None
        forecasts: dict[int, Forecast] = {}
        chosen = frozenset(selected)
        for task in self._plan.graph.topological():
            if task in chosen:
                forecasts[task] = self._forecast(task, forecasts, force)
        return {task: forecasts[task] for task in sorted(forecasts)}

    def _forecast(self, task: int, forecasts: Mapping[int, Forecast], is_forced: bool) -> Forecast:
        given = self._tasks[task]
        graph = self._plan.graph
        upstream = graph.dependencies[graph.first_dependency[task] : graph.first_dependency[task + 1]]
        found = {index: forecasts[index].action for index in upstream if index in forecasts}
        for index, action in found.items():
            if action == "blocked":
                name = self._tasks[index].name
                return Forecast("blocked", (Reason("dependency_blocked", f"{name} cannot start", name),))
        running = [index for index, action in found.items() if action == "run"]
        if not self._is_caching or not given.is_cacheable or is_forced:
            reason = FORCED if is_forced else NEVER_CACHED if given.policy.cache == "never" else NOT_CACHEABLE
            if not running and (problem := self._blocked(task)) is not None:
                return problem
            return Forecast("run", (reason,))
        changing = [index for index in running if self._tasks[index].outputs or self._tasks[index].policy.product]
        if changing:
            return Forecast("run", tuple(_runs_first(self._tasks[index].name) for index in changing[:SHOWN_REASONS]))
        answer = self._look(task, False)
        if answer.unmet is None:
            return Forecast("cached" if answer.fresh else "run", answer.reasons)
        if running:  # what is missing may be made by then
            return Forecast("run", tuple(_runs_first(self._tasks[index].name) for index in running[:SHOWN_REASONS]))
        return Forecast("blocked", (Reason("unmet", answer.detail or answer.unmet, answer.unmet),))

    def _blocked(self, task: int) -> Forecast | None:
        given = self._tasks[task]
        if given.requires == NO_REQUIREMENTS:
            return None
        findings = check(given.requires, self._surroundings)
        if findings.unmet is None:
            return None
        return Forecast("blocked", (Reason("unmet", findings.detail or findings.unmet, findings.unmet),))


def _runs_first(name: str) -> Reason:
    return Reason("dependency_runs", f"{name} runs first; if it makes the same as before, this is up to date", name)


def _unmet_source(task: Task) -> str:
    """The requirement that is named when a mapped task has no items."""
    for need in task.requires.folders:
        if need.source:
            return f"folder:{need.path}"
    return next((unmet_match(need) for need in task.requires.match if need.source), "foreach:files")


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True


def _taken(queue: deque[Value]) -> list[Value]:
    taken: list[Value] = []
    while queue:
        taken.append(queue.popleft())
    return taken
