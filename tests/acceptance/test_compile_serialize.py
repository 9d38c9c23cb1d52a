"""`weft compile --serialize`: functions go into the document, with what they use of their project."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest

from support.weft_process import Weft

SHADING = """
import math
import helper
from dataclasses import dataclass

NAMES = frozenset({"alpha", "beta", "gamma", "delta"})

@dataclass
class Shade:
    angle: float

def shade(angle=45):
    if "beta" in {"alpha", "beta", "a text with blanks"}:
        return [round(math.sin(Shade(angle).angle), 3), helper.twice(angle), inner(3), sorted(NAMES)]

def inner(n):
    return 1 if n < 1 else n * inner(n - 1)

if __name__ == "__main__":
    raise SystemExit("the script's own work")
"""
HELPER = "LIMIT = 50\ndef twice(x):\n    return min(2 * x, LIMIT)\n"
SPEC = [
    {"task_id": "file", "time_limit": 30, "module": "shading.py", "function": "shade", "parameters": {"angle": 30}},
    {"task_id": "module", "time_limit": 30, "module": "shading", "function": "inner", "parameters": {"n": 4}},
    {"task_id": "installed", "time_limit": 30, "function": "math:fsum", "parameters": {}},
    {"task_id": "program", "time_limit": 30, "executable": "/bin/true"},
]


def project(folder: Path, document: Any = SPEC) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "shading.py").write_text(SHADING, encoding="utf-8")
    (folder / "helper.py").write_text(HELPER, encoding="utf-8")
    (folder / "spec.json").write_text(json.dumps(document), encoding="utf-8")


def compiled(weft: Weft, *words: str, **environment: str) -> str:
    done = weft("compile", *words, "--serialize", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def data_of(document: str, task: str) -> bytes:
    return base64.b64decode(json.loads(document)["tasks"][task]["serialized"]["data"], validate=True)


def with_data(document: str, task: str, data: bytes) -> str:
    changed = json.loads(document)
    changed["tasks"][task]["serialized"]["data"] = base64.b64encode(data).decode()
    return json.dumps(changed)


def test_the_document_runs_where_there_are_no_sources(weft: Weft) -> None:
    project(weft.folder)
    document = compiled(weft, "spec.json")
    tasks = json.loads(document)["tasks"]
    assert ["serialized" in task for task in tasks.values()] == [True, True, True, False]
    for name in ("shading.py", "helper.py", "spec.json"):
        (weft.folder / name).unlink()
    (weft.folder / "plan.json").write_text(document, encoding="utf-8")
    done = weft("run", "plan.json", "--exclude", "installed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(weft("show", "file", "--product").stdout) == [-0.988, 50, 6, ["alpha", "beta", "delta", "gamma"]]
    assert weft("show", "module", "--product").stdout == "24\n"
    assert cloudpickle.loads(data_of(document, "installed"))([1.5, 2]) == 3.5


def test_the_same_sources_give_the_same_bytes_and_compiling_again_changes_nothing(weft: Weft) -> None:
    project(weft.folder)
    first = compiled(weft, "spec.json", PYTHONHASHSEED="1")
    subprocess.run([sys.executable, "-c", "import shading"], cwd=weft.folder, check=True)  # leaves a compiled file
    assert compiled(weft, "spec.json", PYTHONHASHSEED="2") == first
    (weft.folder / "native.json").write_text(first, encoding="utf-8")
    assert compiled(weft, "native.json") == first
    (weft.folder / "helper.py").write_text(HELPER.replace("50", "51"), encoding="utf-8")
    assert compiled(weft, "spec.json") != first


def test_a_module_with_decorators_becomes_a_document_that_stands_for_itself(weft: Weft) -> None:
    source = (
        "import weft\nfrom helper import twice\n\n"
        "@weft.task\ndef first(n: int = 2) -> int:\n    return twice(n)\n\n"
        "@weft.task\n@weft.depends_on('first')\ndef second(first: int) -> int:\n    return first + 1\n"
        "print('below the last task')\n"
    )
    project(weft.folder)
    (weft.folder / "module.py").write_text(source, encoding="utf-8")
    document = compiled(weft, "module.py")
    for name in ("module.py", "helper.py"):
        (weft.folder / name).unlink()
    (weft.folder / "plan.json").write_text(document, encoding="utf-8")
    done = weft("run", "plan.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "below the last task" not in document + done.stdout
    assert weft("show", "second", "--product").stdout == "5\n"


def test_every_function_that_cannot_be_written_is_told(weft: Weft) -> None:
    source = "import threading\nLOCK = threading.Lock()\nnumber = 3\ndef held():\n    return LOCK\n"
    (weft.folder / "held.py").write_text(source, encoding="utf-8")
    functions = {"a": "held:held", "b": "held:hold", "c": "nowhere:f", "d": "held:number", "e": "absent.py:f"}
    plan = {"weft": 1, "tasks": {name: {"function": function} for name, function in functions.items()}}
    (weft.folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = weft("compile", "plan.json", "--serialize", "-O", "out.json")
    assert done.returncode == 2
    for text in (
        "function 'held:held' cannot be serialised: TypeError: cannot pickle",
        "'held' has no function 'hold'",
        "did you mean 'held'?",
        "there is no module named 'nowhere'",
        "'held:number' is no function",
        "there is no file 'absent.py'",
    ):
        assert text in done.stderr
    assert not (weft.folder / "out.json").exists()
    assert "Traceback" not in done.stderr


def test_a_module_that_raises_is_told_with_its_line(weft: Weft) -> None:
    (weft.folder / "bad.py").write_text("x = 1\nraise ValueError('not today')\n", encoding="utf-8")
    plan = {"weft": 1, "tasks": {"a": {"function": "bad.py:f"}}}
    (weft.folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    done = weft("compile", "plan.json", "--serialize")
    assert done.returncode == 2
    assert "ValueError: not today" in done.stderr and "bad.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_a_function_of_another_python_is_a_failed_set_up_that_names_both(weft: Weft, isolation: str) -> None:
    plan = {"weft": 1, "tasks": {"a": {"function": "shading:inner", "parameters": {"n": 2}, "isolation": isolation}}}
    project(weft.folder, plan)
    document = compiled(weft, "spec.json")
    here = "{}.{}.{}".format(*sys.version_info[:3])
    data = data_of(document, "a")
    assert data.endswith(f"\nPython {here}".encode())
    for name, changed in (("other", data.replace(here.encode(), b"3.99.1")), ("unmarked", data.rpartition(b"\n")[0])):
        (weft.folder / f"{name}.json").write_text(with_data(document, "a", changed), encoding="utf-8")
    done = weft("run", "other.json", "--output", "json")
    ended = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, ended["tasks"]["a"]["cause"]) == (1, "setup")
    shown = weft("show", "a").stdout + weft("explain", "a").stdout
    assert "3.99.1" in shown and f"Python {here}" in shown
    assert weft("run", "unmarked.json").returncode == 0  # whoever writes one by hand need not say so
