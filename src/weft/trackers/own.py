"""What the attempts themselves use of the host now: processor time and memory of all that descends from their keeper."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from weft.spec.resources import CORES, MEMORY, MILLI

LEAST_SECONDS: Final = 0.2  # shorter distances between two looks are not measured anew


class Process(NamedTuple):
    """parent: its id. ticks: processor time of it and of the children that it has reaped. pages: resident."""

    parent: int
    ticks: int
    pages: int


class OwnUse:
    """Measures a family of processes. proc: where /proc lies; another folder serves tests.

    The keeper adopts what its children leave behind, so nobody leaves the family, and it reaps them, so no time is lost.
    """

    def __init__(self, proc: str = "/proc"):
        self._proc = proc
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._sample: tuple[int, float, int] | None = None
        self._millicores = 0

    def measure(self, keeper: int | None) -> Mapping[str, int]:
        """Millicores since the last call, bytes now. keeper: id of the ancestor; None: nothing runs."""
        if keeper is None:
            return {CORES: 0, MEMORY: 0}
        people = self._people()
        children: dict[int, list[int]] = {}
        for pid, process in people.items():
            children.setdefault(process.parent, []).append(pid)
        family = [keeper] if keeper in people else []
        for pid in family:  # grows while it is read
            family += children.get(pid, ())
        ticks = sum(people[pid].ticks for pid in family)
        self._note(keeper, ticks, time.monotonic())
        return {CORES: self._millicores, MEMORY: sum(people[pid].pages for pid in family) * self._page}

    def _note(self, keeper: int, ticks: int, now: float) -> None:
        if self._sample is None or self._sample[0] != keeper:
            self._sample, self._millicores = (keeper, now, ticks), 0
        elif now - self._sample[1] >= LEAST_SECONDS:
            spent = max(0, ticks - self._sample[2]) / self._ticks_per_second
            self._millicores = int(spent * MILLI / (now - self._sample[1]))
            self._sample = (keeper, now, ticks)

    def _people(self) -> dict[int, Process]:
        found = {}
        for name in os.listdir(self._proc):
            if name.isdigit() and (process := self._look_at(name)) is not None:
                found[int(name)] = process
        return found

    def _look_at(self, name: str) -> Process | None:
        try:
            with open(os.path.join(self._proc, name, "stat"), "rb") as file:
                text = file.read()
        except OSError:  # it has ended
            return None
        words = text[text.rindex(b")") + 2 :].split()  # from its state on; its name may hold anything
        return Process(int(words[1]), sum(map(int, words[11:15])), int(words[21]))
