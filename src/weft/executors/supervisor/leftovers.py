"""What remains of an attempt beside its main process: found by group, session, descent and token, and ended.

Two cases. An attempt that ended by itself may leave *strays*: its end is told at once, they get a moment, then TERM,
grace, KILL, and a receipt names them. An attempt that is being stopped takes all of its processes with it: its end is
told when none is left.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .attempts import Attempt
from .census import Census, Living, OwnChildren, look_at, name_of, send, tokens_of

if TYPE_CHECKING:
    from .loop import Supervisor

LOOK_SECONDS = 0.05
UNKILLABLE_SECONDS = 2.0  # after KILL; then the attempt is named as one that cannot be ended


class Rest:
    """Processes of one attempt that are to go away. members: as last seen. tell: its end waits for this."""

    __slots__ = ("attempt", "kill_at", "killed", "members", "named", "names", "tell", "term_at", "termed")

    def __init__(self, attempt: Attempt, tell: bool, term_at: float, kill_at: float):
        self.attempt = attempt
        self.tell = tell
        self.term_at = term_at
        self.kill_at = kill_at
        self.termed = False
        self.killed = False
        self.named = False
        self.members: list[Living] = []
        self.names: list[str] = []


class Leftovers:
    """All rests, and the orphans that this subreaper has adopted. due: when it wants to look again."""

    def __init__(self, supervisor: Supervisor):
        self._supervisor = supervisor
        self._rests: dict[int, Rest] = {}  # by nonce
        self._tasks: dict[tuple[int, int], int] = {}  # task -> nonce of the attempt with strays
        self._orphans: dict[int, int] = {}  # pid -> nonce of the attempt it came from, -1 unknown
        self._children = OwnChildren()
        self.due: float | None = None

    @property
    def any(self) -> bool:
        """Whether anything is left to be ended."""
        return bool(self._rests)

    def holds(self, key: Sequence[int]) -> bool:
        """Whether strays of an earlier attempt of this task and instance live."""
        return bool(self._tasks) and (key[0], key[1]) in self._tasks

    def forget(self, pid: int) -> None:
        """An orphan was reaped."""
        self._orphans.pop(pid, None)

    def adopt(self, running: dict[int, Attempt], ended: list[Attempt]) -> bool:
        """Find out whose the orphans are that have become our children; whether there is anybody beside those who run.

        What outlives a main process has a topmost process, and that becomes our child: without another child, nobody.
        """
        known = self._orphans
        if not known and self._children.are_only(running):
            return False
        feeders = self._supervisor.feeds.pids
        fresh = [pid for pid in self._children.pids() if pid not in running and pid not in known and pid not in feeders]
        if not fresh:
            return True
        by_session = {attempt.pid: attempt.order.nonce for attempt in (*running.values(), *ended)}
        by_token = {attempt.order.token: attempt.order.nonce for attempt in (*running.values(), *ended)}
        for rest in self._rests.values():
            by_session.setdefault(rest.attempt.pid, rest.attempt.order.nonce)
            by_token.setdefault(rest.attempt.order.token, rest.attempt.order.nonce)
        for pid in fresh:
            living = look_at(pid)
            if living is None:
                continue  # a zombie: the next round reaps it
            owners = [by_session[living.session]] if living.session in by_session else []
            owners += [by_token[word] for word in tokens_of(pid) if word in by_token]
            if not owners and ended:
                owners = [ended[0].order.nonce]  # it hides, but appeared when this one ended
            known[pid] = owners[-1] if owners else -1
        return True

    def end_strangers(self) -> None:
        """Orphans that hide whose they were (own session, bare environment) do not survive the run."""
        for pid in self._orphans:
            living = look_at(pid)
            if living is not None:
                send(living, signal.SIGKILL)

    def of(self, attempt: Attempt) -> bool:
        """Whether something of an attempt whose main process was just reaped may live."""
        nonce = attempt.order.nonce
        if nonce in self._orphans.values():
            return True
        try:
            os.killpg(attempt.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def give_time(self, attempt: Attempt) -> None:
        """Strays of an attempt that ended by itself: they have a moment to end, too."""
        now = time.monotonic()
        settings = self._supervisor.settings
        term_at = now + settings.stray_wait
        self._rests[attempt.order.nonce] = Rest(attempt, False, term_at, term_at + settings.grace)
        self._tasks[attempt.order.key[0], attempt.order.key[1]] = attempt.order.nonce
        self.due = now if self.due is None else self.due

    def end(self, attempt: Attempt, now: float) -> None:
        """End everything of an attempt that is being stopped."""
        rest = self._rests.get(attempt.order.nonce)
        if rest is None:
            self._rests[attempt.order.nonce] = Rest(attempt, True, now, attempt.kill_at)
        else:
            rest.kill_at = min(rest.kill_at, attempt.kill_at)
        self.due = now

    def drop(self, attempt: Attempt) -> None:
        """Nothing of it is left."""
        self._rests.pop(attempt.order.nonce, None)

    def look(self, now: float) -> None:
        """Signal what is due, tell what is gone."""
        if self.due is None or now < self.due:
            return
        census = Census()
        for nonce, rest in list(self._rests.items()):
            attempt = rest.attempt
            roots = {pid for pid, owner in self._orphans.items() if owner == nonce}
            if attempt.status is None:
                roots.add(attempt.pid)
            rest.members = census.family(roots, attempt.pid, attempt.order.token)
            if rest.members:
                self._press(rest, now)
            elif attempt.status is not None:
                self._gone(rest)
        self.due = now + LOOK_SECONDS if self._rests else None

    def _press(self, rest: Rest, now: float) -> None:
        if now >= rest.kill_at:
            self._signal(rest, signal.SIGKILL)
            rest.killed = True
            if now >= rest.kill_at + UNKILLABLE_SECONDS and not rest.named:
                rest.named = True
                names = ", ".join(_shown(living) for living in rest.members)
                self._supervisor.remark(f"cannot be ended, not even by SIGKILL: {names}", rest.attempt.order)
        elif now >= rest.term_at and not rest.termed:
            rest.termed = True
            if not rest.tell:
                rest.names = [_shown(living) for living in rest.members]
            self._signal(rest, signal.SIGTERM)
            self._signal(rest, signal.SIGCONT)

    def _signal(self, rest: Rest, number: int) -> None:
        if rest.attempt.status is None:
            # The main process is not reaped, so its group can be nobody else's.
            try:
                os.killpg(rest.attempt.pid, number)
            except (ProcessLookupError, PermissionError):
                pass
        for living in rest.members:
            if rest.attempt.status is not None or living.group != rest.attempt.pid:
                send(living, number)

    def _gone(self, rest: Rest) -> None:
        attempt = rest.attempt
        nonce = attempt.order.nonce
        del self._rests[nonce]
        for pid in [pid for pid, owner in self._orphans.items() if owner == nonce]:
            del self._orphans[pid]
        if rest.tell:
            self._supervisor.finish(attempt, False)
            return
        task = (attempt.order.key[0], attempt.order.key[1])
        self._tasks.pop(task, None)
        if rest.names:
            how = "killed" if rest.killed else "ended"
            text = f"{how} what the attempt left running: {', '.join(rest.names)}"
            self._supervisor.strays(attempt.order, text)
        self._supervisor.release(task)


def _shown(living: Living) -> str:
    return f"{name_of(living.pid)} (pid {living.pid})"
