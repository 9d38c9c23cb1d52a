"""What the scheduler orders: imperatives for the engine, and the facts to record with them.

The engine makes every `Record` of a batch durable before any `StartAttempt` of it leaves, and before anybody hears of an end.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import NO_OUTPUT, NO_USAGE, LogRegion, Outcome, Request, TaskState, Usage
from weft.scheduling.reasons import Reason


class StartAttempt(NamedTuple):
    """Start it; its intent is recorded by this command itself. lane: attempts of one lane have equal demands.

    ahead: it holds no resources yet; the executor starts it when an attempt of its lane has ended, in order.
    alone: in a process of its own, whatever its isolation says.
    """

    key: AttemptKey
    nonce: int
    request: Request
    lane: int
    ahead: bool = False
    alone: bool = False


class StopAttempt(NamedTuple):
    """End it: `withdraw` only if it has not begun, `terminate` (TERM, grace, KILL) or `kill`. cause: what its end counts as."""

    key: AttemptKey
    how: Literal["withdraw", "terminate", "kill"]
    cause: str


class PauseAttempt(NamedTuple):
    """Let its processes stand still until `ContinueAttempt`; that time counts for no limit of it."""

    key: AttemptKey
    nonce: int


class ContinueAttempt(NamedTuple):
    """Let a paused attempt go on."""

    key: AttemptKey
    nonce: int


class Mention(NamedTuple):
    """Tell people. task: whom it is about."""

    text: str
    task: int | None


class Inspect(NamedTuple):
    """Look at the world for this task: requirements, items, freshness. Answered by `Inspected`.

    instances: those that the question is about, of a mapped task that has begun; None: all that there are.
    """

    task: int
    instances: tuple[int, ...] | None = None


class SetTimer(NamedTuple):
    """Send `TimerFired(timer)` at monotonic time `at`."""

    timer: int
    at: float


class Retry(NamedTuple):
    """Why another attempt follows, after how many seconds, with which request, and what was changed (`memory 40M -> 60M`)."""

    reason: str
    delay: float
    request: Request
    change: str | None


class CloseAttempt(NamedTuple):
    """Fact: an attempt has ended and this is its one outcome. retry: why and how it is tried again, None when it is not."""

    key: AttemptKey
    nonce: int
    outcome: Outcome
    retry: Retry | None


class BeginAttempt(NamedTuple):
    """Fact: the attempt has begun. started: wall clock seconds. stdout, stderr: see `AttemptStarted`."""

    key: AttemptKey
    nonce: int
    started: float
    stdout: LogRegion = NO_OUTPUT
    stderr: LogRegion = NO_OUTPUT


class SettleTask(NamedTuple):
    """Fact: a task has ended, for this run for good. attempts: how many it took. usage: of the attempt that ended it."""

    task: int
    state: TaskState
    cause: str | None
    detail: str | None
    attempts: int
    fingerprint: str | None = None
    usage: Usage = NO_USAGE


class SettleInstance(NamedTuple):
    """Fact: an instance of a mapped task has ended."""

    task: int
    instance: int
    state: TaskState
    cause: str | None
    detail: str | None


class TakeItems(NamedTuple):
    """Fact: the items of a mapped task, taken once; a resumed run keeps them."""

    task: int
    items: tuple[str, ...]


class AddItems(NamedTuple):
    """Fact: more items of a mapped task, in order; first: index of the first of them, the number that were known before."""

    task: int
    first: int
    items: tuple[str, ...]


class ReopenTask(NamedTuple):
    """Fact: a task that had ended is taken up again (resume, retry), and with it its instances that are not ok.

    anew: all of its instances; its items are taken again.
    """

    task: int
    anew: bool = False


class ExplainTask(NamedTuple):
    """Fact: why a task has to run, or need not, as it was found just before its start; the latest counts."""

    task: int
    reasons: tuple[Reason, ...]


Record = CloseAttempt | BeginAttempt | SettleTask | SettleInstance | TakeItems | AddItems | ReopenTask | ExplainTask
Command = StartAttempt | StopAttempt | PauseAttempt | ContinueAttempt | Mention | Inspect | SetTimer | Record
