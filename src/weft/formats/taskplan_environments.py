"""Environments of task plans: interpreter, requirements, folder, variables (dialects.md 5.2)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from weft.errors import cut, hint_nearest
from weft.formats.mistakes import Mistakes, pointer, show
from weft.formats.shape import Place, is_free
from weft.spec.actions import Expand
from weft.spec.environments import Environment, ShellValue, VariableValue

_KEYS: Final = ("runtime", "requirements", "path", "variables", "fingerprint")
_COMMENT: Final = "__"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TICK: Final = "`"


def read_environment(body: Any, place: Place, mistakes: Mistakes, allow_shell: bool) -> Environment:
    """The environment that `body` describes; what is wrong with it is told, and left out."""
    if not isinstance(body, Mapping):
        mistakes.error("shape.type", f"{place.subject} must be an object, not {show(body)}", *_at(place))
        return Environment()
    for key in body:
        if key not in _KEYS and not is_free(key):
            message = f"{place.subject} has a key that means nothing here: {cut(key)!r}"
            mistakes.warn("shape.unknown_key", message, *_at(place, key), hint_nearest(key, _KEYS), at_key=True)
    path = _text(body, "path", place, mistakes)
    if path is not None and os.path.isabs(path):
        message = f"{place.subject}: path {cut(path)!r} is absolute; it may be no folder of another machine"
        mistakes.warn("shape.value", message, *_at(place, "path"), "paths are relative to the root")
    fingerprint = body.get("fingerprint")
    if fingerprint is not None and not isinstance(fingerprint, bool):
        message = f"{place.subject}: fingerprint must be true or false, not {show(fingerprint)}"
        mistakes.error("shape.type", message, *_at(place, "fingerprint"))
    return Environment(
        _text(body, "runtime", place, mistakes),
        _requirements(body.get("requirements"), place, mistakes),
        path,
        _variables(body.get("variables"), place, mistakes, allow_shell),
        fingerprint is True,
    )


def _text(body: Mapping[str, Any], key: str, place: Place, mistakes: Mistakes) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        hint = f'put quotes around it: "{value}"' if key == "runtime" and isinstance(value, float) else None
        message = f"{place.subject}: {key} must be a text, not {show(value)}"
        mistakes.error("shape.type", message, *_at(place, key), hint)
        return None
    if not value.strip() or "\0" in value:
        why = "holds a NUL character" if "\0" in value else "may not be empty"
        mistakes.error("shape.value", f"{place.subject}: {key} {why}", *_at(place, key))
        return None
    return value


def _requirements(value: Any, place: Place, mistakes: Mistakes) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        message = f"{place.subject}: requirements must be a list of texts, not {show(value)}"
        mistakes.error("shape.type", message, *_at(place, "requirements"))
        return ()
    sound: list[str] = []
    for position, line in enumerate(value):
        where = _at(place, "requirements", position)
        if not isinstance(line, str):
            message = f"{place.subject}: requirements[{position}] must be a text, not {show(line)}"
            mistakes.error("shape.type", message, *where)
        elif "\0" in line or "\n" in line:
            message = f"{place.subject}: requirements[{position}] holds more than one line"
            mistakes.error("shape.value", message, *where, "one item for each line of a requirements file")
        else:
            sound.append(line)
    return tuple(sound)


def _variables(
    value: Any, place: Place, mistakes: Mistakes, allow_shell: bool
) -> tuple[tuple[str, VariableValue], ...]:
    """In the order of the document. No message shows a value: it may be a secret."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        message = f"{place.subject}: variables must be an object of texts"
        mistakes.error("shape.type", message, *_at(place, "variables"))
        return ()
    sound: list[tuple[str, VariableValue]] = []
    for name, text in value.items():
        if name.startswith(_COMMENT):
            continue
        where = _at(place, "variables", name)
        subject = f"{place.subject}: variable {cut(name)!r}"
        if not _NAME.fullmatch(name):
            message = f"{subject}: a name is letters, digits and underscores, and begins with no digit"
            mistakes.error("name.invalid", message, *where, at_key=True)
        if not isinstance(text, str):
            mistakes.error("shape.type", f"{subject} must be a text", *where)
        elif "\0" in text:
            mistakes.error("shape.value", f"{subject} holds a NUL character", *where)
        else:
            sound.append((name, _value(text)))
            if isinstance(sound[-1][1], ShellValue) and not allow_shell:
                message = f"{subject} is the output of a shell command"
                mistakes.error("policy.refused", message, *where, "--no-shell-eval forbids it")
    return tuple(sound)


def _value(text: str) -> VariableValue:
    """Backticks around the whole text are seen first; inside them nothing is substituted."""
    if len(text) > 2 and text.startswith(_TICK) and text.endswith(_TICK):
        return ShellValue(text[1:-1])
    return Expand(text) if "$" in text else text


def _at(place: Place, *path: str | int) -> tuple[str, str]:
    return place.file, pointer(*place.base, *path)
