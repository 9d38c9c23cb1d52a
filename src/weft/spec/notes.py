"""Sinks for the results of tasks: which kinds there are, what each takes, and what is wrong with what it was given.

One table for every front door (dialects.md 5.4): a document names a *class* (`SimpleFileLog`, `Gmail`), the normal form the
*kind* behind it (`file`, `email`), or a class of the user's (`module:Class`, or a name of the entry points `weft.notes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from weft.errors import hint_nearest
from weft.spec.secrets import is_secret_name

CONDITIONS = ("only_if_output_non_empty", "only_if_ok", "only_if_failed", "only_if_changed")
ENTRY_POINTS: Final = "weft.notes"

Form = Literal["text", "texts", "words", "flag", "count", "port", "identity", "url"]
REQUIRED: Final[Any] = object()
"""Default of a keyword that has none."""

_EXPECTED: Final[Mapping[str, str]] = {
    "text": "a text",
    "texts": "a text or a list of texts",
    "words": "a list of texts",
    "flag": "true or false",
    "count": "an integer",
    "port": "an integer",
    "identity": "a text or an integer",
    "url": "a text",
}
_LAST_PORT: Final = 65_535
_ONE_REFERENCE: Final = r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})"
WITHHELD: Final[Mapping[str, Any]] = MappingProxyType({"withheld": True})
"""Stands for a credential in what is stored of a plan."""


class Note(NamedTuple):
    """A sink by kind (`file`, `echo`, `email`, …, or a class of the user's) and its arguments."""

    kind: str
    arguments: Mapping[str, Any] = MappingProxyType({})
    conditions: tuple[str, ...] = ()


class Keyword(NamedTuple):
    """What a kind takes. is_secret: its value is a credential, or may hold one; it is neither shown nor stored."""

    name: str
    form: Form
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    is_secret: bool = False


class NoteClass(NamedTuple):
    """A name that documents may use. kind: of the normal form. preset: arguments that it stands for besides.

    pairs: keywords of which neither makes sense alone.
    """

    name: str
    kind: str
    keywords: tuple[Keyword, ...]
    preset: Mapping[str, Any] = MappingProxyType({})
    pairs: tuple[tuple[str, str], ...] = ()

    def keyword(self, name: str) -> Keyword | None:
        """The keyword of that name."""
        return next((keyword for keyword in self.keywords if keyword.name == name), None)


class Fault(NamedTuple):
    """What is wrong with the arguments of a note. key: at which of them, None where one is missing. text: `must be a text`.

    is_value_shown: whether the value may stand in the message.
    """

    code: str
    key: str | None
    text: str
    hint: str | None = None
    is_value_shown: bool = False


_PATH: Final = Keyword("path", "text")
_FORMAT: Final = Keyword("format", "text", "text", ("text", "json"))
_EMAIL: Final = (
    Keyword("to", "texts"),
    Keyword("from", "text", None),
    Keyword("host", "text"),
    Keyword("port", "port", 587),
    Keyword("user", "text", None),
    Keyword("password", "text", None, is_secret=True),
    Keyword("subject", "text", "weft: $WEFT_TASK is $WEFT_STATE"),
)
_LOGIN: Final = (("user", "password"),)
_GMAIL: Final = tuple(
    keyword._replace(default=REQUIRED) if keyword.name in ("user", "password") else keyword for keyword in _EMAIL
)
_FILE: Final = (_PATH, Keyword("overwrites", "flag", False), _FORMAT)
_ECHO: Final = (Keyword("max_len", "count", 450), Keyword("max_lines", "count", 6))
_TELEGRAM: Final = (
    Keyword("token", "text", is_secret=True),
    Keyword("chat_id", "identity"),
    Keyword("api", "url", "https://api.telegram.org"),
)

CLASSES: Final[Mapping[str, NoteClass]] = {
    known.name: known
    for known in (
        NoteClass("file", "file", _FILE),
        NoteClass("FileNotifier", "file", _FILE),
        NoteClass("SimpleFileLog", "file", (_PATH, _FORMAT)),
        NoteClass("echo", "echo", _ECHO),
        NoteClass("EchoNotifier", "echo", _ECHO),
        NoteClass("email", "email", _EMAIL, pairs=_LOGIN),
        NoteClass("EmailNotifier", "email", _EMAIL, pairs=_LOGIN),
        NoteClass("Gmail", "email", _GMAIL, MappingProxyType({"host": "smtp.gmail.com", "port": 587})),
        NoteClass("telegram", "telegram", _TELEGRAM),
        NoteClass("Telegram", "telegram", _TELEGRAM),
        NoteClass("webhook", "webhook", (Keyword("url", "url", is_secret=True),)),
        NoteClass("command", "command", (Keyword("command", "words"),)),
        NoteClass(
            "apprise",
            "apprise",
            (
                Keyword("url", "texts", is_secret=True),
                Keyword("title", "text", "weft: $WEFT_TASK is $WEFT_STATE"),
            ),
        ),
    )
}
KINDS: Final = tuple(dict.fromkeys(known.kind for known in CLASSES.values()))


def is_class_path(name: str) -> bool:
    """Whether it names a class of the user's: `module:Class`, `file.py:Class`, or `package.module.Class`."""
    if ":" in name:
        module, _, rest = name.rpartition(":")
        return bool(module) and all(part.isidentifier() for part in rest.split("."))
    return "." in name and all(part.isidentifier() for part in name.split("."))


def faults(known: NoteClass, arguments: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything that is wrong with the arguments: in their order, then what is missing."""
    names = [keyword.name for keyword in known.keywords]
    for key, value in arguments.items():
        keyword = known.keyword(key)
        if keyword is None:
            hint = hint_nearest(key, [*names, "conditions"]) or f"keywords are {', '.join([*names, 'conditions'])}"
            yield Fault("shape.unknown_key", key, f"{known.name} takes no such keyword", hint)
        elif value is not None:
            fault = _fault_of(keyword, value)
            if fault is not None:
                yield fault
    for keyword in known.keywords:
        if keyword.default is REQUIRED and arguments.get(keyword.name) is None and keyword.name not in known.preset:
            yield Fault("shape.missing", None, f"has no {keyword.name!r}")
    for pair in known.pairs:
        given = [name for name in pair if arguments.get(name) is not None]
        if len(given) == 1 and all(known.keyword(name) not in _required(known) for name in pair):
            missing = next(name for name in pair if name not in given)
            yield Fault("shape.missing", None, f"has a {given[0]!r}, but no {missing!r}")


def _required(known: NoteClass) -> tuple[Keyword, ...]:
    return tuple(keyword for keyword in known.keywords if keyword.default is REQUIRED)


def make_note(known: NoteClass, arguments: Mapping[str, Any], conditions: tuple[str, ...] = ()) -> Note:
    """The normal form of arguments: what was given over what the class stands for over the defaults; nulls are left out."""
    given = {key: value for key, value in arguments.items() if value is not None}
    note = Note(known.kind, {**known.preset, **given}, conditions)
    return Note(known.kind, MappingProxyType(whole_arguments(note)), conditions)


def whole_arguments(note: Note) -> dict[str, Any]:
    """The arguments with every default that there is, in the order of the table; of a class of the user's as given."""
    known = CLASSES.get(note.kind)
    if known is None:
        return dict(note.arguments)
    every = {keyword.name: note.arguments.get(keyword.name, keyword.default) for keyword in known.keywords}
    return {name: value for name, value in every.items() if value is not None and value is not REQUIRED}


def secret_arguments(note: Note) -> tuple[str, ...]:
    """Names of the arguments that are given and hold credentials."""
    known = CLASSES.get(note.kind)
    if known is None:
        return tuple(name for name in note.arguments if is_secret_name(name))
    return tuple(keyword.name for keyword in known.keywords if keyword.is_secret and keyword.name in note.arguments)


def withhold(note: Note) -> Note:
    """The note as it may be stored: credentials that are written out are left out, references to variables stay."""
    hidden = {name: WITHHELD for name in secret_arguments(note) if not _is_reference(note.arguments[name])}
    return note if not hidden else Note(note.kind, MappingProxyType({**note.arguments, **hidden}), note.conditions)


def is_withheld(value: Any) -> bool:
    """Whether it stands for a credential that was left out."""
    return isinstance(value, Mapping) and value.get("withheld") is True and len(value) == 1


def _is_reference(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return bool(texts) and all(isinstance(text, str) and re.fullmatch(_ONE_REFERENCE, text) for text in texts)


def _fault_of(keyword: Keyword, value: Any) -> Fault | None:
    may_show = not keyword.is_secret
    if not _has_form(keyword.form, value):
        return Fault("shape.type", keyword.name, f"must be {_EXPECTED[keyword.form]}", None, may_show)
    texts = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
    if any("\0" in text for text in texts):
        return Fault("shape.value", keyword.name, "holds a NUL character")
    if value == "" or value == [] or value == () or (keyword.form == "texts" and "" in texts):
        return Fault("shape.value", keyword.name, "may not be empty")
    if keyword.form == "words" and not value[0]:
        return Fault("shape.value", keyword.name, "must begin with a program")
    if keyword.choices and value not in keyword.choices:
        hint = hint_nearest(value, keyword.choices)
        return Fault("shape.value", keyword.name, f"must be {' or '.join(keyword.choices)}", hint, may_show)
    if keyword.form == "count" and value < 1:
        return Fault("shape.value", keyword.name, "must be at least 1", None, may_show)
    if keyword.form == "port" and isinstance(value, int) and not 1 <= value <= _LAST_PORT:
        return Fault("shape.value", keyword.name, f"must be from 1 to {_LAST_PORT}", None, may_show)
    if keyword.form == "url" and not value.startswith("$") and not is_web_address(value):
        return Fault("shape.value", keyword.name, "must begin with https:// or http:// and name a host")
    return None


def is_web_address(text: str) -> bool:
    """Whether a request can be sent there, as far as the text tells."""
    scheme, sign, rest = text.partition("://")
    return bool(sign) and scheme.lower() in ("http", "https") and rest[:1] not in ("", "/", "?", "#")


def _has_form(form: Form, value: Any) -> bool:
    match form:
        case "text" | "url":
            return isinstance(value, str)
        case "texts":
            return isinstance(value, str) or _is_list_of_texts(value)
        case "words":
            return _is_list_of_texts(value)
        case "flag":
            return isinstance(value, bool)
        case "count":
            return isinstance(value, int) and not isinstance(value, bool)
        case "port":  # a reference is filled when it is sent
            return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and "$" in value)
        case "identity":
            return isinstance(value, str | int) and not isinstance(value, bool)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
