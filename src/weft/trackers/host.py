"""What this host has and has free: cores, memory, disk, shared memory, network bandwidth, and how many processes are safe.

Read from /proc and the cgroup file systems directly (versions 1 and 2): a limit of a container counts like the machine's own.
Sources: cgroups(7), proc(5), kernel Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from weft.spec.resources import CORES, DISK, MEMORY, MILLI
from weft.trackers import readings
from weft.trackers.network import Links
from weft.trackers.processors import SAMPLE_SECONDS, Processors, Quota

SHARED_MEMORY: Final = "shared_memory"
NETWORK_BANDWIDTH: Final = "network_bandwidth"
UNLIMITED_BYTES: Final = 1 << 60  # cgroup v1 writes "no limit" as a number near 2**63
SPARED_PROCESSES: Final = 64  # weft's own, and some air for what the tasks start
SPARED_DESCRIPTORS: Final = 128
DESCRIPTORS_PER_ATTEMPT: Final = 4  # output, errors, pidfd, and one while it starts


class Ceiling(NamedTuple):
    """The most attempts that may live at once, and which limit of the host says so."""

    processes: int
    reason: str


class HostTracker:
    """Fulfils `ports.Tracker` for the machine that weft runs on. folder: whose disk counts.

    files: where /proc and /sys/fs/cgroup lie; another root serves tests.
    """

    def __init__(self, folder: str, files: str = "/"):
        self._folder = folder
        self._proc = os.path.join(files, "proc")
        self._shared = os.path.join(files, "dev/shm")
        self._links = Links(os.path.join(files, "sys/class/net"))
        self._groups = ControlGroups(self._proc, os.path.join(files, "sys/fs/cgroup"))
        self._processors = Processors(self._proc)

    def capacity(self) -> Mapping[str, int]:
        """All there is: millicores, bytes, bytes per second. A name that cannot be read is left out.

        disk: what is free there now, since what others have filled nobody can use.
        """
        found = {CORES: self.millicores(), MEMORY: self.memory_bytes()}
        found[NETWORK_BANDWIDTH] = self._links.speed()
        found[DISK] = _disk_bytes(self._folder, is_free=True)
        found[SHARED_MEMORY] = self._shared_bytes(is_free=False)
        return {name: amount for name, amount in found.items() if amount is not None}

    def available(self) -> Mapping[str, int]:
        """What is measured free now. cores: since the last call, at first by the load average."""
        found = {CORES: self._processors.idle(self.millicores(), self._groups.quotas()), MEMORY: self._free_memory()}
        found[NETWORK_BANDWIDTH] = self._links.idle(SAMPLE_SECONDS)
        found[DISK] = _disk_bytes(self._folder, is_free=True)
        found[SHARED_MEMORY] = self._shared_bytes(is_free=True)
        return {name: amount for name, amount in found.items() if amount is not None}

    def millicores(self) -> int:
        """Processors that weft may use: affinity, cut by the cgroup's quota; at least a tenth of one."""
        usable = len(os.sched_getaffinity(0)) * MILLI
        quota = self._groups.cpu_millicores()
        return usable if quota is None else max(MILLI // 10, min(usable, quota))

    def memory_bytes(self) -> int | None:
        """The machine's memory, cut by the cgroup's limit; None when neither can be read."""
        limits = (_meminfo(self._proc).get("MemTotal"), self._groups.memory_limit())
        return min((limit for limit in limits if limit is not None), default=None)

    def ceiling(self) -> Ceiling:
        """How many attempts may live at once without running into a limit of the host; at least 1."""
        soft_descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        bounds = []
        if soft_descriptors != resource.RLIM_INFINITY:
            number = (soft_descriptors - SPARED_DESCRIPTORS) // DESCRIPTORS_PER_ATTEMPT
            bounds.append(Ceiling(number, f"{soft_descriptors} open files (RLIMIT_NOFILE)"))
        soft_processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if soft_processes != resource.RLIM_INFINITY and os.geteuid() != 0:  # the kernel does not hold root to it
            number = soft_processes - self._own_threads() - SPARED_PROCESSES
            bounds.append(Ceiling(number, f"{soft_processes} processes of this user (RLIMIT_NPROC)"))
        for name in ("threads-max", "pid_max"):
            limit = readings.number(os.path.join(self._proc, "sys/kernel", name))
            if limit is not None:
                number = (limit - _running_threads(self._proc)) // 2
                bounds.append(Ceiling(number, f"{limit} processes of the host (kernel.{name})"))
        room = self._groups.process_room()
        if room is not None:
            bounds.append(Ceiling(room - SPARED_PROCESSES, f"{room} more processes of the control group (pids.max)"))
        tightest = min(bounds, key=lambda bound: bound.processes, default=Ceiling(1 << 20, "no limit is known"))
        return tightest._replace(processes=max(1, tightest.processes))

    def _shared_bytes(self, is_free: bool) -> int | None:
        return _disk_bytes(self._shared, is_free) if os.path.isdir(self._shared) else None

    def _free_memory(self) -> int | None:
        available = _meminfo(self._proc).get("MemAvailable")
        room = self._groups.memory_room()
        return min((amount for amount in (available, room) if amount is not None), default=None)

    def _own_threads(self) -> int:
        """Threads of this user's processes, which is what RLIMIT_NPROC counts."""
        user = os.getuid()
        total = 0
        for name in os.listdir(self._proc):
            if not name.isdigit():
                continue
            try:
                if os.stat(os.path.join(self._proc, name)).st_uid == user:
                    total += len(os.listdir(os.path.join(self._proc, name, "task")))
            except OSError:  # ended meanwhile
                continue
        return total


class ControlGroups:
    """Limits of the control groups that this process lives in, of either version; the tightest of a group and its parents."""

    def __init__(self, proc: str, mount: str):
        self._mount = mount
        self._paths = dict(_memberships(proc))

    def cpu_millicores(self) -> int | None:
        """The processor quota, None when there is none."""
        return min((quota.millicores for quota in self.quotas()), default=None)

    def quotas(self) -> list[Quota]:
        """Of processor time, each with what the group has used."""
        found = []
        for folder in self._folders(""):
            words = readings.words(os.path.join(folder, "cpu.max"))
            if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
                found.append(Quota(folder, int(words[0]) * MILLI // int(words[1]), _used_seconds(folder)))
        folders, accounts = list(self._folders("cpu")), list(self._folders("cpuacct"))
        for folder, account in zip(folders, accounts if len(accounts) == len(folders) else folders, strict=True):
            quota = readings.number(os.path.join(folder, "cpu.cfs_quota_us"))
            period = readings.number(os.path.join(folder, "cpu.cfs_period_us"))
            if quota is not None and quota > 0 and period:
                found.append(Quota(folder, quota * MILLI // period, _used_seconds_of_version_1(account)))
        return found

    def memory_limit(self) -> int | None:
        """Bytes, None when there is no limit."""
        return min((limit for limit, _ in self._memory()), default=None)

    def memory_room(self) -> int | None:
        """Bytes until the limit, None when there is no limit."""
        return min((max(0, limit - used) for limit, used in self._memory()), default=None)

    def process_room(self) -> int | None:
        """Processes until the limit, None when there is no limit."""
        rooms = []
        for controller in ("", "pids"):
            for folder in self._folders(controller):
                limit = readings.number(os.path.join(folder, "pids.max"))
                if limit is not None:
                    rooms.append(max(0, limit - (readings.number(os.path.join(folder, "pids.current")) or 0)))
        return min(rooms, default=None)

    def _memory(self) -> Iterator[tuple[int, int]]:
        """(limit, used without what the kernel can drop at once) of each group that has a limit."""
        names = (("", "memory.max", "memory.current"), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))
        for controller, limit_name, used_name in names:
            for folder in self._folders(controller):
                limit = readings.number(os.path.join(folder, limit_name))
                if limit is None or limit >= UNLIMITED_BYTES:
                    continue
                used = readings.number(os.path.join(folder, used_name)) or 0
                stat = dict(
                    line.split(" ", 1) for line in readings.lines(os.path.join(folder, "memory.stat")) if " " in line
                )
                droppable = stat.get("inactive_file", stat.get("total_inactive_file", "0")).strip()
                yield limit, max(0, used - int(droppable) if droppable.isdigit() else used)

    def _folders(self, controller: str) -> Iterator[str]:
        """The group's folder and its parents' for a controller of version 1, "" for version 2.

        Inside a container the path may name a group that is not mounted; then only the mount itself is looked at.
        """
        path = self._paths.get(controller)
        if path is None:
            return
        tops = (
            (self._mount, os.path.join(self._mount, "unified"))
            if not controller
            else (os.path.join(self._mount, controller),)
        )
        for top in tops:
            inner = path.strip("/")
            while inner:
                yield os.path.join(top, inner)
                inner = inner.rpartition("/")[0]
            yield top


def _memberships(proc: str) -> Iterator[tuple[str, str]]:
    """(controller, path) of /proc/self/cgroup; the controller of version 2 is ""."""
    for line in readings.lines(os.path.join(proc, "self/cgroup")):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _meminfo(proc: str) -> dict[str, int]:
    """Bytes by name."""
    found = {}
    for line in readings.lines(os.path.join(proc, "meminfo")):
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def _used_seconds(folder: str) -> float | None:
    for line in readings.lines(os.path.join(folder, "cpu.stat")):
        name, _, microseconds = line.partition(" ")
        if name == "usage_usec" and microseconds.isdigit():
            return int(microseconds) / 1e6
    return None


def _used_seconds_of_version_1(folder: str) -> float | None:
    """folder: of the controller `cpuacct`, which is mounted with `cpu` or beside it."""
    nanoseconds = readings.number(os.path.join(folder, "cpuacct.usage"))
    return None if nanoseconds is None else nanoseconds / 1e9


def _running_threads(proc: str) -> int:
    words = readings.words(os.path.join(proc, "loadavg"))
    running = words[3].partition("/")[2] if len(words) > 3 else ""
    return int(running) if running.isdigit() else 0


def _disk_bytes(folder: str, is_free: bool) -> int | None:
    """Of the disk that `folder` lies on, or will lie on once it is made."""
    place = os.path.abspath(folder)
    while not os.path.exists(place) and place != "/":
        place = os.path.dirname(place)
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    return (found.f_bavail if is_free else found.f_blocks) * found.f_frsize
