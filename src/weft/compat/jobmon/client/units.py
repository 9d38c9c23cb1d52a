"""Amounts of memory and time in other units, as whole numbers where the original gives whole ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from weft.define.mistakes import show
from weft.errors import InvalidMemoryUnit
from weft.spec.compute import read_memory

UNITS: Final = "BKMGT"
_SPELLINGS: Final = {spelling: unit for unit in UNITS for spelling in (unit, f"{unit}B", f"{unit}IB")}
_SIZES: Final[dict[str, int]] = {unit: 1024**power for power, unit in enumerate(UNITS)}

MINUTE: Final = 60
HOUR: Final = 3600


class MemUnit:
    """Of memory."""

    @staticmethod
    def convert(value: Any, to: str = "G") -> int:
        """Whole units, rounded, but never to nothing: `convert("1.5G", to="M")` is 1536. A bare number is GiB.

        Raises InvalidMemoryFormat, InvalidMemoryUnit.
        """
        amount = read_memory(value)
        unit = _SPELLINGS.get(to.upper()) if isinstance(to, str) else None
        if unit is None:
            raise InvalidMemoryUnit(f"memory: {show(to)} is no unit; units are {', '.join(UNITS)}")
        size = _SIZES[unit]
        return max(1, (2 * int(amount) + size) // (2 * size))


class TimeUnit:
    """A time of several parts. seconds: whole. minutes, hours: with two decimals. readable: as `1:31:10`."""

    def __init__(self, sec: int = 0, min: float = 0.0, hour: float = 0.0):
        self.seconds = round(sec + min * MINUTE + hour * HOUR)
        self.minutes = self.sec_to_min(self.seconds)
        self.hours = self.sec_to_hour(self.seconds)
        self.readable = str(timedelta(seconds=self.seconds))

    @staticmethod
    def min_to_sec(minutes: float) -> int:
        """Whole seconds."""
        return round(minutes * MINUTE)

    @staticmethod
    def hour_to_sec(hour: float) -> int:
        """Whole seconds."""
        return round(hour * HOUR)

    @staticmethod
    def hour_to_min(hour: float) -> float:
        """Minutes, two decimals."""
        return round(hour * HOUR / MINUTE, 2)

    @staticmethod
    def min_to_hour(min: float) -> float:
        """Hours, two decimals."""
        return round(min * MINUTE / HOUR, 2)

    @staticmethod
    def sec_to_hour(sec: float) -> float:
        """Hours, two decimals."""
        return round(sec / HOUR, 2)

    @staticmethod
    def sec_to_min(sec: float) -> float:
        """Minutes, two decimals."""
        return round(sec / MINUTE, 2)
