"""Records as text, and the texts of notes filled: what comes from a task stays data."""

from __future__ import annotations

from typing import Any

import pytest

from weft.executors.supervisor.substitution import substitute
from weft.notes.arguments import data_variables, fill
from weft.notes.errors import NoteError, reason_of
from weft.notes.file import file_part
from weft.notes.records import as_text, harmless, headline
from weft.notes.telegram import cut_units
from weft.spec.notes import WITHHELD, Note

RECORD: dict[str, Any] = {
    "time": "2026-11-20T07:44:32.123Z",
    "run": "ab" * 16,
    "task": "a",
    "state": "skipped",
    "cause": "dependency:b",
    "exit_code": None,
    "seconds": None,
    "attempts": 0,
    "output": "",
}


def filled(kind: str, arguments: dict[str, Any], environment: dict[str, str] | None = None, **record: Any) -> Any:
    return fill(Note(kind, arguments), environment or {}, data_variables({**RECORD, **record}), substitute)


def test_a_task_that_never_ran_has_a_record_too() -> None:
    assert headline(RECORD) == "a: skipped (dependency:b)"


def test_no_output_and_no_name_looks_like_another_record() -> None:
    text = as_text({**RECORD, "task": "x\u2028y", "output": harmless("1\n2026-11-20T07:44:33.000Z b: ok\r\n\x1b[2J3")})
    assert [line[:4] for line in text.splitlines()] == ["2026", "    ", "    ", "    "]
    assert "\x1b" not in text and "\\x1b[2J3" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\tb\n", "a\tb\n"), ("a\r\nb", "a\nb"), ("\x1b]0;x\x07", "\\x1b]0;x\\x07"), ("\u202e", "\\u202e")],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_texts_are_filled_from_the_environment_and_the_task() -> None:
    arguments = {"command": ["say", "$WEFT_TASK is $WEFT_STATE ($WEFT_CAUSE)", "${GREETING} $$ $UNKNOWN"]}
    assert filled("command", arguments, {"GREETING": "$WEFT_TASK", "WEFT_TASK": "outer"}, task="a; b") == {
        "command": ["say", "a; b is skipped (dependency:b)", "$WEFT_TASK $ $UNKNOWN"]
    }
    assert filled("m:C", {"deep": {"x": ["$OX_TASK_JOB_NAME", 1]}}, task="t") == {"deep": {"x": ["t", 1]}}


def test_defaults_are_filled_too() -> None:
    assert filled("email", {"to": "x", "host": "h"})["subject"] == "weft: a is skipped"


@pytest.mark.parametrize("task", ["../../etc/x", "..", ".", "a/b", "a%2Fb", "x" * 900, "☃" * 300])
def test_a_name_is_one_part_of_a_path_whatever_it_is(task: str) -> None:
    path = filled("file", {"path": "$DIR/$WEFT_TASK"}, {"DIR": "a/b"}, task=task)["path"]
    folder, _, name = path.rpartition("/")
    assert folder == "a/b" and name not in (".", "..")
    assert len(name.encode()) <= 255


def test_different_names_give_different_files() -> None:
    names = ["a/b", "a%2Fb", "a%252Fb", "a:b", "A/b", "x" * 200, "x" * 201, "x" * 103 + "%" + "0" * 16, ".", "%2E"]
    assert len({file_part(name) for name in names}) == len(names)


def test_a_name_is_one_part_of_an_address() -> None:
    url = filled("webhook", {"url": "https://x/$WEFT_TASK?q=$Q"}, {"Q": "1&r=2"}, task="a/b?c#d e&f")["url"]
    assert url == "https://x/a%2Fb%3Fc%23d%20e%26f?q=1&r=2"


def test_a_credential_that_is_not_there_is_told_by_the_name_of_its_variable() -> None:
    with pytest.raises(NoteError, match=r"token is \$BOT_TOKEN, which is not set"):
        filled("telegram", {"token": "${BOT_TOKEN}", "chat_id": 1})
    with pytest.raises(NoteError, match=r"token is not stored with the run; write it as \$NAME"):
        filled("telegram", {"token": WITHHELD, "chat_id": 1})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device", "/x"), "No space left on device: /x"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_reason_is_one_line(error: BaseException, text: str) -> None:
    assert reason_of(error) == text


def test_a_text_is_cut_between_characters() -> None:
    assert cut_units("𝄞" * 4, 8) == "𝄞" * 4
    assert cut_units("𝄞" * 5, 8) == "𝄞𝄞𝄞…"
