"""What a call takes: processor time with that of its reaped children, and its peak of memory when it took long enough."""

from __future__ import annotations

import os
import resource
from time import process_time

LONG_SECONDS = 0.010  # a call that is shorter is charged with the memory that the process has anyway
CHILD_SECONDS = 0.0003  # no child is started and reaped in less
FRESH_SECONDS = 0.050  # how old our knowledge of our own size may be
_PAGE = resource.getpagesize()
_RESET_PEAK = b"5"


class Measuring:
    """Differences between calls. `begin` before a call that may be long, `end` after each."""

    def __init__(self) -> None:
        self._processor = process_time()
        self._children = _of_children()
        self._size = 0
        self._looked = 0.0
        self._can_reset = True
        self.begin()

    def begin(self) -> None:
        """From here on the peak counts anew."""
        if not self._can_reset:
            return
        try:
            file = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(file, _RESET_PEAK)
            finally:
                os.close(file)
        except OSError:
            self._can_reset = False

    def end(self, now: float, seconds: float) -> tuple[float, int]:
        """(cpu seconds, bytes of memory) of the call that ended `now` after `seconds`."""
        processor = process_time()
        spent = processor - self._processor
        self._processor = processor
        if seconds >= CHILD_SECONDS:
            children = _of_children()
            spent += children - self._children
            self._children = children
        if seconds >= LONG_SECONDS:
            peak = self._peak()
            self.begin()
            self._size = _resident()
            self._looked = now
            return spent, peak
        if now - self._looked > FRESH_SECONDS:
            self._size = _resident()
            self._looked = now
        return spent, self._size

    def _peak(self) -> int:
        if not self._can_reset:
            return _resident()
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
        return _resident()


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE
