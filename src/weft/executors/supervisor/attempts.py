"""What the supervisor knows of one attempt, and how the end of a process becomes a cause."""

from __future__ import annotations

import os
import signal
from typing import Any

from .slots import EMPTY, Slot
from .wire import WireOrder

NAMES = {int(member): member.name.removeprefix("SIG") for member in signal.Signals}


class Attempt:
    """A begun attempt. started: monotonic. stop: why it is being ended, None while it is left alone."""

    __slots__ = ("failure", "kill_at", "order", "peak", "pid", "slot", "started", "status", "stop", "ticks", "usage")

    def __init__(self, order: WireOrder, slot: Slot, pid: int, started: float, ticks: int, failure: int):
        self.order = order
        self.slot = slot
        self.pid = pid
        self.started = started
        self.ticks = ticks
        self.failure = failure  # memory file of the launcher, -1 without one
        self.stop: str | None = None
        self.kill_at = 0.0
        self.peak = 0
        self.status: int | None = None
        self.usage: tuple[float, float, int] | None = None  # wall seconds, cpu seconds, peak bytes


def signal_name(number: int) -> str:
    """Without SIG; real-time signals as distances from the first."""
    first = int(signal.SIGRTMIN)
    if number > first and number not in NAMES:
        return f"RTMIN+{number - first}"
    return NAMES.get(number, str(number))


def cause_of(status: int) -> str | None:
    """The cause that a wait status means; None for exit 0."""
    if os.WIFSIGNALED(status):
        return "signal:" + signal_name(os.WTERMSIG(status))
    code = os.WEXITSTATUS(status)
    return f"exit:{code}" if code else None


def is_dead(pid: int) -> bool:
    """Whether a child has ended and is not reaped yet."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def unbegun(nonce: int, cause: str, detail: str | None, charged: bool) -> list[Any]:
    """The end of an attempt that never began."""
    return ["ended", nonce, cause, None, detail, charged, None, EMPTY, EMPTY]
