"""Fills the texts of a note's arguments: `$NAME` from the environment and from what the note is about."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from weft.notes.errors import NoteError
from weft.notes.file import file_part
from weft.spec.notes import CLASSES, REQUIRED, Keyword, Note, is_withheld

Substitute = Callable[[str, Mapping[str, str]], str]
"""Replaces `$NAME`, `${NAME}` and `$$` in a text; what is not known stays as written."""

_REFERENCE: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def data_variables(record: Mapping[str, Any]) -> dict[str, str]:
    """What is known about the task besides the environment."""
    return {
        "WEFT_TASK": record["task"],
        "OX_TASK_JOB_NAME": record["task"],
        "WEFT_STATE": record["state"],
        "WEFT_CAUSE": record["cause"] or "",
    }


def fill(note: Note, environment: Mapping[str, str], data: Mapping[str, str], substitute: Substitute) -> dict[str, Any]:
    """The arguments with their defaults, texts filled. Raises NoteError where a credential is missing.

    data: names of tasks and their like; they are data, so none becomes a way out of a folder or a part of an address.
    """
    plain = ChainMap(dict(data), dict(environment))
    known = CLASSES.get(note.kind)
    if known is None:
        return {key: _filled(key, value, plain, substitute) for key, value in note.arguments.items()}
    filled: dict[str, Any] = {}
    for keyword in known.keywords:
        value = note.arguments.get(keyword.name, keyword.default)
        if value is REQUIRED:
            raise NoteError(f"has no {keyword.name!r}")
        filled[keyword.name] = _filled(
            keyword.name, value, _variables_of(keyword, note.kind, plain, data, environment), substitute
        )
        if keyword.is_secret and isinstance(value, str) and filled[keyword.name] == value:
            unset = _REFERENCE.fullmatch(value)
            if unset is not None:
                raise NoteError(f"its {keyword.name} is ${unset[1] or unset[2]}, which is not set")
    return filled


def _variables_of(
    keyword: Keyword, kind: str, plain: Mapping[str, str], data: Mapping[str, str], environment: Mapping[str, str]
) -> Mapping[str, str]:
    if kind == "file" and keyword.name == "path":
        return ChainMap({name: file_part(text) for name, text in data.items()}, dict(environment))
    if keyword.form == "url" or (keyword.form == "texts" and keyword.is_secret):
        return ChainMap(
            {name: quote(text, safe="", errors="replace") for name, text in data.items()}, dict(environment)
        )
    return plain


def _filled(key: str, value: Any, variables: Mapping[str, str], substitute: Substitute) -> Any:
    if isinstance(value, str):
        return substitute(value, variables)
    if isinstance(value, list | tuple):
        return [_filled(key, item, variables, substitute) for item in value]
    if is_withheld(value):
        raise NoteError(f"its {key} is not stored with the run; write it as $NAME and set that variable")
    if isinstance(value, Mapping):
        return {name: _filled(key, item, variables, substitute) for name, item in value.items()}
    return value
