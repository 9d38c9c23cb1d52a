"""The graphics processors of this host, by NVIDIA's management library (extra `gpu`: nvidia-ml-py), when both are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from weft.units import MICRO

GPU: Final = "gpu"
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


class GpuTracker:
    """Fulfils `ports.Tracker`: whole devices, in micro-units. Without library, driver or device: nothing.

    load: gives the library's module; another one serves tests. visible: `CUDA_VISIBLE_DEVICES`, None when it is not set.
    """

    def __init__(self, load: Callable[[], Any] | None = None, visible: str | None = None):
        self._library = _open(load or (lambda: import_module("pynvml")))
        self._visible = visible

    def capacity(self) -> Mapping[str, int]:
        """Devices that programs started here may use."""
        number = len(self._indexes())
        return {GPU: number * MICRO} if number else {}

    def available(self) -> Mapping[str, int]:
        """Devices that no process computes on."""
        indexes = self._indexes()
        if not indexes:
            return {}
        return {GPU: sum(not self._is_used(index) for index in indexes) * MICRO}

    def _indexes(self) -> Sequence[int]:
        if self._library is None:
            return ()
        count = int(self._library.nvmlDeviceGetCount())
        if self._visible is None:
            return range(count)
        words = visible_devices(self._visible)
        if all(word.isdigit() for word in words):
            return [int(word) for word in words if int(word) < count]
        return range(min(count, len(words)))  # by UUID: how many is what counts

    def _is_used(self, index: int) -> bool:
        library = self._library
        return bool(library.nvmlDeviceGetComputeRunningProcesses(library.nvmlDeviceGetHandleByIndex(index)))


def visible_devices(text: str) -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` names, up to the first word that ends the list (-1, as CUDA reads it)."""
    words = []
    for word in text.split(","):
        if not word.strip() or word.strip() == "-1":
            break
        words.append(word.strip())
    return words


def host_gpus() -> GpuTracker:
    """Of this host, as its processes see them."""
    return GpuTracker(visible=os.environ.get(VISIBLE))


def _open(load: Callable[[], Any]) -> Any:
    """The library, ready; None when there is none, or no driver for it to talk to."""
    try:
        library = load()
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library
