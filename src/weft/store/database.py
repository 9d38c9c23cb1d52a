"""The database file: made whole or not at all, checked before it is trusted, and its errors in words."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

import apsw

from weft.errors import StoreError, cut
from weft.failpoints import declare, hit
from weft.store import migrations
from weft.store.folder import ELSEWHERE, check_file, create_file, free_bytes, probe_folder, sync_folder, unusable
from weft.store.sql import statements

NAME: Final = "weft.db"
APPLICATION: Final = 0x77656674  # "weft", so that nobody takes another program's database for ours
VERSION: Final = 2

Durability = Literal["power", "process"]

CHECKPOINT_PAGES: Final = 4000  # 16 MB of WAL between checkpoints: each costs two syncs
WAL_LIMIT_BYTES: Final = 64 << 20
CHECKED_BYTES: Final = (
    1 << 20
)  # up to this size a start reads the whole file (about 1 ms); beyond it, only a resume does
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
_WAL_READ_WRITE: Final = b"\x02\x02"  # bytes 18 and 19 of the header: file format (sqlite.org/fileformat2)

OPEN_CREATED: Final = declare("store.open.created", "the new database is written, not yet in its place")
OPEN_READY: Final = declare("store.open.ready", "the database is open, nothing is recorded yet")


class Fsync(StoreError):
    """A sync has failed: what the disk holds is unknown, so the connection may not be used again."""


def path_of(folder: str) -> str:
    """Where the database of a state folder is."""
    return os.path.join(folder, NAME)


def connect(folder: str, durability: Durability, busy: Callable[[int], bool]) -> apsw.Connection:
    """Open the database for writing, making it if it is missing. Raises StoreError; a file that is not ours stays as it is."""
    path = path_of(folder)
    try:
        if not os.path.lexists(path):
            _create(folder, path)
        check_header(path)
    except OSError as error:
        raise unusable(path, error) from error
    with reworded(path):
        connection = apsw.Connection(path, apsw.SQLITE_OPEN_READWRITE)
    try:
        with reworded(path):
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # until the version is known, change nothing
            connection.set_busy_handler(busy)
            _settle(connection, path, durability)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except BaseException:
        connection.close()
        raise
    hit(OPEN_READY)
    return connection


def _settle(connection: apsw.Connection, path: str, durability: Durability) -> None:
    refuse_version(connection, path)
    level = "FULL" if durability == "power" else "NORMAL"
    connection.execute(
        f"PRAGMA synchronous = {level}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; "
        f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000"
    ).fetchall()
    if os.stat(path).st_size <= CHECKED_BYTES:
        refuse_damage(connection, path)
    migrations.migrate(connection, VERSION)


def refuse_version(connection: apsw.Connection, path: str) -> None:
    """Raise StoreError when a later weft made this database."""
    version = connection.execute("PRAGMA user_version").get
    if not isinstance(version, int) or version > VERSION:
        raise _newer(path, version)


def refuse_damage(connection: apsw.Connection, path: str) -> None:
    """Raise StoreError when SQLite's own quick check finds something. Cost: about 1 ms for each MB."""
    found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise damaged(path, "; ".join(line for found_text in found for line in str(found_text).splitlines()))


def check_header(path: str) -> None:
    """Raise StoreError when the file cannot be a database of ours; reads 100 bytes (sqlite.org/fileformat2, 1.3).

    Not while this process has it open: then it was looked at, and closing a second descriptor would drop the locks of the
    first (fcntl(2)), so that the next process to leave would take the WAL away from under us (sqlite.org/howtocorrupt, 2.2).
    """
    found = check_file(path)
    if _is_open_here(found):
        return
    size = found.st_size
    with open(path, "rb", buffering=0) as source:
        header = source.read(_HEADER_BYTES)
    if size == 0:
        raise damaged(path, "the file is empty")
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise damaged(path, "the file is no SQLite database")
    if int.from_bytes(header[68:72], "big") != APPLICATION:
        raise StoreError(f"the file is another program's database: {path}", path, f"move it away, or {ELSEWHERE}")
    version = int.from_bytes(header[60:64], "big")
    if version > VERSION:
        raise _newer(path, version)
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    has_wal = os.path.exists(path + "-wal")  # a checkpoint that was cut off is completed from there
    if not has_wal and size < (65536 if page == 1 else page) * pages:
        raise damaged(path, f"the file is cut: {size} bytes of {page * pages}")


def _is_open_here(found: os.stat_result) -> bool:
    """Whether some connection of this process, of any thread, has this file open."""
    for connection in apsw.connections():
        try:
            if os.path.samestat(os.stat(connection.filename), found):
                return True
        except apsw.ThreadingViolationError:
            return True  # at work in another thread, so it is open; which file it has is not told
        except (OSError, apsw.ConnectionClosedError):
            continue  # in memory, or gone meanwhile
    return False


def _create(folder: str, path: str) -> None:
    """Put a new database in its place in one step: a crash leaves no empty file, and of two starts one wins."""
    image = bytearray(_image())
    image[18:20] = _WAL_READ_WRITE
    draft = os.path.join(folder, f"{NAME}.new-{os.getpid()}-{time.monotonic_ns()}")
    file = create_file(draft)
    try:
        view = memoryview(image)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
        hit(OPEN_CREATED)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path, follow_symlinks=False)
    finally:
        os.close(file)
        os.unlink(draft)
    sync_folder(folder)


def _image() -> bytes:
    memory = apsw.Connection(":memory:")
    memory.execute(f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}").fetchall()
    memory.execute(statements("schema")["schema"]).fetchall()
    image = memory.serialize("main")
    memory.close()
    return image


# --- errors in words -----------------------------------------------------------------------------------------------------


def damaged(path: str, words: str) -> StoreError:
    """The database cannot be believed."""
    return StoreError(
        f"the state database is damaged: {words}: {path}",
        path,
        "it is left as it is; `weft doctor` tells more, `weft doctor --rebuild` saves what can be believed and sets it aside",
    )


def behind(path: str, words: str) -> StoreError:
    """An older state of the database has come back: its WAL was removed, or it was copied without it."""
    return StoreError(
        f"the state database is older than what lies beside it: {words}: {path}",
        path,
        f"was {path}-wal removed, or {NAME} copied without it? Put both back as they were, or begin anew with --state DIR",
    )


def _newer(path: str, version: object) -> StoreError:
    return StoreError(
        f"the state database was made by a later weft (schema {version}, this one knows {VERSION}): {path}",
        path,
        f"install that weft, or {ELSEWHERE}",
    )


@contextlib.contextmanager
def reworded(path: str) -> Iterator[None]:
    """Turn SQLite's and the system's errors into StoreError."""
    try:
        yield
    except apsw.Error as error:
        raise reword(error, path) from error
    except OSError as error:
        raise unusable(path, error) from error


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """`reworded`, and content that cannot be what we wrote is damage: text that is no UTF-8, JSON or number out of place."""
    try:
        with reworded(path):
            yield
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise damaged(
            path, f"something that is recorded makes no sense ({type(error).__name__}: {cut(str(error))})"
        ) from error


def reword(error: apsw.Error, path: str) -> StoreError:
    """An error of SQLite as one of ours: what happened, where, what to do."""
    extended = getattr(error, "extendedresult", 0)
    words = str(error)
    match error:
        case apsw.NotADBError() | apsw.CorruptError() | apsw.FormatError():
            return damaged(path, words)
        case apsw.FullError():
            free = free_bytes(path)
            return StoreError(f"no room for the state: {words} ({free} bytes free): {path}", path, "make room", True)
        case apsw.IOError() if extended in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC):
            return Fsync(
                f"the disk did not confirm what was written: {words}: {path}",
                path,
                "see the disk's health, then `weft resume`: what the last moments recorded is read again from the disk",
            )
        case apsw.IOError():
            return StoreError(f"the disk failed: {words} (SQLite code {extended}): {path}", path, ELSEWHERE, True)
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreError(f"the state database cannot be written: {words}: {path}", path, ELSEWHERE)
        case apsw.BusyError() | apsw.LockedError():
            return _locked(words, path)
    return StoreError(f"the state database cannot be used: {words}: {path}", path, ELSEWHERE)


def _locked(words: str, path: str) -> StoreError:
    """SQLite takes it for a lock of somebody else's, too, when the system has none to give."""
    try:
        probe_folder(os.path.join(os.path.dirname(path), "locks"))
    except StoreError as error:
        return error
    return StoreError(f"the state database stayed locked: {words}: {path}", path, "end the other process", True)


class Patience:
    """SQLite's busy handler: waits up to a limit and can say for whom.

    told: is given a sentence once a wait has lasted `TELL_SECONDS`, again each minute.
    """

    TELL_SECONDS: Final = 1.0
    STEP_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)

    def __init__(self, folder: str, limit_seconds: float, told: Callable[[str], None] | None):
        self._folder = folder
        self._limit = limit_seconds
        self._told = told
        self._since = 0.0
        self._tell_at = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if tries == 0:
            self._since = now
            self._tell_at = now + self.TELL_SECONDS
        waited = now - self._since
        if waited >= self._limit:
            return False
        if self._told and now >= self._tell_at:
            self._tell_at = now + 60.0
            self._told(f"the state database is locked {holder(path_of(self._folder))}; waiting up to {self._limit:g} s")
        time.sleep(min(self.STEP_SECONDS[min(tries, len(self.STEP_SECONDS) - 1)], self._limit - waited))
        return True


def holder(path: str) -> str:
    """Who holds a lock on the database, as far as /proc/locks tells: `by pid 12 (name)`, or `by another process`.

    The files themselves are not opened: closing one would drop SQLite's own locks of this process (fcntl(2)).
    """
    inodes = set()
    for name in (path, path + "-shm"):
        with contextlib.suppress(OSError):
            inodes.add(str(os.stat(name).st_ino))
    pids: list[str] = []
    try:
        with open("/proc/locks", encoding="utf-8", errors="replace") as source:
            for line in source:
                fields = line.split()
                if "WRITE" in fields and any(field.rpartition(":")[2] in inodes for field in fields[4:6]):
                    pid = fields[fields.index("WRITE") + 1]
                    if pid not in pids and pid != str(os.getpid()):
                        pids.append(pid)
    except OSError:
        pids = []
    return "by " + ", ".join(f"pid {pid}{_name_of(pid)}" for pid in pids) if pids else "by another process"


def _name_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as source:
            return f" ({source.read().strip()})"
    except OSError:
        return ""
