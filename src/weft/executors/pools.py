"""The hosts and the workers of a run, each pool from when an order first needs it: most runs start programs only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from weft.executors.hosts import HostPool
    from weft.executors.pool import WorkerPool


class Maker(Protocol):
    """Whose pools these are."""

    def make_hosts(self) -> HostPool:
        """Its hosts, none of them open yet."""

    def make_workers(self) -> WorkerPool:
        """Its workers, likewise."""


class Pools:
    """Asking for `hosts` or `workers` makes that pool; nothing else does."""

    def __init__(self, maker: Maker):
        self._maker = maker
        self._hosts: HostPool | None = None
        self._workers: WorkerPool | None = None

    @property
    def hosts(self) -> HostPool:
        """Those of snippets."""
        if self._hosts is None:
            self._hosts = self._maker.make_hosts()
        return self._hosts

    @property
    def workers(self) -> WorkerPool:
        """Those of calls."""
        if self._workers is None:
            self._workers = self._maker.make_workers()
        return self._workers

    def made(self) -> Iterator[HostPool | WorkerPool]:
        """Those that there are."""
        if self._hosts is not None:
            yield self._hosts
        if self._workers is not None:
            yield self._workers

    def close(self) -> None:
        """Let go of them; calling it again does nothing."""
        for pool in self.made():
            pool.close()

    def gone(self, fact: list[Any]) -> None:
        """The supervisor tells the end of what is no attempt: of a host, a worker, or nothing that is known."""
        any(pool.gone(fact) for pool in self.made())

    def flush(self) -> None:
        """See `WorkerPool.flush`."""
        if self._workers is not None:
            self._workers.flush()

    def dismiss(self, nonce: int) -> None:
        """See `WorkerPool.dismiss`."""
        if self._workers is not None:
            self._workers.dismiss(nonce)

    def worker_of(self, nonce: int) -> int | None:
        """Nonce of the worker that makes a call and has no other one before it."""
        worker = self._workers.where.get(nonce) if self._workers is not None else None
        return worker.nonce if worker is not None and len(worker.queue) == 1 else None
