"""What a view asks of the run that it shows, beyond the events: items of mapped tasks, rows at the end, logs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from weft.cli.output.printer import ReadLog
from weft.ports import Archive, RunOpening, TaskRow
from weft.scheduling.outcomes import LogRegion


class Logs(Protocol):
    """The logs of a run: `store.logs.LogReader`."""

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """A piece of a region."""


class Recorded:
    """The store's side of a run; opened only when asked. Without openers nothing is known.

    open_archive: by state folder. open_logs: by state folder and run.
    """

    def __init__(
        self,
        open_archive: Callable[[str], Archive] | None = None,
        open_logs: Callable[[str, str], Logs] | None = None,
    ):
        self._open_archive = open_archive
        self._open_logs = open_logs
        self._archive: Archive | None = None
        self._logs: Logs | None = None
        self._opening: RunOpening | None = None

    def opened(self, opening: RunOpening) -> None:
        """The run is recorded: from now on it can be asked about."""
        self._opening = opening

    def items(self, task: int) -> Sequence[str]:
        """The items of a mapped task. On the engine's thread, like `rows`."""
        archive = self._opened_archive()
        if archive is None or self._opening is None:
            return ()
        return [item for item, _, _ in archive.items(self._opening.run, task).get(task, ())]

    def rows(self) -> Sequence[TaskRow]:
        """All rows of the run."""
        archive = self._opened_archive()
        return archive.tasks(self._opening.run) if archive is not None and self._opening is not None else ()

    @property
    def reader(self) -> ReadLog | None:
        """Reads logs, on the printer's thread only; None when there are none."""
        return self._read if self._open_logs is not None else None

    def _read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        if self._logs is None:
            if self._open_logs is None or self._opening is None:
                return b""
            from weft.cli.output.masking import MaskedLogs, secret_values

            logs = self._open_logs(self._opening.state_folder, self._opening.run)
            self._logs = MaskedLogs(logs, secret_values(os.environ, self._opening.plan.environments.values()))
        return self._logs.read(region, offset, limit)

    def _opened_archive(self) -> Archive | None:
        if self._archive is None and self._open_archive is not None and self._opening is not None:
            self._archive = self._open_archive(self._opening.state_folder)
        return self._archive
