"""What the links of this host can carry and carry now, in bytes per second, as the kernel tells it below /sys/class/net."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final

MEGABIT_BYTES: Final = 125_000  # of a second's million bits
LOOPBACK: Final = "lo"


class Links:
    """The interfaces that are up and know their speed. folder: /sys/class/net, another one for tests.

    Where real devices are among them, only those count: bridges and pairs of containers carry the same bytes again.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._sample: tuple[float, int] | None = None
        self._rate = 0

    def speed(self) -> int | None:
        """All links together; None when no speed is known."""
        return sum(self._speeds().values()) or None

    def idle(self, least_seconds: float) -> int | None:
        """What is not used now, measured since the last call; None when no speed is known."""
        speeds = self._speeds()
        if not speeds:
            return None
        now, moved = time.monotonic(), self._moved(list(speeds))
        if self._sample is None:
            self._sample = (now, moved)
        elif now - self._sample[0] >= least_seconds:
            self._rate = int(max(0, moved - self._sample[1]) / (now - self._sample[0]))
            self._sample = (now, moved)
        return max(0, sum(speeds.values()) - self._rate)

    def _speeds(self) -> dict[str, int]:
        found = {}
        for name in self._names():
            speed = _number(os.path.join(self._folder, name, "speed"))
            if speed is not None and speed > 0 and _text(os.path.join(self._folder, name, "operstate")) == "up":
                found[name] = speed * MEGABIT_BYTES
        real = {name: speed for name, speed in found.items() if os.path.exists(f"{self._folder}/{name}/device")}
        return real or found

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder) if name != LOOPBACK)
        except OSError:
            return []

    def _moved(self, names: Sequence[str]) -> int:
        """Bytes since the links came up, in the direction that carried more."""
        received, sent = (
            sum(_number(os.path.join(self._folder, name, f"statistics/{way}_bytes")) or 0 for name in names)
            for way in ("rx", "tx")
        )
        return max(received, sent)


def _number(path: str) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:  # the speed of a link that is down, or of one without any, cannot be read: EINVAL
        return ""
