"""Hosts of snippets, the engine's side: which host a snippet goes to, what its end means when the host is gone.

A host is an attempt of the supervisor like any other, ordered by us under a nonce of its own; it connects back to
`hosts.sock` and is spoken to directly. A snippet that was abandoned makes its host unfit: it takes nothing new and ends
when the others are done.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
from collections.abc import Callable, Mapping
from typing import Any

from weft.executors.doorstep import Doorstep
from weft.executors.frames import Server, server_frame
from weft.executors.link import SUPERVISOR, Place
from weft.executors.opened import UnfitArgumentsError
from weft.executors.supervisor.receipts import ReceiptReader
from weft.executors.supervisor.wire import WireOrder, message, take_messages
from weft.ports import Code, Order
from weft.scheduling.outcomes import LOST, SETUP

HOST_SNIPPETS = 256  # threads of one host; the next snippet opens another

Fact = list[Any]
Tell = Callable[[Fact], None]


class Host:
    """One host process. in_flight: nonces it was given and has not told the end of. unfit: takes nothing new."""

    def __init__(self, nonce: int, name: str, key: tuple[Any, ...] | None, receipts: str):
        self.nonce = nonce
        self.name = name
        self.key = key
        self.receipts = receipts
        self.reader: ReceiptReader | None = None
        self.connection: socket.socket | None = None
        self.outward = bytearray()
        self.in_flight: dict[int, tuple[int, int]] = {}
        self.begun: set[int] = set()
        self.unfit = key is None
        self.culprit_known = False
        self.unfinished: set[tuple[int, int]] = set()  # tasks whose abandoned snippet may still act here


class HostPool:
    """All hosts of a run. `order` hands a WireOrder to the supervisor; `tell` takes facts in the shape of receipts."""

    def __init__(
        self, place: Place, run_token: str, bell: select.epoll, order: Callable[[WireOrder], None], tell: Tell
    ):
        self._place = place
        self._run_token = run_token
        self._bell = bell
        self._order = order
        self._tell = tell
        self._hosts: dict[int, Host] = {}  # by nonce
        self._doorstep = Doorstep(place.run_folder, "hosts.sock", bell, take_messages)
        self._held: list[Order] = []  # wait for the end of a host that their task's last attempt may still act in
        self._made = 0
        self.offsets: dict[str, int] = {}
        self.remarks: list[str] = []

    # --- snippets in ---------------------------------------------------------------------------------------------------

    def start(self, order: Order) -> None:
        """Run a snippet in a host that fits."""
        task = (order.key.task, order.key.instance)
        if any(task in host.unfinished for host in self._hosts.values()):
            self._held.append(order)
            return
        launch = order.launch
        assert isinstance(launch, Code)
        request = {
            "nonce": order.nonce,
            "source": launch.source,
            "file": launch.file,
            "values": dict(launch.values),
            "timeout": order.timeout,
        }
        try:
            frame = message({"run": [request]})
        except (TypeError, ValueError, RecursionError) as error:
            raise UnfitArgumentsError(str(error)) from error
        host = self._fitting(order)
        host.in_flight[order.nonce] = task
        host.outward += frame
        self._push(host)

    def _fitting(self, order: Order) -> Host:
        own = {name: text for name, text in order.environment.items() if not name.startswith("WEFT_")}
        key = (order.interpreter, order.folder, tuple(sorted(own.items())), order.variables, order.niceness)
        for host in self._hosts.values():
            if host.key == key and not host.unfit and len(host.in_flight) < HOST_SNIPPETS:
                return host
        return self._open(order, key, own)

    def _open(self, order: Order, key: tuple[Any, ...], environment: Mapping[str, str]) -> Host:
        self._doorstep.open()
        folder = f"{self._place.run_folder}/receipts"
        self._made += 1
        while os.path.lexists(f"{folder}/{self._place.name('host', self._made)}.log"):
            self._made += 1
        name = self._place.name("host", self._made)
        nonce = secrets.randbits(64)
        host = self._hosts[nonce] = Host(nonce, name, key, f"{folder}/{name}.log")
        server = Server(nonce, name, self._made, -2, -1 - self._made)
        program = (SUPERVISOR, "host")
        self._order(server_frame(self._place, self._run_token, server, program, order, environment))
        return host

    def withdraw(self, nonce: int) -> bool:
        """Take back a snippet that still waits for the end of a host."""
        for order in self._held:
            if order.nonce == nonce:
                self._held.remove(order)
                return True
        return False

    def stop(self, nonce: int, cause: str) -> None:
        """Abandon a snippet in flight."""
        for host in self._hosts.values():
            if nonce in host.in_flight:
                self._send(host, {"stop": [nonce], "cause": cause})

    # --- talk ----------------------------------------------------------------------------------------------------------

    def _send(self, host: Host, value: Any) -> None:
        host.outward += message(value)
        self._push(host)

    def _push(self, host: Host) -> None:
        if host.connection is None or not host.outward:
            return
        try:
            while host.outward:
                del host.outward[: host.connection.send(host.outward)]
        except BlockingIOError:
            pass
        except OSError:
            host.outward.clear()  # it is dead; its end comes as a receipt of the supervisor
        self._bell.modify(host.connection, select.EPOLLIN | (select.EPOLLOUT if host.outward else 0))

    def turn(self) -> None:
        """Hear the hosts, tell what has happened."""
        for greeting, connection in self._doorstep.arrivals():
            self._welcome(greeting, connection)
        for host in list(self._hosts.values()):
            if host.connection is not None:
                self._push(host)
                self._drain(host)
            self._read(host)

    def _welcome(self, greeting: Any, connection: socket.socket) -> None:
        host = self._hosts.get(int(greeting.get("host", -1))) if isinstance(greeting, dict) else None
        if host is None:
            self._doorstep.dismiss(connection)
            return
        host.connection = connection
        self._push(host)

    def _drain(self, host: Host) -> None:
        assert host.connection is not None
        try:
            while host.connection.recv(4096):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self._bell.unregister(host.connection)
        host.connection.close()
        host.connection = None

    # --- facts out -----------------------------------------------------------------------------------------------------

    def _read(self, host: Host) -> None:
        if host.reader is None:
            if not os.path.exists(host.receipts):
                return
            host.reader = ReceiptReader(host.receipts, self._place.run)
            if host.reader.refusal is not None:
                self.remarks.append(f"receipts file {host.receipts} is left aside: {host.reader.refusal}")
        facts, damages = host.reader.read()
        self.remarks += [f"receipts file {host.receipts}: {text}" for text in damages]
        for _, fact in facts:
            if fact[0] == "started" and fact[1] in host.in_flight:
                host.begun.add(fact[1])
                self._tell(fact)
            elif fact[0] == "ended" and fact[1] in host.in_flight:
                self._end(host, fact)
        if facts:
            self.offsets[os.path.basename(host.receipts)] = host.reader.offset

    def _end(self, host: Host, fact: Fact) -> None:
        task = host.in_flight.pop(fact[1])
        cause: str | None = fact[2]
        if cause is not None and cause.startswith("exit:"):
            host.culprit_known = host.unfit = True  # it is about to end
        elif cause is not None and cause != "exception":
            host.unfit = True
            host.unfinished.add(task)
        self._tell(fact)
        if host.unfit and not host.in_flight:
            self._send(host, {"end": 1})

    def gone(self, fact: Fact) -> bool:
        """The supervisor tells the end of a host: close what was in flight there. False when it was no host of ours."""
        host = self._hosts.get(fact[1])
        if host is None:
            return False
        host.unfit = True  # each end that is told from here on may start the next snippet, which must not come here
        self._read(host)
        cause, code, detail, has_begun = fact[2], fact[3], fact[4], fact[6] is not None
        if cause is None:
            cause, code = "exit:0", 0
        alone = len(host.in_flight) == 1 and not host.culprit_known
        for nonce in list(host.in_flight):
            if not has_begun or cause == "not_found" or cause == SETUP:
                end: Fact = ["ended", nonce, SETUP, None, detail, True, None, ("", 0, 0), ("", 0, 0)]
            elif nonce not in host.begun and not alone:
                end = ["ended", nonce, LOST, None, "its host died before it began", False, None, ("", 0, 0), ("", 0, 0)]
            elif alone:
                end = ["ended", nonce, cause, code, "it took its host with it", True, None, *self._output(nonce)]
            else:
                text = f"its host died beside it ({cause})"
                end = ["ended", nonce, LOST, None, text, False, None, *self._output(nonce), None, True]
            self._tell(end)
        self._forget(host)
        waiting, self._held = self._held, []
        for order in waiting:
            self.start(order)
        return True

    def _output(self, nonce: int) -> list[tuple[str, int, int]]:
        """What a snippet's host had made visible of its output."""
        regions = []
        for ending in ("out", "err"):
            name = f"{nonce:016x}.{ending}"
            try:
                regions.append((name, 0, os.stat(f"{self._place.log_folder}/{name}").st_size))
            except FileNotFoundError:
                regions.append(("", 0, 0))
        return regions

    def _forget(self, host: Host) -> None:
        del self._hosts[host.nonce]
        if host.connection is not None:
            self._bell.unregister(host.connection)
            host.connection.close()
        if host.reader is not None:
            host.reader.close()

    def adopt(self, nonce: int, reader: ReceiptReader, in_flight: Mapping[int, tuple[int, int]]) -> None:
        """A host of an earlier engine lives: it ends what it has begun, and gets nothing new."""
        self._doorstep.open()
        host = Host(nonce, os.path.basename(reader.path).removesuffix(".log"), None, reader.path)
        host.reader = reader
        host.in_flight = dict(in_flight)
        host.begun = set(in_flight)
        self._hosts[nonce] = host

    def clear(self) -> list[Order]:
        """All hosts are dead with their supervisor: forget them; the orders that had not gone to any."""
        dead = list(self._hosts.values())
        for host in dead:
            host.unfit = True  # as in `gone`
        for host in dead:
            self._read(host)
            self._forget(host)
        waiting, self._held = self._held, []
        return waiting

    def close(self) -> None:
        """Let go: hosts end by themselves when they are done."""
        for host in list(self._hosts.values()):
            self._forget(host)
        self._doorstep.close()
