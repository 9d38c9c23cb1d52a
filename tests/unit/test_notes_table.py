"""Notes in documents: classes, keywords, conditions; what is stored of them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from weft.errors import PlanError, Problem
from weft.formats.compile import compile_plan
from weft.formats.load import load
from weft.formats.mistakes import Mistakes
from weft.formats.notes import read_note
from weft.formats.schema import native_schema
from weft.formats.shape import Place
from weft.formats.snapshot import restore, snapshot
from weft.spec.notes import CLASSES, KINDS, Note, faults, is_withheld, withhold


def problems(folder: Path, note: Any) -> list[Problem]:
    path = folder / "plan.json"
    path.write_text(json.dumps({"weft": 1, "notes": {"n": note}, "tasks": {"a": {"shell": "x", "notes": "n"}}}))
    try:
        load([str(path)])
    except PlanError as error:
        return list(error.problems())
    return []


def document(note: Any) -> Any:
    return {"weft": 1, "notes": {"n": note}, "tasks": {}}


VALIDATOR = Draft202012Validator(native_schema())

SOUND: list[dict[str, Any]] = [
    {"kind": "file", "path": "x.log", "overwrites": True, "format": "json"},
    {"kind": "SimpleFileLog", "path": "$OX_TASK_JOB_NAME.log"},
    {"kind": "echo"},
    {"kind": "EchoNotifier", "max_len": 10, "max_lines": 1, "description": "for people"},
    {"kind": "email", "to": ["a@x", "b@x"], "host": "mail", "port": "$PORT", "from": "c@x"},
    {"kind": "Gmail", "to": "a@x", "user": "u", "password": "$P"},
    {"kind": "telegram", "token": "$T", "chat_id": -100, "conditions": ["only_if_failed", "only_if_changed"]},
    {"kind": "webhook", "url": "$HOOK"},
    {"kind": "webhook", "url": "https://example.org/x"},
    {"kind": "command", "command": ["notify-send", "$WEFT_TASK"]},
    {"kind": "apprise", "url": ["slack://$A", "mailto://x"]},
    {"kind": "my.module:Sink", "anything": {"deep": [1]}},
    {"kind": "sinks.py:Outer.Sink"},
    {"kind": "package.module.Sink", "overwrites": None},
]


@pytest.mark.parametrize("note", SOUND, ids=lambda note: note["kind"])
def test_every_kind_takes_its_keywords(note: dict[str, Any], tmp_path: Path) -> None:
    assert problems(tmp_path, note) == []


@pytest.mark.parametrize(
    ("note", "code", "location", "words"),
    [
        ({}, "shape.missing", "", "no 'kind'"),
        ({"kind": None}, "shape.type", "/kind", "null"),
        ({"kind": 5}, "shape.type", "/kind", "not 5"),
        ("echo", "shape.type", "", "an object, not 'echo'"),
        ({"kind": "ecoh"}, "ref.note_class", "/kind", "did you mean 'echo'"),
        ({"kind": "nothing:"}, "ref.note_class", "/kind", "module:Class"),
        ({"kind": "file"}, "shape.missing", "", "no 'path'"),
        ({"kind": "file", "path": None}, "shape.missing", "", "no 'path'"),
        ({"kind": "file", "path": ""}, "shape.value", "/path", "empty"),
        ({"kind": "file", "path": "a\0"}, "shape.value", "/path", "NUL"),
        ({"kind": "file", "path": ["a"]}, "shape.type", "/path", "a text"),
        ({"kind": "file", "path": "x", "pth": "y"}, "shape.unknown_key", "/pth", "did you mean 'path'"),
        ({"kind": "file", "path": "x", "format": "jsn"}, "shape.value", "/format", "did you mean 'json'"),
        ({"kind": "file", "path": "x", "overwrites": 1}, "shape.type", "/overwrites", "true or false"),
        (
            {"kind": "SimpleFileLog", "path": "x", "overwrites": True},
            "shape.unknown_key",
            "/overwrites",
            "path, format",
        ),
        ({"kind": "echo", "max_len": 0}, "shape.value", "/max_len", "at least 1"),
        ({"kind": "echo", "max_lines": True}, "shape.type", "/max_lines", "an integer"),
        ({"kind": "echo", "conditions": ["only_if_fail"]}, "shape.value", "/conditions/0", "only_if_failed"),
        ({"kind": "echo", "conditions": "only_if_ok"}, "shape.type", "/conditions", "a list"),
        ({"kind": "echo", "conditions": [1]}, "shape.type", "/conditions/0", "a text"),
        ({"kind": "echo", "condition": []}, "shape.unknown_key", "/condition", "did you mean 'conditions'"),
        ({"kind": "email", "host": "h"}, "shape.missing", "", "no 'to'"),
        ({"kind": "email", "host": "h", "to": "x", "port": 70000}, "shape.value", "/port", "65535"),
        ({"kind": "email", "host": "h", "to": "x", "port": "smtp"}, "shape.type", "/port", "an integer"),
        ({"kind": "email", "host": "h", "to": "x", "user": "u"}, "shape.missing", "", "no 'password'"),
        ({"kind": "Gmail", "to": "x", "user": "u"}, "shape.missing", "", "no 'password'"),
        ({"kind": "telegram", "token": "t"}, "shape.missing", "", "no 'chat_id'"),
        ({"kind": "telegram", "token": "t", "chat_id": 1.5}, "shape.type", "/chat_id", "integer"),
        ({"kind": "webhook", "url": "example.org"}, "shape.value", "/url", "https://"),
        ({"kind": "webhook", "url": "https:///x"}, "shape.value", "/url", "https://"),
        ({"kind": "command", "command": "notify-send"}, "shape.type", "/command", "a list of texts"),
        ({"kind": "command", "command": []}, "shape.value", "/command", "empty"),
        ({"kind": "command", "command": ["", "x"]}, "shape.value", "/command", "a program"),
    ],
)
def test_each_mistake_is_told_where_it_is(note: Any, code: str, location: str, words: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, note)
    assert (found.code, found.location) == (code, f"/notes/n{location}")
    assert words in f"{found.message} {found.hint}"
    assert "note 'n'" in found.message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, {"kind": "telegram", "tokn": "x", "chat_id": [], "conditions": ["no"]})
    assert sorted(problem.code for problem in found) == [
        "shape.missing",
        "shape.type",
        "shape.unknown_key",
        "shape.value",
    ]


def test_a_credential_is_never_in_a_message(tmp_path: Path) -> None:
    notes = [
        {"kind": "telegram", "token": ["canary"], "chat_id": 1},
        {"kind": "webhook", "url": "canary"},
        {"kind": "email", "to": "x", "host": "h", "password": {"canary": 1}},
        {"kind": "apprise", "url": {"canary": 1}},
    ]
    for note in notes:
        found = problems(tmp_path, note)
        assert found and "canary" not in "".join(f"{problem.message} {problem.hint}" for problem in found)


def test_a_class_becomes_its_kind_with_what_it_stands_for() -> None:
    mistakes = Mistakes()
    body = {
        "class_name": "Gmail",
        "to": "a@x",
        "user": "u",
        "password": "$P",
        "__why": "x",
        "conditions": ["only_if_ok"],
    }
    note = read_note(body, "class_name", Place("f", ("notes", "n"), "note 'n'"), mistakes)
    assert not mistakes.errors
    assert note.kind == "email"
    assert note.arguments == {
        "host": "smtp.gmail.com",
        "port": 587,
        "to": "a@x",
        "user": "u",
        "password": "$P",
        "subject": "weft: $WEFT_TASK is $WEFT_STATE",
    }
    assert note.conditions == ("only_if_ok",)
    own = read_note({**body, "host": "relay"}, "class_name", Place("f", (), "n"), mistakes)
    assert own.arguments["host"] == "relay"


def test_every_kind_is_a_class_of_its_own_name_and_its_normal_form_is_sound() -> None:
    for kind in KINDS:
        assert CLASSES[kind].kind == kind
    for known in CLASSES.values():
        assert {keyword.name for keyword in known.keywords} <= {
            keyword.name for keyword in CLASSES[known.kind].keywords
        }
        assert not [fault for fault in faults(CLASSES[known.kind], known.preset) if fault.code != "shape.missing"]


@pytest.mark.parametrize(
    "note",
    [
        Note("telegram", {"token": "canary", "chat_id": 1}),
        Note("email", {"to": "x", "host": "h", "user": "u", "password": "canary"}),
        Note("webhook", {"url": "https://x/canary"}),
        Note("apprise", {"url": ["slack://canary"]}),
        Note("m:C", {"api_key": "canary", "room": 1}),
    ],
    ids=lambda note: note.kind,
)
def test_credentials_in_a_document_are_not_stored_with_the_run(note: Note, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"weft": 1, "notes": {"n": {"kind": note.kind, **note.arguments}}, "tasks": {}}))
    plan = load([str(path)]).plan
    assert b"canary" not in zlib.decompress(snapshot(plan))
    again = restore(snapshot(plan)).notes["n"]
    assert again.kind == note.kind
    assert [name for name, value in again.arguments.items() if is_withheld(value)]


def test_references_to_variables_are_stored_as_they_are() -> None:
    note = Note("telegram", {"token": "${BOT_TOKEN}", "chat_id": "$CHAT"})
    assert withhold(note) is note
    assert withhold(Note("apprise", {"url": ["$A", "slack://x"]})) != Note("apprise", {"url": ["$A", "slack://x"]})


@pytest.mark.parametrize("note", SOUND, ids=lambda note: note["kind"])
def test_editors_accept_what_weft_accepts(note: dict[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(document(note))) == []


@pytest.mark.parametrize(
    "note",
    [
        {"kind": "file"},
        {"kind": "file", "path": 1},
        {"kind": "SimpleFileLog", "path": "x", "overwrites": True},
        {"kind": "echo", "max_len": 0},
        {"kind": "echo", "conditions": ["only"]},
        {"path": "x"},
    ],
)
def test_editors_show_what_weft_refuses(note: dict[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(document(note)))


@pytest.mark.parametrize("note", SOUND, ids=lambda note: note["kind"])
def test_a_compiled_note_is_the_same_note(note: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"weft": 1, "notes": {"n": note}, "tasks": {}}))
    plan = load([str(path)]).plan
    again = tmp_path / "again.json"
    again.write_bytes(compile_plan(plan))
    assert load([str(again)]).plan.notes == plan.notes
    assert compile_plan(load([str(again)]).plan) == again.read_bytes()
