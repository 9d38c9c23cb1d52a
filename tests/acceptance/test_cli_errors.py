"""Every error says what happened, where, and what to do next; as text, as JSON, with its exit code, without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import is_golden, weft, write

GOOD = {"weft": 1, "tasks": {"a": {"command": ["true"]}}}
BAD = {"weft": 1, "tasks": {"fit": {"shell": "true", "dependencies": ["ftch"]}, "fetch": {"shel": "true"}}}

CASES = {
    "unknown_option": ["run", "--jbos", "3", "plan.json"],
    "unknown_command": ["rnu", "plan.json"],
    "later_command": ["ui"],
    "no_plan": ["run"],
    "missing_plan": ["run", "plam.json"],
    "plan_is_folder": ["run", "."],
    "bad_jobs": ["run", "-j", "0", "plan.json"],
    "bad_resources": ["run", "--resources", "memory=lots", "plan.json"],
    "bad_timeout": ["run", "--timeout", "soon", "plan.json"],
    "bad_output": ["run", "--output", "xml", "plan.json"],
    "later_executor": ["run", "--executor", "slurm", "plan.json"],
    "unknown_executor": ["run", "--executor", "locl", "plan.json"],
    "later_store": ["run", "--store", "postgresql://me:secret@host/db", "plan.json"],
    "bad_option": ["run", "-o", "nonsense", "plan.json"],
    "undeclared_option": ["run", "-o", "a.b=1", "plan.json"],
    "bad_selection": ["run", "--select", "b", "plan.json"],
    "bad_folder": ["-C", "nowhere", "run", "plan.json"],
    "bad_plan": ["run", "bad.json"],
    "bad_graph_kind": ["graph", "--as", "dott", "plan.json"],
    "bad_shell": ["completion", "csh"],
    "no_state": ["status"],
    "no_state_given": ["status", "--state", "nowhere"],
    "bad_options_file": ["run", "--options-file", "values.ini", "plan.json"],
}


@pytest.mark.parametrize("name", CASES)
def test_the_error_is_the_golden_one(name: str, tmp_path: Path) -> None:
    write(tmp_path, "plan.json", GOOD)
    write(tmp_path, "bad.json", BAD)
    is_golden(f"error_{name}.txt", weft(tmp_path, *CASES[name]), tmp_path)


@pytest.mark.parametrize("name", [name for name in CASES if name != "bad_output"])
def test_with_json_output_the_error_is_one_event(name: str, tmp_path: Path) -> None:
    write(tmp_path, "plan.json", GOOD)
    write(tmp_path, "bad.json", BAD)
    text = weft(tmp_path, *CASES[name])
    answer = weft(tmp_path, *CASES[name], "--output", "json")
    assert answer.code == text.code
    (event,) = answer.events
    assert (event["v"], event["event"]) == (1, "error")
    assert event["errors"]
    for error in event["errors"]:
        assert list(error) == ["code", "message", "file", "location", "line", "column", "hint"]
    assert "Traceback" not in answer.err


def test_nothing_is_run_and_no_state_made_when_a_plan_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, "bad.json", BAD)
    assert weft(tmp_path, "run", "bad.json").code == 2
    assert not (tmp_path / ".weft").exists()


def test_a_bad_settings_file_is_named_with_its_key(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", GOOD)
    write(tmp_path, "weft.toml", "jobs = 'many'\n")
    is_golden("error_bad_setting.txt", weft(tmp_path, "run", "plan.json"), tmp_path)


def test_an_unknown_setting_is_a_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", GOOD)
    write(tmp_path, "weft.toml", "job = 2\n")
    answer = weft(tmp_path, "run", "plan.json")
    assert answer.code == 0
    assert "warning: " in answer.err and "did you mean 'jobs'?" in answer.err


def test_a_store_that_is_no_database_is_exit_three(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", GOOD)
    (tmp_path / ".weft").mkdir(mode=0o700)
    (tmp_path / ".weft/weft.db").write_bytes(b"junk" * 2000)
    for words in (("status",), ("run", "plan.json")):
        answer = weft(tmp_path, *words)
        assert answer.code == 3 and "Traceback" not in answer.err


def test_our_own_bug_is_reported_shortly_and_in_full_on_demand(tmp_path: Path) -> None:
    # The one way to have a bug at hand: a module of the standard library that is broken for this command only.
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tomllib.py").write_text("raise RuntimeError('planted')\n")
    write(tmp_path, "weft.toml", "jobs = 1\n")
    short = weft(tmp_path, "doctor", env={"PYTHONPATH": str(broken)})
    assert short.code == 70 and "RuntimeError: planted" in short.err and "report" in short.err
    assert "Traceback" not in short.err
    full = weft(tmp_path, "doctor", env={"PYTHONPATH": str(broken), "WEFT_DEBUG": "1"})
    assert full.code == 70 and "Traceback" in full.err
