"""What a view asks of the run that it shows, beyond the events: items of mapped tasks, rows at the end, logs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from weft.cli.output.printer import ReadLog
from weft.ports import Archive, RunOpening, TaskRow
from weft.scheduling.outcomes import LogRegion
from weft.spec.environments import Withheld
from weft.spec.secrets import is_secret_name

if TYPE_CHECKING:
    from weft.cli.output.masking import MaskedLogs


class Logs(Protocol):
    """The logs of a run, covered or not."""

    def read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        """A piece of a region."""


class RunLogs(Logs, Protocol):
    """The logs of a run as they were written: `store.logs.LogReader`."""

    def kept_secrets(self) -> Sequence[tuple[str, Withheld]]:
        """(variable, what was kept of its value) of secrets that only attempts of the run knew."""


class Recorded:
    """The store's side of a run; opened only when asked. Without openers nothing is known.

    open_archive: by state folder. open_logs: by state folder and run.
    """

    def __init__(
        self,
        open_archive: Callable[[str], Archive] | None = None,
        open_logs: Callable[[str, str], RunLogs] | None = None,
    ):
        self._open_archive = open_archive
        self._open_logs = open_logs
        self._archive: Archive | None = None
        self._logs: MaskedLogs | None = None
        self._has_secrets: bool | None = None
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

    def covered(self, text: str) -> str:
        """A text that comes of a task, with secrets covered as in its output."""
        if self._has_secrets is None and self._opening is not None:
            self._has_secrets = any(map(is_secret_name, os.environ)) or any(
                is_secret_name(name) for each in self._opening.plan.environments.values() for name, _ in each.variables
            )
        logs = self._masked() if self._has_secrets else None
        return text if logs is None else logs.cover_text(text)

    def _read(self, region: LogRegion, offset: int = 0, limit: int | None = None) -> bytes:
        logs = self._masked()
        return b"" if logs is None else logs.read(region, offset, limit)

    def _masked(self) -> MaskedLogs | None:
        if self._logs is None and self._open_logs is not None and self._opening is not None:
            from weft.cli.output.masking import MaskedLogs, secret_values

            logs = self._open_logs(self._opening.state_folder, self._opening.run)
            self._logs = MaskedLogs(logs, secret_values(os.environ, self._opening.plan.environments.values()))
        return self._logs

    def _opened_archive(self) -> Archive | None:
        if self._archive is None and self._open_archive is not None and self._opening is not None:
            self._archive = self._open_archive(self._opening.state_folder)
        return self._archive
