"""Facts as text and back: versioned, one letter per kind, defaults left out; old versions are read for ever.

A payload is one JSON object: `{"v": version, "n": base, "r": [requests], "l": [log files], "f": [facts]}`. A fact is a list that
begins with its letter. Nonces are kept as differences from `base`, requests and log files as indexes into `r` and `l`,
because they repeat. A request is
`[[[name, amount], ...], timeout, queue]`, and then `[[name, text], ...]` if a function gave texts. Trailing defaults are cut off:

    s  StartAttempt    task, instance, attempt, nonce, request
    b  BeginAttempt    task, instance, attempt, nonce, started, stdout, stderr
    c  CloseAttempt    task, instance, attempt, nonce, ok, seconds, cause, exit code, detail, cpu seconds, memory, stdout,
                       stderr, product, flags, retry
    t  SettleTask      task, state, attempts, cause, detail, fingerprint, usage
    k  SettleTask      of many that are ok, cached, without an attempt: [[first task, count], ...], fingerprints in base64
    i  SettleInstance  task, instance, state, cause, detail
    m  TakeItems       task, items
    a  AddItems        task, first, items
    r  ReopenTask      task, anew
    w  ExplainTask     task, [[code, text, part, before, after]]
    o  OwnRun          epoch, host, pid, since
    p  ChangePlan      stretches of [old, new, count]
    e  EndRun          state, exit code, ended
    f  CountReceipts   {file: offset}

usage: `[seconds, cpu seconds, memory]`, 0 when it is that of the last end in this payload. stdout, stderr: `[file, offset,
length]`. flags: 1 not charged, 2 alone. retry: `[reason, delay, request, change]`. What
there is none of is null. Seconds are rounded to microseconds. How an attempt was placed (`lane`, `ahead`, `alone` of an
intent) is not kept: it means nothing to a later engine. Text is ASCII with escapes, so lone surrogates (file names that
are no UTF-8) survive.
"""

from __future__ import annotations

import json
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from weft.errors import StoreError
from weft.scheduling.commands import (
    AddItems,
    BeginAttempt,
    CloseAttempt,
    ExplainTask,
    ReopenTask,
    Retry,
    SettleInstance,
    SettleTask,
    StartAttempt,
    TakeItems,
)
from weft.scheduling.keys import AttemptKey
from weft.scheduling.outcomes import CACHED, NO_OUTPUT, NO_USAGE, LogRegion, Outcome, Request, Usage
from weft.scheduling.reasons import Reason
from weft.store.facts import ChangePlan, CountReceipts, EndRun, Fact, OwnRun

VERSION: Final = 3
_PLAIN_VERSION: Final = 1  # said where nothing newer is in it
_FOLDED_VERSION: Final = 2  # the kind `k`; version 3: texts of requests
SECONDS_DIGITS: Final = 6
DEFLATED_FROM: Final = 1024  # characters; below that a payload stays readable for anybody with a SQLite shell
FOLDED_FROM: Final = 16  # tasks that were cached, one after the other
_CHANCE: Final = 0.7  # what a sample of digests shrinks to: deflating all of them would cost much and give little
_SAMPLE: Final = 2048

NOT_CHARGED: Final = 1
ALONE: Final = 2

_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Unreadable(StoreError):
    """A recorded fact cannot be read: it is damaged, or a later weft wrote it."""


def pack(payload: str) -> str | bytes:
    """A payload as it is stored: text as it is when it is short or mostly chance, else deflated (a quarter of the bytes)."""
    if len(payload) < DEFLATED_FROM:
        return payload
    data = payload.encode("ascii")
    middle = (len(data) - _SAMPLE) // 2
    if middle > _SAMPLE and len(zlib.compress(data[middle : middle + _SAMPLE], 1)) > _CHANCE * _SAMPLE:
        return payload
    return zlib.compress(data, 1)


def unpack(stored: str | bytes) -> str:
    """What `pack` was given. Raises Unreadable."""
    if isinstance(stored, str):
        return stored
    try:
        return zlib.decompress(stored).decode("ascii")
    except (zlib.error, UnicodeDecodeError) as error:
        raise Unreadable(f"a recorded fact cannot be unpacked ({error})") from error


def checksum(number: int, epoch: int, stored: str | bytes) -> int:
    """CRC-32 of a fact row: of its place in the run, too, so that no row can stand in for another."""
    content = stored.encode("utf-8", "surrogatepass") if isinstance(stored, str) else stored
    return zlib.crc32(content, zlib.crc32(b"%d.%d." % (number, epoch)))


# --- requests ----------------------------------------------------------------------------------------------------------


def dump_request(request: Request) -> str:
    """A request as canonical JSON."""
    return _dumps(_request_row(request))


def load_request(text: str) -> Request:
    """A request from its JSON."""
    return _request(json.loads(text))


def _request_row(request: Request) -> Sequence[Any]:
    return request if request.besides else request[:3]


def _request(value: list[Any]) -> Request:
    amounts, timeout, queue, *rest = value
    besides = tuple((name, text) for texts in rest for name, text in texts)
    return Request(tuple((name, amount) for name, amount in amounts), timeout, queue, besides)


def dump_retry(retry: Retry | None) -> str | None:
    """A retry decision as JSON."""
    if retry is None:
        return None
    return _dumps([retry.reason, retry.delay, _request_row(retry.request), retry.change])


def load_retry(text: str) -> Retry:
    """A retry decision from its JSON."""
    reason, delay, request, change = json.loads(text)
    return Retry(reason, delay, _request(request), change)


def dump_reasons(reasons: Sequence[Reason]) -> str:
    """Reasons as JSON."""
    return _dumps(reasons)


def load_reasons(text: str) -> tuple[Reason, ...]:
    """Reasons from their JSON."""
    return tuple([Reason(*reason) for reason in json.loads(text)])


def flags_of(outcome: Outcome) -> int:
    """What is unusual about an end, as bits; 0 as a rule."""
    return (0 if outcome.charged else NOT_CHARGED) | (ALONE if outcome.alone else 0)


# --- writing -----------------------------------------------------------------------------------------------------------


def encode(facts: Sequence[Fact]) -> str:
    """The payload of one transaction."""
    return _Encoder().encode(facts)


class _Encoder:
    """Facts to JSON. The four that every task costs are written out by hand where they say nothing unusual."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._requests: dict[Request, int] = {}
        self._last: tuple[Request | None, int] = (None, 0)
        self._files: dict[str, int] = {}
        self._usage = NO_USAGE
        self._version = _PLAIN_VERSION

    def encode(self, facts: Sequence[Fact]) -> str:
        if list(map(type, facts)).count(SettleTask) * 2 > len(facts):  # else tasks have run: few were cached
            coded = ",".join(self._folded(facts))
        else:
            coded = ",".join([_ENCODERS[type(fact)](self, fact) for fact in facts])
        base = "" if self._base is None else f'"n":{self._base},'
        requests = ""
        if self._requests:
            requests = f'"r":{_dumps(list(map(_request_row, self._requests)))},'
            if any(request.besides for request in self._requests):
                self._version = VERSION
        files = f'"l":{_dumps(list(self._files))},' if self._files else ""
        return f'{{"v":{self._version},{base}{requests}{files}"f":[{coded}]}}'

    def _folded(self, facts: Sequence[Fact]) -> list[str]:
        """Long rows of tasks that were cached in one piece each: a run in which nothing has changed writes little else."""
        coded: list[str] = []
        for is_cached, found in groupby(facts, _is_cached):
            row = list(found)
            folded = _fold(row) if is_cached and len(row) >= FOLDED_FROM else None
            if folded is not None:
                self._version = _FOLDED_VERSION
                coded.append(folded)
            else:
                coded += [_ENCODERS[type(fact)](self, fact) for fact in row]
        return coded

    def _nonce(self, nonce: int) -> int:
        if self._base is None:
            self._base = nonce
        return nonce - self._base

    def _index(self, request: Request) -> int:
        last, index = self._last  # hashing nested tuples costs more than all the rest of an intent
        if request is not last:
            index = self._requests.setdefault(request, len(self._requests))
            self._last = (request, index)
        return index

    def _region(self, region: LogRegion) -> list[int] | None:
        file, offset, length = region
        return [self._files.setdefault(file, len(self._files)), offset, length] if file else None

    def _region_text(self, region: LogRegion) -> str:
        file, offset, length = region
        return f"[{self._files.setdefault(file, len(self._files))},{offset},{length}]" if file else _NULL

    def start(self, fact: StartAttempt) -> str:
        task, instance, attempt = fact[0]
        return f'["s",{task},{instance},{attempt},{self._nonce(fact[1])},{self._index(fact[2])}]'

    def begin(self, fact: BeginAttempt) -> str:
        (task, instance, attempt), nonce, started, stdout, stderr = fact
        head = f'["b",{task},{instance},{attempt},{self._nonce(nonce)},{round(started, SECONDS_DIGITS)!r}'
        if not stdout.file and not stderr.file:
            return head + "]"
        return head + _tail([self._region_text(stdout), self._region_text(stderr)])

    def close(self, fact: CloseAttempt) -> str:
        (task, instance, attempt), nonce, outcome, retry = fact
        if outcome == PLAIN and retry is None:
            self._usage = NO_USAGE
            return f'["c",{task},{instance},{attempt},{self._nonce(nonce)},1,0]'
        ok, cause, exit_code, detail, usage, stdout, stderr, product, charged, alone = outcome
        seconds, cpu_seconds, memory = usage
        seconds = round(seconds, SECONDS_DIGITS)
        if ok and cause is None and detail is None and charged and not alone and retry is None:
            self._usage = usage
            measured = [_number(exit_code), _NULL, _number(_seconds(cpu_seconds)), _number(memory)]
            said = [self._region_text(stdout), self._region_text(stderr), _NULL if product is None else _dumps(product)]
            tail = _tail([_NULL, *measured, *said])
            return f'["c",{task},{instance},{attempt},{self._nonce(nonce)},1,{seconds!r}{tail}'
        coded = ["c", task, instance, attempt, self._nonce(nonce), 1 if ok else 0, seconds]
        again = None if retry is None else [retry.reason, retry.delay, self._index(retry.request), retry.change]
        self._usage = usage
        rest = [cause, exit_code, detail, _seconds(cpu_seconds), memory]
        regions = (self._region(stdout), self._region(stderr))
        return _dumps(_trim([*coded, *rest, *regions, product, flags_of(outcome) or None, again], 7))

    def settle(self, fact: SettleTask) -> str:
        task, state, cause, detail, attempts, fingerprint, usage = fact
        if cause is None and detail is None and fingerprint is None and usage == NO_USAGE:
            return f'["t",{task},"{state}",{attempts}]'
        if cause is None and detail is None and fingerprint is None and usage == self._usage:
            return f'["t",{task},"{state}",{attempts},null,null,null,0]'
        measured: Any = None
        if usage != NO_USAGE:
            measured = [round(usage.seconds, SECONDS_DIGITS), _seconds(usage.cpu_seconds), usage.memory]
            if usage == self._usage:
                measured = 0
        return _dumps(_trim(["t", task, state, attempts, cause, detail, fingerprint, measured], 4))

    def settle_instance(self, fact: SettleInstance) -> str:
        return _dumps(_trim(["i", *fact], 4))

    def take_items(self, fact: TakeItems) -> str:
        return _dumps(["m", fact.task, fact.items])

    def add_items(self, fact: AddItems) -> str:
        return _dumps(["a", *fact])

    def reopen(self, fact: ReopenTask) -> str:
        return _dumps(["r", fact.task, 1] if fact.anew else ["r", fact.task])

    def explain(self, fact: ExplainTask) -> str:
        return _dumps(["w", fact.task, fact.reasons])

    def own(self, fact: OwnRun) -> str:
        return _dumps(["o", *fact])

    def change_plan(self, fact: ChangePlan) -> str:
        return _dumps(["p", _stretches(fact.moved)])

    def end(self, fact: EndRun) -> str:
        return _dumps(["e", *fact])

    def count(self, fact: CountReceipts) -> str:
        return _dumps(["f", dict(fact.offsets)])


PLAIN: Final = Outcome(True)
"""The end of an attempt of which there is nothing to say."""


def _is_cached(fact: Fact) -> bool:
    """Whether a fact says no more than that a task was up to date."""
    if type(fact) is not SettleTask:
        return False
    _, state, cause, detail, attempts, fingerprint, usage = fact
    is_plain = cause == CACHED and state == "ok" and detail is None and attempts == 0
    return is_plain and fingerprint is not None and usage == NO_USAGE


def _fold(row: Sequence[Any]) -> str | None:
    """Facts of which each `_is_cached` as one; None when their fingerprints are no digests of one length."""
    digests = join_digests([fact.fingerprint for fact in row])
    if digests is None:
        return None
    stretches: list[list[int]] = []
    last = -2
    for fact in row:
        if fact.task == last + 1:
            stretches[-1][1] += 1
        else:
            stretches.append([fact.task, 1])
        last = fact.task
    text = b2a_base64(b"".join(digests), newline=False).decode("ascii")
    return f'["k",{_dumps(stretches)},"{text}"]'


def join_digests(digests: Sequence[str | None]) -> list[bytes] | None:
    """Hex digests as bytes; None when they are not all in lower case and of one length."""
    try:
        joined = "".join(digests)  # type: ignore[arg-type]  # None is told by the error
        data = bytes.fromhex(joined)
    except (TypeError, ValueError):
        return None
    length = len(data) // max(1, len(digests))
    if not length or data.hex() != joined or set(map(len, digests)) != {2 * length}:  # type: ignore[arg-type]
        return None
    return [data[place : place + length] for place in range(0, len(data), length)]


_ENCODERS: Final[dict[type, Callable[[_Encoder, Any], str]]] = {
    StartAttempt: _Encoder.start,
    BeginAttempt: _Encoder.begin,
    CloseAttempt: _Encoder.close,
    SettleTask: _Encoder.settle,
    SettleInstance: _Encoder.settle_instance,
    TakeItems: _Encoder.take_items,
    AddItems: _Encoder.add_items,
    ReopenTask: _Encoder.reopen,
    ExplainTask: _Encoder.explain,
    OwnRun: _Encoder.own,
    ChangePlan: _Encoder.change_plan,
    EndRun: _Encoder.end,
    CountReceipts: _Encoder.count,
}


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, SECONDS_DIGITS)


_NULL: Final = "null"


def _number(value: float | None) -> str:
    return _NULL if value is None else repr(value)


def _tail(texts: list[str]) -> str:
    """The end of a fact, from the text of its last values: what `_trim` leaves of them."""
    while texts and texts[-1] == _NULL:
        texts.pop()
    return f",{','.join(texts)}]" if texts else "]"


def _trim(coded: list[Any], least: int) -> list[Any]:
    """Without the None at its end, down to `least` entries."""
    end = len(coded)
    while end > least and coded[end - 1] is None:
        end -= 1
    return coded[:end]


def _stretches(moved: Mapping[int, int]) -> list[list[int]]:
    found: list[list[int]] = []
    for old in sorted(moved):
        new = moved[old]
        if found and found[-1][0] + found[-1][2] == old and found[-1][1] + found[-1][2] == new:
            found[-1][2] += 1
        else:
            found.append([old, new, 1])
    return found


# --- reading -----------------------------------------------------------------------------------------------------------


def decode(payload: str) -> list[Fact]:
    """The facts of one transaction. Raises Unreadable."""
    try:
        document = json.loads(payload)
        version = document["v"]
        if version not in (_PLAIN_VERSION, _FOLDED_VERSION, VERSION):
            raise Unreadable(f"a fact was written in format {version}; this weft reads formats up to {VERSION}")
        requests = [_request(request) for request in document.get("r", [])]
        reading = _Decoder(document.get("n", 0), requests, document.get("l", []))
        facts: list[Fact] = []
        for coded in document["f"]:
            if coded[0] == "k":
                facts += _unfold(*coded[1:])
            else:
                facts.append(_DECODERS[coded[0]](reading, coded[1:]))
        return facts
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise Unreadable(f"a recorded fact makes no sense ({type(error).__name__}: {error})") from error


def _unfold(stretches: list[list[int]], text: str) -> list[Fact]:
    """What `_fold` was given. Raises ValueError."""
    tasks = [task for first, count in stretches for task in range(first, first + count)]
    data = a2b_base64(text, strict_mode=True)
    length = len(data) // max(1, len(tasks))
    if not length or length * len(tasks) != len(data):
        raise ValueError(f"{len(data)} bytes of fingerprints for {len(tasks)} tasks")
    digests = [data[place : place + length].hex() for place in range(0, len(data), length)]
    return [
        SettleTask(task, "ok", CACHED, None, 0, digest, NO_USAGE) for task, digest in zip(tasks, digests, strict=True)
    ]


class _Decoder:
    def __init__(self, base: int, requests: list[Request], files: list[str]):
        self._base = base
        self._requests = requests
        self._files = files
        self._usage = NO_USAGE

    def _region(self, coded: list[int] | None) -> LogRegion:
        return NO_OUTPUT if coded is None else LogRegion(self._files[coded[0]], *coded[1:])

    def start(self, coded: list[Any]) -> Fact:
        task, instance, attempt, nonce, request = coded
        return StartAttempt(AttemptKey(task, instance, attempt), self._base + nonce, self._requests[request], 0)

    def begin(self, coded: list[Any]) -> Fact:
        task, instance, attempt, nonce, started, stdout, stderr = _fill(coded, 7)
        key = AttemptKey(task, instance, attempt)
        return BeginAttempt(key, self._base + nonce, started, self._region(stdout), self._region(stderr))

    def close(self, coded: list[Any]) -> Fact:
        key, nonce, ok, seconds = AttemptKey(*coded[:3]), self._base + coded[3], bool(coded[4]), coded[5]
        cause, exit_code, detail, cpu, memory, stdout, stderr, product, flags, again = _fill(coded[6:], 10)
        self._usage = Usage(seconds, cpu, memory)
        outcome = Outcome(
            ok=ok,
            cause=cause,
            exit_code=exit_code,
            detail=detail,
            usage=self._usage,
            stdout=self._region(stdout),
            stderr=self._region(stderr),
            product=product,
            charged=not (flags or 0) & NOT_CHARGED,
            alone=bool((flags or 0) & ALONE),
        )
        retry = Retry(again[0], again[1], self._requests[again[2]], again[3]) if again else None
        return CloseAttempt(key, nonce, outcome, retry)

    def settle(self, coded: list[Any]) -> Fact:
        task, state, attempts, cause, detail, fingerprint, usage = _fill(coded, 7)
        measured = NO_USAGE if usage is None else self._usage if usage == 0 else Usage(*usage)
        return SettleTask(task, state, cause, detail, attempts or 0, fingerprint, measured)

    def settle_instance(self, coded: list[Any]) -> Fact:
        task, instance, state, cause, detail = _fill(coded, 5)
        return SettleInstance(task, instance, state, cause, detail)

    def take_items(self, coded: list[Any]) -> Fact:
        return TakeItems(coded[0], tuple(coded[1]))

    def add_items(self, coded: list[Any]) -> Fact:
        return AddItems(coded[0], coded[1], tuple(coded[2]))

    def reopen(self, coded: list[Any]) -> Fact:
        return ReopenTask(coded[0], len(coded) > 1 and bool(coded[1]))

    def explain(self, coded: list[Any]) -> Fact:
        return ExplainTask(coded[0], tuple([Reason(*reason) for reason in coded[1]]))

    def own(self, coded: list[Any]) -> Fact:
        return OwnRun(*coded)

    def change_plan(self, coded: list[Any]) -> Fact:
        moved = {old + step: new + step for old, new, count in coded[0] for step in range(count)}
        return ChangePlan(moved)

    def end(self, coded: list[Any]) -> Fact:
        return EndRun(*coded)

    def count(self, coded: list[Any]) -> Fact:
        return CountReceipts(coded[0])


_DECODERS: Final[dict[str, Callable[[_Decoder, list[Any]], Fact]]] = {
    "s": _Decoder.start,
    "b": _Decoder.begin,
    "c": _Decoder.close,
    "t": _Decoder.settle,
    "i": _Decoder.settle_instance,
    "m": _Decoder.take_items,
    "a": _Decoder.add_items,
    "r": _Decoder.reopen,
    "w": _Decoder.explain,
    "o": _Decoder.own,
    "p": _Decoder.change_plan,
    "e": _Decoder.end,
    "f": _Decoder.count,
}


def _fill(coded: list[Any], length: int) -> list[Any]:
    return coded + [None] * (length - len(coded))
