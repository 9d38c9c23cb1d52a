"""Times, sizes and amounts as people write and read them."""

from __future__ import annotations

import pytest

from weft.errors import hint_nearest, nearest
from weft.units import (
    UnitError,
    canonical_seconds,
    parse_size,
    parse_time,
    show_amount,
    show_bytes,
    show_seconds,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        (0.25, 0.25),
        ("90", 90),
        (" 1.5 ", 1.5),
        ("1e3", 1000),
        ("90s", 90),
        ("1.5h", 5400),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("2 hours", 7200),
        ("1 HOUR 5 Min", 3900),
        ("250ms", 0.25),
        ("3 milliseconds", 0.003),
        ("1w 2d 3h 4m 5s 6ms", 604800 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5.006),
        ("1 week", 604800),
        ("2 days", 172800),
        ("1hr", 3600),
        ("2hrs", 7200),
        ("1 sec", 1),
        ("1 secs", 1),
        ("2 mins", 120),
        ("1 minute", 60),
        ("1h 0m", 3600),
        ("1:02:03", 3723),
        ("100:00:00", 360000),
        ("0:00:01.5", 1.5),
        ("2-03:04:05", 2 * 86400 + 3 * 3600 + 4 * 60 + 5),
    ],
)
def test_a_time_is_read_as_seconds(value: object, seconds: float) -> None:
    assert parse_time(value) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true"),
        (None, "null"),
        ([], "write seconds"),
        (0, "above 0"),
        (-1, "above 0"),
        ("0s", "above 0"),
        ("0:00:00", "above 0"),
        ("-5s", "sign"),
        ("+5", "sign"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        ("Infinity", "finite"),
        ("-nan", "finite"),
        pytest.param(10**5000, "finite", id="endless number"),
        pytest.param(-(10**5000), "finite", id="endless negative number"),
        pytest.param("9" * 5000, "finite", id="endless text"),
        pytest.param("9" * 5000 + "h", "finite", id="endless hours"),
        ("", "empty"),
        ("   ", "empty"),
        ("5 parsecs", "'parsecs'"),
        ("5M", "a memory unit?"),
        ("1h 5M", "a memory unit?"),
        ("1:30", "1:30:00"),
        ("3 months", "days"),
        ("1 year", "days"),
        ("1y", "days"),
        ("30m 1h", "largest first"),
        ("1m 1min", "each once"),
        ("1h 30", "needs a unit"),
        ("1:61:00", "59 minutes"),
        ("1:00:61", "59 seconds"),
        ("2-24:00:00", "23 hours"),
        ("1:2:3", "H:MM:SS"),
        ("2-03:04", "H:MM:SS"),
        ("soon", "write seconds"),
        ("1h, 30m", "write seconds"),
    ],
)
def test_a_text_that_is_no_time_is_refused_with_what_to_write(value: object, words: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_time(value)
    assert caught.value.code == "unit.time"
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_canonical_time_is_an_int_when_it_is_whole() -> None:
    assert repr(canonical_seconds(90.0)) == "90"
    assert repr(canonical_seconds(0.5)) == "0.5"


@pytest.mark.parametrize(
    ("value", "bare", "size"),
    [
        ("10B", "bytes", 10),
        ("1K", "bytes", 1024),
        ("1kb", "bytes", 1024),
        ("1 KiB", "bytes", 1024),
        ("512M", "bytes", 512 * 2**20),
        ("1.5 gib", "MiB", 1536 * 2**20),
        (".5K", "bytes", 512),
        ("0.1G", "bytes", 107374183),
        ("0.0001K", "bytes", 1),
        ("2T", "bytes", 2 * 2**40),
        ("3P", "bytes", 3 * 2**50),
        ("5", "MiB", 5 * 2**20),
        (5, "MiB", 5 * 2**20),
        (1.5, "GiB", 1536 * 2**20),
        ("2000000", "bytes", 2000000),
        (2**20, "bytes", 2**20),
        (2**20 + 0.5, "bytes", 2**20 + 1),
    ],
)
def test_a_size_is_read_as_whole_bytes_rounded_up(value: object, bare: str, size: int) -> None:
    assert parse_size(value, bare) == size  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "true"),
        (None, "null"),
        ({}, "a number and a unit"),
        (5, "less than 1 MiB"),
        ("1048575", "less than 1 MiB"),
        (0, "above 0"),
        ("0G", "above 0"),
        ("-1G", "above 0"),
        (-3, "above 0"),
        (float("nan"), "finite"),
        (float("-inf"), "finite"),
        ("inf", "finite"),
        ("5X", "'X'"),
        ("5 bits", "'bits'"),
        ("1e9", "a number and a unit"),
        ("G", "a number and a unit"),
        ("", "a number and a unit"),
        pytest.param("9" * 5000, "digits", id="endless text"),
        pytest.param(10**5000, "8 EiB", id="endless number"),
        ("9000P", "8 EiB"),
    ],
)
def test_a_text_that_is_no_size_is_refused_with_what_to_write(value: object, words: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(value)
    assert caught.value.code == "unit.size"
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "<1ms"),
        (0.0123, "12ms"),
        (0.9999, "1s"),
        (1.25, "1.2s"),
        (9.96, "10s"),
        (59.6, "1m"),
        (75.2, "1m 15s"),
        (119.7, "2m"),
        (3599.9, "1h"),
        (3700, "1h 2m"),
        (90061, "1d 1h"),
        (-75, "-1m 15s"),
        (float("inf"), "inf"),
    ],
)
def test_seconds_are_shown_in_at_most_two_units(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1536 * 2**20, "1.5G"),
        (1024**2 - 1, "1M"),
        (2**60, "1024P"),
        (-1024, "-1K"),
    ],
)
def test_bytes_are_shown_with_one_decimal_at_most(size: int, text: str) -> None:
    assert show_bytes(size) == text


@pytest.mark.parametrize(
    ("name", "units", "text"),
    [
        ("cores", 1500, "1.5"),
        ("cores", 2000, "2"),
        ("memory", 2**31, "2G"),
        ("network_bandwidth", 20 * 2**20, "20M/s"),
        ("gpu", 250_000, "0.25"),
        ("license", -3_000_000, "-3"),
    ],
)
def test_an_amount_is_shown_in_the_unit_people_write(name: str, units: int, text: str) -> None:
    assert show_amount(name, units) == text


def test_the_nearest_name_is_the_most_similar_one() -> None:
    assert nearest("ftch", ["fit", "fetch", "fetch_all"]) == "fetch"
    assert nearest("FETCH", ["fetch"]) == "fetch"


def test_nothing_is_near_when_nothing_is_similar() -> None:
    assert nearest("zebra", ["fetch", "fit"]) is None
    assert nearest("", ["a"]) is None
    assert nearest("a" * 1000, ["a" * 999]) is None


def test_the_first_of_equally_near_names_wins() -> None:
    assert nearest("task", ["task1", "task2"]) == "task1"


def test_a_hint_asks_for_the_nearest_name() -> None:
    assert hint_nearest("ftch", ["fetch"]) == "did you mean 'fetch'?"
    assert hint_nearest("ftch", []) is None
