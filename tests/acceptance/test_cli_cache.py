"""`weft cache`, `weft show --product`, and what a run makes of a cache that was damaged."""

from __future__ import annotations

import json
import os
import pickle
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Running, environment, is_golden, weft, write
from support.weft_process import Doorway

MODULE = """
import os
def make(size):
    return b"x" * size
def pair():
    return (1, 2)
def use(data):
    if os.path.exists("broken"):
        raise ValueError("broken")
    return [len(data)]
def rows():
    for number in (1, 2, (3,)):
        yield number
def harm(data, folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".bytes"):
                with open(os.path.join(parent, name), "r+b") as file:
                    file.seek(7)
                    file.write(b"y")
    return None
"""
LONG = 2_000_000
TASKS: dict[str, Any] = {
    "make": {"function": "m.py:make", "parameters": {"size": LONG}, "cache": "always"},
    "pair": {"function": "m.py:pair", "cache": "always"},
    "use": {"function": "m.py:use", "cache": "always", "dependencies": [{"name": "make", "as": "data"}]},
}


def plan(folder: Path, tasks: dict[str, Any], name: str = "plan.json") -> None:
    write(folder, "m.py", MODULE)
    write(folder, name, {"weft": 1, "tasks": tasks})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which TASKS were run once."""
    plan(tmp_path, TASKS)
    assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
    return tmp_path


def files(folder: Path) -> list[Path]:
    """Files of products, without the key."""
    return sorted(path for path in (folder / ".weft" / "products").rglob("*") if path.is_file() and path.name != "key")


# --- the command -------------------------------------------------------------------------------------------------------


def test_the_list_shows_what_is_kept(folder: Path) -> None:
    is_golden("cache_ls.txt", weft(folder, "cache", "ls"), folder, measured=True)
    found = weft(folder, "cache", "ls", "--output", "json").object
    assert [(entry["task"], entry["format"], entry["bytes"]) for entry in found["results"]] == [
        ("make", "bytes", LONG),
        ("pair", "pickle", 18),
        ("use", "text", len(f"[{LONG}]")),
    ]
    assert found["files"] == {"count": 1, "bytes": LONG, "unreferenced": 0}
    assert found["results"][0]["path"] == str(files(folder)[0])


def test_nothing_goes_that_is_of_use_and_all_goes_when_asked_for(folder: Path) -> None:
    is_golden("cache_gc.txt", weft(folder, "cache", "gc"), folder, measured=True)
    dry = weft(folder, "cache", "gc", "--all", "-n", "--output", "json").object
    assert (dry["dry_run"], dry["removed"]) == (True, {"results": 3, "files": 1, "bytes": LONG})
    assert len(files(folder)) == 1
    is_golden("cache_gc_all.txt", weft(folder, "cache", "gc", "--all"), folder, measured=True)
    assert files(folder) == []
    again = weft(folder, "run", "plan.json", "--output", "json").events[-1]
    assert again["counts"]["cached"] == 0 and again["counts"]["ok"] == 3


def test_superseded_work_goes_by_number(folder: Path) -> None:
    for size in (100_000, 200_000):
        tasks = {**TASKS, "make": {**TASKS["make"], "parameters": {"size": size}}}
        plan(folder, tasks)
        assert weft(folder, "run", "plan.json").code == 0
    removed = weft(folder, "cache", "gc", "--keep", "2", "--output", "json").object["removed"]
    assert removed == {"results": 2, "files": 1, "bytes": LONG}
    assert [path.stat().st_size for path in files(folder)] in ([100_000, 200_000], [200_000, 100_000])


def test_whole_files_are_verified_and_damaged_ones_set_aside(folder: Path) -> None:
    is_golden("cache_verify.txt", weft(folder, "cache", "verify"), folder, measured=True)
    os.truncate(files(folder)[0], 1000)
    is_golden("cache_verify_damaged.txt", weft(folder, "cache", "verify"), folder, measured=True)
    assert [path.suffix for path in files(folder)] == [".damaged"]
    assert weft(folder, "run", "plan.json", "--output", "quiet").code == 0
    assert weft(folder, "cache", "verify", "--output", "json").object == {
        "files": 1, "bytes": LONG, "problems": []
    }  # fmt: skip


@pytest.mark.parametrize(
    "words", [("gc", "--older", "soon"), ("gc", "--keep", "-1"), ("gc", "--keep", "x"), ("rm",), ("ls", "x")]
)
def test_a_wrong_word_is_refused(folder: Path, words: tuple[str, ...]) -> None:
    answer = weft(folder, "cache", *words)
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err


def test_without_a_state_there_is_nothing_to_list(tmp_path: Path) -> None:
    assert weft(tmp_path, "cache", "ls").code == 3
    assert not (tmp_path / ".weft").exists()


# --- show --------------------------------------------------------------------------------------------------------------


def test_plain_data_is_json_and_bytes_are_bytes(folder: Path) -> None:
    assert weft(folder, "show", "use", "--product").out == f"[{LONG}]\n"
    assert weft(folder, "show", "make", "--product").out == "x" * LONG
    weft(folder, "run", "plan.json")
    assert weft(folder, "show", "use", "--product").out == f"[{LONG}]\n", "also where it was cached"
    assert weft(folder, "show", "make", "--product").out == "x" * LONG


def test_a_pickle_goes_to_a_pipe_but_not_to_a_terminal(folder: Path) -> None:
    words = [sys.executable, "-m", "weft", "show", "pair", "--product"]
    piped = subprocess.run(words, cwd=folder, env=environment(folder), capture_output=True, check=True)
    assert pickle.loads(piped.stdout) == (1, 2)
    main, worker = pty.openpty()
    try:
        shown = subprocess.run(
            words, cwd=folder, env=environment(folder), stdout=worker, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(worker)
        os.close(main)
    assert shown.returncode == 2
    assert "'pair' is no text: a pickled Python value, 18B" in shown.stderr.decode()
    assert "run['pair'].product" in shown.stderr.decode()


# --- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["cut", "flip", "remove"])
def test_a_damaged_entry_is_made_again_and_that_is_said(folder: Path, harm: str) -> None:
    (path,) = files(folder)
    if harm == "cut":
        os.truncate(path, 1000)
    elif harm == "flip":
        with path.open("r+b") as file:
            file.write(b"y")
    else:
        path.unlink()
    code = "product_missing" if harm == "remove" else "product_damaged"
    planned = weft(folder, "plan", "plan.json", "--output", "json").object["tasks"]
    assert [reason["code"] for reason in planned["make"]["reasons"]] == [code]
    done = weft(folder, "run", "plan.json", "--output", "json")
    states = {event["task"]: event.get("cause") for event in done.events if event["event"] == "task_ended"}
    assert done.err.count("it is made again") == (harm != "remove")
    assert states == {"make": None, "pair": "cached", "use": "cached"}, (
        "what follows is up to date: the value is the same"
    )
    (reason,) = weft(folder, "explain", "make", "--output", "json").object["reasons"]
    assert (reason["code"], str(path) in reason["text"]) == (code, True)
    assert path.read_bytes() == b"x" * LONG


def test_damage_that_is_met_on_reading_names_file_and_remedy_and_the_next_run_heals(tmp_path: Path) -> None:
    tasks = {
        "make": {"function": "m.py:make", "parameters": {"size": LONG}, "cache": "always"},
        "harm": {
            "function": "m.py:harm",
            "parameters": {"folder": ".weft/products"},
            "dependencies": [{"name": "make", "as": "data"}],
        },
        "use": {
            "function": "m.py:use",
            "dependencies": ["harm", {"name": "make", "as": "data"}],
            "isolation": "process",
        },
    }
    plan(tmp_path, tasks)
    answer = weft(tmp_path, "run", "plan.json", "--output", "json")
    assert answer.code == 1
    ended = answer.events[-1]["tasks"]["use"]
    assert (ended["state"], ended["cause"]) == ("failed", "setup")
    detail = weft(tmp_path, "show", "use", "--output", "json").object["detail"]
    assert "has changed (set aside as " in detail and "run again" in detail
    assert [path.suffix for path in files(tmp_path)] == [".damaged"]
    tasks["harm"] = {"command": ["true"]}
    plan(tmp_path, tasks)
    assert weft(tmp_path, "run", "plan.json").code == 0
    assert weft(tmp_path, "show", "use", "--product").out == f"[{LONG}]\n"


def test_two_runs_at_once_share_a_product_and_neither_is_torn(tmp_path: Path) -> None:
    door = Doorway(tmp_path)
    for name in ("one", "two"):
        tasks = {**TASKS, "use": {**TASKS["use"], "cache": "never"}}
        plan(
            tmp_path,
            {**tasks, "wait": {"shell": door.script(tmp_path / "ledger")}} if name == "one" else tasks,
            f"{name}.json",
        )
    with Running(tmp_path, "run", "one.json", "--output", "json") as running:
        door.wait_for("wait")
        assert weft(tmp_path, "run", "two.json", "--output", "quiet").code == 0
        assert weft(tmp_path, "cache", "gc", "--all").code == 0
        door.let_on()
        assert running.end()[-1]["state"] == "ok"
    door.close()
    assert weft(tmp_path, "cache", "verify").code == 0


# --- kept only while it is needed --------------------------------------------------------------------------------------


PASSING = {
    "make": {"function": "m.py:make", "parameters": {"size": LONG}, "cache": "memory"},
    "use": {"function": "m.py:use", "dependencies": [{"name": "make", "as": "data"}]},
    "leaf": {"function": "m.py:make", "parameters": {"size": LONG + 1}, "cache": "memory"},
}


def test_what_is_kept_only_while_it_is_needed_is_gone_after_the_run_and_that_is_said(tmp_path: Path) -> None:
    plan(tmp_path, PASSING)
    assert weft(tmp_path, "run", "plan.json").code == 0
    assert files(tmp_path) == []
    for task in ("make", "leaf"):
        answer = weft(tmp_path, "show", task, "--product")
        assert answer.code == 2
        assert "was kept only while run" in answer.err
    assert weft(tmp_path, "show", "use", "--product").out == f"[{LONG}]\n"


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_resume_makes_a_passing_product_again_only_if_it_is_gone(tmp_path: Path, is_lost: bool) -> None:
    plan(tmp_path, PASSING)
    (tmp_path / "broken").touch()
    assert weft(tmp_path, "run", "plan.json").code == 1
    kept = files(tmp_path)
    assert len(kept) == 2
    if is_lost:
        for path in kept:
            path.unlink()
    (tmp_path / "broken").unlink()
    answer = weft(tmp_path, "resume", "--output", "json")
    assert answer.code == 0
    attempts = json.loads(weft(tmp_path, "show", "make", "--output", "json").out)["attempts"]
    assert len(attempts) == (2 if is_lost else 1)
    assert ("make runs again: its product is gone" in answer.out + answer.err) is is_lost
    assert weft(tmp_path, "show", "use", "--product").out == f"[{LONG}]\n"


# --- items -------------------------------------------------------------------------------------------------------------


def test_one_new_item_of_a_stream_computes_one_item_and_the_rest_is_found_by_content(tmp_path: Path) -> None:
    write(
        tmp_path,
        "s.py",
        "import json\n"
        "def rows():\n    for row in json.load(open('rows.json')):\n        yield row\n"
        "def use(row):\n    with open('ran', 'a') as file:\n        file.write(json.dumps(row) + '\\n')\n    return [row]\n"
        "def every(rows):\n    return list(rows)\n",
    )
    kept = {"cache": "always"}
    each = {"dependencies": [{"name": "rows", "as": "row", "each": True}], "foreach": {"stream": "rows", "as": "row"}}
    tasks = {
        "rows": {
            "function": "s.py:rows",
            "product": {"source": "return", "stream": True},
            "requires": {"files": ["rows.json"]},
            **kept,
        },
        "use": {"function": "s.py:use", **each, **kept},
        "every": {"function": "s.py:every", "dependencies": [{"name": "use", "as": "rows"}], **kept},
    }
    write(tmp_path, "plan.json", {"weft": 1, "tasks": tasks})
    ran = tmp_path / "ran"
    for rows, expected in (
        ([{"k": 1}, "b"], [{"k": 1}, "b"]),
        ([{"k": 1}, "b"], []),
        (["new", {"k": 1}, "b"], ["new"]),
        (["b", {"k": 1}], []),
    ):
        write(tmp_path, "rows.json", rows)
        ran.write_text("", encoding="utf-8")
        assert weft(tmp_path, "run", "plan.json", "--output", "quiet").code == 0
        made = [json.loads(line) for line in ran.read_text(encoding="utf-8").splitlines()]
        assert sorted(made, key=str) == sorted(expected, key=str)
        assert json.loads(weft(tmp_path, "show", "every", "--product").out) == [[row] for row in rows]
        assert json.loads(weft(tmp_path, "show", "use", "--product").out) == [[row] for row in rows]
