"""`weft run` as people and programs see it: the founding document, JSON lines, exit codes, pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import environment, is_golden, names, weft, write

TASKLIST = {
    "tasks": [
        {"name": "words", "type": "exec", "arguments": "printf 'red\ngreen\n' > words.txt"},
        {
            "name": "lengths",
            "type": "eval",
            "arguments": "words = open('words.txt').read().split()\nprint({w: len(w) for w in words})",
            "dependencies": ["words"],
            "timeout": "5s",
        },
        {"name": "broken", "type": "exec", "arguments": "echo out; echo lost >&2; exit 7"},
        {"name": "never", "type": "exec", "arguments": "echo unseen", "dependencies": ["broken", "lengths"]},
    ]
}


def test_the_founding_document_runs_as_its_seed_tells(tmp_path: Path) -> None:
    write(tmp_path, "input1.json", TASKLIST)
    write(tmp_path, "schema.json", {"type": "object", "required": ["tasks"]})
    answer = weft(tmp_path, "run", "--input", "input1.json", "--schema", "schema.json", "-j", "1")
    is_golden("run_tasklist.txt", answer, tmp_path, measured=True)


def test_a_plain_path_is_the_same_plan_and_python_m_weft_the_same_command(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", TASKLIST)
    script = Path(sys.executable).with_name("weft")
    done = subprocess.run(
        [script, "run", "plan.json", "-j1"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.decode().startswith("Started: words\nEnded : words\n")


def test_json_lines_tell_the_whole_run(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", TASKLIST)
    answer = weft(tmp_path, "run", "plan.json", "--output", "json")
    events = answer.events
    assert answer.code == 1
    assert {event["v"] for event in events} == {1}
    assert events[0]["event"] == "run_started" and events[0]["tasks"] == 4
    assert sorted(names(events, "task_started")) == ["broken", "lengths", "words"]
    assert sorted(names(events, "task_ended")) == ["broken", "lengths", "never", "words"]
    last = events[-1]
    assert last["event"] == "run_ended" and last["exit_code"] == 1 and last["state"] == "failed"
    assert last["counts"] == {"ok": 2, "failed": 1, "skipped": 1, "cancelled": 0, "cached": 0}
    assert {name: entry["state"] for name, entry in last["tasks"].items()} == {
        "words": "ok",
        "lengths": "ok",
        "broken": "failed",
        "never": "skipped",
    }
    assert last["tasks"]["never"]["cause"] == "dependency:broken"


def test_followed_output_comes_before_the_end_of_its_task(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", TASKLIST)
    events = weft(tmp_path, "run", "plan.json", "--output", "json", "--follow").events
    for name, stream, text in (("broken", "stderr", "lost\n"), ("lengths", "stdout", "{'red': 3, 'green': 5}\n")):
        output = [e for e in events if e["event"] == "task_output" and (e["task"], e["stream"]) == (name, stream)]
        assert "".join(event["text"] for event in output) == text
        end = next(e for e in events if e["event"] == "task_ended" and e["task"] == name)
        assert events.index(output[-1]) < events.index(end)
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_quiet_prints_nothing_but_errors(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", TASKLIST)
    answer = weft(tmp_path, "run", "plan.json", "--output", "quiet")
    assert (answer.out, answer.err, answer.code) == ("", "weft: task 'broken' failed: exit:7\n", 1)


def test_a_run_in_which_all_is_ok_exits_with_zero(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"a": {"command": ["true"]}}})
    assert weft(tmp_path, "run", "plan.json").code == 0


@pytest.mark.parametrize("document", ['{"tasks": []}', "[]"])
def test_an_empty_plan_is_ok(tmp_path: Path, document: str) -> None:
    write(tmp_path, "plan.json", document)
    answer = weft(tmp_path, "run", "plan.json")
    assert answer.code == 0 and "0 tasks: 0 ok" in answer.out


def test_a_plan_may_come_by_standard_input(tmp_path: Path) -> None:
    answer = weft(tmp_path, "run", "-", "--output", "json", stdin=json.dumps(TASKLIST))
    assert answer.code == 1 and answer.events[-1]["counts"]["ok"] == 2


def test_nobody_reading_ends_the_printing_and_not_the_run(tmp_path: Path) -> None:
    tasks = {f"t{number}": {"shell": "echo x >> ledger; echo hello"} for number in range(50)}
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "weft", "run", "plan.json"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert len((tmp_path / "ledger").read_text().splitlines()) == 50
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


def test_dry_run_and_plan_say_the_same_and_run_nothing(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"a": {"shell": "touch made", "outputs": ["made"]}}})
    plan = weft(tmp_path, "plan", "plan.json", "--output", "json")
    assert plan.object["tasks"]["a"]["action"] == "run" and plan.object["tasks"]["a"]["reasons"]
    assert weft(tmp_path, "run", "-n", "plan.json", "--output", "json").object == plan.object
    assert not (tmp_path / "made").exists() and not (tmp_path / ".weft").exists()
    assert weft(tmp_path, "run", "plan.json").code == 0
    assert weft(tmp_path, "plan", "plan.json", "--output", "json").object["tasks"]["a"]["action"] == "cached"


def test_dry_run_and_run_miss_the_same_of_what_is_not_selected(tmp_path: Path) -> None:
    tasks = {
        "file": {"shell": "touch made", "outputs": ["made"]},
        "value": {"shell": "echo 1", "product": "json"},
        "last": {"command": ["echo", "{v}"], "dependencies": ["file", {"name": "value", "as": "v"}]},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    run, plan = (weft(tmp_path, verb, "plan.json", "--select", "last") for verb in ("run", "plan"))
    assert run.code == plan.code == 2 and run.err == plan.err
    assert plan.err.count("[select.missing]") == 2 and "--select '+last'" in plan.err
    assert not (tmp_path / ".weft").exists()
    assert weft(tmp_path, "run", "plan.json").code == 0
    assert weft(tmp_path, "plan", "plan.json", "--select", "last").code == 0


def test_settings_come_from_the_folder_of_the_plan(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner, "plan.json", {"weft": 1, "tasks": {"a": {"command": ["true"]}}})
    write(inner, "weft.toml", "output = 'json'\nstate = 'kept'\n")
    answer = weft(tmp_path, "run", "inner/plan.json")
    assert answer.events[-1]["event"] == "run_ended"
    assert (inner / "kept" / "weft.db").is_file()


def test_options_come_from_flags_and_files(tmp_path: Path) -> None:
    plan = {
        "weft": 1,
        "options": {"season": {"type": "str"}, "year": {"type": "int"}},
        "tasks": {"a": {"command": ["echo", "{season}", "{year}"]}},
    }
    write(tmp_path, "plan.json", plan)
    write(tmp_path, "values.toml", "season = 'spring'\nyear = 2030\n")
    answer = weft(tmp_path, "run", "plan.json", "--options-file", "values.toml", "-o", "season=autumn")
    assert "autumn 2030\n" in answer.out


def test_c_goes_to_a_folder_first(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner, "plan.json", {"weft": 1, "tasks": {"a": {"command": ["pwd"]}}})
    for words in (("-C", "inner", "run", "plan.json"), ("run", "-C", "inner", "plan.json")):
        assert f"\n{inner}\n" in weft(tmp_path, *words).out


def test_the_noop_executor_ends_everything_as_ok(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", TASKLIST)
    answer = weft(tmp_path, "run", "plan.json", "--executor", "noop", "--output", "json")
    assert answer.code == 0 and answer.events[-1]["counts"]["ok"] == 4
    assert not (tmp_path / "words.txt").exists()


def test_values_of_variables_named_like_a_secret_are_not_shown(tmp_path: Path) -> None:
    tasks = {"leak": {"shell": "echo before $DB_PASSWORD after; echo $DB_PASSWORD >&2; exit 1"}}
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    secret = {"DB_PASSWORD": "canary-2f7a"}
    for words in (("run", "plan.json"), ("run", "plan.json", "--output", "json", "--follow"), ("logs", "leak")):
        answer = weft(tmp_path, *words, env=secret)
        assert "before *********** after" in answer.out
        assert "canary" not in answer.out + answer.err
