"""Each kind of note against what it really talks to: files, processes, mail and web servers on loopback."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from support.note_servers import TRUSTED, http_server, smtp_server
from weft.notes import email
from weft.notes.command import CommandNote
from weft.notes.echo import EchoNote
from weft.notes.email import EmailNote
from weft.notes.errors import NoteError
from weft.notes.file import FileNote
from weft.notes.telegram import LONGEST_UNITS, TelegramNote
from weft.notes.webhook import WebhookNote

RECORD: dict[str, Any] = {
    "time": "2026-11-20T07:44:32.123Z",
    "run": "ab" * 16,
    "task": "measure ☀",
    "state": "failed",
    "cause": "exit:3",
    "exit_code": 3,
    "seconds": 1.5,
    "attempts": 2,
    "output": "first\nsecond\n",
}


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", TRUSTED)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


# --- files -------------------------------------------------------------------------------------------------------------


def test_a_file_grows_by_one_record_after_another_and_its_folders_are_made(tmp_path: Path) -> None:
    note = FileNote("logs/deep/diary.log", root=str(tmp_path))
    note.send(RECORD)
    note.send({**RECORD, "state": "ok", "cause": None, "exit_code": 0, "attempts": 1, "output": ""})
    assert (tmp_path / "logs/deep/diary.log").read_text(encoding="utf-8").splitlines() == [
        "2026-11-20T07:44:32.123Z measure ☀: failed (exit:3), exit code 3, 1.5s, 2 attempts",
        "    first",
        "    second",
        "2026-11-20T07:44:32.123Z measure ☀: ok, exit code 0, 1.5s",
    ]


def test_a_file_that_overwrites_holds_the_last_record_alone_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    path.write_text("old")
    path.chmod(0o640)
    note = FileNote("last.json", root=str(tmp_path), overwrites=True, format="json")
    note.send({**RECORD, "task": "before"})
    note.send(RECORD)
    assert json.loads(path.read_text(encoding="utf-8")) == RECORD
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["last.json"]


def test_records_of_many_threads_never_mix(tmp_path: Path) -> None:
    def write(number: int) -> None:
        note = FileNote("all.jsonl", root=str(tmp_path), format="json")
        for part in range(50):
            note.send({**RECORD, "task": f"{number}.{part}", "output": "x" * 20_000})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["task"] for line in lines) == sorted(f"{n}.{p}" for n in range(8) for p in range(50))


def test_a_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        FileNote("folder", root=str(tmp_path)).send(RECORD)
    with pytest.raises(OSError, match="directory"):
        FileNote("folder", root=str(tmp_path), overwrites=True).send(RECORD)
    assert os.listdir(tmp_path) == ["folder"]


# --- printing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ({}, "measure ☀: failed (exit:3), exit code 3, 1.5s, 2 attempts\nfirst\nsecond\n"),
        ({"max_lines": 2}, "measure ☀: failed (exit:3), exit code 3, 1.5s, 2 attempts\n…\n"),
        ({"max_len": 20}, "measure ☀: failed (…\n"),
    ],
)
def test_an_echo_is_as_short_as_it_was_asked_to_be(limits: dict[str, int], shown: str) -> None:
    said: list[str] = []
    EchoNote(say=said.append, **limits).send(RECORD)
    assert said == [shown]


# --- mail --------------------------------------------------------------------------------------------------------------


def mail(port: int, **changed: Any) -> EmailNote:
    fields = {"user": "me@example.org", "password": "canary-pass", "subject": "weft: measure ☀", **changed}
    return EmailNote(["you@example.org", "all@example.org"], host="127.0.0.1", port=port, **fields)


def test_a_message_goes_out_over_tls_after_a_login() -> None:
    with smtp_server() as box:
        mail(box.port).send(RECORD)
    assert box.was_encrypted == [True]
    assert box.logins == [("me@example.org", "canary-pass")]
    message = box.messages[0]
    assert (message["Subject"], message["To"]) == ("weft: measure ☀", "you@example.org, all@example.org")
    assert message["From"] == "me@example.org"
    body = message.get_payload(decode=True).decode()
    assert "measure ☀: failed (exit:3)" in body and "first\nsecond" in body.replace("\r\n", "\n")


def test_a_server_that_is_not_trusted_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with smtp_server() as box, pytest.raises(NoteError, match="certificate is not trusted"):
        mail(box.port).send(RECORD)
    assert (box.messages, box.logins) == ([], [])


def test_without_tls_nothing_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp_server(offers_tls=False) as box:
        mail(box.port).send(RECORD)
        monkeypatch.setattr(email, "_is_this_machine", lambda _: False)  # as of any other host
        with pytest.raises(NoteError, match="offers no TLS"):
            mail(box.port).send(RECORD)
    assert len(box.messages) == 1


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("mail.example.org", False), ("10.0.0.1", False)],
)
def test_this_machine_is_known_by_its_names(host: str, own: bool) -> None:
    assert email._is_this_machine(host) is own


def test_a_refused_login_and_recipient_are_told_in_the_servers_words() -> None:
    with smtp_server(password="other") as box, pytest.raises(NoteError, match="535 bad password"):
        mail(box.port).send(RECORD)
    with smtp_server(refuses="550 no such user") as box, pytest.raises(NoteError, match="550 no such user"):
        mail(box.port).send(RECORD)
    assert box.messages == []


def test_nobody_can_put_a_header_into_a_message() -> None:
    with smtp_server() as box:
        mail(box.port, subject="weft\r\nBcc: eve@example.org").send(RECORD)
    assert box.messages[0]["Bcc"] is None
    assert box.messages[0]["Subject"] == "weft Bcc: eve@example.org"


# --- web ---------------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_record() -> None:
    with http_server() as posts:
        WebhookNote(f"{posts.address}/hook?x=1").send(RECORD)
    assert posts.requests == [("/hook?x=1", RECORD)]


def test_a_webhook_is_not_followed_elsewhere() -> None:
    with http_server() as other, http_server(lambda _: (302, {"Location": f"{other.address}/x"}, b"")) as posts:
        with pytest.raises(NoteError, match="answers 302"):
            WebhookNote(f"{posts.address}/hook").send(RECORD)
        assert other.requests == []


def test_telegram_gets_a_message_that_it_takes() -> None:
    with http_server() as posts:
        TelegramNote("12:ab", 42, posts.address).send({**RECORD, "output": "☃𝄞" * 5000})
    path, body = posts.requests[0]
    assert path == "/bot12:ab/sendMessage"
    assert body["chat_id"] == 42
    assert body["text"].startswith("measure ☀: failed (exit:3)")
    assert LONGEST_UNITS - 2 <= len(body["text"].encode("utf-16-le")) // 2 <= LONGEST_UNITS


def test_what_telegram_says_is_told_and_the_token_is_not() -> None:
    refusal = json.dumps({"ok": False, "description": "Bad Request: chat not found"}).encode()
    with http_server(lambda _: (400, {}, refusal)) as posts, pytest.raises(NoteError) as told:
        TelegramNote("12:canary", "x", posts.address).send(RECORD)
    assert "400 Bad Request: Bad Request: chat not found" in str(told.value)
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/canary", "file:///etc/passwd", "http://[canary/", "http://x/y canary"]
)
def test_an_address_that_cannot_be_reached_is_told_without_its_path(url: str) -> None:
    with pytest.raises(NoteError) as told:
        WebhookNote(url).send(RECORD)
    assert "canary" not in str(told.value).replace("[canary", "")


# --- programs ----------------------------------------------------------------------------------------------------------


def command(folder: Path, *argv: str, **options: Any) -> CommandNote:
    return CommandNote(argv, folder=str(folder), environment={**os.environ, "WEFT_TASK": "x"}, **options)


def test_a_command_reads_the_record_in_the_root(tmp_path: Path) -> None:
    command(tmp_path, "sh", "-c", 'cat > "got $WEFT_TASK"; echo noise; echo noise >&2').send(RECORD)
    assert json.loads((tmp_path / "got x").read_text(encoding="utf-8")) == RECORD


def test_a_command_that_fails_tells_the_end_of_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(NoteError, match="'sh' ended with status 4: no such room"):
        command(tmp_path, "sh", "-c", "echo no such room >&2; exit 4").send(RECORD)
    with pytest.raises(NoteError, match=r"'\./nothing' cannot be started: No such file"):
        command(tmp_path, "./nothing").send(RECORD)


def test_a_command_that_does_not_read_is_no_failure(tmp_path: Path) -> None:
    command(tmp_path, "sh", "-c", "echo told > told").send({**RECORD, "output": "x" * 300_000})
    assert (tmp_path / "told").read_text() == "told\n"


def test_a_command_that_hangs_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    script = "import os, time; os.fork(); open('pid' + str(os.getpid()), 'w').close(); time.sleep(600)"
    with pytest.raises(NoteError, match="has not ended within 1 s"):
        command(tmp_path, sys.executable, "-c", script, seconds=1.0).send(RECORD)
