"""Bad input: every mistake at once, with its place; exit 2, nothing run, no traceback, no state folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import Weft


def refuse(weft: Weft, *words: str, **environment: str) -> list[dict[str, Any]]:
    """The errors that `weft run` gives."""
    ended = weft("run", *words, "--output", "json", **environment)
    assert ended.returncode == 2, (ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stdout + ended.stderr
    assert not (weft.folder / ".weft").exists()
    lines = ended.stdout.splitlines()
    assert len(lines) == 1
    event = json.loads(lines[0])
    assert (event["v"], event["event"]) == (1, "error")
    for error in event["errors"]:
        assert set(error) == {"code", "message", "file", "location", "line", "column", "hint"}
    return list(event["errors"])


def codes(weft: Weft, content: str | bytes, name: str = "plan.json") -> list[str]:
    path = weft.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return [error["code"] for error in refuse(weft, name)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "parse.syntax"),
        ("{", "parse.syntax"),
        ('{"weft": 1, "tasks": {}} trailing', "parse.syntax"),
        (b"\x00\x01\x02\xff" * 1000, "read.encoding"),
        ('{"weft": 1}'.encode("utf-16"), "read.encoding"),
        ('{"weft": 1, "weft": 1, "tasks": {}}', "parse.duplicate_key"),
        ('{"weft": 1, "tasks": {"a": {"command": ["true"], "timeout": NaN}}}', "parse.number"),
        ('{"weft": 1, "tasks": {"a": {"command": ["true"], "timeout": 1e999}}}', "parse.number"),
        ("[" * 100_000, "parse.depth"),
        ("[" * 201 + "]" * 201, "parse.depth"),
        ("{}", "detect.unknown"),
        ("17", "detect.unknown"),
        ('{"jobs": {}, "templates": {}}', "detect.ambiguous"),
    ],
)
def test_documents_that_cannot_be_read(weft: Weft, content: str | bytes, code: str) -> None:
    assert code in codes(weft, content)


def test_a_missing_file_a_folder_and_an_unknown_suffix(weft: Weft) -> None:
    (weft.folder / "plan.d").mkdir()
    (weft.folder / "plan.txt").write_text("{}")
    found = [error["code"] for error in refuse(weft, "plam.json", "plan.d", "plan.txt")]
    assert found == ["read.missing", "read.folder", "read.suffix"]


def test_much_junk_is_refused_quickly(weft: Weft) -> None:
    assert codes(weft, b"\xde\xad\xbe\xef" * 25_000_000) == ["read.encoding"]


def test_all_mistakes_of_a_native_plan_come_at_once_with_their_places(weft: Weft) -> None:
    text = """{
  "weft": 1,
  "tasks": {
    "a": {"comand": ["true"]},
    "n": {"timeout": 5},
    "b": {"command": ["true"], "shell": "true"},
    "c": {"command": ["true"], "timeout": "1:30"},
    "d": {"command": ["true"], "resources": {"memory": "8 parsecs"}},
    "e": {"command": ["true"], "dependencies": ["zz", "aa"]},
    "f": {"command": ["echo", "{nope}"]},
    "g": {"command": ["true"], "dependencies": ["h"]},
    "h": {"command": ["true"], "dependencies": ["g"]},
    "i": {"command": []},
    "": {"command": ["true"]}
  }
}"""
    (weft.folder / "plan.json").write_text(text)
    errors = refuse(weft, "plan.json")
    found = {(error["code"], error["location"]) for error in errors}
    for code, location in [
        ("shape.unknown_key", "/tasks/a/comand"),
        ("action.none", "/tasks/n"),
        ("action.many", "/tasks/b"),
        ("unit.time", "/tasks/c/timeout"),
        ("unit.size", "/tasks/d/resources/memory"),
        ("ref.task", "/tasks/e/dependencies/0"),
        ("ref.task", "/tasks/e/dependencies/1"),
        ("slot.unknown", "/tasks/f/command/1"),
        ("name.invalid", "/tasks/"),
    ]:
        assert (code, location) in found, (code, location, sorted(found, key=str))
    assert "graph.cycle" in {code for code, _ in found}
    by_code = {error["code"]: error for error in errors}
    assert by_code["unit.time"]["line"] == 7 and by_code["unit.time"]["column"] is not None
    assert "command" in by_code["shape.unknown_key"]["hint"]


def test_all_mistakes_of_a_task_list_come_at_once(weft: Weft) -> None:
    document = {
        "tasks": [
            {"name": "a", "type": "exce", "arguments": "true"},
            {"name": "b", "type": "exec"},
            {"name": "c", "type": "exec", "arguments": "true", "dependencies": "a"},
            {"name": "c", "type": "exec", "arguments": "  "},
            {"name": "d", "type": "exec", "arguments": "true", "dependencies": ["nobody"], "timeout": -1},
        ]
    }
    found = codes(weft, json.dumps(document))
    for code in ("shape.value", "shape.missing", "shape.type", "name.duplicate", "ref.task", "unit.time"):
        assert code in found, (code, found)


def test_unknown_flags_and_commands_name_the_nearest(weft: Weft) -> None:
    answer = weft("run", "plan.json", "--job", "2")
    assert answer.returncode == 2 and "--jobs" in answer.stderr
    answer = weft("rnu", "plan.json")
    assert answer.returncode == 2 and "run" in answer.stderr


def test_options_that_nobody_declared(weft: Weft) -> None:
    weft.plan({"a": {"command": ["echo", "{k}"]}}, options={"k": {"type": "int", "default": 1}})
    errors = refuse(weft, "plan.json", "-o", "j=2", "-o", "k=two")
    assert {error["code"] for error in errors} == {"option.unknown", "option.type"}


def test_a_state_folder_that_cannot_be_used_is_exit_3(weft: Weft) -> None:
    weft.plan({"a": {"command": ["touch", "made"]}})
    for content in (b"", b"no database at all", b"\x00" * 8192):
        state = weft.folder / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        (state / "weft.db").write_bytes(content)
        (state / "weft.db").chmod(0o600)
        ended = weft("run", "plan.json", "--state", "state")
        assert ended.returncode == 3, ended.stderr
        assert "Traceback" not in ended.stderr
        assert (state / "weft.db").read_bytes() == content
    (weft.folder / "file").write_text("")
    assert weft("run", "plan.json", "--state", "file").returncode == 3
    assert not Path(weft.folder / "made").exists()


def test_hash_seed_and_locale_have_no_influence(weft: Weft) -> None:
    weft.plan({f"täsk {n}": {"command": ["true"], "dependencies": [f"täsk {n - 1}"] if n else []} for n in range(20)})
    texts = {
        weft("compile", "plan.json", PYTHONHASHSEED=seed, LC_ALL=locale).stdout
        for seed, locale in (("0", "C"), ("1", "C.UTF-8"), ("2", "POSIX"))
    }
    assert len(texts) == 1 and "täsk 3" in texts.pop()
