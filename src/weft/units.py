"""Seconds, bytes and amounts: parse what people write, print what people read. Rules: dialects.md 1.3 and 1.4."""

from __future__ import annotations

import re
from math import isfinite
from typing import Final, Literal, NoReturn

from weft.errors import cut, shown

Bare = Literal["bytes", "MiB", "GiB"]
"""What a size without a unit means: bytes in native documents, MiB in odop, GiB in workflows."""

MEBIBYTE: Final = 2**20
GIBIBYTE: Final = 2**30
LARGEST_SIZE: Final = 2**63 - 1  # bytes; what a store's integer column holds
LONGEST_NUMBER: Final = 60  # characters; far above any amount, far below what makes integer arithmetic slow

MILLI: Final = 1000  # cores are kept in millicores
MICRO: Final = 1_000_000  # named amounts are kept in micro-units
BYTE_AMOUNTS: Final = frozenset({"memory", "disk", "shared_memory", "network_bandwidth"})

_TIME_UNITS: Final = (
    # (seconds, spellings), largest first
    (604_800.0, ("w", "week", "weeks")),
    (86_400.0, ("d", "day", "days")),
    (3_600.0, ("h", "hr", "hrs", "hour", "hours")),
    (60.0, ("m", "min", "mins", "minute", "minutes")),
    (1.0, ("s", "sec", "secs", "second", "seconds")),
    (0.001, ("ms", "millisecond", "milliseconds")),
)
_TIME_RANK: Final = {word: rank for rank, (_, words) in enumerate(_TIME_UNITS) for word in words}
_CALENDAR: Final = frozenset({"mo", "mon", "mons", "month", "months", "y", "yr", "yrs", "year", "years"})
_SIZE_UNITS: Final = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PLAIN = rf"{_NUMBER}(?:[eE][+-]?[0-9]+)?"
_PART = rf"\s*({_NUMBER})\s*([^\W\d_]*)"
_CLOCK = r"(?:([0-9]+)-)?([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)"
_TWO_PARTS = r"(?:[0-9]+-)?([0-9]+):([0-9]+(?:\.[0-9]+)?)"
_SIZE = rf"({_NUMBER})\s*([^\W\d_]*)"
_SIZE_UNIT = r"([KMGTP])(?:I?B)?|B"
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})

_TIME_FORMS: Final = "write seconds (90), units (90s, 1.5h, 1h 30m, 2 days) or a clock (H:MM:SS, D-HH:MM:SS)"
_SIZE_FORMS: Final = "write a number and a unit: B, K, M, G, T or P (512M, 1.5G)"


class UnitError(ValueError):
    """A time or a size that cannot be read. code: `unit.time` or `unit.size`."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def _refuse_time(value: object, reason: str) -> NoReturn:
    raise UnitError("unit.time", f"{shown(value)} is no time: {reason}")


def _refuse_size(value: object, reason: str) -> NoReturn:
    raise UnitError("unit.size", f"{shown(value)} is no size: {reason}")


# --- time --------------------------------------------------------------------------------------------------------------


def parse_time(value: object) -> float:
    """Seconds, above 0 and finite. Raises UnitError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _refuse_time(value, _TIME_FORMS)
    seconds = _seconds_of_text(value) if isinstance(value, str) else _seconds_of_number(value)
    if not isfinite(seconds):
        _refuse_time(value, "it must be finite; leave the key out (or write null) for no limit")
    if seconds <= 0:
        _refuse_time(value, "it must be above 0")
    return seconds


def _seconds_of_number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _seconds_of_text(value: str) -> float:
    text = value.strip()
    if not text:
        _refuse_time(value, f"it is empty; {_TIME_FORMS}")
    if text.lstrip("+-").casefold() in _NOT_FINITE:
        _refuse_time(value, "it must be finite; leave the key out (or write null) for no limit")
    if text[0] in "+-":
        _refuse_time(value, "it has a sign; a time is above 0 and written without one")
    if re.fullmatch(_PLAIN, text):
        return float(text)
    if ":" in text:
        return _seconds_of_clock(value, text)
    return _seconds_of_parts(value, text)


def _seconds_of_clock(value: str, text: str) -> float:
    two_parts = re.fullmatch(_TWO_PARTS, text)
    if two_parts and "-" not in text:
        first, second = two_parts.groups()
        _refuse_time(value, f"it could be hours or minutes; write {first}:{second}:00, or {first}m {second}s")
    clock = re.fullmatch(_CLOCK, text)
    if clock is None:
        _refuse_time(value, "a clock is H:MM:SS or D-HH:MM:SS")
    days, hours, minutes, seconds = clock.groups()
    if float(minutes) >= 60 or float(seconds) >= 60 or (days is not None and float(hours) >= 24):
        _refuse_time(value, "a clock has at most 59 minutes, 59 seconds and, after days, 23 hours")
    return float(days or 0) * 86_400 + float(hours) * 3_600 + float(minutes) * 60 + float(seconds)


def _seconds_of_parts(value: str, text: str) -> float:
    total = 0.0
    position, last_rank = 0, -1
    while position < len(text):
        part = re.compile(_PART).match(text, position)
        if part is None:
            _refuse_time(value, _TIME_FORMS)
        rank = _rank_of_unit(value, part[1], part[2])
        if rank <= last_rank:
            _refuse_time(value, "units come largest first, each once (1h 30m)")
        total += float(part[1]) / 1000 if rank == _TIME_RANK["ms"] else float(part[1]) * _TIME_UNITS[rank][0]
        position, last_rank = part.end(), rank
    return total


def _rank_of_unit(value: str, number: str, unit: str) -> int:
    rank = _TIME_RANK.get(unit.lower())
    if unit == "M":
        _refuse_time(value, f"is 'M' a memory unit? write {cut(number)}m or {cut(number)}min for minutes")
    if rank is not None:
        return rank
    if not unit:
        _refuse_time(value, f"the number {cut(number)} needs a unit here; {_TIME_FORMS}")
    if unit.lower() in _CALENDAR:
        _refuse_time(value, "months and years have no fixed length; write days or weeks")
    _refuse_time(value, f"unknown unit {cut(unit)!r}; units are ms, s, m, h, d, w")


def canonical_seconds(seconds: float) -> float | int:
    """The number that documents hold: an int when whole."""
    return int(seconds) if seconds == int(seconds) else seconds


# --- size --------------------------------------------------------------------------------------------------------------


def parse_size(value: object, bare: Bare = "bytes") -> int:
    """Whole bytes, above 0, rounded up. bare: what a number without a unit means. Raises UnitError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _refuse_size(value, _SIZE_FORMS)
    if isinstance(value, float) and not isfinite(value):
        _refuse_size(value, "it must be finite")
    if isinstance(value, str):
        numerator, denominator, unit = _size_of_text(value)
    else:
        (numerator, denominator), unit = value.as_integer_ratio(), 0
    if numerator <= 0:
        _refuse_size(value, "it must be above 0")
    if not unit:
        if bare == "bytes" and numerator < MEBIBYTE * denominator:
            _refuse_size(value, f"as bytes that is less than 1 MiB; {_SIZE_FORMS}")
        unit = {"bytes": 1, "MiB": MEBIBYTE, "GiB": GIBIBYTE}[bare]
    size = -(-numerator * unit // denominator)
    if size > LARGEST_SIZE:
        _refuse_size(value, "the largest size is 8 EiB - 1 byte")
    return size


def _size_of_text(value: str) -> tuple[int, int, int]:
    """Numerator, denominator and the unit's bytes (0 without a unit); exact, because 0.1 is no binary number."""
    text = value.strip()
    if text.lstrip("+-").casefold() in _NOT_FINITE:
        _refuse_size(value, "it must be finite")
    negative = text.startswith("-")
    parts = re.fullmatch(_SIZE, text.removeprefix("-"))
    if parts is None:
        _refuse_size(value, _SIZE_FORMS)
    number, word = parts.groups()
    unit = re.fullmatch(_SIZE_UNIT, word.upper())
    if word and unit is None:
        _refuse_size(value, f"unknown unit {cut(word)!r}; {_SIZE_FORMS}")
    if len(number) > LONGEST_NUMBER:
        _refuse_size(value, f"a number may have at most {LONGEST_NUMBER} digits")
    whole, _, fraction = number.partition(".")
    numerator = int(whole + fraction or "0")
    return -numerator if negative else numerator, 10 ** len(fraction), _SIZE_UNITS[word[0].upper()] if word else 0


# --- print -------------------------------------------------------------------------------------------------------------


def show_seconds(seconds: float) -> str:
    """Two units at most: `<1ms`, `12ms`, `1.5s`, `1m 15s`, `2h`, `1d 1h`."""
    if not isfinite(seconds):
        return str(seconds)
    if seconds < 0:
        return f"-{show_seconds(-seconds)}"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms" if seconds >= 0.0005 else "<1ms" if seconds else "0s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    for size, step, names in ((86_400, 3_600, "dh"), (3_600, 60, "hm"), (60, 1, "ms")):
        steps = round(seconds / step)
        if steps * step >= size:
            large, small = divmod(steps, size // step)
            return f"{large}{names[0]} {small}{names[1]}" if small else f"{large}{names[0]}"
    return f"{round(seconds)}s"


def show_bytes(size: float) -> str:
    """At most one decimal, 1024-based: `512B`, `1.5G`, `2T`."""
    if size < 0:
        return f"-{show_bytes(-size)}"
    amount, units = float(size), iter("BKMGTP")
    unit = next(units)
    for larger in units:
        if round(amount, 1 if unit != "B" else 0) < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f}B" if unit == "B" else f"{amount:.1f}".removesuffix(".0") + unit


def show_amount(name: str, units: int) -> str:
    """A resource's amount from its integer units: `1.5` cores, `2G` of memory, `20M/s` of bandwidth, `3` of anything else."""
    if name in BYTE_AMOUNTS:
        return show_bytes(units) + ("/s" if name == "network_bandwidth" else "")
    scale = MILLI if name == "cores" else MICRO
    whole, part = divmod(abs(units), scale)
    digits = f"{whole}.{part:0{len(str(scale)) - 1}}".rstrip("0").rstrip(".") if part else str(whole)
    return f"-{digits}" if units < 0 else digits
