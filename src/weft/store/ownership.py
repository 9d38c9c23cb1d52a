"""Who may run a plan: a kernel lock for as long as the owner lives, and a lease row whose epoch fences what it left behind.

The lock alone decides; the lease tells people who holds it and gives each owner a number that only grows, so that a
supervisor, or a transaction of an owner that was thought dead, can tell an old owner from the present one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from typing import Final

import apsw

from weft.errors import OwnedError, StoreError
from weft.store.folder import ELSEWHERE, FILE_MODE, probe_here
from weft.store.sql import statements
from weft.store.tables import pack_text

_KEY_BYTES: Final = 16


def lock_path(folder: str, plan_key: str) -> str:
    """The lock file of a plan."""
    digest = hashlib.blake2b(plan_key.encode("utf-8", "surrogateescape"), digest_size=_KEY_BYTES).hexdigest()
    return os.path.join(folder, "locks", digest)


class PlanLock:
    """The kernel lock of one plan, held from creation to `release`."""

    def __init__(self, folder: str, plan_key: str):
        self.plan_key = plan_key
        self.path = lock_path(folder, plan_key)
        self._file = self._take()

    def _take(self) -> int:
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            try:
                self._lock(file)
                if self._is_in_place(file):
                    probe_here(file, self.path)
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # somebody removed the file between open and lock: the lock we got excludes nobody

    def _lock(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise owned(_read_note(file)) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO):
                raise
            raise StoreError(
                f"locks do not work where the state folder lies ({os.strerror(error.errno)}): {self.path}",
                self.path,
                ELSEWHERE,
            ) from error

    def _is_in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def sign(self, run: str) -> None:
        """Say in the lock file who holds it, for those who come and are refused."""
        os.fchmod(self._file, FILE_MODE)
        note = {"host": os.uname().nodename, "pid": os.getpid(), "since": time.time(), "run": run}
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(note).encode(), 0)

    def release(self) -> None:
        """Let go; safe to call twice. The file stays: removing it could take a lock away from who waits for it."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def is_locked(folder: str, plan_key: str) -> bool:
    """Whether an owner of the plan lives, from /proc/locks: trying the lock could refuse somebody who starts just now."""
    try:
        inode = str(os.stat(lock_path(folder, plan_key)).st_ino)
        with open("/proc/locks", encoding="utf-8", errors="replace") as source:
            lines = [line.split() for line in source]
    except OSError:
        return False
    return any("FLOCK" in fields and any(field.rpartition(":")[2] == inode for field in fields[4:]) for fields in lines)


def owner_pid(folder: str, plan_key: str) -> int | None:
    """Process of the engine that has signed for a plan, as it was when it signed; None when nobody on this host has."""
    try:
        file = os.open(lock_path(folder, plan_key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        note = _read_note(file)
    finally:
        os.close(file)
    pid = note.get("pid")
    return pid if isinstance(pid, int) and note.get("host") == os.uname().nodename else None


def _read_note(file: int) -> dict[str, object]:
    try:
        note = json.loads(os.pread(file, 4096, 0))
    except (OSError, ValueError):
        return {}  # the owner has locked and not yet signed
    return note if isinstance(note, dict) else {}


def owned(note: dict[str, object]) -> OwnedError:
    """What a second owner is told. note: host, pid, since, run, as far as known."""
    run = note.get("run")
    since = note.get("since")
    who = f"process {note.get('pid')} on {note.get('host')}" if "pid" in note else "another process"
    when = (
        f" since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(since))}" if isinstance(since, (int, float)) else ""
    )
    which = f" (run {run})" if run else ""
    cancel = f"weft cancel {run}" if run else "weft cancel"
    return OwnedError(
        f"this plan is being run by {who}{when}{which}",
        f"wait for its end (weft status shows how it stands), or end it: {cancel}",
    )


def boot_id() -> str:
    """The kernel's name of this boot; empty where there is none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as source:
            return source.read().strip()
    except OSError:
        return ""


def raise_epoch(connection: apsw.Connection, plan_key: str, run: str, since: float) -> int:
    """Make us the owner in the lease row; the new epoch. Inside the caller's transaction; raises StoreError."""
    sql = statements("ledger")
    me = (run, os.uname().nodename, os.getpid(), boot_id(), since)
    key = pack_text(plan_key)
    found = connection.execute(sql["lease"], (key,)).get
    if found is None:
        connection.execute(sql["take_lease"], (key, *me))
    else:
        connection.execute(sql["raise_lease"], (*me, key, found))
    if connection.changes() != 1:
        raise StoreError("another owner took this plan over at the same moment", hint="try again")
    return 1 if found is None else int(found) + 1
