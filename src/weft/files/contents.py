"""Content digests of files and folders; size, mtime and inode decide whether a file must be hashed again.

A file that was changed shortly before it was hashed may be changed once more without a new mtime (clocks of file systems tick in
steps of up to two seconds). Such a digest is used once and not kept: the next look hashes again. This is git's rule for racy
index entries (git, Documentation/technical/racy-git.txt).
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from threading import Event, Lock
from typing import Final, NamedTuple

from weft.ports import FileRow

CHUNK_BYTES: Final = 1 << 20
RACY_NANOSECONDS: Final = 2_000_000_000  # the coarsest step of a common file system (FAT); finer ones are covered
LARGE_BYTES: Final = 8 << 20  # takes some 10 ms to hash: long enough to let others go on meanwhile
MANY_FILES: Final = 1000  # of a folder: likewise
SETTLED_AT_ONCE: Final = 32  # some 1 ms: a new question does not wait longer
DIGEST_BYTES: Final = 16
UNSETTLED: Final = (
    -1
)  # stands for the mtime of a file that was hashed while racy, and of a folder: never equal to a real one


class UnreadableError(OSError):
    """Content that cannot have a digest: a special file, or what the system refuses to read."""


class ContentState(NamedTuple):
    """What a path was like when its content was taken. mtime_ns: UNSETTLED when it says nothing about the content."""

    size: int
    mtime_ns: int
    inode: int
    digest: str


class Reading:
    """A large file that is being hashed. version: its size, mtime and inode before. state: what came out, once it is over."""

    __slots__ = ("is_over", "state", "version")

    def __init__(self, version: tuple[int, int, int]):
        self.version = version
        self.state: ContentState | None = None
        self.is_over = Event()


class Contents:
    """Digests by absolute path. May be shared between threads.

    known: gives the rows of earlier runs; asked once, at the first need. before_long: called before what may take long.
    is_stopped: whether to give up. news: rows that are new, for the ledger; whoever takes them removes them.
    """

    def __init__(
        self,
        known: Callable[[], Mapping[str, FileRow]],
        before_long: Callable[[], None] = lambda: None,
        now_ns: Callable[[], int] = time.time_ns,
        is_stopped: Callable[[], bool] = lambda: False,
    ):
        self._load = known
        self._rows: dict[str, FileRow] | None = None
        self.news: deque[FileRow] = deque()
        self._young: deque[tuple[int, str]] = deque()
        self._young_paths: set[str] = set()
        self._reading: dict[str, Reading] = {}
        self._loading = Lock()
        self._before_long = before_long
        self._now_ns = now_ns
        self._is_stopped = is_stopped

    def state(self, path: str) -> ContentState | None:
        """State of the file or folder at `path` (links followed); None when nothing is there.

        Raises UnreadableError.
        """
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise UnreadableError(f"cannot look at {path}: {error}") from error
        if stat.S_ISDIR(found.st_mode):
            try:
                return ContentState(0, UNSETTLED, found.st_ino, self._folder_digest(path))
            except FileNotFoundError as error:
                raise UnreadableError(f"{path} changes while it is read: {error}") from error
        return self.file_state(path, found)

    def known_digest(self, path: str) -> str | None:
        """Digest of a file that looks as it did when it was hashed; None when it would have to be read. Costs a stat."""
        row = self._row(path)
        return row.digest if row is not None and self.looks_like(path, row.digest) else None

    def looks_like(self, path: str, content: str) -> bool:
        """Whether a file looks as it did when it was hashed, and its digest was this one. Costs a stat at most."""
        row = (self._rows if self._rows is not None else self._load_rows()).get(path)
        if row is None:
            return False
        _, size, mtime_ns, inode, digest = row
        if digest != content:
            return False
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return False
        return found.st_mtime_ns == mtime_ns and found.st_size == size and found.st_ino == inode

    def look_of(self, path: str, content: str) -> tuple[int, int, int] | None:
        """Size, mtime_ns and inode that a file had when its digest was this one; None when that is not known."""
        row = self._row(path)
        return row[1:4] if row is not None and row.digest == content else None

    def file_state(self, path: str, found: os.stat_result) -> ContentState | None:
        """State of a file whose stat is at hand; None when it has vanished since."""
        known = self._known_state(path, found)
        if known is not None:
            return known
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(f"{path} is neither a file nor a folder")
        if found.st_size <= LARGE_BYTES:
            return self._hash(path)
        self._before_long()
        return self._hash_large(path, found)

    def _known_state(self, path: str, found: os.stat_result) -> ContentState | None:
        """What is known of a file that looks as it did when it was hashed."""
        row = self._row(path)
        size, mtime_ns, inode = found.st_size, found.st_mtime_ns, found.st_ino
        if row is not None and row[1] == size and row[2] == mtime_ns and row[3] == inode:
            return ContentState(size, mtime_ns, inode, row[4])
        return None

    def _hash_large(self, path: str, found: os.stat_result) -> ContentState | None:
        """Like `_hash`; whoever asks for the same file while it is being read waits for that and shares it."""
        mine = Reading((found.st_size, found.st_mtime_ns, found.st_ino))
        other = self._reading.setdefault(path, mine)
        if other is not mine:
            other.is_over.wait()
            return other.state if other.state is not None and other.version == mine.version else self._hash(path)
        try:
            # Another thread may have just finished with this file, after we looked it up and before we got here.
            mine.state = self._known_state(path, found) or self._hash(path)
            return mine.state
        finally:
            del self._reading[path]
            mine.is_over.set()

    def settle(self) -> float | None:
        """Hash some of the small files again that were too young before, so that a later run need not.

        Seconds until there may be more to do; None when nothing waits. To be called by one thread, when it has nothing better
        to do.
        """
        for _ in range(SETTLED_AT_ONCE):
            if not self._young:
                return None
            due_ns, path = self._young[0]
            wait_ns = due_ns - self._now_ns()
            if wait_ns > 0:
                return min(wait_ns, RACY_NANOSECONDS) / 1e9
            self._young.popleft()
            self._young_paths.discard(path)
            try:
                self.state(path)
            except UnreadableError:
                continue  # whoever needs it will be told
        return 0.0

    def _remember_young(self, path: str, size: int, mtime_ns: int, now_ns: int) -> None:
        """A file with an mtime in the future would never be old enough."""
        if size <= CHUNK_BYTES and mtime_ns <= now_ns and path not in self._young_paths:
            self._young_paths.add(path)
            self._young.append((now_ns + RACY_NANOSECONDS + 1, path))

    def _row(self, path: str) -> FileRow | None:
        return (self._rows if self._rows is not None else self._load_rows()).get(path)

    def _load_rows(self) -> dict[str, FileRow]:
        with self._loading:
            if self._rows is None:
                self._rows = dict(self._load())
            return self._rows

    def _hash(self, path: str) -> ContentState | None:
        started_ns = self._now_ns()
        try:
            digest, before, after = hash_file(path, self._is_stopped)
        except FileNotFoundError:
            return None
        except UnreadableError:
            raise
        except OSError as error:
            raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
        size, mtime_ns, inode = after.st_size, after.st_mtime_ns, after.st_ino
        is_settled = (before.st_size, before.st_mtime_ns) == (
            size,
            mtime_ns,
        ) and mtime_ns < started_ns - RACY_NANOSECONDS
        if not is_settled:
            self._remember_young(path, size, mtime_ns, started_ns)
            return ContentState(size, UNSETTLED, inode, digest)
        row = FileRow(path, size, mtime_ns, inode, digest)
        (self._rows if self._rows is not None else self._load_rows())[path] = row
        self.news.append(row)
        return ContentState(size, mtime_ns, inode, digest)

    def _folder_digest(self, path: str) -> str:
        """Digest over all names below `path` in sorted order, what they are and what they hold. Links count by their target."""
        digest = blake2b(digest_size=DIGEST_BYTES)
        pending = [("", path)]
        passed = 0
        while pending:
            name, place = pending.pop()
            folders = []
            passed += 1
            for entry in self._entries(place):
                inner = f"{name}/{entry.name}" if name else entry.name
                if entry.is_dir(follow_symlinks=False):
                    _feed(digest, b"d", inner, "")
                    folders.append((inner, entry.path))
                elif entry.is_symlink():
                    _feed(digest, b"l", inner, os.readlink(entry.path))
                else:
                    state = self.file_state(entry.path, entry.stat(follow_symlinks=False))
                    passed += 1
                    if passed == MANY_FILES:
                        self._before_long()
                    if state is not None:
                        _feed(digest, b"f", inner, state.digest)
            pending.extend(reversed(folders))
        return digest.hexdigest()

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UnreadableError(f"cannot read {folder}: {error.strerror or error}") from error


def hash_file(path: str, is_stopped: Callable[[], bool]) -> tuple[str, os.stat_result, os.stat_result]:
    """Digest (hex) of a file's bytes, and its stat before and after reading. Raises OSError.

    Memory: one chunk.
    """
    # Without O_NONBLOCK, opening a pipe that took the file's place would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise UnreadableError(f"{path} is no regular file")
        data = os.read(descriptor, CHUNK_BYTES)
        digest = blake2b(data, digest_size=DIGEST_BYTES)
        while data and not (len(data) < CHUNK_BYTES and before.st_size <= len(data)):
            if is_stopped():
                raise UnreadableError(f"reading {path} was given up")
            data = os.read(descriptor, CHUNK_BYTES)
            digest.update(data)
        return digest.hexdigest(), before, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _feed(digest: blake2b, kind: bytes, name: str, content: str) -> None:
    for part in (os.fsencode(name), os.fsencode(content)):
        digest.update(kind + len(part).to_bytes(8, "little"))
        digest.update(part)
