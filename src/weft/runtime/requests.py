"""What others ask of a live run: events that come from the mailbox, from the API, and from the engine to itself."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence

from weft.scheduling.events import Event


class Requests:
    """Events for the next turn of the loop. read: further ones from outside (a mailbox); bell: what rings for them."""

    def __init__(self, read: Callable[[], Sequence[Event]] | None = None, bell: int | None = None):
        self._waiting: deque[Event] = deque()
        self._own_bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._read = read
        self._outside = () if bell is None else (bell,)

    def put(self, event: Event) -> None:
        """Hand in an event; safe from any thread and from signal handlers."""
        self._waiting.append(event)
        os.eventfd_write(self._own_bell, 1)

    def take(self) -> Sequence[Event]:
        """Everything handed in since the last call."""
        events: list[Event] = []
        try:
            os.eventfd_read(self._own_bell)
        except BlockingIOError:  # nobody rang; what was appended a moment ago will ring
            pass
        while self._waiting:
            events.append(self._waiting.popleft())
        if self._read is not None:
            events.extend(self._read())
        return events

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on."""
        return (self._own_bell, *self._outside)

    def close(self) -> None:
        """Give the bell back."""
        os.close(self._own_bell)
