"""The state folder: made private, and refused when it is not ours alone or lies where locks cannot be trusted."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import sys
import time
from typing import Final

from weft.errors import StoreError

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
FOLDERS: Final = ("locks", "logs", "runs")

LOCAL_TYPES: Final = frozenset(
    {"apfs", "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3", "overlay"}
    | {"ramfs", "reiserfs", "squashfs", "tmpfs", "ufs", "vfat", "xfs", "zfs"}
)
"""File systems of one machine, whose locks the kernel itself keeps."""

NETWORK_TYPES: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs"}
)
"""File systems that several machines share: SQLite's WAL needs shared memory, which ends at the machine (sqlite.org/wal)."""

ELSEWHERE: Final = "put the state on a local disk: --state DIR or WEFT_STATE"
PROBE_SECONDS: Final = 20.0

_OFD_LOCK: Final = struct.pack(
    "hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0
)  # struct flock of fcntl(2) on 64-bit Linux
_OFD_UNLOCK: Final = struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0)
_PROBE: Final = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
for lock in (fcntl.flock, fcntl.lockf):
    try:
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stdout.write("held ")
    else:
        sys.stdout.write("free ")
"""


def prepare(folder: str) -> None:
    """Make the state folder if it is missing, else check it. Raises StoreError before anything is written."""
    try:
        changed = _make(folder)
        if not changed:
            _check(folder, os.lstat(folder))
        for above in changed:  # else a power cut takes its name away, and with it all that is durable inside
            with contextlib.suppress(PermissionError):  # who may write a folder, but not read it, cannot sync it
                sync_folder(above)
        below = [os.path.join(folder, name) for name in FOLDERS]
        is_new = False
        for path in below:
            if _make(path):
                is_new = True
            else:
                _check_inside(path)
        refuse_shared(folder, below[0] if is_new else None)
        probe_folder(below[0])
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(path: str, error: OSError) -> StoreError:
    """The system's own words about a path of the state."""
    words = os.strerror(error.errno) if error.errno else str(error)
    hint = ELSEWHERE
    passing = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        words += f" ({free_bytes(path)} bytes free)"
        hint = f"make room, or {ELSEWHERE}"
    return StoreError(f"the state folder cannot be used: {words}: {path}", path, hint, is_passing=passing)


def free_bytes(path: str) -> int:
    """Bytes that this user may still write where `path` is; 0 when nobody can tell."""
    try:
        found = os.statvfs(path if os.path.exists(path) else os.path.dirname(path) or ".")
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def create_file(path: str) -> int:
    """A new private file, whatever the umask; its descriptor. Raises FileExistsError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(file, FILE_MODE)
    return file


def check_file(path: str) -> os.stat_result:
    """A file of ours: regular, owned by us, closed to others. Raises StoreError, or FileNotFoundError."""
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"the state file is no regular file: {path}", path, f"move it away, or {ELSEWHERE}")
    _check_owner(path, found, "file", "600")
    return found


def _make(folder: str) -> list[str]:
    """The folders that have a new name in them, innermost first; none when it was there."""
    if os.path.lexists(folder):
        return []
    above = os.path.dirname(os.path.abspath(folder))
    unsynced = [above]
    while not os.path.lexists(above):
        above = os.path.dirname(above)
        unsynced.append(above)
    if len(unsynced) > 1 or not os.path.isdir(above):
        _check_above(above)
        os.makedirs(unsynced[0], exist_ok=True)
    try:
        os.mkdir(folder, FOLDER_MODE)
    except FileExistsError:  # another start was faster
        return []
    os.chmod(folder, FOLDER_MODE)  # an umask of 0777 would leave it shut to ourselves
    return unsynced


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _check_above(above: str) -> None:
    """Folders can be made where the nearest thing that exists is one."""
    if not os.path.isdir(above):
        raise StoreError(
            f"the state folder cannot be made: {above} is no folder",
            above,
            "name another place: --state DIR or WEFT_STATE",
        )


def _check(folder: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise StoreError(
            f"the state folder is a link: {folder}",
            folder,
            f"name the folder itself: --state {os.path.realpath(folder)}",
        )
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"the state folder is not a folder: {folder}", folder, f"move that file away, or {ELSEWHERE}")
    _check_owner(folder, found, "folder", "700")


def _check_inside(folder: str) -> None:
    """A folder of ours inside the state folder: nobody else could have come near it, so a wide mode is only narrowed."""
    found = os.lstat(folder)
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & 0o077:
        os.chmod(folder, FOLDER_MODE)
        found = os.lstat(folder)
    _check(folder, found)


def _check_owner(path: str, found: os.stat_result, what: str, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"the state {what} belongs to user {found.st_uid}, not to you ({os.geteuid()}): {path}", path, ELSEWHERE
        )
    if found.st_mode & 0o077:
        raise StoreError(
            f"the state {what} is open to other users (mode {stat.S_IMODE(found.st_mode):03o}): {path}",
            path,
            f"if you trust what is in it: chmod {mode} {path}",
        )


# --- locks that can be trusted -------------------------------------------------------------------------------------------


def refuse_shared(folder: str, probe_in: str | None, mountinfo: str = "/proc/self/mountinfo") -> None:
    """Raise StoreError on a network file system; on an unknown kind only if its locks fail a two-process probe.

    probe_in: where the probe may write; None leaves the probe out (a folder that passed it once).
    """
    kind = file_system_of(folder, mountinfo)
    if kind in NETWORK_TYPES:
        raise StoreError(f"the state folder lies on a network file system ({kind}): {folder}", folder, ELSEWHERE)
    if kind is not None and kind not in LOCAL_TYPES and probe_in is not None:
        probe_processes(probe_in)


def file_system_of(path: str, mountinfo: str = "/proc/self/mountinfo") -> str | None:
    """Type of the file system that holds `path`, as mountinfo names it (proc_pid_mountinfo(5)); None when unknown."""
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as source:
            lines = source.read().splitlines()
    except OSError:
        return None
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    real = os.path.realpath(path)
    best: tuple[int, str] | None = None
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        kind = right.split(" ", 1)[0]
        point = _unescape(fields[4])
        if fields[2] == number and kind in NETWORK_TYPES:
            return kind
        inside = point == "/" or real == point or real.startswith(point + "/")
        if inside and (best is None or len(point) >= best[0]):  # a later mount on the same point hides the earlier
            best = (len(point), kind)
    return best[1] if best else None


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def probe_folder(folder: str) -> None:
    """Raise StoreError unless locks exclude others on a new file. Before SQLite waits a minute for a lock that never comes."""
    path = os.path.join(folder, f"probe-{os.getpid()}-{time.monotonic_ns()}")
    try:
        file = create_file(path)
    except OSError:
        return  # who goes on to write here finds out, and has more to say about it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        probe_here(file, path)
    except OSError as error:
        words = os.strerror(error.errno) if error.errno else str(error)
        raise StoreError(
            f"locks do not work where the state folder lies ({words}): {folder}", folder, ELSEWHERE
        ) from error
    finally:
        os.close(file)
        os.unlink(path)


def probe_here(held: int, path: str) -> None:
    """Raise StoreError unless a second description of the file, locked through `held`, is refused the lock. Raises OSError.

    flock and open-file-description locks belong to the description, and the latter exclude the locks of a process, which
    SQLite takes, even of the same process: so one process can tell of all three (flock(2), fcntl(2)).
    """
    other = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if _gets_lock(other) or _gets_byte_lock(held, other):
            raise StoreError(
                f"locks do not work where the state folder lies (they exclude nobody): {path}", path, ELSEWHERE
            )
    finally:
        os.close(other)


def _gets_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _gets_byte_lock(held: int, other: int) -> bool:
    fcntl.fcntl(held, fcntl.F_OFD_SETLK, _OFD_LOCK)
    for command in (fcntl.F_OFD_SETLK, fcntl.F_SETLK):
        try:
            fcntl.fcntl(other, command, _OFD_LOCK)
        except (BlockingIOError, PermissionError):
            continue
        return True
    fcntl.fcntl(held, fcntl.F_OFD_SETLK, _OFD_UNLOCK)
    fcntl.fcntl(other, fcntl.F_SETLK, _OFD_LOCK)  # must be had now; the error says why not
    return False


def probe_processes(folder: str) -> None:
    """Raise StoreError unless another process is refused a lock that we hold below `folder`. Costs a process."""
    import subprocess  # costs start-up time that only an unknown file system is to pay

    path = os.path.join(folder, f"probe-{os.getpid()}")
    file = create_file(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        command = [sys.executable, "-I", "-S", "-c", _PROBE, path]
        seen = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(
            f"locks do not work where the state folder lies ({error}): {folder}", folder, ELSEWHERE
        ) from error
    finally:
        os.close(file)
        os.unlink(path)
    if seen.stdout.split() != ["held", "held"]:
        raise StoreError(
            f"another process does not see our locks where the state folder lies: {folder}", folder, ELSEWHERE
        )
