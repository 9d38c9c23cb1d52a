"""Streams of bytes between commands: what one writes to its stdout is what another one reads, while it is written.

The bytes go from the maker's log to its consumers' pipes without us (`executors.supervisor.feeder`); here is only who reads
whose log, and what follows when a maker ends. When it has ended well, its consumers are told how long the log is, and see the
end of their input there. When its attempt fails, they have been given what counts no longer, and nothing can take it back:
their attempts are ended. They begin again with the maker's next attempt, uncharged; if there is none, they are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from weft.ports import OpenRun, Stdin
from weft.scheduling.commands import CloseAttempt, SettleTask
from weft.scheduling.keys import WHOLE, AttemptKey
from weft.scheduling.outcomes import DEPENDENCY, LOST, LogRegion, Outcome
from weft.scheduling.streams import is_byte_stream
from weft.spec.plan import Plan


class EndInput(NamedTuple):
    """Order: what a consumer reads is whole, and so long."""

    task: int
    nonce: int
    length: int


class Stop(NamedTuple):
    """Order: end an attempt. cause: that its end counts as."""

    key: AttemptKey
    cause: str


class _Source:
    """A task whose product others read. nonce: of its live attempt, 0 without one. is_output: its product is its stdout.

    region: of its log, once it is ok. failure: cause for those that follow, once it has ended otherwise. readers: live attempts
    that read it while it is made.
    """

    def __init__(self, task: int, is_output: bool, is_stream: bool) -> None:
        self.task = task
        self.is_output = is_output
        self.is_stream = is_stream
        self.nonce = 0
        self.is_complete = False
        self.region: LogRegion | None = None
        self.failure = ""
        self.readers: dict[int, AttemptKey] = {}


class Feeds:
    """All inputs of commands that come from other tasks. log_folder: of the run.

    write: makes a file of a product that no log of this run has (cached, a value); its path. Raises ProductError.
    """

    def __init__(self, plan: Plan, selected: Iterable[int], log_folder: str, write: Callable[[int], str]):
        self._plan = plan
        self._folder = log_folder
        self._write = write
        self._sources: dict[int, _Source] = {}
        self._source_of: dict[int, _Source] = {}
        self._doomed: dict[int, _Source] = {}
        self._adopted: dict[int, tuple[AttemptKey, _Source]] = {}
        self._orders: list[EndInput | Stop] = []
        tasks, index = plan.graph.tasks, plan.graph.index
        for number in selected:
            edge = tasks[number].stdin
            if edge is not None:
                maker = index[edge.name]
                is_stream = is_byte_stream(tasks[maker]) and tasks[number].policy.foreach is None
                product = tasks[maker].policy.product
                is_output = product is not None and product.source in ("stdout", "json")
                source = self._sources.setdefault(maker, _Source(maker, is_output, is_stream))
                self._source_of[number] = source

    def __bool__(self) -> bool:
        return bool(self._sources)

    def stdin(self, task: int) -> Stdin | None:
        """What an attempt reads that is ordered now; None for nothing. Raises ProductError."""
        source = self._source_of.get(task)
        if source is None:
            return None
        if source.is_stream and not source.is_complete and source.nonce:
            return Stdin(self._path(_own_log(source.nonce)), grows=True)
        if source.region is None:
            return Stdin(self._write(source.task))
        if not source.region.length:
            return None  # the null device
        return Stdin(self._path(source.region.file), source.region.offset, source.region.length)

    def _path(self, file: str) -> str:
        return f"{self._folder}/{file}"

    # --- facts in ------------------------------------------------------------------------------------------------------

    def submitted(self, key: AttemptKey, nonce: int) -> bool:
        """An order is about to leave; whether it reads what is still being written."""
        source = self._sources.get(key.task)
        if source is not None:
            source.nonce = nonce
            source.failure = ""
        read = self._source_of.get(key.task)
        if read is not None and read.is_stream and not read.is_complete and key.instance == WHOLE:
            read.readers[nonce] = key
            return True
        return False

    def is_whole(self, task: int) -> bool:
        """Whether all is there that the task reads."""
        source = self._source_of.get(task)
        return source is None or source.is_complete

    def adopt(self, key: AttemptKey, nonce: int) -> None:
        """An attempt of an earlier engine lives."""
        source = self._sources.get(key.task)
        if source is not None:
            source.nonce = nonce
        read = self._source_of.get(key.task)
        if read is not None and read.is_stream:
            self._adopted[nonce] = (key, read)

    def restore(self, opened: OpenRun) -> None:
        """Resume: whose output is complete."""
        ok = {row.task for row in opened.tasks if row.state == "ok"}
        for row in opened.attempts:
            source = self._sources.get(row.key.task)
            if source is not None and row.state == "ok" and row.key.task in ok:
                source.is_complete = True
                source.region = row.stdout if source.is_output else None

    def ended(self, key: AttemptKey, nonce: int, outcome: Outcome) -> Outcome:
        """An attempt has ended; the outcome as it counts."""
        read = self._source_of.get(key.task)
        if read is None:
            return outcome
        self._adopted.pop(nonce, None)
        read.readers.pop(nonce, None)
        doom = self._doomed.pop(nonce, None)
        if doom is None or outcome.ok:
            return outcome
        name = self._plan.graph.tasks[doom.task].name
        if doom.failure:
            return outcome._replace(
                cause=doom.failure, exit_code=None, detail=f"its input ended early: {name!r} failed"
            )
        detail = f"its input began again: an attempt of {name!r} failed"
        return outcome._replace(cause=LOST, exit_code=None, detail=detail, charged=False)

    def noted(self, fact: CloseAttempt | SettleTask) -> None:
        """An attempt or a task has ended as it counts."""
        if isinstance(fact, CloseAttempt):
            source = self._sources.get(fact.key.task)
            if source is not None and source.nonce == fact.nonce:
                source.nonce = 0
                if fact.outcome.ok:
                    source.region = fact.outcome.stdout if source.is_output else None
                else:
                    self._doom(source)
            return
        source = self._sources.get(fact.task)
        if source is None:
            return
        if fact.state == "ok":
            source.is_complete = True
            length = source.region.length if source.region is not None else 0
            self._orders += [EndInput(key.task, nonce, length) for nonce, key in source.readers.items()]
            return
        cause = fact.cause or ""
        root = f"{DEPENDENCY}:{self._plan.graph.tasks[fact.task].name}"
        source.failure = cause if cause.startswith(DEPENDENCY + ":") else root
        self._doom(source)

    def _doom(self, source: _Source) -> None:
        for nonce, key in source.readers.items():
            if nonce not in self._doomed:
                self._doomed[nonce] = source
                self._orders.append(Stop(key, LOST))

    # --- orders out ----------------------------------------------------------------------------------------------------

    def orders(self) -> Sequence[EndInput | Stop]:
        """What is to be told to the executors since the last call."""
        for nonce, (key, source) in self._adopted.items():
            source.readers[nonce] = key
            if source.is_complete:
                length = source.region.length if source.region is not None else 0
                self._orders.append(EndInput(key.task, nonce, length))
            elif not source.nonce:
                self._doom(source)
        self._adopted.clear()
        orders, self._orders = self._orders, []
        return orders


def _own_log(nonce: int) -> str:
    """Name of the file that a maker's attempt writes to (`executors.supervisor.slots`)."""
    return f"{nonce:016x}.out"
