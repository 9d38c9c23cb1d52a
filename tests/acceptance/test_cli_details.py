"""Sentences of the texts that a user can see, each tried with the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import names, weft, write


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (["--fail-fast"], "cancelled"),
        (["-k"], "ok"),
        ([], "ok"),
        (["-k", "--fail-fast"], "cancelled"),
        (["--fail-fast", "-k"], "ok"),
    ],
)
def test_fail_fast_starts_nothing_after_a_failure_and_the_last_flag_decides(
    tmp_path: Path, flags: list[str], state: str
) -> None:
    write(
        tmp_path,
        "plan.json",
        {"weft": 1, "tasks": {"bad": {"shell": "exit 3"}, "late": {"shell": "true"}}},
    )
    answer = weft(tmp_path, "run", "plan.json", "-j1", "--output", "json", *flags)
    end = answer.events[-1]
    assert answer.code == 1 and end["tasks"]["late"]["state"] == state


def test_validate_warns_of_what_is_not_there_and_strict_makes_it_an_error(tmp_path: Path) -> None:
    tasks = {
        "file": {"command": ["true"], "requires": {"files": ["nofile"]}},
        "license": {"command": ["true"], "resources": {"license": 1}},
        "program": {"command": ["weft-no-such-program"]},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    answer = weft(tmp_path, "validate", "plan.json", "--output", "json")
    found = [(one["code"], one["location"]) for one in answer.object["warnings"]]
    assert answer.code == 0 and found == [
        ("unmet", "/tasks/file/requires/files"),
        ("unsatisfiable", "/tasks/license/resources/license"),
        ("not_found", "/tasks/program/command/0"),
    ]
    with_license = weft(tmp_path, "validate", "plan.json", "--resources", "license=1", "--output", "json")
    assert [one["code"] for one in with_license.object["warnings"]] == ["unmet", "not_found"]
    strict = weft(tmp_path, "validate", "plan.json", "--strict", "--output", "json")
    assert strict.code == 2 and len(strict.object["errors"]) == 3
    assert not (tmp_path / ".weft").exists()


def test_warnings_stand_beside_the_errors_of_the_same_document(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", [{"name": "a", "executable": "/bin/true", "time_limt": 1, "time_limit": "5 parsecs"}])
    told = weft(tmp_path, "run", "plan.json", "--output", "json")
    assert told.code == 2
    assert [(one["code"], one["location"]) for one in told.object["errors"]] == [("unit.time", "/0/time_limit")]
    assert [(one["code"], one["location"]) for one in told.object["warnings"]] == [
        ("shape.unknown_key", "/0/time_limt")
    ]
    text = weft(tmp_path, "run", "plan.json").err
    assert [line.partition(":")[0] for line in text.splitlines() if not line.startswith(" ")] == ["warning", "error"]
    assert "warning" not in weft(tmp_path, "run", "plan.json", "--output", "quiet").err
    strict = weft(tmp_path, "run", "plan.json", "--strict", "--output", "json").object
    assert "warnings" not in strict
    assert {"shape.unknown_key", "unit.time"} <= {one["code"] for one in strict["errors"]}


def test_plan_tells_what_can_never_start_and_what_waits_for_it(tmp_path: Path) -> None:
    tasks = {
        "lacks": {"command": ["true"], "resources": {"license": 1}},
        "after": {"command": ["true"], "dependencies": ["lacks"]},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    planned = weft(tmp_path, "plan", "plan.json", "--output", "json").object["tasks"]
    assert [planned[name]["action"] for name in tasks] == ["blocked", "blocked"]
    assert planned["lacks"]["reasons"][0]["code"] == "unsatisfiable:license"
    with_license = weft(tmp_path, "plan", "plan.json", "--resources", "license=1", "--output", "json").object["tasks"]
    assert [with_license[name]["action"] for name in tasks] == ["run", "run"]


def test_the_report_says_what_an_unmet_requirement_lacks(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").touch()
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"a": {"command": ["true"], "requires": {"match": ["d/*.txt"]}}}})
    answer = weft(tmp_path, "run", "plan.json")
    assert answer.code == 1
    assert "skipped   a  unmet:match:d/*.txt  (" in answer.out and "'glob:d/*.txt'" in answer.out


def test_instances_are_named_by_their_items_everywhere(tmp_path: Path) -> None:
    task = {"command": ["echo", "{x}"], "foreach": {"values": ["red", "blue"], "as": "x"}}
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"m": task}})
    events = weft(tmp_path, "run", "plan.json", "--output", "json").events
    starts = [(one["instance"], one["item"]) for one in events if one["event"] == "task_started"]
    assert names(events, "task_started") == ["m", "m"] and sorted(starts) == [(0, "red"), (1, "blue")]
    attempts = weft(tmp_path, "show", "m", "--output", "json").object["attempts"]
    assert [one["item"] for one in attempts] == ["red", "blue"]
    (one,) = weft(tmp_path, "show", "m[blue]", "--output", "json").object["attempts"]
    assert one["item"] == "blue"
    assert weft(tmp_path, "explain", "m[blue]", "--output", "json").object["task"] == "m"
    assert weft(tmp_path, "show", "m[bleu]").code == 2
    assert weft(tmp_path, "logs", "m[blue]").out == "blue\n"


def test_explain_always_gives_a_reason(tmp_path: Path) -> None:
    tasks = {
        "plain": {"command": ["true"]},
        "kept": {"shell": "echo > out", "outputs": ["out"]},
        "never": {"command": ["true"], "cache": "never"},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    for expected in ("never_ran", "cached"):
        assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
        codes = [weft(tmp_path, "explain", name, "--output", "json").object["reasons"][0]["code"] for name in tasks]
        assert codes == ["not_cacheable", expected, "not_cacheable"]


def test_marks_that_turn_the_reading_order_are_shown_escaped_in_a_pipe_too(tmp_path: Path) -> None:
    name = "\u202eevil"
    write(tmp_path, "plan.json", [{"name": name, "type": "exec", "arguments": "true"}])
    answer = weft(tmp_path, "run", "plan.json")
    assert "Started: \\u202eevil\n" in answer.out and name not in answer.out + answer.err
    assert name not in weft(tmp_path, "status").out and name not in weft(tmp_path, "plan", "plan.json").out
    assert weft(tmp_path, "show", name, "--output", "json").object["task"] == name


def test_a_root_that_does_not_exist_is_refused_and_not_made(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", {"tasks": []})
    answer = weft(tmp_path, "run", "plan.json", "--root", "nothing")
    assert answer.code == 2 and "nothing" in answer.err and not (tmp_path / "nothing").exists()


def test_junk_of_one_line_is_refused_at_once(tmp_path: Path) -> None:
    for text in ("a" * (20 << 20), 'x = "' + "a" * (20 << 20)):
        write(tmp_path, "plan.toml", text)
        (error,) = weft(tmp_path, "validate", "plan.toml", "--output", "json").object["errors"]
        assert error["code"] == "parse.syntax" and error["line"] == 1


def test_a_thousand_repeated_keys_are_enough(tmp_path: Path) -> None:
    write(tmp_path, "plan.yaml", "a: b\n" * 5_000)
    write(tmp_path, "plan.json", "{" + '"a": 1,' * 5_000 + '"weft": 1}')
    for name in ("plan.yaml", "plan.json"):
        errors = weft(tmp_path, "validate", name, "--output", "json").object["errors"]
        assert sum(one["code"] == "parse.duplicate_key" for one in errors) == 1_000


def test_compile_is_idempotent_with_defaults_templates_and_null_limits(tmp_path: Path) -> None:
    plan = {
        "weft": 1,
        "defaults": {"timeout": "1h", "parameters": {"q": 1}, "resources": {"memory": "1G"}},
        "templates": {"t": {"command": ["echo", "{q}", "{w}"], "parameters": {"w": 0}, "timeout": None}},
        "tasks": {
            "a": {"template": "t", "parameters": {"w": 2, "v": 3}},
            "b": {"template": "t", "timeout": 5},
            "c": {"command": ["true"], "timeout": None},
            "d": {"command": ["true"]},
        },
    }
    write(tmp_path, "plan.json", plan)
    once = weft(tmp_path, "compile", "plan.json")
    compiled = json.loads(once.out)["tasks"]
    assert [compiled[name]["timeout"] for name in "abcd"] == [None, 5, None, 3600]
    assert list(compiled["a"]["parameters"].items()) == [("q", 1), ("w", 2), ("v", 3)]
    write(tmp_path, "once.json", once.out)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert weft(elsewhere, "compile", "../once.json", env={"PYTHONHASHSEED": "7", "LC_ALL": "C"}).out == once.out


@pytest.mark.parametrize(
    ("tasks", "location"),
    [
        (
            {"a": {"command": ["x"]}, "b": {"command": ["x"], "dependencies": [{"name": "a", "as": "p"}]}},
            "b/dependencies/0",
        ),
        ({"a": {"command": ["x"]}, "b": {"command": ["x"], "foreach": {"stream": "a", "as": "p"}}}, "b"),
        ({"a": {"command": ["x"], "product": "return"}}, "a/product"),
    ],
)
def test_a_product_that_nobody_makes_is_told_before_the_run(
    tmp_path: Path, tasks: dict[str, object], location: str
) -> None:
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    (error,) = weft(tmp_path, "run", "plan.json", "--output", "json").object["errors"]
    assert (error["code"], error["location"]) == ("shape.conflict", f"/tasks/{location}")


def test_files_are_completed_where_a_file_is_meant(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "weft run ", "COMP_CWORD": "2", "_WEFT_COMPLETE": "bash_complete"}
    assert weft(tmp_path, env=words).out.startswith("file,")


def test_parameters_named_like_secrets_are_covered_and_draw_a_warning_in_arguments(tmp_path: Path) -> None:
    plan = {
        "weft": 1,
        "tasks": {
            "a": {
                "command": ["sh", "-c", ": > out", "{api_key}", {"expand": "$DB_PASSWORD"}],
                "parameters": {"api_key": "canary-1", "n": 1},
                "outputs": ["out"],
            }
        },
    }
    write(tmp_path, "plan.json", plan)
    warned = weft(tmp_path, "validate", "plan.json", "--output", "json").object["warnings"]
    assert [(one["code"], one["location"]) for one in warned] == [
        ("secret", "/tasks/a/command/3"),
        ("secret", "/tasks/a/command/4"),
    ]
    assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    shown = weft(tmp_path, "show", "a", "--output", "json").object["parameters"]
    assert shown["n"] == 1 and "canary" not in shown["api_key"]
    write(tmp_path, "plan.json", json.loads(json.dumps(plan).replace("canary-1", "canary-2")))
    planned = weft(tmp_path, "plan", "plan.json", "--output", "json")
    assert planned.object["tasks"]["a"]["reasons"][0]["part"] == "parameters:api_key" and "canary" not in planned.out
    assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    assert "canary" not in weft(tmp_path, "explain", "a").out


def test_validate_tells_what_a_run_would_refuse_or_cut(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text('[queues.short]\nmemory = "1G"\n[clusters]\nmine = "local"\n', encoding="utf-8")
    tasks = {
        "a": {"command": ["true"], "executor": "mars"},
        "b": {"command": ["true"], "executor": "mine"},
        "c": {"command": ["true"], "executor": "slurm"},
        "d": {"command": ["true"], "queue": "short", "resources": {"memory": "2G"}},
    }
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    refused = weft(tmp_path, "validate", "plan.json", "--output", "json")
    assert refused.code == 2
    told = [(error["code"], error["location"]) for error in refused.object["errors"]]
    assert told == [("executor", "/tasks/a/executor"), ("executor", "/tasks/c/executor")]
    assert all("[clusters]" in error["hint"] for error in refused.object["errors"])
    assert all(error["line"] for error in refused.object["errors"])
    assert weft(tmp_path, "run", "plan.json", "--output", "json").code == 2
    for verb in ("validate", "run"):  # what runs nothing takes all tasks, whatever they name
        assert weft(tmp_path, verb, "plan.json", "--executor", "noop", "--output", "json").code == 0
    del tasks["a"], tasks["c"]
    plan.write_text(json.dumps({"weft": 1, "tasks": tasks}), encoding="utf-8")
    cut = weft(tmp_path, "validate", "plan.json", "--output", "json")
    (warning,) = cut.object["warnings"]
    assert (cut.code, warning["code"], warning["location"]) == (0, "queue", "/tasks/d/queue")
    assert "memory 2G of 1G; it is cut to that" in warning["message"]
    assert weft(tmp_path, "validate", "plan.json", "--strict").code == 2
