"""What is wrong with a text itself hides no other mistake of its document: all are told at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.errors import PlanError
from weft.formats.load import load

Told = list[tuple[str, str | None, int | None, int | None]]


def told(folder: Path, text: str, name: str = "plan.json") -> Told:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    with pytest.raises(PlanError) as caught:
        load([name], cwd=str(folder))
    return [(each.code, each.location, each.line, each.column) for each in caught.value.problems()]


def test_duplicate_keys_bad_numbers_and_wrong_values_of_json_are_told_at_once(tmp_path: Path) -> None:
    text = """{"tasks": [
 {"name": "a", "type": "exec", "type": "eval", "arguments": "1", "timeout": NaN},
 {"name": "b", "type": "exec", "arguments": "x", "max_attempts": 1e999, "dependencies": ["z", 5]},
 {"name": "c", "type": "exeq", "arguments": "x", "dependencies": ["c"]}]}"""
    assert told(tmp_path, text) == [
        ("parse.duplicate_key", "/tasks/0/type", 2, 32),
        ("parse.number", "/tasks/0/timeout", 2, 77),
        ("parse.number", "/tasks/1/max_attempts", 3, 66),
        ("ref.task", "/tasks/1/dependencies/0", 3, 90),
        ("shape.type", "/tasks/1/dependencies/1", 3, 95),
        ("shape.value", "/tasks/2/type", 4, 24),
        ("graph.cycle", "/tasks/2/dependencies/0", 4, 67),
    ]


def test_duplicate_keys_bad_numbers_and_wrong_values_of_yaml_are_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    text = "weft: 1\ntasks:\n  a: {shell: x, shell: y, timeout: .inf}\n  b: {shell: .nan, dependencies: [z]}\n"
    assert told(tmp_path, text, "plan.yaml") == [
        ("parse.duplicate_key", "/tasks/a/shell", 3, 17),
        ("parse.number", "/tasks/a/timeout", 3, 36),
        ("parse.number", "/tasks/b/shell", 4, 14),
        ("ref.task", "/tasks/b/dependencies/0", 4, 35),
    ]


def test_all_duplicates_of_toml_are_told_with_both_places_and_hide_nothing(tmp_path: Path) -> None:
    text = """weft = 1
[tasks.a]
shell = "x"
shell = "y" # again
timeout = nan
resources = {cores = 1, memory = 5, cores = 2}
[tasks.b]
shell = "x"
timeuot = 4
[tasks.a]
python = \"\"\"
[tasks.c]
\"\"\"
command = [
 "[x]",
]
[tasks.b.parameters]
p.q = 1
p.q = 2
[tasks.c]
shell = "x"
dependencies = ["c", "d"]
"""
    assert told(tmp_path, text, "plan.toml") == [
        ("parse.duplicate_key", "/tasks/a/shell", 4, 1),
        ("parse.number", "/tasks/a/timeout", 5, 11),
        ("unit.size", "/tasks/a/resources/memory", 6, 34),
        ("parse.duplicate_key", "/tasks/a/resources/cores", 6, 37),
        ("shape.unknown_key", "/tasks/b/timeuot", 9, 1),
        ("parse.duplicate_key", "/tasks/a", 10, 1),
        ("parse.duplicate_key", "/tasks/b/parameters/p/q", 19, 3),
        ("graph.cycle", "/tasks/c/dependencies/0", 22, 17),
        ("ref.task", "/tasks/c/dependencies/1", 22, 22),
    ]


def test_a_duplicate_of_toml_tells_where_both_stand(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text("weft = 1\r\ntasks = {}\r\nweft = 1\r\n", encoding="utf-8", newline="")
    with pytest.raises(PlanError) as caught:
        load(["plan.toml"], cwd=str(tmp_path))
    (problem,) = caught.value.problems()
    assert problem.message == "key 'weft' stands twice in one object: line 1, column 1 and line 3, column 1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weft = 1\n[[tasks]]\n[tasks]\n[tasks.a\n", ["parse.duplicate_key", "parse.syntax"]),
        ("weft = 1\n[tasks.a]\nshell = 1\nshell = 2 x\n", ["parse.duplicate_key", "parse.syntax"]),
        ("weft = 1\n[tasks]\na = {shell = 'x'}\n[tasks.a]\ntimeuot = 1\n", ["parse.duplicate_key"]),
        ("weft = 1\n[tasks.a]\nshell = 'x'\nshell.b = 2\ntimeuot = 1", ["parse.duplicate_key", "shape.unknown_key"]),
        ("weft = 1\n[tasks.a]\nshell = 'x'\n[tasks.a\nb = [", ["parse.duplicate_key"]),
        ("weft = 1\ntasks = {a = 1, a = 2", ["parse.duplicate_key"]),
        ('weft = 1\n[tasks.a]\nshell = "x"\n[tasks.a]\nshell = """' + 'echo "$x"\n' * 200, ["parse.duplicate_key"]),
        ("weft = 1\ntasks = {a = 1, a = 2, 'b", ["parse.duplicate_key"]),
    ],
)
def test_what_is_broken_behind_a_duplicate_of_toml_is_told_if_it_can_be_read(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert [code for code, *_ in told(tmp_path, text, "plan.toml")] == expected


def test_a_key_with_half_a_surrogate_pair_is_told_at_its_object(tmp_path: Path) -> None:
    text = '{"tasks": [{"name": "\\ud800", "type": "exec", "arguments": "x", "dependencies": ["z"], "\\udfff": 1}]}'
    assert told(tmp_path, text) == [
        ("parse.syntax", "/tasks/0", 1, 12),
        ("parse.syntax", "/tasks/0/name", 1, 21),
        ("ref.task", "/tasks/0/dependencies/0", 1, 82),
    ]


def test_a_task_with_an_unknown_key_and_no_action_is_told_both(tmp_path: Path) -> None:
    text = '{"weft": 1, "tasks": {"a": {"timeuot": 5}, "b": {"comand": ["x"]}, "c": {"shell": 5}}}'
    assert [(code, location) for code, location, *_ in told(tmp_path, text)] == [
        ("action.none", "/tasks/a"),
        ("shape.unknown_key", "/tasks/a/timeuot"),
        ("shape.unknown_key", "/tasks/b/comand"),  # it was meant to be one
        ("shape.type", "/tasks/c/shell"),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('"template": []', "shape.type"),
        ('"template": {"x": 1}', "shape.type"),
    ],
)
def test_a_template_that_is_no_name_is_told_once(tmp_path: Path, body: str, code: str) -> None:
    text = f'{{"weft": 1, "tasks": {{"a": {{{body}, "dependencies": ["b"]}}}}}}'
    assert [each[:2] for each in told(tmp_path, text)] == [
        (code, "/tasks/a/template"),
        ("ref.task", "/tasks/a/dependencies/0"),
    ]


def test_a_message_is_one_line_whatever_the_keys_are(tmp_path: Path) -> None:
    text = '{"weft": 1, "tasks": {"a": {"shell": "x", "b\\nc\\u202e": 1, "environment": "d\\te"}}}'
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load(["plan.json"], cwd=str(tmp_path))
    for problem in caught.value.problems():
        assert problem.message.isprintable()
        assert all(line.isprintable() for line in str(problem).splitlines())
    assert caught.value.problems()[0].location == "/tasks/a/b\nc\u202e"
