"""The executor's supervisor: started or found, spoken to, its receipts read, and followed by another one when it dies.

When the connection ends, the supervisor is dead, or obeys a later engine. What a dead one had started is ended first, by a
thread beside the loop; what is said meanwhile is kept back, and goes to the next one.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from weft.errors import BackendError, OwnedError
from weft.executors import link
from weft.executors.supervisor.receipts import ReceiptReader
from weft.executors.supervisor.wire import WireOrder

FAREWELL_SECONDS = 0.25  # that `close` waits for a supervisor that has nothing left to do
STILLBORN_LIMIT = 3  # supervisors in a row that die before their first receipt
PARTING_SECONDS = 2.0  # from the end of its connection until a dying supervisor's lock is free

Facts = Sequence[tuple[int, list[Any]]]
"""(number of the receipt, what it says), in order."""


class Supervision:
    """environment: of every attempt. bell: rings for the connection. ring: wakes the loop, from any thread.

    seen: number of the last receipt that was taken up; who takes it up says so. keeper: the supervisor's pid, None while there
    is none. memory_method: how it enforces limits.
    """

    def __init__(
        self,
        place: link.Place,
        run_token: str,
        epoch: int,
        environment: Mapping[str, str],
        bell: select.epoll,
        ring: Callable[[], None],
        newborn: link.Newborn | None = None,
    ):
        self._place = place
        self._run_token = run_token
        self._epoch = epoch
        self._environment = environment
        self._bell = bell
        self._ring = ring
        self._newborn = newborn  # serves once, as the first
        self._link: link.Link | None = None
        self._reader: ReceiptReader | None = None
        self._reader_path = ""
        self._stillborn = 0
        self._waiting: list[Any] | None = None  # messages kept back while the remains of a dead supervisor are ended
        self._sweeper: threading.Thread | None = None
        self._is_swept = False
        self._unkillable: list[str] = []
        self.seen = 0
        self.keeper: int | None = None
        self.memory_method = "unknown"

    def prepare(self) -> None:
        """Let there be one."""
        if self._link is None and self._waiting is None:
            self._start()

    def _start(self) -> None:
        link.make_folders(self._place)
        folder = f"{self._place.run_folder}/receipts"
        names = (self._place.name("supervisor", number) for number in count(1))
        name = next(name for name in names if not os.path.lexists(f"{folder}/{name}.log"))
        writer = name.removeprefix("supervisor-")
        newborn, self._newborn = self._newborn, None
        self._link = link.start(self._place, writer, self._bell, newborn)
        self._link.send(self._greeting())
        self._reader_path = f"{folder}/{name}.log"
        self.seen = 0

    def _greeting(self) -> dict[str, Any]:
        return {"hello": self._epoch, "run": self._place.run, "environment": self._environment}

    def find(self) -> tuple[str, set[int]] | None:
        """Be the engine of the living supervisor: the name of its receipts, nonces of what lives; None when there is none.

        One that is about to exit is waited for. Raises OwnedError, BackendError.
        """
        limit = time.monotonic() + PARTING_SECONDS
        while True:
            found = link.find(self._place, self._bell)
            if found is not None and (reply := found.ask(self._greeting())) is not None:
                if not reply["accepted"]:
                    found.close()
                self._take_reply(reply)
                self._link = found
                return reply["receipts"], set(reply["live"])
            if not link.is_alive(self._place):
                return None
            if time.monotonic() > limit:
                hint = "see `weft doctor`; nothing was taken from it"
                raise BackendError("the supervisor of this run holds its lock, but does not answer", hint)
            time.sleep(0.01)

    def _take_reply(self, reply: Mapping[str, Any]) -> None:
        if not reply["accepted"]:
            raise OwnedError(f"a later engine (epoch {reply['epoch']}) owns the processes of this run")
        self.memory_method, self.keeper = reply["limits"]["memory"], reply["pid"]

    def follow(self, reader: ReceiptReader) -> None:
        """Go on with receipts that were read so far."""
        self._reader, self._reader_path, self.seen = reader, reader.path, reader.sequence

    def say(self, value: Any) -> None:
        """Hand it a message; it is started for it if need be."""
        if self._waiting is not None:
            self._waiting.append(value)
            return
        if self._link is None:
            self._start()
        assert self._link is not None
        self._link.send(value)

    def order(self, orders: Sequence[WireOrder]) -> None:
        """Hand it orders."""
        self.say({"orders": orders, "seen": self.seen})

    def turn(self) -> bool:
        """Send what waits, hear what was said; whether there may be receipts. Raises OwnedError."""
        talk = self._link
        if talk is None:
            return False
        talk.turn()
        for reply in talk.answers:
            self._take_reply(reply)
        talk.answers.clear()
        has_rung, talk.has_rung = talk.has_rung, False
        return has_rung

    def read(self) -> tuple[Facts, list[str]]:
        """New receipts, and what is damaged among them."""
        if self._reader is None:
            if not self._reader_path or not os.path.exists(self._reader_path):
                return (), []
            reader = ReceiptReader(self._reader_path, self._place.run)
            if reader.refusal is not None:
                reader.close()
                raise BackendError(f"receipts file {self._reader_path} cannot be used: {reader.refusal}")
            self._reader = reader
        facts, damages = self._reader.read()
        return facts, [f"receipts file {self._reader_path}: {text}" for text in damages]

    def offset(self) -> tuple[str, int]:
        """The receipts that are being read: name of the file, and how many bytes of it were."""
        assert self._reader is not None
        return os.path.basename(self._reader_path), self._reader.offset

    # --- death and succession ------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, and nobody has seen to it."""
        return self._link is not None and not self._link.is_open

    def see_off(self) -> None:
        """Wait until the supervisor is dead. Raises OwnedError when it lives on: it obeys another engine."""
        assert self._link is not None
        limit = time.monotonic() + PARTING_SECONDS
        while link.is_alive(self._place):
            if time.monotonic() > limit:
                raise OwnedError("the supervisor of this run obeys another engine now")
            self._link.bury(0.01)
            time.sleep(0.005)
        if not self._link.bury():
            self._link.leave()

    def clear_up(self) -> None:
        """Its last receipts were read: end what it had started. From now on messages are kept back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._stillborn = 0
        else:
            self._note_stillborn()
        self._reader_path = ""
        self._link = None
        self.keeper = None
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
        self._unkillable = self.end_bearers()
        self._is_swept = True  # not `is_alive`: the thread still lives when its bell is heard
        self._ring()

    def end_bearers(self) -> list[str]:
        """End all processes of this run; which of them cannot be ended."""
        from weft.executors.sweep import sweep

        return sweep(self._run_token, self._place.grace)

    @property
    def is_waiting(self) -> bool:
        """Whether messages are kept back."""
        return self._waiting is not None

    @property
    def is_clear(self) -> bool:
        """Whether what a dead one had started is ended, and `succeed` is due."""
        return self._waiting is not None and self._is_swept

    def succeed(self) -> tuple[list[Any], list[str]]:
        """Speak to a new one from now on. The messages that were kept back; what could not be ended."""
        waiting, self._waiting, self._sweeper = self._waiting, None, None
        assert waiting is not None
        self.seen = 0
        return [{**value, "seen": 0} if "orders" in value else value for value in waiting], self._unkillable

    # --- the end -------------------------------------------------------------------------------------------------------

    def part(self) -> None:
        """Let the supervisor go on alone."""
        if self._link is not None:
            self._link.close()

    def close(self, is_idle: bool) -> None:
        """Let go of everything, after `part`. is_idle: it has nothing left to do, so its end is near."""
        if self._newborn is not None:
            self._newborn.dismiss()
            self._newborn = None
        if self._link is not None:
            if not self._link.bury(FAREWELL_SECONDS if is_idle else 0.0):
                self._link.leave()
            self._link = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._sweeper is not None:
            self._sweeper.join()
