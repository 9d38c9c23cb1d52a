"""The machines of a simulation: as people write them, and as a WfFormat document records them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from weft.errors import PlanError, Problem, UsageError, cut
from weft.spec.resources import CORES, MEMORY, to_units
from weft.units import BYTE_AMOUNTS, UnitError, parse_size

RECORDED: Final = "recorded"
MOST_HOSTS: Final = 100_000
MOST_CORES: Final = 1_000_000  # of one host
FORMS: Final = "write 4x48c, 100x64c,256G, mixtures as 2x16c+4x8c,32G, or recorded"

_GROUP: Final = re.compile(r"(?:([0-9]{1,9})\s*[xX]\s*)?([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*[cC]")
_NAME: Final = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine. amounts: integer units by name, `cores` always among them; what is not stated is not bound there."""

    name: str
    amounts: Mapping[str, int]


def parse_hosts(text: str) -> tuple[Host, ...]:
    """`4x48c`, `100x64c,256G`, `2x16c+4x8c,32G`, with more amounts as `gpu=2`. Raises UsageError with all that is wrong."""
    problems: list[str] = []
    groups = [_group(part.strip(), problems) for part in text.split("+")]
    if sum(count for count, _ in groups) > MOST_HOSTS:
        problems.append(f"a simulation has at most {MOST_HOSTS} hosts")
    if problems:
        raise UsageError(f"--hosts {cut(text)!r}: {'; '.join(problems)}", FORMS, "hosts")
    shapes = [amounts for count, amounts in groups for _ in range(count)]
    return tuple(Host(f"host {number}", amounts) for number, amounts in enumerate(shapes, 1))


def _group(text: str, problems: list[str]) -> tuple[int, Mapping[str, int]]:
    first, *rest = (part.strip() for part in text.split(","))
    found = _GROUP.fullmatch(first)
    if found is None:
        problems.append(f"{cut(first)!r} is no number of hosts and their cores")
        return 0, {}
    count = int(found[1] or 1)
    cores = to_units(CORES, float(found[2]))
    if not count or not cores:
        problems.append(f"{cut(first)!r}: there is at least one host, and it has cores")
    if cores > to_units(CORES, MOST_CORES):
        problems.append(f"{cut(first)!r}: a host has at most {MOST_CORES} cores")
    amounts = {CORES: cores}
    for part in rest:
        _add_amount(part, amounts, problems)
    return count, amounts


def _add_amount(text: str, amounts: dict[str, int], problems: list[str]) -> None:
    name, sign, value = (part.strip() for part in text.partition("="))
    if not sign:
        name, value = MEMORY, name
    if name in amounts:
        problems.append(f"{name} is given twice in one group")
    elif not _NAME.fullmatch(name):
        problems.append(f"{cut(name)!r} is no name of a resource")
    elif name in BYTE_AMOUNTS:
        try:
            amounts[name] = parse_size(value)
        except UnitError as error:
            problems.append(str(error))
    elif re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", value) is None:
        problems.append(f"{name}: expected a number, not {cut(value)!r}")
    else:
        amounts[name] = to_units(name, float(value))


def recorded_hosts(machines: Sequence[Mapping[str, Any]]) -> tuple[Host, ...]:
    """Those of a document (`formats.wfformat`: `nodeName`, `cores`, `memory` in bytes). Raises UsageError, PlanError."""
    if not machines:
        hint = "only WfFormat documents record machines: name hosts, as --hosts 4x48c"
        raise UsageError("the plan records no machines to simulate", hint, "hosts")
    unknown = [str(machine["nodeName"]) for machine in machines if not machine.get("cores")]
    if unknown:
        hint = "name hosts, as --hosts 4x48c"
        raise PlanError(
            [
                Problem("hosts", f"machine {cut(name)!r} does not tell its number of cores", hint=hint)
                for name in unknown
            ]
        )
    return tuple(Host(str(machine["nodeName"]), _recorded_amounts(machine)) for machine in machines)


def _recorded_amounts(machine: Mapping[str, Any]) -> Mapping[str, int]:
    amounts = {CORES: to_units(CORES, machine["cores"])}
    if machine.get("memory"):
        amounts[MEMORY] = int(machine["memory"])
    return amounts


def without(hosts: Iterable[Host], name: str) -> tuple[Host, ...]:
    """The hosts as if they did not state a resource."""
    return tuple(Host(host.name, {key: units for key, units in host.amounts.items() if key != name}) for host in hosts)
