"""Amounts that running attempts hold, as integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from weft.units import BYTE_AMOUNTS as BYTE_AMOUNTS
from weft.units import MICRO as MICRO
from weft.units import MILLI as MILLI

CORES: Final = "cores"
MEMORY: Final = "memory"
DISK: Final = "disk"


def to_units(name: str, amount: float) -> int:
    """The integer that stands for `amount`: millicores, bytes, or micro-units; rounded up, so a demand never vanishes."""
    scale = MILLI if name == CORES else 1 if name in BYTE_AMOUNTS else MICRO
    if isinstance(amount, int):
        return amount * scale
    exact = amount * scale
    nearest = round(exact)
    if abs(exact - nearest) <= 1e-9 * max(1.0, abs(exact)):  # 0.07 * 1000 is 70.00000000000001 and means 70
        return nearest or int(amount > 0)
    return ceil(exact)


def from_units(name: str, units: int) -> float | int:
    """The amount that the integer stands for; whole numbers as int."""
    scale = MILLI if name == CORES else 1 if name in BYTE_AMOUNTS else MICRO
    return units // scale if units % scale == 0 else units / scale


@dataclass(frozen=True, slots=True)
class Resources:
    """A demand: amounts by name, in integer units (see `to_units`), sorted by name, none of them zero but `cores`."""

    amounts: tuple[tuple[str, int], ...] = ((CORES, MILLI),)

    @classmethod
    def of(cls, amounts: Mapping[str, float]) -> Resources:
        """From amounts as people write them: cores, bytes, plain numbers. `cores` defaults to 1; other zeros are no demand."""
        units = {name: to_units(name, amount) for name, amount in amounts.items() if amount or name == CORES}
        units.setdefault(CORES, MILLI)
        return cls(tuple(sorted(units.items())))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.amounts)

    def units(self, name: str) -> int:
        """Units demanded of `name`; 0 when not named."""
        return next((units for key, units in self.amounts if key == name), 0)

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit, None when there is none."""
        return self.units(MEMORY) or None

    def as_json(self) -> dict[str, float | int]:
        """Amounts as people write them."""
        return {name: from_units(name, units) for name, units in self.amounts}


ONE_CORE: Final = Resources()
NO_CORES: Final = Resources(((CORES, 0),))
