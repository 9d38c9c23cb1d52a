"""Values of variables are not in the state folder: who resumes reads the plan again, or is told what is missing."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.weft_process import Weft, clean_environment
from weft.formats.snapshot import restore
from weft.store.archive import SqliteArchive

TOKEN = "canary-4711-token"
PLAIN = "canary-0815-plain"
PLAN: dict[str, Any] = {
    "envs": {"e": {"variables": {"API_TOKEN": TOKEN, "REGION": PLAIN, "COPY": "$API_TOKEN"}}},
    "jobs": {
        "first": {"env": "e", "command": ["sh", "-c", 'echo "$API_TOKEN"']},
        "second": {"env": "e", "shell": True, "command": 'test -e go && echo "$REGION"', "dependencies": ["first"]},
        "third": {"command": ["true"], "dependencies": ["second"]},
    },
}


def write(weft: Weft, plan: dict[str, Any] = PLAN) -> None:
    (weft.folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def recorded(folder: Path) -> str:
    """Everything that the store holds of the last run's plan."""
    with SqliteArchive(str(folder / ".weft")) as archive:
        return repr(restore(archive.snapshot(archive.find("last").run)))


def from_standard_input(weft: Weft) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        weft.command("run", "-"),
        cwd=weft.folder,
        env=clean_environment(),
        input=json.dumps(PLAN),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def forms(value: str) -> list[bytes]:
    return [value.encode(), base64.b64encode(value.encode())[:-4]]


def test_no_value_is_in_the_state_folder_and_a_resume_has_them_from_the_document(weft: Weft) -> None:
    write(weft)
    assert weft("run", "plan.json").returncode == 1
    assert "canary" not in recorded(weft.folder)
    for folder, _, names in os.walk(weft.folder / ".weft"):
        for name in names:
            if "logs" not in Path(folder).parts:
                content = (Path(folder) / name).read_bytes()
                assert not any(form in content for value in (TOKEN, PLAIN) for form in forms(value)), name
    (weft.folder / "go").touch()
    assert weft("resume").returncode == 0
    assert weft("logs", "second").stdout == f"{PLAIN}\n"
    assert "canary" not in recorded(weft.folder)


def test_a_plan_with_values_is_read_again_by_the_next_run(weft: Weft) -> None:
    write(weft)
    (weft.folder / "go").touch()
    for _ in range(2):
        assert weft("run", "plan.json").returncode == 0
        assert weft("logs", "second").stdout == f"{PLAIN}\n"


def test_a_plan_that_came_by_standard_input_cannot_go_on_and_says_what_is_missing(weft: Weft) -> None:
    assert from_standard_input(weft).returncode == 1
    for words in (["resume"], ["retry", "first"], ["retry", "--failed"]):
        done = weft(*words)
        assert done.returncode == 2
        assert "came by standard input" in done.stderr
        assert "API_TOKEN of environment 'e', REGION of environment 'e'" in done.stderr
        assert "canary" not in done.stdout + done.stderr
    assert json.loads(weft("status", "--output", "json").stdout)["tasks"]["second"]["attempts"] == 1


def test_what_needs_no_value_that_is_missing_goes_on(weft: Weft) -> None:
    (weft.folder / "go").touch()
    assert from_standard_input(weft).returncode == 0
    assert weft("resume").returncode == 0  # all is ok
    assert weft("retry", "third").returncode == 0
    assert weft("cancel").returncode == 0


LOADING = "import weft; print(weft.load('plan.json').run().state)"
MAKING = """
import weft
plan = weft.load("plan.json")
made = weft.Plan(plan.graph, environments=plan.spec.environments)
print(made.run().state)
"""


def python(weft: Weft, source: str) -> str:
    command = [sys.executable, "-c", source]
    done = subprocess.run(
        command, cwd=weft.folder, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_that_a_program_loaded_goes_on_with_the_values_of_its_document(weft: Weft) -> None:
    write(weft)
    assert python(weft, LOADING) == "failed\n"
    (weft.folder / "go").touch()
    assert weft("logs", "first").stdout == "*" * len(TOKEN) + "\n"
    assert weft("resume").returncode == 0
    assert weft("logs", "second").stdout == f"{PLAIN}\n"


@pytest.mark.parametrize("then", ["changed", "gone", "made"])
def test_a_plan_of_a_program_whose_values_are_nowhere_says_so(weft: Weft, then: str) -> None:
    write(weft)
    assert python(weft, MAKING if then == "made" else LOADING) == "failed\n"
    if then == "changed":
        write(weft, json.loads(json.dumps(PLAN).replace(PLAIN, "another one")))
    if then == "gone":
        (weft.folder / "plan.json").unlink()
    done = weft("resume")
    assert done.returncode == 2
    assert "no document that could be read again" in done.stderr and "REGION of environment 'e'" in done.stderr


def test_a_missing_document_is_told(weft: Weft) -> None:
    write(weft)
    assert weft("run", "plan.json").returncode == 1
    (weft.folder / "plan.json").unlink()
    done = weft("resume")
    assert done.returncode == 2
    assert "plan.json" in done.stderr and "read.missing" in done.stderr


@pytest.mark.parametrize("then", ["as it was", "changed", "gone"])
def test_logs_cover_a_secret_that_is_not_stored(weft: Weft, then: str) -> None:
    write(weft)
    weft("run", "plan.json")
    if then == "changed":
        write(weft, json.loads(json.dumps(PLAN).replace(TOKEN, "another one")))
    if then == "gone":
        (weft.folder / "plan.json").unlink()
    done = weft("logs", "first")
    assert done.stdout == "*" * len(TOKEN) + "\n"
    assert ("only where it stands by itself" in done.stderr) == (then != "as it was")
    assert "API_TOKEN" in done.stderr or then == "as it was"


def test_looking_at_logs_executes_no_python_plan(weft: Weft) -> None:
    text = "\n".join(f"{section} = {PLAN[section]!r}" for section in ("envs", "jobs"))
    (weft.folder / "plan.py").write_text(f"open('executed', 'a').write('x')\n{text}\n", encoding="utf-8")
    weft("run", "plan.py")
    before = (weft.folder / "executed").read_text()
    assert weft("logs", "first").stdout == "*" * len(TOKEN) + "\n"
    assert (weft.folder / "executed").read_text() == before


def test_a_secret_that_a_command_gives_is_covered_wherever_output_is_shown(weft: Weft) -> None:
    variables = {
        "API_TOKEN": f"`printf {TOKEN}`",
        "URL_SECRET": "https://$API_TOKEN@host",
        "BOTH_KEY": "`echo two words here`",
    }
    script = 'echo "$API_TOKEN" "$URL_SECRET" "$BOTH_KEY"; printf %s "$API_TOKEN" | base64; exit 3'
    plan = {
        "envs": {"e": {"variables": variables}},
        "notes": {"diary": {"class_name": "SimpleFileLog", "path": "diary.log"}},
        "jobs": {"one": {"env": "e", "shell": True, "command": script, "note": "diary"}},
    }
    write(weft, plan)
    shown = [weft("run", "plan.json"), weft("run", "plan.json", "--output", "json", "--follow"), weft("logs", "one")]
    texts = [done.stdout + done.stderr for done in shown] + [(weft.folder / "diary.log").read_text(encoding="utf-8")]
    for text in texts:
        assert "*****" in text
        assert TOKEN not in text and "two words here" not in text
        assert forms(TOKEN)[1].decode() not in text
    store = b"".join(path.read_bytes() for path in (weft.folder / ".weft").glob("weft.db*"))
    assert TOKEN.encode() not in store


def test_products_in_events_have_their_secrets_covered_and_stay_json(weft: Weft) -> None:
    variables = {"API_TOKEN": TOKEN, "PIN_KEY": "12345678", "S_KEY": {"shell": "echo learnt-by-the-attempt"}}
    show = "import json, os; print(json.dumps([os.environ['API_TOKEN'], os.environ['S_KEY'], 5]))"
    tasks = {
        "text": {"shell": 'echo "it is $API_TOKEN"', "product": "stdout"},
        "list": {"command": [sys.executable, "-c", show], "product": "json"},
        "number": {"shell": "echo $PIN_KEY", "product": "json"},
    }
    environments = {"e": {"variables": variables}}
    write(weft, {"weft": 1, "environments": environments, "defaults": {"environment": "e"}, "tasks": tasks})
    ended = json.loads(weft("run", "plan.json", "--output", "json").stdout.splitlines()[-1])["tasks"]
    assert ended["text"]["product"] == "it is " + "*" * len(TOKEN)
    assert ended["list"]["product"] == ["*" * len(TOKEN), "*" * len("learnt-by-the-attempt"), 5]
    assert ended["number"]["product"] == "********"
    assert json.loads(weft("show", "number", "--product").stdout) == 12345678, "who asks for the value gets it"
