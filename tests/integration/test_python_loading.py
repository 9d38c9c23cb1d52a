"""Modules are loaded where they can do no harm: time limits, signals, what they leave behind."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

import weft
from support.waiting import wait_for_ends
from weft.assemble.python_plans import load_python, refresh
from weft.errors import PlanError, Problem
from weft.formats.compile import compile_plan
from weft.formats.load import PythonRequest, load
from weft.spec.actions import Call

LIMIT_SECONDS = 3.0  # of which loading weft itself takes a part


def problem_of(folder: Path, source: str, limit: float = 60.0) -> Problem:
    (folder / "flow.py").write_text(textwrap.dedent(source), encoding="utf-8")
    with pytest.raises(PlanError) as told:
        load_python(PythonRequest("flow.py", str(folder)), limit)
    (problem,) = told.value.problems()
    return problem


def test_an_endless_loop_ends_with_the_limit_and_its_line_is_told(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "import weft\nx = 0\nwhile True:\n    x = 1\n", LIMIT_SECONDS)
    assert (problem.code, problem.file) == ("import.failed", "flow.py")
    assert problem.line in (3, 4)
    assert "was not loaded within 3 s (it stands in line" in problem.message


def test_what_a_module_has_started_ends_with_its_loading(tmp_path: Path) -> None:
    source = """
        import os, subprocess, sys
        import weft
        r = weft.Registry()
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open("pid", "w").write(str(started.pid))
        @r.task
        def a(): return 1
    """
    (tmp_path / "flow.py").write_text(textwrap.dedent(source), encoding="utf-8")
    loaded = load_python(PythonRequest("flow.py", str(tmp_path)))
    assert [task.name for task in loaded.plan.graph.tasks] == ["a"]
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    wait_for_ends([pid])


def test_a_module_that_is_ended_by_a_signal_says_so(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert "was ended by signal KILL" in problem.message


def test_an_exception_whose_text_raises_is_told(tmp_path: Path) -> None:
    source = """
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError
        raise Odd
    """
    problem = problem_of(tmp_path, source)
    assert (problem.line, problem.message) == (5, "'flow.py' could not be loaded: Odd: (its text cannot be shown)")


def test_a_syntax_error_of_a_helper_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("\n\nx = (\n", encoding="utf-8")
    problem = problem_of(tmp_path, "import helper\n")
    assert (os.path.basename(problem.file or ""), problem.line) == ("helper.py", 3)


def test_a_missing_helper_is_told_at_its_import(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, "import os\nimport no_such_helper\n")
    assert (problem.line, problem.file) == (2, problem.file)
    assert "ModuleNotFoundError: No module named 'no_such_helper'" in problem.message


def test_all_mistakes_of_an_invocation_come_back(tmp_path: Path) -> None:
    source = "import weft\nr = weft.Registry()\n@r.task\ndef a(x: int, y: int): return 1\n"
    (tmp_path / "flow.py").write_text(source, encoding="utf-8")
    with pytest.raises(PlanError) as told:
        load_python(PythonRequest("flow.py", str(tmp_path), [("a.x", "1.5"), ("a.z", "1")]))
    assert {(each.code, each.location) for each in told.value.problems()} == {
        ("option.type", "a.x"),
        ("option.unknown", "a.z"),
        ("option.missing", "a.y"),
    }


@pytest.mark.parametrize(
    ("chosen", "key", "tasks"),
    [
        ({}, "*", "abcd"),
        ({"select": ["b"]}, "b", "ab"),
        ({"until": ["b"]}, "b", "ab"),
        ({"start_from": ["b"]}, "b,c", "abc"),
        ({"select": ["c", "d"], "exclude": ["a"]}, "c,d", "abcd"),
        ({"exclude": ["d"]}, "*", "abcd"),
    ],
)
def test_what_is_selected_are_the_targets(tmp_path: Path, chosen: Any, key: str, tasks: str) -> None:
    source = "import weft\nr = weft.Registry()\nfor name, deps in (('a', ''), ('b', 'a'), ('c', 'b'), ('d', '')):\n"
    source += "    r.task(lambda: 1, name=name, deps=list(deps))\n"
    (tmp_path / "flow.py").write_text(source, encoding="utf-8")
    plan = load_python(PythonRequest("flow.py", str(tmp_path), **chosen)).plan
    assert plan.key == f"registry:flow:{key}"
    assert "".join(task.name for task in plan.graph.tasks) == tasks


def test_the_signal_of_the_limit_is_not_the_users(tmp_path: Path) -> None:
    """A module may have handlers of its own: the limit does not depend on them."""
    source = f"""
        import signal
        for number in ({int(signal.SIGTERM)}, {int(signal.SIGALRM)}):
            signal.signal(number, signal.SIG_IGN)
        while True: pass
    """
    assert "was not loaded within" in problem_of(tmp_path, source, LIMIT_SECONDS).message


REQUIRED = """
    import weft
    registry = weft.Registry()

    @registry.task
    def fetch(url: str) -> int:
        return len(url)
"""


def test_what_is_only_looked_at_needs_no_options(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(textwrap.dedent(REQUIRED), encoding="utf-8")
    plan = load_python(PythonRequest("flow.py", str(tmp_path), is_preview=True)).plan
    assert plan is not None
    assert plan.graph["fetch"].parameters == {}
    with pytest.raises(PlanError, match="has no value"):
        load_python(PythonRequest("flow.py", str(tmp_path)))


def test_a_compiled_plan_runs_the_present_code_and_says_so(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(textwrap.dedent(REQUIRED), encoding="utf-8")
    compiled = tmp_path / "plan.json"
    compiled.write_bytes(compile_plan(weft.load(str(flow), options={"fetch.url": "ab"}).spec))
    loaded = load([str(compiled)], present=refresh)
    was = loaded.plan.graph["fetch"].action
    assert loaded.warnings == ()
    flow.write_text(flow.read_text(encoding="utf-8").replace("len(url)", "len(url) + 1"), encoding="utf-8")
    loaded = load([str(compiled)], present=refresh)
    assert [(each.code, each.location) for each in loaded.warnings] == [("digest", "/tasks/fetch/code")]
    now = loaded.plan.graph["fetch"].action
    assert isinstance(was, Call)
    assert isinstance(now, Call)
    assert was.code.keys() == now.code.keys()
    assert was.code != now.code
    flow.unlink()
    with pytest.raises(PlanError, match="No module named 'flow'"):
        load([str(compiled)], present=refresh)
