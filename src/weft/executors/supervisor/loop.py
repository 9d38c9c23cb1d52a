"""The supervisor: owns the local attempts of one run, and outlives the engine that ordered them.

One thread, one loop. A round waits for something to happen, reaps every child that has ended, hears the engine, looks
at timers, and only then writes the receipts of the round with one system call and rings the bell. Reaping comes before
timers, so that an attempt that ended in time is never called late, however long this process was kept from running.

Theory, in four rules:
1. Facts are in the receipts file; the socket only rings. A lost connection loses nothing.
2. An attempt has begun when its process exists, and has ended when that process is reaped. What it leaves behind
   (`leftovers`) is a matter of its own, unless the attempt was being stopped: then its end is told when nothing of it
   lives.
3. Orders that are *ahead* wait in order, lane by lane. Each end in a lane starts the oldest of them. An end that finds
   none, and that the engine had not read when it ordered, is owed one start: the order was already on its way
   (`queues`).
4. Without an engine nothing new starts; when nothing lives either, the supervisor exits.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any, NamedTuple

from .attempts import Attempt, cause_of, is_dead, unbegun
from .census import boot_id, own_peak
from .connections import Connections
from .feeds import Feeds
from .lateness import MOMENT_SECONDS, is_late
from .launch import Launch
from .leftovers import Leftovers
from .memory import MemoryWatch
from .pauses import Pauses
from .queues import AheadQueues
from .receipts import ReceiptWriter
from .signals import signal_file, take_signals
from .slots import NO_OUTPUT, Slot, Slots
from .spawning import DISK_FULL, NOT_NOW, NotNow, StartError, enter
from .watches import Watches
from .wire import BELL, Settings, WireOrder, answer

PUT_OFF_SECONDS = 0.1  # first pause after a start for which the system had no room; doubles up to the next
PUT_OFF_LIMIT = 2.0
DISK_RETRY_SECONDS = 0.1  # receipts that the disk did not take are written again after this
BUSY_QUEUE = 24  # orders that wait here; with as many the engine need not hear of each end at once
BUSY_SECONDS = 0.020  # as long as a group commit waits: what is told of together is recorded together
FLOOR_AGE_SECONDS = 5.0  # how old our own peak of memory may be
ANSWER_SECONDS = 5.0  # an engine that does not take an answer in this time is let go
LONGEST_PAUSE = 86400.0  # seconds; epoll takes no more than 24 days, and time limits may be longer
STALE_TIMERS = 1000
NO_LANE = -(1 << 62)  # of attempts that an earlier engine ordered
ENCODING, ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # os.fsencode, once per variable less
LAUNCHER_FLOOR = 32 << 20  # bytes; what the launcher may have taken before it became the program


class Queued(NamedTuple):
    """An order that has not begun. environment: all of it but the scratch folder; made early, while nothing waits for it."""

    order: WireOrder
    environment: dict[bytes, bytes]


class Supervisor:
    """See the module's text. Timers are (monotonic time, nonce) of attempts with a time limit."""

    def __init__(self, settings: Settings, server: socket.socket, oom: tuple[int, bytes, bytes] | None):
        self.settings = settings
        self._epoch = -1
        self._engine: socket.socket | None = None
        self._receipts_name = f"supervisor-{settings.writer}.log"
        header = {"run": settings.run, "writer": settings.writer, "boot": boot_id(), "pid": os.getpid()}
        self._receipts = ReceiptWriter(f"{settings.run_folder}/receipts/{self._receipts_name}", header)
        self._slots = Slots(settings.log_folder, f"{settings.run_folder}/scratch", settings.writer)
        self._base: dict[bytes, bytes] = {}
        self._outer_token = b""
        self._folder: str | None = None
        self._launch = Launch(settings.python, oom, settings.log_folder)
        self.feeds = Feeds(settings.python)
        self._floor = own_peak()
        self._floor_at = time.monotonic()
        self._running: dict[int, Attempt] = {}  # by pid of the main process, until it is reaped
        self._live: dict[int, Attempt] = {}  # by nonce, until its end is told
        self._queued: dict[int, Queued] = {}  # by nonce, not begun
        self._ahead: set[int] = set()  # nonces of those that wait for an end in their lane
        self._queues = AheadQueues()
        self._held: dict[tuple[int, int], list[int]] = {}  # task -> nonces that wait for its strays to be gone
        self._suspect: int | None = None  # the one that lives; the others wait for its end
        self._suspects: deque[int] = deque()
        self._put_off: deque[int] = deque()
        self._put_off_at = 0.0
        self._put_off_pause = PUT_OFF_SECONDS
        self._timers: list[tuple[float, int]] = []
        self.watches = Watches()
        self._pauses = Pauses(self)
        self._leftovers = Leftovers(self)
        self._memory = MemoryWatch(self)
        self._is_asked_to_end = False
        self._ending = False
        self._rings = False
        self._tell_at: float | None = None
        self._poll = select.epoll()
        self._connections = Connections(server, self._poll, self._obey, self._disown, self.remark)
        self._hear = self._connections.hear  # by itself, as every order comes this way
        self._signals = signal_file(signal.SIGCHLD, signal.SIGTERM)

    # --- the loop ------------------------------------------------------------------------------------------------------

    def serve(self, first: socket.socket) -> None:
        """Until no engine is there and nothing lives."""
        self._poll.register(self._signals, select.EPOLLIN)
        self._connections.welcome(first)
        connections = self._connections.open
        while connections or self._live or self._leftovers.any or self._receipts.pending:
            self._round()
        self._leftovers.end_strangers()
        self._slots.close()
        self._receipts.close()

    def _round(self) -> None:
        events = self._poll.poll(self._pause())
        heard = []
        for descriptor, _ in events:
            if descriptor == self._signals:
                self._is_asked_to_end = signal.SIGTERM in take_signals(descriptor)
            else:
                heard.append(descriptor)
        self._reap()
        if self._is_asked_to_end:
            self._end_all()
        for descriptor in heard:
            if descriptor == self._connections.door:
                self._connections.accept()
            else:
                self._hear(descriptor)
        if self._timers or self._memory.due or self._leftovers.due or self._put_off or self.watches.due:
            now = time.monotonic()
            self._fire_timers(now)
            for nonce in self.watches.look(now):
                self.stop(nonce, "timeout", kill=False)
            self._memory.look(now)
            self._leftovers.look(now)
            if self._put_off and now >= self._put_off_at:
                self._try_again()
        if self._queues.freed:
            self._fill_lanes()
        while self._suspects and self._suspect is None:
            queued = self._queued.get(self._suspects.popleft())
            if queued is not None:
                self._attempt_start(queued)
        self._tell()

    def _pause(self) -> float:
        """Seconds until something is due; -1 for never."""
        due = math.inf
        if self._receipts.pending or self._rings:
            due = self._tell_at if self._tell_at is not None else time.monotonic() + DISK_RETRY_SECONDS
        if self._timers and self._timers[0][0] < due:
            due = self._timers[0][0]
        if self._put_off and self._put_off_at < due:
            due = self._put_off_at
        for when in (self._memory.due, self._leftovers.due, self.watches.due):
            if when is not None and when < due:
                due = when
        return -1 if due == math.inf else min(max(0.0, due - time.monotonic()), LONGEST_PAUSE)

    def _tell(self) -> None:
        if not (self._receipts.pending or self._rings) or self._is_busy():
            return
        if self._receipts.flush():
            self._rings = True
        if self._rings:
            self._rings = False
            if self._engine is None:
                return  # the next one reads everything
            try:
                self._engine.send(BELL)
            except BlockingIOError:
                pass  # bells that nobody has heard yet lie there already
            except OSError:
                self._connections.lose(self._engine)

    def _is_busy(self) -> bool:
        """Whether the news can wait a moment: every core is fed from orders that are here already.

        Waking the engine costs as much as half a start, so a full queue is told of in batches.
        """
        if len(self._queued) < BUSY_QUEUE or self._engine is None:
            self._tell_at = None
            return False
        now = time.monotonic()
        if self._tell_at is None:
            self._tell_at = now + BUSY_SECONDS
        if now < self._tell_at:
            return True
        self._tell_at = None
        return False

    def remark(self, text: str, order: WireOrder | None = None) -> None:
        """Something people should know."""
        nonce, key = (None, None) if order is None else (order.nonce, order.key)
        self._receipts.add(["remark", nonce, key, text])

    def strays(self, order: WireOrder, text: str) -> None:
        """An attempt left processes behind, and what became of them."""
        self._receipts.add(["strays", order.nonce, order.key, text])

    def _end_all(self) -> None:
        self._is_asked_to_end = False
        self._ending = True
        self._withdraw(list(self._queued), "interrupted")
        for nonce in list(self._live):
            self.stop(nonce, "interrupted", kill=False)

    # --- the engine ----------------------------------------------------------------------------------------------------

    def _disown(self, connection: socket.socket) -> None:
        """Without an engine, what has not begun never will: it is as if it had not been ordered."""
        if connection is not self._engine:
            return
        self._engine = None
        self._queues.clear()
        self._queued.clear()
        self._ahead.clear()
        self._held.clear()
        self._suspects.clear()
        self._put_off.clear()
        self._pauses.go_on()
        for attempt in self._live.values():
            attempt.order = attempt.order._replace(lane=NO_LANE)  # lanes of the next engine are others

    def _obey(self, connection: socket.socket, value: dict[str, Any]) -> None:
        if "hello" in value:
            self._greet(connection, value)
        elif connection is not self._engine:
            raise ValueError("orders before a greeting")
        elif "orders" in value:
            self._take_orders(value["orders"], value["seen"])
        elif "watch" in value:
            nonce, cell, seconds = value["watch"]
            self.watches.add(nonce, cell, seconds, time.monotonic())
        elif "stop" in value:
            self._obey_stop(value["stop"], value["how"], value["cause"])
        elif "start" in value:
            self._start_now(value["start"])
        elif "pause" in value:
            self._pauses.obey(value["pause"], value["paused"])
        else:
            raise ValueError("an unknown message")

    def _greet(self, connection: socket.socket, value: dict[str, Any]) -> None:
        epoch = value["hello"]
        accepted = value["run"] == self.settings.run and epoch >= self._epoch
        if accepted:
            if self._engine is not None and self._engine is not connection:
                self._connections.lose(self._engine)
            self._engine = connection
            self._epoch = epoch
            self._base = {os.fsencode(name): os.fsencode(text) for name, text in value["environment"].items()}
            outer = self._base.get(b"WEFT_TOKEN", b"")
            self._outer_token = outer + b" " if outer else b""
        reply = {
            "accepted": accepted,
            "epoch": self._epoch,
            "receipts": self._receipts_name,
            "pid": os.getpid(),
            "live": list(self._live),
            "limits": {"memory": self._memory.method},
        }
        self._receipts.flush()
        self._rings = True  # what was written may be news to the engine, whoever asked
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.sendall(answer(reply))
            connection.setblocking(False)
        except OSError:
            self._connections.lose(connection)
            return
        if not accepted:
            self._connections.lose(connection)

    def _take_orders(self, orders: list[list[Any]], seen: int) -> None:
        """Start them or let them wait. seen: number of the last receipt the engine had read when it ordered."""
        self._fill_lanes()  # ends of before these orders came are theirs only if nobody older waits
        self._queues.forget(seen)
        for fields in orders:
            order = WireOrder(*fields)
            if order.nonce in self._live or order.nonce in self._queued:
                continue
            if self._ending:
                self._receipts.add(
                    unbegun(order.nonce, "interrupted", "the supervisor was asked to end", charged=False)
                )
                continue
            queued = self._queued[order.nonce] = Queued(order, self._environment(order))
            if not order.ahead or self._queues.may_start(order.lane):
                self._begin(queued)
                self._fill_lanes()
            else:
                self._ahead.add(order.nonce)
                self._queues.wait(order.lane, order.nonce)

    def _obey_stop(self, nonces: list[int], how: str, cause: str) -> None:
        self._withdraw(nonces, cause)
        if how != "withdraw":
            for nonce in nonces:
                self.stop(nonce, cause, kill=how == "kill")

    def _withdraw(self, nonces: list[int], cause: str) -> None:
        for nonce in nonces:
            queued = self._queued.pop(nonce, None)
            if queued is None:
                continue
            sequence = self._receipts.add(unbegun(nonce, cause, None, charged=False))
            if nonce in self._ahead:
                self._ahead.remove(nonce)
            else:
                self._queues.end(queued.order.lane, sequence)

    def _start_now(self, nonces: list[int]) -> None:
        """Start ahead orders whose turn the engine saw come by an end that was not ours."""
        for nonce in nonces:
            if nonce in self._ahead:
                self._begin(self._queued[nonce])
        self._fill_lanes()

    # --- begin ---------------------------------------------------------------------------------------------------------

    def _environment(self, order: WireOrder) -> dict[bytes, bytes]:
        environment = self._base.copy()
        for name, text in order.environment.items():
            environment[name.encode(ENCODING, ERRORS)] = text.encode(ENCODING, ERRORS)
        environment[b"WEFT_TOKEN"] = self._outer_token + order.token.encode("utf-8", "surrogateescape")
        return environment

    def _begin(self, queued: Queued) -> None:
        """Start a queued order now, or note why it waits. From here on it is no longer ahead."""
        order = queued.order
        self._ahead.discard(order.nonce)
        self._queues.begin(order.lane)
        self._attempt_start(queued)

    def _attempt_start(self, queued: Queued) -> None:
        order = queued.order
        if self._leftovers.holds(order.key):
            self._held.setdefault((order.key[0], order.key[1]), []).append(order.nonce)
            return
        if order.suspect and self._suspect is not None:
            self._suspects.append(order.nonce)
            return
        try:
            self._start(order, queued.environment)
        except StartError as problem:
            del self._queued[order.nonce]
            sequence = self._receipts.add(unbegun(order.nonce, problem.cause, problem.detail, charged=True))
            self._queues.end(order.lane, sequence)
        except NotNow as problem:
            if not self._put_off:
                self._put_off_at = time.monotonic() + self._put_off_pause
                if self._put_off_pause == PUT_OFF_SECONDS:
                    self.remark(f"a start is put off: {problem}", order)
                self._put_off_pause = min(PUT_OFF_LIMIT, 2 * self._put_off_pause)
            self._put_off.append(order.nonce)
        else:
            del self._queued[order.nonce]

    def _try_again(self) -> None:
        waiting, self._put_off = self._put_off, deque()
        while waiting:
            queued = self._queued.get(waiting.popleft())
            if queued is None:
                continue
            self._attempt_start(queued)
            if self._put_off:
                self._put_off += waiting
                return
        self._put_off_pause = PUT_OFF_SECONDS

    def release(self, task: tuple[int, int]) -> None:
        """The strays of `task` are gone: its next attempt may start."""
        for nonce in self._held.pop(task, ()):
            queued = self._queued.get(nonce)
            if queued is not None:
                self._attempt_start(queued)

    def _start(self, order: WireOrder, environment: dict[bytes, bytes]) -> None:
        if order.folder != self._folder:
            self._folder = None
            enter(order.folder)
            self._folder = order.folder
        try:
            slot = self._slots.take()
        except OSError as problem:
            if problem.errno in NOT_NOW or problem.errno in DISK_FULL:
                raise NotNow(f"{self.settings.log_folder}: {problem.strerror}") from problem
            raise StartError("setup", f"a log file cannot be made: {problem.strerror}: {problem.filename}") from problem
        environment[b"WEFT_SCRATCH"] = slot.scratch_value
        nonce = order.nonce
        request = stdin = -1
        try:
            if order.is_streamed or order.stdin is not None:
                stdin = self._open_ends(order, slot)
            words = order.words
            if order.variables or order.expand:
                environment = environment.copy()  # they are written into it, and a start may be put off and tried again
                words, request = self._launch.prepare(order, environment)
            # Said before it is done: an attempt that kills us at once must not pass for one that never began.
            is_host = order.key[0] < 0  # no intent stands behind it
            self._receipts.add_text(f'["starting",{nonce},true]' if is_host else f'["starting",{nonce}]')
            self._rings = self._receipts.flush() or self._rings
            written = order.words[0] if request < 0 else None
            pid, started, ticks = self._launch.spawn(words, environment, slot.files, request, stdin, written)
        except (StartError, NotNow):
            self._slots.give_back(slot)
            if request >= 0:
                os.close(request)
            raise
        finally:
            if stdin >= 0:
                os.close(stdin)
        if order.niceness:
            os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + order.niceness))
        attempt = self._running[pid] = self._live[nonce] = Attempt(order, slot, pid, started, ticks, request)
        if order.suspect:
            self._suspect = nonce
        # By hand: nothing in it needs escaping, and every attempt pays for it.
        out, err = slot.names
        self._receipts.add_text(f'["started",{nonce},{pid},{ticks},{time.time()!r},"{slot.own or out}","{err}"]')
        if order.timeout is not None:
            self.set_timer(started + order.timeout, nonce)
        if order.memory is not None:
            self._memory.watch(attempt, started)

    def _open_ends(self, order: WireOrder, slot: Slot) -> int:
        """Its end of a stream of bytes: an output under a name of its own; or the descriptor it reads from, else -1."""
        if order.is_streamed:
            try:
                self._slots.give_own(slot, order.nonce)
            except OSError as problem:
                raise StartError("setup", f"its log cannot be made: {problem.strerror}") from problem
        return -1 if order.stdin is None else self.feeds.open(*order.stdin)

    # --- end -----------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        ended: list[Attempt] = []
        has_children = True
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                has_children = False
                break
            if pid == 0:
                break
            attempt = self._running.pop(pid, None)
            if attempt is None:
                self._leftovers.forget(pid)
                self.feeds.pids.discard(pid)
                continue
            peak = max(attempt.peak, usage.ru_maxrss * 1024)
            attempt.usage = (time.monotonic() - attempt.started, usage.ru_utime + usage.ru_stime, peak)
            attempt.status = status
            ended.append(attempt)
        has_strays = has_children and (ended or self._leftovers.any) and self._leftovers.adopt(self._running, ended)
        # What has become free is given on only after the engine was heard: it may be gone.
        for attempt in ended:
            self._memory.forget(attempt)
            left = bool(has_strays) and self._leftovers.of(attempt)
            if attempt.stop is None:
                self.finish(attempt, left)
                if left:
                    self._leftovers.give_time(attempt)
            elif not left:
                self._leftovers.drop(attempt)
                self.finish(attempt, False)
            # Otherwise its end is told when `leftovers` has ended the rest of it.

    def finish(self, attempt: Attempt, left: bool) -> None:
        """Tell the end of an attempt. left: something of it lives, so nobody else may use its slot."""
        order, nonce, status = attempt.order, attempt.order.nonce, attempt.status
        assert status is not None and attempt.usage is not None
        del self._live[nonce]
        self._pauses.forget(nonce)
        if nonce == self._suspect:
            self._suspect = None
        if order.key[0] < 0:
            self.watches.forget(nonce)
        output = self._slots.settle(attempt.slot, nonce)
        if left:
            self._slots.retire(attempt.slot)
        else:
            self._slots.give_back(attempt.slot)
        is_plain = status == 0 and attempt.stop is None and attempt.failure < 0 and order.memory is None
        cause, detail = (None, None) if is_plain else self._cause(attempt)
        if cause is None and output is NO_OUTPUT:
            # By hand, like `started`: this is how most attempts end.
            wall, cpu, peak = attempt.usage
            usage = f"[{wall:.6f},{cpu:.6f},{peak},{self._floor}]"
            text = f'["ended",{nonce},null,0,null,true,{usage},["",0,0],["",0,0]]'
            self._queues.end(order.lane, self._receipts.add_text(text))
            return
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        usages = [*attempt.usage, self._floor]
        fact = ["ended", nonce, cause, code, detail, True, usages, output.out, output.err]
        self._queues.end(order.lane, self._receipts.add(fact))

    def _cause(self, attempt: Attempt) -> tuple[str | None, str | None]:
        assert attempt.status is not None and attempt.usage is not None
        failure = None
        if attempt.failure >= 0:
            said = json.loads(os.pread(attempt.failure, os.fstat(attempt.failure).st_size, 0) or b"null")
            failure = said if isinstance(said, list) else None
            os.close(attempt.failure)
            attempt.failure = -1
        if attempt.stop is not None:
            return attempt.stop, None
        if failure is not None:
            return failure[0], failure[1]
        limit, peak = attempt.order.memory, attempt.usage[2]
        if limit is not None and peak > limit and peak > self._peak_floor(attempt):
            return "memory", f"its peak of {peak} bytes is above its limit of {limit}"
        return cause_of(attempt.status), None

    def _peak_floor(self, attempt: Attempt) -> int:
        now = time.monotonic()
        if now - self._floor_at > FLOOR_AGE_SECONDS:
            self._floor, self._floor_at = own_peak(), now
        return max(self._floor, LAUNCHER_FLOOR) if attempt.order.variables else self._floor

    def _fill_lanes(self) -> None:
        """Each end starts the oldest ahead order of its lane; a start that fails is an end, too."""
        while self._engine is not None and (nonce := self._queues.hand_on(self._ahead)) is not None:
            self._begin(self._queued[nonce])

    # --- stop ----------------------------------------------------------------------------------------------------------

    def _fire_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            when, nonce = heapq.heappop(self._timers)
            if nonce not in self._live or self._pauses.puts_off(when, nonce):
                continue
            if is_late(when, now):
                self.set_timer(now + MOMENT_SECONDS, nonce)
            else:
                self.stop(nonce, "timeout", kill=False)

    def live(self, nonce: int) -> Attempt | None:
        """The attempt, if its end has not been told."""
        return self._live.get(nonce)

    def set_timer(self, when: float, nonce: int) -> None:
        """Timers of ended attempts are not searched for, but swept out when they are most of what is there."""
        if len(self._timers) > STALE_TIMERS + 2 * len(self._live):
            self._timers = [timer for timer in self._timers if timer[1] in self._live]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (when, nonce))

    def stop(self, nonce: int, cause: str, kill: bool) -> None:
        """End a live attempt: TERM, grace, KILL; or KILL at once. One that is dead already keeps its own end."""
        attempt = self._live.get(nonce)
        if attempt is None:
            return
        now = time.monotonic()
        if attempt.stop is None:
            if attempt.status is None and is_dead(attempt.pid):
                return
            attempt.stop = cause
            attempt.kill_at = now if kill else now + self.settings.grace
            self._leftovers.end(attempt, now)
        elif kill and attempt.kill_at > now:
            attempt.kill_at = now
            self._leftovers.end(attempt, now)
