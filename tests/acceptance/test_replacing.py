"""`--replace`, `state:` selectors, product types, and cancelling what has ended."""

from __future__ import annotations

import json
from pathlib import Path

from support.weft_process import Weft, events_of

MADE = {"command": ["sh", "-c", "touch ran; echo [1]"], "product": "json"}
USED = {"command": ["echo", "{x}"], "dependencies": [{"name": "fetch", "as": "x"}]}


def test_a_value_from_a_file_stands_for_a_task(weft: Weft, tmp_path: Path) -> None:
    weft.plan({"fetch": MADE, "use": USED})
    (tmp_path / "fetch.json").write_text("[4, 2]")
    for _ in range(2):  # the second time the plan is taken from the store
        assert weft("run", "plan.json", "--replace", "fetch=fetch.json").returncode == 0
        assert weft("logs", "use").stdout == "[4,2]\n"
    assert not (tmp_path / "ran").exists()
    (tmp_path / "fetch.json").write_text("[5]")
    assert weft("run", "plan.json", "--replace", "fetch=fetch.json").returncode == 0
    assert weft("logs", "use").stdout == "[5]\n"


def test_a_resume_keeps_the_value(weft: Weft, tmp_path: Path) -> None:
    weft.plan({"fetch": MADE, "use": {**USED, "command": ["sh", "-c", "test -e ok && echo $1", "sh", "{x}"]}})
    (tmp_path / "fetch.json").write_text("[4, 2]")
    assert weft("run", "plan.json", "--replace", "fetch=fetch.json").returncode == 1
    (tmp_path / "ok").write_text("")
    assert weft("resume").returncode == 0
    assert weft("logs", "use").stdout == "[4,2]\n"
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_replaced_is_told(weft: Weft, tmp_path: Path) -> None:
    weft.plan({"fetch": MADE, "use": USED})
    (tmp_path / "bad.json").write_text("{")
    words = ["--replace", "fetsh=bad.json", "--replace", "fetch=none.json", "--replace", "fetch=bad.json"]
    ended = weft("run", "plan.json", *words, "--output", "json")
    assert ended.returncode == 2
    codes = {error["code"] for error in json.loads(ended.stdout)["errors"]}
    assert {"read.missing", "parse.syntax"} <= codes
    assert weft("run", "plan.json", "--replace", "fetch").returncode == 2
    (tmp_path / "good.json").write_text("1")
    unknown = weft("run", "plan.json", "--replace", "fetsh=good.json")
    assert unknown.returncode == 2 and "fetch" in unknown.stderr


def test_states_of_the_last_run_select(weft: Weft, tmp_path: Path) -> None:
    weft.plan({"good": {"command": ["true"]}, "bad": {"command": ["test", "-e", "ok"]}})
    assert weft("run", "plan.json", "--select", "state:failed").returncode == 2
    assert weft("run", "plan.json").returncode == 1
    (tmp_path / "ok").write_text("")
    ended = weft("run", "plan.json", "--select", "state:failed", "--output", "json")
    assert ended.returncode == 0
    assert list(events_of(ended.stdout)[-1]["tasks"]) == ["bad"]


def test_a_product_of_another_type_is_a_failure(weft: Weft) -> None:
    product = {"source": "json", "type": "str"}
    weft.plan({"a": {"shell": "echo 5", "product": product}, "b": {"shell": "echo '\"5\"'", "product": product}})
    assert weft("run", "plan.json").returncode == 1
    assert weft.states() == {"a": ("failed", "type"), "b": ("ok", None)}


def test_what_has_ended_cannot_be_cancelled(weft: Weft) -> None:
    weft.plan({"a": {"command": ["true"]}})
    assert weft("run", "plan.json").returncode == 0
    answer = weft("cancel", "a")
    assert answer.returncode == 0 and "nothing to cancel" in answer.stdout
    assert weft.states() == {"a": ("ok", None)}


def test_a_changed_resource_file_counts_although_the_plan_is_in_the_store(weft: Weft, tmp_path: Path) -> None:
    document = {
        "templates": {"say": {"command_template": "echo {word}", "node_args": ["word"]}},
        "tasks": [{"name": "a", "template": "say", "args": {"word": 1}}],
        "yaml": "levels.json",
    }
    (tmp_path / "plan.json").write_text(json.dumps(document))
    for cores in (0.5, 0.5, 0.25):
        (tmp_path / "levels.json").write_text(json.dumps({"task_template_resources": {"say": {"cores": cores}}}))
        assert weft("run", "plan.json").returncode == 0
        shown = json.loads(weft("show", "a", "--output", "json").stdout)
        assert shown["attempts"][0]["request"]["cores"] == cores
