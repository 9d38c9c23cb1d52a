"""Which graphics processors an attempt may see: decided when its order is written, given back when it has ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from weft.units import MICRO

GPU: Final = "gpu"
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


class Devices:
    """names: of all devices, as `CUDA_VISIBLE_DEVICES` names them.

    Whole ones go to one attempt each; parts share a device, the fullest that has room. The scheduler counts amounts, not
    devices, so parts may leave no whole one where there would be enough in all: then the emptiest are shared.
    """

    def __init__(self, names: Sequence[str]):
        self._names = tuple(names)
        self._free = [MICRO] * len(self._names)
        self._taken: dict[int, list[tuple[int, int]]] = {}  # by nonce: device, units

    def take(self, nonce: int, units: int) -> str | None:
        """The devices of an attempt that holds so many micro-units; None when there are none to choose from."""
        if not units or not self._names:
            return None
        taken = self._taken.get(nonce)
        if taken is None:
            taken = self._taken[nonce] = self._choose(units)
            for device, part in taken:
                self._free[device] -= part
        return ",".join(self._names[device] for device, _ in sorted(taken))

    def adopt(self, nonce: int, units: int, token: str, proc: str = "/proc") -> None:
        """An attempt of an earlier engine lives: it has what its processes say, or, if none can be asked, what is chosen now."""
        seen = _seen_by(token, proc)
        devices = [self._names.index(name) for name in seen if name in self._names]
        if not devices:
            self.take(nonce, units)
            return
        parts = [min(MICRO, max(0, units - MICRO * place)) for place in range(len(devices))]
        self._taken[nonce] = list(zip(devices, parts, strict=True))
        for device, part in self._taken[nonce]:
            self._free[device] -= part

    def give(self, nonce: int) -> None:
        """The attempt has ended."""
        for device, part in self._taken.pop(nonce, ()):
            self._free[device] += part

    def _choose(self, units: int) -> list[tuple[int, int]]:
        whole, rest = divmod(units, MICRO)
        by_room = sorted(range(len(self._names)), key=lambda device: (-self._free[device], device))
        chosen = [(device, MICRO) for device in by_room[:whole]]
        if rest:
            others = [device for device in by_room if device not in dict(chosen)] or by_room
            fitting = [device for device in others if self._free[device] >= rest]
            chosen.append(
                (min(fitting, key=lambda device: (self._free[device], device)) if fitting else others[0], rest)
            )
        return chosen


def device_names(units: int, visible: str | None) -> list[str]:
    """Of a capacity in micro-units: those that `CUDA_VISIBLE_DEVICES` names where it is set, else numbers."""
    count = -(-units // MICRO)
    if visible is None:
        return [str(index) for index in range(count)]
    words = [word.strip() for word in visible.split(",")]
    ends = [place for place, word in enumerate(words) if word in ("", "-1")]  # nothing behind it counts, says CUDA
    return words[: min([count, *ends])]


def _seen_by(token: str, proc: str) -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` says in the process that carries this token."""
    wanted = token.encode()
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            with open(os.path.join(proc, name, "environ"), "rb") as file:
                variables = dict(line.partition(b"=")[::2] for line in file.read().split(b"\0"))
        except OSError:  # it has ended, or is not ours
            continue
        if wanted in variables.get(b"WEFT_TOKEN", b"").split(b" "):
            return os.fsdecode(variables.get(VISIBLE.encode(), b"")).split(",")
    return []
