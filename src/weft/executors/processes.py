"""Attempts as local processes, owned by the run's supervisor; snippets and functions in hosts that it owns, too.

The engine's side keeps nothing that matters: intents are in the store, facts in the receipts. What stands here only
translates.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from weft.errors import BackendError
from weft.executors import link
from weft.executors.frames import frame_of
from weft.executors.inputs import end_input
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
from weft.executors.supervision import Supervision
from weft.executors.supervisor.wire import WireOrder
from weft.executors.suspects import Suspects
from weft.ports import Began, Order, Remark, Report, Reports, StreamReport
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, SETUP

if TYPE_CHECKING:
    from weft.executors.hosts import HostPool
    from weft.executors.pool import WorkerPool

GRACE_SECONDS = 5.0
STRAY_SECONDS = 1.0
NO_LANE = -(1 << 62)  # of adopted attempts: what was ahead of them is no longer known

How = Literal["withdraw", "terminate", "kill"]


class ProcessExecutor:
    """Fulfils `ports.Executor` on this machine.

    run_folder: `runs/<run>`, its name is the run's id. log_folder: `logs/<run>`. run_token: part of every token of this run, and
    of no other. base_environment: what every attempt gets. newborn: to be the first supervisor. Nothing else starts before the
    first order, `prepare` or `reattach`.
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
        newborn: link.Newborn | None = None,
    ):
        run = os.path.basename(os.path.abspath(run_folder))
        self._place = link.Place(
            run, os.path.abspath(run_folder), os.path.abspath(log_folder), grace, stray_wait, epoch
        )
        self._run_token = run_token
        self._base = {**base_environment, "WEFT_RUN_ID": run}
        self._bell = select.epoll()
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell.register(self._nudge, select.EPOLLIN)
        self._supervision = Supervision(self._place, run_token, epoch, self._base, self._bell, self._wake, newborn)
        self._say = self._supervision.say
        self._open: dict[int, OpenAttempt] = {}
        self._nonces: dict[AttemptKey, int] = {}
        self._news: list[Report | StreamReport] = []
        self._offsets: dict[str, int] = {}
        self._output = OutputReader(self._place.log_folder)
        self._suspects = Suspects()
        self._mixed = MixedLanes()
        self._pools = Pools(self)
        self._standing = Standing(self._say, self._open, self._pools.worker_of)

    # --- the port ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Start the supervisor now, so that it wakes up while the engine still reads its plan."""
        self._supervision.prepare()

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
            self._supervision.order(frames)
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
                    self._supervision.order(frames)

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
                frames.append(frame_of(self._place, order, attempt.is_ahead, order.key in self._suspects))
        except (UnfitArgumentsError, OSError) as problem:
            detail = f"its arguments cannot be handed over: {problem}"
            self._tell(["ended", order.nonce, SETUP, None, detail, True, None, ("", 0, 0), ("", 0, 0)])
            self._wake()

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

    @property
    def keeper(self) -> int | None:
        """See `ports.PausingExecutor`."""
        return self._supervision.keeper

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
        self._wake()

    def poll(self) -> Reports:
        """See `ports.Executor`. Raises OwnedError when a later engine has taken the supervisor over."""
        supervision = self._supervision
        if supervision.turn():
            self._read()
        for part in self._pools.made():
            part.turn()
            self._news += [Remark(text) for text in part.remarks]
            part.remarks.clear()
            self._offsets.update(part.offsets)
            part.offsets.clear()
        self._take_nudge()
        if supervision.is_over:
            supervision.see_off()
            self._read()
            supervision.clear_up()
        if supervision.is_clear:
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
        name, live = self._supervision.find() or (None, set())
        if name is None:
            self._name_unkillable(self._supervision.end_bearers())
        folder = f"{self._place.run_folder}/receipts"
        past = read_past(folder, self._place.run, wanted, offsets)
        self._news += past.remarks
        for file, reader in past.readers.items():
            self._offsets[file] = reader.offset
        if name is not None:
            if name not in past.readers:
                raise BackendError(f"the receipts of the living supervisor cannot be read: {folder}/{name}")
            self._supervision.follow(past.release(name))
        living = self._settle_past(wanted, live, past)
        past.close()
        return living

    def bells(self) -> Sequence[int]:
        """See `ports.Executor`: one descriptor that watches all others."""
        return (self._bell.fileno(),)

    def close(self) -> None:
        """See `ports.Executor`."""
        self._supervision.part()
        self._pools.close()  # before its end is waited for: it stays as long as they do
        self._supervision.close(is_idle=not self._open)
        self._output.close()
        if self._nudge >= 0:
            os.close(self._nudge)
            self._nudge = -1
            self._bell.close()

    def limits(self) -> Mapping[str, str]:
        """How limits are enforced here, for `weft doctor`."""
        return {"memory": self._supervision.memory_method}

    # --- what the supervisor tells -------------------------------------------------------------------------------------

    def _read(self) -> None:
        supervision = self._supervision
        facts, damages = supervision.read()
        if not facts and not damages:
            return
        news = self._news
        news += [Remark(text) for text in damages]
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
            supervision.seen = sequence
        file, offset = supervision.offset()
        self._offsets[file] = offset

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

        return HostPool(self._place, self._run_token, self._bell, self.order_worker, self._tell)

    def make_workers(self) -> WorkerPool:
        """See `pools.Maker`."""
        from weft.executors.pool import WorkerPool

        return WorkerPool(self._place, self._run_token, self._bell, self._base, self)

    def order_worker(self, order: WireOrder) -> None:
        """See `pool.Owner`."""
        self._supervision.order([order])

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

    # --- beginnings and ends of the supervisor -------------------------------------------------------------------------

    def _wake(self) -> None:
        os.eventfd_write(self._nudge, 1)

    def _take_nudge(self) -> None:
        try:
            os.eventfd_read(self._nudge)
        except BlockingIOError:
            pass

    def _bury(self) -> None:
        """Nothing of the dead supervisor's attempts lives: tell their loss; what was ordered meanwhile goes to a new one."""
        waiting, unkillable = self._supervision.succeed()
        self._name_unkillable(unkillable)
        hosts, workers = self._pools.hosts, self._pools.workers
        handed = [nonce for nonce, attempt in self._open.items() if attempt.order is None]
        held = hosts.clear()  # ends that it tells make room, and what starts there is with a new supervisor
        kept = {frame[0] for value in waiting if "orders" in value for frame in value["orders"]}
        lanes = workers.clear(kept)
        kept |= {order.nonce for order in held}
        lost = [nonce for nonce in handed if nonce in self._open and nonce not in kept and not workers.holds(nonce)]
        if lost:
            self._news.append(Remark("the supervisor died; what it had started was ended"))
        for value in waiting:
            self._say(value)
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
                if started is not None:
                    self._news.append(began(key, started))
                self._tell(ended or lost_fact(nonce, attempt.has_begun))
        return living
