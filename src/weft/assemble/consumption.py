"""What the tasks of a template used beside what they asked for, and what to ask for next time (`weft usage`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean, median
from typing import Any, Final, NamedTuple

from weft.ports import AttemptRow, TaskRow
from weft.scheduling.outcomes import CACHED
from weft.spec.resources import CORES, MEMORY, from_units
from weft.units import MEBIBYTE

SAFETY: Final = 1.2
"""How much more than was used is suggested, as a factor."""

WORTH_MEASURING: Final = 0.2
"""Seconds: of shorter attempts nobody can say how many cores they kept busy."""

LEAST_MEMORY: Final = 64 * MEBIBYTE
LEAST_RUNTIME: Final = 10  # seconds; below both, a busy host makes more of a difference than the task

STRATEGIES: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "max": max,
    "avg": fmean,
    "median": median,
    "min": min,
}


class Figures(NamedTuple):
    """Of some measurements, at least one."""

    min: float
    mean: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figures | None:
        """None of none."""
        return cls(min(values), fmean(values), median(values), max(values)) if values else None

    def as_json(self) -> dict[str, float]:
        """By name."""
        return {name: round(value, 6) for name, value in zip(self._fields, self, strict=True)}


@dataclass(frozen=True, slots=True)
class Consumption:
    """Of the tasks of one template in one or more runs. Lists hold one value for each task that ran and ended well.

    seconds, cpu_seconds: of the attempt that ended it. memory: peak bytes. cores: CPU seconds per second.
    asked: the largest request by name: cores, memory (bytes), timeout (seconds); None where nobody asked.
    """

    template: str
    cluster: str
    tasks: int
    attempts: int
    seconds: Sequence[float]
    cpu_seconds: Sequence[float]
    memory: Sequence[float]
    cores: Sequence[float]
    asked: Mapping[str, float | None]

    def waste(self) -> dict[str, float | None]:
        """Which share of what was asked for nobody used, at the mean, from 0 to 1; None where nobody asked or measured."""
        used = {"cores": self.cores, "memory": self.memory, "timeout": self.seconds}
        return {name: _waste(self.asked.get(name), values) for name, values in used.items()}

    def suggested(self, safety: float = SAFETY, strategies: Mapping[str, str] = {}) -> dict[str, float | int]:
        """Amounts to ask for: cores, memory (bytes), runtime (seconds). strategies: by those names, `max` unless given.

        Never below what the strategy saw, and in whole MiB, seconds and cores.
        """
        found: dict[str, float | int] = {}
        if self.cores:
            # A core that is busy to the last per cent is one core: what is above it is the error of clocks.
            found["cores"] = max(1, ceil(round(_by(strategies, "cores", self.cores), 1) - 0.1))
        if self.memory:
            seen = _by(strategies, "memory", self.memory) * safety
            found["memory"] = max(LEAST_MEMORY, ceil(seen / MEBIBYTE) * MEBIBYTE)
        if self.seconds:
            found["runtime"] = max(LEAST_RUNTIME, ceil(_by(strategies, "runtime", self.seconds) * safety))
        return found


def _by(strategies: Mapping[str, str], name: str, values: Sequence[float]) -> float:
    return STRATEGIES[strategies.get(name, "max")](values)


def _waste(asked: float | None, used: Sequence[float]) -> float | None:
    if not asked or not used:
        return None
    return round(max(0.0, 1.0 - fmean(used) / asked), 4)


def consumptions(
    tasks: Iterable[TaskRow], attempts: Iterable[AttemptRow], kinds: Mapping[str, str], clusters: Mapping[str, str]
) -> dict[str, Consumption]:
    """By template. tasks, attempts: of one run. kinds: template by task name. clusters: where the tasks of a template ran."""
    rows: dict[str, list[TaskRow]] = {}
    kind_by_index: dict[int, str] = {}
    for row in tasks:
        kind = kinds.get(row.name)
        if kind is not None:
            rows.setdefault(kind, []).append(row)
            kind_by_index[row.task] = kind
    asked: dict[str, dict[str, float | None]] = {
        kind: {"cores": None, "memory": None, "timeout": None} for kind in rows
    }
    counts = dict.fromkeys(rows, 0)
    for attempt in attempts:
        kind = kind_by_index.get(attempt.key.task)
        if kind is not None:
            counts[kind] += attempt.charged
            _raise(asked[kind], attempt)
    return {
        kind: _consumption(kind, clusters.get(kind, "local"), found, counts[kind], asked[kind])
        for kind, found in rows.items()
    }


def _raise(asked: dict[str, float | None], attempt: AttemptRow) -> None:
    amounts = dict(attempt.request.amounts)
    for name, value in (
        ("cores", from_units(CORES, amounts.get(CORES, 0))),
        ("memory", amounts.get(MEMORY)),
        ("timeout", attempt.request.timeout),
    ):
        if value is not None and value > (asked[name] or 0):
            asked[name] = value


def _consumption(
    kind: str, cluster: str, rows: Sequence[TaskRow], attempts: int, asked: Mapping[str, float | None]
) -> Consumption:
    ran = [row for row in rows if row.state == "ok" and row.cause != CACHED and row.seconds is not None]
    return Consumption(
        kind,
        cluster,
        len(rows),
        attempts,
        [row.seconds for row in ran if row.seconds is not None],
        [row.cpu_seconds for row in ran if row.cpu_seconds is not None],
        [float(row.memory) for row in ran if row.memory is not None],
        [
            row.cpu_seconds / row.seconds
            for row in ran
            if row.cpu_seconds is not None and row.seconds is not None and row.seconds >= WORTH_MEASURING
        ],
        asked,
    )


# --- files of resources --------------------------------------------------------------------------------------------------


def suggestions_text(suggested: Mapping[str, Mapping[str, Mapping[str, float | int]]]) -> str:
    """YAML of workflows.md 4.4. suggested: amounts by template and cluster, memory in bytes."""
    lines = ["task_template_resources:"]
    for template, by_cluster in suggested.items():
        lines.append(f"  {_key(template)}:")
        for cluster, amounts in by_cluster.items():
            lines.append(f"    {_key(cluster)}:")
            lines += [f"      {name}: {_amount(name, amount)}" for name, amount in amounts.items()]
    if not suggested:
        lines = ["task_template_resources: {}"]
    return "\n".join(lines) + "\n"


def suggestions_document(suggested: Mapping[str, Mapping[str, Mapping[str, float | int]]]) -> dict[str, Any]:
    """The same as values."""
    return {
        "task_template_resources": {
            template: {
                cluster: {name: _amount(name, amount) for name, amount in amounts.items()}
                for cluster, amounts in by_cluster.items()
            }
            for template, by_cluster in suggested.items()
        }
    }


def _key(name: str) -> str:
    """As YAML reads it again, whatever it holds: JSON's texts are YAML's."""
    is_plain = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() and not name[0].isdigit()
    is_word = name.lower() in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    return name if is_plain and name[0] != "-" and not is_word else json.dumps(name)


def _amount(name: str, amount: float) -> Any:
    return f"{ceil(amount / MEBIBYTE)}M" if name == "memory" else amount
