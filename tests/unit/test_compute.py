"""Compute resources and scales: keys, units, levels (workflows.md 4)."""

from __future__ import annotations

import itertools

import pytest

from weft.errors import ArgumentError, InvalidMemoryFormat, InvalidMemoryUnit
from weft.spec.compute import Bytes, compute_of, demand_of, merge, read_compute, read_memory, read_scales
from weft.units import GIBIBYTE


@pytest.mark.parametrize("text", ["8G", "8GB", "8GiB", "8g", "8 G", 8, "8", 8.0])
def test_eight_gibibytes_have_many_spellings(text):
    assert read_memory(text) == 8 * GIBIBYTE


def test_decimals_of_memory_are_kept():
    assert read_memory("1.5G") == 3 * GIBIBYTE // 2
    assert read_memory(1.9) == read_memory("1.9") == read_memory("1.9G")
    assert read_memory("500M") == 500 * 2**20


@pytest.mark.parametrize("value", ["abc", "", True, -1, 0, float("nan"), float("inf"), [1], "1 2"])
def test_what_is_no_memory_is_refused(value):
    with pytest.raises(InvalidMemoryFormat):
        read_memory(value)


def test_an_unknown_unit_of_memory_has_its_own_error():
    with pytest.raises(InvalidMemoryUnit, match="'X'"):
        read_memory("8X")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        ("90", 90),
        ("00:01:30", 90),
        ("1h", 3600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("90 min", 5400),
        ("2 days", 172800),
    ],
)
def test_times_are_read(value, seconds):
    assert read_compute({"runtime": value}) == {"runtime": seconds}


def test_months_are_refused():
    with pytest.raises(ArgumentError, match="months"):
        read_compute({"runtime": "2 months"})


def test_all_mistakes_come_at_once():
    with pytest.raises(ArgumentError) as caught:
        read_compute({"memory": "8X", "cores": 0, "runtime": True, "queue": 3, "gpu": "many"})
    for name in ("memory", "cores", "runtime", "queue", "gpu"):
        assert name in str(caught.value)


def test_what_has_been_read_reads_as_itself():
    once = read_compute({"memory": "3G", "disk": 2, "runtime": "1h", "cores": "2", "queue": "q", "license": 0.5})
    assert read_compute(once) == once


def test_levels_merge_key_by_key():
    assert merge({"cores": 1, "memory": 1}, None, {"cores": 2}, {}) == {"cores": 2, "memory": 1}


def test_a_demand_is_what_the_engine_takes():
    demand = demand_of(
        read_compute({"memory": "1G", "runtime": 5, "queue": "null.q", "stdout": "/x", "project": "p", "gpu": 1}), ["c"]
    )
    assert demand.resources.as_json() == {"c": 1, "cores": 1, "gpu": 1, "memory": GIBIBYTE}
    assert (demand.timeout, demand.queue, dict(demand.copies), dict(demand.directives)) == (
        5.0,
        None,
        {"stdout": "/x"},
        {"project": "p"},
    )
    back = compute_of(demand.resources, demand.timeout, "q")
    assert isinstance(back["memory"], Bytes)
    assert back == {"c": 1, "cores": 1, "gpu": 1, "memory": GIBIBYTE, "runtime": 5.0, "queue": "q"}


def test_automatic_amounts_are_left_to_history():
    demand = demand_of(read_compute({"memory": "auto"}))
    assert demand.auto == {"memory"}
    assert demand.resources.memory_bytes is None


def test_scales_are_numbers_functions_or_amounts():
    scales = read_scales(
        {"memory": [1, "2G"], "runtime": 0.5, "cores": lambda old: old + 1, "gpu": itertools.count(1)}, 3
    )
    assert scales is not None
    assert scales["memory"] == (GIBIBYTE, 2 * GIBIBYTE)
    assert scales["timeout"] == 0.5
    assert scales["gpu"] == (1, 2)
    assert scales["cores"](2) == 3


def test_functions_of_memory_work_in_gibibytes():
    scales = read_scales({"memory": lambda old: old * 2 + 0.5}, 3)
    assert scales["memory"](2 * GIBIBYTE) == 4.5 * GIBIBYTE


def test_what_a_function_of_memory_gives_wrongly_reaches_whoever_asked():
    for wrong in ("text", None, -1, True, float("nan")):
        scales = read_scales({"memory": lambda _, wrong=wrong: wrong}, 3)
        assert scales["memory"](GIBIBYTE) is wrong


def test_an_iterator_is_read_for_one_amount_less_than_attempts():
    numbers = iter([1, 2, 3, 4])
    assert read_scales({"cores": numbers}, 3) == {"cores": (1, 2)}
    assert next(numbers) == 3
    assert read_scales({"cores": [1, 2, 3, 4]}, 2) == {"cores": (1, 2, 3, 4)}


@pytest.mark.parametrize("entry", ["x", -1, True, None, [], ["x"], [0], {"a": 1}, b"x", object()])
def test_other_scales_are_refused(entry):
    with pytest.raises(ArgumentError, match="cores"):
        read_scales({"cores": entry}, 3)


def test_no_scales_and_empty_ones_differ():
    assert read_scales(None, 3) is None
    assert read_scales({}, 3) == {}


def test_numbers_of_numpy_are_numbers_everywhere():
    numpy = pytest.importorskip("numpy")
    raw = {"cores": numpy.int64(2), "memory": numpy.float64(1.5), "runtime": numpy.float64(60)}
    assert read_compute(raw) == {"cores": 2, "memory": 3 * GIBIBYTE // 2, "runtime": 60}
    scales = read_scales({"memory": numpy.array([0.5, 1.5]), "cores": numpy.float64(0.5)}, 3)
    assert scales == {"memory": (GIBIBYTE // 2, 3 * GIBIBYTE // 2), "cores": 0.5}
    grow = read_scales({"memory": lambda old: numpy.float64(old) * 2}, 3)["memory"]
    assert grow(GIBIBYTE) == 2 * GIBIBYTE
