"""Sends notes while a run goes on: an observer around the others, so that the engine knows nothing of it.

What is sent is what this engine's life has settled: each end of a task once it is durable, none that an earlier life of a
resumed run has settled. So nothing is sent twice; what was not sent when an engine was killed stays unsent. Sending is done by
threads (`notes.delivery`); what they come to is told here, on the engine's loop, whenever it has a moment (`Ticker`), and at
the end, which waits for what is under way.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from weft.assemble.noting import ReadyNote
from weft.assemble.run_settings import DRY
from weft.environments.variables import references
from weft.errors import StoreError
from weft.executors.supervisor.substitution import substitute
from weft.notes.arguments import data_variables, fill
from weft.notes.delivery import LIMIT_SECONDS, Delivery
from weft.notes.errors import NoteError, reason_of
from weft.notes.records import harmless
from weft.notes.sinks import Surroundings, open_sink
from weft.ports import Began, Echoing, NoteTally, Notifier, Observer, RunEnding, RunOpening, Ticker
from weft.scheduling.commands import Retry, SettleInstance, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import CACHED, LogRegion, Outcome
from weft.spec.actions import Expand
from weft.spec.notes import CLASSES, Note, secret_arguments
from weft.spec.plan import Plan
from weft.store.archive import SqliteArchive
from weft.store.logs import LogGoneError, LogReader
from weft.store.masking import LEAST_CHARACTERS, Mask, MaskedLogs, secret_values

OUTPUT_BYTES: Final = 65_536
"""Of each stream in a record; what is longer loses its middle."""

INSTANCES_SHOWN: Final = 100
"""Instances of a mapped task whose output is in its record: failed ones first, then in order of the items."""

LOOK_SECONDS: Final = 0.2
"""How often the loop looks at notes that are under way."""

BACKLOG_SECONDS: Final = 300.0
"""How long the end of a run waits for a sink that works but has much to do."""

STOP_SECONDS: Final = 5.0
"""How long it waits when it was told to end what runs."""

RUNS_BEFORE: Final = 20
"""Earlier runs that are asked for the state of a task, until one has it."""

_FAILED: Final = frozenset({"failed", "skipped", "cancelled"})
_ENDED: Final = frozenset({"ok", *_FAILED})


class Limits(NamedTuple):
    """Seconds. each: for one record. backlog, stop: see above."""

    each: float = LIMIT_SECONDS
    backlog: float = BACKLOG_SECONDS
    stop: float = STOP_SECONDS


class Written(NamedTuple):
    """How the last attempt of a task or instance ended, and where its output is."""

    is_ok: bool
    instance: int
    exit_code: int | None
    stdout: LogRegion
    stderr: LogRegion

    @property
    def rank(self) -> tuple[bool, int]:
        """Failed ones first, then by instance."""
        return self.is_ok, self.instance


class Ended(NamedTuple):
    """The end of a task, as its notes wait for it. time: wall clock seconds."""

    task: int
    state: str
    cause: str | None
    attempts: int
    seconds: float | None
    time: float
    exit_code: int | None
    written: Sequence[Written]


class Work:
    """What is kept of the attempts of a task that has notes. decisive: the first that failed, else the first of all."""

    __slots__ = ("decisive", "written")

    def __init__(self) -> None:
        self.decisive: Written | None = None
        self.written: list[Written] = []

    def add(self, each: Written) -> None:
        """The last attempt of the task, or of an instance."""
        if each.instance == WHOLE:
            self.written.clear()
            self.decisive = None
        if self.decisive is None or each.rank < self.decisive.rank:
            self.decisive = each
        if each.stdout.length or each.stderr.length:
            insort(self.written, each, key=lambda written: written.rank)
            del self.written[INSTANCES_SHOWN:]


NO_WORK: Final = Work()


class Notifying:
    """Observes a run for its notes. A Ticker. A context: leaving it lets go of the threads.

    observers: who is told besides. interrupts: how often the run was interrupted so far.
    """

    def __init__(
        self,
        plan: Plan,
        ready: Mapping[str, ReadyNote],
        observers: Sequence[Observer],
        interrupts: Callable[[], int] = lambda: 0,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
    ):
        self._plan = plan
        self._tasks = plan.graph.tasks
        self._root = os.path.abspath(plan.root)
        self._ready = ready
        self._observers = observers
        self._tickers = [cast(Ticker, observer) for observer in observers if hasattr(observer, "tick")]
        self._echoing = [observer for observer in observers if isinstance(observer, Echoing)]
        self._interrupts = interrupts
        self._limits = limits
        self._base = dict(os.environ)
        self._environments: dict[str | None, Mapping[str, str]] = {}
        self._work: dict[int, Work] = {}
        self._states_before: Mapping[str, str] = {}
        self._lines: deque[str] = deque()
        self._bell = threading.Event()
        self._told: set[str] = set()
        self._sinks: dict[str, Notifier] = {}
        self._run = ""
        self._logs: MaskedLogs | None = None
        self._is_routing = False
        self._credentials = Mask(self._known_secrets())
        self._deliveries = {
            name: Delivery(name, self._sender(each), self._bell.set, limit=limits.each) for name, each in ready.items()
        }

    def __enter__(self) -> Notifying:
        if any(each.maker is not None for each in self._ready.values()):
            from weft.notes.printing import begin_routing

            begin_routing()
            self._is_routing = True
        return self

    def __exit__(self, *_: object) -> None:
        for delivery in self._deliveries.values():
            delivery.give_up("the run broke off")
        if self._is_routing:
            from weft.notes.printing import end_routing

            end_routing()
            self._is_routing = False

    # --- what the engine tells -----------------------------------------------------------------------------------------

    def run_started(self, opening: RunOpening) -> None:
        self._run = opening.run
        secrets = secret_values(self._base, self._plan.environments.values())
        self._logs = MaskedLogs(LogReader(opening.state_folder, opening.run), [*secrets, *self._known_secrets()])
        for observer in self._observers:
            observer.run_started(opening)
        self._states_before = self._states_of_earlier_runs(opening)

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        for observer in self._observers:
            observer.attempt_started(key, began)

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        for observer in self._observers:
            observer.attempt_ended(key, outcome, retry)
        if retry is None and self._tasks[key.task].policy.notes:
            written = Written(outcome.ok, key.instance, outcome.exit_code, outcome.stdout, outcome.stderr)
            self._work.setdefault(key.task, Work()).add(written)

    def instance_ended(self, settled: SettleInstance) -> None:
        for observer in self._observers:
            if hasattr(observer, "instance_ended"):
                observer.instance_ended(settled)

    def task_ended(self, settled: SettleTask) -> None:
        for observer in self._observers:
            observer.task_ended(settled)
        policy = self._tasks[settled.task].policy
        if not policy.notes:
            return
        work = self._work.pop(settled.task, NO_WORK)
        if policy.executor in DRY or (settled.state == "ok" and settled.cause == CACHED):
            return
        seconds = settled.usage.seconds if settled.attempts else None
        ended = Ended(
            settled.task,
            settled.state,
            settled.cause,
            settled.attempts,
            seconds,
            time.time(),
            work.decisive.exit_code if work.decisive is not None else None,
            work.written,
        )
        for name in dict.fromkeys(policy.notes):
            if name in self._deliveries and self._is_wanted(self._ready[name].note, ended):
                self._deliveries[name].put(ended)

    def remarked(self, text: str, task: int | None) -> None:
        for observer in self._observers:
            observer.remarked(text, task)

    def run_ended(self, ending: RunEnding) -> None:
        self._drain()
        tallies = {name: NoteTally(each.sent, each.unsent, each.problem) for name, each in self._deliveries.items()}
        ending = ending._replace(notes=tallies)
        for observer in self._observers:
            observer.run_ended(ending)

    def tick(self, idle: bool) -> float | None:
        """See `Ticker`."""
        wishes = [wish for ticker in self._tickers if (wish := ticker.tick(idle)) is not None]
        self._look()
        if any(delivery.pending for delivery in self._deliveries.values()):
            wishes.append(LOOK_SECONDS)
        return min(wishes, default=None)

    # --- on the loop ---------------------------------------------------------------------------------------------------

    def _is_wanted(self, note: Note, ended: Ended) -> bool:
        """Whether the conditions hold that can be told without the output."""
        for condition in note.conditions:
            match condition:
                case "only_if_ok" if ended.state != "ok":
                    return False
                case "only_if_failed" if ended.state not in _FAILED:
                    return False
                case "only_if_changed" if self._states_before.get(self._tasks[ended.task].name) == ended.state:
                    return False
        return True

    def _look(self) -> None:
        """Tell what has come of the notes since the last time."""
        for name, delivery in self._deliveries.items():
            delivery.look()
            if delivery.problem is not None and name not in self._told:
                self._told.add(name)
                self.remarked(f"note {name!r} could not be sent: {delivery.problem}", None)
        while self._lines:
            self._echo(self._lines.popleft())

    def _echo(self, text: str) -> None:
        for observer in self._echoing:
            observer.echoed(text)
        if not self._echoing:  # a run without a view: a script's or a notebook's
            try:
                sys.stdout.write(text)
                sys.stdout.flush()
            except (OSError, ValueError) as error:
                self.remarked(f"a note could not be printed: {reason_of(error)}", None)

    def _drain(self) -> None:
        """Wait for what is under way; for a sink that fails no longer than one record may take."""
        began = time.monotonic()
        level = self._interrupts()
        while True:
            self._bell.clear()
            self._look()
            pending = [delivery for delivery in self._deliveries.values() if delivery.pending]
            if not pending:
                break
            waited = time.monotonic() - began
            for delivery in pending:
                limit = self._limits.backlog if delivery.is_well else self._limits.each
                if level > 1:
                    limit = self._limits.stop
                if waited >= limit or self._interrupts() > level:
                    delivery.give_up(f"not done {waited:.0f} s after the end of the run")
            self._bell.wait(LOOK_SECONDS)
        self._look()

    def _states_of_earlier_runs(self, opening: RunOpening) -> Mapping[str, str]:
        """By task name, of tasks whose notes ask for it."""
        asking = {name for name, each in self._ready.items() if "only_if_changed" in each.note.conditions}
        if not asking:
            return {}
        tasks = (self._tasks[task] for task in opening.selected)
        wanted = {task.name for task in tasks if not asking.isdisjoint(task.policy.notes)}
        found: dict[str, str] = {}
        try:
            with SqliteArchive(opening.state_folder) as archive:
                runs = [row.run for row in archive.runs(self._plan.key)]
                earlier = runs[: runs.index(opening.run)] if opening.run in runs else runs
                for run in earlier[: -RUNS_BEFORE - 1 : -1]:
                    found.update(
                        (row.name, row.state)
                        for row in archive.tasks(run)
                        if row.name in wanted and row.name not in found and row.state in _ENDED
                    )
                    if len(found) == len(wanted):
                        break
        except StoreError as error:
            self.remarked(f"earlier runs cannot be read, so every state counts as changed: {error}", None)
        return found

    # --- on the threads of the notes -----------------------------------------------------------------------------------

    def _sender(self, ready: ReadyNote) -> Callable[[Ended], bool]:
        def send(ended: Ended) -> bool:
            environment = self._environment_of(ended.task)
            secrets: list[str] = []
            try:
                return self._send(ready, ended, environment, secrets)
            except BaseException as error:  # noqa: BLE001 - told as this note's problem, without its secrets
                text = Mask(_with_parts(secrets)).cover_text(self._credentials.cover_text(reason_of(error)))
                told = harmless(_as_written(text, ready.note, environment))
            raise NoteError(told)  # not from the error: its traceback holds what may not be shown

        return send

    def _send(self, ready: ReadyNote, ended: Ended, environment: Mapping[str, str], secrets: list[str]) -> bool:
        note = ready.note
        record = self._record(ended)
        if "only_if_output_non_empty" in note.conditions and not record["output"].strip():
            return False
        if ready.broken is not None:
            raise NoteError(ready.broken)
        data = data_variables(record)
        arguments = fill(note, environment, data, substitute)
        secrets += _texts(arguments[name] for name in secret_arguments(note))
        if note.kind in CLASSES:
            programs = {**self._base, **data, "WEFT_RUN_ID": self._run}
            open_sink(note.kind, arguments, Surroundings(self._root, programs, self._say)).send(record)
        else:
            self._instance(ready, arguments).send(record)
        return True

    def _instance(self, ready: ReadyNote, arguments: Mapping[str, Any]) -> Notifier:
        """One for all records, unless its keywords differ from task to task."""
        from weft.notes.classes import make

        is_same = not any("$" in text for text in _texts(ready.note.arguments.values()))
        if not is_same:
            return make(ready.maker, ready.note.kind, arguments)
        if ready.name not in self._sinks:
            self._sinks[ready.name] = make(ready.maker, ready.note.kind, arguments)
        return self._sinks[ready.name]

    def _say(self, text: str) -> None:
        self._lines.append(text)
        self._bell.set()

    def _record(self, ended: Ended) -> dict[str, Any]:
        millis = int(ended.time * 1000)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000))
        return {
            "time": f"{stamp}.{millis % 1000:03d}Z",
            "run": self._run,
            "task": self._tasks[ended.task].name,
            "state": ended.state,
            "cause": ended.cause,
            "exit_code": ended.exit_code,
            "seconds": None if ended.seconds is None else round(ended.seconds, 6),
            "attempts": ended.attempts,
            "output": self._output(ended.written),
        }

    def _output(self, written: Iterable[Written]) -> str:
        """stdout, then stderr; of the instances of a mapped task one after another, together no longer than that."""
        found: list[str] = []
        room = 2 * OUTPUT_BYTES
        for each in written:
            for region in (each.stdout, each.stderr):
                text = self._read(region, min(OUTPUT_BYTES, room))
                room -= len(text)
                if not text:
                    continue
                if found and not found[-1].endswith("\n"):
                    found.append("\n")
                found.append(text)
            if room <= 0:
                break
        return "".join(found)

    def _read(self, region: LogRegion, limit: int) -> str:
        if self._logs is None or region.length <= 0 or limit <= 0:
            return ""
        try:
            if region.length <= limit:
                return _text(self._logs.read(region))
            half = limit // 2
            first = self._logs.read(region, 0, half)
            last = self._logs.read(region, region.length - half, half)
        except LogGoneError as error:
            return f"[{error}]\n"
        return f"{_text(first)}\n[… {region.length - 2 * half} bytes …]\n{_text(last)}"

    def _environment_of(self, task: int) -> Mapping[str, str]:
        """The run's environment under that of the task; outputs of shell commands are known where the task ran only."""
        name = self._tasks[task].policy.environment
        known = self._environments.get(name)
        if known is None:
            made = dict(self._base)
            variables = self._plan.environments[name].variables if name is not None else ()
            for variable, value in variables:
                if isinstance(value, str):
                    made[variable] = value
                elif isinstance(value, Expand):
                    made[variable] = substitute(value.text, made)
                else:
                    made.pop(variable, None)
            known = self._environments[name] = made
        return known

    def _known_secrets(self) -> list[str]:
        """Credentials of the notes as far as they are known before any task has ended."""
        texts = [
            text
            for each in self._ready.values()
            for text in _texts(each.note.arguments[name] for name in secret_arguments(each.note))
        ]
        filled = [substitute(text, self._base) for text in texts]
        return sorted({text for text in (*texts, *filled) if len(text) >= LEAST_CHARACTERS and text[:1] != "$"})


def _text(data: bytes) -> str:
    return harmless(data.decode("utf-8", "replace"))


def _texts(values: Iterable[Any]) -> list[str]:
    """All texts in plain data."""
    found: list[str] = []
    left = [*values]
    while left:
        value = left.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
    return found


def _with_parts(secrets: Iterable[str]) -> set[str]:
    """Secrets, and of those that are addresses what may be repeated apart from the rest: all but the host."""
    found = set(secrets)
    for secret in secrets:
        _, sign, rest = secret.partition("://")
        if sign:
            account, _, place = rest.rpartition("@")
            _, _, path = place.partition("/")
            found.update(part for part in re.split(r"[/?&=#:]", f"{account}/{path}") if len(part) >= LEAST_CHARACTERS)
            found.add(f"/{path}")
    return {text for text in found if len(text) >= LEAST_CHARACTERS}


def _as_written(text: str, note: Note, environment: Mapping[str, str]) -> str:
    """Values of variables replaced by the names under which the note asked for them."""
    names = {name for argument in _texts(note.arguments.values()) for name in references(argument)}
    values = {environment[name]: name for name in sorted(names) if len(environment.get(name, "")) > 2}
    for value in sorted(values, key=lambda value: (-len(value), value)):
        text = text.replace(value, f"${values[value]}")
    return text
