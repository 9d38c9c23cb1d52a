"""Those who listen to a run, and what they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from weft.ports.reports import Began
from weft.scheduling.commands import Retry, SettleInstance, SettleTask
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import Outcome, RunState, TaskState
from weft.spec.plan import Plan


class RunOpening(NamedTuple):
    """What a listener knows when a run starts. resumed: how many tasks are ok already from before.

    gauge: asks the engine for the present figures; cheap, from any thread.
    """

    run: str
    plan: Plan
    selected: Sequence[int]
    resumed: int
    state_folder: str
    capacity: Mapping[str, int]
    gauge: Callable[[], Gauge]


class NoteTally(NamedTuple):
    """What became of one note's records. unsent: failed, or given up at the end of the run. problem: why, the first time."""

    sent: int
    unsent: int
    problem: str | None = None


EndedBy = Literal["signal", "request", "timeout"]
"""What ends a run before its time: Ctrl-C and its like, another process, the run's own time limit."""


class RunEnding(NamedTuple):
    """How a run ended. notes: by name; empty where nothing is sent. ended_by: None when it came to its own end."""

    run: str
    state: RunState
    exit_code: int
    seconds: float
    notes: Mapping[str, NoteTally] = MappingProxyType({})
    ended_by: EndedBy | None = None


class Observer(Protocol):
    """Is told what has become durable, on the engine's loop; must be quick and may not raise."""

    def run_started(self, opening: RunOpening) -> None:
        """The run is recorded; nothing has started yet."""

    def attempt_started(self, key: AttemptKey, began: Began) -> None:
        """An attempt has begun."""

    def attempt_ended(self, key: AttemptKey, outcome: Outcome, retry: Retry | None) -> None:
        """An attempt has ended; `retry` when another follows."""

    def task_ended(self, settled: SettleTask) -> None:
        """A task has ended, also without any attempt (cached, skipped, cancelled)."""

    def remarked(self, text: str, task: int | None) -> None:
        """A warning, or news of the run."""

    def run_ended(self, ending: RunEnding) -> None:
        """The run is over."""


class InstanceObserver(Protocol):
    """What an observer may be besides: one that hears of every instance of a mapped task."""

    def instance_ended(self, settled: SettleInstance) -> None:
        """An instance has ended, also without any attempt (cached, skipped, cancelled); after the end of its last attempt."""


class Ticker(Protocol):
    """What an observer may be besides: one that wants time, for buffered lines, a live view, a heartbeat."""

    def tick(self, idle: bool) -> float | None:
        """Called when it is due, and when the loop has nothing to do (`idle`). Seconds until the next wish; None for none."""


@runtime_checkable
class Echoing(Protocol):
    """What an observer may be besides: one that can print results for a note."""

    def echoed(self, text: str) -> None:
        """Lines of an `echo` note, to be printed as they are; with a newline at their end."""


class Notifier(Protocol):
    """Takes what is told of a task's end: to a file, a mailbox, a service, or a class of the user's."""

    def send(self, record: Mapping[str, Any]) -> None:
        """Send one record; raises whatever keeps it from that. On a thread of its own; what takes over 30 s is given up.

        record: {time, run, task, state, cause, exit_code, seconds, attempts, output}; see `docs/guide/notes.md`. Plain data.
        """


class StreamGauge(NamedTuple):
    """How a stream stands. made: items so far, bytes of them; total: items, once it is complete. taken: by follower."""

    made: int
    bytes: int
    total: int | None
    taken: Mapping[int, int]


def _no_parts(_: int) -> tuple[int, int] | None:
    return None


class Gauge(NamedTuple):
    """What a live view may ask the engine: tasks by state, amounts held, live attempts (key, started).

    parts_of: (ended, known) instances of a mapped task, None of any other. streams: by maker. state_of: of a task.
    """

    counts: Mapping[str, int]
    held: Mapping[str, int]
    live: Iterable[tuple[AttemptKey, float]]
    state_of: Callable[[int], TaskState] = lambda _: "pending"
    parts_of: Callable[[int], tuple[int, int] | None] = _no_parts
    streams: Mapping[int, StreamGauge] = MappingProxyType({})
