"""The Python workers of a run: which worker a call goes to, when calls are taken back, what the end of a worker means.

A worker is an attempt of the supervisor like any other, ordered by us under a nonce of its own; it connects to
`workers.sock` and is spoken to directly. It makes one call at a time, so it holds the place of one live attempt of a lane
as long as it has calls before it: those behind the first are *ahead*, and begin without anybody being asked. Short calls
are sent in batches, long ones singly; what is stuck behind one that turns out to be long is taken back.
"""

from __future__ import annotations

import os
import secrets
import select
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Protocol

from weft.executors.callees import PROGRAM, Callees, arguments_of, python_variables
from weft.executors.doorstep import Doorstep
from weft.executors.endings import NO_REGION, crash, order_of, stillborn
from weft.executors.frames import Server, server_frame
from weft.executors.line import Line
from weft.executors.link import Place
from weft.executors.pulse import Pulse
from weft.executors.supervisor.receipts import ReceiptReader
from weft.executors.supervisor.wire import WireOrder
from weft.executors.worker.cell import BORN, RUNNING, SETTLE_SECONDS, Cell
from weft.executors.worker.talk import take_frames
from weft.executors.workers import Sent, Worker
from weft.ports import Order
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import SETUP

AHEAD_SECONDS = 0.005  # of expected work that a worker has before it
AHEAD_MOST = 512  # calls
STUCK_SECONDS = 0.020  # what waits behind a call that has run for so long is taken back
WORKERS_MOST = 128  # at once; more live calls wait for one of them
IDLE_MOST = 8  # workers beyond as many as were ever at work that are kept for calls of their kind

Fact = list[Any]


class Owner(Protocol):
    """What the pool asks of its executor."""

    def order_worker(self, order: WireOrder) -> None:
        """Hand it to the supervisor."""

    def stop_worker(self, nonce: int, how: str, cause: str) -> None:
        """Let the supervisor end it."""

    def watch_worker(self, nonce: int, cell: str, seconds: float) -> None:
        """Let the supervisor end it when the time of its present call is up; no call of it has less than `seconds`."""

    def tell(self, fact: Fact) -> None:
        """A fact in the shape of receipts."""

    def tell_done(self, fact: Fact) -> None:
        """["done", nonce, wall clock begin, seconds, cpu seconds, memory, product]: a call ended well and printed nothing."""

    def tell_stream(self, message: Any) -> None:
        """("yielded", nonce, first, shown, digests, bytes) or ("taken", nonce, bind, position)."""

    def free_place(self, lane: int) -> None:
        """A worker has no calls of the lane any more: another one may start."""

    def ride(self, lane: int, nonce: int) -> None:
        """A call that waited in the lane is with a worker now."""

    def put_back(self, lane: int, nonces: list[int]) -> None:
        """They wait again."""


class WorkerPool:
    """All workers of a run. base: environment that every process gets."""

    def __init__(self, place: Place, run_token: str, bell: select.epoll, base: Mapping[str, str], owner: Owner):
        self._place = place
        self._run_token = run_token
        self._bell = bell
        self._base = base
        self._owner = owner
        self._workers: dict[int, Worker] = {}  # by nonce
        self._busy: dict[int, Worker] = {}  # those with calls
        self._idle: OrderedDict[int, Worker] = OrderedDict()  # least recently used first
        self._dirty: dict[int, Worker] = {}  # those with calls to be sent
        self.where: dict[int, Worker] = {}  # by nonce of a call
        self._waiting: dict[int, tuple[Sent, tuple[Any, ...]]] = {}  # ahead of any place, by nonce
        self._queues: dict[tuple[int, tuple[Any, ...]], deque[int]] = {}  # of them, by lane and kind of worker
        self._lines: dict[int, Line] = {}  # to calls in processes of their own, by nonce
        self._starved: OrderedDict[int, tuple[Sent, tuple[Any, ...]]] = OrderedDict()  # have a place, but no worker
        self._keys: dict[int, tuple[Any, ...]] = {}
        self._callees = Callees()
        self._doorstep = Doorstep(place.run_folder, "workers.sock", bell, take_frames)
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        bell.register(self._nudge, select.EPOLLIN)
        self._pulse = Pulse(lambda: os.eventfd_write(self._nudge, 1))
        self._made = 0
        self._most_busy = 0
        self.offsets: dict[str, int] = {}
        self.remarks: list[str] = []

    # --- calls in ------------------------------------------------------------------------------------------------------

    def open(self, likely: Order, count: int) -> None:
        """Start workers for calls that are about to come and will be ordered like this one."""
        key = self._key_of(likely)
        for _ in range(count):
            worker = self._open(likely, key)
            self._idle[worker.nonce] = worker

    def start(self, order: Order) -> None:
        """Make a call that has a place: now."""
        self._place_call(Sent(order, self._callees.of(order)), self._key_of(order))

    def wait(self, order: Order) -> None:
        """Take a call that is ahead: it goes to a worker that has calls of its lane, or is started by `start_waiting`."""
        key = self._key_of(order)
        self._waiting[order.nonce] = (Sent(order, self._callees.of(order)), key)
        queue = self._queues.get((order.lane, key))
        if queue is None:
            queue = self._queues[order.lane, key] = deque()
        queue.append(order.nonce)

    def start_waiting(self, nonce: int) -> None:
        """One that waited has a place now."""
        call, key = self._waiting.pop(nonce)
        queue = self._queues[call.order.lane, key]
        if queue and queue[0] == nonce:
            queue.popleft()
        self._place_call(call, key)

    def flush(self) -> None:
        """Send what was taken since; workers with room get more of what waits."""
        for worker in list(self._busy.values()):
            if worker.revoked_at is None and not worker.is_ending:
                self._fill(worker)
        while self._dirty:
            _, worker = self._dirty.popitem()
            for nonce, problem in worker.flush():
                detail = f"its arguments cannot be handed over: {problem}"
                self._end_unbegun(nonce, SETUP, detail, charged=True)
            worker.line.push()
            if not worker.queue and worker.lane is not None:
                self._rest(worker)
        for worker in self._busy.values():
            # A single call whose beginning is known rings at its end by itself.
            if len(worker.queue) > 1 or worker.queue[0].number > worker.begun:
                self._pulse.want(STUCK_SECONDS)
                break

    def _end_unbegun(self, nonce: int, cause: str, detail: str | None, *, charged: bool) -> None:
        self.where.pop(nonce, None)
        self._owner.tell(["ended", nonce, cause, None, detail, charged, None, NO_REGION, NO_REGION])
        os.eventfd_write(self._nudge, 1)

    def _key_of(self, order: Order) -> tuple[Any, ...]:
        """What a worker must have been started with. Equal keys are one object, so that their comparison costs nothing."""
        own: tuple[tuple[str, str], ...] = ()
        if order.environment:
            own = tuple(sorted(item for item in order.environment.items() if not item[0].startswith("WEFT_")))
        return (order.interpreter, order.folder, own, order.variables, order.niceness, max(1, order.cores))

    def _place_call(self, call: Sent, key: tuple[Any, ...]) -> None:
        worker = self._idle_with(key)
        if worker is None:
            if len(self._busy) >= WORKERS_MOST:
                self._starved[call.nonce] = (call, key)
                return
            worker = self._open(call.order, key)
        self._idle.pop(worker.nonce, None)
        worker.lane = call.order.lane
        self._busy[worker.nonce] = worker
        self._most_busy = max(self._most_busy, len(self._busy))
        self._give(worker, call)

    def _idle_with(self, key: tuple[Any, ...]) -> Worker | None:
        for worker in reversed(self._idle.values()):
            if worker.key == key:
                return worker
        return None

    def _give(self, worker: Worker, call: Sent) -> None:
        order, callee = call.order, call.callee
        assert callee is not None
        arguments = arguments_of(order.launch.arguments)  # type: ignore[union-attr]
        variables = {name: text for name, text in order.environment.items() if name.startswith("WEFT_")} or None
        is_long = not 0 <= callee.seconds < AHEAD_SECONDS
        head = [0, call.nonce, callee.number, order.name, order.key.attempt, order.timeout]
        wire = [*head, *arguments, variables, is_long]
        worker.take(call, wire)
        self.where[call.nonce] = worker
        self._dirty[worker.nonce] = worker
        if order.timeout is not None and (worker.timeout is None or order.timeout < worker.timeout):
            worker.timeout = order.timeout
            self._owner.watch_worker(worker.nonce, self._cell_path(worker.name), order.timeout)

    def _fill(self, worker: Worker) -> None:
        """Send as many waiting calls as are expected to keep it busy until we are heard again."""
        if worker.lane is None:
            return  # of an earlier engine
        queue = self._queues.get((worker.lane, worker.key or ()))
        if not queue:
            return
        if worker.running() is not None and time.monotonic() - worker.started()[0] > AHEAD_SECONDS:
            return  # what it has is long
        expected = worker.queue[-1].callee if worker.queue else None
        if expected is None or not 0 <= expected.seconds < AHEAD_SECONDS:
            return
        most = min(AHEAD_MOST, int(AHEAD_SECONDS / max(expected.seconds, 1e-6)))
        while queue and len(worker.queue) < most:
            found = self._waiting.pop(queue.popleft(), None)
            if found is not None:
                self._owner.ride(worker.lane, found[0].nonce)
                self._give(worker, found[0])

    # --- workers in ----------------------------------------------------------------------------------------------------

    def _cell_path(self, name: str) -> str:
        return f"{self._place.run_folder}/workers/{name}.cell"

    def _open(self, order: Order, key: tuple[Any, ...]) -> Worker:
        self._doorstep.open()
        self._thin_out()
        os.makedirs(f"{self._place.run_folder}/workers", 0o700, exist_ok=True)
        while True:
            self._made += 1
            name = self._place.name("worker", self._made)
            try:
                cell = Cell(self._cell_path(name), is_new=True)
                break
            except FileExistsError:
                continue
        nonce = secrets.randbits(64)
        worker = self._workers[nonce] = Worker(nonce, name, key, self._place.run_folder, cell, Line(self._bell))
        environment = {**python_variables(order, self._base), **dict(key[2])}
        server = Server(nonce, name, self._made, -3, -(1 << 32) - self._made)
        program = (PROGRAM, "serve")
        self._owner.order_worker(server_frame(self._place, self._run_token, server, program, order, environment))
        return worker

    def _thin_out(self) -> None:
        """Let go of workers whose kind has not been asked for."""
        while len(self._idle) > IDLE_MOST + self._most_busy:
            _, worker = self._idle.popitem(last=False)
            worker.key = None
            worker.line.say(("end",))
            worker.line.push()

    # --- talk ----------------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Hear the workers, tell what has happened, send what waits."""
        try:
            os.eventfd_read(self._nudge)
        except BlockingIOError:
            pass
        self._welcome()
        for worker in list(self._workers.values()):
            worker.line.push()
            facts = worker.read() if worker.queue else []
            self._hear(worker)
            while worker.queue and (more := worker.read()):  # written since, and its bell has just been heard
                facts += more
                self._hear(worker)
            if worker.queue:
                self._read(worker, facts)
        for nonce in list(self._lines):
            self._lines[nonce].push()
            self._hear_line(nonce)
        self.flush()

    def _welcome(self) -> None:
        for greeting, connection in self._doorstep.arrivals():
            role, nonce = greeting if type(greeting) is tuple and len(greeting) == 2 else ("", 0)
            worker = self._workers.get(nonce) if role == "worker" else None
            line = worker.line if worker is not None else self._lines.get(nonce) if role == "call" else None
            if line is None or line.connection is not None:
                self._doorstep.dismiss(connection)
                continue
            line.connection = connection
            line.push()

    def _hear(self, worker: Worker) -> None:
        """What its streams say; behind the reading of receipts and before their telling, for it was said before they were."""
        for message in worker.line.hear():
            call = worker.queue[0] if worker.queue else None
            if call is not None and call.nonce == message[1] and call.number > worker.begun:
                self._tell_begin(worker, call)
            self._owner.tell_stream(message)

    def expect(self, nonce: int) -> None:
        """A call in a process of its own will come to speak of its streams."""
        self._doorstep.open()
        self._lines[nonce] = Line(self._bell)

    def dismiss(self, nonce: int) -> None:
        """It has ended: hear what it said last."""
        if nonce in self._lines:
            self._welcome()
            self._hear_line(nonce)
            self._lines.pop(nonce).close()

    def _hear_line(self, nonce: int) -> None:
        for message in self._lines[nonce].hear():
            if message[1] == nonce:
                self._owner.tell_stream(message)

    def _read(self, worker: Worker, facts: list[Fact]) -> None:
        if facts:
            self._tell_ends(worker, facts)
            self.offsets[f"{worker.name}.log"] = worker.offset
            if worker.damages:
                self.remarks += [f"receipts file {worker.name}.log: {text}" for text in worker.damages]
                worker.damages.clear()
        call = worker.running()
        if call is not None and call.number > worker.begun:
            self._tell_begin(worker, call)
        if worker.revoked_at is not None:
            self._settle(worker)
        elif call is not None and len(worker.queue) > 1 and time.monotonic() - worker.started()[0] > STUCK_SECONDS:
            self._take_back(worker)
        if not worker.queue:
            self._rest(worker)

    def _tell_begin(self, worker: Worker, call: Sent) -> None:
        worker.begun = call.number
        self._owner.tell(["started", call.nonce, None, 0, worker.started()[1], *worker.names])

    def _tell_ends(self, worker: Worker, facts: list[Fact]) -> None:
        queue = worker.queue
        callee, seconds, count = None, 0.0, 0
        for fact in facts:
            if not queue or fact[1] != queue[0].nonce:
                continue  # the header
            call = queue.popleft()
            self.where.pop(call.nonce, None)
            worker.stops.pop(call.nonce, None)
            if call.callee is not callee:
                if callee is not None:
                    callee.learn(seconds / count)
                callee, seconds, count = call.callee, 0.0, 0
            count += 1
            if fact[0] == "done":
                seconds += fact[3]
                self._owner.tell_done(fact)
            else:
                seconds += fact[6][0]
                if call.number > worker.begun:
                    self._owner.tell(["started", call.nonce, None, 0, fact[11], "", ""])
                self._owner.tell(fact[:11])
        if callee is not None and count:
            callee.learn(seconds / count)

    def _rest(self, worker: Worker) -> None:
        """It has nothing to do: its place is free, and it waits for calls of its kind."""
        lane, worker.lane = worker.lane, None
        self._busy.pop(worker.nonce, None)
        if worker.key is not None and not worker.is_ending:
            self._idle[worker.nonce] = worker
        if lane is not None:
            self._owner.free_place(lane)
        while self._starved and len(self._busy) < WORKERS_MOST:
            _, (call, key) = self._starved.popitem(last=False)
            self._place_call(call, key)

    # --- taking back ---------------------------------------------------------------------------------------------------

    def _take_back(self, worker: Worker) -> None:
        if worker.revoked_at is None:
            worker.revoke()
            self._pulse.want(SETTLE_SECONDS)

    def _settle(self, worker: Worker) -> None:
        """Calls that were being taken back: who is to end ends, the others wait again."""
        calls = worker.recalled()
        if calls is None:
            self._pulse.want(SETTLE_SECONDS)
            return
        self._hand_back(worker, calls)
        for nonce, (how, cause) in worker.stops.items():
            if how != "withdraw" and worker.queue and worker.queue[0].nonce == nonce:
                worker.is_ending = True
                self._owner.stop_worker(worker.nonce, how, cause)
        worker.stops.clear()

    def _hand_back(self, worker: Worker, calls: list[Sent]) -> None:
        """Calls that did not begin, and never will in this worker."""
        again = []
        for call in calls:
            self.where.pop(call.nonce, None)
            stop = worker.stops.pop(call.nonce, None)
            if stop is not None:
                self._end_unbegun(call.nonce, stop[1], None, charged=False)
            else:
                again.append(call)
        lane = worker.lane
        if not again or lane is None:
            return
        nonces = [call.nonce for call in again]
        for call in reversed(again):
            key = self._key_of(call.order)
            self._waiting[call.nonce] = (call, key)
            self._queues.setdefault((lane, key), deque()).appendleft(call.nonce)
        self._owner.put_back(lane, nonces)

    def say(self, nonce: int, message: Any) -> None:
        """Pass on what concerns the streams of a call that a worker has."""
        worker = self.where.get(nonce)
        if worker is not None:
            self.flush()  # the call goes before what is said to it
        line = worker.line if worker is not None else self._lines.get(nonce)
        if line is not None:
            line.say(message)
            line.push()

    def withdraw(self, nonce: int) -> bool:
        """Take back a call that no worker has; False when one has it."""
        return self._waiting.pop(nonce, None) is not None

    def stop(self, nonce: int, how: str, cause: str) -> None:
        """End a call that a worker has, or one that waits for a worker."""
        starved = self._starved.pop(nonce, None)
        if starved is not None:
            self._end_unbegun(nonce, cause, None, charged=False)
            self._owner.free_place(starved[0].order.lane)
            return
        worker = self.where.get(nonce)
        if worker is None:
            return
        if how == "withdraw" and worker.queue[0].nonce == nonce and worker.queue[0].number <= worker.begun:
            return
        if worker.is_ending:
            if how == "kill" and worker.queue[0].nonce == nonce:
                self._owner.stop_worker(worker.nonce, how, cause)
            return
        worker.stops[nonce] = (how, cause)
        self._take_back(worker)

    # --- the end of workers --------------------------------------------------------------------------------------------

    def gone(self, fact: Fact) -> bool:
        """The supervisor tells the end of a worker: close what ran there, the rest goes elsewhere. False for none of ours."""
        worker = self._workers.pop(fact[1], None)
        if worker is None:
            return False
        self._busy.pop(worker.nonce, None)
        self._idle.pop(worker.nonce, None)
        self._dirty.pop(worker.nonce, None)
        worker.flush()
        facts = worker.read()
        self._hear(worker)
        if facts:
            self._tell_ends(worker, facts)
            self.offsets[f"{worker.name}.log"] = worker.offset
        unbegun = worker.take_back()
        if worker.queue:
            self._tell_crash(worker, worker.queue.popleft(), fact)
        elif unbegun and not worker.cell.numbers[BORN]:
            self._tell_stillborn(unbegun.pop(0), fact)
        self._hand_back(worker, unbegun)
        lane, worker.lane = worker.lane, None
        worker.close()
        if lane is not None:
            self._owner.free_place(lane)
        return True

    def _tell_crash(self, worker: Worker, call: Sent, fact: Fact) -> None:
        """The call that ran when its worker ended has failed, unless the worker was ended for another one's sake."""
        self.where.pop(call.nonce, None)
        if call.number > worker.begun:
            self._tell_begin(worker, call)
        seconds = time.monotonic() - worker.started()[0]
        self._owner.tell(crash(worker, call, fact, seconds, self._place.log_folder))

    def _tell_stillborn(self, call: Sent, fact: Fact) -> None:
        self.where.pop(call.nonce, None)
        self._owner.tell(stillborn(call, fact, self._place.log_folder))

    # --- successors ----------------------------------------------------------------------------------------------------

    def _worker_of_before(self, nonce: int, name: str) -> Worker:
        cell = Cell(self._cell_path(name))
        return Worker(nonce, name, None, self._place.run_folder, cell, Line(self._bell))

    def ended_meanwhile(
        self, name: str, facts: Mapping[str, Fact], wanted: Mapping[int, AttemptKey]
    ) -> tuple[Fact, Fact | None] | None:
        """A worker of an earlier engine is dead: the begin and the end of the call it ran then, if it is one of `wanted`.

        facts: what the supervisor said of the worker. The end is None if nobody saw it.
        """
        try:
            worker = self._worker_of_before(0, name)
        except OSError:
            return None
        try:
            flying = worker.nonce_in_flight()
            if flying is None or flying not in wanted:
                return None
            begin: Fact = ["started", flying, None, 0, worker.started()[1], "", ""]
            if "ended" not in facts:
                return begin, None
            seconds = 0.0
            if "started" in facts and facts["ended"][6] is not None:
                seconds = max(0.0, facts["started"][4] + facts["ended"][6][0] - worker.started()[1])
            call = Sent(order_of(flying, wanted), None)
            end = crash(worker, call, facts["ended"], seconds, self._place.log_folder)
            return begin, end
        finally:
            worker.close()

    def adopt(
        self, nonce: int, reader: ReceiptReader, wanted: Mapping[int, AttemptKey]
    ) -> tuple[Fact | None, list[Fact]]:
        """A worker of an earlier engine lives: it ends the call that it makes, and begins no other.

        The begin of that call if it is one of `wanted`, and what the worker has written down since `reader` read it.
        """
        name = os.path.basename(reader.path).removesuffix(".log")
        worker = self._workers[nonce] = self._worker_of_before(nonce, name)
        worker.condemn()
        worker.offset = reader.offset
        facts = worker.read()
        flying = worker.nonce_in_flight()
        if flying is None or flying not in wanted or any(fact[1] == flying for fact in facts):
            return None, facts
        call = Sent(order_of(flying, wanted), None)
        call.number = worker.begun = worker.cell.numbers[RUNNING]
        worker.queue.append(call)
        self.where[flying] = worker
        self._busy[nonce] = worker
        return ["started", flying, None, 0, worker.started()[1], *worker.names], facts

    def holds(self, nonce: int) -> bool:
        """Whether a call waits here, with no worker that could have begun it."""
        return nonce in self._waiting or nonce in self._starved

    def clear(self, kept: set[int]) -> list[int]:
        """All workers but those in `kept` are dead with their supervisor: forget them; lanes whose places they held.

        What they had begun and not ended is for the executor to close; the rest waits again.
        """
        lanes = []
        for worker in [worker for worker in self._workers.values() if worker.nonce not in kept]:
            del self._workers[worker.nonce]
            for group in (self._busy, self._idle, self._dirty):
                group.pop(worker.nonce, None)
            worker.flush()
            self._tell_ends(worker, worker.read())
            unbegun = worker.take_back()
            if worker.queue and worker.queue[0].number > worker.begun:
                self._tell_begin(worker, worker.queue[0])
            self._hand_back(worker, unbegun)
            if worker.lane is not None:
                lanes.append(worker.lane)
            worker.close()
        return lanes

    def close(self) -> None:
        """Let go: workers end by themselves when they are done."""
        for worker in list(self._workers.values()):
            if not worker.queue:
                worker.line.say(("end",))
                worker.line.push()
            worker.close()
        self._workers.clear()
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        self._doorstep.close()
        if self._nudge >= 0:
            self._pulse.close()
            os.close(self._nudge)
            self._nudge = -1
