"""Runs whose tasks say late what they need, learn from earlier runs, or have their output copied."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path
from typing import Any

import weft
from weft.spec.actions import Command
from weft.spec.retries import Retries
from weft.spec.tasks import Policy, Task

HOG = "import sys; data = bytearray(int(sys.argv[1]) << 20); print(len(data))"
MEBIBYTE = 1 << 20


def hog(name: str, mebibytes: int, policy: Policy) -> Task:
    return Task(name, Command(("python3", "-c", HOG, str(mebibytes))), policy=policy)


def plan(folder: Path, *tasks: Task, name: str = "p") -> weft.Plan:
    return weft.Plan(tasks, name=name, root=str(folder))


def memory_of(run: weft.Run, name: str) -> list[int | None]:
    return [dict(attempt.request.amounts).get("memory") for attempt in run[name].attempts]


def test_a_task_is_asked_once_and_its_answer_is_enforced_and_scaled(tmp_path: Path) -> None:
    calls = []

    def ask() -> dict[str, str]:
        calls.append(threading.current_thread())
        return {"memory": "60M"}

    run = plan(tmp_path, hog("a", 80, Policy(ask=ask, retries=Retries(3)))).run()
    assert run["a"].state == "ok"
    assert memory_of(run, "a")[:2] == [60 * MEBIBYTE, 90 * MEBIBYTE]
    assert run["a"].attempts[0].cause == "memory"
    assert len(calls) == 1


def test_functions_that_give_nothing_usable_fail_their_tasks_alone(tmp_path: Path) -> None:
    def raises() -> dict[str, str]:
        raise LookupError("no data")

    tasks = [
        Task("raises", Command(("true",)), policy=Policy(ask=raises)),
        Task("number", Command(("true",)), policy=Policy(ask=lambda: 7)),
        Task("unit", Command(("true",)), policy=Policy(ask=lambda: {"memory": "8X"})),
        Task("auto", Command(("true",)), policy=Policy(ask=lambda: {"memory": "auto"})),
        Task("fine", Command(("true",)), policy=Policy(ask=lambda: {"cores": 0.5})),
    ]
    run = plan(tmp_path, *tasks).run()
    assert [run[task.name].cause for task in tasks] == ["setup", "setup", "setup", "setup", None]
    with run.archive() as archive:
        details = {row.name: row.detail for row in archive.tasks(run.id)}
    assert "LookupError: no data" in str(details["raises"])
    assert "CallableReturnedInvalidObject" in str(details["number"])
    assert "'8X'" in str(details["unit"])


def test_one_function_is_called_at_a_time(tmp_path: Path) -> None:
    alone = threading.Lock()
    seen = []

    def ask() -> dict[str, int]:
        seen.append(alone.acquire(blocking=False))
        alone.release()
        return {"cores": 1}

    tasks = [Task(str(number), Command(("true",)), policy=Policy(ask=ask)) for number in range(20)]
    assert plan(tmp_path, *tasks).run().state == "ok"
    assert seen == [True] * 20


def test_the_first_request_for_memory_comes_from_earlier_runs(tmp_path: Path) -> None:
    policy = Policy(auto=frozenset({"memory"}))
    first = plan(tmp_path, hog("a", 100, policy)).run()
    assert memory_of(first, "a") == [None]
    peak = first["a"].usage.memory
    second = plan(tmp_path, hog("a", 100, policy)).run()
    (wanted,) = memory_of(second, "a")
    assert peak is not None
    assert wanted is not None
    assert 1.2 * peak <= wanted <= 1.4 * peak


def test_a_task_that_leaves_memory_to_earlier_runs_is_asked_all_the_same(tmp_path: Path) -> None:
    plan(tmp_path, hog("a", 60, Policy())).run()
    run = plan(tmp_path, hog("a", 60, Policy(auto=frozenset({"memory"}), ask=lambda: {"cores": 0.5}))).run()
    (attempt,) = run["a"].attempts
    asked = dict(attempt.request.amounts)
    assert asked["cores"] == 500
    assert asked["memory"] > 60 * MEBIBYTE


def test_a_template_learns_from_the_runs_of_other_plans(tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "templates": {
            "t": {"command_template": "python3 -c {code} {size}", "node_args": ["size"], "op_args": ["code"]}
        },
        "arrays": [{"template": "t", "args": {"size": [60, 90], "code": HOG}}],
    }
    (tmp_path / "one.json").write_text(json.dumps(document), encoding="utf-8")
    document["templates"]["t"]["compute_resources"] = {"memory": "auto"}
    document["arrays"][0]["args"]["size"] = [70]
    (tmp_path / "two.json").write_text(json.dumps(document), encoding="utf-8")
    before = weft.load(str(tmp_path / "one.json")).run()
    peak = before["t_size-90"].usage.memory
    after = weft.load(str(tmp_path / "two.json")).run()
    (wanted,) = memory_of(after, "t_size-70")
    assert peak is not None
    assert wanted is not None
    assert 1.2 * peak <= wanted <= 1.4 * peak


def test_output_is_copied_to_folders_and_files(tmp_path: Path) -> None:
    copies = {"stdout": "out/", "stderr": "errors.txt"}
    tasks = [
        Task(name, Command(("sh", "-c", script)), policy=Policy(copies=copies))
        for name, script in (("a/b", "echo 1; echo 2 >&2"), ("c", "echo 3 >&2; exit 1"))
    ]
    plan(tmp_path, *tasks).run(jobs=1)
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "a%2Fb.1.out": "1\n",
        "c.1.out": "",
    }
    assert sorted((tmp_path / "errors.txt").read_text().split()) == ["2", "3"]


def test_a_function_may_say_where_output_is_copied_to(tmp_path: Path) -> None:
    policy = Policy(copies={"stdout": "usual.txt", "stderr": "errors.txt"}, ask=lambda: {"stdout": "asked.txt"})
    plan(tmp_path, Task("a", Command(("sh", "-c", "echo 1; echo 2 >&2")), policy=policy)).run()
    assert (tmp_path / "asked.txt").read_text() == "1\n"
    assert (tmp_path / "errors.txt").read_text() == "2\n"
    assert not (tmp_path / "usual.txt").exists()


def test_a_copy_that_cannot_be_written_changes_no_task(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = plan(tmp_path, Task("a", Command(("echo", "1")), policy=Policy(copies={"stdout": "taken/x"}))).run()
    assert run.state == "ok"
    assert any("no copy of the output" in str(warning.message) for warning in told)
