"""Task plans that are Python modules (dialects.md 5.1), and files that are read for their tasks alone (2.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import weft, write

PLAN = """
DAY = "monday"
envs = {"lab": {"variables": {"DAY": DAY}}}
notes = {"diary": {"class_name": "SimpleFileLog", "path": "diary.log"}, "own": {"class_name": "plan:Own"}}
jobs = {
    "greet": {"env": "lab", "note": ["diary", "own"], "command": ("echo", "$DAY")},
    "after": {"command": ["true"], "dependencies": ["greet", "other"]},
}
class Own:
    def send(self, record):
        with open("own", "a", encoding="utf-8") as file:
            file.write("sent")
print("executed whole")
"""


def test_a_module_and_a_document_make_one_plan(tmp_path: Path) -> None:
    write(tmp_path, "plan.py", PLAN)
    write(tmp_path, "other.json", {"jobs": {"other": {"command": ["true"]}}})
    answer = weft(tmp_path, "run", "plan.py", "other.json", "--output", "json")
    assert answer.code == 0, answer.out + answer.err
    assert {name: each["state"] for name, each in answer.events[-1]["tasks"].items()} == dict.fromkeys(
        ["greet", "after", "other"], "ok"
    )
    assert "monday" in (tmp_path / "diary.log").read_text(encoding="utf-8")
    assert (tmp_path / "own").read_text(encoding="utf-8") == "sent"


def test_a_dotted_name_does_as_well_and_compiles_like_the_file(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    write(tmp_path, "pkg/plan.py", "jobs = {'a': {'command': ['true'], 'timeout': '1min'}}\n")
    answer = weft(tmp_path, "run", "pkg.plan", "--output", "json")
    assert (answer.code, answer.events[-1]["counts"]["ok"]) == (0, 1)
    assert (tmp_path / ".weft").is_dir()
    compiled = json.loads(weft(tmp_path, "compile", "pkg/plan.py").out)
    assert (compiled["order"], compiled["tasks"]["a"]["timeout"]) == ("file", 60)


def test_mistakes_stand_at_their_line(tmp_path: Path) -> None:
    source = 'jobs = {\n  "a": {"command": ["true"], "timeout": "2 parsecs"},\n  "b": {"command": [], "env": "lab"}}\n'
    write(tmp_path, "bad.py", source)
    answer = weft(tmp_path, "validate", "bad.py", "--output", "json")
    assert answer.code == 2
    errors = answer.object["errors"]
    assert [(each["code"], each["file"], each["location"], each["line"], each["column"]) for each in errors] == [
        ("unit.time", "bad.py", "/jobs/a/timeout", 2, 41),
        ("shape.value", "bad.py", "/jobs/b/command", 3, 20),
        ("ref.environment", "bad.py", "/jobs/b/env", 3, 31),
    ]


@pytest.mark.parametrize(
    ("source", "location", "told"),
    [
        ("jobs = {'a': {'command': ['echo', open]}}", "/jobs/a/command/1", "<built-in function open>"),
        ("jobs = {1: {}}", "/jobs", "has the key 1"),
        ("envs = {'e': {'variables': {'A': b'hush'}}}", "/envs/e/variables/A", "a bytes"),
        ("jobs = []\njobs.append(jobs)", "/jobs/0/0", "holds itself"),
    ],
)
def test_only_plain_data_is_a_plan(tmp_path: Path, source: str, location: str, told: str) -> None:
    write(tmp_path, "plan.py", source)
    answer = weft(tmp_path, "validate", "plan.py", "--output", "json")
    (error,) = answer.object["errors"]
    assert (answer.code, error["location"]) == (2, location)
    assert told in error["message"] and "hush" not in answer.out


def test_a_registry_and_jobs_are_ambiguous_unless_the_format_is_said(tmp_path: Path) -> None:
    write(tmp_path, "both.py", "import weft\n@weft.task\ndef a(): return 1\njobs = dict(b={'command': ['true']})\n")
    answer = weft(tmp_path, "run", "both.py", "--output", "json")
    assert [error["code"] for error in answer.object["errors"]] == ["detect.ambiguous"]
    for format, task in (("python", "a"), ("taskplan", "b")):
        answer = weft(tmp_path, "run", "both.py", "--format", format, "--output", "json")
        assert list(answer.events[-1]["tasks"]) == [task]


def test_one_file_under_two_names_is_told(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    write(tmp_path, "pkg/plan.py", "jobs = {}\n")
    answer = weft(tmp_path, "validate", "pkg.plan", "pkg/plan.py", "--output", "json")
    assert [error["code"] for error in answer.object["errors"]] == ["name.duplicate"]


def test_a_decorator_without_a_task_is_told_at_its_line(tmp_path: Path) -> None:
    write(tmp_path, "flow.py", "import weft\n\n@weft.memory('1G')\ndef a(): ...\n")
    answer = weft(tmp_path, "run", "flow.py", "--output", "json")
    (error,) = answer.object["errors"]
    assert (error["code"], error["file"], error["line"]) == ("action.none", "flow.py", 3)


def test_mistakes_of_all_functions_are_told_at_once_and_what_follows_from_them_is_not(tmp_path: Path) -> None:
    source = """
import weft

@weft.task
@weft.memory("1Q")
def a(): ...

@weft.task("b")
@weft.depends_on(a, "nobody")
@weft.for_files_matching("*.csv")
def second(filename): ...

@weft.time_limit("1:30")
@weft.task
@weft.depends_on("b")
def c(): ...

@weft.cores(1)
def d(): ...

@weft.task
@weft.depends_on(d)
def e(): ...
"""
    write(tmp_path, "flow.py", source)
    errors = weft(tmp_path, "validate", "flow.py", "--output", "json").object["errors"]
    assert [(error["code"], error["line"]) for error in errors] == [
        ("unit.size", 4),
        ("ref.task", 8),
        ("pattern.invalid", 8),
        ("unit.time", 13),
        ("action.none", 18),
        ("ref.task", 21),
    ]
    assert "depends on function 'd'" in errors[5]["message"]


@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_what_stands_below_the_last_task_is_executed_nowhere(tmp_path: Path, isolation: str) -> None:
    source = f"""
import weft

class Row:
    pass

@weft.task(isolation={isolation!r})
def make():
    return Row()

@weft.task(isolation={isolation!r}, deps=["make"])
def use(make):
    return helper(type(make).__name__)

def helper(name):
    return name + SIGN
SIGN = "!"
with open("ran", "a") as file:
    file.write(__name__)
weft.default_registry.invoke("use").run()
if __name__ == "__main__":
    raise SystemExit(4)
"""
    write(tmp_path, "flow.py", source)
    answer = weft(tmp_path, "run", "flow.py")
    assert answer.code == 0, answer.err
    assert json.loads(weft(tmp_path, "show", "last", "use", "--product").out) == "Row!"
    assert weft(tmp_path, "run", "flow.py", "--output", "json").events[-1]["counts"]["cached"] == 2
    compiled = weft(tmp_path, "compile", "flow.py")
    write(tmp_path, "compiled.json", compiled.out)
    assert weft(tmp_path, "run", "compiled.json", "--force").code == 0
    assert not (tmp_path / "ran").exists()
