"""Hosts of a simulation: how they are written, and which of them an attempt goes to."""

from __future__ import annotations

from typing import Any

import pytest

from weft.errors import PlanError, UsageError
from weft.runtime.simulation.hosts import parse_hosts, recorded_hosts, without
from weft.scheduling.hosts import NOWHERE, Hosts
from weft.scheduling.keys import AttemptKey
from weft.scheduling.lanes import Lane, LiveAttempt
from weft.scheduling.outcomes import Request

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("4x48c", [{"cores": 48000}] * 4),
        ("64c", [{"cores": 64000}]),
        ("2x64c,256G", [{"cores": 64000, "memory": 256 * GIB}] * 2),
        ("2x16c+1x8c,32G", [{"cores": 16000}] * 2 + [{"cores": 8000, "memory": 32 * GIB}]),
        (" 1 x 0.5c , memory=1G , gpu=2 ", [{"cores": 500, "memory": GIB, "gpu": 2_000_000}]),
        ("1x4c,disk=1T", [{"cores": 4000, "disk": 2**40}]),
    ],
)
def test_hosts_are_read(text: str, shapes: list[dict[str, int]]) -> None:
    assert [dict(host.amounts) for host in parse_hosts(text)] == shapes


def test_hosts_have_names_of_their_own() -> None:
    assert [host.name for host in parse_hosts("1x2c+2x4c")] == ["host 1", "host 2", "host 3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no number of hosts"),
        ("4x48", "'4x48' is no number of hosts"),
        ("0x4c", "there is at least one host"),
        ("1x0c", "there is at least one host"),
        ("2x4c,", "is no size"),
        ("2x4c,8", "is no size"),
        ("2x4c,1G,2G", "memory is given twice"),
        ("2x4c,gpu=many", "gpu: expected a number"),
        ("2x4c,gpu=nan", "gpu: expected a number"),
        ("2x4c,3=4", "'3' is no name"),
        ("100001x1c", "at most 100000 hosts"),
        ("1x2000000c", "at most 1000000 cores"),
        ("1x1c+-1x4c", "'-1x4c' is no number of hosts"),
        ("١x4c", "is no number of hosts"),
    ],
)
def test_what_is_no_host_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=r"--hosts") as raised:
        parse_hosts(text)
    assert told in str(raised.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        parse_hosts("4x+2x8c,lots+1x1c,gpu=x")
    assert all(text in str(raised.value) for text in ("'4x'", "lots", "gpu"))


def test_recorded_machines_are_hosts() -> None:
    machines: list[dict[str, Any]] = [{"nodeName": "a", "cores": 4, "memory": GIB}, {"nodeName": "b", "cores": 2}]
    hosts = recorded_hosts(machines)
    assert [(host.name, dict(host.amounts)) for host in hosts] == [
        ("a", {"cores": 4000, "memory": GIB}),
        ("b", {"cores": 2000}),
    ]
    assert [dict(host.amounts) for host in without(hosts, "memory")] == [{"cores": 4000}, {"cores": 2000}]


def test_a_plan_without_machines_has_no_recorded_hosts() -> None:
    with pytest.raises(UsageError, match="records no machines"):
        recorded_hosts([])
    with pytest.raises(PlanError, match="'b' does not tell its number of cores"):
        recorded_hosts([{"nodeName": "a", "cores": 1}, {"nodeName": "b"}])


# --- placement ---------------------------------------------------------------------------------------------------------


class Machines:
    """Hosts, and attempts that are put on them by hand. Needs by number: 0 is cores."""

    def __init__(self, *shapes: dict[str, int]):
        self.hosts = Hosts(shapes)
        self.live: list[LiveAttempt] = []

    def lane(self, *needs: tuple[int, int]) -> Lane:
        lane = Lane(len(self.live), ((), None, None, False), needs)
        self.hosts.bind(lane)
        return lane

    def put(self, *needs: tuple[int, int]) -> int:
        lane = self.lane(*needs)
        if not self.hosts.find(lane):
            return NOWHERE
        number = len(self.live)
        live = LiveAttempt(AttemptKey(number, -1, 1), number, Request(()), lane, 0.0, 0.0)
        self.hosts.take(live)
        self.live.append(live)
        assert not list(self.hosts.faults(self.live))
        return live.host

    def end(self, number: int) -> None:
        self.hosts.give(self.live.pop(number))
        assert not list(self.hosts.faults(self.live))


def test_the_fullest_host_that_has_room_is_taken() -> None:
    machines = Machines({"cores": 8}, {"cores": 4}, {"cores": 4})
    assert machines.put((0, 2)) == 1
    assert machines.put((0, 2)) == 1
    assert machines.put((0, 3)) == 2
    assert machines.put((0, 3)) == 0
    machines.end(0)
    assert machines.put((0, 2)) == 1


def test_room_in_the_sum_is_no_room() -> None:
    machines = Machines({"cores": 4}, {"cores": 4})
    assert [machines.put((0, 3)), machines.put((0, 3)), machines.put((0, 2))] == [0, 1, NOWHERE]
    assert [machines.put((0, 1)), machines.put((0, 1)), machines.put((0, 1))] == [0, 1, NOWHERE]


def test_memory_counts_on_hosts_that_state_it() -> None:
    machines = Machines({"cores": 4, "memory": 10}, {"cores": 8})
    assert machines.put((0, 1), (1, 8)) == 0
    assert machines.put((0, 1), (1, 8)) == 1
    assert machines.hosts.totals() == {"cores": 12}
    assert (machines.hosts.largest("cores"), machines.hosts.largest("memory")) == (8, None)


def test_what_needs_no_cores_goes_to_the_first_host_that_has_the_rest() -> None:
    machines = Machines({"cores": 1, "gpu": 0}, {"cores": 2, "gpu": 3})
    assert machines.put((0, 1)) == 0
    assert machines.put() == 0
    assert machines.put((1, 2)) == 1
    assert machines.put((1, 2)) == NOWHERE


def test_a_demand_that_fits_no_host_as_a_whole_is_named_by_what_is_short() -> None:
    hosts = Hosts([{"cores": 8, "memory": 4}, {"cores": 2, "memory": 64}])
    assert hosts.lacking(((0, 9), (1, 1))) == 0
    assert hosts.lacking(((0, 8), (1, 5))) == 1
    assert hosts.lacking(((0, 2), (1, 64))) is None
    assert hosts.lacking(((0, 8), (1, 4))) is None


def test_a_reservation_is_of_the_host_that_will_have_room_first() -> None:
    machines = Machines({"cores": 4}, {"cores": 4})
    for cores in (2, 2, 3):
        machines.put((0, cores))
    assert machines.hosts.reserve(((0, 4),), iter(machines.live)) == 0
    assert machines.hosts.reserve(((0, 4),), iter(reversed(machines.live))) == 1
    assert machines.hosts.reserve(((0, 4),), iter(())) == 1, "when nothing is known, the one with most to spare"
