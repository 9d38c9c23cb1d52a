"""An inspector of a world that a test makes up: every requirement holds and nothing is up to date, unless it is told else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from weft.ports import BegunRow, FileRow, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.keys import WHOLE


class FakeInspector:
    """Fulfils `ports.Inspector` in memory.

    found: answers by task, in place of "all holds". missing: (cause, detail) by (task, instance), for outputs that were not made.
    results, files: given out by the next `take`; starts: by `begun`. asked: (task, force) of every question. kept: attempts whose
    work was looked at.
    """

    def __init__(self, found: Mapping[int, Inspected] | None = None):
        self.found = dict(found or {})
        self.missing: dict[tuple[int, int], tuple[str, str]] = {}
        self.results: list[ResultRow] = []
        self.files: list[FileRow] = []
        self.starts: list[BegunRow] = []
        self.remembered: list[int] = []
        self.asked: list[tuple[int, bool]] = []
        self.kept: list[tuple[int, int]] = []
        self.drained = 0
        self._answers: list[Inspected] = []
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ask(self, task: int, force: bool, instances: Sequence[int] | None = None) -> None:  # noqa: ARG002
        """See `ports.Inspector`. The answer is there at once."""
        self.asked.append((task, force))
        self._answers.append(self.found.get(task, Inspected(task)))
        os.eventfd_write(self._bell, 1)

    def answers(self) -> Sequence[Inspected]:
        """See `ports.Inspector`."""
        if self._answers:
            os.eventfd_read(self._bell)
        answers, self._answers = self._answers, []
        return answers

    def bells(self) -> Sequence[int]:
        """See `ports.Inspector`."""
        return (self._bell,)

    def finished(self, task: int, instance: int) -> tuple[str, str] | None:
        """See `ports.Inspector`."""
        self.kept.append((task, instance))
        return self.missing.get((task, instance))

    def begun(self) -> Sequence[BegunRow]:
        """See `ports.Inspector`."""
        taken, self.starts = self.starts, []
        return taken

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """See `ports.Inspector`."""
        taken = self.results, self.files
        self.results, self.files = [], []
        return taken

    def remember(self, task: int) -> None:
        """See `ports.Inspector`."""
        self.remembered.append(task)

    def drain(self) -> None:
        """See `ports.Inspector`."""
        self.drained += 1

    def close(self) -> None:
        """See `ports.Inspector`."""
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1

    def bound(self, task: int, instance: int = WHOLE) -> Mapping[str, Any]:  # noqa: ARG002 - of the real one
        """Nothing is bound to found files."""
        return {}

    def items(self, task: int) -> tuple[str, ...]:
        """Those of the answer."""
        return (self.found[task].items if task in self.found else None) or ()

    def item(self, task: int, instance: int) -> str:
        """One of `items`."""
        return self.items(task)[instance]
