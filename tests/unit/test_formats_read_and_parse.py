"""What may be read at all, and every mistake of the text itself: read.*, parse.*, with their places."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from weft.errors import PlanError, Problem
from weft.formats.load import Loaded, load
from weft.spec.actions import Shell

PING = '{"tasks": [{"name": "ping", "type": "exec", "arguments": "echo pong"}]}'


def refused(folder: Path, *names: str, **settings: object) -> tuple[Problem, ...]:
    with pytest.raises(PlanError) as caught:
        load(names, cwd=str(folder), **settings)  # type: ignore[arg-type]
    return caught.value.problems()


def problem_of(folder: Path, content: str | bytes, name: str = "plan.json", **settings: object) -> Problem:
    write(folder, content, name)
    problems = refused(folder, name, **settings)
    assert len(problems) == 1, problems
    return problems[0]


def write(folder: Path, content: str | bytes, name: str = "plan.json") -> None:
    (folder / name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def loaded(folder: Path, content: str | bytes, name: str = "plan.json", **settings: object) -> Loaded:
    write(folder, content, name)
    return load([name], cwd=str(folder), **settings)  # type: ignore[arg-type]


def test_a_missing_file_is_told_with_the_nearest_name_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path, PING)
    (problem,) = refused(tmp_path, "plam.json")
    assert (problem.code, problem.file, problem.hint) == ("read.missing", "plam.json", "did you mean 'plan.json'?")


def test_a_misspelt_suffix_is_a_missing_file_and_no_module(tmp_path: Path) -> None:
    write(tmp_path, PING)
    assert refused(tmp_path, "plan.jsn")[0].code == "read.missing"


def test_a_file_below_a_file_is_missing(tmp_path: Path) -> None:
    write(tmp_path, PING)
    assert refused(tmp_path, "plan.json/x.json")[0].code == "read.missing"


def test_a_folder_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "plans.json").mkdir()
    assert refused(tmp_path, "plans.json")[0].code == "read.folder"
    assert refused(tmp_path, ".")[0].code == "read.folder"


def test_an_unknown_suffix_is_refused_unless_the_dialect_is_named(tmp_path: Path) -> None:
    assert problem_of(tmp_path, PING, "plan.txt").code == "read.suffix"
    assert len(load(["plan.txt"], cwd=str(tmp_path), format="tasklist").plan.graph) == 1
    assert len(load(["plan.txt"], cwd=str(tmp_path), as_json=["plan.txt"]).plan.graph) == 1


def test_a_file_named_as_input_is_json_whatever_its_suffix(tmp_path: Path) -> None:
    write(tmp_path, PING, "plan.toml")
    assert len(load(["plan.toml"], cwd=str(tmp_path), as_json=["plan.toml"]).plan.graph) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"tasks": "\xff"}', "byte 0xff at offset 11"),
        (b"\x7fELF\0\0\xfe\xff", "binary"),
        (PING.encode("utf-16"), "UTF-16"),
        (PING.encode("utf-16-le"), "UTF-16LE"),
        (PING.encode("utf-16-be"), "UTF-16BE"),
        (PING.encode("utf-32"), "UTF-32"),
    ],
)
def test_what_is_not_utf_8_is_refused_and_named(tmp_path: Path, content: bytes, words: str) -> None:
    problem = problem_of(tmp_path, content)
    assert problem.code == "read.encoding"
    assert words in problem.message


def test_a_byte_order_mark_is_allowed(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, b"\xef\xbb\xbf" + PING.encode()).plan.graph) == 1


def test_more_than_a_gibibyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "plan.json", "wb") as file:
        file.truncate((1 << 30) + 1)
    assert refused(tmp_path, "plan.json")[0].code == "read.too_large"


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plan.json")
    (problem,) = refused(tmp_path, "plan.json")
    assert problem.code == "read.unreadable"
    assert "'-'" in str(problem.hint)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    write(tmp_path, PING)
    (tmp_path / "plan.json").chmod(stat.S_IWUSR)
    assert refused(tmp_path, "plan.json")[0].code == "read.unreadable"


def test_a_name_with_nul_is_a_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path, "a\0b.json")[0].code == "read.missing"


def test_no_name_at_all_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path)[0].code == "read.missing"


def test_standard_input_is_a_json_plan_whose_root_is_the_current_folder(tmp_path: Path) -> None:
    plan = load(["-"], cwd=str(tmp_path), stdin=lambda: PING.encode()).plan
    assert plan.root == str(tmp_path)
    assert plan.key.startswith(f"{tmp_path}/-")
    assert plan.sources[0].path == "-"


def test_mistakes_in_standard_input_name_it(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "-", stdin=lambda: b"[1,")
    assert (problem.code, problem.file) == ("parse.syntax", "-")


def test_mistakes_of_several_files_are_told_together(tmp_path: Path) -> None:
    write(tmp_path, "[1,", "a.json")
    write(tmp_path, "{", "b.json")
    problems = refused(tmp_path, "a.json", "missing.json", "b.json")
    assert [problem.code for problem in problems] == ["parse.syntax", "read.missing", "parse.syntax"]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", None, None),
        (" \n\t ", None, None),
        ('{"tasks": [}', 1, 12),
        ('{"tasks": []}\n{"tasks": []}', 2, 1),
        ('{"tasks": [],}', 1, 13),
        ('{"tasks": [{},\n\t ]}', 1, 14),
        ('{"a": [1,}', 1, 10),
        ('{"a": [}', 1, 8),
        ("{'tasks': []}", 1, 2),
        ('{"a": "tab\tin text"}', 1, 11),
        ("aaaa", 1, 1),
        ('{"tasks": [', 1, 12),
    ],
)
def test_broken_json_is_told_with_its_place(tmp_path: Path, text: str, line: int | None, column: int | None) -> None:
    problem = problem_of(tmp_path, text)
    assert (problem.code, problem.line, problem.column) == ("parse.syntax", line, column)


@pytest.mark.parametrize("text", ['{"tasks": [],\n}', '{"tasks": [{} , ]}'])
def test_a_comma_after_the_last_member_is_called_that(tmp_path: Path, text: str) -> None:
    assert problem_of(tmp_path, text).message.endswith("is not JSON: a comma after the last member")


def test_every_repeated_key_is_told_with_both_places(tmp_path: Path) -> None:
    text = '{"weft": 1,\n "tasks": {"a": {"shell": "x",\n   "shell": "y"},\n  "a": {"shell": "z"}}}'
    write(tmp_path, text)
    problems = refused(tmp_path, "plan.json")
    assert [(problem.code, problem.location, problem.line, problem.column) for problem in problems] == [
        ("parse.duplicate_key", "/tasks/a/shell", 3, 4),
        ("parse.duplicate_key", "/tasks/a", 4, 3),
    ]
    assert "line 2, column 18 and line 3, column 4" in problems[0].message


def test_keys_that_differ_only_in_how_they_are_escaped_are_repeated(tmp_path: Path) -> None:
    assert problem_of(tmp_path, '{"tasks": [], "\\u0074asks": []}').code == "parse.duplicate_key"


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "-" + "9" * 5000])
def test_what_is_no_number_of_a_plan_is_told_with_its_place(tmp_path: Path, token: str) -> None:
    problem = problem_of(tmp_path, '{"tasks": [],\n "x": ' + token + "}")
    assert (problem.code, problem.line, problem.column) == ("parse.number", 2, 7)
    assert len(problem.message) < 120


def test_all_bad_numbers_are_told_and_long_sound_ones_are_not(tmp_path: Path) -> None:
    write(tmp_path, f'{{"tasks": [], "a": NaN, "b": {"1" * 400}, "c": [1e999]}}')
    assert [problem.column for problem in refused(tmp_path, "plan.json")] == [20, 438]


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_nesting_without_end_is_told_and_not_followed(tmp_path: Path, opener: str) -> None:
    problem = problem_of(tmp_path, opener * 100_000)
    assert (problem.code, problem.line, problem.column) == ("parse.depth", 1, 200 * len(opener) + 1)


def test_two_hundred_levels_are_allowed_and_one_more_is_not(tmp_path: Path) -> None:
    deep = '{"weft": 1, "tasks": {}, "attributes": {"x": ' + "[" * 198 + "]" * 198 + "}}"
    assert len(loaded(tmp_path, deep).plan.graph) == 0
    deeper = deep.replace("[" * 198 + "]" * 198, "[" * 199 + "]" * 199)
    assert problem_of(tmp_path, deeper).code == "parse.depth"


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, '[{"name": "a", "type": "exec", "arguments": "\\ud800"}]')
    assert problem.code == "parse.syntax"
    assert len(loaded(tmp_path, PING.replace("ping", "\\ud83d\\ude00")).plan.graph) == 1


def test_the_same_file_twice_is_told(tmp_path: Path) -> None:
    write(tmp_path, PING)
    (tmp_path / "link.json").symlink_to("plan.json")
    assert refused(tmp_path, "plan.json", "link.json")[0].code == "name.duplicate"


def test_standard_input_twice_is_told(tmp_path: Path) -> None:
    given = iter([PING.encode(), b""])
    problems = refused(tmp_path, "-", "-", stdin=lambda: next(given))
    assert [(each.code, each.file) for each in problems] == [("name.duplicate", "-")]


def test_the_recursion_limit_has_no_say(tmp_path: Path) -> None:
    tasks = {f"t{i}": {"shell": "x", "dependencies": [f"t{i - 1}"] if i else []} for i in range(2000)}
    write(tmp_path, json.dumps({"weft": 1, "tasks": tasks}))
    load(["plan.json"], cwd=str(tmp_path))  # what is imported late is imported now
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        assert len(load(["plan.json"], cwd=str(tmp_path)).plan.graph) == 2000
    finally:
        sys.setrecursionlimit(before)


# --- YAML --------------------------------------------------------------------------------------------------------------


def test_yaml_says_what_json_says(tmp_path: Path) -> None:
    text = "weft: 1\ntasks:\n  a: {shell: echo a}\n  b:\n    shell: |\n      echo b\n    dependencies: [a]\n    priority: 3\n"
    plan = loaded(tmp_path, text, "plan.yaml").plan
    assert [task.name for task in plan.graph] == ["a", "b"]
    assert plan.graph["b"].policy.priority == 3


def test_dates_and_yes_stay_texts_in_yaml(tmp_path: Path) -> None:
    values = "{d: 2031-05-01, y: yes, n: ~, o: 0o17, h: 0x1f, f: 1.5e3, q: '1', t: true}"
    text = f"weft: 1\ntasks:\n  a:\n    shell: x\n    parameters: {values}\n"
    parameters = loaded(tmp_path, text, "plan.yml").plan.graph["a"].parameters
    assert dict(parameters) == {
        "d": "2031-05-01",
        "y": "yes",
        "n": None,
        "o": 15,
        "h": 31,
        "f": 1500.0,
        "q": "1",
        "t": True,
    }


def test_aliases_and_merges_are_plain_sharing(tmp_path: Path) -> None:
    text = "weft: 1\ntasks:\n  a: &a {shell: x, priority: 2}\n  b: {<<: *a, shell: y}\n  c: *a\n"
    graph = loaded(tmp_path, text, "plan.yaml").plan.graph
    assert [(task.action.script, task.policy.priority) for task in graph] == [("x", 2), ("y", 2), ("x", 2)]  # type: ignore[union-attr]


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\nb: [2\n", "parse.syntax", 3),
        ("tasks: []\nx: !!python/object/apply:os.system [echo]\n", "parse.syntax", 2),
        ("tasks: []\nx: !mine x\n", "parse.syntax", 2),
        ("tasks: []\nx: 1\nx: 2\n", "parse.duplicate_key", 3),
        ("tasks: []\nx: .nan\n", "parse.number", 2),
        ("tasks: []\nx: -.inf\n", "parse.number", 2),
        ("tasks: []\nx: 1e999\n", "parse.number", 2),
        ("tasks: []\nx: *none\n", "parse.syntax", 2),
        ("tasks: []\n---\ntasks: []\n", "parse.syntax", 2),
        ("tasks: []\n? [a]\n: b\n", "parse.syntax", 2),
        ("[" * 100_000, "parse.depth", 1),
        (BOMB, "parse.depth", 6),
        ("tasks: [\x01]\n", "parse.syntax", None),
        ("# nothing but a comment\n", "parse.syntax", None),
        ("%YAML 1.2\n", "parse.syntax", 2),
    ],
)
def test_broken_yaml_is_told_with_its_place(tmp_path: Path, text: str, code: str, line: int | None) -> None:
    problem = problem_of(tmp_path, text, "plan.yaml")
    assert (problem.code, problem.line) == (code, line)


def test_mistakes_in_yaml_have_lines_and_columns(tmp_path: Path) -> None:
    text = "weft: 1\ntasks:\n  a: {shell: x, timeot: 5}\n  b:\n    shell: x\n    dependencies:\n      - a\n      - c\n"
    write(tmp_path, text, "plan.yaml")
    problems = refused(tmp_path, "plan.yaml")
    assert [(each.code, each.line, each.column) for each in problems] == [
        ("shape.unknown_key", 3, 17),
        ("ref.task", 8, 9),
    ]


def test_yaml_without_its_package_names_the_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problem = problem_of(tmp_path, "tasks: []\n", "plan.yaml")
    assert "weft[yaml]" in str(problem.hint)


# --- TOML --------------------------------------------------------------------------------------------------------------


def test_toml_says_what_json_says(tmp_path: Path) -> None:
    text = 'weft = 1\n[tasks.a]\nshell = "x"\n[tasks.b]\nshell = "y"\ndependencies = ["a"]\nparameters = {d = 2031-05-01}\n'
    graph = loaded(tmp_path, text, "plan.toml").plan.graph
    assert graph["b"].parameters["d"] == "2031-05-01"
    assert graph.upstream("b") == ("a",)


def test_mistakes_in_toml_have_lines_and_columns(tmp_path: Path) -> None:
    text = 'weft = 1\n[tasks.a]\nshell = "x"\ntimeot = 5\n[tasks.b]\nshell = "x"\ndependencies = [\n  "a",\n  "c",\n]\n'
    write(tmp_path, text, "plan.toml")
    problems = refused(tmp_path, "plan.toml")
    assert [(each.code, each.line, each.column) for each in problems] == [
        ("shape.unknown_key", 4, 1),
        ("ref.task", 9, 3),
    ]


def test_many_dots_in_a_text_or_in_numbers_of_toml_are_no_deep_key(tmp_path: Path) -> None:
    text = f"weft = 1\n# {'a.' * 300}\n__x = [{'1.5, ' * 300}]\n[tasks.a]\nshell = 'echo {'a.' * 300}'\n"
    assert loaded(tmp_path, text, "plan.toml").plan.graph["a"].action == Shell("echo " + "a." * 300)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("weft = \n", "parse.syntax", 1),
        ("weft = 1\nweft = 1\ntasks = {}\n", "parse.duplicate_key", 2),
        ("weft = 1\n[tasks.a]\nshell = 'x'\n[tasks.a]\n", "parse.duplicate_key", 4),
        ("weft = 1\ntasks = {}\n__x = {a = 1, a = 2}\n", "parse.duplicate_key", 3),
        ("weft = 1\ntasks = {}\n__x = nan\n", "parse.number", 3),
        ("x = " + "[" * 5000, "parse.depth", None),
        ("weft = 1\n" + ".".join("a" * 100_000) + " = 1\n", "parse.depth", 2),
        ("weft = 1\n[ " + " . ".join(["'x.y'", '"z"'] * 5_000) + " ]\n", "parse.depth", 2),
        ("x = " + "9" * 5000, "parse.number", None),
    ],
)
def test_broken_toml_is_told(tmp_path: Path, text: str, code: str, line: int | None) -> None:
    problem = problem_of(tmp_path, text, "plan.toml")
    assert (problem.code, problem.line) == (code, line)
