"""Durable state: who writes it, and who reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from weft.ports.records import AttemptRow, BegunRow, FileRow, NewRun, OpenRun, ResultRow, RunRow, TaskRow
from weft.scheduling.commands import Record, StartAttempt
from weft.scheduling.outcomes import RunState


class Ledger(Protocol):
    """The writing side of the store for one owner of one run. Everything between two commits is one transaction."""

    def record(self, facts: Sequence[StartAttempt | Record], offsets: Mapping[str, int]) -> None:
        """Append facts and change the tables that show them. Compare-and-set on nonce and epoch.

        A contradiction (InternalError) or a fenced owner (StoreError) is told by `commit` at the latest; then nothing of
        the transaction counts. A task that has ended can end again only after its `ReopenTask`.
        """

    def remember(self, results: Sequence[ResultRow], files: Sequence[FileRow], begun: Sequence[BegunRow] = ()) -> None:
        """Keep results and digests for later runs, and what attempts were begun with, in the same transaction."""

    def commit(self) -> None:
        """Make it durable. Raises StoreError when that is impossible, after what the store could try.

        When the error `is_passing`, everything is kept: call it again once there may be room.
        """

    def replan(self, snapshot: bytes, names: Sequence[str], selected: Sequence[int], moved: Mapping[int, int]) -> None:
        """Resume with a changed plan: new snapshot and tasks; `moved` gives the new index of each old task that stays."""

    def finish(self, state: RunState, exit_code: int, ended: float) -> None:
        """Record the end of the run and commit."""

    def close(self) -> None:
        """Give up ownership. Safe to call twice."""


class Store(Protocol):
    """Durable state: opens runs for writing. One writer per process; other owners of other plans may be at work."""

    def open_run(self, new: NewRun) -> Ledger:
        """Take the plan's lock, raise its epoch, record the run. Raises OwnedError, StoreError."""

    def reopen_run(self, run: str) -> tuple[Ledger, OpenRun]:
        """Take over a recorded run: lock, epoch + 1, checksums verified. Raises OwnedError, StoreError."""

    def close(self) -> None:
        """Let go of the files."""


class Archive(Protocol):
    """The reading side: other processes may read while one writes."""

    def runs(self, plan_key: str | None = None) -> Sequence[RunRow]:
        """All runs, oldest first."""

    def tasks(self, run: str) -> Sequence[TaskRow]:
        """In plan order."""

    def attempts(self, run: str, task: int | None = None) -> Sequence[AttemptRow]:
        """By task, instance, attempt."""

    def items(self, run: str, task: int | None = None) -> Mapping[int, Sequence[tuple[str, str, str | None]]]:
        """By mapped task: (item, state, cause) of each instance."""

    def snapshot(self, run: str) -> bytes:
        """The plan as it was recorded."""

    def results(self, plan_key: str) -> Mapping[tuple[str, str], ResultRow]:
        """The latest result by (task name, item)."""
