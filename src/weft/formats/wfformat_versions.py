"""The versions of WfFormat: where each keeps what, by the names of 1.5 (dialects.md 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

KILOBYTE: Final = 1000  # bytes; what WfFormat means by one up to 1.3


class Layout(NamedTuple):
    """Names of one version. tasks: where the list of tasks stands. is_split: specification and execution are apart.

    memory_bytes: what one unit of a memory stands for. attributes: the name of a measured value that is only kept, by its
    name in 1.5.
    """

    tasks: tuple[str, ...]
    is_split: bool
    runtime: str
    cores: str
    memory: str
    memory_bytes: int
    size: str
    makespan: str
    system: str
    machine_cores: str
    attributes: Mapping[str, str]


_NAMES: Final = ("avgCPU", "readBytes", "writtenBytes", "priority", "energyInKWh", "avgPowerInW", "command")
_SPLIT: Final = Layout(
    ("workflow", "specification", "tasks"),
    True,
    "runtimeInSeconds",
    "coreCount",
    "memoryInBytes",
    1,
    "sizeInBytes",
    "makespanInSeconds",
    "runtimeSystem",
    "coreCount",
    {name: name for name in _NAMES},
)
_V14: Final = _SPLIT._replace(
    tasks=("workflow", "tasks"),
    is_split=False,
    cores="cores",
    system="wms",
    machine_cores="count",
    attributes={**_SPLIT.attributes, "energyInKWh": "energy", "avgPowerInW": "avgPower"},
)
_V13: Final = _V14._replace(runtime="runtime", memory="memory", memory_bytes=KILOBYTE, size="size", makespan="makespan")
_V12: Final = _V13._replace(tasks=("workflow", "jobs"))
_V11: Final = _V12._replace(attributes={**_V13.attributes, "command": "arguments"})

LAYOUTS: Final[Mapping[str, Layout]] = {
    "1.0": _V11,
    "1.1": _V11,
    "1.2": _V12,
    "1.3": _V13,
    "1.4": _V14,
    "1.5": _SPLIT,
    "1.6": _SPLIT,
}


def measured_machines(body: Mapping[str, Any], layout: Layout) -> Any:
    """The names of the machines that a task ran on, as the version gives them."""
    if layout.is_split:
        return body.get("machines")
    machine = body.get("machine")
    return [machine] if isinstance(machine, str) else body.get("machines")
