"""Tasks that are asked what they need just before their first start (workflows.md 4.3).

It stands before the inspector: once that has found all requirements met, the task's function is called, in a thread of its own,
one at a time, because functions of a user's script may share what they like.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from weft.ports import BegunRow, FileRow, Inspector, ResultRow
from weft.scheduling.events import Inspected
from weft.scheduling.outcomes import Request

NOT_READABLE: Final = "CallableReturnedInvalidObject"

Ask = Callable[[], Any]


class Unusable(Exception):
    """What a function gave is no request; the text says why."""


class Asked(NamedTuple):
    """function: to be called without arguments. read: makes a request of what it gives; raises `Unusable`."""

    function: Ask
    read: Callable[[Any], Request]


class AskingInspector:
    """Fulfils `ports.Inspector` around another one. asked: by task. known: tasks whose request an earlier engine was told."""

    def __init__(self, inner: Inspector, asked: Mapping[int, Asked], known: Collection[int] = ()):
        self._inner = inner
        self._asked = asked
        self._known = set(known)
        self._waiting: deque[Inspected] = deque()
        self._told: deque[Inspected] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._work = threading.Semaphore(0)
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def ask(self, task: int, force: bool, instances: Sequence[int] | None = None) -> None:
        """See `ports.Inspector`."""
        self._inner.ask(task, force, instances)

    def answers(self) -> Sequence[Inspected]:
        """See `ports.Inspector`."""
        found: list[Inspected] = []
        for answer in self._inner.answers():
            if answer.unmet is not None or answer.fresh or answer.task not in self._asked or answer.task in self._known:
                found.append(answer)
                continue
            self._known.add(answer.task)
            self._waiting.append(answer)
            self._start()
            self._work.release()
        if self._told:
            os.eventfd_read(self._bell)
            while self._told:
                found.append(self._told.popleft())
        return found

    def bells(self) -> Sequence[int]:
        """See `ports.Inspector`."""
        return (*self._inner.bells(), self._bell)

    def finished(self, task: int, instance: int) -> tuple[str, str] | None:
        """See `ports.Inspector`."""
        return self._inner.finished(task, instance)

    def remember(self, task: int) -> None:
        """See `ports.Inspector`."""
        self._inner.remember(task)

    def begun(self) -> Sequence[BegunRow]:
        """See `ports.Inspector`."""
        return self._inner.begun()

    def take(self) -> tuple[Sequence[ResultRow], Sequence[FileRow]]:
        """See `ports.Inspector`."""
        return self._inner.take()

    def drain(self) -> None:
        """See `ports.Inspector`."""
        self._inner.drain()

    def close(self) -> None:
        """See `ports.Inspector`. A function that hangs is not waited for."""
        self._is_closed = True
        if self._thread is None:
            os.close(self._bell)
        self._work.release()
        self._inner.close()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._call_all, name="weft-asking", daemon=True)
            self._thread.start()

    def _call_all(self) -> None:
        while True:
            self._work.acquire()
            if self._is_closed:
                os.close(self._bell)
                return
            answer = self._waiting.popleft()
            request, refusal = _call(self._asked[answer.task])
            self._told.append(answer._replace(request=request, refusal=refusal))
            os.eventfd_write(self._bell, 1)


def _call(asked: Asked) -> tuple[Request | None, str | None]:
    """(request, None), or None and why there is none."""
    try:
        given = asked.function()
    except BaseException as error:  # noqa: BLE001 - a user's function may raise anything; it becomes the task's end
        return None, f"{NOT_READABLE}: the function that was asked for resources raised {type(error).__name__}: {error}"
    try:
        return asked.read(given), None
    except Unusable as error:
        return None, f"{NOT_READABLE}: {error}"
