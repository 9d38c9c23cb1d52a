"""Where attempts write: pairs of files that are used again and again, and the pack file that small output moves to.

Creating a file per attempt costs as much as starting one, so an attempt writes to the files of a *slot*. They cannot
simply be shared region by region: `echo x > /dev/stderr` opens the file anew and truncates it. So when the attempt
ends, what is small is copied to the pack, what is large is renamed to a file of its own (10 GB must not be copied), and
the slot is empty again.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import NamedTuple

SMALL_OUTPUT = 64 << 10  # bytes a stream; up to here copying is cheaper than a new file
SPARE_DESCRIPTORS = 24  # that the supervisor keeps for its own work
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
STREAMS = ("out", "err")

Region = tuple[str, int, int]
EMPTY: Region = ("", 0, 0)


class Slot:
    """A place for one live attempt: its two files and its scratch folder. is_whole: both files are open and have their names."""

    __slots__ = ("files", "is_whole", "names", "number", "own", "scratch", "scratch_value")

    def __init__(self, number: int, names: tuple[str, str], files: list[int], scratch: str):
        self.number = number
        self.names = names
        self.files = files
        self.scratch = scratch
        self.scratch_value = os.fsencode(scratch)  # for environments
        self.is_whole = True
        self.own = ""  # name that the file of stdout has instead of the slot's


class Output(NamedTuple):
    """Where the two streams of an ended attempt lie now."""

    out: Region
    err: Region


NO_OUTPUT = Output(EMPTY, EMPTY)


class Slots:
    """All slots of one supervisor. Folders exist already; `writer` keeps names of successive supervisors apart."""

    def __init__(self, log_folder: str, scratch_folder: str, writer: str):
        self._log_folder = log_folder
        self._scratch_folder = scratch_folder
        self._writer = writer
        self._free: list[Slot] = []
        self._made = 0
        self._open_slots = 0
        self._pack = -1
        self._pack_name = f"output-{writer}.log"
        self._pack_size = 0

    def take(self) -> Slot:
        """A slot with empty files. Raises OSError when one cannot be made."""
        return self._free.pop() if self._free else self._make()

    def _make(self) -> Slot:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY and 2 * self._open_slots + SPARE_DESCRIPTORS > limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        number = self._made + 1
        names = (f"slots/{self._writer}-{number}.out", f"slots/{self._writer}-{number}.err")
        files = [self._open(names[0])]
        try:
            files.append(self._open(names[1]))
            scratch = f"{self._scratch_folder}/{self._writer}-{number}"
            os.mkdir(scratch, 0o700)
        except OSError:
            for file, name in zip(files, names, strict=False):
                os.close(file)
                os.unlink(f"{self._log_folder}/{name}")
            raise
        _mark_empty(scratch)
        self._made = number
        self._open_slots += 1
        return Slot(number, names, files, scratch)

    def _open(self, name: str) -> int:
        return os.open(f"{self._log_folder}/{name}", FLAGS, 0o600)

    def give_own(self, slot: Slot, nonce: int) -> None:
        """Let the attempt write its stdout to a file that no other attempt will have. Raises OSError."""
        name = f"{nonce:016x}.{STREAMS[0]}"
        os.rename(f"{self._log_folder}/{slot.names[0]}", f"{self._log_folder}/{name}")
        slot.own = name

    def settle(self, slot: Slot, nonce: int) -> Output:
        """Move the output of the attempt that has ended out of the slot's files."""
        out, err = os.fstat(slot.files[0]), os.fstat(slot.files[1])
        slot.is_whole = out.st_nlink > 0 and err.st_nlink > 0
        if slot.own:
            return Output(self._leave(slot), self._settle(slot, 1, err.st_size, nonce))
        if out.st_size == 0 and err.st_size == 0:
            return NO_OUTPUT
        return Output(self._settle(slot, 0, out.st_size, nonce), self._settle(slot, 1, err.st_size, nonce))

    def _leave(self, slot: Slot) -> Region:
        """The file of its own is the attempt's for good, also when nothing is in it: somebody may still be reading."""
        region = (slot.own, 0, os.fstat(slot.files[0]).st_size)
        os.close(slot.files[0])
        slot.files[0] = -1
        slot.is_whole = False
        slot.own = ""
        return region

    def _settle(self, slot: Slot, stream: int, size: int, nonce: int) -> Region:
        if size == 0:
            return EMPTY
        if size <= SMALL_OUTPUT:
            region = self._copy(slot.files[stream], size)
            if region is not None:
                return region
        return self._rename(slot, stream, nonce)

    def _copy(self, file: int, size: int) -> Region | None:
        try:
            data = os.pread(file, size, 0)
            if self._pack < 0:
                self._pack = self._open(self._pack_name)
            offset = self._pack_size
            written = os.write(self._pack, data)
            self._pack_size += written
            if written < len(data):
                return None
            os.ftruncate(file, 0)
        except OSError:
            return None
        return (self._pack_name, offset, len(data))

    def _rename(self, slot: Slot, stream: int, nonce: int) -> Region:
        """The file itself becomes the attempt's, also when the disk has no room for a copy."""
        name = f"{nonce:016x}.{STREAMS[stream]}"
        size = os.fstat(slot.files[stream]).st_size
        try:
            os.rename(f"{self._log_folder}/{slot.names[stream]}", f"{self._log_folder}/{name}")
        except OSError:
            name = slot.names[stream]  # its owner removed it: the region says how much there was
        os.close(slot.files[stream])
        slot.files[stream] = -1
        slot.is_whole = False
        return (name, 0, size)

    def give_back(self, slot: Slot) -> None:
        """Let the next attempt use it. What the last one left behind is removed; files it removed are made anew."""
        try:
            if slot.own:  # its attempt was not started
                self._leave(slot)
            if not slot.is_whole:
                self._renew(slot, 0)
                self._renew(slot, 1)
                slot.is_whole = True
            if os.stat(slot.scratch).st_mtime_ns != 0:
                _empty(slot.scratch)
        except OSError:
            self.retire(slot)
            return
        self._free.append(slot)

    def _renew(self, slot: Slot, stream: int) -> None:
        file = slot.files[stream]
        if file >= 0:
            if os.fstat(file).st_nlink:
                return
            os.close(file)
            slot.files[stream] = -1
        slot.files[stream] = self._open(slot.names[stream])

    def retire(self, slot: Slot) -> None:
        """Never use it again: something may still write to its files."""
        self._open_slots -= 1
        for stream, file in enumerate(slot.files):
            if file >= 0:
                os.close(file)
                slot.files[stream] = -1
                _remove_file(f"{self._log_folder}/{slot.names[stream]}")
        _remove_folder(slot.scratch)

    def close(self) -> None:
        """Remove the empty slots; what attempts wrote stays."""
        for slot in self._free:
            self.retire(slot)
        self._free.clear()
        if self._pack >= 0:
            os.close(self._pack)
            self._pack = -1


def _mark_empty(folder: str) -> None:
    # Any entry made later moves the folder's time away from zero: one stat tells whether there is something to remove.
    os.utime(folder, ns=(0, 0))


def _empty(folder: str) -> None:
    _remove_folder(folder)
    os.makedirs(folder, 0o700, exist_ok=True)
    for name in os.listdir(folder):
        raise OSError(f"{folder}/{name} cannot be removed")
    _mark_empty(folder)


def _remove_folder(path: str) -> None:
    try:
        os.rmdir(path)  # as a rule it is empty
    except FileNotFoundError:
        pass
    except OSError:
        import shutil  # late: a supervisor that is slow to wake up delays the first start

        shutil.rmtree(path, ignore_errors=True)


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
