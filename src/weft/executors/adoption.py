"""What of an earlier engine's snippets and calls still lives, in hosts and workers that live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.executors.hosts import HostPool
from weft.executors.pool import WorkerPool
from weft.executors.receipts import Past
from weft.scheduling.keys import AttemptKey


def adopt_hosts(hosts: HostPool, wanted: Mapping[int, AttemptKey], live: set[int], past: Past) -> set[int]:
    """Snippets in flight, by nonce. live: nonces of what the supervisor has."""
    hosted: set[int] = set()
    for name, reader in list(past.readers.items()):
        nonce = reader.header.get("host")
        if nonce not in live:
            continue
        mine = {}
        for begun in past.by_file.get(name, ()):
            if begun in wanted and begun not in past.ended:
                mine[begun] = (wanted[begun].task, wanted[begun].instance)
        hosts.adopt(nonce, past.release(name), mine)
        hosted |= mine.keys()
    return hosted


def adopt_workers(
    pool: WorkerPool, wanted: Mapping[int, AttemptKey], live: set[int], past: Past
) -> dict[int, list[Any]]:
    """Calls in flight: their `started` facts, by nonce. What the others have come to is noted in `past`."""
    called: dict[int, list[Any]] = {}
    for name, reader in list(past.readers.items()):
        nonce = reader.header.get("worker")
        if nonce is None:
            continue
        if nonce in live:
            begin, facts = pool.adopt(nonce, reader, wanted)
            for fact in facts:
                if fact[1] in wanted:
                    past.take(name, fact)
            if begin is not None and begin[1] not in past.ended:
                called[begin[1]] = begin
            continue
        meanwhile = pool.ended_meanwhile(name.removesuffix(".log"), past.workers[nonce], wanted)
        if meanwhile is not None:
            begin, end = meanwhile
            past.started.setdefault(begin[1], begin)
            if end is not None:
                past.ended.setdefault(begin[1], end)
    return called
