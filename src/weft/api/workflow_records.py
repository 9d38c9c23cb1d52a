"""What is recorded of a bound workflow and its tasks, read anew each time it is asked for. Fulfils `define.binding.Binding`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from weft.api.letters import attempt_letter, task_letter
from weft.scheduling.outcomes import SETUP
from weft.spec.compute import compute_of
from weft.spec.resources import Resources
from weft.store.database import path_of

if TYPE_CHECKING:
    from weft.define.workflow_tasks import WorkflowTask
    from weft.ports import AttemptRow, TaskRow
    from weft.store.archive import SqliteArchive

TAIL_LINES: Final = 50
NO_USAGE: Final = {"num_attempts": None, "nodename": None, "runtime": None, "memory": None}
FAILURES: Final = ("failed", "lost")


class AttemptRecord(NamedTuple):
    """One attempt of a task. letter: see workflows.md 7. started: wall clock seconds. memory: peak bytes.

    compute_resources: what it asked for, in bytes and seconds.
    """

    attempt: int
    letter: str
    state: str
    cause: str | None
    detail: str | None
    exit_code: int | None
    started: float | None
    runtime: float
    memory: int | None
    compute_resources: Mapping[str, Any]


class Records:
    """The recorded run of one workflow. hashes: identities of its tasks, in the order of its recorded plan.

    state: the folder. initial: how the tasks stood when it was bound, in that order; empty: nothing had been done.
    """

    def __init__(
        self, state: str, run: str, key: str, hashes: Callable[[], Sequence[bytes]], initial: Sequence[TaskRow] = ()
    ):
        self.state_folder = state
        self.run = run
        self._key = key
        self._find_hashes = hashes
        self._known_hashes: Sequence[bytes] | None = None
        self._places: dict[bytes, int] | None = None
        self._ids: Sequence[int] = ()
        self._number = 0
        self._initial = initial
        self._ended: Sequence[TaskRow] | None = None
        self._added: tuple[object, Mapping[int, Mapping[str, str | None]]] | None = None

    @property
    def _hashes(self) -> Sequence[bytes]:
        if self._known_hashes is None:
            self._known_hashes = self._find_hashes()
        return self._known_hashes

    # --- numbers ---------------------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Of the workflow."""
        if not self._number:
            with self.archive() as archive:
                self._number = archive.number(self.run)
        return self._number

    def ids(self) -> Sequence[int]:
        """Numbers of all tasks, in the order of the recorded plan."""
        if not self._ids:
            from weft.assemble.workflow_identity import task_numbers

            self._ids = task_numbers(self.number, self._hashes)
        return self._ids

    def find(self, task: WorkflowTask) -> int | None:
        """Its index in the recorded plan; None: it came later."""
        if self._places is None:
            self._places = {each: place for place, each in enumerate(self._hashes)}
        return self._places.get(task.digest)

    def place(self, task: WorkflowTask) -> int:
        """The same. Raises AttributeError."""
        found = self.find(task)
        if found is None:
            raise AttributeError(f"task {task.name!r} was added after the workflow was bound")
        return found

    # --- Binding ---------------------------------------------------------------------------------------------------------

    def task_id(self, task: WorkflowTask) -> int:
        """See `Binding`."""
        place = self.place(task)
        return self.ids()[place]

    def initial_status(self, task: WorkflowTask) -> str:
        """See `Binding`."""
        place = self.place(task)
        return letter_of(self._initial[place]) if self._initial else "G"

    def final_status(self, task: WorkflowTask) -> str:
        """See `Binding`."""
        place = self.place(task)
        if self._ended is None:
            raise AttributeError("final_status is known at the end of a run")
        return letter_of(self._ended[place])

    def state(self, task: WorkflowTask) -> str:
        """See `Binding`."""
        return self.row(task).state

    def cause(self, task: WorkflowTask) -> str | None:
        """See `Binding`."""
        return self.row(task).cause

    def attempts(self, task: WorkflowTask) -> list[AttemptRecord]:
        """See `Binding`."""
        place = self.place(task)
        with self.archive() as archive:
            return [record_of(row) for row in archive.attempts(self.run, place)]

    def added_attributes(self, task: WorkflowTask) -> Mapping[str, str | None]:
        """See `Binding`."""
        place = self.find(task)
        if place is None:
            return {}
        state = _state_of_files(self.state_folder)
        if self._added is None or self._added[0] != state:
            from weft.api.task_attributes import added_attributes
            from weft.formats.snapshot import restore

            with self.archive() as archive:
                self._added = (state, added_attributes(archive, self.run, lambda: restore(archive.snapshot(self.run))))
        return self._added[1].get(place, {})

    def resource_usage(self, task: WorkflowTask) -> dict[str, Any]:
        """See `Binding`."""
        place = self.find(task)
        if place is None:
            raise RuntimeError(f"task {task.name!r} is not bound: it was added after its workflow was")
        with self.archive() as archive:
            rows = archive.attempts(self.run, place)
            owner = archive.owner(self._key)
        return usage_of(rows, owner[0] if owner is not None else None)

    def get_errors(self, task: WorkflowTask) -> dict[str, Any] | None:
        """See `Binding`."""
        place = self.find(task)
        if place is None:
            return None
        with self.archive() as archive:
            failed = [row for row in archive.attempts(self.run, place) if row.state in FAILURES]
        row = self.row(task) if self._ended is not None or not failed else None
        if row is not None and is_unstarted(row):
            return errors_of_unstarted(row)
        return self._errors_of(failed[-1], row) if failed else None

    # --- the whole -------------------------------------------------------------------------------------------------------

    def errors(self, limit: int | None) -> dict[int, dict[str, Any]]:
        """By task number, of the latest failed tasks: those that are not done and of which an attempt failed.

        What failed before any attempt comes last: nobody knows when.
        """
        with self.archive() as archive:
            rows = archive.latest_failures(self.run, -1 if limit is None else limit)
            ended = {row.task: row for row in archive.tasks(self.run) if row.state == "failed"}
        unstarted = {task: row for task, row in ended.items() if is_unstarted(row)}
        found = {
            row.key.task: self._errors_of(row, ended.get(row.key.task)) for row in rows if row.key.task not in unstarted
        }
        found.update((task, errors_of_unstarted(row)) for task, row in unstarted.items())
        return {self.ids()[task]: errors for task, errors in islice(found.items(), limit)}

    def final_errors(self) -> dict[str, dict[str, Any]]:
        """By name, of tasks that failed for good."""
        with self.archive() as archive:
            ended = {row.task: row for row in archive.tasks(self.run) if row.state == "failed"}
            rows = archive.latest_failures(self.run, -1) if ended else []
        found = {row.key.task: row for row in rows}
        errors = {}
        for task, row in ended.items():
            if is_unstarted(row):
                errors[row.name] = errors_of_unstarted(row)
            elif task in found:
                errors[row.name] = self._errors_of(found[task], row)
        return errors

    def last_epoch(self) -> int:
        """How often somebody became its owner."""
        with self.archive() as archive:
            return archive.find(self.run).epoch

    def letter(self) -> str:
        """Of the workflow, as the store shows it now."""
        from weft.api.workflow_views import WorkflowView

        with self.archive() as archive:
            return WorkflowView(archive, archive.find(self.run)).letter()

    def row(self, task: WorkflowTask) -> TaskRow:
        """As the store shows it now."""
        place = self.place(task)
        if self._ended is not None:
            return self._ended[place]
        with self.archive() as archive:
            return archive.task(self.run, place, task.name)

    def remember_beginning(self) -> None:
        """What the store shows now is how the tasks stood when they were bound."""
        with self.archive() as archive:
            self._initial = archive.tasks(self.run)

    def close(self) -> Sequence[TaskRow]:
        """The run has ended: what the store shows now is how it did."""
        with self.archive() as archive:
            self._ended = archive.tasks(self.run)
        return self._ended

    def archive(self) -> SqliteArchive:
        """The store, for reading."""
        from weft import assemble

        return assemble.archive(self.state_folder)

    def _errors_of(self, row: AttemptRow, end: TaskRow | None) -> dict[str, Any]:
        return errors_of(row, self.state_folder, self.run, end)


def _state_of_files(folder: str) -> object:
    """Another one whenever somebody has written to the store meanwhile."""
    path = path_of(folder)
    found: list[tuple[int, int, int] | None] = []
    for name in (path, f"{path}-wal"):
        try:
            about = os.stat(name)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((about.st_ino, about.st_size, about.st_mtime_ns))
    return found


def record_of(row: AttemptRow) -> AttemptRecord:
    """An attempt in the words of the workflow API."""
    request = row.request
    return AttemptRecord(
        row.key.attempt,
        attempt_letter(row.state, row.cause),
        row.state,
        row.cause,
        row.detail,
        row.exit_code,
        row.started,
        row.usage.seconds,
        row.usage.memory,
        {**compute_of(Resources(request.amounts), request.timeout, request.queue), **dict(request.besides)},
    )


def letter_of(row: TaskRow, last: AttemptRow | None = None) -> str:
    """The letter of a task that stands like this."""
    return task_letter(row.state, last)


def usage_of(rows: Sequence[AttemptRow], host: str | None) -> dict[str, Any]:
    """What the successful one of these attempts of a task took; four times None without one."""
    place = next((place for place in reversed(range(len(rows))) if rows[place].state == "ok"), None)
    if place is None:
        return dict(NO_USAGE)
    done = rows[place]
    first = place  # a resume begins the count anew: of those before it, the last one has no retry
    while first and rows[first - 1].retry is not None:
        first -= 1
    return {
        "num_attempts": place - first + 1,
        "nodename": host,
        "runtime": done.usage.seconds,
        "memory": done.usage.memory,
    }


def errors_of(row: AttemptRow, state: str, run: str, end: TaskRow | None = None) -> dict[str, Any]:
    """What is told of a failed attempt: its cause, then the end of its stderr.

    end: how its task stands. When that failed for another reason (its request could not grow), the reason comes first.
    """
    from weft.store.logs import LogGoneError, LogReader

    text = f"{row.cause}: {row.detail}" if row.detail else str(row.cause)
    if end is not None and end.state == "failed" and end.cause == SETUP != row.cause:
        text = f"{end.cause}: {end.detail}\n{text}"
    try:
        tail = LogReader(state, run).tail(row.stderr, TAIL_LINES).decode("utf-8", "replace").rstrip("\n")
    except LogGoneError as gone:
        tail = str(gone)
    ended = None if row.started is None else stamp(row.started + row.usage.seconds)
    entry = {"error_id": row.nonce, "error_time": ended, "description": f"{text}\n{tail}" if tail else text}
    return {"task_instance_id": row.nonce, "error_log": [entry]}


def is_unstarted(row: TaskRow) -> bool:
    """Whether it failed before any attempt: what it needs could not be found out."""
    return row.state == "failed" and not row.attempts


def errors_of_unstarted(row: TaskRow) -> dict[str, Any]:
    """What is told of a task that failed before any attempt."""
    text = f"{row.cause}: {row.detail}" if row.detail else str(row.cause)
    return {"task_instance_id": None, "error_log": [{"error_id": None, "error_time": None, "description": text}]}


def stamp(moment: float) -> str:
    """ISO 8601, UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
