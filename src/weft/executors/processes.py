"""Attempts as local processes, owned by the run's supervisor; snippets and functions in hosts that it owns, too.

The engine's side keeps nothing that matters: intents are in the store, facts in the receipts. What stands here only
translates.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from weft.errors import BackendError, OwnedError
from weft.executors import link
from weft.executors.inputs import end_input, stdin_of
from weft.executors.lanes import MixedLanes
from weft.executors.opened import Kind, OpenAttempt, UnfitArgumentsError, kind_of
from weft.executors.pools import Pools
from weft.executors.receipts import (
    OutputReader,
    Past,
    began,
    done,
    finished,
    lost_fact,
    read_past,
    remark,
    stream_report,
)
from weft.executors.standing import Standing
from weft.executors.supervisor.receipts import ReceiptReader
from weft.executors.supervisor.wire import WireOrder
from weft.executors.suspects import Suspects
from weft.executors.variables import wire_variables
from weft.ports import Began, Order, Process, Remark, Report, Reports, StreamReport
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, SETUP

if TYPE_CHECKING:
    from weft.executors.hosts import HostPool
    from weft.executors.pool import WorkerPool

GRACE_SECONDS = 5.0
STRAY_SECONDS = 1.0
FAREWELL_SECONDS = 0.25  # that `close` waits for a supervisor that has nothing left to do
STILLBORN_LIMIT = 3  # supervisors in a row that die before their first receipt
PARTING_SECONDS = 2.0  # from the end of its connection until a dying supervisor's lock is free
NO_LANE = -(1 << 62)  # of adopted attempts: what was ahead of them is no longer known

How = Literal["withdraw", "terminate", "kill"]


class ProcessExecutor:
    """Fulfils `ports.Executor` on this machine.

    run_folder: `runs/<run>`, its name is the run's id. log_folder: `logs/<run>`. run_token: part of every token of this run, and
    of no other. base_environment: what every attempt gets. Nothing starts before the first order, `prepare` or `reattach`.
    """

    def __init__(
        self,
        run_folder: str,
        log_folder: str,
        run_token: str,
        epoch: int,
        base_environment: Mapping[str, str],
        *,
        grace: float = GRACE_SECONDS,
        stray_wait: float = STRAY_SECONDS,
    ):
        run = os.path.basename(os.path.abspath(run_folder))
        self._place = link.Place(run, os.path.abspath(run_folder), os.path.abspath(log_folder), grace, stray_wait)
        self._run_token = run_token
        self._epoch = epoch
        self._base = {**base_environment, "WEFT_RUN_ID": run}
        self._bell = select.epoll()
        self._link: link.Link | None = None
        self._reader: ReceiptReader | None = None
        self._reader_path = ""
        self._seen = 0
        self._stillborn = 0
        self._open: dict[int, OpenAttempt] = {}
        self._nonces: dict[AttemptKey, int] = {}
        self._news: list[Report | StreamReport] = []
        self._offsets: dict[str, int] = {}
        self._output = OutputReader(self._place.log_folder)
        self._waiting: list[Any] | None = None  # messages kept back while the remains of a dead supervisor are ended
        self._sweeper: threading.Thread | None = None
        self._is_swept = False
        self._suspects = Suspects()
        self._unkillable: list[str] = []
        self._memory_method = "unknown"
        self._mixed = MixedLanes()
        self._pools = Pools(self)
        self._standing = Standing(self._say, self._open, self._pools.worker_of)
        self.keeper: int | None = None  # see `ports.PausingExecutor`
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell.register(self._nudge, select.EPOLLIN)

    # --- the port ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Start the supervisor now, so that it wakes up while the engine still reads its plan."""
        if self._link is None and self._waiting is None:
            self._start()

    def prepare_calls(self, likely: Order, count: int) -> None:
        """Likewise workers, for calls that will be ordered like this one: a Python starts in the time of a thousand calls."""
        self.prepare()
        self._pools.workers.open(likely, count)

    def submit(self, orders: Sequence[Order]) -> None:
        """See `ports.Executor`. `poll` may not be called between the handling of reports and the `submit` that answers them:
        what was polled counts as known to whoever made these orders (ahead orders rely on it)."""
        self.prepare()
        frames: list[WireOrder] = []
        for order in orders:
            kind = kind_of(order)
            attempt = self._open[order.nonce] = OpenAttempt(order.key, order.keeps, kind, order.lane, order.ahead)
            self._nonces[order.key] = order.nonce
            if kind in ("thread", "worker") and order.lane not in self._mixed:
                self._mix(order.lane, order.nonce)
            if order.lane in self._mixed and not self._mixed.admit(order.lane, order.nonce, order.ahead):
                if kind == "worker":
                    self._pools.workers.wait(order)
                else:
                    attempt.order = order
            else:
                attempt.is_ahead = order.ahead and order.lane not in self._mixed
                self._hand_over(order, attempt, frames)
        if frames:
            self._say({"orders": frames, "seen": self._seen})
        self._pools.flush()

    def _mix(self, lane: int, newest: int) -> None:
        """A snippet has joined a lane of processes: from now on we keep its order, for the supervisor does not see all ends."""
        members = [
            (nonce, attempt) for nonce, attempt in self._open.items() if attempt.lane == lane and nonce != newest
        ]
        waiting = [nonce for nonce, attempt in members if attempt.is_ahead and not attempt.has_begun]
        self._mixed.mix(lane, len(members) - len(waiting), waiting)

    def _pass_on(self, lane: int) -> None:
        """Slots of a mixed lane may be vacant: the oldest that wait start."""
        while (nonce := self._mixed.next(lane)) is not None:
            attempt = self._open.get(nonce)
            if attempt is None:
                self._mixed.vacate(lane)
                continue
            order, attempt.order, attempt.is_ahead = attempt.order, None, False
            if attempt.kind == "worker":
                self._pools.workers.start_waiting(nonce)
            elif order is None:
                self._say({"start": [nonce]})  # the supervisor has it; no harm if it has started it already
            else:
                frames: list[WireOrder] = []
                self._hand_over(order, attempt, frames)
                if frames:
                    self._say({"orders": frames, "seen": self._seen})

    def _hand_over(self, order: Order, attempt: OpenAttempt, frames: list[WireOrder]) -> None:
        """To a host, or as a frame for the supervisor. What cannot travel there has failed its start."""
        try:
            if attempt.kind == "thread":
                self._pools.hosts.start(order)
            elif attempt.kind == "worker":
                self._pools.workers.start(order)
            else:
                if attempt.kind == "single":
                    self._expect_streams(order)
                frames.append(self._wire(order, attempt.is_ahead))
        except (UnfitArgumentsError, OSError) as problem:
            detail = f"its arguments cannot be handed over: {problem}"
            self._tell(["ended", order.nonce, SETUP, None, detail, True, None, ("", 0, 0), ("", 0, 0)])
            os.eventfd_write(self._nudge, 1)

    def _expect_streams(self, order: Order) -> None:
        from weft.executors.singles import has_streams  # late, here and below: most runs start programs only

        if has_streams(order):
            self._pools.workers.expect(order.nonce)

    def stop(self, keys: Sequence[AttemptKey], how: How, cause: str) -> None:
        """See `ports.Executor`."""
        nonces = []
        for nonce in [self._nonces[key] for key in keys if key in self._nonces]:
            self._standing.go_on(nonce)
            attempt = self._open[nonce]
            if attempt.order is not None or (attempt.kind == "thread" and self._pools.hosts.withdraw(nonce)):
                self._withdraw(nonce, attempt, cause)
            elif attempt.kind == "worker":
                if self._pools.workers.withdraw(nonce):
                    self._mixed.withdraw(attempt.lane, nonce)
                    self._withdraw(nonce, attempt, cause)
                else:
                    self._pools.workers.stop(nonce, how, cause)
            elif attempt.kind != "thread":
                nonces.append(nonce)
            elif how != "withdraw":
                self._pools.hosts.stop(nonce, cause)
        if nonces:
            self._say({"stop": nonces, "how": how, "cause": cause})

    def pause(self, key: AttemptKey) -> None:
        """See `ports.PausingExecutor`."""
        if (nonce := self._nonces.get(key)) is not None:
            self._standing.pause(nonce)

    def go_on(self, key: AttemptKey) -> None:
        """See `ports.PausingExecutor`."""
        if (nonce := self._nonces.get(key)) is not None:
            self._standing.go_on(nonce)

    def _withdraw(self, nonce: int, attempt: OpenAttempt, cause: str) -> None:
        if attempt.order is not None:
            self._mixed.withdraw(attempt.lane, nonce)
        self._tell(["ended", nonce, cause, None, None, False, None, ("", 0, 0), ("", 0, 0)])
        os.eventfd_write(self._nudge, 1)

    def poll(self) -> Reports:
        """See `ports.Executor`. Raises OwnedError when a later engine has taken the supervisor over."""
        if self._link is not None:
            self._link.turn()
            self._hear()
            if self._link.has_rung:
                self._link.has_rung = False
                self._read()
        for part in self._pools.made():
            part.turn()
            self._news += [Remark(text) for text in part.remarks]
            part.remarks.clear()
            self._offsets.update(part.offsets)
            part.offsets.clear()
        self._take_nudge()
        if self._link is not None and not self._link.is_open:
            self._part()
        if self._waiting is not None and self._is_swept:
            self._bury()
        reports, self._news = self._news, []
        offsets, self._offsets = self._offsets, {}
        return Reports(reports, offsets)

    def reattach(
        self, nonces: Mapping[AttemptKey, int], offsets: Mapping[str, int]
    ) -> Mapping[AttemptKey, Began | None]:
        """See `ports.Executor`. Every attempt of `nonces` is in the answer or has a `Finished` in the next `poll`."""
        link.make_folders(self._place)
        wanted = {nonce: key for key, nonce in nonces.items()}
        live: set[int] = set()
        name = None
        reply = self._connect()
        if reply is not None:
            live = set(reply["live"])
            name = reply["receipts"]
            self._memory_method = reply["limits"]["memory"]
        else:
            self._name_unkillable(self._end_bearers())
        folder = f"{self._place.run_folder}/receipts"
        past = read_past(folder, self._place.run, wanted, offsets)
        self._news += past.remarks
        for file, reader in past.readers.items():
            self._offsets[file] = reader.offset
        if name is not None:
            if name not in past.readers:
                raise BackendError(f"the receipts of the living supervisor cannot be read: {folder}/{name}")
            self._reader = past.release(name)
            self._reader_path = self._reader.path
            self._seen = self._reader.sequence
        living = self._settle_past(wanted, live, past)
        past.close()
        return living

    def bells(self) -> Sequence[int]:
        """See `ports.Executor`: one descriptor that watches all others."""
        return (self._bell.fileno(),)

    def close(self) -> None:
        """See `ports.Executor`."""
        if self._link is not None:
            self._link.close()
            self._pools.close()
            if not self._link.bury(0.0 if self._open else FAREWELL_SECONDS):
                self._link.leave()
            self._link = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._pools.close()
        self._output.close()
        if self._sweeper is not None:
            self._sweeper.join()
        if self._nudge >= 0:
            os.close(self._nudge)
            self._nudge = -1
            self._bell.close()

    def limits(self) -> Mapping[str, str]:
        """How limits are enforced here, for `weft doctor`."""
        return {"memory": self._memory_method}

    # --- the supervisor ------------------------------------------------------------------------------------------------

    def _greeting(self) -> dict[str, Any]:
        return {"hello": self._epoch, "run": self._place.run, "environment": self._base}

    def _connect(self) -> dict[str, Any] | None:
        """Be the engine of the living supervisor; None when there is none. One that is about to exit is waited for."""
        limit = time.monotonic() + PARTING_SECONDS
        while True:
            found = link.find(self._place, self._bell)
            if found is not None and (reply := found.ask(self._greeting())) is not None:
                if not reply["accepted"]:
                    found.close()
                    raise OwnedError(f"a later engine (epoch {reply['epoch']}) owns the processes of this run")
                self._link = found
                self.keeper = reply["pid"]
                return reply
            if not link.is_alive(self._place):
                return None
            if time.monotonic() > limit:
                hint = "see `weft doctor`; nothing was taken from it"
                raise BackendError("the supervisor of this run holds its lock, but does not answer", hint)
            time.sleep(0.01)

    def _start(self) -> None:
        link.make_folders(self._place)
        folder = f"{self._place.run_folder}/receipts"
        numbers = [
            int(name[11:-4]) for name in os.listdir(folder) if name[11:-4].isdigit() and name[:11] == "supervisor-"
        ]
        writer = str(max(numbers, default=0) + 1)
        self._link = link.start(self._place, writer, self._base, self._bell)
        self._link.send(self._greeting())
        self._reader_path = f"{folder}/supervisor-{writer}.log"
        self._seen = 0

    def _say(self, value: Any) -> None:
        if self._waiting is not None:
            self._waiting.append(value)
            return
        if self._link is None:
            self._start()
        assert self._link is not None
        self._link.send(value)

    def _hear(self) -> None:
        assert self._link is not None
        for reply in self._link.answers:
            if not reply["accepted"]:
                raise OwnedError(f"a later engine (epoch {reply['epoch']}) owns the processes of this run")
            self._memory_method, self.keeper = reply["limits"]["memory"], reply["pid"]
        self._link.answers.clear()

    def _read(self) -> None:
        if self._reader is None:
            if not self._reader_path or not os.path.exists(self._reader_path):
                return
            reader = ReceiptReader(self._reader_path, self._place.run)
            if reader.refusal is not None:
                reader.close()
                raise BackendError(f"receipts file {self._reader_path} cannot be used: {reader.refusal}")
            self._reader = reader
        facts, damages = self._reader.read()
        if not facts and not damages:
            return
        news = self._news
        news += [Remark(f"receipts file {self._reader_path}: {text}") for text in damages]
        for sequence, fact in facts:
            kind = fact[0]
            if kind == "ended":
                if fact[1] in self._open:
                    self._tell(fact)
                else:
                    self._pools.gone(fact)
            elif kind == "started":
                self._tell(fact)
            elif kind == "starting":
                if (attempt := self._open.get(fact[1])) is not None:
                    attempt.has_begun = True
            elif kind in ("remark", "strays"):
                news.append(remark(fact))
            self._seen = sequence
        self._offsets[os.path.basename(self._reader_path)] = self._reader.offset

    def _tell(self, fact: list[Any]) -> None:
        """A fact about an attempt becomes a report; one about an attempt that is not open changes nothing."""
        nonce = fact[1]
        attempt = self._open.get(nonce)
        if attempt is None:
            return
        if fact[0] == "started":
            attempt.has_begun = True
            attempt.is_ahead = False
            self._news.append(began(attempt.key, fact))
            return
        self._standing.go_on(nonce)
        del self._open[nonce]
        del self._nonces[attempt.key]
        if fact[2] != LOST:
            self._suspects.clear_of(attempt.key)
        if attempt.kind == "single":
            from weft.executors.singles import with_result

            self._pools.dismiss(nonce)
            fact = with_result(self._place, fact)
        self._news.append(finished(attempt.key, fact, attempt.keeps, self._output.product))
        if attempt.lane in self._mixed:
            self._mixed.count_end(attempt.lane)
            if not attempt.is_ahead and attempt.kind != "worker":
                self.free_place(attempt.lane)

    # --- what the pools ask of us --------------------------------------------------------------------------------------

    def make_hosts(self) -> HostPool:
        """See `pools.Maker`."""
        from weft.executors.hosts import HostPool

        return HostPool(self._place, self._run_token, self._bell, self._order_host, self._tell)

    def make_workers(self) -> WorkerPool:
        """See `pools.Maker`."""
        from weft.executors.pool import WorkerPool

        return WorkerPool(self._place, self._run_token, self._bell, self._base, self)

    def order_worker(self, order: WireOrder) -> None:
        """See `pool.Owner`."""
        self._say({"orders": [order], "seen": self._seen})

    def stop_worker(self, nonce: int, how: str, cause: str) -> None:
        """See `pool.Owner`."""
        self._say({"stop": [nonce], "how": how, "cause": cause})

    def watch_worker(self, nonce: int, cell: str, seconds: float) -> None:
        """See `pool.Owner`."""
        self._say({"watch": [nonce, cell, seconds]})

    def tell(self, fact: list[Any]) -> None:
        """See `pool.Owner`."""
        self._tell(fact)

    def tell_done(self, fact: list[Any]) -> None:
        """See `pool.Owner`."""
        nonce = fact[1]
        attempt = self._open.pop(nonce, None)
        if attempt is None:
            return
        self._standing.go_on(nonce)
        key = attempt.key
        del self._nonces[key]
        if attempt.lane in self._mixed:
            self._mixed.count_end(attempt.lane)
        self._suspects.clear_of(key)
        self._news += done(key, fact, attempt.has_begun)

    def tell_stream(self, message: Any) -> None:
        """See `pool.Owner`."""
        attempt = self._open.get(message[1])
        if attempt is not None:
            self._news.append(stream_report(attempt.key, message))

    def free_place(self, lane: int) -> None:
        """See `pool.Owner`."""
        if lane in self._mixed:
            self._mixed.vacate(lane)
            self._pass_on(lane)

    def ride(self, lane: int, nonce: int) -> None:
        """See `pool.Owner`."""
        self._mixed.ride(lane, nonce)

    def put_back(self, lane: int, nonces: list[int]) -> None:
        """See `pool.Owner`."""
        self._mixed.put_back(lane, nonces)
        self._pass_on(lane)

    # --- streams -------------------------------------------------------------------------------------------------------

    def allow(self, nonce: int, items: int) -> None:
        """See `ports.StreamExecutor`."""
        self._pools.workers.say(nonce, ("allow", nonce, items))

    def announce(self, nonce: int, bind: str, items: int, state: str, path: str = "") -> None:
        """See `ports.StreamExecutor`."""
        self._pools.workers.say(nonce, ("announce", nonce, bind, items, state, path))

    def end_input(self, nonce: int, length: int) -> None:
        """See `ports.StreamExecutor`."""
        end_input(self._place, nonce, length)

    # --- the supervisor, continued -------------------------------------------------------------------------------------

    def _order_host(self, order: WireOrder) -> None:
        self._say({"orders": [order], "seen": self._seen})

    def _take_nudge(self) -> None:
        try:
            os.eventfd_read(self._nudge)
        except BlockingIOError:
            pass

    def _part(self) -> None:
        """The connection ended: the supervisor is dead, or obeys a later engine."""
        assert self._link is not None
        limit = time.monotonic() + PARTING_SECONDS
        while link.is_alive(self._place):
            if time.monotonic() > limit:
                raise OwnedError("the supervisor of this run obeys another engine now")
            self._link.bury(0.01)
            time.sleep(0.005)
        if not self._link.bury():
            self._link.leave()
        self._read()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._stillborn = 0
        else:
            self._note_stillborn()
        self._reader_path = ""
        self._link = None
        self._waiting = []
        self._is_swept = False
        self._sweeper = threading.Thread(target=self._sweep, name="weft-sweep", daemon=True)
        self._sweeper.start()

    def _note_stillborn(self) -> None:
        """A supervisor died before its first receipt. Once may be chance; a habit would make every attempt lost for ever."""
        self._stillborn += 1
        if self._stillborn >= STILLBORN_LIMIT:
            path = f"{self._place.run_folder}/supervisor.log"
            with open(path, encoding="utf-8", errors="replace") as file:
                last = (file.read()[-2000:].strip().splitlines() or ["it said nothing"])[-1]
            raise BackendError(f"the supervisor of local processes cannot start: {last}", f"see {path}")

    def _sweep(self) -> None:
        self._unkillable = self._end_bearers()
        self._is_swept = True  # not `is_alive`: the thread still lives when its bell is heard
        os.eventfd_write(self._nudge, 1)

    def _end_bearers(self) -> list[str]:
        from weft.executors.sweep import sweep

        return sweep(self._run_token, self._place.grace)

    def _bury(self) -> None:
        """Nothing of the dead supervisor's attempts lives: tell their loss; what was ordered meanwhile goes to a new one."""
        waiting, self._waiting, self._sweeper = self._waiting, None, None
        assert waiting is not None
        self._name_unkillable(self._unkillable)
        hosts, workers = self._pools.hosts, self._pools.workers
        held = hosts.clear()
        kept = {frame[0] for value in waiting if "orders" in value for frame in value["orders"]}
        lanes = workers.clear(kept)
        kept |= {order.nonce for order in held}
        lost = [
            nonce
            for nonce, attempt in self._open.items()
            if nonce not in kept and attempt.order is None and not workers.holds(nonce)
        ]
        if lost:
            self._news.append(Remark("the supervisor died; what it had started was ended"))
        self._seen = 0
        for value in waiting:
            self._say({**value, "seen": 0} if "orders" in value else value)
        for order in held:
            hosts.start(order)
        for fact in self._suspects.blame(lost, self._open):
            self._tell(fact)
        for lane in lanes:
            self.free_place(lane)
        workers.flush()

    def _name_unkillable(self, names: Sequence[str]) -> None:
        if names:
            self._news.append(Remark(f"cannot be ended, not even by SIGKILL: {', '.join(names)}"))

    def _settle_past(
        self, wanted: Mapping[int, AttemptKey], live: set[int], past: Past
    ) -> dict[AttemptKey, Began | None]:
        from weft.executors.adoption import adopt_hosts, adopt_workers
        from weft.executors.singles import is_single

        living: dict[AttemptKey, Began | None] = {}
        hosted = adopt_hosts(self._pools.hosts, wanted, live, past)
        called = adopt_workers(self._pools.workers, wanted, live, past)
        for nonce, key in wanted.items():
            started, ended = past.started.get(nonce), past.ended.get(nonce)
            kind: Kind = "process"
            if nonce in hosted:
                kind = "thread"
            elif nonce in called:
                kind, started = "worker", called[nonce]
            elif is_single(self._place, nonce):
                kind = "single"
            if ended is None and started is not None and (nonce in live or nonce in hosted or nonce in called):
                living[key] = began(key, started)
            attempt = self._open[nonce] = OpenAttempt(
                key, None, kind, NO_LANE, False, started is not None or nonce in past.starting
            )
            self._nonces[key] = nonce
            if key not in living:
                self._tell(ended or lost_fact(nonce, attempt.has_begun))
        return living

    def _write_request(self, order: Order) -> list[str]:
        from weft.executors.singles import write_request

        return write_request(self._place, order)

    def _wire(self, order: Order, is_ahead: bool) -> WireOrder:
        launch = order.launch
        words = list(launch.argv) if isinstance(launch, Process) else self._write_request(order)
        return WireOrder(
            order.nonce,
            order.key,
            order.token,
            words,
            order.folder,
            {**order.environment, "WEFT_TASK": order.name, "WEFT_ATTEMPT": str(order.key.attempt)},
            wire_variables(order) if order.variables else [],
            list(launch.expand) if isinstance(launch, Process) else [],
            order.timeout,
            order.memory_bytes,
            order.niceness,
            order.lane,
            is_ahead,
            order.key in self._suspects,
            stdin_of(self._place, order),
            order.is_streamed,
        )
