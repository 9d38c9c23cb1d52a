"""Typed tasks from definition to product: real processes, a real store, one folder each."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import weft

PROJECT = """
    import weft

    registry = weft.Registry()
    registry.type("positive", lambda n: n > 0, parent="int")
    CALLS = "calls"

    def note(name):
        with open(CALLS, "a") as file:
            file.write(name + "\\n")

    @registry.task
    def fetch(url: str) -> list[int]:
        note("fetch")
        return [len(url), 2]

    @registry.task(deps=["fetch"])
    def fit(fetch: list[int], k: int = 2) -> dict[str, int]:
        note("fit")
        return {"n": sum(fetch) * k}

    @registry.task(product="positive", deps=[fit])
    def check(fit: dict[str, int]):
        return -1

    @registry.task
    async def slow(x: int) -> int:
        return x + 1

    @registry.task
    def leaves():
        import sys
        sys.exit(3)
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "typed_project.py").write_text(textwrap.dedent(PROJECT), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "typed_project", raising=False)
    import typed_project  # type: ignore[import-not-found]

    yield typed_project.registry
    sys.modules.pop("typed_project", None)


def calls() -> list[str]:
    path = Path("calls")
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def test_an_invocation_runs_and_its_products_are_read_back(registry: weft.Registry) -> None:
    run = registry.invoke("fit", {"fetch": {"url": "abc"}, "fit": {"k": 4}}).run(jobs=2)
    assert (run.state, run["fetch"].product, run["fit"].product) == ("ok", [3, 2], {"n": 20})
    assert calls() == ["fetch", "fit"]


def test_what_was_made_with_the_same_values_is_not_made_again(registry: weft.Registry) -> None:
    for k in (2, 2, 3):
        run = registry.invoke("fit", {"fetch": {"url": "abc"}, "fit.k": k}).run()
    assert run["fetch"].cause == "cached"
    assert calls() == ["fetch", "fit", "fit"]
    run = registry.invoke(["fetch"], {"fetch": {"url": "abc"}}).run()
    assert run["fetch"].cause == "cached"  # found by another plan of the same registry
    run = registry.invoke("fit", {"fetch": {"url": "xyz"}, "fit.k": 3}).run()
    assert (run["fetch"].cause, run["fit"].cause) == (None, "cached")  # the same list came out


def test_a_product_of_another_type_fails_its_task(registry: weft.Registry) -> None:
    run = registry.invoke("fetch", {"fetch": {"url": "x"}}).run()
    assert run.state == "ok"
    bad = registry.override("fetch", function=lambda: ["no int"])
    run = bad.invoke("fit").run()
    assert (run["fetch"].cause, run["fit"].cause) == ("type", "dependency:fetch")


def test_sys_exit_in_a_body_fails_that_task(registry: weft.Registry) -> None:
    run = registry.invoke("leaves").run()
    assert (run["leaves"].state, run["leaves"].cause) in (("failed", "exception"), ("failed", "exit:3"))


def test_fakes_by_value_stand_in_for_what_they_replace(registry: weft.Registry) -> None:
    run = registry.override("fetch", value=[5]).invoke("fit").run()
    assert run["fit"].product == {"n": 10}
    assert calls() == ["fit"]


def test_a_run_that_is_taken_up_again_remembers_the_present_code(registry: weft.Registry, tmp_path: Path) -> None:
    path = tmp_path / "typed_project.py"
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace("return [len(url), 2]", "return 1 / 0"), encoding="utf-8")
    broken = invoked(tmp_path)
    assert broken["fetch"] == "failed"
    path.write_text(source, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "weft", "resume"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert invoked(tmp_path) == {"fetch": "cached", "fit": "cached"}
    path.write_text(source.replace("return [len(url), 2]", "return 1 / 0"), encoding="utf-8")
    assert invoked(tmp_path)["fetch"] == "failed"


def invoked(folder: Path) -> dict[str, str]:
    """How the tasks of `fit` end in a program of their own."""
    program = (
        "import json, typed_project\n"
        "run = typed_project.registry.invoke('fit', {'fetch.url': 'abc'}).run()\n"
        "print(json.dumps({name: run[name].cause if run[name].cause == 'cached' else run[name].state"
        " for name in ('fetch', 'fit')}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    told: dict[str, str] = json.loads(done.stdout)
    return told


def test_two_invocations_run_at_once_over_one_state_folder(registry: weft.Registry) -> None:
    plans = [registry.invoke("fetch", {"fetch.url": "x"}), registry.invoke("fit", {"fetch.url": "x"})]
    runs = [plan.start() for plan in plans]
    assert [run.wait().state for run in runs] == ["ok", "ok"]


def test_it_runs_inside_a_running_loop(registry: weft.Registry) -> None:
    async def inside() -> Any:
        return await registry.invoke("fetch", {"fetch.url": "x"}).arun()

    assert asyncio.run(inside())["fetch"].product == [1, 2]


SCRIPT = """
    import functools, weft

    registry = weft.Registry()
    FACTOR = 3

    @functools.lru_cache(maxsize=8)
    def scaled(x):
        return x * FACTOR

    one = registry.task(lambda x=2: scaled(x), name="one")

    @registry.task(deps=[one])
    def two(one):
        return one + 1

    if __name__ == "__main__":
        run = registry.invoke("two").run()
        print(run["two"].product, run["one"].cause, run["two"].cause)
"""


def test_a_script_of_lambdas_runs_by_value_and_is_cached_across_processes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    told = []
    for seed in "01":
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told == ["7 None None\n", "7 cached cached\n"]

    done = subprocess.run(
        [sys.executable, "-m", "weft", "run", "script.py", "--select", "two", "--output", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ended = json.loads(done.stdout.splitlines()[-1])["tasks"]
    assert {name: entry["cause"] for name, entry in ended.items()} == dict.fromkeys(("one", "two"), "cached")


KERNEL = """
    import ast, asyncio, linecache, sys

    sys.ps1 = "In [1]: "
    cells = CELLS

    async def kernel():
        for number, source in enumerate(cells):
            name = f"/tmp/ipykernel_1/{number}.py"
            linecache.cache[name] = (len(source), None, source.splitlines(True), name)
            code = compile(source, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waits = eval(code, vars(sys.modules["__main__"]))
            if waits is not None:
                await waits

    asyncio.run(kernel())
"""

CELLS = [
    "import weft\nregistry = weft.Registry()\nFACTOR = 2\ndef scaled(x): return x * FACTOR\n",
    "@registry.task\ndef one(x: int = 3) -> int:\n    return scaled(x)\n",
    "@registry.task(deps=['one'])\ndef two(one: int) -> int:\n    return one + 1\n",
    "run = registry.invoke('two').run(); print(run['two'].product, run['one'].cause)",
    "run = await registry.invoke('two').arun(); print(run['two'].product, run['one'].cause)",
    "FACTOR = 5\nrun = await registry.invoke('two').arun(); print(run['two'].product, run['one'].cause)",
    "@registry.task\ndef one(x: int = 4) -> int:\n    return scaled(x)\n",
    "run = registry.invoke('two').start()\n"
    "async for event in run.events(): last = event\n"
    "run.wait(); print(run['two'].product, last['event'])",
]


def test_cells_of_a_notebook_run_inside_the_loop_of_their_kernel(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(textwrap.dedent(KERNEL).replace("CELLS", repr(CELLS)), encoding="utf-8")
    done = subprocess.run([sys.executable, "kernel.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["7 None", "7 cached", "16 None", "21 run_ended"], done.stderr


CLASSES = """
    import dataclasses, enum, weft

    class Color(enum.Enum):
        RED = 1

    @dataclasses.dataclass
    class Conf:
        names: frozenset = frozenset({"a", "b", "c"})

    registry = weft.Registry()

    @registry.task
    def use(conf=Conf(), color=Color.RED):
        return conf

    if __name__ == "__main__":
        run = registry.invoke("use", {"use.conf": Conf(frozenset({"z"}))}).run()
        print(run["use"].product, run["use"].cause)
"""


def test_values_of_classes_of_a_script_get_to_its_functions(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(CLASSES), encoding="utf-8")
    for cause in ("None", "cached"):
        command = [sys.executable, "script.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stdout == f"Conf(names=frozenset({{'z'}})) {cause}\n", done.stderr


def test_a_mapped_tasks_products_that_are_cached_are_read_with_one_look_at_its_items(
    registry: weft.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @registry.task
    def numbers(n: int = 30) -> list[int]:
        return list(range(n))

    registry.task(lambda number: number + 1, name="next", deps=[weft.each("numbers")])
    plan = registry.invoke("next")
    plan.run()
    again = plan.run()
    assert again["next"].cause == "cached"

    from weft.values.items import ItemReader

    opened: list[str] = []
    init = ItemReader.__init__
    monkeypatch.setattr(
        ItemReader, "__init__", lambda self, path, *more: opened.append(path) or init(self, path, *more)
    )
    assert again["next"].product == list(range(1, 31))
    assert len(opened) == 1
