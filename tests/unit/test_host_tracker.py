"""The host's figures, read from a made-up /proc and /sys."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from weft.trackers.host import HostTracker

GIB = 1 << 30


class Host:
    """Files of a host below a folder."""

    def __init__(self, root: Path, groups: str = "0::/job\n"):
        self.root = root
        (root / "dev/shm").mkdir(parents=True)
        self.write("proc/self/cgroup", groups)
        self.write(
            "proc/meminfo", f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {8 * GIB // 1024} kB\nHugePages_Total: 0\n"
        )
        self.ticks(busy=100, idle=100)
        self.write("proc/loadavg", "0.25 0.1 0.1 2/300 4711\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def ticks(self, busy: int, idle: int) -> None:
        self.write("proc/stat", f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")

    def group(self, name: str, text: str) -> None:
        self.write(f"sys/fs/cgroup/{name}", text)

    @property
    def tracker(self) -> HostTracker:
        return HostTracker(str(self.root), str(self.root))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return Host(tmp_path)


def test_without_limits_there_is_what_the_machine_has(host: Host) -> None:
    found = host.tracker.capacity()
    assert (found["cores"], found["memory"]) == (4000, 16 * GIB)
    assert found["disk"] > 0
    assert found["shared_memory"] > 0


@pytest.mark.parametrize(
    ("quota", "millicores"),
    [("150000 100000", 1500), ("max 100000", 4000), ("900000 100000", 4000), ("1000 100000", 100), ("", 4000)],
)
def test_a_quota_of_version_2_cuts_the_cores(host: Host, quota: str, millicores: int) -> None:
    host.group("job/cpu.max", quota + "\n")
    assert host.tracker.millicores() == millicores


def test_the_tightest_group_up_to_the_root_counts(host: Host) -> None:
    host.write("proc/self/cgroup", "0::/a/b\n")
    host.group("a/b/memory.max", f"{4 * GIB}\n")
    host.group("a/memory.max", f"{2 * GIB}\n")
    host.group("memory.max", "max\n")
    host.group("a/cpu.max", "50000 100000")
    assert host.tracker.memory_bytes() == 2 * GIB
    assert host.tracker.millicores() == 500


def test_groups_of_version_1_are_read_by_controller(host: Host) -> None:
    host.write("proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n2:pids:/box\n0::/\n")
    host.group("memory/box/memory.limit_in_bytes", f"{GIB}\n")
    host.group("memory/memory.limit_in_bytes", "9223372036854771712\n")
    host.group("cpu/box/cpu.cfs_quota_us", "250000\n")
    host.group("cpu/box/cpu.cfs_period_us", "100000\n")
    host.group("pids/box/pids.max", "100\n")
    host.group("pids/box/pids.current", "30\n")
    tracker = host.tracker
    assert (tracker.memory_bytes(), tracker.millicores()) == (GIB, 2500)
    assert tracker.ceiling().processes == 6
    assert tracker.ceiling().reason == "70 more processes of the control group (pids.max)"


def test_version_1_says_no_quota_with_minus_one(host: Host) -> None:
    host.write("proc/self/cgroup", "3:cpu:/\n")
    host.group("cpu/cpu.cfs_quota_us", "-1\n")
    host.group("cpu/cpu.cfs_period_us", "100000\n")
    assert host.tracker.millicores() == 4000


def test_free_memory_leaves_out_what_the_kernel_can_drop(host: Host) -> None:
    assert host.tracker.available()["memory"] == 8 * GIB
    host.group("job/memory.max", f"{4 * GIB}\n")
    host.group("job/memory.current", f"{3 * GIB}\n")
    host.group("job/memory.stat", f"anon {GIB}\ninactive_file {2 * GIB}\n")
    assert host.tracker.available()["memory"] == 3 * GIB
    host.group("job/memory.current", f"{9 * GIB}\n")
    assert host.tracker.available()["memory"] == 0


def test_free_cores_come_from_the_load_first_and_then_from_measured_time(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("weft.trackers.processors.time.monotonic", lambda: now)
    tracker = host.tracker
    assert tracker.available()["cores"] == 3750
    host.ticks(busy=175, idle=125)
    assert tracker.available()["cores"] == 3750  # too soon after the last look
    now = 1.0
    assert tracker.available()["cores"] == 1000
    now = 2.0
    host.ticks(busy=175, idle=225)
    assert tracker.available()["cores"] == 4000


def test_what_others_do_on_processors_that_weft_may_not_use_takes_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("weft.trackers.processors.time.monotonic", lambda: now)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)

    def write(total: int, busy: list[int]) -> None:
        lines = [f"cpu{number} {used} 0 0 {total - used} 0 0 0 0 0 0" for number, used in enumerate(busy)]
        host.write("proc/stat", "\n".join(["cpu 9 0 0 9 0 0 0 0 0 0", *lines, "intr 1"]) + "\n")

    write(1000, [0] * 64)
    host.write("proc/loadavg", "30.0 1 1 2/300 4711\n")
    tracker = host.tracker
    assert tracker.available()["cores"] == 4000
    now = 1.0
    write(1100, [50] * 4 + [100] * 60)
    assert tracker.available()["cores"] == 2000


@pytest.mark.parametrize(
    ("groups", "quota", "use"),
    [
        ("0::/box\n", {"box/cpu.max": "200000 100000"}, ("box/cpu.stat", "usage_usec {}000000\nuser_usec 0\n")),
        (
            "3:cpu:/box\n4:cpuacct:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "200000", "cpu/box/cpu.cfs_period_us": "100000"},
            ("cpuacct/box/cpuacct.usage", "{}000000000\n"),
        ),
    ],
)
def test_a_quota_leaves_what_its_group_has_not_used(
    host: Host, monkeypatch: pytest.MonkeyPatch, groups: str, quota: dict[str, str], use: tuple[str, str]
) -> None:
    now = 0.0
    monkeypatch.setattr("weft.trackers.processors.time.monotonic", lambda: now)
    host.write("proc/self/cgroup", groups)
    for name, text in quota.items():
        host.group(name, text)
    name, text = use
    host.group(name, text.format(7))
    tracker = host.tracker
    assert tracker.available()["cores"] == 2000
    now = 2.0
    host.ticks(busy=100, idle=200)
    host.group(name, text.format(10))
    assert tracker.available()["cores"] == 500


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    tracker = HostTracker(str(tmp_path / "not/made/yet"), str(tmp_path / "empty"))
    assert set(tracker.capacity()) == {"cores", "disk"}
    assert set(tracker.available()) == {"disk"}


def test_the_ceiling_names_the_tightest_limit_and_is_never_zero(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NOFILE: 1024, resource.RLIMIT_NPROC: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], limits[kind]))
    found = host.tracker.ceiling()
    assert (found.processes, found.reason) == (224, "1024 open files (RLIMIT_NOFILE)")
    limits[resource.RLIMIT_NOFILE] = 20
    assert host.tracker.ceiling().processes == 1
    limits[resource.RLIMIT_NOFILE] = resource.RLIM_INFINITY
    assert host.tracker.ceiling().reason == "no limit is known"
    host.write("proc/sys/kernel/pid_max", "1300\n")
    assert host.tracker.ceiling().processes == 500


def test_the_limit_of_processes_counts_the_users_threads(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NOFILE: resource.RLIM_INFINITY, resource.RLIMIT_NPROC: 100}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], limits[kind]))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for thread in ("7", "8", "9"):
        host.write(f"proc/7/task/{thread}/stat", "")
    assert host.tracker.ceiling().processes == 100 - 3 - 64


def test_this_host_has_something(tmp_path: Path) -> None:
    tracker = HostTracker(str(tmp_path))
    found = tracker.capacity()
    assert all(found[name] > 0 for name in ("cores", "memory", "disk"))
    assert tracker.ceiling().processes > 0
