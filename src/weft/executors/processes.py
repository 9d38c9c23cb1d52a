"""Attempts as local processes, owned by the run's supervisor; snippets and functions in hosts that it owns, too.

The engine's side keeps nothing that matters: intents are in the store, facts in the receipts. What stands here only translates.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from weft.errors import BackendError, OwnedError
from weft.executors import link
from weft.executors.receipts import OutputReader, began, finished, read_past, remark
from weft.executors.supervisor.receipts import ReceiptReader
from weft.executors.supervisor.wire import WireOrder
from weft.executors.sweep import sweep
from weft.ports import Began, Finished, Order, Process, Remark, Report, Reports
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, Outcome
from weft.spec.actions import Expand
from weft.spec.environments import ShellValue, VariableValue

GRACE_SECONDS = 5.0
STRAY_SECONDS = 1.0

How = Literal["withdraw", "terminate", "kill"]


class _Open:
    """An attempt that was ordered and has not ended. charge: whether it began, so that its loss counts."""

    __slots__ = ("began", "keeps", "key")

    def __init__(self, key: AttemptKey, keeps: str | None, has_begun: bool = False):
        self.key = key
        self.keeps = keeps
        self.began = has_begun


class ProcessExecutor:
    """Fulfils `ports.Executor` on this machine.

    run_folder: `runs/<run>`, its name is the run's id. log_folder: `logs/<run>`. run_token: part of every token of this run and of no
    other. base_environment: what every attempt gets. Nothing starts before the first order, `prepare` or `reattach`.
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
        self._open: dict[int, _Open] = {}
        self._nonces: dict[AttemptKey, int] = {}
        self._news: list[Report] = []
        self._offsets: dict[str, int] = {}
        self._output = OutputReader(self._place.log_folder)
        self._waiting: list[Any] | None = None  # messages kept back while the remains of a dead supervisor are ended
        self._swept = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._sweep_result: list[str] = []
        self._memory_method = "unknown"
        self._bell.register(self._swept, select.EPOLLIN)

    # --- the port ------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Start the supervisor now, so that it wakes up while the engine still reads its plan."""
        if self._link is None and self._waiting is None:
            self._start()

    def submit(self, orders: Sequence[Order]) -> None:
        """See `ports.Executor`. `poll` may not be called between the handling of reports and the `submit` that answers them:
        what was polled counts as known to whoever made these orders (ahead orders rely on it)."""
        frames = []
        for order in orders:
            self._open[order.nonce] = _Open(order.key, order.keeps)
            self._nonces[order.key] = order.nonce
            frames.append(_wire(order))
        self._say({"orders": frames, "seen": self._seen})

    def stop(self, keys: Sequence[AttemptKey], how: How, cause: str) -> None:
        """See `ports.Executor`."""
        nonces = [self._nonces[key] for key in keys if key in self._nonces]
        if nonces:
            self._say({"stop": nonces, "how": how, "cause": cause})

    def poll(self) -> Reports:
        """See `ports.Executor`. Raises OwnedError when a later engine has taken the supervisor over."""
        if self._link is not None:
            self._link.turn()
            self._hear()
        self._read()
        if self._link is not None and not self._link.is_open:
            self._part()
        if self._waiting is not None:
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
        found = link.find(self._place, self._bell)
        if found is not None:
            reply = found.ask(self._greeting())
            if not reply["accepted"]:
                found.close()
                raise OwnedError(f"a later engine (epoch {reply['epoch']}) owns the processes of this run")
            self._link = found
            live = set(reply["live"])
            name = reply["receipts"]
            self._memory_method = reply["limits"]["memory"]
        elif link.is_alive(self._place):
            raise BackendError("the supervisor of this run holds its lock, but does not answer", "see `weft doctor`")
        else:
            self._name_unkillable(sweep(self._run_token, self._place.grace))
        folder = f"{self._place.run_folder}/receipts"
        past, started, remarks, readers = read_past(folder, self._place.run, wanted, offsets)
        self._news += remarks
        for file, reader in readers.items():
            self._offsets[file] = max(reader.offset, offsets.get(file, 0))
            if file == name:
                self._adopt_reader(reader)
            else:
                reader.close()
        if name is not None and self._reader is None:
            raise BackendError(f"the receipts of the living supervisor cannot be read: {folder}/{name}")
        return self._settle_past(wanted, live, past, started)

    def bells(self) -> Sequence[int]:
        """See `ports.Executor`: one descriptor that watches all others."""
        return (self._bell.fileno(),)

    def close(self) -> None:
        """See `ports.Executor`."""
        if self._link is not None:
            self._link.close()
            self._link.bury()
            self._link = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._output.close()
        if self._swept >= 0:
            os.close(self._swept)
            self._swept = -1
            self._bell.close()

    def limits(self) -> Mapping[str, str]:
        """How limits are enforced here, for `weft doctor`."""
        return {"memory": self._memory_method}

    # --- the supervisor ------------------------------------------------------------------------------------------------

    def _greeting(self) -> dict[str, Any]:
        return {"hello": self._epoch, "run": self._place.run, "environment": self._base}

    def _start(self) -> None:
        link.make_folders(self._place)
        folder = f"{self._place.run_folder}/receipts"
        numbers = [int(name[11:-4]) for name in os.listdir(folder) if name[11:-4].isdigit() and name[:11] == "supervisor-"]
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
            self._memory_method = reply["limits"]["memory"]
        self._link.answers.clear()

    def _adopt_reader(self, reader: ReceiptReader) -> None:
        self._reader = reader
        self._reader_path = reader.path

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
                attempt = self._open.pop(fact[1], None)
                if attempt is not None:
                    self._nonces.pop(attempt.key, None)
                    news.append(finished(attempt.key, fact, attempt.keeps, self._output.product))
            elif kind == "started":
                attempt = self._open.get(fact[1])
                if attempt is not None:
                    attempt.began = True
                    news.append(began(attempt.key, fact))
            elif kind in ("remark", "strays"):
                news.append(remark(fact))
            self._seen = sequence
        self._offsets[os.path.basename(self._reader_path)] = self._reader.offset

    def _part(self) -> None:
        """The connection ended: the supervisor is dead, or obeys a later engine."""
        assert self._link is not None
        self._link.bury()
        if link.is_alive(self._place):
            if not self._open:
                return
            raise OwnedError("the supervisor of this run obeys another engine now")
        self._read()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._reader_path = ""
        self._link = None
        self._waiting = []
        threading.Thread(target=self._sweep, name="weft-sweep", daemon=True).start()

    def _sweep(self) -> None:
        self._sweep_result = sweep(self._run_token, self._place.grace)
        os.eventfd_write(self._swept, 1)

    def _bury(self) -> None:
        """Once nothing of the dead supervisor's attempts lives: tell their loss, and let waiting orders go to a new one."""
        try:
            os.eventfd_read(self._swept)
        except BlockingIOError:
            return
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        self._name_unkillable(self._sweep_result)
        kept = {frame[0] for value in waiting if "orders" in value for frame in value["orders"]}
        lost = [nonce for nonce in self._open if nonce not in kept]
        if lost:
            self._news.append(Remark("the supervisor died; what it had started was ended, and will be run again"))
        for nonce in lost:
            attempt = self._open.pop(nonce)
            self._nonces.pop(attempt.key, None)
            self._news.append(_lost(attempt.key, nonce, attempt.began))
        self._seen = 0
        for value in waiting:
            self._say({**value, "seen": 0} if "orders" in value else value)

    def _name_unkillable(self, names: Sequence[str]) -> None:
        if names:
            self._news.append(Remark(f"cannot be ended, not even by SIGKILL: {', '.join(names)}"))

    def _settle_past(
        self, wanted: Mapping[int, AttemptKey], live: set[int], past: Mapping[int, list[Any]], started: Mapping[int, list[Any]]
    ) -> Mapping[AttemptKey, Began | None]:
        living: dict[AttemptKey, Began | None] = {}
        for nonce, key in wanted.items():
            fact = past.get(nonce)
            if fact is not None and fact[0] == "ended":
                self._news.append(finished(key, fact, None, self._output.product))
            elif nonce in live and nonce in started:
                self._open[nonce] = _Open(key, None, True)
                self._nonces[key] = nonce
                living[key] = began(key, started[nonce])
            else:
                self._news.append(_lost(key, nonce, nonce in started))
        return living


def _lost(key: AttemptKey, nonce: int, has_begun: bool) -> Finished:
    detail = "its process is gone and left no receipt" if has_begun else "it was never started"
    return Finished(key, nonce, Outcome(False, LOST, detail=detail, charged=has_begun))


def _wire(order: Order) -> WireOrder:
    launch = order.launch
    assert isinstance(launch, Process)
    environment = {
        **order.environment,
        "WEFT_TASK": order.name,
        "WEFT_ATTEMPT": str(order.key.attempt),
    }
    return WireOrder(
        order.nonce,
        order.key,
        order.token,
        list(launch.argv),
        order.folder,
        environment,
        [(name, *_variable(value)) for name, value in order.variables] if order.variables else [],
        list(launch.expand),
        order.timeout,
        order.memory_bytes,
        order.niceness,
        order.lane,
        order.ahead,
    )


def _variable(value: VariableValue) -> tuple[str, str]:
    if isinstance(value, Expand):
        return "expand", value.text
    if isinstance(value, ShellValue):
        return "shell", value.command
    return "text", value
