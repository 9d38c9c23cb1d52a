"""The commands that ask about plans and runs: their text, their JSON, their RUN arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import Running, is_golden, weft, write

PLAN = {
    "weft": 1,
    "name": "survey",
    "tasks": {
        "tile": {"shell": "echo tiles; echo careful >&2"},
        "fit": {"shell": "echo attempt $WEFT_ATTEMPT; exit 3", "dependencies": ["tile"], "max_attempts": 2},
        "draw": {"command": ["echo", "drawn"], "dependencies": ["fit"]},
        "count": {"shell": "printf '{\"n\": 3}'", "product": "json"},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which PLAN was run once."""
    write(tmp_path, "plan.json", PLAN)
    assert weft(tmp_path, "run", "plan.json", "-j1", "--output", "quiet").code == 1
    return tmp_path


def test_status_shows_every_task_and_what_to_do_next(folder: Path) -> None:
    is_golden("status.txt", weft(folder, "status"), folder, measured=True)


def test_status_as_json_has_the_shape_of_the_design(folder: Path) -> None:
    status = weft(folder, "status", "--output", "json").object
    assert {"run", "plan", "state", "started", "seconds", "counts", "tasks"} <= set(status)
    assert (status["plan"], status["state"]) == ("survey", "failed")
    assert status["counts"]["ok"] == 2 and status["counts"]["failed"] == status["counts"]["skipped"] == 1
    assert status["tasks"]["fit"]["attempts"] == 2 and status["tasks"]["fit"]["cause"] == "exit:3"
    assert status["tasks"]["draw"]["cause"] == "dependency:fit"


def test_a_plan_from_standard_input_is_called_as_it_was_named(tmp_path: Path) -> None:
    given = json.dumps([{"name": "a", "type": "exec", "arguments": "test -e go"}])
    assert weft(tmp_path, "run", "-", stdin=given).code == 1
    assert weft(tmp_path, "status", "--output", "json").object["plan"] == "-"
    assert weft(tmp_path, "status").out.splitlines()[0].endswith("  failed  -")
    (tmp_path / "go").touch()
    assert weft(tmp_path, "resume").code == 0


@pytest.mark.parametrize("as_run", ["last", "-1", "id", "prefix"])
def test_a_run_is_named_by_id_prefix_last_or_count(folder: Path, as_run: str) -> None:
    run = weft(folder, "status", "--output", "json").object["run"]
    word = {"id": run, "prefix": run[:8]}.get(as_run, as_run)
    assert weft(folder, "status", word, "--output", "json").object["run"] == run
    assert weft(folder, "logs", word, "tile").out == "tiles\ncareful\n"
    assert weft(folder, "explain", word, "fit", "--output", "json").object["run"] == run


def test_the_run_before_the_last_is_minus_two(folder: Path) -> None:
    first = weft(folder, "status", "--output", "json").object["run"]
    weft(folder, "run", "plan.json", "--output", "quiet")
    assert weft(folder, "status", "-2", "--output", "json").object["run"] == first
    assert weft(folder, "status", "-3").code == 2


def test_show_has_the_command_as_it_was_started_and_amounts_with_units(tmp_path: Path) -> None:
    task = {
        "command": ["printf", "%s %s", "{place}", "{year}{{}}", "{api_token}"],
        "parameters": {"place": "two words", "api_token": "hush"},
        "resources": {"memory": "64M", "concurrency:fit": 1},
        "timeout": "90s",
    }
    plan = {"weft": 1, "limits": {"concurrency:fit": 2}, "options": {"year": {"default": 7}}, "tasks": {"a": task}}
    write(tmp_path, "plan.json", plan)
    assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    shown = weft(tmp_path, "show", "a").out
    assert "  command: printf '%s %s' 'two words' '7{}' '********'\n" in shown
    assert "  parameters: place=two words, api_token=********\n" in shown
    assert "  resources: cores=1, memory=64M\n" in shown
    assert " cores=1 memory=64M timeout=1m 30s" in shown
    used = weft(tmp_path, "usage").out
    assert "cores=1 memory=64M" in used and "concurrency" not in shown + used
    in_json = weft(tmp_path, "show", "a", "--output", "json").object
    assert in_json["resources"] == {"concurrency:fit": 1, "cores": 1, "memory": 64 * 2**20}
    assert in_json["action"]["command"][2] == "{place}"


def test_what_was_up_to_date_has_no_attempts_and_show_says_why(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"a": {"command": ["true"], "cache": "always"}}})
    for _ in range(2):
        assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    assert weft(tmp_path, "show", "a").out.endswith("no attempts in this run: it was up to date\n")


def test_show_tells_what_a_task_is_and_each_attempt(folder: Path) -> None:
    is_golden("show.txt", weft(folder, "show", "fit"), folder, measured=True)
    shown = weft(folder, "show", "fit", "--output", "json").object
    assert (
        list(shown["action"]) == ["shell"] and shown["dependencies"] == ["tile"] and shown["resources"] == {"cores": 1}
    )
    assert [(one["attempt"], one["state"], one["cause"], one["exit_code"]) for one in shown["attempts"]] == [
        (1, "failed", "exit:3", 3),
        (2, "failed", "exit:3", 3),
    ]
    assert {"started", "seconds", "cpu_seconds", "memory", "request", "queue", "log"} <= set(shown["attempts"][0])
    assert shown["attempts"][0]["request"]["cores"] == 1


def test_show_writes_a_product(folder: Path) -> None:
    assert json.loads(weft(folder, "show", "count", "--product").out) == {"n": 3}
    none = weft(folder, "show", "tile", "--product")
    assert none.code == 2 and "has no product" in none.err


def test_show_writes_the_product_that_stood_in_for_a_cached_task(tmp_path: Path) -> None:
    totals = {"shell": "echo '{\"n\": 3}'", "product": "json", "cache": "always"}
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"totals": totals}})
    weft(tmp_path, "run", "plan.json")
    assert weft(tmp_path, "run", "plan.json", "--output", "json").events[-1]["counts"]["cached"] == 1
    assert json.loads(weft(tmp_path, "show", "totals", "--product").out) == {"n": 3}


def test_show_writes_all_products_of_a_mapped_task_or_one(tmp_path: Path) -> None:
    square = {"python": "print(n * n)", "foreach": {"values": [2, 3], "as": "n"}, "product": "json"}
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {"square": square}})
    weft(tmp_path, "run", "plan.json")
    assert json.loads(weft(tmp_path, "show", "square", "--product").out) == [4, 9]
    assert json.loads(weft(tmp_path, "show", "square[3]", "--product").out) == 9


def test_logs_are_the_bytes_that_were_written(folder: Path) -> None:
    assert weft(folder, "logs", "tile", "--stderr").out == "careful\n"
    assert weft(folder, "logs", "tile", "--stdout").out == "tiles\n"
    assert weft(folder, "logs", "fit").out == "attempt 2\n"
    assert weft(folder, "logs", "fit", "--attempt", "1").out == "attempt 1\n"
    assert weft(folder, "logs", "fit", "-f").out == "attempt 2\n"
    logs = weft(folder, "logs", "tile", "--output", "json").object
    assert (logs["stdout"], logs["stderr"], logs["attempt"]) == ("tiles\n", "careful\n", 1)


def test_logs_of_what_never_ran_say_so(folder: Path) -> None:
    is_golden("logs_of_skipped.txt", weft(folder, "logs", "draw"), folder)
    assert "did you mean 'draw'?" in weft(folder, "logs", "drwa").err


def test_a_log_that_was_removed_is_said_to_be_gone(folder: Path) -> None:
    for path in sorted((folder / ".weft/logs").rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()
    answer = weft(folder, "logs", "tile")
    assert answer.code == 3 and "gone" in answer.err and "Traceback" not in answer.err


def test_usage_has_tasks_and_kinds(folder: Path) -> None:
    usage = weft(folder, "usage", "--output", "json").object
    assert set(usage) == {"run", "tasks", "templates"}
    assert {"seconds", "cpu_seconds", "memory", "request"} <= set(usage["tasks"]["fit"])
    assert usage["tasks"]["fit"]["request"]["cores"] == 1 and usage["tasks"]["draw"]["request"] is None
    text = weft(folder, "usage").out
    assert text.startswith("TASK ") and "\nfit " in text


def test_explain_gives_reasons_and_history(folder: Path) -> None:
    explained = weft(folder, "explain", "draw", "--output", "json").object
    assert explained["task"] == "draw" and explained["state"] == "skipped"
    assert {"action", "reasons", "history"} <= set(explained)
    assert all({"code", "text"} <= set(reason) for reason in explained["reasons"])
    assert "fit" in weft(folder, "explain", "draw").out


def test_the_history_of_a_task_leaves_out_runs_that_it_took_no_part_in(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", {"weft": 1, "tasks": {name: {"shell": "true"} for name in "abcde"}})
    for words in ((), ("--select", "b,c"), ("--select", "a,d,e")):
        assert weft(tmp_path, "run", "plan.json", *words).code == 0
    for task, states in (("a", 2), ("b", 2), ("c", 2), ("e", 2)):
        run = "-2" if task in "bc" else "-1"
        history = weft(tmp_path, "explain", "--output", "json", "--", run, task).object["history"]
        assert [episode["state"] for episode in history] == ["ok"] * states


def test_validate_says_ok_or_everything_that_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", PLAN)
    assert weft(tmp_path, "validate", "plan.json").out == "ok: 4 tasks\n"
    assert weft(tmp_path, "validate", "plan.json", "--output", "json").object["tasks"] == 4


def test_compile_is_idempotent_and_goes_where_it_is_told(tmp_path: Path) -> None:
    write(tmp_path, "plan.json", PLAN)
    answer = weft(tmp_path, "compile", "plan.json", "-O", "out.json")
    assert answer.code == 0 and answer.out == ""
    once = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert weft(tmp_path, "compile", "out.json").out == once == weft(tmp_path, "compile", "plan.json").out
    assert weft(tmp_path, "compile", "plan.json", "-O", "nowhere/out.json").code == 2


@pytest.mark.parametrize(
    ("kind", "start"),
    [("text", "4 tasks"), ("dot", "digraph"), ("mermaid", "flowchart"), ("svg", "<svg"), ("json", "{")],
)
def test_graphs_come_in_every_form_and_by_the_states_of_a_run(folder: Path, kind: str, start: str) -> None:
    plain = weft(folder, "graph", "plan.json", "--as", kind)
    assert plain.code == 0 and start in plain.out
    coloured = weft(folder, "graph", "plan.json", "--as", kind, "--run", "last")
    assert coloured.code == 0 and coloured.out != plain.out


def test_graph_as_json_has_tasks_and_edges(folder: Path) -> None:
    graph = weft(folder, "graph", "plan.json", "--output", "json").object
    assert list(graph["tasks"]) == ["tile", "fit", "draw", "count"]
    assert graph["edges"] == [
        {"from": "tile", "to": "fit", "as": None, "each": False},
        {"from": "fit", "to": "draw", "as": None, "each": False},
    ]


def test_retry_runs_the_named_tasks_and_what_follows(folder: Path) -> None:
    assert weft(folder, "retry", "fit", "--failed").code == 2
    (folder / "plan.json").write_text((folder / "plan.json").read_text().replace("exit 3", "true"))
    answer = weft(folder, "retry", "--failed", "--output", "json")
    assert answer.code == 0
    assert answer.events[-1]["counts"] == {"ok": 4, "failed": 0, "skipped": 0, "cancelled": 0, "cached": 0}
    assert {e["task"] for e in answer.events if e["event"] == "task_started"} == {"fit", "draw"}


def test_resume_of_a_run_in_which_all_is_ok_says_so(folder: Path) -> None:
    (folder / "plan.json").write_text((folder / "plan.json").read_text().replace("exit 3", "true"))
    assert weft(folder, "resume", "--output", "quiet").code == 0
    again = weft(folder, "resume")
    assert again.code == 0 and "4 tasks: 4 ok" in again.out
    assert "Started" not in again.out


def test_cancel_of_a_dead_run_is_told(folder: Path) -> None:
    answer = weft(folder, "cancel", "--output", "json")
    assert answer.code == 0 and answer.object["live"] is False
    assert weft(folder, "cancel", "nope").code == 2


def test_a_cancelled_run_goes_on_only_by_retry_and_says_so(tmp_path: Path) -> None:
    tasks = {
        "one": {"shell": "until test -e go; do sleep 0.02; done"},
        "two": {"shell": "true", "dependencies": ["one"]},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    with Running(tmp_path, "run", "plan.json", "--output", "json") as running:
        running.wait_for("task_started")
        explained = weft(tmp_path, "explain", "one", "--output", "json").object
        assert explained["state"] == "running" and explained["history"][0]["state"] == "running"
        answer = weft(tmp_path, "cancel", "--output", "json").object
        assert answer["live"] is True and answer["tasks"] is None
        events = running.end()
    assert events[-1]["event"] == "run_ended" and events[-1]["counts"]["cancelled"] == 2
    assert "weft retry" in weft(tmp_path, "status").out
    (tmp_path / "go").touch()
    assert weft(tmp_path, "resume", "--output", "json").events[-1]["counts"]["cancelled"] == 2
    assert weft(tmp_path, "retry", "--output", "json").events[-1]["counts"]["ok"] == 2


def test_what_keeps_a_task_that_waits_is_told_from_another_terminal(tmp_path: Path) -> None:
    tasks = {
        "again": {"shell": "exit 3", "max_attempts": 2, "retry_delay": "1h", "priority": 2},
        "holder": {"shell": "until test -e go; do sleep 0.02; done", "priority": 1},
        "turn": {"shell": "true"},
        "file": {"shell": "true", "requires": {"files": ["later.txt"]}},
        "after": {"shell": "true", "dependencies": ["holder"]},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})

    def reasons(task: str) -> list[tuple[str, str]]:
        found = weft(tmp_path, "explain", task, "--output", "json").object["reasons"]
        return [(reason["code"], reason["text"]) for reason in found]

    with Running(tmp_path, "run", "plan.json", "-j1", "--wait", "1h", "--output", "json") as running:
        running.wait_for('"task_ended"')
        running.wait_for('"task": "holder"')
        assert reasons("again") == [("retry", "attempt 1 ended with exit:3; it is tried again, 1h after that")]
        ((code, text),) = reasons("turn")
        assert code == "turn" and "asks for cores=1, and 1 attempt of this run holds cores=1" in text
        ((code, text),) = reasons("file")
        assert code == "requirement" and "later.txt does not exist" in text
        assert reasons("after") == [("waits", "waits for holder, which is running")]
        counts = weft(tmp_path, "status", "--output", "json").object["counts"]
        assert (counts["running"], counts["pending"]) == (1, 4)
        assert weft(tmp_path, "cancel", "--force").code == 0
        running.end()


def test_logs_follow_an_attempt_to_its_end(tmp_path: Path) -> None:
    write(
        tmp_path,
        "plan.json",
        {"weft": 1, "tasks": {"a": {"shell": "echo one; until test -e go; do sleep 0.02; done; echo two"}}},
    )
    with Running(tmp_path, "run", "plan.json", "--output", "json") as running:
        running.wait_for("task_started")
        with Running(tmp_path, "logs", "-f", "a") as following:
            following.wait_for("one")
            assert weft(tmp_path, "status", "--output", "json").object["tasks"]["a"]["state"] == "running"
            (tmp_path / "go").touch()
            assert following.rest() == "two\n"
        running.end()


def test_doctor_shows_each_setting_and_where_it_comes_from(folder: Path) -> None:
    write(folder, "weft.toml", "timeout = '5min'\n")
    doctor = weft(folder, "doctor", "-j", "3", "--output", "json", env={"WEFT_FAIL_FAST": "1"}).object
    assert doctor["settings"]["jobs"] == {"value": "3", "origin": "--jobs"}
    assert doctor["settings"]["fail_fast"] == {"value": "true", "origin": "WEFT_FAIL_FAST"}
    assert doctor["settings"]["timeout"] == {"value": "300.0", "origin": f"{folder}/weft.toml: timeout"}
    assert doctor["settings"]["cache"]["origin"] == "default"
    assert doctor["findings"]
    assert "FROM" in weft(folder, "doctor").out


def test_doctor_lists_failpoints(folder: Path) -> None:
    points = weft(folder, "doctor", "--failpoints", "--output", "json").object["failpoints"]
    assert points and all(points.values())


def test_schema_is_a_json_schema(tmp_path: Path) -> None:
    assert weft(tmp_path, "schema").object["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(tmp_path: Path, shell: str) -> None:
    assert "_WEFT_COMPLETE" in weft(tmp_path, "completion", shell).out


def test_completion_gives_commands_and_options(tmp_path: Path) -> None:
    variables = {"_WEFT_COMPLETE": "bash_complete", "COMP_WORDS": "weft re", "COMP_CWORD": "1"}
    assert weft(tmp_path, env=variables).out.split() == ["plain,resume", "plain,retry"]
