"""Facts of receipts files as reports for the engine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from weft.executors.supervisor.receipts import CHECKSUM, HEADER, MAGIC, ReceiptReader, read_frames
from weft.executors.worker.outputs import EMPTY
from weft.ports import Began, Finished, Remark, Report, StreamReport, Taken, Yielded
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import LOST, NO_OUTPUT, NO_USAGE, LogRegion, Outcome, Usage

PRODUCT_LIMIT = 64 << 10  # bytes of a product that travel with the outcome; a larger one is read from the log

SEARCHED_FROM: Final = 1 << 20
"""Bytes that were counted already, from which they are searched for what is wanted, instead of being read."""
WINDOW: Final = 8 << 20
_ABOUT: Final = re.compile(rb'\["(?:starting|started|ended|done)", ?$')
_ANY_NONCE: Final = re.compile(rb'(?<=[a-z]",)\d+|(?<=[a-z]", )\d+')
_LONGEST: Final = 64  # bytes from the beginning of a frame to the end of its nonce, and more
_ALIKE: Final = 4  # digits that all nonces begin with


def began(key: AttemptKey, fact: list[Any]) -> Began:
    """From ["started", nonce, pid, ticks, wall, stdout file, stderr file]."""
    _, nonce, pid, _, wall, out, err = fact
    return Began(key, nonce, wall, pid, LogRegion(out, 0, -1), LogRegion(err, 0, -1))


def finished(
    key: AttemptKey, fact: list[Any], keeps: str | None, read: Callable[[LogRegion], str | None] | None
) -> Finished:
    """From ["ended", nonce, cause, code, detail, charged, usage, stdout, stderr(, product, alone)]."""
    _, nonce, cause, code, detail, charged, usage, out, err, *more = fact
    stdout = LogRegion(*out) if out[2] else NO_OUTPUT
    product: str | None = more[0] if more else None
    if cause is None and read is not None and (keeps == "stdout" or keeps == "json"):
        product = read(stdout)
    outcome = Outcome(
        cause is None,
        cause,
        code,
        detail,
        NO_USAGE if usage is None else Usage(usage[0], usage[1], usage[2]),
        stdout,
        LogRegion(*err) if err[2] else NO_OUTPUT,
        product,
        charged,
        bool(more[1]) if len(more) > 1 else False,
    )
    return Finished(key, nonce, outcome)


def done(key: AttemptKey, fact: list[Any], has_begun: bool) -> list[Report | StreamReport]:
    """From ["done", nonce, wall, seconds, cpu seconds, memory, product]: a call that ended well, and maybe its begin."""
    _, nonce, wall, seconds, processor, memory, product = fact
    usage = Usage(seconds, processor, memory)
    end = Finished(key, nonce, Outcome(True, None, None, None, usage, NO_OUTPUT, NO_OUTPUT, product))
    return [end] if has_begun else [Began(key, nonce, wall, None, NO_OUTPUT, NO_OUTPUT), end]


def stream_report(key: AttemptKey, message: Any) -> StreamReport:
    """From ("yielded", nonce, first, shown, digests, bytes) or ("taken", nonce, bind, position)."""
    if message[0] == "taken":
        return Taken(key, *message[1:])
    _, nonce, first, shown, digests, size = message
    return Yielded(key, nonce, first, tuple(shown), tuple(digests), size)


class OutputReader:
    """Reads products out of a run's log folder."""

    def __init__(self, log_folder: str):
        self._log_folder = log_folder
        self._name = ""
        self._file = -1

    def product(self, region: LogRegion) -> str | None:
        """The output without one trailing newline; None when it is too long to travel, or gone."""
        if region.length == 0:
            return ""
        if region.length > PRODUCT_LIMIT:
            return None
        try:
            if region.file != self._name:
                self.close()
                self._file = os.open(f"{self._log_folder}/{region.file}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                self._name = region.file
            data = os.pread(self._file, region.length, region.offset)
        except OSError:
            return None
        return data.decode("utf-8", "replace").removesuffix("\n")

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._name = -1, ""


def remark(fact: list[Any]) -> Remark:
    """From ["remark" | "strays", nonce, key, text]."""
    key = fact[2]
    return Remark(fact[3], None if key is None else AttemptKey(*key))


def lost_fact(nonce: int, has_begun: bool, is_charged: bool = True) -> list[Any]:
    """The end of an attempt that nothing is left of; charged if it had begun, unless another one is to blame."""
    detail = "its process is gone and left no receipt" if has_begun else "it was never started"
    return ["ended", nonce, LOST, None, detail, has_begun and is_charged, None, ("", 0, 0), ("", 0, 0)]


class Past:
    """What receipts say of some attempts.

    started, ended: nonce -> fact. starting: nonces that may have begun.
    by_file: nonces begun, by file. readers: at the ends of their files. workers: the same of workers, ["started", …] and
    ["ended", …] by their nonces.
    """

    def __init__(self) -> None:
        self.started: dict[int, list[Any]] = {}
        self.ended: dict[int, list[Any]] = {}
        self.starting: set[int] = set()
        self.by_file: dict[str, list[int]] = {}
        self.readers: dict[str, ReceiptReader] = {}
        self.workers: dict[int, dict[str, list[Any]]] = {}
        self.remarks: list[Report] = []

    def release(self, name: str) -> ReceiptReader:
        """Hand the reader of a file over to whoever reads on."""
        return self.readers.pop(name)

    def close(self) -> None:
        """Let go of the files."""
        for reader in self.readers.values():
            reader.close()

    def take(self, name: str, fact: list[Any]) -> None:
        """Note a fact of the file `name`; the first end of an attempt is its end."""
        if fact[0] == "started":
            self.started[fact[1]] = fact
            self.by_file.setdefault(name, []).append(fact[1])
        elif fact[0] == "starting":
            self.starting.add(fact[1])
        elif fact[0] == "ended":
            self.ended.setdefault(fact[1], fact[:11])
            if len(fact) > 11:
                self._take_begin(fact[1], fact[11])
        elif fact[0] == "done":
            _, nonce, wall, seconds, processor, memory, product = fact
            usage = [seconds, processor, memory, 0]
            self.ended.setdefault(nonce, ["ended", nonce, None, None, None, True, usage, EMPTY, EMPTY, product])
            self._take_begin(nonce, wall)

    def _take_begin(self, nonce: int, wall: float) -> None:
        """Calls of workers say when they began only when they have ended."""
        self.started.setdefault(nonce, ["started", nonce, None, 0, wall, "", ""])


def begun_after(folder: str, run: str, offsets: Mapping[str, int], boot: str | None = None) -> set[int]:
    """Nonces of attempts that receipts beyond `offsets` say have begun, or may have. boot: those of other boots do not count."""
    found: set[int] = set()
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not name.endswith(".log"):
            continue
        reader = ReceiptReader(f"{folder}/{name}", run, offsets.get(name, 0))
        if boot is None or reader.header.get("boot") == boot:
            is_host, is_worker = "host" in reader.header, "worker" in reader.header
            for _, fact in reader.read()[0]:
                if (
                    (fact[0] == "starting" and len(fact) == 2)
                    or (fact[0] == "started" and is_host)
                    or (fact[0] in ("done", "ended") and is_worker)
                ):
                    found.add(fact[1])
        reader.close()
    return found


def read_past(folder: str, run: str, wanted: Collection[int], offsets: Mapping[str, int]) -> Past:
    """All receipts of a run, as far as they concern the attempts `wanted`. offsets: what was counted already.

    Of what was counted, only what is wanted is read again: to read that of 100,000 tasks takes a second.
    """
    past = Past()
    opened: list[tuple[str, ReceiptReader]] = []
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if not name.endswith(".log"):
            continue
        path = f"{folder}/{name}"
        counted = offsets.get(name, 0)
        is_skipped = (not wanted or counted >= SEARCHED_FROM) and counted <= os.lstat(path).st_size
        reader = ReceiptReader(path, run, counted if is_skipped else 0)
        if reader.refusal is not None:
            past.remarks.append(Remark(f"receipts file {folder}/{name} is left aside: {reader.refusal}"))
            reader.close()
            continue
        opened.append((name, reader))
        if "worker" in reader.header:
            past.workers[reader.header["worker"]] = {}
    known = {*wanted, *past.workers}
    for name, reader in opened:
        before = find_facts(reader.path, reader.offset, known) if wanted and reader.offset else ()
        facts, damages = reader.read()
        past.remarks += [Remark(f"receipts file {folder}/{name}: {text}") for text in damages]
        if offsets.get(name, 0) > reader.offset:
            text = f"has {reader.offset} bytes, but {offsets[name]} were counted already"
            past.remarks.append(Remark(f"receipts file {folder}/{name} {text}"))
        for fact in (*before, *(fact for _, fact in facts)):
            if fact[0] not in ("starting", "started", "ended", "done"):
                continue
            if fact[1] in wanted:
                past.take(name, fact)
            elif fact[1] in past.workers:
                past.workers[fact[1]][fact[0]] = fact
        past.readers[name] = reader
    for name in sorted(offsets.keys() - set(names)):
        past.remarks.append(Remark(f"receipts file {folder}/{name} is gone, {offsets[name]} bytes of it were counted"))
    return past


def find_facts(path: str, end: int, nonces: Collection[int]) -> Iterator[list[Any]]:
    """What the first `end` bytes of a receipts file say of `nonces`, in order; nothing else of them is parsed."""
    if not nonces:
        return
    texts = sorted(b"%d" % nonce for nonce in nonces)
    # Those of a run begin alike, so that looking for all of them is looking for one text.
    is_alike = len(texts[0]) >= _ALIKE and texts[0][:_ALIKE] == texts[-1][:_ALIKE]
    wanted = re.compile(b"|".join(texts)) if is_alike else _ANY_NONCE
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        at = 0
        while at < end:
            data = os.pread(file, min(WINDOW, end - at), at)
            is_last = at + len(data) >= end or not data
            following = len(data) if is_last else max(1, len(data) - _LONGEST)
            for first in _frames_about(data, wanted, None if is_alike else {*texts}):
                if first >= following:
                    break  # the next window has all of it
                length = HEADER.unpack_from(data, first)[3]
                whole = data[first : first + HEADER.size + length + CHECKSUM.size]
                if len(whole) < HEADER.size + length + CHECKSUM.size and not is_last:
                    following = max(1, first)
                    break
                yield from (fact for _, fact in read_frames(whole).facts if fact[1] in nonces)
            at = end if is_last else at + following
    finally:
        os.close(file)


def _frames_about(data: bytes, wanted: re.Pattern[bytes], texts: Collection[bytes] | None) -> Iterator[int]:
    """Where frames begin whose fact is about a nonce that `wanted` finds, and that is among `texts` (None: whatever it finds)."""
    for found in wanted.finditer(data):
        if texts is not None and found[0] not in texts:
            continue
        begin = data.rfind(b'["', max(0, found.start() - _LONGEST), found.start())
        first = begin - HEADER.size
        if first >= 0 and data[first : first + len(MAGIC)] == MAGIC and _ABOUT.match(data, begin, found.start()):
            yield first
