"""What lives on this machine: descent, sessions, tokens, memory, read from /proc; and signals that reach nobody else.

A process is identified by pid and start ticks (and the machine's boot id, which a reader of receipts compares); a
signal to one that is not our own unreaped child goes through a pidfd after its start ticks were compared, so a pid that
came back is never hit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterable
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")
TOKEN_NAME = b"WEFT_TOKEN="
SEQUENCE_PAGE = 4096  # bytes; the kernel hands such files out in pieces of up to a page, only the last is much shorter
GONE_STATES = ("Z", "X", "x")


class Living(NamedTuple):
    """A process as /proc shows it. started: ticks since boot."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


def boot_id() -> str:
    """Of the running kernel; empty where it is not told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def look_at(pid: int) -> Living | None:
    """The process `pid`; None when there is none, or only what its parent has not reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    if fields[0].decode("ascii") in GONE_STATES:
        return None
    return Living(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def everybody() -> list[Living]:
    """All processes that can be seen."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (living := look_at(int(entry))) is not None:
            found.append(living)
    return found


class OwnChildren:
    """Pids of this (single-threaded) process's children, zombies included. The file stays open: it is read at every end."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        try:
            self._file = os.open(f"/proc/{self._pid}/task/{self._pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
            self._file = -1

    def pids(self) -> list[int]:
        """All of them."""
        if self._file < 0:
            return [living.pid for living in everybody() if living.parent == self._pid]
        data = part = os.pread(self._file, SEQUENCE_PAGE, 0)
        while len(part) >= SEQUENCE_PAGE // 2:
            part = os.pread(self._file, SEQUENCE_PAGE, len(data))
            data += part
        return [int(word) for word in data.split()]

    def are_only(self, expected: Collection[int]) -> bool:
        """Whether nobody is there but the `expected`, who all are our children and not reaped yet."""
        if self._file < 0:
            return False  # not known without a look at everybody
        data = os.pread(self._file, SEQUENCE_PAGE, 0)
        return len(data) < SEQUENCE_PAGE // 2 and data.count(b" ") == len(expected)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def tokens_of(pid: int) -> list[str]:
    """The words of WEFT_TOKEN in the environment that `pid` was started with; outer runs first."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            data = file.read()
    except OSError:
        return []
    at = 0 if data.startswith(TOKEN_NAME) else data.find(b"\0" + TOKEN_NAME) + 1
    if at == 0 and not data.startswith(TOKEN_NAME):
        return []
    value = data[at + len(TOKEN_NAME) :].split(b"\0", 1)[0]
    return value.decode("utf-8", "surrogateescape").split()


def resident(pid: int) -> int:
    """Resident bytes of `pid`, shared pages included; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def proportional(pid: int) -> int:
    """Resident bytes of `pid` with shared pages divided among their users; its resident bytes where that is not told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resident(pid)


def own_peak() -> int:
    """Peak resident bytes of this process: below it the peak that a child's usage shows means nothing."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class Census:
    """Everybody at one moment. Costs some 10 us a process; made once for all attempts that are looked at together."""

    def __init__(self) -> None:
        self._people: dict[int, Living] = {}
        self._children: dict[int, list[Living]] = {}
        self._sessions: dict[int, list[Living]] = {}
        self._bearers: dict[str, list[Living]] | None = None
        for living in everybody():
            self._people[living.pid] = living
            self._children.setdefault(living.parent, []).append(living)
            self._sessions.setdefault(living.session, []).append(living)

    def bearers(self, token: str) -> list[Living]:
        """Who carries `token`."""
        if self._bearers is None:
            self._bearers = {}
            for living in self._people.values():
                for word in tokens_of(living.pid):
                    self._bearers.setdefault(word, []).append(living)
        return self._bearers.get(token, [])

    def family(self, roots: Iterable[int], session: int, token: str | None) -> list[Living]:
        """All that are among `roots`, are in `session` or carry `token`, and their descendants; by pid."""
        found: dict[int, Living] = {}
        pending = [self._people[pid] for pid in roots if pid in self._people]
        pending += self._sessions.get(session, ())
        if token is not None:
            pending += self.bearers(token)
        while pending:
            living = pending.pop()
            if living.pid not in found:
                found[living.pid] = living
                pending += self._children.get(living.pid, ())
        return [found[pid] for pid in sorted(found)]


def send(living: Living, number: int) -> bool:
    """Signal exactly this process; False when it is gone or may not be signalled."""
    try:
        handle = os.pidfd_open(living.pid)
    except OSError:
        return False
    try:
        present = look_at(living.pid)
        if present is None or present.started != living.started:
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def name_of(pid: int) -> str:
    """What `pid` calls itself, for people."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
