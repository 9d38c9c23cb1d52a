"""Files that hold values: named by their content, written beside and renamed, hashed and written by two threads at once."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b, sha256
from itertools import count
from typing import Any, NamedTuple

CHUNK = 8 << 20  # bytes; what is longer has a digest over the digests of its chunks
MAP_LEAST = 1 << 20  # bytes; what is shorter is read
ROOM = "~"
ASIDE = ".damaged"
FRESH_SECONDS = 3600.0  # a file that is older is touched when it is used again, so that no clearing takes it meanwhile

SEALED_DIGITS = 1_000_000  # nanoseconds of a time of modification that follow from the digest
EARLY_NS = 25_000_000  # the system's clock of files ticks every 10 ms at worst
LATE_NS = 2_000_000  # from asking for the time to setting it
SEALINGS = 3  # when another process came between

_WRITTEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)

_hash_chunk = (
    sha256  # processors have instructions for it: twice as fast as blake2b, which stays the root, where keys go
)

_numbers = count()
_keys: dict[str, bytes] = {}
_whole: dict[str, tuple[int, int, int, int]] = {}
_rooted: set[str] = set()


class DamagedError(ValueError):
    """A product's file, or inline data, is not what was written. path: of the file, None for inline data."""

    def __init__(self, message: str, path: str | None = None):
        super().__init__(message)
        self.path = path


class MissingError(LookupError):
    """A product's file is not there. path: where it was looked for."""

    def __init__(self, message: str, path: str | None = None):
        super().__init__(message)
        self.path = path


class Reference(NamedTuple):
    """A product that is not plain text. digest: hex. size: bytes. inline: the data itself, when it is short.

    room: of files that are kept only while they are needed, `~` and the run that has it; empty: of those that are kept.
    """

    format: str
    digest: str
    size: int
    inline: bytes | None = None
    room: str = ""


def path_of(folder: str, reference: Reference) -> str:
    """Where the file of a reference lies. folder: of products, or a room in it."""
    name = f"{reference.digest}.{reference.format}"
    if reference.room:
        return os.path.join(root_of(folder), reference.room, name)
    return os.path.join(root_of(folder), reference.digest[:2], name)


def room_of(folder: str) -> str:
    """The room that a folder is; empty for the products folder itself."""
    name = os.path.basename(folder)
    return name if name.startswith(ROOM) else ""


def root_of(folder: str) -> str:
    """The products folder that a folder is, or is a room of."""
    return os.path.dirname(folder) if room_of(folder) else folder


def set_aside(path: str) -> str | None:
    """Move a damaged file out of the way, so that it is made again; where it is now, None when there was none."""
    aside = path + ASIDE
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return None
    return aside


def remedy(problem: Exception) -> str:
    """What a message about a product that cannot be read is to end with. A damaged file is set aside, to be made again."""
    if isinstance(problem, DamagedError) and problem.path is not None:
        try:
            aside = set_aside(problem.path)
        except OSError:  # a folder that cannot be written: it stays where it is
            aside = None
        kept = f" (set aside as {aside})" if aside is not None else ""
        return f"{kept}; run again, and it is made anew"
    return "; run again, and it is made anew" if isinstance(problem, MissingError) else ""


# --- digests ---------------------------------------------------------------------------------------------------------


def digest_of_data(data: Any, form: str, folder: str | None = None) -> str:
    """Digest (hex) of bytes in memory. form: format of the data. folder: of products, for the key of pickles."""
    view = memoryview(data).cast("B")
    return _digest_by(len(view), lambda place, size: view[place : place + size], form, folder)


def digest_of_file(path: str, form: str, folder: str | None = None) -> str:
    """Digest (hex) of a file. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size

        def read(place: int, size: int) -> bytes:
            data = os.pread(file.fileno(), size, place)
            while len(data) < size:
                more = os.pread(file.fileno(), size - len(data), place + len(data))
                if not more:
                    raise DamagedError(f"{path} was cut short while it was read", path)
                data += more
            return data

        return _digest_by(size, read, form, folder)


def _digest_by(size: int, read: Callable[[int, int], Any], form: str, folder: str | None) -> str:
    if size <= CHUNK:
        return _root(read(0, size), form, folder, "")
    digests = _by_chunks(size, lambda place, length: _hash_chunk(read(place, length)).digest())
    return _root(b"".join(digests), form, folder, "*")


def _root(data: Any, form: str, folder: str | None, kind: str) -> str:
    """The same bytes in another format have another digest; a pickle's cannot be forged without the folder's key."""
    key = key_of(folder) if form == "pickle" and folder is not None else b""
    return blake2b(data, digest_size=32, person=f"weft-{form}{kind}".encode("ascii"), key=key).hexdigest()


def _by_chunks(size: int, work: Callable[[int, int], bytes]) -> list[bytes]:
    """What `work(place, length)` gives for each chunk, in order; this thread and another one share them."""
    places = range(0, size, CHUNK)
    made = [b""] * len(places)
    numbers = iter(range(len(places)))
    failures: list[BaseException] = []

    def take() -> None:
        try:
            for number in numbers:  # next() of a range's iterator is atomic
                if failures:
                    return
                made[number] = work(places[number], min(CHUNK, size - places[number]))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that asked
            failures.append(error)

    other = threading.Thread(target=take, name="weft-values", daemon=True)
    other.start()
    take()
    other.join()
    if failures:
        raise failures[0]
    return made


def key_of(folder: str) -> bytes:
    """The secret of a products folder, made at first use (0600)."""
    folder = root_of(folder)
    known = _keys.get(folder)
    if known is not None:
        return known
    path = os.path.join(folder, "key")
    try:
        with open(path, "rb") as file:
            key = file.read()
    except FileNotFoundError:
        os.makedirs(folder, 0o700, exist_ok=True)
        beside = _beside(folder)
        opened = os.open(beside, _WRITTEN_FLAGS, 0o600)
        try:
            os.write(opened, os.urandom(32))
            os.fsync(opened)
        finally:
            os.close(opened)
        try:
            os.link(beside, path)  # the first one wins
        except FileExistsError:
            pass
        finally:
            os.unlink(beside)
        with open(path, "rb") as file:
            key = file.read()
    if len(key) != 32:
        raise DamagedError(f"{path} is not a key: remove it, and what was pickled is computed again", path)
    _sync_names(path, folder)  # what it vouches for may stand in the store, which is durable
    _keys[folder] = key
    return key


# --- writing ---------------------------------------------------------------------------------------------------------


def store(form: str, parts: Sequence[Any], folder: str, is_durable: bool) -> Reference:
    """Write bytes-like parts, one behind the other, as one file of the products folder. Raises OSError."""
    views = [memoryview(part).cast("B") for part in parts]
    size = sum(len(view) for view in views)
    beside = _beside(folder)
    opened = _open_beside(beside, folder)
    try:

        def put(place: int, length: int) -> bytes:
            hasher = _hash_chunk()
            for piece in _pieces(views, place, length):
                hasher.update(piece)
                _write_at(opened, piece, place)
                place += len(piece)
            return hasher.digest()

        if size <= CHUNK:
            data = b"".join(views)
            _write_at(opened, memoryview(data), 0)
            digest = _root(data, form, folder, "")
        else:
            digest = _root(b"".join(_by_chunks(size, put)), form, folder, "*")
        if is_durable:
            os.fsync(opened)
    except BaseException:
        os.unlink(beside)
        raise
    finally:
        os.close(opened)
    return _settle(beside, Reference(form, digest, size, None, room_of(folder)), folder, is_durable)


def adopt(path: str, form: str, folder: str, is_durable: bool) -> Reference:
    """Make a finished file, which lies on the same file system, a product; it keeps its name besides. Raises OSError."""
    digest = digest_of_file(path, form, folder)
    if is_durable:
        _sync(path)
    reference = Reference(form, digest, os.stat(path).st_size, None, room_of(folder))
    beside = _beside(folder)
    try:
        os.link(path, beside)
    except FileNotFoundError:
        os.makedirs(folder, 0o700, exist_ok=True)
        os.link(path, beside)
    return _settle(beside, reference, folder, is_durable)


def open_beside(folder: str) -> tuple[int, str]:
    """A new file of the products folder: (descriptor, path)."""
    beside = _beside(folder)
    return _open_beside(beside, folder), beside


def _beside(folder: str) -> str:
    return os.path.join(folder, f".{os.getpid()}-{threading.get_ident()}-{next(_numbers)}")


def _open_beside(beside: str, folder: str) -> int:
    try:
        return os.open(beside, _WRITTEN_FLAGS, 0o600)
    except FileNotFoundError:
        os.makedirs(folder, 0o700, exist_ok=True)
        return os.open(beside, _WRITTEN_FLAGS, 0o600)
    except FileExistsError:  # of a process that ended without clearing up, with our number
        os.unlink(beside)
        return os.open(beside, _WRITTEN_FLAGS, 0o600)


def _pieces(views: Sequence[memoryview], place: int, length: int) -> Iterator[memoryview]:
    """What of the parts lies between `place` and `place + length`."""
    start = 0
    for view in views:
        first, last = max(place - start, 0), min(place + length - start, len(view))
        if first < last:
            yield view[first:last]
        start += len(view)


def _write_at(opened: int, data: Any, place: int) -> None:
    while data:
        written = os.pwrite(opened, data, place)
        data, place = data[written:], place + written


def _settle(beside: str, reference: Reference, folder: str, is_durable: bool) -> Reference:
    """Give a file its name. A whole one that is there already stays, so that what is known of it (mtime, inode) remains true."""
    path = path_of(folder, reference)
    if _is_there(path, reference, folder):
        os.unlink(beside)
        return reference
    try:
        os.rename(beside, path)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        os.rename(beside, path)
    seal(path, reference)
    if is_durable:
        _sync_names(path, root_of(folder))
    return reference


def _is_there(path: str, reference: Reference, folder: str) -> bool:
    try:
        found = os.stat(path)
        if found.st_size != reference.size:
            return False
        is_known = _is_sealed(reference, found) or _whole.get(path) == _stamp(found)
        if not is_known and digest_of_file(path, reference.format, folder) != reference.digest:
            return False
        if time.time() - found.st_mtime > FRESH_SECONDS:
            seal(path, reference)
    except (FileNotFoundError, DamagedError):
        return False
    return True


def seal(path: str, reference: Reference) -> None:
    """Say by its time of modification that the file is what it is named after; the last that is done to it. Raises OSError.

    Its digits below a millisecond follow from the digest, so that whoever writes to the file breaks the seal; and it is the
    time at which it was set, which the system notes as well (ctime) and nobody can set, so that whoever writes and sets the
    time back breaks it, too. Only then it takes hashing to know the content. Where times are coarser, it always does.
    """
    for _ in range(SEALINGS):
        now = time.time_ns()
        os.utime(path, ns=(now, now - now % SEALED_DIGITS + _mark(reference.digest)))
        found = os.stat(path)
        if is_untouched(found):
            break
    _whole[path] = _stamp(found)


def _mark(digest: str) -> int:
    return int(digest[:16], 16) % SEALED_DIGITS


def is_untouched(found: os.stat_result) -> bool:
    """Whether the last change of a file's state was the setting of its time of modification."""
    return -EARLY_NS <= found.st_ctime_ns - found.st_mtime_ns <= LATE_NS


def _is_sealed(reference: Reference, found: os.stat_result) -> bool:
    """Whether the file is as it was when it got its name. What is unpickled is never taken on trust."""
    return reference.format != "pickle" and is_untouched(found) and _is_marked(reference, found)


def _is_marked(reference: Reference, found: os.stat_result) -> bool:
    return found.st_mtime_ns % SEALED_DIGITS == _mark(reference.digest)


def distrust(path: str) -> None:
    """A file was found damaged: its time vouches for it no more, so that whoever makes the same product writes it anew."""
    _whole.pop(path, None)
    try:
        os.utime(path)
    except OSError:
        pass  # it cannot be written by us either; who reads it finds out again


def _stamp(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def sync(folder: str, reference: Reference) -> None:
    """Make the file of a reference durable. Raises OSError."""
    if reference.inline is None:
        path = path_of(folder, reference)
        _sync(path)
        _sync_names(path, root_of(folder))


def _sync_names(path: str, root: str) -> None:
    """Make the name of a file durable, and those of the folders that it lies in."""
    _sync(os.path.dirname(path))
    _sync(root)
    if root not in _rooted:  # it may have been made a moment ago, by whomever
        _sync(os.path.dirname(root))
        _rooted.add(root)


def _sync(path: str) -> None:
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


# --- reading ---------------------------------------------------------------------------------------------------------


def load(folder: str, reference: Reference) -> Any:
    """The data of a reference: a writable buffer, mapped when it is long (writing changes nobody else's).

    Raises MissingError, DamagedError, OSError.
    """
    if reference.inline is not None:
        data = bytearray(reference.inline)
        if len(data) != reference.size or digest_of_data(data, reference.format, folder) != reference.digest:
            raise DamagedError(f"a recorded product ({reference.format}, {reference.digest[:12]}) is damaged")
        return data
    path = path_of(folder, reference)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below; the except is about opening only
    except FileNotFoundError:
        raise MissingError(f"the product file {path} is not there", path) from None
    with file:
        found = os.fstat(file.fileno())
        if found.st_size != reference.size:
            raise DamagedError(f"the product file {path} has {found.st_size} bytes, not {reference.size}", path)
        buffer = _buffer_of(file, reference.size)
    stamp = _stamp(found)
    if not _is_sealed(reference, found) and _whole.get(path) != stamp:  # hashed once in a process
        if digest_of_data(buffer, reference.format, folder) != reference.digest:
            raise DamagedError(f"the content of the product file {path} has changed", path)
        _whole[path] = stamp
    return buffer


def _buffer_of(file: Any, size: int) -> Any:
    if size >= MAP_LEAST:
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    data = bytearray(size)
    place, view = 0, memoryview(data)
    while place < size:
        taken = file.readinto(view[place:])
        if not taken:
            break  # cut short meanwhile: its digest will say so
        place += taken
    return data


def problem_at_a_glance(folder: str, reference: Reference) -> str | None:
    """The same, but that the content of a file which nobody has touched is not read."""
    if reference.inline is None:
        try:
            found = os.stat(path_of(folder, reference))
        except OSError:
            return problem_of(folder, reference)
        if found.st_size == reference.size and is_untouched(found) and _is_marked(reference, found):
            return None
    return problem_of(folder, reference)


def problem_of(folder: str, reference: Reference) -> str | None:
    """What is wrong with the file of a reference, by its size and digest; None when it is whole."""
    if reference.inline is not None:
        whole = digest_of_data(reference.inline, reference.format, folder) == reference.digest
        return None if whole else "the recorded data has changed"
    path = path_of(folder, reference)
    try:
        size = os.stat(path).st_size
        if size != reference.size:
            return f"{path} has {size} bytes, not {reference.size}"
        if digest_of_file(path, reference.format, folder) != reference.digest:
            return f"the content of {path} has changed"
    except FileNotFoundError:
        return f"{path} is not there"
    except (OSError, DamagedError) as error:
        return f"{path} cannot be read: {error}"
    return None
