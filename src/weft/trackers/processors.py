"""How much of the processors is idle: those that weft may use, and no more than the control groups' quotas leave.

Source: proc(5). What others do on processors that weft may not use takes nothing from it, and inside a container /proc/stat
tells of the whole machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from weft.spec.resources import MILLI
from weft.trackers import readings

SAMPLE_SECONDS: Final = 0.5  # shorter distances between two looks at the load are not measured anew


class Quota(NamedTuple):
    """Of a control group. used: seconds of processor time since it was made; None: nobody tells."""

    group: str
    millicores: int
    used: float | None


class Sample(NamedTuple):
    """A look. when: monotonic. ticks, idle: of `processors` processors since the machine started. used: seconds by group."""

    when: float
    ticks: int
    idle: int
    processors: int
    used: Mapping[str, float]


class Processors:
    """Measures between two looks; before there are two, by the load average. proc: where /proc lies."""

    def __init__(self, proc: str):
        self._proc = proc
        self._last: Sample | None = None
        self._idle = 0

    def idle(self, most: int, quotas: Sequence[Quota]) -> int | None:
        """Millicores, at most `most`; None when it cannot be measured."""
        now = self._look(quotas)
        if now is None:
            return None
        last = self._last
        if last is None:
            load = readings.first_word(os.path.join(self._proc, "loadavg"))
            busy = float(load) if load is not None else 0.0
            self._last, self._idle = now, (os.cpu_count() or 1) * MILLI - int(busy * MILLI)
        elif now.when - last.when >= SAMPLE_SECONDS and now.ticks > last.ticks:
            share = (now.idle - last.idle) / (now.ticks - last.ticks)
            bounds = [int(share * now.processors * MILLI)]
            for quota in quotas:
                if quota.group in now.used and quota.group in last.used:
                    used = (now.used[quota.group] - last.used[quota.group]) / (now.when - last.when)
                    bounds.append(quota.millicores - int(used * MILLI))
            self._last, self._idle = now, min(bounds)
        return max(0, min(most, self._idle))

    def _look(self, quotas: Sequence[Quota]) -> Sample | None:
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        told = dict(_ticks(self._proc))
        own = [ticks for name, ticks in told.items() if name in usable]
        count = len(own)
        if count < len(usable):  # not every processor is told of
            if "cpu" not in told:
                return None
            own, count = [told["cpu"]], os.cpu_count() or 1
        used = {quota.group: quota.used for quota in quotas if quota.used is not None}
        return Sample(time.monotonic(), sum(map(sum, own)), sum(ticks[3] + ticks[4] for ticks in own), count, used)


def _ticks(proc: str) -> Iterator[tuple[str, list[int]]]:
    """Of each processor and, as `cpu`, of all: user nice system idle iowait irq softirq steal."""
    for line in readings.lines(os.path.join(proc, "stat")):
        name, *words = line.split() or [""]
        if not name.startswith("cpu"):
            return  # they stand first
        if len(words) >= 8:
            yield name, [int(word) for word in words[:8]]
