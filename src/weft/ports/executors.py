"""Where attempts run, and what such a place may be able to do besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from weft.ports.orders import Order
from weft.ports.reports import Began, Reports
from weft.scheduling.commands import StartAttempt
from weft.scheduling.keys import AttemptKey


class Executor(Protocol):
    """Where attempts run. Calls never block longer than a local socket takes."""

    def submit(self, orders: Sequence[Order]) -> None:
        """Take orders whose intents are durable. A failed start is a `Finished` (`not_found`, `setup`), no exception."""

    def stop(self, keys: Sequence[AttemptKey], how: Literal["withdraw", "terminate", "kill"], cause: str) -> None:
        """End attempts. Each still gives exactly one `Finished`, with `cause` if the stop is what ended it."""

    def poll(self) -> Reports:
        """Everything new, without waiting. `bells` become readable when there may be something."""

    def reattach(
        self, nonces: Mapping[AttemptKey, int], offsets: Mapping[str, int]
    ) -> Mapping[AttemptKey, Began | None]:
        """After a take-over: which open attempts still live here (`Began` once begun, None while queued).

        Ends of the others, read from the receipts behind `offsets`, come by `poll`. An attempt that is neither in the answer
        nor in the next `poll` is gone: what was left of its processes has been ended before this returns.
        """

    def bells(self) -> Sequence[int]:
        """File descriptors to wait on; may change between polls."""

    def close(self) -> None:
        """Let go. Live attempts go on until their end when the executor's processes outlive the engine."""


@runtime_checkable
class StreamExecutor(Protocol):
    """What an executor may be besides: one whose attempts hand on items while they run, and take them. Its `poll` also
    reports `StreamReport`s."""

    def allow(self, nonce: int, items: int) -> None:
        """A producer may have made so many items in all; it waits before the next one."""

    def announce(
        self, nonce: int, bind: str, items: int, state: Literal["open", "complete", "failed"], path: str = ""
    ) -> None:
        """Tell a consumer how many items the flow of its parameter `bind` has by now, and whether more may come.

        path: of the log to read from now on, when the maker began anew.
        """

    def end_input(self, nonce: int, length: int) -> None:
        """The file that a process reads while it grows is whole, and so long. Telling it again does nothing."""


@runtime_checkable
class PausingExecutor(Protocol):
    """What an executor may be besides: one whose attempts can be made to stand still. When the engine is gone they go on."""

    @property
    def keeper(self) -> int | None:
        """Id of a process of this host that all attempts descend from; None while there is none."""

    def pause(self, key: AttemptKey) -> None:
        """Let a live attempt stand still; that time does not count for its time limit. One that cannot goes on."""

    def go_on(self, key: AttemptKey) -> None:
        """The pause is over. Of one that was not paused nothing changes."""


@runtime_checkable
class DryExecutor(Protocol):
    """What an executor may be besides: one that runs nothing. It takes starts as they are, and leaves no work to check."""

    runs_nothing: bool

    def submit(self, orders: Sequence[Order | StartAttempt]) -> None:
        """See `Executor.submit`."""
