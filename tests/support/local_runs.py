"""A run of local attempts for tests: orders with defaults, waiting with a limit, and an audit of what is left behind."""

from __future__ import annotations

import os
import secrets
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.waiting import LIMIT, wait_for_ends
from weft.executors import link
from weft.executors.processes import ProcessExecutor
from weft.executors.sweep import bearers
from weft.ports import Began, Code, Finished, Function, Order, Process, Remark, Report
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LogRegion, Outcome

BASE = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


class LocalRun:
    """One executor at work in a folder of its own; `take_over` replaces it as a later engine would."""

    def __init__(self, folder: Path, run: str = "ab" * 16, **options: Any):
        self.folder = folder
        self.run = run
        self.options = {"grace": 0.5, "stray_wait": 0.2, **options}
        self.token = f"{run}-{secrets.token_hex(8)}"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.epoch = 0
        self.number = 0
        self.reports: list[Report] = []
        self.offsets: dict[str, int] = {}
        self.executor = self.new_executor()

    @property
    def run_folder(self) -> Path:
        return self.folder / "runs" / self.run

    @property
    def log_folder(self) -> Path:
        return self.folder / "logs" / self.run

    def new_executor(self, epoch: int | None = None, environment: dict[str, str] | None = None) -> ProcessExecutor:
        self.epoch = self.epoch + 1 if epoch is None else epoch
        base = BASE if environment is None else environment
        return ProcessExecutor(str(self.run_folder), str(self.log_folder), self.token, self.epoch, base, **self.options)

    def order(self, launch: Sequence[str] | Process | Code | Function, **fields: Any) -> Order:
        if not isinstance(launch, (Process, Code, Function)):
            launch = Process(tuple(launch))
        self.number += 1
        key = fields.pop("key", AttemptKey(self.number, -1, 1))
        nonce = fields.pop("nonce", (1 << 63) + self.number)
        fields.setdefault("folder", str(self.work))
        return Order(key, nonce, f"{self.token}:{nonce}", fields.pop("name", f"task {self.number}"), launch, **fields)

    def shell(self, script: str, **fields: Any) -> Order:
        return self.order(["/bin/sh", "-c", script], **fields)

    def snippet(self, source: str, values: dict[str, Any] | None = None, **fields: Any) -> Order:
        fields.setdefault("isolation", "thread")
        return self.order(Code(source, values or {}, f"<snippet {self.number + 1}>"), **fields)

    def call(self, reference: str, arguments: dict[str, Any] | None = None, **fields: Any) -> Order:
        """A call of a function of the modules in `modules`, in a worker unless said otherwise."""
        fields.setdefault("isolation", "worker")
        fields.setdefault("keeps", "return")
        fields.setdefault("products", str(self.folder / "products"))
        function = Function(
            None if "serialized" in fields else reference,
            fields.pop("serialized", None),
            arguments or {},
            (str(self.modules),),
            fields.pop("checks", ""),
        )
        return self.order(function, **fields)

    def module(self, source: str, name: str = "functions") -> None:
        """Write a module whose functions can be called."""
        self.modules.mkdir(exist_ok=True)
        (self.modules / f"{name}.py").write_text(source, encoding="utf-8")

    @property
    def modules(self) -> Path:
        return self.folder / "modules"

    def submit(self, *orders: Order) -> None:
        self.executor.submit(orders)

    def wait(self, until: Callable[[], bool], executor: ProcessExecutor | None = None) -> None:
        """Poll until the condition holds."""
        limit = time.monotonic() + LIMIT
        executor = executor or self.executor
        while not until():
            left = limit - time.monotonic()
            assert left > 0, f"nothing more came within {LIMIT} s; so far: {self.reports}"
            select.select(executor.bells(), [], [], min(left, 1.0))
            new = executor.poll()
            self.reports += new.reports
            self.offsets.update(new.offsets)

    def outcomes(self) -> dict[AttemptKey, Outcome]:
        found: dict[AttemptKey, Outcome] = {}
        for report in self.reports:
            if isinstance(report, Finished):
                assert report.key not in found, f"{report.key} ended twice"
                found[report.key] = report.outcome
        return found

    def finish(self, *orders: Order) -> list[Outcome]:
        """Wait for the ends of these; their outcomes."""
        self.wait(lambda: {order.key for order in orders} <= self.outcomes().keys())
        found = self.outcomes()
        return [found[order.key] for order in orders]

    def do(self, *orders: Order) -> list[Outcome]:
        self.submit(*orders)
        return self.finish(*orders)

    def began(self, order: Order) -> Began:
        """Wait for its beginning."""

        def found() -> list[Began]:
            return [report for report in self.reports if isinstance(report, Began) and report.key == order.key]

        self.wait(lambda: bool(found()))
        return found()[0]

    def remarks(self) -> list[Remark]:
        return [report for report in self.reports if isinstance(report, Remark)]

    def read(self, region: LogRegion) -> bytes:
        if region.length == 0:
            return b""
        with open(self.log_folder / region.file, "rb") as file:
            file.seek(region.offset)
            return file.read(region.length)

    def supervisor_pid(self) -> int:
        """Of the supervisor that started last."""
        from weft.executors.supervisor.receipts import ReceiptReader

        names = sorted(
            (self.run_folder / "receipts").glob("supervisor-*.log"), key=lambda path: path.stat().st_mtime_ns
        )
        reader = ReceiptReader(str(names[-1]), self.run)
        reader.close()
        return int(reader.header["pid"])

    def abandon(self) -> ProcessExecutor:
        """The engine is gone without a word: its connections close, nothing else happens."""
        old, self.executor = self.executor, self.new_executor()
        old.close()
        return old

    def wait_for_death(self, pid: int) -> None:
        """Until the process is gone."""
        wait_for_ends([pid])

    def live_processes(self) -> list[int]:
        return [living.pid for living in bearers(self.token)]

    def audit(self) -> None:
        """Close, and make sure that nothing stays: what does is told, and ended, so that a failed test leaves nothing behind."""
        self.executor.close()
        pid = None
        if list((self.run_folder / "receipts").glob("supervisor-*.log")):
            pid = self.supervisor_pid()
        try:
            self._wait_for_the_end(pid)
        finally:
            self._end_what_remains(pid)
        log = self.run_folder / "supervisor.log"
        assert not log.exists() or log.read_text() == "", log.read_text()

    def _wait_for_the_end(self, pid: int | None) -> None:
        wait_for_ends(link._graves)
        link._reap_graves()
        assert not link._graves
        if pid is not None:
            wait_for_ends([pid])
            assert not is_living(pid)
        wait_for_ends(self.live_processes())
        assert self.live_processes() == []

    def _end_what_remains(self, pid: int | None) -> None:
        if pid is not None and is_living(pid):
            os.kill(pid, signal.SIGKILL)  # first: it would start others
        for living in bearers(self.token):
            try:
                os.kill(living.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has just ended


@contextmanager
def local_run(folder: Path, *, is_early: bool = False) -> Iterator[LocalRun]:
    """A run that is audited at its end, and leaves no descriptor open. is_early: its first supervisor was born before it."""
    before = descriptors()
    found = LocalRun(folder, **({"newborn": link.give_birth("ab" * 16)} if is_early else {}))
    yield found
    found.audit()
    assert descriptors() == before


def is_living(pid: int) -> bool:
    """Whether it runs; our own dead child is reaped."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent = file.read().rsplit(b")", 1)[1].split()[:2]
    except OSError:
        return False
    return state not in (b"Z", b"X") or int(parent) == os.getpid()  # the next call reaps it


def python(source: str, *arguments: str) -> list[str]:
    """argv of a Python program."""
    return [sys.executable, "-c", source, *arguments]


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return sorted(found)
