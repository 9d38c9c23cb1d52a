"""A host of snippets: one process, a thread for each, receipts of its own: role `host`.

The main thread alone talks and writes receipts (save `os._exit`, whose caller must be known before the process is
gone). Without an engine it goes on until its snippets are done, looking for the next engine meanwhile, and then exits.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import sys
import threading
import time
import types
from collections import deque
from typing import Any

from .calls import Result, run_source
from .capture import Capture, Owners, Text, inherit_owner
from .census import boot_id
from .children import inherit_output
from .lateness import MOMENT_SECONDS, is_late
from .receipts import ReceiptWriter
from .wire import message, take_messages

SPILL_SECONDS = 0.25  # output of a snippet that is older than this becomes visible
RECONNECT_SECONDS = 0.2
LONGEST_PAUSE = 86400.0  # seconds; select takes no more than 292 years, and time limits may be longer
EMPTY = ("", 0, 0)


class Call:
    """A snippet in flight. result: set by its thread; told: its end is in the receipts."""

    def __init__(self, nonce: int, request: dict[str, Any], capture: Capture):
        self.nonce = nonce
        self.request = request
        self.capture = capture
        self.started = time.monotonic()
        self.cpu: float | None = None
        self.told = False


class Host:
    """See the module's text."""

    def __init__(self, settings: dict[str, Any]):
        self._settings = settings
        self._log_folder: str = settings["log_folder"]
        self._folder = os.open(settings["run_folder"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        header = {"run": settings["run"], "host": settings["nonce"], "boot": boot_id(), "pid": os.getpid()}
        self._receipts = ReceiptWriter(f"{settings['run_folder']}/receipts/{settings['name']}.log", header)
        self._calls: dict[int, Call] = {}
        self._done: deque[tuple[Call, Result]] = deque()
        self._timers: list[tuple[float, int]] = []
        self._lock = threading.RLock()  # receipts and pack file
        self._owners = Owners()
        self._pack = -1
        self._pack_name = f"output-{settings['name']}.log"
        self._pack_size = 0
        self._engine: socket.socket | None = None
        self._buffer = bytearray()
        self._wake, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._spill_at = 0.0
        self._rung = self._receipts.sequence
        self._abandoned = False
        self._pid = os.getpid()
        self._exit = os._exit
        self._plain_start = threading.Thread.start

    def prepare(self) -> None:
        """Put our streams and our `os._exit` in place."""
        inherit_owner(self._owners)
        inherit_output(self._owners)
        sys.stdout = Text(self._owners, 0)
        sys.stderr = Text(self._owners, 1)
        os._exit = self._intercept_exit  # type: ignore[assignment]

    def serve(self) -> None:
        """Until nothing is in flight and no engine is there, or the engine says so."""
        self._connect()
        while self._engine is not None or self._calls:
            self._round()
        self._receipts.flush()

    def _round(self) -> None:
        watched = [self._wake] + ([self._engine.fileno()] if self._engine is not None else [])
        ready, _, _ = select.select(watched, [], [], self._pause())
        if self._wake in ready:
            os.read(self._wake, 4096)
        while self._done:
            self._tell(*self._done.popleft())
        if self._engine is not None and self._engine.fileno() in ready:
            self._hear()
        elif self._engine is None and self._calls:
            self._connect()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            due, nonce = heapq.heappop(self._timers)
            if nonce in self._calls and is_late(due, now):
                heapq.heappush(self._timers, (now + MOMENT_SECONDS, nonce))
            else:
                self._abandon(nonce, "timeout")
        if self._calls and now >= self._spill_at:
            self._spill_at = now + SPILL_SECONDS
            for call in list(self._calls.values()):
                call.capture.spill()
        self._ring()

    def _pause(self) -> float | None:
        if not self._calls:
            return RECONNECT_SECONDS if self._receipts.pending else None
        due = [self._spill_at]
        if self._timers:
            due.append(self._timers[0][0])
        pause = min(max(0.0, min(due) - time.monotonic()), LONGEST_PAUSE)
        return min(pause, RECONNECT_SECONDS) if self._engine is None else pause

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"/proc/self/fd/{self._folder}/hosts.sock")
            connection.sendall(message({"host": self._settings["nonce"]}))
        except OSError:
            connection.close()
            return
        self._engine = connection
        self._buffer.clear()

    def _hear(self) -> None:
        assert self._engine is not None
        try:
            data = self._engine.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._engine.close()
            self._engine = None
            return
        self._buffer += data
        for value in take_messages(self._buffer):
            if "run" in value:
                for call in [self._note(request) for request in value["run"]]:
                    self._begin(call)
            elif "stop" in value:
                for nonce in value["stop"]:
                    self._abandon(nonce, value["cause"])
            elif "end" in value and not self._calls:
                self._receipts.flush()
                self._exit(0)  # not by return: an abandoned thread would keep the interpreter from ending

    def _note(self, request: dict[str, Any]) -> Call:
        """Write down that it begins; before it does, or a crash at once would look like one of somebody who never began."""
        nonce = request["nonce"]
        call = Call(nonce, request, Capture(self._log_folder, nonce))
        self._calls[nonce] = call
        names = (f"{nonce:016x}.out", f"{nonce:016x}.err")
        with self._lock:
            self._receipts.add(["started", nonce, None, 0, time.time(), *names])
            self._receipts.flush()
        if request["timeout"] is not None:
            heapq.heappush(self._timers, (call.started + request["timeout"], nonce))
        return call

    def _begin(self, call: Call) -> None:
        thread = threading.Thread(target=self._run, args=(call,), name=f"snippet-{call.nonce}", daemon=True)
        try:
            self._plain_start(thread)
        except RuntimeError as problem:
            self._done.append((call, Result("lost", f"no thread for it: {problem}")))
            os.write(self._wake_in, b"!")

    def _run(self, call: Call) -> None:
        self._owners.capture, self._owners.call = call.capture, call
        request = call.request
        result = run_source(request["source"], request["file"], request["values"])
        if os.getpid() != self._pid:  # the snippet forked, and this is the copy
            self._exit(0 if result.cause is None else 1)
        self._owners.flush()
        if result.trace:
            call.capture.streams[1].write(result.trace.encode("utf-8", "backslashreplace"))
        call.cpu = time.thread_time()
        self._done.append((call, result))
        try:
            os.write(self._wake_in, b"!")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups already

    def _abandon(self, nonce: int, cause: str) -> None:
        """Its thread cannot be stopped; what it still prints is dropped."""
        call = self._calls.get(nonce)
        if call is not None:
            self._abandoned = True
            self._tell(call, Result(cause))

    def _tell(self, call: Call, result: Result) -> None:
        with self._lock:
            if call.told:
                return
            call.told = True
            self._calls.pop(call.nonce, None)
            regions = [self._settle(stream) for stream in call.capture.streams]
            usage = [time.monotonic() - call.started, call.cpu, None, 0]
            code = int(result.cause[5:]) if result.cause is not None and result.cause.startswith("exit:") else None
            charged = result.cause != "lost"
            detail = result.detail
            self._receipts.add(
                ["ended", call.nonce, result.cause, code, detail, charged, usage, *regions, result.product]
            )

    def _settle(self, stream: Any) -> tuple[str, int, int]:
        try:
            data, region = stream.close()
            if region is not None:
                return region  # type: ignore[no-any-return]
            if not data:
                return EMPTY
            if self._pack < 0:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._pack = os.open(f"{self._log_folder}/{self._pack_name}", flags, 0o600)
            offset = self._pack_size
            written = os.write(self._pack, data)
            self._pack_size += written
            return (self._pack_name, offset, written)
        except OSError as problem:
            os.write(2, f"output is lost: {problem}\n".encode())
            return EMPTY

    def _ring(self) -> None:
        with self._lock:
            if self._receipts.sequence == self._rung or not self._receipts.flush():
                return
            self._rung = self._receipts.sequence
        if self._engine is not None:
            try:
                self._engine.sendall(b"!")
            except OSError:
                pass  # the end of the connection is read in its turn

    def _intercept_exit(self, status: int) -> None:
        """`os._exit` of a snippet ends this process; who called it is written down first."""
        call = self._owners.call
        if call is not None and os.getpid() == self._pid and not call.told:
            call.cpu = time.thread_time()
            self._owners.flush()
            self._tell(call, Result(f"exit:{status & 0xFF}", "os._exit was called"))
            with self._lock:
                self._receipts.flush()
        self._exit(status)


def main(argument: str) -> None:
    """Serve as the settings (JSON) say."""
    settings = json.loads(argument)
    for name in [name for name in sys.modules if name.partition(".")[0] == "supervisor"]:
        del sys.modules[name]
    sys.path[0] = ""
    sys.argv = [""]
    host = Host(settings)
    host.prepare()
    sys.modules["__main__"] = types.ModuleType("__main__")
    host.serve()
    host._exit(0)
