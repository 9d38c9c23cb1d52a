"""What weft asks of the world. Each port is small and belongs to the engine, which uses it; adapters fulfil it at the rim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from weft.scheduling.commands import Record, Retry, SettleInstance, SettleTask, StartAttempt
from weft.scheduling.events import Inspected
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome, Request, RunState, TaskState, Usage
from weft.spec.environments import VariableValue
from weft.spec.plan import Plan
from weft.spec.tasks import Isolation


class Clock(Protocol):
    """Time. Limits use `monotonic`; `wall` is for people only."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""


class Waiter(Protocol):
    """How the loop sleeps."""

    def wait(self, bells: Sequence[int], seconds: float | None) -> None:
        """Until one of these file descriptors is readable, at most `seconds`; None is for ever."""


# --- executors ---------------------------------------------------------------------------------------------------------


class Process(NamedTuple):
    """Start a program. argv holds finished words; an empty `expand` means none of them is to be expanded.

    expand: indexes of words in which `$NAME` is replaced from the attempt's environment before the start.
    """

    argv: tuple[str, ...]
    expand: tuple[int, ...] = ()


class Code(NamedTuple):
    """Run Python source with fresh globals. values: globals of their names."""

    source: str
    values: Mapping[str, Any]
    file: str


class Stdin(NamedTuple):
    """What a process reads. path: of a file. offset, length: the part of it, in bytes; length -1: all of it.

    grows: it is whole only when `StreamExecutor.end_input` says so.
    """

    path: str
    offset: int = 0
    length: int = -1
    grows: bool = False


class Handed(NamedTuple):
    """An argument: a product that a dependency handed on. text: as `weft.values` wrote it; decoded where it is used."""

    text: str


class HandedItem(NamedTuple):
    """An argument: one item of a product. log: text of the product (`@items …`), or path of a log that still grows."""

    log: str
    position: int


class HandedList(NamedTuple):
    """An argument: the products of several attempts as one list, in this order."""

    texts: Sequence[str]


class Flow(NamedTuple):
    """An argument: an iterator over a stream that may still grow.

    maker: nonce of the attempt that writes it, 0 when it is complete. path: of its item log. bind: the parameter's name.
    """

    maker: int
    path: str
    bind: str


class Function(NamedTuple):
    """Call `module:name`, `file.py:name`, or a serialised function (base64 of cloudpickle) with keyword arguments.

    arguments: plain data, `Opaque`, `Handed`, `HandedItem`, `HandedList`, `Flow`. paths: put before `sys.path` for its import.
    checks: what its value must be, as JSON (`weft.runtime.checks`); empty: anything.
    """

    reference: str | None
    serialized: str | None
    arguments: Mapping[str, Any]
    paths: tuple[str, ...] = ()
    checks: str = ""


Keeps = Literal["stdout", "json", "return", "items"]


class Order(NamedTuple):
    """An attempt that an executor is to start: everything is resolved but what only the attempt's environment knows.

    token: what the process carries in `WEFT_TOKEN`. environment: finished values, laid over the executor's base environment.
    variables: evaluated in order where the attempt runs, after `environment`. folder: absolute working folder.
    interpreter: of scripts, snippets and functions; None is weft's own.
    timeout: seconds of wall time. memory_bytes: limit. lane, ahead: see `StartAttempt`.
    isolation: of snippets and functions. keeps: what becomes the product, None when nothing does; `items`: the value of a
    function, item by item in a log of its own. products: folder of the state's products. is_durable: must outlive a power cut.
    cores: that it holds, as far as libraries that start threads should know; 0 is unknown.
    stdin: of a process; None is the null device. is_streamed: others read its stdout while it is written.
    """

    key: AttemptKey
    nonce: int
    token: str
    name: str
    launch: Process | Code | Function
    folder: str
    environment: Mapping[str, str] = MappingProxyType({})
    variables: tuple[tuple[str, VariableValue], ...] = ()
    interpreter: str | None = None
    timeout: float | None = None
    memory_bytes: int | None = None
    niceness: int = 0
    lane: int = 0
    ahead: bool = False
    isolation: Isolation = "process"
    keeps: Keeps | None = None
    products: str = ""
    is_durable: bool = True
    cores: int = 0
    stdin: Stdin | None = None
    is_streamed: bool = False


class Began(NamedTuple):
    """Report: the attempt's action has begun. pid: its process, None for a snippet. started: wall clock seconds.

    stdout, stderr: files (below the run's log folder) that its output goes to while it runs; a region with length -1.
    """

    key: AttemptKey
    nonce: int
    started: float
    pid: int | None
    stdout: LogRegion
    stderr: LogRegion


class Finished(NamedTuple):
    """Report: the attempt has ended, and how."""

    key: AttemptKey
    nonce: int
    outcome: Outcome


class Remark(NamedTuple):
    """Report: something people should know (strays that were ended, a start that is put off). key: of which attempt, if any."""

    text: str
    key: AttemptKey | None = None


class Yielded(NamedTuple):
    """Report: a live attempt has handed on items. first: index of the first. shown, digests: of each. bytes: of all of them."""

    key: AttemptKey
    nonce: int
    first: int
    shown: tuple[str, ...]
    digests: tuple[str, ...]
    bytes: int


class Taken(NamedTuple):
    """Report: a live attempt has taken the items before `position` from the flow of its parameter `bind`."""

    key: AttemptKey
    nonce: int
    bind: str
    position: int


Report = Began | Finished | Remark
StreamReport = Yielded | Taken


class Reports(NamedTuple):
    """What has happened since the last poll. offsets: receipts file -> bytes read, to be stored with the facts."""

    reports: Sequence[Report | StreamReport]
    offsets: Mapping[str, int]


class Executor(Protocol):
    """Where attempts run. Calls never block longer than a local socket takes."""

    def submit(self, orders: Sequence[Order]) -> None:
        """Take orders whose intents are durable. A failed start is a `Finished` (`not_found`, `setup`), no exception."""

    def stop(self, keys: Sequence[AttemptKey], how: Literal["withdraw", "terminate", "kill"], cause: str) -> None:
        """End attempts. Each still gives exactly one `Finished`, with `cause` if the stop is what ended it."""

    def poll(self) -> Reports:
        """Everything new, without waiting. `bells` become readable when there may be something."""

    def reattach(
        self, nonces: Mapping[AttemptKey, int], offsets: Mapping[str, int]
    ) -> Mapping[AttemptKey, Began | None]:
        """After a take-over: which open attempts still live here (`Began` once begun, None while queued).

        Ends of the others, read from the receipts behind `offsets`, come by `poll`. An attempt that is neither in the answer
        nor in the next `poll` is gone: what was left of its processes has been ended before this returns.
        """

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on; may change between polls."""

    def close(self) -> None:
        """Let go. Live attempts go on until their end when the executor's processes outlive the engine."""


@runtime_checkable
class StreamExecutor(Protocol):
    """What an executor may be besides: one whose attempts hand on items while they run, and take them. Its `poll` also
    reports `StreamReport`s."""

    def allow(self, nonce: int, items: int) -> None:
        """A producer may have made so many items in all; it waits before the next one."""

    def announce(
        self, nonce: int, bind: str, items: int, state: Literal["open", "complete", "failed"], path: str = ""
    ) -> None:
        """Tell a consumer how many items the flow of its parameter `bind` has by now, and whether more may come.

        path: of the log to read from now on, when the maker began anew.
        """

    def end_input(self, nonce: int, length: int) -> None:
        """The file that a process reads while it grows is whole, and so long. Telling it again does nothing."""


@runtime_checkable
class PausingExecutor(Protocol):
    """What an executor may be besides: one whose attempts can be made to stand still. When the engine is gone they go on.

    keeper: id of a process of this host that all attempts descend from; None while there is none.
    """

    keeper: int | None

    def pause(self, key: AttemptKey) -> None:
        """Let a live attempt stand still; that time does not count for its time limit. One that cannot goes on."""

    def go_on(self, key: AttemptKey) -> None:
        """The pause is over. Of one that was not paused nothing changes."""


@runtime_checkable
class DryExecutor(Protocol):
    """What an executor may be besides: one that runs nothing. It takes starts as they are, and leaves no work to check."""

    runs_nothing: bool

    def submit(self, orders: Sequence[Order | StartAttempt]) -> None:
        """See `Executor.submit`."""


class Tracker(Protocol):
    """What knows a resource's capacity and present use."""

    def capacity(self) -> Mapping[str, int]:
        """All there is, by resource name, in integer units."""

    def available(self) -> Mapping[str, int]:
        """What is measured free now, by resource name, in integer units."""


class Installed(NamedTuple):
    """An environment that attempts can use (`python`, `bin_folder`; both None is weft's own), or why there is none."""

    name: str
    python: str | None
    bin_folder: str | None
    failure: str | None = None


class Installer(Protocol):
    """Builds the environments of a plan beside the loop, each once."""

    def ask(self, name: str) -> None:
        """Begin to prepare an environment; asking again does nothing."""

    def answers(self) -> Sequence[Installed]:
        """What is there, or has failed, since the last call; never waits."""

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""

    def close(self) -> None:
        """End what is being built."""


# --- state -------------------------------------------------------------------------------------------------------------


class TaskRow(NamedTuple):
    """A task of a run as the store shows it. seconds and memory are those of the attempt that ended it."""

    task: int
    name: str
    state: TaskState
    cause: str | None
    detail: str | None
    attempts: int
    seconds: float | None
    memory: int | None
    cpu_seconds: float | None
    fingerprint: str | None
    instances: int


class AttemptRow(NamedTuple):
    """An attempt of a run as the store shows it. state: queued, running, ok, failed, cancelled, lost.

    next_request: what the attempt after this one is to ask for, once a retry was decided; else None.
    """

    key: AttemptKey
    nonce: int
    state: str
    cause: str | None
    detail: str | None
    exit_code: int | None
    started: float | None
    usage: Usage
    request: Request
    stdout: LogRegion
    stderr: LogRegion
    product: str | None
    retry: str | None
    charged: bool
    next_request: Request | None = None


class RunRow(NamedTuple):
    """A run as the store shows it. plan: snapshot that `formats` reads back. settings: what it was started with."""

    run: str
    plan_key: str
    plan_name: str | None
    root: str
    state: RunState
    started: float
    ended: float | None
    exit_code: int | None
    epoch: int
    settings: Mapping[str, Any]
    tasks: int


class NewRun(NamedTuple):
    """A run that is about to be recorded. names: of all tasks of the plan, in plan order; selected: indexes that take part."""

    run: str
    plan_key: str
    plan_name: str | None
    root: str
    started: float
    settings: Mapping[str, Any]
    snapshot: bytes
    names: Sequence[str]
    selected: Sequence[int]


class OpenRun(NamedTuple):
    """What is recorded of a run that is taken up again. offsets: receipts file -> bytes already counted."""

    row: RunRow
    tasks: Sequence[TaskRow]
    items: Mapping[int, Sequence[tuple[str, str, str | None]]]
    attempts: Sequence[AttemptRow]
    offsets: Mapping[str, int]


class Held(NamedTuple):
    """A product that is kept with the result: its text (`weft.values`), and its file as it was, if it has one."""

    text: str
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0


class ResultRow(NamedTuple):
    """Finished work that may stand in for a task: fingerprint (hex), its named parts, and the outputs as they were then.

    instance: of a mapped task its item, `#` and the item's digest where items come from another task's product; else empty.
    outputs: (path, size, mtime_ns, inode, digest hex) of each. product: digest (hex) of what the task hands on.
    plan: digest of the snapshot it was last seen up to date with; equal ones need no new fingerprint of what the plan says.
    held: the product, when it is in a file or the attempt that made it cannot be found by its item; else its run has it.
    """

    plan_key: str
    name: str
    instance: str
    fingerprint: str
    parts: Mapping[str, str]
    outputs: tuple[tuple[str, int, int, int, str], ...]
    product: str | None
    run: str
    plan: str = ""
    held: Held | None = None


class FileRow(NamedTuple):
    """A file whose content was hashed: as long as size, mtime and inode are these, its digest is this."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str


class Ledger(Protocol):
    """The writing side of the store for one owner of one run. Everything between two commits is one transaction."""

    def record(self, facts: Sequence[StartAttempt | Record], offsets: Mapping[str, int]) -> None:
        """Append facts and change the tables that show them. Compare-and-set on nonce and epoch.

        A contradiction (InternalError) or a fenced owner (StoreError) is told by `commit` at the latest; then nothing of
        the transaction counts. A task that has ended can end again only after its `ReopenTask`.
        """

    def remember(self, results: Sequence[ResultRow], files: Sequence[FileRow]) -> None:
        """Keep results and digests for later runs, in the same transaction."""

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


# --- the world before a start ------------------------------------------------------------------------------------------


class Inspector(Protocol):
    """Looks at the world for tasks that are about to start: requirements, items, fingerprints. Works off the loop."""

    def ask(self, task: int, force: bool) -> None:
        """Begin looking. force: do not ask whether it is up to date."""

    def answers(self) -> Sequence[Inspected]:
        """What has been found since; never waits."""

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""

    def finished(self, task: int, instance: int) -> tuple[str, str] | None:
        """After an attempt that did its work: (cause, detail) when a declared output is missing, else None; remembers results."""

    def remember(self, task: int) -> None:
        """A task that took streams while they were made is ok, and so are they: only now can be said what it was given."""

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """Results and digests that are known since the last call, to be stored."""

    def drain(self) -> None:
        """Wait until everything that `finished` began is known."""

    def close(self) -> None:
        """Stop looking."""


# --- those who listen --------------------------------------------------------------------------------------------------


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


class RunEnding(NamedTuple):
    """How a run ended. notes: by name; empty where nothing is sent."""

    run: str
    state: RunState
    exit_code: int
    seconds: float
    notes: Mapping[str, NoteTally] = MappingProxyType({})


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
