"""`weft.testing.run_here`: pipelines in a test's own thread, with fakes in three lines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import weft
from weft.testing import ProductTypeError, run_here


@pytest.fixture
def registry() -> weft.Registry:
    made = weft.Registry()

    @made.task
    def fetch(url: str) -> list[int]:
        raise OSError("no network in tests")

    @made.task(deps=["fetch"])
    def fit(fetch: list[int], k: int = 2) -> dict[str, int]:
        return {"n": sum(fetch) * k}

    return made


def test_a_fake_in_three_lines(registry: weft.Registry) -> None:
    faked = registry.override("fetch", value=[1, 2])
    results = run_here(faked, "fit", {"fit": {"k": 4}})
    assert results["fit"] == {"n": 12}
    assert dict(results) == {"fetch": [1, 2], "fit": {"n": 12}}


def test_what_a_body_raises_comes_out_with_the_tasks_name(registry: weft.Registry) -> None:
    with pytest.raises(OSError, match="no network") as told:
        run_here(registry, "fit", {"fetch.url": "x"})
    assert told.value.__notes__ == ["in task 'fetch'"]


def test_mistakes_of_the_invocation_are_told_before_any_body_runs(registry: weft.Registry) -> None:
    with pytest.raises(weft.PlanError):
        run_here(registry, "fit", {"fit": {"k": "x"}})


def test_a_product_of_another_type_is_an_error(registry: weft.Registry) -> None:
    faked = registry.override("fetch", function=lambda: [1, "x"])
    with pytest.raises(ProductTypeError, match="item 1: 'x' is no int"):
        run_here(faked, "fit")


def test_streams_are_iterators_each_is_a_loop_and_gather_a_list() -> None:
    registry = weft.Registry()

    @registry.task
    def rows(n: int = 3) -> Iterator[int]:
        yield from range(n)

    registry.task(lambda row, by=2: row * by, name="scaled", deps=[weft.each("rows")])
    registry.task(lambda rows: next(rows), name="first", deps=["rows"])
    registry.task(lambda all: sum(all), name="total", deps=[weft.gather("scaled")])
    registry.task(lambda both: both, name="both", deps=[weft.gather("first", "total")])
    results = run_here(registry, options={"rows": {"n": 4}})
    assert dict(results) == {"rows": [0, 1, 2, 3], "scaled": [0, 2, 4, 6], "first": 0, "total": 12, "both": [0, 12]}
    faked = registry.override("rows", value=[5]).override("scaled", value=[1, 2])
    assert run_here(faked, ["first", "total"])["total"] == 3


def test_async_tasks_run_with_and_without_a_loop() -> None:
    registry = weft.Registry()

    @registry.task
    async def rows() -> AsyncIterator[int]:
        for number in range(2):
            yield number

    @registry.task(deps=["rows"])
    async def total(rows: Iterator[int]) -> int:
        await asyncio.sleep(0)
        return sum(rows)

    async def inside() -> Any:
        return run_here(registry, "total")["total"]

    assert run_here(registry, "total")["total"] == 1
    assert asyncio.run(inside()) == 1


def test_bodies_cannot_harm_each_others_values_nor_a_default() -> None:
    registry = weft.Registry()
    registry.task(lambda: [1], name="a")
    registry.task(lambda a, seen=[]: (a.append(2), seen.append(1), len(seen))[2], name="b", deps=["a"])
    registry.task(lambda a: a, name="c", deps=["a", "b"])
    for _ in range(2):
        results = run_here(registry)
        assert (results["a"], results["b"], results["c"]) == ([1], 1, [1])


def test_values_that_are_no_plain_data_arrive_as_they_are() -> None:
    registry = weft.Registry()
    registry.task(lambda x: x, name="a")
    assert run_here(registry, "a", {"a": {"x": (1, {2})}})["a"] == (1, {2})


def test_it_needs_no_process_and_leaves_no_thread(registry: weft.Registry) -> None:
    before = threading.active_count()
    run_here(registry.override("fetch", value=[1]), "fit")
    assert threading.active_count() == before


def test_an_unknown_result_names_the_nearest(registry: weft.Registry) -> None:
    results = run_here(registry.override("fetch", value=[1]), "fit")
    with pytest.raises(weft.WeftError, match="no task 'fitt'"):
        results["fitt"]
