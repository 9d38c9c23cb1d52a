"""How attempts and tasks end, and why: states, causes, usage.

A cause is text, `kind` or `kind:detail` (design.md 5): `exit:3`, `signal:KILL`, `dependency:fit`. It is made once, where
the end is seen, and shown as it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

TaskState = Literal["pending", "running", "ok", "failed", "skipped", "cancelled"]
RunState = Literal["running", "ok", "failed", "cancelled", "interrupted"]

CACHED = "cached"
TIMEOUT = "timeout"
MEMORY = "memory"
EXCEPTION = "exception"
NOT_FOUND = "not_found"
SETUP = "setup"
TYPE = "type"
MISSING_OUTPUT = "missing_output"
LOST = "lost"
INTERRUPTED = "interrupted"
CANCELLED = "cancelled"
DEPENDENCY = "dependency"

RESOURCE_CAUSES = frozenset({MEMORY, TIMEOUT})


def kind(cause: str) -> str:
    """The cause without its detail."""
    return cause.partition(":")[0]


class LogRegion(NamedTuple):
    """Bytes of output: `length` bytes from `offset` of `file` (below the run's log folder)."""

    file: str
    offset: int
    length: int


NO_OUTPUT = LogRegion("", 0, 0)


class Usage(NamedTuple):
    """What an attempt took. seconds: wall. cpu_seconds: user and system. memory: peak bytes; None where unknown."""

    seconds: float = 0.0
    cpu_seconds: float | None = None
    memory: int | None = None


NO_USAGE = Usage()


class Outcome(NamedTuple):
    """How an attempt ended.

    ok: whether it did what it should. cause: None when ok. detail: one line for people (the system's text, an exception).
    product: the product as text (JSON, or the captured stdout), None when there is none or it lies in a file.
    charged: False when the end uses up no budget (never started, or lost beside a culprit).
    alone: the next attempt must run in a process of its own.
    """

    ok: bool
    cause: str | None = None
    exit_code: int | None = None
    detail: str | None = None
    usage: Usage = NO_USAGE
    stdout: LogRegion = NO_OUTPUT
    stderr: LogRegion = NO_OUTPUT
    product: str | None = None
    charged: bool = True
    alone: bool = False


class Request(NamedTuple):
    """What an attempt was given: amounts in integer units sorted by name, time limit in seconds, queue.

    besides: directives, and places for copies, as far as a function of the task gave them; sorted by name.
    """

    amounts: tuple[tuple[str, int], ...]
    timeout: float | None = None
    queue: str | None = None
    besides: tuple[tuple[str, str], ...] = ()
