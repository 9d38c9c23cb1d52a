"""What a disk may hold after a power cut: a run is traced, and its writes are played again without what was never synced.

Model: a file has synced content and writes behind it, a folder synced names and changes behind them; `fsync` moves the one
to the other. A cut keeps of the writes any part, torn at sectors, and of each folder's changes any first part. So a file
whose folder was not synced may be missing, whatever was synced in it, and a rename may not have happened. A lock, a socket
and what is written through a mapping never reach the disk.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from support.weft_process import LIMIT_SECONDS, clean_environment

SECTOR_BYTES = 512
CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,truncate,fallocate,symlink,symlinkat,sendfile,copy_file_range,"
    "lseek,mmap,sync,syncfs,sync_file_range"
)
UNMODELLED = ("writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "symlink", "symlinkat", "sync", "syncfs")

Keeping = Literal["nothing", "some", "everything"]
"""What of the unsynced a cut leaves."""

_LINE = re.compile(r"^(\d+) +(.*)$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(.*)$", re.DOTALL)
_HEX = re.compile(r"\\x([0-9a-f]{2})")


class Call(NamedTuple):
    """One system call that succeeded. files: paths of the descriptors named; texts: its strings."""

    name: str
    words: str
    result: int
    files: tuple[str, ...]
    texts: tuple[bytes, ...]

    @property
    def path(self) -> str:
        """The path that it names, seen from the folder whose descriptor stands before it."""
        return os.path.normpath(os.path.join(self.files[0] if self.files else "/", os.fsdecode(self.texts[0])))

    def number(self, place: int) -> int:
        """An argument that is a number; counted from behind when negative."""
        return int(self.words.split(", ")[place])


@dataclass(eq=False)
class File:
    """synced: content that survives. behind: (offset, data) of writes since, and (length, None) of truncations."""

    synced: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    behind: list[tuple[int, bytes | None]] = field(default_factory=list)
    appends: bool = False
    is_mapped: bool = False

    def put(self, place: int, data: bytes | None) -> None:
        """Write, or cut (no data)."""
        self.behind.append((place, data))
        _put(self.now, place, data)

    def sync(self) -> None:
        """Everything is durable now."""
        self.synced = bytes(self.now)
        self.behind.clear()

    def after_cut(self, keeping: Keeping, random: Random) -> bytes:
        """What may be left of it."""
        left = bytearray(self.synced)
        for place, data in self.behind:
            if keeping == "nothing" or (keeping == "some" and random.random() < 0.5):
                continue
            if data is None or keeping == "everything" or random.random() < 0.5:
                _put(left, place, data)
                continue
            at = 0
            while at < len(data):
                end = min(len(data), at + SECTOR_BYTES - (place + at) % SECTOR_BYTES)
                if random.random() < 0.5:
                    _put(left, place + at, data[at:end])
                at = end
        return bytes(left)


@dataclass(eq=False)
class Folder:
    """synced: names that survive. behind: changes since, each a set of names given (File, Folder) or taken (None)."""

    synced: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)
    behind: list[Mapping[str, File | Folder | None]] = field(default_factory=list)

    def change(self, names: Mapping[str, File | Folder | None]) -> None:
        """Give and take names, in one step."""
        self.behind.append(names)
        _change(self.now, names)

    def sync(self) -> None:
        """All names are durable now."""
        self.synced = dict(self.now)
        self.behind.clear()

    def after_cut(self, keeping: Keeping, random: Random) -> dict[str, File | Folder]:
        """Which names may be left."""
        left = dict(self.synced)
        count = {"nothing": 0, "everything": len(self.behind)}.get(keeping, random.randint(0, len(self.behind)))
        for names in self.behind[:count]:
            _change(left, names)
        return left


def _loaded(path: Path) -> Folder:
    found = Folder()
    waiting = [(path, found)]
    while waiting:
        place, folder = waiting.pop()
        for entry in os.scandir(place):
            below: File | Folder
            if entry.is_dir():
                below = Folder()
                waiting.append((Path(entry.path), below))
            else:
                below = File(now=bytearray(Path(entry.path).read_bytes()))
                below.sync()
            folder.now[entry.name] = below
        folder.sync()
    return found


def _put(content: bytearray, place: int, data: bytes | None) -> None:
    if data is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data


def _change(names: dict[str, File | Folder], change: Mapping[str, File | Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The part of a disk below `state`, as calls change it. told: lines written to the file `out` so far.

    before: a copy of what was there, and durable, before the first call.
    """

    def __init__(self, state: str, out: str, before: Path | None = None):
        self.state = state
        self.told = b""
        self._out = out
        self._top = Folder()
        if before is not None:
            self._top.change({os.path.basename(state): _loaded(before)})
            self._top.sync()
        self._places: dict[tuple[int, int], int] = {}

    def play(self, call: Call) -> None:
        """Let a call take effect. Raises AssertionError on one that the model has no idea of."""
        if call.name == "write" and call.files[0] == self._out:
            self.told += call.texts[0][: call.result]
            return
        named = [*call.files, *(os.fsdecode(text) for text in call.texts if call.name not in ("write", "pwrite64"))]
        if not any(name == self.state or name.startswith(self.state + "/") for name in [*named, *self._paths(call)]):
            self._sync_above(call)
            return
        assert call.name not in UNMODELLED, f"the model knows nothing of {call.name}: {call.words[:200]}"
        getattr(self, f"_{call.name}")(call)

    def acknowledged(self) -> list[dict[str, Any]]:
        """The events that the command has told."""
        return [json.loads(line) for line in self.told.splitlines(keepends=True) if line.endswith(b"\n")]

    def write_cut(self, folder: Path, keeping: Keeping, random: Random) -> None:
        """Make the image of a cut at this moment in `folder`."""
        waiting: list[tuple[Path, Folder]] = [(folder, self._top)]
        while waiting:
            place, node = waiting.pop()
            for name, below in sorted(node.after_cut(keeping, random).items()):
                if isinstance(below, Folder):
                    (place / name).mkdir(0o700)
                    waiting.append((place / name, below))
                else:
                    descriptor = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    with open(descriptor, "wb") as file:
                        file.write(below.after_cut(keeping, random))

    def differences(self) -> list[str]:
        """Where the real files are not as the model has them; none if it is right."""
        found: list[str] = []
        waiting: list[tuple[str, Folder]] = [(os.path.dirname(self.state), self._top)]
        while waiting:
            place, node = waiting.pop()
            real = {entry.name for entry in os.scandir(place) if entry.is_file() or entry.is_dir()}
            if node is self._top:
                real &= {os.path.basename(self.state)}
            found += [f"{place}/{name}" for name in real ^ node.now.keys()]
            for name in real & node.now.keys():
                below = node.now[name]
                if isinstance(below, Folder):
                    waiting.append((f"{place}/{name}", below))
                elif not below.is_mapped and Path(place, name).read_bytes() != bytes(below.now):
                    found.append(f"content of {place}/{name}")
        return found

    # --- calls: names

    def _paths(self, call: Call) -> list[str]:
        if call.name in ("rename", "renameat", "renameat2", "link", "linkat"):
            return list(self._two_paths(call))
        return [call.path] if call.texts and call.name not in ("write", "pwrite64") else []

    def _two_paths(self, call: Call) -> tuple[str, str]:
        folders = call.files if len(call.files) == 2 else ("/", "/")
        first, second = (
            os.path.normpath(os.path.join(folder, os.fsdecode(text)))
            for folder, text in zip(folders, call.texts, strict=True)
        )
        return first, second

    def _find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self._top
        for name in os.path.relpath(path, os.path.dirname(self.state)).split("/"):
            if not isinstance(node, Folder):
                return None
            node = node.now.get(name)
        return node

    def _above(self, path: str) -> tuple[Folder, str]:
        folder, name = os.path.split(path)
        above = self._top if folder == os.path.dirname(self.state) else self._find(folder)
        assert isinstance(above, Folder), f"{folder} is no folder of the model"
        return above, name

    def _openat(self, call: Call) -> None:
        path = call.path
        node = self._find(path)
        if node is None:
            assert "O_CREAT" in call.words, call.words
            node = File()
            above, name = self._above(path)
            above.change({name: node})
        if isinstance(node, File):
            node.appends = node.appends or "O_APPEND" in call.words
            if "O_TRUNC" in call.words and node.now:
                node.put(0, None)
            self._places[id(node), call.result] = 0

    _open = _creat = _openat

    def _mkdir(self, call: Call) -> None:
        above, name = self._above(call.path)
        above.change({name: Folder()})

    _mkdirat = _mkdir

    def _unlink(self, call: Call) -> None:
        above, name = self._above(call.path)
        if name in above.now:  # a socket is none of ours
            above.change({name: None})

    _unlinkat = _rmdir = _unlink

    def _rename(self, call: Call) -> None:
        first, second = self._two_paths(call)
        (source, old), (target, new) = self._above(first), self._above(second)
        moved = source.now[old]
        if source is target:
            source.change({old: None, new: moved})
        else:
            source.change({old: None})
            target.change({new: moved})

    _renameat = _renameat2 = _rename

    def _link(self, call: Call) -> None:
        first, second = self._two_paths(call)
        node = self._find(first)
        assert node is not None, first
        target, name = self._above(second)
        target.change({name: node})

    _linkat = _link

    # --- calls: content

    def _file(self, call: Call) -> File:
        path = call.files[0].removesuffix("(deleted)")
        node = self._find(path)
        # Whoever writes to a file without a name writes to nothing that a cut could leave.
        return node if isinstance(node, File) else File()

    def _write(self, call: Call) -> None:
        node = self._file(call)
        key = (id(node), int(call.words.split("<", 1)[0]))
        place = len(node.now) if node.appends else self._places.get(key, 0)
        node.put(place, call.texts[0][: call.result])
        self._places[key] = place + call.result

    def _pwrite64(self, call: Call) -> None:
        self._file(call).put(call.number(-1), call.texts[0][: call.result])

    def _lseek(self, call: Call) -> None:
        self._places[id(self._file(call)), int(call.words.split("<", 1)[0])] = call.result

    def _ftruncate(self, call: Call) -> None:
        self._file(call).put(call.number(-1), None)

    def _truncate(self, call: Call) -> None:
        node = self._find(call.path)
        assert isinstance(node, File), call.words
        node.put(call.number(-1), None)

    def _fallocate(self, call: Call) -> None:
        node, end = self._file(call), call.number(-1) + call.number(-2)
        if end > len(node.now):
            node.put(end, None)

    def _mmap(self, call: Call) -> None:
        if "MAP_SHARED" in call.words and "PROT_WRITE" in call.words:
            self._file(call).is_mapped = True

    def _fsync(self, call: Call) -> None:
        node = self._find(call.files[0])
        if node is not None:
            node.sync()

    _fdatasync = _fsync

    def _sync_above(self, call: Call) -> None:
        if call.name == "fsync" and call.files[0] == os.path.dirname(self.state):
            self._top.sync()


def trace(folder: Path, words: Sequence[str], exit_code: int = 0) -> list[Call]:
    """Run argv in `folder` to its end, its output into the file `out`; what it and its children asked of the disk."""
    log = folder / "trace"
    watched = ["strace", "-f", "-qq", "-y", "-xx", "-s", str(1 << 26), "-e", f"trace={CALLS}", "-o", str(log)]
    with open(folder / "out", "wb") as out:
        ended = subprocess.run(
            [*watched, "-e", "signal=none", *words],
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=LIMIT_SECONDS * 3,
            check=False,
        )
    assert ended.returncode == exit_code, ended.stderr.decode(errors="replace")
    with open(log, encoding="ascii", newline="\n") as lines:
        return list(_calls(lines))


def _calls(lines: Iterator[str] | Any) -> Iterator[Call]:
    """A sync counts when it has returned, everything else no later than that."""
    open_calls: dict[str, str] = {}
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        assert found is not None, line[:200]
        process, text = found.groups()
        if text.endswith("<unfinished ...>"):
            open_calls[process] = text.removesuffix("<unfinished ...>")
            continue
        resumed = _RESUMED.match(text)
        if resumed is not None:
            text = open_calls.pop(process, "?") + resumed.group(2)
        call = _CALL.match(text)
        if call is not None and int(call.group(3)) >= 0:
            yield _call(call.group(1), call.group(2), int(call.group(3)))


def _call(name: str, words: str, result: int) -> Call:
    texts = tuple(_unhex(text) for text in re.findall(r'"([^"]*)"', words))
    bare = re.sub(r'"[^"]*"', '""', words)
    files = tuple(os.fsdecode(_unhex(text)) for text in re.findall(r"<([^<>]*)>", bare))
    return Call(name, re.sub(r"<[^<>]*>", "<>", bare), result, files, texts)


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()
