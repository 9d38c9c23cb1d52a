"""Python's cyclic garbage collector, held back where very many values are made and none of them is a cycle.

It walks what has been made again and again as that grows.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

SPARED_AFTER: Final = 50_000
"""New objects between two collections where a run goes on: it makes many, and hardly ever a cycle of them."""

_is_kept = False  # whether what is made during a pause is never walked

_lock = Lock()
_spared: list[tuple[int, int, int]] = []  # the thresholds that were found, once for each who spares it


def keep_what_is_made() -> None:
    """This process carries one run and ends: what it loads during pauses stays, so that no collection need walk it.

    Nothing for a process that goes on, because cycles among that would never be found.
    """
    global _is_kept
    _is_kept = True


@contextmanager
def collector_paused() -> Iterator[None]:
    """No collection meanwhile; for what ends soon."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if _is_kept:
                gc.freeze()
            gc.enable()


@contextmanager
def collector_spared() -> Iterator[None]:
    """Collections are rare meanwhile; for what may take long, in any number of threads."""
    with _lock:
        _spared.append(_spared[0] if _spared else gc.get_threshold())
        first, *others = _spared[0]
        if 0 < first < SPARED_AFTER:  # 0: the user has switched it off
            gc.set_threshold(SPARED_AFTER, *others)
    try:
        yield
    finally:
        with _lock:
            before = _spared.pop()
            if not _spared:
                gc.set_threshold(*before)
