"""Scripts with typed tasks that the benchmarks run: `python typed.py NAME ARGUMENTS…`; `weft run typed_calls.py` for a module."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import weft

STATE = "state"


def add(x: int) -> int:
    return x + 1


def calls(count: str, cache: str) -> None:
    """`count` tasks of one function, each with an option of its own."""
    registry = weft.Registry()
    for number in range(int(count)):
        registry.task(add, name=f"t{number}", cache=cache)
    plan = registry.invoke(None, {f"t{number}.x": number for number in range(int(count))})
    run = plan.run(jobs=2, state=STATE)
    assert run.state == "ok" and run[f"t{int(count) - 1}"].product == int(count)


def mapped(count: str, cache: str) -> None:
    """One task that is mapped over a list of `count` numbers."""
    registry = weft.Registry()
    registry.task(lambda n: list(range(n)), name="numbers", cache=cache, product=weft.list_of("int"))
    registry.task(add, name="add", deps=[weft.each("numbers")], cache=cache)
    run = registry.invoke("add", {"numbers.n": int(count)}).run(jobs=2, state=STATE)
    assert run.state == "ok" and run["add"].product[-1] == int(count)


def large(bytes: str, cache: str) -> None:
    """An array for four followers, each of which reads all of it. Prints how long making it and reading it took."""
    registry = weft.Registry()
    registry.task(make_array, name="array", cache=cache)
    names = [f"reader {number}" for number in range(4)]
    for name in names:
        registry.task(read_array, name=name, deps=["array"], cache=cache)
    run = registry.invoke(names, {"array": {"size": int(bytes) // 8}}).run(jobs=2, state=STATE)
    assert [run[name].product for name in names] == [float(int(bytes) // 8)] * 4, run.state
    made, read = run["array"].usage, [run[name].usage for name in names]
    print(f"made {made.seconds if made else 0} read {sum(usage.seconds for usage in read if usage)}")


def make_array(size: int) -> Any:
    import numpy as np

    return np.ones(size)


def read_array(array: Any) -> float:
    return float(array.sum())


def streaming(count: str, cache: str) -> None:
    """`count` items from a generator through another one into a sum, all three at once."""
    registry = weft.Registry()
    registry.task(source, name="source", cache=cache)
    registry.task(double, name="double", deps=["source"], cache=cache)
    registry.task(add_up, name="add_up", deps=["double"], cache=cache)
    run = registry.invoke("add_up", {"source": {"count": int(count)}}).run(jobs=3, state=STATE)
    assert run.state == "ok" and run["add_up"].product == int(count) * (int(count) - 1)


def source(count: int) -> Iterator[int]:
    yield from range(count)


def double(source: Iterator[int]) -> Iterator[int]:
    for item in source:
        yield 2 * item


def add_up(double: Iterator[int]) -> int:
    return sum(double)


SCRIPTS: dict[str, Callable[[str, str], None]] = {
    "calls": calls,
    "mapped": mapped,
    "large": large,
    "streaming": streaming,
}

if __name__ == "__main__":
    SCRIPTS[sys.argv[1]](*sys.argv[2:])
