"""What every sink does: takes any record as it is, tells by an exception that it could not, and leaves nothing open."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.note_servers import TRUSTED, http_server, smtp_server
from weft.notes.errors import reason_of
from weft.notes.sinks import Surroundings, open_sink
from weft.ports import Notifier

RECORD: dict[str, Any] = {
    "time": "2026-11-20T07:44:32.123Z",
    "run": "ab" * 16,
    "task": "a",
    "state": "ok",
    "cause": None,
    "exit_code": 0,
    "seconds": 0.25,
    "attempts": 1,
    "output": "done\n",
}
HOSTILE = {
    "task": "--help; $(x) ☃ \ud800 'a' \"b\" \u202e" + "n" * 900,
    "cause": "unmet:/a/\ud8ffb\u2028c",
    "state": "skipped",
    "exit_code": None,
    "seconds": None,
    "attempts": 0,
    "output": "\r\n.\r\n\tFrom x\n" + "l" * 200_000,
}
Open = Callable[..., Notifier]


def refusing(_: str) -> tuple[int, dict[str, str], bytes]:
    return 403, {}, b"no"


@pytest.fixture(params=["file", "last", "echo", "email", "telegram", "webhook", "command"])
def sinks(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Open, str]]:
    """Opens the sink of one kind: one that works, or (refused) one whose world does not take the record."""
    monkeypatch.setenv("SSL_CERT_FILE", TRUSTED)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    (tmp_path / "folder").mkdir()
    kind = str(request.param)

    def say(text: str) -> None:
        text.encode()
        if say_fails:
            raise OSError(32, "Broken pipe")

    say_fails = False
    around = Surroundings(str(tmp_path), dict(os.environ), say)
    with http_server() as good, http_server(refusing) as bad, smtp_server() as box, smtp_server(refuses="550 no") as no:

        def open_one(refused: bool = False) -> Notifier:
            nonlocal say_fails
            say_fails = refused
            web = (bad if refused else good).address
            mail = {"to": ["you@x"], "from": "me@x", "host": "localhost", "port": (no if refused else box).port}
            path = "folder" if refused else "sub/x.log"
            arguments: dict[str, dict[str, Any]] = {
                "file": {"path": path, "overwrites": False, "format": "text"},
                "last": {"path": path, "overwrites": True, "format": "json"},
                "echo": {"max_len": 450, "max_lines": 6},
                "email": {**mail, "user": None, "password": None, "subject": "x"},
                "telegram": {"token": "t", "chat_id": "1", "api": web},
                "webhook": {"url": web},
                "command": {"command": ["false" if refused else "cat"]},
            }
            return open_sink({"last": "file"}.get(kind, kind), arguments[kind], around)

        yield open_one, kind


@pytest.mark.parametrize("changed", [{}, HOSTILE, {"output": ""}], ids=["plain", "hostile", "silent"])
def test_every_record_is_taken_and_left_as_it_was(sinks: tuple[Open, str], changed: dict[str, Any]) -> None:
    record = {**RECORD, **changed}
    given = copy.deepcopy(record)
    sink = sinks[0]()
    sink.send(record)
    sink.send(record)  # one instance may be asked more than once
    assert record == given


def test_what_could_not_be_sent_is_told_in_one_line(sinks: tuple[Open, str]) -> None:
    with pytest.raises(Exception) as told:
        sinks[0](refused=True).send(RECORD)
    reason = reason_of(told.value)
    assert reason and "\n" not in reason
