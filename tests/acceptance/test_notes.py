"""Notes through the installed command: who is told what and when, and that no note harms a run."""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
import subprocess
import zlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.note_servers import TRUSTED, http_server, smtp_server
from support.weft_process import LIMIT_SECONDS, Doorway, Weft, events_of, kill, processes_with

MAIL = {"kind": "email", "to": "x@x", "host": "localhost", "user": "u"}
DIARY = {"kind": "file", "path": "diary.jsonl", "format": "json"}
UNREACHABLE = {"kind": "webhook", "url": "http://127.0.0.1:1/hook"}


def diary(weft: Weft, name: str = "diary.jsonl") -> list[dict[str, Any]]:
    path = weft.folder / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def states(weft: Weft, name: str = "diary.jsonl") -> dict[str, tuple[str, str | None]]:
    records = diary(weft, name)
    assert len(records) == len({record["task"] for record in records})
    return {record["task"]: (record["state"], record["cause"]) for record in records}


def test_each_task_is_told_once_with_all_that_is_known(weft: Weft) -> None:
    weft.plan(
        {
            "good": {"shell": "echo out; echo err >&2", "notes": ["diary"]},
            "bad": {"shell": "echo no >&2; exit 3", "notes": ["diary"]},
            "after": {"command": ["true"], "dependencies": ["bad"], "notes": ["diary", "diary"]},
            "quiet": {"command": ["true"]},
            "twice": {"shell": "test $WEFT_ATTEMPT = 2", "max_attempts": 2, "notes": ["diary"]},
        },
        notes={"diary": DIARY},
    )
    ended = weft("run", "plan.json")
    assert ended.returncode == 1, ended.stderr
    assert states(weft) == {
        "good": ("ok", None),
        "bad": ("failed", "exit:3"),
        "after": ("skipped", "dependency:bad"),
        "twice": ("ok", None),
    }
    records = {record["task"]: record for record in diary(weft)}
    assert list(records["good"]) == [
        *("time", "run", "task", "state", "cause", "exit_code", "seconds", "attempts", "output")
    ]
    assert records["good"]["output"] == "out\nerr\n"
    assert (records["bad"]["exit_code"], records["bad"]["output"]) == (3, "no\n")
    assert (records["after"]["exit_code"], records["after"]["seconds"], records["after"]["attempts"]) == (None, None, 0)
    assert records["twice"]["attempts"] == 2
    assert records["good"]["seconds"] > 0 and records["good"]["time"].endswith("Z")


def test_cached_tasks_are_not_told_and_nothing_is_run_for_a_note(weft: Weft) -> None:
    weft.plan({"make": {"shell": "echo x > made", "outputs": ["made"], "notes": ["diary"]}}, notes={"diary": DIARY})
    assert [weft("run", "plan.json").returncode for _ in range(3)] == [0, 0, 0]
    assert len(diary(weft)) == 1
    assert weft("run", "plan.json", "--executor", "noop", "--force").returncode == 0
    assert len(diary(weft)) == 1
    for words in (("validate",), ("plan",), ("compile",), ("graph",)):
        assert weft(*words, "plan.json").returncode == 0
    assert len(diary(weft)) == 1


def test_conditions_choose_and_all_must_hold(weft: Weft) -> None:
    notes = {
        "if_ok": {**DIARY, "path": "ok", "conditions": ["only_if_ok"]},
        "if_failed": {**DIARY, "path": "failed", "conditions": ["only_if_failed"]},
        "if_output": {**DIARY, "path": "output", "conditions": ["only_if_output_non_empty"]},
        "if_both": {**DIARY, "path": "both", "conditions": ["only_if_failed", "only_if_output_non_empty"]},
    }
    every = list(notes)
    weft.plan(
        {
            "loud": {"shell": "echo x >&2", "notes": every},
            "blank": {"shell": "printf ' \\n\\t\\n'", "notes": every},
            "bad": {"shell": "echo x; exit 1", "notes": every},
            "behind": {"command": ["true"], "dependencies": ["bad"], "notes": every},
        },
        notes=notes,
    )
    assert weft("run", "plan.json").returncode == 1
    told = {name: set(states(weft, name)) for name in ("ok", "failed", "output", "both")}
    assert told == {
        "ok": {"loud", "blank"},
        "failed": {"bad", "behind"},
        "output": {"loud", "bad"},
        "both": {"bad"},
    }


def test_a_change_is_told_against_the_run_before(weft: Weft) -> None:
    weft.plan(
        {"a": {"shell": "test -e good", "notes": ["diary"]}, "b": {"command": ["true"], "notes": ["diary"]}},
        notes={"diary": {**DIARY, "conditions": ["only_if_changed"]}},
    )
    for is_good in (False, False, True, True, False):
        (weft.folder / "good").touch() if is_good else (weft.folder / "good").unlink(missing_ok=True)
        weft("run", "plan.json")
    told = [(record["task"], record["state"]) for record in diary(weft)]
    assert sorted(told[:2]) == [("a", "failed"), ("b", "ok")]  # nothing was known before
    assert told[2:] == [("a", "ok"), ("a", "failed")]


def test_a_mapped_task_is_told_once_with_the_output_of_its_instances(weft: Weft) -> None:
    task = {"shell": "echo item {n}; test {n} != 2", "foreach": {"values": [1, 2, 3], "as": "n"}, "notes": ["diary"]}
    weft.plan({"m": task}, notes={"diary": DIARY})
    assert weft("run", "plan.json").returncode == 1
    (record,) = diary(weft)
    assert (record["task"], record["state"]) == ("m", "failed")
    assert record["output"] == "item 2\nitem 1\nitem 3\n"  # what failed comes first
    assert record["exit_code"] == 1


def test_no_server_that_answers_is_one_warning_and_harms_nothing(weft: Weft) -> None:
    weft.plan(
        {name: {"command": ["echo", name], "notes": ["hook", "diary"]} for name in "abc"},
        notes={"hook": UNREACHABLE, "diary": DIARY},
    )
    ended = weft("run", "plan.json")
    assert ended.returncode == 0
    assert ended.stderr.count("'hook'") == 1
    assert "note 'hook' could not be sent: webhook at 127.0.0.1:1 cannot be reached: Connection refused" in ended.stderr
    assert "note 'hook': 3 of 3 not sent  (webhook at 127.0.0.1:1 cannot be reached" in ended.stdout
    assert "3 tasks: 3 ok" in ended.stdout
    assert len(diary(weft)) == 3
    events = events_of(weft("run", "plan.json", "--output", "json").stdout)
    assert events[-1]["state"] == "ok"
    assert (events[-1]["notes"]["diary"]["sent"], events[-1]["notes"]["hook"]["unsent"]) == (3, 3)


OWN = """
import os, sys, threading
print("imported")
class Prints:
    made = 0
    def __init__(self, word, state):
        Prints.made += 1
        self.word, self.state = word, state
    def send(self, record):
        print("printed", self.word, self.state, record["task"], record["output"].strip(), Prints.made)
class Raises:
    def send(self, record): raise RuntimeError("out of paper")
class Exits:
    def send(self, record): sys.exit(5)
class Once:
    made = 0
    def __init__(self, word): Once.made += 1
    def send(self, record): open("once", "a").write(f"{Once.made}\\n")
"""


def test_a_class_of_the_users_is_made_of_its_keywords_and_may_print(weft: Weft) -> None:
    (weft.folder / "own.py").write_text(OWN)
    notes = {
        "prints": {"kind": "own:Prints", "word": "$GREETING", "state": "$WEFT_STATE"},
        "raises": {"kind": "own.py:Raises"},
        "exits": {"kind": "own.Exits"},
        "once": {"kind": "own:Once", "word": "same"},
        "echo": {"kind": "echo"},
    }
    weft.plan({name: {"command": ["echo", "said"], "notes": list(notes)} for name in "ab"}, notes=notes)
    ended = weft("run", "plan.json", "--output", "json", GREETING="hello $WEFT_TASK")
    assert ended.returncode == 0, ended.stderr
    assert events_of(ended.stdout)[-1]["state"] == "ok"  # every line of it is JSON
    assert "imported\n" in ended.stderr
    assert "printed hello $WEFT_TASK ok a said" in ended.stderr
    assert "a: ok, exit code 0" in ended.stderr  # the echo
    assert "note 'raises' could not be sent: RuntimeError: out of paper" in ended.stderr
    assert "note 'exits' could not be sent: SystemExit: 5" in ended.stderr
    assert (weft.folder / "once").read_text() == "1\n1\n"


def test_an_echo_stands_on_standard_output_and_quiet_is_quiet(weft: Weft) -> None:
    weft.plan(
        {"a": {"shell": "echo '\x1b[2Jx'", "notes": ["say"]}}, notes={"say": {"kind": "EchoNotifier", "max_len": 60}}
    )
    ended = weft("run", "plan.json")
    assert "\na: ok, exit code 0, " in ended.stdout and "\n\\x1b[2Jx\n" in ended.stdout
    quiet = weft("run", "plan.json", "--output", "quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"kind": "nothing_here:Sink"}, "No module named 'nothing_here'"),
        ({"kind": "own:Absent"}, "has no class 'Absent'"),
        ({"kind": "own.py:Prints", "word": "x"}, "missing a required argument: 'state'"),
        ({"kind": "own:Prints", "word": "x", "state": "y", "wrd": "z"}, "unexpected keyword argument 'wrd'"),
        ({"kind": "own:os.path"}, "is no class"),
        ({"kind": "own:NoSend"}, "no method send(record)"),
        ({"kind": "broken:Sink"}, "ZeroDivisionError"),
        ({"kind": "absent.py:Sink"}, "there is no file 'absent.py'"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_an_error_before_anything_runs(
    weft: Weft, note: dict[str, Any], words: str
) -> None:
    (weft.folder / "own.py").write_text(f"{OWN}\nclass NoSend: pass\n")
    (weft.folder / "broken.py").write_text("1 / 0\n")
    weft.plan({"a": {"command": ["touch", "made"], "notes": ["n"]}}, notes={"n": note})
    assert weft("validate", "plan.json").returncode == 0  # looking does not load
    ended = weft("run", "plan.json", "--output", "json")
    assert ended.returncode == 2, ended.stderr
    (error,) = json.loads(ended.stdout)["errors"]
    assert error["code"] == "ref.note_class" and words in error["message"]
    assert not (weft.folder / "made").exists() and not (weft.folder / ".weft").exists()


def test_packages_offer_classes_by_name(weft: Weft) -> None:
    site = weft.folder / "site"
    (site / "chat_notes-1.dist-info").mkdir(parents=True)
    (site / "chat_notes-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: chat-notes\nVersion: 1\n")
    (site / "chat_notes-1.dist-info" / "entry_points.txt").write_text("[weft.notes]\nchat = chat_notes:Chat\n")
    (site / "chat_notes.py").write_text(
        "class Chat:\n    def __init__(self, room): self.room = room\n"
        "    def send(self, record): open(self.room, 'w').write(record['task'])\n"
    )
    weft.plan({"a": {"command": ["true"], "notes": ["n"]}}, notes={"n": {"kind": "chat", "room": "lobby_$WEFT_TASK"}})
    assert weft("run", "plan.json").returncode == 2  # nobody offers it
    ended = weft("run", "plan.json", PYTHONPATH=str(site))
    assert ended.returncode == 0, ended.stderr
    assert (weft.folder / "lobby_a").read_text() == "a"


def test_apprise_takes_messages_when_it_is_there(weft: Weft) -> None:
    site = weft.folder / "site"
    site.mkdir()
    (site / "apprise.py").write_text(
        "class Apprise:\n"
        "    def __init__(self): self.urls = []\n"
        "    def add(self, url): self.urls.append(url); return url.startswith('chat://')\n"
        "    def notify(self, *, title, body): open('sent', 'w').write(f'{self.urls} {title}'); return True\n"
    )
    notes = {
        "good": {"kind": "apprise", "url": "chat://$TOKEN"},
        "bad": {"kind": "apprise", "url": ["chat://x", "canary"]},
    }
    weft.plan({"a": {"command": ["true"], "notes": ["good", "bad"]}}, notes=notes)
    ended = weft("run", "plan.json", PYTHONPATH=str(site), TOKEN="t0k")
    assert ended.returncode == 0, ended.stderr
    assert (weft.folder / "sent").read_text() == "['chat://t0k'] weft: a is ok"
    assert "note 'bad' could not be sent: apprise cannot read address 2 of 2" in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout


@pytest.mark.skipif(find_spec("apprise") is not None, reason="the extra is installed here")
def test_apprise_that_is_absent_is_an_error_that_names_the_extra(weft: Weft) -> None:
    weft.plan({"a": {"command": ["true"], "notes": ["n"]}}, notes={"n": {"kind": "apprise", "url": "chat://x"}})
    ended = weft("run", "plan.json")
    assert ended.returncode == 2
    assert "weft[notify]" in ended.stderr and "ref.note_class" in ended.stderr


def test_a_sink_that_hangs_is_waited_for_until_somebody_interrupts(weft: Weft, door: Doorway) -> None:
    script = f"echo hanging > {door.inside}; read go < {door.gate}"
    weft.plan(
        {"a": {"command": ["true"], "notes": ["n"]}}, notes={"n": {"kind": "command", "command": ["sh", "-c", script]}}
    )
    process = weft.start("run", "plan.json")
    door.wait_for("hanging")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_SECONDS) in (0, 130)  # 130 when the run itself was not over yet
    assert "1 of 1 not sent" in (weft.folder / "out").read_text()
    assert weft.states()["a"][0] == "ok"
    door.let_on()


def test_a_resumed_run_tells_only_what_it_ends_itself(weft: Weft) -> None:
    weft.plan(
        {"good": {"command": ["true"], "notes": ["diary"]}, "bad": {"shell": "test -e good", "notes": ["diary"]}},
        notes={"diary": DIARY},
    )
    assert weft("run", "plan.json").returncode == 1
    (weft.folder / "good").touch()
    assert weft("resume").returncode == 0
    told = Counter((record["task"], record["state"]) for record in diary(weft))
    assert told == {("good", "ok"): 1, ("bad", "failed"): 1, ("bad", "ok"): 1}


def test_after_a_kill_the_rest_is_told_once(weft: Weft, door: Doorway) -> None:
    ledger = weft.folder / "ledger"
    weft.plan(
        {
            "first": {"command": ["true"], "notes": ["diary"]},
            "second": {"shell": door.script(ledger), "dependencies": ["first"], "notes": ["diary"]},
        },
        notes={"diary": DIARY},
    )
    process = weft.start("run", "plan.json")
    door.wait_for("second")
    kill(process)
    door.let_on()
    assert weft("resume").returncode == 0
    told = Counter(record["task"] for record in diary(weft))
    assert told["second"] == 1 and told["first"] <= 1


def test_cancelled_tasks_are_told(weft: Weft, door: Doorway) -> None:
    weft.plan(
        {
            "a": {"shell": door.script(weft.folder / "ledger"), "notes": ["diary"]},
            "b": {"command": ["true"], "dependencies": ["a"], "notes": ["diary"]},
        },
        notes={"diary": {**DIARY, "conditions": ["only_if_failed"]}},
    )
    process = weft.start("run", "plan.json")
    door.wait_for("a")
    assert weft("cancel").returncode == 0
    assert process.wait(LIMIT_SECONDS) == 1
    assert {name: state for name, (state, _) in states(weft).items()} == {"a": "cancelled", "b": "cancelled"}


def test_a_run_that_is_given_up_needs_no_class_of_its_notes(weft: Weft, door: Doorway) -> None:
    (weft.folder / "own.py").write_text("class Sink:\n    def send(self, record): pass\n")
    weft.plan({"a": {"shell": door.script(weft.folder / "ledger"), "notes": ["n"]}}, notes={"n": {"kind": "own:Sink"}})
    process = weft.start("run", "plan.json")
    door.wait_for("a")
    kill(process)
    (weft.folder / "own.py").unlink()
    run = json.loads(weft("status", "--output", "json").stdout)["run"]
    ended = weft("cancel")
    assert ended.returncode == 0, ended.stderr
    assert weft.states()["a"] == ("cancelled", "cancelled")
    assert not processes_with(run)


def test_a_thousand_tasks_and_two_runs_write_one_file_without_mixing(weft: Weft) -> None:
    tasks = {f"t{number}": {"command": ["true"], "notes": ["diary"]} for number in range(500)}
    log = str(weft.folder / "all.jsonl")
    for name in ("one", "two"):
        (weft.folder / name).mkdir()
        weft.plan(tasks, f"{name}/plan.json", notes={"diary": {**DIARY, "path": log}})
    processes = [weft.start("run", f"{name}/plan.json") for name in ("one", "two")]
    assert [process.wait(LIMIT_SECONDS) for process in processes] == [0, 0]
    records = diary(weft, "all.jsonl")
    assert Counter(record["task"] for record in records) == dict.fromkeys(tasks, 2)
    assert len({record["run"] for record in records}) == 2


def test_output_in_a_record_is_bounded_and_keeps_both_ends(weft: Weft) -> None:
    script = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last; head -c 1000 /dev/urandom >&2"
    weft.plan({"a": {"shell": script, "notes": ["diary"]}}, notes={"diary": DIARY})
    assert weft("run", "plan.json").returncode == 0
    output = diary(weft)[0]["output"]
    assert output.startswith("first\nxxx") and "xxx\nlast\n" in output
    assert "2934476 bytes" in output and len(output) < 80_000


def repeats(path: str) -> tuple[int, dict[str, str], bytes]:
    return 500, {}, json.dumps({"description": f"bad {path}"}).encode()


CANARIES = {"BOT_TOKEN": "canary-tg/7+A", "MAIL_PASSWORD": 'canary"mail 8', "HOOK": "c4n4ry-hook-9"}


def test_no_secret_is_shown_sent_or_stored(weft: Weft) -> None:
    """Canaries by variable and written out; sinks that fail, and servers that repeat what they were given."""
    literal = "canary-literal-6/x"
    spilled = " ".join(f"{value}" for value in CANARIES.values())
    encoded = base64.b64encode(CANARIES["BOT_TOKEN"].encode()).decode()
    with http_server(repeats) as posts, smtp_server(password="right") as box:
        notes: dict[str, Any] = {
            "tg": {"kind": "telegram", "token": "$BOT_TOKEN", "chat_id": 1, "api": posts.address},
            "tg2": {"kind": "telegram", "token": literal, "chat_id": 1, "api": posts.address},
            "hook": {"kind": "webhook", "url": f"{posts.address}/$HOOK"},
            "hook2": {"kind": "webhook", "url": f"{posts.address}/{literal}"},
            "mail": {**MAIL, "port": box.port, "password": "$MAIL_PASSWORD"},
            "own": {"kind": "own:Raises", "api_key": literal},
            "diary": DIARY,
            "gone": {**DIARY, "path": "$SOMEWHERE/x"},
        }
        (weft.folder / "own.py").write_text(
            "class Raises:\n    def __init__(self, api_key): self.key = api_key\n"
            "    def send(self, record): raise ValueError(self.key)\n"
        )
        (weft.folder / "plain-canary-file").touch()
        weft.plan({"a": {"shell": "echo $BOT_TOKEN $SPILLED", "notes": list(notes)}}, notes=notes)
        environment = {
            **CANARIES,
            "SPILLED": encoded,
            "SOMEWHERE": "plain-canary-file",
            "SSL_CERT_FILE": TRUSTED,
            "no_proxy": "127.0.0.1,localhost",
        }
        told = [weft("run", "plan.json", "--output", "json", **environment)]
        assert box.logins and posts.requests  # they did get what is theirs
    told += [weft(*words, **environment) for words in (("run", "plan.json"), ("status",), ("show", "a"), ("logs", "a"))]
    assert told[0].returncode == told[1].returncode == 0, told[0].stderr
    tallies = events_of(told[0].stdout)[-1]["notes"]
    assert {name for name, tally in tallies.items() if tally["unsent"]} == set(notes) - {"diary"}
    assert "File exists: " in tallies["gone"]["problem"] and "$SOMEWHERE" in tallies["gone"]["problem"]
    shown = "".join(each.stdout + each.stderr for each in told) + (weft.folder / "diary.jsonl").read_text()
    stored = _everything_in(weft.folder / ".weft" / "weft.db")
    for value in (*CANARIES.values(), literal, "plain-canary-file"):
        raw = value.encode()
        for form in (value, quote(value, safe=""), json.dumps(value)[1:-1], base64.b64encode(raw).decode().rstrip("=")):
            assert form not in shown, form
            assert form.encode() not in stored, form
    assert spilled not in shown


def _everything_in(database: Path) -> bytes:
    """All cells of all tables, unpacked where they are packed."""
    found = b""
    with sqlite3.connect(database) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    data = cell if isinstance(cell, bytes) else str(cell).encode()
                    found += data
                    try:
                        found += zlib.decompress(data)
                    except zlib.error:
                        continue
    connection.close()
    return found


def test_a_plan_with_credentials_sends_them_in_every_run_and_after_a_resume(weft: Weft) -> None:
    with http_server() as posts:
        note = {"kind": "telegram", "token": "12:literal", "chat_id": 7, "api": posts.address}
        weft.plan({"a": {"shell": "test -e good", "notes": ["tg"]}}, notes={"tg": note})
        for words in (("run", "plan.json"), ("run", "plan.json"), ("resume",)):
            ended = weft(*words, no_proxy="127.0.0.1")
            assert "not sent" not in ended.stdout, ended.stderr
    assert [path for path, _ in posts.requests] == ["/bot12:literal/sendMessage"] * 3


def test_a_plan_from_standard_input_cannot_send_what_was_not_stored(weft: Weft) -> None:
    with http_server() as posts:
        note = {"kind": "telegram", "token": "12:literal", "chat_id": 7, "api": posts.address}
        plan = {"weft": 1, "notes": {"tg": note}, "tasks": {"a": {"shell": "test -e good", "notes": ["tg"]}}}
        subprocess.run(
            weft.command("run", "-"), cwd=weft.folder, input=json.dumps(plan).encode(), capture_output=True, timeout=60
        )
        (weft.folder / "good").touch()
        ended = weft("resume", no_proxy="127.0.0.1")
    assert ended.returncode == 0, ended.stderr
    assert "its token is not stored with the run; write it as $NAME" in ended.stderr
    assert len(posts.requests) == 1
