"""Copies of the output of attempts, where a task asks for them (workflows.md 4.1): beside the engine, in a thread of their own.

In a folder each attempt gets files of its own; a file that was named takes all that is copied to it, one end after the other.
What cannot be copied is told, and changes nothing: the log has it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Final, NamedTuple
from urllib.parse import quote

from weft.ports import Began, Observer, RunEnding, RunOpening
from weft.scheduling.commands import Retry, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome
from weft.spec.plan import Plan
from weft.store.logs import LogGoneError, LogReader

SUFFIXES: Final[Mapping[str, str]] = {"stdout": "out", "stderr": "err"}
NAME_BYTES: Final = 200  # of a task's name in a file's name; file systems take 255 in all
_PLAIN: Final = " +,=@[](){}!#$^&;'~"  # what `quote` may leave as it is, beside letters, digits and _.-~
_BLOCK: Final = 1 << 20


class Copy(NamedTuple):
    """What is to be copied, and where to."""

    region: LogRegion
    target: str


class Copying:
    """An observer that copies. told: whom to tell what went wrong. asked: places that functions of tasks gave meanwhile."""

    def __init__(self, plan: Plan, told: Sequence[Observer], asked: Mapping[int, Mapping[str, str]] | None = None):
        self._plan = plan
        self._asked = {} if asked is None else asked
        self._told = told
        self._work: SimpleQueue[Copy | None] = SimpleQueue()
        self._failed: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._reader: LogReader | None = None

    def run_started(self, opening: RunOpening) -> None:
        """See `ports.Observer`."""
        self._reader = LogReader(opening.state_folder, opening.run)
        self._thread = threading.Thread(target=self._copy_all, name="weft-copying", daemon=True)
        self._thread.start()

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        """See `ports.Observer`."""

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:  # noqa: ARG002 - the port's
        """See `ports.Observer`."""
        task = self._plan.graph.tasks[key.task]
        if not outcome.charged:
            return
        for stream, place in {**task.policy.copies, **self._asked.get(key.task, {})}.items():
            region: LogRegion = getattr(outcome, stream)  # a silent stream has an empty copy
            self._work.put(Copy(region, self._target(place, task.name, key, stream)))

    def task_ended(self, settled: SettleTask) -> None:
        """See `ports.Observer`."""

    def remarked(self, text: str, task: int | None) -> None:
        """See `ports.Observer`."""

    def run_ended(self, ending: RunEnding) -> None:  # noqa: ARG002 - the port's signature
        """See `ports.Observer`. Waits for what is being copied."""
        self.close()
        for target, problem in self._failed.items():
            for observer in self._told:
                observer.remarked(f"no copy of the output could be written to {target}: {problem}", None)

    def close(self) -> None:
        """Wait for what is being copied. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._work.put(None)
            thread.join()

    def _target(self, place: str, name: str, key: AttemptKey, stream: str) -> str:
        path = os.path.join(self._plan.root, place)
        if not (place.endswith(os.sep) or os.path.isdir(path)):
            return path
        instance = "" if key.instance == WHOLE else f"[{key.instance}]"
        return os.path.join(path, f"{file_name(name)}{instance}.{key.attempt}.{SUFFIXES[stream]}")

    def _copy_all(self) -> None:
        made: set[str] = set()
        while (copy := self._work.get()) is not None:
            try:
                self._copy(copy, made)
            except (OSError, LogGoneError) as error:
                self._failed.setdefault(copy.target, str(error))

    def _copy(self, copy: Copy, made: set[str]) -> None:
        """Raises OSError, LogGoneError."""
        assert self._reader is not None
        folder = os.path.dirname(copy.target)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        with open(copy.target, "ab" if copy.target in made else "wb") as file:
            made.add(copy.target)
            offset = 0
            while block := self._reader.read(copy.region, offset, _BLOCK):
                file.write(block)
                offset += len(block)


def file_name(name: str) -> str:
    """A task's name as part of a file's name: without collisions, and never hidden or too long."""
    quoted = quote(name, safe=_PLAIN, errors="surrogatepass")
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if len(quoted) <= NAME_BYTES:
        return quoted
    from hashlib import blake2b

    return f"{quoted[:NAME_BYTES]}%{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
